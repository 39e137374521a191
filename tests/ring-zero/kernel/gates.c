/* Interrupt, trap and call gates of 16 and 32 bits, levels, stacks of the TSS, far jumps and returns. */
#include "kernel.h"

enum { CODE0 = 0x08, DATA0 = 0x10, GATE = 0x20, CODE3 = 0x28, DATA3 = 0x30, TSS = 0x38, CODE16 = 0x40, OTHER = 0x48, CONFORMING = 0x50, CODE1 = 0x58 };
extern u8 entries[], level0_stack[];

static struct {
  u32 link, esp0, ss0, esp1, ss1, esp2, ss2, rest[19];
} __attribute__((packed)) tss;

u8 user_stack[4096] __attribute__((aligned(4096)));
u32 seen[16];
u32 user_stack_top;

/* Calls CODE at level 3 through IRET; it comes back by INT 0x40, whose gate is open to everybody. */
__asm__(
    ".text\n.globl to_user\nto_user:\n"
    "pushl $0x33\npushl user_stack_top\npushl user_flags\npushl $0x2b\npushl user_code\n"
    "mov $0x33, %eax; mov %eax, %ds; mov %eax, %es\n iret\n"
    ".data\n.globl user_flags\nuser_flags: .long 2\n.globl user_code\nuser_code: .long 0\n.text\n");
void to_user(void);
extern void *user_code;

u32 in_user(void (*code)(void)) {
  user_code = (void *)code;
  user_stack_top = (u32)(user_stack + sizeof user_stack);
  return try_code(to_user);
}
void expect_user(const char *name, void (*code)(void), u32 vector, u32 error, u32 offset) {
  in_user(code);
  check(name, fault.vector, vector);
  check(name, fault.error, error);
  check(name, fault.eip - (u32)code, offset);
}

CODE(user_back, "int $0x40")
CODE(user_closed, "int $0x41")
CODE(user_cli, "cli; int $0x40")
CODE(user_in, "in $0x60, %al; int $0x40")
CODE(user_hlt, "hlt")
CODE(user_cr, "mov %cr0, %eax")
CODE(user_undefined_cr, ".byte 0x0f, 0x20, 0xc8")
CODE(user_lidt, "lidt 0")
CODE(user_msr, "rdmsr")
CODE(user_popf, "pushf; orl $0x3200, (%esp); popf; pushf; pop %eax; mov %eax, seen; int $0x40")
CODE(user_ss, "mov $0x10, %eax; mov %eax, %ss")
CODE(user_ds, "mov $0x10, %eax; mov %eax, %ds")
CODE(user_gate, "push $0x1111; push $0x2222; lcall $0x20, $0x12345678; int $0x40")
CODE(user_gate_rpl, "lcall $0x23, $0; int $0x40")
CODE(user_gate_jump, "ljmp $0x20, $0")
CODE(user_far_inner, "lcall $0x08, $0")
CODE(user_conforming, "lcall $0x50, $on_conforming; int $0x40")
CODE(user_retf_inner, "push $0x08; push $0; lret")
CODE(on_conforming, "mov %cs, %eax; mov %eax, seen; lret")

/* Behind the call gate: what lies on the stack, then back with two parameters released. */
__asm__(
    ".text\n.globl behind_gate\nbehind_gate:\n"
    "mov $seen, %edi; mov %esp, %esi; mov $6, %ecx; cld\n"
    "mov $0x10, %eax; mov %eax, %es\n"
    "1: mov %ss:(%esi), %eax; mov %eax, %es:(%edi); add $4, %esi; add $4, %edi; loop 1b\n"
    "mov %cs, %eax; mov %eax, %es:seen+24; mov %ss, %eax; mov %eax, %es:seen+28; mov %esp, %es:seen+32\n"
    "lret $8\n");
void behind_gate(void);

void build_levels(void) {
  gdt[CODE3 / 8] = descriptor(0, 0xfffff, 0xfb, 0xc);
  gdt[DATA3 / 8] = descriptor(0, 0xfffff, 0xf3, 0xc);
  gdt[CODE16 / 8] = descriptor(0, 0xffff, 0x9b, 0);
  gdt[CONFORMING / 8] = descriptor(0, 0xfffff, 0x9f, 0xc);
  gdt[TSS / 8] = descriptor((u32)&tss, 0x67, 0x89, 0);
  tss.esp0 = (u32)level0_stack;
  tss.ss0 = DATA0;
  tss.rest[18] = 0x680000;
  __asm__ volatile("ltr %w0" : : "r"(TSS));
  idt[0x40] = gate(CODE0, (u32)entries + 16 * 0x40, 0xee);
}

static void user_mode(void) {
  expect_user("INT through an open gate", user_back, 0x40, 0, 2);
  check("from level 3", fault.cs & 3, 3);
  check("with its stack", fault.esp, (u32)(user_stack + sizeof user_stack));
  check("in its segment", fault.ss, 0x33);
  expect_user("INT through a closed gate", user_closed, 13, 0x41 * 8 + 2, 0);
  expect_user("CLI", user_cli, 13, 0, 0);
  expect_user("IN", user_in, 13, 0, 0);
  expect_user("HLT", user_hlt, 13, 0, 0);
  expect_user("MOV from CR0", user_cr, 13, 0, 0);
  expect_user("MOV from a control register that does not exist", user_undefined_cr, 6, 0, 0);
  expect_user("LIDT", user_lidt, 13, 0, 0);
  expect_user("RDMSR", user_msr, 13, 0, 0);
  expect_user("POPF", user_popf, 0x40, 0, 18);
  check("leaves IF and IOPL alone", seen[0] & 0x3200, 0);
  expect_user("SS of level 0", user_ss, 13, DATA0, 5);
  expect_user("DS of level 0", user_ds, 13, DATA0, 5);
  user_flags = 0x3002;
  expect_user("CLI with IOPL 3", user_cli, 0x40, 0, 3);
  expect_user("IN with IOPL 3", user_in, 0x40, 0, 4);
  expect_user("HLT with IOPL 3", user_hlt, 13, 0, 0);
  user_flags = 2;
}

static void call_gates(void) {
  gdt[GATE / 8] = gate(CODE0, (u32)behind_gate, 0xec) | (u64)2 << 32;
  expect_user("a call through a gate of level 3", user_gate, 0x40, 0, 19);
  check("pushes where to return", seen[0], (u32)user_gate + 17);
  check("the old CS", seen[1] & 0xffff, CODE3 + 3);
  check("the parameter pushed last", seen[2], 0x2222);
  check("the one before", seen[3], 0x1111);
  check("the old ESP", seen[4], (u32)(user_stack + sizeof user_stack) - 8);
  check("the old SS", seen[5] & 0xffff, DATA3 + 3);
  check("enters level 0", seen[6] & 0xffff, CODE0);
  check("on its stack", seen[7] & 0xffff, DATA0);
  check("from its top", seen[8], (u32)level0_stack - 24);
  check("and releases on both stacks", fault.esp, (u32)(user_stack + sizeof user_stack));
  expect_user("with RPL 3", user_gate_rpl, 0x40, 0, 9);
  expect_user("a jump to inner code through a gate", user_gate_jump, 13, CODE0, 0);
  gdt[GATE / 8] = gate(CODE0, (u32)behind_gate, 0x8c);
  expect_user("a gate of level 0", user_gate, 13, GATE, 10);
  gdt[GATE / 8] = gate(CODE0, (u32)behind_gate, 0x6c);
  expect_user("a gate that is not present", user_gate, 11, GATE, 10);
  gdt[GATE / 8] = gate(0, (u32)behind_gate, 0xec);
  expect_user("a gate to a null selector", user_gate, 13, 0, 10);
  gdt[GATE / 8] = gate(DATA0, (u32)behind_gate, 0xec);
  expect_user("a gate to data", user_gate, 13, DATA0, 10);
  gdt[OTHER / 8] = descriptor(0, 0xfffff, 0x1b, 0xc);
  gdt[GATE / 8] = gate(OTHER, (u32)behind_gate, 0xec);
  expect_user("a gate to absent code", user_gate, 11, OTHER, 10);
  /* Level 1 has the broken stacks, so that the exception finds its own. */
  gdt[CODE1 / 8] = descriptor(0, 0xfffff, 0xbb, 0xc);
  gdt[GATE / 8] = gate(CODE1, (u32)behind_gate, 0xec);
  tss.ss1 = 0;
  expect_user("no stack in the TSS", user_gate, 10, 0, 10);
  tss.ss1 = DATA3 + 3;
  expect_user("a stack of another level", user_gate, 10, DATA3, 10);
  gdt[OTHER / 8] = descriptor(0, 0xfffff, 0x33, 0xc);
  tss.ss1 = OTHER + 1;
  expect_user("a stack that is not present", user_gate, 12, OTHER, 10);
  tss.ss1 = 0x400;
  expect_user("a stack beyond the table", user_gate, 10, 0x400, 10);
  tss.ss1 = OTHER + 1;
  if (!left_out_by_tcg("a stack without room")) {
    gdt[OTHER / 8] = descriptor(0, 0xfff, 0xb3, 4);
    tss.esp1 = 4;
    expect_user("a stack without room", user_gate, 12, OTHER, 10);
  }
  gdt[OTHER / 8] = descriptor(0, 0xfffff, 0xb1, 0xc);
  expect_user("a stack that cannot be written", user_gate, 10, OTHER, 10);
  expect_user("a call of inner code without a gate", user_far_inner, 13, CODE0, 0);
  expect_user("a call of conforming code", user_conforming, 0x40, 0, 9);
  check("stays at level 3", seen[0] & 0xffff, CONFORMING + 3);
  expect_user("a return to an inner level", user_retf_inner, 13, CODE0, 4);
}

CODE(gate_here, "lcall $0x20, $0; ret")
CODE(jump_here, "ljmp $0x20, $0")
CODE(jump_null, "ljmp $0, $0")
CODE(jump_data, "ljmp $0x10, $0")
CODE(jump_absent, "ljmp $0x48, $0")
CODE(jump_limit, "ljmp $0x48, $0x2000")
CODE(call_memory, "lcall *far_target; ret")
CODE(after_far_call, "mov %cs, %eax; mov %eax, seen; lret")
CODE(jump_memory_register, ".byte 0xff, 0xe8")
__asm__(".data\nfar_target: .long after_far_call\n.word 0x08\n.text\n");
__asm__(
    ".text\n.globl here\nhere: mov %esp, seen+4; mov %cs, %eax; mov %eax, seen; lret\n"
    ".globl there\nthere: movl $0x5a5a, seen; ret\n");
void here(void);
void there(void);

static void same_level(void) {
  gdt[GATE / 8] = gate(CODE0, (u32)here, 0x8c);
  expect_nothing("a call gate within the level", gate_here);
  check("keeps CS", seen[0] & 0xffff, CODE0);
  gdt[GATE / 8] = gate(CODE0, (u32)there, 0x8c);
  seen[0] = 0;
  expect_nothing("a jump through a gate", jump_here);
  check("goes there", seen[0], 0x5a5a);
  expect_fault("a jump to a null selector", jump_null, 13, 0, 0);
  expect_fault("a jump to data", jump_data, 13, DATA0, 0);
  gdt[OTHER / 8] = descriptor(0, 0xfffff, 0x1b, 0xc);
  expect_fault("a jump to absent code", jump_absent, 11, OTHER, 0);
  gdt[OTHER / 8] = descriptor(0, 0x1fff, 0x9b, 4);
  expect_fault("a jump behind the limit", jump_limit, 13, 0, 0);
  expect_nothing("a far call through memory", call_memory);
  check("comes to CS", seen[0] & 0xffff, CODE0);
  expect_fault("a far jump through a register", jump_memory_register, 6, 0, 0);
}

/* 16-bit code: the functions lie at 1 MiB, so the segment has its base there. */
__asm__(
    ".text\n.globl code16_part\ncode16_part:\n.code16\n"
    "mov $0x1234, %ax; mov $0xffff5678, %ebx; push %ax; pop %cx; call 1f; lretl\n"
    "1: mov %sp, %dx; ret\n.code32\n"
    ".globl code16_end\ncode16_end:\n"
    ".globl run16\nrun16: mov $0xaaaaaaaa, %eax; mov %eax, %ecx; lcall $0x40, $0; mov %eax, seen; mov %ebx, seen+4; mov %ecx, seen+8; ret\n"
    ".globl loop16\nloop16:\n.code16\n jmp 2f\n 2: .byte 0xe9, 0xf0, 0xff\n.code32\n");
void run16(void);
extern u8 code16_part[], loop16[];
CODE(run_loop16, "push %ebx; lcall $0x40, $0; ret")

static void sixteen_bits(void) {
  gdt[CODE16 / 8] = descriptor((u32)code16_part, 0xffff, 0x9b, 0);
  expect_nothing("16-bit code", run16);
  check("16-bit operands keep the upper half", seen[0], 0xaaaa1234);
  check("66 gives 32", seen[1], 0xffff5678);
  check("PUSH and POP of 16 bits", seen[2], 0xaaaa1234);
  if (left_out_by_tcg("code behind its limit")) return;
  /* A near jump by 0xfff0 from offset 5: IP 0xfff5 is within the limit of 64 KiB, but not of one page. */
  gdt[CODE16 / 8] = descriptor((u32)loop16, 0xfff, 0x9b, 0);
  try_code(run_loop16);
  check("a near jump behind the limit", fault.vector, 13);
  check("faults at itself", fault.eip, 2);
  /* An instruction that the limit cuts. */
  gdt[CODE16 / 8] = descriptor((u32)code16_part, 1, 0x9b, 0);
  try_code(run16);
  check("an instruction over the limit", fault.vector, 13);
  check("faults at its start", fault.eip, 0);
  gdt[CODE16 / 8] = descriptor((u32)code16_part, 2, 0x9b, 0);
  try_code(run16);
  check("the next one does", fault.eip, 3);
}

/* Interrupts through 16-bit gates push three words, so the code that they interrupt runs in a segment whose base is near. */
__asm__(
    ".text\n.globl narrow_code\nnarrow_code: mov %esp, seen+16; sti; int $0x50; mov %esp, seen+20; pushf; popl seen+24; cli; lret\n"
    ".globl narrow_handler\nnarrow_handler: pushf; popl seen+12; mov (%esp), %eax; mov %eax, seen; mov 4(%esp), %ax; mov %ax, seen+4; mov %esp, seen+8\n"
    ".byte 0x66; iret\n");
void narrow_code(void);
void narrow_handler(void);
static u32 narrow_target[2];
CODE(run_narrow, "mov narrow_pointer, %eax; lcall *(%eax); ret")
__asm__(".data\n.globl narrow_pointer\nnarrow_pointer: .long 0\n.text\n");
extern u32 narrow_pointer;

static void narrow_gates(void) {
  u32 base = (u32)narrow_code & ~0xfffu;
  gdt[OTHER / 8] = descriptor(base, 0xfffff, 0x9b, 0xc);
  narrow_target[0] = (u32)narrow_code - base;
  narrow_target[1] = OTHER;
  narrow_pointer = (u32)narrow_target;
  for (u32 trap = 0; trap < 2; trap++) {
    idt[0x50] = gate(OTHER, (u32)narrow_handler - base, 0x86 + trap);
    expect_nothing("an interrupt through a 16-bit gate", run_narrow);
    check("pushes IP and CS as words", seen[0], (((u32)narrow_code - base) + 9) | OTHER << 16);
    check("and flags", seen[1] & 0x202, 0x202);
    check("six bytes in all", seen[2], seen[4] - 6);
    check("IF in the handler: a trap gate leaves it", (seen[3] >> 9) & 1, trap);
    check("is returned from by a 16-bit IRET", seen[5], seen[4]);
    check("with the flags", seen[6] & 0x200, 0x200);
  }
}

CODE(interrupt_absent_code, "int $0x52; ret")
CODE(interrupt_null, "int $0x53; ret")
CODE(interrupt_limit, "int $0x54; ret")
CODE(interrupt_wrong_type, "int $0x55; ret")
CODE(interrupt_data, "int $0x56; ret")

static void interrupt_gates(void) {
  gdt[OTHER / 8] = descriptor(0, 0xfffff, 0x1b, 0xc);
  idt[0x52] = gate(OTHER, 0, 0x8e);
  expect_fault("an interrupt to absent code", interrupt_absent_code, 11, OTHER, 0);
  idt[0x53] = gate(0, 0, 0x8e);
  expect_fault("an interrupt to a null selector", interrupt_null, 13, 0, 0);
  gdt[OTHER / 8] = descriptor(0, 0xfff, 0x9b, 4);
  idt[0x54] = gate(OTHER, 0x2000, 0x8e);
  if (!left_out_by_tcg("an interrupt behind the limit")) expect_fault("an interrupt behind the limit", interrupt_limit, 13, 0, 0);
  idt[0x55] = gate(CODE0, 0, 0x8c);
  expect_fault("a call gate in the IDT", interrupt_wrong_type, 13, 0x55 * 8 + 2, 0);
  idt[0x56] = gate(DATA0, 0, 0x8e);
  expect_fault("an interrupt to data", interrupt_data, 13, DATA0, 0);
}

void drop_levels(void) {
  for (int entry = 3; entry < 64; entry++)
    if (entry * 8 != TSS) gdt[entry] = 0;
  reset_tables();
}

void test_gates(void) {
  build_levels();
  user_mode();
  call_gates();
  same_level();
  sixteen_bits();
  narrow_gates();
  interrupt_gates();
  drop_levels();
}

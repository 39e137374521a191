/*
 * Several exceptions at once: which comes, and what becomes of the others (SDM 3A 6.9, table 6-2; AMD volume 2, 8.5, table 8-8). Traps of the
 * instruction before come first, then faults of fetching the next, of decoding it, and of executing it.
 */
#include "kernel.h"

u32 beside[4] __attribute__((aligned(16)));

#define TF_ON "pushf; orl $0x100, (%esp); popf\n"
#define TF_OFF "pushf; andl $~0x100, (%esp); popf\n"

static void set_breakpoint(u32 index, u32 address, u32 kind, u32 bytes) {
  if (index == 0) __asm__ volatile("mov %0, %%dr0" : : "r"(address));
  else __asm__ volatile("mov %0, %%dr1" : : "r"(address));
  u32 control;
  __asm__ volatile("mov %%dr7, %0" : "=r"(control));
  control |= 2u << (2 * index) | kind << (16 + 4 * index) | (bytes - 1) << (18 + 4 * index);
  __asm__ volatile("mov %0, %%dr7" : : "r"(control));
}
static void clear_breakpoints(void) { __asm__ volatile("mov %0, %%dr7" : : "r"(0x400)); }
static u32 debug_status(void) {
  u32 value;
  __asm__ volatile("mov %%dr6, %0" : "=r"(value));
  return value;
}

static void expect_trap(const char *name, int index, u32 place, u32 status) {
  check(name, traps[index].eip, place);
  check(name, traps[index].dr6 & 0xe00f, status);
}
static u32 counted(void (*code)(void)) {
  __asm__ volatile("mov %0, %%dr6" : : "r"(0));
  counting = 1;
  u32 vector = try_code(code);
  counting = 0;
  return vector;
}

CODE(step_and_write, TF_ON "movl $1, beside\n.globl behind_write\nbehind_write:\n" TF_OFF "ret")
CODE(step_to_breakpoint, TF_ON "nop\n.globl stepped_to\nstepped_to: nop\n" TF_OFF "ret")
CODE(write_to_breakpoint, "movl $1, beside\n.globl written_to\nwritten_to: nop; ret")
CODE(breakpoint_of_undefined, ".globl undefined_here\nundefined_here: ud2; ret")
CODE(write_and_fault, "movl $1, beside; .globl faulting\nfaulting: ud2; ret")
CODE(faulting_write, "xor %eax, %eax; mov %eax, %fs; mov beside, %ecx; .globl refused\nrefused: movl $1, %fs:beside; ret")
CODE(write_and_interrupt, "movl $1, beside; int $0x60\n.globl behind_interrupt\nbehind_interrupt: ret")
CODE(step_return, "pushf; orl $0x100, (%esp); push %cs; push $1f; iret\n1: nop\n.globl behind_return\nbehind_return:\n" TF_OFF "ret")
CODE(step_and_fault, TF_ON ".globl stepped_fault\nstepped_fault: ud2")
CODE(exchange_watched, "mov $1, %eax; xchg %eax, beside\n.globl behind_exchange\nbehind_exchange: ret")
CODE(move_strings, "mov $beside, %esi; mov $beside+4, %edi; cld; movsl\n.globl behind_move\nbehind_move: ret")
extern u8 behind_write[], stepped_to[], written_to[], undefined_here[], faulting[], refused[], behind_interrupt[], behind_return[], stepped_fault[],
    behind_exchange[], behind_move[];
void just_back(void);

static void traps_and_faults(void) {
  idt[0x60] = gate(8, (u32)just_back, 0x8e);
  set_breakpoint(0, (u32)beside, 1, 4);
  check("a step and a data breakpoint", counted(step_and_write), NOTHING);
  expect_trap("are one exception", 0, (u32)behind_write, 0x4001);
  check("a data breakpoint before a fault", counted(write_and_fault), 6);
  check("comes first", (u32)trap_count, 1);
  expect_trap("behind its instruction", 0, (u32)faulting, 1);
  check("and then the fault", fault.eip, (u32)faulting);
  check("a data breakpoint before INT", counted(write_and_interrupt), NOTHING);
  check("comes once", (u32)trap_count, 1);
  expect_trap("before INT", 0, (u32)behind_interrupt - 2, 1);
  check("XCHG", counted(exchange_watched), NOTHING);
  check("is one trap", (u32)trap_count, 1);
  expect_trap("behind it", 0, (u32)behind_exchange, 1);
  set_breakpoint(1, (u32)beside + 4, 1, 4);
  check("MOVS to another", counted(move_strings), NOTHING);
  expect_trap("is that one", 0, (u32)behind_move, 2);
  clear_breakpoints();
  set_breakpoint(0, (u32)beside, 3, 4);
  set_breakpoint(1, (u32)beside + 4, 1, 4);
  check("MOVS from one to another", counted(move_strings), NOTHING);
  check("are one exception", (u32)trap_count, 1);
  expect_trap("of both", 0, (u32)behind_move, 3);
  clear_breakpoints();
  set_breakpoint(0, (u32)stepped_to, 0, 1);
  check("a step to an instruction breakpoint", counted(step_to_breakpoint), NOTHING);
  expect_trap("traps first", 0, (u32)stepped_to, 0x4000);
  expect_trap("then the breakpoint", 1, (u32)stepped_to, 1);
  expect_trap("then the next step", 2, (u32)stepped_to + 1, 0x4000);
  clear_breakpoints();
  set_breakpoint(0, (u32)beside, 1, 4);
  set_breakpoint(1, (u32)written_to, 0, 1);
  check("a data breakpoint, then an instruction breakpoint", counted(write_to_breakpoint), NOTHING);
  check("are two exceptions", (u32)trap_count, 2);
  expect_trap("the trap", 0, (u32)written_to, 1);
  expect_trap("and the fault", 1, (u32)written_to, 2);
  clear_breakpoints();
  set_breakpoint(0, (u32)undefined_here, 0, 1);
  check("an instruction breakpoint at UD2", counted(breakpoint_of_undefined), 6);
  check("comes before it is decoded", (u32)trap_count, 1);
  clear_breakpoints();
  check("IRET to TF", counted(step_return), NOTHING);
  expect_trap("traps behind the next instruction", 0, (u32)behind_return, 0x4000);
  check("a fault of the stepped instruction", counted(step_and_fault), 6);
  check("is no step", (u32)trap_count, 0);
  check("keeps TF in its frame", fault.eflags & 0x100, 0x100);
}

static void refused_accesses(void) {
  set_breakpoint(0, (u32)beside, 1, 4);
  check("a write that its segment refuses", counted(faulting_write), 13);
  check("meets no breakpoint", (u32)trap_count, 0);
  check("nor says DR6 so", debug_status() & 1, 0);
  clear_breakpoints();
}

CODE(user_port, "in $0x80, %al; int $0x40")
CODE(user_hlt_locked, ".byte 0xf0, 0xf4")
CODE(user_registers, ".byte 0x0f, 0x20, 0xf8")
CODE(no_x87, "fld1; ret")
CODE(aligned_move, "mov $beside+4, %eax; .byte 0x0f, 0x28, 0x00; ret")
CODE(null_aligned_move, "xor %eax, %eax; mov %eax, %fs; .byte 0x64, 0x0f, 0x28, 0x05; .long beside+4; ret")
CODE(undefined_with_operand, "xor %eax, %eax; mov %eax, %fs; .byte 0x64, 0x0f, 0xb9, 0x05; .long beside; ret")
CODE(lock_null, "xor %eax, %eax; mov %eax, %fs; .byte 0x64, 0xf0, 0x89, 0x05; .long beside; ret")
CODE(divide_null, "xor %eax, %eax; mov %eax, %fs; xor %edx, %edx; divl %fs:beside+8; ret")
CODE(bound_null, "xor %eax, %eax; mov %eax, %fs; mov $9, %ecx; bound %ecx, %fs:beside; ret")
CODE(user_bad_lgdt, "xor %eax, %eax; mov %eax, %ds; lgdt beside; int $0x40")
CODE(user_absent_lldt, "mov $0x20, %eax; lldt %ax; int $0x40")

/* Of one instruction: that it does not exist, then its unit, its level, its operand, what it computes. */
static void one_instruction(void) {
  u32 cr0 = read_cr0(), cr4 = read_cr4();
  write_cr4(cr4 | 0x200);
  write_cr0(cr0 & ~(u32)0xc);
  check("MOVAPS of an odd address", try_code(aligned_move), 13);
  write_cr0((cr0 & ~(u32)0xc) | 8);
  check("with CR0.TS is #NM", try_code(aligned_move), 7);
  check("before its segment is looked at", try_code(null_aligned_move), 7);
  write_cr0((cr0 & ~(u32)0xc) | 0xc);
  check("with CR0.EM is #UD", try_code(aligned_move), 6);
  check("and x87 #NM", try_code(no_x87), 7);
  write_cr0((cr0 & ~(u32)0xc) | 8);
  write_cr4(cr4 & ~(u32)0x200);
  check("without CR4.OSFXSR is #UD, whatever CR0.TS", try_code(aligned_move), 6);
  write_cr0(cr0);
  write_cr4(cr4);
  check("UD1 before its operand", try_code(undefined_with_operand), 6);
  check("LOCK before its operand", try_code(lock_null), 6);
  check("DIV: the operand before the division", try_code(divide_null), 13);
  check("BOUND: the operand before the range", try_code(bound_null), 13);
  build_levels();
  gdt[4] = descriptor(0, 0xfff, 0x02, 0);
  expect_user("HLT with LOCK at level 3", user_hlt_locked, 6, 0, 0);
  expect_user("MOV from CR7 at level 3", user_registers, 6, 0, 0);
  expect_user("LGDT of a bad operand at level 3", user_bad_lgdt, 13, 0, 4);
  expect_user("LLDT of an absent table at level 3", user_absent_lldt, 13, 0, 5);
  write_cr4(read_cr4() | 8);
  set_breakpoint(0, 0x80, 2, 1);
  expect_user("IN that level 3 may not, with a breakpoint", user_port, 13, 0, 0);
  check("which it does not meet", debug_status() & 1, 0);
  clear_breakpoints();
  write_cr4(read_cr4() & ~8u);
  drop_levels();
}

void test_priorities(void) {
  if (left_out_by_tcg("traps and faults together")) return;
  traps_and_faults();
  refused_accesses();
  one_instruction();
  reset_tables();
}

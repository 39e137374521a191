/* Debug exceptions: single steps, breakpoints for instructions, data and ports, and what delays them. */
#include "kernel.h"

static void dr(u32 number, u32 value) {
  switch (number) {
    case 0: __asm__ volatile("mov %0, %%dr0" : : "r"(value)); break;
    case 1: __asm__ volatile("mov %0, %%dr1" : : "r"(value)); break;
    case 6: __asm__ volatile("mov %0, %%dr6" : : "r"(value)); break;
    default: __asm__ volatile("mov %0, %%dr7" : : "r"(value));
  }
}
static u32 dr6(void) {
  u32 value;
  __asm__ volatile("mov %%dr6, %0" : "=r"(value));
  return value;
}
static u32 dr7(void) {
  u32 value;
  __asm__ volatile("mov %%dr7, %0" : "=r"(value));
  return value;
}
enum { EXECUTE = 0, WRITE = 1, PORT = 2, ACCESS = 3 };
static u32 control(u32 index, u32 kind, u32 bytes) {
  return 0x400 | 2u << (2 * index) | kind << (16 + 4 * index) | (bytes - 1) << (18 + 4 * index);
}

u32 watched[4] __attribute__((aligned(16)));

#define TF_ON "pushf; orl $0x100, (%esp); popf\n"
#define TF_OFF "pushf; andl $~0x100, (%esp); popf\n"

CODE(step_nops, TF_ON "nop; nop\n" TF_OFF "ret")
CODE(step_repeat, "mov $watched, %edi; mov $3, %ecx; xor %eax, %eax; cld\n" TF_ON "rep stosb\n" TF_OFF "ret")
CODE(step_ss, TF_ON "mov %ss, %eax; mov %eax, %ss; nop\n" TF_OFF "ret")
CODE(step_interrupt, TF_ON "int $0x60; nop\n" TF_OFF "ret")
CODE(step_jump, TF_ON "jmp 1f; nop; 1: nop\n" TF_OFF "ret")
CODE(step_fault, TF_ON "ud2")
CODE(step_popf_off, "pushf; pushf; orl $0x100, (%esp); popf; popf; nop; ret")
__asm__(".text\n.globl just_back\njust_back: iret\n");
void just_back(void);

CODE(break_here, "nop; nop; nop; ret")
CODE(break_repeat, "mov $watched, %edi; mov $3, %ecx; xor %eax, %eax; cld; rep stosb; ret")
CODE(write_watched, "movl $1, watched; nop; ret")
CODE(read_watched, "mov watched, %eax; nop; ret")
CODE(read_beside, "mov watched+4, %eax; movb $1, watched+4; nop; ret")
CODE(write_over, "movl $2, watched-2; nop; ret")
CODE(increment_watched, "incl watched; nop; ret")
CODE(push_watched, "mov %esp, %ecx; mov $watched+4, %esp; push %eax; mov %ecx, %esp; ret")
CODE(string_watched, "mov $watched-4, %edi; mov $3, %ecx; cld; rep stosl; nop; ret")
CODE(write_then_ss, "mov %ss, %ecx; mov watched, %ss; nop; nop; ret")
CODE(port_in, "in $0x80, %al; nop; ret")
CODE(port_out, "mov $0x81, %edx; out %al, %dx; nop; ret")
CODE(port_wide, "mov $0x7f, %edx; in %dx, %ax; nop; ret")
CODE(read_dr7, "mov %dr7, %eax; ret")
CODE(read_dr4, ".byte 0x0f, 0x21, 0xe0; ret")
CODE(icebp, "nop; .byte 0xf1; nop; ret")

static void expect_traps(const char *name, void (*code)(void), int count, u32 first, u32 status) {
  dr(6, 0);
  counting = 1;
  u32 vector = try_code(code);
  counting = 0;
  check(name, vector, NOTHING);
  check(name, (u32)trap_count, (u32)count);
  if (count == 0) return;
  check(name, traps[0].eip - (u32)code, first);
  check(name, traps[0].dr6 & 0xe00f, status);
}

static void steps(void) {
  /* TF takes effect behind the instruction after POPF: 9 bytes of POPF, a NOP. */
  expect_traps("steps", step_nops, 5, 10, 0x4000);
  check("the second step", traps[1].eip - (u32)step_nops, 11);
  check("the step of PUSHF", traps[2].eip - (u32)step_nops, 12);
  check("the step of POPF itself", traps[4].eip - (u32)step_nops, 20);
  expect_traps("REP steps through each element", step_repeat, 6, 22, 0x4000);
  check("the second element", traps[1].eip - (u32)step_repeat, 22);
  check("the last element", traps[2].eip - (u32)step_repeat, 24);
  expect_traps("MOV SS holds the trap back", step_ss, 5, 11, 0x4000);
  check("until the next instruction is over", traps[1].eip - (u32)step_ss, 14);
  idt[0x60] = gate(8, (u32)just_back, 0x8e);
  expect_traps("INT is not stepped into", step_interrupt, 4, 12, 0x4000);
  expect_traps("a jump", step_jump, 5, 12, 0x4000);
  expect_traps("POPF that ends it", step_popf_off, 1, 11, 0x4000);
  dr(6, 0);
  counting = 1;
  check("a fault takes the step's place", try_code(step_fault), 6);
  check("and there was no trap", (u32)trap_count, 0);
  check("DR6 says nothing", dr6() & 0x4000, 0);
  counting = 0;
  if (!left_out_by_tcg("ICEBP")) expect_traps("ICEBP", icebp, 1, 2, 0);
}

static void instruction_breakpoints(void) {
  dr(0, (u32)break_here + 1);
  dr(7, control(0, EXECUTE, 1));
  expect_traps("an instruction breakpoint", break_here, 1, 1, 1);
  check("is a fault, with RF clear in its frame", traps[0].eflags & 0x10000, 0);
  dr(7, 0x400);
  expect_traps("disabled", break_here, 0, 0, 0);
  dr(0, (u32)break_repeat + 13);
  dr(7, control(0, EXECUTE, 1));
  expect_traps("at REP only once", break_repeat, 1, 13, 1);
  dr(0, (u32)break_here);
  dr(1, (u32)break_here);
  dr(7, control(0, EXECUTE, 1) | control(1, EXECUTE, 1));
  expect_traps("two at once", break_here, 1, 0, 3);
  dr(7, 0x400);
}

static void data_breakpoints(void) {
  dr(0, (u32)watched);
  dr(7, control(0, WRITE, 4));
  expect_traps("a write", write_watched, 1, 10, 1);
  expect_traps("a read is no write", read_watched, 0, 0, 0);
  expect_traps("a write that overlaps", write_over, 1, 10, 1);
  expect_traps("beside it", read_beside, 0, 0, 0);
  expect_traps("INC", increment_watched, 1, 6, 1);
  expect_traps("PUSH", push_watched, 1, 8, 1);
  expect_traps("REP STOS behind the element", string_watched, 1, 11, 1);
  dr(7, control(0, ACCESS, 4));
  expect_traps("an access by reading", read_watched, 1, 5, 1);
  expect_traps("and by writing", write_watched, 1, 10, 1);
  dr(7, control(0, ACCESS, 1));
  expect_traps("one byte of it", read_watched, 1, 5, 1);
  dr(7, 0x400);
  watched[0] = 0x10;
  dr(7, control(0, ACCESS, 1));
  expect_traps("MOV SS from there, behind the next instruction", write_then_ss, 1, 9, 1);
  dr(7, 0x400);
  expect_traps("disabled again", write_watched, 0, 0, 0);
}

static void port_breakpoints(void) {
  u32 cr4;
  __asm__ volatile("mov %%cr4, %0" : "=r"(cr4));
  __asm__ volatile("mov %0, %%cr4" : : "r"(cr4 | 8));
  dr(0, 0x80);
  dr(7, control(0, PORT, 2));
  expect_traps("IN", port_in, 1, 2, 1);
  expect_traps("OUT to the second", port_out, 1, 6, 1);
  expect_traps("IN of a word that reaches it", port_wide, 1, 7, 1);
  dr(0, 0x90);
  expect_traps("another port", port_in, 0, 0, 0);
  dr(7, 0x400);
  check("DR4 with CR4.DE", try_code(read_dr4), 6);
  __asm__ volatile("mov %0, %%cr4" : : "r"(cr4));
  check("DR4 without it", try_code(read_dr4), NOTHING);
}

static void general_detect(void) {
  dr(6, 0);
  dr(7, 0x2400);
  check("general detect", try_code(read_dr7), 1);
  check("general detect is a fault", fault.eip, (u32)read_dr7);
  check("general detect says so", fault.dr6 & 0x2000, 0x2000);
  check("general detect is off then", dr7() & 0x2000, 0);
  dr(7, 0x400);
  dr(6, 0);
}

/* BTF: a step ends at the next branch. */
CODE(step_branch, "mov $0x1d9, %ecx; mov $2, %eax; xor %edx, %edx; wrmsr\n" TF_ON "nop; nop; jmp 1f; nop; 1: nop\n" TF_OFF "ret")
static void branch_steps(void) {
  if (left_out_by_tcg("steps to the next branch (BTF)")) return;
  /* 14 bytes, 9 of POPF, two NOPs, a jump over one; after the trap BTF is off, and steps are single again. */
  expect_traps("a step to the next branch", step_branch, 5, 28, 0x4000);
}

void test_debug(void) {
  steps();
  instruction_breakpoints();
  data_breakpoints();
  port_breakpoints();
  general_detect();
  branch_steps();
  reset_tables();
}

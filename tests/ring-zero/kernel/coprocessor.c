/* The x87's exceptions as PCs had them first: with CR0.NE clear they are IRQ 13, and a write to port 0xF0 lets the processor go on. */
#include "kernel.h"

enum { NE = 0x20, EM = 4, TS = 8, MASTER = 0x20, SLAVE = 0xa0, BASE = 0x60, VECTOR = BASE + 8 + 5 };

u32 error_count, error_eip, error_status, ignored_status;
static u16 divide_unmasked = 0x37b, all_masked = 0x37f;
void error_handler(void);
void ignoring_handler(void);
/* Clears the interrupt, then the exception; the second one looks at what it has first, by an instruction that waits. */
__asm__(
    ".text\n.globl error_handler\nerror_handler: push %eax\n"
    "incl error_count; mov 4(%esp), %eax; mov %eax, error_eip\n"
    "fnstsw %ax; mov %eax, error_status; out %al, $0xf0; fnclex\n"
    "mov $0x20, %al; out %al, $0xa0; out %al, $0x20; pop %eax; iret\n"
    ".globl ignoring_handler\nignoring_handler: push %eax\n"
    "incl error_count; out %al, $0xf0; fwait; fld1; fstp %st(0); fnstsw %ax; mov %eax, ignored_status; fnclex\n"
    "mov $0x20, %al; out %al, $0xa0; out %al, $0x20; pop %eax; iret\n");

static void start_controllers(void) {
  out8(MASTER, 0x11), out8(MASTER + 1, BASE), out8(MASTER + 1, 4), out8(MASTER + 1, 1);
  out8(SLAVE, 0x11), out8(SLAVE + 1, BASE + 8), out8(SLAVE + 1, 2), out8(SLAVE + 1, 1);
  out8(MASTER + 1, 0xfb), out8(SLAVE + 1, 0xdf);
}
static void divide_by_zero(void) {
  __asm__ volatile("fninit; fldcw %0; fld1; fldz; fdivrp %%st, %%st(1)" : : "m"(divide_unmasked));
}

CODE(wait_for_error, "sti; nop; fwait; nop; cli; ret")
CODE(load_with_error, "sti; nop; fld1; nop; cli; ret")
CODE(control_with_error, "sti; nop; fnstsw %ax; nop; cli; ret")

static void comes(const char *name, void (*code)(void), u32 offset) {
  error_count = 0;
  divide_by_zero();
  check(name, try_code(code), NOTHING);
  check(name, error_count, 1);
  check("with what was raised", error_status & 0x84, 0x84);
  check("before the instruction that waits", error_eip - (u32)code, offset);
}

void test_coprocessor(void) {
  if (left_out_by_tcg("x87 exceptions by IRQ 13, at which it ends itself")) return;
  u32 cr0 = read_cr0();
  write_cr0(cr0 & ~(u32)(NE | EM | TS));
  start_controllers();
  /* The local APIC, on, takes them at LINT0. */
  *(volatile u32 *)0xfee000f0 = 0x1ff;
  *(volatile u32 *)0xfee00350 = 0x700;
  idt[VECTOR] = gate(8, (u32)error_handler, 0x8e);
  comes("FWAIT", wait_for_error, 2);
  comes("FLD1", load_with_error, 2);
  comes("again", wait_for_error, 2);
  error_count = 0;
  divide_by_zero();
  check("FNSTSW does not wait", try_code(control_with_error), NOTHING);
  check("so there is no interrupt", error_count, 0);
  __asm__ volatile("fnclex; fldcw %0" : : "m"(all_masked));
  check("nor without an exception", try_code(wait_for_error), NOTHING);
  check("of which there is none", error_count, 0);
  idt[VECTOR] = gate(8, (u32)ignoring_handler, 0x8e);
  divide_by_zero();
  check("with IGNNE", try_code(wait_for_error), NOTHING);
  check("one interrupt", error_count, 1);
  check("and the exception still there", ignored_status & 0x84, 0x84);
  idt[VECTOR] = gate(8, (u32)error_handler, 0x8e);
  comes("the next one is new", wait_for_error, 2);
  write_cr0(read_cr0() | NE);
  divide_by_zero();
  check("with CR0.NE it is #MF", try_code(wait_for_error), 16);
  __asm__ volatile("fninit; cli");
  out8(MASTER + 1, 0xff), out8(SLAVE + 1, 0xff);
  *(volatile u32 *)0xfee000f0 = 0xff;
  write_cr0(cr0);
  reset_tables();
}

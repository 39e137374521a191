/* Exceptions of 32-bit protected mode with their error codes. */
#include "kernel.h"

CODE(divide_by_zero, "xor %ecx, %ecx; div %ecx; ret")
CODE(divide_overflow, "mov $1, %edx; mov $1, %ecx; div %ecx; ret")
CODE(signed_divide_overflow, "mov $0x80000000, %eax; cdq; mov $-1, %ecx; idiv %ecx; ret")
CODE(breakpoint, "nop; int3; ret")
CODE(overflow, "mov $0x7fffffff, %eax; inc %eax; into; ret")
CODE(no_overflow, "xor %eax, %eax; into; ret")
CODE(bound_range, "push $9; push $5; mov $10, %eax; bound %eax, (%esp); ret")
CODE(bound_within, "push $9; push $5; mov $9, %eax; bound %eax, (%esp); add $8, %esp; ret")
CODE(undefined, "ud2")
CODE(lock_register, ".byte 0xf0, 0x01, 0xc0; ret")
CODE(lock_load, ".byte 0xf0, 0x8b, 0x00; ret")
CODE(software_interrupt, "int $0x30; ret")
CODE(beyond_table, "int $0x31; ret")

void test_exceptions(void) {
  expect_fault("DIV by zero", divide_by_zero, 0, 0, 2);
  expect_fault("DIV overflow", divide_overflow, 0, 0, 10);
  expect_fault("IDIV overflow", signed_divide_overflow, 0, 0, 11);
  expect_fault("INT3 is a trap", breakpoint, 3, 0, 2);
  expect_fault("INTO is a trap", overflow, 4, 0, 7);
  expect_nothing("INTO without overflow", no_overflow);
  expect_fault("BOUND is a fault", bound_range, 5, 0, 9);
  expect_nothing("BOUND within", bound_within);
  expect_fault("UD2", undefined, 6, 0, 0);
  expect_fault("LOCK with a register", lock_register, 6, 0, 0);
  if (!left_out_by_tcg("LOCK with MOV")) expect_fault("LOCK with MOV", lock_load, 6, 0, 0);
  expect_fault("INT 0x30", software_interrupt, 0x30, 0, 2);
  idt[0x31] = 0;
  expect_fault("INT through an empty gate", beyond_table, 13, 0x31 * 8 + 2, 0);
  idt[0x31] = gate(8, 0, 0x0e);
  expect_fault("INT through a gate that is not present", beyond_table, 11, 0x31 * 8 + 2, 0);
  reset_tables();
}

/* Prefixes in combination, the limit of 15 bytes, and jumps into the middle of instructions. */
#include "kernel.h"

u32 prefix_result;

CODE(fifteen, ".byte 0x66,0x66,0x66,0x66,0x66,0x66,0x66,0x66,0x66,0x66,0x66,0x66,0x66,0x66, 0x90; ret")
CODE(sixteen, ".byte 0x66,0x66,0x66,0x66,0x66,0x66,0x66,0x66,0x66,0x66,0x66,0x66,0x66,0x66,0x66, 0x90; ret")
CODE(fifteen_with_operand, ".byte 0x2e,0x2e,0x2e,0x2e,0x3e,0xc7,0x05; .long prefix_result; .long 0x77; ret")
CODE(sixteen_with_operand, ".byte 0x2e,0x2e,0x2e,0x2e,0x2e,0x3e,0xc7,0x05; .long prefix_result; .long 0x78; ret")
CODE(last_segment_counts, "xor %eax, %eax; mov %eax, %fs; .byte 0x64,0x3e,0xa1; .long prefix_result; mov %eax, prefix_result; ret")
CODE(both_sizes, "mov $0xffff0000, %ebx; movw $5, prefix_result; .byte 0x66,0x67,0xb8,0x34,0x12; mov %ax, prefix_result; ret")
CODE(repeat_ignored, ".byte 0xf3,0x40; .byte 0xf2,0x48; ret")
CODE(lock_before_segment, ".byte 0xf0,0x3e,0xff,0x05; .long prefix_result; ret")
CODE(lock_twice, ".byte 0xf0,0xf0,0xff,0x05; .long prefix_result; ret")
CODE(lock_compare, ".byte 0xf0,0x39,0x05; .long prefix_result; ret")
CODE(lock_nop, ".byte 0xf0,0x90; ret")
CODE(lock_lea, ".byte 0xf0,0x8d,0x00; ret")
CODE(lea_register, ".byte 0x8d,0xc0; ret")
CODE(operand_on_ret, "push $0; pop %eax; mov $1f, %eax; jmp *%eax; 1: ret")
CODE(rep_ret, ".byte 0xf3,0xc3")
CODE(address_on_loop, "mov $0x10001, %ecx; 1: .byte 0x67; loop 1b; mov %ecx, prefix_result; ret")
CODE(address_on_jcxz, "mov $0x10000, %ecx; .byte 0x67,0xe3,0x03; xor %eax, %eax; ret; movl $9, prefix_result; ret")
/* MOV EAX, imm32 whose immediate is INC ECX; RET: entered twice. */
CODE(into_the_middle, "xor %ecx, %ecx; call 1f; mov %ecx, prefix_result; ret\n1: .byte 0xb8; 2: inc %ecx; ret; nop; nop; cmp $0, %ecx; jne 3f; jmp 2b; 3: ret")
CODE(undefined_group, ".byte 0xfe,0xf8")
CODE(undefined_ff7, ".byte 0xff,0xf8")
CODE(undefined_c6, ".byte 0xc6,0x48,0x00,0x00")
CODE(undefined_0f, ".byte 0x0f,0x04")
CODE(undefined_0fff, ".byte 0x0f,0xff,0xc0")
CODE(undefined_pop, ".byte 0x8f,0xc8")

/* An instruction of which the page's end cuts prefixes from opcode; paging is off, so the bytes just go on. */
static u8 pages[8192] __attribute__((aligned(4096)));

static void undefined(void) {
  expect_fault("LOCK CMP", lock_compare, 6, 0, 0);
  expect_fault("LOCK NOP", lock_nop, 6, 0, 0);
  expect_fault("LOCK LEA", lock_lea, 6, 0, 0);
  expect_fault("FE /7", undefined_group, 6, 0, 0);
  expect_fault("FF /7", undefined_ff7, 6, 0, 0);
  expect_fault("C6 /1", undefined_c6, 6, 0, 0);
  expect_fault("0F 04", undefined_0f, 6, 0, 0);
  expect_fault("0F FF", undefined_0fff, 6, 0, 0);
  expect_fault("8F /1", undefined_pop, 6, 0, 0);
}

void test_prefixes(void) {
  expect_nothing("15 bytes", fifteen);
  expect_fault("16 bytes", sixteen, 13, 0, 0);
  expect_nothing("15 bytes with operands", fifteen_with_operand);
  check("are executed", prefix_result, 0x77);
  expect_fault("16 bytes with operands", sixteen_with_operand, 13, 0, 0);
  check("are not", prefix_result, 0x77);
  expect_nothing("of two segments the last counts", last_segment_counts);
  check("and reads there", prefix_result, 0x77);
  expect_nothing("66 and 67", both_sizes);
  check("a 16-bit immediate", prefix_result & 0xffff, 0x1234);
  expect_nothing("REP before what does not repeat", repeat_ignored);
  prefix_result = 5;
  expect_nothing("LOCK before a segment", lock_before_segment);
  expect_nothing("LOCK twice", lock_twice);
  check("both counted", prefix_result, 7);
  expect_fault("LEA of a register", lea_register, 6, 0, 0);
  expect_nothing("an indirect jump", operand_on_ret);
  expect_nothing("REP RET", rep_ret);
  expect_nothing("LOOP counts CX with 67", address_on_loop);
  check("and leaves the upper half", prefix_result, 0x10000);
  expect_nothing("JCXZ with 67", address_on_jcxz);
  check("looks at CX", prefix_result, 9);
  expect_nothing("a jump into the middle of an instruction", into_the_middle);
  check("executes what begins there", prefix_result, 1);
  if (!left_out_by_tcg("undefined forms and LOCK where it may not stand")) undefined();
  /* Every split of a long instruction over a page's end. */
  for (u32 cut = 1; cut < 11; cut++) {
    static const u8 code[] = {0x66, 0x3e, 0x66, 0xf0, 0x81, 0x05, 0, 0, 0, 0, 0x34, 0x12, 0xc3};
    u8 *at = pages + 4096 - cut;
    for (u32 index = 0; index < sizeof code; index++) at[index] = code[index];
    *(u32 *)(at + 6) = (u32)&prefix_result;
    prefix_result = 1;
    expect_nothing("an instruction over a page's end", (void (*)(void))at);
    check("adds once", prefix_result, 0x1235);
  }
}

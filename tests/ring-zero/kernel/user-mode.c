/* What user mode may not do by bits of CR0 and CR4: alignment, UMIP, the time-stamp counter. */
#include "kernel.h"

u32 operand[8] __attribute__((aligned(16)));

CODE(word_odd, "mov operand+1, %ax; int $0x40")
CODE(double_even, "mov operand+2, %eax; int $0x40")
CODE(double_aligned, "mov operand+4, %eax; int $0x40")
CODE(byte_odd, "mov operand+1, %al; int $0x40")
CODE(write_odd, "mov %eax, operand+1; int $0x40")
CODE(add_odd, "add %eax, operand+1; int $0x40")
CODE(push_odd, "dec %esp; push %eax; int $0x40")
CODE(string_odd, "mov $operand+1, %esi; mov $operand+8, %edi; cld; movsw; int $0x40")
CODE(far_even, "les operand+2, %eax; int $0x40")
CODE(user_sgdt, "sgdt operand; int $0x40")
CODE(user_sidt, "sidt operand; int $0x40")
CODE(user_sldt, "sldt %ax; int $0x40")
CODE(user_str, "str %ax; int $0x40")
CODE(user_smsw, "smsw %ax; int $0x40")
CODE(user_rdtsc, "rdtsc; int $0x40")
CODE(user_rdpmc, "xor %ecx, %ecx; rdpmc; int $0x40")
CODE(user_clts, "clts")
CODE(user_invlpg, "invlpg 0")
CODE(user_ltr, "ltr %ax")
CODE(user_wbinvd, "wbinvd")
CODE(user_ac_by_popf, "pushf; orl $0x40000, (%esp); popf; mov operand+1, %eax; int $0x40")

static void alignment(void) {
  user_flags = 0x40002;
  expect_user("AC without CR0.AM", double_even, 0x40, 0, 7);
  write_cr0(read_cr0() | 0x40000);
  expect_user("a word at an odd address", word_odd, 17, 0, 0);
  expect_user("a double word at an even address", double_even, 17, 0, 0);
  expect_user("aligned", double_aligned, 0x40, 0, 7);
  expect_user("a byte", byte_odd, 0x40, 0, 7);
  expect_user("a write", write_odd, 17, 0, 0);
  expect_user("ADD to memory", add_odd, 17, 0, 0);
  expect_user("PUSH", push_odd, 17, 0, 1);
  expect_user("a string", string_odd, 17, 0, 11);
  user_flags = 2;
  expect_user("without AC", double_even, 0x40, 0, 7);
  expect_user("AC set by user mode itself", user_ac_by_popf, 17, 0, 9);
  check("level 0 is not checked", try_code(double_even), 0x40);
  write_cr0(read_cr0() & ~0x40000u);
}

void test_user_mode(void) {
  build_levels();
  if (!left_out_by_tcg("alignment checks")) alignment();
  expect_user("SGDT without UMIP", user_sgdt, 0x40, 0, 9);
  u32 cr4 = read_cr4();
  write_cr4(cr4 | 0x800);
  expect_user("SGDT", user_sgdt, 13, 0, 0);
  expect_user("SIDT", user_sidt, 13, 0, 0);
  expect_user("SLDT", user_sldt, 13, 0, 0);
  expect_user("STR", user_str, 13, 0, 0);
  expect_user("SMSW", user_smsw, 13, 0, 0);
  write_cr4(cr4);
  expect_user("RDTSC", user_rdtsc, 0x40, 0, 4);
  write_cr4(cr4 | 4);
  expect_user("RDTSC with TSD", user_rdtsc, 13, 0, 0);
  write_cr4(cr4);
  expect_user("RDPMC", user_rdpmc, 13, 0, 2);
  expect_user("CLTS", user_clts, 13, 0, 0);
  expect_user("INVLPG", user_invlpg, 13, 0, 0);
  expect_user("LTR", user_ltr, 13, 0, 0);
  expect_user("WBINVD", user_wbinvd, 13, 0, 0);
  drop_levels();
}

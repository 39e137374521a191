/* Real mode from protected mode and back: what real-mode.S finds there. */
#include "kernel.h"

extern const u8 real_start[], real_end[];
extern const u16 real_vectors[];
void real_call(void);

void test_real_mode(void) {
  copy(REAL_CODE, real_start, (u32)(real_end - real_start));
  const u16 *vector = real_vectors;
  for (u32 entry = 0; entry < 256; entry++) *(volatile u32 *)(entry * 4) = 0;
  for (; *vector != 0xffff; vector += 2) *(volatile u32 *)(*vector * 4u) = vector[1];
  gdt[CODE_FOR_REAL / 8] = descriptor(0, 0xffff, 0x9b, 0);
  gdt[DATA_FOR_REAL / 8] = descriptor(0, 0xffff, 0x93, 0);
  int limits = !left_out_by_tcg("limits of real mode");
  expect_nothing("real mode and back", real_call);
  const volatile u16 *words = (const volatile u16 *)0x7000;
  const volatile u32 *header = (const volatile u32 *)0x100000;
  check("flags behind INT", words[0] & 0x201, 0x201);
  check("INT through the table", words[1], 6);
  check("segment bases", words[2], 0xbeef);
  check("1 MiB from segment ffff", words[3] | (u32)words[4] << 16, *header);
  check("a far call", words[5], 0x07ff);
  check("and return", words[6], 0x7ff0);
  check("a call with 32-bit operands", words[7], 0x7fec);
  if (limits) check("an operand over 64 KiB", words[8], 13);
  if (limits) check("on the stack", words[9], 12);
  check("division by zero", words[10], 0x100);
  check("at its own address", words[11], 0);
  check("LAR", words[12], 6);
  check("addresses wrap", words[13], 0x4711);
  check("a push at SP 0", words[14], 0xfffe);
  check("goes to the segment's end", words[15], 0x5555);
  check("PUSHA: AX", words[16], 1);
  check("PUSHA: CX", words[17], 2);
  check("PUSHA: SP", words[18], 0x7ff0);
  check("LODS with 32-bit addresses", words[19], words[0]);
  check("unreal mode reads", words[20] | (u32)words[21] << 16, *header);
  check("unreal mode writes", words[22] | (u32)words[23] << 16, 0xfeedface);
  if (limits) check("another segment keeps its limit", words[24], 13);
  check("a step", words[25], 0x201);
  check("IRET", words[26], 0x1e7);
  check("LOOP with CX", words[27], 3);
  check("LOOP with ECX", words[28], 5);
  check("SMSW", words[29] & 0x11, 0x10);
  gdt[CODE_FOR_REAL / 8] = 0;
  gdt[DATA_FOR_REAL / 8] = 0;
}

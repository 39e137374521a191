/* Segments of protected mode: what loading them demands, limits and types at each access, 16-bit addresses and operands. */
#include "kernel.h"

/* Entries of the table that the parts use for their own: selectors 0x20 and on. */
enum { A = 4 };

u8 area[0x12000] __attribute__((aligned(4096)));
u32 result;

CODE(load_a_es, "mov $0x20, %eax; mov %eax, %es; ret")
CODE(load_a_rpl3, "mov $0x23, %eax; mov %eax, %es; ret")
CODE(load_a_ss, "mov $0x20, %eax; mov %eax, %ss; mov $0x10, %eax; mov %eax, %ss; ret")
CODE(load_null_ss, "xor %eax, %eax; mov %eax, %ss; ret")
CODE(load_cs, ".byte 0x8e, 0xc8; ret")
CODE(load_beyond, "mov $0x400, %eax; mov %eax, %fs; ret")
CODE(load_ldt, "mov $0x0c, %eax; mov %eax, %gs; ret")
CODE(null_read, "xor %eax, %eax; mov %eax, %fs; mov %fs:0, %eax; ret")
CODE(null_write, "xor %eax, %eax; mov %eax, %gs; mov %eax, %gs:0; ret")
CODE(far_load, "les far_pointer, %eax; ret")
__asm__(".data\nfar_pointer: .long 0x12345678\n.word 0x20\n.text\n");

/* FS is segment A; EAX an offset; accesses of 1, 2, 4 bytes. */
CODE(read1, "mov $0x20, %ecx; mov %ecx, %fs; mov offset_of, %eax; mov %fs:(%eax), %dl; ret")
CODE(read2, "mov $0x20, %ecx; mov %ecx, %fs; mov offset_of, %eax; mov %fs:(%eax), %dx; ret")
CODE(read4, "mov $0x20, %ecx; mov %ecx, %fs; mov offset_of, %eax; mov %fs:(%eax), %edx; ret")
CODE(write1, "mov $0x20, %ecx; mov %ecx, %fs; mov offset_of, %eax; mov %dl, %fs:(%eax); ret")
CODE(write4, "mov $0x20, %ecx; mov %ecx, %fs; mov offset_of, %eax; mov %edx, %fs:(%eax); ret")
CODE(modify4, "mov $0x20, %ecx; mov %ecx, %fs; mov offset_of, %eax; incl %fs:(%eax); ret")
CODE(read16, "mov $0x20, %ecx; mov %ecx, %fs; mov offset_of, %ebx; add $0x90000, %ebx; addr16 mov %fs:(%bx), %edx; mov %edx, result; ret")
CODE(test_bit, "mov $0x20, %ecx; mov %ecx, %fs; mov offset_of, %eax; xor %ebx, %ebx; btl %eax, %fs:(%ebx); ret")
CODE(string_store, "mov $0x20, %ecx; mov %ecx, %es; mov offset_of, %edi; mov $4, %ecx; rep stosb; ret")
CODE(string_load, "mov $0x20, %ecx; mov %ecx, %fs; mov offset_of, %esi; fs lodsl; ret")
CODE(exchange, "mov $0x20, %ecx; mov %ecx, %fs; mov offset_of, %eax; lock cmpxchg %edx, %fs:(%eax); ret")
CODE(load_effective, "mov offset_of, %ebx; add $0x12340000, %ebx; mov $0x10, %esi; .byte 0x67; lea 4(%bx,%si), %eax; mov %eax, result; ret")
__asm__(".data\n.globl offset_of\noffset_of: .long 0\n.text\n");
extern u32 offset_of;

/* SS is segment A, ESP the offset. */
CODE(push_a, "mov %esp, %ebp; mov $0x20, %ecx; mov offset_of, %eax; mov %ecx, %ss; mov %eax, %esp; push %eax; mov $0x10, %ecx; mov %ecx, %ss; mov %ebp, %esp; ret")
CODE(pop_a, "mov %esp, %ebp; mov $0x20, %ecx; mov offset_of, %eax; mov %ecx, %ss; mov %eax, %esp; pop %eax; mov $0x10, %ecx; mov %ecx, %ss; mov %ebp, %esp; ret")
CODE(push_word_wraps,
     "mov %esp, %ebp; mov $0x20, %ecx; mov %ecx, %ss; mov $0xabcd0000, %esp; push $0x1234; mov %esp, result; mov $0x10, %ecx; mov %ecx, %ss;"
     "mov %ebp, %esp; ret")
CODE(through_ebp, "mov %ebp, %edx; mov $0x20, %ecx; mov offset_of, %ebp; mov %ecx, %ss; mov (%ebp), %eax; mov $0x10, %ecx; mov %ecx, %ss; mov %edx, %ebp; ret")

static void set_a(u64 value) { gdt[A] = value; }

static void loads(void) {
  set_a(descriptor((u32)area, 0xfff, 0x93, 4));
  expect_nothing("ES takes data", load_a_es);
  expect_nothing("SS takes writable data", load_a_ss);
  set_a(descriptor((u32)area, 0xfff, 0x92, 4));
  expect_nothing("a segment that was not accessed", load_a_es);
  check("is accessed then", (u32)(gdt[A] >> 40) & 0xff, 0x93);
  set_a(descriptor((u32)area, 0xfff, 0x13, 4));
  expect_fault("ES of an absent segment", load_a_es, 11, 0x20, 5);
  expect_fault("SS of an absent segment", load_a_ss, 12, 0x20, 5);
  set_a(descriptor((u32)area, 0xfff, 0x91, 4));
  expect_fault("SS of a segment that cannot be written", load_a_ss, 13, 0x20, 5);
  expect_nothing("ES of a segment that cannot be written", load_a_es);
  set_a(descriptor((u32)area, 0xfff, 0x99, 4));
  expect_fault("ES of code that cannot be read", load_a_es, 13, 0x20, 5);
  set_a(descriptor((u32)area, 0xfff, 0x9b, 4));
  expect_nothing("ES of code that can be read", load_a_es);
  expect_fault("SS of code", load_a_ss, 13, 0x20, 5);
  set_a(descriptor((u32)area, 0xfff, 0xf3, 4));
  expect_fault("SS of another level", load_a_ss, 13, 0x20, 5);
  set_a(descriptor((u32)area, 0xfff, 0x93, 4));
  expect_fault("RPL above DPL", load_a_rpl3, 13, 0x20, 5);
  set_a(descriptor((u32)area, 0xfff, 0x9f, 4));
  expect_nothing("conforming code with any RPL", load_a_rpl3);
  set_a(descriptor((u32)area, 0xfff, 0x82, 0));
  expect_fault("ES of a system descriptor", load_a_es, 13, 0x20, 5);
  expect_fault("a null SS", load_null_ss, 13, 0, 2);
  expect_fault("MOV to CS", load_cs, 6, 0, 0);
  expect_fault("a selector beyond the table", load_beyond, 13, 0x400, 5);
  expect_fault("a selector of no LDT", load_ldt, 13, 0x0c, 5);
  set_a(descriptor((u32)area, 0xfff, 0x13, 4));
  expect_fault("LES of an absent segment", far_load, 11, 0x20, 0);
}

static void at(u32 value) { offset_of = value; }

static void limits(void) {
  expect_fault("reading through a null segment", null_read, 13, 0, 4);
  expect_fault("writing through a null segment", null_write, 13, 0, 4);
  set_a(descriptor((u32)area, 0xfff, 0x93, 4));
  at(0xfff), expect_nothing("the last byte", read1);
  at(0x1000), expect_fault("one byte behind the limit", read1, 13, 0, 12);
  at(0xffe), expect_nothing("the last word", read2);
  at(0xfff), expect_fault("a word over the limit", read2, 13, 0, 12);
  at(0xffc), expect_nothing("the last double word", read4);
  at(0xffd), expect_fault("a double word over the limit", read4, 13, 0, 12);
  at(0xffd), expect_fault("a write over the limit", write4, 13, 0, 12);
  at(0xffffffff), expect_fault("the highest offset", read1, 13, 0, 12);
  at(0xfffffffe), expect_fault("an operand over the highest offset", read4, 13, 0, 12);
  at(0xffd), expect_fault("INC over the limit", modify4, 13, 0, 12);
  at(0xffd), expect_fault("LOCK CMPXCHG over the limit", exchange, 13, 0, 12);
  at(0x8000), expect_fault("a bit behind the limit", test_bit, 13, 0, 14);
  at(0x7fff), expect_nothing("the last bit", test_bit);
  at(0xffc), expect_nothing("STOS to the limit", string_store);
  at(0xffe), expect_fault("STOS over the limit", string_store, 13, 0, 18);
  at(0xffd), expect_fault("LODS over the limit", string_load, 13, 0, 13);
  set_a(descriptor((u32)area, 1, 0x93, 0xc));
  at(0x1ffc), expect_nothing("granularity of pages", read4);
  at(0x1ffd), expect_fault("over two pages", read4, 13, 0, 12);
  /* Expand-down: offsets above the limit, up to 64 KiB or 4 GiB. */
  set_a(descriptor((u32)area, 0xfff, 0x97, 0));
  at(0xfff), expect_fault("expand-down: at the limit", read1, 13, 0, 12);
  at(0x1000), expect_nothing("expand-down: above the limit", read4);
  at(0xffe), expect_fault("expand-down: over the limit from below", read4, 13, 0, 12);
  at(0xffff), expect_nothing("expand-down of 16 bits: the last byte", read1);
  at(0xfffe), expect_fault("expand-down of 16 bits: over 64 KiB", read4, 13, 0, 12);
  set_a(descriptor((u32)area, 0xfff, 0x97, 4));
  at(0x11000), expect_nothing("expand-down of 32 bits goes on", read4);
  set_a(descriptor((u32)area, 0xfff, 0x95, 4));
  at(0x2000), expect_nothing("expand-down that cannot be written: read", read1);
  at(0x2000), expect_fault("expand-down that cannot be written: write", write1, 13, 0, 12);
  set_a(descriptor((u32)area, 0xfff, 0x91, 4));
  at(0), expect_fault("a write to read-only data", write1, 13, 0, 12);
  at(0), expect_fault("INC of read-only data", modify4, 13, 0, 12);
  set_a(descriptor((u32)area, 0xfff, 0x9b, 4));
  at(0), expect_nothing("reading code", read4);
  at(0), expect_fault("writing code", write1, 13, 0, 12);
  set_a(descriptor((u32)area, 0xfffff, 0x91, 0xc));
  at(0), expect_fault("a write to flat read-only data", write1, 13, 0, 12);
  /* From 0, so that the handler finds its frame where the segment has it. */
  set_a(descriptor(0, 0x1ff, 0x93, 0xc));
  at(0x1ffffc), expect_nothing("the end of the stack segment through EBP", through_ebp);
  at(0x1ffffd), expect_fault("over the end of the stack segment through EBP", through_ebp, 12, 0, 15);
  set_a(descriptor((u32)area, 0xffff, 0x93, 0));
  at(0xfffd), expect_fault("a 16-bit operand address over 64 KiB", read16, 13, 0, 19);
}

static void stacks(void) {
  set_a(descriptor((u32)area, 0xfff, 0x93, 4));
  at(0x1000), expect_nothing("PUSH at the top", push_a);
  at(4), expect_nothing("PUSH at the bottom", push_a);
  /* A 16-bit stack keeps the upper half of ESP. */
  set_a(descriptor((u32)area, 0xffff, 0x93, 0));
  expect_nothing("PUSH on a 16-bit stack", push_word_wraps);
  check("wraps within 64 KiB", result, 0xabcdfffc);
  check("and writes there", *(u32 *)(area + 0xfffc), 0x1234);
}

static void narrow_addresses(void) {
  set_a(descriptor((u32)area, 0xffff, 0x93, 0));
  *(u32 *)(area + 0x4320) = 0xcafe;
  at(0x4320), expect_nothing("a 16-bit address", read16);
  check("is that of BX alone", result, 0xcafe);
  at(0xfff0), expect_nothing("LEA with a 16-bit address", load_effective);
  check("wraps", result, 0x0004);
}

void test_segments(void) {
  loads();
  if (!left_out_by_tcg("limits and types at accesses")) limits();
  stacks();
  narrow_addresses();
  gdt[A] = 0;
}

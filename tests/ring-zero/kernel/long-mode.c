/* Long mode: what long-mode.S finds there. */
#include "kernel.h"

enum { P = 1, W = 2, U = 4, LARGE = 0x80 };
#define NX ((u64)1 << 63)

extern u64 long_tables[512], long_tables_b[512], long_leaf_b[512], long_idt[512], long_words[512];
extern u32 long_left_out, long_handlers[], long_gate_address, long_page_a, long_page_b;
void long_call(void);

static u64 upper[2][512] __attribute__((aligned(4096)));
static u64 low[512] __attribute__((aligned(4096)));
static u64 test_directory[2][512] __attribute__((aligned(4096)));
static u64 leaf_a[512] __attribute__((aligned(4096)));
static u64 page_a[512] __attribute__((aligned(4096)));
static u64 page_b[512] __attribute__((aligned(4096)));
static u64 page_data[512] __attribute__((aligned(4096)));
static u32 tss[26];
static u8 interrupt_stack[4096] __attribute__((aligned(16)));
static u8 level_stack[4096] __attribute__((aligned(16)));
static u32 next_word;

static u64 word(void) { return long_words[next_word++]; }
static void expect(const char *name, u64 value) {
  u64 got = word();
  check(name, (u32)got, (u32)value);
  check(name, (u32)(got >> 32), (u32)(value >> 32));
}
static void ends(const char *name, u32 vector, u32 error, u32 offset) {
  expect(name, vector);
  expect(name, error);
  expect(name, offset);
}

static void build(void) {
  /* The first 4 MiB as they are, for level 3 too; TEST at 1 GiB is another page in the second space; a page of data 2 MiB further. */
  for (u32 space = 0; space < 2; space++) {
    upper[space][0] = (u32)low | P | W | U;
    upper[space][1] = (u32)test_directory[space] | P | W;
    test_directory[space][1] = (u32)leaf_a | P | W;
  }
  low[0] = P | W | U | LARGE;
  low[1] = 0x200000 | P | W | U | LARGE;
  test_directory[0][0] = (u32)leaf_a | P | W;
  test_directory[1][0] = (u32)long_leaf_b | P | W;
  leaf_a[0] = (u32)page_a | P | W;
  long_leaf_b[0] = (u32)page_b | P | W;
  long_tables[0] = (u32)upper[0] | P | W | U;
  long_tables_b[0] = (u32)upper[1] | P | W | U;
  page_a[0] = 'A';
  page_b[0] = 'B';
  long_page_a = (u32)page_a;
  long_page_b = (u32)page_b;
  /* 0x40200000 is not executable. */
  static u64 leaf_data[512] __attribute__((aligned(4096)));
  leaf_data[0] = (u32)page_data | P | W | NX;
  test_directory[0][1] = (u32)leaf_data | P | W;
  for (u32 *handler = long_handlers; *handler != 0xffff; handler += 2) {
    u32 vector = handler[0], stack = vector == 0x80 || vector == 12 || vector == 13 ? 1 : 0, selector = vector == 0x82 ? 0x08 : 0x18;
    long_idt[vector * 2] = gate(selector, handler[1], 0x8e) | (u64)stack << 32;
    long_idt[vector * 2 + 1] = 0;
  }
  gdt[3] = descriptor(0, 0xfffff, 0x9b, 0xa);
  gdt[4] = descriptor(0, 0xfffff, 0xfb, 0xc);
  gdt[5] = descriptor(0, 0xfffff, 0xf3, 0xc);
  gdt[6] = descriptor(0, 0xfffff, 0xfb, 0xa);
  gdt[7] = descriptor((u32)tss, 0x67, 0x89, 0);
  gdt[8] = gate(0x18, long_gate_address, 0x8c);
  gdt[9] = 0;
  gdt[10] = gate(0x18, long_gate_address, 0x8c);
  gdt[11] = (u64)0x0c << 40;
  /* The TSS descriptor has 16 bytes, so the gate stands behind it: selector 0x48. */
  tss[1] = (u32)(level_stack + sizeof level_stack);
  tss[9] = (u32)(interrupt_stack + sizeof interrupt_stack);
}

void test_long_mode(void) {
  /* Entries 7 and 8 are the TSS, 9 and 10 a call gate, 11 and 12 a bad one. */
  build();
  gdt[8] = 0;
  gdt[9] = gate(0x18, long_gate_address, 0x8c);
  gdt[10] = 0;
  gdt[11] = gate(0x18, long_gate_address, 0x8c);
  gdt[12] = (u64)0x0c << 40;
  next_word = 0;
  long_left_out = left_out_by_tcg("call gates of long mode, PCIDs, and values of CR0 and CR4 that cannot be");
  expect_nothing("long mode and back", long_call);
  ends("an address that is not canonical", 13, 0, 0);
  ends("the same through RBP", 12, 0, 3);
  ends("the same by PUSH", 12, 0, 4);
  ends("a jump there", 13, 0, 0);
  ends("an operand over the end of the canonical half", 13, 0, 10);
  ends("PUSH ES", 6, 0, 0);
  ends("AAA", 6, 0, 0);
  ends("INTO", 6, 0, 0);
  ends("a far jump with an immediate", 6, 0, 0);
  ends("opcode 82", 6, 0, 0);
  ends("SYSENTER", 6, 0, 0);
  ends("CMPXCHG16B at 8 bytes", 13, 0, 5);
  ends("CMPXCHG16B at 16 bytes", NOTHING, 0, 0);
  expect("an interrupt stack", (u32)(interrupt_stack + sizeof interrupt_stack) - 40);
  expect("has the old one", 0x90000 - 8);
  expect("without it the stack is aligned", 0x90000 - 16 - 40);
  expect("and the old one is pushed as it was", 0x90000 - 8);
  ends("a gate to 32-bit code", 13, 0x08, 0);
  if (!long_left_out) {
    expect("a call gate", 0x90000 - 16);
    expect("pushes two words", 16);
    expect("and is returned from", 0x90000);
    ends("a call gate with a bad upper half", 13, 0x58, 0);
  }
  expect("SYSCALL gives RIP in RCX", 0);
  expect("and RFLAGS in R11", 0x401);
  expect("and masks them", 0);
  ends("HLT at level 3", 13, 0, 21);
  expect("CS after SYSRET", 0x33);
  expect("SS after SYSRET", 0x2b);
  expect("is what the handler sees", 0x33);
  expect("with RSP", 0x90000);
  ends("HLT at level 3 in 32-bit code", 13, 0, 21);
  expect("CS after SYSRET to 32-bit code", 0x23);
  if (!long_left_out) {
    ends("PCIDE while CR3 has a PCID", 13, 0, 17);
    expect("the first space", 'A');
    expect("another PCID", 'B');
    expect("the first again, kept", 'A');
    expect("the second, kept", 'B');
    expect("INVPCID of a space", 'A');
    expect("INVPCID of an address", 'B');
    ends("INVPCID of a kind that there is not", 13, 0, 5);
    ends("INVPCID with a PCID that cannot be", 13, 0, 13);
    ends("paging off in 64-bit code", 13, 0, 8);
    ends("PAE off in long mode", 13, 0, 7);
    ends("a high bit of CR0", 13, 0, 8);
    ends("a null stack segment of another level", 13, 0, 5);
    ends("LGDT of a base that is not canonical", 13, 0, 0);
    ends("LIDT of a base that is not canonical", 13, 0, 0);
    ends("MOV to CR8 of more than 15", 13, 0, 5);
    ends("a reserved bit of CR3", 13, 0, 8);
  }
  expect("a fetch of data", 14);
  expect("is one by its error code", 0x11);
  word();
  expect("tells where", 0x40200000);
  ends("a breakpoint of 8 bytes", 1, 0, 7);
  ends("beside it", NOTHING, 0, 0);
  ends("a high bit of DR7", 13, 0, 10);
  for (u32 entry = 3; entry < 64; entry++) gdt[entry] = 0;
}

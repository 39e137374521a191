/* LGDT, LIDT, SGDT and SIDT in each operand size. */
#include "cases.h"

/* What is stored is stored with 32 bits in 16-bit code: QEMU shortens it otherwise, which AMD's processors do not. */
#define LOAD_AND_STORE(name, prefix, load, store)                                                                       \
  SNIPPET_OF(name, prefix load " (%ebx); .byte 0x66; " store " 16(%ebx); .byte 0x66; " load " 32(%ebx); int3",                      \
             prefix load " (%ebx); " store " 16(%ebx); " load " 32(%ebx); int3", prefix load " (%rbx); " store " 16(%rbx); " load " 32(%rbx)")
LOAD_AND_STORE(load_gdt, "", "lgdt", "sgdt")
LOAD_AND_STORE(load_gdt_other, ".byte 0x66; ", "lgdt", "sgdt")
LOAD_AND_STORE(load_idt, "", "lidt", "sidt")
LOAD_AND_STORE(load_idt_other, ".byte 0x66; ", "lidt", "sidt")
SNIPPET(store_gdt, "sgdt (%ebx)")
SNIPPET(store_gdt_other, ".byte 0x66; sgdt (%ebx)")
SNIPPET(store_idt, "sidt (%ebx)")
SNIPPET(store_idt_other, ".byte 0x66; sidt (%ebx)")

extern u64 narrow_idt[], wide_idt[];

static void loads(const char *name, const struct snippet *snippet, enum mode of, int interrupts) {
  group("%s %s", name, mode_names[of]);
  static const u64 bases[] = {0x12345678, 0xff123456, 0xffffffff, 0x7fff12345678, 0x800012345678, 0xffff800012345678};
  for (u32 index = 0; index < 6; index++) {
    /* QEMU loads what is not canonical. */
    if (of == L64 && index == 4) continue;
    for (u32 limit = 0; limit < 3; limit++) {
      begin(of, 0);
      put_data(0, (u32)bases[index] << 16 | (limit == 0 ? 0 : limit == 1 ? 0xfff : 0xffff));
      put_data(4, (u32)(bases[index] >> 16));
      put_data(8, 0x5a5a0000 | (u32)(bases[index] >> 48));
      u32 own = interrupts ? (is_long(of) ? (u32)wide_idt : of == REAL ? 0 : (u32)narrow_idt) : (u32)gdt;
      u32 own_limit = interrupts ? (is_long(of) ? 0xfff : of == REAL ? 0x3ff : 0x7ff) : gdt_limit;
      put_data(32, own << 16 | own_limit);
      put_data(36, own >> 16);
      put_data(40, 0);
      run(snippet, index, limit);
    }
  }
}

void table_cases(void) {
  static const enum mode modes[] = {REAL, P16, P32, C16, C32, L64};
  for (u32 which = 0; which < 6; which++) {
    enum mode of = modes[which];
    loads("LGDT", &load_gdt, of, 0);
    /* In 64-bit mode the prefix means nothing, but to QEMU. */
    if (of != L64) loads("LGDT-66", &load_gdt_other, of, 0);
    loads("LIDT", &load_idt, of, 1);
    if (of != L64) loads("LIDT-66", &load_idt_other, of, 1);
    static const struct snippet *const stores[] = {&store_gdt, &store_gdt_other, &store_idt, &store_idt_other};
    group("SGDT, SIDT %s", mode_names[of]);
    for (u32 index = 0; index < 4; index++) {
      begin(of, 0);
      run(stores[index], index, ~0u);
    }
  }
}

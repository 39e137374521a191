/* Instructions that look at or load descriptors: every type, level and presence, by every level with every requested level. */
#include "cases.h"

SNIPPET(lar, "lar %ecx, %eax")
SNIPPET(lsl, "lsl %ecx, %eax")
SNIPPET(verr, "verr %cx")
SNIPPET(verw, "verw %cx")
SNIPPET(lldt, "lldt %cx")
SNIPPET(ltr, "ltr %cx")
SNIPPET(mov_es, "mov %ecx, %es")
SNIPPET(mov_fs, "mov %ecx, %fs")
/* The old one again, for the exception's frame. */
SNIPPET(mov_ss, "mov %ecx, %ss; mov %edx, %ss")
SNIPPET_LEGACY(pop_ds, "push %ecx; pop %ds")
SNIPPET_LEGACY(pop_ss, "push %ecx; pop %ss; mov %edx, %ss")
SNIPPET_LEGACY(les, "les (%ebx), %eax")
SNIPPET(lfs, "lfs (%ebx), %eax")
SNIPPET(lss, "mov %esp, %edi; lss (%ebx), %esp; mov %edx, %ss; mov %edi, %esp")
SNIPPET(store_selectors, "sldt %eax; str %ecx; mov %cs, %edx")
SNIPPET(store_word, "sldt (%ebx); str 4(%ebx); mov %ds, 8(%ebx); smsw 12(%ebx)")

/* A descriptor of a type (bit 4: S), level and presence; systems' have the task state segment behind them. */
static u64 of_type(u32 type, u32 dpl, u32 present) {
  u32 access = present << 7 | dpl << 5 | type;
  if (!(type & 0x10)) return descriptor((u32)tss, 0xfff, access, 0);
  return descriptor(0, 0xfffff, access, type & 8 && mode == L64 ? 0xa : 0xc);
}

static void by_type(const char *name, const struct snippet *snippet, enum mode of, u32 at_level, u32 rpl) {
  group("%s %s cpl%x rpl%x", name, mode_names[of], at_level, rpl);
  for (u32 access = 0; access < 0x100; access++) {
    begin(of, at_level);
    gdt[TEST / 8] = of_type(access & 0x1f, (access >> 5) & 3, access >> 7);
    gdt[TEST / 8 + 1] = 0;
    before.r.cx = TEST + rpl;
    before.r.dx = before.ss;
    /* Bits 19 to 16 of what LAR gives are undefined. */
    if (snippet == &lar) hidden_ax = 0xf0000;
    put_data(0, 0x48000);
    if (is_narrow(of)) put_data(2, TEST + rpl);
    else put_data(4, TEST + rpl);
    run(snippet, access, ~0u);
    __asm__ volatile("lldt %w0" : : "r"(0));
    if (snippet != &ltr) continue;
    gdt[TSS / 8] = descriptor((u32)tss, 0xfff, 0x89, 0);
    __asm__ volatile("ltr %w0" : : "r"(TSS));
  }
}

static void selectors(const char *name, const struct snippet *snippet, enum mode of, u32 at_level) {
  static const u16 tried[] = {0, 1, 3, 4, 7, BEYOND, BEYOND + 7, BEYOND - 8, 0xfff8, TEST + 4, LDT, TSS, KERNEL_CODE, KERNEL_CODE64, OF_LEVEL(DATA32, 3)};
  group("%s of other selectors %s cpl%x", name, mode_names[of], at_level);
  for (u32 index = 0; index < COUNT_OF(tried); index++) {
    /* QEMU takes a null task register, and ends itself at the next exception: kernel/registers.c has that. */
    if (snippet == &ltr && tried[index] < 4) continue;
    /* With a null stack segment of 64-bit mode it loses the level: long-mode.S has that. */
    if ((snippet == &mov_ss || snippet == &lss) && of == L64 && tried[index] < 4) continue;
    begin(of, at_level);
    gdt[LDT / 8] = descriptor((u32)gdt, 0x1ff, 0x82, 0);
    gdt[LDT / 8 + 1] = gdt[BEYOND / 8 - 1] = 0;
    before.r.cx = tried[index] | 0xffff0000;
    before.r.dx = before.ss;
    if (snippet == &lar) hidden_ax = 0xf0000;
    put_data(0, 0x48000);
    put_data(is_narrow(of) ? 2 : 4, tried[index]);
    run(snippet, tried[index], ~0u);
    __asm__ volatile("lldt %w0" : : "r"(0));
    gdt[TSS / 8] = descriptor((u32)tss, 0xfff, 0x89, 0);
    __asm__ volatile("ltr %w0" : : "r"(TSS));
  }
}

SNIPPET(jump_local, "ljmp *(%ebx)")
SNIPPET(call_local, "lcall *(%ebx)")

/* Selectors of a local table, whose four entries are those under test. */
static void local_table(const char *name, const struct snippet *snippet, enum mode of, u32 at_level) {
  group("%s in the LDT %s cpl%x", name, mode_names[of], at_level);
  for (u32 access = 0; access < 0x120; access++) {
    begin(of, at_level);
    int system = !(access & 0x10);
    int goes = snippet == &jump_local || snippet == &call_local;
    /* Task state segments and gates would switch tasks. */
    if (goes && system) continue;
    gdt[LDT / 8] = descriptor((u32)&gdt[TEST / 8], 0x1f, 0x82, 0);
    gdt[LDT / 8 + 1] = 0;
    for (u32 entry = 0; entry < 4; entry++) gdt[TEST / 8 + entry] = 0;
    /* The last entry, and beyond it. */
    u32 selector = (access < 0x100 ? 0x1c : 0x24) + at_level;
    gdt[TEST / 8 + 3] = of_type(access & 0x1f, (access >> 5) & 3, (access >> 7) & 1);
    before.r.cx = selector;
    before.r.dx = before.ss;
    if (snippet == &lar) hidden_ax = 0xf0000;
    put_data(0, LAND32);
    put_data(4, selector);
    __asm__ volatile("lldt %w0" : : "r"(LDT));
    run(snippet, access, ~0u);
    __asm__ volatile("lldt %w0" : : "r"(0));
  }
}

/* Granularity, size and bits that only one of them shows. */
static void shapes(const char *name, const struct snippet *snippet, enum mode of) {
  group("%s of shapes %s", name, mode_names[of]);
  for (u32 flags = 0; flags < 16; flags++) {
    for (u32 type = 0; type < 3; type++) {
      begin(of, 0);
      gdt[TEST / 8] = descriptor(0x12345678, 0x9abcd, type == 0 ? 0x93 : type == 1 ? 0x9b : 0x82, flags);
      before.r.cx = TEST;
      if (snippet == &lar) hidden_ax = 0xf0000;
      run(snippet, flags, type);
    }
  }
}

void descriptor_cases(void) {
  static const struct {
    const char *name;
    const struct snippet *snippet;
    u32 levels, rpls, legacy;
  } instructions[] = {
      {"LAR", &lar, 15, 9, 0}, {"LSL", &lsl, 15, 9, 0}, {"VERR", &verr, 15, 9, 0}, {"VERW", &verw, 15, 9, 0},
      {"LLDT", &lldt, 9, 9, 0}, {"LTR", &ltr, 9, 9, 0}, {"MOV-ES", &mov_es, 15, 9, 0}, {"MOV-SS", &mov_ss, 15, 15, 0},
      {"POP-DS", &pop_ds, 9, 9, 1}, {"POP-SS", &pop_ss, 9, 9, 1}, {"LES", &les, 9, 9, 1}, {"LFS", &lfs, 9, 9, 0}, {"LSS", &lss, 9, 9, 0},
      {"MOV-FS", &mov_fs, 9, 9, 0},
  };
  for (u32 which = 0; which < PROTECTED_MODES; which++) {
    enum mode of = protected_modes[which];
    for (u32 index = 0; index < COUNT_OF(instructions); index++) {
      if (instructions[index].legacy && of == L64) continue;
      for (u32 at_level = 0; at_level < 4; at_level++) {
        if (!(instructions[index].levels >> at_level & 1)) continue;
        if (of == P16 && at_level != 3) continue;
        for (u32 rpl = 0; rpl < 4; rpl++)
          if (instructions[index].rpls >> rpl & 1) by_type(instructions[index].name, instructions[index].snippet, of, at_level, rpl);
        selectors(instructions[index].name, instructions[index].snippet, of, at_level);
      }
    }
    for (u32 at_level = 0; of != P16 && at_level < 4; at_level += 3) {
      local_table("LAR", &lar, of, at_level);
      local_table("LSL", &lsl, of, at_level);
      local_table("VERW", &verw, of, at_level);
      local_table("MOV-ES", &mov_es, of, at_level);
      local_table("MOV-SS", &mov_ss, of, at_level);
      local_table("JMP", &jump_local, of, at_level);
      local_table("CALL", &call_local, of, at_level);
    }
    shapes("LAR", &lar, of);
    shapes("LSL", &lsl, of);
    group("stored selectors %s", mode_names[of]);
    for (u32 at_level = 0; at_level < 4; at_level++) {
      begin(of, at_level);
      run(&store_selectors, at_level, 0);
      begin(of, at_level);
      run(&store_word, at_level, 1);
    }
  }
}

/* INT, INTO and BOUND through every kind of gate, and exceptions whose own gate is bad. */
#include "cases.h"

SNIPPET(interrupt_90, "int $0x90")
SNIPPET_LEGACY(into, "into")
SNIPPET_LEGACY(bound, "bound %eax, (%ebx)")
SNIPPET(undefined, "ud2")
SNIPPET(divide, "xor %ecx, %ecx; div %ecx")
SNIPPET(null_read, "mov %ecx, %es")
SNIPPET(stack_load, "mov %ecx, %ss")
SNIPPET(beyond_idt, "int $0xff")

static u64 saved_low, saved_high;
extern u64 narrow_idt[256], wide_idt[512];
static void save_gate(u32 vector) {
  saved_low = is_long(mode) ? wide_idt[vector * 2] : narrow_idt[vector];
  saved_high = wide_idt[vector * 2 + 1];
}
static void restore_gate(u32 vector) {
  if (is_long(mode)) wide_idt[vector * 2] = saved_low, wide_idt[vector * 2 + 1] = saved_high;
  else narrow_idt[vector] = saved_low;
}
static void set_gate(u32 vector, u64 low, u64 high) {
  if (is_long(mode)) wide_idt[vector * 2] = low, wide_idt[vector * 2 + 1] = high;
  else narrow_idt[vector] = low;
}

static u32 code_of(u32 at_level) { return (is_long(mode) ? CODE64 : CODE32) + at_level * 8; }

static void gate_types(enum mode of, u32 at_level) {
  group("INT through types %s cpl%x", mode_names[of], at_level);
  for (u32 access = 0; access < 0x100; access++) {
    begin(of, at_level);
    u32 type = access & 0x1f;
    if (type == 5 && !is_long(of)) continue;
    set_gate(0x90, gate(code_of(0), type == 6 || type == 7 ? LAND16 : LAND32, access), 0);
    before.flags = 0x202;
    run(&interrupt_90, access, ~0u);
  }
}

static void gate_targets(enum mode of, u32 at_level) {
  group("INT to targets %s cpl%x", mode_names[of], at_level);
  for (u32 type = 6; type < 16; type++) {
    if ((type & 6) != 6 || (is_long(of) && type < 8)) continue;
    for (u32 access = 0x10; access < 0x100; access++) {
      for (u32 flags = 0; flags < 2; flags++) {
        /* Which is found first, absence or a size that cannot be, the manuals leave open. */
        if (!(access & 0x10) || (is_long(of) && !flags && !(access & 0x80))) continue;
        begin(of, at_level);
        gdt[TEST / 8] = descriptor(0, 0xfffff, access, flags ? 0xa : 0xc);
        set_gate(0x90, gate(TEST + (access & 3), type < 8 ? LAND16 : LAND32, 0xe0 | type), 0);
        run(&interrupt_90, type, access << 4 | flags);
      }
    }
    static const u16 others[] = {0, 3, BEYOND, TEST + 4, TSS};
    for (u32 index = 0; index < COUNT_OF(others); index++) {
      begin(of, at_level);
      set_gate(0x90, gate(others[index], LAND16, 0xe0 | type), 0);
      run(&interrupt_90, type, 0x10000 + others[index]);
    }
  }
}

/* Exceptions that find their gate bad: what becomes of both. */
static void second_exceptions(enum mode of, u32 at_level) {
  static const struct {
    const char *name;
    const struct snippet *snippet;
    u32 vector;
  } first[] = {
      {"#UD", &undefined, 6}, {"#DE", &divide, 0}, {"#GP", &null_read, 13}, {"#NP", &null_read, 11}, {"#SS", &stack_load, 12}, {"INT", &interrupt_90, 0x90},
  };
  for (u32 which = 0; which < COUNT_OF(first); which++) {
    group("%s with a bad gate %s cpl%x", first[which].name, mode_names[of], at_level);
    for (u32 kind = 0; kind < 8; kind++) {
      begin(of, at_level);
      u32 vector = first[which].vector;
      save_gate(vector);
      u32 open = vector == 0x90 ? 0xe0 : 0x80;
      gdt[TEST / 8] = kind == 4 ? descriptor(0, 0xfffff, 0x1b, is_long(of) ? 0xa : 0xc) : descriptor(0, 0xfffff, 0x93, 0xc);
      u32 selector = kind == 2 ? 0 : kind == 3 || kind == 4 ? TEST : kind == 5 ? BEYOND + 8 : kind == 6 ? code_of(3) : code_of(0);
      set_gate(vector, gate(selector, LAND32, kind == 0 ? 0x0e : kind == 1 ? open | 0xc : open | 0xe), 0);
      /* #NP: an absent data segment; #SS: an absent stack; #GP: a selector beyond the table. */
      gdt[TEST / 8 + 2] = descriptor(0, 0xfffff, 0x13 | at_level << 5, 0xc);
      before.r.cx = vector == 13 ? BEYOND : TEST + 16 + at_level;
      /* QEMU leaves RF of the pushed flags clear. */
      hidden_bits = 0x10000;
      run(first[which].snippet, kind, ~0u);
      restore_gate(vector);
    }
  }
}

static void other_software_interrupts(enum mode of) {
  group("software interrupts %s", mode_names[of]);
  for (u32 at_level = 0; at_level < 4; at_level++) {
    for (u32 dpl = 0; dpl < 4; dpl++) {
      static const struct {
        const struct snippet *snippet;
        u32 vector;
      } kinds[] = {{&into, 4}, {&bound, 5}, {&interrupt_90, 0x90}, {&beyond_idt, 0xff}};
      for (u32 kind = 0; kind < 4; kind++) {
        if (kind < 2 && of == L64) continue;
        for (u32 taken = 0; taken < 2; taken++) {
          begin(of, at_level);
          save_gate(kinds[kind].vector);
          set_gate(kinds[kind].vector, gate(code_of(0), LAND32, 0x8e | dpl << 5), 0);
          before.flags = taken ? 0x802 : 2;
          hidden_bits = 0x10000;
          before.r.ax = taken ? 10 : 5;
          put_data(0, is_narrow(of) ? 9 << 16 | 5 : 5);
          put_data(4, 9);
          run(kinds[kind].snippet, at_level << 4 | dpl, kind << 4 | taken);
          restore_gate(kinds[kind].vector);
        }
      }
    }
  }
}

void gate_cases(void) {
  for (u32 which = 0; which < PROTECTED_MODES; which++) {
    for (u32 at_level = 0; at_level < 4; at_level++) {
      gate_types(protected_modes[which], at_level);
      gate_targets(protected_modes[which], at_level);
      second_exceptions(protected_modes[which], at_level);
    }
    other_software_interrupts(protected_modes[which]);
  }
}

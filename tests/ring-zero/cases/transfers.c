/* Far jumps, calls, returns and IRET: to every type of descriptor, through call gates to every level, back to outer levels. */
#include "cases.h"

SNIPPET(jump_far, "ljmp *(%ebx)")
SNIPPET(call_far, "lcall *(%ebx)")
SNIPPET_OF(jump_other, "ljmpl *(%ebx); int3", "ljmpw *(%ebx); int3", "ljmpw *(%rbx)")
SNIPPET_OF(call_other, "lcalll *(%ebx); int3", "lcallw *(%ebx); int3", "lcallw *(%rbx)")
SNIPPET_OF(return_far, "lret; int3", "lret; int3", "lretq")
SNIPPET_OF(return_other, "lretl; int3", "lretw; int3", "lretl")
SNIPPET_OF(return_releases, "lret $8; int3", "lret $8; int3", "lretq $8")
SNIPPET_OF(interrupt_return, "iret; int3", "iret; int3", "iretq")
SNIPPET_OF(interrupt_return_other, "iretl; int3", "iretw; int3", "iretl")

/* Task state segments and gates of protected mode would switch tasks, which is not in these cases. */
static int switches_task(u32 type) { return !is_long(mode) && (type == 1 || type == 5 || type == 9); }

/* Bytes of an operand of a snippet, by whether it has the other operand size. */
static u32 operand_bytes(int other) { return is_narrow(mode) != other ? 2 : 4; }
static u32 land(u32 bytes) { return bytes == 2 ? LAND16 : LAND32; }

static void put_pointer(u32 offset, u32 selector, u32 bytes) {
  put_data(0, offset);
  put_data(bytes, selector);
}

static void to_types(const char *name, const struct snippet *snippet, enum mode of, u32 at_level, u32 rpl, u32 flags, int other) {
  group("%s %s cpl%x rpl%x flags%x", name, mode_names[of], at_level, rpl, flags);
  for (u32 access = 0; access < 0x100; access++) {
    begin(of, at_level);
    if (switches_task(access & 0x1f)) continue;
    put_type(access, flags);
    u32 bytes = operand_bytes(other);
    put_pointer(land(bytes), TEST + rpl, bytes);
    run(snippet, access, ~0u);
  }
}

/* Targets of gates: code and conforming code of each level, data, none, beyond the table, absent code. */
enum { TARGETS = 14 };
static u32 target(u32 index) {
  gdt[TEST / 8 + 2] = 0;
  if (index < 4) return (is_long(mode) ? CODE64 : CODE32) + index * 8;
  if (index < 8) gdt[TEST / 8 + 2] = descriptor(0, 0xfffff, 0x9e | (index & 3) << 5, is_long(mode) ? 0xa : 0xc);
  else if (index == 8) return DATA32;
  else if (index == 9) return 0;
  else if (index == 10) return BEYOND;
  else if (index == 11) gdt[TEST / 8 + 2] = descriptor(0, 0xfffff, 0x1b, is_long(mode) ? 0xa : 0xc);
  else if (index == 12) gdt[TEST / 8 + 2] = descriptor(0, 0xfffff, 0x9b, is_long(mode) ? 0xc : 0xa);
  else gdt[TEST / 8 + 2] = descriptor(0, 0xfff, 0x9b, 4);
  return TEST + 16 + 3;
}

static void through_gates(const char *name, const struct snippet *snippet, enum mode of, u32 at_level, u32 type, u32 count) {
  group("%s gate%x %s cpl%x parameters%x", name, type, mode_names[of], at_level, count);
  for (u32 dpl = 0; dpl < 4; dpl++) {
    for (u32 rpl = 0; rpl < 4; rpl += 3) {
      for (u32 index = 0; index < TARGETS; index++) {
        begin(of, at_level);
        u32 selector = target(index);
        gdt[TEST / 8] = gate(selector, type == 4 ? LAND16 : LAND32, 0x80 | dpl << 5 | type) | (u64)count << 32;
        gdt[TEST / 8 + 1] = 0;
        u32 bytes = operand_bytes(0);
        put_pointer(0x1234, TEST + rpl, bytes);
        put_stack(STACK_TOP, 0x11111111);
        put_stack(STACK_TOP + 4, 0x22222222);
        run(snippet, dpl << 4 | rpl, index);
      }
    }
  }
}

/* The frame of a return, from STACK_TOP up. */
static u32 frame_at;
static void put_frame(u64 value, u32 bytes) {
  for (u32 index = 0; index < bytes; index++) ((u8 *)(STACK_BASE + STACK_TOP))[frame_at++] = (u8)(value >> (index * 8));
}
static void frame(u32 selector, u32 bytes, int interrupt, u32 flags, u32 ss, u32 release) {
  frame_at = 0;
  put_frame(land(bytes), bytes);
  put_frame(selector, bytes);
  if (interrupt) put_frame(flags, bytes);
  frame_at += release;
  put_frame(bytes == 2 ? 0x7000 : 0x47000, bytes);
  put_frame(ss, bytes);
}

struct returning {
  const char *name;
  const struct snippet *snippet;
  int other, interrupt;
  u32 release;
};
static const struct returning returns[] = {
    {"RETF", &return_far, 0, 0, 0}, {"RETF-other", &return_other, 1, 0, 0}, {"RETF-8", &return_releases, 0, 0, 8},
    {"IRET", &interrupt_return, 0, 1, 0}, {"IRET-other", &interrupt_return_other, 1, 1, 0},
};
static u32 return_bytes(const struct returning *kind) { return mode == L64 ? (kind->other ? 4 : 8) : operand_bytes(kind->other); }

static void return_to_types(const struct returning *kind, enum mode of, u32 at_level, u32 rpl, u32 flags) {
  group("%s %s cpl%x rpl%x flags%x", kind->name, mode_names[of], at_level, rpl, flags);
  for (u32 access = 0; access < 0x100; access++) {
    begin(of, at_level);
    put_type(access, flags);
    u32 bytes = return_bytes(kind);
    frame(TEST + rpl, bytes, kind->interrupt, 2, OF_LEVEL(bytes == 2 ? STACK16 : DATA32, rpl), kind->release);
    run(kind->snippet, access, ~0u);
  }
}

/* Stacks of a return to each level. */
static void return_to_stacks(const struct returning *kind, enum mode of, u32 at_level, int wide) {
  group("%s stacks %s cpl%x wide%x", kind->name, mode_names[of], at_level, wide);
  for (u32 rpl = at_level; rpl < 4; rpl++) {
    for (u32 access = 0x90; access < 0x100; access += 1) {
      if ((access & 0x18) == 0x18 && access % 8 != 2) continue;
      begin(of, at_level);
      gdt[TEST / 8] = descriptor(0, 0xfffff, access, 0xc);
      u32 bytes = return_bytes(kind);
      u32 code = bytes == 2 ? CODE16 : wide ? CODE64 : CODE32;
      frame(OF_LEVEL(code, rpl), bytes, kind->interrupt, 2, TEST + (access & 1 ? rpl : (rpl + 1) & 3), kind->release);
      run(kind->snippet, rpl, access);
    }
    static const u16 others[] = {0, 1, 2, 3, BEYOND, TEST + 4};
    for (u32 index = 0; index < COUNT_OF(others); index++) {
      begin(of, at_level);
      u32 bytes = return_bytes(kind);
      frame(OF_LEVEL(bytes == 2 ? CODE16 : wide ? CODE64 : CODE32, rpl), bytes, kind->interrupt, 2, others[index], kind->release);
      run(kind->snippet, rpl, 0x1000 + others[index]);
    }
  }
}

/* What becomes of data segments when a return leaves their level. */
static void dropped_segments(enum mode of) {
  group("segments behind returns to level 3 %s", mode_names[of]);
  for (u32 access = 0x90; access < 0x100; access++) {
    for (u32 at_level = 0; at_level < 3; at_level++) {
      begin(of, at_level);
      /* What this level may load. */
      u32 dpl = (access >> 5) & 3;
      if (!(access & 0x10) || (access & 0xa) == 8) continue;
      if ((access & 0xc) != 0xc && dpl < at_level) continue;
      gdt[TEST / 8] = descriptor(0, 0xfffff, access, 0xc);
      before.es = before.fs = TEST;
      u32 bytes = return_bytes(&returns[3]);
      frame(OF_LEVEL(bytes == 2 ? CODE16 : mode == L64 ? CODE64 : CODE32, 3), bytes, 1, 2, OF_LEVEL(bytes == 2 ? STACK16 : DATA32, 3), 0);
      run(&interrupt_return, access, at_level);
    }
  }
}

static void returned_flags(const struct returning *kind, enum mode of, u32 at_level) {
  group("%s flags %s cpl%x", kind->name, mode_names[of], at_level);
  for (u32 iopl = 0; iopl < 4; iopl++) {
    for (u32 bit = 0; bit < 32; bit++) {
      for (u32 inverted = 0; inverted < 2; inverted++) {
        begin(of, at_level);
        u32 flags = one_flag(bit, inverted, 0x3c7ed5);
        /* NT would return to a task's link the next time; VM enters virtual-8086 mode; RF is not seen. */
        flags &= ~0x30000u;
        before.flags = 2 | iopl << 12 | (inverted ? 0x200 : 0);
        u32 bytes = return_bytes(kind);
        frame((u32)before.cs, bytes, 1, flags, before.ss, 0);
        if (is_narrow(of)) put_stack(STACK_TOP, bytes == 2 ? LAND16 | before.cs << 16 : LAND16);
        run(kind->snippet, iopl << 1 | inverted, bit);
      }
    }
  }
}

void transfer_cases(void) {
  for (u32 which = 0; which < PROTECTED_MODES; which++) {
    enum mode of = protected_modes[which];
    /* The offset lands where the segment's base is 0, so that code of 16 bits is entered by descriptors under test alone. */
    for (u32 at_level = 0; at_level < 4; at_level++) {
      if (of == P16 && at_level != 3) continue;
      for (u32 rpl = 0; rpl < 4; rpl++) {
        if (rpl != 0 && rpl != 3 && rpl != at_level) continue;
        u32 usual = of == L64 ? 0xa : 0xc;
        to_types("JMP", &jump_far, of, at_level, rpl, usual, 0);
        to_types("CALL", &call_far, of, at_level, rpl, usual, 0);
        for (u32 kind = 0; kind < 5; kind += 3) return_to_types(&returns[kind], of, at_level, rpl, usual);
      }
      u32 odd = of == L64 ? 0xe : of == C32 ? 0xa : 0x8;
      to_types("JMP", &jump_far, of, at_level, at_level, odd, 0);
      to_types("CALL", &call_far, of, at_level, at_level, odd, 0);
      to_types("JMP-other", &jump_other, of, at_level, at_level, 0xc, 1);
      to_types("CALL-other", &call_other, of, at_level, at_level, 0xc, 1);
      for (u32 kind = 0; kind < 5; kind++) {
        return_to_types(&returns[kind], of, at_level, 3, of == L64 ? 0xc : odd);
        return_to_stacks(&returns[kind], of, at_level, 0);
        if (of == L64) return_to_stacks(&returns[kind], of, at_level, 1);
        if (returns[kind].interrupt) returned_flags(&returns[kind], of, at_level);
      }
      for (u32 type = 4; type < 16; type += 8) {
        if (is_long(of) && type == 4) continue;
        for (u32 count = 0; count < 4; count += 3) {
          through_gates("JMP", &jump_far, of, at_level, type, count);
          through_gates("CALL", &call_far, of, at_level, type, count);
        }
      }
    }
    dropped_segments(of);
  }
}

/* PUSHF and POPF of every flag at every level and IOPL, in both operand sizes; ARPL; TF and IF set by POPF. */
#include "cases.h"

SNIPPET(pushf, "pushf")
SNIPPET(popf, "popf")
SNIPPET_OF(pushf_other, "pushfl; int3", "pushfw; int3", "pushfw")
SNIPPET_OF(popf_other, "popfl; int3", "popfw; int3", "popfw")
SNIPPET_LEGACY(arpl, "arpl %dx, %cx")
SNIPPET_LEGACY(arpl_memory, "arpl %dx, (%ebx)")
SNIPPET(lahf, "lahf; cmc; sahf")

static void popped(const char *name, const struct snippet *snippet, enum mode of, u32 at_level) {
  group("%s %s cpl%x", name, mode_names[of], at_level);
  for (u32 iopl = 0; iopl < 4; iopl++) {
    for (u32 bit = 0; bit < 32; bit++) {
      for (u32 inverted = 0; inverted < 4; inverted++) {
        begin(of, at_level);
        before.flags = 2 | iopl << 12 | (inverted & 2 ? 0x200 : 0);
        put_stack(STACK_TOP, one_flag(bit, inverted & 1, 0x3f7ed5));
        run(snippet, iopl << 4 | inverted, bit);
      }
    }
  }
}
static void pushed(const char *name, const struct snippet *snippet, enum mode of, u32 at_level) {
  group("%s %s cpl%x", name, mode_names[of], at_level);
  /* TF would step, NT is for IRET. */
  for (u32 bit = 0; bit < 22; bit++) {
    if (bit == 8 || bit == 16 || bit == 17 || bit == 19 || bit == 20) continue;
    begin(of, at_level);
    before.flags = 2 | 1u << bit;
    run(snippet, bit, ~0u);
  }
}

void flag_cases(void) {
  static const enum mode modes[] = {P16, P32, C16, C32, L64};
  for (u32 which = 0; which < 5; which++) {
    enum mode of = modes[which];
    for (u32 at_level = 0; at_level < 4; at_level++) {
      if (is_narrow(of) && at_level % 3 != 0) continue;
      popped("POPF", &popf, of, at_level);
      popped("POPF-other", &popf_other, of, at_level);
      pushed("PUSHF", &pushf, of, at_level);
      pushed("PUSHF-other", &pushf_other, of, at_level);
    }
    if (of == L64) continue;
    group("ARPL %s", mode_names[of]);
    for (u32 first = 0; first < 8; first++) {
      for (u32 second = 0; second < 8; second++) {
        for (u32 memory = 0; memory < 2; memory++) {
          begin(of, memory ? 3 : 0);
          before.flags = first & 4 ? 0x42 : 2;
          before.r.cx = 0x12345670 | first;
          before.r.dx = 0x22220000 | second;
          put_data(0, 0x33333338 | first);
          run(memory ? &arpl_memory : &arpl, first << 4 | second, memory);
        }
      }
    }
  }
}

/* SYSCALL, SYSRET, SYSENTER and SYSEXIT by mode and level, with selectors and addresses that software may have put into their registers. */
#include "cases.h"

SNIPPET(syscall, "syscall")
SNIPPET(sysret, "sysretl")
SNIPPET_OF(sysret_wide, "int3; int3", "int3; int3", "sysretq")
SNIPPET(sysenter, "sysenter")
SNIPPET(sysexit, ".byte 0x0f, 0x35")
SNIPPET_OF(sysexit_wide, "int3; int3", "int3; int3", ".byte 0x48, 0x0f, 0x35")

static void one(const struct snippet *snippet, enum mode of, u32 at_level, u32 enabled, u32 selectors, u32 flags, u64 target, u32 key, u32 second) {
  begin(of, at_level);
  before.flags = flags;
  /* What SYSRET and SYSEXIT go on with. */
  before.r.cx = target;
  before.r.dx = LAND32;
  write_msr(0xc0000080, enabled);
  write_msr(0xc0000081, (u64)selectors << 32 | LAND32);
  write_msr(0xc0000082, LAND32);
  write_msr(0xc0000083, LAND32);
  write_msr(0xc0000084, 0x44700);
  write_msr(0x174, selectors & 0xffff);
  write_msr(0x175, STACK0);
  write_msr(0x176, LAND32);
  run(snippet, key, second);
  write_msr(0xc0000080, 0);
}

void system_call_cases(void) {
  static const enum mode modes[] = {P16, P32, C32, L64};
  static const struct instruction instructions[] = {
      {"SYSCALL", &syscall}, {"SYSRET", &sysret}, {"SYSRET-wide", &sysret_wide}, {"SYSENTER", &sysenter}, {"SYSEXIT", &sysexit}, {"SYSEXIT-wide", &sysexit_wide},
  };
  /* Selectors of the calls: below, of the returns: above. Nothing is read from the tables for them. */
  static const u16 selectors[] = {KERNEL_CODE, KERNEL_CODE + 3, 0, 3, DATA32, 0x1230, OF_LEVEL(CODE32, 3), 0xfff8};
  static const u32 flags[] = {2, 0x8d7, 0x602, 0x3002, 0x240202, 0x244ed7};
  for (u32 which = 0; which < 4; which++) {
    for (u32 index = 0; index < 6; index++) {
      /* In compatibility mode QEMU has SYSENTER and SYSEXIT; AMD's processors have not. */
      if (modes[which] == C32 && index >= 3) continue;
      for (u32 at_level = 0; at_level < 4; at_level++) {
        group("%s %s cpl%x", instructions[index].name, mode_names[modes[which]], at_level);
        for (u32 selector = 0; selector < 8; selector++) {
          /* That the level's bits make no selector is not known to QEMU. */
          if (selectors[selector] == 3 && index >= 3) continue;
          /* SYSRET's may go over 16 bits with it. */
          if (selectors[selector] == 0xfff8 && (index == 1 || index == 2)) continue;
          u32 pair = selectors[selector] | (u32)selectors[selector] << 16;
          /* Code of 16 bits lies below 64 KiB of its segment only; SYSRET's is flat. */
          for (u32 image = 0; image < 6; image++) {
            /* QEMU's SYSCALL loses the arithmetic flags in long mode. */
            if (index == 0 && is_long(modes[which]) && (flags[image] & 0x8d5) != 0) continue;
              one(instructions[index].snippet, modes[which], at_level, 1, pair, flags[image], LAND32, selector, image);
          }
          one(instructions[index].snippet, modes[which], at_level, 0, pair, 2, LAND32, selector, 0x10);
        }
      }
    }
  }
}

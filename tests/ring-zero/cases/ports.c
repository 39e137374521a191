/* IN, OUT, INS and OUTS by IOPL and the task's permission map. The ports are those of page registers that nobody uses. */
#include "cases.h"

SNIPPET(out_byte, "out %al, %dx")
SNIPPET(out_word, "out %ax, %dx")
SNIPPET(out_double, "out %eax, %dx")
SNIPPET(out_immediate, "out %al, $0x84")
SNIPPET(in_byte, "in %dx, %al; xor %eax, %eax")
SNIPPET(in_double, "in %dx, %eax; xor %eax, %eax")
SNIPPET(outs_byte, "mov %ebx, %esi; cld; outsb")
SNIPPET(outs_double, "mov %ebx, %esi; cld; outsl")
SNIPPET(rep_outs, "mov %ebx, %esi; mov $2, %ecx; cld; rep outsw")

extern u32 map_offset, map_first, map_bits;

void port_cases(void) {
  static const enum mode modes[] = {P16, P32, C32, L64};
  static const struct {
    const struct snippet *snippet;
    u32 bytes;
  } kinds[] = {{&out_byte, 1}, {&out_word, 2}, {&out_double, 4}, {&in_byte, 1}, {&in_double, 4}, {&outs_byte, 1}, {&outs_double, 4}, {&rep_outs, 2}};
  for (u32 which = 0; which < 4; which++) {
    enum mode of = modes[which];
    for (u32 at_level = 0; at_level < 4; at_level++) {
      group("IN, OUT %s cpl%x", mode_names[of], at_level);
      for (u32 iopl = 0; iopl < 4; iopl++) {
        for (u32 kind = 0; kind < 8; kind++) {
          for (u32 denied = 0; denied < 8; denied++) {
            begin(of, at_level);
            before.flags = 2 | iopl << 12;
            before.r.dx = 0x84;
            map_offset = 0x68;
            map_first = 0x80;
            /* Denied: none; one of the ports 0x83 to 0x88; all. */
            map_bits = denied == 0 ? 0 : denied == 7 ? 0xffff : 4u << denied;
            run(kinds[kind].snippet, kind << 4 | iopl, denied);
          }
        }
        begin(of, at_level);
        before.flags = 2 | iopl << 12;
        map_bits = 0x10;
        run(&out_immediate, 0x80 | iopl, 0);
      }
      /* Where the map begins, and ends: the task state has 4,096 bytes. */
      static const u16 offsets[] = {0, 0x68, 0xfed, 0xfee, 0xfef, 0xff0, 0xfff, 0x1000, 0xffff};
      for (u32 index = 0; index < COUNT_OF(offsets); index++) {
        for (u32 kind = 0; kind < 3; kind++) {
          begin(of, at_level);
          before.r.dx = 0x84;
          map_offset = offsets[index];
          map_bits = 0;
          run(kinds[kind].snippet, 0x100 | kind, offsets[index]);
        }
      }
      map_offset = 0x68;
    }
  }
}

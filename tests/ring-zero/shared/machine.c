/* Text, descriptors and interrupt controllers of both kernels of the ring 0 tests. */
#include "machine.h"

static void number(void (*to)(char), u64 value) {
  int shift = 60;
  while (shift > 0 && (value >> shift) == 0) shift -= 4;
  for (; shift >= 0; shift -= 4) to("0123456789abcdef"[(value >> shift) & 15]);
}

void format_to(void (*to)(char), const char *format, __builtin_va_list arguments) {
  for (; *format != 0; format++) {
    if (*format != '%') {
      to(*format);
      continue;
    }
    format++;
    if (*format == 's') {
      for (const char *text = __builtin_va_arg(arguments, const char *); *text != 0; text++) to(*text);
    } else if (*format == 'q') number(to, __builtin_va_arg(arguments, u64));
    else number(to, __builtin_va_arg(arguments, u32));
  }
}

void print(const char *format, ...) {
  __builtin_va_list arguments;
  __builtin_va_start(arguments, format);
  format_to(put, format, arguments);
  __builtin_va_end(arguments);
}

void copy(u32 to, const void *from, u32 bytes) {
  const u8 *source = from;
  for (u32 index = 0; index < bytes; index++) ((u8 *)to)[index] = source[index];
}

u64 descriptor(u32 base, u32 limit, u32 access, u32 flags) {
  return (limit & 0xffff) | ((u64)(base & 0xffffff) << 16) | ((u64)access << 40) | ((u64)((limit >> 16) & 15) << 48) |
         ((u64)flags << 52) | ((u64)(base >> 24) << 56);
}
u64 gate(u32 selector, u32 offset, u32 access) {
  return (offset & 0xffff) | ((u64)selector << 16) | ((u64)access << 40) | ((u64)(offset >> 16) << 48);
}

void mask_interrupts(void) {
  out8(0x21, 0xff);
  out8(0xa1, 0xff);
}

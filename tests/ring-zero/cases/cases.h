/*
 * Cases of system instructions, one after the other, each in a mode and at a level of its own, with what came of it on the serial port. The
 * same kernel runs on QEMU, whose output is the recording, and on Plinth (recorded-cases.test.ts).
 */
#pragma once
#include "../shared/machine.h"

#define COUNT_OF(array) (sizeof(array) / sizeof(array)[0])

/* Modes: real; protected and compatibility, each with code and stack of 16 or of 32 bits; 64 bits. */
enum mode { REAL, P16, P32, C16, C32, L64, MODES };
extern const char *const mode_names[MODES];
/* Those of most groups: compatibility mode is left to code of 32 bits. */
enum { PROTECTED_MODES = 4 };
extern const enum mode protected_modes[PROTECTED_MODES];

/* Where code, operands and stacks of the cases lie (linear). A segment of 16 bits has its base there. */
enum { CODE_BASE = 0x20000, DATA_BASE = 0x30000, STACK_BASE = 0x40000, STACK_TOP = 0x8000 };
/* Offsets in segments of base 0 at which there is nothing but INT3, for code of 16 and of 32 bits. */
enum { LAND16 = 0xf000, LAND32 = 0x2f000 };
/* Tops of the stacks in the TSS. */
enum { STACK0 = 0x4e000, STACK1 = 0x4a000, STACK2 = 0x4c000 };

/* Selectors beside those of layout.h: by level, and eight pairs of entries for descriptors under test. */
enum { TSS = 0x30, CODE32 = 0x40, CODE16 = 0x60, CODE64 = 0x80, DATA32 = 0xa0, DATA16 = 0xc0, STACK16 = 0xe0, LDT = 0x100, TEST = 0x120, BEYOND = 0x200 };

/* An instruction, by mode's code size: where it begins and ends. Nothing but INT3 lies behind it. */
struct snippet {
  const u8 *start16, *end16, *start32, *end32, *start64, *end64;
};
#define SNIPPET_OF(name, text16, text32, text64)                                                                       \
  extern const struct snippet name;                                                                                    \
  __asm__(".section .snippets, \"ax\"\n.balign 16, 0xcc\n.code16\n1: " text16 "\n2: .balign 16, 0xcc\n.code32\n"       \
          "3: " text32 "\n4: .balign 16, 0xcc\n.code64\n5: " text64 "\n6: int3\n.balign 16, 0xcc\n.code32\n"           \
          ".section .rodata\n" #name ": .long 1b, 2b, 3b, 4b, 5b, 6b\n.text\n");
#define SNIPPET(name, text) SNIPPET_OF(name, text "\nint3", text "\nint3", text)
/* One that 64-bit code has not got. */
#define SNIPPET_LEGACY(name, text) SNIPPET_OF(name, text "\nint3", text "\nint3", "")

/* One of a group's instructions. */
struct instruction {
  const char *name;
  const struct snippet *snippet;
};

struct registers {
  u64 ax, cx, dx, bx, sp, bp, si, di;
};

/* The state before an instruction. */
struct before {
  struct registers r;
  u64 flags, ip;
  u32 cs, ss, ds, es, fs, gs, cr0, cr4;
};
/* And behind it, when the first exception came. */
struct after {
  struct registers r;
  u64 vector, error, ip, flags, sp, frame, cr2;
  u32 cs, ss, ds, es, fs, gs, cr0, cr4, dr6;
};
extern struct before before;
extern struct after after;

/* Bits of memory, and of the first register, that the next case does not report; begin() clears them. */
extern u32 hidden_bits;
extern u64 hidden_ax;
extern enum mode mode;
extern u32 level;
extern u32 tss[1024];
extern u16 gdt_limit;

/* A group of cases follows: its name, and what all of them have in common. */
void group(const char *format, ...);
/* Sets everything to what cases of the mode and level begin with. */
void begin(enum mode of, u32 at_level);
/* Only then are the operands at DATA_BASE, and the stack below STACK_TOP, what this sets; the rest has a pattern. */
void put_data(u32 offset, u32 value);
void put_stack(u32 offset, u32 value);
/* Executes, and reports under a key of two numbers. */
void run(const struct snippet *snippet, u32 key, u32 second);
/* A gate that INT 0x90 of the case goes through (upper half of long mode's in `high`). */
void put_gate(u32 vector, u64 low, u64 high);
/* The offset of the operands in DS. */
u32 data(void);
int is_long(enum mode);
int is_narrow(enum mode);
/* The selector of a level in its own descriptor of four (CODE32, DATA16, ..). */
#define OF_LEVEL(first, at_level) ((first) + (at_level) * 8 + (at_level))
/* TEST becomes a descriptor of this access byte, or a gate to nowhere where the byte is a system's. */
void put_type(u32 access, u32 flags);
/* One bit of the flags; inverted: all of `all` but that. */
u32 one_flag(u32 bit, u32 inverted, u32 all);

/* The groups. */
void descriptor_cases(void);
void transfer_cases(void);
void gate_cases(void);
void control_cases(void);
void flag_cases(void);
void table_cases(void);
void port_cases(void);
void system_call_cases(void);
void stack_cases(void);
void real_cases(void);

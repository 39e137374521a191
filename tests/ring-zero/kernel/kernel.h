/* What the parts of the ring 0 tests' kernel share: console, checks, exceptions, levels. */
#pragma once
#include "../shared/machine.h"

#define NOTHING 0x100 /* vector of an attempt that went through */

/* What an exception handler was entered with; the registers in the order of PUSHA. */
struct frame {
  u32 gs, fs, es, ds;
  u32 edi, esi, ebp, esp, ebx, edx, ecx, eax;
  u32 vector, error;
  u32 eip, cs, eflags;
  u32 outer_esp, outer_ss; /* only from an outer level */
};

/* The first exception since the last attempt, and what cr2 and dr6 said then. */
struct fault {
  u32 vector, error, eip, cs, eflags, esp, ss, cr2, dr6;
};
extern struct fault fault;

/* Debug exceptions are counted and returned from while `counting`; the addresses of the first are kept. */
extern int counting;
struct trap {
  u32 eip, dr6, eflags;
};
extern struct trap traps[64];
extern int trap_count;

/* Whether this is QEMU's TCG, which has not got it (segment limits above all); it is skipped there, and said so. */
int left_out_by_tcg(const char *what);

/* One check: prints a line when it fails. */
void check(const char *name, u32 got, u32 expected);
/* Calls code; it may end in an exception, which is then in `fault`. Gives its vector, or NOTHING. */
u32 try_code(void (*code)(void));
/* The code ends in this exception with this error code, at this offset of its start. */
void expect_fault(const char *name, void (*code)(void), u32 vector, u32 error, u32 offset);
void expect_nothing(const char *name, void (*code)(void));

/* Gates of all exceptions, to the handlers that put them into `fault`. */
extern u64 idt[256];
void reset_tables(void);

/* User mode: levels, gates and a TSS are in the tables between these; code comes back by INT 0x40. */
void build_levels(void);
void drop_levels(void);
u32 in_user(void (*code)(void));
void expect_user(const char *name, void (*code)(void), u32 vector, u32 error, u32 offset);
extern u32 user_flags;
extern u8 user_stack[4096];

/* The parts. */
void test_exceptions(void);
void test_segments(void);
void test_gates(void);
void test_debug(void);
void test_real_mode(void);
void test_prefixes(void);
void test_paging(void);
void test_user_mode(void);
void test_long_mode(void);
void test_protection_keys(void);
void test_apic(void);
void test_coprocessor(void);
void test_changing_code(void);
void test_registers(void);
void test_priorities(void);

static inline u32 read_cr4(void) {
  u32 value;
  __asm__ volatile("mov %%cr4, %0" : "=r"(value));
  return value;
}
static inline void write_cr0(u32 value) { __asm__ volatile("mov %0, %%cr0" : : "r"(value) : "memory"); }
static inline void write_cr3(u32 value) { __asm__ volatile("mov %0, %%cr3" : : "r"(value) : "memory"); }
static inline void write_cr4(u32 value) { __asm__ volatile("mov %0, %%cr4" : : "r"(value) : "memory"); }

/* A test's code: a function of assembler alone. */
#define CODE(name, text) \
  void name(void);       \
  __asm__(".text\n.globl " #name "\n" #name ":\n" text "\n");

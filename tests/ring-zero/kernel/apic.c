/* The local APIC: timer modes, priorities, interrupts to itself, NMI; and HLT that they end. */
#include "kernel.h"

enum { ID = 0x20, VERSION = 0x30, TPR = 0x80, PPR = 0xa0, EOI = 0xb0, SVR = 0xf0, ISR = 0x100, IRR = 0x200, ESR = 0x280, ICR = 0x300,
       ICR_HIGH = 0x310, TIMER = 0x320, INITIAL = 0x380, CURRENT = 0x390, DIVIDE = 0x3e0 };

static volatile u32 *reg(u32 offset) { return (volatile u32 *)(0xfee00000 + offset); }
volatile u32 interrupts[256];
volatile u32 order[16];
volatile u32 order_count;

/* Handlers that count and, but for 0x2, end the interrupt. */
#define HANDLER(vector) \
  void handler_##vector(void); \
  __asm__(".text\n.globl handler_" #vector "\nhandler_" #vector ": pusha; push $" #vector "; call noted; add $4, %esp; popa; iret\n");
HANDLER(0x2)
HANDLER(0x40)
HANDLER(0x50)
HANDLER(0x61)

void noted(u32 vector) {
  interrupts[vector]++;
  if (order_count < 16) order[order_count++] = vector;
  if (vector != 2) *reg(EOI) = 0;
}
static void to_self(u32 vector) { *reg(ICR) = 0x44000 | vector; }
static void on(void) { __asm__ volatile("sti; nop; nop" : : : "memory"); }
static void off(void) { __asm__ volatile("cli" : : : "memory"); }
static u64 clock(void) {
  u64 value;
  __asm__ volatile("rdtsc" : "=A"(value));
  return value;
}
/* Waits with interrupts on until a vector has come so often, or long enough. */
static void await(u32 vector, u32 count) {
  u64 begin = clock();
  on();
  while (interrupts[vector] < count && clock() - begin < 5000000000ull) __asm__ volatile("pause");
  off();
}

static void priorities(void) {
  *reg(TPR) = 0x50;
  to_self(0x40);
  to_self(0x50);
  to_self(0x61);
  on();
  off();
  check("above the task priority", interrupts[0x61], 1);
  check("at it", interrupts[0x50], 0);
  check("below it", interrupts[0x40], 0);
  check("waits in IRR", reg(IRR)[(0x40 / 32) * 4] & 1, 1);
  *reg(TPR) = 0;
  on();
  off();
  check("then all come", interrupts[0x40] + interrupts[0x50], 2);
  check("the highest first", order[1], 0x50);
  check("the lowest last", order[2], 0x40);
  check("IRR is empty", reg(IRR)[(0x40 / 32) * 4], 0);
  check("ISR too", reg(ISR)[(0x40 / 32) * 4], 0);
  to_self(0x40);
  to_self(0x40);
  on();
  off();
  check("one bit for a vector", interrupts[0x40], 2);
}

static void timers(void) {
  *reg(DIVIDE) = 0xb;
  interrupts[0x50] = 0;
  *reg(TIMER) = 0x50;
  *reg(INITIAL) = 100000;
  u32 first = *reg(CURRENT);
  check("counts down from there", first <= 100000, 1);
  await(0x50, 1);
  check("one shot fires", interrupts[0x50], 1);
  check("and stands at zero", *reg(CURRENT), 0);
  u64 begin = clock();
  on();
  while (clock() - begin < 1000000) __asm__ volatile("pause");
  off();
  check("once", interrupts[0x50], 1);
  interrupts[0x50] = 0;
  *reg(TIMER) = 0x20050;
  *reg(INITIAL) = 100000;
  await(0x50, 5);
  check("periodic goes on", interrupts[0x50] >= 5, 1);
  *reg(INITIAL) = 0;
  on();
  off();
  interrupts[0x50] = 0;
  begin = clock();
  on();
  while (clock() - begin < 1000000) __asm__ volatile("pause");
  off();
  check("until the count is zero", interrupts[0x50], 0);
  *reg(TIMER) = 0x10050;
  *reg(INITIAL) = 1000;
  begin = clock();
  on();
  while (clock() - begin < 1000000) __asm__ volatile("pause");
  off();
  check("masked it is silent", interrupts[0x50], 0);
  *reg(INITIAL) = 0;
  u32 ecx = 1, eax = 1, ebx, edx;
  __asm__("cpuid" : "+a"(eax), "=b"(ebx), "+c"(ecx), "=d"(edx));
  if (ecx & 1 << 24) {
    *reg(TIMER) = 0x40050;
    write_msr(0x6e0, clock() + 100000);
    await(0x50, 1);
    check("the TSC deadline fires", interrupts[0x50], 1);
    check("and is gone then", (u32)read_msr(0x6e0), 0);
    write_msr(0x6e0, 1);
    await(0x50, 2);
    check("a deadline that has passed fires at once", interrupts[0x50], 2);
  }
  /* HLT until the timer. */
  *reg(TIMER) = 0x50;
  interrupts[0x50] = 0;
  *reg(INITIAL) = 200000;
  __asm__ volatile("sti; hlt; cli" : : : "memory");
  check("HLT ends with an interrupt", interrupts[0x50], 1);
  *reg(TIMER) = 0x10050;
}

void test_apic(void) {
  check("APIC is enabled", (u32)read_msr(0x1b) & 0xfffff900, 0xfee00900);
  *reg(SVR) = 0x1ff;
  idt[0x02] = gate(8, (u32)handler_0x2, 0x8e);
  idt[0x40] = gate(8, (u32)handler_0x40, 0x8e);
  idt[0x50] = gate(8, (u32)handler_0x50, 0x8e);
  idt[0x61] = gate(8, (u32)handler_0x61, 0x8e);
  for (u32 vector = 0; vector < 256; vector++) interrupts[vector] = 0;
  order_count = 0;
  priorities();
  timers();
  *reg(ICR_HIGH) = *reg(ID);
  *reg(ICR) = 0x4400;
  u64 sent = clock();
  while (interrupts[2] == 0 && clock() - sent < 1000000000ull) __asm__ volatile("pause");
  check("an NMI to itself comes with interrupts off", interrupts[2], 1);
  *reg(SVR) = 0xff;
  reset_tables();
}

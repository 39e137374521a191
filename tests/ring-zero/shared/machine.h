/*
 * What both kernels of the ring 0 tests share (kernel/ and cases/): words of the machine, ports and model-specific registers, descriptors,
 * formatted text. 32-bit protected mode, flat, paging off. start.S calls main() with what EAX and EBX had, and ends the machine with the
 * result.
 */
#pragma once
#include "layout.h"
typedef unsigned char u8;
typedef unsigned short u16;
typedef unsigned int u32;
typedef unsigned long long u64;

/* The table that start.S loads: null, flat code and data, 61 free entries. */
extern u64 gdt[64];

/* A character to the serial port, as each kernel does it. */
void put(char c);
/* %s a string, %x a number of 32 bits, %q one of 64 bits, both hexadecimal without 0x. */
void print(const char *format, ...);
/* The same to another place than the serial port. */
void format_to(void (*to)(char), const char *format, __builtin_va_list arguments);
void copy(u32 to, const void *from, u32 bytes);
u64 descriptor(u32 base, u32 limit, u32 access, u32 flags);
u64 gate(u32 selector, u32 offset, u32 access);
/* No line of the interrupt controllers is open: firmware may have left a timer running. */
void mask_interrupts(void);

static inline void out8(u16 port, u8 value) { __asm__ volatile("outb %0, %1" : : "a"(value), "Nd"(port)); }
static inline u8 in8(u16 port) {
  u8 value;
  __asm__ volatile("inb %1, %0" : "=a"(value) : "Nd"(port));
  return value;
}
static inline u32 read_cr0(void) {
  u32 value;
  __asm__ volatile("mov %%cr0, %0" : "=r"(value));
  return value;
}
static inline u64 read_msr(u32 index) {
  u64 value;
  __asm__ volatile("rdmsr" : "=A"(value) : "c"(index));
  return value;
}
static inline void write_msr(u32 index, u64 value) { __asm__ volatile("wrmsr" : : "c"(index), "A"(value) : "memory"); }

/* The serial port's line status: its queue is empty. */
static inline int serial_empty(void) { return (in8(0x3fd) & 0x20) != 0; }

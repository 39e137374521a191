/*
 * The bare machine of kernel.c: ports, registers, one interrupt, the first serial port. Entered in long mode with memory mapped as it is
 * (64-bit Linux boot protocol); memory that no file fills is zero.
 */
typedef unsigned char u8;
typedef unsigned short u16;
typedef unsigned int u32;
typedef unsigned long long u64;

#define PAGE_ALIGNED __attribute__((aligned(4096)))

enum { VECTOR = 0x40, MSR_APIC_BASE = 0x1b, MSR_X2APIC_EOI = 0x80b, MSR_X2APIC_SPURIOUS = 0x80f, COM1 = 0x3f8 };

void start(void);
void vmbus_interrupt(void);

/* The entry point is 512 bytes behind the address of the kernel's image; see link.ld. */
asm(".section .entry, \"ax\"\n"
    ".global entry\n"
    "entry:\n"
    "  lea stack_end(%rip), %rsp\n"
    "  xor %ebp, %ebp\n"
    "  call start\n"
    "1: hlt\n"
    "  jmp 1b\n"
    "interrupt_entry:\n"
    "  push %rax; push %rcx; push %rdx; push %rsi; push %rdi; push %r8; push %r9; push %r10; push %r11\n"
    "  cld\n"
    "  call vmbus_interrupt\n"
    "  pop %r11; pop %r10; pop %r9; pop %r8; pop %rdi; pop %rsi; pop %rdx; pop %rcx; pop %rax\n"
    "  iretq\n"
    ".previous\n");
extern u8 interrupt_entry[];

u8 stack[16384] PAGE_ALIGNED;
asm(".global stack_end; .set stack_end, stack + 16384");

static inline void out8(u16 port, u8 value) {
  asm volatile("outb %0, %1" : : "a"(value), "Nd"(port));
}

static inline void out16(u16 port, u16 value) {
  asm volatile("outw %0, %1" : : "a"(value), "Nd"(port));
}

static inline u8 in8(u16 port) {
  u8 value;
  asm volatile("inb %1, %0" : "=a"(value) : "Nd"(port));
  return value;
}

static inline u64 read_msr(u32 index) {
  u32 low, high;
  asm volatile("rdmsr" : "=a"(low), "=d"(high) : "c"(index));
  return (u64)high << 32 | low;
}

static inline void write_msr(u32 index, u64 value) {
  asm volatile("wrmsr" : : "c"(index), "a"((u32)value), "d"((u32)(value >> 32)) : "memory");
}

static inline void cpuid(u32 leaf, u32 *registers) {
  asm volatile("cpuid" : "=a"(registers[0]), "=b"(registers[1]), "=c"(registers[2]), "=d"(registers[3]) : "a"(leaf), "c"(0));
}

static inline u64 ticks(void) {
  u32 low, high;
  asm volatile("rdtsc" : "=a"(low), "=d"(high) : : "memory");
  return (u64)high << 32 | low;
}

static inline void copy(u8 *to, const u8 *from, u64 bytes) {
  asm volatile("rep movsb" : "+D"(to), "+S"(from), "+c"(bytes) : : "memory");
}

static inline void clear(u8 *at, u64 bytes) {
  asm volatile("rep stosb" : "+D"(at), "+c"(bytes) : "a"(0) : "memory");
}

static inline int equal(const u8 *one, const u8 *other, int bytes) {
  for (int at = 0; at < bytes; at++)
    if (one[at] != other[at]) return 0;
  return 1;
}

static void print(const char *text) {
  for (; *text != 0; text++) {
    while ((in8(COM1 + 5) & 0x20) == 0) {
    }
    out8(COM1, *text);
  }
}

struct gate {
  u16 low, selector, type, middle;
  u32 high, zero;
};

/* One interrupt gate, and the local APIC in x2APIC mode. */
static void start_machine(void) {
  static struct gate gates[VECTOR + 1] PAGE_ALIGNED;
  static struct {
    u16 limit;
    u64 base;
  } __attribute__((packed)) table;
  u64 address = (u64)interrupt_entry;
  u16 selector;
  asm volatile("mov %%cs, %0" : "=r"(selector));
  gates[VECTOR] = (struct gate){address, selector, 0x8e00, address >> 16, address >> 32, 0};
  table.limit = sizeof gates - 1;
  table.base = (u64)gates;
  asm volatile("lidt %0" : : "m"(table));
  write_msr(MSR_APIC_BASE, read_msr(MSR_APIC_BASE) | 0xc00);
  write_msr(MSR_X2APIC_SPURIOUS, 0x1ff);
  asm volatile("sti");
}

/*
 * What control, debug and model-specific registers refuse, keep and leave out, by hand from the manuals: values that QEMU takes, and so are not
 * among the recorded cases. Sections are those of the AMD64 manual (AMD) and of Intel's (SDM).
 */
#include "kernel.h"

u32 register_low, register_high, register_index;
CODE(write_cr0_value, "mov register_low, %eax; mov %eax, %cr0; ret")
CODE(write_cr4_value, "mov register_low, %eax; mov %eax, %cr4; ret")
CODE(write_msr_value, "mov register_low, %eax; mov register_high, %edx; mov register_index, %ecx; wrmsr; ret")
CODE(load_null_task, "xor %eax, %eax; ltr %ax; ret")
CODE(load_null_task_3, "mov $3, %eax; ltr %ax; ret")
CODE(set_extended, "xor %ecx, %ecx; xor %edx, %edx; mov register_low, %eax; xsetbv; ret")

/* CR0: reserved bits are ignored (SDM 3A 2.5; AMD volume 2, 3.1.1), but for NW without CD, PG without PE. */
static void control_registers(void) {
  const u32 known = 0xe005003f;
  u32 before = read_cr0();
  for (u32 bit = 0; bit < 32; bit++) {
    if (known >> bit & 1) continue;
    register_low = before | 1u << bit;
    check("a reserved bit of CR0", try_code(write_cr0_value), NOTHING);
    check("is not kept", read_cr0(), before);
  }
  register_low = (before & ~0x40000000u) | 0x20000000;
  check("NW without CD", try_code(write_cr0_value), 13);
  check("changes nothing", read_cr0(), before);
  /* CR4: those of features that CPUID does not tell of are reserved, and #GP (SDM 3A 2.5; AMD volume 2, 3.1.3). PCIDE wants long mode. */
  const u32 allowed = 0x750ffc;
  before = read_cr4();
  for (u32 bit = 0; bit < 32; bit++) {
    register_low = before ^ 1u << bit;
    int good = allowed >> bit & 1;
    check("a bit of CR4", try_code(write_cr4_value), good ? NOTHING : 13);
    check("has what was written", read_cr4(), good ? register_low : before);
    write_cr4(before);
  }
}

static u32 debug_value(u32 number, u32 value) {
  u32 found;
  if (number == 6) __asm__ volatile("mov %1, %%dr6; mov %%dr6, %0; mov %2, %%dr6" : "=&r"(found) : "r"(value), "r"(0));
  else __asm__ volatile("mov %1, %%dr7; mov %%dr7, %0; mov %2, %%dr7" : "=&r"(found) : "r"(value), "r"(0x400));
  return found;
}
/* DR6 and DR7: what is always set, and what never is (AMD volume 2, 13.1.1.3 and 13.1.1.4). */
static void debug_registers(void) {
  check("DR6 of zeros", debug_value(6, 0), 0xffff0ff0);
  check("DR6 of ones", debug_value(6, 0xffffffff), 0xffffefff);
  check("DR7 of zeros", debug_value(7, 0), 0x400);
  /* Without GD, at which reading it again would fault. */
  check("DR7 of ones without enable bits", debug_value(7, 0xffffdf00), 0xffff0f00);
}

static u32 refuses(u32 index, u32 high, u32 low) {
  register_index = index;
  register_high = high;
  register_low = low;
  return try_code(write_msr_value);
}
/* Addresses have to be canonical (AMD volume 3, WRMSR; SDM volume 2, WRMSR). */
static void model_specific(void) {
  static const u32 addresses[] = {0xc0000082, 0xc0000083, 0xc0000100, 0xc0000101, 0xc0000102, 0x175, 0x176};
  for (u32 index = 0; index < sizeof addresses / sizeof addresses[0]; index++) {
    /* The bases of FS and GS: each attempt ends with these segments loaded anew. */
    u32 kept = (addresses[index] | 1) == 0xc0000101 ? 0 : 0xffff8000;
    u64 before = read_msr(addresses[index]);
    check("the end of the lower half", refuses(addresses[index], 0x7fff, 0xffffffff), NOTHING);
    check("the begin of the upper half", refuses(addresses[index], 0xffff8000, 0), NOTHING);
    check("is kept", (u32)(read_msr(addresses[index]) >> 32), kept);
    check("behind the lower half", refuses(addresses[index], 0x8000, 0), 13);
    check("below the upper half", refuses(addresses[index], 0xffff7fff, 0xffffffff), 13);
    check("changes nothing", (u32)(read_msr(addresses[index]) >> 32), kept);
    write_msr(addresses[index], before);
  }
  /* PAT: types 2, 3 and above 7 are reserved (AMD volume 2, 7.8.1). */
  u64 pat = read_msr(0x277);
  for (u32 type = 0; type < 256; type++) {
    int good = type < 8 && type != 2 && type != 3;
    for (u32 place = 0; place < 8; place += 7) {
      u64 value = (pat & ~((u64)0xff << place * 8)) | (u64)type << place * 8;
      check("a memory type", refuses(0x277, (u32)(value >> 32), (u32)value), good ? NOTHING : 13);
      write_msr(0x277, pat);
    }
  }
  /* EFER: SCE, LME and NXE, as CPUID tells of no more (AMD volume 2, 3.1.7). LMA is the processor's, and stays. */
  for (u32 bit = 0; bit < 64; bit++) {
    int good = bit == 0 || bit == 8 || bit == 11;
    u32 low = bit < 32 ? 1u << bit : 0;
    if (bit == 10) continue;
    check("a bit of EFER", refuses(0xc0000080, bit < 32 ? 0 : 1u << (bit - 32), low), good ? NOTHING : 13);
    check("has what was written", (u32)read_msr(0xc0000080), good ? low : 0);
    write_msr(0xc0000080, 0);
  }
  /* A register that there is not. */
  check("an MSR that there is not", refuses(0xc0001234, 0, 0), 13);
  check("MTRR capabilities are read only", refuses(0xfe, 0, 0), 13);
}

void test_registers(void) {
  if (left_out_by_tcg("values of registers that it takes")) return;
  control_registers();
  debug_registers();
  model_specific();
  /* LTR of no selector (AMD volume 3, LTR). */
  expect_fault("LTR of a null selector", load_null_task, 13, 0, 2);
  expect_fault("LTR of a null selector with a level", load_null_task_3, 13, 0, 5);
  /* XCR0: x87 always, AVX with SSE (AMD volume 2, 11.5.2). */
  register_low = 1;
  expect_fault("XSETBV without CR4.OSXSAVE", set_extended, 6, 0, 9);
  write_cr4(read_cr4() | 0x40000);
  expect_nothing("x87 alone", set_extended);
  register_low = 0;
  expect_fault("without x87", set_extended, 13, 0, 9);
  register_low = 5;
  expect_fault("AVX without SSE", set_extended, 13, 0, 9);
  register_low = 0x11;
  expect_fault("a component that there is not", set_extended, 13, 0, 9);
  register_low = 1;
  expect_nothing("x87 alone again", set_extended);
  write_cr4(read_cr4() & ~0x40000u);
}

/* Control, debug and model-specific registers, and what only level 0 may execute. */
#include "cases.h"

#define REGISTER(name, which)                                                                                             \
  SNIPPET_OF(to_##name, "mov %ecx, %" which "; mov %" which ", %eax; int3", "mov %ecx, %" which "; mov %" which ", %eax; int3", \
             "mov %rcx, %" which "; mov %" which ", %rax")                                                                \
  SNIPPET_OF(from_##name, "mov %" which ", %eax; int3", "mov %" which ", %eax; int3", "mov %" which ", %rax")
REGISTER(cr0, "cr0")
REGISTER(cr2, "cr2")
REGISTER(cr3, "cr3")
REGISTER(cr4, "cr4")
REGISTER(dr0, "db0")
REGISTER(dr3, "db3")
REGISTER(dr6, "db6")
SNIPPET_OF(to_dr7, "mov %ecx, %db7; mov %db7, %eax; mov %edx, %db7; int3", "mov %ecx, %db7; mov %db7, %eax; mov %edx, %db7; int3",
           "mov %rcx, %db7; mov %db7, %rax; mov %rdx, %db7")
SNIPPET(from_dr7, ".byte 0x0f, 0x21, 0xf8")
SNIPPET(from_dr4, ".byte 0x0f, 0x21, 0xe0")
SNIPPET(to_dr5, ".byte 0x0f, 0x23, 0xea")
SNIPPET(from_cr1, ".byte 0x0f, 0x20, 0xc8")
SNIPPET(to_cr5, ".byte 0x0f, 0x22, 0xe9")
SNIPPET(from_cr7, ".byte 0x0f, 0x20, 0xf8")
SNIPPET_OF(to_cr8, "int3; int3", "int3; int3", "mov %rcx, %cr8; mov %cr8, %rax; xor %edx, %edx; mov %rdx, %cr8")
SNIPPET_OF(from_cr8, "int3; int3", "int3; int3", "mov %cr8, %rax")
SNIPPET(to_msr, "wrmsr; rdmsr")
SNIPPET(from_msr, "rdmsr")
SNIPPET(lmsw, "lmsw %cx; smsw %eax")
SNIPPET(lmsw_memory, "lmsw (%ebx)")
SNIPPET(smsw, "smsw %eax")
SNIPPET_OF(smsw_other, "smsw %eax; int3", "smsw %ax; int3", "smsw %rax")
SNIPPET(smsw_memory, "smsw (%ebx)")
SNIPPET(clts, "clts")
SNIPPET(hlt, "hlt")
SNIPPET(invd, "invd")
SNIPPET(wbinvd, "wbinvd")
SNIPPET(invlpg, "invlpg (%ebx)")
SNIPPET(lgdt, "lgdt (%ebx)")
SNIPPET(lidt, "lidt (%ebx)")
SNIPPET(lldt_0, "xor %eax, %eax; lldt %ax")
SNIPPET(ltr_0, "xor %eax, %eax; ltr %ax")
SNIPPET(sgdt, "sgdt (%ebx)")
SNIPPET(sidt, "sidt (%ebx)")
SNIPPET(sldt, "sldt %eax")
SNIPPET(str, "str %eax")
SNIPPET(swapgs, ".byte 0x0f, 0x01, 0xf8")
SNIPPET(cli, "cli")
SNIPPET(sti, "sti; nop")
SNIPPET(stac, "stac")
SNIPPET(clac, "clac")
SNIPPET(rsm, "rsm")
SNIPPET(sysret_32, "sysretl")
SNIPPET(xsetbv, "xsetbv")
SNIPPET(xgetbv, "xor %ecx, %ecx; xgetbv; xor %eax, %eax; xor %edx, %edx")
SNIPPET_OF(fsbase, "int3; int3", "int3; int3", "wrfsbase %rcx; rdfsbase %rax")
SNIPPET(time_stamp, "rdtsc; xor %eax, %eax; xor %edx, %edx")
SNIPPET(rdtscp, "rdtscp; xor %eax, %eax; xor %edx, %edx; xor %ecx, %ecx")

static void bits_of(const char *name, const struct snippet *snippet, enum mode of, u64 base, u64 leave_out) {
  group("%s %s", name, mode_names[of]);
  for (u32 bit = 0; bit < 64; bit++) {
    if (leave_out >> bit & 1) continue;
    if (bit >= 32 && of != L64) break;
    begin(of, 0);
    before.r.cx = base ^ (u64)1 << bit;
    before.r.dx = 0x400;
    run(snippet, bit, ~0u);
  }
}

static void registers(enum mode of) {
  extern u32 plain_cr0;
  extern u64 long_tables[];
  u64 cr0 = plain_cr0 | (is_long(of) ? 0x80000000 : 0);
  /* PE and PG: QEMU refuses no combination, and without them the handler would not be there; it keeps reserved bits. registers.c has those. */
  u64 known = (u64)0xe005003e & ~((u64)1 << 31);
  bits_of("MOV-CR0", &to_cr0, of, cr0, ~(known & ~(u64)0x20000000));
  bits_of("MOV-CR0 with CD", &to_cr0, of, cr0 | 0x40000000, ~(known & ~(u64)0x40000000));
  bits_of("MOV-CR2", &to_cr2, of, 0, 0);
  bits_of("MOV-CR3", &to_cr3, of, (u32)long_tables, is_long(of) ? ~0xfffull : 0);
  /* SMEP and SMAP would keep the handler's code from it, and QEMU lets long mode lose PAE. It takes or never ends writes of bits that are not there: registers.c has those. */
  bits_of("MOV-CR4", &to_cr4, of, is_long(of) ? 0x20 : 0, ~(of == P32 || of == P16 ? 0x750ffcull : 0x770ffcull) | (is_long(of) ? 3 << 20 | 0x20 : 0));
  bits_of("MOV-DR0", &to_dr0, of, 0, 0);
  bits_of("MOV-DR3", &to_dr3, of, 0, 0);
  bits_of("MOV-DR6", &to_dr6, of, 0, (u64)1 << 12);
  /* General detect would fault at the restoring; QEMU keeps the bits beside it, and bit 12 of DR6. */
  bits_of("MOV-DR7", &to_dr7, of, 0x400, (u64)0xf << 12);
  if (of == L64) bits_of("MOV-CR8", &to_cr8, of, 0, ~0xfull);
  group("LMSW %s", mode_names[of]);
  for (u32 value = 0; value < 32; value++) {
    for (u32 ts = 0; ts < 2; ts++) {
      begin(of, 0);
      before.cr0 |= ts ? 8 : 0;
      before.r.cx = 0xfff0u ^ value;
      run(&lmsw, value, ts);
    }
  }
}

static void privileged(enum mode of) {
  static const struct instruction instructions[] = {
      {"CLTS", &clts}, {"INVD", &invd}, {"WBINVD", &wbinvd}, {"INVLPG", &invlpg}, {"LGDT", &lgdt}, {"LIDT", &lidt}, {"LLDT", &lldt_0}, {"LTR", &ltr_0},
      {"SGDT", &sgdt}, {"SIDT", &sidt}, {"SLDT", &sldt}, {"STR", &str}, {"SMSW", &smsw}, {"SMSW-other", &smsw_other}, {"SMSW-memory", &smsw_memory},
      {"LMSW", &lmsw_memory}, {"SWAPGS", &swapgs}, {"CLI", &cli}, {"STI", &sti}, {"STAC", &stac}, {"CLAC", &clac}, {"RSM", &rsm},
      {"XSETBV", &xsetbv}, {"XGETBV", &xgetbv}, {"RDTSC", &time_stamp}, {"RDTSCP", &rdtscp},
      {"RDMSR", &from_msr}, {"WRMSR", &to_msr}, {"HLT", &hlt}, {"from-CR0", &from_cr0}, {"from-CR1", &from_cr1}, {"from-CR2", &from_cr2},
      {"from-CR3", &from_cr3}, {"from-CR4", &from_cr4}, {"from-CR7", &from_cr7}, {"from-CR8", &from_cr8}, {"to-CR5", &to_cr5}, {"from-DR0", &from_dr0},
      {"from-DR3", &from_dr3}, {"from-DR4", &from_dr4}, {"from-DR6", &from_dr6}, {"from-DR7", &from_dr7}, {"to-DR5", &to_dr5}, {"to-CR0", &to_cr0},
      {"to-CR2", &to_cr2}, {"to-CR3", &to_cr3}, {"to-CR4", &to_cr4}, {"to-CR8", &to_cr8}, {"to-DR0", &to_dr0}, {"to-DR7", &to_dr7}, {"FSBASE", &fsbase},
      {"SYSRET", &sysret_32},
  };
  /* UMIP, TSD, DE, FSGSBASE, OSXSAVE. */
  static const u32 cr4[] = {0, 0x800, 4, 8, 0x10000, 0x40000};
  for (u32 at_level = 0; at_level < 4; at_level++) {
    group("privileged %s cpl%x", mode_names[of], at_level);
    for (u32 index = 0; index < COUNT_OF(instructions); index++) {
      const struct snippet *snippet = instructions[index].snippet;
      /* Level 0 would be left without tables, or for good. */
      int leaves = snippet == &lgdt || snippet == &ltr_0 || snippet == &lidt || snippet == &hlt || snippet == &to_cr0 || snippet == &to_cr3 || snippet == &to_cr4;
      int needs_registers = snippet == &sysret_32;
      if ((leaves || needs_registers) && at_level == 0) continue;
      /* That a register does not exist is found before its level, but by QEMU. */
      if ((snippet == &from_cr1 || snippet == &from_cr7 || snippet == &to_cr5) && at_level != 0) continue;
      for (u32 control = 0; control < 6; control++) {
        /* QEMU looks at the level before it looks whether the instruction is there. */
        if ((snippet == &from_dr4 || snippet == &to_dr5) && cr4[control] == 8 && at_level != 0) continue;
        if (snippet == &xsetbv && cr4[control] != 0x40000) continue;
        for (u32 iopl = 0; iopl < 4; iopl += 3) {
          begin(of, at_level);
          before.cr4 = cr4[control];
          before.flags = 2 | iopl << 12;
          before.r.cx = snippet == &to_msr || snippet == &from_msr ? 0x277 : snippet == &xsetbv ? 0 : 1;
          before.r.ax = 1;
          before.r.dx = snippet == &to_dr7 ? 0x400 : 0;
          put_data(0, 1);
          put_data(4, 0);
          put_data(8, 0);
          u64 pat = read_msr(0x277);
          run(snippet, index, control << 4 | iopl);
          write_msr(0x277, pat);
        }
      }
    }
  }
}

static void model_specific(enum mode of) {
  static const u32 numbers[] = {0x174, 0x175, 0x176, 0x277, 0xc0000081, 0xc0000082, 0xc0000083, 0xc0000084, 0xc0000100, 0xc0000101, 0xc0000102,
                                0xc0000103};
  /* QEMU refuses no value; registers.c has those that are to be refused, or shortened. */
  static const u64 values[] = {0, 1, 8, 0xfffb, 0x0007040600070406, 0x7fffffff, 0x80000000, 0xffffffff, 0x7fffffffffff, 0xffff800000000000};
  for (u32 index = 0; index < COUNT_OF(numbers); index++) {
    group("WRMSR %x %s", numbers[index], mode_names[of]);
    for (u32 value = 0; value < COUNT_OF(values); value++) {
      if (numbers[index] != 0x277 && value == 4) continue;
      if (numbers[index] == 0x277 && value != 0 && value != 4) continue;
      if (numbers[index] == 0x174 && value > 3) continue;
      if ((numbers[index] == 0xc0000084 || numbers[index] == 0xc0000103) && values[value] >> 32 != 0) continue;
      begin(of, 0);
      u64 old = read_msr(numbers[index]);
      before.r.cx = numbers[index];
      before.r.ax = (u32)values[value];
      before.r.dx = values[value] >> 32;
      run(&to_msr, value, ~0u);
      write_msr(numbers[index], old);
    }
  }
  group("WRMSR EFER %s", mode_names[of]);
  for (u32 bit = 0; bit < 12; bit++) {
    if (bit != 0 && (bit != 8 || is_long(of)) && bit != 11) continue;
    begin(of, 0);
    u64 value = (is_long(of) ? 0xd01 : 0) ^ (u64)1 << bit;
    before.r.cx = 0xc0000080;
    before.r.ax = (u32)value;
    before.r.dx = value >> 32;
    run(&to_msr, bit, ~0u);
    write_msr(0xc0000080, 0);
  }
}

void control_cases(void) {
  for (u32 which = 0; which < PROTECTED_MODES; which++) {
    registers(protected_modes[which]);
    privileged(protected_modes[which]);
    model_specific(protected_modes[which]);
  }
}

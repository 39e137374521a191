/* Real mode: segments, flags, far transfers and interrupts, what does not exist there. */
#include "cases.h"

#define SNIPPET_REAL(name, text) SNIPPET_OF(name, text "; int3", "int3", "")
SNIPPET_REAL(real_popf, "popf")
SNIPPET_REAL(real_popfl, "popfl")
SNIPPET_REAL(real_pushf, "pushf")
SNIPPET_REAL(real_pushfl, "pushfl")
SNIPPET_REAL(real_iret, "iret")
SNIPPET_REAL(real_iretl, "iretl")
SNIPPET_REAL(real_retf, "lret")
SNIPPET_REAL(real_retfl, "lretl")
SNIPPET_REAL(real_retf8, "lret $8")
SNIPPET_REAL(real_jump, "ljmp *(%bx)")
SNIPPET_REAL(real_jumpl, "ljmpl *(%bx)")
SNIPPET_REAL(real_call, "lcall *(%bx)")
SNIPPET_REAL(real_calll, "lcalll *(%bx)")
SNIPPET_REAL(real_interrupt, "int $0x90")
SNIPPET_REAL(real_into, "into")
SNIPPET_REAL(real_bound, "bound %ax, (%bx)")
SNIPPET_REAL(real_divide, "xor %cx, %cx; div %cx")
SNIPPET_REAL(real_aam, "aam $0")
SNIPPET_REAL(real_undefined, "ud2")
SNIPPET_REAL(real_move_es, "mov %cx, %es; mov %es:0, %ax")
SNIPPET_REAL(real_move_ss, "mov %cx, %ss; mov %sp, %bp; mov 0(%bp), %ax; mov %dx, %ss")
SNIPPET_REAL(real_les, "les (%bx), %ax")
SNIPPET_REAL(real_lds, "lds (%bx), %ax")
SNIPPET_REAL(real_lfsl, "lfsl (%bx), %eax")
SNIPPET_REAL(real_to_cs, ".byte 0x8e, 0xc9")
SNIPPET_REAL(real_from_6, ".byte 0x8c, 0xf0")
SNIPPET_REAL(real_lar, "lar %cx, %ax")
SNIPPET_REAL(real_lsl, "lsl %cx, %ax")
SNIPPET_REAL(real_verr, "verr %cx")
SNIPPET_REAL(real_verw, "verw %cx")
SNIPPET_REAL(real_lldt, "lldt %cx")
SNIPPET_REAL(real_ltr, "ltr %cx")
SNIPPET_REAL(real_sldt, "sldt %cx")
SNIPPET_REAL(real_str, "str %cx")
SNIPPET_REAL(real_arpl, "arpl %cx, %ax")
SNIPPET_REAL(real_sysenter, "sysenter")
SNIPPET_REAL(real_sysexit, ".byte 0x0f, 0x35")
SNIPPET_REAL(real_smsw, "smsw %ax")
SNIPPET_REAL(real_smswl, "smsw %eax")
SNIPPET_REAL(real_lmsw, "lmsw %cx")
SNIPPET_REAL(real_clts, "clts")
SNIPPET_REAL(real_invlpg, "invlpg (%bx)")
SNIPPET_REAL(real_cr0, "mov %cr0, %eax")
SNIPPET_REAL(real_cr4, "mov %cr4, %eax")
SNIPPET_REAL(real_dr6, "mov %db6, %eax")
SNIPPET_REAL(real_pushw, "push %ax")
SNIPPET_REAL(real_pushl, "push %eax")
SNIPPET_REAL(real_popw, "pop %ax")
SNIPPET_REAL(real_popl, "pop %eax")
SNIPPET_REAL(real_push_esp, "push %esp")
SNIPPET_REAL(real_pusha, "pusha")
SNIPPET_REAL(real_popa, "popa")
SNIPPET_REAL(real_pushal, "pushal")
SNIPPET_REAL(real_popal, "popal")
SNIPPET_REAL(real_enter, "enter $4, $2")
SNIPPET_REAL(real_leave, "mov %sp, %bp; leave")
SNIPPET_REAL(real_call_near, "call 9f; 9: nop")
SNIPPET_REAL(real_calll_near, "calll 9f; 9: nop")
SNIPPET_REAL(real_strings, "mov $0xfffe, %si; mov $0xfffc, %di; mov $4, %cx; cld; rep movsb")
SNIPPET_REAL(real_words, "mov $0xfffe, %si; mov $0xfffc, %di; mov $2, %cx; cld; rep movsw")
SNIPPET_REAL(real_down, "mov $1, %si; mov $0x20, %di; mov $4, %cx; std; rep movsb; cld")
SNIPPET_REAL(real_cli, "cli")
SNIPPET_REAL(real_sti, "sti; nop; cli")
SNIPPET_REAL(real_cpuid, "xor %eax, %eax; cpuid; xor %eax, %eax; xor %ebx, %ebx; xor %ecx, %ecx; xor %edx, %edx")
SNIPPET_REAL(real_monitor_msw, "smsw (%bx)")
SNIPPET_REAL(real_wide_address, "mov %ebx, %edi; movw $0x1234, %ds:4(%edi)")
SNIPPET_REAL(real_stac, "stac")
SNIPPET_REAL(real_swapgs, ".byte 0x0f, 0x01, 0xf8")
SNIPPET_REAL(real_xgetbv, "xor %ecx, %ecx; xgetbv; xor %eax, %eax; xor %edx, %edx")
SNIPPET_REAL(real_avx, ".byte 0xc5, 0xf8, 0x77")

static void flags_of(const char *name, const struct snippet *snippet, u32 frame) {
  group("%s real", name);
  for (u32 bit = 0; bit < 32; bit++) {
    for (u32 inverted = 0; inverted < 2; inverted++) {
      begin(REAL, 0);
      u32 flags = one_flag(bit, inverted, 0x3c7ed5);
      if (frame != 0) flags &= ~0x30000u;
      before.flags = inverted ? 0x202 : 2;
      if (frame == 2) {
        put_stack(STACK_TOP, LAND16);
        put_stack(STACK_TOP + 4, flags);
      } else if (frame == 4) {
        put_stack(STACK_TOP, LAND16);
        put_stack(STACK_TOP + 4, 0);
        put_stack(STACK_TOP + 8, flags);
      } else put_stack(STACK_TOP, flags);
      run(snippet, bit, inverted);
    }
  }
}

void real_cases(void) {
  flags_of("POPF", &real_popf, 0);
  flags_of("POPF-32", &real_popfl, 0);
  flags_of("IRET", &real_iret, 2);
  flags_of("IRET-32", &real_iretl, 4);
  group("PUSHF real");
  for (u32 bit = 0; bit < 16; bit++) {
    if (bit == 8) continue;
    begin(REAL, 0);
    before.flags = 2 | 1u << bit;
    run(&real_pushf, bit, 0);
    begin(REAL, 0);
    before.flags = 2 | 1u << bit;
    run(&real_pushfl, bit, 1);
  }
  static const struct instruction instructions[] = {
      {"RETF", &real_retf}, {"RETF-32", &real_retfl}, {"RETF-8", &real_retf8}, {"JMP", &real_jump}, {"JMP-32", &real_jumpl}, {"CALL", &real_call},
      {"CALL-32", &real_calll}, {"INT", &real_interrupt}, {"INTO", &real_into}, {"BOUND", &real_bound}, {"DIV", &real_divide}, {"AAM", &real_aam},
      {"UD2", &real_undefined}, {"MOV-ES", &real_move_es}, {"MOV-SS", &real_move_ss}, {"LES", &real_les}, {"LDS", &real_lds}, {"LFS-32", &real_lfsl},
      {"to-CS", &real_to_cs}, {"from-6", &real_from_6}, {"LAR", &real_lar}, {"LSL", &real_lsl}, {"VERR", &real_verr}, {"VERW", &real_verw},
      {"LLDT", &real_lldt}, {"LTR", &real_ltr}, {"SLDT", &real_sldt}, {"STR", &real_str}, {"ARPL", &real_arpl}, {"SYSENTER", &real_sysenter},
      {"SYSEXIT", &real_sysexit}, {"SMSW", &real_smsw}, {"SMSW-32", &real_smswl}, {"LMSW", &real_lmsw}, {"CLTS", &real_clts},
      {"INVLPG", &real_invlpg}, {"from-CR0", &real_cr0}, {"from-CR4", &real_cr4}, {"from-DR6", &real_dr6}, {"PUSH", &real_pushw}, {"PUSH-32", &real_pushl},
      {"POP", &real_popw}, {"POP-32", &real_popl}, {"PUSH-ESP", &real_push_esp}, {"PUSHA", &real_pusha}, {"POPA", &real_popa}, {"PUSHA-32", &real_pushal},
      {"POPA-32", &real_popal}, {"ENTER", &real_enter}, {"LEAVE", &real_leave}, {"CALL-near", &real_call_near}, {"CALL-near-32", &real_calll_near},
      {"MOVS-wraps", &real_strings}, {"MOVSW-wraps", &real_words}, {"MOVS-down", &real_down}, {"CLI", &real_cli}, {"STI", &real_sti}, {"CPUID", &real_cpuid},
      {"SMSW-memory", &real_monitor_msw}, {"wide-address", &real_wide_address}, {"STAC", &real_stac}, {"SWAPGS", &real_swapgs},
      {"XGETBV", &real_xgetbv}, {"VZEROUPPER", &real_avx},
  };
  static const u32 selectors[] = {0, 0x1234, 0x3000, 0x4800};
  for (u32 index = 0; index < COUNT_OF(instructions); index++) {
    group("%s real", instructions[index].name);
    for (u32 selector = 0; selector < 4; selector++) {
      for (u32 variant = 0; variant < 4; variant++) {
        begin(REAL, 0);
        /* Far pointers and frames lead to a landing place. */
        put_data(0, LAND16);
        put_data(4, 0);
        put_stack(STACK_TOP, LAND16);
        put_stack(STACK_TOP + 4, 0);
        if (instructions[index].snippet == &real_les || instructions[index].snippet == &real_lds) put_data(0, selectors[selector] << 16 | 0x5678);
        if (instructions[index].snippet == &real_lfsl) put_data(4, selectors[selector]);
        if (instructions[index].snippet == &real_bound) put_data(0, selectors[selector] << 16 | 0x10);
        before.r.cx = instructions[index].snippet == &real_lmsw ? selectors[selector] & 0xe : selectors[selector];
        before.r.dx = before.ss;
        before.r.ax = variant & 1 ? 0x20 : 0xa1a27fff;
        before.flags = variant & 2 ? 0xad7 : 2;
        before.r.sp = STACK_TOP + (variant & 1 ? 0xabcd0000 : 0);
        run(instructions[index].snippet, selector, variant);
      }
    }
  }
  /* The stack's end. */
  group("stack pointers real");
  static const struct snippet *const stacks[] = {&real_pushw, &real_pushl, &real_popw, &real_popl, &real_push_esp, &real_pusha, &real_pushal, &real_popa,
                                                 &real_popal, &real_enter, &real_leave, &real_call_near, &real_calll_near, &real_pushf, &real_pushfl};
  static const u32 pointers[] = {0x10, 0x30, 0xfff0, 0xffd8, 0x20};
  for (u32 index = 0; index < COUNT_OF(stacks); index++) {
    for (u32 pointer = 0; pointer < 5; pointer++) {
      begin(REAL, 0);
      before.r.sp = pointers[pointer];
      run(stacks[index], index, pointers[pointer]);
    }
  }
}

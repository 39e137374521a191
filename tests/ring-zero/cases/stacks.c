/* PUSH, POP, CALL, RET, ENTER, LEAVE and their relatives on stacks of 16, 32 and 64 bits with operands of each size; addresses of 16 bits. */
#include "cases.h"

SNIPPET_OF(push_register, "push %ax; int3", "push %eax; int3", "push %rax")
SNIPPET_OF(push_other, "push %eax; int3", "push %ax; int3", "push %ax")
SNIPPET(push_immediate, "push $-2")
SNIPPET_OF(push_immediate_other, ".byte 0x66; push $-2; int3", ".byte 0x66; push $-2; int3", ".byte 0x66; push $-2")
SNIPPET_OF(push_sp, "push %sp; int3", "push %esp; int3", "push %rsp")
SNIPPET_OF(pop_register, "pop %ax; int3", "pop %eax; int3", "pop %rax")
SNIPPET_OF(pop_other, "pop %eax; int3", "pop %ax; int3", "pop %ax")
SNIPPET_OF(pop_sp, "pop %sp; int3", "pop %esp; int3", "pop %rsp")
SNIPPET_OF(pop_memory, "popw (%esp); int3", "popl 8(%esp); int3", "popq 8(%rsp)")
SNIPPET(push_fs, "push %fs")
SNIPPET_OF(push_fs_other, "pushl %fs; int3", "pushw %fs; int3", "pushw %fs")
SNIPPET(pop_fs, "push $0; pop %fs")
SNIPPET_LEGACY(pusha, "pusha")
SNIPPET_OF(pusha_other, "pushal; int3", "pushaw; int3", "")
SNIPPET_LEGACY(popa, "popa")
SNIPPET_OF(popa_other, "popal; int3", "popaw; int3", "")
SNIPPET(enter_0, "enter $8, $0")
SNIPPET(enter_1, "enter $8, $1")
SNIPPET(enter_3, "mov %esp, %ebp; enter $8, $3")
SNIPPET_OF(enter_other, "enterl $8, $2; int3", ".byte 0x66; enter $8, $2; int3", ".byte 0x66; enter $8, $2")
SNIPPET(leave, "mov %esp, %ebp; add $4, %ebp; leave")
SNIPPET_OF(leave_other, "mov %esp, %ebp; leavel; int3", "mov %esp, %ebp; leavew; int3", "mov %rsp, %rbp; leavew")
SNIPPET(call_near, "call 9f; 9: nop")
SNIPPET_OF(call_other, ".byte 0x66, 0xe8, 0, 0, 0, 0; int3", "call 9f; 9: nop; int3", "call 9f; 9: nop")
SNIPPET(return_releases, "call 9f; 9: add $4, %esp; sub $4, %esp; jmp 8f; 8: nop")
SNIPPET(move_with_bp, "mov %esp, %ebp; movw $0x1234, -2(%ebp)")
SNIPPET_OF(move_with_bp16, "mov %esp, %ebp; movw $0x1234, -2(%bp); nop; int3", "mov %esp, %ebp; addr16 movw $0x1234, -2(%bp); nop; int3", "")
SNIPPET(strings, "mov %ebx, %esi; lea 8(%ebx), %edi; mov $6, %ecx; cld; rep movsb")
SNIPPET_OF(strings_narrow, "mov %ebx, %esi; lea 8(%ebx), %edi; mov $0x10003, %ecx; cld; rep movsb; int3", "mov %ebx, %esi; lea 8(%ebx), %edi; mov $0x10003, %ecx; cld; addr16 rep movsb; int3", "")
SNIPPET_OF(strings_wrap, "mov $0xfffe, %si; mov $0xfffc, %di; mov $4, %cx; cld; rep movsb; int3", "mov $0xfffe, %si; mov $0xfffc, %di; mov $4, %cx; cld; addr16 rep movsb; int3", "")
SNIPPET_OF(strings_down, "mov $1, %si; mov $0x20, %di; mov $4, %cx; std; rep movsb; cld; int3", "mov $1, %si; mov $0x20, %di; mov $4, %cx; std; addr16 rep movsb; cld; int3", "")
SNIPPET_OF(loop_narrow, "mov $0x20003, %ecx; xor %eax, %eax; 9: inc %eax; loop 9b; int3", "mov $0x20003, %ecx; xor %eax, %eax; 9: inc %eax; addr16 loop 9b; int3", "")
SNIPPET_OF(loop_wide, "mov $3, %ecx; xor %eax, %eax; 9: inc %eax; addr32 loop 9b; int3", "mov $3, %ecx; xor %eax, %eax; 9: inc %eax; loop 9b; int3", "")
SNIPPET_OF(translate, "mov $0x3f, %al; xlat; nop; int3", "mov $0x3f, %al; addr16 xlat; nop; int3", "")

#define ADDRESS(name, form) SNIPPET_LEGACY(lea_##name, "lea " form ", %eax")
ADDRESS(0, "(%bx, %si)")
ADDRESS(1, "(%bx, %di)")
ADDRESS(2, "(%bp, %si)")
ADDRESS(3, "(%bp, %di)")
ADDRESS(4, "(%si)")
ADDRESS(5, "(%di)")
ADDRESS(6, "0x1234")
ADDRESS(7, "(%bx)")
ADDRESS(8, "-1(%bx, %si)")
ADDRESS(9, "127(%bx, %di)")
ADDRESS(10, "-128(%bp, %si)")
ADDRESS(11, "1(%bp, %di)")
ADDRESS(12, "-1(%si)")
ADDRESS(13, "-1(%di)")
ADDRESS(14, "0(%bp)")
ADDRESS(15, "-4(%bx)")
ADDRESS(16, "0x8001(%bx, %si)")
ADDRESS(17, "0x7fff(%bx, %di)")
ADDRESS(18, "-0x8000(%bp, %si)")
ADDRESS(19, "0x1000(%bp, %di)")
ADDRESS(20, "0x5555(%si)")
ADDRESS(21, "-0x5555(%di)")
ADDRESS(22, "0x300(%bp)")
ADDRESS(23, "0x7f00(%bx)")

static const struct snippet *const addresses[] = {
    &lea_0, &lea_1, &lea_2, &lea_3, &lea_4, &lea_5, &lea_6, &lea_7, &lea_8, &lea_9, &lea_10, &lea_11,
    &lea_12, &lea_13, &lea_14, &lea_15, &lea_16, &lea_17, &lea_18, &lea_19, &lea_20, &lea_21, &lea_22, &lea_23,
};

void stack_cases(void) {
  static const struct {
    const char *name;
    const struct snippet *snippet;
    int legacy;
  } instructions[] = {
      {"PUSH", &push_register, 0}, {"PUSH-other", &push_other, 0}, {"PUSH-immediate", &push_immediate, 0}, {"PUSH-immediate-other", &push_immediate_other, 0},
      {"PUSH-SP", &push_sp, 0}, {"POP", &pop_register, 0}, {"POP-other", &pop_other, 0}, {"POP-SP", &pop_sp, 0}, {"POP-memory", &pop_memory, 0},
      {"PUSH-FS", &push_fs, 0}, {"PUSH-FS-other", &push_fs_other, 0}, {"POP-FS", &pop_fs, 0}, {"PUSHA", &pusha, 1}, {"PUSHA-other", &pusha_other, 1},
      {"POPA", &popa, 1}, {"POPA-other", &popa_other, 1}, {"ENTER-0", &enter_0, 0}, {"ENTER-1", &enter_1, 0}, {"ENTER-3", &enter_3, 0},
      {"ENTER-other", &enter_other, 0}, {"LEAVE", &leave, 0}, {"LEAVE-other", &leave_other, 0}, {"CALL", &call_near, 0}, {"CALL-other", &call_other, 0},
      {"CALL-pops", &return_releases, 0}, {"by-BP", &move_with_bp, 0}, {"by-BP-16", &move_with_bp16, 1}, {"MOVS", &strings, 0},
      {"MOVS-16", &strings_narrow, 1}, {"MOVS-wraps", &strings_wrap, 1}, {"MOVS-down", &strings_down, 1}, {"LOOP-16", &loop_narrow, 1}, {"LOOP-32", &loop_wide, 1},
      {"XLAT", &translate, 1},
  };
  for (enum mode of = P16; of < MODES; of++) {
    for (u32 wide = 0; wide < 2; wide++) {
      group("stacks %s wide%x", mode_names[of], wide);
      /* Level 3, so that the exception's frame lies elsewhere. */
      for (u32 index = 0; index < COUNT_OF(instructions); index++) {
        if (instructions[index].legacy && of == L64) continue;
        static const u32 pointers[] = {STACK_TOP, 0, 0xfff8, STACK_TOP + 2, STACK_TOP - 6};
        for (u32 pointer = 0; pointer < 5; pointer++) {
          /* A wide stack is flat: only its middle is the case's. */
          if ((wide || of == L64) && (pointer == 1 || pointer == 2)) continue;
          for (u32 high = 0; high < 2; high++) {
            if ((wide || of == L64) && high) continue;
            begin(of, 3);
            before.ss = wide ? OF_LEVEL(DATA32, 3) : OF_LEVEL(STACK16, 3);
            before.r.sp = pointers[pointer] + (wide || of == L64 ? STACK_BASE : high ? 0xabcd0000 : 0);
            before.r.bp = (wide || of == L64 ? STACK_BASE : 0x12340000) + STACK_TOP + 0x10;
            for (u32 offset = 0; offset < 0x20; offset += 4) put_stack(STACK_TOP + offset, 0x01020304 * (offset / 4 + 1));
            /* Beyond the limit by the upper half of ESP, which QEMU does not see, and neither the end of the segment. */
            const struct snippet *snippet = instructions[index].snippet;
            if (!wide && of != L64 && (snippet == &pop_memory || snippet == &move_with_bp)) continue;
            if (!wide && pointer != 0 && pointer < 3 && (snippet == &popa || snippet == &popa_other || snippet == &enter_0 || snippet == &enter_1 || snippet == &enter_3 || snippet == &enter_other || snippet == &leave)) continue;
            run(instructions[index].snippet, index, pointer << 4 | high);
          }
        }
      }
    }
    if (of == L64) continue;
    group("LEA of 16 bits %s", mode_names[of]);
    for (u32 index = 0; index < 24; index++) {
      begin(of, 3);
      before.r.bx = 0x1111f123;
      before.r.si = 0x2222e456;
      before.r.di = 0x33330fff;
      before.r.bp = 0x4444fff0;
      run(addresses[index], index, ~0u);
    }
  }
}

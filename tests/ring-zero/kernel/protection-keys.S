/*
 * Accesses in long mode, one after the other, each with tables, PKRU and level of its own: protection-keys.c lays them out in walk_cases and
 * has CR0 and CR4 in walk_cr0 and walk_cr4; walk_in_long_mode enters 64-bit code, tries them, and puts down how each ended.
 *
 *   0 u64 entry of the upper table   8 u64 entry of the page   16 u32 PKRU   20 u32 kind, bit 8: without INVLPG
 *   24 u32 vector (0x100: none)      28 u32 error code         32 u64 CR2
 */
#include "../shared/assembler.h"
    .set PAGE_UNDER_TEST, 0x40000000
    .set CASE_BYTES, 40
    .text
    .globl walk_in_long_mode
walk_in_long_mode:
    pusha
    mov %esp, walk_saved_esp
    sidt walk_saved_idt
    mov %cr4, %eax
    mov %eax, walk_saved_cr4
    mov %cr0, %eax
    mov %eax, walk_saved_cr0
    mov walk_cr0, %eax
    mov %eax, %cr0
    mov walk_cr4, %eax
    enter_long_mode walk_tables
    lidt walk_idt_pointer
    ljmp $KERNEL_CODE64, $in_long_mode
back_from_walks:
    all_segments KERNEL_DATA    /* IRET to level 3 has left none */
    leave_long_mode
    mov walk_saved_cr0, %eax
    mov %eax, %cr0
    mov walk_saved_cr4, %eax
    mov %eax, %cr4
    lidt walk_saved_idt
    mov walk_saved_esp, %esp
    popa
    ret

    .code64
in_long_mode:
    xor %eax, %eax
    mov %eax, %ss
    mov $0x90000, %esp
    mov $0x38, %eax
    ltr %ax
    mov $walk_cases, %ebx
    mov walk_cr4(%rip), %r12d
1:  cmp walk_end(%rip), %ebx
    je 3f
    mov (%rbx), %rax
    mov %rax, walk_directory(%rip)
    mov 8(%rbx), %rax
    mov %rax, walk_table(%rip)
    mov 20(%rbx), %ebp
    bt $8, %ebp
    jc 2f
    invlpg PAGE_UNDER_TEST
2:  bt $22, %r12d               /* CR4.PKE */
    jnc 4f
    mov 16(%rbx), %eax
    xor %ecx, %ecx
    xor %edx, %edx
    .byte 0x0f, 0x01, 0xef      /* WRPKRU */
4:  movl $0x100, 24(%rbx)
    movl $0, 28(%rbx)
    movq $0, 32(%rbx)
    and $15, %ebp
    mov $walk_kinds, %eax
    jmp *(%rax, %rbp, 8)
ended:
    mov $0x90000, %esp
    add $CASE_BYTES, %rbx
    jmp 1b
3:  bt $22, %r12d
    jnc 5f
    xor %eax, %eax
    xor %ecx, %ecx
    xor %edx, %edx
    .byte 0x0f, 0x01, 0xef
5:  ljmp *walk_back(%rip)

walk_read:
    mov PAGE_UNDER_TEST, %al
    jmp ended
walk_write:
    movb $0xc3, PAGE_UNDER_TEST
    jmp ended
walk_fetch:
    mov $PAGE_UNDER_TEST, %eax
    call *%rax
    jmp ended
walk_stac_read:
    stac
    mov PAGE_UNDER_TEST, %al
    clac
    jmp ended
walk_stac_write:
    stac
    movb $0xc3, PAGE_UNDER_TEST
    clac
    jmp ended
walk_user:
    mov $walk_user_codes - 40, %eax /* of kind 5 */
    mov (%rax, %rbp, 8), %rcx
    mov $user_stack + 4096, %eax
    pushq $0x2b
    push %rax
    pushq $2
    pushq $0x33
    push %rcx
    iretq

    .macro walk_handler vector, code
walk_entry_\vector:
    .if \code == 0
    push $0
    .endif
    movl $\vector, 24(%rbx)
    jmp walk_faulted
    .endm
    walk_handler 6, 0
    walk_handler 13, 1
    walk_handler 14, 1
walk_faulted:
    mov (%rsp), %rax
    mov %eax, 28(%rbx)
    mov %cr2, %rax
    mov %rax, 32(%rbx)
    /* AC stays set where STAC came first; without SMAP there may be no CLAC. */
    pushq $2
    popfq
    jmp ended
walk_came_back:
    jmp ended

    .section .user, "ax"
walk_user_read:
    mov PAGE_UNDER_TEST, %al
    int $0x40
walk_user_write:
    movb $0xc3, PAGE_UNDER_TEST
    int $0x40
walk_user_fetch:
    mov $PAGE_UNDER_TEST, %eax
    call *%rax
    int $0x40
    .code32

    .data
    .align 8
walk_kinds:
    .long walk_read, 0, walk_write, 0, walk_fetch, 0, walk_stac_read, 0, walk_stac_write, 0, walk_user, 0, walk_user, 0, walk_user, 0
walk_user_codes:
    .long walk_user_read, 0, walk_user_write, 0, walk_user_fetch, 0
walk_back:
    .long back_from_walks
    .word KERNEL_CODE
    .globl walk_handlers
/* Vector and handler of each gate. */
walk_handlers:
    .long 6, walk_entry_6, 13, walk_entry_13, 14, walk_entry_14, 0x40, walk_came_back, 0xffff
walk_idt_pointer:
    .word 0xfff
    .long walk_idt
walk_saved_idt:
    .word 0
    .long 0
walk_saved_esp:
    .long 0
walk_saved_cr4:
    .long 0
walk_saved_cr0:
    .long 0
    .globl walk_cr0, walk_cr4, walk_end
walk_cr0:
    .long 0
walk_cr4:
    .long 0
walk_end:
    .long 0

    .bss
    .align 4096
    .globl walk_tables, walk_directory, walk_table, walk_idt, walk_cases
walk_tables: .skip 4096
walk_directory: .skip 4096
walk_table: .skip 4096
walk_idt: .skip 4096
walk_cases: .skip CASE_BYTES * 512

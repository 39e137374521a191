/*
 * The common part of exception handlers of the ring 0 tests' kernel, and attempt(), which calls code that may end in an exception.
 */
#include "../shared/assembler.h"
    .text
    .globl entries
    .align 16
entries:
    exception_entries common

common:
    pusha
    mov %ds, %eax
    push %eax
    mov %es, %eax
    push %eax
    mov %fs, %eax
    push %eax
    mov %gs, %eax
    push %eax
    mov $KERNEL_DATA, %eax
    mov %eax, %ds
    mov %eax, %es
    push %esp
    call trapped
    add $4, %esp
    test %eax, %eax
    jnz abandon
    pop %eax
    mov %eax, %gs
    pop %eax
    mov %eax, %fs
    pop %eax
    mov %eax, %es
    pop %eax
    mov %eax, %ds
    popa
    add $8, %esp
    iret

/* int attempt(code): 0 when it returned, 1 when trapped() gave it up. The state of segments and flags is ours again either way. */
    .globl attempt
attempt:
    push %ebp
    push %ebx
    push %esi
    push %edi
    mov %esp, attempt_stack
    call *20(%esp)
    xor %eax, %eax
    jmp 1f
abandon:
    mov $1, %eax
1:  all_segments KERNEL_DATA
    mov attempt_stack, %esp
    push $2
    popf
    pop %edi
    pop %esi
    pop %ebx
    pop %ebp
    ret

    .bss
    .align 16
attempt_stack:
    .skip 16
    .globl level0_stack
    .skip 0x2000
level0_stack:

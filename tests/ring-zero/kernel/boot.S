/*
 * Entry of the ring 0 tests' kernel: multiboot header, its own descriptor table and stack, then main(). Behind it the common part of
 * exception handlers, and attempt(), which calls code that may end in an exception.
 */
    .section .multiboot, "ax"
    .align 4
    .long 0x1badb002, 3, -(0x1badb002 + 3)

    .text
    .globl start
start:
    cli
    mov $stack_end, %esp
    push $0
    popf
    lgdt gdt_pointer
    xor %ecx, %ecx
    lldt %cx
    ljmp $0x08, $1f
1:  mov $0x10, %ecx
    mov %ecx, %ds
    mov %ecx, %es
    mov %ecx, %fs
    mov %ecx, %gs
    mov %ecx, %ss
    push %ebx
    push %eax
    call main
    push %eax
    call finish

/* 256 entries of 16 bytes: an error code where the processor pushes none, the vector, then the common part. */
    .globl entries
    .align 16
entries:
    vector = 0
    .rept 256
    .align 16
    .if (vector == 8) || ((vector >= 10) && (vector <= 14)) || (vector == 17)
    .byte 0x90, 0x90
    .else
    push $0
    .endif
    push $vector
    jmp common
    vector = vector + 1
    .endr

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
    mov $0x10, %eax
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
1:  mov $0x10, %ecx
    mov %ecx, %ds
    mov %ecx, %ss
    mov attempt_stack, %esp
    mov %ecx, %es
    mov %ecx, %fs
    mov %ecx, %gs
    push $2
    popf
    pop %edi
    pop %esi
    pop %ebx
    pop %ebp
    ret

    .data
    .align 8
    .globl gdt
gdt:
    .quad 0
    .quad 0x00cf9b000000ffff
    .quad 0x00cf93000000ffff
    .fill 61, 8, 0
    .globl gdt_pointer
gdt_pointer:
    .word 64 * 8 - 1
    .long gdt
    .globl attempt_stack
attempt_stack:
    .long 0

    .bss
    .align 16
    .skip 0x4000
stack_end:
    .globl level0_stack
    .skip 0x2000
level0_stack:

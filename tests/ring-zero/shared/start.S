/*
 * Entry of both kernels of the ring 0 tests: multiboot header, a table of descriptors and a stack of their own, then main(), whose result
 * ends the machine.
 */
#include "assembler.h"
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
    ljmp $KERNEL_CODE, $1f
1:  all_segments KERNEL_DATA
    push %ebx
    push %eax
    call main
    out %al, $0xf4
1:  cli
    hlt
    jmp 1b

    .data
    .align 16
    .globl gdt, gdt_pointer, gdt_limit, real_idt_pointer
gdt:
    .quad 0
    .quad 0x00cf9b000000ffff
    .quad 0x00cf93000000ffff
    .fill 61, 8, 0
/* Ten bytes, as 64-bit code loads them. */
gdt_pointer:
gdt_limit:
    .word 64 * 8 - 1
    .long gdt
    .long 0
/* Real mode's table of vectors. */
real_idt_pointer:
    .word 0x3ff
    .long 0

    .bss
    .align 16
    .skip 0x4000
stack_end:

/*
 * Ways between modes, and entries of exceptions, for the assembler of both kernels of the ring 0 tests. Where a macro takes registers of its
 * own, they are EAX, ECX and EDX.
 */
#pragma once
#include "layout.h"
    .set EFER, 0xc0000080

/* Every data segment; ECX alone is lost. */
    .macro all_segments selector
    mov $\selector, %ecx
    mov %ecx, %ds
    mov %ecx, %es
    mov %ecx, %fs
    mov %ecx, %gs
    mov %ecx, %ss
    .endm

/* 256 entries of 16 bytes: an error code where the processor pushes none, the vector, then the common part. */
    .macro exception_entries common
    .align 16
    vector = 0
    .rept 256
    .align 16
    .if (vector == 8) || ((vector >= 10) && (vector <= 14)) || (vector == 17)
    .byte 0x90, 0x90
    .else
    push $0
    .endif
    push $vector
    jmp \common
    vector = vector + 1
    .endr
    .endm

/* To 32-bit code of long mode: EAX is what CR4 is to be but for PAE, CR0 is as it is to be but for PG. */
    .macro enter_long_mode tables
    or $0x20, %eax
    mov %eax, %cr4
    mov $\tables, %eax
    mov %eax, %cr3
    mov $EFER, %ecx
    rdmsr
    or $0x901, %eax             /* LME, NXE, SCE */
    wrmsr
    mov %cr0, %eax
    or $0x80000000, %eax
    mov %eax, %cr0
    .endm

/* From 32-bit code of long mode to protected mode without paging; PAE stays. */
    .macro leave_long_mode
    mov %cr0, %eax
    and $0x7fffffff, %eax
    mov %eax, %cr0
    mov $EFER, %ecx
    xor %eax, %eax
    xor %edx, %edx
    wrmsr
    .endm

/*
 * To the code between real_start and real_end, which C has copied to REAL_CODE; it begins with enter_real_mode. By segments of 16 bits, so
 * that limits are those of real mode.
 */
    .macro call_real_mode
    lidt real_idt_pointer
    ljmp $CODE_FOR_REAL, $REAL_CODE
    .endm
    .macro enter_real_mode
    all_segments DATA_FOR_REAL
    mov %cr0, %eax
    and $~1, %eax
    mov %eax, %cr0
    ljmp $0, $(99f - real_start + REAL_CODE)
99:
    .endm
/* Back to 32-bit code; the segments are still those of real mode. */
    .macro leave_real_mode to
    mov %cr0, %eax
    or $1, %al
    mov %eax, %cr0
    ljmpl $KERNEL_CODE, $\to
    .endm

/*
 * How a case is entered and left: run_protected, run_long and run_real load what is in `before`, execute, and put what the first exception
 * finds into `after`. Each is called from 32-bit protected mode without paging, and returns there.
 */
#include "../shared/assembler.h"
    /* Where `before` and `after` of a case of real mode are copied to. */
    .set REAL_BEFORE, 0x7000
    .set REAL_AFTER, 0x7100
    /* Offsets in both. */
    .set AX, 0
    .set CX, 8
    .set DX, 16
    .set BX, 24
    .set SP, 32
    .set BP, 40
    .set SI, 48
    .set DI, 56
    /* Offsets in `before`. */
    .set FLAGS, 64
    .set IP, 72
    .set CS, 80
    .set SS, 84
    .set DS, 88
    .set ES, 92
    .set FS, 96
    .set GS, 100
    .set CR0, 104
    .set CR4, 108
    /* Offsets in `after`. */
    .set A_VECTOR, 64
    .set A_ERROR, 72
    .set A_IP, 80
    .set A_FLAGS, 88
    .set A_SP, 96
    .set A_FRAME, 104
    .set A_CR2, 112
    .set A_CS, 120
    .set A_SS, 124
    .set A_DS, 128
    .set A_ES, 132
    .set A_FS, 136
    .set A_GS, 140
    .set A_CR0, 144
    .set A_CR4, 148
    .set A_DR6, 152

/* General registers of a case, but AX and SP; `width` is the first letter of their names (r: 64 bits), `by` the base register of addresses. */
    .macro load_registers from, width, by=
    mov \from+CX\by, %\width\()cx
    mov \from+DX\by, %\width\()dx
    mov \from+BX\by, %\width\()bx
    mov \from+BP\by, %\width\()bp
    mov \from+SI\by, %\width\()si
    mov \from+DI\by, %\width\()di
    .endm
    .macro save_registers to, width, by=
    mov %\width\()cx, \to+CX\by
    mov %\width\()dx, \to+DX\by
    mov %\width\()bx, \to+BX\by
    mov %\width\()bp, \to+BP\by
    mov %\width\()si, \to+SI\by
    mov %\width\()di, \to+DI\by
    .endm
/* What else the exception has found, but DS and the stack; by AX. `after` was zero, so that 16 bits of a selector are all of it. */
    .macro save_state to, width, by=
    mov %es, \to+A_ES\by
    mov %fs, \to+A_FS\by
    mov %gs, \to+A_GS\by
    mov %cr0, %\width\()ax
    mov %eax, \to+A_CR0\by
    mov %cr4, %\width\()ax
    mov %eax, \to+A_CR4\by
    mov %cr2, %\width\()ax
    mov %\width\()ax, \to+A_CR2\by
    mov %dr6, %\width\()ax
    mov %eax, \to+A_DR6\by
    .endm

    .text
/* Without a change of level IRET loads no stack, so that at level 0 the frame is made on the case's own. */
    .globl run_protected
run_protected:
    pusha
    mov %esp, saved_esp
    lidt narrow_idt_pointer
    mov before+CR4, %eax
    mov %eax, %cr4
    mov before+CR0, %eax
    mov %eax, %cr0
    testl $3, before+CS
    jnz 1f
    mov before+SS, %ss
    mov before+SP, %esp
    jmp 2f
1:  push before+SS
    push before+SP
2:  push before+FLAGS
    push before+CS
    push before+IP
    push before+AX
    push before+CX
    push before+DX
    push before+BX
    push $0
    push before+BP
    push before+SI
    push before+DI
    push before+DS
    push before+ES
    push before+FS
    push before+GS
    pop %gs
    pop %fs
    pop %es
    pop %ds
    popa
    iret

    .globl narrow_entries
    .align 16
narrow_entries:
    exception_entries narrow_common
narrow_common:
    push %eax
    mov %ds, %eax
    push %eax
    mov $KERNEL_DATA, %eax
    mov %eax, %ds
    popl after+A_DS
    popl after+AX
    popl after+A_VECTOR
    popl after+A_ERROR
    mov %esp, after+A_FRAME
    mov %ss, %eax
    mov %eax, after+A_SS
    lar %ax, %eax
    test $0x400000, %eax
    jnz 1f
    movw $0, after+A_FRAME+2
1:  popl after+A_IP
    popl after+A_CS
    popl after+A_FLAGS
    movl $0, after+A_IP+4
    movl $0, after+A_FLAGS+4
    mov %esp, after+A_SP
    testl $3, after+A_CS
    jz 1f
    popl after+A_SP
    popl after+A_SS
1:  save_registers after, e
    save_state after, e
narrow_back:
    mov $KERNEL_DATA, %eax
    mov %eax, %ss
    mov saved_esp, %esp
back:
    lgdt gdt_pointer
    all_segments KERNEL_DATA
    mov plain_cr0, %eax
    mov %eax, %cr0
    xor %eax, %eax
    mov %eax, %cr4
    push $2
    popf
    popa
    ret

/* Long mode: IRET loads a stack always. */
    .globl run_long
run_long:
    pusha
    mov %esp, saved_esp
    mov before+CR0, %eax
    mov %eax, %cr0
    xor %eax, %eax
    enter_long_mode long_tables
    lidt wide_idt_pointer
    mov before+CR4, %eax
    or $0x20, %eax
    mov %eax, %cr4
    ljmp $KERNEL_CODE64, $1f
    .code64
1:  mov before+DS(%rip), %ds
    mov before+ES(%rip), %es
    mov before+FS(%rip), %fs
    mov before+GS(%rip), %gs
    mov before+SS(%rip), %eax
    push %rax
    pushq before+SP(%rip)
    pushq before+FLAGS(%rip)
    mov before+CS(%rip), %eax
    push %rax
    pushq before+IP(%rip)
    mov before+AX(%rip), %rax
    load_registers before, r, (%rip)
    iretq

    .globl wide_entries
    .align 16
wide_entries:
    exception_entries wide_common
wide_common:
    mov %rax, after+AX(%rip)
    mov %ds, after+A_DS(%rip)
    save_registers after, r, (%rip)
    save_state after, r, (%rip)
    popq after+A_VECTOR(%rip)
    popq after+A_ERROR(%rip)
    mov %rsp, after+A_FRAME(%rip)
    popq after+A_IP(%rip)
    pop %rax
    mov %eax, after+A_CS(%rip)
    popq after+A_FLAGS(%rip)
    popq after+A_SP(%rip)
    pop %rax
    mov %eax, after+A_SS(%rip)
    mov $0x20, %eax
    mov %rax, %cr4
    lgdt gdt_pointer(%rip)
    ljmp *long_back(%rip)
    .code32
1:  mov $KERNEL_DATA, %eax
    mov %eax, %ss
    mov %eax, %ds
    mov saved_esp, %esp
    leave_long_mode
    jmp back
    .section .rodata
    .align 8
long_back:
    .long 1b
    .word KERNEL_CODE
    .text

/* Real mode: the way there is below 64 KiB, where `run` (main.c) has copied it. */
    .globl run_real
run_real:
    pusha
    mov %esp, saved_esp
    call_real_mode
    .globl real_start, real_end
    .align 8
    .code16
real_start:
    enter_real_mode
    xor %ax, %ax
    mov %ax, %ds
    mov REAL_BEFORE+CR4, %eax
    mov %eax, %cr4
    mov REAL_BEFORE+CR0, %eax
    and $~1, %eax
    mov %eax, %cr0
    mov REAL_BEFORE+SS, %ss
    mov REAL_BEFORE+SP, %esp
    push REAL_BEFORE+FLAGS
    push REAL_BEFORE+CS
    push REAL_BEFORE+IP
    mov REAL_BEFORE+ES, %es
    mov REAL_BEFORE+FS, %fs
    mov REAL_BEFORE+GS, %gs
    load_registers REAL_BEFORE, e
    pushw REAL_BEFORE+DS
    mov REAL_BEFORE+AX, %eax
    pop %ds
    iret
    .align 8
real_entries:
    vector = 0
    .rept 256
    .align 8
    push $vector
    jmp real_common
    vector = vector + 1
    .endr
real_common:
    push %eax
    push %ds
    xor %ax, %ax
    mov %ax, %ds
    popw REAL_AFTER+A_DS
    popl REAL_AFTER+AX
    popw REAL_AFTER+A_VECTOR
    mov %esp, REAL_AFTER+A_FRAME
    movw $0, REAL_AFTER+A_FRAME+2
    popw REAL_AFTER+A_IP
    popw REAL_AFTER+A_CS
    popw REAL_AFTER+A_FLAGS
    mov %esp, REAL_AFTER+A_SP
    mov %ss, REAL_AFTER+A_SS
    save_registers REAL_AFTER, e
    save_state REAL_AFTER, e
    lgdtl 0x70f0
    leave_real_mode narrow_real_back
real_end:
    .code32
narrow_real_back:
    mov $KERNEL_DATA, %eax
    mov %eax, %ds
    jmp narrow_back

    .data
    .globl real_entries_offset
real_entries_offset:
    .long real_entries - real_start + REAL_CODE
    .align 8
narrow_idt_pointer:
    .word 0x7ff
    .long narrow_idt
wide_idt_pointer:
    .word 0xfff
    .long wide_idt
    .long 0
    .globl saved_esp, plain_cr0
saved_esp:
    .long 0
plain_cr0:
    .long 0

    .bss
    .align 4096
    .globl long_tables
long_tables: .skip 4096

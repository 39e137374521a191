/*
 * How a case is entered and left: run_protected, run_long and run_real load what is in `before`, execute, and put what the first exception
 * finds into `after`. Each is called from 32-bit protected mode without paging, and returns there.
 */
    .set KERNEL_CODE, 0x08
    .set KERNEL_DATA, 0x10
    .set KERNEL_CODE64, 0x18
    .set CODE_FOR_REAL, 0x20
    .set DATA_FOR_REAL, 0x28
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
1:  call flat_segments
    call main
1:  mov $0, %eax
    out %al, $0xf4
    cli
    hlt
    jmp 1b

    .globl flat_segments
flat_segments:
    mov $KERNEL_DATA, %ecx
    mov %ecx, %ds
    mov %ecx, %es
    mov %ecx, %fs
    mov %ecx, %gs
    mov %ecx, %ss
    ret

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
    mov before+32, %esp
    jmp 2f
1:  push before+SS
    push before+32
2:  push before+FLAGS
    push before+CS
    push before+IP
    push before+0
    push before+8
    push before+16
    push before+24
    push $0
    push before+40
    push before+48
    push before+56
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
    vector = 0
    .rept 256
    .align 16
    .if (vector == 8) || ((vector >= 10) && (vector <= 14)) || (vector == 17)
    .byte 0x90, 0x90
    .else
    push $0
    .endif
    push $vector
    jmp narrow_common
    vector = vector + 1
    .endr
narrow_common:
    push %eax
    mov %ds, %eax
    push %eax
    mov $KERNEL_DATA, %eax
    mov %eax, %ds
    popl after+A_DS
    popl after+0
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
1:  mov %ecx, after+8
    mov %edx, after+16
    mov %ebx, after+24
    mov %ebp, after+40
    mov %esi, after+48
    mov %edi, after+56
    mov %es, %eax
    mov %eax, after+A_ES
    mov %fs, %eax
    mov %eax, after+A_FS
    mov %gs, %eax
    mov %eax, after+A_GS
    mov %cr0, %eax
    mov %eax, after+A_CR0
    mov %cr4, %eax
    mov %eax, after+A_CR4
    mov %cr2, %eax
    mov %eax, after+A_CR2
    mov %dr6, %eax
    mov %eax, after+A_DR6
narrow_back:
    mov $KERNEL_DATA, %eax
    mov %eax, %ss
    mov saved_esp, %esp
back:
    lgdt gdt_pointer
    call flat_segments
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
    mov $0x20, %eax
    mov %eax, %cr4
    mov $long_tables, %eax
    mov %eax, %cr3
    mov $0xc0000080, %ecx
    rdmsr
    or $0x901, %eax
    wrmsr
    mov before+CR0, %eax
    or $0x80000000, %eax
    mov %eax, %cr0
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
    pushq before+32(%rip)
    pushq before+FLAGS(%rip)
    mov before+CS(%rip), %eax
    push %rax
    pushq before+IP(%rip)
    mov before+0(%rip), %rax
    mov before+8(%rip), %rcx
    mov before+16(%rip), %rdx
    mov before+24(%rip), %rbx
    mov before+40(%rip), %rbp
    mov before+48(%rip), %rsi
    mov before+56(%rip), %rdi
    iretq

    .globl wide_entries
    .align 16
wide_entries:
    vector = 0
    .rept 256
    .align 16
    .if (vector == 8) || ((vector >= 10) && (vector <= 14)) || (vector == 17)
    .byte 0x90, 0x90
    .else
    push $0
    .endif
    push $vector
    jmp wide_common
    vector = vector + 1
    .endr
wide_common:
    mov %rax, after+0(%rip)
    mov %rcx, after+8(%rip)
    mov %rdx, after+16(%rip)
    mov %rbx, after+24(%rip)
    mov %rbp, after+40(%rip)
    mov %rsi, after+48(%rip)
    mov %rdi, after+56(%rip)
    mov %ds, %eax
    mov %eax, after+A_DS(%rip)
    mov %es, %eax
    mov %eax, after+A_ES(%rip)
    mov %fs, %eax
    mov %eax, after+A_FS(%rip)
    mov %gs, %eax
    mov %eax, after+A_GS(%rip)
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
    mov %cr0, %rax
    mov %eax, after+A_CR0(%rip)
    mov %cr4, %rax
    mov %eax, after+A_CR4(%rip)
    mov %cr2, %rax
    mov %rax, after+A_CR2(%rip)
    mov %dr6, %rax
    mov %eax, after+A_DR6(%rip)
    mov $0x20, %eax
    mov %rax, %cr4
    lgdt gdt_pointer(%rip)
    ljmp *long_back(%rip)
    .code32
1:  mov $KERNEL_DATA, %eax
    mov %eax, %ss
    mov %eax, %ds
    mov saved_esp, %esp
    mov plain_cr0, %eax
    mov %eax, %cr0
    mov $0xc0000080, %ecx
    xor %eax, %eax
    xor %edx, %edx
    wrmsr
    jmp back
    .section .rodata
    .align 8
long_back:
    .long 1b
    .word KERNEL_CODE
    .text

/* Real mode: the way there is below 64 KiB, where `place_real_code` has copied it. */
    .globl run_real
run_real:
    pusha
    mov %esp, saved_esp
    lidt real_idt_pointer
    ljmp $CODE_FOR_REAL, $0x8000
    .globl real_start, real_end
    .align 8
    .code16
real_start:
    mov $DATA_FOR_REAL, %ax
    mov %ax, %ds
    mov %ax, %es
    mov %ax, %fs
    mov %ax, %gs
    mov %ax, %ss
    mov %cr0, %eax
    and $~1, %eax
    mov %eax, %cr0
    ljmp $0, $(1f - real_start + 0x8000)
    /* `before` has been copied to 0x7000. */
1:  xor %ax, %ax
    mov %ax, %ds
    mov 0x7000+CR4, %eax
    mov %eax, %cr4
    mov 0x7000+CR0, %eax
    and $~1, %eax
    mov %eax, %cr0
    mov 0x7000+SS, %ss
    mov 0x7000+32, %esp
    push 0x7000+FLAGS
    push 0x7000+CS
    push 0x7000+IP
    mov 0x7000+ES, %es
    mov 0x7000+FS, %fs
    mov 0x7000+GS, %gs
    mov 0x7000+8, %ecx
    mov 0x7000+16, %edx
    mov 0x7000+24, %ebx
    mov 0x7000+40, %ebp
    mov 0x7000+48, %esi
    mov 0x7000+56, %edi
    pushw 0x7000+DS
    mov 0x7000+0, %eax
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
    popw 0x7100+A_DS
    popl 0x7100+0
    popw 0x7100+A_VECTOR
    mov %esp, 0x7100+A_FRAME
    movw $0, 0x7100+A_FRAME+2
    popw 0x7100+A_IP
    popw 0x7100+A_CS
    popw 0x7100+A_FLAGS
    mov %esp, 0x7100+A_SP
    mov %ecx, 0x7100+8
    mov %edx, 0x7100+16
    mov %ebx, 0x7100+24
    mov %ebp, 0x7100+40
    mov %esi, 0x7100+48
    mov %edi, 0x7100+56
    mov %es, 0x7100+A_ES
    mov %fs, 0x7100+A_FS
    mov %gs, 0x7100+A_GS
    mov %ss, 0x7100+A_SS
    mov %cr0, %eax
    mov %eax, 0x7100+A_CR0
    mov %cr4, %eax
    mov %eax, 0x7100+A_CR4
    mov %dr6, %eax
    mov %eax, 0x7100+A_DR6
    lgdtl 0x70f0
    mov %cr0, %eax
    or $1, %al
    mov %eax, %cr0
    ljmpl $KERNEL_CODE, $narrow_real_back
real_end:
    .code32
narrow_real_back:
    mov $KERNEL_DATA, %eax
    mov %eax, %ds
    jmp narrow_back

    .data
    .globl real_entries_offset
real_entries_offset:
    .long real_entries - real_start + 0x8000
    .align 8
    .globl gdt_pointer, gdt_limit
gdt_pointer:
gdt_limit:
    .word 64 * 8 - 1
    .long gdt
    .long 0
narrow_idt_pointer:
    .word 0x7ff
    .long narrow_idt
wide_idt_pointer:
    .word 0xfff
    .long wide_idt
    .long 0
real_idt_pointer:
    .word 0x3ff
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
    .skip 0x4000
stack_end:

/*
 * What there is to be found in real mode: real_call goes there and back, the code between real_start and real_end leaves it at 0x7000. The
 * stack lies below REAL_CODE.
 */
#include "../shared/assembler.h"
    .text
    .globl real_call
real_call:
    pusha
    sidt saved_idt
    mov %esp, saved_esp
    call_real_mode
back_in_protected:
    all_segments KERNEL_DATA
    mov saved_esp, %esp
    lidt saved_idt
    popa
    ret

    .globl real_start, real_end
    .code16
real_start:
    enter_real_mode
    all_segments 0
    mov $0x7ff0, %sp
    cld
    mov $0x7000, %di
    /* [0] IVT: INT 0x70 adds to BX; the frame has three words. */
    mov $5, %bx
    stc
    sti
    int $0x70
    pushf
    pop %ax
    cli
    stosw                       /* flags: CF as before, IF on */
    mov %bx, %ax
    stosw                       /* 6 */
    /* [2] Segments: base is selector * 16, also over 1 MiB. */
    mov $0x1234, %ax
    mov %ax, %fs
    movw $0xbeef, %fs:0x10
    mov $0x1235, %ax
    mov %ax, %gs
    mov %gs:0, %ax
    stosw                       /* 0xbeef */
    mov $0xffff, %ax
    mov %ax, %fs
    mov %fs:0x10, %eax          /* at 1 MiB: the multiboot header */
    stosl
    /* [5] Far call and return, near and far with 32-bit operands. */
    lcall $0x07ff, $(far_routine - real_start + REAL_CODE - 0x7ff0)
    stosw                       /* 0x07ff: CS there */
    mov %sp, %ax
    stosw                       /* 0x7ff0 again */
    calll 2f
    jmp 3f
2:  mov %sp, %ax
    retl
3:  stosw                       /* 0x7fec */
    /* [8] An operand over 64 KiB is #GP (13) at its start: the handler skips it by CX. */
    mov $(7f - fault_gp), %cx
    xor %dx, %dx
fault_gp:
    mov %ds:0xffff, %ax
7:
    mov %dx, %ax
    stosw                       /* 13 */
    /* [9] On the stack it is #SS (12). */
    xor %dx, %dx
    mov $0xffff, %bp
    mov $(7f - fault_ss), %cx
fault_ss:
    mov 0(%bp), %ax
7:
    mov %dx, %ax
    stosw                       /* 12 */
    /* [10] Division by zero pushes its own address, as a fault. */
    xor %dx, %dx
    xor %bx, %bx
    mov $2, %cx
fault_de:
    div %bx
    mov %dx, %ax
    stosw                       /* 0x100 */
    mov %si, %ax
    sub $(fault_de - real_start + REAL_CODE), %ax
    stosw                       /* 0 */
    /* [12] LAR and friends do not exist here: #UD (6). */
    mov $0xaaaa, %dx
    mov $(8f - 7f), %cx
7:  lar %ax, %bx
8:
    mov %dx, %ax
    stosw                       /* 6 */
    /* [13] 16-bit addresses wrap within 64 KiB. */
    mov $0xfff0, %bx
    mov $0x7010, %si
    movw $0x4711, 0x7000 - 0x200
    mov -0x200(%bx,%si), %ax
    stosw                       /* 0x4711 */
    /* [14] A stack pointer of 0 pushes at 0xfffe. */
    mov %sp, %dx
    mov $0x2000, %ax
    mov %ax, %ss
    xor %sp, %sp
    push $0x5555
    mov %sp, %ax
    mov %sp, %bx
    mov %ss:(%bx), %cx
    push %ds
    pop %ss
    mov %dx, %sp
    stosw                       /* 0xfffe */
    mov %cx, %ax
    stosw                       /* 0x5555 */
    /* [16] PUSHA and POPA of 16 bits. */
    mov $1, %ax
    mov $2, %cx
    mov $3, %dx
    pusha
    mov %sp, %bp
    mov 14(%bp), %ax
    stosw                       /* 1 */
    mov 12(%bp), %ax
    stosw                       /* 2 */
    mov 6(%bp), %ax
    stosw                       /* SP before: 0x7ff0 */
    add $16, %sp
    /* [19] String with 32-bit addresses. */
    mov %di, %dx
    mov $0x7000, %esi
    addr32 lodsw
    mov %dx, %di
    stosw                       /* word 0 */
    /* [20] Unreal mode: a limit of 4 GiB stays with the segment. */
    lgdtl real_gdt - real_start + REAL_CODE
    mov %cr0, %eax
    or $1, %al
    mov %eax, %cr0
    mov $0x10, %bx
    mov %bx, %fs
    and $~1, %al
    mov %eax, %cr0
    xor %bx, %bx
    mov %bx, %fs
    mov $0x100000, %ebx
    mov %fs:(%ebx), %eax        /* the multiboot header again */
    stosl
    movl $0x200000, %ebx
    movl $0xfeedface, %fs:(%ebx)
    mov %fs:(%ebx), %eax
    stosl
    /* [24] while DS keeps its own: 32-bit addresses beyond 64 KiB are #GP there. */
    xor %dx, %dx
    mov $(8f - 7f), %cx
7:  mov %ds:(%ebx), %eax
8:
    mov %dx, %ax
    stosw                       /* 13 */
    /* [25] A step: the trap of real mode. */
    xor %dx, %dx
    xor %cx, %cx
    pushf
    pop %ax
    or $0x100, %ax
    push %ax
    popf
    nop
    mov %dx, %ax
    stosw                       /* 1 more than 0x200: once behind NOP, then the handler clears TF */
    /* [26] IRET from a frame of our own. */
    pushf
    push %cs
    push $(4f - real_start + REAL_CODE)
    iret
    xor %ax, %ax
4:  mov $0x1e7, %ax
    stosw
    /* [27] LOOP with CX, and with ECX by prefix. */
    mov $0x10003, %ecx
    xor %ax, %ax
5:  inc %ax
    loop 5b
    stosw                       /* 3 */
    mov $2, %ecx
6:  inc %ax
    addr32 loop 6b
    stosw                       /* 5 */
    /* [29] SMSW; back to protected mode. */
    smsw %ax
    stosw
    leave_real_mode back_in_protected

far_routine:
    mov %cs, %ax
    lret

/* Handlers: vector in DX (0x100 for division), the address in SI, and on behind the instruction of CX bytes. */
handle_ss:
    mov $12, %dx
    jmp handle
handle_ud:
    mov $6, %dx
    jmp handle
handle_de:
    mov $0x100, %dx
    jmp handle
handle_gp:
    mov $13, %dx
handle:
    mov %sp, %si
    add %cx, %ss:(%si)
    mov %ss:(%si), %si
    sub %cx, %si
    iret
handle_step:
    mov $0x201, %dx
    mov %sp, %si
    andw $~0x100, %ss:4(%si)
    iret
handle_int70:
    inc %bx
    iret
    .align 8
real_gdt:
    .word 64 * 8 - 1
    .long gdt
    .globl real_vectors
/* Pairs of a vector and the offset of its handler. */
real_vectors:
    .word 0, handle_de - real_start + REAL_CODE
    .word 1, handle_step - real_start + REAL_CODE
    .word 6, handle_ud - real_start + REAL_CODE
    .word 12, handle_ss - real_start + REAL_CODE
    .word 13, handle_gp - real_start + REAL_CODE
    .word 0x70, handle_int70 - real_start + REAL_CODE
    .word 0xffff
real_end:
    .code32
    .data
saved_idt:
    .word 0
    .long 0
saved_esp:
    .long 0

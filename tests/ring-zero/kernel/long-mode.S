/*
 * Long mode from 32-bit protected mode and back. long_call enters 64-bit code with the tables that long-mode.c has built; the code puts what it
 * finds into long_words, eight bytes each, in the order in which long-mode.c checks it.
 */
#include "../shared/assembler.h"
    .text
    .globl long_call
long_call:
    pusha
    mov %esp, long_saved_esp
    sidt long_saved_idt
    mov %cr4, %eax
    mov %eax, long_saved_cr4
    enter_long_mode long_tables
    lidt long_idt_pointer
    ljmp $KERNEL_CODE64, $in_long
back_from_long:
    leave_long_mode
    mov long_saved_cr4, %eax
    mov %eax, %cr4
    lidt long_saved_idt
    all_segments KERNEL_DATA
    mov long_saved_esp, %esp
    popa
    ret

    .code64
/* Code between `attempt` and `end_attempt` may fault; vector, error code, and distance from its start are put down. */
    .macro attempt
    lea 98f(%rip), %r15
    lea 97f(%rip), %r13
    mov %rsp, %r14
    movq $0x100, last_vector(%rip)
    movq $0, last_error(%rip)
    mov %r13, last_rip(%rip)
97:
    .endm
    .macro end_attempt
98: cld
    mov last_vector(%rip), %rax
    stosq
    mov last_error(%rip), %rax
    stosq
    mov last_rip(%rip), %rax
    sub %r13, %rax
    stosq
    .endm
    .macro note value
    mov \value, %rax
    stosq
    .endm

in_long:
    xor %eax, %eax
    mov %eax, %ss
    mov $0x90000, %esp
    mov $long_words, %edi
    cld
    mov $0x38, %eax
    ltr %ax
    /* [0] Addresses that are not canonical. */
    mov $0x800000000000, %rbx
    attempt
    mov (%rbx), %eax
    end_attempt
    attempt
    mov %rbx, %rbp
    mov (%rbp), %eax
    end_attempt
    attempt
    lea 64(%rbx), %rsp
    push %rax
    end_attempt
    attempt
    jmp *%rbx
    end_attempt
    attempt
    mov $0x7fffffffffff, %rcx
    mov (%rcx), %eax
    end_attempt
    /* [15] What 64-bit mode has lost. */
    attempt
    .byte 0x06
    end_attempt
    attempt
    .byte 0x37
    end_attempt
    attempt
    .byte 0xce
    end_attempt
    attempt
    .byte 0xea, 0, 0, 0, 0, 8, 0
    end_attempt
    attempt
    .byte 0x82, 0xc0, 0
    end_attempt
    attempt
    sysenter
    end_attempt
    /* [33] CMPXCHG16B wants 16 bytes of alignment; a null SS at level 0 is good. */
    attempt
    mov $long_place + 8, %ebx
    cmpxchg16b (%rbx)
    end_attempt
    attempt
    mov $long_place, %ebx
    cmpxchg16b (%rbx)
    end_attempt
    /* [39] An interrupt stack: its pointer and five words, aligned. */
    mov %rsp, %r12
    sub $8, %rsp
    int $0x80
    mov %r12, %rsp
    note %r10                   /* RSP in the handler */
    note %r11                   /* RSP that was pushed */
    /* [41] The same without: aligned down to 16 bytes. */
    sub $8, %rsp
    int $0x81
    mov %r12, %rsp
    note %r10
    note %r11
    /* [43] A gate to 32-bit code. */
    attempt
    int $0x82
    end_attempt
    cmpl $0, long_left_out(%rip)
    jne 3f
    /* [46] A call gate within the level pushes two words. */
    mov %rsp, %r12
    lcall *gate_target(%rip)
    note %r10
    mov %r12, %rax
    sub %r10, %rax
    stosq                       /* 16 */
    note %rsp
    /* [49] A call gate whose upper half has a type. */
    attempt
    lcall *bad_gate_target(%rip)
    end_attempt
3:
    /* [52] SYSCALL at level 0, into long_syscall. */
    mov $0xc0000081, %ecx
    xor %eax, %eax
    mov $0x00200018, %edx       /* SYSRET from 0x20: 32-bit 0x23, data 0x2b, 64-bit 0x33; SYSCALL to 0x18, 0x20 */
    wrmsr
    mov $0xc0000082, %ecx
    mov $long_syscall, %eax
    xor %edx, %edx
    wrmsr
    mov $0xc0000084, %ecx
    mov $0x401, %eax            /* DF and CF are cleared */
    wrmsr
    std
    stc
1:  syscall
2:  cld
    lea 2b(%rip), %rax
    sub %rcx, %rax
    stosq                       /* 0 */
    and $0x401, %r11d
    note %r11                   /* CF and DF as they were */
    note %r10                   /* and in the handler */
    /* [55] SYSRET to level 3, and an interrupt from there. */
    attempt
    mov $user_in_long, %ecx
    mov $0x202, %r11d
    cli
    sysretq
user_in_long:
    mov %cs, %r8d
    mov %ss, %r9d
    hlt
    end_attempt
    note %r8
    note %r9
    note last_cs(%rip)
    note last_rsp(%rip)
    /* [62] SYSRET to 32-bit code. */
    attempt
    mov $user_in_compatibility, %ecx
    mov $0x2, %r11d
    sysretl
    .code32
user_in_compatibility:
    mov %cs, %eax
    mov %eax, long_place
    inc %eax                    /* 40 in 32-bit code */
    hlt
    .code64
    end_attempt
    note long_place(%rip)
    /* [66] PCIDs: three address spaces with another page at TEST each. */
    mov %cr3, %r12
    cmpl $0, long_left_out(%rip)
    jne 3f
    attempt
    mov $long_tables + 8, %eax
    mov %rax, %cr3
    mov %cr4, %rax
    or $0x20000, %rax
    mov %rax, %cr4
    end_attempt
    mov %r12, %cr3
    mov %cr4, %rax
    or $0x20000, %rax
    mov %rax, %cr4
    mov $0x40000000, %ebx
    note (%rbx)                 /* 'A' */
    mov $long_tables_b + 1, %eax
    mov %rax, %cr3
    note (%rbx)                 /* 'B' */
    mov %r12, %rax
    bts $63, %rax
    mov %rax, %cr3
    note (%rbx)                 /* 'A' */
    mov $long_tables_b + 1, %eax
    bts $63, %rax
    mov %rax, %cr3
    note (%rbx)                 /* 'B' */
    /* [73] The page of space 1 changes: INVPCID of that space, then of the address. */
    mov $0x81, %eax             /* to A's page, by the leaf of B */
    mov long_page_a(%rip), %ecx
    or $3, %ecx
    mov %rcx, long_leaf_b(%rip)
    movq $1, long_descriptor(%rip)
    movq $0x40000000, long_descriptor + 8(%rip)
    mov $1, %ecx
    invpcid long_descriptor(%rip), %rcx
    note (%rbx)                 /* 'A' */
    mov long_page_b(%rip), %ecx
    or $3, %ecx
    mov %rcx, long_leaf_b(%rip)
    xor %ecx, %ecx
    invpcid long_descriptor(%rip), %rcx
    note (%rbx)                 /* 'B' */
    attempt
    mov $4, %ecx
    invpcid long_descriptor(%rip), %rcx
    end_attempt
    attempt
    movq $0x1000, long_descriptor(%rip)
    xor %ecx, %ecx
    invpcid long_descriptor(%rip), %rcx
    end_attempt
    /* [81] Paging cannot go off while PCIDE is on, nor in 64-bit code. */
    mov %r12, %cr3
    mov %cr4, %rax
    and $~0x20000, %rax
    mov %rax, %cr4
    attempt
    mov %cr0, %rax
    btr $31, %rax
    mov %rax, %cr0
    end_attempt
    attempt
    mov %cr4, %rax
    and $~0x20, %rax
    mov %rax, %cr4
    end_attempt
    attempt
    mov %cr0, %rax
    bts $32, %rax
    mov %rax, %cr0
    end_attempt
    /* A null stack segment needs the level's selector; tables need canonical bases; CR3 and CR8 have reserved bits. */
    attempt
    mov $3, %eax
    mov %eax, %ss
    end_attempt
    attempt
    lgdt bad_table(%rip)
    end_attempt
    attempt
    lidt bad_table(%rip)
    end_attempt
    attempt
    mov $16, %eax
    mov %rax, %cr8
    end_attempt
    attempt
    mov %cr3, %rax
    bts $62, %rax
    mov %rax, %cr3
    end_attempt
3:  mov $0x40000000, %ebx
    /* [90] A page that is not executable, and a jump into it. */
    attempt
    movb $0xc3, (%rbx)
    mov $0x40200000, %eax
    call *%rax
    end_attempt
    note %cr2
    /* [94] A breakpoint of 8 bytes. */
    mov $long_place, %eax
    mov %rax, %db0
    mov $0x00090402, %eax       /* 8 bytes, writes, global 0 */
    mov %rax, %db7
    attempt
    movb $1, long_place + 7(%rip)
    nop
    end_attempt
    attempt
    movb $1, long_place + 8(%rip)
    nop
    end_attempt
    mov $0x400, %eax
    mov %rax, %db7
    attempt
    mov $0x100000000, %rax
    mov %rax, %db7
    end_attempt
    /* Back. */
    ljmp *back_target(%rip)

handle_stack:
    mov %rsp, %r10
    mov 24(%rsp), %r11
    iretq
long_gate:
    mov %rsp, %r10
    lretq
long_syscall:
    pushfq
    pop %r10
    and $0x401, %r10d
    push %r11
    popfq
    jmp *%rcx

/* Every exception: vector and error code are on the stack; what was attempted is given up. */
    .macro entry vector, code
long_entry_\vector:
    .if \code == 0
    push $0
    .endif
    movq $\vector, last_vector(%rip)
    jmp long_common
    .endm
    entry 1, 0
    entry 6, 0
    entry 12, 1
    entry 13, 1
    entry 14, 1
    entry 17, 1
long_common:
    mov (%rsp), %rax
    mov %rax, last_error(%rip)
    mov 8(%rsp), %rax
    mov %rax, last_rip(%rip)
    mov 16(%rsp), %rax
    mov %rax, last_cs(%rip)
    mov 32(%rsp), %rax
    mov %rax, last_rsp(%rip)
    xor %eax, %eax
    mov %eax, %ss
    mov %r14, %rsp
    jmp *%r15
    .code32

    .data
    .align 8
back_target:
    .long back_from_long
    .word KERNEL_CODE
    .align 8
gate_target:
    .long 0
    .word 0x48
    .align 8
bad_gate_target:
    .long 0
    .word 0x58
    .align 8
bad_table:
    .word 0x1ff
    .quad 0x800000000000
    .globl long_handlers
/* Vector and handler of each gate. */
long_handlers:
    .long 1, long_entry_1, 6, long_entry_6, 12, long_entry_12, 13, long_entry_13, 14, long_entry_14, 17, long_entry_17
    .long 0x80, handle_stack, 0x81, handle_stack, 0x82, handle_stack, 0xffff
    .globl long_gate_address
long_gate_address:
    .long long_gate
    .globl long_idt_pointer
long_idt_pointer:
    .word 0xfff
    .long long_idt
long_saved_idt:
    .word 0
    .long 0
long_saved_esp:
    .long 0
long_saved_cr4:
    .long 0
    .align 8
    .globl long_left_out
long_left_out:
    .long 0, 0
    .globl long_page_a, long_page_b
long_page_a:
    .long 0
long_page_b:
    .long 0

    .bss
    .align 4096
    .globl long_tables, long_tables_b, long_leaf_b, long_idt, long_words, long_place
long_tables: .skip 4096
long_tables_b: .skip 4096
long_leaf_b: .skip 4096
long_idt: .skip 4096
long_words: .skip 4096
long_place: .skip 16
long_descriptor: .skip 16
last_vector: .skip 8
last_error: .skip 8
last_rip: .skip 8
last_cs: .skip 8
last_rsp: .skip 8

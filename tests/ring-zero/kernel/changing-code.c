/* Code that changes: what follows in the same block, the instruction itself, the target of a jump, by strings, through another address. */
#include "kernel.h"

u32 changed;
static u8 place[8192] __attribute__((aligned(4096)));

/* Changes the immediate of the instruction that follows at once; the first call finds 1. */
CODE(next_instruction, "movb $9, 1f+1; 1: mov $1, %eax; mov %eax, changed; movb $1, 1b+1; ret")
/* Replaces an instruction further on in straight line, each time round. */
CODE(in_a_loop,
     "xor %edx, %edx; mov $100, %ecx; 1: mov %cl, 2f+2; nop; nop; 2: add $1, %edx; .byte 0x83, 0xc2, 0; loop 1b; mov %edx, changed; ret")
/* REP STOS over the instructions behind itself: NOPs where INC EAX was. */
CODE(by_string,
     "xor %edx, %edx; mov $1f, %edi; mov $4, %ecx; mov $0x90, %al; cld; rep stosb; 1: inc %edx; inc %edx; inc %edx; inc %edx; mov %edx, changed;"
     "mov $1b, %edi; mov $4, %ecx; mov $0x42, %al; rep stosb; ret")
/* REP STOS over itself: it goes on to the end of its count, having been fetched. */
CODE(itself, "mov $1f, %edi; mov $2, %ecx; mov $0x90, %al; cld; 1: rep stosb; mov %ecx, changed; movw $0xaaf3, 1b; ret")
CODE(jump_target, "movb $7, 1f+1; jmp 1f; nop; 1: mov $2, %eax; mov %eax, changed; movb $2, 1b+1; ret")
CODE(conditional, "movb $0x75, 1f; xor %eax, %eax; 1: je 2f; mov $5, %eax; 2: mov %eax, changed; movb $0x74, 1b; ret")

void test_changing_code(void) {
  for (int round = 0; round < 3; round++) {
    expect_nothing("the next instruction", next_instruction);
    check("is the new one", changed, 9);
    expect_nothing("in a loop", in_a_loop);
    check("each round has its own", changed, 5050);
    expect_nothing("by REP STOS", by_string);
    check("what it wrote is executed", changed, 0);
    expect_nothing("REP STOS over itself", itself);
    if (!left_out_by_tcg("REP STOS over itself")) check("ends its count", changed, 0);
    expect_nothing("the target of a jump", jump_target);
    check("is new", changed, 7);
    expect_nothing("a condition", conditional);
    check("is the other one", changed, 5);
  }
  /* A thousand functions at the same address, and over a page's end. */
  for (u32 value = 0; value < 1000; value++) {
    u8 *at = place + (value & 1 ? 0 : 4092);
    at[0] = 0xb8;
    *(u32 *)(at + 1) = value * 0x10001;
    at[5] = 0xa3;
    *(u32 *)(at + 6) = (u32)&changed;
    at[10] = 0xc3;
    ((void (*)(void))at)();
    if (changed != value * 0x10001) check("a new function at an old address", changed, value * 0x10001);
  }
  check("the last of a thousand functions", changed, 999 * 0x10001);
}

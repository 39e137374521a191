/* Selectors and addresses that both kernels of the ring 0 tests have, for C and assembler. */
#pragma once
/* The first entries of the table of descriptors: flat code and data of level 0 (start.S), then 64-bit code where a part has it. */
#define KERNEL_CODE 0x08
#define KERNEL_DATA 0x10
#define KERNEL_CODE64 0x18
/* Segments of 64 KiB from 0, between protected and real mode, where a part has them. */
#define CODE_FOR_REAL 0x20
#define DATA_FOR_REAL 0x28
/* Where code for real mode is copied to. */
#define REAL_CODE 0x8000

/**
 * A virtual processor's block in the shared memory: byte offsets from the block's start.
 *
 * The one description of the interpreter's state: TypeScript reads and writes registers through it, and the generator writes it
 * as constants for the assembly core (assembly/generated/layout.ts). Register numbers in pre-decoded operations are byte offsets
 * into the first 256 bytes: general register n is at 8n, AH..BH at 1, 9, 17, 25; ZERO_SLOT always reads zero.
 */

export const STATE = {
  /** 16 u64: RAX RCX RDX RBX RSP RBP RSI RDI R8..R15. */
  REGISTERS: 0,
  /** u64 that is always zero: base or index of an address that has none. */
  ZERO_SLOT: 128,
  /** u64: linear address of the running block's first byte, truncated as RIP is (offset within CS plus its base). */
  RIP_BASE: 136,
  /** u64: RIP, valid whenever the run loop is not inside a block. */
  RIP: 144,
  /** u64: RFLAGS without the six arithmetic flags. */
  FLAGS: 152,
  /** Lazy arithmetic flags, see assembly/flags.ts: u32 kind, u64 result, u64 first operand, u64 second operand. */
  CC_KIND: 160,
  /** u32: where among BRANCHES the next record goes. */
  BRANCH_NEXT: 164,
  CC_RESULT: 168,
  CC_A: 176,
  CC_B: 184,
  /** Addresses (u32) of the current read and write TLBs. */
  TLB_READ: 192,
  TLB_WRITE: 196,
  /** u32: generation that a decoded block must carry to be entered without a look-up. */
  GENERATION: 200,
  /** i32: instructions left until the run loop looks at clock, kick word and interrupts. */
  BUDGET: 204,
  /** u32: mode bits, see assembly/state.ts. */
  MODE: 208,
  /** u32: current privilege level. */
  CPL: 212,
  /** u64: instructions executed. */
  INSTRUCTIONS: 216,
  /** u32: MXCSR. */
  MXCSR: 224,
  /** i32: BUDGET as it was granted at the last poll: what is missing from it was executed. */
  GRANTED: 228,
  /** u64: what a vector operation leaves for a general register or RFLAGS. */
  VECTOR_RESULT: 232,
  /** u64: instructions executed by translated code. */
  TRANSLATED: 240,
  /** u32: generation of blocks on global pages, which other address spaces share; see assembly/tlb.ts. */
  GLOBAL_GENERATION: 248,
  /** i32: negative when another thread wants the processor to look at interrupts and the kick word; it is looked at with the budget. */
  REQUEST: 252,
  /** 64-byte scratch area for operands that have no place in RAM (MMIO, page-crossing). */
  SCRATCH: 256,
  /** 16 x 32 bytes: XMM0..15 in the low halves. */
  XMM: 0x400,
  /** x87: u16 control, u16 status, u8 abridged tag, u16 opcode, u64 instruction pointer, u64 data pointer, u16 selectors of both, 8 x 16 bytes registers. */
  FPU_CONTROL: 0x600,
  FPU_STATUS: 0x602,
  FPU_TAG: 0x604,
  FPU_OPCODE: 0x606,
  FPU_IP: 0x608,
  FPU_DP: 0x610,
  FPU_CS: 0x618,
  FPU_DS: 0x61a,
  FPU_REGISTERS: 0x620,
  /** 8 segments of 32 bytes {u64 base, u32 limit, u32 attributes, u16 selector} in the order ES CS SS DS FS GS LDTR TR. */
  SEGMENTS: 0x700,
  GDTR_BASE: 0x800,
  GDTR_LIMIT: 0x808,
  IDTR_BASE: 0x810,
  IDTR_LIMIT: 0x818,
  CR0: 0x820,
  CR2: 0x828,
  CR3: 0x830,
  CR4: 0x838,
  XCR0: 0x840,
  EFER: 0x848,
  DR0: 0x850,
  DR6: 0x870,
  DR7: 0x878,
  /** Model-specific registers with storage. */
  STAR: 0x880,
  LSTAR: 0x888,
  CSTAR: 0x890,
  SFMASK: 0x898,
  KERNEL_GS_BASE: 0x8a0,
  TSC_AUX: 0x8a8,
  TSC_OFFSET: 0x8b0,
  PAT: 0x8b8,
  APIC_BASE: 0x8c0,
  SYSENTER_CS: 0x8c8,
  SYSENTER_ESP: 0x8d0,
  SYSENTER_EIP: 0x8d8,
  MTRR_DEFAULT: 0x8e0,
  /** 11 fixed and 16 variable MTRRs. */
  MTRR_FIXED: 0x8e8,
  MTRR_VARIABLE: 0x940,
  MISC_ENABLE: 0x9c0,
  /** u32: PKRU. */
  PKRU: 0x9c8,
  /** u32: the chipset was told of FERR#, and it has not ended. */
  FERR: 0x9d0,
  /** Pending exception while it is being raised: u32 vector (0xffffffff: none), u32 error code, u64 address. */
  FAULT_VECTOR: 0xa00,
  FAULT_ERROR: 0xa04,
  FAULT_ADDRESS: 0xa08,
  /** u32: the operation that faulted. */
  FAULT_OPERATION: 0xa10,
  /** u32: vector whose delivery is under way (for double and triple faults), 0xffffffff none. */
  DELIVERING: 0xa14,
  /** u32: exit reason of `run`, and u32, u64 details. */
  EXIT_REASON: 0xa18,
  EXIT_DETAIL: 0xa1c,
  EXIT_ADDRESS: 0xa20,
  /** u32: interrupts are blocked for one instruction (STI, MOV SS). */
  SHADOW: 0xa28,
  /** u32: 1 while halted. */
  HALTED: 0xa2c,
  /** Words that other threads write, atomically. i32 KICK: wakes a halted processor; u32 PENDING: bit 0 NMI, 1 INIT, 2 SIPI. */
  KICK: 0xa40,
  PENDING: 0xa44,
  /** f64: partition time (ns) at which a device wants to run; Infinity none. */
  DEVICE_DEADLINE: 0xa48,
  /** u32: position in the host-write ring up to which this processor has looked. */
  HOST_WRITES_SEEN: 0xa50,
  SLOT_GENERATION_SEEN: 0xa54,
  /** u32: transfers to a block after which it is translated; 0 never; all ones: before its first execution. */
  HOT_THRESHOLD: 0xa58,
  /** i32: not zero when translated code waits to be taken; written by the translator's thread. */
  TRANSLATION_READY: 0xa5c,
  /** u32: REGION_CACHE has had an entry since it was cleared. */
  REGION_CACHE_USED: 0xa68,
  /** u32: polls since the last batch after which hot blocks are sent to the translator, however few they are. */
  BATCH_POLLS: 0xa64,
  /** Ring of the last 16 exceptions, 48 bytes each {u32 vector, u32 error, u64 rip, u64 address, u64 count, u64 cs, u64 cr3}; u32 count. */
  EXCEPTION_COUNT: 0xa60,
  EXCEPTIONS: 0xa80,
  /** Counters of exits and events, u64 each; names in counters.ts. */
  COUNTERS: 0xe00,
  /** Local APIC: registers at their xAPIC offsets / 4 (256 u32), IRR/ISR/TMR within. */
  APIC: 0x1000,
  /** f64: partition time at which the APIC timer fires; u64 TSC deadline; f64 start of the current count. */
  APIC_TIMER_DEADLINE: 0x1400,
  APIC_TSC_DEADLINE: 0x1408,
  APIC_TIMER_START: 0x1410,
  /** u32: an interrupt may be deliverable; set by whoever sets an IRR bit. */
  APIC_ATTENTION: 0x1418,
  /** 8 u32 each: vectors that are never in service; vectors whose EOI the host is told of. */
  APIC_AUTOMATIC_EOI: 0x1420,
  APIC_EOI_NOTICE: 0x1440,
  /** u32: instructions are looked at one by one (assembly/debug.ts); DR6 bits of what the last one met; how it was begun. */
  DEBUGGING: 0x1460,
  DEBUG_PENDING: 0x1464,
  STEP: 0x1468,
  /** u32: what keeps accesses out of the TLBs: bit 0 alignment checks, 1 data breakpoints. */
  ACCESS_CHECKS: 0x146c,
  /** u64: address of the stepped instruction, and of the next one in memory. */
  STEP_START: 0x1470,
  STEP_NEXT: 0x1478,
  /** u64: DEBUGCTL. */
  DEBUG_CONTROL: 0x1480,
  /** 32 u32: parameters on their way through a call gate. */
  GATE_PARAMETERS: 0x1488,
  /** Pre-made operations {DELIVER, RESYNC, EXIT}, 16 bytes each. */
  LEAVE_OPERATIONS: 0x1500,
  /** Six vectors of 32 bytes while a VEX operation is executed. */
  VECTOR_TEMPORARY: 0x1740,
  /** A debugger's stop points before instructions: u32 count, linear addresses (u64), a bit for each offset in a page that one has. */
  STOP_COUNT: 0x2000,
  STOP_ADDRESSES: 0x2008,
  STOP_OFFSETS: 0x2600,
  /** Its watched ranges: u32 count, u32 number from 1 of one that was met, then {u64 first, u64 last, u32 accesses, u32} each. */
  WATCH_COUNT: 0x2800,
  WATCH_HIT: 0x2804,
  WATCH_RANGES: 0x2808,
  /** u64: address of the branch by which a region's computed exit leaves. */
  BRANCH_SOURCE: 0x2fc0,
  /** Ring of the last branches: BRANCH.COUNT records, see BRANCH. */
  BRANCHES: 0x3000,
  /** 4 KiB: where the images of x87 and vector state lie that cannot be written or read in the guest's page. */
  STATE_IMAGE: 0x4000,
  /** TLB sets: see assembly/tlb.ts. */
  TLB_SETS: 0x10000,
  /** A TLB of 1024 entries that never has one. */
  EMPTY_TLB: 0x1f0000,
  /** Jump cache: JUMP_ENTRIES x u32 block addresses. */
  JUMP_CACHE: 0x200000,
  /** Hash table of blocks by physical address: 65536 x u32. */
  BLOCK_HASH: 0x210000,
  /** Jump cache of blocks that are only interpreted: 4096 x u32. */
  JUMP_INTERPRET: 0x250000,
  /** TLB of instruction fetches: 512 entries of 32 bytes, see assembly/tlb.ts. */
  TLB_FETCH: 0x254000,
  /** Blocks waiting for translation: u32 count, then addresses. */
  HOT_QUEUE: 0x258000,
  /** Table slots of dropped regions, to be used again: u32 count, then slots. */
  FREED_SLOTS: 0x25a000,
  /** A block as small as decoding needs, for the translator's own instance of the core. */
  TRANSLATOR: 0x260000,
  /** u32 by operation number: how often a region was left because its next instruction has no translation; how often by a side exit. */
  UNTRANSLATED_COUNTS: 0x270000,
  SIDE_EXIT_COUNTS: 0x280000,
  /** The translator's copy of the code's windows. */
  TRANSLATOR_CODE: 0x290000,
  /** What describeCode leaves, and what installRegion is told of a region's pages (assembly/code-windows.ts, region-blocks.ts). */
  CODE_DESCRIPTION: 0x2a0000,
  /** Regions by RIP, for computed exits of regions: REGION_CACHE_ENTRIES x {u64 RIP, u32 generation, u32 table slot}. */
  REGION_CACHE: 0x2a8000,
  /** Decoded code. */
  ARENA: 0x2c8000,
  ARENA_END: 0x1590000,
  /** For each of REGION_EXITS, i32: how far its branch is from its region's entry, or BRANCH.NONE. */
  REGION_EXIT_SOURCES: 0x1590000,
  /** Operations by which translated regions leave; the translator's. */
  REGION_EXITS: 0x1600000,
  REGION_EXITS_END: 0x17c0000,
  /** Where the translator writes a region's WebAssembly (assembly/code-writer.ts). */
  REGION_CODE: 0x17c0000,
  REGION_CODE_END: 0x1800000,
} as const;

/**
 * Header of a decoded block (assembly/blocks.ts), and its first operation. What an entry looks at lies together, in one cache line where
 * the block begins 32 bytes before one. Byte 55 is zero: it stands where an operation has 'offset of the next instruction', so that the
 * start of any operation is the byte before it (operation - 9).
 */
export const BLOCK = {
  /** u64 */
  GPA: 0,
  /** u32: next in hash chain, next in the chain of its page, next in the chain of its second page. */
  NEXT: 8,
  PAGE_NEXT: 12,
  SECOND_NEXT: 16,
  /** u32: length of its code in bytes. */
  BYTES: 20,
  MODE_KEY: 24,
  /** u32: how many there are. */
  OPERATIONS: 28,
  /** u32: second page + 1 (0: none), and first page. */
  SECOND_PAGE: 32,
  PAGE: 36,
  /** u64, and u32 generation under which it may be entered at that RIP without a look-up. */
  RIP: 40,
  GENERATION: 48,
  /** u16: further pages of a region, which are described behind its operations. */
  MORE_PAGES: 52,
  /** u32: transfers until it is hot. */
  USES: 56,
  /** u16: first byte and end of its code within the first page. */
  FROM: 60,
  TO: 62,
  FIRST_OPERATION: 64,
} as const;

/**
 * A record of the ring of last branches (assembly/branches.ts), a power of two of them: u64 where it led; u32 operation of the linked exit into
 * a region that it was, else 0; then only u32 what is known of it, u64 address of the branch.
 * What is known: TAKEN, else code just goes on there, or the record is not used; TRANSLATED, a region was entered; EVENT, it was the
 * exception or interrupt with the vector VECTOR_SHIFT bits up.
 */
export const BRANCH = {
  BYTES: 32,
  COUNT: 64,
  TO: 0,
  EXIT: 8,
  ABOUT: 12,
  FROM: 16,
  TAKEN: 1,
  TRANSLATED: 2,
  EVENT: 4,
  VECTOR_SHIFT: 8,
  /** In REGION_EXIT_SOURCES: there is no branch. */
  NONE: 0x80000000,
} as const;

/**
 * The code around a hot block, as its translator sees it: windows, each a page and the next one in linear order. What describeCode leaves at
 * CODE_DESCRIPTION: u32 number of windows; from LIST on, for each {i32 pages from the block's page to the window's, u32 host address of its
 * first page, u32 that of the second (0: none), u32}; from BITS on, for each 1024 bytes of bits, by offset, of where blocks begin that were
 * executed, and as many of where regions begin.
 */
export const CODE_WINDOW = { MOST: 8, BYTES: 8192, LIST: 16, ENTRY_BYTES: 16, BITS: 256, BITS_BYTES: 1024 } as const;
/**
 * The pages of a region, the entry's first, as installRegion finds them at CODE_DESCRIPTION: u32 number; from LIST on, for each {u32 host
 * address, i32 pages from the entry's page, u16 first byte of the region's code, u16 end of it, u32}. Behind the block's operations the
 * further ones stand as {u32 RAM page, u32 next block of that page, i32 pages from the entry's page, u16 first byte, u16 end}.
 */
export const REGION_PAGES = { LIST: 16, ENTRY_BYTES: 16, HOST: 0, DELTA: 4, FROM: 8, TO: 10 } as const;

/** Entries of the jump cache. */
export const JUMP_ENTRIES = 16384;
/** Entries of the regions' cache. */
export const REGION_CACHE_ENTRIES = 8192;

/** Segment order within STATE.SEGMENTS, as ModRM encodes them, then LDTR and TR. */
export const SEGMENT_BYTES = 32;
export const SEGMENT = { BASE: 0, LIMIT: 8, ATTRIBUTES: 12, SELECTOR: 16 } as const;
/** Table of the first decoded block per RAM page (u32 each) follows the fixed part of the block. */
export const PAGE_BLOCKS_OFFSET = 24 * 1024 * 1024;

/**
 * The differential harness: what an operation needs so that a single-instruction case is worth running.
 *
 * A preparation may fix registers before the instruction is encoded (a stack pointer, a repeat count), give the encoder wishes,
 * and set registers and memory afterwards, when it is known which of them the instruction uses. Without one an instruction
 * runs on random registers and memory. Called by: differential-generator.ts.
 */
import type { InstructionRow } from '../table/index.ts';
import type { CaseBuilder } from './differential-builder.ts';
import { MASK64, READ_ONLY_BASE, RSP } from './differential-builder.ts';
import { type Encoded, type EncodingWishes, isString } from './differential-encoder.ts';
import { DATA_BASE, FXSAVE, HIGH_BASE, SLOT_STRIDE, STACK_BASE, slotAddress } from './differential-layout.ts';

export interface Preparation {
  readonly wishes?: EncodingWishes;
  readonly after?: (encoded: Encoded) => void;
}

const RAX = 0;
const RCX = 1;
const RDX = 2;
const RBX = 3;
const RBP = 5;
const RSI = 6;
const RDI = 7;

/** Selectors of Linux's user segments, null ones, and some that must not be loaded. */
const pickSelector = (builder: CaseBuilder): bigint =>
  BigInt(
    builder.random.pick([
      0,
      0x2b,
      0x2b,
      0x2b,
      0x28,
      0x2a,
      3,
      1,
      0x23,
      0x33,
      0x30,
      0x20,
      0x10,
      0x18,
      0x1b,
      0x08,
      0x2f,
      0x53,
      0x63,
      0x6b,
      0x80,
      0x8b,
      0xfffb,
      builder.random.below(65536) | 0x100,
    ]),
  );
const pickCodeSelector = (builder: CaseBuilder): bigint =>
  BigInt(
    builder.random.pick([
      0x33, 0x33, 0x33, 0x23, 0x23, 0x23, 0x30, 0x20, 0x32, 0x2b, 0x10, 0x13, 0, 3, 0x8b, 0x37, 0x40, 0x53, 0x63,
    ]),
  );

/** An address where INT3 awaits, in the case's own slot but outside of the bytes from `start` to `end`. */
function pickLanding(builder: CaseBuilder, start: bigint, end: bigint): bigint {
  const { random } = builder;
  const slot = slotAddress(builder.slot);
  return random.chance(0.7)
    ? end + BigInt(random.below(Number(slot + BigInt(SLOT_STRIDE - 1) - end)))
    : slot + BigInt(random.below(Number(start - slot)));
}

/** Where an indirect branch goes: mostly to a landing; to pages that are not code, to nowhere. */
function pickDestination(builder: CaseBuilder): bigint {
  const { random } = builder;
  if (random.chance(0.75)) return pickLanding(builder, builder.position, builder.position + 16n);
  if (builder.mode === 64 && random.chance(0.35))
    return random.pick([0x0000_8000_0000_0000n, 0x8000_0000_0000_0000n, HIGH_BASE, (1n << 62n) | random.bits64()]);
  return random.pick([DATA_BASE + 8n, READ_ONLY_BASE, READ_ONLY_BASE + 0x1000n, 0x7000_0000n, 0x10n]);
}

function relativeBranch(builder: CaseBuilder): EncodingWishes {
  const { random } = builder;
  return {
    branch: (end, bits) => {
      const start = builder.position;
      if (bits === 8) {
        const forward = random.chance(0.7);
        return forward ? BigInt(random.below(128)) : -BigInt(random.between(Number(end - start) + 1, 128));
      }
      if (random.chance(0.8)) return pickLanding(builder, start, end) - end;
      return random.pick([DATA_BASE + 4n, READ_ONLY_BASE, READ_ONLY_BASE + 0x1000n, 0x7000_0000n]) - end;
    },
  };
}

const withStack = (builder: CaseBuilder): bigint => builder.fix(RSP, builder.pickStack(1));

/** A stack pointer that is not so near to an edge that a frame lies on both sides of it. */
function pickFrame(builder: CaseBuilder): bigint {
  for (;;) {
    const pointer = builder.pickStack(1);
    const edges = [STACK_BASE, STACK_BASE + 0x2000n];
    // Above 4 GiB it matters whether the old or the new code segment says how wide the stack is.
    if (pointer >> 32n === 0n && edges.every((edge) => pointer - edge > 64n || edge - pointer > 64n)) return pointer;
  }
}

/** Address of the bytes that the next instruction pops: RSP as the stack's size truncates it. */
const stackTop = (builder: CaseBuilder): bigint => builder.values[RSP] ?? 0n;

function randomFlagsImage(builder: CaseBuilder): bigint {
  // No trap flag and no alignment check: what they do is not part of a single instruction.
  return BigInt(builder.random.word()) & ~0x40100n & 0xffff_ffffn & ~0x20000n;
}

/** Control and status words and tags of an x87 that somebody has used; ES and B agree with the exceptions. */
function randomX87(builder: CaseBuilder, image: Uint8Array): void {
  const { random } = builder;
  const view = new DataView(image.buffer, image.byteOffset);
  const control = (random.chance(0.7) ? 0x37f : 0x340 | random.below(64)) | (random.word() & 0xc00);
  let status = random.word() & 0x7f7f;
  if (random.chance(0.6)) status &= ~0x7f;
  if ((status & 0x3f & ~control) !== 0) status |= 0x8080;
  view.setUint16(FXSAVE.control, control, true);
  view.setUint16(FXSAVE.status, status, true);
  view.setUint8(FXSAVE.tag, random.chance(0.3) ? 0 : random.below(256));
}

function x87Image(builder: CaseBuilder, bytes: number): Uint8Array {
  const { random } = builder;
  const image = new Uint8Array(bytes);
  const view = new DataView(image.buffer);
  for (let at = 0; at < bytes; at++) image[at] = random.word();
  const wide = bytes === 28 || bytes === 108;
  const environment = new Uint8Array(16);
  randomX87(builder, environment);
  const words = new DataView(environment.buffer);
  const step = wide ? 4 : 2;
  view.setUint16(0, words.getUint16(0, true), true);
  view.setUint16(step, words.getUint16(2, true), true);
  // Instruction and data pointers: zeros, for processors differ in which of them they keep.
  image.fill(0, step * 3, step * 7);
  return image;
}

function fxsaveImage(builder: CaseBuilder, bytes: number): Uint8Array {
  const { random } = builder;
  const image = new Uint8Array(bytes);
  const view = new DataView(image.buffer);
  for (let at = 32; at < Math.min(bytes, 512); at += 16) random.vector(view, at);
  randomX87(builder, image);
  view.setUint32(FXSAVE.mxcsr, random.chance(0.85) ? builder.randomMxcsr() : foreignMxcsr(builder), true);
  for (let register = 0; register < 8; register++) image.fill(0, 32 + 16 * register + 10, 48 + 16 * register);
  if (bytes > 512) {
    image.fill(0, 512);
    view.setBigUint64(512, BigInt(random.chance(0.9) ? random.below(4) : random.word()), true);
    if (random.chance(0.05)) view.setBigUint64(520, BigInt(random.below(4)), true);
    if (random.chance(0.05)) view.setUint8(528 + random.below(48), 1);
  }
  return image;
}

/** Divisions that mostly do not overflow. */
function prepareDivision(builder: CaseBuilder, row: InstructionRow): Preparation {
  const { random } = builder;
  return {
    after: ({ size, form, rm, target }) => {
      const bits = BigInt(size);
      if (random.chance(0.2)) return;
      const divisor = random.chance(0.7) ? random.integer() | 1n : BigInt(random.between(1, 300));
      const signed = row.operation === 'IDIV';
      const low = BigInt.asUintN(size, random.integer());
      // A dividend of one word, as compilers make it, or one whose quotient just about fits.
      let high = signed ? (low >> (bits - 1n) === 1n ? (1n << bits) - 1n : 0n) : 0n;
      const magnitude = BigInt.asUintN(size, divisor);
      if (random.chance(0.5) && magnitude !== 0n)
        high = (BigInt.asUintN(size, random.integer()) % magnitude) >> (signed ? 1n : 0n);
      if (size === 8) builder.set(RAX, (random.bits64() << 16n) | (high << 8n) | low);
      else {
        builder.set(RAX, ((random.bits64() << bits) | low) & MASK64);
        if (form !== 'register' || rm !== RDX) builder.set(RDX, ((random.bits64() << bits) | high) & MASK64);
      }
      if (form === 'memory' && target !== undefined) builder.patchNumber(target, divisor, size / 8);
      else if (form === 'register' && rm !== RAX && rm !== RDX && rm !== RSP && size > 8) builder.fix(rm, divisor);
    },
  };
}

function prepareString(builder: CaseBuilder, row: InstructionRow): Preparation {
  const { random } = builder;
  const { operation } = row;
  const elementBits = row.size === 'b' ? 8 : 0;
  // Most repeat a few times; some are long enough to be done a page at a time and to run into what is not mapped.
  const long = random.chance(0.15);
  const count = long ? random.between(40, 2500) : random.pick([0, 1, 2, 3, random.below(40), random.below(40)]);
  const place = (): bigint => {
    const base = builder.mode === 64 && random.chance(0.3) ? HIGH_BASE : DATA_BASE;
    if (random.chance(0.12)) return builder.pickTarget(8, 1, 1, builder.mode === 64);
    return base + BigInt(random.between(0x40, 0x1fb0) & (random.chance(0.5) ? ~7 : ~0));
  };
  return {
    after: ({ addressBits, size, repeat }) => {
      const noise = (value: bigint): bigint =>
        addressBits === 32n && builder.mode === 64 ? (value & 0xffff_ffffn) | (random.bits64() << 32n) : value;
      // 67h drops what lies above 4 GiB; HIGH then reads as DATA.
      if (repeat !== 0) builder.set(RCX, noise(BigInt(count)));
      if (operation !== 'STOS' && operation !== 'SCAS') builder.set(RSI, noise(place()));
      if (operation !== 'LODS') builder.set(RDI, noise(place()));
      if (random.chance(0.2) && operation === 'MOVS')
        builder.set(RDI, (builder.values[RSI] ?? 0n) + BigInt(random.between(-70, 70)));
      // Equal stretches, so that compares and scans go on.
      if (operation === 'SCAS' && random.chance(0.6)) {
        const bytes = (elementBits || size) / 8;
        const at = addressBits === 32n ? (builder.values[RDI] ?? 0n) & 0xffff_ffffn : (builder.values[RDI] ?? 0n);
        const value = builder.values[RAX] ?? builder.fix(RAX, random.integer());
        const backwards = (builder.flags & 0x400n) !== 0n;
        for (let step = 0; step < Math.min(count, random.below(12)); step++) {
          builder.patchNumber(at + BigInt((backwards ? -step : step) * bytes), value, bytes);
        }
      } else if (operation === 'CMPS' && random.chance(0.6)) {
        const at = (register: number): bigint =>
          addressBits === 32n ? (builder.values[register] ?? 0n) & 0xffff_ffffn : (builder.values[register] ?? 0n);
        const backwards = (builder.flags & 0x400n) !== 0n;
        for (let step = 0; step < random.below(16); step++) {
          const offset = BigInt((backwards ? -step : step) * 8);
          const value = random.bits64();
          builder.patchNumber(at(RSI) + offset, value, 8);
          builder.patchNumber(at(RDI) + offset, value, 8);
        }
      }
    },
  };
}

/** CR2-like far pointers: offset of `size` bits, then a selector. */
function farPointer(offset: bigint, selector: bigint, size: number): Uint8Array {
  const bytes = new Uint8Array(size / 8 + 2);
  for (let index = 0; index < size / 8; index++) bytes[index] = Number((offset >> BigInt(8 * index)) & 0xffn);
  bytes[size / 8] = Number(selector & 0xffn);
  bytes[size / 8 + 1] = Number((selector >> 8n) & 0xffn);
  return bytes;
}

const words = (values: readonly bigint[], bytes: number): Uint8Array => {
  const image = new Uint8Array(values.length * bytes);
  values.forEach((value, index) => {
    for (let at = 0; at < bytes; at++) image[index * bytes + at] = Number((value >> BigInt(8 * at)) & 0xffn);
  });
  return image;
};

/** A target in writable pages, for operands whose contents the case must choose. */
const patchable =
  (builder: CaseBuilder, faults = 0.5) =>
  (bytes: number): bigint =>
    builder.pickTarget(bytes, 1, faults, builder.mode === 64);

/** No operand in the read-only page: what is loaded from there the case cannot choose. */
const avoidReadOnly =
  (choose: (bytes: number) => bigint) =>
  (bytes: number): bigint => {
    for (;;) {
      const target = choose(bytes);
      if (target + BigInt(bytes) <= READ_ONLY_BASE || target >= READ_ONLY_BASE + 0x1000n) return target;
    }
  };

/** MXCSR with reserved bits set; bit 17 is AMD's own. */
const foreignMxcsr = (builder: CaseBuilder): number => (builder.random.word() & ~0x20000) >>> 0;

function prepareStack(builder: CaseBuilder, row: InstructionRow): Preparation {
  const { random } = builder;
  // Far returns look at the whole frame first, in an order of their own.
  if (row.operation === 'RETF' || row.operation === 'IRET') builder.fix(RSP, pickFrame(builder));
  withStack(builder);
  const size = builder.mode;
  switch (row.operation) {
    case 'RET':
      builder.patchNumber(stackTop(builder), pickDestination(builder), size / 8);
      return { wishes: { immediate: BigInt(random.below(64)) } };
    case 'POP_SEG':
      builder.patchNumber(stackTop(builder), pickSelector(builder), 2);
      return {};
    case 'RETF': {
      const operandSize = random.pick([32, 32, builder.mode === 64 ? 64 : 32, 16]);
      const far = words(
        [pickDestination(builder), pickCodeSelector(builder) | (random.bits64() << 16n)],
        operandSize / 8,
      );
      builder.patch(stackTop(builder), far);
      return { wishes: { size: operandSize, immediate: BigInt(random.below(64)) } };
    }
    case 'IRET': {
      const operandSize = random.pick([32, builder.mode, builder.mode, 16]);
      const frame = [
        pickDestination(builder),
        pickCodeSelector(builder),
        randomFlagsImage(builder),
        builder.pickStack(0.3),
        BigInt(random.pick([0x2b, 0x2b, 0x2b, 0x2b, 0, 3, 0x23, 0x28])),
      ];
      builder.patch(stackTop(builder), words(frame, operandSize / 8));
      return { wishes: { size: operandSize } };
    }
    case 'POPF':
      builder.patchNumber(stackTop(builder), randomFlagsImage(builder), 8);
      return {};
    case 'LEAVE':
      builder.fix(RBP, builder.pickStack(1));
      return {};
    case 'ENTER':
      builder.fix(RBP, builder.pickStack(1));
      return {};
    default:
      return {};
  }
}

/** Branches and calls through a register or memory. */
function prepareIndirect(builder: CaseBuilder): Preparation {
  const destination = pickDestination(builder);
  return {
    wishes: { target: patchable(builder) },
    after: ({ form, rm, target, size }) => {
      if (form === 'register') {
        if (rm !== RSP) builder.set(rm, destination);
      } else if (target !== undefined) builder.patchNumber(target, destination, size / 8);
    },
  };
}

const prepareFarBranch = (builder: CaseBuilder): Preparation => {
  builder.fix(RSP, pickFrame(builder));
  return {
    // Processors differ in what REX.W means here.
    wishes: { size: builder.random.pick([16, 32]), target: patchable(builder) },
    after: ({ target, size }) => {
      if (target !== undefined)
        builder.patch(target, farPointer(pickDestination(builder), pickCodeSelector(builder), size));
    },
  };
};

const prepareSelector = (builder: CaseBuilder): Preparation => ({
  wishes: { target: patchable(builder) },
  after: ({ form, rm, target }) => {
    const selector = pickSelector(builder) | (builder.random.bits64() << 16n);
    if (form === 'register') {
      if (rm !== RSP) builder.set(rm, selector);
    } else if (target !== undefined) builder.patchNumber(target, selector, 2);
  },
});

/** A bit offset that stays near its operand, for it addresses memory beyond it. */
const prepareBitTest = (builder: CaseBuilder, row: InstructionRow): Preparation => ({
  wishes: {
    // Near the ends of the canonical halves it matters whether the address is checked before the offset is added.
    target: (bytes) => {
      for (;;) {
        const target = builder.pickTarget(bytes, bytes, 1, builder.mode === 64);
        if (![0x7fffn, 0x8000n, 0xffff_7fffn, 0xffff_8000n].includes(target >> 32n)) return target;
      }
    },
  },
  after: ({ form, reg }) => {
    if (form !== 'memory' || row.operands[1]?.kind !== 'G' || builder.random.chance(0.08)) return;
    if (builder.values[reg] === undefined) builder.set(reg, BigInt(builder.random.between(-3000, 3000)));
  },
});

function prepareCompareExchange(builder: CaseBuilder, row: InstructionRow): Preparation {
  const { random } = builder;
  return {
    after: ({ form, rm, rex, target, size }) => {
      if (random.chance(0.45)) return;
      if (row.operation === 'CMPXCHG8B') {
        if (target === undefined) return;
        const half = size === 64 ? 8 : 4;
        const low = builder.peek(target, half);
        const high = builder.peek(target + BigInt(half), half);
        if (low !== undefined && high !== undefined) {
          builder.fix(RAX, low | (half === 4 ? random.bits64() << 32n : 0n));
          builder.fix(RDX, high | (half === 4 ? random.bits64() << 32n : 0n));
        }
        return;
      }
      const byteHigh = size === 8 && !rex && rm >= 4 && rm < 8;
      const value =
        form === 'memory'
          ? target === undefined
            ? undefined
            : builder.peek(target, size / 8)
          : byteHigh
            ? undefined
            : builder.fix(rm, random.integer());
      if (value !== undefined) builder.fix(RAX, BigInt.asUintN(size, value) | (random.bits64() << BigInt(size)));
    },
  };
}

const prepareShift = (builder: CaseBuilder): Preparation => {
  builder.fix(
    RCX,
    builder.random.chance(0.7)
      ? BigInt(builder.random.below(72)) | ((builder.random.bits64() >> 8n) << 8n)
      : builder.random.integer(),
  );
  return {};
};

/** 16-bit double shifts by more than 16 leave the result itself undefined. */
function prepareDoubleShift(builder: CaseBuilder, row: InstructionRow): Preparation {
  const { random } = builder;
  const small = BigInt(random.below(17));
  if (row.operands.at(-1)?.kind === 'I') {
    const size = random.pick(builder.mode === 64 ? [16, 32, 64] : [16, 32]);
    return {
      wishes: { size, immediate: size === 16 ? small | BigInt(random.below(8) << 5) : BigInt(random.below(256)) },
    };
  }
  builder.fix(RCX, small | ((random.bits64() >> 8n) << 8n));
  return {};
}

/** Nothing that could move the operand from where it is wanted. */
const direct: EncodingWishes = { plain: true, defaultAddressSize: true };

/** The table: operation to preparation. */
const PREPARATIONS: Readonly<Record<string, (builder: CaseBuilder, row: InstructionRow) => Preparation>> = {
  DIV: prepareDivision,
  IDIV: prepareDivision,
  PUSH: prepareStack,
  PUSH_IMM: prepareStack,
  PUSH_SEG: prepareStack,
  PUSHF: prepareStack,
  PUSHA: prepareStack,
  POPA: prepareStack,
  POP_SEG: prepareStack,
  POPF: prepareStack,
  RET: prepareStack,
  RETF: prepareStack,
  IRET: prepareStack,
  LEAVE: prepareStack,
  ENTER: (builder, row) => ({
    ...prepareStack(builder, row),
    // Frame size and level share the wish: small frames with few levels, or whatever.
    wishes: { immediate: BigInt(builder.random.chance(0.7) ? builder.random.below(32) : builder.random.below(256)) },
  }),
  POP: (builder) => {
    withStack(builder);
    return {};
  },
  CALL: (builder) => {
    withStack(builder);
    return { wishes: relativeBranch(builder) };
  },
  JMP: (builder) => ({ wishes: relativeBranch(builder) }),
  JCC: (builder) => ({ wishes: relativeBranch(builder) }),
  LOOP: (builder) => prepareLoop(builder),
  LOOPE: (builder) => prepareLoop(builder),
  LOOPNE: (builder) => prepareLoop(builder),
  JCXZ: (builder) => prepareLoop(builder),
  CALL_INDIRECT: (builder) => {
    withStack(builder);
    return prepareIndirect(builder);
  },
  JMP_INDIRECT: prepareIndirect,
  CALL_FAR_MEM: prepareFarBranch,
  JMP_FAR_MEM: prepareFarBranch,
  MOV_TO_SEG: prepareSelector,
  LAR: prepareSelector,
  LSL: prepareSelector,
  VERR: prepareSelector,
  VERW: prepareSelector,
  ARPL: prepareSelector,
  BT: prepareBitTest,
  BTS: prepareBitTest,
  BTR: prepareBitTest,
  BTC: prepareBitTest,
  CMPXCHG: prepareCompareExchange,
  CMPXCHG8B: prepareCompareExchange,
  SHLD: prepareDoubleShift,
  SHRD: prepareDoubleShift,
  SHLD_CL: prepareDoubleShift,
  SHRD_CL: prepareDoubleShift,
  // The result of a 16-bit BSWAP is undefined.
  BSWAP: (builder) => ({ wishes: { size: builder.mode === 64 ? builder.random.pick([32, 64]) : 32 } }),
  XLAT: (builder) => {
    builder.fix(RBX, builder.pickTarget(1, 1, 1, builder.mode === 64) - BigInt(builder.random.below(256)));
    return {};
  },
  MASKMOVDQU: (builder) => {
    // Whether bytes that the mask leaves out can fault is the processor's affair: no operand half in a page that faults.
    const { random } = builder;
    builder.fix(
      RDI,
      random.chance(0.2)
        ? DATA_BASE + 0xff0n + BigInt(random.below(16))
        : builder.pickTarget(16, 16, 0.5, builder.mode === 64) & ~15n,
    );
    return {
      after: ({ rm }) => {
        const at = FXSAVE.xmm + 16 * rm;
        builder.vectorState[at] = (builder.vectorState[at] ?? 0) | 0x80;
      },
    };
  },
  INT: (builder) => ({
    wishes: { immediate: BigInt(builder.random.pick([0, 1, 2, 3, 4, 5, 8, 13, 14, 0x20, 0x7f, 0x81, 0xff])) },
  }),
  AAM: (builder) => (builder.random.chance(0.2) ? { wishes: { immediate: 0n } } : {}),
  BOUND: (builder) => ({
    wishes: { target: patchable(builder) },
    after: ({ target, size, reg }) => {
      if (target === undefined || builder.random.chance(0.35)) return;
      const index = BigInt.asIntN(size, builder.fix(reg, builder.random.integer()));
      builder.patch(
        target,
        words([index - BigInt(builder.random.below(3)), index + BigInt(builder.random.below(3))], size / 8),
      );
    },
  }),
  LDMXCSR: (builder) => ({
    wishes: { target: avoidReadOnly(patchable(builder)) },
    after: ({ target }) => {
      const value = builder.random.chance(0.7) ? builder.randomMxcsr() : foreignMxcsr(builder);
      if (target !== undefined) builder.patchNumber(target, BigInt(value), 4);
    },
  }),
  FXRSTOR: (builder) => ({
    wishes: {
      target: avoidReadOnly((bytes) =>
        builder.pickTarget(bytes, builder.random.chance(0.9) ? 16 : 8, 0.4, builder.mode === 64),
      ),
    },
    after: ({ target }) => {
      if (target !== undefined) builder.patch(target, fxsaveImage(builder, 512));
    },
  }),
  FXSAVE: (builder) => ({
    wishes: {
      ...direct,
      target: (bytes) => builder.pickTarget(bytes, builder.random.chance(0.9) ? 16 : 8, 0.4, builder.mode === 64),
    },
    after: ({ target }) => {
      // MXCSR_MASK tells which bits the processor has.
      if (target !== undefined) builder.ignoredMemory.push({ address: target + 28n, bytes: 4 });
    },
  }),
  XRSTOR: (builder) => {
    builder.fix(RAX, BigInt(builder.random.below(4)));
    builder.fix(RDX, 0n);
    return {
      wishes: {
        target: avoidReadOnly(
          (bytes) =>
            builder.pickTarget(bytes, 64, 0.4, builder.mode === 64) & (builder.random.chance(0.9) ? ~63n : ~15n),
        ),
      },
      after: ({ target }) => {
        if (target !== undefined) builder.patch(target, fxsaveImage(builder, 576));
      },
    };
  },
  XSAVE: (builder) => {
    builder.fix(RAX, BigInt(builder.random.below(4)));
    builder.fix(RDX, 0n);
    randomX87(builder, builder.vectorState);
    return {
      wishes: {
        ...direct,
        target: (bytes) =>
          builder.pickTarget(bytes, 64, 0.4, builder.mode === 64) & (builder.random.chance(0.9) ? ~63n : ~15n),
      },
      after: ({ target }) => {
        // XSTATE_BV tells which components the processor holds in use: it may differ.
        if (target !== undefined) {
          builder.patch(target + 512n, new Uint8Array(64));
          builder.ignoredMemory.push({ address: target + 512n, bytes: 8 }, { address: target + 28n, bytes: 4 });
        }
      },
    };
  },
  FLDENV: (builder) => loadX87(builder),
  FRSTOR: (builder) => loadX87(builder),
  WRFSBASE: (builder) => ({
    after: ({ rm }) => {
      if (rm !== RSP)
        builder.set(rm, builder.random.chance(0.7) ? builder.random.bits64() >> 17n : builder.random.integer());
    },
  }),
  XGETBV: (builder) => {
    builder.fix(RCX, builder.random.integer() | 0x10n);
    return {};
  },
};
const WRITE_GS_BASE = PREPARATIONS.WRFSBASE;

function prepareLoop(builder: CaseBuilder): Preparation {
  const { random } = builder;
  builder.fix(
    RCX,
    random.chance(0.6)
      ? BigInt(random.below(3)) | (random.chance(0.3) ? random.bits64() << 32n : 0n)
      : random.integer(),
  );
  return { wishes: relativeBranch(builder) };
}

function loadX87(builder: CaseBuilder): Preparation {
  return {
    wishes: { target: patchable(builder) },
    after: ({ item, target, size }) => {
      const bytes = item.row?.operation === 'FLDENV' ? (size === 16 ? 14 : 28) : size === 16 ? 94 : 108;
      if (target !== undefined) builder.patch(target, x87Image(builder, bytes));
    },
  };
}

/** Decides what can be decided before encoding, and returns what is to be done with the rest. */
export function prepare(builder: CaseBuilder, row: InstructionRow): Preparation {
  if (row.attributes.has('x87')) randomX87(builder, builder.vectorState);
  if (row.operation.startsWith('JMP_FAR_IMM') || row.operation === 'CALL_FAR_IMM') {
    builder.fix(RSP, pickFrame(builder));
    return { wishes: { far: { offset: pickDestination(builder), selector: pickCodeSelector(builder) } } };
  }
  if (row.operation.startsWith('LOAD_FAR')) {
    return {
      wishes: { size: builder.random.pick([16, 32]), target: patchable(builder) },
      after: ({ target, size }) => {
        if (target !== undefined) builder.patchNumber(target + BigInt(size / 8), pickSelector(builder), 2);
      },
    };
  }
  if (row.operation === 'WRGSBASE' && WRITE_GS_BASE !== undefined) return WRITE_GS_BASE(builder, row);
  if (/^(JCC|SETCC|CMOVCC)_/.test(row.operation))
    return row.operation.startsWith('JCC') ? { wishes: relativeBranch(builder) } : {};
  if (isString(row)) return prepareString(builder, row);
  if (row.operands.some((operand) => operand.width === 'CL') && PREPARATIONS[row.operation] === undefined)
    return prepareShift(builder);
  return PREPARATIONS[row.operation]?.(builder, row) ?? {};
}

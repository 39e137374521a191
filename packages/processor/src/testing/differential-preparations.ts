/**
 * The differential harness: preparations that several operations share.
 *
 * A preparation may fix registers before the instruction is encoded (a stack pointer, a repeat count), give the encoder wishes,
 * and set registers and memory afterwards, when it is known which of them the instruction uses.
 * Called by: differential-operations.ts.
 */
import type { InstructionRow } from '../table/index.ts';
import { type CaseBuilder, MASK64, READ_ONLY_BASE, RSP } from './differential-builder.ts';
import type { Encoded, EncodingWishes } from './differential-encoder.ts';
import { farPointer, randomFlagsImage, words, x87Image } from './differential-images.ts';
import { DATA_BASE, HIGH_BASE } from './differential-layout.ts';
import {
  pickCodeSelector,
  pickDestination,
  pickFrame,
  pickSelector,
  RAX,
  RBP,
  RCX,
  RDI,
  RDX,
  RSI,
  relativeBranch,
  stackTop,
  withStack,
} from './differential-picks.ts';

export interface Preparation {
  readonly wishes?: EncodingWishes;
  readonly after?: (encoded: Encoded) => void;
}

/** Divisions that mostly do not overflow. */
export function prepareDivision(builder: CaseBuilder, row: InstructionRow): Preparation {
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

export function prepareString(builder: CaseBuilder, row: InstructionRow): Preparation {
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

/** A target in writable pages, for operands whose contents the case must choose. */
export const patchable =
  (builder: CaseBuilder, faults = 0.5) =>
  (bytes: number): bigint =>
    builder.pickTarget(bytes, 1, faults, builder.mode === 64);

/** No operand in the read-only page: what is loaded from there the case cannot choose. */
export const avoidReadOnly =
  (choose: (bytes: number) => bigint) =>
  (bytes: number): bigint => {
    for (;;) {
      const target = choose(bytes);
      if (target + BigInt(bytes) <= READ_ONLY_BASE || target >= READ_ONLY_BASE + 0x1000n) return target;
    }
  };

export function prepareStack(builder: CaseBuilder, row: InstructionRow): Preparation {
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
export function prepareIndirect(builder: CaseBuilder): Preparation {
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

export const prepareFarBranch = (builder: CaseBuilder): Preparation => {
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

export const prepareSelector = (builder: CaseBuilder): Preparation => ({
  wishes: { target: patchable(builder) },
  after: ({ form, rm, target }) => {
    const selector = pickSelector(builder) | (builder.random.bits64() << 16n);
    if (form === 'register') {
      if (rm !== RSP) builder.set(rm, selector);
    } else if (target !== undefined) builder.patchNumber(target, selector, 2);
  },
});

/** A bit offset that stays near its operand, for it addresses memory beyond it. */
export const prepareBitTest = (builder: CaseBuilder, row: InstructionRow): Preparation => ({
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

export function prepareCompareExchange(builder: CaseBuilder, row: InstructionRow): Preparation {
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

export const prepareShift = (builder: CaseBuilder): Preparation => {
  builder.fix(
    RCX,
    builder.random.chance(0.7)
      ? BigInt(builder.random.below(72)) | ((builder.random.bits64() >> 8n) << 8n)
      : builder.random.integer(),
  );
  return {};
};

/** 16-bit double shifts by more than 16 leave the result itself undefined. */
export function prepareDoubleShift(builder: CaseBuilder, row: InstructionRow): Preparation {
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
export const direct: EncodingWishes = { plain: true, defaultAddressSize: true };

export function prepareLoop(builder: CaseBuilder): Preparation {
  const { random } = builder;
  builder.fix(
    RCX,
    random.chance(0.6)
      ? BigInt(random.below(3)) | (random.chance(0.3) ? random.bits64() << 32n : 0n)
      : random.integer(),
  );
  return { wishes: relativeBranch(builder) };
}

export function loadX87(builder: CaseBuilder): Preparation {
  return {
    wishes: { target: patchable(builder) },
    after: ({ item, target, size }) => {
      const bytes = item.row?.operation === 'FLDENV' ? (size === 16 ? 14 : 28) : size === 16 ? 94 : 108;
      if (target !== undefined) builder.patch(target, x87Image(builder, bytes));
    },
  };
}

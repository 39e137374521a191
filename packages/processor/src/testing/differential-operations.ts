/**
 * The differential harness: what an operation needs so that a single-instruction case is worth running.
 *
 * Without a preparation an instruction runs on random registers and memory. Called by: differential-generator.ts.
 */
import type { InstructionRow } from '../table/index.ts';
import { type CaseBuilder, RSP } from './differential-builder.ts';
import { isString } from './differential-facts.ts';
import { foreignMxcsr, fxsaveImage, randomX87, words } from './differential-images.ts';
import { DATA_BASE, FXSAVE } from './differential-layout.ts';
import {
  pickCodeSelector,
  pickDestination,
  pickFrame,
  pickSelector,
  RAX,
  RBX,
  RCX,
  RDI,
  RDX,
  relativeBranch,
  withStack,
} from './differential-picks.ts';
import {
  avoidReadOnly,
  direct,
  loadX87,
  type Preparation,
  patchable,
  prepareBitTest,
  prepareCompareExchange,
  prepareDivision,
  prepareDoubleShift,
  prepareFarBranch,
  prepareIndirect,
  prepareLoop,
  prepareSelector,
  prepareShift,
  prepareStack,
  prepareString,
} from './differential-preparations.ts';
import { fillX87, prepareX87 } from './differential-x87.ts';

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
    builder.fix(RAX, BigInt(builder.random.below(8)));
    builder.fix(RDX, 0n);
    return {
      wishes: {
        target: avoidReadOnly(
          (bytes) =>
            builder.pickTarget(bytes, 64, 0.4, builder.mode === 64) & (builder.random.chance(0.9) ? ~63n : ~15n),
        ),
      },
      after: ({ target }) => {
        if (target !== undefined) builder.patch(target, fxsaveImage(builder, 832));
      },
    };
  },
  XSAVE: (builder) => {
    builder.fix(RAX, BigInt(builder.random.below(8)));
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
  XSAVEC: (builder) => {
    builder.fix(RAX, BigInt(builder.random.below(8)));
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
const MASKED_MOVE = PREPARATIONS.MASKMOVDQU;
const WRITE_GS_BASE = PREPARATIONS.WRFSBASE;
const LOAD_MXCSR = PREPARATIONS.LDMXCSR;

/** Decides what can be decided before encoding, and returns what is to be done with the rest. */
export function prepare(builder: CaseBuilder, row: InstructionRow): Preparation {
  if (row.operation.startsWith('X87_')) return prepareX87(builder, row);
  if (/^(MMX_|EMMS)/.test(row.operation) && builder.random.chance(0.5)) fillX87(builder);
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
  if (row.operation === 'VEX_MASKMOVDQU' && MASKED_MOVE !== undefined) return MASKED_MOVE(builder, row);
  if (row.operation === 'VEX_LDMXCSR' && LOAD_MXCSR !== undefined) return LOAD_MXCSR(builder, row);
  if (row.operation === 'WRGSBASE' && WRITE_GS_BASE !== undefined) return WRITE_GS_BASE(builder, row);
  if (/^(JCC|SETCC|CMOVCC)_/.test(row.operation))
    return row.operation.startsWith('JCC') ? { wishes: relativeBranch(builder) } : {};
  if (isString(row)) return prepareString(builder, row);
  if (row.operands.some((operand) => operand.width === 'CL') && PREPARATIONS[row.operation] === undefined)
    return prepareShift(builder);
  return PREPARATIONS[row.operation]?.(builder, row) ?? {};
}

/**
 * LDMXCSR, STMXCSR and FNSTCW, with which mathematical libraries look after the rounding mode, and the approximations RCP and RSQRT.
 *
 * MXCSR in the processor's block is current within a region, because no instruction in one changes a sticky flag. The approximations have
 * 12 significant bits as the interpreter's have; zeros, denormals, infinities, NaN and negative roots are the interpreter's.
 * Answers to: AMD64 manual volume 4; assembly/vector-float.ts. Called by: emit-float.ts.
 */
import { STATE } from '../state-layout.ts';
import { SINGLE, signBits } from './emit-float-checks.ts';
import type { Emit } from './emit-operands.ts';
import { pushLow, pushVector } from './emit-vector-operands.ts';
import { V } from './vector-opcodes.ts';
import { OP } from './wasm-encoder.ts';

/** Bits that MXCSR does not have: loading one of them raises #GP. */
const RESERVED = ~0xffff;

const loadMxcsr: Emit = (emitter, instruction) => {
  const { code, narrow } = emitter;
  emitter.effectiveAddress(instruction);
  emitter.operandPointer('read', 4);
  code.memory(OP.i32_load, 0);
  code.tee(narrow[0]);
  code.i32(RESERVED);
  code.op(OP.i32_and);
  emitter.sideExitIf();
  code.get(0);
  code.get(narrow[0]);
  code.memory(OP.i32_store, STATE.MXCSR);
  emitter.vectors.loadMode();
};
const storeMxcsr: Emit = (emitter, instruction) => {
  const { code } = emitter;
  emitter.effectiveAddress(instruction);
  emitter.operandPointer('write', 4);
  code.get(0);
  code.memory(OP.i32_load, STATE.MXCSR);
  code.memory(OP.i32_store, 0);
};
const storeControlWord: Emit = (emitter, instruction) => {
  const { code } = emitter;
  emitter.effectiveAddress(instruction);
  emitter.operandPointer('write', 2);
  code.get(0);
  code.memory(OP.i64_load16_u, STATE.FPU_CONTROL);
  code.memory(OP.i64_store16, 0);
};

/**
 * `root`: of the square root. The operand has to be in a range of bit patterns, the sign shifted out or not: `offset` moves the range's
 * start to the least signed number, `last` is its end there.
 */
const approximate =
  (packed: boolean, root: boolean, offset: number, last: number): Emit =>
  (emitter, instruction) => {
    const { code, vectors } = emitter;
    const [source, result] = [vectors.vector(0), vectors.vector(2)];
    if (packed) pushVector(emitter, instruction);
    else pushLow(emitter, instruction, 4);
    code.set(source);
    emitter.withSideExit((leaveIf) => {
      code.get(source);
      if (!root) {
        code.i32(1);
        code.vector(V.i32x4_shl);
      }
      code.splat32(offset);
      code.vector(V.i32x4_add);
      code.splat32(last);
      code.vector(V.i32x4_gt_s);
      signBits(emitter, SINGLE, packed ? 4 : 1);
      leaveIf();
    });
    // One by it, rounded to 12 bits.
    code.splat32(0x3f800000);
    code.get(source);
    if (root) code.vector(V.f32x4_sqrt);
    code.vector(V.f32x4_div);
    code.splat32(0x400);
    code.vector(V.i32x4_add);
    code.splat32(0xfffff800);
    code.vector(V.and);
    if (!packed) {
      code.set(result);
      vectors.get(instruction.first);
      code.get(result);
      code.lane(V.f32x4_extract, 0);
      code.lane(V.f32x4_replace, 0);
    }
    vectors.set(instruction.destination);
  };
/** Magnitudes from the least normal number to 2^126, from where on the reciprocal is zero. */
const reciprocal = (packed: boolean): Emit => approximate(packed, false, 0x7f000000, 0x7bffffff);
/** Positive normal numbers. */
const reciprocalRoot = (packed: boolean): Emit => approximate(packed, true, 0x7f800000, 0xfeffffff | 0);

const EMITTERS: ReadonlyMap<string, Emit> = new Map<string, Emit>([
  ['LDMXCSR', loadMxcsr],
  ['STMXCSR', storeMxcsr],
  ['FNSTCW', storeControlWord],
  ['RCPPS', reciprocal(true)],
  ['RCPSS', reciprocal(false)],
  ['RSQRTPS', reciprocalRoot(true)],
  ['RSQRTSS', reciprocalRoot(false)],
]);

/** The emitter of one of these. */
export function emitMxcsr(operation: string): Emit | undefined {
  return EMITTERS.get(operation);
}

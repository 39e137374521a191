/**
 * Flags as a whole, and system instructions that are short and frequent: what the entry to and the exit from a kernel is made of.
 *
 * State that is no local of the region (RFLAGS without the arithmetic flags, segment bases) is read and written in the processor's block.
 * What the current privilege forbids leaves the region: the interpreter raises the exception.
 * Answers to: AMD64 manual volumes 2 and 3; assembly/system.ts. Called by: emit-instructions.ts.
 */
import { SHARED, SHARED_OFFSET } from '@plinth/hypervisor';
import { SEGMENT, SEGMENT_BYTES, STATE } from '../state-layout.ts';
import { emitCarry, emitFlags } from './emit-conditions.ts';
import { pushLocal } from './emit-moves.ts';
import type { Emit } from './emit-operands.ts';
import { ALL_FLAGS, FLAG, KIND } from './flag-analysis.ts';
import type { RegionEmitter } from './region-emitter.ts';
import { OP, VOID } from './wasm-encoder.ts';

const INTERRUPT_FLAG = 0x200n;
const DIRECTION_FLAG = 0x400n;
const ACCESS_CHECK_FLAG = 0x40000n;
const RESUME_AND_VIRTUAL = 0x30000n;
const CR4_FSGSBASE = 0x10000n;
const AH = 1;
/** First of the local APIC's eight words of requested vectors (IRR), by its register number. */
const APIC_REQUESTS = 0x20;
/** L.SHADOW behind STI (assembly/state.ts). */
const SHADOW_STI = 1;
/** The tables of one context of a TLB set; supervisor with AC comes behind supervisor (assembly/tlb.ts). */
const TLB_CONTEXT_BYTES = 2 * 1024 * 16;

const segmentBase = (index: number): number => STATE.SEGMENTS + index * SEGMENT_BYTES;
const FS = 4;
const GS = 5;

/** Stores RFLAGS without the arithmetic flags with some bits cleared and others set. */
function changeFlags({ code }: RegionEmitter, clear: bigint, set: bigint): void {
  code.get(0);
  code.get(0);
  code.memory(OP.i64_load, STATE.FLAGS);
  if (clear !== 0n) {
    code.i64(~clear);
    code.op(OP.i64_and);
  }
  if (set !== 0n) {
    code.i64(set);
    code.op(OP.i64_or);
  }
  code.memory(OP.i64_store, STATE.FLAGS);
}

/** Leaves the region unless the processor is at privilege level 0. */
function privileged(emitter: RegionEmitter): void {
  const { code } = emitter;
  code.get(0);
  code.memory(OP.i32_load, STATE.CPL);
  emitter.sideExitIf();
}

export const pushFlags: Emit = (emitter, instruction) => {
  const { code, wide } = emitter;
  emitFlags(emitter, ALL_FLAGS);
  code.get(0);
  code.memory(OP.i64_load, STATE.FLAGS);
  code.i64(2);
  code.op2(OP.i64_or, OP.i64_or);
  code.i64(~RESUME_AND_VIRTUAL);
  code.op(OP.i64_and);
  code.set(wide[0]);
  pushLocal(emitter, instruction.size);
};

/** Leaves the region where the I/O privilege level does not allow CLI and STI. */
function mayChangeInterrupts(emitter: RegionEmitter): void {
  const { code } = emitter;
  code.get(0);
  code.memory(OP.i32_load, STATE.CPL);
  code.get(0);
  code.memory(OP.i64_load, STATE.FLAGS);
  code.i64(12);
  code.op2(OP.i64_shr_u, OP.i32_wrap);
  code.i32(3);
  code.op2(OP.i32_and, OP.i32_gt_u);
  emitter.sideExitIf();
}

export const clearInterrupts: Emit = (emitter) => {
  mayChangeInterrupts(emitter);
  changeFlags(emitter, INTERRUPT_FLAG, 0n);
};

/**
 * STI where nothing waits: no vector is requested, whatever its priority, no NMI, and no ExtINT. Otherwise the interpreter looks at it. One that is
 * posted from now on makes the next transfer a poll, which knows by SHADOW that one more instruction comes first.
 */
export const setInterrupts: Emit = (emitter) => {
  const { code } = emitter;
  mayChangeInterrupts(emitter);
  code.i32(0);
  code.memory(OP.i32_load, SHARED_OFFSET + SHARED.externalInterrupt);
  code.get(0);
  code.memory(OP.i32_load, STATE.PENDING);
  code.op2(OP.i32_or, OP.i64_extend_u);
  for (let word = 0; word < 8; word += 2) {
    code.get(0);
    code.memory(OP.i64_load, STATE.APIC + (APIC_REQUESTS + word) * 4);
    code.op(OP.i64_or);
  }
  code.i64(0);
  code.op(OP.i64_ne);
  emitter.sideExitIf();
  code.get(0);
  code.memory(OP.i64_load, STATE.FLAGS);
  code.i64(INTERRUPT_FLAG);
  code.op2(OP.i64_and, OP.i64_eqz);
  emitter.when(() => {
    changeFlags(emitter, 0n, INTERRUPT_FLAG);
    code.get(0);
    code.i32(SHADOW_STI);
    code.memory(OP.i32_store, STATE.SHADOW);
  });
};

export const clearDirection: Emit = (emitter) => changeFlags(emitter, DIRECTION_FLAG, 0n);
export const setDirection: Emit = (emitter) => changeFlags(emitter, 0n, DIRECTION_FLAG);

/** CLAC and STAC: the AC flag chooses the TLB's tables. */
export function accessCheck(set: boolean): Emit {
  return (emitter) => {
    const { code } = emitter;
    privileged(emitter);
    code.get(0);
    code.memory(OP.i64_load, STATE.FLAGS);
    code.i64(ACCESS_CHECK_FLAG);
    code.op2(OP.i64_and, OP.i64_eqz);
    if (!set) code.op(OP.i32_eqz);
    code.op2(OP.if, VOID);
    changeFlags(emitter, set ? 0n : ACCESS_CHECK_FLAG, set ? ACCESS_CHECK_FLAG : 0n);
    emitter.switchTlb(set ? TLB_CONTEXT_BYTES : -TLB_CONTEXT_BYTES);
    code.op(OP.end);
  };
}

export const swapGs: Emit = (emitter) => {
  const { code, wide } = emitter;
  privileged(emitter);
  code.get(0);
  code.memory(OP.i64_load, segmentBase(GS));
  code.set(wide[0]);
  code.get(0);
  code.get(0);
  code.memory(OP.i64_load, STATE.KERNEL_GS_BASE);
  code.memory(OP.i64_store, segmentBase(GS));
  code.get(0);
  code.get(wide[0]);
  code.memory(OP.i64_store, STATE.KERNEL_GS_BASE);
};

/** Leaves the region unless CR4.FSGSBASE is set. */
function baseInstructions(emitter: RegionEmitter): void {
  const { code } = emitter;
  code.get(0);
  code.memory(OP.i64_load, STATE.CR4);
  code.i64(CR4_FSGSBASE);
  code.op2(OP.i64_and, OP.i64_eqz);
  emitter.sideExitIf();
}

/** RDFSBASE, RDGSBASE. */
export function readBase(register: 'FS' | 'GS'): Emit {
  return (emitter, instruction) => {
    baseInstructions(emitter);
    emitter.code.get(0);
    emitter.code.memory(OP.i64_load, segmentBase(register === 'FS' ? FS : GS));
    emitter.writeRegister(instruction.destination, instruction.size);
  };
}

/** WRFSBASE, WRGSBASE; what is not canonical is #GP. */
export function writeBase(register: 'FS' | 'GS'): Emit {
  return (emitter, instruction) => {
    const { code, wide } = emitter;
    const [value] = wide;
    baseInstructions(emitter);
    emitter.readRegister(instruction.destination, instruction.size, false);
    code.tee(value);
    code.get(value);
    code.i64(16);
    code.op(OP.i64_shl);
    code.i64(16);
    code.op2(OP.i64_shr_s, OP.i64_ne);
    emitter.sideExitIf();
    code.get(0);
    code.get(value);
    code.memory(OP.i64_store, segmentBase(register === 'FS' ? FS : GS));
  };
}

/** MOV from a segment register: 16 bits to memory, zero-extended in a register. */
export const moveFromSegment: Emit = (emitter, instruction) => {
  const { code } = emitter;
  const { destination, form, size, source } = instruction;
  if (form === 'MR') {
    emitter.effectiveAddress(instruction);
    emitter.operandPointer('write', 2);
  }
  code.get(0);
  code.memory(OP.i64_load16_u, segmentBase(source) + SEGMENT.SELECTOR);
  if (form === 'MR') emitter.storeSized(1);
  else emitter.writeRegister(destination, size === 1 ? 1 : 3);
};

/** XLAT. */
export const translateByte: Emit = (emitter, instruction) => {
  const { code } = emitter;
  emitter.checkSegment(instruction);
  emitter.readRegister(24, 3);
  emitter.readRegister(0, 0, false);
  code.op(OP.i64_add);
  if (instruction.narrowAddress) {
    code.i64(0xffffffff);
    code.op(OP.i64_and);
  }
  emitter.addSegment(instruction);
  emitter.operandPointer('read', 1);
  emitter.loadSized(0, false);
  emitter.writeRegister(0, 0);
};

/** Takes flags (i64): they are the flags from now on. */
function setExplicit({ code, ccB, ccKind }: RegionEmitter): void {
  code.set(ccB);
  code.i32(KIND.explicit);
  code.set(ccKind);
}

/** CLC, STC and CMC. */
export function changeCarry(how: 'clear' | 'set' | 'complement'): Emit {
  return (emitter) => {
    const { code, live } = emitter;
    if (!emitter.flagsNeeded) return;
    emitFlags(emitter, live & ~FLAG.carry);
    if (how === 'complement') {
      emitCarry(emitter);
      code.i64(1);
      code.op2(OP.i64_xor, OP.i64_or);
    } else if (how === 'set') {
      code.i64(1);
      code.op(OP.i64_or);
    }
    setExplicit(emitter);
  };
}

export const loadFlags: Emit = (emitter) => {
  const { code } = emitter;
  emitFlags(emitter, ALL_FLAGS & ~FLAG.overflow);
  code.i64(2);
  code.op(OP.i64_or);
  emitter.writeRegister(AH, 0);
};

export const storeFlags: Emit = (emitter) => {
  const { code, live } = emitter;
  if (!emitter.flagsNeeded) return;
  emitFlags(emitter, live & FLAG.overflow);
  emitter.readRegister(AH, 0, false);
  code.i64(ALL_FLAGS & ~FLAG.overflow);
  code.op2(OP.i64_and, OP.i64_or);
  setExplicit(emitter);
};

/**
 * The x87 unit's registers and the control words of SSE under the TLFS's names: HV_X64_FP_REGISTER, HV_X64_FP_CONTROL_STATUS_REGISTER and
 * HV_X64_XMM_CONTROL_STATUS_REGISTER, each as a number of 128 bits. `FpMmx3` is the register number 3, wherever the stack's top is.
 * Called by: software-processor.ts.
 */
import { FPU_REGISTERS, type FpuRegister } from '@plinth/hypervisor';
import { STATE } from './state-layout.ts';

const REGISTER_BYTES = 16;
const CONTROL_BITS = 0x1f7f;
const CONTROL_ONES = 0x40;
/** ES and B of the status word. */
const SUMMARY = 0x8080;
const EXCEPTIONS = 0x3f;
/** Bits of MXCSR that there are. */
const MXCSR_MASK = 0xffff;
const U16 = 0xffffn;
const U32 = 0xffff_ffffn;

export const isFpuRegister = (name: string): name is FpuRegister => (FPU_REGISTERS as readonly string[]).includes(name);

export function readFpuRegister(view: DataView, name: FpuRegister): bigint {
  switch (name) {
    case 'FpControlStatus':
      return (
        BigInt(view.getUint16(STATE.FPU_CONTROL, true)) |
        (BigInt(view.getUint16(STATE.FPU_STATUS, true)) << 16n) |
        (BigInt(view.getUint8(STATE.FPU_TAG)) << 32n) |
        (BigInt(view.getUint16(STATE.FPU_OPCODE, true)) << 48n) |
        (view.getBigUint64(STATE.FPU_IP, true) << 64n)
      );
    case 'XmmControlStatus':
      return (
        view.getBigUint64(STATE.FPU_DP, true) |
        (BigInt(view.getUint32(STATE.MXCSR, true)) << 64n) |
        (BigInt(MXCSR_MASK) << 96n)
      );
    default: {
      const at = placeOf(name);
      return view.getBigUint64(at, true) | (BigInt(view.getUint16(at + 8, true)) << 64n);
    }
  }
}

/** Bits that do not exist are not stored, and the summary of pending exceptions follows from flags and masks, as in the unit itself. */
export function writeFpuRegister(view: DataView, name: FpuRegister, value: bigint): void {
  switch (name) {
    case 'FpControlStatus': {
      const control = (Number(value & U16) & CONTROL_BITS) | CONTROL_ONES;
      const status = Number((value >> 16n) & U16) & ~SUMMARY;
      const isPending = (status & ~control & EXCEPTIONS) !== 0;
      view.setUint16(STATE.FPU_CONTROL, control, true);
      view.setUint16(STATE.FPU_STATUS, status | (isPending ? SUMMARY : 0), true);
      view.setUint8(STATE.FPU_TAG, Number((value >> 32n) & 0xffn));
      view.setUint16(STATE.FPU_OPCODE, Number((value >> 48n) & 0x7ffn), true);
      view.setBigUint64(STATE.FPU_IP, BigInt.asUintN(64, value >> 64n), true);
      return;
    }
    case 'XmmControlStatus':
      view.setBigUint64(STATE.FPU_DP, BigInt.asUintN(64, value), true);
      view.setUint32(STATE.MXCSR, Number((value >> 64n) & U32) & MXCSR_MASK, true);
      return;
    default: {
      const at = placeOf(name);
      view.setBigUint64(at, BigInt.asUintN(64, value), true);
      view.setUint16(at + 8, Number((value >> 64n) & U16), true);
    }
  }
}

const placeOf = (name: FpuRegister): number => STATE.FPU_REGISTERS + FPU_REGISTERS.indexOf(name) * REGISTER_BYTES;

/**
 * Where a hypercall's parameters are: in general and XMM registers, or in guest memory that these name; for 64-bit and 32-bit callers.
 *
 *     64-bit: RCX input value, RDX input GPA or data, R8 output GPA or data, XMM0-5 more data; RAX result
 *     32-bit: EDX:EAX          EBX:ECX                EDI:ESI                XMM0-5;           EDX:EAX result
 *
 * Answers to: TLFS, "Hypercall interface". Called by: hypercall-interface.ts.
 */
import type { EnlightenedProcessor } from '../engine.ts';
import type { RegisterName, ScalarRegister } from '../registers.ts';

/** Bytes of a fast call's parameters: two general registers and six XMM registers. */
export const FAST_BYTES = 112;
/** Of those, what the general registers hold. */
export const FAST_GENERAL_BYTES = 16;

const MASK_32 = 0xffffffffn;
const XMM: readonly RegisterName[] = ['Xmm0', 'Xmm1', 'Xmm2', 'Xmm3', 'Xmm4', 'Xmm5'];

export class HypercallRegisters {
  readonly #processor: EnlightenedProcessor;
  readonly #fast = new DataView(new ArrayBuffer(FAST_BYTES));
  #isWide = false;

  constructor(processor: EnlightenedProcessor) {
    this.#processor = processor;
  }

  /** To be called before each hypercall: looks at how its caller passes parameters. */
  begin(): this {
    this.#isWide = this.#processor.executesLongCode();
    return this;
  }

  /** The hypercall input value. */
  get control(): bigint {
    return this.#isWide ? this.#scalar('Rcx') : this.#pair('Rdx', 'Rax');
  }

  /** The input value again, with another rep start index, for a call that is to go on. */
  set control(value: bigint) {
    if (this.#isWide) this.#processor.writeRegister('Rcx', value);
    else this.#putPair('Rdx', 'Rax', value);
  }

  /** Input GPA, or the first 8 bytes. */
  get input(): bigint {
    return this.#isWide ? this.#scalar('Rdx') : this.#pair('Rbx', 'Rcx');
  }

  /** Output GPA, or the second 8 bytes. */
  get output(): bigint {
    return this.#isWide ? this.#scalar('R8') : this.#pair('Rdi', 'Rsi');
  }

  setResult(value: bigint): void {
    if (this.#isWide) this.#processor.writeRegister('Rax', value);
    else this.#putPair('Rdx', 'Rax', value);
  }

  /** The parameters of a fast call: as many of the 112 bytes as are asked for, rounded up to whole registers; until the next call. */
  readFast(bytes: number): Uint8Array {
    const view = this.#fast;
    view.setBigUint64(0, this.input, true);
    view.setBigUint64(8, this.output, true);
    for (let at = FAST_GENERAL_BYTES, register = 0; at < bytes; at += 16, register++) {
      const value = this.#scalar(XMM[register] as ScalarRegister);
      view.setBigUint64(at, BigInt.asUintN(64, value), true);
      view.setBigUint64(at + 8, value >> 64n, true);
    }
    return new Uint8Array(view.buffer);
  }

  /** Output of a fast call, from byte `start` of the 112 on (a multiple of 16). */
  writeFast(start: number, output: Uint8Array): void {
    for (let at = start, from = 0; from < output.length; at += 16, from += 16) {
      const view = new DataView(new ArrayBuffer(16));
      new Uint8Array(view.buffer).set(output.subarray(from, from + 16));
      const low = view.getBigUint64(0, true);
      const high = view.getBigUint64(8, true);
      if (at > 0) {
        this.#processor.writeRegister(XMM[at / 16 - 1] as RegisterName, (high << 64n) | low);
      } else if (this.#isWide) {
        this.#processor.writeRegister('Rdx', low);
        this.#processor.writeRegister('R8', high);
      } else {
        this.#putPair('Rbx', 'Rcx', low);
        this.#putPair('Rdi', 'Rsi', high);
      }
    }
  }

  #scalar(name: RegisterName): bigint {
    const value = this.#processor.readRegister(name);
    return typeof value === 'bigint' ? value : 0n;
  }

  #pair(high: ScalarRegister, low: ScalarRegister): bigint {
    return ((this.#scalar(high) & MASK_32) << 32n) | (this.#scalar(low) & MASK_32);
  }

  #putPair(high: ScalarRegister, low: ScalarRegister, value: bigint): void {
    this.#processor.writeRegister(high, (value >> 32n) & MASK_32);
    this.#processor.writeRegister(low, value & MASK_32);
  }
}

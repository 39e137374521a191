/** What src/vector.test.ts, src/fpu.test.ts and src/x87-functions.test.ts compile: the vector and x87 files alone, over a memory of its own. Not part of the engine. */
import { setProcessor } from './state';
import * as N from './x87-number';
import * as T from './x87-functions';

export * from './fpu';
export { xrstorFrom, xsaveTo } from './xsave';
export { vectorOperation } from './vector';
export function attach(address: usize): void {
  setProcessor(address);
}

/**
 * A transcendental function of x (and y) under a control word, by the last five bits of its opcode; nothing of the processor's state is read.
 * @returns the exceptions; the result is in x87Significand and x87High
 */
export function x87Function(which: u32, control: u32, x: u64, xHigh: u32, y: u64, yHigh: u32): u32 {
  N.begin(control);
  if (which == 0x10) T.exponentialLessOne(x, xHigh);
  else if (which == 0x11) T.timesLogarithm(x, xHigh, y, yHigh);
  else if (which == 0x13) T.angle(x, xHigh, y, yHigh);
  else if (which == 0x19) T.timesLogarithmPlusOne(x, xHigh, y, yHigh);
  else T.circularFunction(which == 0x12 ? T.TANGENT : which == 0x1e ? T.SINE : T.COSINE, x, xHigh);
  return N.raised;
}
export function x87Significand(): u64 {
  return N.resultSignificand;
}
export function x87High(): u32 {
  return N.resultHigh;
}

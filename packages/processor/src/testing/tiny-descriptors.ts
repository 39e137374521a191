/**
 * Segments, descriptors and gates of the unit tests' machine (tiny-machine.ts).
 * Answers to: AMD64 manual volume 2, chapter 4.
 */
import type { SegmentValue } from '@plinth/hypervisor';

export const SELECTOR = {
  code64: 0x08,
  data: 0x10,
  code32: 0x18,
  userCode32: 0x23,
  userData: 0x2b,
  userCode64: 0x33,
  tss: 0x38,
} as const;
export const GDT_BYTES = 0x48;

/** The descriptor table: null, code 64, data, code 32, user code 32, user data, user code 64, TSS. */
export function descriptorsOf(tss: bigint, long: boolean): readonly bigint[] {
  const low = 0x67n | ((tss & 0xff_ffffn) << 16n) | (0x8bn << 40n) | (((tss >> 24n) & 0xffn) << 56n);
  return [
    0n,
    0x00af_9b00_0000_ffffn,
    0x00cf_9300_0000_ffffn,
    0x00cf_9b00_0000_ffffn,
    0x00cf_fb00_0000_ffffn,
    0x00cf_f300_0000_ffffn,
    0x00af_fb00_0000_ffffn,
    low,
    long ? tss >> 32n : 0n,
  ];
}

/** A segment from 0 over 4 GiB, as loading it from the table would leave it. */
export function flatSegment(selector: number, user: boolean, code: boolean, wide: boolean): SegmentValue {
  const attributes = (code ? (wide ? 0xa09b : 0xc09b) : 0xc093) | (user ? 0x60 : 0);
  return { selector, base: 0n, limit: 0xffff_ffff, attributes };
}

/** An interrupt gate to supervisor code. */
export function gateOf(
  offset: bigint,
  long: boolean,
  options: { readonly stack?: number; readonly present?: boolean; readonly level?: number },
): readonly [low: bigint, high: bigint] {
  const { stack = 0, present = true, level = 0 } = options;
  const type = BigInt((present ? 0x8e00 : 0x0e00) | (level << 13) | stack);
  const selector = BigInt(long ? SELECTOR.code64 : SELECTOR.code32);
  return [(offset & 0xffffn) | (selector << 16n) | (type << 32n) | (((offset >> 16n) & 0xffffn) << 48n), offset >> 32n];
}

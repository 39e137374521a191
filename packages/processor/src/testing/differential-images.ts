/**
 * The differential harness: memory images that instructions read: flags, far pointers, x87 environments, FXSAVE areas.
 *
 * Reserved parts are mostly as they must be, and sometimes not. Called by: the preparations and differential-operations.ts.
 */
import type { CaseBuilder } from './differential-builder.ts';
import { FXSAVE } from './differential-layout.ts';

export function randomFlagsImage(builder: CaseBuilder): bigint {
  // No trap flag and no alignment check: what they do is not part of a single instruction.
  return BigInt(builder.random.word()) & ~0x40100n & 0xffff_ffffn & ~0x20000n;
}

/** Control and status words and tags of an x87 that somebody has used; ES and B agree with the exceptions. */
export function randomX87(builder: CaseBuilder, image: Uint8Array): void {
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

export function x87Image(builder: CaseBuilder, bytes: number): Uint8Array {
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

export function fxsaveImage(builder: CaseBuilder, bytes: number): Uint8Array {
  const { random } = builder;
  const image = new Uint8Array(bytes);
  const view = new DataView(image.buffer);
  for (let at = 32; at < Math.min(bytes, 512); at += 16) random.vector(view, at);
  randomX87(builder, image);
  view.setUint32(FXSAVE.mxcsr, random.chance(0.85) ? builder.randomMxcsr() : foreignMxcsr(builder), true);
  for (let register = 0; register < 8; register++) image.fill(0, 32 + 16 * register + 10, 48 + 16 * register);
  if (bytes > 512) {
    image.fill(0, 512, 576);
    for (let at = 576; at < bytes; at += 16) random.vector(view, at);
    const present = random.chance(0.9) ? random.below(8) : random.word();
    view.setBigUint64(512, BigInt(present), true);
    if (random.chance(0.05)) view.setBigUint64(520, BigInt(random.below(4)), true);
    // The compacted form, which must have all that is present.
    else if (random.chance(0.3))
      view.setBigUint64(520, (1n << 63n) | BigInt(random.chance(0.9) ? 7 : present & random.below(8)), true);
    if (random.chance(0.05)) view.setUint8(528 + random.below(48), 1);
  }
  return image;
}

/** CR2-like far pointers: offset of `size` bits, then a selector. */
export function farPointer(offset: bigint, selector: bigint, size: number): Uint8Array {
  const bytes = new Uint8Array(size / 8 + 2);
  for (let index = 0; index < size / 8; index++) bytes[index] = Number((offset >> BigInt(8 * index)) & 0xffn);
  bytes[size / 8] = Number(selector & 0xffn);
  bytes[size / 8 + 1] = Number((selector >> 8n) & 0xffn);
  return bytes;
}

export const words = (values: readonly bigint[], bytes: number): Uint8Array => {
  const image = new Uint8Array(values.length * bytes);
  values.forEach((value, index) => {
    for (let at = 0; at < bytes; at++) image[index * bytes + at] = Number((value >> BigInt(8 * at)) & 0xffn);
  });
  return image;
};

/** MXCSR with reserved bits set; bit 17 is AMD's own. */
export const foreignMxcsr = (builder: CaseBuilder): number => (builder.random.word() & ~0x20000) >>> 0;

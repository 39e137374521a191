/**
 * A region beside its WebAssembly: each guest instruction, then what it became. For people who work on the translator,
 * who see it through scripts/show-region.mjs, its caller.
 */
import { formatInstruction } from './format-instruction.ts';
import type { Instruction } from './instruction.ts';
import { listCode } from './wasm-listing.ts';

/** Where in a region's code something begins: a guest instruction, or a part of the frame around them. */
export interface RegionMark {
  readonly at: number;
  readonly what: Instruction | string;
}

export interface ExaminedRegion {
  /** The region's code without its locals. */
  readonly code: Uint8Array;
  readonly marks: readonly RegionMark[];
  readonly locals: ReadonlyMap<number, string>;
  /** The guest's bytes from the start of the region's window on. */
  readonly bytes: Uint8Array;
}

export function listRegion({ code, marks, locals, bytes }: ExaminedRegion): string {
  const lines: string[] = [];
  let depth = 0;
  marks.forEach(({ at, what }, index) => {
    const to = marks[index + 1]?.at ?? code.length;
    lines.push(typeof what === 'string' ? `${what}:` : guestLine(what, bytes));
    const listed = listCode(code, at, to, depth, (local) => locals.get(local) ?? `$${local}`);
    for (const line of listed.lines) lines.push(`        ${line}`);
    depth = listed.depth;
  });
  return `${lines.join('\n')}\n`;
}

function guestLine(instruction: Instruction, bytes: Uint8Array): string {
  const { offset, next } = instruction;
  const hex = Array.from(bytes.subarray(offset, next), (byte) => byte.toString(16).padStart(2, '0')).join(' ');
  return `0x${offset.toString(16).padStart(3, '0')}  ${hex.padEnd(24)}  ${formatInstruction(instruction)}`;
}

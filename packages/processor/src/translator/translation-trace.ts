/**
 * The lines of `--trace translator`: regions as they are installed and dropped, modules, and at the end how often regions were left for the
 * interpreter, by operation.
 *
 * Called by: translator.ts and software-processor.ts on the processor's thread, region-compiler.ts on the translator's (`endsOf`).
 */
import { FORM } from '../build/forms.ts';
import type { OperationNames } from '../build/operation-names.ts';
import { type Region, successorAt, type Terminator } from './region.ts';
import type { TranslatedRegion } from './translation-messages.ts';

/** Takes one line. */
export type TraceListener = (text: string) => void;

const PAGE = 4096;
const hexadecimal = (value: number | bigint): string => `0x${value.toString(16)}`;
const bytesText = (bytes: Uint8Array): string =>
  Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join('');

/** `region 0x1a2b3c rip 0xffffffff81a2b3c4 17 instructions 4 blocks 812 bytes ends return 1, other page 2 code 964:4889e5..` */
export function regionText(rip: bigint, { gpa, pages, instructions, about }: TranslatedRegion): string {
  const { blocks = 0, bytes = 0, ends = '' } = about ?? {};
  const pieces = pages.map(({ delta, from, code }) => `${delta * PAGE + from}:${bytesText(code)}`);
  return (
    `region ${hexadecimal(gpa)} rip ${hexadecimal(rip)} ${instructions} instructions ${blocks} blocks ${bytes} bytes ` +
    `ends ${ends} code ${pieces.join(',')}`
  );
}
export function moduleText(id: number, regions: number, bytes: number): string {
  return `module ${id} built: ${regions} regions, ${bytes} bytes of WebAssembly`;
}
export function droppedText(gpa: number, why: string): string {
  return `region ${hexadecimal(gpa)} dropped: ${why}`;
}

/** Why a region does not go on to an offset. */
type Leave = (offset: number) => string;

/** @returns what ends a region and how often: `return 1, other page 2, RDTSC 1` */
export function endsOf(region: Region, leaves: Leave, untranslated: Leave): string {
  const counts = new Map<string, number>();
  const count = (why: string): void => {
    counts.set(why, (counts.get(why) ?? 0) + 1);
  };
  for (const node of region.nodes) {
    const { terminator } = node.block;
    if (terminator.kind === 'interpret') count(untranslated(terminator.at));
    else if (terminator.kind === 'return') count('return');
    else if (terminator.kind === 'computed') count('computed');
    else if (terminator.kind === 'system') count(terminator.instruction.operation);
    else for (const target of targetsOf(terminator)) if (successorAt(node, target) === undefined) count(leaves(target));
  }
  return listText(counts);
}

function targetsOf(terminator: Terminator): number[] {
  switch (terminator.kind) {
    case 'fall':
      return [terminator.next];
    case 'branch':
      return [terminator.target, terminator.next];
    case 'jump':
    case 'call':
      return [terminator.target];
    default:
      return [];
  }
}

const listText = (counts: ReadonlyMap<string, number>): string =>
  [...counts].map(([name, times]) => `${name} ${times}`).join(', ');

const FORM_NAMES = Object.keys(FORM);
const GENERAL_BASE = 1024;
/** How many operations a summary names. */
const NAMED = 40;

/** How often regions were left, by the number of the operation that the interpreter then executed. */
export type LeaveCounts = ReadonlyMap<number, number>;

/** Of most to least: `MOV.RM 1234, PUSH.R 99`. */
export function leaveCountsText(counts: LeaveCounts, names: OperationNames): string {
  const named = [...counts].sort(([, left], [, right]) => right - left).slice(0, NAMED);
  const nameOf = (number: number): string => {
    const hot = names.hot[number - 1];
    if (hot !== undefined) return hot.join('.');
    const general = number - GENERAL_BASE;
    return `${names.general[general >> 3] ?? 'changed code'}.${FORM_NAMES[general & 7] ?? ''}`;
  };
  const byName = new Map<string, number>();
  for (const [number, times] of named) byName.set(nameOf(number), (byName.get(nameOf(number)) ?? 0) + times);
  return listText(byName);
}

/**
 * The differential harness: the smallest part of a block that still differs, and how to tell it to a person.
 *
 * Instructions are taken away by putting NOPs in their places, so that branches and addresses stay as they are. What is left must
 * not read flags that the manual leaves undefined, or the difference would be none.
 */
import type { DifferentialCase, Item } from './differential-builder.ts';
import { compareOutcomes, type Difference } from './differential-compare.ts';
import { slotAddress } from './differential-layout.ts';
import type { DifferentialPair } from './differential-run.ts';

/** The case with some of its instructions replaced by NOPs; undefined when something then reads undefined flags. */
function without(subject: DifferentialCase, dropped: ReadonlySet<number>): DifferentialCase | undefined {
  const code = subject.state.code.slice();
  const undefinedBefore: number[] = [];
  const items: Item[] = [];
  let undefinedFlags = 0;
  for (const [index, item] of subject.items.entries()) {
    undefinedBefore.push(undefinedFlags);
    if (!dropped.has(index)) {
      if ((item.flagsRead & undefinedFlags) !== 0) return undefined;
      undefinedFlags = (undefinedFlags & ~item.flagsDefined) | item.flagsUndefined;
      items.push(item);
      continue;
    }
    const at = Number((subject.addresses[index] ?? 0n) - slotAddress(subject.state.slot));
    code.fill(0x90, at, at + item.bytes.length);
    items.push({
      ...item,
      row: undefined,
      bytes: item.bytes.map(() => 0x90),
      flagsRead: 0,
      flagsDefined: 0,
      flagsUndefined: 0,
    });
  }
  return { ...subject, items, undefinedBefore, undefinedAtEnd: undefinedFlags, state: { ...subject.state, code } };
}

export interface Minimised {
  readonly subject: DifferentialCase;
  readonly differences: readonly Difference[];
}

async function differencesOf(pair: DifferentialPair, subject: DifferentialCase): Promise<readonly Difference[]> {
  const { expected, found } = await pair.run([subject.state]);
  const [left, right] = [expected[0], found[0]];
  return left === undefined || right === undefined ? [] : compareOutcomes(subject, left, right);
}

/** Drops instructions one after the other, from the end, for as long as the case still differs. */
export async function minimise(pair: DifferentialPair, subject: DifferentialCase): Promise<Minimised> {
  let best: Minimised = { subject, differences: await differencesOf(pair, subject) };
  const dropped = new Set<number>();
  for (let index = subject.items.length - 1; index >= 0 && subject.items.length > 1; index--) {
    const candidate = without(subject, new Set([...dropped, index]));
    if (candidate === undefined) continue;
    const differences = await differencesOf(pair, candidate);
    if (differences.length === 0) continue;
    dropped.add(index);
    best = { subject: candidate, differences };
  }
  return best;
}

const hexadecimal = (value: bigint): string => `0x${value.toString(16)}`;

/** Bytes, registers at the start and differences, one a line. */
export function describeCase({ subject, differences }: Minimised): string {
  const { state, items, addresses } = subject;
  const lines = [`case ${subject.index}: ${subject.kind}, ${state.mode}-bit code`];
  for (const [index, item] of items.entries()) {
    if (item.bytes.every((byte) => byte === 0x90)) continue;
    const bytes = item.bytes.map((byte) => byte.toString(16).padStart(2, '0')).join(' ');
    lines.push(`  ${hexadecimal(addresses[index] ?? 0n)}  ${bytes}  ${item.row?.name ?? ''} ${item.row?.text ?? ''}`);
  }
  lines.push(`  registers ${state.registers.map(hexadecimal).join(' ')}, RFLAGS ${hexadecimal(state.flags)}`);
  for (const { what, expected, found } of differences) lines.push(`  ${what}: expected ${expected}, found ${found}`);
  return lines.join('\n');
}

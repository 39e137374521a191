/**
 * The differential harness: what this host cannot be asked.
 *
 * A processor that lacks an instruction set, or whose CPUID hides it, says nothing of its rows: they are left out by name and told of. What
 * CPUID hides may well work, but then nobody promises how. A kernel without the 32-bit code segment or the local descriptor table of
 * Linux lets no 32-bit case run; the guest of the engine then has the same tables (differential-guest.ts), so that what 64-bit
 * code sees of them is compared all the same.
 *
 * Called by: the generators, coverage, machine and recording of the harness, and tests/differential.
 */
import type { InstructionRow } from '../table/index.ts';
import { decodeResultFile, encodeCaseFile, HOST_FEATURES, type HostFeature, type Mode } from './differential-layout.ts';
import { makeTemplate } from './differential-random.ts';

/** Runs a case file on the host's processor and gives back the result file. */
export type NativeRunner = (file: Uint8Array) => Promise<Uint8Array>;

/** What the host lacks. */
export type Lacking = ReadonlySet<HostFeature>;
export const LACKING_NOTHING: Lacking = new Set();

/** Asks the host's processor. */
export async function lackingOf(native: NativeRunner): Promise<Lacking> {
  const { features } = decodeResultFile(await native(encodeCaseFile(makeTemplate(0), [])));
  return new Set(HOST_FEATURES.filter((feature) => !features.has(feature)));
}

/** What the runner and every case need. */
const NEEDED: readonly HostFeature[] = ['AMD', 'xsave', 'avx', 'cx16'];

/**
 * Why the host's processor cannot be compared with at all: it cannot run the cases, or another vendor made it. What the engine does where the
 * manuals of the vendors differ (zero sources of bit scans, segment pushes, orders of faults) is AMD's.
 * @returns undefined when it can
 */
export function unfitness(lacking: Lacking): string | undefined {
  const needed = NEEDED.filter((feature) => lacking.has(feature));
  return needed.length === 0 ? undefined : `the host's processor is without ${needed.join(', ')}`;
}

/** Why a mode cannot be compared: in 32-bit code FS and GS are segments of the local table. */
export function modeObstacle(mode: Mode, lacking: Lacking): string | undefined {
  if (mode === 64) return undefined;
  if (lacking.has('32-bit code')) return "the host's kernel has no 32-bit code segment";
  return lacking.has('a local descriptor table') ? "the host's kernel has no local descriptor table" : undefined;
}

/** Why a row cannot be compared in any mode. A row whose 256-bit form is another feature's is left out with that one. */
export function rowObstacle(row: InstructionRow, lacking: Lacking): string | undefined {
  const names: ReadonlySet<string> = lacking;
  const feature = [row.feature, row.vex?.wideFeature].find((name) => name !== undefined && names.has(name));
  return feature === undefined ? undefined : `the host's processor is without ${feature}`;
}

/** Rows whose outcomes tell what is in the descriptor tables. */
const ASKS_DESCRIPTORS = /^(LAR|LSL|VERR|VERW|MOV_TO_SEG|POP_SEG|LOAD_FAR|RETF|IRET|(CALL|JMP)_FAR)/;

/** Why a recording, made with Linux's whole descriptor tables, says nothing of this host. */
export function recordingObstacle(row: InstructionRow, mode: Mode, lacking: Lacking): string | undefined {
  const obstacle = modeObstacle(mode, lacking) ?? rowObstacle(row, lacking);
  if (obstacle !== undefined || !ASKS_DESCRIPTORS.test(row.operation)) return obstacle;
  return modeObstacle(32, lacking);
}

/** What is left out, for people: reason, and the names of what it keeps from being compared. */
export function formatObstacles(obstacles: readonly { readonly what: string; readonly reason: string }[]): string {
  const reasons = new Map<string, string[]>();
  for (const { what, reason } of obstacles) reasons.set(reason, [...(reasons.get(reason) ?? []), what]);
  return [...reasons]
    .map(([reason, names]) => `not compared on this host, as ${reason}: ${[...new Set(names)].join(', ')}\n`)
    .join('');
}

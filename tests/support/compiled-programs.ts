/**
 * Programs compiled for a level of the x86-64 psABI and a size of words: those of bench/guest and of tests/guest-programs, each one static
 * binary, and what they print on the host's own processor, also where that lacks a part of the level. Called by the system tests about compilers and the C library.
 */
import { execFile } from 'node:child_process';
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { arch, platform } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';

const run = promisify(execFile);
const root = fileURLToPath(new URL('../..', import.meta.url));

export type Level = 'v1' | 'v2' | 'v3';
export const LEVELS: readonly Level[] = ['v1', 'v2', 'v3'];
const MARCH: Readonly<Record<Level, string>> = { v1: 'x86-64', v2: 'x86-64-v2', v3: 'x86-64-v3' };

/** One way to compile. */
export interface Compilation {
  readonly words: 32 | 64;
  readonly level: Level;
  readonly optimization: 'O2' | 'O3';
}

/** Its name as part of a file's, such as `m32-v2-O3`. */
export const nameOf = ({ words, level, optimization }: Compilation): string => `m${words}-${level}-${optimization}`;

/** All ways. */
export const COMPILATIONS: readonly Compilation[] = LEVELS.flatMap((level) =>
  ([64, 32] as const).flatMap((words) =>
    (['O2', 'O3'] as const).map((optimization) => ({ words, level, optimization })),
  ),
);

/** What is compiled: the folder with its sources. */
const FOLDERS = { programs: 'bench/guest', computations: 'tests/guest-programs' } as const;
export type Kind = keyof typeof FOLDERS;

/** What the levels have beyond each other: names in /proc/cpuinfo, and how gcc is told to do without. */
const FEATURES: Readonly<Record<string, string>> = {
  pni: 'sse3',
  ssse3: 'ssse3',
  sse4_1: 'sse4.1',
  sse4_2: 'sse4.2',
  popcnt: 'popcnt',
  cx16: 'cx16',
  lahf_lm: 'sahf',
  avx: 'avx',
  avx2: 'avx2',
  bmi1: 'bmi',
  bmi2: 'bmi2',
  f16c: 'f16c',
  fma: 'fma',
  abm: 'lzcnt',
  movbe: 'movbe',
};

/** What the host can run. */
export interface Host {
  /** Those of FEATURES that its processor does not say it has. */
  readonly lacking: readonly string[];
  /** Whether its kernel runs 32-bit programs. */
  readonly runs32: boolean;
}

/** Looks what this host can run. */
export async function hostHere(folder: string): Promise<Host> {
  const flags = new Set(/^flags\s*:(.*)$/m.exec(readFileSync('/proc/cpuinfo', 'utf8'))?.[1]?.split(/\s+/));
  const path = join(folder, 'runs32');
  writeFileSync(`${path}.c`, 'int main(void) { return 0; }\n');
  await run('gcc', ['-m32', '-static', '-o', path, `${path}.c`]);
  const runs32 = await run(path).then(
    () => true,
    () => false,
  );
  return { lacking: Object.keys(FEATURES).filter((name) => !flags.has(name)), runs32 };
}

/**
 * Compiles one into a static binary.
 * @param options of gcc beside those of the compilation
 * @returns its path
 */
export async function compile(
  folder: string,
  kind: Kind,
  compilation: Compilation,
  options: readonly string[] = [],
): Promise<string> {
  const { words, level, optimization } = compilation;
  const sources = join(root, FOLDERS[kind]);
  const path = join(folder, [`${kind}-${nameOf(compilation)}`, ...options].join(''));
  const files = readdirSync(sources).filter((name) => name.endsWith('.c'));
  await run(
    'gcc',
    [
      ...[
        `-m${words}`,
        `-march=${MARCH[level]}`,
        `-${optimization}`,
        '-std=gnu17',
        '-D_GNU_SOURCE',
        '-static',
        '-pthread',
      ],
      ...options,
      ...['-o', path, ...files, '-lm'],
    ],
    { cwd: sources },
  );
  return path;
}

/**
 * Compiles one for the guest, and the same sources for the host: where its processor lacks instructions of the level, without those. What the
 * programs compute is the same with other instructions but for one thing: a*b+c as one instruction rounds once. Where the host has no FMA,
 * neither binary has it. Where it runs no 32-bit programs, its binary has 64 bits.
 * @returns the paths; the same one twice where the host lacks nothing
 */
export async function compileForBoth(
  folder: string,
  kind: Kind,
  compilation: Compilation,
  { lacking, runs32 }: Host,
): Promise<{ readonly there: string; readonly here: string }> {
  const rounding = lacking.includes('fma') ? ['-mno-fma'] : [];
  const there = await compile(folder, kind, compilation, rounding);
  const words = runs32 ? compilation.words : 64;
  if (lacking.length === 0 && words === compilation.words) return { there, here: there };
  const without = lacking.map((name) => `-mno-${FEATURES[name]}`);
  return { there, here: await compile(folder, kind, { ...compilation, words }, without) };
}

/** Why this machine cannot compile and run them all; undefined when it can. */
export async function whyNot(): Promise<string | undefined> {
  if (arch() !== 'x64' || platform() !== 'linux')
    return `not applicable: needs Linux on x86-64, this is ${platform()} on ${arch()}`;
  const has32 = await run('gcc', ['-m32', '-print-file-name=libc.a']).then(
    ({ stdout }) => stdout.trim().startsWith('/'),
    () => undefined,
  );
  if (has32 === undefined) return 'gcc is not installed';
  return has32 ? undefined : 'gcc-multilib is not installed';
}

/** GLIBC_TUNABLES that say what the C library shall do without. */
export const tunablesFrom = (without: readonly string[]): string =>
  without.length === 0 ? '' : `glibc.cpu.hwcaps=${without.map((name) => `-${name}`).join(',')}`;

/** What level v3 has, by the names of the tunable. */
const V3_ONLY = ['AVX2', 'FMA', 'AVX', 'BMI1', 'BMI2', 'LZCNT', 'MOVBE', 'F16C'];

/**
 * What the C library must do without on the host so that its mathematics is that of a guest of a level, and what in the guest: it rounds
 * less often with FMA, so its results are other ones. It has such routines for a processor with FMA and AVX2. No other routine's results
 * depend on the instructions that it uses.
 */
export function withoutOf(
  level: Level,
  lacking: readonly string[],
): { readonly there: readonly string[]; readonly here: readonly string[] } {
  if (level !== 'v3') return { there: [], here: V3_ONLY };
  return { there: lacking.includes('fma') || lacking.includes('avx2') ? ['AVX2', 'FMA'] : [], here: [] };
}

/**
 * Computations of tests/guest-programs that answer something else with 32-bit words: x87 arithmetic and the C library's 32-bit mathematics
 * round otherwise, and __int128 is no type there. All others answer the same with both sizes.
 */
export const OF_A_SIZE: readonly string[] = [
  'floats',
  'doubles',
  'doubles-to-quadwords',
  'products',
  'wide-numbers',
  'functions',
  'float-functions',
  'long-functions',
  'directions',
  'decimals',
  'complex-numbers',
];
export const OF_ANY_SIZE: readonly string[] = [
  'bytes',
  'words',
  'doublewords',
  'quadwords',
  'halves',
  'places',
  'counts',
  'fields',
  'order',
  'searches',
  'comparisons',
  'copies',
  'moves',
  'needles',
  'wide-characters',
];

/** What a program prints on the host. */
export async function printedHere(path: string, parameters: readonly string[], tunables: string): Promise<string> {
  const { stdout } = await run(path, parameters, { env: { ...process.env, GLIBC_TUNABLES: tunables } });
  return stdout;
}

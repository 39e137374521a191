/**
 * Programs compiled for a level of the x86-64 psABI and a size of words: those of bench/guest and of tests/guest-programs, each one static
 * binary, and what they print on the host's own processor. Called by the system tests about compilers and the C library.
 */
import { execFile } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
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

/**
 * Compiles one into a static binary.
 * @returns its path
 */
export async function compile(folder: string, kind: Kind, compilation: Compilation): Promise<string> {
  const { words, level, optimization } = compilation;
  const sources = join(root, FOLDERS[kind]);
  const path = join(folder, `${kind}-${nameOf(compilation)}`);
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
      ...['-o', path, ...files, '-lm'],
    ],
    { cwd: sources },
  );
  return path;
}

/** Why this machine cannot compile and run them all; undefined when it can. */
export async function whyNot(): Promise<string | undefined> {
  const flags = new Set(/^flags\s*:(.*)$/m.exec(readFileSync('/proc/cpuinfo', 'utf8'))?.[1]?.split(/\s+/));
  const missing = ['avx2', 'bmi1', 'bmi2', 'f16c', 'fma', 'abm', 'movbe'].filter((name) => !flags.has(name));
  if (missing.length > 0) return `the host's processor has no ${missing.join(', ')}`;
  const has32 = await run('gcc', ['-m32', '-print-file-name=libc.a']).then(
    ({ stdout }) => stdout.trim().startsWith('/'),
    () => undefined,
  );
  if (has32 === undefined) return 'gcc is not installed';
  return has32 ? undefined : 'gcc-multilib is not installed';
}

/**
 * GLIBC_TUNABLES by which the C library takes the routines on the host that it takes on a processor of a level. Its mathematics with FMA
 * rounds less often, so its results are other ones.
 */
export const tunablesOf = (level: Level): string =>
  level === 'v3' ? '' : 'glibc.cpu.hwcaps=-AVX2,-FMA,-AVX,-BMI1,-BMI2,-LZCNT,-MOVBE,-F16C';

/** What a program prints on the host. */
export async function printedHere(path: string, parameters: readonly string[], tunables: string): Promise<string> {
  const { stdout } = await run(path, parameters, { env: { ...process.env, GLIBC_TUNABLES: tunables } });
  return stdout;
}

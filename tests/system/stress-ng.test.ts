/**
 * stress-ng with `--verify` in a guest: its methods compute, and compare with what is right. Interpreted, translated when hot, and
 * translated before anything runs. Its long double methods are the x87's.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { GuestConsole } from '../support/guest-shell.ts';
import { isLong } from '../support/long.ts';
import { endAll } from '../support/plinth.ts';
import { stressGuest } from '../support/stress-guest.ts';

const words = (text: string): string[] => text.trim().split(/\s+/);
const each = (names: string, line: (name: string) => string): string[] => words(names).map(line);

/** Methods of the stressor `cpu`. */
const CPU = `ackermann bitops callfunc cdouble cfloat collatz correlate crc16 decimal32 decimal64 dither div8 div16 div32 div64 div128
  double explog fibonacci fft fletcher16 float float32 float64 gcd gray hamming hanoi idct int128 int64 int32 int16 int8 int128float
  int128double int128decimal32 int128decimal64 int64float int64double int32float int32double intconversion ipv4checksum jmp lfsr32 logmap
  loop parity prime queens rand rand48 rgb sieve stats union`;
/** Those that compute with long double, or with __float128 and decimal128 by way of it. */
const CPU_LONG_DOUBLE = `apery clongdouble decimal128 euler factorial float80 float128 floatconversion gamma hyperbolic int128decimal128
  int128longdouble int32longdouble int64longdouble ln2 longdouble matrixprod nsqrt omega phi pi psi sqrt trig zeta`;
const FLOAT = `floatadd doubleadd ldoubleadd float128add floatmul doublemul ldoublemul floatdiv doublediv ldoublediv`;

const VM = `flip fwdrev galpat-0 galpat-1 gray incdec inc-nybble lfsr32 rand-set rand-sum read64 ror swap move-inv modulo-x mscan prime-0
  prime-gray-1 walk-0d walk-1a write64 write64nt zero-one`;
const MATRIX = 'add copy div frobenius hadamard identity mean mult negate prod sub square trans zero';
const STRING = 'index strcasecmp strlcat strchr strcoll strcmp strlen strncmp strxfrm';
const MEMCPY = 'libc builtin naive naive_o0 naive_o3';
const VECTOR_FLOAT =
  'floatv16add floatv64mul floatv128div floatv8neg doublev8add doublev64mul doublev128div doublev16neg';
const SHUFFLE = 'u8x64 u16x32 u32x16 u64x8 u128x4';

/** Every method once: some seconds in translated code. */
const ARITHMETIC = [
  ...each(CPU, (name) => `--cpu 1 --cpu-method ${name} --cpu-ops 1`),
  ...each(CPU_LONG_DOUBLE, (name) => `--cpu 1 --cpu-method ${name} --cpu-ops 1`),
  ...each(FLOAT, (name) => `--fp 1 --fp-method ${name} --fp-ops 1`),
  ...each(MATRIX, (name) => `--matrix 1 --matrix-method ${name} --matrix-size 64 --matrix-ops 4`),
  ...each(VECTOR_FLOAT, (name) => `--vecfp 1 --vecfp-method ${name} --vecfp-ops 1`),
  ...each(SHUFFLE, (name) => `--vecshuf 1 --vecshuf-method ${name} --vecshuf-ops 1`),
  '--vecmath 1 --vecmath-ops 4',
];
const MEMORY = [
  ...each(VM, (name) => `--vm 1 --vm-bytes 2M --vm-method ${name} --vm-ops 1`),
  ...each(STRING, (name) => `--str 1 --str-method ${name} --str-ops 10`),
  ...each(MEMCPY, (name) => `--memcpy 1 --memcpy-method ${name} --memcpy-ops 4`),
  '--hash 1 --hash-ops 4',
  '--misaligned 1 --misaligned-ops 4',
  '--malloc 1 --malloc-ops 200',
  '--mmap 1 --mmap-bytes 4M --mmap-ops 2',
  '--stack 1 --stack-ops 2',
];
const PROGRAMS = [
  '--atomic 1 --atomic-ops 4',
  '--bsearch 1 --bsearch-ops 1',
  '--heapsort 1 --heapsort-size 4096 --heapsort-ops 1',
  '--mergesort 1 --mergesort-size 4096 --mergesort-ops 1',
  '--qsort 1 --qsort-size 4096 --qsort-ops 1',
  '--radixsort 1 --radixsort-size 4096 --radixsort-ops 1',
  '--shellsort 1 --shellsort-size 4096 --shellsort-ops 1',
  '--longjmp 1 --longjmp-ops 10',
  '--fork 1 --fork-ops 20',
  '--vfork 1 --vfork-ops 20',
  '--pipe 1 --pipe-ops 200',
  '--sigsegv 1 --sigsegv-ops 200',
  '--sigtrap 1 --sigtrap-ops 200',
  '--switch 1 --switch-ops 200',
  '--context 1 --context-ops 10',
  '--zlib 1 --zlib-ops 2',
  '--tree 1 --tree-size 2000 --tree-ops 1',
  '--regs 1 --regs-ops 10',
];
/** A part of each for the ways that take longer. */
const some = (lines: readonly string[], every: number): string[] => lines.filter((_, index) => index % every === 0);
const ALL = [...ARITHMETIC, ...MEMORY, ...PROGRAMS];

const folder = mkdtempSync(join(tmpdir(), 'plinth-tests-'));
let machine: string[];
beforeAll(async () => {
  machine = await stressGuest(folder, [
    ...[1, 4, 12].map((every) => ({ path: `jobs/${every}`, contents: `${some(ALL, every).join('\n')}\n` })),
  ]);
});
afterEach(endAll);
afterAll(() => rmSync(folder, { recursive: true, force: true }));

describe('stress-ng --verify', () => {
  // The short run takes every fourth or twelfth job: another one of each kind. Forced, the boot alone takes a minute.
  it.each([['on', isLong ? 1 : 4], ['off', isLong ? 1 : 12], ...(isLong ? [['force', 1] as const] : [])] as const)(
    'finds nothing wrong with PLINTH_TRANSLATOR=%s, one job in %i',
    async (translator, every) => {
      const count = some(ALL, every).length;
      const guest = await GuestConsole.boot(machine, { environment: { PLINTH_TRANSLATOR: translator } });
      const { output } = await guest.run(`run-stress /jobs/${every}`, isLong ? 3600 : 500);
      const lines = output.split('\n').filter((line) => line !== '' && !line.startsWith('@run '));
      expect(lines).toEqual([`@passed ${count}`]);
      guest.type('poweroff -f\n');
      expect((await guest.process.ended).status).toBe(0);
    },
  );
});

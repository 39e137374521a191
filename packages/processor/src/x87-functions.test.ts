/**
 * The transcendental functions of the x87 are within one unit of the last place of GNU MPFR's, in every rounding direction: over random
 * arguments where gcc and MPFR's headers are (native-tests/mpfr-oracle.c), and over recorded ones everywhere.
 *
 * native-tests/x87-functions.txt holds values of MPFR 4.2.0, rounded to nearest. PLINTH_X87_CASES changes how many arguments are tried.
 */
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { beforeAll, describe, expect, it } from 'vitest';
import { buildTestCore, type TestCore } from './testing/native-oracle.ts';
import { Random } from './testing/vector-cases.ts';
import { type FunctionCase, functionCases, X87_FUNCTIONS } from './testing/x87-function-cases.ts';

const CASES = Number(process.env.PLINTH_X87_CASES ?? 3000);
const folder = fileURLToPath(new URL('../native-tests/', import.meta.url));
const ROUNDINGS = [0x37f, 0x77f, 0xb7f, 0xf7f];
const PRECISION_EXCEPTION = 0x20;

/** @returns undefined where there is no gcc or no MPFR to compile with */
function compileOracle(): string | undefined {
  if (spawnSync('gcc', ['-E', '-include', 'mpfr.h', '-'], { input: '' }).status !== 0) return undefined;
  const place = mkdtempSync(join(tmpdir(), 'plinth-mpfr-'));
  process.once('exit', () => rmSync(place, { recursive: true, force: true }));
  const program = join(place, 'oracle');
  const { status, stderr } = spawnSync('gcc', ['-O2', '-o', program, join(folder, 'mpfr-oracle.c'), '-lmpfr', '-lgmp']);
  if (status !== 0) throw new Error(`the oracle does not compile: ${stderr.toString()}`);
  return program;
}

interface Value {
  readonly significand: bigint;
  readonly high: number;
}

describe('transcendental functions of the x87', () => {
  let core: TestCore;
  let oracle: string | undefined;
  beforeAll(async () => {
    core = await buildTestCore();
    oracle = compileOracle();
  }, 120_000);

  function calculate({ which, x, y }: FunctionCase, control: number): Value {
    const raised = core.exports.x87Function?.(which, control, x.significand, x.high, y.significand, y.high) ?? 0;
    expect(raised & PRECISION_EXCEPTION).toBe(PRECISION_EXCEPTION);
    return {
      significand: BigInt.asUintN(64, BigInt(core.exports.x87Significand?.() ?? 0)),
      high: core.exports.x87High?.() ?? 0,
    };
  }

  for (const [name, which] of Object.entries(X87_FUNCTIONS)) {
    it(`${name}: ${CASES} arguments in each rounding direction, by MPFR`, { timeout: 600_000 }, (context) => {
      const program = oracle;
      if (program === undefined)
        return context.skip('missing oracle: needs gcc and MPFR (Debian: apt-get install gcc libmpfr-dev)');
      const cases = functionCases(which, CASES, new Random(which));
      for (const control of ROUNDINGS) {
        const input = new DataView(new ArrayBuffer(cases.length * 56));
        const put = (at: number, value: Value): void => {
          input.setBigUint64(at, value.significand, true);
          input.setBigUint64(at + 8, BigInt(value.high), true);
        };
        cases.forEach((subject, index) => {
          const at = index * 56;
          input.setBigUint64(at, BigInt(which), true);
          put(at + 8, subject.x);
          put(at + 24, subject.y);
          put(at + 40, calculate(subject, control));
        });
        const answer = spawnSync(program, [], {
          input: new Uint8Array(input.buffer),
          maxBuffer: cases.length * 24 + 4096,
        });
        expect(answer.status).toBe(0);
        expect(answer.stdout.length).toBe(cases.length * 24);
        const output = new DataView(answer.stdout.buffer, answer.stdout.byteOffset);
        // Nearest is off by half a unit at most, or by what the 128 bits of the calculation leave in doubt.
        const bound = control === 0x37f ? 0.5000001 : 1.0000001;
        cases.forEach(({ x, y }, index) => {
          const error = output.getFloat64(index * 24, true);
          if (Math.abs(error) <= bound) return;
          const show = (value: Value): string => `${value.high.toString(16)}:${value.significand.toString(16)}`;
          const result = {
            significand: input.getBigUint64(index * 56 + 40, true),
            high: Number(input.getBigUint64(index * 56 + 48, true)),
          };
          expect.fail(
            `${name} of ${show(x)}, ${show(y)} with control ${control.toString(16)}: ${show(result)} is off by ${error} units`,
          );
        });
      }
    });
  }

  it('agree with recorded values of MPFR', () => {
    const seen = new Set<number>();
    const lines = readFileSync(join(folder, 'x87-functions.txt'), 'utf8').split('\n');
    for (const line of lines) {
      if (line === '' || line.startsWith('#')) continue;
      const fields = line.split(' ').map((field) => BigInt(`0x${field}`));
      const [which = 0n, xHigh = 0n, x = 0n, yHigh = 0n, y = 0n, high = 0n, significand = 0n] = fields;
      seen.add(Number(which));
      const found = calculate(
        {
          which: Number(which),
          x: { significand: x, high: Number(xHigh) },
          y: { significand: y, high: Number(yHigh) },
        },
        0x37f,
      );
      expect(`${found.high.toString(16)}:${found.significand.toString(16)}`, line).toBe(
        `${high.toString(16)}:${significand.toString(16)}`,
      );
    }
    expect([...seen].sort()).toEqual(Object.values(X87_FUNCTIONS).sort());
  });
});

/**
 * The two sides of the per-operation comparisons: the oracle program on the host's processor, and the vector and x87 files of the core
 * compiled alone over a small memory. For tests only: it starts processes and writes below the system's temporary folder.
 */
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import asc from 'assemblyscript/asc';
import { generateAssembly } from '../build/generate.ts';

const root = dirname(dirname(dirname(fileURLToPath(import.meta.url))));

/** @returns what the comparisons lack on this machine, or undefined. */
export function missingOracle(): string | undefined {
  if (process.platform !== 'linux' || process.arch !== 'x64') return 'no x86-64 Linux host';
  if (!/AuthenticAMD/.test(readFileSync('/proc/cpuinfo', 'latin1'))) return 'no AMD processor';
  if (spawnSync('gcc', ['--version']).status !== 0) return 'no gcc';
  return undefined;
}

export interface TestCore {
  readonly memory: WebAssembly.Memory;
  /** Address of the processor's block. */
  readonly processor: number;
  readonly vectorOperation: (operation: number, d: number, s: number, immediate: number) => number;
  readonly exports: Readonly<Record<string, (...values: (number | bigint)[]) => number>>;
}

/** Compiles assembly/vector-test-entry.ts, its generated files fresh from the table. */
export async function buildTestCore(): Promise<TestCore> {
  const generated = generateAssembly();
  let binary: Uint8Array | undefined;
  const { error, stderr } = await asc.main(
    ['assembly/vector-test-entry.ts', '--outFile', 'core.wasm', '-O3', '--noAssert', '--runtime', 'stub'].concat([
      '--enable',
      'simd,threads,bulk-memory',
      '--initialMemory',
      '64',
    ]),
    {
      readFile: (name) => {
        const part = /assembly\/generated\/([a-z-]+\.ts)$/.exec(name);
        if (part !== null) return generated.get(part[1] ?? '') ?? null;
        try {
          return readFileSync(join(root, name), 'utf8');
        } catch {
          return null;
        }
      },
      writeFile: (name, contents) => {
        if (name.endsWith('.wasm') && typeof contents !== 'string') binary = contents;
      },
      listFiles: () => null,
    },
  );
  if (error !== null || binary === undefined) throw new Error(`assembly: ${stderr.toString()}`);
  const { instance } = await WebAssembly.instantiate(Uint8Array.from(binary), {
    env: {
      abort: () => {
        throw new Error('the core aborted');
      },
    },
  });
  const exports = instance.exports as unknown as TestCore['exports'] & { memory: WebAssembly.Memory };
  const processor = 0x10000;
  const operation = exports.vectorOperation;
  exports.attach?.(processor);
  if (operation === undefined) throw new Error('the core lacks vectorOperation');
  return { memory: exports.memory, processor, vectorOperation: operation, exports };
}

/** One instruction and the states to run it from; formats in native-tests/vector-oracle.c. */
export interface Batch {
  /** 0 SSE, 1 x87 state. */
  readonly kind: 0 | 1;
  readonly code: Uint8Array;
  readonly memoryForm: boolean;
  readonly recordBytes: number;
  readonly records: Uint8Array;
}

/** native-tests/vector-oracle.c, compiled. */
export class Oracle {
  readonly #program: string;

  private constructor(program: string) {
    this.#program = program;
  }

  static async compile(): Promise<Oracle> {
    const folder = mkdtempSync(join(tmpdir(), 'plinth-oracle-'));
    process.once('exit', () => rmSync(folder, { recursive: true, force: true }));
    const program = join(folder, 'oracle');
    const source = join(root, 'native-tests', 'vector-oracle.c');
    const result = spawnSync('gcc', ['-O2', '-o', program, source], { encoding: 'utf8' });
    if (result.status !== 0) throw new Error(`gcc: ${result.stderr}`);
    return new Oracle(program);
  }

  /** Runs each batch's code once per record, in one process. @returns the records after it, batch after batch. */
  run(...batches: readonly Batch[]): Uint8Array {
    const parts: Uint8Array[] = [];
    let size = 0;
    for (const { kind, code, memoryForm, recordBytes, records } of batches) {
      const header = new DataView(new ArrayBuffer(32));
      header.setUint32(0, kind, true);
      header.setUint32(4, code.length, true);
      header.setUint32(8, records.length / recordBytes, true);
      header.setUint32(12, memoryForm ? 1 : 0, true);
      new Uint8Array(header.buffer).set(code, 16);
      parts.push(new Uint8Array(header.buffer), records);
      size += records.length;
    }
    const result = spawnSync(this.#program, [], { input: Buffer.concat(parts), maxBuffer: size + 4096 });
    if (result.status !== 0 || result.stdout.length !== size) {
      throw new Error(`oracle: status ${result.status}, ${result.stdout.length} bytes: ${result.stderr.toString()}`);
    }
    return result.stdout;
  }
}

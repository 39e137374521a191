/**
 * Shows what guest code becomes: each instruction of a region, then its WebAssembly.
 *
 *     node packages/processor/scripts/show-region.mjs [--at OFFSET] [--bits 32] BYTES   bytes in hexadecimal, as they stand at OFFSET of a page
 *     node packages/processor/scripts/show-region.mjs --trace FILE ADDRESS     a region that `plinth run --trace translator` wrote to FILE
 *
 * A region of a trace is built anew from its bytes: what was not part of it is not there. Needs the build.
 */
import { readFileSync } from 'node:fs';
import { parseArgs } from 'node:util';

const usage = 'show-region.mjs [--at OFFSET] [--bits 32] BYTES | show-region.mjs --trace FILE ADDRESS\n';
const dist = new URL('../dist/', import.meta.url);
const { Partition } = await import('@plinth/hypervisor');
const { createRegionCompiler } = await import(new URL('translator-thread.js', dist).href);
const { describeOneWindow } = await import(new URL('translator/code-windows.js', dist).href);
const { listRegion } = await import(new URL('translator/region-listing.js', dist).href);

const PAGE = 4096;
const { values, positionals } = parseArgs({
  options: { at: { type: 'string', default: '0' }, bits: { type: 'string', default: '64' }, trace: { type: 'string' } },
  allowPositionals: true,
});

/** The region's bytes by their offset in a window of two pages, and where it is entered. */
function asked() {
  if (values.trace === undefined)
    return { entry: Number(values.at), pieces: [[Number(values.at), positionals.join('')]] };
  const address = BigInt(positionals[0] ?? 'none').toString(16);
  const line = readFileSync(values.trace, 'utf8')
    .split('\n')
    .findLast((text) => text.includes('translator: region ') && text.includes(` rip 0x${address} `));
  const code = / code (\S+)/.exec(line ?? '')?.[1];
  if (code === undefined) throw new SyntaxError(`${values.trace} has no region at 0x${address}`);
  const pieces = code.split(',').map((piece) => piece.split(':'));
  return { entry: Number(BigInt(`0x${address}`) & 0xfffn), pieces: pieces.map(([at, hex]) => [Number(at), hex]) };
}

function show({ entry, pieces }) {
  const partition = Partition.create({
    ramBytes: 2 * 1024 * 1024,
    processors: 1,
    clock: { now: () => 0 },
    tscPerNanosecond: 1,
  });
  const { memory, layout } = partition;
  const compiler = createRegionCompiler(
    new WebAssembly.Module(readFileSync(new URL('engine.wasm', dist))),
    JSON.parse(readFileSync(new URL('operations.json', dist), 'utf8')),
    memory,
    layout,
    0,
  );
  const window = new Uint8Array(memory.buffer, layout.ramOffset, 2 * PAGE);
  // UD2, where a region ends.
  window.fill(0x0f).forEach((_, at) => {
    if (at % 2 === 1) window[at] = 0x0b;
  });
  for (const [at, hex] of pieces) window.set(Buffer.from(hex, 'hex'), at);
  const everywhere = new Uint8Array(1024).fill(0xff);
  return listRegion(
    compiler.examine({
      block: 0,
      gpa: entry,
      code32: values.bits === '32',
      description: describeOneWindow([layout.ramOffset, layout.ramOffset + PAGE], everywhere),
    }),
  );
}

try {
  const { entry, pieces } = asked();
  if (!(entry >= 0 && entry < PAGE) || pieces.some(([, hex]) => !/^([0-9a-fA-F]{2})+$/.test(hex))) {
    throw new SyntaxError('the bytes are not hexadecimal, or the offset is none of a page');
  }
  process.stdout.write(show({ entry, pieces }));
} catch (error) {
  if (!(error instanceof SyntaxError || error.code === 'ENOENT')) throw error;
  process.stderr.write(`${error.message}\nusage: ${usage}`);
  process.exitCode = 64;
}

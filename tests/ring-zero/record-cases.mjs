/**
 * Records what QEMU's TCG makes of the cases of system instructions (tests/ring-zero/cases), for recorded-cases.test.ts:
 *
 *     node tests/ring-zero/record-cases.mjs
 *
 * To be run when the cases change; it wants gcc and qemu-system-x86_64.
 */
import { execFileSync, spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { buildMultibootKernel } from '../support/multiboot-kernel.mjs';
import { encodeRecording, recordingFile, sources, sourcesDigest } from './case-recording.mjs';

const PROCESSOR = 'max,-la57,-vme';
const folder = mkdtempSync(join(tmpdir(), 'plinth-cases-'));
try {
  const kernel = buildMultibootKernel(sources, folder);
  const serial = join(folder, 'output');
  const machine = ['-accel', 'tcg', '-cpu', PROCESSOR, '-m', '64', '-display', 'none', '-no-reboot'];
  const exit = ['-serial', `file:${serial}`, '-device', 'isa-debug-exit,iobase=0xf4,iosize=1', '-kernel', kernel];
  const { stderr } = spawnSync('qemu-system-x86_64', [...machine, ...exit], { encoding: 'utf8', timeout: 600_000 });
  const output = readFileSync(serial, 'utf8');
  const end = /\nend ([0-9a-f]+)\n$/.exec(output);
  if (end === null) throw new Error(`QEMU came to no end: ${stderr}${output.slice(-200)}`);
  const emulator = execFileSync('qemu-system-x86_64', ['--version'], { encoding: 'utf8' }).split('\n')[0] ?? '';
  const file = encodeRecording({
    emulator,
    processor: PROCESSOR,
    sources: sourcesDigest(),
    kernel: readFileSync(kernel),
    output,
  });
  writeFileSync(recordingFile, file);
  // Groups of cases by their first word, the instruction.
  const counts = new Map();
  let group = '';
  for (const line of output.split('\n')) {
    if (line.startsWith('@ ')) [group = ''] = line.slice(2).split(' ');
    else if (/^[0-9a-f]+(\.[0-9a-f]+)?(=|$)/.test(line)) counts.set(group, (counts.get(group) ?? 0) + 1);
  }
  for (const [name, count] of [...counts].sort((a, b) => b[1] - a[1])) process.stdout.write(`${count} ${name}\n`);
  process.stdout.write(`${Number.parseInt(end[1] ?? '', 16)} cases on ${emulator}, ${file.length} bytes\n`);
} finally {
  rmSync(folder, { recursive: true, force: true });
}

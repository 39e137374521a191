/**
 * Debian's 32-bit kernel and programs of bench/guest compiled for 32 bits, in Plinth and in v86 (npm), which is such a processor in
 * WebAssembly too: host CPU seconds from the start of the process to init, and of each program. A wrong value of a program fails the bench:
 * what is right the host's processor says, or QEMU where the host's kernel runs no 32-bit programs. Programs that v86 computes wrongly are
 * not among them. `--programs=a,b` and `--scale=0.1` as with the bench `cpu`.
 */
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { StepFailure } from '../scripts/steps.mjs';
import { compared, median, plinthCommand, readStatistics, withTemporaryFolder } from './support.mjs';
import { prepareGuestPrograms, runGuestPrograms } from './support-guest-programs.mjs';
import { firmware, v86Folder } from './support-v86-machine.mjs';

const memoryMiB = 256;
const programs =
  'integer,shifts,divide,aes-table,branches,interpreter,indirect,sort,matrix,double,crc32,sha256,hash-table,memcpy,vector-bytes,strings,printf,fork,system-calls,page-faults,files';
const defaultScale = 0.02;

/** The command that boots a guest in v86, in a process of its own. */
const v86Command = ({ kernel, initrds: [initrd], commandLine }) => [
  process.execPath,
  join(import.meta.dirname, 'support-v86-machine.mjs'),
  ...['--kernel', kernel, '--initrd', initrd, '--append', commandLine, '--memory', `${memoryMiB}`],
];

export default {
  name: 'v86',
  title: "Debian's 32-bit kernel, host CPU seconds of all threads beside v86",
  unit: 's CPU',
  peerName: 'v86',
  target: null,
  async run({ runs, say, option }) {
    if (!existsSync(join(firmware, 'bios.bin')))
      throw new StepFailure("the peer's firmware is missing: apt-get install seabios");
    const { panicWords } = await import('../packages/chipset/dist/index.js');
    const scale = Math.round(1000 * Number(option('scale') ?? defaultScale));
    if (!(scale >= 1)) throw new StepFailure('--scale takes a number from 0.001', 64);
    return withTemporaryFolder(async (folder) => {
      const image = { commandLine: `${panicWords} console=ttyS0` };
      const names = option('programs') ?? programs;
      const { guest, expected, source } = await prepareGuestPrograms(folder, image, { names, scale, words: 32 });
      say(`values of ${expected.size} programs from: ${source}`);
      const statistics = join(folder, 'stats.json');
      const commands = {
        peer: v86Command(guest),
        plinth: plinthCommand(guest, `${memoryMiB}M`, '--stats', statistics),
      };
      const measured = { plinth: [], peer: [] };
      for (let index = 0; index < runs; index += 1)
        for (const who of ['peer', 'plinth']) {
          const result = await runGuestPrograms(commands[who], expected);
          measured[who].push(result);
          const { ready, whole } = result;
          say(
            `${who === 'peer' ? 'v86' : 'Plinth'} ${ready.cpuSeconds.toFixed(2)} s CPU to init (${ready.wallSeconds.toFixed(2)} s wall), ${whole.cpuSeconds.toFixed(2)} s with the programs`,
          );
        }
      const both = (value) => compared(median(measured.plinth.map(value)), median(measured.peer.map(value)));
      const rows = [...expected.keys()].map((name) => ({
        name,
        ...both((one) => Math.max(0.01, one.programs[name].cpuSeconds)),
      }));
      say(`${'program'.padEnd(16)}  Plinth     v86   ratio`);
      for (const { name, plinth, peer, ratio } of rows)
        say(
          `${name.padEnd(16)} ${plinth.toFixed(2).padStart(7)} ${peer.toFixed(2).padStart(7)} ${ratio.toFixed(2).padStart(7)}`,
        );
      const mean = Math.exp(rows.reduce((sum, { ratio }) => sum + Math.log(ratio), 0) / rows.length);
      const { version } = JSON.parse(readFileSync(join(v86Folder, 'package.json'), 'utf8'));
      return {
        ...both(({ ready }) => ready.cpuSeconds),
        runs: measured,
        more: [
          { name: 'v86, boot, wall time', unit: 's', peerName: 'v86', ...both(({ ready }) => ready.wallSeconds) },
          { name: `v86, ${rows.length} programs`, unit: 'ratio', peerName: 'v86', plinth: mean, peer: 1, ratio: mean },
          { name: 'v86, peak memory', unit: 'bytes', peerName: 'v86', ...both(({ whole }) => whole.peakResidentBytes) },
        ],
        notes: {
          scale: scale / 1000,
          expectedFrom: source,
          programs: rows,
          instructions: readStatistics(statistics).instructions,
          command: commands.plinth,
          peerCommand: commands.peer,
          peerVersion: `v86 ${version}`,
        },
      };
    });
  },
};

/**
 * `npm start` in a fresh clone, with nothing installed, built or cached by Plinth: until the guest's shell shows its prompt. Two
 * numbers: all of it, and Plinth's own part, which is all but what npm and apt take to fetch and install what others made.
 */
import { join } from 'node:path';
import { root, run, StepFailure } from '../scripts/steps.mjs';
import { watch, withTemporaryFolder } from './support.mjs';

/** Stages that fetch, by the line that begins them. Each lasts until the next line that begins one. */
const fetches = /^Installing npm packages$|^Image .*: (reading package lists|downloading packages)$/;
/** Lines that tell how long a stage took begin none. */
const ends = /: [\d.]+ (s|ms)$|: \d+ min \d+ s$|\([\d.]+ (s|ms)\)$/;
const target = { total: 300, own: 90 };

export default {
  name: 'npm-start',
  title: "npm start from a fresh clone to the guest's prompt, downloads included",
  unit: 's',
  target: { of: 'plinth', most: target.total },
  run: ({ say }) =>
    withTemporaryFolder(async (folder) => {
      const clone = join(folder, 'plinth');
      const { status, output } = await run('git', ['clone', '--quiet', root, clone], { capture: true });
      if (status !== 0) throw new StepFailure(output);
      const stages = await startUntilPrompt(clone, join(folder, 'home'));
      for (const { from, to, name, fetching } of stages) {
        const took = (to.wallSeconds - from.wallSeconds).toFixed(1).padStart(6);
        const cpu = (to.cpuSeconds - from.cpuSeconds).toFixed(1).padStart(6);
        say(`${took} s, ${cpu} s CPU  ${name}${fetching ? ' (fetching)' : ''}`);
      }
      const sum = (key, list) => list.reduce((seconds, { from, to }) => seconds + to[key] - from[key], 0);
      const own = stages.filter(({ fetching }) => !fetching);
      const notes = {
        cpuSeconds: sum('cpuSeconds', stages),
        ownCpuSeconds: sum('cpuSeconds', own),
      };
      const ownPart = {
        name: "npm-start, Plinth's own part",
        unit: 's',
        plinth: sum('wallSeconds', own),
        target: { of: 'plinth', most: target.own },
      };
      return { plinth: sum('wallSeconds', stages), runs: [stages], more: [ownPart], notes };
    }),
};

/** The stages, with measurements where they begin and end; the last one is the boot to the prompt. */
async function startUntilPrompt(clone, home) {
  const nothing = { wallSeconds: 0, cpuSeconds: 0 };
  const begun = [{ name: 'npm and the script', at: nothing, fetching: false }];
  let seen = '';
  // No folder that an earlier run of Plinth or npm has filled.
  const env = { ...process.env, PLINTH_HOME: home, npm_config_cache: join(home, 'npm-cache') };
  const prompt = await watch(['npm', 'start'], {
    awaited: "npm start until the guest's prompt",
    timeoutSeconds: 900,
    group: true,
    spawnOptions: { cwd: clone, env },
    onComplaint: (line, { measure }) => {
      const built = /^Image \S+ is built/.test(line);
      if (line.trim() === '' || line.startsWith('npm ') || (ends.test(line) && !built)) return;
      begun.push({ name: built ? 'boot to the prompt' : line, at: measure(), fetching: fetches.test(line) });
    },
    onOutput: (chunk, { measure }) => {
      // npm itself prints the script's name with a prompt-like sign; the guest's prompt comes after init's line.
      seen = (seen + chunk).slice(-4000);
      return /init started after[\s\S]*:~# /.test(seen) ? measure() : undefined;
    },
  });
  return begun.map(({ name, at, fetching }, index) => ({
    name,
    fetching,
    from: at,
    to: begun[index + 1]?.at ?? prompt,
  }));
}

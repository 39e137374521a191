/**
 * `npm start` in a fresh clone, with nothing installed, built or cached by Plinth: until the guest's shell shows its prompt. Also told:
 * the CPU seconds of all of it, and the part that is not downloading.
 */
import { spawn } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { root, run, StepFailure } from '../scripts/steps.mjs';

export default {
  name: 'fresh-clone',
  title: "npm start from a fresh clone to the guest's prompt, downloads included",
  unit: 's',
  target: { of: 'plinth', most: 300 },
  async run({ say }) {
    const folder = mkdtempSync(join(tmpdir(), 'plinth-bench-'));
    const clone = join(folder, 'plinth');
    try {
      const { status, output } = await run('git', ['clone', '--quiet', root, clone], { capture: true });
      if (status !== 0) throw new StepFailure(output);
      const stages = await startUntilPrompt(clone, join(folder, 'home'));
      const total = stages.at(-1).seconds;
      for (const { seconds, text } of stages) say(`${seconds.toFixed(1).padStart(6)} s  ${text}`);
      return { plinth: total, runs: [stages] };
    } finally {
      rmSync(folder, { recursive: true, force: true });
    }
  },
};

/** Lines of standard error with their times, and the prompt's. */
function startUntilPrompt(clone, home) {
  return new Promise((resolve, reject) => {
    const began = performance.now();
    const seconds = () => (performance.now() - began) / 1000;
    const stages = [];
    let seen = '';
    let pending = '';
    // A group of its own, so that ending it ends npm, the script and the run.
    const child = spawn('npm', ['start'], {
      cwd: clone,
      env: { ...process.env, PLINTH_HOME: home },
      stdio: ['pipe', 'pipe', 'pipe'],
      detached: true,
    });
    const end = () => process.kill(-child.pid, 'SIGTERM');
    const timer = setTimeout(end, 900_000);
    child.stderr.setEncoding('utf8').on('data', (chunk) => {
      pending += chunk;
      const lines = pending.split('\n');
      pending = lines.pop() ?? '';
      for (const text of lines) stages.push({ seconds: seconds(), text });
    });
    child.stdout.setEncoding('utf8').on('data', (chunk) => {
      if (stages.at(-1)?.text === 'prompt') return;
      seen = (seen + chunk).slice(-4000);
      // npm itself prints the script's name with a prompt-like sign; the guest's prompt comes after init's line.
      if (!/init started after[\s\S]*# /.test(seen)) return;
      stages.push({ seconds: seconds(), text: 'prompt' });
      end();
    });
    child.on('error', reject);
    child.on('close', () => {
      clearTimeout(timer);
      if (stages.at(-1)?.text === 'prompt') resolve(stages);
      else
        reject(
          new StepFailure(`npm start ended before the prompt\n${stages.map(({ text }) => text).join('\n')}\n${seen}`),
        );
    });
  });
}

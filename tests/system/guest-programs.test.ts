/**
 * The programs of the bench `cpu` compute in a guest what they compute on the host's own processor: interpreted, translated when hot, and
 * translated before anything runs. Arithmetic, vectors, memory, strings, code that writes code, system calls, signals, page faults,
 * processes and threads.
 */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { benchImage, plinthCommand } from '../../bench/support.mjs';
import { prepareGuestPrograms, runGuestPrograms } from '../../bench/support-guest-programs.mjs';

let folder: string;
let prepared: Awaited<ReturnType<typeof prepareGuestPrograms>>;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'plinth-test-'));
  prepared = await prepareGuestPrograms(folder, await benchImage(), { scale: 5 });
});
afterAll(() => rm(folder, { recursive: true, force: true }));

describe.each(['off', 'on', 'force'])('PLINTH_TRANSLATOR=%s', (translator) => {
  it('every program answers what it answers on the host', async () => {
    const { guest, expected } = prepared;
    // A wrong value, a program that ends otherwise and one that is left out are failures.
    const { programs } = await runGuestPrograms(plinthCommand(guest, '256M'), expected, {
      environment: { PLINTH_TRANSLATOR: translator },
      timeoutSeconds: 300,
    });
    expect(Object.keys(programs).length).toBeGreaterThanOrEqual(50);
  });
});

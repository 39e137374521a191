/**
 * States whose checksums are right and whose content is not: each part of a real machine's file with some values replaced, given to what
 * reads it. Nothing but an error of the catalogue may come of it.
 */
import { readFileSync } from 'node:fs';
import { gunzipSync } from 'node:zlib';
import { PlinthError } from '@plinth/errors';
import { restoreProcessorFields } from '@plinth/hypervisor';
import { describe, expect, it } from 'vitest';
import { AgentSessions } from '../agent-sessions.ts';
import { createChildPartition, deleteChildPartition } from '../child-partition.ts';
import { assembleChipset } from '../chipset-assembly.ts';
import { softwareEngine } from '../software-engine.ts';
import { SyntheticDevices } from '../synthetic-devices.ts';
import { VmbusHost } from '../vmbus-host.ts';
import { parseSavedConfiguration } from './saved-configuration.ts';

const MIB = 1024 * 1024;
const ROUNDS = 400;

/** The JSON sections of the golden file, by name. */
function states(): Map<string, unknown> {
  const bytes = gunzipSync(readFileSync(new URL('./testing/golden-machine-1.gz', import.meta.url)));
  return new Map(
    Array.from({ length: 5 }, (_, index): [string, unknown] => {
      const entry = 64 + index * 64;
      const name = bytes
        .subarray(entry, entry + 32)
        .toString('latin1')
        .replace(/\0.*/s, '');
      const [offset, length] = [entry + 40, entry + 48].map((at) => Number(bytes.readBigUInt64LE(at)));
      return [name, JSON.parse(bytes.subarray(offset, (offset ?? 0) + (length ?? 0)).toString())];
    }),
  );
}

let state = 0xf022;
function random(below: number): number {
  state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
  return Math.floor((state / 2 ** 32) * below);
}
const JUNK = [null, true, -1, 0, 1, 2 ** 32, 1e300, 0.5, '', 'ff', 'zz', [], [0], {}, { version: 99 }] as const;

/** A copy with one to three values replaced, taken away or added, at any depth. */
function changed(value: unknown): unknown {
  const copy: unknown = structuredClone(value);
  for (let change = random(3); change >= 0; change--) {
    let node: unknown = copy;
    for (let depth = 0; depth < 8; depth++) {
      if (typeof node !== 'object' || node === null) break;
      const names = Object.keys(node);
      const name = names[random(names.length)];
      if (name === undefined) break;
      const inner: unknown = Reflect.get(node, name);
      if (typeof inner === 'object' && inner !== null && random(4) !== 0) {
        node = inner;
        continue;
      }
      if (random(8) === 0) Reflect.deleteProperty(node, name);
      else Reflect.set(node, random(10) === 0 ? 'unheard' : name, JUNK[random(JUNK.length)]);
      break;
    }
  }
  return copy;
}

function machine() {
  const cpuid = softwareEngine.cpuid({ processors: 1 } as Parameters<typeof softwareEngine.cpuid>[0]);
  const clock = { now: () => 5e9 };
  const child = createChildPartition({ memoryBytes: 64 * MIB, processors: 1, clock, tscPerNanosecond: 2, cpuid });
  child.root.connectHost(child.partitionId, {});
  const nothing = (): void => {};
  const host = { deliver: nothing, kick: nothing, powerOff: nothing, reset: nothing, outputReady: nothing };
  assembleChipset(child.partition, 1, { ...host, errorRecord: nothing });
  return child;
}

/** What came of it: `taken`, or the error's code. @throws what no reader may throw */
function outcome(read: () => void): string {
  try {
    read();
    return 'taken';
  } catch (error) {
    if (error instanceof PlinthError) return error.code;
    throw error;
  }
}

describe('a part of a saved machine that makes no sense', () => {
  const all = states();
  const readers: Record<string, (value: unknown) => void> = {
    configuration: (value) => void parseSavedConfiguration(value),
    processor: (value) => restoreProcessorFields(value, () => {}),
    agent(value) {
      const sessions = new AgentSessions({ push: (bytes) => bytes.length }, 'test');
      sessions.restore(typeof value === 'object' && value !== null ? Reflect.get(value, 'sessions') : value);
      sessions.close();
    },
    devices: (() => {
      const { partition } = machine();
      const known = new Set(partition.devices.map(({ name }) => name));
      return (value: unknown) => {
        // The hypervisor's part is the processor's thread's, which has the device.
        const { devices, ...rest } = value as { devices: unknown };
        const isTree = typeof devices === 'object' && devices !== null;
        const own = isTree ? Object.fromEntries(Object.entries(devices).filter(([name]) => known.has(name))) : devices;
        partition.restoreDevices({ ...rest, devices: own });
      };
    })(),
    vmbus(value) {
      const child = machine();
      const vmbus = new VmbusHost(child, 1, () => {});
      const devices = new SyntheticDevices(vmbus.bus, child.partition, { name: 'test', id: 'id' });
      try {
        vmbus.restore(value);
      } finally {
        devices.close();
        vmbus.close();
        deleteChildPartition(child);
      }
    },
  };

  it.each(Object.keys(readers))('%s: is taken or refused by name', (name) => {
    const read = readers[name];
    const value = all.get(name);
    const seen = new Map<string, number>();
    // Each bus is a machine of its own.
    for (let round = 0; round < (name === 'vmbus' ? ROUNDS / 4 : ROUNDS); round++) {
      const code = outcome(() => read?.(changed(value)));
      seen.set(code, (seen.get(code) ?? 0) + 1);
    }
    for (const code of seen.keys()) expect(code).toMatch(/^(taken|PL-410[234])$/);
    expect(seen.size).toBeGreaterThan(1);
    expect(outcome(() => read?.(value))).toBe('taken');
  });
});

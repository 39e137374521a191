/**
 * Interrupts and kicks that another thread posts reach a processor within one iteration of whatever loop it is in: interpreted or
 * translated, one block or from region to region. The loops count with a locked operation, so what they have counted is seen by other
 * threads before the loop looks at requests again.
 */
import { Worker } from 'node:worker_threads';
import { describe, expect, it } from 'vitest';
import { requestInterrupt } from './interrupt-request.ts';
import { PLACE, TinyMachine } from './testing/tiny-machine.ts';

const VECTOR = 0x40;
const FLAGS_IF = 0x202n;
const COUNTER = 0x7800;
const SPURIOUS_VECTOR_REGISTER = 0xf0;
/** Instructions that a run may take: without the request it would go on for minutes. */
const BUDGET = 100_000_000_000;
const FAR = 0x40000;
/** Ports that the test's device answers at. */
const PORT = 0x5000;

/** lock inc qword [COUNTER] */
const COUNT = [0xf0, 0x48, 0xff, 0x04, 0x25, COUNTER & 0xff, COUNTER >> 8, 0, 0];

/** A loop of one block; `extra` comes before its jump. */
const oneBlock = (extra: readonly number[] = []): number[] => [
  ...COUNT,
  ...extra,
  0xeb,
  256 - (COUNT.length + extra.length + 2),
];
const jump = (from: number, to: number): number[] => {
  const bytes = new DataView(new ArrayBuffer(4));
  bytes.setInt32(0, to - (from + 5), true);
  return [0xe9, ...new Uint8Array(bytes.buffer)];
};

interface Loop {
  readonly code: readonly number[];
  /** Code at FAR, in a page of its own. */
  readonly far?: readonly number[];
}
const LOOPS: Readonly<Record<string, (extra?: readonly number[]) => Loop>> = {
  'one block': (extra = []) => ({ code: oneBlock(extra) }),
  'two pages': (extra = []) => ({
    code: [...COUNT, ...extra, ...jump(PLACE.code + COUNT.length + extra.length, FAR)],
    far: jump(FAR, PLACE.code),
  }),
};

function machineWith(loop: Loop, translateAfter: number): TinyMachine {
  const machine = new TinyMachine('long', { translateAfter });
  machine.processor.writeApicRegister(SPURIOUS_VECTOR_REGISTER, 0x1ff);
  if (loop.far !== undefined) machine.put(FAR, loop.far);
  return machine;
}
const counted = (machine: TinyMachine): number => Number(machine.ram.getBigUint64(COUNTER, true));
const message = {
  vector: VECTOR,
  deliveryMode: 0,
  destination: 0,
  logicalDestination: false,
  levelTriggered: false,
} as const;

/**
 * Another thread that waits until the loop has counted so far, posts, and answers what had been counted when the post was done. It uses
 * the built package, as it cannot load TypeScript.
 */
const OTHER_THREAD = `
const { parentPort, workerData } = require('node:worker_threads');
const { memory, layout, at, after, message, built } = workerData;
import(built).then(({ kickProcessor, requestInterrupt }) => {
  const counter = new BigUint64Array(memory.buffer, at, 1);
  parentPort.postMessage('ready');
  while (Atomics.load(counter, 0) < after);
  if (message === undefined) kickProcessor(memory, layout, 0);
  else requestInterrupt(memory, layout, message);
  parentPort.postMessage(Atomics.load(counter, 0));
});
`;

async function postedByAnotherThread(machine: TinyMachine, loop: Loop, posted: typeof message | undefined) {
  const { memory, layout } = machine.partition;
  const worker = new Worker(OTHER_THREAD, {
    eval: true,
    workerData: {
      memory,
      layout,
      at: layout.ramOffset + COUNTER,
      after: 200_000n,
      message: posted,
      built: new URL('../dist/interrupt-request.js', import.meta.url).href,
    },
  });
  try {
    await new Promise((resolve) => worker.once('message', resolve));
    const seen = new Promise<bigint>((resolve) => worker.once('message', resolve));
    let ended = machine.run(loop.code, { flags: FLAGS_IF, budget: BUDGET });
    // The host looks at what it was kicked for; an interrupt is then the processor's next business.
    if (posted !== undefined && ended.exit.kind === 'kicked') ended = machine.resume(BUDGET);
    return { ended, before: Number(await seen), after: counted(machine) };
  } finally {
    await worker.terminate();
  }
}

describe.each([
  ['interpreted', 0],
  ['translated', 100],
])('%s', (_, translateAfter) => {
  describe.each(Object.entries(LOOPS))('a loop over %s', (_name, make) => {
    it("is interrupted by another thread's interrupt within one iteration", async () => {
      const loop = make();
      const machine = machineWith(loop, translateAfter);
      const { ended, before, after } = await postedByAnotherThread(machine, loop, message);
      expect(ended.what).toBe(`vector 0x${VECTOR.toString(16)}`);
      expect(before).toBeGreaterThanOrEqual(200_000);
      expect(after - before).toBeLessThanOrEqual(1);
      expect(machine.processor.instructionCounts().translated > 0).toBe(translateAfter !== 0);
    });

    it('is stopped by a kick within one iteration', async () => {
      const loop = make();
      const machine = machineWith(loop, translateAfter);
      const { ended, before, after } = await postedByAnotherThread(machine, loop, undefined);
      expect(ended.exit.kind).toBe('kicked');
      expect(after - before).toBeLessThanOrEqual(1);
    });

    it('is interrupted in the iteration in which its own device posts an interrupt', () => {
      // mov edx, PORT; out dx, eax
      const loop = make([0xba, PORT & 0xff, PORT >> 8, 0, 0, 0xef]);
      const machine = machineWith(loop, translateAfter);
      const { memory, layout } = machine.partition;
      let posted = 0;
      machine.partition.addDevice({
        name: 'poster',
        ports: [{ first: PORT, count: 1 }],
        mmio: [],
        writePort: () => {
          if (counted(machine) !== 50_000) return;
          posted = counted(machine);
          requestInterrupt(memory, layout, message);
        },
        reset: () => undefined,
        inspect: () => ({}),
        save: () => undefined,
        restore: () => undefined,
      });
      let ended = machine.run(loop.code, { flags: FLAGS_IF, budget: BUDGET });
      if (ended.exit.kind === 'kicked') ended = machine.resume(BUDGET);
      expect(ended.what).toBe(`vector 0x${VECTOR.toString(16)}`);
      expect(posted).toBe(50_000);
      expect(counted(machine) - posted).toBeLessThanOrEqual(1);
    });
  });
});

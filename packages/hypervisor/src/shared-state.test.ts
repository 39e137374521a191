import { Worker } from 'node:worker_threads';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { DeviceArea, describeState, SharedLock } from './shared-state.ts';

const STATE = describeState(2, {
  flag: 'u8',
  port: 'u16',
  mask: 'u32',
  delta: 'i32',
  deadline: 'f64',
  bytes: { type: 'u8', length: 5 },
  times: { type: 'f64', length: 3 },
  scratch: { type: 'u32', length: 2, transient: true },
});

describe('fields', () => {
  it('keep their values apart, each in its own width', () => {
    const { values } = DeviceArea.standalone().attach('device', STATE);
    values.flag = 0x1ff;
    values.port = 0x12345;
    values.mask = -1;
    values.delta = 0xffffffff;
    values.deadline = 1.5e15;
    values.bytes.set([1, 2, 3, 4, 5]);
    values.times.set([1.5, -2, 3]);
    expect([values.flag, values.port, values.mask, values.delta, values.deadline]).toEqual([
      0xff, 0x2345, 0xffffffff, -1, 1.5e15,
    ]);
    expect([...values.bytes, ...values.times]).toEqual([1, 2, 3, 4, 5, 1.5, -2, 3]);
  });

  it('are the same memory for everyone who attaches by name, in any order', () => {
    const buffer = new SharedArrayBuffer(65536);
    const one = new DeviceArea(buffer, 0, 65536);
    const other = new DeviceArea(buffer, 0, 65536);
    const a = one.attach('a', STATE);
    const b = one.attach('b', STATE);
    const bAgain = other.attach('b', STATE);
    const aAgain = other.attach('a', STATE);
    expect([a.fresh, b.fresh, aAgain.fresh, bAgain.fresh]).toEqual([true, true, false, false]);
    a.values.mask = 7;
    b.values.mask = 8;
    expect([aAgain.values.mask, bAgain.values.mask]).toEqual([7, 8]);
  });

  it('are never given out under another layout', () => {
    const area = DeviceArea.standalone();
    area.attach('device', STATE);
    expect(() => area.attach('device', describeState(1, { flag: 'u8' }))).toThrow('PL-4101');
  });

  it('end where the area ends', () => {
    const area = DeviceArea.standalone(8192);
    const large = describeState(1, { ring: { type: 'u8', length: 4096 } });
    area.attach('first', large);
    expect(() => area.attach('second', large)).toThrow('PL-4101');
  });
});

describe('saved state', () => {
  it('round-trips through JSON, infinity included, and leaves transient fields out', () => {
    fc.assert(
      fc.property(
        fc.record({
          flag: fc.integer({ min: 0, max: 0xff }),
          mask: fc.integer({ min: 0, max: 0xffffffff }),
          delta: fc.integer(),
          deadline: fc.oneof(
            fc.constant(Number.POSITIVE_INFINITY),
            fc.double({ noNaN: true, noDefaultInfinity: true }),
          ),
          bytes: fc.uint8Array({ minLength: 5, maxLength: 5 }),
        }),
        ({ flag, mask, delta, deadline, bytes }) => {
          const area = DeviceArea.standalone(16384);
          const from = area.attach('from', STATE);
          Object.assign(from.values, { flag, mask, delta, deadline });
          from.values.bytes.set(bytes);
          from.values.scratch.fill(9);
          const to = area.attach('to', STATE);
          to.restore(JSON.parse(JSON.stringify(from.save())));
          expect(to.values.scratch[0]).toBe(0);
          expect(to.save()).toEqual(JSON.parse(JSON.stringify(from.save())));
          expect(to.values.deadline).toBe(deadline === 0 ? to.values.deadline : deadline);
        },
      ),
    );
  });

  it.each([
    ['a newer version', { version: 3, fields: {} }, 'PL-4103'],
    ['an older one that never was', { version: 1, fields: {} }, 'PL-4104'],
    ['no object', 'text', 'PL-4104'],
    ['no version', { fields: {} }, 'PL-4104'],
    ['no fields', { version: 2 }, 'PL-4104'],
    ['a missing field', { version: 2, fields: { flag: 1 } }, 'PL-4104'],
  ])('refuses %s', (_, saved, code) => {
    expect(() => DeviceArea.standalone().attach('device', STATE).restore(saved)).toThrow(code);
  });

  it.each([
    ['flag', 256],
    ['flag', -1],
    ['flag', 1.5],
    ['flag', null],
    ['flag', '1'],
    ['delta', 2 ** 31],
    ['deadline', 'soon'],
    ['bytes', [1, 2, 3]],
    ['bytes', [1, 2, 3, 4, 256]],
    ['bytes', 5],
    ['unknown', 1],
    ['scratch', [0, 0]],
  ])('refuses %s = %j and then changes nothing', (name, value) => {
    const state = DeviceArea.standalone().attach('device', STATE);
    state.values.mask = 5;
    const saved = state.save();
    const before = JSON.stringify(saved);
    expect(() => state.restore({ ...saved, fields: { ...saved.fields, mask: 6, [name]: value } })).toThrow('PL-4104');
    expect(JSON.stringify(state.save())).toBe(before);
  });
});

describe('the lock', () => {
  it('keeps threads apart', async () => {
    const words = new Int32Array(new SharedArrayBuffer(8));
    const lock = new SharedLock(words, 0, 'test');
    // The worker holds the lock by its protocol for 50 ms and counts; this thread may only see the count after that.
    const worker = new Worker(
      `const { workerData: words, parentPort } = require('node:worker_threads');
       Atomics.store(words, 0, 1);
       parentPort.postMessage('held');
       Atomics.wait(words, 1, 1, 50);
       Atomics.store(words, 1, 42);
       if (Atomics.exchange(words, 0, 0) === 2) Atomics.notify(words, 0, 1);`,
      { eval: true, workerData: words },
    );
    await new Promise((resolve) => worker.once('message', resolve));
    lock.lock();
    expect(Atomics.load(words, 1)).toBe(42);
    lock.unlock();
    expect(Atomics.load(words, 0)).toBe(0);
    await worker.terminate();
  });

  it('says so when its holder died', () => {
    const words = new Int32Array(new SharedArrayBuffer(4));
    words[0] = 1;
    expect(() => new SharedLock(words, 0, 'uart', 50).lock()).toThrow(/PL-4106.*uart.*0.05 s/);
  });
});

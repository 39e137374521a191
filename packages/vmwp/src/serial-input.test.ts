import { PassThrough } from 'node:stream';
import { setTimeout as delay } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import { ConsoleInput, PortWriter } from './serial-input.ts';

/** A port that takes so many bytes at a time. */
class NarrowPort {
  taken = '';
  room: number;
  constructor(room: number) {
    this.room = room;
  }
  push(bytes: Uint8Array): number {
    const count = Math.min(this.room, bytes.length);
    this.taken += Buffer.from(bytes.subarray(0, count)).toString();
    return count;
  }
}

describe('input of a serial port', () => {
  it('reaches the port in order, as fast as the port takes it', async () => {
    const port = new NarrowPort(3);
    let emptied = 0;
    const writer = new PortWriter(port, () => emptied++);
    writer.write(Buffer.from('abcdefgh'));
    writer.write(Buffer.from('ij'));
    expect(port.taken).toBe('abc');
    expect(writer.isEmpty).toBe(false);
    while (!writer.isEmpty) await delay(5);
    expect(port.taken).toBe('abcdefghij');
    expect(writer.bytes).toBe(10);
    expect(emptied).toBe(1);
    writer.close();
  });

  it('holds a stream back while the port is full, and lets go of it at the end', async () => {
    const port = new NarrowPort(0);
    const source = new PassThrough();
    const input = new ConsoleInput(port, source);
    source.write('one');
    await delay(10);
    expect(source.isPaused()).toBe(true);
    source.write('two');
    port.room = 100;
    while (port.taken !== 'onetwo') await delay(5);
    expect(input.bytes).toBe(6);
    input.close();
    expect(source.listenerCount('data')).toBe(0);
    expect(source.isPaused()).toBe(true);
  });
});

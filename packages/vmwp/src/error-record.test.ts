import { deflateRawSync } from 'node:zlib';
import { describe, expect, it } from 'vitest';
import { crashReason, isCrash, readErrorRecord } from './error-record.ts';

/** A record as Linux's erst_writer makes it. */
function pstoreRecord(text: string, options: { compressed?: boolean; severity?: number } = {}): Uint8Array {
  const { compressed = true, severity = 1 } = options;
  const content = compressed ? deflateRawSync(Buffer.from(text)) : Buffer.from(text);
  const bytes = new Uint8Array(200 + content.length);
  const view = new DataView(bytes.buffer);
  bytes.set(Buffer.from('CPER'));
  view.setUint16(10, 1, true);
  view.setUint32(12, severity, true);
  view.setUint32(20, bytes.length, true);
  view.setUint32(128, 200, true);
  view.setUint32(132, content.length, true);
  const type = compressed ? '0787114fdd045540b5dd956d34ddfac6' : '4ee097c145d5704a9c17a5549419eb12';
  bytes.set(Buffer.from(type, 'hex'), 144);
  bytes.set(content, 200);
  return bytes;
}

describe('error records', () => {
  it('reads a panic, compressed or not', () => {
    for (const compressed of [true, false]) {
      const record = readErrorRecord(pstoreRecord('Panic#1 Part1\n<0>[ 1.0] Kernel panic', { compressed }));
      expect(record).toEqual({ fatal: true, reason: 'Panic', text: '<0>[ 1.0] Kernel panic' });
      expect(record !== undefined && isCrash(record)).toBe(true);
    }
  });

  it('gives the most severe line as the reason', () => {
    const text =
      '<4>[    0.0] Firmware Bug\n<0>[   11.1] Kernel panic - not syncing: sysrq triggered crash\x1b[2J\n<4>[ 11.1] x\n';
    expect(crashReason({ fatal: true, reason: 'Panic', text })).toBe(
      'Kernel panic - not syncing: sysrq triggered crash',
    );
    // With address space layout randomization the panic's line is not the last of its level.
    const offset = '<0>[    2.2] Kernel Offset: 0xd600000 from 0xffffffff81000000';
    expect(crashReason({ fatal: true, text: `<0>[    2.1] Kernel panic - not syncing: VFS: no root\n${offset}` })).toBe(
      'Kernel panic - not syncing: VFS: no root',
    );
    expect(crashReason({ fatal: true, text: offset })).toMatch(/^Kernel Offset/);
    expect(crashReason({ fatal: true, text: '<6>[ 0.0] nothing of note' })).toBe('it stored a fatal error record');
    expect(crashReason({ fatal: true })).toBe('it stored a fatal error record');
  });

  it('takes an oops for what it is, and a fatal record without a log for a crash', () => {
    const oops = readErrorRecord(pstoreRecord('Oops#1 Part1\nBUG'));
    expect(oops !== undefined && isCrash(oops)).toBe(false);
    expect(isCrash({ fatal: true })).toBe(true);
    expect(isCrash({ fatal: false, reason: 'Panic' })).toBe(false);
  });

  it('survives anything a guest may store', () => {
    expect(readErrorRecord(new Uint8Array(10))).toBeUndefined();
    const bomb = pstoreRecord(`Panic#1 Part1\n${'x'.repeat(10_000_000)}`);
    expect(readErrorRecord(bomb)).toEqual({ fatal: true });
    const record = pstoreRecord('Panic#1 Part1\nx');
    for (let offset = 0; offset < record.length; offset++) {
      const damaged = record.slice();
      damaged[offset] = 0xff;
      expect(() => readErrorRecord(damaged)).not.toThrow();
      expect(() => readErrorRecord(record.slice(0, offset))).not.toThrow();
    }
  });
});

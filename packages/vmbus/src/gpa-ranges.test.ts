import { isGpaFault } from '@plinth/hypervisor';
import { expect, it } from 'vitest';
import { GuestBuffer, parseGpaRanges } from './gpa-ranges.ts';
import { guidFromBytes, guidToBytes } from './guid.ts';
import { TestMachine } from './testing/test-machine.ts';

const machine = new TestMachine();
const describe = (length: number, offset: number, ...pages: bigint[]): Uint8Array => {
  const bytes = new Uint8Array(8 + pages.length * 8);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, length, true);
  view.setUint32(4, offset, true);
  pages.forEach((page, index) => {
    view.setBigUint64(8 + index * 8, page, true);
  });
  return bytes;
};

it('joins pages that lie side by side, and keeps others apart', () => {
  expect(parseGpaRanges(describe(10_000, 100, 0x200n, 0x201n, 0x300n), 1)).toEqual({
    ranges: [
      [
        { start: 0, gpa: 0x200064, bytes: 8092 },
        { start: 8092, gpa: 0x300000, bytes: 1908 },
      ],
    ],
    used: 32,
    pages: 3,
  });
});

it.each([
  [new Uint8Array(0), 1],
  [new Uint8Array(7), 1],
  [describe(1, 0), 1],
  [describe(0xffffffff, 4095, 1n), 1],
  [describe(1, 0, 1n), 2],
  [describe(1, 0, 2n ** 40n), 1],
  [describe(1, 4096, 1n), 1],
  [describe(0, 0, 1n), 1],
])('refuses %j as %i ranges', (bytes, count) => {
  expect(parseGpaRanges(bytes, count)).toBeTypeOf('string');
});

it('a second range may not begin past the end', () => {
  const both = new Uint8Array(32);
  both.set(describe(5000, 0, 1n, 2n));
  expect(parseGpaRanges(both.subarray(0, 32), 2)).toMatch(/range 1/);
  expect(parseGpaRanges(Uint8Array.of(...describe(8192, 0, 1n, 2n), ...new Uint8Array(8)), 2)).toMatch(
    /range 1 is empty/,
  );
});

it('a buffer is reached in parts, and never outside', () => {
  const extents = [
    { start: 0, gpa: 0x201000, bytes: 100 },
    { start: 100, gpa: 0x300ff0, bytes: 16 },
    { start: 116, gpa: 0x202000, bytes: 4 },
  ];
  const buffer = new GuestBuffer(machine.memory, extents);
  expect(buffer.length).toBe(120);
  const data = Uint8Array.from({ length: 120 }, (_, at) => at);
  expect(buffer.write(0, data)).toBe(true);
  expect(buffer.read(90, 30)).toEqual(data.slice(90));
  expect(buffer.slice(95, 20)?.read(0, 20)).toEqual(data.slice(95, 115));
  expect(buffer.read(0, 0)).toEqual(new Uint8Array(0));
  expect(buffer.isMemory()).toBe(true);
  expect(buffer.isWholePages()).toBe(false);
  expect(buffer.extents()).toEqual(extents);
  for (const [start, length] of [
    [-1, 2],
    [0, -1],
    [0.5, 1],
    [0, 1.5],
    [100, 21],
    [121, 0],
    [0, Number.POSITIVE_INFINITY],
    [Number.NaN, 1],
  ] as const) {
    expect(buffer.slice(start, length)).toBeUndefined();
    expect(isGpaFault(buffer.pieces(start, length, 'write'))).toBe(true);
    expect(buffer.read(start, length)).toBeUndefined();
  }
  expect(buffer.write(100, new Uint8Array(21))).toBe(false);
});

it('a buffer on what is no memory gives nothing', () => {
  const buffer = new GuestBuffer(machine.memory, [
    { start: 0, gpa: 0x200000, bytes: 8 },
    { start: 8, gpa: 2 ** 40, bytes: 8 },
  ]);
  expect(buffer.isMemory()).toBe(false);
  expect(buffer.read(4, 8)).toBeUndefined();
  expect(buffer.write(4, new Uint8Array(8))).toBe(false);
  expect(new GuestBuffer(machine.memory, []).length).toBe(0);
});

it('GUIDs are what Windows makes of them', () => {
  const text = '0e0b6031-5213-4934-818b-38d90ced39db';
  expect([...guidToBytes(text)].map((byte) => byte.toString(16).padStart(2, '0')).join('')).toBe(
    '31600b0e13523449818b38d90ced39db',
  );
  expect(guidFromBytes(guidToBytes(text))).toBe(text);
  expect(guidFromBytes(new Uint8Array(3))).toBe('00000000-0000-0000-0000-000000000000');
  expect(() => guidToBytes('0e0b6031')).toThrow('not a GUID');
});

import { describe, expect, it } from 'vitest';
import { parseConsole, parseCount, parseMachineName, parsePort, parseSeconds, parseSize } from './values.ts';

const refusedWith = (code: string) => expect.objectContaining({ code, exitStatus: 64 });

describe('parseSize', () => {
  it.each([
    ['512M', 512 * 2 ** 20],
    ['512MB', 512 * 2 ** 20],
    ['512MiB', 512 * 2 ** 20],
    ['512mib', 512 * 2 ** 20],
    ['512 MB', 512 * 2 ** 20],
    ['1G', 2 ** 30],
    ['1.5GB', 1.5 * 2 ** 30],
    ['64k', 65_536],
    ['2TiB', 2 ** 41],
    ['536870912', 2 ** 29],
    ['536870912B', 2 ** 29],
  ])('takes %s for %i bytes', (text, bytes) => {
    expect(parseSize(text, '--memory')).toBe(bytes);
  });

  it.each([
    '',
    'M',
    '-1M',
    '+1M',
    '1e3M',
    '0',
    '0M',
    '512X',
    '512MBB',
    '512Mi B',
    '1,5G',
    '0x10M',
    'NaN',
    'Infinity',
    '0.3',
    '1.0000001K',
    '99999999999G',
  ])('refuses %j', (text) => {
    expect(() => parseSize(text, '--memory')).toThrowError(refusedWith('PL-1009'));
  });
});

describe('parseCount', () => {
  it('takes the bounds themselves', () => {
    expect(parseCount('1', '--cpus', 'run', 1, 64)).toBe(1);
    expect(parseCount('64', '--cpus', 'run', 1, 64)).toBe(64);
  });

  it.each(['0', '65', '-1', '1.5', '1e1', '', 'two', '0x2', ' 1'])('refuses %j', (text) => {
    expect(() => parseCount(text, '--cpus', 'run', 1, 64)).toThrowError(refusedWith('PL-1004'));
  });
});

describe('parsePort', () => {
  it.each([
    ['244', 244],
    ['0xf4', 0xf4],
    ['0XF4', 0xf4],
    ['65535', 65_535],
  ])('takes %s', (text, port) => {
    expect(parsePort(text, '--debug-exit', 'run')).toBe(port);
  });

  it.each(['65536', '0x10000', '-1', 'f4', '0x', ''])('refuses %j', (text) => {
    expect(() => parsePort(text, '--debug-exit', 'run')).toThrowError(refusedWith('PL-1004'));
  });
});

describe('parseSeconds', () => {
  it.each([
    ['30', 30],
    ['0.5', 0.5],
    ['.25', 0.25],
  ])('takes %s seconds', (text, seconds) => {
    expect(parseSeconds(text, '--timeout', 'run')).toBe(seconds);
  });

  it.each(['0', '0.0001', '-1', '1e3', '5m', '', '.', '2147484', 'Infinity'])('refuses %j', (text) => {
    expect(() => parseSeconds(text, '--timeout', 'run')).toThrowError(refusedWith('PL-1004'));
  });
});

describe('parseMachineName', () => {
  it.each(['a', 'web-1', '0.x_y', 'A'.repeat(64)])('takes %s', (name) => {
    expect(parseMachineName(name)).toBe(name);
  });

  it.each(['', '.', '..', '-x', '.hidden', 'a/b', 'a b', 'ä', 'a\n', 'a\0', 'A'.repeat(65)])('refuses %j', (name) => {
    expect(() => parseMachineName(name)).toThrowError(refusedWith('PL-1020'));
  });
});

describe('parseConsole', () => {
  it('takes the three forms', () => {
    expect(parseConsole('stdio')).toEqual({ kind: 'stdio' });
    expect(parseConsole('none')).toEqual({ kind: 'none' });
    expect(parseConsole('file:a:b.log')).toEqual({ kind: 'file', path: 'a:b.log' });
  });

  it.each(['', 'file', 'file:', 'STDIO', 'pty', 'tcp:1'])('refuses %j', (text) => {
    expect(() => parseConsole(text)).toThrowError(refusedWith('PL-1004'));
  });
});

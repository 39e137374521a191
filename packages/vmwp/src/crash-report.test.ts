import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, utimesSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, dirname, join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { ConsoleTail, type CrashReport, formatReport, printable, writeCrashReport } from './crash-report.ts';

const report = (home: string): CrashReport => ({
  reason: 'The guest crashed: triple fault',
  configuration: {
    name: 'test',
    memoryBytes: 512 * 1024 * 1024,
    processors: 1,
    kernel: '/boot/vmlinuz',
    initrds: ['/boot/initrd'],
    commandLine: 'console=ttyS0',
    console: { kind: 'none' },
    home,
  },
  wallSeconds: 1.5,
  snapshot: {
    index: 0,
    mode: '64-bit mode, ring 0, paging on, interrupts off',
    registers: { Rip: '0x0000000000001000' },
    exceptions: [{ vector: 14, errorCode: 2, rip: 0x1000n, address: 0xdead000n }],
    branches: [
      { from: 0x1000n, to: 0x5000n, vector: 14, translated: false },
      { from: 0x2010n, to: 0x1000n, translated: true },
      { from: 0x2010n, to: 0x1000n, translated: true },
    ],
    code: { address: '0x1000', before: '90', after: '0f 0b' },
    codeBits: 64,
    stack: [],
    walks: [{ what: 'of the code at RIP, 0x1000', lines: ['PTE    at GPA 0x8: 0x0', 'not present'] }],
    instructions: 12,
  },
  disassembly: ['> 0x1000  0f 0b  UD2'],
  consoleTail: 'last line\n',
});

describe('crash reports', () => {
  it('hold what is needed to say what happened', () => {
    const text = formatReport(report('/home'));
    for (const part of [
      'triple fault',
      'memory        512 MiB',
      'command line  console=ttyS0',
      '64-bit mode',
      '0x1000: 90 <0f 0b>',
      'Instructions (64-bit code)\n> 0x1000  0f 0b  UD2',
      'Page walk of the code at RIP, 0x1000\nPTE    at GPA 0x8: 0x0\nnot present',
      '#PF  error 0x2 at RIP 0x1000 address 0xdead000',
      'not mapped to memory',
      '0x1000 -> 0x5000, #PF\n0x2010 -> 0x1000 (translated), 2 times\n',
      'last line',
    ]) {
      expect(text).toContain(part);
    }
  });

  it('are written where there is room for them', () => {
    const home = mkdtempSync(join(tmpdir(), 'plinth-report-'));
    const path = writeCrashReport(report(home)) ?? '';
    expect(dirname(path)).toBe(join(home, 'crash'));
    expect(readFileSync(path, 'utf8')).toContain('triple fault');
    writeFileSync(join(home, 'file'), '');
    const other = writeCrashReport(report(join(home, 'file'))) ?? '';
    expect(dirname(other)).toBe(tmpdir());
    rmSync(other);
    rmSync(home, { recursive: true });
  });

  it('do not pile up', () => {
    const home = mkdtempSync(join(tmpdir(), 'plinth-report-'));
    mkdirSync(join(home, 'crash'));
    for (let index = 0; index < 60; index++) {
      const path = join(home, 'crash', `old-${index}.txt`);
      writeFileSync(path, '');
      utimesSync(path, index, index);
    }
    const path = writeCrashReport(report(home)) ?? '';
    const left = readdirSync(join(home, 'crash'));
    expect(left.length).toBe(50);
    expect(left).toContain(basename(path));
    expect(left).toContain('old-59.txt');
    rmSync(home, { recursive: true });
  });

  it('do nothing to a terminal', () => {
    expect(printable('a\x1b[31mred\x1b[0m\r\nb\x07\x9bc\tü')).toBe('ared\nbc\tü');
  });
});

describe('the console tail', () => {
  it('keeps the last bytes, however they come', () => {
    const text = Array.from({ length: 300 }, (_, index) => `line ${index}\n`).join('');
    for (const size of [1, 7, 64, 5000]) {
      const tail = new ConsoleTail(64);
      for (let offset = 0; offset < text.length; offset += size) {
        tail.observe(new TextEncoder().encode(text.slice(offset, offset + size)));
      }
      expect(tail.text()).toBe(text.slice(-64));
    }
    const short = new ConsoleTail(64);
    short.observe(new TextEncoder().encode('abc'));
    expect(short.text()).toBe('abc');
  });
});

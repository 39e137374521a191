import { mkdtempSync, readFileSync, rmSync, statSync, utimesSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { areChecked, beforeCheck } from './checked-files.ts';

const kernel = { file: 'vmlinuz', sha256: 'abc' };
let folder: string;

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'plinth-checked-'));
  writeFileSync(join(folder, kernel.file), 'kernel');
});
afterEach(() => {
  vi.useRealTimers();
  rmSync(folder, { recursive: true });
});

/** As if the files had been written a while ago. */
function note(): void {
  vi.useFakeTimers({ now: Date.now() + 60_000, toFake: ['Date'] });
  beforeCheck(folder, [kernel])();
}

describe('files that were compared with their checksums', () => {
  it('are known again', () => {
    expect(areChecked(folder, [kernel])).toBe(false);
    note();
    expect(areChecked(folder, [kernel])).toBe(true);
  });

  it('are not known with another checksum, or beside one that was not compared', () => {
    note();
    writeFileSync(join(folder, 'initrd'), 'initrd');
    expect(areChecked(folder, [{ ...kernel, sha256: 'abd' }])).toBe(false);
    expect(areChecked(folder, [kernel, { file: 'initrd', sha256: 'abc' }])).toBe(false);
  });

  it('are not known when they were written, whatever their time says', () => {
    note();
    const time = new Date(0);
    utimesSync(join(folder, kernel.file), time, time);
    expect(areChecked(folder, [kernel])).toBe(false);
    note();
    expect(areChecked(folder, [kernel])).toBe(true);
    const path = join(folder, kernel.file);
    const before = statSync(path, { bigint: true }).ctimeNs;
    // The time of the change is what tells; a kernel's clock for it may go in steps of some milliseconds.
    do {
      writeFileSync(path, 'kernal');
      utimesSync(path, time, time);
    } while (statSync(path, { bigint: true }).ctimeNs === before);
    expect(areChecked(folder, [kernel])).toBe(false);
  });

  it('are not known when they were written while they were compared', () => {
    vi.useFakeTimers({ now: Date.now() + 60_000, toFake: ['Date'] });
    const noted = beforeCheck(folder, [kernel]);
    writeFileSync(join(folder, kernel.file), 'other kernel');
    noted();
    expect(areChecked(folder, [kernel])).toBe(false);
  });

  it('are compared once more when they were written just before', () => {
    beforeCheck(folder, [kernel])();
    expect(areChecked(folder, [kernel])).toBe(false);
  });

  it('are compared when they are missing, or their notes are no notes', () => {
    note();
    expect(readFileSync(join(folder, 'checked.json'), 'utf8')).toContain('vmlinuz');
    for (const text of ['', '{', 'null', '[]', '"x"', '{"vmlinuz":7}']) {
      writeFileSync(join(folder, 'checked.json'), text);
      expect(areChecked(folder, [kernel])).toBe(false);
    }
    note();
    rmSync(join(folder, kernel.file));
    expect(areChecked(folder, [kernel])).toBe(false);
  });
});

/**
 * A processor's saved state: every field of the table has its place, what was saved comes back, and a program that is moved from
 * processor to processor while it runs ends as one that is not.
 */
import { readFileSync } from 'node:fs';
import { PROCESSOR_FIELDS, SAVED_PROCESSOR_VERSION } from '@plinth/hypervisor';
import { describe, expect, it } from 'vitest';
import { PROCESSOR_FIELD_PLACES } from './saved-processor.ts';
import { STATE } from './state-layout.ts';
import { TinyMachine } from './testing/tiny-machine.ts';

const blockOf = ({ partition: { memory, layout } }: TinyMachine): Uint8Array =>
  new Uint8Array(memory.buffer, layout.processorsOffset, STATE.TLB_SETS);

/** Numbers that look random and are the same each time. */
function* noise(seed: number): Generator<number> {
  for (let state = seed; ; ) {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    yield state >>> 24;
  }
}

/** Bytes of all fields, but for those that mode and clock depend on. */
function fill(machine: TinyMachine, seed: number): void {
  const block = blockOf(machine);
  const bytes = noise(seed);
  for (const { name, bytes: length, kind } of PROCESSOR_FIELDS) {
    const place = PROCESSOR_FIELD_PLACES.get(name);
    if (place === undefined || kind === 'time' || /^Cr[034]$|^Efer$|^Cs|^Ss|^Rip/.test(name)) continue;
    for (let at = place; at < place + length; at++) block[at] = bytes.next().value ?? 0;
  }
}

describe('the table of fields', () => {
  it('has a place for each field of the saved state, and no other', () => {
    const names = PROCESSOR_FIELDS.map(({ name }) => name).filter((name) => name !== 'Rflags');
    expect([...PROCESSOR_FIELD_PLACES.keys()].sort()).toEqual([...names].sort());
  });

  it('names no field and no place twice', () => {
    expect(new Set(PROCESSOR_FIELDS.map(({ name }) => name)).size).toBe(PROCESSOR_FIELDS.length);
    expect(new Set(PROCESSOR_FIELD_PLACES.values()).size).toBe(PROCESSOR_FIELD_PLACES.size);
  });
});

describe('a saved processor', () => {
  it('comes back field by field', () => {
    const from = new TinyMachine();
    fill(from, 1);
    from.processor.writeRegister('Rflags', 0x8d7n);
    const saved = from.processor.save();
    const to = new TinyMachine('flat');
    to.processor.restore(JSON.parse(JSON.stringify(saved)));
    expect(to.processor.save()).toEqual(saved);
    expect(saved.fields.Rflags).toBe('00000000000008d7');
  });

  it('of version 2, as that version wrote it, is read; what it had not keeps its power-on value', () => {
    const path = new URL('../src/testing/golden-processor-2.json', import.meta.url);
    const golden = JSON.parse(readFileSync(path, 'utf8')) as { version: number; fields: Record<string, string> };
    const machine = new TinyMachine('flat');
    machine.processor.writeRegister('Pkru', 0x55n);
    machine.processor.restore(golden);
    const { fields } = machine.processor.save();
    expect(golden.version).toBe(2);
    expect(fields).toMatchObject(golden.fields);
    expect(fields.Rax).toBe('1122334455667789');
    const newer = PROCESSOR_FIELDS.filter(({ since }) => since > 2).map(({ name }) => name);
    expect(newer).not.toEqual([]);
    expect(newer.map((name) => [name, fields[name]])).toEqual([
      ['Pkru', '00000000'],
      ['Ferr', '00000000'],
    ]);
  });

  it('is refused when it is newer, older than the first, or not whole, and then nothing has changed', () => {
    const machine = new TinyMachine();
    fill(machine, 2);
    const saved = machine.processor.save();
    const refused = (change: unknown): void => {
      expect(() => machine.processor.restore(change)).toThrow(/PL-410[34]/);
      expect(machine.processor.save()).toEqual(saved);
    };
    const { Rax: _, ...others } = saved.fields;
    for (const change of [
      null,
      'text',
      {},
      { version: 1 },
      { version: 1, fields: null },
      { version: 1, fields: others },
    ]) {
      refused(change);
    }
    refused({ ...saved, version: SAVED_PROCESSOR_VERSION + 1 });
    refused({ ...saved, version: 0 });
    refused({ ...saved, fields: { ...saved.fields, Unheard: '00' } });
    refused({ ...saved, fields: { ...saved.fields, Rax: '0' } });
    refused({ ...saved, fields: { ...saved.fields, Rax: 'zz00000000000000' } });
    refused({ ...saved, fields: { ...saved.fields, ApicTimerStart: 'soon' } });
  });

  it('goes on where it was saved: a program moved after every few instructions ends as one that stayed', () => {
    // mov ecx, 300; 1: add eax, ecx; imul rdx, rax, 0x1003; adc rbx, rdx; push rbx; pop rsi; rol rsi, 7; dec ecx; jnz 1
    const code = [
      ...[0xb9, 0x2c, 0x01, 0, 0, 0x01, 0xc8, 0x48, 0x69, 0xd0, 0x03, 0x10, 0, 0, 0x48, 0x11, 0xd3],
      ...[0x53, 0x5e, 0x48, 0xc1, 0xc6, 0x07, 0xff, 0xc9, 0x75, 0xea],
    ];
    const stayed = new TinyMachine();
    expect(stayed.run(code).what).toBe('done');
    let machine = new TinyMachine();
    let ended = machine.run(code, { budget: 7 });
    let moves = 0;
    while (ended.what === 'budget') {
      const next = new TinyMachine();
      const ram = ({ partition: { memory, layout } }: TinyMachine): Uint8Array =>
        new Uint8Array(memory.buffer, layout.ramOffset, layout.ramBytes);
      ram(next).set(ram(machine));
      next.processor.restore(machine.processor.save());
      machine = next;
      ended = machine.resume(7 + (moves % 50));
      moves++;
    }
    expect(moves).toBeGreaterThan(5);
    for (const name of ['Rax', 'Rbx', 'Rcx', 'Rdx', 'Rsi', 'Rsp', 'Rflags'] as const) {
      expect([name, machine.register(name)]).toEqual([name, stayed.register(name)]);
    }
  });
});

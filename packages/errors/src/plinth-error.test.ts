import { describe, expect, it } from 'vitest';
import { type CatalogueEntry, catalogue } from './catalogue.ts';
import { exitStatusMeanings, explain, explainAll } from './explain.ts';
import { fillIn, formatEntry, PlinthError } from './plinth-error.ts';

const entries: [string, CatalogueEntry][] = Object.entries(catalogue);

describe('catalogue', () => {
  it.each(entries)('%s has whole sentences and a known exit status', (code, entry) => {
    expect(code).toMatch(/^PL-\d{4}$/);
    for (const text of [entry.what, entry.why]) {
      expect(text).toMatch(/^[A-Z'{-]/);
      expect(text).not.toMatch(/[.\s]$/);
    }
    expect(entry.tryNext.length).toBeGreaterThan(3);
    expect(entry.tryNext).not.toMatch(/[.\s]$/);
    expect(Object.keys(exitStatusMeanings).map(Number)).toContain(entry.exitStatus);
  });

  it('lists codes in ascending order', () => {
    const codes = entries.map(([code]) => code);
    expect(codes).toEqual([...codes].sort());
  });
});

describe('PlinthError', () => {
  it('reads as code, what, why and the next step', () => {
    const error = new PlinthError('PL-1001', { command: 'fly' });
    expect(error.message).toBe(
      "PL-1001: There is no command 'fly'. The first word after plinth names a command, and this one is not among them. Try: plinth --help.",
    );
    expect(error.exitStatus).toBe(64);
    expect(error.name).toBe('PlinthError');
  });

  it('keeps the cause', () => {
    const cause = new Error('disk on fire');
    expect(new PlinthError('PL-3003', { path: '/x', reason: 'disk on fire' }, { cause }).cause).toBe(cause);
  });

  it('crosses a process boundary as JSON and comes back the same', () => {
    const error = new PlinthError('PL-1004', { value: '1x', option: '--cpus', expected: 'a number', command: 'run' });
    const back = PlinthError.from(JSON.parse(JSON.stringify(error)));
    expect(back?.message).toBe(error.message);
    expect(back?.code).toBe('PL-1004');
  });

  it.each([undefined, null, 'PL-1001', {}, { code: 'PL-9999' }, { code: 'toString' }])(
    'takes no other data for an error: %j',
    (data) => {
      expect(PlinthError.from(data)).toBeUndefined();
    },
  );
});

describe('fillIn', () => {
  it('replaces every placeholder, and not by inherited properties', () => {
    expect(fillIn('{a} and {a} and {toString}', { a: 1n })).toBe('1 and 1 and {toString}');
  });

  it('does not fill in twice', () => {
    expect(fillIn('{a}', { a: '{b}', b: 'x' })).toBe('{b}');
  });
});

describe('formatEntry', () => {
  it('adds no second full stop', () => {
    const entry = { what: 'What?', why: 'Why', tryNext: 'a command', exitStatus: 1 };
    expect(formatEntry('PL-0000', entry)).toBe('PL-0000: What? Why. Try: a command.');
  });
});

describe('explain', () => {
  it.each(['PL-1001', 'pl-1001', '1001', ' PL1001 '])('finds %j', (code) => {
    expect(explain(code)).toMatchObject({ code: 'PL-1001', exitStatus: 64, exitStatusMeaning: 'wrong usage' });
  });

  it.each(['', 'PL-', 'PL-99999', '-1', '9999', 'toString', '__proto__'])('refuses %j with PL-1015', (code) => {
    expect(() => explain(code)).toThrowError(expect.objectContaining({ code: 'PL-1015' }));
  });

  it('explains every code', () => {
    expect(explainAll().map(({ code }) => code)).toEqual(entries.map(([code]) => code));
  });
});

import fc from 'fast-check';
import { describe, expect, it, vi } from 'vitest';
import { AcpiPm, PM_TIMER_FREQUENCY } from './acpi-pm.ts';
import { access, area, HandClock, hostileAccesses, WatchedLine } from './testing/fixtures.ts';

const [STATUS, ENABLE, CONTROL, TIMER] = [0x600, 0x602, 0x604, 0x608];

const create = (shared = area()) => {
  const clock = new HandClock();
  const line = new WatchedLine();
  const powerOff = vi.fn();
  const wake = vi.fn();
  const pm = new AcpiPm(shared, { clock, line, powerOff, wake });
  return { pm, clock, line, powerOff, wake, shared };
};

describe('the PM timer', () => {
  it('counts 3.579545 MHz in 32 bits, readable in parts', () => {
    const { pm, clock } = create();
    clock.time = 1e9;
    expect(pm.readPort(TIMER, 4)).toBe(PM_TIMER_FREQUENCY);
    expect([0, 1, 2, 3].map((byte) => pm.readPort(TIMER + byte, 1))).toEqual([0x99, 0x9e, 0x36, 0x00]);
    expect(pm.readPort(TIMER + 2, 2)).toBe(0x36);
    clock.time = ((2 ** 32 + 5) * 1e9) / PM_TIMER_FREQUENCY + 100;
    expect(pm.readPort(TIMER, 4)).toBe(5);
    pm.writePort(TIMER, 4, 77);
    expect(pm.readPort(TIMER, 4)).toBe(5);
  });

  it('sets its status when the highest bit changes, and interrupts when enabled', () => {
    const { pm, clock, line } = create();
    const halfTurn = (2 ** 31 * 1e9) / PM_TIMER_FREQUENCY;
    clock.time = halfTurn - 1000;
    expect(pm.readPort(STATUS, 2)).toBe(0);
    pm.writePort(ENABLE, 2, 0x0001);
    expect(pm.deadline()).toBeCloseTo(halfTurn, 0);
    clock.time = halfTurn + 1;
    pm.onDeadline(clock.time);
    expect([pm.readPort(STATUS, 2), line.level, pm.deadline()]).toEqual([1, 1, Number.POSITIVE_INFINITY]);
    pm.writePort(STATUS, 2, 1);
    expect([pm.readPort(STATUS, 2), line.level]).toEqual([0, 0]);
    expect(pm.deadline()).toBeCloseTo(2 * halfTurn, 0);
  });
});

describe('the power button', () => {
  it('raises the SCI when it is enabled, from any thread, until its status is cleared', () => {
    const { pm, line, wake, shared } = create();
    const elsewhere = create(shared);
    pm.writePort(ENABLE, 2, 0x0100);
    elsewhere.pm.pressPowerButton();
    expect([elsewhere.wake.mock.calls.length, wake.mock.calls.length, line.level]).toEqual([1, 0, 0]);
    pm.poll();
    pm.poll();
    expect([pm.readPort(STATUS, 2), line.level, line.edges]).toEqual([0x100, 1, 1]);
    pm.writePort(STATUS, 1, 0xff); // the other byte
    expect(line.level).toBe(1);
    pm.writePort(STATUS + 1, 1, 0x01);
    expect([pm.readPort(STATUS, 2), line.level]).toEqual([0, 0]);
  });

  it('waits silently when it is not', () => {
    const { pm, line } = create();
    pm.pressPowerButton();
    pm.poll();
    expect([pm.readPort(STATUS + 1, 1), line.level]).toEqual([1, 0]);
    pm.writePort(ENABLE + 1, 1, 0xff);
    expect([pm.readPort(ENABLE, 2), pm.readPort(ENABLE + 1, 1), line.level]).toEqual([0x0700, 0x07, 1]);
  });
});

describe('control', () => {
  it('is always in ACPI mode', () => {
    const { pm } = create();
    expect(pm.readPort(CONTROL, 2)).toBe(0x0001);
    pm.writePort(CONTROL, 2, 0);
    expect(pm.readPort(CONTROL, 1)).toBe(0x01);
  });

  it('turns off with the sleep type of S5 and sleep enable, in one write or two as ACPICA does', () => {
    const { pm, powerOff } = create();
    pm.writePort(CONTROL, 2, 5 << 10);
    expect([powerOff.mock.calls.length, pm.readPort(CONTROL, 2)]).toEqual([0, 0x1401]);
    pm.writePort(CONTROL, 2, (5 << 10) | 0x2000);
    expect(powerOff).toHaveBeenCalledTimes(1);
    expect(pm.readPort(CONTROL + 1, 1)).toBe(0x14);
    pm.writePort(CONTROL + 1, 1, 0x34);
    expect(powerOff).toHaveBeenCalledTimes(2);
  });

  it('ignores sleep states that the machine has not got', () => {
    const { pm, powerOff } = create();
    for (const type of [0, 1, 2, 3, 4, 6, 7]) pm.writePort(CONTROL, 2, (type << 10) | 0x2000);
    expect(powerOff).not.toHaveBeenCalled();
  });
});

describe('state', () => {
  it('goes on after save and restore', () => {
    const from = create();
    from.pm.writePort(ENABLE, 2, 0x0100);
    from.pm.pressPowerButton();
    from.pm.poll();
    const to = create();
    to.pm.restore(JSON.parse(JSON.stringify(from.pm.save())));
    expect([to.line.level, to.pm.readPort(STATUS, 2)]).toEqual([1, 0x100]);
    to.pm.reset();
    expect([to.line.level, to.pm.readPort(ENABLE, 2)]).toEqual([0, 0]);
    expect(to.pm.inspect()).toMatchObject({ status: 0, timer: 0 });
  });

  it('stays in range under a hostile guest', () => {
    fc.assert(
      fc.property(hostileAccesses(create().pm), (accesses) => {
        const { pm, clock, line } = create();
        for (const step of accesses) {
          const value = access(pm, step, clock);
          if (value !== undefined)
            expect(value).toBe((value & (step.size === 1 ? 0xff : step.size === 2 ? 0xffff : -1)) >>> 0);
          const { fields } = pm.save() as { fields: Record<string, number> };
          expect(line.level).toBe(((fields.status ?? 0) & (fields.enable ?? 0)) !== 0 ? 1 : 0);
        }
      }),
    );
  });
});

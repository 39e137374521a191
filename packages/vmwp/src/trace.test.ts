import type { InterceptHandlers } from '@plinth/hypervisor';
import { describe, expect, it } from 'vitest';
import type { TraceTopic } from './configuration.ts';
import { traceHandlers } from './trace.ts';

const handlers: InterceptHandlers = {
  now: () => 1,
  portRead: () => 0x5a,
  portWrite: () => {},
  mmioRead: () => -1,
  mmioWrite: () => {},
  msrRead: (index) => (index === 0x10 ? 0x1234n : undefined),
  msrWrite: () => false,
  hypercall: () => 'absent',
  floatingPointError: () => false,
  deadline: () => {},
  acknowledgeExternalInterrupt: () => 0x30,
  endOfInterrupt: () => {},
};

function traced(...topics: TraceTopic[]): { handlers: InterceptHandlers; lines: string[] } {
  const lines: string[] = [];
  return {
    lines,
    handlers: traceHandlers(handlers, new Set(topics), (topic, text) => lines.push(`${topic}: ${text}`)),
  };
}

describe('traces', () => {
  it('tell what passed and change nothing', () => {
    const { handlers: all, lines } = traced('ports', 'mmio', 'msr', 'interrupts');
    expect(all.portRead(0x3fd, 1)).toBe(0x5a);
    all.portWrite(0xcf8, 4, 0x8000_0000);
    expect(all.mmioRead(0xfec00000, 4)).toBe(-1);
    all.mmioWrite(0xfee000b0, 4, 0);
    expect(all.msrRead(0x10)).toBe(0x1234n);
    expect(all.msrRead(0xc001_001f)).toBeUndefined();
    expect(all.msrWrite(0x8b, 1n)).toBe(false);
    expect(all.acknowledgeExternalInterrupt()).toBe(0x30);
    all.endOfInterrupt(0x31);
    expect(lines).toEqual([
      'ports: in  0x03fd 1 -> 0x5a',
      'ports: out 0x0cf8 4 <- 0x80000000',
      'mmio: read  0xfec00000 4 -> 0xffffffff',
      'mmio: write 0xfee000b0 4 <- 0x00000000',
      'msr: rdmsr 0x00000010 -> 0x0000000000001234',
      'msr: rdmsr 0xc001001f -> #GP',
      'msr: wrmsr 0x0000008b <- 0x0000000000000001 #GP',
      'interrupts: acknowledge 0x30 from the i8259 pair',
      'interrupts: end of level-triggered 0x31',
    ]);
  });

  it('keep silent about topics that are not wanted', () => {
    const { handlers: some, lines } = traced('msr');
    some.portRead(0x3fd, 1);
    some.mmioWrite(0, 4, 0);
    some.endOfInterrupt(1);
    expect(lines).toEqual([]);
  });
});

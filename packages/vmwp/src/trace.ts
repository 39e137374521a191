/**
 * `--trace TOPIC,..`: one line per event on standard error, from the thread that it happens on.
 *
 * Free when off: a topic that is not wanted leaves the handlers as they are. Called by: processor-thread.ts.
 */
import type { InterceptHandlers } from '@plinth/hypervisor';
import type { TraceTopic } from './configuration.ts';

/** Writes one line; the time since the partition's creation stands before it. */
export type TraceWriter = (topic: TraceTopic, text: string) => void;

const hex = (value: number | bigint, digits: number): string => `0x${value.toString(16).padStart(digits, '0')}`;

/** Handlers that do the same and tell of it, for those of the topics that are intercepts. */
export function traceHandlers(
  handlers: InterceptHandlers,
  topics: ReadonlySet<TraceTopic>,
  write: TraceWriter,
): InterceptHandlers {
  const traced: InterceptHandlers = {
    now: () => handlers.now(),
    portRead: (port, size) => handlers.portRead(port, size),
    portWrite: (port, size, value) => handlers.portWrite(port, size, value),
    mmioRead: (gpa, size) => handlers.mmioRead(gpa, size),
    mmioWrite: (gpa, size, value) => handlers.mmioWrite(gpa, size, value),
    msrRead: (index) => handlers.msrRead(index),
    msrWrite: (index, value) => handlers.msrWrite(index, value),
    hypercall: () => handlers.hypercall(),
    floatingPointError: (isNew) => handlers.floatingPointError(isNew),
    deadline: () => handlers.deadline(),
    acknowledgeExternalInterrupt: () => handlers.acknowledgeExternalInterrupt(),
    endOfInterrupt: (vector) => handlers.endOfInterrupt(vector),
  };
  if (topics.has('ports')) {
    traced.portRead = (port, size) => {
      const value = handlers.portRead(port, size);
      write('ports', `in  ${hex(port, 4)} ${size} -> ${hex(value, size * 2)}`);
      return value;
    };
    traced.portWrite = (port, size, value) => {
      write('ports', `out ${hex(port, 4)} ${size} <- ${hex(value >>> 0, size * 2)}`);
      handlers.portWrite(port, size, value);
    };
  }
  if (topics.has('mmio')) {
    traced.mmioRead = (gpa, size) => {
      const value = handlers.mmioRead(gpa, size);
      write('mmio', `read  ${hex(gpa, 8)} ${size} -> ${hex(value >>> 0, size * 2)}`);
      return value;
    };
    traced.mmioWrite = (gpa, size, value) => {
      write('mmio', `write ${hex(gpa, 8)} ${size} <- ${hex(value >>> 0, size * 2)}`);
      handlers.mmioWrite(gpa, size, value);
    };
  }
  if (topics.has('msr')) {
    traced.msrRead = (index) => {
      const value = handlers.msrRead(index);
      write('msr', `rdmsr ${hex(index >>> 0, 8)} -> ${value === undefined ? '#GP' : hex(value, 16)}`);
      return value;
    };
    traced.msrWrite = (index, value) => {
      const accepted = handlers.msrWrite(index, value);
      write('msr', `wrmsr ${hex(index >>> 0, 8)} <- ${hex(value, 16)}${accepted ? '' : ' #GP'}`);
      return accepted;
    };
  }
  if (topics.has('interrupts')) {
    traced.acknowledgeExternalInterrupt = () => {
      const vector = handlers.acknowledgeExternalInterrupt();
      write('interrupts', `acknowledge ${hex(vector, 2)} from the i8259 pair`);
      return vector;
    };
    traced.endOfInterrupt = (vector) => {
      write('interrupts', `end of level-triggered ${hex(vector, 2)}`);
      handlers.endOfInterrupt(vector);
    };
  }
  return traced;
}

/** The partition as an engine's intercept handlers, with each exit counted for the statistics. */
import type { InterceptHandlers } from '@plinth/hypervisor';
import { type Counters, counterIndex } from './statistics.ts';

export function countingHandlers(handlers: InterceptHandlers, counters: Counters): InterceptHandlers {
  const { values } = counters;
  const [portReads, portWrites, mmioReads, mmioWrites] = (
    ['portReads', 'portWrites', 'mmioReads', 'mmioWrites'] as const
  ).map(counterIndex) as [number, number, number, number];
  const hypercalls = counterIndex('hypercalls');
  const [msrReads, msrWrites, deadlines, acknowledgements, endsOfInterrupt] = (
    ['msrReads', 'msrWrites', 'deadlines', 'acknowledgements', 'endsOfInterrupt'] as const
  ).map(counterIndex) as [number, number, number, number, number];
  const count = (index: number): void => {
    values[index] = (values[index] as number) + 1;
  };
  return {
    now: () => handlers.now(),
    portRead(port, size) {
      count(portReads);
      return handlers.portRead(port, size);
    },
    portWrite(port, size, value) {
      count(portWrites);
      handlers.portWrite(port, size, value);
    },
    mmioRead(gpa, size) {
      count(mmioReads);
      return handlers.mmioRead(gpa, size);
    },
    mmioWrite(gpa, size, value) {
      count(mmioWrites);
      handlers.mmioWrite(gpa, size, value);
    },
    msrRead(index) {
      count(msrReads);
      return handlers.msrRead(index);
    },
    msrWrite(index, value) {
      count(msrWrites);
      return handlers.msrWrite(index, value);
    },
    hypercall() {
      count(hypercalls);
      return handlers.hypercall();
    },
    floatingPointError: (isNew) => handlers.floatingPointError(isNew),
    deadline() {
      count(deadlines);
      handlers.deadline();
    },
    acknowledgeExternalInterrupt() {
      count(acknowledgements);
      return handlers.acknowledgeExternalInterrupt();
    },
    endOfInterrupt(vector) {
      count(endsOfInterrupt);
      handlers.endOfInterrupt(vector);
    },
  };
}

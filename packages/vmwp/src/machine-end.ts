/**
 * Why a run is over: from what the processor, the guest and the clock told to the run's end, with what a user is told. Pure.
 * Called by: run-virtual-machine.ts.
 */
import { PlinthError } from '@plinth/errors';
import type { EndReason } from './configuration.ts';
import type { Outcome } from './processor-protocol.ts';
import { exceptionName, type ProcessorSnapshot } from './processor-snapshot.ts';

/** Why the run is over, and what to say about it once the report's path is known. */
export interface End {
  readonly reason: EndReason;
  readonly exitStatus: number;
  readonly snapshot?: ProcessorSnapshot | undefined;
  /** Set when a report is to be written. */
  readonly report?: { readonly reason: string; readonly guestLog?: string | undefined; readonly stack?: string };
  readonly error?: (report: string) => PlinthError;
  /** Nothing but the console tells why: its end is shown where the console itself is not. */
  readonly quotesConsole?: boolean;
}

/** What the guest has said of its own death. */
export interface ReportedCrash {
  readonly reason: string;
  readonly log: string | undefined;
}

const CRASH = { reason: 'crash', exitStatus: 75 } as const;

export function endOfCrash(crash: ReportedCrash | undefined, snapshot?: ProcessorSnapshot): End {
  const { reason, log } = crash ?? { reason: 'it stored a fatal error record', log: undefined };
  return {
    ...CRASH,
    snapshot,
    report: { reason: `The guest crashed: ${reason}`, guestLog: log },
    error: (report) => new PlinthError('PL-4001', { reason, report }),
  };
}

/** The guest reset the machine as it was told to do when it panics, without a record of why. */
export const endOfPanic = (): End => ({
  ...CRASH,
  report: { reason: 'The guest panicked and reset the machine' },
  error: (report) => new PlinthError('PL-4005', { report }),
  quotesConsole: true,
});

/**
 * What the processor's end means.
 * @param hasCommand whether the run was to end with a command's status, so that a power-off came too early
 * @returns undefined when it was told to stop, which is no reason of its own
 */
export function endOfOutcome(outcome: Outcome, snapshot: ProcessorSnapshot, hasCommand: boolean): End | undefined {
  const address = snapshot.code?.address ?? snapshot.registers.Rip ?? 'an unknown address';
  switch (outcome.kind) {
    case 'stopped':
      return undefined;
    case 'power-off':
      return hasCommand ? endBeforeCommand() : { reason: 'power-off', exitStatus: 0 };
    case 'debug-exit':
      return { reason: 'debug-exit', exitStatus: outcome.status };
    case 'triple-fault': {
      const exceptions = outcome.exceptions.map(exceptionName).join(', then ') || 'none recorded';
      return {
        ...CRASH,
        snapshot,
        report: { reason: `The guest crashed: triple fault at ${address} (${exceptions})` },
        error: (report) => new PlinthError('PL-4002', { address, exceptions, report }),
      };
    }
    case 'halted-forever':
      return {
        ...CRASH,
        snapshot,
        report: { reason: `The guest halted with interrupts off at ${address}` },
        error: (report) => new PlinthError('PL-4003', { address, report }),
      };
    case 'unsupported':
      return {
        ...CRASH,
        snapshot,
        report: { reason: `The guest needs what this version does not have: ${outcome.what}, at ${address}` },
        error: (report) => new PlinthError('PL-4004', { what: outcome.what, address, report }),
      };
  }
}

export const endBeforeCommand = (): End => ({
  reason: 'power-off',
  exitStatus: 75,
  error: () => new PlinthError('PL-3009'),
});

/** A fault of Plinth's own. */
export const endOfFault = (message: string, stack: string, snapshot: ProcessorSnapshot | undefined): End => ({
  reason: 'fault',
  exitStatus: 70,
  snapshot,
  report: { reason: `A fault of Plinth: ${message}`, stack },
  error: (report) => new PlinthError('PL-3001', { message, report }),
});

export const endOfTime = (seconds: number): End => ({
  reason: 'timeout',
  exitStatus: 124,
  error: () => new PlinthError('PL-3002', { seconds }),
});

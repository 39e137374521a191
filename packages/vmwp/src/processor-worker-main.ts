/**
 * What every processor's thread does, whatever its engine: attaches to the partition, puts the devices on this thread, connects
 * them to the engine, and runs the loop to its end.
 *
 * Called by: the engine's worker module (software-thread.ts), as the first and last thing on its thread.
 */
import { writeSync } from 'node:fs';
import { parentPort, receiveMessageOnPort } from 'node:worker_threads';
import { DebugExit } from '@plinth/chipset';
import { PlinthError } from '@plinth/errors';
import {
  type DebuggedProcessor,
  type Exit,
  type GuestBranch,
  type GuestFault,
  type InterceptHandlers,
  type InterruptMessage,
  type Partition,
  RootPartition,
  type SaveableProcessor,
} from '@plinth/hypervisor';
import { assembleChipset } from './chipset-assembly.ts';
import type { TraceTopic } from './configuration.ts';
import { countingHandlers } from './counting-handlers.ts';
import { monotonicNanoseconds } from './process-times.ts';
import type { ProcessorCommand, ProcessorEvent, ProcessorSetup } from './processor-protocol.ts';
import { describeException, hexadecimal, type ProcessorHistory, takeSnapshot } from './processor-snapshot.ts';
import { ProcessorThread } from './processor-thread.ts';
import { PageLoader } from './saved-state/page-loader.ts';
import { Counters } from './statistics.ts';
import { sleepExactly } from './timer-slack.ts';
import { type TraceWriter, traceHandlers } from './trace.ts';

/** An engine's processor and the words it shares with other threads. */
export interface ThreadEngine {
  readonly processor: DebuggedProcessor & SaveableProcessor;
  /** The last exceptions that the processor raised, the newest last. */
  lastExceptions(): readonly GuestFault[];
  /** The last branches that it took, the newest first. */
  lastBranches(): readonly GuestBranch[];
  /** How many exceptions it has raised in all. */
  exceptionCount(): number;
  /** The kick word: non-zero while a kick is pending. */
  readonly kickWord: { readonly words: Int32Array; readonly index: number };
  /** Takes an interrupt message to the local APICs; callable from any thread. */
  deliver(message: InterruptMessage): void;
  kick(processorIndex: number): void;
  /** What a trace of the translator ends with. */
  translationSummary?(): readonly string[];
}

/**
 * Instructions in one run, some tens of milliseconds: the host's compiler replaces code when it is entered, never under a running
 * activation, so a run without end would stay in the first, slow version of the engine (a twentieth of the speed).
 */
const RUN_SLICE = 2_000_000;
/** The longest sleep in the guest idle register, in nanoseconds: commands to the thread wait for it. */
const IDLE_NANOSECONDS = 10_000_000;
/** Instructions in one run of a processor whose exceptions are traced. */
const TRACE_SLICE = 64;

/** @param trace takes a line for each thing that happens to translated code, when that is traced */
export type EngineFactory = (
  partition: Partition,
  index: number,
  handlers: InterceptHandlers,
  trace: ((text: string) => void) | undefined,
) => ThreadEngine;

export function runProcessorWorker(setup: ProcessorSetup, createEngine: EngineFactory): void {
  const post = (event: ProcessorEvent): void => parentPort?.postMessage(event);
  let thread: ProcessorThread | undefined;
  const clock = localClock(setup.epoch);
  const { root, partitionId } = RootPartition.attach(setup.memory, clock);
  const partition = root.partition(partitionId);
  let memoryProblem: unknown;
  if (setup.savedPages !== undefined) {
    const loader = new PageLoader(setup.savedPages, partition.guestMemory);
    partition.guestMemory.absent.source = {
      load(page) {
        try {
          loader.load(page);
        } catch (error) {
          memoryProblem = error;
          throw error;
        }
      },
    };
  }
  const counters = new Counters(setup.counters);
  const topics = new Set(setup.trace);
  const write: TraceWriter = (topic, text) => {
    writeToStandardError(`${(clock.now() / 1e9).toFixed(6)} ${topic}: ${text}\n`);
  };
  let handlers: InterceptHandlers = countingHandlers(partition, counters);
  if (topics.size > 0) handlers = traceHandlers(handlers, topics, write);

  const traceTranslator = topics.has('translator') ? (text: string): void => write('translator', text) : undefined;
  const engine = createEngine(partition, setup.index, handlers, traceTranslator);
  const { processor } = engine;
  partition.onDeadlineChange = (deadline) => processor.setDeviceDeadline(deadline);
  const deliver = topics.has('interrupts')
    ? (message: InterruptMessage): void => {
        write('interrupts', describeMessage(message));
        engine.deliver(message);
      }
    : (message: InterruptMessage): void => engine.deliver(message);
  const power = topics.has('power') ? (text: string): void => write('power', text) : (): void => {};
  assembleChipset(partition, setup.generation, {
    deliver,
    kick: (index) => engine.kick(index),
    powerOff() {
      power('the guest turned itself off');
      thread?.request({ kind: 'power-off' });
    },
    reset() {
      power('the guest asked for a reset');
      thread?.request({ kind: 'reset' });
    },
    outputReady: () => post({ kind: 'output' }),
    errorRecord(record) {
      power(`the guest stored an error record of ${record.length} bytes`);
      post({ kind: 'error-record', record });
    },
  });
  if (setup.debugExitPort !== undefined) {
    const device = new DebugExit(setup.debugExitPort, (status) => thread?.request({ kind: 'debug-exit', status }));
    partition.addDevice(device);
  }
  const { words, index } = engine.kickWord;
  sleepExactly();
  let sleptMilliseconds = 0;
  const sleep = (nanoseconds: number): void => {
    const start = performance.now();
    Atomics.wait(words, index, 0, nanoseconds === Number.POSITIVE_INFINITY ? nanoseconds : nanoseconds / 1e6);
    sleptMilliseconds += performance.now() - start;
  };
  root.connectProcessor(partitionId, processor, {
    deliver,
    reset() {
      power('the guest asked the hypervisor for a reset');
      thread?.request({ kind: 'reset' });
    },
    guestCrashed(crash) {
      power(`the guest reported its crash: ${crash.parameters.map(hexadecimal).join(' ')}`);
      post({ kind: 'guest-crash', crash });
    },
    wakeRoot: () => post({ kind: 'synic' }),
    idle: () => sleep(Math.min(Math.max(processor.nextDeadline() - clock.now(), 0), IDLE_NANOSECONDS)),
    runTime: () => clock.now() - sleptMilliseconds * 1e6,
  });
  processor.setDeviceDeadline(partition.nextDeadline());

  const history = (): ProcessorHistory => ({ exceptions: engine.lastExceptions(), branches: engine.lastBranches() });
  thread = new ProcessorThread({
    processor,
    history,
    partition,
    counters,
    takeCommand: () => receiveMessageOnPort(setup.commands)?.message as ProcessorCommand | undefined,
    post,
    sleep,
    clearKick: () => Atomics.store(words, index, 0),
    monotonic: monotonicNanoseconds,
    // Exceptions are read from a ring of the last 16, so a traced processor runs in slices too short to fill it.
    slice: topics.has('exceptions') ? TRACE_SLICE : RUN_SLICE,
    afterRun: traceRuns(topics, engine, write),
    save() {
      // What other threads have left for devices becomes theirs first.
      partition.poll();
      return { time: clock.now(), processor: processor.save(), devices: partition.saveDevices() };
    },
    restore(state, epoch) {
      clock.setEpoch(epoch);
      // Before the devices: an interrupt that they ask for must not be overwritten.
      processor.restore(state.processor);
      partition.restoreDevices(state.devices);
      processor.setDeviceDeadline(partition.nextDeadline());
    },
    beforeEnd() {
      if (traceTranslator !== undefined) engine.translationSummary?.().forEach(traceTranslator);
    },
  });
  try {
    thread.run();
  } catch (error) {
    if (error === memoryProblem && error instanceof PlinthError) {
      post({ kind: 'failed', problem: error.toJSON() });
      return;
    }
    const { message, stack = '' } = error instanceof Error ? error : new Error(String(error));
    post({
      kind: 'fault',
      message,
      stack,
      snapshot: takeSnapshot(processor, partition.guestMemory, history()),
    });
  }
}

const pause = new Int32Array(new SharedArrayBuffer(4));

/** Writes all of it, though standard error may be a pipe that takes nothing now (EAGAIN); where nobody reads any more, nothing. */
function writeToStandardError(text: string): void {
  const bytes = Buffer.from(text);
  for (let offset = 0; offset < bytes.length; ) {
    try {
      offset += writeSync(2, bytes, offset);
    } catch (error) {
      if (!(error instanceof Error && 'code' in error && error.code === 'EAGAIN')) return;
      Atomics.wait(pause, 0, 0, 1);
    }
  }
}

/** What is told after each run of the processor, for the topics `exits` and `exceptions`. */
function traceRuns(topics: ReadonlySet<TraceTopic>, engine: ThreadEngine, write: TraceWriter): (exit: Exit) => void {
  const plain = (_: string, value: unknown): unknown => (typeof value === 'bigint' ? hexadecimal(value) : value);
  let seen = 0;
  return (exit) => {
    if (topics.has('exceptions')) {
      const count = engine.exceptionCount();
      const fresh = engine.lastExceptions().slice(-(count - seen));
      if (count !== seen) for (const fault of fresh) write('exceptions', describeException(fault));
      seen = count;
    }
    if (topics.has('exits') && exit.kind !== 'budget') write('exits', JSON.stringify(exit, plain));
  };
}

/** Partition time on this thread: cheap to read, and the same everywhere, as both clocks are the monotonic one. */
function localClock(epoch: number): { now(): number; setEpoch(epoch: number): void } {
  // Looked up once: Node's global is a getter, and guests ask for the time in each system call (RDTSC of the kernel's stack offset).
  const timer = performance;
  const difference = monotonicNanoseconds() - timer.now() * 1e6;
  let offset = difference - epoch;
  return {
    now: () => timer.now() * 1e6 + offset,
    setEpoch(other) {
      offset = difference - other;
    },
  };
}

function describeMessage(message: InterruptMessage): string {
  const { vector, deliveryMode, destination, logicalDestination, levelTriggered } = message;
  return (
    `vector 0x${vector.toString(16)} mode ${deliveryMode} to ${logicalDestination ? 'logical' : 'physical'} ` +
    `0x${destination.toString(16)}${levelTriggered ? ', level' : ''}`
  );
}

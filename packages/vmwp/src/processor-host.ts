/**
 * The main thread's hold on a virtual processor's thread: starts it, sends commands (and kicks, as the thread has no event loop turns),
 * gives its events on, and ends it for certain; and the same of the thread that translates for it.
 *
 * Called by: run-virtual-machine.ts.
 */
import { MessageChannel, type MessagePort, Worker } from 'node:worker_threads';
import { PlinthError } from '@plinth/errors';
import type { GuestCrash, InspectTree } from '@plinth/hypervisor';
import type { DebugAnswer, DebugRequest, StopReason } from './debug-protocol.ts';
import type {
  BootRegisters,
  Outcome,
  ProcessorCommand,
  ProcessorEvent,
  ProcessorSetup,
  SavedThreadState,
  TranslationSetup,
} from './processor-protocol.ts';
import type { ProcessorSnapshot } from './processor-snapshot.ts';
import { createProcessorWorker } from './processor-worker.ts';

/** How long a thread may take to answer before it is taken for stuck, in milliseconds. */
const ANSWER_MILLISECONDS = 1500;

export interface ProcessorEvents {
  output(): void;
  reset(): void;
  errorRecord(record: Uint8Array): void;
  guestCrashed(crash: GuestCrash): void;
  /** The root partition has something to take. */
  synic(): void;
  /** It stopped for the debugger. */
  debugStopped(reason: StopReason): void;
  ended(outcome: Outcome, snapshot: ProcessorSnapshot): void;
  /** The machine cannot go on. */
  failed(error: PlinthError): void;
  /** Plinth's fault, with what is known. */
  fault(message: string, stack: string, snapshot: ProcessorSnapshot | undefined): void;
}

/** Modules of the threads that make up a processor. */
export interface ProcessorModules {
  readonly processor: URL;
  /**
   * The thread that translates for it; absent when nothing is translated there. It starts with the guest: until then the host's
   * processors are needed for something else.
   */
  readonly translation?: URL | undefined;
}

/** Somebody who waits for an answer of the thread. */
interface Awaited {
  readonly answered: (event: ProcessorEvent) => void;
  /** The thread ended first. */
  readonly lost: () => void;
}

export class ProcessorHost {
  readonly #worker: Worker;
  #translator: Worker | undefined;
  #startTranslation: () => void = () => {};
  readonly #commands: MessagePort;
  readonly #kick: () => void;
  readonly #inspections = new Map<number, (tree: InspectTree) => void>();
  readonly #events: ProcessorEvents;
  #nextInspection = 1;
  readonly #debugRequests = new Map<number, (answer: DebugAnswer) => void>();
  #nextDebugRequest = 1;
  #snapshot: ProcessorSnapshot | undefined;
  #exited = false;
  /** Who waits for the thread's answers, by their kinds: a machine may be asked to hold before it has been restored. */
  readonly #awaited = new Map<ProcessorEvent['kind'], Awaited>();
  #over = false;
  #finished: () => void = () => {};

  /**
   * @param kick sets the processor's kick word and wakes it
   */
  constructor(
    modules: ProcessorModules,
    setup: Omit<ProcessorSetup, 'commands' | 'translation'>,
    kick: () => void,
    events: ProcessorEvents,
  ) {
    const { port1, port2 } = new MessageChannel();
    const translation = modules.translation === undefined ? undefined : new MessageChannel();
    this.#commands = port1;
    this.#kick = kick;
    this.#events = events;
    this.#worker = createProcessorWorker(
      modules.processor,
      { ...setup, commands: port2, ...(translation === undefined ? {} : { translation: translation.port1 }) },
      translation === undefined ? [port2] : [port2, translation.port1],
    );
    port1.unref();
    if (modules.translation !== undefined && translation !== undefined) {
      const { translation: module } = modules;
      this.#startTranslation = () => {
        this.#startTranslation = () => {};
        this.#translator = this.#startTranslator(module, setup, translation.port2);
      };
    }
    this.#worker.on('message', (event: ProcessorEvent) => this.#receive(event));
    this.#worker.on('error', (error: Error) => this.#fault(error.message, error.stack ?? ''));
    this.#worker.on('exit', (code) => {
      this.#exited = true;
      this.#finished();
      this.#fault(`the thread of processor ${setup.index} ended with ${code}`, '');
    });
  }

  #startTranslator(
    module: URL,
    { memory, layout, index }: Pick<ProcessorSetup, 'memory' | 'layout' | 'index'>,
    messages: MessagePort,
  ): Worker {
    const workerData: TranslationSetup = { memory, layout, index, messages };
    const translator = new Worker(module, {
      workerData,
      transferList: [messages],
      name: `translator ${index}`,
      stdout: false,
      stderr: false,
      // What it makes of one batch is garbage with the next. Measured with 6: up to 5 MiB more at the peak, no less CPU time.
      resourceLimits: { maxYoungGenerationSizeMb: 3 },
    });
    translator.on('error', (error: Error) => this.#fault(error.message, error.stack ?? ''));
    // It ends by itself, with 0, when the processor's thread has ended.
    translator.on('exit', (code) => {
      if (code !== 0) this.#fault(`the translator of processor ${index} ended with ${code}`, '');
    });
    return translator;
  }

  /** A command waits while engine and devices do not stand on the thread yet. */
  send(command: ProcessorCommand): void {
    if (this.#exited) return;
    this.#commands.postMessage(command);
    this.#kick();
  }

  /** The tree of what the processor's thread sees; undefined when it does not answer in time. */
  inspect(): Promise<InspectTree | undefined> {
    const id = this.#nextInspection++;
    return new Promise((resolve) => {
      const timer = setTimeout(() => {
        this.#inspections.delete(id);
        resolve(undefined);
      }, ANSWER_MILLISECONDS);
      this.#inspections.set(id, (tree) => {
        clearTimeout(timer);
        resolve(tree);
      });
      this.send({ kind: 'inspect', id });
    });
  }

  /** Asks for a debugger; answers come in order. One whose thread has ended could not be done. */
  debug(request: DebugRequest): Promise<DebugAnswer> {
    if (this.#exited || this.#over) return Promise.resolve({ what: 'done', done: false });
    const id = this.#nextDebugRequest++;
    return new Promise((resolve) => {
      this.#debugRequests.set(id, resolve);
      this.send({ kind: 'debug', id, request });
    });
  }

  /**
   * Stops the processor between two instructions, until `release`.
   * @throws PlinthError PL-3016 when the guest ends first
   */
  async hold(): Promise<void> {
    await this.#ask({ kind: 'hold' }, 'held');
  }

  /** Lets it run from its power-on state, or from a reset (`again`). */
  boot(registers: BootRegisters, again: boolean): void {
    this.send({ kind: 'boot', registers, again });
    this.#translate();
  }

  /** Lets it go on. */
  release(): void {
    this.send({ kind: 'release' });
    this.#translate();
  }

  #translate(): void {
    if (!this.#over) this.#startTranslation();
  }

  /** The state of a processor that is held, and of the devices on its thread. @throws PlinthError PL-3016 */
  async save(): Promise<SavedThreadState> {
    const event = await this.#ask({ kind: 'save' }, 'saved');
    if (event.kind !== 'saved') throw new RangeError(`the processor's thread answered ${event.kind}`);
    return event.state;
  }

  /** Takes a state instead of booting; the processor is held then. @throws PlinthError what is wrong with the state */
  async restore(state: SavedThreadState, epoch: number): Promise<void> {
    const event = await this.#ask({ kind: 'restore', state, epoch }, 'restored');
    const problem = event.kind === 'restored' ? PlinthError.from(event.problem) : undefined;
    if (problem !== undefined) throw problem;
  }

  #ask(command: ProcessorCommand, answer: ProcessorEvent['kind']): Promise<ProcessorEvent> {
    return new Promise((resolve, reject) => {
      const lost = (): void => reject(new PlinthError('PL-3016', { reason: 'the guest ended first' }));
      if (this.#over || this.#exited) {
        lost();
        return;
      }
      this.#awaited.set(answer, { answered: resolve, lost });
      this.send(command);
    });
  }

  #answered(event: ProcessorEvent): void {
    this.#awaited.get(event.kind)?.answered(event);
    this.#awaited.delete(event.kind);
  }

  #loseAnswers(): void {
    for (const { lost } of this.#awaited.values()) lost();
    this.#awaited.clear();
    for (const resolve of this.#debugRequests.values()) resolve({ what: 'done', done: false });
    this.#debugRequests.clear();
  }

  /**
   * Ends the thread: by asking, and when it does not answer, by force.
   * @returns the processor's last state; undefined when it had to be forced
   */
  async end(): Promise<ProcessorSnapshot | undefined> {
    this.#over = true;
    if (!this.#exited) {
      const ended = new Promise<void>((resolve) => {
        this.#finished = resolve;
      });
      this.send({ kind: 'end' });
      const timer = setTimeout(() => this.#finished(), ANSWER_MILLISECONDS);
      await ended;
      clearTimeout(timer);
    }
    this.#commands.close();
    await Promise.all([this.#worker.terminate(), this.#translator?.terminate()]);
    return this.#snapshot;
  }

  #receive(event: ProcessorEvent): void {
    switch (event.kind) {
      case 'output':
        this.#events.output();
        return;
      case 'reset':
        if (!this.#over) this.#events.reset();
        return;
      case 'error-record':
        this.#events.errorRecord(event.record);
        return;
      case 'guest-crash':
        this.#events.guestCrashed(event.crash);
        return;
      case 'synic':
        this.#events.synic();
        return;
      case 'inspected':
        this.#inspections.get(event.id)?.(event.tree);
        this.#inspections.delete(event.id);
        return;
      case 'debug-answer':
        this.#debugRequests.get(event.id)?.(event.answer);
        this.#debugRequests.delete(event.id);
        return;
      case 'debug-stopped':
        this.#events.debugStopped(event.reason);
        return;
      case 'held':
      case 'saved':
      case 'restored':
        this.#answered(event);
        return;
      case 'ended':
        this.#loseAnswers();
        this.#snapshot = event.snapshot;
        this.#finished();
        if (!this.#over) {
          this.#over = true;
          this.#events.ended(event.outcome, event.snapshot);
        }
        return;
      case 'failed':
        this.#failed(event.problem);
        return;
      case 'fault':
        this.#snapshot = event.snapshot;
        this.#fault(event.message, event.stack);
        return;
    }
  }

  #failed(problem: unknown): void {
    const error = PlinthError.from(problem);
    if (error === undefined) {
      this.#fault(`the thread failed with ${JSON.stringify(problem)}`, '');
      return;
    }
    this.#loseAnswers();
    if (this.#over) return;
    this.#over = true;
    this.#events.failed(error);
  }

  #fault(message: string, stack: string): void {
    this.#loseAnswers();
    if (this.#over) return;
    this.#over = true;
    this.#events.fault(message, stack, this.#snapshot);
  }
}

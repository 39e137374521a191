/**
 * The loop of one virtual processor's thread: run until an exit, do what the exit asks for, sleep while halted.
 *
 *     awaiting-boot ──boot──> running <──resume/pause──> paused
 *          ^                     │ power off, triple fault, debug exit, end
 *          ├──────reset──────────┤          running, paused <──hold/release──> held <──restore── awaiting-boot
 *                                └──> ended (the loop returns)
 *
 * Knows no engine and no threads: what it needs is given to it, so tests drive it with a scripted processor.
 * Invariant: between two looks at the commands there is always either a run that a kick ends or a sleep that a kick ends.
 * Called by: processor-worker-main.ts.
 */
import { PlinthError } from '@plinth/errors';
import type { DebuggedProcessor, Exit, GuestMemory, InspectTree } from '@plinth/hypervisor';
import { ProcessorDebugger } from './processor-debugger.ts';
import type {
  BootRegisters,
  Outcome,
  ProcessorCommand,
  ProcessorEvent,
  SavedThreadState,
} from './processor-protocol.ts';
import { inspectProcessor, type ProcessorHistory, takeSnapshot } from './processor-snapshot.ts';
import { type Counters, counterIndex } from './statistics.ts';

/** The partition as the loop needs it. */
export interface ThreadPartition {
  readonly guestMemory: GuestMemory;
  readonly clock: { now(): number };
  nextDeadline(): number;
  /** Runs devices whose deadline has passed. */
  deadline(): void;
  /** After a kick: devices take what other threads left. */
  poll(): void;
  resetDevices(): void;
  inspect(): InspectTree;
}

export interface ThreadParts {
  readonly processor: DebuggedProcessor;
  history(): ProcessorHistory;
  readonly partition: ThreadPartition;
  readonly counters: Counters;
  /** The next command of the main thread; undefined when there is none. */
  takeCommand(): ProcessorCommand | undefined;
  post(event: ProcessorEvent): void;
  /** Sleeps until the processor is kicked, or for at most so many nanoseconds (Infinity: until kicked). */
  sleep(nanoseconds: number): void;
  /** Takes a kick back while the processor does not run (a running engine does it itself). */
  clearKick(): void;
  /** Monotonic clock of the process in nanoseconds. */
  monotonic(): number;
  /** Instructions of one run. */
  readonly slice: number;
  /** Told of each exit, for tracing. */
  afterRun(exit: Exit): void;
  /** The processor and the devices of this thread. */
  save(): SavedThreadState;
  /** @throws PlinthError for a state that is not one of theirs */
  restore(state: SavedThreadState, epoch: number): void;
  /** Called before the end is posted: the thread may not live on behind it. */
  beforeEnd?(): void;
}

type State = 'awaiting-boot' | 'running' | 'paused' | 'held' | 'ended';

/** What devices ask of the machine; the loop looks at it after the intercept. */
export type MachineRequest =
  | { readonly kind: 'power-off' }
  | { readonly kind: 'reset' }
  | { readonly kind: 'debug-exit'; readonly status: number };

export class ProcessorThread {
  readonly #parts: ThreadParts;
  readonly #debugger: ProcessorDebugger;
  readonly #halts = counterIndex('halts');
  readonly #kicks = counterIndex('kicks');
  readonly #budgets = counterIndex('budgets');
  #state: State = 'awaiting-boot';
  #request: MachineRequest | undefined;
  #holdWanted = false;
  /** What `release` goes back to. */
  #heldState: 'running' | 'paused' = 'running';

  constructor(parts: ThreadParts) {
    this.#parts = parts;
    const { processor, partition, post } = parts;
    this.#debugger = new ProcessorDebugger(processor, partition.guestMemory, (reason) =>
      post({ kind: 'debug-stopped', reason }),
    );
  }

  /** A device asks for something while the guest executes; the first request stands. */
  request(request: MachineRequest): void {
    this.#request ??= request;
    this.#parts.processor.kick();
  }

  /** Runs until the thread's end. */
  run(): void {
    for (;;) {
      this.#takeCommands();
      if (this.#state === 'ended') return;
      this.#holdIfWanted();
      if (this.#state !== 'running' || this.#debugger.isStopped) {
        this.#parts.sleep(Number.POSITIVE_INFINITY);
        this.#parts.clearKick();
        continue;
      }
      const exit = this.#debugger.run(this.#parts.slice);
      this.#countInstructions();
      if (exit === undefined) {
        // A device may have asked for the machine's end in the last instruction before the stop.
        if (this.#request !== undefined) this.#handleRequest(this.#request);
        continue;
      }
      this.#parts.afterRun(exit);
      if (this.#request === undefined) this.#handleExit(exit);
      else this.#handleRequest(this.#request);
    }
  }

  #handleExit(exit: Exit): void {
    const { processor, partition, counters } = this.#parts;
    switch (exit.kind) {
      case 'halt': {
        counters.values[this.#halts] = (counters.values[this.#halts] ?? 0) + 1;
        const deadline = partition.nextDeadline();
        const wake = Math.min(processor.nextDeadline(), deadline);
        const now = partition.clock.now();
        if (wake > now) this.#parts.sleep(wake - now);
        if (deadline <= partition.clock.now()) partition.deadline();
        // Whoever wanted the processor until now, most often the device whose time has come, has it: to stop it once more for that would be for
        // nothing. What others left for devices before they kicked is found by the poll, commands before the next run, interrupts by it.
        if (this.#request === undefined) this.#parts.clearKick();
        partition.poll();
        return;
      }
      case 'kicked':
        counters.values[this.#kicks] = (counters.values[this.#kicks] ?? 0) + 1;
        partition.poll();
        return;
      case 'budget':
        counters.values[this.#budgets] = (counters.values[this.#budgets] ?? 0) + 1;
        return;
      case 'shutdown':
        this.#end({ kind: 'triple-fault', exceptions: exit.faults.map((fault) => fault.vector) });
        return;
      case 'halt-forever':
        this.#end({ kind: 'halted-forever' });
        return;
      case 'unsupported':
        this.#end({ kind: 'unsupported', what: exit.what });
        return;
      case 'stop-point':
        // The debugger's own, and handled there.
        return;
    }
  }

  #handleRequest(request: MachineRequest): void {
    this.#request = undefined;
    switch (request.kind) {
      case 'power-off':
        this.#end({ kind: 'power-off' });
        return;
      case 'debug-exit':
        this.#end({ kind: 'debug-exit', status: request.status });
        return;
      case 'reset':
        this.#awaitBoot();
        return;
    }
  }

  /** Stops for a reset. Devices are reset before memory is loaded again: overlay pages and ROMs must not lie over what is loaded. */
  #awaitBoot(): void {
    this.#state = 'awaiting-boot';
    this.#parts.partition.resetDevices();
    this.#parts.post({ kind: 'reset' });
  }

  #takeCommands(): void {
    for (let command = this.#parts.takeCommand(); command !== undefined; command = this.#parts.takeCommand()) {
      if (this.#state === 'ended') return;
      this.#handleCommand(command);
    }
  }

  #handleCommand(command: ProcessorCommand): void {
    const { processor, partition } = this.#parts;
    switch (command.kind) {
      case 'boot':
        this.#boot(command.registers, command.again);
        return;
      case 'pause':
        if (this.#state === 'running') this.#state = 'paused';
        return;
      case 'resume':
        if (this.#state === 'paused') this.#state = 'running';
        return;
      case 'reset':
        if (this.#state === 'awaiting-boot') return;
        this.#request = undefined;
        this.#awaitBoot();
        return;
      case 'inspect':
        this.#parts.post({
          kind: 'inspected',
          id: command.id,
          tree: {
            partition: partition.inspect(),
            processors: {
              [processor.index]: inspectProcessor(
                processor,
                partition.guestMemory,
                this.#parts.history(),
                this.#debugger.isStopped ? 'stopped by a debugger' : this.#state,
              ),
            },
          },
        });
        return;
      case 'debug':
        this.#parts.post({ kind: 'debug-answer', id: command.id, answer: this.#debugger.handle(command.request) });
        return;
      case 'hold':
        this.#holdWanted = true;
        return;
      case 'release':
        if (this.#state !== 'held') return;
        this.#noteFirstInstruction();
        this.#state = this.#heldState;
        return;
      case 'save':
        this.#parts.post({ kind: 'saved', state: this.#parts.save() });
        return;
      case 'restore':
        this.#restore(command.state, command.epoch);
        return;
      case 'end':
        this.#end({ kind: 'stopped' });
        return;
    }
  }

  /** A guest that is being reset is held when it has been loaded again. */
  #holdIfWanted(): void {
    if (!this.#holdWanted || (this.#state !== 'running' && this.#state !== 'paused')) return;
    this.#holdWanted = false;
    this.#heldState = this.#state;
    this.#state = 'held';
    this.#parts.post({ kind: 'held' });
  }

  #restore(state: SavedThreadState, epoch: number): void {
    try {
      this.#parts.restore(state, epoch);
    } catch (error) {
      if (!(error instanceof PlinthError)) throw error;
      this.#parts.post({ kind: 'restored', problem: error.toJSON() });
      return;
    }
    this.#heldState = 'running';
    this.#state = 'held';
    this.#parts.post({ kind: 'restored' });
  }

  #noteFirstInstruction(): void {
    const { counters, monotonic } = this.#parts;
    if (counters.get('firstInstruction') === 0) counters.set('firstInstruction', monotonic());
  }

  #boot(registers: BootRegisters, again: boolean): void {
    const { processor, counters, monotonic } = this.#parts;
    // Until now its registers are those of the reset, for a report.
    if (again) processor.reset();
    for (const [name, value] of registers) processor.writeRegister(name, value);
    if (counters.get('firstInstruction') === 0) {
      // The loader enters the kernel directly, so its first instruction is the guest's first.
      counters.set('firstInstruction', monotonic());
      counters.set('kernelEntry', counters.get('firstInstruction'));
    }
    this.#state = 'running';
  }

  #end(outcome: Outcome): void {
    const { processor, partition } = this.#parts;
    this.#state = 'ended';
    this.#parts.beforeEnd?.();
    this.#parts.post({
      kind: 'ended',
      outcome,
      snapshot: takeSnapshot(processor, partition.guestMemory, this.#parts.history()),
    });
  }

  #countInstructions(): void {
    const { interpreted, translated } = this.#parts.processor.instructionCounts();
    this.#parts.counters.set('interpreted', interpreted);
    this.#parts.counters.set('translated', translated);
    const translator = this.#parts.processor.translatorCounts?.();
    if (translator === undefined) return;
    this.#parts.counters.set('regions', translator.regions);
    this.#parts.counters.set('modules', translator.modules);
    this.#parts.counters.set('translatorBytes', translator.bytes);
    this.#parts.counters.set('evicted', translator.evicted);
    this.#parts.counters.set('longestPause', translator.longestPauseSeconds);
  }
}

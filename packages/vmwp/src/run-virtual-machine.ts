/**
 * One run of a VM in the foreground, from its configuration to its end: what `plinth run` is.
 *
 *     main thread (this file)                          processor's thread (processor-thread.ts)
 *       files -> guest memory ───────── boot ─────────> run, intercepts, devices, timers
 *       console <── rings in shared memory ──────────── UARTs
 *       signals, --timeout, control socket ── end ────> stops; a thread that does not is terminated
 *       reset: memory loaded again <────── reset ──────
 *
 * Invariants: the first reason to end stands; after it nothing of the run is left (thread, timers, listeners, socket), all output has
 * reached its sink, and the result says why. Failures before the guest starts are thrown; later ones are in the result.
 * Called by: cli.
 */
import { randomUUID } from 'node:crypto';
import { constants } from 'node:os';
import { resolve } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { type Chipset, type Generation, type Uart16550, warmStartFlag } from '@plinth/chipset';
import { PlinthError } from '@plinth/errors';
import type { GuestCrash, Partition } from '@plinth/hypervisor';
import { AgentSessions } from './agent-sessions.ts';
import { clearGuestMemory, loadGuest } from './boot-loader.ts';
import { type ChildPartition, createChildPartition, deleteChildPartition } from './child-partition.ts';
import { assembleChipset, firmwareTables } from './chipset-assembly.ts';
import type { RunHooks, RunResult, VirtualMachineConfiguration } from './configuration.ts';
import { ConsolePump, type ConsoleSink } from './console-pump.ts';
import {
  type ControlConnection,
  type ControlRequest,
  type ControlServer,
  serveControl,
  treeAt,
} from './control-socket.ts';
import { ConsoleTail, writeCrashReport } from './crash-report.ts';
import { disassembleAround, type EngineParts } from './engine-parts.ts';
import { crashReason, isCrash, readErrorRecord } from './error-record.ts';
import { ExecSession } from './exec-session.ts';
import { GdbServer } from './gdb/gdb-server.ts';
import { guestCrashReason } from './guest-crash-reason.ts';
import { answerServiceRequest, refusalWithoutHypervisor, shutDownByService } from './guest-services.ts';
import {
  type End,
  endBeforeCommand,
  endOfCrash,
  endOfFault,
  endOfOutcome,
  endOfPanic,
  endOfTime,
  type ReportedCrash,
} from './machine-end.ts';
import { inspectMachine, type MachineParts, runStatistics } from './machine-parts.ts';
import { MarkWatcher } from './marks.ts';
import { monotonicNanoseconds, processTimes } from './process-times.ts';
import { ProcessorHost } from './processor-host.ts';
import type { Outcome } from './processor-protocol.ts';
import type { ProcessorSnapshot } from './processor-snapshot.ts';
import { checkFeatures, checkMemory, checkSaveFile, consoleSink } from './run-checks.ts';
import { MachineSaver } from './saved-state/machine-saver.ts';
import { RestoredMemory } from './saved-state/restored-memory.ts';
import { SAVED_CONFIGURATION_VERSION, type SavedConfiguration } from './saved-state/saved-configuration.ts';
import type { WrittenFile } from './saved-state/saved-file.ts';
import type { SavedMachine } from './saved-state/saved-machine.ts';
import { ConsoleInput } from './serial-input.ts';
import { Counters } from './statistics.ts';
import { writeStatistics } from './statistics-file.ts';
import { SyntheticDevices } from './synthetic-devices.ts';
import { VmbusHost } from './vmbus-host.ts';

const MIB = 1024 * 1024;
/** TSC ticks per nanosecond: 2 GHz, whatever the host's is, so that a VM can move between hosts. */
const TSC_PER_NANOSECOND = 2;
/** How long a guest that has reported its own death may go on, to print its last lines: milliseconds. */
const LAST_WORDS_MILLISECONDS = 1000;
/** How many lines of the console are shown when they alone tell why the guest crashed: a panic's message and its call trace. */
const LAST_LINES = 40;
/** How long output may still take when the run is ended from outside: milliseconds. */
const URGENT_MILLISECONDS = 1000;
/** The most that a timer of Node takes, in milliseconds: 24 days. */
const LONGEST_TIMER = 2 ** 31 - 1;
const SIGNALS = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;

/**
 * Runs a VM until it ends.
 * @param saved goes on with it instead of booting; it is closed here
 * @throws PlinthError for what is wrong before the guest starts: PL-2008 (memory), PL-2001.. (kernel, initrd), PL-3005 (console file),
 * PL-3006 (files), PL-3007 (no memory), PL-22xx, PL-410x (a saved machine), PL-1019, PL-1020, PL-3003, PL-3004 (name and socket)
 */
export async function runMachine(
  configuration: VirtualMachineConfiguration,
  hooks: RunHooks,
  engine: EngineParts,
  saved?: SavedMachine,
): Promise<RunResult> {
  checkMemory(configuration.memoryBytes);
  if (configuration.saveTo !== undefined) checkSaveFile(configuration.saveTo, '--save-to');
  checkFeatures(configuration, engine, saved);
  const run = new MachineRun(configuration, hooks, engine, saved);
  try {
    await run.start();
    const end = await run.ended;
    return await run.finish(end);
  } finally {
    await run.dispose();
    // Until now threads may have read their memory from it.
    saved?.close();
  }
}

class MachineRun {
  readonly ended: Promise<End>;
  /** A machine in the foreground has no life before or after: its id is made for the run. */
  readonly #id = randomUUID();
  readonly #saved: SavedMachine | undefined;
  readonly #saver = new MachineSaver();
  readonly #restored: RestoredMemory | undefined;
  #commandEnd: End | undefined;
  /** The monotonic clock at partition time 0. */
  #epoch = monotonicNanoseconds();
  #end: (end: End) => void = () => {};
  #isOver = false;
  readonly #configuration: VirtualMachineConfiguration;
  readonly #hooks: RunHooks;
  readonly #engine: EngineParts;
  readonly #child: ChildPartition;
  readonly #partition: Partition;
  /** Absent where the guest is not told of the hypervisor. */
  readonly #vmbus: VmbusHost | undefined;
  readonly #devices: SyntheticDevices | undefined;
  readonly #chipset: Chipset;
  readonly #counters = new Counters();
  readonly #processor: ProcessorHost;
  readonly #marks: MarkWatcher;
  readonly #tail = new ConsoleTail();
  readonly #console: ConsolePump;
  readonly #exec: ExecSession | undefined;
  readonly #agent: AgentSessions;
  readonly #agentPump: ConsolePump;
  #input: ConsoleInput | undefined;
  #gdb: GdbServer | undefined;
  #control: Promise<ControlServer> | undefined;
  #timers: NodeJS.Timeout[] = [];
  #outputError: PlinthError | undefined;
  #crash: ReportedCrash | undefined;
  #paused = false;
  #resets = 0;
  #kernelVersion = '';
  /** What the kernel is told: the configuration's command line, and what the loader adds to it. */
  #commandLine: string;
  #warmStartIsPanic = false;
  readonly #leave = (): void => this.#over({ reason: 'turned-off', exitStatus: 0 });
  readonly #signalled = (signal: NodeJS.Signals): void => {
    if (this.#configuration.saveTo === undefined || this.#saver.isBusy) {
      this.#over({ reason: 'signal', exitStatus: 128 + constants.signals[signal] });
    } else this.#endSaved({ reason: 'saved', exitStatus: 0 });
  };

  constructor(
    configuration: VirtualMachineConfiguration,
    hooks: RunHooks,
    engine: EngineParts,
    saved: SavedMachine | undefined,
  ) {
    this.#saved = saved;
    this.#engine = engine;
    this.#configuration = configuration;
    this.#commandLine = configuration.commandLine;
    this.#hooks = hooks;
    this.ended = new Promise((resolve) => {
      this.#end = resolve;
    });
    this.#child = createChildPartition({
      memoryBytes: configuration.memoryBytes,
      processors: configuration.processors,
      clock: { now: () => monotonicNanoseconds() - this.#epoch },
      tscPerNanosecond: saved?.configuration.tscPerNanosecond ?? TSC_PER_NANOSECOND,
      cpuid: saved?.configuration.cpuid ?? engine.cpuid(configuration),
    });
    this.#partition = this.#child.partition;
    this.#child.root.connectHost(this.#child.partitionId, {
      deliver: (message) => engine.deliver(this.#partition, message),
      wakeRoot: () => setImmediate(() => this.#vmbus?.drain()),
    });
    if (this.#partition.isEnlightened) {
      const log = (text: string): void => hooks.message?.(text);
      this.#vmbus = new VmbusHost(this.#child, configuration.processors, log);
      this.#devices = new SyntheticDevices(this.#vmbus.bus, this.#partition, {
        name: configuration.name,
        id: this.#id,
      });
    }
    if (saved !== undefined) {
      this.#restored = new RestoredMemory(saved.file, this.#partition.guestMemory, (error) => this.#failed(error));
    }
    // Before the other thread does the same: the first one sets the power-on state.
    this.#chipset = this.#assembleHostSide();
    // The thread comes next: it loads its modules and compiles the engine while this one reads the files.
    this.#processor = new ProcessorHost(
      {
        processor: engine.processorModule,
        translation: engine.translationModule(),
      },
      {
        memory: this.#partition.memory,
        layout: this.#partition.layout,
        index: 0,
        generation: this.#generation,
        counters: this.#counters.buffer,
        epoch: this.#epoch,
        trace: configuration.trace ?? [],
        debugExitPort: configuration.debugExitPort,
        savedPages: this.#restored?.pages,
      },
      () => this.#kick(),
      {
        output: () => this.#drainPorts(),
        reset: () => this.#handleReset(),
        errorRecord: (record) => this.#handleErrorRecord(record),
        guestCrashed: (crash) => this.#handleGuestCrash(crash),
        synic: () => this.#vmbus?.drain(),
        debugStopped: (reason) => this.#gdb?.stopped(reason),
        ended: (outcome, snapshot) => this.#handleOutcome(outcome, snapshot),
        failed: (error) => this.#failed(error),
        fault: (message, stack, snapshot) => this.#handleFault(message, stack, snapshot),
      },
    );
    this.#marks = new MarkWatcher(configuration.marks ?? [], processTimes);
    // A command that ran when the machine was saved goes on, unless another one is given.
    const command = configuration.exec ?? saved?.agent.command?.command;
    this.#exec = command === undefined ? undefined : this.#createExec(command);
    this.#console = this.#createPump(
      this.#chipset.uarts[0],
      consoleSink(configuration, hooks, command !== undefined),
      (bytes) => {
        this.#marks.observe(bytes);
        this.#tail.observe(bytes);
      },
    );
    const agentPort = this.#chipset.uarts[1];
    this.#agent = new AgentSessions(agentPort, configuration.name, () => this.#exec?.start(this.#agent));
    this.#agentPump = this.#createPump(agentPort, this.#agent, () => {});
  }

  /** Loads the guest and lets it run. */
  async start(): Promise<void> {
    for (const signal of SIGNALS) process.on(signal, this.#signalled);
    const configuration = this.#configuration;
    this.#control = serveControl(configuration.home, configuration.name, (request, connection) =>
      this.#answer(request, connection),
    );
    // Awaited below; until then its failure must not count as unhandled.
    this.#control.catch(() => {});
    this.#hooks.leave?.addEventListener('abort', this.#leave);
    if (this.#hooks.leave?.aborted) this.#leave();
    const { timeoutSeconds } = configuration;
    if (timeoutSeconds !== undefined) {
      const milliseconds = Math.min(timeoutSeconds * 1000, LONGEST_TIMER);
      this.#timers.push(setTimeout(() => this.#handleTimeout(timeoutSeconds), milliseconds));
    }
    const registers = this.#saved === undefined ? this.#load() : undefined;
    if (this.#saved !== undefined) {
      await Promise.race([this.#restore(this.#saved), this.ended]).catch((error: unknown) => {
        // What ended the machine meanwhile is the better reason.
        if (!this.#isOver) throw error;
      });
    }
    // A machine whose name is taken never runs.
    await this.#control;
    if (this.#isOver) return;
    if (configuration.console.kind === 'stdio' && this.#exec === undefined) {
      this.#input = new ConsoleInput(this.#chipset.uarts[0], this.#hooks.stdin ?? process.stdin);
      if (this.#saved !== undefined) this.#input.restore(this.#saved.agent.typed);
    }
    await this.#waitForDebugger();
    if (this.#isOver) return;
    if (registers === undefined) this.#processor.release();
    else this.#processor.boot(registers, false);
    // Not before: on a host that has other work it would keep the guest from its first instruction.
    this.#restored?.fill();
  }

  /** Everything but memory, which comes in when it is touched. The processor is held afterwards. */
  async #restore({ file, configuration, agent }: SavedMachine): Promise<void> {
    const { processor, devices, vmbus } = file.states;
    const { time, kernelVersion, loadedCommandLine, warmStartIsPanic } = configuration;
    this.#epoch = monotonicNanoseconds() - time;
    await this.#processor.restore({ time, processor, devices }, this.#epoch);
    if (this.#isOver) return;
    // Behind the hypervisor's state: its ports are there then, and the guest can be signalled.
    if (vmbus !== null) this.#vmbus?.restore(vmbus);
    this.#kernelVersion = kernelVersion;
    this.#commandLine = loadedCommandLine;
    this.#warmStartIsPanic = warmStartIsPanic;
    const id = this.#configuration.exec === undefined ? agent.command?.id : undefined;
    const kept = id === undefined || this.#exec === undefined ? undefined : { id, observer: this.#exec.observer() };
    const running = this.#agent.restore(agent.sessions, kept);
    if (running !== undefined) this.#exec?.resume(running);
    else if (this.#agent.isReady) this.#exec?.start(this.#agent);
  }

  /** With --gdb the guest stands before its first instruction until a debugger lets it go. */
  async #waitForDebugger(): Promise<void> {
    const { gdbPort } = this.#configuration;
    if (gdbPort === undefined) return;
    this.#gdb = await GdbServer.listen(gdbPort, {
      ask: (request) => this.#processor.debug(request),
      reset: () => this.#processor.send({ kind: 'reset' }),
      turnOff: () => this.#leave(),
    });
    await this.#processor.debug({ what: 'stop' });
    if (this.#isOver) return;
    this.#hooks.message?.(`The guest waits for a debugger: gdb -ex 'target remote :${this.#gdb.port}'`);
  }

  /** Takes the machine apart in order: processor, output, statistics. */
  async finish(reached: End): Promise<RunResult> {
    let end = reached;
    await this.#saver.settled();
    if (this.#configuration.saveTo !== undefined && !this.#saver.isBusy && end.error === undefined) {
      this.#hooks.message?.('Nothing was saved: the machine ended by itself.');
    }
    const snapshot = (await this.#processor.end()) ?? end.snapshot;
    this.#input?.close();
    this.#gdb?.close(end.exitStatus);
    const output = Promise.all([this.#console.finish(), this.#agentPump.finish()]);
    // Whoever ends the run from outside does not wait for a reader that has stopped reading.
    const isUrgent = end.reason === 'signal' || end.reason === 'timeout' || end.reason === 'turned-off';
    await (isUrgent ? Promise.race([output, delay(URGENT_MILLISECONDS, undefined, { ref: false })]) : output);
    // The last output may be what could not be written, when the run was over already: a success without all of it is none.
    const lost = this.#outputError;
    if (lost !== undefined && end.exitStatus === 0) {
      end = { reason: 'console-closed', exitStatus: lost.exitStatus, error: () => lost };
    }
    const report =
      end.report === undefined
        ? undefined
        : writeCrashReport({
            reason: end.report.reason,
            configuration: { ...this.#configuration, commandLine: this.#commandLine },
            wallSeconds: processTimes.wallSeconds(),
            snapshot: end.snapshot ?? snapshot,
            disassembly: await disassembleAround(this.#engine, this.#partition, end.snapshot ?? snapshot),
            guestLog: end.report.guestLog,
            consoleTail: this.#tail.text(),
            stack: end.report.stack,
          });
    const statistics = runStatistics(this.#parts(), end);
    const result = {
      reason: end.reason,
      exitStatus: end.exitStatus,
      ...(end.error === undefined ? {} : { error: end.error(report ?? 'lost, as no folder could take it') }),
      ...(report === undefined ? {} : { report }),
      ...(end.quotesConsole === true && this.#configuration.console.kind !== 'stdio'
        ? { lastWords: this.#tail.lines(LAST_LINES) }
        : {}),
      statistics,
    };
    return writeStatistics(this.#configuration.statisticsFile, result);
  }

  /** Nothing of the run is left after this, however it ended. */
  async dispose(): Promise<void> {
    this.#isOver = true;
    this.#restored?.close();
    for (const timer of this.#timers) clearTimeout(timer);
    for (const signal of SIGNALS) process.removeListener(signal, this.#signalled);
    this.#hooks.leave?.removeEventListener('abort', this.#leave);
    this.#input?.close();
    this.#exec?.close();
    this.#agent.close();
    this.#gdb?.close(0);
    // It may still be opening, when a kernel that cannot be loaded ended the start.
    (await this.#control?.catch(() => undefined))?.close();
    await this.#processor.end();
    this.#devices?.close();
    this.#vmbus?.close();
    deleteChildPartition(this.#child);
  }

  #over(end: End): void {
    if (this.#isOver) return;
    this.#isOver = true;
    this.#end(end);
  }

  // ---- saving -----------------------------------------------------------------------------------------------------

  /** Its last output may have come while the machine is being saved for another reason: then the run ends with the command's status. */
  #endCommand(end: End): void {
    this.#commandEnd = end;
    if (!this.#saver.isBusy) this.#endSaved(end);
  }

  /** Where the run ends, the machine is saved if that was asked for. */
  #endSaved(end: End): void {
    const { saveTo } = this.#configuration;
    if (saveTo === undefined || this.#isOver) {
      this.#over(end);
      return;
    }
    this.#save(saveTo).then(
      () => this.#over(this.#commandEnd ?? end),
      (error: unknown) => this.#overUnsaved(this.#commandEnd ?? end, error),
    );
  }

  #overUnsaved({ reason, exitStatus }: End, error: unknown): void {
    if (error instanceof PlinthError) {
      this.#over({ reason, exitStatus: exitStatus === 0 ? error.exitStatus : exitStatus, error: () => error });
    } else this.#failed(error);
  }

  async #save(path: string): Promise<WrittenFile> {
    const written = await this.#saver.save(path, {
      partition: this.#partition,
      restored: this.#restored,
      processor: this.#processor,
      vmbus: this.#vmbus,
      devices: this.#devices,
      console: this.#console,
      input: this.#input,
      agent: this.#agent,
      agentPump: this.#agentPump,
      exec: this.#exec,
      configuration: (time) => this.#savedConfiguration(time),
    });
    const { name } = this.#configuration;
    this.#hooks.message?.(`Machine ${name} was saved to ${path}, ${Math.ceil(written.fileBytes / MIB)} MiB.`);
    return written;
  }

  #savedConfiguration(time: number): SavedConfiguration {
    const { memoryBytes, processors, kernel, initrds, commandLine, image, hasAgent, debugExitPort } =
      this.#configuration;
    return {
      version: SAVED_CONFIGURATION_VERSION,
      generation: this.#generation,
      memoryBytes,
      processors,
      tscPerNanosecond: this.#saved?.configuration.tscPerNanosecond ?? TSC_PER_NANOSECOND,
      cpuid: this.#saved?.configuration.cpuid ?? this.#engine.cpuid(this.#configuration),
      debugExitPort: debugExitPort ?? null,
      kernel: resolve(kernel),
      initrds: initrds.map((initrd) => resolve(initrd)),
      commandLine,
      image: image ?? null,
      hasAgent: hasAgent ?? false,
      time,
      kernelVersion: this.#kernelVersion,
      loadedCommandLine: this.#commandLine,
      warmStartIsPanic: this.#warmStartIsPanic,
    };
  }

  async #answerSave(request: ControlRequest): Promise<unknown> {
    const to = request.parameters?.to;
    const { name, saveTo } = this.#configuration;
    const path = typeof to === 'string' && to !== '' ? to : saveTo;
    if (path === undefined) throw new PlinthError('PL-3015', { name });
    if (path !== saveTo) checkSaveFile(path, 'vm save');
    const { fileBytes, memoryBytes } = await this.#save(path).catch((error: unknown) => {
      if (this.#commandEnd !== undefined) this.#overUnsaved(this.#commandEnd, error);
      throw error;
    });
    this.#over(this.#commandEnd ?? { reason: 'saved', exitStatus: 0 });
    return { state: 'saved', path, fileBytes, memoryBytes };
  }

  /** The devices on this thread: only the host's ends of the serial ports are used, so nothing of theirs happens here. */
  #assembleHostSide(): Chipset {
    return assembleChipset(this.#partition, this.#generation, {
      deliver: () => {},
      kick: () => this.#kick(),
      powerOff: () => {},
      reset: () => {},
      outputReady: () => {},
      errorRecord: () => {},
    });
  }

  get #generation(): Generation {
    return this.#configuration.generation ?? 1;
  }

  #kick(): void {
    this.#engine.kick(this.#partition, 0);
  }

  #load(): ReturnType<typeof loadGuest>['registers'] {
    const { memoryBytes } = this.#configuration;
    const { registers, layout, warmStartIsPanic } = loadGuest(
      this.#configuration,
      this.#partition.guestMemory,
      memoryBytes,
      firmwareTables(this.#configuration.processors, this.#generation, this.#vmbus !== undefined),
    );
    this.#kernelVersion = layout.kernelVersion;
    this.#commandLine = layout.commandLine;
    this.#warmStartIsPanic = warmStartIsPanic;
    return registers;
  }

  // ---- what the processor's thread tells --------------------------------------------------------------------------

  #drainPorts(): void {
    this.#console.notify();
    this.#agentPump.notify();
  }

  #handleReset(): void {
    if (this.#crash !== undefined) {
      this.#endCrashed();
      return;
    }
    const { gpa, value } = warmStartFlag;
    if (this.#warmStartIsPanic && this.#partition.guestMemory.readU16(gpa) === value) {
      this.#over(endOfPanic());
      return;
    }
    if (this.#exec?.started) {
      this.#over(endBeforeCommand());
      return;
    }
    this.#resets++;
    try {
      this.#vmbus?.reset();
      this.#agent.reset();
      clearGuestMemory(this.#partition.guestMemory, this.#partition.memory.buffer, this.#partition.layout);
      this.#processor.boot(this.#load(), true);
    } catch (error) {
      this.#failed(error);
    }
  }

  /** Something was thrown while the guest does not run. */
  #failed(error: unknown): void {
    if (error instanceof PlinthError) {
      this.#over({ reason: 'fault', exitStatus: error.exitStatus, error: () => error });
    } else {
      const { message, stack = '' } = error instanceof Error ? error : new Error(String(error));
      this.#handleFault(message, stack, undefined);
    }
  }

  #handleErrorRecord(bytes: Uint8Array): void {
    const record = readErrorRecord(bytes);
    if (record === undefined || !isCrash(record) || this.#crash !== undefined) return;
    this.#crash = { reason: crashReason(record), log: record.text };
    // It may still print its last lines, reset, power off or halt; each of these ends the wait.
    this.#timers.push(setTimeout(() => this.#endCrashed(), LAST_WORDS_MILLISECONDS));
  }

  /** The guest's own words by the crash registers. What an error record has told stands. */
  #handleGuestCrash(crash: GuestCrash): void {
    if (this.#crash !== undefined) return;
    this.#crash = { reason: guestCrashReason(crash), log: crash.message };
    this.#timers.push(setTimeout(() => this.#endCrashed(), LAST_WORDS_MILLISECONDS));
  }

  #endCrashed(snapshot?: ProcessorSnapshot): void {
    this.#over(endOfCrash(this.#crash, snapshot));
  }

  #handleOutcome(outcome: Outcome, snapshot: ProcessorSnapshot): void {
    if (this.#crash !== undefined) {
      this.#endCrashed(snapshot);
      return;
    }
    const end = endOfOutcome(outcome, snapshot, this.#exec !== undefined);
    if (end !== undefined) this.#over(end);
  }

  #handleFault(message: string, stack: string, snapshot: ProcessorSnapshot | undefined): void {
    this.#over(endOfFault(message, stack, snapshot));
  }

  #handleTimeout(seconds: number): void {
    if (this.#crash !== undefined) this.#endCrashed();
    else this.#over(endOfTime(seconds));
  }

  // ---- console, agent, control ------------------------------------------------------------------------------------

  #createPump(port: Uart16550, sink: ConsoleSink, observe: (bytes: Uint8Array) => void): ConsolePump {
    return new ConsolePump({ readAll: () => port.drain() }, sink, {
      observe,
      failed: (error) => this.#outputFailed(error),
    });
  }

  #outputFailed(error: unknown): void {
    if (error instanceof PlinthError) {
      this.#outputError = error;
      this.#over({ reason: 'console-closed', exitStatus: error.exitStatus, error: () => error });
    } else {
      // Nobody reads any more (plinth run | head): end as programs do on SIGPIPE.
      this.#over({ reason: 'console-closed', exitStatus: 128 + constants.signals.SIGPIPE });
    }
  }

  #createExec(command: string): ExecSession {
    const { stdin = process.stdin, stdout = process.stdout, stderr = process.stderr } = this.#hooks;
    const streams = { stdin, stdout, stderr };
    return new ExecSession(command, streams, {
      exited: (status) => this.#endCommand({ reason: 'command', exitStatus: status }),
      lost: () => this.#over(endBeforeCommand()),
    });
  }

  async #answer(request: ControlRequest, connection: ControlConnection): Promise<unknown> {
    if (this.#saver.isBusy && !['identify', 'inspect', 'turn-off'].includes(request.command)) {
      throw new PlinthError('PL-3016', { reason: 'it is being saved already' });
    }
    switch (request.command) {
      case 'save':
        return this.#answerSave(request);
      case 'identify':
        return { name: this.#configuration.name, id: this.#id, pid: process.pid };
      case 'inspect':
        return treeAt(await inspectMachine(this.#parts()), request.path ?? '');
      case 'pause':
        this.#paused = true;
        this.#processor.send({ kind: 'pause' });
        return { state: 'paused' };
      case 'resume':
        this.#paused = false;
        this.#processor.send({ kind: 'resume' });
        this.#devices?.integration.resumed();
        return { state: 'running' };
      case 'reset':
        this.#paused = false;
        this.#processor.send({ kind: 'reset' });
        return { state: 'running' };
      case 'stop':
        return this.#stop(request);
      case 'turn-off':
        this.#leave();
        return { state: 'off' };
      case 'exec': {
        const command = request.parameters?.command;
        return this.#agent.run(typeof command === 'string' ? command : '', connection);
      }
      default: {
        const services = this.#devices?.integration;
        if (services !== undefined) return answerServiceRequest(services, request);
        throw refusalWithoutHypervisor(request.command, this.#configuration.name);
      }
    }
  }

  /** By its shutdown service where it has one; its power button works in any guest, but cannot ask for a restart. */
  async #stop(request: ControlRequest): Promise<unknown> {
    if (await shutDownByService(this.#devices?.integration, request, this.#configuration.name)) {
      return { state: 'stopping', by: 'shutdown service' };
    }
    this.#chipset.pm.pressPowerButton();
    return { state: 'stopping', by: 'power button' };
  }

  /** What statistics and `plinth inspect` tell of the machine now. */
  #parts(): MachineParts {
    return {
      id: this.#id,
      configuration: this.#configuration,
      generation: this.#generation,
      commandLine: this.#commandLine,
      kernelVersion: this.#kernelVersion,
      isPaused: this.#paused,
      resets: this.#resets,
      child: this.#child,
      counters: this.#counters,
      processor: this.#processor,
      vmbus: this.#vmbus,
      devices: this.#devices,
      console: { outputBytes: this.#console.bytes, inputBytes: this.#input?.bytes ?? 0 },
      agentReadySeconds: this.#exec?.readySeconds ?? null,
      marks: this.#marks.records(),
    };
  }
}

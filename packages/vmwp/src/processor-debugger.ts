/**
 * What a debugger may do with a virtual processor, on that processor's own thread between two runs: see debug-protocol.ts.
 *
 *     free ──stop──> stopped ──step──> stepping ──one instruction──> stopped
 *       ^               │  └─continue──> watched ──stop point, stop──> stopped
 *       └────detach─────┘
 *
 * `watched` is a debugger's processor that runs. A stopped processor's thread sleeps between requests. Linear addresses are the guest's
 * at that moment; reading and writing registers and memory has no side effects on the guest's devices. Called by: processor-thread.ts.
 */
import { type DebuggedProcessor, type Exit, type GuestMemory, isGpaFault, PAGE_BYTES } from '@plinth/hypervisor';
import type { DebugAnswer, DebugRequest, StopReason } from './debug-protocol.ts';

export type DebugState = 'free' | 'watched' | 'stepping' | 'stopped';

export class ProcessorDebugger {
  readonly #processor: DebuggedProcessor;
  readonly #memory: GuestMemory;
  readonly #stopped: (reason: StopReason) => void;
  #state: DebugState = 'free';
  #isLeaving = false;

  /** @param stopped told each time the processor stops */
  constructor(processor: DebuggedProcessor, memory: GuestMemory, stopped: (reason: StopReason) => void) {
    this.#processor = processor;
    this.#memory = memory;
    this.#stopped = stopped;
  }

  get state(): DebugState {
    return this.#state;
  }

  /** Whether the processor is to stay where it is. */
  get isStopped(): boolean {
    return this.#state === 'stopped';
  }

  handle(request: DebugRequest): DebugAnswer {
    switch (request.what) {
      case 'stop':
        if (this.#state !== 'stopped') this.#stop({ why: 'asked' });
        return done(true);
      case 'continue':
        // A stop point at this very instruction has had its stop.
        this.#isLeaving = this.#state === 'stopped';
        this.#state = 'watched';
        return done(true);
      case 'step':
        this.#state = 'stepping';
        return done(true);
      case 'read-registers':
        return { what: 'registers', values: request.names.map((name) => this.#processor.readRegister(name)) };
      case 'write-register':
        this.#processor.writeRegister(request.name, request.value);
        return done(true);
      case 'read-memory':
        return { what: 'memory', bytes: this.#read(request.address, request.length) };
      case 'write-memory':
        return done(this.#write(request.address, request.bytes));
      case 'set-stop-points':
        return done(this.#processor.setStopPoints(request.points));
      case 'detach':
        this.#processor.setStopPoints([]);
        this.#state = 'free';
        return done(true);
    }
  }

  /** Runs as the debugger wants it. @returns the exit, or undefined when the processor has stopped for the debugger */
  run(slice: number): Exit | undefined {
    const exit = this.#state === 'stepping' || this.#isLeaving ? this.#processor.step() : this.#processor.run(slice);
    this.#isLeaving &&= exit.kind === 'kicked';
    if (exit.kind === 'stop-point') {
      this.#stop(
        exit.point.kind === 'execute' ? { why: 'execute', address: exit.point.address } : accessed(exit.point),
      );
      return undefined;
    }
    if (this.#state !== 'stepping') return exit;
    // What ends the machine is told as ever, and a kick comes before the instruction; anything else is one instruction done.
    const { kind } = exit;
    if (kind === 'shutdown' || kind === 'halt-forever' || kind === 'unsupported' || kind === 'kicked') return exit;
    this.#stop({ why: 'stepped' });
    return undefined;
  }

  #stop(reason: StopReason): void {
    this.#state = 'stopped';
    this.#stopped(reason);
  }

  #read(address: bigint, length: number): Uint8Array {
    const bytes = new Uint8Array(length);
    let read = 0;
    for (const { gpa, count } of this.#pages(address, length)) {
      const piece = gpa === undefined ? undefined : this.#memory.read(gpa, count);
      if (piece === undefined) break;
      bytes.set(piece, read);
      read += count;
    }
    return bytes.subarray(0, read);
  }

  /** All or nothing. */
  #write(address: bigint, bytes: Uint8Array): boolean {
    const pages = [...this.#pages(address, bytes.length)];
    const isMemory = pages.every(
      ({ gpa, count }) => gpa !== undefined && !isGpaFault(this.#memory.range(gpa, count, 'write')),
    );
    if (!isMemory) return false;
    let written = 0;
    for (const { gpa, count } of pages) {
      if (gpa !== undefined) this.#memory.write(gpa, bytes.subarray(written, written + count));
      written += count;
    }
    return true;
  }

  /** A linear range page by page. */
  *#pages(address: bigint, length: number): Generator<{ gpa: number | undefined; count: number }> {
    for (let at = 0; at < length; ) {
      const linear = BigInt.asUintN(64, address + BigInt(at));
      const count = Math.min(length - at, PAGE_BYTES - Number(linear & BigInt(PAGE_BYTES - 1)));
      yield { gpa: this.#processor.translate(linear), count };
      at += count;
    }
  }
}

const done = (value: boolean): DebugAnswer => ({ what: 'done', done: value });

const accessed = (point: { readonly kind: 'write' | 'read' | 'access'; readonly address: bigint }): StopReason => ({
  why: point.kind,
  address: point.address,
});

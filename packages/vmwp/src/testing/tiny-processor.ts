/**
 * A processor for tests of everything around the processor: it executes the handful of instructions that `tiny-kernel.ts` makes,
 * from guest memory, in 64-bit mode with flat addresses, and nothing else. Anything else is a triple fault.
 */
import type {
  Exit,
  InterceptHandlers,
  MemoryLayout,
  Partition,
  RegisterName,
  RegisterValue,
  VirtualProcessor,
} from '@plinth/hypervisor';

/** The kick word: the first word of the processor's block. */
export const kickIndex = (layout: MemoryLayout, index: number): number =>
  (layout.processorsOffset + index * layout.processorStride) >> 2;

export class TinyProcessor implements VirtualProcessor {
  readonly index: number;
  readonly #partition: Partition;
  readonly #handlers: InterceptHandlers;
  readonly #words: Int32Array;
  readonly #kick: number;
  readonly #registers = new Map<RegisterName, RegisterValue>();
  #rip = 0;
  #eax = 0;
  #edx = 0;
  #zero = false;
  #interrupts = false;
  #executed = 0;

  constructor(partition: Partition, index: number, handlers: InterceptHandlers) {
    this.index = index;
    this.#partition = partition;
    this.#handlers = handlers;
    this.#words = new Int32Array(partition.memory.buffer);
    this.#kick = kickIndex(partition.layout, index);
  }

  run(instructions: number): Exit {
    for (let left = instructions; left > 0; left--) {
      if (Atomics.exchange(this.#words, this.#kick, 0) !== 0) return { kind: 'kicked' };
      const exit = this.#step();
      if (exit !== undefined) return exit;
      this.#executed++;
    }
    return { kind: 'budget' };
  }

  #fetch(offset: number): number {
    return this.#partition.guestMemory.readU8(this.#rip + offset) ?? 0xff;
  }

  #fetch32(offset: number): number {
    return this.#partition.guestMemory.readU32(this.#rip + offset) ?? 0;
  }

  #step(): Exit | undefined {
    const opcode = this.#fetch(0);
    const next = (length: number): void => {
      this.#rip += length;
    };
    const jump = (taken: boolean): void => next(taken ? 2 + ((this.#fetch(1) << 24) >> 24) : 2);
    switch (opcode) {
      case 0xba:
        this.#edx = this.#fetch32(1);
        return next(5) as undefined;
      case 0xb8:
        this.#eax = this.#fetch32(1);
        return next(5) as undefined;
      case 0xb0:
        this.#eax = (this.#eax & ~0xff) | this.#fetch(1);
        return next(2) as undefined;
      case 0xee:
        next(1);
        this.#handlers.portWrite(this.#edx & 0xffff, 1, this.#eax & 0xff);
        return undefined;
      case 0x66:
        next(2);
        this.#handlers.portWrite(this.#edx & 0xffff, 2, this.#eax & 0xffff);
        return undefined;
      case 0xec:
        next(1);
        this.#eax = (this.#eax & ~0xff) | this.#handlers.portRead(this.#edx & 0xffff, 1);
        return undefined;
      case 0xa8:
        this.#zero = (this.#eax & this.#fetch(1)) === 0;
        return next(2) as undefined;
      case 0x3c:
        this.#zero = (this.#eax & 0xff) === this.#fetch(1);
        return next(2) as undefined;
      case 0x74:
        return jump(this.#zero) as undefined;
      case 0x75:
        return jump(!this.#zero) as undefined;
      case 0xeb:
        return jump(true) as undefined;
      case 0xc7:
        this.#store(this.#fetch32(3), this.#fetch32(7));
        return next(11) as undefined;
      case 0xfa:
        this.#interrupts = false;
        return next(1) as undefined;
      case 0xfb:
        this.#interrupts = true;
        return next(1) as undefined;
      case 0xf4:
        next(1);
        return { kind: this.#interrupts ? 'halt' : 'halt-forever' };
      default: {
        const rip = BigInt(this.#rip);
        const fault = (vector: number) => ({ vector, errorCode: 0, address: 0n, rip });
        return { kind: 'shutdown', faults: [6, 13, 8].map(fault) };
      }
    }
  }

  #store(gpa: number, value: number): void {
    if (!this.#partition.guestMemory.writeU32(gpa, value)) this.#handlers.mmioWrite(gpa >>> 0, 4, value >>> 0);
  }

  readRegister(name: RegisterName): RegisterValue {
    if (name === 'Rip') return BigInt(this.#rip);
    if (name === 'Rdx') return BigInt(this.#edx >>> 0);
    if (name === 'Rax') return BigInt(this.#eax >>> 0);
    return this.#registers.get(name) ?? 0n;
  }

  writeRegister(name: RegisterName, value: RegisterValue): void {
    if (name === 'Rip') this.#rip = Number(value);
    this.#registers.set(name, value);
  }

  kick(): void {
    Atomics.store(this.#words, this.#kick, 1);
    Atomics.notify(this.#words, this.#kick);
  }

  reset(): void {
    this.#registers.clear();
    this.#interrupts = false;
    this.#executed = 0;
  }

  nextDeadline(): number {
    return Number.POSITIVE_INFINITY;
  }

  setDeviceDeadline(): void {}

  instructionCounts(): { interpreted: number; translated: number } {
    return { interpreted: this.#executed, translated: 0 };
  }

  translate(address: bigint): number | undefined {
    return address < BigInt(this.#partition.layout.ramBytes) ? Number(address) : undefined;
  }
}

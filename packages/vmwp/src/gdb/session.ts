/**
 * One debugger's conversation: the remote serial protocol of the GNU debugger (GDB manual, appendix E) as a state machine without I/O.
 *
 *     stopped ──c, s, vCont──> running ──stop, step, stop point──> stopped
 *        └──────────── D, k, connection lost ──> over
 *
 * Packets are answered in their order; while the guest runs only an interrupt (byte 3) is heard. Each virtual processor is a thread to
 * the debugger; there is one, number 1. What the protocol knows and this does not is answered with an empty packet, as it demands.
 *
 * Invariant: whatever comes in, nothing is thrown but by the target. Called by: gdb-server.ts, which owns socket and processor.
 */
import type { StopPoint } from '@plinth/hypervisor';
import type { DebugAnswer, DebugRequest, StopReason } from '../debug-protocol.ts';
import { bytesOfHex, encodePacket, type GdbInput, hexOfBytes, PACKET_BYTES, PacketReader } from './packet.ts';
import {
  DEBUGGER_REGISTERS,
  type DebuggerRegister,
  NAMES_READ,
  REGISTER_BYTES,
  type RegisterValues,
  registerBytes,
  registerChange,
  targetDescription,
} from './target-description.ts';

/** The machine as the debugger's conversation needs it. */
export interface DebugTarget {
  /** Of the processor; answers come in the order of the requests. */
  ask(request: DebugRequest): Promise<DebugAnswer>;
  /** `monitor reset` and `kill`. */
  reset(): void;
  turnOff(): void;
}

const OK = 'OK';
const UNKNOWN = '';
/** Errors have numbers without a meaning to the debugger; these are the ones of errno for what cannot be and what is not there. */
const INVALID = 'E22';
const FAULT = 'E14';
const TRAP = 'T05';
const INTERRUPTED = 'T02';
/** Of one processor, in hexadecimal. */
const THREAD = '1';

const POINT_KINDS: Readonly<Record<string, StopPoint['kind']>> = {
  '0': 'execute',
  '1': 'execute',
  '2': 'write',
  '3': 'read',
  '4': 'access',
};
const WATCH_NAMES = { write: 'watch', read: 'rwatch', access: 'awatch' } as const;

type State = 'stopped' | 'running' | 'over';

export class GdbSession {
  readonly #target: DebugTarget;
  readonly #write: (bytes: Uint8Array) => void;
  readonly #reader = new PacketReader();
  #state: State = 'stopped';
  #acknowledges = true;
  #lastSent: Uint8Array | undefined;
  #lastStop = `${TRAP}thread:${THREAD};`;
  readonly #points = new Map<string, StopPoint>();
  #handled: Promise<void> = Promise.resolve();

  /** @param write takes bytes to the debugger */
  constructor(target: DebugTarget, write: (bytes: Uint8Array) => void) {
    this.#target = target;
    this.#write = write;
  }

  get isOver(): boolean {
    return this.#state === 'over';
  }

  /** Bytes from the debugger. Settles when all of them have been answered. */
  receive(bytes: Uint8Array): Promise<void> {
    for (const input of this.#reader.push(bytes)) {
      // An interrupt is for a processor that runs; it does not wait behind a packet that waits for it to stop.
      if (input.kind === 'interrupt') this.#interrupt();
      else this.#handled = this.#handled.then(() => this.#handle(input));
    }
    return this.#handled;
  }

  /** The processor has stopped. */
  stopped(reason: StopReason): void {
    if (this.#state !== 'running') return;
    this.#state = 'stopped';
    this.#lastStop = this.#stopReply(reason);
    this.#send(this.#lastStop);
  }

  /** The VM is over, with a process's exit status. */
  ended(status: number): void {
    if (this.#state === 'over') return;
    if (this.#state === 'running') this.#send(`W${(status & 0xff).toString(16).padStart(2, '0')}`);
    this.#state = 'over';
  }

  #interrupt(): void {
    if (this.#state === 'running') void this.#target.ask({ what: 'stop' });
  }

  async #handle(input: Exclude<GdbInput, { kind: 'interrupt' }>): Promise<void> {
    if (this.#state === 'over') return;
    switch (input.kind) {
      case 'acknowledged':
        return;
      case 'refused':
        if (this.#lastSent !== undefined) this.#write(this.#lastSent);
        return;
      case 'damaged':
        if (this.#acknowledges) this.#write(Uint8Array.of(0x2d));
        return;
      case 'packet': {
        if (this.#acknowledges) this.#write(Uint8Array.of(0x2b));
        const answer = await this.#answer(input.payload);
        if (answer !== undefined) this.#send(answer);
      }
    }
  }

  #send(payload: string): void {
    this.#lastSent = encodePacket(payload);
    this.#write(this.#lastSent);
  }

  /** @returns the answer's payload; undefined where none comes, or only when the processor stops */
  async #answer(packet: string): Promise<string | undefined> {
    switch (packet[0]) {
      case '?':
        return this.#lastStop;
      case 'g':
        return this.#readAll();
      case 'G':
        return this.#writeAll(packet.slice(1));
      case 'p':
        return this.#readOne(packet.slice(1));
      case 'P':
        return this.#writeOne(packet.slice(1));
      case 'm':
        return this.#readMemory(packet.slice(1));
      case 'M':
      case 'X':
        return this.#writeMemory(packet);
      case 'Z':
      case 'z':
        return this.#changePoint(packet);
      case 'c':
      case 's':
      case 'C':
      case 'S':
        return this.#resumeAt(packet);
      case 'H':
        return /^H[gc](-1|0|1)$/.test(packet) ? OK : INVALID;
      case 'T':
        return packet === `T${THREAD}` || packet === 'T01' ? OK : INVALID;
      case 'D':
        await this.#target.ask({ what: 'detach' });
        this.#send(OK);
        this.#state = 'over';
        return undefined;
      case 'k':
        this.#state = 'over';
        this.#target.turnOff();
        return undefined;
      case 'q':
      case 'Q':
        return this.#answerQuery(packet);
      case 'v':
        return this.#answerLong(packet);
      default:
        return UNKNOWN;
    }
  }

  async #answerQuery(packet: string): Promise<string> {
    const [name = '', ...rest] = packet.split(/[:;,]/);
    switch (name) {
      case 'qSupported':
        return (
          `PacketSize=${PACKET_BYTES.toString(16)};QStartNoAckMode+;qXfer:features:read+;` +
          'swbreak+;hwbreak+;vContSupported+'
        );
      case 'QStartNoAckMode':
        this.#acknowledges = false;
        return OK;
      case 'qXfer': {
        const [object, action, annex, offset, length] = rest;
        if (object !== 'features' || action !== 'read') return UNKNOWN;
        if (annex !== 'target.xml') return 'E00';
        return piece(targetDescription(), number(offset), number(length));
      }
      case 'qAttached':
        return '1';
      case 'qC':
        return `QC${THREAD}`;
      case 'qfThreadInfo':
        return `m${THREAD}`;
      case 'qsThreadInfo':
        return 'l';
      case 'qThreadExtraInfo':
        return hexOfBytes(new TextEncoder().encode('virtual processor 0'));
      case 'qSymbol':
        return OK;
      case 'qRcmd':
        return this.#monitor(rest[0] ?? '');
      default:
        return UNKNOWN;
    }
  }

  /** `monitor WORD`: what a debugger's user asks of the machine itself. */
  #monitor(digits: string): string {
    const bytes = bytesOfHex(digits);
    const command = bytes === undefined ? '' : new TextDecoder().decode(bytes).trim();
    const say = (line: string): string => hexOfBytes(new TextEncoder().encode(`${line}\n`));
    switch (command) {
      case 'reset':
        this.#target.reset();
        return OK;
      case 'quit':
        this.#target.turnOff();
        return OK;
      case 'help':
        return say('monitor reset: reset the machine; monitor quit: turn it off. Everything else: plinth inspect');
      default:
        return say(`no such command: ${command} (monitor help)`);
    }
  }

  async #answerLong(packet: string): Promise<string | undefined> {
    if (packet === 'vCont?') return 'vCont;c;C;s;S';
    if (packet.startsWith('vCont;')) {
      // The first action that names the thread, or names none, is its.
      const action = packet
        .slice('vCont;'.length)
        .split(';')
        .find((each) => /^[cCsS]/.test(each) && /^[^:]*(:(p-?\d+\.)?(-1|0?1))?$/.test(each));
      if (action === undefined) return INVALID;
      return this.#resume(/^[sS]/.test(action));
    }
    if (packet.startsWith('vKill')) {
      this.#state = 'over';
      this.#send(OK);
      this.#target.turnOff();
      return undefined;
    }
    return UNKNOWN;
  }

  // ---- running ----------------------------------------------------------------------------------------------------

  async #resumeAt(packet: string): Promise<string | undefined> {
    const match = /^[csCS]([0-9a-f]{2};?)?([0-9a-f]+)?$/i.exec(packet);
    const withSignal = packet.startsWith('C') || packet.startsWith('S');
    const address = withSignal ? match?.[2] : packet.slice(1);
    if (address !== undefined && address !== '') {
      if (!/^[0-9a-f]{1,16}$/i.test(address)) return INVALID;
      await this.#target.ask({ what: 'write-register', name: 'Rip', value: BigInt(`0x${address}`) });
    }
    return this.#resume(/^[sS]/.test(packet));
  }

  async #resume(step: boolean): Promise<undefined> {
    // Before the request: it may stop again before the answer is here.
    this.#state = 'running';
    await this.#target.ask({ what: step ? 'step' : 'continue' });
    return undefined;
  }

  async #changePoint(packet: string): Promise<string> {
    const match = /^([Zz])([0-4]),([0-9a-f]{1,16}),([0-9a-f]{1,4})(;.*)?$/i.exec(packet);
    const kind = POINT_KINDS[match?.[2] ?? ''];
    if (match === null || kind === undefined) return INVALID;
    // A condition is the debugger's own affair: it evaluates it at each stop.
    const address = BigInt(`0x${match[3]}`);
    const bytes = number(match[4]);
    const before = new Map(this.#points);
    const key = `${match[2]},${address},${bytes}`;
    if (match[1] === 'z') this.#points.delete(key);
    else this.#points.set(key, kind === 'execute' ? { kind, address } : { kind, address, bytes });
    const answer = await this.#target.ask({ what: 'set-stop-points', points: [...this.#points.values()] });
    if (answer.what === 'done' && answer.done) return OK;
    this.#points.clear();
    for (const [name, point] of before) this.#points.set(name, point);
    return INVALID;
  }

  #stopReply(reason: StopReason): string {
    switch (reason.why) {
      case 'asked':
        return `${INTERRUPTED}thread:${THREAD};`;
      case 'stepped':
        return `${TRAP}thread:${THREAD};`;
      case 'execute':
        return `${TRAP}thread:${THREAD};${this.#hasSoftwarePoint(reason.address) ? 'swbreak' : 'hwbreak'}:;`;
      default:
        return `${TRAP}thread:${THREAD};${WATCH_NAMES[reason.why]}:${reason.address.toString(16)};`;
    }
  }

  /** The debugger tells the two kinds apart, though both are the engine's here and write nothing into guest memory. */
  #hasSoftwarePoint(address: bigint): boolean {
    return [...this.#points.keys()].some((key) => key.startsWith(`0,${address},`));
  }

  // ---- registers --------------------------------------------------------------------------------------------------

  async #values(): Promise<RegisterValues> {
    const answer = await this.#target.ask({ what: 'read-registers', names: NAMES_READ });
    if (answer.what !== 'registers') return new Map();
    return new Map(
      NAMES_READ.flatMap((name, index) => {
        const value = answer.values[index];
        return value === undefined ? [] : [[name, value] as const];
      }),
    );
  }

  async #readAll(): Promise<string> {
    const values = await this.#values();
    return DEBUGGER_REGISTERS.map((register) => hexOfRegister(register, values)).join('');
  }

  async #readOne(digits: string): Promise<string> {
    const register = DEBUGGER_REGISTERS[number(digits)];
    if (register === undefined) return INVALID;
    return hexOfRegister(register, await this.#values());
  }

  async #writeOne(text: string): Promise<string> {
    const [digits, value = ''] = text.split('=');
    const register = DEBUGGER_REGISTERS[number(digits)];
    const bytes = bytesOfHex(value);
    if (register === undefined || bytes === undefined) return INVALID;
    return (await this.#put(register, bytes, await this.#values())) ? OK : INVALID;
  }

  /** Those that the debugger knows; what cannot be changed stays as it is. */
  async #writeAll(digits: string): Promise<string> {
    const bytes = bytesOfHex(digits.replace(/x/gi, '0'));
    if (bytes === undefined || bytes.length !== REGISTER_BYTES) return INVALID;
    let at = 0;
    for (const register of DEBUGGER_REGISTERS) {
      const end = at + register.bits / 8;
      // One may be a part of what another one has changed.
      if (!/x/i.test(digits.slice(at * 2, end * 2)))
        await this.#put(register, bytes.subarray(at, end), await this.#values());
      at = end;
    }
    return OK;
  }

  async #put(register: DebuggerRegister, bytes: Uint8Array, values: RegisterValues): Promise<boolean> {
    // Writing back what stands is no change: a debugger that writes all registers means one.
    if (hexOfBytes(registerBytes(register, values) ?? []) === hexOfBytes(bytes)) return true;
    const change = registerChange(register, bytes, values);
    if (change === undefined) return false;
    const answer = await this.#target.ask({ what: 'write-register', name: change[0], value: change[1] });
    return answer.what === 'done' && answer.done;
  }

  // ---- memory -----------------------------------------------------------------------------------------------------

  async #readMemory(text: string): Promise<string> {
    const match = /^([0-9a-f]{1,16}),([0-9a-f]{1,8})$/i.exec(text);
    if (match === null) return INVALID;
    const length = Math.min(number(match[2]), PACKET_BYTES / 2);
    const answer = await this.#target.ask({ what: 'read-memory', address: BigInt(`0x${match[1]}`), length });
    if (answer.what !== 'memory' || (answer.bytes.length === 0 && length > 0)) return FAULT;
    return hexOfBytes(answer.bytes);
  }

  async #writeMemory(packet: string): Promise<string> {
    const match = /^[MX]([0-9a-f]{1,16}),([0-9a-f]{1,8}):/i.exec(packet);
    if (match === null) return INVALID;
    const data = packet.slice(match[0].length);
    const bytes = packet.startsWith('X') ? Uint8Array.from(data, (byte) => byte.charCodeAt(0)) : bytesOfHex(data);
    if (bytes === undefined || bytes.length !== number(match[2])) return INVALID;
    // The debugger asks with no bytes whether binary packets are understood.
    if (bytes.length === 0) return OK;
    const answer = await this.#target.ask({ what: 'write-memory', address: BigInt(`0x${match[1]}`), bytes });
    return answer.what === 'done' && answer.done ? OK : FAULT;
  }
}

function hexOfRegister(register: DebuggerRegister, values: RegisterValues): string {
  const bytes = registerBytes(register, values);
  return bytes === undefined ? 'xx'.repeat(register.bits / 8) : hexOfBytes(bytes);
}

const number = (digits: string | undefined): number => Number.parseInt(digits ?? '', 16);

function piece(whole: string, offset: number, length: number): string {
  if (Number.isNaN(offset) || Number.isNaN(length)) return INVALID;
  const part = whole.slice(offset, offset + Math.min(length, PACKET_BYTES - 8));
  return `${offset + part.length < whole.length ? 'm' : 'l'}${part}`;
}

/**
 * The hypercall interface: from the registers to a row of the table, with every check that is common to all calls.
 *
 *     control word ──> row ──> reserved bits, rep counts, header size ──> privilege ──> input ──> handler ──> output, result
 *
 * A rep call does its elements in order until TIME_SLICE is used up; then the instruction is executed again with the new start index, so
 * interrupts come through. At least one element is done each time. Invariant: nothing a guest passes makes a handler read or write
 * outside the parameters it named, and none throws.
 * Answers to: TLFS, "Hypercall interface". Called by: guest-interface.ts.
 */
import { isGpaFault } from '../guest-memory.ts';
import { type DeviceArea, describeState } from '../shared-state.ts';
import { FAST_BYTES, FAST_GENERAL_BYTES, HypercallRegisters } from './hypercall-registers.ts';
import type { Ports } from './ports.ts';
import { hasPrivilege, type PrivilegeName } from './privileges.ts';
import { HV_STATUS, type HvStatus } from './status.ts';
import type { VirtualProcessorState } from './virtual-processor.ts';

/** One invocation, as its handler sees it. */
export interface HypercallCall {
  readonly vp: VirtualProcessorState;
  /** All processors of the partition. */
  readonly processors: readonly VirtualProcessorState[];
  readonly ports: Ports;
  /** Header, fixed and variable; a copy. */
  readonly header: DataView;
  /** Bytes of the header's variable part. */
  readonly variableBytes: number;
}

interface Common {
  readonly code: number;
  readonly name: string;
  /** Bytes of the fixed header; a multiple of 8. */
  readonly headerBytes: number;
  /** The header may be longer than its fixed part. */
  readonly variableHeader?: boolean;
  /** Smallest input of the slow form, where callers may leave out what follows (a message's payload). */
  readonly privilege?: PrivilegeName;
}

/** A call that does one thing. @returns its status; output is filled where it succeeds */
export interface SimpleHypercall extends Common {
  readonly outputBytes: number;
  readonly call: (call: HypercallCall, output: DataView) => HvStatus;
}

/** A call for a list of elements. */
export interface RepHypercall extends Common {
  readonly elementBytes: number;
  readonly outputElementBytes: number;
  /** Checked once before the elements of each invocation. */
  readonly begin?: (call: HypercallCall) => HvStatus;
  readonly element: (call: HypercallCall, input: DataView, output: DataView) => HvStatus;
}

export type Hypercall = SimpleHypercall | RepHypercall;

/** How long a rep call may take before the guest may take interrupts, in nanoseconds. */
const TIME_SLICE = 50_000;

/** How often each row was called. */
const STATE = describeState(1, { counts: { type: 'u32', length: 64, transient: true } });

/** Fields of the input value's low and high half. */
const LOW = { fast: 1 << 16, variableShift: 17, variableMask: 0x3ff, reserved: 0xf8000000 } as const;
const HIGH = { repMask: 0xfff, repStartShift: 16, reserved: 0xf000f000 } as const;
const FIELD = { repCountShift: 32n, repStartShift: 48n, repMask: 0xfffn } as const;
const NOTHING = new Uint8Array(0);
const NO_BYTES = new DataView(NOTHING.buffer);
const REP_START_FIELD = FIELD.repMask << FIELD.repStartShift;
const PAGE_BYTES = 4096;

const roundUp = (value: number, multiple: number): number => Math.ceil(value / multiple) * multiple;

/** Parts of a decoded control word. */
interface Control {
  readonly isFast: boolean;
  readonly variableBytes: number;
  readonly repCount: number;
  readonly repStart: number;
}

/** A processor's registers, and which rows its partition may call. */
interface Caller {
  readonly registers: HypercallRegisters;
  readonly allowed: readonly boolean[];
}

export class HypercallInterface {
  readonly #rows: ReadonlyMap<number, { readonly row: Hypercall; readonly number: number }>;
  readonly #processors: readonly VirtualProcessorState[];
  readonly #ports: Ports;
  readonly #counts: Uint32Array;
  /** By processor, made when it first calls. */
  readonly #callers: Caller[] = [];

  constructor(
    area: DeviceArea,
    rows: readonly Hypercall[],
    processors: readonly VirtualProcessorState[],
    ports: Ports,
  ) {
    this.#counts = area.attach('hypercalls', STATE).values.counts;
    this.#rows = new Map(rows.map((row, number) => [row.code, { row, number }]));
    this.#processors = processors;
    this.#ports = ports;
  }

  /** Calls by name, as often as they were made. */
  get counts(): Readonly<Record<string, number>> {
    const named = [...this.#rows.values()].map(({ row, number }) => [row.name, this.#counts[number] ?? 0] as const);
    return Object.fromEntries(named.filter(([, count]) => count > 0));
  }

  /** Answers the instruction of a processor; see InterceptHandlers.hypercall. */
  execute(vp: VirtualProcessorState): 'absent' | 'completed' | 'again' {
    if (!vp.shared.hypercallsEnabled) return 'absent';
    const { registers, allowed } = this.#callerOf(vp);
    const value = registers.begin().control;
    const low = Number(BigInt.asUintN(32, value));
    const found = this.#rows.get(low & 0xffff);
    const finish = (status: HvStatus, completed = 0): 'completed' => {
      registers.setResult(
        completed === 0 ? BigInt(status) : BigInt(status) | (BigInt(completed) << FIELD.repCountShift),
      );
      return 'completed';
    };
    if (found === undefined) return finish(HV_STATUS.INVALID_HYPERCALL_CODE);
    const { row, number } = found;
    this.#counts[number] = (this.#counts[number] ?? 0) + 1;
    if (allowed[number] !== true) return finish(HV_STATUS.ACCESS_DENIED);
    const control = decode(low, Number(value >> 32n), row);
    if (control === undefined) return finish(HV_STATUS.INVALID_HYPERCALL_INPUT);
    const bytes = parameterBytes(row, control);
    if (control.isFast && bytes.input > FAST_BYTES) return finish(HV_STATUS.INVALID_HYPERCALL_INPUT);
    const input = control.isFast ? registers.readFast(bytes.input) : this.#readInput(vp, registers.input, bytes.input);
    if (input === undefined) return finish(HV_STATUS.INVALID_ALIGNMENT);
    const outputStart = roundUp(bytes.input, FAST_GENERAL_BYTES);
    if (
      control.isFast ? outputStart + bytes.output > FAST_BYTES : !this.#isWritable(vp, registers.output, bytes.output)
    ) {
      return finish(control.isFast ? HV_STATUS.INVALID_HYPERCALL_INPUT : HV_STATUS.INVALID_ALIGNMENT);
    }
    const output = bytes.output === 0 ? NOTHING : new Uint8Array(bytes.output);
    const headerBytes = row.headerBytes + control.variableBytes;
    const call: HypercallCall = {
      vp,
      processors: this.#processors,
      ports: this.#ports,
      header: new DataView(input.buffer, input.byteOffset, headerBytes),
      variableBytes: control.variableBytes,
    };
    const put = (from: number, end: number): void => {
      if (end <= from) return;
      if (control.isFast) registers.writeFast(outputStart, output);
      else vp.shared.partition.guestMemory.write(Number(registers.output) + from, output.subarray(from, end));
    };

    if ('call' in row) {
      const status = row.call(call, output === NOTHING ? NO_BYTES : new DataView(output.buffer));
      if (status === HV_STATUS.SUCCESS) put(0, output.length);
      return finish(status);
    }
    const elements = new DataView(input.buffer, input.byteOffset + headerBytes);
    const { status, done } = this.#repeat(row, call, control, elements, new DataView(output.buffer));
    put(control.repStart * row.outputElementBytes, done * row.outputElementBytes);
    if (status !== HV_STATUS.SUCCESS || done === control.repCount) return finish(status, done);
    registers.control = (value & ~REP_START_FIELD) | (BigInt(done) << FIELD.repStartShift);
    return 'again';
  }

  #callerOf(vp: VirtualProcessorState): Caller {
    const known = this.#callers[vp.index];
    if (known !== undefined) return known;
    const { privileges } = vp.shared;
    const caller = {
      registers: new HypercallRegisters(vp.processor),
      allowed: [...this.#rows.values()].map(
        ({ row }) => row.privilege === undefined || hasPrivilege(privileges, row.privilege),
      ),
    };
    this.#callers[vp.index] = caller;
    return caller;
  }

  /** Elements from the start index on, until all are done, one fails, or the time is up. @returns how many are done in all */
  #repeat(
    row: RepHypercall,
    call: HypercallCall,
    { repStart, repCount }: Control,
    elements: DataView,
    output: DataView,
  ): { readonly status: HvStatus; readonly done: number } {
    const begun = row.begin?.(call) ?? HV_STATUS.SUCCESS;
    if (begun !== HV_STATUS.SUCCESS) return { status: begun, done: repStart };
    const { clock } = call.vp.shared.partition;
    const end = clock.now() + TIME_SLICE;
    const part = (view: DataView, index: number, bytes: number): DataView =>
      new DataView(view.buffer, view.byteOffset + index * bytes, bytes);
    for (let index = repStart; index < repCount; index++) {
      const status = row.element(
        call,
        part(elements, index, row.elementBytes),
        part(output, index, row.outputElementBytes),
      );
      if (status !== HV_STATUS.SUCCESS) return { status, done: index };
      if (clock.now() >= end) return { status: HV_STATUS.SUCCESS, done: index + 1 };
    }
    return { status: HV_STATUS.SUCCESS, done: repCount };
  }

  /** The slow form's parameters, as a copy; undefined where they are misaligned, cross a page, or lie in no memory. */
  #readInput(vp: VirtualProcessorState, gpa: bigint, bytes: number): Uint8Array | undefined {
    if (bytes === 0) return new Uint8Array(0);
    return inOnePage(gpa, bytes) ? vp.shared.partition.guestMemory.read(Number(gpa), bytes) : undefined;
  }

  #isWritable(vp: VirtualProcessorState, gpa: bigint, bytes: number): boolean {
    if (bytes === 0) return true;
    return inOnePage(gpa, bytes) && !isGpaFault(vp.shared.partition.guestMemory.range(Number(gpa), bytes, 'write'));
  }
}

function decode(low: number, high: number, row: Hypercall): Control | undefined {
  const variable = (low >>> LOW.variableShift) & LOW.variableMask;
  const repCount = high & HIGH.repMask;
  const repStart = (high >>> HIGH.repStartShift) & HIGH.repMask;
  if ((low & LOW.reserved) !== 0 || (high & HIGH.reserved) !== 0) return undefined;
  if (variable !== 0 && row.variableHeader !== true) return undefined;
  if ('call' in row ? repCount !== 0 || repStart !== 0 : repStart >= repCount) return undefined;
  return { isFast: (low & LOW.fast) !== 0, variableBytes: variable * 8, repCount, repStart };
}

function parameterBytes(row: Hypercall, { variableBytes, repCount }: Control): { input: number; output: number } {
  const header = row.headerBytes + variableBytes;
  if ('call' in row) return { input: header, output: row.outputBytes };
  return { input: header + repCount * row.elementBytes, output: repCount * row.outputElementBytes };
}

/** 8-byte aligned, within a page, and a number that can be an address. */
function inOnePage(gpa: bigint, bytes: number): boolean {
  return gpa % 8n === 0n && gpa < 2n ** 52n && Number(gpa % BigInt(PAGE_BYTES)) + bytes <= PAGE_BYTES;
}

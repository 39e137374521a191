/**
 * Error record serialization: the platform's store for what an operating system wants to keep of its own crash.
 *
 * ACPI 6.4, 18.5 "Error Serialization" (table ERST); in Linux drivers/acpi/apei/erst.c with fs/pstore, which are built into
 * the kernels of the distributions and write the kernel's log here when it panics, before any module or init is there.
 * This is how Plinth learns of a guest's panic without knowing the guest: by the platform interface made for it.
 *
 *     +0x0000  u32 action register: writing a serialization action performs it
 *     +0x0008  u64 value register: its input or output
 *     +0x1000  16 KiB error log address range: one record at a time passes through it
 *
 * Invariants: at most RECORD_LIMIT records are kept, for as long as the VM lives (its resets included); nothing a guest writes is
 * used as an index or length before it is checked. Runs on the processor's thread.
 */
import { PlinthError } from '@plinth/errors';
import {
  type AccessSize,
  type Device,
  type DeviceArea,
  describeState,
  type InspectTree,
  type MmioRange,
  type SharedState,
} from '@plinth/hypervisor';

/** Guest-physical base: between the IOAPIC's page and the local APIC's. */
export const ERROR_RECORD_BASE = 0xfed1_0000;
const BUFFER_OFFSET = 0x1000;
const BUFFER_BYTES = 0x4000;
const VALUE_REGISTER = 8;
const RECORD_LIMIT = 8;
/** Bytes of a common platform error record's header (UEFI 2.9, N.2.1). */
const RECORD_HEADER_BYTES = 128;
const INVALID_RECORD = 0xffff_ffff_ffff_ffffn;

/** Serialization actions (ACPI 6.4, table 18.18). */
const ACTION = {
  beginWrite: 0x0,
  beginRead: 0x1,
  beginClear: 0x2,
  end: 0x3,
  setRecordOffset: 0x4,
  executeOperation: 0x5,
  checkBusyStatus: 0x6,
  getCommandStatus: 0x7,
  getRecordIdentifier: 0x8,
  setRecordIdentifier: 0x9,
  getRecordCount: 0xa,
  beginDummyWrite: 0xb,
  getErrorLogAddressRange: 0xd,
  getErrorLogAddressRangeLength: 0xe,
  getErrorLogAddressRangeAttributes: 0xf,
} as const;

/** Command status (ACPI 6.4, table 18.19). */
const STATUS = { success: 0, notEnoughSpace: 1, failed: 3, storeEmpty: 4, recordNotFound: 5 } as const;

/** Serialization instructions (ACPI 6.4, table 18.22). */
const INSTRUCTION = { readRegister: 0, writeRegister: 2, writeRegisterValue: 3 } as const;

/** What `executeOperation` does, as begun before it. */
const OPERATION = { none: 0, write: 1, read: 2, clear: 3, dummyWrite: 4 } as const;

const STATE = describeState(1, {
  operation: 'u8',
  status: 'u8',
  /** The record whose identifier is given next. */
  nextIndex: 'u8',
  valueLow: 'u32',
  valueHigh: 'u32',
  recordOffset: 'u32',
  identifierLow: 'u32',
  identifierHigh: 'u32',
  /** Bytes of the records; 0: free. */
  lengths: { type: 'u32', length: RECORD_LIMIT },
  buffer: { type: 'u8', length: BUFFER_BYTES, transient: true },
  records: { type: 'u8', length: RECORD_LIMIT * BUFFER_BYTES, transient: true },
});

export class ErrorRecordDevice implements Device {
  readonly name = 'error-records';
  readonly ports = [];
  readonly mmio: readonly MmioRange[] = [{ start: ERROR_RECORD_BASE, bytes: BUFFER_OFFSET + BUFFER_BYTES }];
  readonly #state: SharedState<typeof STATE.table>;
  readonly #buffer: DataView;
  readonly #recordWritten: (record: Uint8Array) => void;

  /** @param recordWritten told, on the processor's thread, of each record that the guest stores; the bytes are a copy */
  constructor(area: DeviceArea, recordWritten: (record: Uint8Array) => void) {
    this.#state = area.attach(this.name, STATE);
    const { buffer } = this.#state.values;
    this.#buffer = new DataView(buffer.buffer, buffer.byteOffset, buffer.byteLength);
    this.#recordWritten = recordWritten;
    if (this.#state.fresh) this.reset();
  }

  readMmio(offset: number, size: AccessSize): number {
    if (offset >= BUFFER_OFFSET) return this.#readBuffer(offset - BUFFER_OFFSET, size);
    const { valueLow, valueHigh } = this.#state.values;
    if (size !== 4) return 0;
    return offset === VALUE_REGISTER ? valueLow : offset === VALUE_REGISTER + 4 ? valueHigh : 0;
  }

  writeMmio(offset: number, size: AccessSize, value: number): void {
    if (offset >= BUFFER_OFFSET) {
      this.#writeBuffer(offset - BUFFER_OFFSET, size, value);
      return;
    }
    if (size !== 4) return;
    if (offset === VALUE_REGISTER) this.#state.values.valueLow = value;
    else if (offset === VALUE_REGISTER + 4) this.#state.values.valueHigh = value;
    else if (offset === 0) this.#act(value);
  }

  /** Back to the start of the protocol; stored records stay, as in the flash memory of a real platform. */
  reset(): void {
    const { values } = this.#state;
    values.buffer.fill(0);
    values.operation = OPERATION.none;
    values.status = STATUS.success;
    values.nextIndex = 0;
    values.recordOffset = 0;
    this.#setValue(0n);
    values.identifierLow = values.identifierHigh = 0xffff_ffff;
  }

  inspect(): InspectTree {
    return {
      operation: Object.keys(OPERATION)[this.#state.values.operation] ?? 'none',
      status: this.#state.values.status,
      records: this.#stored().map((index) => ({
        identifier: `0x${this.#identifierOf(index).toString(16)}`,
        bytes: this.#record(index).length,
      })),
    };
  }

  save(): unknown {
    const records = this.#stored().map((index) => Buffer.from(this.#record(index)).toString('base64'));
    return { ...this.#state.save(), records };
  }

  restore(state: unknown): void {
    const records = savedRecords(state, this.name);
    this.#state.restore({ ...(state as object), records: undefined });
    const { values } = this.#state;
    values.lengths.fill(0);
    records.forEach((bytes, index) => {
      values.records.set(bytes, index * BUFFER_BYTES);
      values.lengths[index] = bytes.length;
    });
  }

  #readBuffer(offset: number, size: AccessSize): number {
    if (offset + size > BUFFER_BYTES) return 0;
    if (size === 1) return this.#buffer.getUint8(offset);
    return size === 2 ? this.#buffer.getUint16(offset, true) : this.#buffer.getUint32(offset, true);
  }

  #writeBuffer(offset: number, size: AccessSize, value: number): void {
    if (offset + size > BUFFER_BYTES) return;
    if (size === 1) this.#buffer.setUint8(offset, value);
    else if (size === 2) this.#buffer.setUint16(offset, value, true);
    else this.#buffer.setUint32(offset, value, true);
  }

  get #identifier(): bigint {
    return (BigInt(this.#state.values.identifierHigh) << 32n) | BigInt(this.#state.values.identifierLow);
  }

  #setValue(value: bigint): void {
    this.#state.values.valueLow = Number(value & 0xffff_ffffn);
    this.#state.values.valueHigh = Number(value >> 32n);
  }

  #act(action: number): void {
    const { values } = this.#state;
    switch (action) {
      case ACTION.beginWrite:
        values.operation = OPERATION.write;
        break;
      case ACTION.beginRead:
        values.operation = OPERATION.read;
        break;
      case ACTION.beginClear:
        values.operation = OPERATION.clear;
        break;
      case ACTION.beginDummyWrite:
        values.operation = OPERATION.dummyWrite;
        break;
      case ACTION.end:
        values.operation = OPERATION.none;
        break;
      case ACTION.setRecordOffset:
        values.recordOffset = values.valueHigh === 0 ? values.valueLow : 0xffff_ffff;
        break;
      case ACTION.setRecordIdentifier:
        values.identifierLow = values.valueLow;
        values.identifierHigh = values.valueHigh;
        break;
      case ACTION.executeOperation:
        values.status = this.#execute();
        break;
      case ACTION.checkBusyStatus:
        this.#setValue(0n);
        break;
      case ACTION.getCommandStatus:
        this.#setValue(BigInt(values.status));
        break;
      case ACTION.getRecordIdentifier:
        this.#setValue(this.#nextIdentifier());
        break;
      case ACTION.getRecordCount:
        this.#setValue(BigInt(this.#stored().length));
        break;
      case ACTION.getErrorLogAddressRange:
        this.#setValue(BigInt(ERROR_RECORD_BASE + BUFFER_OFFSET));
        break;
      case ACTION.getErrorLogAddressRangeLength:
        this.#setValue(BigInt(BUFFER_BYTES));
        break;
      case ACTION.getErrorLogAddressRangeAttributes:
        this.#setValue(0n);
        break;
    }
  }

  #execute(): number {
    switch (this.#state.values.operation) {
      case OPERATION.write:
        return this.#write();
      case OPERATION.read:
        return this.#read();
      case OPERATION.clear:
        return this.#clear();
      case OPERATION.dummyWrite:
        return STATUS.success;
      default:
        return STATUS.failed;
    }
  }

  #write(): number {
    const { values } = this.#state;
    const offset = values.recordOffset;
    if (offset > BUFFER_BYTES - RECORD_HEADER_BYTES) return STATUS.failed;
    const length = this.#buffer.getUint32(offset + 20, true);
    if (length < RECORD_HEADER_BYTES || offset + length > BUFFER_BYTES) return STATUS.failed;
    const identifier = this.#buffer.getBigUint64(offset + 96, true);
    if (identifier === INVALID_RECORD) return STATUS.failed;
    const record = values.buffer.slice(offset, offset + length);
    const index = this.#find(identifier) ?? values.lengths.indexOf(0);
    if (index < 0) {
      // What it says counts though it cannot be kept.
      this.#recordWritten(record);
      return STATUS.notEnoughSpace;
    }
    values.records.set(record, index * BUFFER_BYTES);
    values.lengths[index] = length;
    this.#recordWritten(record);
    return STATUS.success;
  }

  #read(): number {
    const { values } = this.#state;
    const index = this.#identifier === INVALID_RECORD ? this.#stored()[0] : this.#find(this.#identifier);
    if (index === undefined) return this.#stored().length === 0 ? STATUS.storeEmpty : STATUS.recordNotFound;
    const record = this.#record(index);
    if (values.recordOffset + record.length > BUFFER_BYTES) return STATUS.failed;
    values.buffer.set(record, values.recordOffset);
    return STATUS.success;
  }

  #clear(): number {
    const index = this.#find(this.#identifier);
    if (index === undefined) return this.#stored().length === 0 ? STATUS.storeEmpty : STATUS.recordNotFound;
    this.#state.values.lengths[index] = 0;
    return STATUS.success;
  }

  /** Each call gives the next stored record's identifier, from the first again after the last. */
  #nextIdentifier(): bigint {
    const stored = this.#stored();
    if (stored.length === 0) return INVALID_RECORD;
    const { values } = this.#state;
    const index = stored.find((candidate) => candidate >= values.nextIndex) ?? stored[0] ?? 0;
    values.nextIndex = index + 1;
    return this.#identifierOf(index);
  }

  /** Indices of the places that hold a record. */
  #stored(): number[] {
    return Array.from(this.#state.values.lengths.keys()).filter((index) => this.#state.values.lengths[index] !== 0);
  }

  #find(identifier: bigint): number | undefined {
    return this.#stored().find((index) => this.#identifierOf(index) === identifier);
  }

  #record(index: number): Uint8Array {
    const start = index * BUFFER_BYTES;
    return this.#state.values.records.slice(start, start + (this.#state.values.lengths[index] ?? 0));
  }

  #identifierOf(index: number): bigint {
    const { records } = this.#state.values;
    return new DataView(records.buffer, records.byteOffset + index * BUFFER_BYTES).getBigUint64(96, true);
  }
}

/** The records of a saved state. @throws PlinthError PL-4104 for what is none */
function savedRecords(state: unknown, device: string): Uint8Array[] {
  const records = typeof state === 'object' && state !== null && 'records' in state ? state.records : undefined;
  if (!Array.isArray(records) || records.length > RECORD_LIMIT) {
    throw new PlinthError('PL-4104', { device, problem: 'its records are missing' });
  }
  return records.map((text: unknown) => {
    const bytes = typeof text === 'string' ? Buffer.from(text, 'base64') : new Uint8Array(0);
    if (bytes.length < RECORD_HEADER_BYTES || bytes.length > BUFFER_BYTES) {
      throw new PlinthError('PL-4104', { device, problem: "a record's length is wrong" });
    }
    return bytes;
  });
}

/** One serialization instruction entry: 32 bytes (ACPI 6.4, table 18.20). */
interface Entry {
  readonly action: number;
  readonly instruction: number;
  readonly register: 'action' | 'value';
  readonly value: number;
}

/** What an operating system executes for each action: write the input, write the action's number, read the output. */
function instructionEntries(): Entry[] {
  const inputs: number[] = [ACTION.setRecordOffset, ACTION.setRecordIdentifier];
  const outputs: number[] = [
    ACTION.checkBusyStatus,
    ACTION.getCommandStatus,
    ACTION.getRecordIdentifier,
    ACTION.getRecordCount,
    ACTION.getErrorLogAddressRange,
    ACTION.getErrorLogAddressRangeLength,
    ACTION.getErrorLogAddressRangeAttributes,
  ];
  return Object.values(ACTION).flatMap((action) => [
    ...(inputs.includes(action)
      ? [{ action, instruction: INSTRUCTION.writeRegister, register: 'value', value: 0 } as const]
      : []),
    { action, instruction: INSTRUCTION.writeRegisterValue, register: 'action', value: action } as const,
    ...(outputs.includes(action)
      ? [{ action, instruction: INSTRUCTION.readRegister, register: 'value', value: 0 } as const]
      : []),
  ]);
}

/**
 * Body of the ERST table: what follows the 36 bytes of the common ACPI header.
 * Its revision is 1.
 */
export function errorRecordTableBody(): Uint8Array {
  const entries = instructionEntries();
  const body = new Uint8Array(12 + entries.length * 32);
  const view = new DataView(body.buffer);
  view.setUint32(0, 48, true);
  view.setUint32(8, entries.length, true);
  entries.forEach((entry, index) => {
    const offset = 12 + index * 32;
    const wide = entry.register === 'value';
    view.setUint8(offset, entry.action);
    view.setUint8(offset + 1, entry.instruction);
    // A generic address structure: system memory, width in bits, first bit, access size (3 dword, 4 qword), address.
    view.setUint8(offset + 4, 0);
    view.setUint8(offset + 5, wide ? 64 : 32);
    view.setUint8(offset + 6, 0);
    view.setUint8(offset + 7, wide ? 4 : 3);
    view.setBigUint64(offset + 8, BigInt(ERROR_RECORD_BASE + (wide ? VALUE_REGISTER : 0)), true);
    view.setBigUint64(offset + 16, BigInt(entry.value), true);
    view.setBigUint64(offset + 24, wide ? 0xffff_ffff_ffff_ffffn : 0xffff_ffffn, true);
  });
  return body;
}

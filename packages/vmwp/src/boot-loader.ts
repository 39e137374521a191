/**
 * Puts what the guest boots from into its memory: kernel, initrds, command line, tables; once at the start and again after each
 * reset. Initrds go from the file straight into place, so a large one costs no memory of its own.
 *
 * Called by: run-virtual-machine.ts, while no processor runs.
 */
import { closeSync, fstatSync, openSync, readFileSync, readSync } from 'node:fs';
import { basename } from 'node:path';
import type { BootPlan, InitialProcessorState, ReservedRange } from '@plinth/chipset';
import { planLinuxBoot } from '@plinth/chipset';
import { PlinthError } from '@plinth/errors';
import type { MemoryLayout } from '@plinth/hypervisor';
import {
  type GuestMemory,
  isGpaFault,
  PAGE_BYTES,
  PAGE_FLAG,
  PAGE_RECORD,
  PAGE_RECORD_BYTES,
} from '@plinth/hypervisor';
import { fileReason } from './console-pump.ts';
import type { BootRegisters } from './processor-protocol.ts';

/** What the platform's firmware would have put into memory: ACPI tables. */
export interface FirmwareTables {
  readonly writes: readonly { readonly gpa: number; readonly bytes: Uint8Array }[];
  readonly reserved: readonly ReservedRange[];
  readonly rsdpAddress: number;
}

export interface BootSource {
  readonly kernel: string;
  readonly initrds: readonly string[];
  readonly commandLine: string;
}

interface OpenFile {
  readonly path: string;
  readonly descriptor: number;
  readonly bytes: number;
}

/**
 * Loads everything.
 * @returns the registers that the boot processor begins with, and where things lie
 * @throws PlinthError PL-3006 for a file that cannot be read, PL-2001.. for one that is not what it should be or does not fit
 */
export function loadGuest(
  source: BootSource,
  memory: GuestMemory,
  memoryBytes: number,
  tables: FirmwareTables,
): { registers: BootRegisters; layout: BootPlan['layout'] } {
  const kernel = readInput(source.kernel, '--kernel');
  const files: OpenFile[] = [];
  try {
    for (const path of source.initrds) files.push(openInput(path));
    // Stand-ins of the right length: the host gives such arrays no memory until they are touched, and they never are.
    const placeholders = files.map((file) => new Uint8Array(file.bytes));
    const plan = planLinuxBoot({
      kernel,
      kernelName: basename(source.kernel),
      initrds: placeholders,
      commandLine: source.commandLine,
      memoryBytes,
      reserved: tables.reserved,
      rsdpAddress: tables.rsdpAddress,
    });
    for (const { gpa, bytes } of [...tables.writes, ...plan.writes]) {
      const file = files[placeholders.indexOf(bytes as Uint8Array<ArrayBuffer>)];
      if (file === undefined) writeGuest(memory, gpa, bytes);
      else readIntoGuest(memory, gpa, file);
    }
    return { registers: bootRegisters(plan.state), layout: plan.layout };
  } finally {
    for (const { descriptor } of files) closeSync(descriptor);
  }
}

/**
 * Every page that anybody has used becomes zero again, as after power-on.
 * Pages nobody has touched stay untouched, so a reset costs no memory.
 */
export function clearGuestMemory(memory: GuestMemory, buffer: ArrayBufferLike, layout: MemoryLayout): void {
  const words = PAGE_RECORD_BYTES >> 2;
  const records = new Uint32Array(buffer, layout.pagesOffset, (layout.ramBytes / PAGE_BYTES) * words);
  for (let page = 0; page * words < records.length; page++) {
    const used = (records[page * words + (PAGE_RECORD.flags >> 2)] ?? 0) & (PAGE_FLAG.touched | PAGE_FLAG.dirty);
    if (used === 0) continue;
    const pieces = memory.range(page * PAGE_BYTES, PAGE_BYTES, 'write');
    if (!isGpaFault(pieces)) for (const piece of pieces) piece.fill(0);
  }
}

function writeGuest(memory: GuestMemory, gpa: number, bytes: Uint8Array): void {
  if (!memory.write(gpa, bytes)) throw new Error(`no memory at 0x${gpa.toString(16)} for ${bytes.length} bytes`);
}

function readIntoGuest(memory: GuestMemory, gpa: number, file: OpenFile): void {
  const pieces = memory.range(gpa, file.bytes, 'write');
  if (isGpaFault(pieces)) throw new Error(`no memory at 0x${pieces.gpa.toString(16)} for ${file.path}`);
  let position = 0;
  for (const piece of pieces) {
    for (let filled = 0; filled < piece.length; ) {
      const count = readDescriptor(file, piece, filled, position);
      if (count === 0) throw unreadable(file.path, '--initrd', 'It became shorter while it was read');
      filled += count;
      position += count;
    }
  }
}

function readDescriptor(file: OpenFile, piece: Uint8Array, offset: number, position: number): number {
  try {
    return readSync(file.descriptor, piece, offset, piece.length - offset, position);
  } catch (error) {
    throw unreadable(file.path, '--initrd', fileReason(error), error);
  }
}

function openInput(path: string): OpenFile {
  let descriptor: number | undefined;
  try {
    descriptor = openSync(path, 'r');
    const status = fstatSync(descriptor);
    if (status.isFile()) return { path, descriptor, bytes: status.size };
  } catch (error) {
    throw unreadable(path, '--initrd', fileReason(error), error);
  }
  closeSync(descriptor);
  throw unreadable(path, '--initrd', 'It is not a regular file');
}

function readInput(path: string, option: string): Uint8Array {
  try {
    return readFileSync(path);
  } catch (error) {
    throw unreadable(path, option, fileReason(error), error);
  }
}

function unreadable(path: string, option: string, reason: string, cause?: unknown): PlinthError {
  return new PlinthError('PL-3006', { path, option, reason }, { cause });
}

/** The loader's state by the names of the processor's registers. */
function bootRegisters(state: InitialProcessorState): BootRegisters {
  const { segments } = state;
  return [
    ['Efer', state.efer],
    ['Cr4', state.cr4],
    ['Cr3', state.cr3],
    ['Cr0', state.cr0],
    ['Gdtr', state.gdt],
    ['Idtr', state.idt],
    ['Cs', segments.cs],
    ['Ss', segments.ss],
    ['Ds', segments.ds],
    ['Es', segments.es],
    ['Fs', segments.fs],
    ['Gs', segments.gs],
    ['Tr', segments.tr],
    ['Ldtr', segments.ldtr],
    ['Rsp', state.rsp],
    ['Rsi', state.rsi],
    ['Rflags', state.rflags],
    ['Rip', state.rip],
  ];
}

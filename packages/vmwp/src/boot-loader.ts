/**
 * Puts what the guest boots from into its memory: kernel, initrds, command line, tables; once at the start and again after each
 * reset. Initrds go from the file straight into place, so a large one costs no memory of its own.
 *
 * Called by: run-virtual-machine.ts, while no processor runs.
 */
import { closeSync, fstatSync, openSync, readSync } from 'node:fs';
import { basename } from 'node:path';
import type { BootPlan, InitialProcessorState, ReservedRange } from '@plinth/chipset';
import { multibootHeader, planLinuxBoot, planMultibootBoot } from '@plinth/chipset';
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
import { fileReason } from './file-reason.ts';
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

/** Larger than any guest's memory. */
const INPUT_LIMIT = 2 ** 32 - 1;
/** What a bzImage's header and real-mode part take at most: 256 sectors. */
const KERNEL_SETUP_BYTES = 256 * 512;

/**
 * An input file whose content is not read yet. `contents` has the file's length but, beyond its first bytes, only stands for
 * it: the host gives such an array no memory until it is touched, and it never is.
 */
interface InputFile {
  readonly path: string;
  readonly option: string;
  readonly descriptor: number;
  readonly contents: Uint8Array;
}

/**
 * Loads everything.
 * @returns the registers that the boot processor begins with, where things lie, and how a panic shows
 * @throws PlinthError PL-3006 for a file that cannot be read, PL-2001.. for one that is not what it should be or does not fit
 */
export function loadGuest(
  source: BootSource,
  memory: GuestMemory,
  memoryBytes: number,
  tables: FirmwareTables,
): { registers: BootRegisters } & Pick<BootPlan, 'layout' | 'warmStartIsPanic'> {
  const files: InputFile[] = [];
  const open = (path: string, option: string): InputFile => {
    const file = openInput(path, option);
    files.push(file);
    return file;
  };
  try {
    const kernel = open(source.kernel, '--kernel');
    readInto(kernel, kernel.contents.subarray(0, KERNEL_SETUP_BYTES), 0);
    const initrds = source.initrds.map((path) => open(path, '--initrd'));
    const common = {
      kernel: kernel.contents,
      kernelName: basename(source.kernel),
      commandLine: source.commandLine,
      memoryBytes,
      reserved: tables.reserved,
    };
    const plan =
      multibootHeader(kernel.contents) === undefined
        ? planLinuxBoot({
            ...common,
            initrds: initrds.map((file) => file.contents),
            rsdpAddress: tables.rsdpAddress,
          })
        : planMultibootBoot({
            ...common,
            modules: initrds.map((file) => ({ name: basename(file.path), bytes: file.contents })),
          });
    for (const { gpa, bytes } of [...tables.writes, ...plan.writes]) {
      const file = files.find(({ contents }) => contents.buffer === bytes.buffer);
      if (file === undefined) writeGuest(memory, gpa, bytes);
      else readIntoGuest(memory, gpa, file, bytes.byteOffset, bytes.length);
    }
    return { registers: bootRegisters(plan.state), layout: plan.layout, warmStartIsPanic: plan.warmStartIsPanic };
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

/** `length` bytes of a file from `offset` on, into guest memory. */
function readIntoGuest(memory: GuestMemory, gpa: number, file: InputFile, offset: number, length: number): void {
  const pieces = memory.range(gpa, length, 'write');
  if (isGpaFault(pieces)) throw new Error(`no memory at 0x${pieces.gpa.toString(16)} for ${file.path}`);
  let position = offset;
  for (const piece of pieces) {
    readInto(file, piece, position);
    position += piece.length;
  }
}

/** Fills `target` from a position of the file. @throws PlinthError PL-3006 when it cannot be read to the target's end */
function readInto(file: InputFile, target: Uint8Array, position: number): void {
  for (let filled = 0; filled < target.length; ) {
    let count: number;
    try {
      count = readSync(file.descriptor, target, filled, target.length - filled, position + filled);
    } catch (error) {
      throw unreadable(file.path, file.option, fileReason(error), error);
    }
    if (count === 0) throw unreadable(file.path, file.option, 'It became shorter while it was read');
    filled += count;
  }
}

/** @throws PlinthError PL-3006 for what is no readable file of a size that guest memory could hold */
function openInput(path: string, option: string): InputFile {
  let descriptor: number | undefined;
  try {
    descriptor = openSync(path, 'r');
    const status = fstatSync(descriptor);
    if (status.isDirectory()) throw unreadable(path, option, 'It is a folder, not a file');
    if (!status.isFile()) throw unreadable(path, option, 'It is not a regular file');
    if (status.size > INPUT_LIMIT) throw unreadable(path, option, 'It has more than 4 GiB');
    return { path, option, descriptor, contents: new Uint8Array(status.size) };
  } catch (error) {
    if (descriptor !== undefined) closeSync(descriptor);
    throw error instanceof PlinthError ? error : unreadable(path, option, fileReason(error), error);
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
    ['Rax', state.rax ?? 0n],
    ['Rbx', state.rbx ?? 0n],
    ['Rsi', state.rsi],
    ['Rflags', state.rflags],
    ['Rip', state.rip],
  ];
}

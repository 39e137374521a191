/**
 * Loading a multiboot kernel: an ELF32 file (or one that says itself where it goes), its modules and its command line. Pure: it turns
 * bytes into a plan. Facts: the Multiboot Specification, version 0.6.96; the System V ABI's ELF-32. Called by the worker, which reads
 * the files and carries the plan out.
 *
 *     segments  where their physical addresses say
 *     modules   above the kernel, in order, each at the start of a page
 *     the boot information, with all that it points to, in one piece below 640 KiB, else wherever there is room
 *
 * Invariants: everything lies in RAM of the memory map and nothing overlaps; only a `PlinthError` is thrown.
 */
import { PlinthError } from '@plinth/errors';
import { checkMemorySize } from './linux.ts';
import { isRam, memoryMap } from './memory-map.ts';
import { encodeBootInformation, type Module } from './multiboot-information.ts';
import type { BootPlan, BootWrite, GpaRange, InitialSegment, MemoryMapEntry, ReservedRange } from './types.ts';

export interface MultibootOptions {
  /** The whole file; what lies beyond its first 128 KiB is not looked at. */
  readonly kernel: Uint8Array;
  readonly kernelName?: string;
  readonly modules?: readonly Module[];
  readonly commandLine?: string;
  /** Bytes of RAM, from address 0 on; whole pages. */
  readonly memoryBytes: number;
  readonly reserved?: readonly ReservedRange[];
}

const page = 0x1000;
/** The header lies within the first 8192 bytes, at a multiple of 4 (section 3.1). */
const headerArea = 8192;
const headerMagic = 0x1badb002;
/** What the kernel finds in EAX (section 3.2). */
const loaderMagic = 0x2badb002n;
/** Bits of the header's flags: modules at pages, memory information, and where to load it without ELF. Of 0-15, what is not known is refused. */
const headerFlag = { pageAligned: 1, memoryInformation: 2, addresses: 0x10000, mandatory: 0xffff } as const;
/** As much of the file as headers may take. */
const lookedAt = 128 * 1024;
const lowMemory = { start: page, end: 0xa0000 } as const satisfies GpaRange;

interface Segment extends GpaRange {
  /** Bytes of the file that go to `start`. */
  readonly fileStart: number;
  readonly fileEnd: number;
}

/** Where the multiboot header is; undefined when the file is no multiboot kernel. */
export function multibootHeader(kernel: Uint8Array): number | undefined {
  const bytes = kernel.subarray(0, headerArea);
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  for (let at = 0; at + 12 <= bytes.length; at += 4) {
    if (view.getUint32(at, true) !== headerMagic) continue;
    if (((headerMagic + view.getUint32(at + 4, true) + view.getUint32(at + 8, true)) & 0xffffffff) === 0) return at;
  }
  return undefined;
}

/**
 * Plans the boot of a multiboot kernel.
 *
 * @throws PL-2008, PL-2010..2013, each named at its check
 */
export function planMultibootBoot(options: MultibootOptions): BootPlan {
  const file = options.kernelName ?? 'the kernel';
  checkMemorySize(options.memoryBytes);
  const commandLine = options.commandLine ?? '';
  if (commandLine.includes('\0')) throw new PlinthError('PL-2010');
  const at = multibootHeader(options.kernel);
  if (at === undefined) throw new PlinthError('PL-2011', { file, reason: 'It has no multiboot header' });
  const { segments, entry } = readKernel(options.kernel, at, file);
  const reserved = options.reserved ?? [];
  const map = memoryMap(options.memoryBytes, reserved);
  for (const segment of segments) {
    if (!isRam(map, segment)) throw noRoom(file, `the addresses 0x${hex(segment.start)} to 0x${hex(segment.end)}`, map);
  }
  const kernelEnd = Math.max(...segments.map(({ end }) => end));
  const taken: GpaRange[] = [...segments];
  const take = (window: GpaRange, bytes: number, what: string): number => {
    const place = lowestPlace(map, taken, window, bytes);
    if (place === undefined) throw noRoom(file, what, map);
    taken.push({ start: place, end: place + bytes });
    return place;
  };
  const anywhere = { start: page, end: options.memoryBytes };
  const modules = (options.modules ?? []).map(({ name, bytes }) => {
    const what = `${bytes.length} bytes for the module ${name}`;
    const start = take({ ...anywhere, start: kernelEnd }, Math.max(bytes.length, 1), what);
    return { name, bytes, start };
  });
  const information = (start: number): Uint8Array => encodeBootInformation(start, commandLine, modules, map);
  const size = information(0).length;
  const low = lowestPlace(map, taken, lowMemory, size);
  const informationStart = low ?? take(anywhere, size, 'the boot information');
  const writes: BootWrite[] = segments.map(({ start, fileStart, fileEnd }) => ({
    gpa: start,
    bytes: options.kernel.subarray(fileStart, fileEnd),
  }));
  writes.push(...modules.map(({ start, bytes }) => ({ gpa: start, bytes })));
  writes.push({ gpa: informationStart, bytes: information(informationStart) });
  const first = modules.at(0);
  const last = modules.at(-1);
  return {
    writes: writes.filter(({ bytes }) => bytes.length > 0),
    state: initialState(entry, informationStart),
    layout: {
      kernelVersion: 'multiboot',
      commandLine,
      kernel: { start: Math.min(...segments.map(({ start }) => start)), end: kernelEnd },
      initrd:
        first === undefined || last === undefined
          ? { start: 0, end: 0 }
          : { start: first.start, end: last.start + last.bytes.length },
      memoryMap: map,
    },
    warmStartIsPanic: false,
  };
}

function readKernel(kernel: Uint8Array, at: number, file: string): { segments: Segment[]; entry: number } {
  const view = new DataView(kernel.buffer, kernel.byteOffset, Math.min(kernel.length, lookedAt));
  const flags = view.getUint32(at + 4, true);
  const unknown = flags & headerFlag.mandatory & ~(headerFlag.pageAligned | headerFlag.memoryInformation);
  if (unknown !== 0) {
    const reason = `Its header demands features 0x${hex(unknown)} (a video mode, or what the specification does not define)`;
    throw new PlinthError('PL-2011', { file, reason });
  }
  const parts = (flags & headerFlag.addresses) !== 0 ? addressFields(view, at, kernel.length) : elfSegments(view);
  if (typeof parts === 'string') throw new PlinthError('PL-2012', { file, reason: parts });
  const { segments } = parts;
  for (const { start, end, fileStart, fileEnd } of segments) {
    if (fileEnd > kernel.length) throw new PlinthError('PL-2003', { file, expected: fileEnd, actual: kernel.length });
    if (fileEnd - fileStart > end - start || end > 2 ** 32)
      throw new PlinthError('PL-2012', { file, reason: 'A part of it has more bytes than room in memory' });
  }
  const sorted = [...segments].sort((left, right) => left.start - right.start);
  const overlap = sorted.some((segment, index) => segment.start < (sorted[index - 1]?.end ?? 0));
  if (overlap) throw new PlinthError('PL-2012', { file, reason: 'Parts of it are to be loaded over each other' });
  if (sorted.length === 0) throw new PlinthError('PL-2012', { file, reason: 'Nothing of it is to be loaded' });
  return parts;
}

/** Fields at offset 12 of the header: header, load, load end, bss end and entry addresses (section 3.1.3). */
function addressFields(view: DataView, at: number, length: number): { segments: Segment[]; entry: number } | string {
  if (at + 32 > view.byteLength) return 'It ends within its multiboot header';
  const field = (index: number): number => view.getUint32(at + 12 + 4 * index, true);
  const [header, load, loadEnd, bssEnd] = [field(0), field(1), field(2), field(3)];
  const fileStart = at - (header - load);
  if (header < load || fileStart < 0) return 'The load address in its header contradicts where its header is';
  const fileEnd = loadEnd === 0 ? length : fileStart + loadEnd - load;
  if (fileEnd < fileStart) return 'It ends before it begins';
  const end = Math.max(load + fileEnd - fileStart, bssEnd);
  return { segments: [{ start: load, end, fileStart, fileEnd }], entry: field(4) };
}

/** The loadable segments of an ELF32 file for the 80386. */
function elfSegments(view: DataView): { segments: Segment[]; entry: number } | string {
  if (view.byteLength < 52 || view.getUint32(0, false) !== 0x7f454c46) return 'It is not an ELF file';
  if (view.getUint8(4) !== 1) return 'It is an ELF file for 64 bits, and multiboot takes those for 32 bits';
  if (view.getUint8(5) !== 1 || view.getUint16(18, true) !== 3) return 'It is not for x86';
  const virtualEntry = view.getUint32(24, true);
  const table = view.getUint32(28, true);
  const entryBytes = view.getUint16(42, true);
  const count = view.getUint16(44, true);
  if (count === 0 || entryBytes < 32 || table + count * entryBytes > view.byteLength)
    return 'Its program headers are not within its first 128 KiB';
  const segments: Segment[] = [];
  let entry = virtualEntry;
  for (let index = 0; index < count; index++) {
    const field = (offset: number): number => view.getUint32(table + index * entryBytes + offset, true);
    const memoryBytes = field(20);
    if (field(0) !== 1 || memoryBytes === 0) continue;
    const [fileStart, virtual, start] = [field(4), field(8), field(12)];
    segments.push({ start, end: start + memoryBytes, fileStart, fileEnd: fileStart + field(16) });
    // The entry point is a virtual address, and paging is off.
    if (virtualEntry >= virtual && virtualEntry < virtual + memoryBytes) entry = virtualEntry - virtual + start;
  }
  return { segments, entry };
}

/** The lowest place at the start of a page that is RAM and that nothing has taken. */
function lowestPlace(
  map: readonly MemoryMapEntry[],
  taken: readonly GpaRange[],
  window: GpaRange,
  bytes: number,
): number | undefined {
  const alignUp = (value: number): number => Math.ceil(value / page) * page;
  const candidates = [window.start, ...map.map(({ start }) => start), ...taken.map(({ end }) => end)];
  const fits = (start: number): boolean => {
    const range = { start, end: start + bytes };
    if (start < window.start || range.end > window.end || !isRam(map, range)) return false;
    return !taken.some((other) => other.start < range.end && range.start < other.end);
  };
  return candidates
    .map(alignUp)
    .sort((a, b) => a - b)
    .find(fits);
}

function noRoom(file: string, what: string, map: readonly MemoryMapEntry[]): PlinthError {
  const ram = map.filter(({ type }) => type === 'ram').map(({ start, end }) => `0x${hex(start)}-0x${hex(end)}`);
  return new PlinthError('PL-2013', { file, what, ram: ram.join(', ') });
}

const hex = (value: number): string => (value >>> 0).toString(16);

/** Section 3.2: flat segments, paging off, interrupts off. Tables and the stack are the kernel's own to make. */
function initialState(entry: number, information: number): BootPlan['state'] {
  const flat = (selector: number, attributes: number): InitialSegment => ({
    selector,
    base: 0n,
    limit: 0xffffffff,
    attributes,
  });
  const data = flat(0x18, 0xc093);
  return {
    mode: 'protected32',
    rip: BigInt(entry),
    rax: loaderMagic,
    rbx: BigInt(information),
    rsi: 0n,
    rsp: 0n,
    rflags: 2n,
    // PE, ET.
    cr0: 0x11n,
    cr3: 0n,
    cr4: 0n,
    efer: 0n,
    gdt: { base: 0n, limit: 0 },
    idt: { base: 0n, limit: 0 },
    segments: {
      cs: flat(0x10, 0xc09b),
      ds: data,
      es: data,
      ss: data,
      fs: data,
      gs: data,
      tr: { selector: 0, base: 0n, limit: 0xffff, attributes: 0x8b },
      ldtr: { selector: 0, base: 0n, limit: 0xffff, attributes: 0x82 },
    },
  };
}

/**
 * Loading a Linux bzImage without firmware, by the 64-bit or the 32-bit boot protocol. Pure: it turns bytes into a plan.
 * Facts: Linux `Documentation/x86/boot.rst` and `zero-page.rst` (6.1). Called by the worker, which reads the files and carries
 * the plan out.
 *
 *     0x001000  GDT                          0x008000  boot parameters ("zero page")
 *     0x002000  page tables (64-bit only)    0x009000  command line, closed by a zero
 *     kernel    at its preferred address (16 MiB), else the lowest aligned one above it
 *     initrds   as high as the kernel allows, one after the other, each at a multiple of 4
 *
 * Invariants: everything lies in RAM of the memory map and nothing overlaps; only a `PlinthError` is thrown.
 */
import { PlinthError } from '@plinth/errors';
import { encodeMemoryMap, highestPlace, isRam, memoryMap } from './memory-map.ts';
import { withPanicAgreement } from './panic-agreement.ts';
import { headerField, headerStart, readSetupHeader, type SetupHeader } from './setup-header.ts';
import type {
  BootPlan,
  BootWrite,
  GpaRange,
  InitialProcessorState,
  InitialSegment,
  MemoryMapEntry,
  ReservedRange,
} from './types.ts';

/** What is to be booted on what. */
export interface LinuxBootOptions {
  /** The whole bzImage. */
  readonly kernel: Uint8Array;
  /** The kernel's file name, for messages. */
  readonly kernelName?: string;
  /** Archives in the order in which the kernel unpacks them. */
  readonly initrds?: readonly Uint8Array[];
  /** What the user wants the kernel to be told; the kernel is told of `panic-agreement.ts` before it. */
  readonly commandLine?: string;
  /** Bytes of RAM, from address 0 on; whole pages. */
  readonly memoryBytes: number;
  /** The 64-bit protocol where the kernel has it, unless told. */
  readonly protocol?: 64 | 32;
  /** RAM that holds tables of the firmware or of the hypervisor, above `bootArea`. */
  readonly reserved?: readonly ReservedRange[];
  /** Guest-physical address of ACPI's RSDP; left out when there is no ACPI. */
  readonly rsdpAddress?: number;
}

const page = 0x1000;
const mebibyte = 0x100000;

/** RAM is what lies below the devices' addresses, and enough for a small kernel. */
export const memoryLimits = { minimum: 16 * mebibyte, maximum: 3072 * mebibyte } as const;

const gdtAddress = 0x1000;
const pageTablesAddress = 0x2000;
const bootParametersAddress = 0x8000;
const commandLineAddress = 0x9000;
const commandLineAreaEnd = 0x19000;
const stackTop = 0x20000;

/** Low memory that the loader uses itself: reserved ranges must stay out of it. */
export const bootArea = { start: gdtAddress, end: stackTop } as const satisfies GpaRange;

/** Fields of the boot parameters outside of the setup header. */
const bootParameter = {
  rsdpAddress: 0x070,
  extendedRamdiskImage: 0x0c0,
  extendedRamdiskSize: 0x0c4,
  extendedCommandLinePointer: 0x0c8,
  memoryMapEntries: 0x1e8,
  memoryMap: 0x2d0,
} as const;

/** Entries that fit into the boot parameters. */
const memoryMapLimit = 128;

/** "A loader without a number of its own." */
const undefinedLoader = 0xff;
/** "Normal" text mode. */
const normalVideoMode = 0xffff;

/** Selectors that the protocol asks for, and a task state segment, which a processor in long mode always has. */
const selector = { code: 0x10, data: 0x18, task: 0x20 } as const;
const attributes = { code64: 0xa09b, code32: 0xc09b, data: 0xc093, task: 0x008b, localTable: 0x0082 } as const;

/**
 * Plans the boot of a Linux kernel.
 *
 * @throws PL-2001..2010, each named at its check
 */
export function planLinuxBoot(options: LinuxBootOptions): BootPlan {
  const file = options.kernelName ?? 'the kernel';
  const initrds = options.initrds ?? [];
  checkMemorySize(options.memoryBytes);
  const header = readSetupHeader(options.kernel, file, options.protocol === 64 ? 0x020c : 0x0206);
  const protocol = options.protocol ?? (header.hasEntry64 ? 64 : 32);
  if (protocol === 64 && !header.hasEntry64) throw new PlinthError('PL-2007', { file });
  const limit = Math.min(header.commandLineLimit, commandLineAreaEnd - commandLineAddress - 1);
  const commandLine = withPanicAgreement(options.commandLine ?? '', limit);
  const commandLineBytes = encodeCommandLine(commandLine.text, limit, file);
  const map = memoryMap(options.memoryBytes, options.reserved ?? []);
  const kernel = placeKernel(header, map, options.memoryBytes, file);
  const initrd = placeInitrds(initrds, header, kernel, map, options.memoryBytes);

  const writes: BootWrite[] = [
    { gpa: gdtAddress, bytes: descriptorTable(protocol) },
    { gpa: commandLineAddress, bytes: commandLineBytes },
    { gpa: bootParametersAddress, bytes: bootParameters(options, header, kernel, initrd.range, map) },
    { gpa: kernel.start, bytes: options.kernel.subarray(header.kernelStart, header.kernelEnd) },
    ...initrd.writes,
  ];
  if (protocol === 64) writes.push({ gpa: pageTablesAddress, bytes: identityPageTables() });
  return {
    writes,
    state: protocol === 64 ? longModeState(kernel.start) : protectedModeState(kernel.start),
    layout: {
      kernelVersion: header.kernelVersion,
      commandLine: commandLine.text,
      kernel,
      initrd: initrd.range,
      memoryMap: map,
    },
    warmStartIsPanic: commandLine.agreed,
  };
}

/** @throws PL-2008 */
export function checkMemorySize(memoryBytes: number): void {
  const { minimum, maximum } = memoryLimits;
  if (Number.isInteger(memoryBytes) && memoryBytes >= minimum && memoryBytes <= maximum && memoryBytes % page === 0)
    return;
  throw new PlinthError('PL-2008', {
    memory: memoryBytes,
    minimum: minimum / mebibyte,
    maximum: maximum / mebibyte,
  });
}

/** The command line with its closing zero. */
function encodeCommandLine(text: string, limit: number, file: string): Uint8Array {
  const bytes = new TextEncoder().encode(`${text}\0`);
  if (bytes.indexOf(0) !== bytes.length - 1) throw new PlinthError('PL-2010');
  if (bytes.length - 1 > limit) throw new PlinthError('PL-2006', { length: bytes.length - 1, file, limit });
  return bytes;
}

/**
 * Where the kernel is loaded, and the end of what it uses while it unpacks itself. Never below its preferred address: it would move
 * itself up there (boot.rst, "pref_address" and "init_size"), over whatever lies or does not lie there.
 */
function placeKernel(header: SetupHeader, map: readonly MemoryMapEntry[], memoryBytes: number, file: string): GpaRange {
  const at = (start: number): GpaRange => ({ start, end: start + header.initialSize });
  const preferred = at(header.preferredAddress);
  if (isRam(map, preferred)) return preferred;
  if (header.isRelocatable) {
    for (const entry of map) {
      const place = at(alignUp(Math.max(entry.start, preferred.start), header.alignment));
      if (isRam(map, place)) return place;
    }
  }
  const needed = inMebibytes(preferred.end);
  throw new PlinthError('PL-2004', {
    file,
    memory: inMebibytes(memoryBytes),
    needed,
    suggested: roundMemory(needed),
  });
}

/** Where the initrds go: all in one piece, because the kernel is given one range. */
function placeInitrds(
  initrds: readonly Uint8Array[],
  header: SetupHeader,
  kernel: GpaRange,
  map: readonly MemoryMapEntry[],
  memoryBytes: number,
): { range: GpaRange; writes: BootWrite[] } {
  let size = 0;
  const offsets = initrds.map((initrd) => {
    const offset = alignUp(size, 4);
    size = offset + initrd.length;
    return offset;
  });
  if (size === 0) return { range: { start: 0, end: 0 }, writes: [] };
  const window = { start: kernel.end, end: Math.min(memoryBytes, header.initrdAddressMaximum + 1) };
  const start = highestPlace(map, window, size, page);
  if (start === undefined) {
    throw new PlinthError('PL-2005', {
      size: inMebibytes(size),
      memory: inMebibytes(memoryBytes),
      kernelEnd: inMebibytes(kernel.end),
      limit: inMebibytes(window.end),
      // Beside its archive stands what the kernel unpacks from it, so twice the size is a fair guess.
      suggested: roundMemory(inMebibytes(kernel.end) + 2 * inMebibytes(size)),
    });
  }
  const writes = initrds.flatMap((bytes, index) =>
    bytes.length === 0 ? [] : [{ gpa: start + (offsets[index] ?? 0), bytes }],
  );
  return { range: { start, end: start + size }, writes };
}

/** The page of boot parameters: the kernel's own header with the loader's answers, and the memory map. */
function bootParameters(
  options: LinuxBootOptions,
  header: SetupHeader,
  kernel: GpaRange,
  initrd: GpaRange,
  map: readonly MemoryMapEntry[],
): Uint8Array {
  const bytes = new Uint8Array(page);
  const view = new DataView(bytes.buffer);
  bytes.set(options.kernel.subarray(headerStart, Math.min(header.headerEnd, bootParameter.memoryMap)), headerStart);
  view.setUint16(headerField.videoMode, normalVideoMode, true);
  view.setUint8(headerField.typeOfLoader, undefinedLoader);
  view.setUint32(headerField.code32Start, kernel.start, true);
  view.setUint32(headerField.ramdiskImage, initrd.start, true);
  view.setUint32(headerField.ramdiskSize, initrd.end - initrd.start, true);
  view.setUint16(headerField.heapEnd, 0, true);
  view.setUint32(headerField.commandLinePointer, commandLineAddress, true);
  if (header.headerEnd >= headerField.setupData + 8) view.setBigUint64(headerField.setupData, 0n, true);
  // All addresses are below 4 GiB, so their upper halves are zero.
  view.setUint32(bootParameter.extendedRamdiskImage, 0, true);
  view.setUint32(bootParameter.extendedRamdiskSize, 0, true);
  view.setUint32(bootParameter.extendedCommandLinePointer, 0, true);
  view.setBigUint64(bootParameter.rsdpAddress, BigInt(options.rsdpAddress ?? 0), true);
  const entries = map.slice(0, memoryMapLimit);
  view.setUint8(bootParameter.memoryMapEntries, entries.length);
  bytes.set(encodeMemoryMap(entries), bootParameter.memoryMap);
  return bytes;
}

/** Flat descriptors for code and data at the selectors that the protocol names, and a task state segment of no use. */
function descriptorTable(protocol: 64 | 32): Uint8Array {
  const bytes = new Uint8Array(0x30);
  const view = new DataView(bytes.buffer);
  view.setBigUint64(selector.code, protocol === 64 ? 0x00af9b000000ffffn : 0x00cf9b000000ffffn, true);
  view.setBigUint64(selector.data, 0x00cf93000000ffffn, true);
  view.setBigUint64(selector.task, 0x00008b0000000067n, true);
  return bytes;
}

/** Page tables that map the first 4 GiB to themselves with pages of 2 MiB: one PML4, one PDPT, four page directories. */
function identityPageTables(): Uint8Array {
  const present = 0x1n;
  const writable = 0x2n;
  const largePage = 0x80n;
  const bytes = new Uint8Array(6 * page);
  const view = new DataView(bytes.buffer);
  view.setBigUint64(0, BigInt(pageTablesAddress + page) | present | writable, true);
  for (let gibibyte = 0; gibibyte < 4; gibibyte++) {
    const directory = (2 + gibibyte) * page;
    view.setBigUint64(page + gibibyte * 8, BigInt(pageTablesAddress + directory) | present | writable, true);
    for (let index = 0; index < 512; index++) {
      const address = BigInt(gibibyte * 512 + index) << 21n;
      view.setBigUint64(directory + index * 8, address | present | writable | largePage, true);
    }
  }
  return bytes;
}

function segment(of: number, attributeBits: number, limit = 0xffffffff): InitialSegment {
  return { selector: of, base: 0n, limit, attributes: attributeBits };
}

/** What both protocols have in common. */
function commonState(
  codeAttributes: number,
): Pick<InitialProcessorState, 'rsi' | 'rsp' | 'rflags' | 'gdt' | 'idt' | 'segments'> {
  const data = segment(selector.data, attributes.data);
  return {
    rsi: BigInt(bootParametersAddress),
    rsp: BigInt(stackTop),
    rflags: 0x2n,
    gdt: { base: BigInt(gdtAddress), limit: 0x2f },
    idt: { base: 0n, limit: 0 },
    segments: {
      cs: segment(selector.code, codeAttributes),
      ds: data,
      es: data,
      ss: data,
      fs: data,
      gs: data,
      tr: segment(selector.task, attributes.task, 0x67),
      ldtr: segment(0, attributes.localTable, 0),
    },
  };
}

/** Long mode with paging on; the 64-bit entry point lies 0x200 after the load address. */
function longModeState(loadAddress: number): InitialProcessorState {
  return {
    mode: 'long64',
    ...commonState(attributes.code64),
    rip: BigInt(loadAddress + 0x200),
    // PE, ET, NE, PG.
    cr0: 0x80000031n,
    cr3: BigInt(pageTablesAddress),
    // PAE.
    cr4: 0x20n,
    // LME and LMA.
    efer: 0x500n,
  };
}

/** Flat protected mode with paging off; the entry point is the load address. */
function protectedModeState(loadAddress: number): InitialProcessorState {
  return {
    mode: 'protected32',
    ...commonState(attributes.code32),
    rip: BigInt(loadAddress),
    // PE, ET, NE.
    cr0: 0x31n,
    cr3: 0n,
    cr4: 0n,
    efer: 0n,
  };
}

function alignUp(value: number, alignment: number): number {
  return Math.ceil(value / alignment) * alignment;
}

function inMebibytes(bytes: number): number {
  return Math.ceil(bytes / mebibyte);
}

/** The next multiple of 64 MiB, as a size to suggest. */
function roundMemory(mebibytes: number): number {
  return Math.ceil(mebibytes / 64) * 64;
}

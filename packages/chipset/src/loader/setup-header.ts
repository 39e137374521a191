/**
 * The setup header of a Linux bzImage: where its fields are, and reading one that nothing is known of yet.
 * Facts: Linux `Documentation/x86/boot.rst` (6.1), "The Real-Mode Kernel Header". Called by `linux.ts`.
 *
 * Invariant: whatever the bytes are, the answer is a header whose numbers agree with each other and with the file, or a
 * `PlinthError`.
 */
import { PlinthError } from '@plinth/errors';

/** Offsets in the file, which are those in the boot parameters too. */
export const headerField = {
  setupSectors: 0x1f1,
  systemSize: 0x1f4,
  videoMode: 0x1fa,
  bootFlag: 0x1fe,
  jump: 0x200,
  magic: 0x202,
  version: 0x206,
  kernelVersion: 0x20e,
  typeOfLoader: 0x210,
  loadFlags: 0x211,
  code32Start: 0x214,
  ramdiskImage: 0x218,
  ramdiskSize: 0x21c,
  heapEnd: 0x224,
  commandLinePointer: 0x228,
  initrdAddressMaximum: 0x22c,
  kernelAlignment: 0x230,
  relocatableKernel: 0x234,
  extendedLoadFlags: 0x236,
  commandLineSize: 0x238,
  setupData: 0x250,
  preferredAddress: 0x258,
  initialSize: 0x260,
} as const;

/** First byte of the header, and the first byte after the longest one that this module reads. */
export const headerStart = 0x1f1;
const fixedHeaderEnd = 0x268;

const bootFlagValue = 0xaa55;
/** "HdrS". */
const magicValue = 0x53726448;
const loadedHigh = 0x01;
const kernel64 = 0x01;
const sectorBytes = 512;
const paragraphBytes = 16;

/** What a loader needs to know of a kernel. */
export interface SetupHeader {
  /** 0xMMmm, such as 0x020f. */
  readonly version: number;
  /** The kernel's own words, such as `6.1.0-56-cloud-amd64 (...)`; empty when it has none. */
  readonly kernelVersion: string;
  /** First byte after the header; what lies from `headerStart` to here goes into the boot parameters. */
  readonly headerEnd: number;
  /** The part that runs in protected mode, as offsets in the file. */
  readonly kernelStart: number;
  readonly kernelEnd: number;
  readonly isRelocatable: boolean;
  readonly alignment: number;
  readonly preferredAddress: number;
  /** Bytes from the load address on that the kernel uses before it knows the memory map. */
  readonly initialSize: number;
  /** Highest address that a byte of the initrd may have. */
  readonly initrdAddressMaximum: number;
  /** Bytes that the command line may have, its closing zero not counted. */
  readonly commandLineLimit: number;
  readonly hasEntry64: boolean;
}

/**
 * Reads and checks the header.
 *
 * @param kernel the whole file
 * @param file its name, for messages
 * @param minimumVersion of the boot protocol, 0xMMmm
 * @throws PL-2001 no Linux kernel, PL-2002 too old, PL-2003 cut short, PL-2009 contradictory
 */
export function readSetupHeader(kernel: Uint8Array, file: string, minimumVersion: number): SetupHeader {
  if (kernel.length === 0) throw new PlinthError('PL-2001', { file, reason: 'it is empty' });
  if (kernel.length < fixedHeaderEnd) {
    throw new PlinthError('PL-2001', { file, reason: `it has only ${kernel.length} bytes` });
  }
  const view = new DataView(kernel.buffer, kernel.byteOffset, kernel.byteLength);
  if (view.getUint16(headerField.bootFlag, true) !== bootFlagValue) {
    throw new PlinthError('PL-2001', {
      file,
      reason: `it has no boot signature and looks like ${guessFormat(kernel)}`,
    });
  }
  if (view.getUint32(headerField.magic, true) !== magicValue) {
    throw new PlinthError('PL-2001', { file, reason: 'it has a boot signature, but no HdrS: some other boot sector' });
  }
  const version = view.getUint16(headerField.version, true);
  if (version < minimumVersion) {
    throw new PlinthError('PL-2002', { file, version: versionText(version), needed: versionText(minimumVersion) });
  }

  const contradiction = (reason: string): PlinthError => new PlinthError('PL-2009', { file, reason });
  // Zero means 4 for the sake of very old kernels.
  const setupSectors = view.getUint8(headerField.setupSectors) || 4;
  const kernelStart = (setupSectors + 1) * sectorBytes;
  const systemBytes = view.getUint32(headerField.systemSize, true) * paragraphBytes;
  // The last paragraph of the file may be incomplete.
  if (kernelStart + systemBytes - (paragraphBytes - 1) > kernel.length) {
    throw new PlinthError('PL-2003', { file, expected: kernelStart + systemBytes, actual: kernel.length });
  }
  if (systemBytes === 0) throw contradiction('Its protected-mode part has no bytes');
  if ((view.getUint8(headerField.loadFlags) & loadedHigh) === 0) {
    throw contradiction('It wants to be loaded below 1 MiB (a zImage), which no x86-64 kernel does');
  }
  const headerEnd = headerField.magic + view.getUint8(headerField.jump + 1);
  if (headerEnd < headerField.kernelAlignment || headerEnd > kernelStart) {
    throw contradiction(`Its length leads to offset 0x${headerEnd.toString(16)}`);
  }
  // Fields that the header is too short for, or the version too old for, have the values of before they existed.
  const has = (field: number, bytes: number, since: number): boolean => version >= since && field + bytes <= headerEnd;
  const isRelocatable = has(headerField.relocatableKernel, 1, 0x0205) && kernel[headerField.relocatableKernel] !== 0;
  const alignment = has(headerField.kernelAlignment, 4, 0x0205)
    ? view.getUint32(headerField.kernelAlignment, true)
    : 0x1000;
  if (isRelocatable && (alignment === 0 || (alignment & (alignment - 1)) !== 0 || alignment > 0x40000000)) {
    throw contradiction(`Its alignment 0x${alignment.toString(16)} is no power of two up to 1 GiB`);
  }
  const preferred = has(headerField.preferredAddress, 8, 0x020a)
    ? view.getBigUint64(headerField.preferredAddress, true)
    : 0x100000n;
  if (preferred < 0x100000n || preferred > 0xffffffffn) {
    throw contradiction(`It wants to be loaded at 0x${preferred.toString(16)}, which is not between 1 MiB and 4 GiB`);
  }
  const initialSize = has(headerField.initialSize, 4, 0x020a) ? view.getUint32(headerField.initialSize, true) : 0;
  return {
    version,
    kernelVersion: readKernelVersion(kernel, view.getUint16(headerField.kernelVersion, true), kernelStart),
    headerEnd,
    kernelStart,
    kernelEnd: Math.min(kernelStart + systemBytes, kernel.length),
    isRelocatable,
    alignment: isRelocatable ? Math.max(alignment, 0x1000) : 0x1000,
    preferredAddress: Number(preferred),
    initialSize: Math.max(initialSize, systemBytes),
    initrdAddressMaximum: view.getUint32(headerField.initrdAddressMaximum, true),
    commandLineLimit: has(headerField.commandLineSize, 4, 0x0206)
      ? view.getUint32(headerField.commandLineSize, true)
      : 255,
    hasEntry64:
      has(headerField.extendedLoadFlags, 2, 0x020c) &&
      (view.getUint16(headerField.extendedLoadFlags, true) & kernel64) !== 0,
  };
}

/** `2.15` for 0x020f. */
function versionText(version: number): string {
  return `${version >> 8}.${version & 0xff}`;
}

function readKernelVersion(kernel: Uint8Array, pointer: number, kernelStart: number): string {
  const start = pointer + 0x200;
  if (pointer === 0 || start >= kernelStart) return '';
  const end = kernel.subarray(start, Math.min(start + 256, kernelStart)).indexOf(0);
  if (end < 0) return '';
  return new TextDecoder('latin1').decode(kernel.subarray(start, start + end)).replaceAll(/[^\x20-\x7e]/g, '?');
}

const knownFormats: readonly (readonly [string, readonly number[]])[] = [
  ['an ELF file (a vmlinux is not bootable here, its vmlinuz is)', [0x7f, 0x45, 0x4c, 0x46]],
  ['a gzip file', [0x1f, 0x8b]],
  ['an xz file', [0xfd, 0x37, 0x7a, 0x58, 0x5a]],
  ['a Zstandard file', [0x28, 0xb5, 0x2f, 0xfd]],
  ['a cpio archive, most likely the initrd', [0x30, 0x37, 0x30, 0x37, 0x30]],
  ['a kernel for ARM or RISC-V, or a Windows program', [0x4d, 0x5a]],
];

function guessFormat(file: Uint8Array): string {
  const match = knownFormats.find(([, magic]) => magic.every((byte, index) => file[index] === byte));
  return match?.[0] ?? 'nothing that Plinth knows';
}

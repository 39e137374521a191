/**
 * The ACPI tables of the machine (ACPI 6.5, chapter 5.2): RSDP, XSDT, FADT, FACS, MADT and DSDT, placed and checksummed.
 *
 *     RSDP ──> XSDT ──> FADT ──> FACS, DSDT
 *                  └──> MADT
 *
 * Fields are written by name of the specification at its offsets; what is not written is zero, which the specification
 * defines as 'not there' for all of them. Called by: whoever builds the VM, who hands the writes to the loader.
 */
import { IOAPIC_ADDRESS } from '../ioapic.ts';
import { describeMachine } from './dsdt.ts';
import {
  ACPI_AREA_END,
  PM_TIMER_PORT,
  PM1_CONTROL_PORT,
  PM1_EVENT_PORT,
  RESET_PORT,
  RESET_VALUE,
  RSDP_ADDRESS,
  SCI_INTERRUPT,
} from './placement.ts';

export interface AcpiOptions {
  /** Number of virtual processors, 1-255; their APIC ids are 0, 1, 2 and so on. */
  readonly processors: number;
  /** Whether there are an i8259 pair and an i8254; unless told they are. */
  readonly hasLegacyControllers?: boolean;
  /** Whether guests find a VMBus; not without its host side, as its driver waits for answers. */
  readonly hasVmbus?: boolean;
  /** Tables of devices that are not the chipset's own: what follows the common header of each. */
  readonly additional?: readonly AdditionalTable[];
}

/** A system description table whose fields another package knows. */
export interface AdditionalTable {
  /** Four characters. */
  readonly signature: string;
  readonly revision: number;
  readonly body: Uint8Array;
}

export interface AcpiTables {
  /** Guest-physical address of the RSDP, for the boot protocol. */
  readonly rsdpAddress: number;
  /** Bytes to be placed in guest memory; all lie in ACPI_AREA. */
  readonly writes: readonly { readonly gpa: number; readonly bytes: Uint8Array }[];
  /** The tables by signature, for inspection. */
  readonly tables: Readonly<Record<string, Uint8Array>>;
}

const LOCAL_APIC_ADDRESS = 0xfee00000;
const HEADER_BYTES = 36;

/** A table under construction: little-endian fields at the offsets of the specification. */
class TableBytes {
  readonly bytes: Uint8Array;
  readonly #view: DataView;

  constructor(length: number) {
    this.bytes = new Uint8Array(length);
    this.#view = new DataView(this.bytes.buffer);
  }

  u8(offset: number, value: number): this {
    this.#view.setUint8(offset, value);
    return this;
  }

  u16(offset: number, value: number): this {
    this.#view.setUint16(offset, value, true);
    return this;
  }

  u32(offset: number, value: number): this {
    this.#view.setUint32(offset, value, true);
    return this;
  }

  u64(offset: number, value: number): this {
    this.#view.setBigUint64(offset, BigInt(value), true);
    return this;
  }

  text(offset: number, value: string): this {
    for (let index = 0; index < value.length; index++) this.u8(offset + index, value.charCodeAt(index));
    return this;
  }

  /** Generic address structure (5.2.3.2) of an I/O port. */
  port(offset: number, port: number, bits: number): this {
    const accessSize = { 8: 1, 16: 2, 32: 3 }[bits] ?? 0;
    return this.u8(offset, 1)
      .u8(offset + 1, bits)
      .u8(offset + 2, 0)
      .u8(offset + 3, accessSize)
      .u64(offset + 4, port);
  }

  /** Makes the byte at `offset` such that the first `length` bytes sum up to zero. */
  checksum(offset: number, length = this.bytes.length): this {
    this.u8(offset, 0);
    const sum = this.bytes.subarray(0, length).reduce((total, byte) => total + byte, 0);
    return this.u8(offset, -sum & 0xff);
  }
}

/** A system description table: the header of 5.2.6 around `length` bytes, to be finished with `checksum(9)`. */
function systemTable(signature: string, revision: number, length: number): TableBytes {
  return new TableBytes(length)
    .text(0, signature)
    .u32(4, length)
    .u8(8, revision)
    .text(10, 'PLINTH')
    .text(16, 'PLINTHPC')
    .u32(24, 1)
    .text(28, 'PLNT')
    .u32(32, 1);
}

function dsdt(processors: number, hasVmbus: boolean): Uint8Array {
  const terms = describeMachine(processors, hasVmbus);
  // Revision 2: integers have 64 bits.
  const table = systemTable('DSDT', 2, HEADER_BYTES + terms.length);
  table.bytes.set(terms, HEADER_BYTES);
  return table.checksum(9).bytes;
}

function facs(): Uint8Array {
  return new TableBytes(64).text(0, 'FACS').u32(4, 64).u8(32, 2).bytes;
}

/** Fixed feature flags (5.2.9, table 5.10). */
const FADT_FLAGS =
  // WBINVD works; C1 on all processors; no fixed sleep button; RTC wake is no fixed event; 32-bit timer; reset register.
  (1 << 0) | (1 << 2) | (1 << 5) | (1 << 6) | (1 << 8) | (1 << 10);
/** IA-PC boot architecture flags: legacy devices are there, no 8042, VGA not to be probed, RTC there. */
const BOOT_ARCHITECTURE = (1 << 0) | (1 << 2);
/** A latency that says 'no such state'. */
const NO_C2 = 0x0fff;

function fadt(dsdtAddress: number, facsAddress: number): Uint8Array {
  return systemTable('FACP', 6, 276)
    .u32(36, facsAddress)
    .u32(40, dsdtAddress)
    .u8(45, 1) // preferred profile: desktop
    .u16(46, SCI_INTERRUPT)
    .u32(56, PM1_EVENT_PORT)
    .u32(64, PM1_CONTROL_PORT)
    .u32(76, PM_TIMER_PORT)
    .u8(88, 4)
    .u8(89, 2)
    .u8(91, 4)
    .u16(96, NO_C2)
    .u16(98, NO_C2)
    .u8(108, 0x32) // century in CMOS
    .u16(109, BOOT_ARCHITECTURE)
    .u32(112, FADT_FLAGS)
    .port(116, RESET_PORT, 8)
    .u8(128, RESET_VALUE)
    .u8(131, 5) // minor version: 6.5
    .u64(140, dsdtAddress)
    .port(148, PM1_EVENT_PORT, 32)
    .port(172, PM1_CONTROL_PORT, 16)
    .port(208, PM_TIMER_PORT, 32)
    .checksum(9).bytes;
}

/** One structure of the MADT: type, length, content. */
const structure = (type: number, content: readonly number[]): number[] => [type, content.length + 2, ...content];
const u32Bytes = (value: number): number[] => [0, 8, 16, 24].map((shift) => (value >>> shift) & 0xff);

const LEVEL_ACTIVE_HIGH = 0x0d;

/** The i8259 pair is there as well as the APICs. */
const PCAT_COMPATIBLE = 1;

function madt(processors: number, hasLegacyControllers: boolean): Uint8Array {
  const isa = (source: number, gsi: number, flags: number): number[] =>
    structure(2, [0, source, ...u32Bytes(gsi), flags, 0]);
  const structures = [
    ...Array.from({ length: processors }, (_, index) => structure(0, [index, index, ...u32Bytes(1)])),
    structure(1, [0, 0, ...u32Bytes(IOAPIC_ADDRESS), ...u32Bytes(0)]),
    // The timer arrives at input 2, as its own input 0 is the i8259's place.
    ...(hasLegacyControllers ? [isa(0, 2, 0)] : []),
    isa(SCI_INTERRUPT, SCI_INTERRUPT, LEVEL_ACTIVE_HIGH),
    // NMI at LINT1 of all processors.
    structure(4, [0xff, 0, 0, 1]),
  ].flat();
  const table = systemTable('APIC', 5, HEADER_BYTES + 8 + structures.length)
    .u32(36, LOCAL_APIC_ADDRESS)
    .u32(40, hasLegacyControllers ? PCAT_COMPATIBLE : 0);
  table.bytes.set(structures, HEADER_BYTES + 8);
  return table.checksum(9).bytes;
}

function additionalTable({ signature, revision, body }: AdditionalTable): Uint8Array {
  const table = systemTable(signature, revision, HEADER_BYTES + body.length);
  table.bytes.set(body, HEADER_BYTES);
  return table.checksum(9).bytes;
}

function xsdt(addresses: readonly number[]): Uint8Array {
  const table = systemTable('XSDT', 1, HEADER_BYTES + 8 * addresses.length);
  addresses.forEach((address, index) => {
    table.u64(HEADER_BYTES + 8 * index, address);
  });
  return table.checksum(9).bytes;
}

function rsdp(xsdtAddress: number): Uint8Array {
  return new TableBytes(36)
    .text(0, 'RSD PTR ')
    .text(9, 'PLINTH')
    .u8(15, 2)
    .u32(20, 36)
    .u64(24, xsdtAddress)
    .checksum(8, 20)
    .checksum(32).bytes;
}

/**
 * Builds all tables and places them one behind the other in the ACPI area.
 * @throws RangeError for a number of processors that a MADT of local APICs cannot name
 */
export function buildAcpiTables({
  processors,
  hasLegacyControllers = true,
  hasVmbus = false,
  additional = [],
}: AcpiOptions): AcpiTables {
  if (!Number.isInteger(processors) || processors < 1 || processors > 255) {
    throw new RangeError(`ACPI tables for ${processors} processors`);
  }
  const tables: Record<string, Uint8Array> = {};
  const writes: { gpa: number; bytes: Uint8Array }[] = [];
  let next = RSDP_ADDRESS + 64;
  const place = (signature: string, bytes: Uint8Array): number => {
    const gpa = next;
    tables[signature] = bytes;
    writes.push({ gpa, bytes });
    // The FACS wants 64 bytes of alignment; the others take it too.
    next = Math.ceil((gpa + bytes.length) / 64) * 64;
    if (next > ACPI_AREA_END) throw new RangeError('ACPI tables pass the end of their area');
    return gpa;
  };
  const facsAddress = place('FACS', facs());
  const dsdtAddress = place('DSDT', dsdt(processors, hasVmbus));
  const fadtAddress = place('FACP', fadt(dsdtAddress, facsAddress));
  const madtAddress = place('APIC', madt(processors, hasLegacyControllers));
  const others = additional.map((table) => place(table.signature, additionalTable(table)));
  const xsdtAddress = place('XSDT', xsdt([fadtAddress, madtAddress, ...others]));
  const root = rsdp(xsdtAddress);
  tables.RSDP = root;
  writes.unshift({ gpa: RSDP_ADDRESS, bytes: root });
  return { rsdpAddress: RSDP_ADDRESS, writes, tables };
}

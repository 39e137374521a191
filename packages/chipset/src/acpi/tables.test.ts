import { execFileSync, spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { ACPI_AREA_END, ACPI_AREA_START, RSDP_ADDRESS } from './placement.ts';
import { type AcpiTables, buildAcpiTables } from './tables.ts';

const sum = (bytes: Uint8Array): number => bytes.reduce((total, byte) => (total + byte) & 0xff, 0);
const view = (bytes: Uint8Array | undefined): DataView => {
  if (bytes === undefined) throw new Error('the table is missing');
  return new DataView(bytes.buffer);
};
const ascii = (bytes: Uint8Array): string => String.fromCharCode(...bytes);
/** The table that lies at an address. */
const at = ({ writes }: AcpiTables, gpa: number): Uint8Array => {
  const write = writes.find((candidate) => candidate.gpa === gpa);
  if (write === undefined) throw new Error(`nothing at ${gpa.toString(16)}`);
  return write.bytes;
};

describe('the tables', () => {
  const built = buildAcpiTables({
    processors: 3,
    additional: [{ signature: 'TEST', revision: 1, body: Uint8Array.of(1, 2, 3) }],
  });

  it('lie in the ACPI area, one behind the other, the RSDP first and on 16 bytes', () => {
    let end = ACPI_AREA_START;
    for (const { gpa, bytes } of built.writes) {
      expect(gpa).toBeGreaterThanOrEqual(end);
      end = gpa + bytes.length;
    }
    expect(end).toBeLessThanOrEqual(ACPI_AREA_END);
    expect([built.rsdpAddress, built.rsdpAddress % 16]).toEqual([RSDP_ADDRESS, 0]);
  });

  it('lead from the RSDP to all others, each with its length and checksum', () => {
    const root = at(built, built.rsdpAddress);
    expect([ascii(root.subarray(0, 8)), sum(root.subarray(0, 20)), sum(root)]).toEqual(['RSD PTR ', 0, 0]);
    const xsdt = at(built, Number(view(root).getBigUint64(24, true)));
    expect(ascii(xsdt.subarray(0, 4))).toBe('XSDT');
    const entries = Array.from({ length: (xsdt.length - 36) / 8 }, (_, index) =>
      at(built, Number(view(xsdt).getBigUint64(36 + 8 * index, true))),
    );
    expect(entries.map((bytes) => ascii(bytes.subarray(0, 4)))).toEqual(['FACP', 'APIC', 'TEST']);
    const [fadt] = entries;
    const dsdt = at(built, Number(view(fadt).getBigUint64(140, true)));
    expect(view(fadt).getUint32(40, true)).toBe(Number(view(fadt).getBigUint64(140, true)));
    for (const table of [xsdt, ...entries, dsdt]) {
      expect([view(table).getUint32(4, true), sum(table)]).toEqual([table.length, 0]);
    }
    const facsAddress = view(fadt).getUint32(36, true);
    expect([facsAddress % 64, ascii(at(built, facsAddress).subarray(0, 4))]).toEqual([0, 'FACS']);
  });

  it('name every processor, its local APIC and its object', () => {
    const madt = built.tables.APIC ?? new Uint8Array();
    const structures: Uint8Array[] = [];
    for (let offset = 44; offset < madt.length; offset += madt[offset + 1] ?? 1) {
      structures.push(madt.subarray(offset, offset + (madt[offset + 1] ?? 1)));
    }
    expect(structures.map((bytes) => [...bytes])).toEqual([
      [0, 8, 0, 0, 1, 0, 0, 0],
      [0, 8, 1, 1, 1, 0, 0, 0],
      [0, 8, 2, 2, 1, 0, 0, 0],
      [1, 12, 0, 0, 0, 0, 0xc0, 0xfe, 0, 0, 0, 0],
      [2, 10, 0, 0, 2, 0, 0, 0, 0, 0],
      [2, 10, 0, 9, 9, 0, 0, 0, 0x0d, 0],
      [4, 6, 0xff, 0, 0, 1],
    ]);
    const dsdt = ascii(built.tables.DSDT ?? new Uint8Array());
    for (const processor of ['C000', 'C001', 'C002']) expect(dsdt).toContain(processor);
    expect(dsdt).not.toContain('C003');
    expect(dsdt).not.toContain('VMBus');
  });

  it('tell of no i8259 pair and no timer where there is none', () => {
    const madt = buildAcpiTables({ processors: 1, hasLegacyControllers: false }).tables.APIC ?? new Uint8Array();
    expect([madt[40], [...madt].reduce((sum, byte) => sum + byte, 0) & 0xff]).toEqual([0, 0]);
    expect([...madt.subarray(44)]).toEqual([
      ...[0, 8, 0, 0, 1, 0, 0, 0],
      ...[1, 12, 0, 0, 0, 0, 0xc0, 0xfe, 0, 0, 0, 0],
      ...[2, 10, 0, 9, 9, 0, 0, 0, 0x0d, 0],
      ...[4, 6, 0xff, 0, 0, 1],
    ]);
  });

  it('are there for 1 to 255 processors', () => {
    expect(Object.keys(buildAcpiTables({ processors: 255 }).tables)).toHaveLength(6);
    for (const processors of [0, 256, 1.5]) expect(() => buildAcpiTables({ processors })).toThrow(RangeError);
  });

  it('never pass the end of their area', () => {
    const body = new Uint8Array(ACPI_AREA_END - ACPI_AREA_START);
    expect(() => buildAcpiTables({ processors: 1, additional: [{ signature: 'LONG', revision: 1, body }] })).toThrow(
      RangeError,
    );
  });
});

describe.skipIf(spawnSync('iasl', ['-v']).error !== undefined)('ACPICA (iasl, of the package acpica-tools)', () => {
  const folder = mkdtempSync(join(tmpdir(), 'acpi-'));
  afterAll(() => rmSync(folder, { recursive: true }));
  const { tables } = buildAcpiTables({ processors: 17, hasVmbus: true });

  it.each(['DSDT', 'FACP', 'APIC', 'XSDT', 'FACS'])('reads %s without a complaint', (signature) => {
    const file = join(folder, `${signature}.aml`);
    writeFileSync(file, tables[signature] ?? new Uint8Array());
    const output = spawnSync('iasl', ['-d', file], { encoding: 'utf8' });
    expect(output.stdout + output.stderr).not.toMatch(/error|warning|invalid|incorrect/i);
    expect(output.status).toBe(0);
  });

  it.each(['DSDT', 'FACP', 'APIC'])('compiles %s again from what it read, without error or warning', (signature) => {
    const source = join(folder, `${signature}.dsl`);
    // VMBus's id is Hyper-V's own, and shorter than ACPI has them: the compiler is given one of the right length in its place.
    writeFileSync(source, readFileSync(source, 'utf8').replace('_HID, "VMBus"', '_HID, "VMBU0000"'));
    const output = execFileSync('iasl', ['-p', join(folder, `again-${signature}`), source], { encoding: 'utf8' });
    expect(output).toMatch(/0 Errors, 0 Warnings/);
    // The compiler's own name stands in the header (bytes 28-35), hence another checksum; packages shrink in the DSDT.
    if (signature === 'DSDT') return;
    const again = readFileSync(join(folder, `again-${signature}.aml`)).subarray(36);
    expect([...again]).toEqual([...(tables[signature] ?? new Uint8Array()).subarray(36)]);
  });

  it('finds the devices, with their ports and interrupts', () => {
    const source = readFileSync(join(folder, 'DSDT.dsl'), 'utf8');
    expect(source).toMatch(/Device \(COM1\)[^}]*PNP0501[\s\S]*?0x03F8[\s\S]*?\{4\}/);
    expect(source).toMatch(/Device \(COM2\)[^}]*PNP0501[\s\S]*?0x02F8[\s\S]*?\{3\}/);
    expect(source).toMatch(/Device \(RTC\)[^}]*PNP0B00[\s\S]*?0x0070[\s\S]*?\{8\}/);
    expect(source).toMatch(/Device \(C010\)\s*\{\s*Name \(_HID, "ACPI0007"/);
    expect(source).toMatch(
      /Device \(VMOD\)[\s\S]*?"ACPI0004"[\s\S]*?0x00000000F8000000[\s\S]*?0x0000000FE0000000[\s\S]*?Device \(VMBS\)[\s\S]*?"VMBU0000"/,
    );
    expect(source).toMatch(/Name \(\\_S5, Package \(0x04\)/);
  });
});

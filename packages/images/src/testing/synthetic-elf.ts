/** ELF64 files made for tests: named sections, and what a program needs. Called by tests alone. */

/** One section of a made-up file. */
export interface SyntheticSection {
  readonly name: string;
  readonly type?: number;
  readonly contents: Uint8Array;
  /** Index of another section, counted from 1 in the order given. */
  readonly link?: number;
}

/** An ELF64 file with these sections, a null section before them and the table of their names after them. */
function syntheticElf(sections: readonly SyntheticSection[]): Uint8Array {
  const all = [...sections, { name: '.shstrtab', type: 3, contents: new Uint8Array(0) }];
  const names = Buffer.from(`\0${all.map((section) => `${section.name}\0`).join('')}`, 'latin1');
  const contents = [...sections.map((section) => section.contents), names];
  const table = 64 + contents.reduce((sum, piece) => sum + piece.length, 0);
  const file = new Uint8Array(table + (all.length + 1) * 64);
  const view = new DataView(file.buffer);
  file.set([0x7f, 0x45, 0x4c, 0x46, 2, 1, 1]);
  view.setBigUint64(0x28, BigInt(table), true);
  view.setUint16(0x3a, 64, true);
  view.setUint16(0x3c, all.length + 1, true);
  view.setUint16(0x3e, all.length, true);
  let offset = 64;
  let nameOffset = 1;
  all.forEach((section, index) => {
    const bytes = contents[index] ?? new Uint8Array(0);
    const at = table + (index + 1) * 64;
    file.set(bytes, offset);
    view.setUint32(at, nameOffset, true);
    view.setUint32(at + 4, section.type ?? 1, true);
    view.setBigUint64(at + 0x18, BigInt(offset), true);
    view.setBigUint64(at + 0x20, BigInt(bytes.length), true);
    view.setUint32(at + 0x28, ('link' in section ? section.link : 0) ?? 0, true);
    offset += bytes.length;
    nameOffset += section.name.length + 1;
  });
  return file;
}

/** A kernel module with this description. */
export function syntheticModule(description: Readonly<Record<string, string>>): Uint8Array {
  const lines = Object.entries(description).map(([key, value]) => `${key}=${value}\0`);
  return syntheticElf([{ name: '.modinfo', contents: Buffer.from(lines.join('')) }]);
}

/** A program that needs these libraries and this interpreter. */
export function syntheticProgram(libraries: readonly string[], interpreter?: string): Uint8Array {
  const strings = Buffer.from(`\0${libraries.map((name) => `${name}\0`).join('')}`, 'latin1');
  const dynamic = new Uint8Array((libraries.length + 1) * 16);
  const view = new DataView(dynamic.buffer);
  let offset = 1;
  libraries.forEach((name, index) => {
    view.setBigUint64(index * 16, 1n, true);
    view.setBigUint64(index * 16 + 8, BigInt(offset), true);
    offset += name.length + 1;
  });
  const sections: SyntheticSection[] = [
    { name: '.dynstr', type: 3, contents: strings },
    { name: '.dynamic', type: 6, link: 1, contents: dynamic },
  ];
  if (interpreter !== undefined) sections.push({ name: '.interp', contents: Buffer.from(`${interpreter}\0`) });
  return syntheticElf(sections);
}

/**
 * The little of ELF64 (System V ABI, gABI chapters 4 and 5) that building an image needs: a section's bytes, and the shared
 * libraries and the interpreter that a program asks for. Called by `kernel-modules.ts` and `shared-libraries.ts`.
 *
 * Invariant: any input gives an answer; what is not ELF64 or lies outside of the file is simply not found.
 */

/** What a program needs to be loaded. */
export interface DynamicNeeds {
  /** DT_NEEDED names, such as `libc.so.6`. */
  readonly libraries: readonly string[];
  /** PT_INTERP, such as `/lib64/ld-linux-x86-64.so.2`. */
  readonly interpreter: string | undefined;
}

interface Section {
  readonly name: string;
  readonly type: number;
  readonly offset: number;
  readonly size: number;
  readonly link: number;
}

const sectionTypeDynamic = 6;
const sectionTypeNoBits = 8;
const dynamicTagNeeded = 1n;

/** Whether the bytes begin as a little-endian ELF64 file. */
export function isElf64(file: Uint8Array): boolean {
  return (
    file.length >= 64 &&
    file[0] === 0x7f &&
    file[1] === 0x45 &&
    file[2] === 0x4c &&
    file[3] === 0x46 &&
    file[4] === 2 &&
    file[5] === 1
  );
}

/** The bytes of the section called `name`; undefined when there is none. */
export function elfSection(file: Uint8Array, name: string): Uint8Array | undefined {
  const section = sections(file).find((candidate) => candidate.name === name);
  return section === undefined ? undefined : sectionBytes(file, section);
}

/** The libraries and the interpreter that a program or library asks for; both empty for a static one. */
export function dynamicNeeds(file: Uint8Array): DynamicNeeds {
  const all = sections(file);
  const libraries: string[] = [];
  for (const section of all) {
    if (section.type !== sectionTypeDynamic) continue;
    const strings = all[section.link];
    const bytes = sectionBytes(file, section);
    if (strings === undefined || bytes === undefined) continue;
    const names = sectionBytes(file, strings) ?? new Uint8Array(0);
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    for (let at = 0; at + 16 <= bytes.length; at += 16) {
      if (view.getBigUint64(at, true) === dynamicTagNeeded) {
        libraries.push(stringAt(names, Number(view.getBigUint64(at + 8, true))));
      }
    }
  }
  const interpreter = elfSection(file, '.interp');
  return { libraries, interpreter: interpreter === undefined ? undefined : stringAt(interpreter, 0) };
}

function sections(file: Uint8Array): Section[] {
  if (!isElf64(file)) return [];
  const view = new DataView(file.buffer, file.byteOffset, file.byteLength);
  const table = Number(view.getBigUint64(0x28, true));
  const entrySize = view.getUint16(0x3a, true);
  const count = view.getUint16(0x3c, true);
  const namesIndex = view.getUint16(0x3e, true);
  if (entrySize < 64 || table + count * entrySize > file.length) return [];
  const raw = Array.from({ length: count }, (_, index) => {
    const at = table + index * entrySize;
    return {
      nameOffset: view.getUint32(at, true),
      type: view.getUint32(at + 4, true),
      offset: Number(view.getBigUint64(at + 0x18, true)),
      size: Number(view.getBigUint64(at + 0x20, true)),
      link: view.getUint32(at + 0x28, true),
    };
  });
  const namesSection = raw[namesIndex];
  const names = namesSection === undefined ? undefined : sectionBytes(file, namesSection);
  return raw.map(({ nameOffset, ...rest }) => ({
    ...rest,
    name: names === undefined ? '' : stringAt(names, nameOffset),
  }));
}

function sectionBytes(file: Uint8Array, section: Pick<Section, 'type' | 'offset' | 'size'>): Uint8Array | undefined {
  if (section.type === sectionTypeNoBits || section.offset + section.size > file.length) return undefined;
  return file.subarray(section.offset, section.offset + section.size);
}

function stringAt(bytes: Uint8Array, offset: number): string {
  if (offset >= bytes.length) return '';
  const end = bytes.indexOf(0, offset);
  return new TextDecoder('latin1').decode(bytes.subarray(offset, end < 0 ? bytes.length : end));
}

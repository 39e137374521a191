/**
 * The boot information that a multiboot kernel finds through EBX: sizes of memory, command line, modules, memory map, and the loader's
 * name, with everything that it points to behind it in one piece. Facts: the Multiboot Specification, version 0.6.96, section 3.3.
 * Called by `multiboot.ts`.
 */
import { typeNumber } from './memory-map.ts';
import type { MemoryMapEntry } from './types.ts';

export interface Module {
  /** What the kernel is told of it. */
  readonly name: string;
  readonly bytes: Uint8Array;
}

const informationBytes = 116;
const moduleBytes = 16;
const mapEntryBytes = 24;
const flag = { memory: 1, commandLine: 4, modules: 8, memoryMap: 0x40, loaderName: 0x200 } as const;
const loaderName = 'Plinth';

/** @param start its guest-physical address */
export function encodeBootInformation(
  start: number,
  commandLine: string,
  modules: readonly (Module & { readonly start: number })[],
  map: readonly MemoryMapEntry[],
): Uint8Array {
  const text = (value: string): Uint8Array => new TextEncoder().encode(`${value}\0`);
  const moduleTable = informationBytes;
  const mapTable = moduleTable + modules.length * moduleBytes;
  const strings = [commandLine, loaderName, ...modules.map(({ name }) => name)].map(text);
  let end = mapTable + map.length * mapEntryBytes;
  const places = strings.map((bytes) => {
    const at = end;
    end += bytes.length;
    return at;
  });
  const place = (index: number): number => start + (places[index] ?? 0);
  const result = new Uint8Array(end);
  const view = new DataView(result.buffer);
  const put = (at: number, value: number): void => view.setUint32(at, value, true);
  // Kibibytes from 0, and from 1 MiB to the first hole.
  const lowEnd = map.find((entry) => entry.type === 'ram' && entry.start === 0)?.end ?? 0;
  const high = map.find((entry) => entry.type === 'ram' && entry.start === 0x100000);
  put(0, flag.memory | flag.commandLine | flag.modules | flag.memoryMap | flag.loaderName);
  put(4, lowEnd >>> 10);
  put(8, high === undefined ? 0 : (high.end - high.start) / 1024);
  put(16, place(0));
  put(20, modules.length);
  put(24, modules.length === 0 ? 0 : start + moduleTable);
  put(44, map.length * mapEntryBytes);
  put(48, start + mapTable);
  put(64, place(1));
  modules.forEach((module, index) => {
    const at = moduleTable + index * moduleBytes;
    put(at, module.start);
    put(at + 4, module.start + module.bytes.length);
    put(at + 8, place(2 + index));
  });
  map.forEach((entry, index) => {
    const at = mapTable + index * mapEntryBytes;
    // The size of what follows it.
    put(at, mapEntryBytes - 4);
    view.setBigUint64(at + 4, BigInt(entry.start), true);
    view.setBigUint64(at + 12, BigInt(entry.end - entry.start), true);
    put(at + 20, typeNumber[entry.type]);
  });
  strings.forEach((bytes, index) => {
    result.set(bytes, places[index]);
  });
  return result;
}

/**
 * Page tables of the unit tests' machine (tiny-machine.ts), of each kind that a processor walks.
 * Answers to: AMD64 manual volume 2, chapter 5.
 */

/** Four levels, three (the top one without permissions), or two with 32-bit entries. */
export type PagingKind = 'long' | 'pae' | 'legacy';
/** 4M pages belong to two-level tables, 2M and 1G to the others. */
export type PageSize = '4K' | '2M' | '4M' | '1G';

export interface MapOptions {
  readonly size?: PageSize;
  /** Flags of the tables on the way; user and writable when not given. */
  readonly tableFlags?: bigint;
}

const LEVELS: Readonly<Record<PagingKind, readonly bigint[]>> = {
  long: [39n, 30n, 21n, 12n],
  pae: [30n, 21n, 12n],
  legacy: [22n, 12n],
};
const LEAF: Readonly<Record<PageSize, bigint>> = { '4K': 12n, '2M': 21n, '4M': 22n, '1G': 30n };
const PAGE = 4096;
const PAGE_SIZE_FLAG = 0x80n;
const PRESENT = 1n;

export class PageTables {
  readonly kind: PagingKind;
  readonly root: number;
  readonly #ram: DataView;
  readonly #end: number;
  #next: number;

  constructor(ram: DataView, kind: PagingKind, root: number, end: number) {
    this.#ram = ram;
    this.kind = kind;
    this.root = root;
    this.#end = end;
    this.#next = root + PAGE;
  }

  /** A zeroed page of the tables' own. */
  allocate(): number {
    if (this.#next >= this.#end) throw new RangeError('the tables of the test machine are full');
    this.#next += PAGE;
    return this.#next - PAGE;
  }

  read(at: number): bigint {
    return this.kind === 'legacy' ? BigInt(this.#ram.getUint32(at, true)) : this.#ram.getBigUint64(at, true);
  }
  write(at: number, entry: bigint): void {
    if (this.kind === 'legacy') this.#ram.setUint32(at, Number(entry), true);
    else this.#ram.setBigUint64(at, entry, true);
  }

  /** Guest-physical addresses of the entries that translate an address, from the root on. */
  entries(linear: bigint, root: number = this.root): number[] {
    const found: number[] = [];
    let table = root;
    for (const shift of LEVELS[this.kind]) {
      const at = this.#slot(table, linear, shift);
      found.push(at);
      const entry = this.read(at);
      if ((entry & PRESENT) === 0n || (entry & PAGE_SIZE_FLAG) !== 0n) break;
      table = Number(entry & 0xf_ffff_f000n);
    }
    return found;
  }

  #slot(table: number, linear: bigint, shift: bigint): number {
    const bytes = this.kind === 'legacy' ? 4 : 8;
    const width = this.kind === 'legacy' ? 0x3ffn : this.kind === 'pae' && shift === 30n ? 3n : 0x1ffn;
    return table + Number((linear >> shift) & width) * bytes;
  }

  /** Maps one page. `flags` are the entry's own, with PRESENT. */
  map(linear: bigint, physical: number, flags: bigint, options: MapOptions & { readonly root?: number } = {}): void {
    const { size = '4K', tableFlags = 7n, root = this.root } = options;
    let table = root;
    for (const shift of LEVELS[this.kind]) {
      const at = this.#slot(table, linear, shift);
      if (shift === LEAF[size]) {
        this.write(at, BigInt(physical) | flags | (size === '4K' ? 0n : PAGE_SIZE_FLAG));
        return;
      }
      if (this.read(at) === 0n) {
        const legacyTop = this.kind === 'pae' && shift === 30n;
        this.write(at, BigInt(this.allocate()) | (legacyTop ? PRESENT : tableFlags));
      }
      table = Number(this.read(at) & 0xf_ffff_f000n);
    }
    throw new RangeError(`no pages of ${size} in ${this.kind} tables`);
  }
}

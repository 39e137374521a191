/**
 * GPADLs (guest physical address descriptor lists): memory that the guest lends to a channel, under a number of its choice.
 *
 *     GpadlHeader ─> receiving ─(GpadlBody..)─> ready ─ GpadlTeardown ─> tearing-down ─ device has let go ─> gone
 *
 * A header tells how many bytes of range descriptions come and brings the first of them; bodies bring the rest and are not
 * answered one by one. Numbers are looked up by channel, so one channel's number means nothing on another.
 *
 * Invariants: memory taken for a guest is bounded (RECEIVING_LIMIT lists under way, PAGE_LIMIT pages lent); a list is checked as a
 * whole before it is ready. Called by: server.ts.
 */
import { type Extent, parseGpaRanges } from './gpa-ranges.ts';

/** Lists whose bodies are still awaited; drivers send one after the other, a whole boot has a few at a time. */
const RECEIVING_LIMIT = 256;
/** Pages lent over all lists of a partition: 1 GiB, where a network device takes 32 MiB. */
export const PAGE_LIMIT = 262_144;
const GPADL_LIMIT = 16_384;

export type GpadlState =
  | { readonly kind: 'receiving'; readonly bytes: Uint8Array; readonly filled: number; readonly rangeCount: number }
  | { readonly kind: 'ready'; readonly ranges: readonly (readonly Extent[])[]; readonly pages: number }
  | { readonly kind: 'tearing-down'; readonly pages: number };

export interface Gpadl {
  readonly channelId: number;
  readonly gpadlId: number;
  state: GpadlState;
}

/** What a header or body led to. */
export type GpadlProgress =
  | { readonly kind: 'receiving' }
  | { readonly kind: 'ready'; readonly gpadl: Gpadl }
  | { readonly kind: 'refused'; readonly channelId: number; readonly problem: string };

const keyOf = (channelId: number, gpadlId: number): number => channelId * 2 ** 32 + gpadlId;

export class GpadlTable {
  readonly #all = new Map<number, Gpadl>();
  /** Lists under way by their number alone: bodies do not name the channel. */
  readonly #receiving = new Map<number, Gpadl>();
  readonly #isMemory: (extents: readonly Extent[]) => boolean;
  #pages = 0;

  /** @param isMemory whether all of these addresses are memory of the partition */
  constructor(isMemory: (extents: readonly Extent[]) => boolean) {
    this.#isMemory = isMemory;
  }

  get size(): number {
    return this.#all.size;
  }

  get pages(): number {
    return this.#pages;
  }

  header(channelId: number, gpadlId: number, rangeBytes: number, rangeCount: number, data: Uint8Array): GpadlProgress {
    const refused = (problem: string): GpadlProgress => ({ kind: 'refused', channelId, problem });
    if (this.#all.has(keyOf(channelId, gpadlId))) return refused('its number is in use');
    if (this.#receiving.has(gpadlId)) return refused('its number is in use by a list that is not complete');
    if (this.#all.size >= GPADL_LIMIT) return refused(`the guest has ${GPADL_LIMIT} lists already`);
    if (this.#receiving.size >= RECEIVING_LIMIT) return refused(`${RECEIVING_LIMIT} lists are not complete yet`);
    const bytes = new Uint8Array(rangeBytes - (rangeBytes % 8));
    const gpadl: Gpadl = { channelId, gpadlId, state: { kind: 'receiving', bytes, filled: 0, rangeCount } };
    this.#all.set(keyOf(channelId, gpadlId), gpadl);
    this.#receiving.set(gpadlId, gpadl);
    return this.#append(gpadl, data);
  }

  /** @returns undefined when no list of that number is under way */
  body(gpadlId: number, data: Uint8Array): GpadlProgress | undefined {
    const gpadl = this.#receiving.get(gpadlId);
    return gpadl === undefined ? undefined : this.#append(gpadl, data);
  }

  /** A list that is ready. */
  ready(channelId: number, gpadlId: number): readonly (readonly Extent[])[] | undefined {
    const state = this.find(channelId, gpadlId)?.state;
    return state?.kind === 'ready' ? state.ranges : undefined;
  }

  find(channelId: number, gpadlId: number): Gpadl | undefined {
    return this.#all.get(keyOf(channelId, gpadlId));
  }

  of(channelId: number): Gpadl[] {
    return [...this.#all.values()].filter((gpadl) => gpadl.channelId === channelId);
  }

  remove(gpadl: Gpadl): void {
    if (!this.#all.delete(keyOf(gpadl.channelId, gpadl.gpadlId))) return;
    if (gpadl.state.kind === 'receiving') this.#receiving.delete(gpadl.gpadlId);
    else this.#pages -= gpadl.state.pages;
  }

  clear(): void {
    this.#all.clear();
    this.#receiving.clear();
    this.#pages = 0;
  }

  all(): IterableIterator<Gpadl> {
    return this.#all.values();
  }

  /** Takes a list from a saved state. */
  restore(gpadl: Gpadl): void {
    this.#all.set(keyOf(gpadl.channelId, gpadl.gpadlId), gpadl);
    if (gpadl.state.kind === 'receiving') this.#receiving.set(gpadl.gpadlId, gpadl);
    else this.#pages += gpadl.state.pages;
  }

  #append(gpadl: Gpadl, data: Uint8Array): GpadlProgress {
    if (gpadl.state.kind !== 'receiving') return { kind: 'receiving' };
    const { bytes, filled, rangeCount } = gpadl.state;
    // Some guests always send whole messages, so what is past the announced length is no fault.
    const taken = Math.min(data.length - (data.length % 8), bytes.length - filled);
    bytes.set(data.subarray(0, taken), filled);
    const now = filled + taken;
    if (now < bytes.length && taken > 0) {
      gpadl.state = { kind: 'receiving', bytes, filled: now, rangeCount };
      return { kind: 'receiving' };
    }
    const parsed = taken === 0 && now < bytes.length ? 'a part of it is empty' : parseGpaRanges(bytes, rangeCount);
    const problem = typeof parsed === 'string' ? parsed : this.#problemOf(parsed.ranges, parsed.pages);
    if (typeof parsed === 'string' || problem !== undefined) {
      this.remove(gpadl);
      return { kind: 'refused', channelId: gpadl.channelId, problem: problem ?? '' };
    }
    this.#receiving.delete(gpadl.gpadlId);
    this.#pages += parsed.pages;
    gpadl.state = { kind: 'ready', ranges: parsed.ranges, pages: parsed.pages };
    return { kind: 'ready', gpadl };
  }

  #problemOf(ranges: readonly (readonly Extent[])[], pages: number): string | undefined {
    if (ranges.length === 0) return 'it has no range';
    if (this.#pages + pages > PAGE_LIMIT) return `the guest would have lent more than ${PAGE_LIMIT} pages`;
    return ranges.every(this.#isMemory) ? undefined : 'it names pages that are not memory';
  }
}

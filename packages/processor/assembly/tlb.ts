/**
 * TLBs: eight sets, one per recently used PCID (without PCID only the first is used). A set holds for each of three contexts
 * (supervisor, supervisor with EFLAGS.AC set, user) a read and a write table of 1024 entries {u64 page, u32 addend}. An access
 * of n bytes at `a` hits when the entry of page(a) holds page(a + n - 1): one comparison covers validity, permission and page
 * crossing. Entries exist only for plain RAM; write entries only for pages that are dirty and hold no decoded code.
 *
 * A set also carries the generations by which decoded blocks are linked: a new generation means that no block is entered without
 * a look-up. Blocks on global pages carry generations that all sets share, so that they stay linked when the address space changes; what
 * forgets global translations (INVLPG of such a page, a change of CR4.PGE and the like) starts those anew too.
 *
 * Entries of user pages exist as PKRU allowed the access when they were made. Those of pages with a protection key other than 0 stand in a list,
 * so that a change of PKRU forgets them and nothing else; what it does to key 0, which all others have, forgets all.
 *
 * Instruction fetches have a TLB of their own for look-ups of blocks. Its entries {u64 page, u32 generation, u32 host address, u64 GPA} are
 * valid while their generation is, and executable under it.
 * Answers to: AMD64 manual volume 2, section 5.5. Called by memory.ts, blocks.ts and what changes address spaces.
 */
import * as L from './generated/layout';
import { vp, CR0_AM, CR4_PCIDE, CR4_PKE, FLAG_AC, MODE_64, MODE_FLAT, CHECK_ALIGNMENT, CHECK_BREAKPOINTS } from './state';
import { isWatched } from './debug';

const TLB_ENTRIES: u32 = 1024;
const TLB_BYTES: u32 = TLB_ENTRIES * 16;

/** Read and write tables of one context. */
const CONTEXT_BYTES: u32 = 2 * TLB_BYTES;
const SET_BYTES: u32 = 3 * CONTEXT_BYTES;
const SETS: u32 = 8;
/** Instead of its PCID: the set is no address space's. */
const NO_PCID: u32 = 0xffffffff;

/**
 * Behind the tables: per set {u32 pcid or NO_PCID, u32 last use, u32 x6 generations by mode (contextMode), u32 used}, 64 bytes each; then
 * the use counter and generation counter.
 */
const SET_HEADERS: u32 = SETS * SET_BYTES;
const SET_HEADER_BYTES: u32 = 64;
const MODES: u32 = 6;
/** u32 in a set's header: whether the set has had an entry. */
const SET_USED: u32 = 8 + MODES * 4;
/** What stands there until a set is cleared for the first time: its tables hold zeros, and nobody has looked at them. */
const NEVER_CLEARED: u32 = 2;
const CURRENT_SET: u32 = SET_HEADERS + SETS * SET_HEADER_BYTES;
const USE_COUNTER: u32 = CURRENT_SET + 4;
const NEXT_GENERATION: u32 = CURRENT_SET + 8;
/** u32 x6: generations of blocks on global pages, by mode as in a set's header. */
const GLOBAL_GENERATIONS: u32 = CURRENT_SET + 16;

/** Filters of 4096 bits: pages that were executed since the last new generation of a set, by set; behind them those of global pages. */
const EXECUTED_FILTERS: u32 = CURRENT_SET + 64;
const FILTER_BYTES: u32 = 512;
const GLOBAL_FILTER: u32 = SETS;

/** Behind the filters: u32 count, and addresses (u32) of read entries of pages with a protection key; some may be another page's by now. */
const KEYED_ENTRIES: u32 = EXECUTED_FILTERS + (SETS + 1) * FILTER_BYTES;
const KEYED_LIMIT: u32 = 1024;
/** PKRU's bits of key 0. */
const KEY_ZERO: u32 = 3;

const FETCH_ENTRIES: u32 = 512;
const INVALID_TAG: u64 = 1;

/** Record of pages whose write entries may stand in a TLB (a bit of the page record's flags beside those of the layout). */
export const PAGE_FLAG_WRITE_CACHED: u32 = 0x100;

// @ts-ignore: decorator
@inline
function tlbBase(): usize {
  return vp + L.TLB_SETS;
}
// @ts-ignore: decorator
@inline
function setHeader(set: u32): usize {
  return tlbBase() + SET_HEADERS + set * SET_HEADER_BYTES;
}

function newGeneration(): u32 {
  const at = tlbBase() + NEXT_GENERATION;
  const generation = load<u32>(at) + 1;
  store<u32>(at, generation);
  return generation;
}

// @ts-ignore: decorator
@inline
function filterOf(set: u32): usize {
  return tlbBase() + EXECUTED_FILTERS + set * FILTER_BYTES;
}

function newGenerations(set: u32): void {
  const header = setHeader(set);
  for (let i: u32 = 0; i < MODES; i++) store<u32>(header + 8 + i * 4, newGeneration());
  memory.fill(filterOf(set), 0, FILTER_BYTES);
}
function newGlobalGenerations(): void {
  for (let i: u32 = 0; i < MODES; i++) store<u32>(tlbBase() + GLOBAL_GENERATIONS + i * 4, newGeneration());
  memory.fill(filterOf(GLOBAL_FILTER), 0, FILTER_BYTES);
}

/** Whether a block of that generation may be entered without a look-up. */
// @ts-ignore: decorator
@inline
export function isCurrent(generation: u32): bool {
  return generation == load<u32>(vp, L.GENERATION) || generation == load<u32>(vp, L.GLOBAL_GENERATION);
}

/** Forgets a set's translations of data. */
function clearTables(set: u32): void {
  const start = tlbBase() + set * SET_BYTES;
  const used = setHeader(set) + SET_USED;
  if (load<u32>(used) == 0) return;
  for (let p = start; p < start + SET_BYTES; p += 16) store<u64>(p, INVALID_TAG);
  store<u32>(used, 0);
}
/** A set that is no address space's keeps its tables, and the mark that they are used, until it becomes one's. */
function clearSet(set: u32): void {
  if (load<u32>(setHeader(set)) != NO_PCID || set == load<u32>(tlbBase() + CURRENT_SET)) clearTables(set);
  newGenerations(set);
}

/** Puts the tables for the current privilege level, AC flag and mode in place. Called after each change of those or of the set. */
export function selectContext(): void {
  const set = load<u32>(tlbBase() + CURRENT_SET);
  const cpl = load<u32>(vp, L.CPL);
  const context: u32 = cpl == 3 ? 2 : (load<u64>(vp, L.FLAGS) & FLAG_AC) != 0 ? 1 : 0;
  const tables = tlbBase() + set * SET_BYTES + context * CONTEXT_BYTES;
  store<u32>(vp, tables, L.TLB_READ);
  store<u32>(vp, tables + TLB_BYTES, L.TLB_WRITE);
  // Alignment checks are for user mode alone, and nearly nobody asks for them.
  if ((cpl == 3 && (load<u64>(vp, L.FLAGS) & FLAG_AC) != 0) || (load<u32>(vp, L.ACCESS_CHECKS) & CHECK_ALIGNMENT) != 0) selectAlignment(cpl);
  const mode = contextMode(cpl);
  store<u32>(vp, load<u32>(setHeader(set) + 8 + mode * 4), L.GENERATION);
  store<u32>(vp, load<u32>(tlbBase() + GLOBAL_GENERATIONS + mode * 4), L.GLOBAL_GENERATION);
}

/** What a generation is for: 0 to 3 other and 64-bit code, for user mode 2 higher; 4 and 5 flat 32-bit code. */
function contextMode(cpl: u32): u32 {
  const mode = load<u32>(vp, L.MODE);
  const level: u32 = cpl == 3 ? 2 : 0;
  if (mode & MODE_64) return level | 1;
  return mode & MODE_FLAT ? 4 | (level >> 1) : level;
}

/** With alignment checks on no access finds an entry. */
function selectAlignment(cpl: u32): void {
  const on = cpl == 3 && (load<u64>(vp, L.FLAGS) & FLAG_AC) != 0 && (load<u64>(vp, L.CR0) & CR0_AM) != 0;
  const others = load<u32>(vp, L.ACCESS_CHECKS) & ~CHECK_ALIGNMENT;
  store<u32>(vp, on ? others | CHECK_ALIGNMENT : others, L.ACCESS_CHECKS);
  if (!on) return;
  const empty = vp + L.EMPTY_TLB;
  if (load<u64>(empty) != INVALID_TAG) for (let i: u32 = 0; i < TLB_ENTRIES; i++) store<u64>(empty + i * 16, INVALID_TAG);
  store<u32>(vp, empty, L.TLB_READ);
  store<u32>(vp, empty, L.TLB_WRITE);
}

/** Whether an access to a page has to be looked at each time, so that there is no entry for it. */
function kept(address: u64): bool {
  const checks = load<u32>(vp, L.ACCESS_CHECKS);
  return (checks & CHECK_ALIGNMENT) != 0 || ((checks & CHECK_BREAKPOINTS) != 0 && isWatched(address));
}

/** Forgets all translations, global ones included. */
export function flushAll(): void {
  for (let set: u32 = 0; set < SETS; set++) {
    clearSet(set);
    if (set != load<u32>(tlbBase() + CURRENT_SET)) store<u32>(setHeader(set), NO_PCID);
  }
  newGlobalGenerations();
  selectContext();
}

/** Forgets all translations that are not global (some global ones too). */
export function flushLocal(): void {
  for (let set: u32 = 0; set < SETS; set++) clearSet(set);
  selectContext();
}

/** Starts new generations everywhere: no decoded block is entered without a look-up. */
export function dropLinks(): void {
  for (let set: u32 = 0; set < SETS; set++) newGenerations(set);
  newGlobalGenerations();
  selectContext();
}

/** First use of a processor's tables. */
export function initializeTlb(): void {
  store<u32>(tlbBase() + KEYED_ENTRIES, 0);
  for (let set: u32 = 0; set < SETS; set++) {
    store<u32>(setHeader(set), NO_PCID);
    store<u32>(setHeader(set) + SET_USED, NEVER_CLEARED);
  }
  store<u32>(tlbBase() + CURRENT_SET, 0);
  flushAll();
}

/** Forgets what the given PCID has (its global pages too: more than asked is allowed). */
export function flushPcid(pcid: u32): void {
  for (let set: u32 = 0; set < SETS; set++) {
    if (load<u32>(setHeader(set)) == pcid) clearSet(set);
  }
  selectContext();
}

/** Makes the tables of CR3's PCID current; `keep`: bit 63 of the CR3 write (translations stay). */
export function switchAddressSpace(cr3: u64, keep: bool): void {
  const pcid: u32 = load<u64>(vp, L.CR4) & CR4_PCIDE ? <u32>cr3 & 0xfff : 0;
  const counter = load<u32>(tlbBase() + USE_COUNTER) + 1;
  store<u32>(tlbBase() + USE_COUNTER, counter);
  let oldest: u32 = 0;
  let found: i32 = -1;
  for (let set: u32 = 0; set < SETS; set++) {
    if (load<u32>(setHeader(set)) == pcid) {
      found = set;
      break;
    }
    if (load<u32>(setHeader(set) + 4) < load<u32>(setHeader(oldest) + 4)) oldest = set;
  }
  if (found < 0) {
    found = oldest;
    store<u32>(setHeader(oldest), pcid);
    clearSet(oldest);
  } else if (!keep) clearSet(found);
  store<u32>(setHeader(found) + 4, counter);
  store<u32>(tlbBase() + CURRENT_SET, found);
  selectContext();
}

/** INVLPG: one page, in every set, as a global page may stand in all of them. `everywhere`: the page of another address space may be meant. */
export function flushPage(address: u64, everywhere: bool): void {
  const index = (<u32>(address >> 12) & (TLB_ENTRIES - 1)) << 4;
  for (let set: u32 = 0; set < SETS; set++) {
    let entry = tlbBase() + set * SET_BYTES + index;
    for (let table: u32 = 0; table < 6; table++) {
      store<u64>(entry, INVALID_TAG);
      entry += TLB_BYTES;
    }
  }
  if (wasExecuted(GLOBAL_FILTER, address)) {
    dropLinks();
    return;
  }
  const current = load<u32>(tlbBase() + CURRENT_SET);
  for (let set: u32 = 0; set < SETS; set++) {
    if ((everywhere || set == current) && wasExecuted(set, address)) newGenerations(set);
  }
  selectContext();
}

/** The halves of the address space share no bits. */
function filterBit(address: u64): u32 {
  const page = <u32>(address >> 12);
  return ((page ^ (page >> 11)) & 2047) | (<u32>(address >> 63) << 11);
}
function wasExecuted(set: u32, address: u64): bool {
  const bit = filterBit(address);
  return (load<u8>(filterOf(set) + (bit >> 3)) & (1 << (bit & 7))) != 0;
}

// @ts-ignore: decorator
@inline
function fetchEntry(address: u64): usize {
  const page = <u32>(address >> 12);
  return vp + L.TLB_FETCH + (((page ^ (page >> 9)) & (FETCH_ENTRIES - 1)) << 5);
}
/** @returns the valid entry of an instruction's page, or 0 */
export function findFetch(address: u64): usize {
  const entry = fetchEntry(address);
  return load<u64>(entry) == (address & ~0xfff) && isCurrent(load<u32>(entry, 8)) ? entry : 0;
}
/** Enters an instruction's page that the processor may execute now; an INVLPG of it will be noticed. @returns the entry */
export function fillFetch(address: u64, host: usize, gpa: u64, global: bool): usize {
  const entry = fetchEntry(address);
  store<u64>(entry, address & ~0xfff);
  store<u32>(entry, global ? load<u32>(vp, L.GLOBAL_GENERATION) : load<u32>(vp, L.GENERATION), 8);
  store<u32>(entry, <u32>(host & ~0xfff), 12);
  store<u64>(entry, gpa & ~0xfff, 16);
  const bit = filterBit(address);
  const at = filterOf(global ? GLOBAL_FILTER : load<u32>(tlbBase() + CURRENT_SET)) + (bit >> 3);
  store<u8>(at, load<u8>(at) | (<u8>1 << <u8>(bit & 7)));
  return entry;
}

/** Removes the write entries of a RAM page that is about to hold decoded code. */
export function protectCodePage(page: u32): void {
  const ram: usize = load<u32>(L.SHARED + L.SHARED_RAM_OFFSET);
  const record = load<u32>(L.SHARED + L.SHARED_PAGES_OFFSET) + page * L.PAGE_RECORD_BYTES;
  if (!(load<u32>(record, 8) & PAGE_FLAG_WRITE_CACHED)) return;
  atomic.and<u32>(record + 8, ~PAGE_FLAG_WRITE_CACHED);
  const host: u32 = ram + (page << 12);
  for (let set: u32 = 0; set < SETS; set++) {
    if (load<u32>(setHeader(set) + SET_USED) != 1) continue;
    for (let context: u32 = 0; context < 3; context++) {
      let entry = tlbBase() + set * SET_BYTES + context * CONTEXT_BYTES + TLB_BYTES;
      for (let i: u32 = 0; i < TLB_ENTRIES; i++) {
        if (<u32>load<u64>(entry) + load<u32>(entry, 8) == host) store<u64>(entry, INVALID_TAG);
        entry += 16;
      }
    }
  }
}

/** Entry of a page for reads with supervisor rights whatever the CPL, and without AC: those of descriptor tables and of the TSS. */
// @ts-ignore: decorator
@inline
export function systemReadEntry(address: u64): usize {
  return tlbBase() + load<u32>(tlbBase() + CURRENT_SET) * SET_BYTES + ((<u32>(address >> 12) & (TLB_ENTRIES - 1)) << 4);
}
/** Enters a page of plain memory, without a protection key, that such a read has walked to. */
export function fillSystemRead(address: u64, host: usize): void {
  if (load<u32>(vp, L.ACCESS_CHECKS) != 0) return;
  const entry = systemReadEntry(address);
  store<u64>(entry, address & ~0xfff);
  store<u32>(entry, <u32>host - <u32>address, 8);
  store<u32>(setHeader(load<u32>(tlbBase() + CURRENT_SET)) + SET_USED, 1);
}

export function fillRead(address: u64, host: usize): void {
  if (load<u32>(vp, L.ACCESS_CHECKS) != 0 && kept(address)) return;
  const entry = load<u32>(vp, L.TLB_READ) + ((<u32>(address >> 12) & (TLB_ENTRIES - 1)) << 4);
  store<u64>(entry, address & ~0xfff);
  store<u32>(entry, <u32>host - <u32>address, 8);
  store<u32>(setHeader(load<u32>(tlbBase() + CURRENT_SET)) + SET_USED, 1);
}
export function fillWrite(address: u64, host: usize): void {
  if (load<u32>(vp, L.ACCESS_CHECKS) != 0 && kept(address)) return;
  const entry = load<u32>(vp, L.TLB_WRITE) + ((<u32>(address >> 12) & (TLB_ENTRIES - 1)) << 4);
  store<u64>(entry, address & ~0xfff);
  store<u32>(entry, <u32>host - <u32>address, 8);
  store<u32>(setHeader(load<u32>(tlbBase() + CURRENT_SET)) + SET_USED, 1);
}

/** The page of an address, about to get its entries, has a protection key that is not 0. */
export function noteKeyed(address: u64): void {
  if (load<u32>(vp, L.ACCESS_CHECKS) != 0 && kept(address)) return;
  const list = tlbBase() + KEYED_ENTRIES;
  if (load<u32>(list) == KEYED_LIMIT) forgetKeyed();
  const count = load<u32>(list);
  const entry = load<u32>(vp, L.TLB_READ) + ((<u32>(address >> 12) & (TLB_ENTRIES - 1)) << 4);
  store<u32>(list + 4 + count * 4, entry);
  store<u32>(list, count + 1);
}
function forgetKeyed(): void {
  const list = tlbBase() + KEYED_ENTRIES;
  const count = load<u32>(list);
  for (let i: u32 = 0; i < count; i++) {
    const entry: usize = load<u32>(list + 4 + i * 4);
    store<u64>(entry, INVALID_TAG);
    store<u64>(entry + TLB_BYTES, INVALID_TAG);
  }
  store<u32>(list, 0);
}

/** WRPKRU, and what else loads PKRU: entries that it might not allow any more are forgotten. No code is: fetches have no keys. */
export function writePkru(value: u32): void {
  const changed = load<u32>(vp, L.PKRU) ^ value;
  if (changed == 0) return;
  store<u32>(vp, value, L.PKRU);
  if ((load<u64>(vp, L.CR4) & CR4_PKE) == 0) return;
  forgetKeyed();
  if (changed & KEY_ZERO) for (let set: u32 = 0; set < SETS; set++) clearTables(set);
}

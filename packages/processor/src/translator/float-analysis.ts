/**
 * What is known about vector registers before code is emitted: which floating-point elements need no check.
 *
 * An element is `clean` when it is zero or an normal number: neither NaN nor infinite nor denormal. Results of
 * native arithmetic are clean, because a region is left at an instruction with any other result. A forward analysis over the region: what
 * holds on all ways to a block holds there. What MXCSR allows is known once it was looked at.
 * Answers to: AMD64 manual volume 1, section 4.10 (SIMD floating-point exceptions). Called by: region-vectors.ts, flag-analysis.ts.
 */
import { extensionResults } from './emit-called.ts';
import type { Instruction } from './instruction.ts';
import type { Region } from './region.ts';
import { writesVector } from './region-registers.ts';
import { HIGH_OPERAND, halvesOf, isWide, LOW_OPERAND, narrows, UPPER, widens } from './vex.ts';

/** Facts of one register, by bits: lowest single, lowest double, all singles, all doubles. */
export const CLEAN = { single: 1, double: 2, singles: 4, doubles: 8 } as const;
const ALL = 15;
const SINGLE = CLEAN.single;
const DOUBLE = CLEAN.double;
const SINGLES = CLEAN.single | CLEAN.singles;
const DOUBLES = CLEAN.double | CLEAN.doubles;

/** Facts of a point: one byte for each register, and one for what MXCSR is known to allow (ALLOWED). */
export type Facts = Uint8Array;
/** Behind the registers and the upper halves of YMM registers. */
const MXCSR = 32;
export const FACTS = 33;
/** By bits: native arithmetic if its result is exact; whatever its result. */
export const ALLOWED = { exact: 1, inexact: 2 } as const;

const elements = { SS: SINGLE, SD: DOUBLE, PS: SINGLES, PD: DOUBLES } as const;
/** Operations by name, with the elements that they work on. */
const named = (operations: readonly string[]): Map<string, number> =>
  new Map(
    operations.flatMap((operation) =>
      Object.entries(elements).map(([suffix, element]): [string, number] => [operation + suffix, element]),
    ),
  );
const ARITHMETIC = named(['ADD', 'SUB', 'MUL', 'DIV', 'SQRT']);
const EXTREMES = named(['MIN', 'MAX']);
/** Conversions whose results may be inexact. */
const INEXACT_CONVERSIONS = new Set([
  'CVTSI2SS',
  'CVTSS2SI',
  'CVTTSS2SI',
  'CVTSD2SI',
  'CVTTSD2SI',
  'CVTPS2DQ',
  'CVTTPS2DQ',
  'CVTPD2DQ',
  'CVTTPD2DQ',
  'CVTDQ2PS',
  'CVTSD2SS',
  'CVTPD2PS',
]);
/** Operations of FMA: whether the product's sign is changed, what is done with it, the operands' order, packed or not, and the format. */
const FUSED = /^VF(N?)M(ADD|SUB|ADDSUB|SUBADD)(132|213|231)([PS])([SD])$/;
/** The parts of such an operation's name; undefined where it is none. */
export function partsOfFused(operation: string) {
  const match = FUSED.exec(operation);
  if (match === null) return undefined;
  const [, sign, kind = '', order = '', elements, format] = match;
  return { negated: sign === 'N', kind, order, packed: elements === 'P', single: format === 'S' };
}
/** The elements that an operation of FMA works on; undefined where it is none. */
function fusedElement(operation: string): number | undefined {
  return partsOfFused(operation) && elements[operation.slice(-2) as keyof typeof elements];
}
const COMPARISONS = ['COMISS', 'COMISD', 'UCOMISS', 'UCOMISD'];
const MAY_RAISE = new Set([
  ...ARITHMETIC.keys(),
  ...EXTREMES.keys(),
  ...INEXACT_CONVERSIONS,
  ...COMPARISONS,
  ...['CMPSS', 'CMPSD_X', 'CMPPS', 'CMPPD', 'CVTSI2SD', 'CVTSS2SD', 'CVTPS2PD'],
  ...['RCPPS', 'RCPSS', 'RSQRTPS', 'RSQRTSS'],
]);

/** Operations that are native only when any result is allowed: whether it is exact is not looked at. */
const NOT_EXACT = new Set([
  ...[...ARITHMETIC.keys()].filter((operation) => /P[SD]$|^SQRT/.test(operation)),
  ...['CVTPS2DQ', 'CVTTPS2DQ', 'CVTPD2DQ', 'CVTTPD2DQ', 'CVTDQ2PS', 'CVTPD2PS'],
]);

/** What MXCSR has to allow for an instruction, of ALLOWED; a conversion of a 32-bit integer to a double is always exact. */
export function needsOfMxcsr({ operation, immediate }: Instruction): number {
  if (operation === 'CVTSI2SD') return (immediate & 0x40000000) === 0 ? 0 : ALLOWED.exact;
  if (NOT_EXACT.has(operation) || FUSED.test(operation)) return ALLOWED.exact | ALLOWED.inexact;
  return ARITHMETIC.has(operation) || INEXACT_CONVERSIONS.has(operation) ? ALLOWED.exact : 0;
}
/** Whether MXCSR is known to allow what a bit of ALLOWED says. */
export function isAllowed(facts: Facts, allowed: number): boolean {
  return ((facts[MXCSR] ?? 0) & allowed) !== 0;
}
/** Whether the operation may leave the region for its operands' sake, without one in memory. */
export function mayRaise(operation: string): boolean {
  return MAY_RAISE.has(operation) || FUSED.test(operation);
}

type Transfer = (destination: number, source: number) => number;
/** Facts of the destination after an operation, from those before. */
const TRANSFERS: Readonly<Record<string, Transfer>> = {
  CVTSI2SD: (d) => DOUBLE | (d & CLEAN.doubles),
  CVTSS2SD: (d) => DOUBLE | (d & CLEAN.doubles),
  CVTSI2SS: (d) => SINGLE | (d & CLEAN.singles),
  CVTSD2SS: (d) => SINGLE | (d & CLEAN.singles),
  CVTPS2PD: () => DOUBLES,
  CVTDQ2PD: () => DOUBLES,
  CVTPD2PS: () => SINGLES,
  CVTDQ2PS: () => SINGLES,
  MOV_X: (_, s) => s,
  MOV_X_STORE: (_, s) => s,
  MOVSD_LOAD: moveDouble,
  MOVSD_STORE: moveDouble,
  MOVSS_LOAD: moveSingle,
  MOVSS_STORE: moveSingle,
  UNPCKLPS: (d, s) => (d & SINGLE) | (d & s & CLEAN.singles),
  UNPCKHPS: both(SINGLES),
  PUNPCKLQDQ: joinLow,
  MOVLHPS: joinLow,
  PUNPCKHQDQ: both(ALL),
  SHUFPD: both(ALL),
  MOVHLPS: both(ALL),
  SHUFPS: both(SINGLES),
  PSHUFD: (_, s) => allOf(s, CLEAN.singles, SINGLES),
};
/** `facts` where all elements of a kind are clean, so that any choice of them is. */
function allOf(facts: number, packed: number, result: number): number {
  return (facts & packed) === 0 ? 0 : result;
}
function both(mask: number): Transfer {
  return (d, s) => (allOf(d & s, CLEAN.singles, SINGLES) | allOf(d & s, CLEAN.doubles, DOUBLES)) & mask;
}
/** The lower half of the destination stays, the upper is the source's lower half. */
function joinLow(d: number, s: number): number {
  const doubles = (d & s & DOUBLE) === 0 ? 0 : CLEAN.doubles;
  return (d & (SINGLE | DOUBLE)) | doubles | (d & s & CLEAN.singles);
}
/** The lowest double is the source's; with a source in memory the rest is zero, but nothing is known of the source. */
function moveDouble(d: number, s: number): number {
  const doubles = (s & DOUBLE) === 0 ? 0 : d & CLEAN.doubles;
  return (s & (SINGLE | DOUBLE)) | doubles;
}
function moveSingle(d: number, s: number): number {
  return (s & SINGLE) === 0 ? 0 : SINGLE | (d & CLEAN.singles);
}

/** Operations that leave every vector register as it is though a register is their destination. */
const NO_RESULT = new Set([
  ...COMPARISONS,
  ...['CVTSS2SI', 'CVTTSS2SI', 'CVTSD2SI', 'CVTTSD2SI', 'MOVMSKPS', 'MOVMSKPD', 'PMOVMSKB', 'PEXTRW', 'MOVD_FROM_X'],
  ...['PEXTRB', 'PEXTRD', 'PEXTRW_STORE'],
]);
/** What a scalar operation leaves of the facts about all elements: the upper ones stay as they were. */
function keptBy(element: number, facts: number): number {
  return element === SINGLE ? facts & CLEAN.singles : element === DOUBLE ? facts & CLEAN.doubles : 0;
}

/** Applies a vector instruction to the facts. The region is left at an instruction whose operands or results are not as this says. */
export function applyFacts(facts: Facts, instruction: Instruction): void {
  const { operation } = instruction;
  if (instruction.facts.callsVectors) {
    // The core executes it: nothing is known of its results.
    const results = extensionResults(instruction);
    if (results === undefined || operation === 'VEX_LDMXCSR') facts.fill(0);
    else for (const place of results) facts[place >> 4] = facts[(place + UPPER) >> 4] = 0;
    return;
  }
  if (instruction.facts.vexVector) applyVex(facts, instruction);
  else applyEach(facts, instruction);
}

/** The same for an instruction with 128 bits, or half of one with 256. */
function applyEach(facts: Facts, instruction: Instruction): void {
  const { operation, form } = instruction;
  // What was checked under another MXCSR tells nothing.
  if (operation === 'LDMXCSR') facts.fill(0);
  facts[MXCSR] = (facts[MXCSR] ?? 0) | needsOfMxcsr(instruction);
  const to = instruction.destination >> 4;
  const from = instruction.source >> 4;
  const first = instruction.first >> 4;
  const d = facts[first] ?? 0;
  const s = form === 'RR' ? (facts[from] ?? 0) : 0;
  const arithmetic = ARITHMETIC.get(operation);
  if (arithmetic !== undefined) {
    if (form === 'RR') facts[from] = s | arithmetic;
    facts[to] = arithmetic | keptBy(arithmetic, d);
    return;
  }
  const fused = fusedElement(operation);
  if (fused !== undefined) {
    // The destination is an operand; what is above the lowest element stays.
    facts[to] = fused | keptBy(fused, facts[to] ?? 0);
    return;
  }
  if (NO_RESULT.has(operation) || !form.startsWith('R')) return;
  if (operation === 'CVTSS2SD' && form === 'RR') facts[from] = s | SINGLE;
  if (operation === 'CVTSD2SS' && form === 'RR') facts[from] = s | DOUBLE;
  const extreme = EXTREMES.get(operation);
  if (extreme !== undefined) {
    // The operands may be infinite: the result is clean when they were.
    facts[to] = (d & s & extreme) === extreme ? extreme | keptBy(extreme, d) : 0;
    return;
  }
  if (operation === 'PXOR' && form === 'RR' && first === from) facts[to] = ALL;
  else facts[to] = TRANSFERS[operation]?.(facts[first] ?? 0, form === 'RR' ? (facts[from] ?? 0) : 0) ?? 0;
}

/** The same for an instruction that is encoded with VEX. What lies above a result of 128 bits is zero. */
function applyVex(facts: Facts, instruction: Instruction): void {
  const { operation, form, destination, source } = instruction;
  const upper = (destination + UPPER) >> 4;
  if (operation.startsWith('VZERO')) {
    facts.fill(ALL, operation === 'VZEROALL' ? 0 : UPPER >> 4, MXCSR);
    return;
  }
  if (!isWide(instruction)) {
    applyEach(facts, instruction);
    if (form.startsWith('R') && writesVector(operation)) facts[upper] = ALL;
    return;
  }
  if (form === 'MR') return;
  const fromMemory = form === 'RM' || widens(operation);
  const [low, high] = halvesOf(
    instruction,
    fromMemory ? LOW_OPERAND : source,
    fromMemory ? HIGH_OPERAND : source + UPPER,
  );
  applyEach(facts, low);
  applyEach(facts, high);
  if (narrows(operation)) facts[upper] = ALL;
}

/** The facts at each block's entry, by the block's order. */
export function factsAtEntry(region: Region): Facts[] {
  const { nodes } = region;
  const vectors = nodes.map(({ block }) =>
    block.instructions.filter(({ vector, facts }) => vector || facts.callsVectors),
  );
  const atEntry = nodes.map((_, order) => new Uint8Array(FACTS).fill(order === 0 ? 0 : 0xff));
  for (let changed = true; changed; ) {
    changed = false;
    for (const node of nodes) {
      const facts = Uint8Array.from(atEntry[node.order] ?? []);
      for (const instruction of vectors[node.order] ?? []) applyFacts(facts, instruction);
      for (const { order } of node.successors) {
        const before = atEntry[order];
        if (before === undefined) continue;
        for (let at = 0; at < before.length; at++) {
          const value = (before[at] ?? 0) & (facts[at] ?? 0);
          if (value === before[at]) continue;
          before[at] = value;
          changed = true;
        }
      }
    }
  }
  return atEntry;
}

/**
 * Where QEMU's TCG (7.2) is not what the manuals say, in the cases of system instructions that are recorded from it: which cases, the section,
 * and what the outcome is by hand. What TCG has not got at all, or what ends it, the cases leave out, with a comment at the place.
 */
import type { CaseOutcome } from './case-outcomes.ts';

export interface Difference {
  readonly name: string;
  /** The manual and its section, and what TCG does instead. */
  readonly section: string;
  /** The outcome by the manual, of a case with this outcome on QEMU; undefined where this is about other cases. */
  expected(subject: CaseOutcome): readonly string[] | undefined;
}

const LONG_MODES = ['c32', 'l64'];
const TEST = 0x120;
const OTHER_TEST = 0x130;
const LAST_TEST = 0x138;

const modeOf = ({ group }: CaseOutcome): string =>
  group.find((word) => /^(p16|p32|c16|c32|l64|real)$/.test(word)) ?? '';
const isLong = (subject: CaseOutcome): boolean => LONG_MODES.includes(modeOf(subject));
function numberOf({ group }: CaseOutcome, word: string): number {
  const found = group.find((each) => each.startsWith(word));
  return found === undefined ? Number.NaN : Number.parseInt(found.slice(word.length), 16);
}
/** Groups `INSTRUCTION MODE cplN rplN [flagsN]`: by the access byte of the descriptor at TEST. */
const byType = ({ group }: CaseOutcome): boolean =>
  /^(p16|p32|c32|l64)$/.test(group[1] ?? '') && group[3]?.startsWith('rpl') === true;
/** Groups `INSTRUCTION in the LDT MODE cplN`: by the access byte of the local table's last entry. */
const inLocalTable = ({ group }: CaseOutcome): boolean => group.slice(1, 4).join(' ') === 'in the LDT';
const faulted = ({ outcome }: CaseOutcome): boolean => outcome.some((part) => /^v[0-9a-f]+/.test(part));
const landed = ({ outcome }: CaseOutcome): boolean => outcome.some((part) => part === 'l16' || part === 'l32');
const replaced = ({ outcome }: CaseOutcome, from: string, to: string): readonly string[] | undefined =>
  outcome.includes(from) ? outcome.map((part) => (part === from ? to : part)) : undefined;
/** What ESP keeps in its upper half on a 16-bit stack of an outer level. */
const unchangedStack = (subject: CaseOutcome): readonly string[] =>
  modeOf(subject) === 'p16' && numberOf(subject, 'cpl') !== 0 ? ['sp=118000'] : [];
const hexadecimal = (value: number): string => value.toString(16);

export const caseDifferences: readonly Difference[] = [
  {
    name: 'LAR and LSL of 16-bit system descriptors in long mode',
    section: 'SDM volume 2, LAR, table 3-53, and LSL: types 1, 3, 4 and 5 are not valid in IA-32e mode; TCG takes them',
    expected: (subject) =>
      /^(LAR|LSL)$/.test(subject.group[0] ?? '') &&
      (byType(subject) || (inLocalTable(subject) && (subject.key[0] ?? 0) < 0x100)) &&
      isLong(subject) &&
      [1, 3, 4, 5].includes((subject.key[0] ?? 0) & 0x1f)
        ? []
        : undefined,
  },
  {
    name: 'LTR of a 16-bit task state in long mode',
    section:
      'AMD64 manual volume 3, LTR: only an available 64-bit task state; else #GP with the selector. TCG loads the old one too',
    expected: (subject) =>
      subject.group[0] === 'LTR' &&
      byType(subject) &&
      isLong(subject) &&
      numberOf(subject, 'cpl') === 0 &&
      ((subject.key[0] ?? 0) & 0x1f) === 1
        ? ['vd:120']
        : undefined,
  },
  {
    name: 'code that is of 64 and of 32 bits',
    section:
      'SDM volume 2, JMP and CALL, CONFORMING- and NONCONFORMING-CODE-SEGMENT: L and D both set are #GP; TCG goes there, or raises #NP',
    expected(subject) {
      if (!/^(JMP|CALL)$/.test(subject.group[0] ?? '') || subject.group[4] !== 'flagse') return undefined;
      if (((subject.key[0] ?? 0) & 0x10) === 0) return undefined;
      return landed(subject) ? ['vd:120'] : replaced(subject, 'vb:120', 'vd:120');
    },
  },
  {
    name: 'code that was not accessed',
    section:
      'SDM volume 3A, 3.4.5.1: whoever loads a segment register sets the accessed bit; TCG does not when it loads CS',
    expected(subject) {
      const { group, key, outcome } = subject;
      if (!landed(subject)) return undefined;
      if (/^(JMP|CALL|RETF|IRET)/.test(group[0] ?? '') && (byType(subject) || inLocalTable(subject))) {
        const access = key[0] ?? 0;
        const selector = byType(subject) ? TEST : LAST_TEST;
        return (access & 0x11) === 0x10
          ? [...outcome, `g${hexadecimal(selector)}=${hexadecimal(access | 1)}`]
          : undefined;
      }
      const target = key[1] ?? 0;
      if (group[1]?.startsWith('gate') === true && target >= 4 && target < 8) {
        return [...outcome, `g${hexadecimal(OTHER_TEST)}=${hexadecimal(0x9f | ((target & 3) << 5))}`];
      }
      if (group.slice(0, 3).join(' ') === 'INT to targets' && target < 0x10000 && (target & 0x10) === 0) {
        return [...outcome, `g${hexadecimal(TEST)}=${hexadecimal((target >> 4) | 1)}`];
      }
      return undefined;
    },
  },
  {
    name: 'a jump through a gate to absent code',
    section: 'SDM volume 2, JMP, CALL-GATE: #NP with the code segment selector; TCG raises #GP',
    expected: (subject) =>
      subject.group[0] === 'JMP' &&
      subject.group[1]?.startsWith('gate') === true &&
      subject.key[1] === 0xb &&
      numberOf(subject, 'cpl') === 0
        ? replaced(subject, 'vd:130', 'vb:130')
        : undefined,
  },
  {
    name: 'a call through a gate behind the limit',
    section: 'SDM volume 2, CALL, CALL-GATE: an instruction pointer beyond the code segment is #GP(0); TCG goes there',
    expected: (subject) =>
      subject.group[0] === 'CALL' &&
      subject.group[1]?.startsWith('gate') === true &&
      subject.key[1] === 0xd &&
      landed(subject)
        ? ['vd:0', ...unchangedStack(subject)]
        : undefined,
  },
  {
    name: 'a call through a gate to conforming code',
    section: 'SDM volume 3A, 5.8.4: conforming code is entered without a change of level; TCG enters its DPL',
    expected(subject) {
      const { group, key, outcome } = subject;
      const target = key[1] ?? 0;
      if (
        group[0] !== 'CALL' ||
        group[1]?.startsWith('gate') !== true ||
        target < 4 ||
        target > 7 ||
        !landed(subject)
      ) {
        return undefined;
      }
      const level = numberOf(subject, 'cpl');
      const bytes = isLong(subject) ? 8 : group[1] === 'gate4' ? 2 : 4;
      const top = modeOf(subject) === 'p16' ? (level === 0 ? 0x8000 : 0x118000) : 0x48000;
      const kept = outcome.filter((part) => /^(l16|l32|\[47...\]=.*|g...=.*)$/.test(part));
      return [...kept, `cs=${hexadecimal(OTHER_TEST | level)}`, `sp=${hexadecimal(top - 2 * bytes)}`];
    },
  },
  {
    name: 'a return with a null stack segment in long mode',
    section:
      'SDM volume 2, RET and IRET: a null SS is #GP(0) but for 64-bit code of levels 0 to 2 with the selector of that level; TCG takes it',
    expected(subject) {
      const [level = 0, selector = 0] = subject.key;
      if (!/^(RETF|IRET)/.test(subject.group[0] ?? '') || subject.group[1] !== 'stacks' || !isLong(subject))
        return undefined;
      const popsStack =
        level !== numberOf(subject, 'cpl') || (modeOf(subject) === 'l64' && /^IRET/.test(subject.group[0] ?? ''));
      if (!popsStack || faulted(subject) || selector < 0x1000 || selector > 0x1003) return undefined;
      const good = numberOf(subject, 'wide') === 1 && level !== 3 && (selector & 3) === level;
      return good ? undefined : ['vd:0'];
    },
  },
  {
    name: 'the number of a gate in error codes of long mode',
    section: 'SDM volume 3A, 6.13: bits 15 to 3 are the index of the gate, its vector; TCG gives twice that',
    expected(subject) {
      if (!isLong(subject)) return undefined;
      const parts = subject.outcome.map((part) => {
        const found = /^(v[bd]):([0-9a-f]+)$/.exec(part);
        const error = Number.parseInt(found?.[2] ?? '', 16);
        return found !== null && (error & 2) !== 0
          ? `${found[1]}:${hexadecimal(((error >> 4) << 3) | (error & 3))}`
          : part;
      });
      return parts.join() === subject.outcome.join() ? undefined : parts;
    },
  },
  {
    name: 'an exception that is delivered through a bad gate',
    section: 'SDM volume 3A, 6.13: EXT is set when an earlier exception is being delivered; TCG leaves it clear',
    expected(subject) {
      if (subject.group.slice(0, 2).join(' ') !== '#UD with') return undefined;
      return subject.outcome.map((part) => {
        const found = /^(v[abd]):([0-9a-f]+)$/.exec(part);
        return found === null ? part : `${found[1]}:${hexadecimal(Number.parseInt(found[2] ?? '', 16) | 1)}`;
      });
    },
  },
];

/** The outcome of a case by the manuals, with the names of the differences from QEMU's. */
export function byTheManuals(subject: CaseOutcome): {
  readonly outcome: readonly string[];
  readonly differences: readonly string[];
} {
  let { outcome } = subject;
  const differences: string[] = [];
  for (const { name, expected } of caseDifferences) {
    const by = expected({ ...subject, outcome });
    if (by === undefined || by.join() === outcome.join()) continue;
    outcome = by;
    differences.push(name);
  }
  return { outcome, differences };
}

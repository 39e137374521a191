/**
 * Operations that the run loop executes inline, and their code: what boots and programs execute most. Everything else goes through
 * the general handlers (assembly/general.ts and others), which are complete.
 *
 * The generator numbers the operations from 1 in this order; the decoder writes the numbers into pre-decoded operations, and
 * run-loop.ts makes each body a case of the loop's switch. In a body `u` is the operation, `s` the processor's block, `first` the
 * block's first operation; it falls through to the next operation, or leaves with `continue` after setting `u`.
 * Called by: decoder-tables.ts, run-loop.ts.
 */
import { CONDITIONS } from '../table/index.ts';
import type { FormName } from './forms.ts';

export interface HotOperation {
  readonly name: string;
  readonly operation: string;
  readonly form: FormName;
  /** log2 of the operand size in bytes. */
  readonly size: number;
  /** AssemblyScript statements. */
  readonly body: string;
}

const SIGNED = ['i8', 'i16', 'i32', 'i64'];
const bitsOf = (size: number): number => 8 << size;

const DESTINATION = 's + load<u8>(u, 2)';
const SOURCE = 's + load<u8>(u, 3)';

/** Reads a value sign-extended to 64 bits. */
const read = (size: number, pointer: string): string =>
  size === 3 ? `load<i64>(${pointer})` : `<i64>load<${SIGNED[size]}>(${pointer})`;
const extend = (size: number, value: string): string =>
  size === 3 ? `(${value})` : `<i64>(<${SIGNED[size]}>(${value}))`;
/** Writes a register: 32-bit values clear the upper half. */
const write = (size: number, pointer: string, value: string): string =>
  size === 3
    ? `store<i64>(${pointer}, ${value});`
    : size === 2
      ? `store<u64>(${pointer}, <u64>(<u32>(${value})));`
      : `store<${SIGNED[size]}>(${pointer}, <${SIGNED[size]}>(${value}));`;
const store = (size: number, pointer: string, value: string): string =>
  `store<${SIGNED[size]}>(${pointer}, <${SIGNED[size]}>(${value}));`;

const ADDRESS = `const f = <u32>load<u8>(u, 6);
let at = load<u64>(s + load<u8>(u, 4)) + (load<u64>(s + load<u8>(u, 5)) << (f & 3)) + <u64>(<i64>load<i32>(u, 8));
if (f & 0xf0) at = specialAddress(u, at);`;

/** Declares `p`, the operand's host pointer, or leaves with the fault. */
function pointer(table: 'TLB_READ' | 'TLB_WRITE', bytes: number, slow: string, onFault = 'fault(u)'): string {
  const last = bytes === 1 ? 'at' : `(at + ${bytes - 1})`;
  return `const e: usize = load<u32>(s, L.${table}) + ((<u32>(at >> 12) & 1023) << 4);
let p: usize = <u32>at + load<u32>(e, 8);
if (load<u64>(e) != (${last} & ~0xfff)) { p = ${slow}; if (p == 0) { u = ${onFault}; continue; } }`;
}
const readOperand = (size: number): string =>
  `${ADDRESS}\n${pointer('TLB_READ', 1 << size, `readSlow(at, ${1 << size})`)}`;
const writeOperand = (size: number): string =>
  `${ADDRESS}\n${pointer('TLB_WRITE', 1 << size, `writeSlow(at, ${1 << size}, false)`)}`;
const modifyOperand = (size: number): string =>
  `${ADDRESS}\n${pointer('TLB_WRITE', 1 << size, `writeSlow(at, ${1 << size}, true)`)}`;
const commit = (size: number): string => `if (p == s + (L.SCRATCH + 32)) commitWrite(${1 << size});`;

const lazy = (kind: string, result: string, a: string, b: string): string =>
  `store<u32>(s, ${kind}, L.CC_KIND); store<i64>(s, ${result}, L.CC_RESULT); store<i64>(s, ${a}, L.CC_A); store<i64>(s, ${b}, L.CC_B);`;

interface Arithmetic {
  readonly expression: string;
  readonly flags: string;
  readonly writes: boolean;
}
const logic = (expression: string, writes = true): Arithmetic => ({
  expression,
  flags: lazy('1', 'r', 'r', '0'),
  writes,
});
const ARITHMETIC: Readonly<Record<string, Arithmetic>> = {
  ADD: { expression: 'a + b', flags: lazy('1', 'r', 'a', 'b'), writes: true },
  SUB: { expression: 'a - b', flags: lazy('2', 'r', 'a', 'b'), writes: true },
  CMP: { expression: 'a - b', flags: lazy('2', 'r', 'a', 'b'), writes: false },
  AND: logic('a & b'),
  OR: logic('a | b'),
  XOR: logic('a ^ b'),
  TEST: logic('a & b', false),
};

function arithmetic(operation: string, form: FormName, size: number): string {
  const { expression, flags, writes } = ARITHMETIC[operation] ?? { expression: '', flags: '', writes: false };
  const immediate = extend(size, '<i64>load<i32>(u, 12)');
  const result = `const r = ${extend(size, expression)};`;
  if (form === 'RR' || form === 'RI') {
    const b = form === 'RI' ? immediate : read(size, SOURCE);
    return `const d = ${DESTINATION}; const a = ${read(size, 'd')}; const b = ${b}; ${result}\n${writes ? write(size, 'd', 'r') : ''} ${flags}`;
  }
  if (form === 'RM') {
    return `${readOperand(size)}\nconst d = ${DESTINATION}; const a = ${read(size, 'd')}; const b = ${read(size, 'p')}; ${result}\n${writes ? write(size, 'd', 'r') : ''} ${flags}`;
  }
  const b = form === 'MI' ? immediate : read(size, SOURCE);
  const operand = writes ? modifyOperand(size) : readOperand(size);
  return `${operand}\nconst a = ${read(size, 'p')}; const b = ${b}; ${result}\n${writes ? `${store(size, 'p', 'r')} ${commit(size)}` : ''} ${flags}`;
}

function move(form: FormName, size: number): string {
  const value =
    form === 'RI' || form === 'MI' ? '<i64>load<i32>(u, 12)' : form === 'RM' ? read(size, 'p') : read(size, SOURCE);
  if (form === 'RR' || form === 'RI') return write(size, DESTINATION, value);
  if (form === 'RM') return `${readOperand(size)}\n${write(size, DESTINATION, value)}`;
  return `${writeOperand(size)}\n${store(size, 'p', value)} ${commit(size)}`;
}

/** MOVZX and MOVSX from a narrower source. */
function moveExtend(form: FormName, size: number, type: string, bytes: number): string {
  const value = (at: string): string => `<i64>load<${type}>(${at})`;
  if (form === 'RR') return write(size, DESTINATION, value(SOURCE));
  return `${ADDRESS}\n${pointer('TLB_READ', bytes, `readSlow(at, ${bytes})`)}\n${write(size, DESTINATION, value('p'))}`;
}

/** Takes a transfer to `target`: charges the block and goes by the operation's link, or by a look-up. */
const linked = `const left = load<i32>(s, L.BUDGET) - <i32>(((u - first) >> 4) + 1);
store<i32>(s, left, L.BUDGET);
const link: usize = load<u32>(u, 12);
if ((left | load<i32>(s, L.REQUEST)) >= 0 && link != 0 && load<u64>(link, L.BLOCK_RIP) == target && (load<u32>(link, L.BLOCK_GENERATION) == load<u32>(s, L.GENERATION) || load<u32>(link, L.BLOCK_GENERATION) == load<u32>(s, L.GLOBAL_GENERATION))) {
  recordBranch(load<u64>(s, L.RIP_BASE) + load<u8>(u - 9), target, L.BRANCH_TAKEN);
  const uses = load<u32>(link, L.BLOCK_USES) - 1; store<u32>(link, uses, L.BLOCK_USES); if (uses == 0) noteHot(link);
  store<u64>(s, target, L.RIP_BASE); u = link + L.BLOCK_FIRST_OPERATION;
} else u = enterLinked(u, target);
first = u; continue;`;
const indirect = `const left = load<i32>(s, L.BUDGET) - <i32>(((u - first) >> 4) + 1);
store<i32>(s, left, L.BUDGET);
const link: usize = load<u32>(s + L.JUMP_CACHE + ((<u32>(target ^ (target >> 12)) & (L.JUMP_ENTRIES - 1)) << 2));
if ((left | load<i32>(s, L.REQUEST)) >= 0 && link != 0 && load<u64>(link, L.BLOCK_RIP) == target && (load<u32>(link, L.BLOCK_GENERATION) == load<u32>(s, L.GENERATION) || load<u32>(link, L.BLOCK_GENERATION) == load<u32>(s, L.GLOBAL_GENERATION))) {
  recordBranch(load<u64>(s, L.RIP_BASE) + load<u8>(u - 9), target, L.BRANCH_TAKEN);
  const uses = load<u32>(link, L.BLOCK_USES) - 1; store<u32>(link, uses, L.BLOCK_USES); if (uses == 0) noteHot(link);
  store<u64>(s, target, L.RIP_BASE); u = link + L.BLOCK_FIRST_OPERATION;
} else u = enterChecked(u, target);
first = u; continue;`;
const RELATIVE = 'const target = load<u64>(s, L.RIP_BASE) + <u64>(<i64>load<i32>(u, 8));';

/** Conditions as expressions; the frequent ones decide after CMP and SUB without making flags. */
const LESS = '(load<u32>(s, L.CC_KIND) == 2 ? load<i64>(s, L.CC_A) < load<i64>(s, L.CC_B) : less())';
const LESS_OR_EQUAL =
  '(load<u32>(s, L.CC_KIND) == 2 ? load<i64>(s, L.CC_A) <= load<i64>(s, L.CC_B) : less() || zero())';
const BELOW = '(load<u32>(s, L.CC_KIND) == 2 ? load<u64>(s, L.CC_A) < load<u64>(s, L.CC_B) : carry())';
const BELOW_OR_EQUAL =
  '(load<u32>(s, L.CC_KIND) == 2 ? load<u64>(s, L.CC_A) <= load<u64>(s, L.CC_B) : carry() || zero())';
const ZERO = '(load<u8>(s, L.CC_KIND) != 0 ? load<u64>(s, L.CC_RESULT) == 0 : zero())';
const SIGN = '(load<u8>(s, L.CC_KIND) != 0 ? load<i64>(s, L.CC_RESULT) < 0 : sign())';
const TESTS: readonly string[] = ['overflow()', BELOW, ZERO, BELOW_OR_EQUAL, SIGN, 'parity()', LESS, LESS_OR_EQUAL];
const conditionOf = (code: number): string => `${(code & 1) === 1 ? '!' : ''}${TESTS[code >> 1]}`;

function push(value: string): string {
  return `const at = load<u64>(s, 32) - 8;
${pointer('TLB_WRITE', 8, 'writeSlow(at, 8, false)', 'stackFault(u, at)')}
store<u64>(p, ${value}); ${commit(3)} store<u64>(s, at, 32);`;
}

function shift(operation: string, size: number): string {
  const bits = bitsOf(size);
  const d = `const d = ${DESTINATION}; const c = load<u32>(u, 12) & ${size === 3 ? 63 : 31};
if (c == 0) { ${write(size, 'd', read(size, 'd'))} u += 16; continue; }`;
  const unsigned = size === 3 ? 'load<u64>(d)' : '<u64>load<u32>(d)';
  const finish = (result: string, carryBit: string, overflowBit: string): string =>
    `${write(size, 'd', result)} store<u32>(s, 5, L.CC_KIND); store<i64>(s, ${extend(size, result)}, L.CC_RESULT);
store<u64>(s, (${carryBit}) | ((${overflowBit}) << 11), L.CC_B);`;
  if (operation === 'SHL') {
    return `${d}\nconst a = ${unsigned}; const r = a << c; const cf = (a >> (${bits} - c)) & 1;
${finish('<i64>r', 'cf', `((r >> ${bits - 1}) & 1) ^ cf`)}`;
  }
  if (operation === 'SHR') {
    return `${d}\nconst a = ${unsigned}; const r = a >> c; const cf = (a >> (c - 1)) & 1;
${finish('<i64>r', 'cf', `((r >> ${bits - 1}) ^ (r >> ${bits - 2})) & 1`)}`;
  }
  return `${d}\nconst a = ${read(size, 'd')}; const r = a >> c; const cf = <u64>(a >> (c - 1)) & 1;
${finish('r', 'cf', '<u64>0')}`;
}

function expand(
  operations: readonly string[],
  forms: readonly FormName[],
  sizes: readonly number[],
  body: (operation: string, form: FormName, size: number) => string,
): HotOperation[] {
  return operations.flatMap((operation) =>
    forms.flatMap((form) =>
      sizes.map((size) => ({
        name: `${operation}${bitsOf(size)}_${form}`,
        operation,
        form,
        size,
        body: body(operation, form, size),
      })),
    ),
  );
}

const LOAD_ADDRESS = `const f = <u32>load<u8>(u, 6);
let at = load<u64>(s + load<u8>(u, 4)) + (load<u64>(s + load<u8>(u, 5)) << (f & 3)) + <u64>(<i64>load<i32>(u, 8));
if (f & 0x80) at = narrowOffset(at);`;

const NEXT_RIP = 'load<u64>(s, L.RIP_BASE) + load<u8>(u, 7)';

export const HOT_OPERATIONS: readonly HotOperation[] = [
  ...expand(['MOV'], ['RR', 'RI', 'RM', 'MR', 'MI'], [0, 1, 2, 3], (_, form, size) => move(form, size)),
  ...expand(Object.keys(ARITHMETIC), ['RR', 'RI', 'RM', 'MR', 'MI'], [2, 3], arithmetic).filter(
    ({ operation, form }) => !(operation === 'TEST' && form === 'RM'),
  ),
  ...expand(['CMP', 'TEST'], ['RR', 'RI', 'MI'], [0], arithmetic),
  ...expand(['CMP'], ['RM', 'MR'], [0], arithmetic),
  ...expand(['CMP', 'TEST'], ['MI'], [1], arithmetic),
  ...expand(['MOVZX8'], ['RR', 'RM'], [2, 3], (_, form, size) => moveExtend(form, size, 'u8', 1)),
  ...expand(['MOVZX16'], ['RR', 'RM'], [2, 3], (_, form, size) => moveExtend(form, size, 'u16', 2)),
  ...expand(['MOVSX8'], ['RR', 'RM'], [2, 3], (_, form, size) => moveExtend(form, size, 'i8', 1)),
  ...expand(['MOVSX16'], ['RR', 'RM'], [2, 3], (_, form, size) => moveExtend(form, size, 'i16', 2)),
  ...expand(['MOVSXD'], ['RR', 'RM'], [3], (_, form, size) => moveExtend(form, size, 'i32', 4)),
  ...expand(['LEA'], ['RM'], [2, 3], (_, __, size) => `${LOAD_ADDRESS}\n${write(size, DESTINATION, '<i64>at')}`),
  ...expand(['MOV_IMM64'], ['RI'], [2, 3], (_, __, size) => write(size, DESTINATION, 'load<i64>(u, 8)')),
  ...expand(['INC', 'DEC'], ['R'], [2, 3], (operation, _, size) => {
    const [sign, kind] = operation === 'INC' ? ['+', 3] : ['-', 4];
    return `const d = ${DESTINATION}; const a = ${read(size, 'd')}; const r = ${extend(size, `a ${sign} 1`)};
const c: u32 = carry() ? ${kind + 0x100} : ${kind};
${write(size, 'd', 'r')} ${lazy('c', 'r', 'a', '1')}`;
  }),
  ...expand(
    ['NEG'],
    ['R'],
    [2, 3],
    (_, __, size) =>
      `const d = ${DESTINATION}; const b = ${read(size, 'd')}; const r = ${extend(size, '0 - b')};\n${write(size, 'd', 'r')} ${lazy('2', 'r', '0', 'b')}`,
  ),
  ...expand(
    ['NOT'],
    ['R'],
    [2, 3],
    (_, __, size) => `const d = ${DESTINATION}; ${write(size, 'd', `~(${read(size, 'd')})`)}`,
  ),
  ...expand(['SHL', 'SHR', 'SAR'], ['RI'], [2, 3], (operation, _, size) => shift(operation, size)),
  ...expand(['IMUL2'], ['RR'], [2, 3], (_, __, size) => {
    const wide = size === 3 ? 'multiplyHighSigned(a, b) != r >> 63' : 'product != r';
    const product = size === 3 ? 'const r = a * b;' : `const product = a * b; const r = ${extend(size, 'product')};`;
    return `const d = ${DESTINATION}; const a = ${read(size, 'd')}; const b = ${read(size, SOURCE)}; ${product}
${write(size, 'd', 'r')} store<u32>(s, 5, L.CC_KIND); store<i64>(s, r, L.CC_RESULT); store<u64>(s, ${wide} ? 0x801 : 0, L.CC_B);`;
  }),
  ...CONDITIONS.flatMap((suffix, code) => [
    {
      name: `JCC_${suffix}`,
      operation: `JCC_${suffix}`,
      form: 'N' as const,
      size: 3,
      body: `if (${conditionOf(code)}) { ${RELATIVE}\n${linked} }`,
    },
    {
      name: `SETCC_${suffix}_R`,
      operation: `SETCC_${suffix}`,
      form: 'R' as const,
      size: 0,
      body: `store<u8>(${DESTINATION}, ${conditionOf(code)} ? 1 : 0);`,
    },
    ...[2, 3].map((size) => ({
      name: `CMOVCC_${suffix}_RR${bitsOf(size)}`,
      operation: `CMOVCC_${suffix}`,
      form: 'RR' as const,
      size,
      body: `const d = ${DESTINATION}; ${write(size, 'd', `${conditionOf(code)} ? ${read(size, SOURCE)} : ${read(size, 'd')}`)}`,
    })),
  ]),
  { name: 'JMP', operation: 'JMP', form: 'N', size: 3, body: `${RELATIVE}\n${linked}` },
  { name: 'CALL', operation: 'CALL', form: 'N', size: 3, body: `${push(NEXT_RIP)}\n${RELATIVE}\n${linked}` },
  {
    name: 'RET',
    operation: 'RET',
    form: 'N',
    size: 3,
    body: `const at = load<u64>(s, 32);
${pointer('TLB_READ', 8, 'readSlow(at, 8)', 'stackFault(u, at)')}
const target = load<u64>(p);
if (!isCanonical(target)) { u = raiseAt(u, 13, 0); continue; }
store<u64>(s, at + 8 + <u64>load<u32>(u, 12), 32);
${indirect}`,
  },
  {
    name: 'JMP_INDIRECT_R',
    operation: 'JMP_INDIRECT',
    form: 'R',
    size: 3,
    body: `const target = load<u64>(${DESTINATION});\n${indirect}`,
  },
  {
    name: 'JMP_INDIRECT_M',
    operation: 'JMP_INDIRECT',
    form: 'M',
    size: 3,
    body: `${readOperand(3)}\nconst target = load<u64>(p);\n${indirect}`,
  },
  { name: 'PUSH_R', operation: 'PUSH', form: 'R', size: 3, body: push(`load<u64>(${DESTINATION})`) },
  { name: 'PUSH_IMM', operation: 'PUSH_IMM', form: 'N', size: 3, body: push('<u64>(<i64>load<i32>(u, 12))') },
  {
    name: 'POP_R',
    operation: 'POP',
    form: 'R',
    size: 3,
    body: `const at = load<u64>(s, 32);
${pointer('TLB_READ', 8, 'readSlow(at, 8)', 'stackFault(u, at)')}
const value = load<u64>(p); store<u64>(s, at + 8, 32); store<u64>(${DESTINATION}, value);`,
  },
  ...[0, 1, 2, 3].flatMap((size) => [
    { name: `NOP_${size}`, operation: 'NOP', form: 'N' as const, size, body: '' },
    { name: `NOP_MODRM_R${size}`, operation: 'NOP_MODRM', form: 'R' as const, size, body: '' },
    { name: `NOP_MODRM_M${size}`, operation: 'NOP_MODRM', form: 'M' as const, size, body: '' },
  ]),
];

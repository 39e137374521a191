/**
 * Instructions that are encoded with VEX in translated code: they stay in the region, and leave all of the YMM registers, general
 * registers and flags as the interpreter does. What the results must be is the differential test's affair (tests/differential).
 */
import { describe, expect, it } from 'vitest';
import { formsOf } from '../build/decoder-tables.ts';
import { TRANSLATE_AT_ONCE } from '../index.ts';
import { STATE } from '../state-layout.ts';
import { INSTRUCTIONS } from '../table/index.ts';
import { TinyMachine } from '../testing/tiny-machine.ts';
import { factsOf } from './operation-facts.ts';
import { namesFirst } from './vex.ts';

const ROUNDS = 3000;
const OPERAND = 0x5800n;
const AVX_STATE = 6n;

/** YMM registers of any bits, of which the fourth to sixth are ordinary doubles, the last of them positive. */
function fill(state: DataView): void {
  for (let at = 0; at < 16 * 32; at++) state.setUint8(at, (at * 37 + 11) & 0xff);
  for (const [at, value] of [1.5, -2.25, 3.75, 1e9, 2.5, 8, -0.5, 1e-3, 2, 4, 1.5, 9].entries())
    state.setFloat64(4 * 32 + at * 8, value, true);
}

interface Run {
  readonly what: string;
  readonly translated: number;
  readonly interpreted: number;
  readonly after: readonly unknown[];
}

/** mov ecx, ROUNDS; again: the instruction; dec ecx; jnz again */
function loop(bytes: readonly number[], translate: boolean, address = OPERAND, state = AVX_STATE): Run {
  const machine = new TinyMachine('long', { translateAfter: translate ? TRANSLATE_AT_ONCE : 0 });
  machine.set('XCr0', state);
  const { memory, layout } = machine.partition;
  const vectors = new DataView(memory.buffer, layout.processorsOffset + STATE.XMM, 16 * 32);
  fill(vectors);
  machine.put(
    0x5fe0,
    Array.from({ length: 64 }, (_, at) => at * 11),
  );
  machine.put(Number(OPERAND), [0x12, 0x34, 0x56, 0x78, 0x9a, 0xbc, 0xde, 0xf0]);
  const body = [...bytes, 0xff, 0xc9];
  const { what } = machine.run([0xb9, ROUNDS & 0xff, ROUNDS >> 8, 0, 0, ...body, 0x75, 0xfe - body.length], {
    budget: 1e6,
    registers: { Rax: 7n, Rdx: 0x8000_0000_1234_0014n, Rdi: 0xfedc_ba98_7654_0a05n, Rsi: address, Mxcsr: 0x1fa0n },
  });
  const { processor } = machine;
  const names = ['Rax', 'Rcx', 'Rdx', 'R8', 'Rflags', 'Mxcsr'] as const;
  const stored = Array.from({ length: 8 }, (_, at) => machine.ram.getBigUint64(Number(address) + at * 4, true));
  const registers = names.map((name) => processor.readRegister(name));
  const after = [...registers, ...stored, ...Array.from({ length: 16 * 32 }, (_, at) => vectors.getUint8(at))];
  return { what, ...processor.instructionCounts(), after };
}
const bytesOf = (text: string): number[] => (text.match(/../g) ?? []).map((byte) => Number.parseInt(byte, 16));

const CODE: readonly (readonly [string, string])[] = [
  ['vmovdqu ymm0, [rsi]', 'c5fe6f06'],
  ['vmovdqa [rsi], ymm3', 'c5fd7f1e'],
  ['vmovups xmm0, xmm2', 'c5f810c2'],
  ['vpaddb ymm0, ymm1, [rsi]', 'c5f5fc06'],
  ['vpxor xmm0, xmm1, xmm2', 'c5f1efc2'],
  ['vpcmpeqb ymm0, ymm1, ymm2', 'c5f574c2'],
  ['vpmovmskb eax, ymm1', 'c5fdd7c1'],
  ['vmovmskpd eax, ymm1', 'c5fd50c1'],
  ['vpsllw ymm0, ymm1, xmm2', 'c5f5f1c2'],
  ['vpsrld ymm1, ymm1, xmm1', 'c5f5d2c9'],
  ['vpslldq ymm0, ymm1, 5', 'c5fd73f905'],
  ['vpalignr ymm0, ymm1, ymm2, 7', 'c4e3750fc207'],
  ['vpshufb ymm0, ymm1, ymm2', 'c4e27500c2'],
  ['vpshufd ymm0, ymm1, 0x1b', 'c5fd70c11b'],
  ['vshufpd ymm0, ymm1, ymm2, 6', 'c5f5c6c206'],
  ['vblendps ymm0, ymm1, ymm2, 0xa5', 'c4e3750cc2a5'],
  ['vpblendvb ymm0, ymm1, ymm2, ymm3', 'c4e3754cc230'],
  ['vpmovzxbw ymm0, xmm1', 'c4e27d30c1'],
  ['vpmovsxbd ymm0, [rsi]', 'c4e27d2106'],
  ['vptest ymm1, ymm2', 'c4e27d17ca'],
  ['vpbroadcastb ymm0, xmm1', 'c4e27d78c1'],
  ['vbroadcastsd ymm0, [rsi]', 'c4e27d1906'],
  ['vinserti128 ymm0, ymm1, xmm2, 1', 'c4e37538c201'],
  ['vextracti128 xmm0, ymm1, 1', 'c4e37d39c801'],
  ['vperm2i128 ymm0, ymm1, ymm2, 0x83', 'c4e37546c283'],
  ['vpermq ymm0, ymm1, 0x93', 'c4e3fd00c193'],
  ['vpermd ymm0, ymm1, ymm2', 'c4e27536c2'],
  ['vpermilps ymm0, ymm1, ymm2', 'c4e2750cc2'],
  ['vpermilpd ymm0, ymm1, 6', 'c4e37d05c106'],
  ['vpinsrd xmm0, xmm1, eax, 2', 'c4e37122c002'],
  ['vpextrq rax, xmm1, 1', 'c4e3f916c801'],
  ['vmovsd xmm0, xmm1, xmm2', 'c5f310c2'],
  ['vmovhps xmm0, xmm1, [rsi]', 'c5f01606'],
  ['vmovd xmm0, eax', 'c5f96ec0'],
  ['vaddpd ymm0, ymm4, ymm5', 'c5dd58c5'],
  ['vmulps xmm0, xmm4, xmm5', 'c5d859c5'],
  ['vdivsd xmm0, xmm4, xmm5', 'c5db5ec5'],
  ['vsqrtpd ymm0, ymm6', 'c5fd51c6'],
  ['vcmppd ymm0, ymm4, ymm5, 0x1d', 'c5ddc2c51d'],
  ['vmaxpd ymm0, ymm4, ymm5', 'c5dd5fc5'],
  ['vcvtpd2ps xmm0, ymm4', 'c5fd5ac4'],
  ['vcvtdq2pd ymm0, xmm1', 'c5fee6c1'],
  ['vcvttpd2dq xmm0, ymm4', 'c5fde6c4'],
  ['vucomisd xmm4, xmm5', 'c5f92ee5'],
  ['vcvtsi2sd xmm0, xmm4, eax', 'c5db2ac0'],
  ['vcvttsd2si eax, xmm4', 'c5fb2cc4'],
  ['vfmadd231pd ymm0, ymm4, ymm5', 'c4e2ddb8c5'],
  ['vfnmadd231sd xmm0, xmm4, xmm5', 'c4e2d9bdc5'],
  ['vfmaddsub231ps ymm0, ymm4, ymm5', 'c4e25db6c5'],
  ['vfmsubadd231pd xmm0, xmm4, xmm5', 'c4e2d9b7c5'],
  ['vfmsub231ss xmm0, xmm4, [rsi]', 'c4e259bb06'],
  ['vfnmsub231ps xmm0, xmm4, xmm5', 'c4e259bec5'],
  ['vzeroupper', 'c5f877'],
  ['vzeroall', 'c5fc77'],
  ['andn eax, edx, [rsi]', 'c4e268f206'],
  ['bextr rax, rdx, rdi', 'c4e2c0f7c2'],
  ['blsi eax, edx', 'c4e278f3da'],
  ['blsmsk rax, rdx', 'c4e2f8f3d2'],
  ['blsr rax, rdx', 'c4e2f8f3ca'],
  ['bzhi eax, edx, edi', 'c4e240f5c2'],
  ['mulx rax, r8, rdi', 'c4e2bbf6c7'],
  ['rorx eax, edi, 7', 'c4e37bf0c707'],
  ['sarx eax, edi, edx', 'c4e26af7c7'],
  ['shlx rax, rdi, rdx', 'c4e2e9f7c7'],
  ['shrx eax, [rsi], edx', 'c4e26bf706'],
  ['movbe rax, [rsi]', '480f38f006'],
  ['adcx rax, rdi', '66480f38f6c7'],
  ['adcx eax, [rsi]', '660f38f606'],
  ['adox rax, [rsi]', 'f3480f38f606'],
  ['adox eax, edi', 'f30f38f6c7'],
  ['movbe [rsi], dx', '660f38f116'],
];

describe('VEX instructions in a region', () => {
  it.each(CODE)('%s stays there', (_, text) => {
    const [plain, translated] = [false, true].map((translate) => loop(bytesOf(text), translate));
    expect(plain?.what).toBe('done');
    expect(translated?.after).toEqual(plain?.after);
    const { translated: inside = 0, interpreted: outside = 1 } = translated ?? {};
    expect(inside / (inside + outside)).toBeGreaterThan(0.99);
  });

  it('an operand of 256 bits that crosses a page is the interpreter’s', () => {
    // vpaddb ymm0, ymm0, [rsi]
    const [plain, translated] = [false, true].map((translate) => loop(bytesOf('c5fdfc06'), translate, 0x5ff0n));
    expect(translated?.after).toEqual(plain?.after);
    expect(translated?.interpreted).toBeGreaterThan(ROUNDS - 1);
  });

  it('is #UD where XCR0 does not have the state', () => {
    for (const translate of [false, true]) expect(loop(bytesOf('c5edfcc3'), translate, OPERAND, 0n).what).toMatch(/UD/);
  });

  it('reads VEX.vvvv where the table has an operand there', () => {
    const wrong = INSTRUCTIONS.filter((row) => {
      const { vex, operation, operands, modrm, mod } = row;
      if (vex === undefined) return false;
      const { register, memory } = formsOf(row);
      return [...(mod === 'mem' ? [] : [register]), ...(modrm && mod !== 'reg' ? [memory] : [])].some((form) => {
        const { vexVector, namesake } = factsOf(operation, form, true);
        const has = operands.some(({ kind }) => kind === 'H');
        return vexVector && namesFirst(namesake, form) !== has;
      });
    }).map(({ name, text }) => `${name} ${text}`);
    expect(wrong).toEqual([]);
  });
});

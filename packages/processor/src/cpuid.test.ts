/**
 * CPUID tells exactly what works: for each feature bit an instruction of that extension is executed, which is #UD exactly when the bit is
 * clear; features without instructions are named; and the least that the software engine must have is there.
 *
 * Bits and encodings: AMD64 manual volume 3, appendices D and E; Intel SDM volume 2.
 */
import { describe, expect, it } from 'vitest';
import { absentFeatures, CPU_FEATURES, type CpuFeature, withoutFeatures } from './cpu-features.ts';
import { defaultCpuid } from './cpuid.ts';
import { INSTRUCTIONS } from './table/index.ts';
import { TinyMachine, type TinyMode } from './testing/tiny-machine.ts';

type Register = 'eax' | 'ebx' | 'ecx' | 'edx';
type Place = readonly [leaf: number, register: Register, bit: number];
const ONE_ECX = (bit: number): Place => [1, 'ecx', bit];
const ONE_EDX = (bit: number): Place => [1, 'edx', bit];
const SEVEN_EBX = (bit: number): Place => [7, 'ebx', bit];
const SEVEN_ECX = (bit: number): Place => [7, 'ecx', bit];
const SEVEN_EDX = (bit: number): Place => [7, 'edx', bit];
const EXTENDED_ECX = (bit: number): Place => [0x8000_0001, 'ecx', bit];
const EXTENDED_EDX = (bit: number): Place => [0x8000_0001, 'edx', bit];
const EIGHT_EBX = (bit: number): Place => [0x8000_0008, 'ebx', bit];

/** RBX is the address of 64-byte-aligned memory; memory operands are [rbx]. */
const MEMORY = 0x7800n;
const table = defaultCpuid({ processors: 1 });
function advertised([leaf, register, bit]: Place): boolean {
  // The features of leaf D stand in its subleaf 1.
  const wanted = leaf === 0xd ? 1 : 0;
  const found = table.find((entry) => entry.leaf === leaf && (entry.subleaf ?? wanted) === wanted);
  return (((found?.[register] ?? 0) >>> bit) & 1) === 1;
}

/** An instruction of each extension that has one. */
const SAMPLES: readonly (readonly [name: string, place: Place, code: readonly number[]])[] = [
  ['FPU: fninit', ONE_EDX(0), [0xdb, 0xe3]],
  ['TSC: rdtsc', ONE_EDX(4), [0x0f, 0x31]],
  ['MSR: rdmsr', ONE_EDX(5), [0x0f, 0x32]],
  ['CMPXCHG8B', ONE_EDX(8), [0x0f, 0xc7, 0x0b]],
  ['CMOV', ONE_EDX(15), [0x0f, 0x44, 0xc1]],
  ['CLFLUSH', ONE_EDX(19), [0x0f, 0xae, 0x3b]],
  ['MMX: paddb mm0, mm1', ONE_EDX(23), [0x0f, 0xfc, 0xc1]],
  ['FXSAVE', ONE_EDX(24), [0x0f, 0xae, 0x03]],
  ['SSE: addps', ONE_EDX(25), [0x0f, 0x58, 0xc1]],
  ['SSE2: addpd', ONE_EDX(26), [0x66, 0x0f, 0x58, 0xc1]],
  ['SSE3: haddps', ONE_ECX(0), [0xf2, 0x0f, 0x7c, 0xc1]],
  ['PCLMULQDQ', ONE_ECX(1), [0x66, 0x0f, 0x3a, 0x44, 0xc1, 0x00]],
  ['MONITOR', ONE_ECX(3), [0x0f, 0x01, 0xc8]],
  ['VMX: vmxon', ONE_ECX(5), [0xf3, 0x0f, 0xc7, 0x33]],
  ['VMX: vmcall', ONE_ECX(5), [0x0f, 0x01, 0xc1]],
  ['SMX: getsec', ONE_ECX(6), [0x0f, 0x37]],
  ['SSSE3: pabsb', ONE_ECX(9), [0x66, 0x0f, 0x38, 0x1c, 0xc1]],
  ['FMA: vfmadd132ps', ONE_ECX(12), [0xc4, 0xe2, 0x71, 0x98, 0xc1]],
  ['CMPXCHG16B', ONE_ECX(13), [0x48, 0x0f, 0xc7, 0x0b]],
  ['SSE4.1: pblendvb', ONE_ECX(19), [0x66, 0x0f, 0x38, 0x10, 0xc1]],
  ['SSE4.1: roundps', ONE_ECX(19), [0x66, 0x0f, 0x3a, 0x08, 0xc1, 0x00]],
  ['SSE4.2: pcmpgtq', ONE_ECX(20), [0x66, 0x0f, 0x38, 0x37, 0xc1]],
  ['SSE4.2: crc32', ONE_ECX(20), [0xf2, 0x0f, 0x38, 0xf1, 0xc1]],
  ['MOVBE load', ONE_ECX(22), [0x0f, 0x38, 0xf0, 0x03]],
  ['MOVBE store', ONE_ECX(22), [0x0f, 0x38, 0xf1, 0x03]],
  ['POPCNT', ONE_ECX(23), [0xf3, 0x0f, 0xb8, 0xc1]],
  ['AES: aesenc', ONE_ECX(25), [0x66, 0x0f, 0x38, 0xdc, 0xc1]],
  ['XSAVE', ONE_ECX(26), [0x0f, 0xae, 0x23]],
  ['XGETBV', ONE_ECX(26), [0x31, 0xc9, 0x0f, 0x01, 0xd0]],
  ['AVX: vaddps', ONE_ECX(28), [0xc5, 0xf0, 0x58, 0xc1]],
  ['F16C: vcvtph2ps', ONE_ECX(29), [0xc4, 0xe2, 0x79, 0x13, 0xc1]],
  ['RDRAND', ONE_ECX(30), [0x0f, 0xc7, 0xf0]],
  ['FSGSBASE: rdfsbase', SEVEN_EBX(0), [0xf3, 0x48, 0x0f, 0xae, 0xc0]],
  ['SGX: enclu', SEVEN_EBX(2), [0x0f, 0x01, 0xd7]],
  ['BMI1: andn', SEVEN_EBX(3), [0xc4, 0xe2, 0x70, 0xf2, 0xc1]],
  ['AVX2: vpaddb ymm', SEVEN_EBX(5), [0xc5, 0xf5, 0xfc, 0xc1]],
  ['BMI2: bzhi', SEVEN_EBX(8), [0xc4, 0xe2, 0x70, 0xf5, 0xc1]],
  ['INVPCID', SEVEN_EBX(10), [0xb8, 0x02, 0, 0, 0, 0x66, 0x0f, 0x38, 0x82, 0x03]],
  ['RTM: xbegin', SEVEN_EBX(11), [0xc7, 0xf8, 0, 0, 0, 0]],
  ['AVX-512F: vaddps zmm', SEVEN_EBX(16), [0x62, 0xf1, 0x74, 0x48, 0x58, 0xc1]],
  ['RDSEED', SEVEN_EBX(18), [0x0f, 0xc7, 0xf8]],
  ['ADX: adcx', SEVEN_EBX(19), [0x66, 0x0f, 0x38, 0xf6, 0xc1]],
  ['ADX: adox', SEVEN_EBX(19), [0xf3, 0x0f, 0x38, 0xf6, 0xc1]],
  ['SMAP: clac', SEVEN_EBX(20), [0x0f, 0x01, 0xca]],
  ['CLFLUSHOPT', SEVEN_EBX(23), [0x66, 0x0f, 0xae, 0x3b]],
  ['CLWB', SEVEN_EBX(24), [0x66, 0x0f, 0xae, 0x33]],
  ['SHA: sha1nexte', SEVEN_EBX(29), [0x0f, 0x38, 0xc8, 0xc1]],
  ['PKU: rdpkru', SEVEN_ECX(3), [0x31, 0xc9, 0x0f, 0x01, 0xee]],
  ['WAITPKG: umonitor', SEVEN_ECX(5), [0xf3, 0x0f, 0xae, 0xf0]],
  ['CET: setssbsy', SEVEN_ECX(7), [0xf3, 0x0f, 0x01, 0xe8]],
  ['CET: wrss', SEVEN_ECX(7), [0x0f, 0x38, 0xf6, 0x03]],
  ['GFNI: gf2p8mulb', SEVEN_ECX(8), [0x66, 0x0f, 0x38, 0xcf, 0xc1]],
  ['RDPID', SEVEN_ECX(22), [0xf3, 0x0f, 0xc7, 0xf8]],
  ['MOVDIRI', SEVEN_ECX(27), [0x0f, 0x38, 0xf9, 0x03]],
  ['MOVDIR64B', SEVEN_ECX(28), [0x66, 0x0f, 0x38, 0xf8, 0x03]],
  ['ENQCMD', SEVEN_ECX(29), [0xf2, 0x0f, 0x38, 0xf8, 0x03]],
  ['UINTR: stui', SEVEN_EDX(5), [0xf3, 0x0f, 0x01, 0xef]],
  ['SERIALIZE', SEVEN_EDX(14), [0x0f, 0x01, 0xe8]],
  ['PCONFIG', SEVEN_EDX(18), [0x0f, 0x01, 0xc5]],
  ['XSAVEOPT', [0xd, 'eax', 0], [0x0f, 0xae, 0x33]],
  ['XSAVEC', [0xd, 'eax', 1], [0x0f, 0xc7, 0x23]],
  ['XSAVES', [0xd, 'eax', 3], [0x0f, 0xc7, 0x2b]],
  ['XSAVES: xrstors', [0xd, 'eax', 3], [0x0f, 0xc7, 0x1b]],
  ['LAHF in 64-bit mode', EXTENDED_ECX(0), [0x9f]],
  ['SVM: vmrun', EXTENDED_ECX(2), [0x0f, 0x01, 0xd8]],
  ['SVM: vmmcall', EXTENDED_ECX(2), [0x0f, 0x01, 0xd9]],
  ['SSE4A: extrq', EXTENDED_ECX(6), [0x66, 0x0f, 0x79, 0xc1]],
  ['PREFETCHW', EXTENDED_ECX(8), [0x0f, 0x0d, 0x0b]],
  ['XOP: vpmacssww', EXTENDED_ECX(11), [0x8f, 0xe8, 0x70, 0x85, 0xc1, 0x20]],
  ['SKINIT: stgi', EXTENDED_ECX(12), [0x0f, 0x01, 0xdc]],
  ['LWP: llwpcb', EXTENDED_ECX(15), [0x8f, 0xe9, 0x78, 0x12, 0xc0]],
  ['FMA4: vfmaddps', EXTENDED_ECX(16), [0xc4, 0xe3, 0x71, 0x68, 0xc1, 0x20]],
  ['TBM: blcfill', EXTENDED_ECX(21), [0x8f, 0xe9, 0x78, 0x01, 0xc8]],
  ['MONITORX', EXTENDED_ECX(29), [0x0f, 0x01, 0xfa]],
  ['SYSCALL', EXTENDED_EDX(11), [0x0f, 0x05]],
  ['RDTSCP', EXTENDED_EDX(27), [0x0f, 0x01, 0xf9]],
  ['3DNow! extensions: pfnacc', EXTENDED_EDX(30), [0x0f, 0x0f, 0xc1, 0x8a]],
  ['3DNow!: pfadd', EXTENDED_EDX(31), [0x0f, 0x0f, 0xc1, 0x9e]],
  ['3DNow!: femms', EXTENDED_EDX(31), [0x0f, 0x0e]],
  ['CLZERO', EIGHT_EBX(0), [0x0f, 0x01, 0xfc]],
  ['INVLPGB', EIGHT_EBX(3), [0x0f, 0x01, 0xfe]],
  ['RDPRU', EIGHT_EBX(4), [0x31, 0xc9, 0x0f, 0x01, 0xfd]],
  ['MCOMMIT', EIGHT_EBX(8), [0xf3, 0x0f, 0x01, 0xfa]],
];

/** Features of which CPUID does not tell yet, as some of their instructions are missing. */
const UNFINISHED: readonly CpuFeature[] = [];

/** Feature bits without an instruction of their own: what the other tests and the guests use. */
const WITHOUT_INSTRUCTIONS: readonly (readonly [name: string, place: Place])[] = [
  ...(['DE', 'PSE', undefined, undefined, 'PAE', 'MCE', undefined, 'APIC'] as const).flatMap((name, index) =>
    name === undefined ? [] : [[name, ONE_EDX(index + 2)] as const],
  ),
  ['SEP', ONE_EDX(11)],
  ['MTRR', ONE_EDX(12)],
  ['PGE', ONE_EDX(13)],
  ['MCA', ONE_EDX(14)],
  ['PAT', ONE_EDX(16)],
  ['PSE36', ONE_EDX(17)],
  ['PCID', ONE_ECX(17)],
  ['x2APIC', ONE_ECX(21)],
  ['TSC deadline', ONE_ECX(24)],
  ['hypervisor present', ONE_ECX(31)],
  ['LZCNT, which is BSR without it', EXTENDED_ECX(5)],
  ['TSC_ADJUST', SEVEN_EBX(1)],
  ['SMEP', SEVEN_EBX(7)],
  ['ERMS', SEVEN_EBX(9)],
  ['UMIP', SEVEN_ECX(2)],
  ['FSRM', SEVEN_EDX(4)],
  ['NX', EXTENDED_EDX(20)],
  ['1G pages', EXTENDED_EDX(26)],
  ['long mode', EXTENDED_EDX(29)],
];

/** The feature that rows of the instruction table need, by its bit. */
function featureAt(place: Place): CpuFeature | undefined {
  const named = new Set(INSTRUCTIONS.map(({ feature }) => feature));
  return CPU_FEATURES.find(
    (feature) =>
      named.has(feature) &&
      withoutFeatures(table, [feature]).some((entry, at) => {
        const [leaf, register, bit] = place;
        return entry.leaf === leaf && ((entry[register] ^ (table[at]?.[register] ?? 0)) >>> bit) & 1;
      }),
  );
}

function execute(code: readonly number[], mode: TinyMode = 'long', absent: readonly CpuFeature[] = []): string {
  const machine = new TinyMachine(mode, { absent });
  // OSFXSR, OSXMMEXCPT, FSGSBASE, OSXSAVE, PKE.
  machine.set('Cr4', 0x450600n);
  machine.set('XCr0', 6n);
  // EFER.SCE leads SYSCALL to LSTAR, where the handler of vector 0x90 halts: not #UD.
  const registers = { Rbx: MEMORY, Rcx: 0x10n, Rax: 0n, Rdx: 0n, Lstar: 0x3900n, Star: 0x8_0000_0000n };
  return machine.run(code, { registers }).what;
}

describe('instructions of extensions', () => {
  it.each(SAMPLES)('%s is #UD exactly when CPUID does not tell it', (_, place, code) => {
    expect(execute(code) !== '#UD').toBe(advertised(place));
  });
  it('SYSENTER and SYSEXIT are of 32-bit mode only, as with AMD', () => {
    expect(execute([0x0f, 0x34])).toBe('#UD');
    expect(execute([0x0f, 0x35])).toBe('#UD');
    expect(execute([0x0f, 0x34], 'compatibility')).toBe('#UD');
    expect(execute([0x0f, 0x34], 'flat')).toBe('#GP(0x0)');
  });
  it('LZCNT and TZCNT are BSR and BSF where they do not exist', () => {
    const registers = { Rcx: 0x50n };
    const bits = (absent: readonly CpuFeature[]): readonly bigint[] => {
      const machine = new TinyMachine('long', { absent });
      return [0xbd, 0xbc].map((opcode) => {
        expect(machine.run([0xf3, 0x0f, opcode, 0xc1], { registers }).what).toBe('done');
        return machine.register('Rax');
      });
    };
    expect(bits([])).toEqual([25n, 4n]);
    expect(bits(['abm', 'bmi1'])).toEqual([6n, 4n]);
  });
  it.each(SAMPLES.filter(([, place]) => advertised(place) && featureAt(place) !== undefined))(
    '%s is #UD when its feature is taken away',
    (_, place, code) => {
      const feature = featureAt(place);
      expect(execute(code, 'long', feature === undefined ? [] : [feature])).toBe('#UD');
    },
  );
});

describe('the table of CPUID', () => {
  it('has no feature bit that neither a sample nor the list of others names', () => {
    const known = new Set([...SAMPLES, ...WITHOUT_INSTRUCTIONS].map(([, place]) => place.join()));
    const places: readonly (readonly [number, Register])[] = [
      [1, 'ecx'],
      [1, 'edx'],
      [7, 'ebx'],
      [7, 'ecx'],
      [7, 'edx'],
      [0x8000_0001, 'ecx'],
    ];
    const unnamed = places.flatMap(([leaf, register]) =>
      Array.from({ length: 32 }, (_, bit): Place => [leaf, register, bit])
        .filter((place) => advertised(place) && !known.has(place.join()))
        .map((place) => place.join()),
    );
    expect(unnamed).toEqual([]);
  });
  it('repeats in 8000_0001 EDX what leaf 1 says', () => {
    const own = new Set([11, 19, 20, 22, 25, 26, 27, 29, 30, 31]);
    for (let bit = 0; bit < 25; bit++) {
      if (own.has(bit) || advertised(EXTENDED_EDX(bit)) === false) continue;
      expect(advertised(ONE_EDX(bit)), `bit ${bit}`).toBe(true);
    }
  });
  it.each(WITHOUT_INSTRUCTIONS)('tells %s', (_, place) => {
    expect(advertised(place)).toBe(true);
  });
  it.each([
    ['x87 state', ONE_EDX(0)],
    ['CMPXCHG8B', ONE_EDX(8)],
    ['CMOV', ONE_EDX(15)],
    ['FXSAVE', ONE_EDX(24)],
    ['SSE', ONE_EDX(25)],
    ['SSE2', ONE_EDX(26)],
    ['CMPXCHG16B', ONE_ECX(13)],
    ['POPCNT', ONE_ECX(23)],
    ['XSAVE', ONE_ECX(26)],
    ['RDRAND', ONE_ECX(30)],
    ['FSGSBASE', SEVEN_EBX(0)],
    ['INVPCID', SEVEN_EBX(10)],
    ['SMAP', SEVEN_EBX(20)],
    ['LAHF', EXTENDED_ECX(0)],
    ['SYSCALL', EXTENDED_EDX(11)],
    ['RDTSCP', EXTENDED_EDX(27)],
    ['invariant TSC', [0x8000_0007, 'edx', 8]],
  ] as const)('tells %s, which is of the least there must be', (_, place) => {
    expect(advertised(place)).toBe(true);
  });
  it('tells every feature that rows of the instruction table name', () => {
    const named = new Set(INSTRUCTIONS.flatMap(({ feature }) => (feature === undefined ? [] : [feature])));
    // Every processor has CMPXCHG8B.
    named.delete('cx8');
    expect([...named].filter((feature) => !CPU_FEATURES.some((known) => known === feature))).toEqual([]);
    const absent = absentFeatures(table);
    const missing = CPU_FEATURES.filter(
      (feature, index) => named.has(feature) && (absent >> BigInt(index)) % 2n === 1n,
    );
    expect(missing).toEqual(UNFINISHED);
  });
  it('is what the CPUID instruction answers', () => {
    const machine = new TinyMachine('long');
    machine.set('Cr4', 0x4_0000n, false);
    machine.set('XCr0', 0x206n);
    for (const { leaf, subleaf = 0, ...registers } of table) {
      expect(machine.run([0x0f, 0xa2], { registers: { Rax: BigInt(leaf), Rcx: BigInt(subleaf) } }).what).toBe('done');
      const found = { eax: 'Rax', ebx: 'Rbx', ecx: 'Rcx', edx: 'Rdx' } as const;
      for (const register of ['eax', 'ebx', 'ecx', 'edx'] as const) {
        expect(machine.register(found[register]), `${leaf.toString(16)} ${register}`).toBe(
          BigInt(registers[register] >>> 0),
        );
      }
    }
  });
  it('tells OSXSAVE as CR4 has it', () => {
    const machine = new TinyMachine('long');
    for (const on of [true, false]) {
      machine.set('Cr4', 0x4_0000n, on);
      machine.run([0x0f, 0xa2], { registers: { Rax: 1n, Rcx: 0n } });
      expect((machine.register('Rcx') >> 27n) & 1n).toBe(on ? 1n : 0n);
    }
  });
  it('answers zeros for leaves that do not exist', () => {
    const machine = new TinyMachine('long');
    machine.run([0x0f, 0xa2], { registers: { Rax: 0x14n, Rcx: 0n } });
    expect((['Rax', 'Rbx', 'Rcx', 'Rdx'] as const).map((name) => machine.register(name))).toEqual([0n, 0n, 0n, 0n]);
  });
  it('counts processors', () => {
    const four = defaultCpuid({ processors: 4 });
    expect(four.find(({ leaf }) => leaf === 1)).toMatchObject({ ebx: (4 << 16) | (8 << 8) });
    expect((four.find(({ leaf }) => leaf === 1)?.edx ?? 0) & (1 << 28)).not.toBe(0);
    expect(four.find(({ leaf, subleaf }) => leaf === 0xb && subleaf === 1)).toMatchObject({ eax: 2, ebx: 4 });
    expect((four.find(({ leaf }) => leaf === 0x8000_0008)?.ecx ?? 0) & 0xff).toBe(3);
  });
});

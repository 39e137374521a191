/**
 * VEX-encoded vector instructions of the one table (see parse.ts for the notation): those of AVX, AVX2, FMA and F16C that have no SSE
 * counterpart as rows, all others derived from the rows of SSE.
 * Source of the encodings: AMD64 Architecture Programmer's Manual, volume 4.
 */
const OWN_ROWS = `
vzeroupper  VEX NP 0F 77        -            l0 feature=avx
vzeroall    VEX NP 0F 77        -            l1 feature=avx
vldmxcsr    VEX NP 0F AE /2 mem Md           l0 fault op=VEX_LDMXCSR feature=avx
vstmxcsr    VEX NP 0F AE /3 mem Md           l0 op=VEX_STMXCSR feature=avx
vmovss      VEX F3 0F 10 mem    Vx,Md        lig op=VEX_MOVSS_LOAD feature=avx
vmovss      VEX F3 0F 10 reg    Vx,Hx,Ux     lig op=VEX_MOVSS_LOAD feature=avx
vmovsd      VEX F2 0F 10 mem    Vx,Mq        lig op=VEX_MOVSD_LOAD feature=avx
vmovsd      VEX F2 0F 10 reg    Vx,Hx,Ux     lig op=VEX_MOVSD_LOAD feature=avx
vmovss      VEX F3 0F 11 mem    Md,Vx        lig op=VEX_MOVSS_STORE feature=avx
vmovss      VEX F3 0F 11 reg    Ux,Hx,Vx     lig op=VEX_MOVSS_STORE feature=avx
vmovsd      VEX F2 0F 11 mem    Mq,Vx        lig op=VEX_MOVSD_STORE feature=avx
vmovsd      VEX F2 0F 11 reg    Ux,Hx,Vx     lig op=VEX_MOVSD_STORE feature=avx
vmovddup    VEX F2 0F 12        Vx,Wq        l0 op=VEX_MOVDDUP feature=avx
vmovddup    VEX F2 0F 12        Vx,Wx        l1 op=VEX_MOVDDUP feature=avx
vcmpps      VEX NP 0F C2        Vx,Hx,Wx,Ib  mxcsr feature=avx
vcmpss      VEX F3 0F C2        Vx,Hx,Wd,Ib  lig mxcsr feature=avx
vcmppd      VEX 66 0F C2        Vx,Hx,Wx,Ib  mxcsr feature=avx
vcmpsd      VEX F2 0F C2        Vx,Hx,Wq,Ib  lig mxcsr feature=avx
vmaskmovdqu VEX 66 0F F7 reg    Vx,Ux        l0 memory op=VEX_MASKMOVDQU feature=avx
vpermilps   VEX 66 0F 38 0C     Vx,Hx,Wx     w0 feature=avx
vpermilpd   VEX 66 0F 38 0D     Vx,Hx,Wx     w0 feature=avx
vtestps     VEX 66 0F 38 0E     Vx,Wx        w0 w=oszapc feature=avx
vtestpd     VEX 66 0F 38 0F     Vx,Wx        w0 w=oszapc feature=avx
vcvtph2ps   VEX 66 0F 38 13     Vx,Wh        w0 mxcsr feature=f16c
vpermps     VEX 66 0F 38 16     Vx,Hx,Wx     w0 l1 op=VPERMD feature=avx2
vbroadcastss VEX 66 0F 38 18 mem Vx,Md       w0 op=VBROADCAST32 feature=avx
vbroadcastss VEX 66 0F 38 18 reg Vx,Ux       w0 op=VBROADCAST32 feature=avx2
vbroadcastsd VEX 66 0F 38 19 mem Vx,Mq       w0 l1 op=VBROADCAST64 feature=avx
vbroadcastsd VEX 66 0F 38 19 reg Vx,Ux       w0 l1 op=VBROADCAST64 feature=avx2
vbroadcastf128 VEX 66 0F 38 1A mem Vx,Mo     w0 l1 op=VBROADCAST128 feature=avx
vmaskmovps  VEX 66 0F 38 2C mem Vx,Hx,Mx     w0 op=VMASKMOV32 feature=avx
vmaskmovpd  VEX 66 0F 38 2D mem Vx,Hx,Mx     w0 op=VMASKMOV64 feature=avx
vmaskmovps  VEX 66 0F 38 2E mem Mx,Hx,Vx     w0 op=VMASKMOV32 feature=avx
vmaskmovpd  VEX 66 0F 38 2F mem Mx,Hx,Vx     w0 op=VMASKMOV64 feature=avx
vpermd      VEX 66 0F 38 36     Vx,Hx,Wx     w0 l1 feature=avx2
vpsrlvd     VEX 66 0F 38 45     Vx,Hx,Wx     w0 feature=avx2
vpsrlvq     VEX 66 0F 38 45     Vx,Hx,Wx     w1 feature=avx2
vpsravd     VEX 66 0F 38 46     Vx,Hx,Wx     w0 feature=avx2
vpsllvd     VEX 66 0F 38 47     Vx,Hx,Wx     w0 feature=avx2
vpsllvq     VEX 66 0F 38 47     Vx,Hx,Wx     w1 feature=avx2
vpbroadcastd VEX 66 0F 38 58    Vx,Wd        w0 op=VBROADCAST32 feature=avx2
vpbroadcastq VEX 66 0F 38 59    Vx,Wq        w0 op=VBROADCAST64 feature=avx2
vbroadcasti128 VEX 66 0F 38 5A mem Vx,Mo     w0 l1 op=VBROADCAST128 feature=avx2
vpbroadcastb VEX 66 0F 38 78    Vx,Wb        w0 op=VBROADCAST8 feature=avx2
vpbroadcastw VEX 66 0F 38 79    Vx,Ww        w0 op=VBROADCAST16 feature=avx2
vpmaskmovd  VEX 66 0F 38 8C mem Vx,Hx,Mx     w0 op=VMASKMOV32 feature=avx2
vpmaskmovq  VEX 66 0F 38 8C mem Vx,Hx,Mx     w1 op=VMASKMOV64 feature=avx2
vpmaskmovd  VEX 66 0F 38 8E mem Mx,Hx,Vx     w0 op=VMASKMOV32 feature=avx2
vpmaskmovq  VEX 66 0F 38 8E mem Mx,Hx,Vx     w1 op=VMASKMOV64 feature=avx2
vpgatherdd  VEX 66 0F 38 90 mem Vx,Md,Hx     w0 vsib memory op=VGATHER_DD feature=avx2
vpgatherdq  VEX 66 0F 38 90 mem Vx,Mq,Hx     w1 vsib memory op=VGATHER_DQ feature=avx2
vpgatherqd  VEX 66 0F 38 91 mem Vx,Md,Hx     w0 vsib memory op=VGATHER_QD feature=avx2
vpgatherqq  VEX 66 0F 38 91 mem Vx,Mq,Hx     w1 vsib memory op=VGATHER_QQ feature=avx2
vgatherdps  VEX 66 0F 38 92 mem Vx,Md,Hx     w0 vsib memory op=VGATHER_DD feature=avx2
vgatherdpd  VEX 66 0F 38 92 mem Vx,Mq,Hx     w1 vsib memory op=VGATHER_DQ feature=avx2
vgatherqps  VEX 66 0F 38 93 mem Vx,Md,Hx     w0 vsib memory op=VGATHER_QD feature=avx2
vgatherqpd  VEX 66 0F 38 93 mem Vx,Mq,Hx     w1 vsib memory op=VGATHER_QQ feature=avx2
vpermq      VEX 66 0F 3A 00     Vx,Wx,Ib     w1 l1 feature=avx2
vpermpd     VEX 66 0F 3A 01     Vx,Wx,Ib     w1 l1 op=VPERMQ feature=avx2
vpblendd    VEX 66 0F 3A 02     Vx,Hx,Wx,Ib  w0 feature=avx2
vpermilps   VEX 66 0F 3A 04     Vx,Wx,Ib     w0 op=VPERMILPS_IMM feature=avx
vpermilpd   VEX 66 0F 3A 05     Vx,Wx,Ib     w0 op=VPERMILPD_IMM feature=avx
vperm2f128  VEX 66 0F 3A 06     Vx,Hx,Wx,Ib  w0 l1 op=VPERM128 feature=avx
vinsertf128 VEX 66 0F 3A 18     Vx,Hx,Wo,Ib  w0 l1 op=VINSERT128 feature=avx
vextractf128 VEX 66 0F 3A 19    Wo,Vx,Ib     w0 l1 op=VEXTRACT128 feature=avx
vcvtps2ph   VEX 66 0F 3A 1D     Wh,Vx,Ib     w0 mxcsr feature=f16c
vinserti128 VEX 66 0F 3A 38     Vx,Hx,Wo,Ib  w0 l1 op=VINSERT128 feature=avx2
vextracti128 VEX 66 0F 3A 39    Wo,Vx,Ib     w0 l1 op=VEXTRACT128 feature=avx2
vperm2i128  VEX 66 0F 3A 46     Vx,Hx,Wx,Ib  w0 l1 op=VPERM128 feature=avx2
vblendvps   VEX 66 0F 3A 4A     Vx,Hx,Wx,Lx  w0 op=VEX_BLENDVPS feature=avx
vblendvpd   VEX 66 0F 3A 4B     Vx,Hx,Wx,Lx  w0 op=VEX_BLENDVPD feature=avx
vpblendvb   VEX 66 0F 3A 4C     Vx,Hx,Wx,Lx  w0 op=VEX_PBLENDVB feature=avx wide=avx2
`;

const line = (name: string, encoding: string, operands: string, attributes: string): string =>
  `${name} ${encoding.padEnd(19)} ${operands} ${attributes}`;

/** Order of the operands, then what is done with the product; the opcode is 10h times the order plus the second. */
const FUSED_ORDERS = [
  ['132', 0x90],
  ['213', 0xa0],
  ['231', 0xb0],
] as const;
const FUSED_KINDS = [
  ['fmaddsub', 6, false],
  ['fmsubadd', 7, false],
  ['fmadd', 8, true],
  ['fmsub', 10, true],
  ['fnmadd', 12, true],
  ['fnmsub', 14, true],
] as const;
/** FMA: twenty rows for each order of the operands; assembly/vector-fused.ts counts on this order. */
const FUSED_ROWS = FUSED_ORDERS.flatMap(([order, base]) =>
  FUSED_KINDS.flatMap(([kind, low, scalar]) =>
    ['ps', 'pd', ...(scalar ? ['ss', 'sd'] : [])].map((format) => {
      const single = format.startsWith('s');
      const opcode = (base + low + (single ? 1 : 0)).toString(16).toUpperCase();
      const width = single ? (format === 'ss' ? 'd' : 'q') : 'x';
      const w = format.endsWith('d') ? 'w1' : 'w0';
      return line(
        `v${kind}${order}${format}`,
        `VEX 66 0F 38 ${opcode}`,
        `Vx,Hx,W${width}`,
        `${w} ${single ? 'lig ' : ''}mxcsr feature=fma`,
      );
    }),
  ),
);
export const AVX_ROWS = `${OWN_ROWS}${FUSED_ROWS.join('\n')}\n`;

/** SSE instructions without a VEX form, or with rows above. */
const NOT_DERIVED =
  /^(movss|movsd|movddup|cmp[ps][sd]|maskmovdqu|p?blendv(b|p[sd])|crc32|sha|fx|xsave|xrstor|ldmxcsr|stmxcsr|clflush)/;
/** Instructions whose destination is not a source as well. */
const UNARY =
  /^(mov(up|ap|dq|d$|q$|nt|s[hl]dup)|lddqu|u?comis|(r?sqrt|rcp|round)p[sd]$|cvt(t?p[sd]|dq)|pshuf(d|hw|lw)$|pabs|ptest|pmov|phminposuw|pcmp[ei]str|aesimc|aeskeygenassist)/;
const ONLY_128 =
  /^(mov[lh]p[sd]|movhlps|movlhps|mov[dq]$|pinsr|pextr|pcmp[ei]str|phminposuw|aes|pclmulqdq|insertps|extractps|dppd)/;
/** With VEX.W in 64-bit mode only. */
const ONLY_64 = /^p(insr|extr)d$/;
const SCALAR = /^(?!p).*(ss|sd|2si)$/;
const ALIGNED = /^mov(ap|dqa|nt)/;
/** Shifts by a count in the low half of a vector register, which has 128 bits whatever the length. */
const SHIFTS = /^p(sll|srl|sra)[wdq]$/;
const WIDENING = /^cvt(ps2pd|dq2pd)$/;

function deriveRow(text: string): string | undefined {
  const columns = /^(\S+)\s+(.{19}) ?(\S+)\s*(.*)$/.exec(text);
  if (columns === null) return undefined;
  const [, name = '', encoding = '', operandText = '', attributeText = ''] = columns;
  const operands = operandText.split(',');
  if (!operands.some((operand) => /^[VWU]x?/.test(operand)) || operands.some((operand) => /^[PQN]/.test(operand)))
    return undefined;
  if (encoding.startsWith('VEX') || NOT_DERIVED.test(name)) return undefined;
  const [first = ''] = operands;
  if (first === 'Ux') operands.unshift('Hx');
  else if (first === 'Vx' && !UNARY.test(name)) operands.splice(1, 0, 'Hx');
  const widths = operands.map((operand) =>
    SHIFTS.test(name) && operand === 'Wx' ? 'Wo' : WIDENING.test(name) && operand === 'Wq' ? 'Wh' : operand,
  );
  const attributes = attributeText.split(/\s+/).filter((word) => word !== '' && !/^(op|feature)=/.test(word));
  const kept = attributes.filter((word) => word !== 'aligned' || ALIGNED.test(name));
  const operation = /op=(\S+)/.exec(attributeText)?.[1] ?? name.toUpperCase();
  const integer = (name.startsWith('p') && name !== 'ptest') || name === 'mpsadbw' || name === 'movntdqa';
  const length = ONLY_128.test(name) ? 'l0 ' : SCALAR.test(name) ? 'lig ' : '';
  const feature = /^(aes|pclmulqdq)/.exec(name)?.[0] ?? 'avx';
  const wide = integer && length === '' ? ' wide=avx2' : '';
  const row = (width: string): string =>
    line(
      `v${name}`,
      `VEX ${encoding.trim()}`,
      widths.join(','),
      `${length}${width}${kept.join(' ')} op=VEX_${operation} feature=${feature}${wide}`,
    );
  return ONLY_64.test(name) ? `${row('w0 ')}\n${row('w1 only64 ')}` : row('');
}

/** Rows of SSE instructions in their VEX encodings, in the notation of the table. */
export function deriveVexRows(...tables: readonly string[]): string {
  return tables
    .flatMap((table) => table.split('\n'))
    .flatMap((text) => (text.startsWith('#') ? [] : (deriveRow(text) ?? [])))
    .join('\n');
}

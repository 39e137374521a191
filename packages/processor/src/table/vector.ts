/**
 * SSE and SSE2 instructions, x87 state and control, FXSAVE and XSAVE of the one table (see parse.ts for the notation).
 * Source of the encodings: AMD64 Architecture Programmer's Manual, volumes 4 and 5.
 *
 * `aligned`: a 16-byte memory operand must be aligned (#GP). `mxcsr`: may raise SIMD floating-point exceptions.
 */
export const VECTOR_ROWS = `
# name      encoding            operands     attributes
movups      NP 0F 10            Vx,Wx        op=MOV_X
movss       F3 0F 10            Vx,Wd        op=MOVSS_LOAD
movupd      66 0F 10            Vx,Wx        op=MOV_X
movsd       F2 0F 10            Vx,Wq        op=MOVSD_LOAD
movups      NP 0F 11            Wx,Vx        op=MOV_X_STORE
movss       F3 0F 11            Wd,Vx        op=MOVSS_STORE
movupd      66 0F 11            Wx,Vx        op=MOV_X_STORE
movsd       F2 0F 11            Wq,Vx        op=MOVSD_STORE
movlps      NP 0F 12 mem        Vx,Mq        op=MOVLPS_LOAD
movhlps     NP 0F 12 reg        Vx,Ux
movlpd      66 0F 12 mem        Vx,Mq        op=MOVLPS_LOAD
movlps      NP 0F 13 mem        Mq,Vx        op=MOVLPS_STORE
movlpd      66 0F 13 mem        Mq,Vx        op=MOVLPS_STORE
unpcklps    NP 0F 14            Vx,Wx        aligned
unpcklpd    66 0F 14            Vx,Wx        aligned op=PUNPCKLQDQ
unpckhps    NP 0F 15            Vx,Wx        aligned
unpckhpd    66 0F 15            Vx,Wx        aligned op=PUNPCKHQDQ
movhps      NP 0F 16 mem        Vx,Mq        op=MOVHPS_LOAD
movlhps     NP 0F 16 reg        Vx,Ux
movhpd      66 0F 16 mem        Vx,Mq        op=MOVHPS_LOAD
movhps      NP 0F 17 mem        Mq,Vx        op=MOVHPS_STORE
movhpd      66 0F 17 mem        Mq,Vx        op=MOVHPS_STORE
movaps      NP 0F 28            Vx,Wx        aligned op=MOV_X
movapd      66 0F 28            Vx,Wx        aligned op=MOV_X
movaps      NP 0F 29            Wx,Vx        aligned op=MOV_X_STORE
movapd      66 0F 29            Wx,Vx        aligned op=MOV_X_STORE
cvtsi2ss    F3 0F 2A            Vx,Ey        mxcsr
cvtsi2sd    F2 0F 2A            Vx,Ey        mxcsr
movntps     NP 0F 2B mem        Mx,Vx        aligned op=MOV_X_STORE
movntpd     66 0F 2B mem        Mx,Vx        aligned op=MOV_X_STORE
cvttss2si   F3 0F 2C            Gy,Wd        mxcsr
cvttsd2si   F2 0F 2C            Gy,Wq        mxcsr
cvtss2si    F3 0F 2D            Gy,Wd        mxcsr
cvtsd2si    F2 0F 2D            Gy,Wq        mxcsr
ucomiss     NP 0F 2E            Vx,Wd        mxcsr w=oszapc
ucomisd     66 0F 2E            Vx,Wq        mxcsr w=oszapc
comiss      NP 0F 2F            Vx,Wd        mxcsr w=oszapc
comisd      66 0F 2F            Vx,Wq        mxcsr w=oszapc
movmskps    NP 0F 50 reg        Gd,Ux
movmskpd    66 0F 50 reg        Gd,Ux
sqrtps      NP 0F 51            Vx,Wx        aligned mxcsr
sqrtss      F3 0F 51            Vx,Wd        mxcsr
sqrtpd      66 0F 51            Vx,Wx        aligned mxcsr
sqrtsd      F2 0F 51            Vx,Wq        mxcsr
rsqrtps     NP 0F 52            Vx,Wx        aligned approximate
rsqrtss     F3 0F 52            Vx,Wd        approximate
rcpps       NP 0F 53            Vx,Wx        aligned approximate
rcpss       F3 0F 53            Vx,Wd        approximate
andps       NP 0F 54            Vx,Wx        aligned op=PAND
andpd       66 0F 54            Vx,Wx        aligned op=PAND
andnps      NP 0F 55            Vx,Wx        aligned op=PANDN
andnpd      66 0F 55            Vx,Wx        aligned op=PANDN
orps        NP 0F 56            Vx,Wx        aligned op=POR
orpd        66 0F 56            Vx,Wx        aligned op=POR
xorps       NP 0F 57            Vx,Wx        aligned op=PXOR
xorpd       66 0F 57            Vx,Wx        aligned op=PXOR
addps       NP 0F 58            Vx,Wx        aligned mxcsr
addss       F3 0F 58            Vx,Wd        mxcsr
addpd       66 0F 58            Vx,Wx        aligned mxcsr
addsd       F2 0F 58            Vx,Wq        mxcsr
mulps       NP 0F 59            Vx,Wx        aligned mxcsr
mulss       F3 0F 59            Vx,Wd        mxcsr
mulpd       66 0F 59            Vx,Wx        aligned mxcsr
mulsd       F2 0F 59            Vx,Wq        mxcsr
cvtps2pd    NP 0F 5A            Vx,Wq        mxcsr
cvtss2sd    F3 0F 5A            Vx,Wd        mxcsr
cvtpd2ps    66 0F 5A            Vx,Wx        aligned mxcsr
cvtsd2ss    F2 0F 5A            Vx,Wq        mxcsr
cvtdq2ps    NP 0F 5B            Vx,Wx        aligned mxcsr
cvttps2dq   F3 0F 5B            Vx,Wx        aligned mxcsr
cvtps2dq    66 0F 5B            Vx,Wx        aligned mxcsr
subps       NP 0F 5C            Vx,Wx        aligned mxcsr
subss       F3 0F 5C            Vx,Wd        mxcsr
subpd       66 0F 5C            Vx,Wx        aligned mxcsr
subsd       F2 0F 5C            Vx,Wq        mxcsr
minps       NP 0F 5D            Vx,Wx        aligned mxcsr
minss       F3 0F 5D            Vx,Wd        mxcsr
minpd       66 0F 5D            Vx,Wx        aligned mxcsr
minsd       F2 0F 5D            Vx,Wq        mxcsr
divps       NP 0F 5E            Vx,Wx        aligned mxcsr
divss       F3 0F 5E            Vx,Wd        mxcsr
divpd       66 0F 5E            Vx,Wx        aligned mxcsr
divsd       F2 0F 5E            Vx,Wq        mxcsr
maxps       NP 0F 5F            Vx,Wx        aligned mxcsr
maxss       F3 0F 5F            Vx,Wd        mxcsr
maxpd       66 0F 5F            Vx,Wx        aligned mxcsr
maxsd       F2 0F 5F            Vx,Wq        mxcsr
punpcklbw   66 0F 60            Vx,Wx        aligned
punpcklwd   66 0F 61            Vx,Wx        aligned
punpckldq   66 0F 62            Vx,Wx        aligned op=UNPCKLPS
packsswb    66 0F 63            Vx,Wx        aligned
pcmpgtb     66 0F 64            Vx,Wx        aligned
pcmpgtw     66 0F 65            Vx,Wx        aligned
pcmpgtd     66 0F 66            Vx,Wx        aligned
packuswb    66 0F 67            Vx,Wx        aligned
punpckhbw   66 0F 68            Vx,Wx        aligned
punpckhwd   66 0F 69            Vx,Wx        aligned
punpckhdq   66 0F 6A            Vx,Wx        aligned op=UNPCKHPS
packssdw    66 0F 6B            Vx,Wx        aligned
punpcklqdq  66 0F 6C            Vx,Wx        aligned
punpckhqdq  66 0F 6D            Vx,Wx        aligned
movd        66 0F 6E            Vx,Ey        op=MOVD_TO_X
movdqa      66 0F 6F            Vx,Wx        aligned op=MOV_X
movdqu      F3 0F 6F            Vx,Wx        op=MOV_X
pshufd      66 0F 70            Vx,Wx,Ib     aligned
pshufhw     F3 0F 70            Vx,Wx,Ib     aligned
pshuflw     F2 0F 70            Vx,Wx,Ib     aligned
psrlw       66 0F 71 /2 reg     Ux,Ib        op=PSRLW_IMM
psraw       66 0F 71 /4 reg     Ux,Ib        op=PSRAW_IMM
psllw       66 0F 71 /6 reg     Ux,Ib        op=PSLLW_IMM
psrld       66 0F 72 /2 reg     Ux,Ib        op=PSRLD_IMM
psrad       66 0F 72 /4 reg     Ux,Ib        op=PSRAD_IMM
pslld       66 0F 72 /6 reg     Ux,Ib        op=PSLLD_IMM
psrlq       66 0F 73 /2 reg     Ux,Ib        op=PSRLQ_IMM
psrldq      66 0F 73 /3 reg     Ux,Ib        op=PSRLDQ_IMM
psllq       66 0F 73 /6 reg     Ux,Ib        op=PSLLQ_IMM
pslldq      66 0F 73 /7 reg     Ux,Ib        op=PSLLDQ_IMM
pcmpeqb     66 0F 74            Vx,Wx        aligned
pcmpeqw     66 0F 75            Vx,Wx        aligned
pcmpeqd     66 0F 76            Vx,Wx        aligned
movd        66 0F 7E            Ey,Vx        op=MOVD_FROM_X
movq        F3 0F 7E            Vx,Wq        op=MOVQ_LOAD
movdqa      66 0F 7F            Wx,Vx        aligned op=MOV_X_STORE
movdqu      F3 0F 7F            Wx,Vx        op=MOV_X_STORE
fxsave      NP 0F AE /0 mem     M            x87 fault sz=y
fxrstor     NP 0F AE /1 mem     M            x87 fault sz=y
ldmxcsr     NP 0F AE /2 mem     Md           fault
stmxcsr     NP 0F AE /3 mem     Md
xsave       NP 0F AE /4 mem     M            x87 fault feature=xsave sz=y
xrstor      NP 0F AE /5 mem     M            x87 fault feature=xsave sz=y
xsaveopt    NP 0F AE /6 mem     M            x87 fault feature=xsaveopt sz=y
xsavec      NP 0F C7 /4 mem     M            x87 fault feature=xsavec sz=y
xsaves      NP 0F C7 /5 mem     M            x87 system fault feature=xsaves sz=y
xrstors     NP 0F C7 /3 mem     M            x87 system fault feature=xsaves sz=y
lfence      NP 0F AE /5 reg     -            op=FENCE
mfence      NP 0F AE /6 reg     -            op=FENCE
sfence      NP 0F AE /7 reg     -            op=FENCE
clflush     NP 0F AE /7 mem     Mb           op=CLFLUSH memory
cmpps       NP 0F C2            Vx,Wx,Ib     aligned mxcsr
cmpss       F3 0F C2            Vx,Wd,Ib     mxcsr
cmppd       66 0F C2            Vx,Wx,Ib     aligned mxcsr
cmpsd       F2 0F C2            Vx,Wq,Ib     mxcsr op=CMPSD_X
pinsrw      66 0F C4            Vx,Ew,Ib
pextrw      66 0F C5 reg        Gd,Ux,Ib
shufps      NP 0F C6            Vx,Wx,Ib     aligned
shufpd      66 0F C6            Vx,Wx,Ib     aligned
psrlw       66 0F D1            Vx,Wx        aligned
psrld       66 0F D2            Vx,Wx        aligned
psrlq       66 0F D3            Vx,Wx        aligned
paddq       66 0F D4            Vx,Wx        aligned
pmullw      66 0F D5            Vx,Wx        aligned
movq        66 0F D6            Wq,Vx        op=MOVQ_STORE
pmovmskb    66 0F D7 reg        Gd,Ux
psubusb     66 0F D8            Vx,Wx        aligned
psubusw     66 0F D9            Vx,Wx        aligned
pminub      66 0F DA            Vx,Wx        aligned
pand        66 0F DB            Vx,Wx        aligned
paddusb     66 0F DC            Vx,Wx        aligned
paddusw     66 0F DD            Vx,Wx        aligned
pmaxub      66 0F DE            Vx,Wx        aligned
pandn       66 0F DF            Vx,Wx        aligned
pavgb       66 0F E0            Vx,Wx        aligned
psraw       66 0F E1            Vx,Wx        aligned
psrad       66 0F E2            Vx,Wx        aligned
pavgw       66 0F E3            Vx,Wx        aligned
pmulhuw     66 0F E4            Vx,Wx        aligned
pmulhw      66 0F E5            Vx,Wx        aligned
cvttpd2dq   66 0F E6            Vx,Wx        aligned mxcsr
cvtdq2pd    F3 0F E6            Vx,Wq
cvtpd2dq    F2 0F E6            Vx,Wx        aligned mxcsr
movntdq     66 0F E7 mem        Mx,Vx        aligned op=MOV_X_STORE
psubsb      66 0F E8            Vx,Wx        aligned
psubsw      66 0F E9            Vx,Wx        aligned
pminsw      66 0F EA            Vx,Wx        aligned
por         66 0F EB            Vx,Wx        aligned
paddsb      66 0F EC            Vx,Wx        aligned
paddsw      66 0F ED            Vx,Wx        aligned
pmaxsw      66 0F EE            Vx,Wx        aligned
pxor        66 0F EF            Vx,Wx        aligned
psllw       66 0F F1            Vx,Wx        aligned
pslld       66 0F F2            Vx,Wx        aligned
psllq       66 0F F3            Vx,Wx        aligned
pmuludq     66 0F F4            Vx,Wx        aligned
pmaddwd     66 0F F5            Vx,Wx        aligned
psadbw      66 0F F6            Vx,Wx        aligned
maskmovdqu  66 0F F7 reg        Vx,Ux        memory
psubb       66 0F F8            Vx,Wx        aligned
psubw       66 0F F9            Vx,Wx        aligned
psubd       66 0F FA            Vx,Wx        aligned
psubq       66 0F FB            Vx,Wx        aligned
paddb       66 0F FC            Vx,Wx        aligned
paddw       66 0F FD            Vx,Wx        aligned
paddd       66 0F FE            Vx,Wx        aligned
`;

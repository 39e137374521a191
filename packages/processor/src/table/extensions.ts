/**
 * Extensions of the instruction set beyond SSE2 that have no 256-bit vectors: bit manipulation, SSE3 to SSE4.2, AES, SHA and smaller ones
 * (see parse.ts for the notation). `feature` is the name in cpu-features.ts: without it the row does not exist.
 * SHA operands in memory need no alignment on this vendor's processors, as the comparison with silicon shows.
 * Sources of the encodings: AMD64 Architecture Programmer's Manual, volumes 3 and 4; for ADX, SHA and RDPID the Intel SDM, volume 2.
 */
export const EXTENSION_ROWS = `
# name      encoding            operands     attributes
tzcnt       F3 0F BC            Gv,Ev        w=zc u=osap feature=bmi1
lzcnt       F3 0F BD            Gv,Ev        w=zc u=osap feature=abm
andn        VEX NP 0F 38 F2     Gy,By,Ey     l0 w=oszc u=ap feature=bmi1
bextr       VEX NP 0F 38 F7     Gy,Ey,By     l0 w=ozc u=sap feature=bmi1
blsr        VEX NP 0F 38 F3 /1  By,Ey        l0 w=oszc u=ap feature=bmi1
blsmsk      VEX NP 0F 38 F3 /2  By,Ey        l0 w=oszc u=ap feature=bmi1
blsi        VEX NP 0F 38 F3 /3  By,Ey        l0 w=oszc u=ap feature=bmi1
bzhi        VEX NP 0F 38 F5     Gy,Ey,By     l0 w=oszc u=ap feature=bmi2
mulx        VEX F2 0F 38 F6     Gy,By,Ey     l0 feature=bmi2
pdep        VEX F2 0F 38 F5     Gy,By,Ey     l0 feature=bmi2
pext        VEX F3 0F 38 F5     Gy,By,Ey     l0 feature=bmi2
rorx        VEX F2 0F 3A F0     Gy,Ey,Ib     l0 feature=bmi2
sarx        VEX F3 0F 38 F7     Gy,Ey,By     l0 feature=bmi2
shlx        VEX 66 0F 38 F7     Gy,Ey,By     l0 feature=bmi2
shrx        VEX F2 0F 38 F7     Gy,Ey,By     l0 feature=bmi2
movbe       NP66 0F 38 F0 mem   Gv,Mv        op=MOVBE feature=movbe
movbe       NP66 0F 38 F1 mem   Mv,Gv        op=MOVBE feature=movbe
adcx        66 0F 38 F6         Gy,Ey        r=c w=c feature=adx
adox        F3 0F 38 F6         Gy,Ey        r=o w=o feature=adx
crc32       F2 0F 38 F0         Gy,Eb        op=CRC32_8 feature=sse4_2
crc32       F2 0F 38 F1         Gv,Ev        op=CRC32 feature=sse4_2
rdseed      NP66 0F C7 /7 reg   Ev           w=oszapc random feature=rdseed
rdpid       F3 0F C7 /7 reg     Ey           time feature=rdpid
clflushopt  66 0F AE /7 mem     Mb           op=CLFLUSH memory feature=clflushopt
clwb        66 0F AE /6 mem     Mb           op=CLFLUSH memory feature=clwb
addsubpd    66 0F D0            Vx,Wx        aligned mxcsr feature=pni
addsubps    F2 0F D0            Vx,Wx        aligned mxcsr feature=pni
haddpd      66 0F 7C            Vx,Wx        aligned mxcsr feature=pni
haddps      F2 0F 7C            Vx,Wx        aligned mxcsr feature=pni
hsubpd      66 0F 7D            Vx,Wx        aligned mxcsr feature=pni
hsubps      F2 0F 7D            Vx,Wx        aligned mxcsr feature=pni
lddqu       F2 0F F0 mem        Vx,Mx        feature=pni
movddup     F2 0F 12            Vx,Wq        feature=pni
movshdup    F3 0F 16            Vx,Wx        aligned feature=pni
movsldup    F3 0F 12            Vx,Wx        aligned feature=pni
pshufb      66 0F 38 00         Vx,Wx        aligned feature=ssse3
phaddw      66 0F 38 01         Vx,Wx        aligned feature=ssse3
phaddd      66 0F 38 02         Vx,Wx        aligned feature=ssse3
phaddsw     66 0F 38 03         Vx,Wx        aligned feature=ssse3
pmaddubsw   66 0F 38 04         Vx,Wx        aligned feature=ssse3
phsubw      66 0F 38 05         Vx,Wx        aligned feature=ssse3
phsubd      66 0F 38 06         Vx,Wx        aligned feature=ssse3
phsubsw     66 0F 38 07         Vx,Wx        aligned feature=ssse3
psignb      66 0F 38 08         Vx,Wx        aligned feature=ssse3
psignw      66 0F 38 09         Vx,Wx        aligned feature=ssse3
psignd      66 0F 38 0A         Vx,Wx        aligned feature=ssse3
pmulhrsw    66 0F 38 0B         Vx,Wx        aligned feature=ssse3
pabsb       66 0F 38 1C         Vx,Wx        aligned feature=ssse3
pabsw       66 0F 38 1D         Vx,Wx        aligned feature=ssse3
pabsd       66 0F 38 1E         Vx,Wx        aligned feature=ssse3
palignr     66 0F 3A 0F         Vx,Wx,Ib     aligned feature=ssse3
pshufb      NP 0F 38 00         Pq,Qq        op=MMX_PSHUFB feature=ssse3
phaddw      NP 0F 38 01         Pq,Qq        op=MMX_PHADDW feature=ssse3
phaddd      NP 0F 38 02         Pq,Qq        op=MMX_PHADDD feature=ssse3
phaddsw     NP 0F 38 03         Pq,Qq        op=MMX_PHADDSW feature=ssse3
pmaddubsw   NP 0F 38 04         Pq,Qq        op=MMX_PMADDUBSW feature=ssse3
phsubw      NP 0F 38 05         Pq,Qq        op=MMX_PHSUBW feature=ssse3
phsubd      NP 0F 38 06         Pq,Qq        op=MMX_PHSUBD feature=ssse3
phsubsw     NP 0F 38 07         Pq,Qq        op=MMX_PHSUBSW feature=ssse3
psignb      NP 0F 38 08         Pq,Qq        op=MMX_PSIGNB feature=ssse3
psignw      NP 0F 38 09         Pq,Qq        op=MMX_PSIGNW feature=ssse3
psignd      NP 0F 38 0A         Pq,Qq        op=MMX_PSIGND feature=ssse3
pmulhrsw    NP 0F 38 0B         Pq,Qq        op=MMX_PMULHRSW feature=ssse3
pabsb       NP 0F 38 1C         Pq,Qq        op=MMX_PABSB feature=ssse3
pabsw       NP 0F 38 1D         Pq,Qq        op=MMX_PABSW feature=ssse3
pabsd       NP 0F 38 1E         Pq,Qq        op=MMX_PABSD feature=ssse3
palignr     NP 0F 3A 0F         Pq,Qq,Ib     op=MMX_PALIGNR feature=ssse3
pblendvb    66 0F 38 10         Vx,Wx        aligned feature=sse4_1
blendvps    66 0F 38 14         Vx,Wx        aligned feature=sse4_1
blendvpd    66 0F 38 15         Vx,Wx        aligned feature=sse4_1
ptest       66 0F 38 17         Vx,Wx        aligned w=oszapc feature=sse4_1
pmovsxbw    66 0F 38 20         Vx,Wh        feature=sse4_1
pmovsxbd    66 0F 38 21         Vx,Wf        feature=sse4_1
pmovsxbq    66 0F 38 22         Vx,We        feature=sse4_1
pmovsxwd    66 0F 38 23         Vx,Wh        feature=sse4_1
pmovsxwq    66 0F 38 24         Vx,Wf        feature=sse4_1
pmovsxdq    66 0F 38 25         Vx,Wh        feature=sse4_1
pmovzxbw    66 0F 38 30         Vx,Wh        feature=sse4_1
pmovzxbd    66 0F 38 31         Vx,Wf        feature=sse4_1
pmovzxbq    66 0F 38 32         Vx,We        feature=sse4_1
pmovzxwd    66 0F 38 33         Vx,Wh        feature=sse4_1
pmovzxwq    66 0F 38 34         Vx,Wf        feature=sse4_1
pmovzxdq    66 0F 38 35         Vx,Wh        feature=sse4_1
pmuldq      66 0F 38 28         Vx,Wx        aligned feature=sse4_1
pcmpeqq     66 0F 38 29         Vx,Wx        aligned feature=sse4_1
packusdw    66 0F 38 2B         Vx,Wx        aligned feature=sse4_1
pminsb      66 0F 38 38         Vx,Wx        aligned feature=sse4_1
pminsd      66 0F 38 39         Vx,Wx        aligned feature=sse4_1
pminuw      66 0F 38 3A         Vx,Wx        aligned feature=sse4_1
pminud      66 0F 38 3B         Vx,Wx        aligned feature=sse4_1
pmaxsb      66 0F 38 3C         Vx,Wx        aligned feature=sse4_1
pmaxsd      66 0F 38 3D         Vx,Wx        aligned feature=sse4_1
pmaxuw      66 0F 38 3E         Vx,Wx        aligned feature=sse4_1
pmaxud      66 0F 38 3F         Vx,Wx        aligned feature=sse4_1
pmulld      66 0F 38 40         Vx,Wx        aligned feature=sse4_1
phminposuw  66 0F 38 41         Vx,Wx        aligned feature=sse4_1
movntdqa    66 0F 38 2A mem     Vx,Mx        aligned feature=sse4_1
roundps     66 0F 3A 08         Vx,Wx,Ib     aligned mxcsr feature=sse4_1
roundpd     66 0F 3A 09         Vx,Wx,Ib     aligned mxcsr feature=sse4_1
roundss     66 0F 3A 0A         Vx,Wd,Ib     mxcsr feature=sse4_1
roundsd     66 0F 3A 0B         Vx,Wq,Ib     mxcsr feature=sse4_1
blendps     66 0F 3A 0C         Vx,Wx,Ib     aligned feature=sse4_1
blendpd     66 0F 3A 0D         Vx,Wx,Ib     aligned feature=sse4_1
pblendw     66 0F 3A 0E         Vx,Wx,Ib     aligned feature=sse4_1
pextrb      66 0F 3A 14         Ed,Vx,Ib     m=b feature=sse4_1
pextrw      66 0F 3A 15         Ed,Vx,Ib     m=w op=PEXTRW_STORE feature=sse4_1
pextrd      66 0F 3A 16         Ey,Vx,Ib     feature=sse4_1
extractps   66 0F 3A 17         Ed,Vx,Ib     feature=sse4_1
pinsrb      66 0F 3A 20         Vx,Ed,Ib     m=b feature=sse4_1
insertps    66 0F 3A 21         Vx,Wd,Ib     feature=sse4_1
pinsrd      66 0F 3A 22         Vx,Ey,Ib     feature=sse4_1
dpps        66 0F 3A 40         Vx,Wx,Ib     aligned mxcsr feature=sse4_1
dppd        66 0F 3A 41         Vx,Wx,Ib     aligned mxcsr feature=sse4_1
mpsadbw     66 0F 3A 42         Vx,Wx,Ib     aligned feature=sse4_1
pcmpgtq     66 0F 38 37         Vx,Wx        aligned feature=sse4_2
pcmpestrm   66 0F 3A 60         Vx,Wx,Ib     sz=y w=oszapc feature=sse4_2
pcmpestri   66 0F 3A 61         Vx,Wx,Ib     sz=y w=oszapc feature=sse4_2
pcmpistrm   66 0F 3A 62         Vx,Wx,Ib     w=oszapc feature=sse4_2
pcmpistri   66 0F 3A 63         Vx,Wx,Ib     w=oszapc feature=sse4_2
aesimc      66 0F 38 DB         Vx,Wx        aligned feature=aes
aesenc      66 0F 38 DC         Vx,Wx        aligned feature=aes
aesenclast  66 0F 38 DD         Vx,Wx        aligned feature=aes
aesdec      66 0F 38 DE         Vx,Wx        aligned feature=aes
aesdeclast  66 0F 38 DF         Vx,Wx        aligned feature=aes
aeskeygenassist 66 0F 3A DF         Vx,Wx,Ib     aligned feature=aes
pclmulqdq   66 0F 3A 44         Vx,Wx,Ib     aligned feature=pclmulqdq
sha1nexte   NP 0F 38 C8         Vx,Wx        feature=sha_ni
sha1msg1    NP 0F 38 C9         Vx,Wx        feature=sha_ni
sha1msg2    NP 0F 38 CA         Vx,Wx        feature=sha_ni
sha256rnds2 NP 0F 38 CB         Vx,Wx        feature=sha_ni
sha256msg1  NP 0F 38 CC         Vx,Wx        feature=sha_ni
sha256msg2  NP 0F 38 CD         Vx,Wx        feature=sha_ni
sha1rnds4   NP 0F 3A CC         Vx,Wx,Ib     feature=sha_ni
`;

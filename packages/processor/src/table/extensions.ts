/**
 * Extensions of the instruction set beyond SSE2 that have no 256-bit vectors: bit manipulation, SSE3 to SSE4.2, AES, SHA and smaller ones
 * (see parse.ts for the notation). `feature` is the name in cpu-features.ts: without it the row does not exist.
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
`;

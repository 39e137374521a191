/**
 * General-purpose and system instructions of the one table (see parse.ts for the notation).
 * Source of the encodings: AMD64 Architecture Programmer's Manual, volume 3, appendix A.
 */
export const GENERAL_ROWS = `
# name      encoding            operands     attributes
add         00                  Eb,Gb        lock w=oszapc
add         01                  Ev,Gv        lock w=oszapc
add         02                  Gb,Eb        w=oszapc
add         03                  Gv,Ev        w=oszapc
add         04                  AL,Ib        w=oszapc
add         05                  rAX,Iz       w=oszapc
or          08                  Eb,Gb        lock w=oszpc u=a
or          09                  Ev,Gv        lock w=oszpc u=a
or          0A                  Gb,Eb        w=oszpc u=a
or          0B                  Gv,Ev        w=oszpc u=a
or          0C                  AL,Ib        w=oszpc u=a
or          0D                  rAX,Iz       w=oszpc u=a
adc         10                  Eb,Gb        lock w=oszapc r=c
adc         11                  Ev,Gv        lock w=oszapc r=c
adc         12                  Gb,Eb        w=oszapc r=c
adc         13                  Gv,Ev        w=oszapc r=c
adc         14                  AL,Ib        w=oszapc r=c
adc         15                  rAX,Iz       w=oszapc r=c
sbb         18                  Eb,Gb        lock w=oszapc r=c
sbb         19                  Ev,Gv        lock w=oszapc r=c
sbb         1A                  Gb,Eb        w=oszapc r=c
sbb         1B                  Gv,Ev        w=oszapc r=c
sbb         1C                  AL,Ib        w=oszapc r=c
sbb         1D                  rAX,Iz       w=oszapc r=c
and         20                  Eb,Gb        lock w=oszpc u=a
and         21                  Ev,Gv        lock w=oszpc u=a
and         22                  Gb,Eb        w=oszpc u=a
and         23                  Gv,Ev        w=oszpc u=a
and         24                  AL,Ib        w=oszpc u=a
and         25                  rAX,Iz       w=oszpc u=a
sub         28                  Eb,Gb        lock w=oszapc
sub         29                  Ev,Gv        lock w=oszapc
sub         2A                  Gb,Eb        w=oszapc
sub         2B                  Gv,Ev        w=oszapc
sub         2C                  AL,Ib        w=oszapc
sub         2D                  rAX,Iz       w=oszapc
xor         30                  Eb,Gb        lock w=oszpc u=a
xor         31                  Ev,Gv        lock w=oszpc u=a
xor         32                  Gb,Eb        w=oszpc u=a
xor         33                  Gv,Ev        w=oszpc u=a
xor         34                  AL,Ib        w=oszpc u=a
xor         35                  rAX,Iz       w=oszpc u=a
cmp         38                  Eb,Gb        w=oszapc
cmp         39                  Ev,Gv        w=oszapc
cmp         3A                  Gb,Eb        w=oszapc
cmp         3B                  Gv,Ev        w=oszapc
cmp         3C                  AL,Ib        w=oszapc
cmp         3D                  rAX,Iz       w=oszapc
push_seg    06                  ES           not64 op=PUSH_SEG
pop_seg     07                  ES           not64 op=POP_SEG
push_seg    0E                  CS           not64 op=PUSH_SEG
push_seg    16                  SS           not64 op=PUSH_SEG
pop_seg     17                  SS           not64 op=POP_SEG end
push_seg    1E                  DS           not64 op=PUSH_SEG
pop_seg     1F                  DS           not64 op=POP_SEG
daa         27                  -            not64 r=ac w=szapc u=o
das         2F                  -            not64 r=ac w=szapc u=o
aaa         37                  -            not64 r=a w=ac u=oszp
aas         3F                  -            not64 r=a w=ac u=oszp
inc         40+r                Zv           not64 w=oszap
dec         48+r                Zv           not64 w=oszap
push        50+r                Zv           d64
pop         58+r                Zv           d64
pusha       60                  -            not64 sz=v
popa        61                  -            not64 sz=v
bound       62                  Gv,M         not64 mem fault
arpl        63                  Ew,Gw        not64 w=z
movsxd      63                  Gv,Ed        only64 op=MOVSXD
push        68                  Iz           d64 op=PUSH_IMM
imul        69                  Gv,Ev,Iz     w=oc u=szap op=IMUL3
push        6A                  sIb          d64 op=PUSH_IMM
imul        6B                  Gv,Ev,sIb    w=oc u=szap op=IMUL3
ins         6C                  -            sz=b rep io op=INS
ins         6D                  -            sz=v rep io op=INS
outs        6E                  -            sz=b rep io op=OUTS
outs        6F                  -            sz=v rep io op=OUTS
jcc         70+c                Jb           r=oszpc f64 op=JCC
add         80 /0               Eb,Ib        lock w=oszapc
or          80 /1               Eb,Ib        lock w=oszpc u=a
adc         80 /2               Eb,Ib        lock w=oszapc r=c
sbb         80 /3               Eb,Ib        lock w=oszapc r=c
and         80 /4               Eb,Ib        lock w=oszpc u=a
sub         80 /5               Eb,Ib        lock w=oszapc
xor         80 /6               Eb,Ib        lock w=oszpc u=a
cmp         80 /7               Eb,Ib        w=oszapc
add         81 /0               Ev,Iz        lock w=oszapc
or          81 /1               Ev,Iz        lock w=oszpc u=a
adc         81 /2               Ev,Iz        lock w=oszapc r=c
sbb         81 /3               Ev,Iz        lock w=oszapc r=c
and         81 /4               Ev,Iz        lock w=oszpc u=a
sub         81 /5               Ev,Iz        lock w=oszapc
xor         81 /6               Ev,Iz        lock w=oszpc u=a
cmp         81 /7               Ev,Iz        w=oszapc
add         82 /0               Eb,Ib        not64 lock w=oszapc
or          82 /1               Eb,Ib        not64 lock w=oszpc u=a
adc         82 /2               Eb,Ib        not64 lock w=oszapc r=c
sbb         82 /3               Eb,Ib        not64 lock w=oszapc r=c
and         82 /4               Eb,Ib        not64 lock w=oszpc u=a
sub         82 /5               Eb,Ib        not64 lock w=oszapc
xor         82 /6               Eb,Ib        not64 lock w=oszpc u=a
cmp         82 /7               Eb,Ib        not64 w=oszapc
add         83 /0               Ev,sIb       lock w=oszapc
or          83 /1               Ev,sIb       lock w=oszpc u=a
adc         83 /2               Ev,sIb       lock w=oszapc r=c
sbb         83 /3               Ev,sIb       lock w=oszapc r=c
and         83 /4               Ev,sIb       lock w=oszpc u=a
sub         83 /5               Ev,sIb       lock w=oszapc
xor         83 /6               Ev,sIb       lock w=oszpc u=a
cmp         83 /7               Ev,sIb       w=oszapc
test        84                  Eb,Gb        w=oszpc u=a
test        85                  Ev,Gv        w=oszpc u=a
xchg        86                  Eb,Gb        lock
xchg        87                  Ev,Gv        lock
mov         88                  Eb,Gb
mov         89                  Ev,Gv
mov         8A                  Gb,Eb
mov         8B                  Gv,Ev
mov         8C                  Ev,Sw        op=MOV_FROM_SEG
lea         8D                  Gv,M         mem op=LEA
mov         8E                  Sw,Ew        op=MOV_TO_SEG fault end
pop         8F /0               Ev           d64 op=POP
pause       F3 90               -            op=NOP
nop         90                  -
xchg        90+r                rAX,Zv       op=XCHG
cwde        98                  -            sz=v
cdq         99                  -            sz=v
fwait       9B                  -            x87
pushf       9C                  -            d64 sz=v
popf        9D                  -            d64 sz=v w=oszapc end
sahf        9E                  -            w=szapc
lahf        9F                  -            r=szapc
mov         A0                  AL,Ob        op=MOV_LOAD_OFFSET
mov         A1                  rAX,Ov       op=MOV_LOAD_OFFSET
mov         A2                  Ob,AL        op=MOV_STORE_OFFSET
mov         A3                  Ov,rAX       op=MOV_STORE_OFFSET
movs        A4                  -            sz=b rep
movs        A5                  -            sz=v rep
cmps        A6                  -            sz=b rep w=oszapc
cmps        A7                  -            sz=v rep w=oszapc
test        A8                  AL,Ib        w=oszpc u=a
test        A9                  rAX,Iz       w=oszpc u=a
stos        AA                  -            sz=b rep
stos        AB                  -            sz=v rep
lods        AC                  -            sz=b rep
lods        AD                  -            sz=v rep
scas        AE                  -            sz=b rep w=oszapc
scas        AF                  -            sz=v rep w=oszapc
mov         B0+r                Zb,Ib
mov         B8+r                Zv,Iv        op=MOV_IMM64
rol         C0 /0               Eb,Ib        w=c u=o
ror         C0 /1               Eb,Ib        w=c u=o
rcl         C0 /2               Eb,Ib        r=c w=c u=o
rcr         C0 /3               Eb,Ib        r=c w=c u=o
shl         C0 /4               Eb,Ib        w=szpc u=oa
shr         C0 /5               Eb,Ib        w=szpc u=oa
shl         C0 /6               Eb,Ib        w=szpc u=oa
sar         C0 /7               Eb,Ib        w=szpc u=oa
rol         C1 /0               Ev,Ib        w=c u=o
ror         C1 /1               Ev,Ib        w=c u=o
rcl         C1 /2               Ev,Ib        r=c w=c u=o
rcr         C1 /3               Ev,Ib        r=c w=c u=o
shl         C1 /4               Ev,Ib        w=szpc u=oa
shr         C1 /5               Ev,Ib        w=szpc u=oa
shl         C1 /6               Ev,Ib        w=szpc u=oa
sar         C1 /7               Ev,Ib        w=szpc u=oa
ret         C2                  Iw           f64 op=RET end
ret         C3                  -            f64 op=RET end
les         C4                  Gv,M         not64 mem op=LOAD_FAR_ES fault
lds         C5                  Gv,M         not64 mem op=LOAD_FAR_DS fault
mov         C6 /0               Eb,Ib
mov         C7 /0               Ev,Iz
enter       C8                  Iw,Ib        d64
leave       C9                  -            d64 sz=v
retf        CA                  Iw           op=RETF fault end sz=v
retf        CB                  -            op=RETF fault end sz=v
int3        CC                  -            fault end
int         CD                  Ib           fault end
into        CE                  -            not64 r=o fault end
iret        CF                  -            sz=v fault w=oszapc end
rol         D0 /0               Eb,1         w=oc
ror         D0 /1               Eb,1         w=oc
rcl         D0 /2               Eb,1         r=c w=oc
rcr         D0 /3               Eb,1         r=c w=oc
shl         D0 /4               Eb,1         w=oszpc u=a
shr         D0 /5               Eb,1         w=oszpc u=a
shl         D0 /6               Eb,1         w=oszpc u=a
sar         D0 /7               Eb,1         w=oszpc u=a
rol         D1 /0               Ev,1         w=oc
ror         D1 /1               Ev,1         w=oc
rcl         D1 /2               Ev,1         r=c w=oc
rcr         D1 /3               Ev,1         r=c w=oc
shl         D1 /4               Ev,1         w=oszpc u=a
shr         D1 /5               Ev,1         w=oszpc u=a
shl         D1 /6               Ev,1         w=oszpc u=a
sar         D1 /7               Ev,1         w=oszpc u=a
rol         D2 /0               Eb,CL        r=oc w=c u=o
ror         D2 /1               Eb,CL        r=oc w=c u=o
rcl         D2 /2               Eb,CL        r=oc w=c u=o
rcr         D2 /3               Eb,CL        r=oc w=c u=o
shl         D2 /4               Eb,CL        r=oszapc w=szpc u=oa
shr         D2 /5               Eb,CL        r=oszapc w=szpc u=oa
shl         D2 /6               Eb,CL        r=oszapc w=szpc u=oa
sar         D2 /7               Eb,CL        r=oszapc w=szpc u=oa
rol         D3 /0               Ev,CL        r=oc w=c u=o
ror         D3 /1               Ev,CL        r=oc w=c u=o
rcl         D3 /2               Ev,CL        r=oc w=c u=o
rcr         D3 /3               Ev,CL        r=oc w=c u=o
shl         D3 /4               Ev,CL        r=oszapc w=szpc u=oa
shr         D3 /5               Ev,CL        r=oszapc w=szpc u=oa
shl         D3 /6               Ev,CL        r=oszapc w=szpc u=oa
sar         D3 /7               Ev,CL        r=oszapc w=szpc u=oa
aam         D4                  Ib           not64 fault w=szp u=oac
aad         D5                  Ib           not64 w=szp u=oac
xlat        D7                  -            op=XLAT memory
loopne      E0                  Jb           r=z f64 end
loope       E1                  Jb           r=z f64 end
loop        E2                  Jb           f64 end
jcxz        E3                  Jb           f64 end
in          E4                  AL,Ib        io op=IN_IMM sz=b
in          E5                  rAX,Ib       io op=IN_IMM sz=v
out         E6                  Ib,AL        io op=OUT_IMM sz=b
out         E7                  Ib,rAX       io op=OUT_IMM sz=v
call        E8                  Jz           f64 op=CALL end
jmp         E9                  Jz           f64 op=JMP end
jmpf        EA                  Ap           not64 fault op=JMP_FAR_IMM end sz=v
callf       9A                  Ap           not64 fault op=CALL_FAR_IMM end sz=v
jmp         EB                  Jb           f64 op=JMP end
in          EC                  AL,DX        io op=IN_DX sz=b
in          ED                  rAX,DX       io op=IN_DX sz=v
out         EE                  DX,AL        io op=OUT_DX sz=b
out         EF                  DX,rAX       io op=OUT_DX sz=v
int1        F1                  -            fault end
hlt         F4                  -            system end
cmc         F5                  -            r=c w=c
test        F6 /0               Eb,Ib        w=oszpc u=a
test        F6 /1               Eb,Ib        w=oszpc u=a
not         F6 /2               Eb           lock
neg         F6 /3               Eb           lock w=oszapc
mul         F6 /4               Eb           w=oc u=szap
imul        F6 /5               Eb           w=oc u=szap op=IMUL1
div         F6 /6               Eb           fault u=oszapc
idiv        F6 /7               Eb           fault u=oszapc
test        F7 /0               Ev,Iz        w=oszpc u=a
test        F7 /1               Ev,Iz        w=oszpc u=a
not         F7 /2               Ev           lock
neg         F7 /3               Ev           lock w=oszapc
mul         F7 /4               Ev           w=oc u=szap
imul        F7 /5               Ev           w=oc u=szap op=IMUL1
div         F7 /6               Ev           fault u=oszapc
idiv        F7 /7               Ev           fault u=oszapc
clc         F8                  -            w=c
stc         F9                  -            w=c
cli         FA                  -            system
sti         FB                  -            system end
cld         FC                  -
std         FD                  -
inc         FE /0               Eb           lock w=oszap
dec         FE /1               Eb           lock w=oszap
inc         FF /0               Ev           lock w=oszap
dec         FF /1               Ev           lock w=oszap
call        FF /2               Ev           f64 op=CALL_INDIRECT end
callf       FF /3               M            mem fault op=CALL_FAR_MEM end sz=v
jmp         FF /4               Ev           f64 op=JMP_INDIRECT end
jmpf        FF /5               M            mem fault op=JMP_FAR_MEM end sz=v
push        FF /6               Ev           d64 op=PUSH

sldt        0F 00 /0            Ev           op=SLDT system
str         0F 00 /1            Ev           op=STR system
lldt        0F 00 /2            Ew           system fault
ltr         0F 00 /3            Ew           system fault
verr        0F 00 /4            Ew           w=z
verw        0F 00 /5            Ew           w=z
sgdt        0F 01 /0 mem        M            system
sidt        0F 01 /1 mem        M            system
lgdt        0F 01 /2 mem        M            system fault end
lidt        0F 01 /3 mem        M            system fault end
smsw        0F 01 /4            Ev           system
lmsw        0F 01 /6            Ew           system end
invlpg      0F 01 /7 mem        M            system
vmmcall     0F 01 /3 rm=1       -            system fault end
xgetbv      0F 01 /2 rm=0       -            fault feature=xsave
xsetbv      0F 01 /2 rm=1       -            system fault feature=xsave
rdpkru      NP 0F 01 /5 rm=6    -            fault feature=pku
wrpkru      NP 0F 01 /5 rm=7    -            fault feature=pku
clac        0F 01 /1 rm=2       -            system
stac        0F 01 /1 rm=3       -            system
swapgs      0F 01 /7 rm=0       -            system only64
rdtscp      0F 01 /7 rm=1       -            time
lar         0F 02               Gv,Ew        w=z
lsl         0F 03               Gv,Ew        w=z
syscall     0F 05               -            system end
clts        0F 06               -            system
sysret      0F 07               -            system end
invd        0F 08               -            system op=WBINVD
wbinvd      0F 09               -            system op=WBINVD
ud2         0F 0B               -            fault end
prefetchw   0F 0D               Ev           mem op=NOP_MODRM
nop         0F 18               Ev           op=NOP_MODRM
nop         0F 19               Ev           op=NOP_MODRM
nop         0F 1A               Ev           op=NOP_MODRM
nop         0F 1B               Ev           op=NOP_MODRM
nop         0F 1C               Ev           op=NOP_MODRM
nop         0F 1D               Ev           op=NOP_MODRM
nop         0F 1E               Ev           op=NOP_MODRM
nop         0F 1F               Ev           op=NOP_MODRM
mov         0F 20               Rq,Cq        system op=MOV_FROM_CR
mov         0F 21               Rq,Dq        system op=MOV_FROM_DR
mov         0F 22               Cq,Rq        system op=MOV_TO_CR fault end
mov         0F 23               Dq,Rq        system op=MOV_TO_DR fault end
wrmsr       0F 30               -            system fault end
rdtsc       0F 31               -            time
rdmsr       0F 32               -            system fault
rdpmc       0F 33               -            system fault
sysenter    0F 34               -            not64 system end
sysexit     0F 35               -            not64 system end
cmovcc      0F 40+c             Gv,Ev        r=oszpc op=CMOVCC
jcc         0F 80+c             Jz           r=oszpc f64 op=JCC
setcc       0F 90+c             Eb           r=oszpc op=SETCC
push_seg    0F A0               FS           d64 op=PUSH_SEG
pop_seg     0F A1               FS           d64 op=POP_SEG
cpuid       0F A2               -            system-ok
bt          0F A3               Ev,Gv        w=c u=oszap
shld        0F A4               Ev,Gv,Ib     w=szpc u=oa
shld        0F A5               Ev,Gv,CL     op=SHLD_CL r=oszapc w=szpc u=oa
push_seg    0F A8               GS           d64 op=PUSH_SEG
pop_seg     0F A9               GS           d64 op=POP_SEG
bts         0F AB               Ev,Gv        lock w=c u=oszap
shrd        0F AC               Ev,Gv,Ib     w=szpc u=oa
shrd        0F AD               Ev,Gv,CL     op=SHRD_CL r=oszapc w=szpc u=oa
imul        0F AF               Gv,Ev        w=oc u=szap op=IMUL2
cmpxchg     0F B0               Eb,Gb        lock w=oszapc
cmpxchg     0F B1               Ev,Gv        lock w=oszapc
lss         0F B2               Gv,M         mem op=LOAD_FAR_SS fault end
btr         0F B3               Ev,Gv        lock w=c u=oszap
lfs         0F B4               Gv,M         mem op=LOAD_FAR_FS fault
lgs         0F B5               Gv,M         mem op=LOAD_FAR_GS fault
movzx       0F B6               Gv,Eb        op=MOVZX8
movzx       0F B7               Gv,Ew        op=MOVZX16
popcnt      F3 0F B8            Gv,Ev        w=oszapc feature=popcnt
ud1         0F B9               Gv,Ev        fault op=UD2 end
bt          0F BA /4            Ev,Ib        w=c u=oszap
bts         0F BA /5            Ev,Ib        lock w=c u=oszap
btr         0F BA /6            Ev,Ib        lock w=c u=oszap
btc         0F BA /7            Ev,Ib        lock w=c u=oszap
btc         0F BB               Ev,Gv        lock w=c u=oszap
bsf         0F BC               Gv,Ev        w=z u=osapc
bsr         0F BD               Gv,Ev        w=z u=osapc
movsx       0F BE               Gv,Eb        op=MOVSX8
movsx       0F BF               Gv,Ew        op=MOVSX16
xadd        0F C0               Eb,Gb        lock w=oszapc
xadd        0F C1               Ev,Gv        lock w=oszapc
movnti      NP 0F C3            My,Gy        mem op=MOV
cmpxchg8b   0F C7 /1 mem        M            lock w=z sz=y op=CMPXCHG8B feature=cx8
rdrand      NP66 0F C7 /6 reg   Ev           w=oszapc feature=rdrand random
bswap       0F C8+r             Zv
ud0         0F FF               Gv,Ev        fault op=UD2 end
rdfsbase    F3 0F AE /0 reg     Ey           only64 feature=fsgsbase fault
rdgsbase    F3 0F AE /1 reg     Ey           only64 feature=fsgsbase fault
wrfsbase    F3 0F AE /2 reg     Ey           only64 feature=fsgsbase fault
wrgsbase    F3 0F AE /3 reg     Ey           only64 feature=fsgsbase fault
invpcid     66 0F 38 82         Gq,M         mem system fault
`;

/**
 * x87 instructions (see parse.ts for the notation). Operand Fi is a register of the stack, Mt ten bytes of memory. Names with a number at
 * their end are other encodings of the same instruction, which processors have kept.
 * Source of the encodings: AMD64 Architecture Programmer's Manual, volume 5 and volume 3, appendix A.
 */
export const X87_ROWS = `
# name      encoding            operands     attributes
fadd        D8 /0 mem           Md           x87 op=X87_ARITHMETIC
fmul        D8 /1 mem           Md           x87 op=X87_ARITHMETIC
fcom        D8 /2 mem           Md           x87 op=X87_ARITHMETIC
fcomp       D8 /3 mem           Md           x87 op=X87_ARITHMETIC
fsub        D8 /4 mem           Md           x87 op=X87_ARITHMETIC
fsubr       D8 /5 mem           Md           x87 op=X87_ARITHMETIC
fdiv        D8 /6 mem           Md           x87 op=X87_ARITHMETIC
fdivr       D8 /7 mem           Md           x87 op=X87_ARITHMETIC
fadd        D8 /0 reg           Fi           x87 op=X87_ARITHMETIC
fmul        D8 /1 reg           Fi           x87 op=X87_ARITHMETIC
fcom        D8 /2 reg           Fi           x87 op=X87_ARITHMETIC
fcomp       D8 /3 reg           Fi           x87 op=X87_ARITHMETIC
fsub        D8 /4 reg           Fi           x87 op=X87_ARITHMETIC
fsubr       D8 /5 reg           Fi           x87 op=X87_ARITHMETIC
fdiv        D8 /6 reg           Fi           x87 op=X87_ARITHMETIC
fdivr       D8 /7 reg           Fi           x87 op=X87_ARITHMETIC
fld         D9 /0 mem           Md           x87 op=X87_LOAD
fst         D9 /2 mem           Md           x87 op=X87_STORE
fstp        D9 /3 mem           Md           x87 op=X87_STORE
fldenv      D9 /4 mem           M            x87 sz=v
fldcw       D9 /5 mem           Mw           x87
fnstenv     D9 /6 mem           M            x87 sz=v
fnstcw      D9 /7 mem           Mw           x87
fld         D9 /0 reg           Fi           x87 op=X87_MOVE
fxch        D9 /1 reg           Fi           x87 op=X87_MOVE
fnop        D9 /2 rm=0          -            x87
fstp1       D9 /3 reg           Fi           x87 op=X87_MOVE
fchs        D9 /4 rm=0          -            x87 op=X87_FUNCTION
fabs        D9 /4 rm=1          -            x87 op=X87_FUNCTION
ftst        D9 /4 rm=4          -            x87 op=X87_FUNCTION
fxam        D9 /4 rm=5          -            x87 op=X87_FUNCTION
fld1        D9 /5 rm=0          -            x87 op=X87_FUNCTION
fldl2t      D9 /5 rm=1          -            x87 op=X87_FUNCTION
fldl2e      D9 /5 rm=2          -            x87 op=X87_FUNCTION
fldpi       D9 /5 rm=3          -            x87 op=X87_FUNCTION
fldlg2      D9 /5 rm=4          -            x87 op=X87_FUNCTION
fldln2      D9 /5 rm=5          -            x87 op=X87_FUNCTION
fldz        D9 /5 rm=6          -            x87 op=X87_FUNCTION
f2xm1       D9 /6 rm=0          -            x87 op=X87_FUNCTION approximate
fyl2x       D9 /6 rm=1          -            x87 op=X87_FUNCTION approximate
fptan       D9 /6 rm=2          -            x87 op=X87_FUNCTION approximate
fpatan      D9 /6 rm=3          -            x87 op=X87_FUNCTION approximate
fxtract     D9 /6 rm=4          -            x87 op=X87_FUNCTION
fprem1      D9 /6 rm=5          -            x87 op=X87_FUNCTION
fprem       D9 /7 rm=0          -            x87 op=X87_FUNCTION
fyl2xp1     D9 /7 rm=1          -            x87 op=X87_FUNCTION approximate
fsqrt       D9 /7 rm=2          -            x87 op=X87_FUNCTION
fsincos     D9 /7 rm=3          -            x87 op=X87_FUNCTION approximate
frndint     D9 /7 rm=4          -            x87 op=X87_FUNCTION
fscale      D9 /7 rm=5          -            x87 op=X87_FUNCTION
fsin        D9 /7 rm=6          -            x87 op=X87_FUNCTION approximate
fcos        D9 /7 rm=7          -            x87 op=X87_FUNCTION approximate
fdecstp     D9 /6 rm=6          -            x87
fincstp     D9 /6 rm=7          -            x87
fiadd       DA /0 mem           Md           x87 op=X87_ARITHMETIC
fimul       DA /1 mem           Md           x87 op=X87_ARITHMETIC
ficom       DA /2 mem           Md           x87 op=X87_ARITHMETIC
ficomp      DA /3 mem           Md           x87 op=X87_ARITHMETIC
fisub       DA /4 mem           Md           x87 op=X87_ARITHMETIC
fisubr      DA /5 mem           Md           x87 op=X87_ARITHMETIC
fidiv       DA /6 mem           Md           x87 op=X87_ARITHMETIC
fidivr      DA /7 mem           Md           x87 op=X87_ARITHMETIC
fcmovb      DA /0 reg           Fi           x87 op=X87_FLAGS r=c
fcmove      DA /1 reg           Fi           x87 op=X87_FLAGS r=z
fcmovbe     DA /2 reg           Fi           x87 op=X87_FLAGS r=cz
fcmovu      DA /3 reg           Fi           x87 op=X87_FLAGS r=p
fucompp     DA /5 rm=1          -            x87 op=X87_COMPARE
fild        DB /0 mem           Md           x87 op=X87_LOAD
fisttp      DB /1 mem           Md           x87 op=X87_STORE
fist        DB /2 mem           Md           x87 op=X87_STORE
fistp       DB /3 mem           Md           x87 op=X87_STORE
fld         DB /5 mem           Mt           x87 op=X87_LOAD
fstp        DB /7 mem           Mt           x87 op=X87_STORE
fcmovnb     DB /0 reg           Fi           x87 op=X87_FLAGS r=c
fcmovne     DB /1 reg           Fi           x87 op=X87_FLAGS r=z
fcmovnbe    DB /2 reg           Fi           x87 op=X87_FLAGS r=cz
fcmovnu     DB /3 reg           Fi           x87 op=X87_FLAGS r=p
fneni       DB /4 rm=0          -            x87 op=FNSETPM
fndisi      DB /4 rm=1          -            x87 op=FNSETPM
fnsetpm     DB /4 rm=4          -            x87 op=FNSETPM
fnclex      DB /4 rm=2          -            x87
fninit      DB /4 rm=3          -            x87
fucomi      DB /5 reg           Fi           x87 op=X87_FLAGS w=oszapc
fcomi       DB /6 reg           Fi           x87 op=X87_FLAGS w=oszapc
fadd        DC /0 mem           Mq           x87 op=X87_ARITHMETIC
fmul        DC /1 mem           Mq           x87 op=X87_ARITHMETIC
fcom        DC /2 mem           Mq           x87 op=X87_ARITHMETIC
fcomp       DC /3 mem           Mq           x87 op=X87_ARITHMETIC
fsub        DC /4 mem           Mq           x87 op=X87_ARITHMETIC
fsubr       DC /5 mem           Mq           x87 op=X87_ARITHMETIC
fdiv        DC /6 mem           Mq           x87 op=X87_ARITHMETIC
fdivr       DC /7 mem           Mq           x87 op=X87_ARITHMETIC
fadd        DC /0 reg           Fi           x87 op=X87_ARITHMETIC
fmul        DC /1 reg           Fi           x87 op=X87_ARITHMETIC
fcom2       DC /2 reg           Fi           x87 op=X87_ARITHMETIC
fcomp3      DC /3 reg           Fi           x87 op=X87_ARITHMETIC
fsubr       DC /4 reg           Fi           x87 op=X87_ARITHMETIC
fsub        DC /5 reg           Fi           x87 op=X87_ARITHMETIC
fdivr       DC /6 reg           Fi           x87 op=X87_ARITHMETIC
fdiv        DC /7 reg           Fi           x87 op=X87_ARITHMETIC
fld         DD /0 mem           Mq           x87 op=X87_LOAD
fisttp      DD /1 mem           Mq           x87 op=X87_STORE
fst         DD /2 mem           Mq           x87 op=X87_STORE
fstp        DD /3 mem           Mq           x87 op=X87_STORE
frstor      DD /4 mem           M            x87 sz=v
fnsave      DD /6 mem           M            x87 sz=v
fnstsw      DD /7 mem           Mw           x87
ffree       DD /0 reg           Fi           x87
fxch4       DD /1 reg           Fi           x87 op=X87_MOVE
fst         DD /2 reg           Fi           x87 op=X87_MOVE
fstp        DD /3 reg           Fi           x87 op=X87_MOVE
fucom       DD /4 reg           Fi           x87 op=X87_COMPARE
fucomp      DD /5 reg           Fi           x87 op=X87_COMPARE
fiadd       DE /0 mem           Mw           x87 op=X87_ARITHMETIC
fimul       DE /1 mem           Mw           x87 op=X87_ARITHMETIC
ficom       DE /2 mem           Mw           x87 op=X87_ARITHMETIC
ficomp      DE /3 mem           Mw           x87 op=X87_ARITHMETIC
fisub       DE /4 mem           Mw           x87 op=X87_ARITHMETIC
fisubr      DE /5 mem           Mw           x87 op=X87_ARITHMETIC
fidiv       DE /6 mem           Mw           x87 op=X87_ARITHMETIC
fidivr      DE /7 mem           Mw           x87 op=X87_ARITHMETIC
faddp       DE /0 reg           Fi           x87 op=X87_ARITHMETIC
fmulp       DE /1 reg           Fi           x87 op=X87_ARITHMETIC
fcomp5      DE /2 reg           Fi           x87 op=X87_ARITHMETIC
fcompp      DE /3 rm=1          -            x87 op=X87_ARITHMETIC
fsubrp      DE /4 reg           Fi           x87 op=X87_ARITHMETIC
fsubp       DE /5 reg           Fi           x87 op=X87_ARITHMETIC
fdivrp      DE /6 reg           Fi           x87 op=X87_ARITHMETIC
fdivp       DE /7 reg           Fi           x87 op=X87_ARITHMETIC
fild        DF /0 mem           Mw           x87 op=X87_LOAD
fisttp      DF /1 mem           Mw           x87 op=X87_STORE
fist        DF /2 mem           Mw           x87 op=X87_STORE
fistp       DF /3 mem           Mw           x87 op=X87_STORE
fbld        DF /4 mem           Mt           x87 op=X87_LOAD
fild        DF /5 mem           Mq           x87 op=X87_LOAD
fbstp       DF /6 mem           Mt           x87 op=X87_STORE
fistp       DF /7 mem           Mq           x87 op=X87_STORE
ffreep      DF /0 reg           Fi           x87 op=X87_MOVE
fxch7       DF /1 reg           Fi           x87 op=X87_MOVE
fstp8       DF /2 reg           Fi           x87 op=X87_MOVE
fstp9       DF /3 reg           Fi           x87 op=X87_MOVE
fnstsw      DF /4 rm=0          AX           x87 op=FNSTSW_AX
fucomip     DF /5 reg           Fi           x87 op=X87_FLAGS w=oszapc
fcomip      DF /6 reg           Fi           x87 op=X87_FLAGS w=oszapc
`;

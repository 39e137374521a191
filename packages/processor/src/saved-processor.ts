/**
 * Where the software engine keeps the fields of a processor's saved state (hypervisor/src/saved-processor.ts): the table for whoever adds
 * architectural state. RFLAGS is not here: its arithmetic flags are lazy, and the core makes and takes it.
 * Called by: software-processor.ts.
 */
import { GENERAL_REGISTERS, SEGMENT_REGISTERS } from '@plinth/hypervisor';
import { SEGMENT, SEGMENT_BYTES, STATE } from './state-layout.ts';

type Place = readonly [name: string, offset: number];

const run = (count: number, name: string, first: number, bytes: number): Place[] =>
  Array.from({ length: count }, (_, number): Place => [`${name}${number}`, first + number * bytes]);

/** Offsets from the start of the processor's block. */
export const PROCESSOR_FIELD_PLACES: ReadonlyMap<string, number> = new Map<string, number>([
  ...GENERAL_REGISTERS.map((name, number): Place => [name, STATE.REGISTERS + number * 8]),
  ['Rip', STATE.RIP],
  ['Cr0', STATE.CR0],
  ['Cr2', STATE.CR2],
  ['Cr3', STATE.CR3],
  ['Cr4', STATE.CR4],
  ['XCr0', STATE.XCR0],
  ['Efer', STATE.EFER],
  ...run(4, 'Dr', STATE.DR0, 8),
  ['Dr6', STATE.DR6],
  ['Dr7', STATE.DR7],
  ...SEGMENT_REGISTERS.flatMap((name, number): Place[] => {
    const at = STATE.SEGMENTS + number * SEGMENT_BYTES;
    return [
      [`${name}.Selector`, at + SEGMENT.SELECTOR],
      [`${name}.Base`, at + SEGMENT.BASE],
      [`${name}.Limit`, at + SEGMENT.LIMIT],
      [`${name}.Attributes`, at + SEGMENT.ATTRIBUTES],
    ];
  }),
  ['Gdtr.Base', STATE.GDTR_BASE],
  ['Gdtr.Limit', STATE.GDTR_LIMIT],
  ['Idtr.Base', STATE.IDTR_BASE],
  ['Idtr.Limit', STATE.IDTR_LIMIT],
  ['Star', STATE.STAR],
  ['Lstar', STATE.LSTAR],
  ['Cstar', STATE.CSTAR],
  ['Sfmask', STATE.SFMASK],
  ['KernelGsBase', STATE.KERNEL_GS_BASE],
  ['TscAux', STATE.TSC_AUX],
  ['TscAdjust', STATE.TSC_OFFSET],
  ['Pat', STATE.PAT],
  ['ApicBase', STATE.APIC_BASE],
  ['SysenterCs', STATE.SYSENTER_CS],
  ['SysenterRsp', STATE.SYSENTER_ESP],
  ['SysenterRip', STATE.SYSENTER_EIP],
  ['MiscEnable', STATE.MISC_ENABLE],
  ['MtrrDefType', STATE.MTRR_DEFAULT],
  ...run(11, 'MtrrFix', STATE.MTRR_FIXED, 8),
  ...run(16, 'MtrrVariable', STATE.MTRR_VARIABLE, 8),
  ['Mxcsr', STATE.MXCSR],
  ...run(16, 'Ymm', STATE.XMM, 32),
  ['FpControl', STATE.FPU_CONTROL],
  ['FpStatus', STATE.FPU_STATUS],
  ['FpTag', STATE.FPU_TAG],
  ['FpOpcode', STATE.FPU_OPCODE],
  ['FpInstruction.Offset', STATE.FPU_IP],
  ['FpInstruction.Selector', STATE.FPU_CS],
  ['FpData.Offset', STATE.FPU_DP],
  ['FpData.Selector', STATE.FPU_DS],
  ...run(8, 'FpMmx', STATE.FPU_REGISTERS, 16),
  ['Halted', STATE.HALTED],
  ['InterruptShadow', STATE.SHADOW],
  ['PendingEvents', STATE.PENDING],
  ['ApicRegisters', STATE.APIC],
  ['ApicTscDeadline', STATE.APIC_TSC_DEADLINE],
  ['ApicTimerDeadline', STATE.APIC_TIMER_DEADLINE],
  ['ApicTimerStart', STATE.APIC_TIMER_START],
  ['DebugControl', STATE.DEBUG_CONTROL],
  ['DebugPending', STATE.DEBUG_PENDING],
  ['DebugStep', STATE.STEP],
  ['DebugStepStart', STATE.STEP_START],
  ['DebugStepNext', STATE.STEP_NEXT],
  ['Pkru', STATE.PKRU],
  ['Ferr', STATE.FERR],
]);

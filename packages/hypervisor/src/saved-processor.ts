/**
 * The saved state of a virtual processor: its architectural state by name, so that any engine can take what another one gave.
 *
 *     {"version": 1, "fields": {"Rax": "00000000000000ff", "Cs.Selector": "0010", "ApicTimerDeadline": null, ...}}
 *
 * One table: a field's name, its width, and the version that it came with. Numbers are hexadecimal with all their digits, the highest first;
 * runs of bytes are hexadecimal in their order; times are partition time in nanoseconds (null: never).
 *
 * To extend it: add a row with `since` one above the newest, and the field's place in each engine's own table. A state of an older
 * version has no such field, and the processor keeps its power-on value there. Called by: the engines.
 */
import { PlinthError } from '@plinth/errors';
import { GENERAL_REGISTERS, SEGMENT_REGISTERS } from './registers.ts';

export type ProcessorFieldKind = 'number' | 'bytes' | 'time';

export interface ProcessorField {
  readonly name: string;
  readonly kind: ProcessorFieldKind;
  readonly bytes: number;
  /** The version of the saved state that has it first. */
  readonly since: number;
}

export interface SavedProcessor {
  readonly version: number;
  readonly fields: Readonly<Record<string, string | number | null>>;
}

const field = (name: string, bytes: number, kind: ProcessorFieldKind = 'number', since = 1): ProcessorField => ({
  name,
  kind,
  bytes,
  since,
});
const numbered = (count: number, make: (number: number) => ProcessorField): ProcessorField[] =>
  Array.from({ length: count }, (_, number) => make(number));

export const PROCESSOR_FIELDS: readonly ProcessorField[] = [
  ...GENERAL_REGISTERS.map((name) => field(name, 8)),
  ...['Rip', 'Rflags', 'Cr0', 'Cr2', 'Cr3', 'Cr4', 'XCr0', 'Efer'].map((name) => field(name, 8)),
  ...['Dr0', 'Dr1', 'Dr2', 'Dr3', 'Dr6', 'Dr7'].map((name) => field(name, 8)),
  ...SEGMENT_REGISTERS.flatMap((name) => [
    field(`${name}.Selector`, 2),
    field(`${name}.Base`, 8),
    field(`${name}.Limit`, 4),
    field(`${name}.Attributes`, 4),
  ]),
  ...['Gdtr', 'Idtr'].flatMap((name) => [field(`${name}.Base`, 8), field(`${name}.Limit`, 4)]),
  ...['Star', 'Lstar', 'Cstar', 'Sfmask', 'KernelGsBase', 'TscAux', 'TscAdjust', 'Pat', 'ApicBase'].map((name) =>
    field(name, 8),
  ),
  ...['SysenterCs', 'SysenterRsp', 'SysenterRip', 'MiscEnable', 'MtrrDefType'].map((name) => field(name, 8)),
  ...numbered(11, (number) => field(`MtrrFix${number}`, 8)),
  ...numbered(16, (number) => field(`MtrrVariable${number}`, 8)),
  field('Mxcsr', 4),
  ...numbered(16, (number) => field(`Ymm${number}`, 32)),
  // The x87 unit as FXSAVE has it: the tag word abridged, registers by their number, the top of the stack in the status word.
  field('FpControl', 2),
  field('FpStatus', 2),
  field('FpTag', 1),
  field('FpOpcode', 2),
  field('FpInstruction.Offset', 8),
  field('FpInstruction.Selector', 2),
  field('FpData.Offset', 8),
  field('FpData.Selector', 2),
  ...numbered(8, (number) => field(`FpMmx${number}`, 16)),
  // What is not in a register: halted, the instruction behind STI or MOV SS, events that wait (bit 0 NMI, 1 INIT, 2 SIPI).
  field('Halted', 4),
  field('InterruptShadow', 4),
  field('PendingEvents', 4),
  // The local APIC: u32s at a quarter of their xAPIC offsets, the last one the errors that the next write of ESR shows.
  field('ApicRegisters', 256, 'bytes'),
  field('ApicTscDeadline', 8),
  field('ApicTimerDeadline', 8, 'time'),
  field('ApicTimerStart', 8, 'time'),
  // Debug exceptions: DEBUGCTL; bits of DR6 that the last instruction left; how it was begun (bit 0 at all, 1 with TF), where, and what
  // follows it in memory.
  field('DebugControl', 8, 'number', 2),
  field('DebugPending', 4, 'number', 2),
  field('DebugStep', 4, 'number', 2),
  field('DebugStepStart', 8, 'number', 2),
  field('DebugStepNext', 8, 'number', 2),
  field('Pkru', 4, 'number', 3),
  // The chipset was told of FERR#, and it has not ended.
  field('Ferr', 4, 'number', 4),
];

export const SAVED_PROCESSOR_VERSION = Math.max(...PROCESSOR_FIELDS.map(({ since }) => since));

/** The fields as bytes, each as it lies in a little-endian machine's memory. `take` gives a view that is read before it returns. */
export function saveProcessorFields(take: (name: string, bytes: number) => Uint8Array): SavedProcessor {
  const fields: Record<string, string | number | null> = {};
  for (const { name, kind, bytes } of PROCESSOR_FIELDS) {
    const value = Uint8Array.from(take(name, bytes));
    if (kind === 'time') {
      const time = new DataView(value.buffer).getFloat64(0, true);
      fields[name] = Number.isFinite(time) ? time : null;
    } else fields[name] = hexadecimal(kind === 'number' ? value.reverse() : value);
  }
  return { version: SAVED_PROCESSOR_VERSION, fields };
}

/**
 * Checks a saved state and gives each field's bytes, in the order of the table. Nothing is given unless all of it is good.
 * @throws PlinthError PL-4103 for a newer version, PL-4104 for what is no saved state of a processor
 */
export function restoreProcessorFields(saved: unknown, put: (name: string, bytes: Uint8Array) => void): void {
  const malformed = (problem: string): PlinthError => new PlinthError('PL-4104', { device: 'processor', problem });
  if (typeof saved !== 'object' || saved === null) throw malformed('it is not an object');
  if (!('version' in saved) || typeof saved.version !== 'number') throw malformed('it has no version');
  const { version } = saved;
  if (version > SAVED_PROCESSOR_VERSION) {
    throw new PlinthError('PL-4103', { device: 'processor', version, newest: SAVED_PROCESSOR_VERSION });
  }
  if (!Number.isInteger(version) || version < 1) throw malformed(`version ${version} was never written`);
  if (!('fields' in saved) || typeof saved.fields !== 'object' || saved.fields === null) {
    throw malformed('it has no fields');
  }
  const values = new Map<string, unknown>(Object.entries(saved.fields));
  const wanted = PROCESSOR_FIELDS.filter(({ since }) => since <= version);
  for (const name of values.keys()) {
    if (!wanted.some((one) => one.name === name)) throw malformed(`the field ${name} is not known`);
  }
  const found = wanted.map((one): readonly [string, Uint8Array] => {
    const bytes = bytesOf(one, values.get(one.name));
    if (bytes === undefined) throw malformed(`the field ${one.name} is missing or out of range`);
    return [one.name, bytes];
  });
  for (const [name, bytes] of found) put(name, bytes);
}

function bytesOf({ kind, bytes }: ProcessorField, value: unknown): Uint8Array | undefined {
  if (kind === 'time') {
    if (value !== null && !(typeof value === 'number' && Number.isFinite(value))) return undefined;
    const time = new Uint8Array(8);
    new DataView(time.buffer).setFloat64(0, value ?? Number.POSITIVE_INFINITY, true);
    return time;
  }
  if (typeof value !== 'string' || value.length !== bytes * 2 || !/^[0-9a-f]*$/.test(value)) return undefined;
  const found = Uint8Array.from({ length: bytes }, (_, at) => Number.parseInt(value.slice(at * 2, at * 2 + 2), 16));
  return kind === 'number' ? found.reverse() : found;
}

const hexadecimal = (bytes: Uint8Array): string =>
  Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join('');

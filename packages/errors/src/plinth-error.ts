/**
 * The one error class. Everything that can go wrong for a user is thrown as a `PlinthError` with a code of the catalogue;
 * the command line prints its message and exits with its status. Guest faults are values inside the processor, not errors.
 */
import { type CatalogueEntry, catalogue, type ErrorCode } from './catalogue.ts';

/** What a placeholder may be filled with. */
export type ErrorParameter = string | number | bigint;

type PlaceholderNames<Text extends string> = Text extends `${string}{${infer Name}}${infer Rest}`
  ? Name | PlaceholderNames<Rest>
  : never;

/** Names of the parameters that the sentences of a code mention. */
export type ParameterNames<Code extends ErrorCode> = PlaceholderNames<
  (typeof catalogue)[Code]['what' | 'why' | 'tryNext']
>;

/** Parameters of a code: all of its placeholders, each exactly once. */
export type ErrorParameters<Code extends ErrorCode> = { readonly [Name in ParameterNames<Code>]: ErrorParameter };

type ConstructorArguments<Code extends ErrorCode> = [ParameterNames<Code>] extends [never]
  ? [parameters?: Record<string, never>, options?: ErrorOptions]
  : [parameters: ErrorParameters<Code>, options?: ErrorOptions];

/** A failure with a code of the catalogue. Its `message` is the whole sentence that a user is to see. */
export class PlinthError<Code extends ErrorCode = ErrorCode> extends Error {
  override readonly name = 'PlinthError';
  readonly code: Code;
  readonly parameters: Readonly<Record<string, ErrorParameter>>;
  /** What happened, why, and what to do next, with the parameters filled in and no full stops. */
  readonly what: string;
  readonly why: string;
  readonly tryNext: string;
  /** The status that the process ends with when nothing handles the error. */
  readonly exitStatus: number;

  constructor(code: Code, ...[parameters, options]: ConstructorArguments<Code>) {
    const values: Readonly<Record<string, ErrorParameter>> = { ...parameters };
    const entry: CatalogueEntry = catalogue[code];
    super(formatEntry(code, entry, values), options);
    this.code = code;
    this.parameters = values;
    this.what = fillIn(entry.what, values);
    this.why = fillIn(entry.why, values);
    this.tryNext = fillIn(entry.tryNext, values);
    this.exitStatus = entry.exitStatus;
  }

  /** Plain data for `-o json` and for messages between threads and processes; `PlinthError.from` is its inverse. */
  toJSON(): SerializedPlinthError {
    return {
      code: this.code,
      what: this.what,
      why: this.why,
      tryNext: this.tryNext,
      exitStatus: this.exitStatus,
      parameters: Object.fromEntries(
        Object.entries(this.parameters).map(([name, value]) => [name, typeof value === 'bigint' ? `${value}` : value]),
      ),
    };
  }

  /** The error again from `toJSON()`, for a receiver in another thread or process; undefined when it is not one. */
  static from(data: unknown): PlinthError | undefined {
    if (typeof data !== 'object' || data === null || !('code' in data) || !isErrorCode(data.code)) return undefined;
    const parameters = 'parameters' in data && typeof data.parameters === 'object' ? data.parameters : {};
    // The catalogue is the same on both sides, so the parameters are those that the sender's constructor was given.
    return new PlinthError(data.code, parameters as ErrorParameters<ErrorCode>);
  }
}

/** A `PlinthError` as plain data. */
export interface SerializedPlinthError {
  readonly code: ErrorCode;
  readonly what: string;
  readonly why: string;
  readonly tryNext: string;
  readonly exitStatus: number;
  readonly parameters: Readonly<Record<string, string | number>>;
}

/** Whether `code` stands in the catalogue. */
export function isErrorCode(code: unknown): code is ErrorCode {
  return typeof code === 'string' && Object.hasOwn(catalogue, code);
}

/** `text` with each `{name}` replaced by its parameter; a name without a parameter is left standing. */
export function fillIn(text: string, parameters: Readonly<Record<string, ErrorParameter>>): string {
  return text.replaceAll(/\{(\w+)\}/g, (placeholder, name: string) => {
    const value = Object.hasOwn(parameters, name) ? parameters[name] : undefined;
    return value === undefined ? placeholder : String(value);
  });
}

/** One line: `PL-NNNN: what. why. Try: next.` */
export function formatEntry(
  code: string,
  entry: CatalogueEntry,
  parameters: Readonly<Record<string, ErrorParameter>> = {},
): string {
  const sentence = (text: string): string => withFullStop(fillIn(text, parameters));
  return `${code}: ${sentence(entry.what)} ${sentence(entry.why)} Try: ${sentence(entry.tryNext)}`;
}

function withFullStop(text: string): string {
  return /[.!?]$/.test(text) ? text : `${text}.`;
}

/**
 * The report of a guest's crash, or of a fault of Plinth: one text file under $PLINTH_HOME/crash, readable by its owner only.
 *
 * It has all that is needed to say what happened without running the guest again. Called by: run-virtual-machine.ts.
 */
import { mkdirSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { VirtualMachineConfiguration } from './configuration.ts';
import { describeBranches, describeException, type ProcessorSnapshot } from './processor-snapshot.ts';

/** Reports that are kept. */
const REPORT_LIMIT = 50;
/** Lines about branches. */
const BRANCH_LINES = 32;

export interface CrashReport {
  /** One line: what happened. */
  readonly reason: string;
  readonly configuration: VirtualMachineConfiguration;
  readonly wallSeconds: number;
  readonly snapshot?: ProcessorSnapshot | undefined;
  /** The instructions around RIP, where the engine can tell. */
  readonly disassembly?: readonly string[] | undefined;
  /** The guest's own log, from its error record. */
  readonly guestLog?: string | undefined;
  /** The end of what the first serial port printed. */
  readonly consoleTail: string;
  /** For a fault of Plinth. */
  readonly stack?: string | undefined;
}

/** Keeps the last bytes of a stream. */
export class ConsoleTail {
  readonly #ring: Uint8Array;
  #written = 0;

  constructor(bytes = 16 * 1024) {
    this.#ring = new Uint8Array(bytes);
  }

  observe(chunk: Uint8Array): void {
    const part = chunk.subarray(Math.max(0, chunk.length - this.#ring.length));
    this.#written += chunk.length - part.length;
    const at = this.#written % this.#ring.length;
    const first = Math.min(part.length, this.#ring.length - at);
    this.#ring.set(part.subarray(0, first), at);
    this.#ring.set(part.subarray(first), 0);
    this.#written += part.length;
  }

  /** What is kept, with everything but printable text taken out, so that a report does nothing to a terminal. */
  text(): string {
    const at = this.#written % this.#ring.length;
    const bytes =
      this.#written <= this.#ring.length
        ? this.#ring.subarray(0, this.#written)
        : Buffer.concat([this.#ring.subarray(at), this.#ring.subarray(0, at)]);
    return printable(new TextDecoder().decode(bytes));
  }

  /** The last lines of it, at most `limit`. */
  lines(limit: number): string[] {
    const text = this.text().trimEnd();
    return text === '' ? [] : text.split('\n').slice(-limit);
  }
}

/** Text without control characters and terminal sequences. */
export function printable(text: string): string {
  return (
    text
      .replaceAll('\r\n', '\n')
      // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is to be taken out
      .replaceAll(/\x1b\[[0-9;?]*[ -/]*[@-~]/g, '')
      // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is to be taken out
      .replaceAll(/[\x00-\x08\x0b-\x1f\x7f-\x9f]/g, '')
  );
}

/**
 * Writes the report; where $PLINTH_HOME cannot take it, to the folder for temporary files.
 * @returns its path, or undefined when neither can
 */
export function writeCrashReport(report: CrashReport): string | undefined {
  const stamp = new Date().toISOString().replaceAll(/[:.]/g, '-');
  const name = `${report.configuration.name}-${stamp}-${process.pid}.txt`;
  const text = formatReport(report);
  for (const folder of [join(report.configuration.home, 'crash'), tmpdir()]) {
    try {
      mkdirSync(folder, { recursive: true, mode: 0o700 });
      const path = join(folder, name);
      writeFileSync(path, text, { mode: 0o600, flag: 'wx' });
      if (folder !== tmpdir()) removeOldReports(folder);
      return path;
    } catch {
      // The next folder, then: a full disk must not hide what happened.
    }
  }
  return undefined;
}

/** Keeps the newest reports; a guest that crashes again and again must not fill the disk. */
function removeOldReports(folder: string): void {
  const reports = readdirSync(folder)
    .filter((name) => name.endsWith('.txt'))
    .map((name) => ({ path: join(folder, name), time: statSync(join(folder, name)).mtimeMs }))
    .sort((a, b) => b.time - a.time);
  for (const { path } of reports.slice(REPORT_LIMIT)) rmSync(path, { force: true });
}

export function formatReport(report: CrashReport): string {
  const { configuration, snapshot } = report;
  const sections = [
    [report.reason, `after ${report.wallSeconds.toFixed(3)} s, ${new Date().toISOString()}`],
    ['Machine', ...describeConfiguration(configuration)],
    ...(report.stack === undefined ? [] : [['Where in Plinth', report.stack]]),
    ...(snapshot === undefined ? [] : describeProcessor(snapshot, report.disassembly ?? [])),
    ...(report.guestLog === undefined ? [] : [["The guest's own log", printable(report.guestLog).trimEnd()]]),
    ['End of the console', report.consoleTail.trimEnd()],
  ];
  return `${sections.map((lines) => lines.join('\n')).join('\n\n')}\n`;
}

function describeConfiguration(configuration: VirtualMachineConfiguration): string[] {
  return [
    `name          ${configuration.name}`,
    `memory        ${configuration.memoryBytes / (1024 * 1024)} MiB`,
    `processors    ${configuration.processors}`,
    `generation    ${configuration.generation ?? 1}`,
    `image         ${configuration.image ?? 'none'}`,
    `kernel        ${configuration.kernel}`,
    ...configuration.initrds.map((initrd) => `initrd        ${initrd}`),
    `command line  ${configuration.commandLine}`,
    `node          ${process.version} ${process.platform} ${process.arch}`,
  ];
}

function describeProcessor(snapshot: ProcessorSnapshot, disassembly: readonly string[]): string[][] {
  const { registers, exceptions, branches, code, stack } = snapshot;
  return [
    [
      `Processor ${snapshot.index}`,
      snapshot.mode,
      `${snapshot.instructions} instructions executed`,
      ...Object.entries(registers).map(([name, value]) => `${name.padEnd(13)} ${value}`),
    ],
    [
      'Code at RIP',
      ...(code === undefined ? ['not mapped to memory'] : [`${code.address}: ${code.before} <${code.after}>`]),
    ],
    ...(disassembly.length === 0 ? [] : [[`Instructions (${snapshot.codeBits}-bit code)`, ...disassembly]]),
    ...snapshot.walks.map(({ what, lines }) => [`Page walk ${what}`, ...lines]),
    ['Stack at SS:RSP', ...(stack.length === 0 ? ['not mapped to memory'] : stack)],
    [
      'Last exceptions, the newest last',
      ...(exceptions.length === 0 ? ['none recorded'] : []),
      ...exceptions.map(describeException),
    ],
    [
      'Last branches, the newest first (within translated code only the branch that leaves it is recorded)',
      ...(branches.length === 0 ? ['none recorded'] : describeBranches(branches).slice(0, BRANCH_LINES)),
    ],
  ];
}

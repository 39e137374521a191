/**
 * Reading the error records that a guest stores: did the guest say that it is dead, and what did it say?
 *
 * Common platform error records of UEFI 2.9, appendix N. Linux's pstore (fs/pstore/platform.c, drivers/acpi/apei/erst.c) puts the
 * end of the kernel's log into one section, plain or deflated, after a line such as `Panic#1 Part1`. Records come from the
 * guest: nothing in them is trusted, and text is bounded. Called by: run-virtual-machine.ts.
 */
import { inflateRawSync } from 'node:zlib';
import { printable } from './crash-report.ts';

const HEADER_BYTES = 128;
const SECTION_BYTES = 72;
const SEVERITY_FATAL = 1;
/** Syslog's second worst level. */
const ALERT = 1;
/** What Linux's panic() begins its line with (kernel/panic.c). */
const PANIC_LINE = 'Kernel panic';
const TEXT_LIMIT = 256 * 1024;

/** Section types of Linux's pstore, as in the record (first three fields little-endian). */
const SECTION_LOG = 'c197e04e-d545-4a70-9c17-a5549419eb12';
const SECTION_LOG_DEFLATED = '4f118707-04dd-4055-b5dd-956d34ddfac6';

export interface ErrorRecord {
  /** The writer calls the error fatal. */
  readonly fatal: boolean;
  /** Why a kernel log was stored ('Panic', 'Oops'..), when the record has such a log. */
  readonly reason?: string;
  /** The log, without its first line. */
  readonly text?: string;
}

/** A record that means that the guest's operating system is dead: fatal, and not a log that was kept for a lesser reason. */
export function isCrash(record: ErrorRecord): boolean {
  return record.fatal && (record.reason === undefined || record.reason === 'Panic');
}

/** @returns undefined when the bytes are no error record. */
export function readErrorRecord(bytes: Uint8Array): ErrorRecord | undefined {
  if (bytes.length < HEADER_BYTES || String.fromCharCode(...bytes.subarray(0, 4)) !== 'CPER') return undefined;
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const fatal = view.getUint32(12, true) === SEVERITY_FATAL;
  const log = sectionText(bytes, view);
  if (log === undefined) return { fatal };
  const header = /^([A-Za-z]+)#\d+ Part\d+\n/.exec(log);
  if (header === null) return { fatal, text: log };
  return { fatal, reason: header[1] ?? '', text: log.slice(header[0].length) };
}

/**
 * Why the guest is dead: the line in which its kernel says so, else the log's most severe one (the last of these), else what is
 * known without a log. Lines begin with their syslog level, `<0>` the worst; a panic's own line need not be the last of its level.
 */
export function crashReason(record: ErrorRecord): string {
  const lines = (record.text ?? '').split('\n').flatMap((line) => {
    const match = /^<(\d+)>(?:\[\s*[\d.]+\] ?)?(.+)$/.exec(line);
    return match === null ? [] : [{ level: Number(match[1]), text: printable(match[2] ?? '') }];
  });
  const worst = Math.min(...lines.map(({ level }) => level));
  const line =
    lines.findLast(({ text }) => text.startsWith(PANIC_LINE)) ??
    lines.findLast(({ level }) => level === worst && worst <= ALERT);
  return line?.text.slice(0, 200) || 'it stored a fatal error record';
}

function sectionText(bytes: Uint8Array, view: DataView): string | undefined {
  const sections = view.getUint16(10, true);
  for (let index = 0; index < sections; index++) {
    const descriptor = HEADER_BYTES + index * SECTION_BYTES;
    if (descriptor + SECTION_BYTES > bytes.length) return undefined;
    const offset = view.getUint32(descriptor, true);
    const length = view.getUint32(descriptor + 4, true);
    if (offset + length > bytes.length) continue;
    const content = bytes.subarray(offset, offset + length);
    const type = formatGuid(bytes.subarray(descriptor + 16, descriptor + 32));
    if (type === SECTION_LOG) return Buffer.from(content).toString('utf8').slice(0, TEXT_LIMIT);
    if (type === SECTION_LOG_DEFLATED) return inflate(content);
  }
  return undefined;
}

function inflate(content: Uint8Array): string | undefined {
  try {
    return inflateRawSync(content, { maxOutputLength: TEXT_LIMIT }).toString('utf8');
  } catch {
    return undefined; // The guest may store what it likes; the record then counts by its severity alone.
  }
}

function formatGuid(bytes: Uint8Array): string {
  const order = [3, 2, 1, 0, -1, 5, 4, -1, 7, 6, -1, 8, 9, -1, 10, 11, 12, 13, 14, 15];
  return order.map((index) => (index < 0 ? '-' : (bytes[index] ?? 0).toString(16).padStart(2, '0'))).join('');
}

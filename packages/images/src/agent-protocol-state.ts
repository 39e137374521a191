/**
 * The saved state of the agent's protocol: plain data with a version, and what reads it back. Bytes are base64.
 *
 * Invariant: what `readSavedProtocol` returns is what a protocol can be in. Called by: agent-protocol.ts.
 */
import { PlinthError } from '@plinth/errors';

export const SAVED_AGENT_VERSION = 1;

export interface SavedAgentCommand<Bytes> {
  readonly id: number;
  /** Pieces of input that were not sent. */
  readonly queue: readonly Bytes[];
  readonly inFlight: number;
  readonly endOfInput: 'open' | 'wanted' | 'sent';
}

export interface SavedAgentProtocol {
  readonly version: typeof SAVED_AGENT_VERSION;
  readonly nextId: number;
  readonly line: string;
  readonly isSkipping: boolean;
  readonly commands: readonly SavedAgentCommand<string>[];
}

export interface AgentProtocolState {
  readonly nextId: number;
  readonly line: Uint8Array;
  readonly isSkipping: boolean;
  readonly commands: readonly SavedAgentCommand<Uint8Array>[];
}

const ID_LIMIT = 10 ** 11;
const ENDS = ['open', 'wanted', 'sent'] as const;

/** @throws PlinthError PL-4103 for a newer version, PL-4104 for what is malformed */
export function readSavedProtocol(saved: unknown): AgentProtocolState {
  const { version, nextId, line, isSkipping, commands } = record(saved);
  if (typeof version !== 'number') throw malformed('it has no version');
  if (version > SAVED_AGENT_VERSION) {
    throw new PlinthError('PL-4103', { device: 'agent', version, newest: SAVED_AGENT_VERSION });
  }
  if (version !== SAVED_AGENT_VERSION) throw malformed(`version ${version} was never written`);
  if (typeof isSkipping !== 'boolean' || !Array.isArray(commands)) throw malformed('its commands are no list');
  return { nextId: identifier(nextId), line: bytes(line), isSkipping, commands: commands.map(readCommand) };
}

function readCommand(saved: unknown): SavedAgentCommand<Uint8Array> {
  const { id, queue, inFlight, endOfInput } = record(saved);
  const end = ENDS.find((word) => word === endOfInput);
  const isSound = typeof inFlight === 'number' && Number.isInteger(inFlight) && inFlight >= 0 && inFlight <= 64;
  if (end === undefined || !isSound || !Array.isArray(queue)) throw malformed('a command has no input as there can be');
  return { id: identifier(id), queue: queue.map(bytes), inFlight, endOfInput: end };
}

function record(value: unknown): Readonly<Record<string, unknown>> {
  if (typeof value === 'object' && value !== null && !Array.isArray(value)) return { ...value };
  throw malformed('it is no object');
}

function identifier(value: unknown): number {
  if (typeof value === 'number' && Number.isInteger(value) && value > 0 && value < ID_LIMIT) return value;
  throw malformed('a command has no id');
}

function bytes(value: unknown): Uint8Array {
  if (typeof value === 'string' && value.length % 4 === 0 && /^[A-Za-z0-9+/]*={0,2}$/.test(value)) {
    return new Uint8Array(Buffer.from(value, 'base64'));
  }
  throw malformed('bytes are not base64');
}

const malformed = (problem: string): PlinthError => new PlinthError('PL-4104', { device: 'agent', problem });

/**
 * A saved machine that is to run again: its file, opened and checked, and what is in it for the one that builds the machine.
 *
 *     cli ── openSavedMachine(path) ──> configuration ──> runVirtualMachine(configuration, hooks, saved) ──> loaded, released
 *
 * Called by: cli, run-virtual-machine.ts.
 */
import { PlinthError } from '@plinth/errors';
import { SavedValue } from '@plinth/vmbus';
import type { VirtualMachineConfiguration } from '../configuration.ts';
import { SAVED_AGENT_SECTION_VERSION } from './machine-saver.ts';
import { parseSavedConfiguration, type SavedConfiguration } from './saved-configuration.ts';
import { SavedFile } from './saved-file.ts';

/** Longer than any command is. */
const COMMAND_LIMIT = 1024 * 1024;
const TYPED_LIMIT = 64 * 1024 * 1024;

/** What of a configuration a saved machine brings with it. */
export type SavedHardware = Pick<
  VirtualMachineConfiguration,
  | 'generation'
  | 'memoryBytes'
  | 'processors'
  | 'kernel'
  | 'initrds'
  | 'commandLine'
  | 'image'
  | 'debugExitPort'
  | 'hasAgent'
>;

export interface SavedAgent {
  readonly sessions: unknown;
  /** A command of --exec that had not ended; without a number when the agent did not have it yet. */
  readonly command: { readonly command: string; readonly id: number | undefined } | undefined;
  /** What was typed on the console and not taken by the guest. */
  readonly typed: Uint8Array;
}

export class SavedMachine {
  readonly file: SavedFile;
  readonly configuration: SavedConfiguration;
  readonly agent: SavedAgent;

  constructor(file: SavedFile) {
    this.file = file;
    this.configuration = parseSavedConfiguration(file.states.configuration);
    const agent = new SavedValue('agent', file.states.agent);
    agent.version(SAVED_AGENT_SECTION_VERSION);
    this.agent = {
      sessions: agent.at('sessions').raw(),
      command: agent.at('command').optional((command) => ({
        command: command.at('command').text(COMMAND_LIMIT),
        id: command.at('id').optional((id) => id.integer(1, 10 ** 11)),
      })),
      typed: agent.at('typed').bytes(TYPED_LIMIT),
    };
    const { memoryBytes } = this.configuration;
    const { path } = file;
    if (file.map.poolPages * 4096 !== memoryBytes) {
      throw new PlinthError('PL-2206', { path, problem: 'its memory has another size than its configuration says' });
    }
    if (this.configuration.processors !== 1) {
      throw new PlinthError('PL-2207', { path, feature: `${this.configuration.processors} processors` });
    }
  }

  get hardware(): SavedHardware {
    const { generation, memoryBytes, processors, kernel, initrds, commandLine, image, debugExitPort, hasAgent } =
      this.configuration;
    return {
      generation,
      memoryBytes,
      processors,
      kernel,
      initrds,
      commandLine,
      hasAgent,
      ...(image === null ? {} : { image }),
      ...(debugExitPort === null ? {} : { debugExitPort }),
    };
  }

  close(): void {
    this.file.close();
  }
}

/**
 * Opens a saved machine. Its memory is not read yet.
 * @throws PlinthError PL-3006 when the file cannot be read, PL-2201 to PL-2207 for one that is not what it should be, PL-4103 and PL-4104
 * for a part of it that is newer or malformed
 */
export function openSavedMachine(path: string): SavedMachine {
  const file = SavedFile.open(path);
  try {
    return new SavedMachine(file);
  } catch (error) {
    file.close();
    throw error;
  }
}

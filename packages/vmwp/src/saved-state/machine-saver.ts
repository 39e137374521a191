/**
 * Saves a running machine: stops it, waits until nothing is under way, takes every part's state, and writes the file.
 *
 *     hold processor ─> output to its readers ─> bus settles ─> freeze ─> states ─> file ──> held until the run ends
 *                                                                                  └─ failed: thaw, the machine goes on
 *
 * What the guest has sent on a serial port is with its reader before, so no output is saved; what the host has for the guest is.
 * Invariants: between freeze and thaw nobody writes to guest memory or device state; one save at a time.
 * Called by: run-virtual-machine.ts.
 */
import { setTimeout as delay } from 'node:timers/promises';
import { PlinthError } from '@plinth/errors';
import type { Partition } from '@plinth/hypervisor';
import { PAGE_BYTES } from '@plinth/hypervisor';
import { saveBytes } from '@plinth/vmbus';
import type { AgentSessions } from '../agent-sessions.ts';
import type { ConsolePump } from '../console-pump.ts';
import type { ExecSession } from '../exec-session.ts';
import type { ProcessorHost } from '../processor-host.ts';
import type { ConsoleInput } from '../serial-input.ts';
import type { SyntheticDevices } from '../synthetic-devices.ts';
import type { VmbusHost } from '../vmbus-host.ts';
import type { RestoredMemory } from './restored-memory.ts';
import type { SavedConfiguration } from './saved-configuration.ts';
import { type WrittenFile, writeSavedFile } from './saved-file.ts';

/** How long readers of the guest's output may take for what it has sent: milliseconds. */
const OUTPUT_MILLISECONDS = 10_000;
/** How long devices may take to let go of channels that the guest has closed: milliseconds. */
const SETTLE_MILLISECONDS = 2000;

export const SAVED_AGENT_SECTION_VERSION = 1;

/** The parts of a machine, as its run has them. */
export interface SaveableMachine {
  readonly partition: Partition;
  /** Of a machine that was restored: where pages come from that are not there yet. */
  readonly restored: RestoredMemory | undefined;
  readonly processor: Pick<ProcessorHost, 'hold' | 'save' | 'release'>;
  readonly vmbus: VmbusHost | undefined;
  readonly devices: SyntheticDevices | undefined;
  readonly console: ConsolePump;
  readonly input: ConsoleInput | undefined;
  readonly agent: AgentSessions;
  readonly agentPump: ConsolePump;
  readonly exec: ExecSession | undefined;
  configuration(time: number): SavedConfiguration;
}

export class MachineSaver {
  #running: Promise<WrittenFile> | undefined;

  /** Whether the machine is being saved, or was: then it stays as it is. */
  get isBusy(): boolean {
    return this.#running !== undefined;
  }

  /** Settles when no save is under way. */
  async settled(): Promise<void> {
    await this.#running?.catch(() => undefined);
  }

  /**
   * Saves the machine; on success it does not run any more.
   * @throws PlinthError PL-3005 when the file cannot be written, PL-3016 when the machine cannot be saved now, PL-3101, or
   * what is wrong with the file that it was restored from; then it runs on
   */
  save(path: string, machine: SaveableMachine): Promise<WrittenFile> {
    if (this.#running !== undefined) {
      return Promise.reject(new PlinthError('PL-3016', { reason: 'it is being saved already' }));
    }
    this.#running = saveMachine(path, machine).catch((error: unknown) => {
      this.#running = undefined;
      throw error;
    });
    return this.#running;
  }
}

async function saveMachine(path: string, machine: SaveableMachine): Promise<WrittenFile> {
  const { partition, processor } = machine;
  await processor.hold();
  try {
    await flushOutput(machine);
    await settle(machine.vmbus);
    setFrozen(machine, true);
    const { time, processor: registers, devices } = await processor.save();
    const states = {
      configuration: machine.configuration(time),
      processor: registers,
      devices,
      vmbus: machine.vmbus?.save() ?? null,
      agent: {
        version: SAVED_AGENT_SECTION_VERSION,
        sessions: machine.agent.save(),
        command: machine.exec?.save() ?? null,
        typed: saveBytes(machine.input?.pending ?? new Uint8Array(0)),
      },
    };
    machine.restored?.loadAll();
    return await writeSavedFile(path, states, partition.guestMemory, partition.layout.ramBytes / PAGE_BYTES);
  } catch (error) {
    setFrozen(machine, false);
    processor.release();
    throw error;
  }
}

/** Until all that the guest has sent is where it belongs. */
async function flushOutput({ console, agentPump }: SaveableMachine): Promise<void> {
  const done = Promise.all([console.flush(), agentPump.flush()]).then(() => true);
  if (await Promise.race([done, delay(OUTPUT_MILLISECONDS, false, { ref: false })])) return;
  throw new PlinthError('PL-3016', { reason: 'nobody reads what it has printed' });
}

async function settle(vmbus: VmbusHost | undefined): Promise<void> {
  const end = performance.now() + SETTLE_MILLISECONDS;
  vmbus?.drain();
  while (vmbus?.bus.isClosing === true && performance.now() < end) await delay(1);
}

function setFrozen({ vmbus, devices, agent, input }: SaveableMachine, frozen: boolean): void {
  agent.isHeld = frozen;
  if (input !== undefined) input.isHeld = frozen;
  if (frozen) {
    devices?.pause();
    vmbus?.freeze();
  } else {
    vmbus?.thaw();
    devices?.resume();
  }
}

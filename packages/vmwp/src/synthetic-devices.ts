/**
 * The synthetic devices of a running VM, on its VMBus, and the time that passes for them. A new device is a package of its own and one
 * field here. Called by: run-virtual-machine.ts.
 */
import { hostname } from 'node:os';
import type { InspectTree, Partition } from '@plinth/hypervisor';
import type { VmBus } from '@plinth/vmbus';
import { IntegrationServices } from '@plinth/vsp-integration';

/** As often as there is a heartbeat: a tick in between would wake the thread for nothing. */
const TICK_MILLISECONDS = 2000;
/** 1970 in units of 100 ns since 1601. */
const UNIX_EPOCH = 116_444_736_000_000_000n;

export class SyntheticDevices {
  readonly integration: IntegrationServices;
  #ticks: NodeJS.Timeout | undefined;

  /** @param machine what the guest is told of its VM */
  constructor(bus: VmBus, partition: Partition, machine: { readonly name: string; readonly id: string }) {
    this.integration = new IntegrationServices({
      bus,
      clock: {
        milliseconds: () => performance.now(),
        utc: () => BigInt(Date.now()) * 10_000n + UNIX_EPOCH,
        referenceTime: () => BigInt(Math.floor(partition.clock.now() / 100)),
      },
      hostItems: {
        HostName: hostname(),
        PhysicalHostName: hostname(),
        VirtualMachineName: machine.name,
        // In capitals, as Hyper-V tells it.
        VirtualMachineId: machine.id.toUpperCase(),
      },
    });
    this.resume();
  }

  /** Time passes for them. */
  resume(): void {
    this.#ticks ??= setInterval(() => this.integration.tick(), TICK_MILLISECONDS).unref();
  }

  /** No time passes for them while the VM is saved. */
  pause(): void {
    clearInterval(this.#ticks);
    this.#ticks = undefined;
  }

  close(): void {
    this.pause();
  }

  inspect(): InspectTree {
    return { integration: this.integration.inspect() };
  }
}

/**
 * The integration services of one VM: which are offered, how they are, and time that passes for them.
 * A service that is switched off is not offered, so that the guest's driver goes; switched on again, it comes back.
 * Called by: vmwp.
 */
import type { InspectTree } from '@plinth/hypervisor';
import type { VmBus } from '@plinth/vmbus';
import { FileCopyService } from './file-copy/device.ts';
import type { ServiceClock } from './framework/service.ts';
import { OPERATIONAL_STATUS, type ServiceStatus } from './framework/status.ts';
import { HeartbeatService } from './heartbeat/device.ts';
import { KvpService } from './kvp/device.ts';
import { ShutdownService } from './shutdown/device.ts';
import { TimeSyncService } from './time-sync/device.ts';
import { VssService } from './vss/device.ts';

export const SERVICE_NAMES = ['shutdown', 'time-sync', 'heartbeat', 'kvp', 'vss', 'file-copy'] as const;
export type ServiceName = (typeof SERVICE_NAMES)[number];

export interface IntegrationOptions {
  readonly bus: VmBus;
  readonly clock: ServiceClock;
  /** Services that are switched off; guest services are off in Hyper-V until somebody wants them, here everything is on. */
  readonly disabled?: readonly ServiceName[];
  /** What the guest is told of its host: HostName, VirtualMachineName.. */
  readonly hostItems?: Readonly<Record<string, string>>;
}

export class IntegrationServices {
  readonly shutdown: ShutdownService;
  readonly timeSync: TimeSyncService;
  readonly heartbeat: HeartbeatService;
  readonly kvp: KvpService;
  readonly vss: VssService;
  readonly fileCopy: FileCopyService;
  readonly #bus: VmBus;
  readonly #disabled = new Set<ServiceName>();

  constructor({ bus, clock, disabled = [], hostItems = {} }: IntegrationOptions) {
    this.#bus = bus;
    this.shutdown = new ShutdownService(clock);
    this.timeSync = new TimeSyncService(clock);
    this.heartbeat = new HeartbeatService(clock);
    this.kvp = new KvpService(clock, hostItems);
    this.vss = new VssService(clock);
    this.fileCopy = new FileCopyService(clock);
    for (const name of SERVICE_NAMES) {
      if (disabled.includes(name)) this.#disabled.add(name);
      else bus.offer(this.#service(name));
    }
  }

  /** Switches a service on or off while the VM runs. */
  enable(name: ServiceName, enabled: boolean): void {
    if (enabled && this.#disabled.delete(name)) this.#bus.offer(this.#service(name));
    else if (!enabled && !this.#disabled.has(name)) {
      this.#disabled.add(name);
      this.#bus.rescind(name);
    }
  }

  /** To be called about once a second. */
  tick(): void {
    for (const name of SERVICE_NAMES) this.#service(name).tick();
  }

  /** The VM runs again after a pause: its clock is set. */
  resumed(): void {
    this.timeSync.resumed();
  }

  status(): ServiceStatus[] {
    return SERVICE_NAMES.map((name) => {
      const status = this.#service(name).status();
      if (!this.#disabled.has(name)) return status;
      const operationalStatus = OPERATIONAL_STATUS.disabled;
      const text = 'It is switched off for this VM';
      const remedy = 'switching it on in the settings of the VM';
      return { ...status, condition: 'disabled' as const, version: null, text, remedy, operationalStatus };
    });
  }

  inspect(): InspectTree {
    return Object.fromEntries(
      this.status().map(({ name, condition, version, text }) => [name, { condition, version, text }]),
    );
  }

  #service(name: ServiceName) {
    return {
      shutdown: this.shutdown,
      'time-sync': this.timeSync,
      heartbeat: this.heartbeat,
      kvp: this.kvp,
      vss: this.vss,
      'file-copy': this.fileCopy,
    }[name];
  }
}

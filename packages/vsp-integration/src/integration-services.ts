/**
 * The integration services of one VM: which are offered, how they are, and time that passes for them.
 * A service that is switched off is not offered, so that the guest's driver goes; switched on again, it comes back.
 * Called by: vmwp.
 */
import type { InspectTree } from '@plinth/hypervisor';
import type { VmBus } from '@plinth/vmbus';
import { FileCopyService } from './file-copy/device.ts';
import type { ServiceClock } from './framework/service.ts';
import type { ServiceStatus } from './framework/status.ts';
import { HeartbeatService } from './heartbeat/device.ts';
import { KvpService } from './kvp/device.ts';
import { ShutdownService } from './shutdown/device.ts';
import { TimeSyncService } from './time-sync/device.ts';
import { VssService } from './vss/device.ts';

export const SERVICE_NAMES = ['shutdown', 'time-sync', 'heartbeat', 'kvp', 'vss', 'file-copy'] as const;
export type ServiceName = (typeof SERVICE_NAMES)[number];

/** As Hyper-V's own tools name them (Get-VMIntegrationService). */
const HYPER_V_NAMES: Readonly<Record<ServiceName, string>> = {
  shutdown: 'Shutdown',
  'time-sync': 'Time Synchronization',
  heartbeat: 'Heartbeat',
  kvp: 'Key-Value Pair Exchange',
  vss: 'VSS',
  'file-copy': 'Guest Service Interface',
};

/** A service by its name here or in Hyper-V's tools, in any letter case. */
export function findServiceName(text: string): ServiceName | undefined {
  const wanted = text.toLowerCase();
  return SERVICE_NAMES.find((name) => name === wanted || HYPER_V_NAMES[name].toLowerCase() === wanted);
}

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
  readonly #machine: string;

  constructor({ bus, clock, disabled = [], hostItems = {} }: IntegrationOptions) {
    this.#bus = bus;
    this.#machine = hostItems.VirtualMachineName ?? 'NAME';
    this.shutdown = new ShutdownService(clock);
    this.timeSync = new TimeSyncService(clock);
    this.heartbeat = new HeartbeatService(clock);
    this.kvp = new KvpService(clock, hostItems);
    this.vss = new VssService(clock);
    this.fileCopy = new FileCopyService(clock);
    for (const name of SERVICE_NAMES) {
      if (disabled.includes(name)) this.#service(name).switchedOff = this.#howToSwitchOn(name);
      else bus.offer(this.#service(name));
    }
  }

  /** Switches a service on or off while the VM runs. */
  enable(name: ServiceName, enabled: boolean): void {
    const service = this.#service(name);
    if (enabled === !service.isSwitchedOff) return;
    service.switchedOff = enabled ? undefined : this.#howToSwitchOn(name);
    if (enabled) this.#bus.offer(service);
    else this.#bus.rescind(name);
  }

  /** To be called every second or two: as often as the guest is to be asked for a sign of life. */
  tick(): void {
    for (const name of SERVICE_NAMES) this.#service(name).tick();
  }

  /** The VM runs again after a pause: its clock is set. */
  resumed(): void {
    this.timeSync.resumed();
  }

  status(): ServiceStatus[] {
    return SERVICE_NAMES.map((name) => this.#service(name).status());
  }

  inspect(): InspectTree {
    return Object.fromEntries(
      this.status().map(({ name, condition, version, text }) => [name, { condition, version, text }]),
    );
  }

  #howToSwitchOn(name: ServiceName): string {
    return `plinth vm enable ${this.#machine} ${name}`;
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

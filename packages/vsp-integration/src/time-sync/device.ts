/**
 * Time synchronization: tells the guest the host's time. It is to set its clock when the service starts and after the VM did not
 * run for a while (pause, restore, a host that slept); in between it gets samples, which feed its PTP clock (Linux takes samples
 * older than ten minutes for stale). Guest side: drivers/hv/hv_util.c. Called by: IntegrationServices.
 */
import type { InspectTree } from '@plinth/hypervisor';
import { MESSAGE_TYPE } from '../framework/protocol.ts';
import { IntegrationService, type ServiceClock } from '../framework/service.ts';
import { REFERENCE_TIME_MESSAGE, TIME_FLAG, TIME_MESSAGE, TIME_SYNC_VERSIONS } from './protocol.ts';

const SAMPLE_PERIOD = 5_000;
const PATIENCE = 30_000;
/** Between two ticks the host did not run for so long that the guest's clock cannot be right. */
const GAP = 30_000;
const VERSION_WITH_REFERENCE = 4;

export class TimeSyncService extends IntegrationService {
  #syncWanted = false;
  #lastSent = Number.NEGATIVE_INFINITY;
  #lastTick: { readonly utc: bigint; readonly milliseconds: number } | undefined;
  #syncs = 0;
  #samples = 0;

  constructor(clock: ServiceClock) {
    super(
      {
        name: 'time-sync',
        title: 'Time synchronization',
        interfaceId: '9527e630-d0ae-497b-adce-e80ab0175caf',
        instanceId: '2dd1ce17-079e-403c-b352-a1921ee207ee',
        messageType: MESSAGE_TYPE.timeSync,
        versions: TIME_SYNC_VERSIONS,
        remedy: 'the hv_utils driver in the guest (modprobe hv_utils); it is part of every Debian kernel',
      },
      clock,
    );
  }

  /** The VM runs again after it did not: the guest is to set its clock. */
  resumed(): void {
    this.#syncWanted = true;
    this.#sendDue(this.clock.milliseconds());
  }

  protected override onReady(): void {
    this.resumed();
  }

  protected override onTick(now: number): void {
    // The wall clock was set, or the host slept: either way the guest's is wrong now.
    const utc = this.clock.utc();
    if (this.#lastTick !== undefined) {
      const passed = Number((utc - this.#lastTick.utc) / 10_000n);
      if (Math.abs(passed - (now - this.#lastTick.milliseconds)) > GAP) this.#syncWanted = true;
    }
    this.#lastTick = { utc, milliseconds: now };
    this.#sendDue(now);
  }

  #sendDue(now: number): void {
    if (!this.isIdle || this.state.kind !== 'ready') return;
    const sync = this.#syncWanted;
    if (!sync && now - this.#lastSent < SAMPLE_PERIOD) return;
    this.#syncWanted = false;
    this.#lastSent = now;
    if (sync) this.#syncs++;
    else this.#samples++;
    const flags = sync ? TIME_FLAG.sync : TIME_FLAG.sample;
    // Both are read side by side, so that the guest can add what has passed since.
    const referenceTime = this.clock.referenceTime();
    const hostTime = this.clock.utc();
    const body =
      (this.messageVersion?.major ?? 0) >= VERSION_WITH_REFERENCE
        ? REFERENCE_TIME_MESSAGE.build({ hostTime, referenceTime, flags })
        : TIME_MESSAGE.build({ hostTime, flags });
    this.ask(body, PATIENCE, () => this.#sendDue(this.clock.milliseconds()));
  }

  override inspect(): InspectTree {
    return { ...super.inspect(), syncs: this.#syncs, samples: this.#samples };
  }
}

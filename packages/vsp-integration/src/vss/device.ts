/**
 * Backup: has the guest write out what it holds and keep its file systems still, so that its disks can be copied while it runs.
 *
 *     thawed ── freeze ──> freezing ──> frozen ── thaw ──> thawing ──> thawed
 *
 * A guest must not stay frozen because something on the host went wrong: it is thawed when the limit has passed.
 * Guest side: drivers/hv/hv_snapshot.c and the hv_vss_daemon. Called by: IntegrationServices.
 */
import { PlinthError } from '@plinth/errors';
import type { InspectTree } from '@plinth/hypervisor';
import { type Channel, SavedValue } from '@plinth/vmbus';
import { MESSAGE_TYPE, SERVICE_STATUS } from '../framework/protocol.ts';
import { refusal } from '../framework/refusal.ts';
import { IntegrationService, type ServiceClock } from '../framework/service.ts';
import { FREEZE_MESSAGE, VSS_MESSAGE, VSS_OPERATION, VSS_VERSIONS } from './protocol.ts';

/** Linux gives its daemon 15 minutes to freeze, and half a minute for everything else. */
const FREEZE_PATIENCE = 15 * 60_000 + 30_000;
const PATIENCE = 40_000;
/** Freezing came with version 5.0; before, only whole snapshots were known, which Linux never had. */
const VERSION_WITH_FREEZE = 5;
const FROZEN_LIMIT = 10 * 60_000;

/** Linux's driver answers so at once while its daemon does not run. */
const NO_DAEMON = [
  'Its hv_vss_daemon does not run, or could not do it',
  'starting hv_vss_daemon in the guest (package hyperv-daemons)',
] as const;

export type FreezeState =
  | { readonly kind: 'thawed' }
  | { readonly kind: 'freezing' }
  | { readonly kind: 'frozen'; readonly since: number; readonly limit: number }
  | { readonly kind: 'thawing' };

export class VssService extends IntegrationService {
  #frozen: FreezeState = { kind: 'thawed' };
  #thawedByLimit = 0;

  constructor(clock: ServiceClock) {
    super(
      {
        name: 'vss',
        title: 'Backup (volume shadow copy)',
        interfaceId: '35fa2e29-ea23-4236-96ae-3a6ebacba440',
        instanceId: '2450ee40-33bf-4fbd-892e-9fb06e9214cf',
        messageType: MESSAGE_TYPE.vss,
        versions: VSS_VERSIONS,
        remedy: 'the hv_utils driver and the package hyperv-daemons in the guest, with hv_vss_daemon running',
      },
      clock,
    );
  }

  get freezeState(): FreezeState {
    return this.#frozen;
  }

  /**
   * Asks whether the guest can be backed up while it runs.
   * @returns what its system promises, a bit mask: 1 hot backup, 4 no recovery needed afterwards
   * @throws PlinthError PL-3201 without contact, PL-3202 when it cannot
   */
  async checkHotBackup(): Promise<number> {
    const { status, body } = await this.request(
      VSS_MESSAGE.build({ operation: VSS_OPERATION.checkHotBackup }),
      PATIENCE,
    );
    if (status !== SERVICE_STATUS.ok) throw refusal('agree to a backup while it runs', status, NO_DAEMON);
    return VSS_MESSAGE.read(body)?.flags ?? 0;
  }

  /**
   * Keeps the guest's file systems still.
   * @param limit milliseconds after which they are let go again, whatever happens
   * @throws PlinthError PL-3201 without contact, PL-3202 when the guest cannot or is frozen already
   */
  async freeze(limit = FROZEN_LIMIT): Promise<void> {
    const version = this.messageVersion;
    if (version !== undefined && version.major < VERSION_WITH_FREEZE) {
      throw refusal('freeze its file systems', SERVICE_STATUS.notSupported);
    }
    if (this.#frozen.kind !== 'thawed') {
      throw new PlinthError('PL-3202', {
        action: 'freeze its file systems',
        reason: `They are ${this.#frozen.kind}`,
        remedy: 'the same command when the other backup is done',
      });
    }
    this.#frozen = { kind: 'freezing' };
    try {
      const { status } = await this.request(FREEZE_MESSAGE.build({ operation: VSS_OPERATION.freeze }), FREEZE_PATIENCE);
      if (status !== SERVICE_STATUS.ok) throw refusal('freeze its file systems', status, NO_DAEMON);
      this.#frozen = { kind: 'frozen', since: this.clock.milliseconds(), limit };
    } catch (error) {
      this.#frozen = { kind: 'thawed' };
      throw error;
    }
  }

  /** Lets the file systems go again. @throws PlinthError PL-3201 without contact, PL-3202 when the guest cannot */
  async thaw(): Promise<void> {
    if (this.#frozen.kind !== 'frozen') return;
    const frozen = this.#frozen;
    this.#frozen = { kind: 'thawing' };
    try {
      const { status } = await this.request(VSS_MESSAGE.build({ operation: VSS_OPERATION.thaw }), PATIENCE);
      if (status !== SERVICE_STATUS.ok) throw refusal('let its file systems go', status);
      this.#frozen = { kind: 'thawed' };
    } catch (error) {
      // A guest that did not answer may still be frozen; one whose channel closed starts anew.
      this.#frozen = this.state.kind === 'ready' ? frozen : { kind: 'thawed' };
      throw error;
    }
  }

  protected override onTick(now: number): void {
    if (this.#frozen.kind !== 'frozen' || !this.isIdle || now - this.#frozen.since < this.#frozen.limit) return;
    const frozen = this.#frozen;
    this.#thawedByLimit++;
    this.#frozen = { kind: 'thawing' };
    this.ask(VSS_MESSAGE.build({ operation: VSS_OPERATION.thaw }), PATIENCE, ({ status }) => {
      this.#frozen =
        status === SERVICE_STATUS.ok ? { kind: 'thawed' } : { ...frozen, since: this.clock.milliseconds() };
    });
  }

  protected override onClosed(): void {
    this.#frozen = { kind: 'thawed' };
  }

  override save(): unknown {
    return { ...(super.save() as object), frozen: this.#frozen.kind !== 'thawed' };
  }

  /** A guest that was saved while it was frozen still is. */
  override restore(state: unknown, channels: readonly Channel[]): void {
    super.restore(state, channels);
    const frozen = new SavedValue(this.name, state).at('frozen').boolean();
    if (frozen) this.#frozen = { kind: 'frozen', since: this.clock.milliseconds(), limit: FROZEN_LIMIT };
  }

  override inspect(): InspectTree {
    return { ...super.inspect(), fileSystems: this.#frozen.kind, thawedByLimit: this.#thawedByLimit };
  }
}

/**
 * Heartbeat: every two seconds the guest is asked for a sign of life. Guest side: drivers/hv/hv_util.c.
 * Called by: IntegrationServices.
 */
import type { InspectTree } from '@plinth/hypervisor';
import { MESSAGE_TYPE } from '../framework/protocol.ts';
import { IntegrationService, type ServiceClock } from '../framework/service.ts';
import { APPLICATION_STATE, HEARTBEAT_MESSAGE, HEARTBEAT_VERSIONS } from './protocol.ts';

const PERIOD = 2_000;
/** Ticks of that period come a little early or late. */
const TOLERANCE = 200;
/** After so many beats without an answer the guest has lost contact. */
const PATIENCE = 5 * PERIOD;

/** `ok` with how the applications are, as Hyper-V's tools show it. */
export type Heartbeat = 'ok' | 'ok-healthy' | 'applications-critical' | 'lost' | 'no-contact' | 'disabled';

export class HeartbeatService extends IntegrationService {
  #sequence = 0n;
  #lastSent = Number.NEGATIVE_INFINITY;
  #beats = 0;
  #wrong = 0;
  #applications: (typeof APPLICATION_STATE)[number] = 'unknown';

  constructor(clock: ServiceClock) {
    super(
      {
        name: 'heartbeat',
        title: 'Heartbeat',
        interfaceId: '57164f39-9115-4e78-ab55-382f3bd5422d',
        instanceId: 'fd149e91-82e0-4a7d-afa6-2a4166cbd7c0',
        messageType: MESSAGE_TYPE.heartbeat,
        versions: HEARTBEAT_VERSIONS,
        remedy: 'the hv_utils driver in the guest (modprobe hv_utils); it is part of every Debian kernel',
      },
      clock,
    );
  }

  /** How the guest is. */
  get heartbeat(): Heartbeat {
    if (this.isSwitchedOff) return 'disabled';
    if (this.isSilent) return 'lost';
    if (this.#beats === 0) return 'no-contact';
    if (this.#applications === 'healthy') return 'ok-healthy';
    return this.#applications === 'critical' ? 'applications-critical' : 'ok';
  }

  protected override onReady(): void {
    this.#beat(this.clock.milliseconds());
  }

  protected override onTick(now: number): void {
    if (now - this.#lastSent >= PERIOD - TOLERANCE) this.#beat(now);
  }

  protected override onClosed(): void {
    this.#beats = 0;
    this.#applications = 'unknown';
  }

  #beat(now: number): void {
    if (!this.isIdle) return;
    this.#lastSent = now;
    const sequence = this.#sequence;
    this.#sequence = (sequence + 2n) & 0xffff_ffff_ffff_ffffn;
    this.ask(HEARTBEAT_MESSAGE.build({ sequence }), PATIENCE, ({ body }) => {
      const answer = HEARTBEAT_MESSAGE.read(body);
      if (answer?.sequence !== sequence + 1n) {
        this.#wrong++;
        return;
      }
      this.#beats++;
      this.#applications = APPLICATION_STATE[answer.applications] ?? 'unknown';
    });
  }

  override inspect(): InspectTree {
    return { ...super.inspect(), heartbeat: this.heartbeat, beats: this.#beats, wrongAnswers: this.#wrong };
  }
}

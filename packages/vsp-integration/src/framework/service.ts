/**
 * An integration service: a pipe channel on which the host asks and the guest answers.
 *
 *     closed ── guest opens the channel ──> negotiating ── guest answers ──> ready | incompatible ── closes ──> closed
 *
 * One request is under way at a time, as every driver expects. A guest that does not answer in time is 'silent': the request
 * still lies in its ring, so nothing further is sent until it answers that one or opens the channel anew. After restoring a VM
 * the versions are negotiated again, as Hyper-V does.
 *
 * Time comes in through `tick`, every second or two. Invariant: whatever the guest sends, a caller's promise is settled: with an
 * answer, or with a PlinthError that says what to do. Called by: VmBus (as a device), the services, IntegrationServices.
 */
import { PlinthError } from '@plinth/errors';
import type { InspectTree } from '@plinth/hypervisor';
import {
  type Channel,
  type Guid,
  type Packet,
  SavedValue,
  unwrapPipeMessage,
  type VmbusDevice,
  wrapPipeMessage,
} from '@plinth/vmbus';
import {
  buildNegotiation,
  buildRequest,
  isOlder,
  MESSAGE_TYPE,
  type NegotiatedVersions,
  parseNegotiation,
  parseResponse,
  type Response,
  type ServiceVersion,
  serviceVersionText,
} from './protocol.ts';
import { OPERATIONAL_STATUS, type ServiceCondition, type ServiceStatus } from './status.ts';

/** Where a service gets its time from. */
export interface ServiceClock {
  /** Milliseconds that never go back. */
  milliseconds(): number;
  /** UTC in units of 100 ns since 1601. */
  utc(): bigint;
  /** The partition's reference time in units of 100 ns, as its guest reads it. */
  referenceTime(): bigint;
}

export interface ServiceDescription {
  readonly name: string;
  readonly title: string;
  readonly interfaceId: Guid;
  readonly instanceId: Guid;
  readonly messageType: number;
  /** Versions of its messages, older ones first. */
  readonly versions: readonly ServiceVersion[];
  /** What a guest needs to have it. */
  readonly remedy: string;
}

export type ServiceState =
  | { readonly kind: 'closed' }
  | { readonly kind: 'negotiating'; readonly since: number }
  | ({ readonly kind: 'ready' } & NegotiatedVersions)
  | { readonly kind: 'incompatible' };

export interface ServiceAnswer {
  /** An HRESULT, 0 for success. */
  readonly status: number;
  readonly body: Uint8Array;
}

interface Request {
  readonly type: number;
  readonly body: Uint8Array;
  /** Milliseconds that the guest has. */
  readonly patience: number;
  readonly settle: (outcome: ServiceAnswer | PlinthError) => void;
}

interface Flight {
  readonly request: Request;
  readonly transactionId: number;
  readonly sentAt: number;
  /** The caller was told that no answer came. */
  silent: boolean;
}

/** Linux keeps a negotiation back for up to 55 seconds, until its daemon has come. */
const NEGOTIATION_PATIENCE = 60_000;
const WAITING_LIMIT = 1024;
const SAVED_VERSION = 1;

export abstract class IntegrationService implements VmbusDevice {
  readonly description: ServiceDescription;
  readonly clock: ServiceClock;
  #state: ServiceState = { kind: 'closed' };
  #channel: Channel | undefined;
  #flight: Flight | undefined;
  #waiting: Request[] = [];
  #nextTransactionId = 1;
  #answers = 0;
  #stale = 0;
  #switchedOff: string | undefined;

  constructor(description: ServiceDescription, clock: ServiceClock) {
    this.description = description;
    this.clock = clock;
  }

  get name(): string {
    return this.description.name;
  }

  get offer() {
    const { interfaceId, instanceId } = this.description;
    return { interfaceId, instanceId, pipe: 'message' } as const;
  }

  get state(): ServiceState {
    return this.#state;
  }

  /** The negotiated version of the service's messages; undefined while it is not ready. */
  get messageVersion(): ServiceVersion | undefined {
    return this.#state.kind === 'ready' ? this.#state.message : undefined;
  }

  /** Whether the guest owes an answer for too long. */
  get isSilent(): boolean {
    return this.#flight?.silent ?? false;
  }

  /**
   * Whether it is switched off for this VM, and how to switch it on. The device is taken from the bus, too, by whoever says so
   * (integration-services.ts).
   */
  set switchedOff(remedy: string | undefined) {
    this.#switchedOff = remedy;
  }

  get isSwitchedOff(): boolean {
    return this.#switchedOff !== undefined;
  }

  /** Whether nothing is under way or waiting. */
  get isIdle(): boolean {
    return this.#flight === undefined && this.#waiting.length === 0;
  }

  /** The service can be used from now on. */
  protected onReady(): void {}

  /** At each tick, while the service is ready. */
  protected onTick(_now: number): void {}

  /** The guest has closed the channel, or broken it. */
  protected onClosed(): void {}

  /**
   * Asks the guest.
   * @param patience milliseconds that the guest has
   * @throws PlinthError PL-3201 when it cannot be asked or does not answer
   */
  protected request(body: Uint8Array, patience: number): Promise<ServiceAnswer> {
    return new Promise((resolve, reject) => {
      this.#enqueue(body, patience, (outcome) => (outcome instanceof PlinthError ? reject(outcome) : resolve(outcome)));
    });
  }

  /** Asks the guest of the service's own accord; that no answer came shows in the status. */
  protected ask(body: Uint8Array, patience: number, answered: (answer: ServiceAnswer) => void): void {
    this.#enqueue(body, patience, (outcome) => {
      if (!(outcome instanceof PlinthError)) answered(outcome);
    });
  }

  #enqueue(body: Uint8Array, patience: number, settle: Request['settle']): void {
    if (this.#state.kind !== 'ready' || this.isSilent || this.isSwitchedOff) settle(this.#unusable());
    else if (this.#waiting.length >= WAITING_LIMIT) settle(this.#unusable('Too many requests wait for it already'));
    else {
      this.#waiting.push({ type: this.description.messageType, body, patience, settle });
      this.#sendNext();
    }
  }

  /** Lets time pass: requests that were not answered are given up. */
  tick(): void {
    const now = this.clock.milliseconds();
    const flight = this.#flight;
    if (flight !== undefined && !flight.silent && now - flight.sentAt > flight.request.patience) {
      flight.silent = true;
      flight.request.settle(this.#unusable());
      this.#giveUpWaiting();
    }
    if (this.#state.kind === 'ready') this.onTick(now);
  }

  // ---- as a device ----------------------------------------------------------------------------------------------------

  open(channel: Channel): 'accepted' | { readonly refused: string } {
    if (this.#channel !== undefined) return { refused: 'a service has one channel' };
    this.#start(channel);
    return 'accepted';
  }

  packet(channel: Channel, packet: Packet): 'done' {
    const message = unwrapPipeMessage(packet.data);
    const response = message === undefined ? 'a packet without a pipe header' : parseResponse(message);
    if (typeof response === 'string') {
      channel.fail(`the guest sent ${response} to the ${this.description.title} service`);
      return 'done';
    }
    const flight = this.#flight;
    if (
      flight === undefined ||
      response.transactionId !== flight.transactionId ||
      response.type !== flight.request.type
    ) {
      // An answer to a request of before a restore or a restart: nobody waits for it.
      this.#stale++;
      return 'done';
    }
    this.#flight = undefined;
    this.#answers++;
    if (response.type === MESSAGE_TYPE.negotiate) this.#negotiated(response);
    else if (!flight.silent) flight.request.settle({ status: response.status, body: response.body });
    this.#sendNext();
    return 'done';
  }

  writable(): void {
    this.#sendNext();
  }

  close(): 'closed' {
    this.#channel = undefined;
    this.#state = { kind: 'closed' };
    const flight = this.#flight;
    this.#flight = undefined;
    if (flight !== undefined && !flight.silent) flight.request.settle(this.#unusable());
    this.#giveUpWaiting();
    this.onClosed();
    return 'closed';
  }

  save(): unknown {
    return { version: SAVED_VERSION, nextTransactionId: this.#nextTransactionId };
  }

  restore(state: unknown, channels: readonly Channel[]): void {
    const saved = new SavedValue(this.name, state);
    saved.version(SAVED_VERSION);
    this.#nextTransactionId = saved.at('nextTransactionId').integer(1, 255);
    const [channel] = channels;
    if (channel !== undefined) this.#start(channel);
  }

  // ---- looking at it --------------------------------------------------------------------------------------------------

  status(): ServiceStatus {
    const { name, title } = this.description;
    const { condition, text, remedy } = this.#describe();
    const negotiated = condition === 'disabled' ? undefined : this.messageVersion;
    const version = negotiated === undefined ? null : serviceVersionText(negotiated);
    return { name, title, condition, version, text, remedy, operationalStatus: OPERATIONAL_STATUS[condition] };
  }

  inspect(): InspectTree {
    const { condition, version, text } = this.status();
    return {
      condition,
      version,
      text,
      waiting: this.#waiting.length + (this.#flight === undefined ? 0 : 1),
      answers: this.#answers,
      staleAnswers: this.#stale,
    };
  }

  #describe(): { readonly condition: ServiceCondition; readonly text: string; readonly remedy: string | null } {
    const { remedy, versions, title } = this.description;
    if (this.#switchedOff !== undefined) {
      return { condition: 'disabled', text: 'It is switched off for this VM', remedy: this.#switchedOff };
    }
    const state = this.#state;
    switch (state.kind) {
      case 'closed':
        return { condition: 'no-contact', text: `The guest has no driver that uses ${title}`, remedy };
      case 'negotiating':
        return this.clock.milliseconds() - state.since > NEGOTIATION_PATIENCE
          ? { condition: 'no-contact', text: 'The guest has the driver, but nothing in it answers', remedy }
          : { condition: 'negotiating', text: 'The host and the guest are agreeing on a version', remedy: null };
      case 'incompatible':
        return {
          condition: 'incompatible',
          text: `The guest knows none of the versions that this host has (${versions.map(serviceVersionText).join(', ')})`,
          remedy: 'a newer kernel or newer integration components in the guest',
        };
      default: {
        if (this.isSilent) return { condition: 'no-contact', text: 'The guest has stopped answering', remedy };
        const newest = versions.at(-1);
        return newest !== undefined && isOlder(state.message, newest)
          ? {
              condition: 'older-version',
              text: `Works with version ${serviceVersionText(state.message)}; this host has ${serviceVersionText(newest)}`,
              remedy: 'nothing, or a newer kernel in the guest',
            }
          : { condition: 'working', text: 'Works', remedy: null };
      }
    }
  }

  #unusable(why?: string): PlinthError {
    const { text, remedy } = this.#describe();
    return new PlinthError('PL-3201', {
      service: this.description.title,
      reason: why ?? text,
      remedy: remedy ?? 'the same command again in a few seconds',
    });
  }

  #start(channel: Channel): void {
    this.#channel = channel;
    this.#flight = undefined;
    this.#state = { kind: 'negotiating', since: this.clock.milliseconds() };
    this.#waiting = [
      {
        type: MESSAGE_TYPE.negotiate,
        body: buildNegotiation(this.description.versions),
        patience: Number.POSITIVE_INFINITY,
        settle: () => {},
      },
    ];
    this.#sendNext();
  }

  #negotiated(response: Response): void {
    const versions = parseNegotiation(response.body, this.description.versions);
    this.#state = versions === undefined ? { kind: 'incompatible' } : { kind: 'ready', ...versions };
    if (versions !== undefined) this.onReady();
  }

  #sendNext(): void {
    if (this.#flight !== undefined) return;
    const request = this.#waiting[0];
    if (request !== undefined && this.#fly(request)) this.#waiting.shift();
  }

  /** @returns whether the request is on its way or settled, and not to be tried again */
  #fly(request: Request): boolean {
    const channel = this.#channel;
    if (channel === undefined) return false;
    const transactionId = this.#nextTransactionId;
    const versions = this.#state.kind === 'ready' ? this.#state : undefined;
    const data = wrapPipeMessage(buildRequest(request.type, transactionId, versions, request.body));
    // Sending may close the channel, and with it settle everything: the flight must be known before.
    this.#flight = { request, transactionId, sentAt: this.clock.milliseconds(), silent: false };
    const sent = channel.send({ kind: 'in-band', transactionId: BigInt(transactionId) }, data);
    if (sent === 'full') this.#flight = undefined;
    else this.#nextTransactionId = (transactionId % 255) + 1;
    return sent !== 'full';
  }

  #giveUpWaiting(): void {
    const waiting = this.#waiting;
    this.#waiting = [];
    for (const request of waiting) request.settle(this.#unusable());
  }
}

/**
 * The channel protocol: one guest's connection, its channels and their GPADLs, as a state machine without I/O.
 *
 * A message goes in, actions come out; whoever holds the machine (vmbus.ts) carries them out in order and reports back what a
 * device said (`openCompleted`, `closeCompleted`, `gpadlReleased`).
 *
 *     disconnected ── InitiateContact ──> connected ── Unload, InitiateContact, reset ──> disconnecting ──> (next)
 *
 *     unoffered ─ RequestOffers ─> offered ─ OpenChannel ─> opening ─> open ─ CloseChannel ─> closing ─> offered
 *                                     │                                 │ guest breaks a rule: closing ─> broken
 *                                     └────────── rescind ──> rescinded ─ RelIdReleased ─> (gone, its id is free)
 *
 * Orders and answers are those of OpenVMM's vmbus_server and of what Linux's drivers/hv waits for. What is out of order is
 * reported as an event and changes nothing, except that the guest gets an answer wherever Linux would wait for one without end
 * (contact, GPADL, unload), and none where it relies on silence (an open that crosses a rescind).
 *
 * Invariants: a channel id belongs to one channel from its offer until the guest has released it and the device is closed; a
 * message never throws; memory taken is bounded. Called by: vmbus.ts.
 */
import { PlinthError } from '@plinth/errors';
import type { InspectTree } from '@plinth/hypervisor';
import { ChannelTable } from './channel-table.ts';
import type { Extent } from './gpa-ranges.ts';
import { GpadlTable } from './gpadl-table.ts';
import { judgeContact, ringOf, type ServerOptions } from './judgement.ts';
import {
  buildHostMessage,
  CHANNEL_LIMIT,
  type ContactRequest,
  type GuestMessage,
  NEWEST_VERSION,
  NO_PROCESSOR,
  type OpenRequest,
  parseGuestMessage,
  STATUS,
  signalConnectionId,
  VERSION,
  VMBUS_SINT,
  versionText,
} from './protocol.ts';
import { restoreChannelState, restoreGpadl, saveChannelState, saveGpadl } from './server-saved.ts';
import type {
  AfterClose,
  AfterDisconnect,
  ChannelOffer,
  ChannelState,
  Connected,
  ConnectionState,
  RestoredChannel,
  ServerAction,
  ServerChannel,
  VmbusEvent,
} from './server-types.ts';
import type { SavedServer } from './state.ts';

export class ChannelServer {
  readonly #options: ServerOptions;
  readonly #channels = new ChannelTable();
  readonly #gpadls: GpadlTable;
  #connection: ConnectionState = { kind: 'disconnected' };
  #actions: ServerAction[] = [];

  constructor(options: ServerOptions) {
    this.#options = options;
    this.#gpadls = new GpadlTable(options.isMemory);
  }

  get connection(): ConnectionState {
    return this.#connection;
  }

  get maximumVersion(): number {
    return this.#options.maximumVersion ?? NEWEST_VERSION;
  }

  channelState(offerId: number): ChannelState | undefined {
    return this.#channels.find(offerId)?.state;
  }

  offerOf(offerId: number): ChannelOffer | undefined {
    return this.#channels.find(offerId)?.offer;
  }

  /** The offer behind a channel id that the guest uses. */
  offerIdOf(channelId: number): number | undefined {
    return this.#channels.known(channelId)?.offerId;
  }

  gpadl(offerId: number, gpadlId: number): readonly (readonly Extent[])[] | undefined {
    const state = this.#channels.find(offerId)?.state;
    return state === undefined || state.kind === 'unoffered' ? undefined : this.#gpadls.ready(state.channelId, gpadlId);
  }

  // ---- the host's side ------------------------------------------------------------------------------------------------

  /** A new channel; the guest learns of it at once when it has asked for offers. */
  offer(offer: ChannelOffer): { readonly offerId: number; readonly actions: ServerAction[] } {
    const channel = this.#channels.add(offer);
    return { offerId: channel.offerId, actions: this.#run(() => this.#announce(channel)) };
  }

  /** Withdraws a channel and its subchannels. */
  rescind(offerId: number): ServerAction[] {
    return this.#run(() => this.#rescind(offerId));
  }

  /** The guest broke a rule of the ring: the channel is closed, and the guest may open it again after closing it. */
  breakChannel(offerId: number, problem: string): ServerAction[] {
    return this.#run(() => {
      const channel = this.#channels.find(offerId);
      if (channel?.state.kind === 'open') this.#break(channel, channel.state.channelId, problem);
    });
  }

  openCompleted(offerId: number, status: number): ServerAction[] {
    return this.#run(() => {
      const channel = this.#channels.find(offerId);
      if (channel?.state.kind !== 'opening') return;
      const { channelId, request } = channel.state;
      channel.state =
        status === STATUS.success
          ? { kind: 'open', channelId, request, targetProcessor: request.targetProcessor }
          : { kind: 'offered', channelId };
      this.#send(buildHostMessage('openChannelResult', { channelId, openId: request.openId, status }));
    });
  }

  closeCompleted(offerId: number): ServerAction[] {
    return this.#run(() => {
      const channel = this.#channels.find(offerId);
      if (channel?.state.kind !== 'closing') return;
      const { channelId, next } = channel.state;
      for (const gpadl of this.#gpadls.of(channelId)) {
        if (gpadl.state.kind !== 'tearing-down') continue;
        this.#gpadls.remove(gpadl);
        this.#send(buildHostMessage('gpadlTorndown', { gpadlId: gpadl.gpadlId }));
      }
      if (channel.offer.subchannelIndex === 0) this.#rescindSubchannels(channel);
      switch (next.kind) {
        case 'released':
          this.#release(channel, channelId);
          break;
        case 'reopen':
          channel.state = { kind: 'offered', channelId };
          this.#open(channel, channelId, next.request);
          break;
        case 'broken':
          channel.state = { kind: 'broken', channelId, problem: next.problem };
          break;
        default:
          channel.state = { kind: next.kind, channelId };
      }
      this.#settle();
    });
  }

  gpadlReleased(offerId: number, gpadlId: number): ServerAction[] {
    return this.#run(() => {
      const state = this.#channels.find(offerId)?.state;
      if (state === undefined || state.kind === 'unoffered') return;
      const gpadl = this.#gpadls.find(state.channelId, gpadlId);
      if (gpadl?.state.kind !== 'tearing-down') return;
      this.#gpadls.remove(gpadl);
      this.#send(buildHostMessage('gpadlTorndown', { gpadlId }));
    });
  }

  /** The virtual machine was reset: no answer is sent to anyone. */
  reset(): ServerAction[] {
    return this.#run(() => this.#disconnect({ kind: 'reset' }));
  }

  // ---- the guest's side -----------------------------------------------------------------------------------------------

  /** A message of the guest. @param payload any bytes */
  handle(payload: Uint8Array): ServerAction[] {
    return this.#run(() => this.#handle(parseGuestMessage(payload)));
  }

  #handle(message: GuestMessage) {
    if (message.kind === 'malformed') return this.#event(undefined, `The guest sent ${message.problem}`);
    if (message.kind === 'initiate-contact') return this.#contact(message.contact);
    if (message.kind === 'unload') return this.#unload();
    const connection = this.#connection;
    if (connection.kind !== 'connected') {
      // A driver that is unloaded releases its channels after it has ended the connection.
      if (message.kind === 'rel-id-released') return;
      return this.#event(undefined, `The guest sent ${message.kind} while ${connection.kind}`);
    }
    switch (message.kind) {
      case 'request-offers':
        return this.#requestOffers(connection);
      case 'gpadl-body':
        return this.#gpadlBody(message.gpadlId, message.data);
      case 'tl-connect-request': {
        // There is no socket provider, so every connection is refused, as by a host where nobody listens.
        const { endpointId, serviceId } = message;
        if (connection.version >= VERSION.windows10_4_1) {
          this.#send(buildHostMessage('tlConnectResult', { endpointId, serviceId, status: STATUS.connectionRefused }));
        }
        return;
      }
    }
    const channel = this.#channels.known(message.channelId);
    if (channel === undefined || channel.state.kind === 'unoffered') {
      // The answers that a driver would wait for; the number it named is all that is known of it.
      if (message.kind === 'gpadl-header')
        this.#gpadlCreated(message.channelId, message.gpadlId, STATUS.invalidParameter);
      return this.#event(
        undefined,
        `The guest sent ${message.kind} for channel ${message.channelId}, which it was not offered`,
      );
    }
    switch (message.kind) {
      case 'open-channel':
        return this.#openChannel(channel, channel.state, message.request);
      case 'close-channel':
        return this.#closeChannel(channel, channel.state);
      case 'gpadl-header':
        return this.#gpadlHeader(channel, channel.state, message);
      case 'gpadl-teardown':
        return this.#gpadlTeardown(channel, channel.state, message.gpadlId);
      case 'rel-id-released':
        return this.#relIdReleased(channel, channel.state);
      case 'modify-channel':
        return this.#modifyChannel(connection, channel, channel.state, message.targetProcessor);
    }
  }

  #contact(contact: ContactRequest): void {
    if (this.#connection.kind === 'disconnected') this.#connect(contact);
    else this.#disconnect({ kind: 'contact', contact });
  }

  #connect(contact: ContactRequest): void {
    const judged = judgeContact(contact, this.#options);
    this.#post(judged.processor, judged.sint, buildHostMessage('versionResponse', judged.response));
    if (judged.connected !== undefined) this.#connection = judged.connected;
    this.#event(undefined, judged.text, judged.level);
  }

  #unload(): void {
    const { processor, sint } =
      this.#connection.kind === 'connected' ? this.#connection : { processor: 0, sint: VMBUS_SINT };
    this.#disconnect({ kind: 'unload', processor, sint });
  }

  #disconnect(next: AfterDisconnect): void {
    this.#actions.push({ kind: 'drop-messages' });
    // First of all: nothing that is released below may be offered to the guest again.
    this.#connection = { kind: 'disconnecting', next };
    this.#gpadls.clear();
    for (const channel of [...this.#channels.all()]) {
      const { state } = channel;
      if (state.kind === 'unoffered') continue;
      if (state.kind === 'open' || state.kind === 'opening' || state.kind === 'closing') {
        if (state.kind !== 'closing') this.#actions.push({ kind: 'close', offerId: channel.offerId });
        channel.state = { kind: 'closing', channelId: state.channelId, next: { kind: 'released' } };
      } else this.#release(channel, state.channelId);
    }
    this.#settle();
  }

  /** Goes on after a disconnection once no device is closing any more. */
  #settle(): void {
    if (this.#connection.kind !== 'disconnecting') return;
    for (const { state } of this.#channels.all()) if (state.kind === 'closing') return;
    const { next } = this.#connection;
    this.#connection = { kind: 'disconnected' };
    if (next.kind === 'contact') this.#connect(next.contact);
    if (next.kind === 'unload') this.#post(next.processor, next.sint, buildHostMessage('unloadResponse', {}));
  }

  #requestOffers(connection: Connected) {
    if (connection.offersSent) return this.#event(undefined, 'The guest asked for offers a second time');
    this.#connection = { ...connection, offersSent: true };
    for (const channel of this.#channels.all()) this.#announce(channel);
    this.#send(buildHostMessage('allOffersDelivered', {}));
  }

  /** Tells the guest of a channel, if it wants to know and has forgotten an older one of the same name. */
  #announce(channel: ServerChannel) {
    if (this.#connection.kind !== 'connected' || !this.#connection.offersSent) return;
    if (channel.state.kind !== 'unoffered' || channel.gone) return;
    const { offer } = channel;
    if (this.#channels.isNameKnown(offer)) return;
    const channelId = this.#channels.makeKnown(channel);
    if (channelId === undefined) return this.#event(channel, `All ${CHANNEL_LIMIT} channel ids are in use`);
    this.#send(
      buildHostMessage('offerChannel', {
        interfaceId: offer.interfaceId,
        instanceId: offer.instanceId,
        flags: offer.flags,
        mmioMegabytes: offer.mmioMegabytes,
        userData: offer.userData,
        subchannelIndex: offer.subchannelIndex,
        channelId,
        monitorId: channel.monitorId ?? 0,
        monitorAllocated: channel.monitorId === undefined ? 0 : 1,
        isDedicatedInterrupt: 1,
        connectionId: signalConnectionId(channelId),
      }),
    );
  }

  #openChannel(channel: ServerChannel, state: ChannelState, request: OpenRequest) {
    switch (state.kind) {
      case 'offered':
        return this.#open(channel, state.channelId, request);
      case 'closing':
        if (state.next.kind === 'offered') channel.state = { ...state, next: { kind: 'reopen', request } };
        // After a rescind the guest relies on silence.
        else if (state.next.kind !== 'rescinded') this.#event(channel, 'The guest opened a channel that it had opened');
        return;
      case 'broken':
        this.#openFailed(state.channelId, request, STATUS.unsuccessful);
        return this.#event(channel, 'The guest opened a channel that it had not closed');
      case 'open':
      case 'opening':
        return this.#event(channel, 'The guest opened a channel that is open');
      default:
    }
  }

  #open(channel: ServerChannel, channelId: number, request: OpenRequest) {
    const ring = ringOf(this.#gpadls.ready(channelId, request.ringGpadlId), request, this.#options.processors);
    if (typeof ring === 'string') {
      this.#openFailed(channelId, request, STATUS.invalidParameter);
      return this.#event(channel, `The channel was not opened: ${ring}`);
    }
    channel.state = { kind: 'opening', channelId, request };
    const { offerId, monitorId } = channel;
    this.#actions.push({ kind: 'open', offerId, channelId, request, ring, monitorId });
  }

  #openFailed(channelId: number, { openId }: OpenRequest, status: number): void {
    this.#send(buildHostMessage('openChannelResult', { channelId, openId, status }));
  }

  #closeChannel(channel: ServerChannel, state: ChannelState): void {
    if (state.kind === 'open') this.#close(channel, state.channelId, { kind: 'offered' });
    else if (state.kind === 'broken') channel.state = { kind: 'offered', channelId: state.channelId };
    else if (state.kind === 'closing' && state.next.kind === 'broken') {
      channel.state = { ...state, next: { kind: 'offered' } };
    } else if (state.kind === 'offered' || state.kind === 'opening') {
      this.#event(channel, 'The guest closed a channel that is not open');
    }
    // A close that crosses a rescind is as it should be.
  }

  #close(channel: ServerChannel, channelId: number, next: AfterClose): void {
    channel.state = { kind: 'closing', channelId, next };
    this.#actions.push({ kind: 'close', offerId: channel.offerId });
  }

  #break(channel: ServerChannel, channelId: number, problem: string): void {
    this.#close(channel, channelId, { kind: 'broken', problem });
    this.#event(channel, `The channel was closed: ${problem}`);
  }

  #gpadlHeader(
    channel: ServerChannel,
    state: Exclude<ChannelState, { kind: 'unoffered' }>,
    message: Extract<GuestMessage, { kind: 'gpadl-header' }>,
  ) {
    const { gpadlId, rangeBytes, rangeCount, data } = message;
    const progress = this.#gpadls.header(state.channelId, gpadlId, rangeBytes, rangeCount, data);
    if (progress.kind === 'ready') this.#gpadlCreated(state.channelId, gpadlId, STATUS.success);
    if (progress.kind === 'refused') {
      this.#gpadlCreated(state.channelId, gpadlId, STATUS.invalidParameter);
      this.#event(channel, `GPADL ${gpadlId} was refused: ${progress.problem}`);
    }
  }

  #gpadlBody(gpadlId: number, data: Uint8Array) {
    const progress = this.#gpadls.body(gpadlId, data);
    if (progress === undefined)
      return this.#event(undefined, `The guest went on with GPADL ${gpadlId}, which it had not begun`);
    if (progress.kind === 'ready') this.#gpadlCreated(progress.gpadl.channelId, gpadlId, STATUS.success);
    if (progress.kind === 'refused') {
      this.#gpadlCreated(progress.channelId, gpadlId, STATUS.invalidParameter);
      this.#event(this.#channels.known(progress.channelId), `GPADL ${gpadlId} was refused: ${progress.problem}`);
    }
  }

  #gpadlCreated(channelId: number, gpadlId: number, status: number): void {
    this.#send(buildHostMessage('gpadlCreated', { channelId, gpadlId, status }));
  }

  #gpadlTeardown(channel: ServerChannel, state: Exclude<ChannelState, { kind: 'unoffered' }>, gpadlId: number) {
    const gpadl = this.#gpadls.find(state.channelId, gpadlId);
    if (gpadl?.state.kind !== 'ready') {
      return this.#event(channel, `The guest took back GPADL ${gpadlId}, which it had not lent`);
    }
    if (state.kind !== 'open' && state.kind !== 'closing') {
      this.#gpadls.remove(gpadl);
      return this.#send(buildHostMessage('gpadlTorndown', { gpadlId }));
    }
    gpadl.state = { kind: 'tearing-down', pages: gpadl.state.pages };
    // While it closes, the device still has hold of it: the answer follows when it is closed.
    if (state.kind === 'closing') return;
    if (state.request.ringGpadlId === gpadlId) {
      this.#break(channel, state.channelId, 'the guest took back its ring while it was open');
    } else this.#actions.push({ kind: 'gpadl-teardown', offerId: channel.offerId, gpadlId });
  }

  #relIdReleased(channel: ServerChannel, state: Exclude<ChannelState, { kind: 'unoffered' }>) {
    switch (state.kind) {
      case 'rescinded':
      case 'offered':
      case 'broken':
        return this.#release(channel, state.channelId);
      case 'closing':
        channel.state = { ...state, next: { kind: 'released' } };
        return;
      default:
        this.#event(channel, 'The guest released a channel that is open');
    }
  }

  #modifyChannel(connection: Connected, channel: ServerChannel, state: ChannelState, targetProcessor: number) {
    if (connection.version < VERSION.windows10_4_1) {
      return this.#event(channel, `The guest moved a channel, which VMBus ${versionText(connection.version)} cannot`);
    }
    const movable =
      state.kind === 'open' && state.targetProcessor !== NO_PROCESSOR && targetProcessor < this.#options.processors;
    if (movable) {
      channel.state = { ...state, targetProcessor };
      this.#actions.push({ kind: 'retarget', offerId: channel.offerId, processor: targetProcessor });
    } else this.#event(channel, `The guest cannot move this channel to processor ${targetProcessor}`);
    if (connection.version >= VERSION.windowsServer2022 && state.kind !== 'unoffered') {
      const status = movable ? STATUS.success : STATUS.unsuccessful;
      this.#send(buildHostMessage('modifyChannelResponse', { channelId: state.channelId, status }));
    }
  }

  // ---- shared ---------------------------------------------------------------------------------------------------------

  #rescind(offerId: number): void {
    const channel = this.#channels.find(offerId);
    if (channel === undefined || channel.gone) return;
    channel.gone = true;
    const { state } = channel;
    if (channel.offer.subchannelIndex === 0) this.#rescindSubchannels(channel);
    if (state.kind === 'unoffered') {
      this.#channels.remove(channel);
      return;
    }
    const { channelId } = state;
    if (state.kind === 'closing' && state.next.kind === 'released') return;
    this.#send(buildHostMessage('rescindChannelOffer', { channelId }));
    if (state.kind === 'open' || state.kind === 'opening') this.#close(channel, channelId, { kind: 'rescinded' });
    else if (state.kind === 'closing') channel.state = { ...state, next: { kind: 'rescinded' } };
    else channel.state = { kind: 'rescinded', channelId };
  }

  #rescindSubchannels(primary: ServerChannel): void {
    for (const { offerId, offer } of [...this.#channels.all()]) {
      if (offer.instanceId === primary.offer.instanceId && offer.subchannelIndex !== 0) this.#rescind(offerId);
    }
  }

  /** The guest knows the channel no more: its id is free. */
  #release(channel: ServerChannel, channelId: number): void {
    for (const gpadl of this.#gpadls.of(channelId)) this.#gpadls.remove(gpadl);
    this.#channels.forget(channel, channelId);
    // Subchannels belong to one opening of their device.
    if (channel.gone || channel.offer.subchannelIndex !== 0) this.#channels.remove(channel);
    // An offer of the same instance may have waited for this.
    for (const other of this.#channels.all()) {
      if (other !== channel && other.offer.instanceId === channel.offer.instanceId) this.#announce(other);
    }
  }

  #send(message: Uint8Array): void {
    if (this.#connection.kind === 'connected') this.#post(this.#connection.processor, this.#connection.sint, message);
  }

  #post(processor: number, sint: number, message: Uint8Array): void {
    this.#actions.push({ kind: 'send', processor, sint, message });
  }

  #event(channel: ServerChannel | undefined, text: string, level: VmbusEvent['level'] = 'warning'): void {
    const channelId = channel === undefined || channel.state.kind === 'unoffered' ? null : channel.state.channelId;
    this.#actions.push({ kind: 'event', event: { level, device: channel?.offer.name ?? null, channelId, text } });
  }

  #run(step: () => void): ServerAction[] {
    this.#actions = [];
    step();
    return this.#actions;
  }

  // ---- looking at it, saving it ---------------------------------------------------------------------------------------

  /** Channels that are known, with their states. */
  *channels(): IterableIterator<{
    offerId: number;
    offer: ChannelOffer;
    state: ChannelState;
    monitorId: number | undefined;
  }> {
    yield* this.#channels.all();
  }

  get gpadlCount(): number {
    return this.#gpadls.size;
  }

  inspectConnection(): InspectTree {
    const connection = this.#connection;
    if (connection.kind !== 'connected') return { state: connection.kind };
    const { version, processor, offersSent, parentToChildMonitorPage, childToParentMonitorPage } = connection;
    return {
      state: connection.kind,
      version: versionText(version),
      processor,
      offersSent,
      parentToChildMonitorPage: `0x${parentToChildMonitorPage.toString(16)}`,
      childToParentMonitorPage: `0x${childToParentMonitorPage.toString(16)}`,
      gpadls: this.#gpadls.size,
      lentPages: this.#gpadls.pages,
    };
  }

  /** Whether a device is still letting go of guest memory, which a saved state cannot express. */
  get isClosing(): boolean {
    return [...this.#channels.all()].some(({ state }) => state.kind === 'closing' || state.kind === 'opening');
  }

  /** @param indexes where the rings of an open channel stand */
  save(indexes: (offerId: number) => { readonly readIndex: number; readonly writeIndex: number }): SavedServer {
    return {
      connection: this.#connection.kind === 'connected' ? this.#connection : null,
      nextChannelId: this.#channels.nextChannelId,
      channels: [...this.#channels.allKnown()].map(([channelId, { offerId, offer, state, monitorId, gone }]) => ({
        interfaceId: offer.interfaceId,
        instanceId: offer.instanceId,
        subchannelIndex: offer.subchannelIndex,
        channelId,
        monitorId: monitorId ?? null,
        gone,
        state: saveChannelState(state, () => indexes(offerId)),
      })),
      gpadls: [...this.#gpadls.all()].map(saveGpadl),
    };
  }

  /**
   * Takes a saved state; the devices were offered before.
   * @returns the channels that are open again, and what is to be done: a channel whose device is not there is withdrawn
   */
  restore(saved: SavedServer): { readonly open: readonly RestoredChannel[]; readonly actions: ServerAction[] } {
    this.#connection =
      saved.connection === null ? { kind: 'disconnected' } : { kind: 'connected', ...saved.connection };
    this.#channels.restoreNextChannelId(saved.nextChannelId);
    for (const gpadl of saved.gpadls) this.#gpadls.restore(restoreGpadl(gpadl));
    const open: RestoredChannel[] = [];
    const lost: number[] = [];
    for (const one of saved.channels) {
      const { channel, hasDevice } = this.#channels.restore(one);
      const { channelId, state } = one;
      channel.state = restoreChannelState(channelId, state);
      if (!hasDevice && !one.gone) lost.push(channel.offerId);
      if (!hasDevice || channel.state.kind !== 'open' || state.kind !== 'open') continue;
      const { request } = channel.state;
      const ring = this.#gpadls.ready(channelId, request.ringGpadlId)?.[0];
      if (ring === undefined) {
        throw new PlinthError('PL-4104', { device: 'vmbus', problem: `channel ${channelId} is open without a ring` });
      }
      open.push({ ...channel.state, offerId: channel.offerId, ring, monitorId: channel.monitorId, indexes: state });
    }
    const actions = this.#run(() => {
      for (const offerId of lost) this.#rescind(offerId);
      for (const channel of [...this.#channels.all()]) this.#announce(channel);
    });
    return { open, actions };
  }
}

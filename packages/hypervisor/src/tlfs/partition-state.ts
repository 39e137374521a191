/**
 * What the interface keeps for the whole of a partition: who the guest says it is, where the hypercall and reference TSC pages lie, and
 * the guest's crash registers.
 *
 *     guest OS id 0: no hypercall page ──id set──> page may be enabled ──locked──> until the next reset it stays
 *
 * Answers to: TLFS, "Establishing the hypercall interface", "Reference TSC page", "Partition crash enlightenment".
 * Called by: synthetic-msrs.ts, guest-interface.ts.
 */
import type { InspectTree } from '../device.ts';
import type { Partition } from '../partition.ts';
import { describeState, type SharedState } from '../shared-state.ts';
import {
  CRASH_CAPABILITIES,
  CRASH_NOTIFY,
  CRASH_PARAMETERS,
  type GuestCrash,
  operatingSystem,
  readCrash,
} from './guest-crash.ts';
import { OVERLAY, type OverlayPages } from './overlay-pages.ts';
import { privilegeNames } from './privileges.ts';
import { ReferenceTime } from './reference-time.ts';
import { Words64 } from './words.ts';

const STATE = describeState(1, {
  guestOsId: { type: 'u32', length: 2 },
  hypercallPage: { type: 'u32', length: 2 },
  referenceTscPage: { type: 'u32', length: 2 },
  referenceTscSequence: 'u32',
  tscAdjust: { type: 'u32', length: 2 },
  crash: { type: 'u32', length: 2 * CRASH_PARAMETERS },
  crashes: 'u32',
});

/** The hypercall page's code: VMMCALL, RET; behind it breakpoints. */
const HYPERCALL_CODE = [0x0f, 0x01, 0xd9, 0xc3] as const;
const BREAKPOINT = 0xcc;
const ENABLED = 1n;
const LOCKED = 2n;
const WORD = 2 ** 32;

export class PartitionState {
  readonly partition: Partition;
  readonly overlays: OverlayPages;
  readonly time: ReferenceTime;
  readonly crashCapabilities = CRASH_CAPABILITIES;
  readonly #state: SharedState<(typeof STATE)['table']>;
  readonly #guestOsId: Words64;
  readonly #hypercallPage: Words64;
  readonly #referenceTscPage: Words64;
  readonly #tscAdjust: Words64;
  readonly #crash: Words64;

  constructor(partition: Partition, overlays: OverlayPages) {
    this.partition = partition;
    this.overlays = overlays;
    this.time = new ReferenceTime(partition);
    this.#state = partition.deviceArea.attach('hypervisor', STATE);
    const { values } = this.#state;
    this.#guestOsId = new Words64(values.guestOsId);
    this.#hypercallPage = new Words64(values.hypercallPage);
    this.#referenceTscPage = new Words64(values.referenceTscPage);
    this.#tscAdjust = new Words64(values.tscAdjust);
    this.#crash = new Words64(values.crash);
    if (this.#state.fresh) this.reset();
  }

  reset(): void {
    this.#state.clear();
    this.#placePages();
    const code = this.overlays.page(OVERLAY.hypercall, 'write').fill(BREAKPOINT);
    code.set(HYPERCALL_CODE);
    this.overlays.page(OVERLAY.referenceTsc, 'write').fill(0);
  }

  /** HV_PARTITION_PRIVILEGE_MASK of this partition. */
  get privileges(): bigint {
    return this.partition.privileges;
  }

  // ---- the hypercall interface -------------------------------------------------------------------------------------

  get guestOsId(): bigint {
    return this.#guestOsId.get();
  }

  setGuestOsId(value: bigint): void {
    this.#guestOsId.set(value);
    if (value !== 0n) return;
    this.#hypercallPage.set(this.#hypercallPage.get() & ~ENABLED);
    this.#placePages();
  }

  get hypercallPage(): bigint {
    return this.#hypercallPage.get();
  }

  setHypercallPage(value: bigint): void {
    if ((this.#hypercallPage.get() & LOCKED) !== 0n) return;
    this.#hypercallPage.set(this.guestOsId === 0n ? value & ~ENABLED : value);
    this.#placePages();
  }

  /** Whether the guest may make hypercalls now. */
  get hypercallsEnabled(): boolean {
    return (this.#hypercallPage.low() & 1) === 1;
  }

  // ---- reference time ----------------------------------------------------------------------------------------------

  get referenceTscPage(): bigint {
    return this.#referenceTscPage.get();
  }

  setReferenceTscPage(value: bigint): void {
    this.#referenceTscPage.set(value);
    if ((value & ENABLED) === ENABLED) this.#renewReferenceTsc();
    this.#placePages();
  }

  /** The guest has set its TSC: the page's offset is another one. */
  setTscAdjust(value: bigint): void {
    this.#tscAdjust.set(value);
    if ((this.#referenceTscPage.low() & 1) === 1) this.#renewReferenceTsc();
  }

  #renewReferenceTsc(): void {
    const { values } = this.#state;
    const next = (values.referenceTscSequence + 1) % WORD;
    values.referenceTscSequence = next === 0 ? 1 : next;
    const page = this.overlays.page(OVERLAY.referenceTsc, 'write');
    this.time.writePage(page, values.referenceTscSequence, this.#tscAdjust.get());
  }

  #placePages(): void {
    this.overlays.place(OVERLAY.hypercall, this.hypercallPage, 'rom');
    this.overlays.place(OVERLAY.referenceTsc, this.referenceTscPage, 'rom');
  }

  // ---- crash -------------------------------------------------------------------------------------------------------

  crashParameter(number: number): bigint {
    return this.#crash.get(number);
  }

  setCrashParameter(number: number, value: bigint): void {
    this.#crash.set(value, number);
  }

  writeCrashControl(value: bigint, host: { guestCrashed(crash: GuestCrash): void }): void {
    if ((value & CRASH_NOTIFY) === 0n) return;
    this.#state.values.crashes++;
    const parameters = Array.from({ length: CRASH_PARAMETERS }, (_, number) => this.#crash.get(number));
    host.guestCrashed(readCrash(value, parameters, this.guestOsId, this.partition.guestMemory));
  }

  // ------------------------------------------------------------------------------------------------------------------

  inspect(): InspectTree {
    const { values } = this.#state;
    const hexadecimal = (value: bigint): string => `0x${value.toString(16)}`;
    return {
      partitionId: hexadecimal(this.partition.partitionId),
      privileges: privilegeNames(this.privileges),
      guestOsId: hexadecimal(this.guestOsId),
      guestSystem: operatingSystem(this.guestOsId),
      hypercallPage: hexadecimal(this.hypercallPage),
      referenceTscPage: hexadecimal(this.referenceTscPage),
      referenceTscSequence: values.referenceTscSequence,
      referenceTime: this.time.now(),
      tscFrequency: Number(this.time.tscFrequency),
      crashes: values.crashes,
    };
  }

  save(): unknown {
    return this.#state.save();
  }

  /**
   * Restores the registers; the hypercall page's code is written anew, and the reference TSC page gets another sequence number.
   * @throws PlinthError PL-4103, PL-4104 for what `save` did not give
   */
  restore(saved: unknown): void {
    this.#state.restore(saved);
    if ((this.#referenceTscPage.low() & 1) === 1) this.#renewReferenceTsc();
    this.#placePages();
  }
}

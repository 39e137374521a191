/**
 * The local APIC of one virtual processor, as xAPIC page and x2APIC MSRs, with its timer.
 *
 * Registers are u32 words at L.APIC + 4 * (xAPIC offset / 16). IRR words are also set, atomically, by other threads
 * (src/interrupts.ts), which then set APIC_ATTENTION and the kick word. The timer counts nanoseconds (a bus of 1 GHz).
 * Answers to: AMD64 manual volume 2, chapter 16; Intel SDM volume 3, chapter 10 for x2APIC and TSC-deadline mode.
 * Called by physical-memory.ts (page), msr.ts (MSRs), control-registers.ts (CR8), run.ts (poll and delivery).
 */
import * as L from './generated/layout';
import { vp, forcePoll } from './state';
import { hostNow, hostEndOfInterrupt, hostSendInterrupt } from './host';

const ID: u32 = 0x02;
const VERSION: u32 = 0x03;
const TPR: u32 = 0x08;
const PPR: u32 = 0x0a;
const LDR: u32 = 0x0d;
const DFR: u32 = 0x0e;
const SVR: u32 = 0x0f;
const ISR: u32 = 0x10;
const TMR: u32 = 0x18;
const IRR: u32 = 0x20;
const ESR: u32 = 0x28;
const ICR_LOW: u32 = 0x30;
const ICR_HIGH: u32 = 0x31;
const LVT_TIMER: u32 = 0x32;
const LVT_THERMAL: u32 = 0x33;
const LVT_PERFORMANCE: u32 = 0x34;
const LVT_LINT0: u32 = 0x35;
const LVT_LINT1: u32 = 0x36;
const LVT_ERROR: u32 = 0x37;
const TIMER_INITIAL: u32 = 0x38;
const TIMER_CURRENT: u32 = 0x39;
const TIMER_DIVIDE: u32 = 0x3e;

const LVT_MASKED: u32 = 0x10000;
const NEVER: f64 = Infinity;
/** What an ESR write makes visible gathers in the word behind the registers. */
const ESR_PENDING: u32 = 0x3f;

// @ts-ignore: decorator
@inline
function get(register: u32): u32 {
  return load<u32>(vp + L.APIC + (register << 2));
}
// @ts-ignore: decorator
@inline
function set(register: u32, value: u32): void {
  store<u32>(vp + L.APIC + (register << 2), value);
}

/** Power-on or INIT state; `index` is the APIC id. */
export function apicReset(index: u32): void {
  memory.fill(vp + L.APIC, 0, 256);
  set(ID, index << 24);
  set(VERSION, 0x00050014);
  set(DFR, 0xffffffff);
  set(SVR, 0xff);
  for (let lvt = LVT_TIMER; lvt <= LVT_ERROR; lvt++) set(lvt, LVT_MASKED);
  // The boot processor takes the i8259 pair's interrupts, as firmware leaves it.
  if (index == 0) set(LVT_LINT0, 0x700);
  store<f64>(vp, NEVER, L.APIC_TIMER_DEADLINE);
  store<u64>(vp, 0, L.APIC_TSC_DEADLINE);
  store<u32>(vp, 0, L.APIC_ATTENTION);
}

function x2apic(): bool {
  return (load<u64>(vp, L.APIC_BASE) & 0xc00) == 0xc00;
}
export function apicEnabled(): bool {
  return (load<u64>(vp, L.APIC_BASE) & 0x800) != 0;
}
/** Software enable bit of the spurious vector register. */
function softwareEnabled(): bool {
  return (get(SVR) & 0x100) != 0;
}

/** Marks a vector as requested. */
export function requestVector(vector: u32, level: bool): void {
  if (vector < 16) {
    set(ESR_PENDING, get(ESR_PENDING) | 0x40);
    return;
  }
  const bit: u32 = 1 << (vector & 31);
  const tmr = vp + L.APIC + ((TMR + (vector >> 5)) << 2);
  if (level) atomic.or<u32>(tmr, bit);
  else atomic.and<u32>(tmr, ~bit);
  atomic.or<u32>(vp + L.APIC + ((IRR + (vector >> 5)) << 2), bit);
  store<u32>(vp, 1, L.APIC_ATTENTION);
}

function highest(bank: u32): i32 {
  for (let word: i32 = 7; word >= 0; word--) {
    const bits = get(bank + word);
    if (bits != 0) return word * 32 + 31 - <i32>clz(bits);
  }
  return -1;
}

function priority(): u32 {
  const tpr = get(TPR) & 0xff;
  const inService = highest(ISR);
  const isr: u32 = inService < 0 ? 0 : <u32>inService;
  return tpr >> 4 >= isr >> 4 ? tpr : isr & 0xf0;
}

/** @returns the vector that may be delivered now, or -1. Clears the attention word when there is none. */
export function deliverableVector(): i32 {
  store<u32>(vp, 0, L.APIC_ATTENTION);
  if (!apicEnabled() || !softwareEnabled()) return -1;
  const vector = highest(IRR);
  if (vector < 0) return -1;
  if (<u32>vector >> 4 <= priority() >> 4) return -1;
  return vector;
}

/** Moves a vector from requested to in service. */
export function acceptVector(vector: u32): void {
  const bit: u32 = 1 << (vector & 31);
  atomic.and<u32>(vp + L.APIC + ((IRR + (vector >> 5)) << 2), ~bit);
  // A vector with automatic EOI is never in service.
  if (!(load<u32>(vp + L.APIC_AUTOMATIC_EOI + ((vector >> 5) << 2)) & bit)) {
    const isr = ISR + (vector >> 5);
    set(isr, get(isr) | bit);
  }
  store<u32>(vp, 1, L.APIC_ATTENTION);
}

/** True when an ExtINT of the i8259 pair reaches this processor. */
export function externalInterruptAllowed(): bool {
  if (load<u32>(L.SHARED + L.SHARED_EXTERNAL_INTERRUPT) == 0) return false;
  if (!apicEnabled()) return true;
  const lint0 = get(LVT_LINT0);
  return (lint0 & LVT_MASKED) == 0 && (lint0 & 0x700) == 0x700;
}

function endOfInterrupt(): void {
  const vector = highest(ISR);
  if (vector < 0) return;
  const bit: u32 = 1 << (vector & 31);
  const word = <u32>vector >> 5;
  set(ISR + word, get(ISR + word) & ~bit);
  if ((get(TMR + word) | load<u32>(vp + L.APIC_EOI_NOTICE + (word << 2))) & bit) hostEndOfInterrupt(vector);
  store<u32>(vp, 1, L.APIC_ATTENTION);
  // Something of lower priority may have waited.
  forcePoll();
}

// ---- timer ----

function divisor(): f64 {
  const bits = (get(TIMER_DIVIDE) & 3) | ((get(TIMER_DIVIDE) >> 1) & 4);
  return bits == 7 ? 1 : <f64>(<u32>2 << bits);
}
function timerMode(): u32 {
  return (get(LVT_TIMER) >> 17) & 3;
}

function startTimer(): void {
  const initial = get(TIMER_INITIAL);
  if (timerMode() == 2) return;
  if (initial == 0) {
    store<f64>(vp, NEVER, L.APIC_TIMER_DEADLINE);
    return;
  }
  const now = hostNow();
  store<f64>(vp, now, L.APIC_TIMER_START);
  store<f64>(vp, now + <f64>initial * divisor(), L.APIC_TIMER_DEADLINE);
  forcePoll();
}

function currentCount(): u32 {
  if (timerMode() == 2) return 0;
  const deadline = load<f64>(vp, L.APIC_TIMER_DEADLINE);
  if (deadline == NEVER) return 0;
  const left = (deadline - hostNow()) / divisor();
  if (left > 0) return <u32>min(left, 4294967295.0);
  return 0;
}

/** Partition time at which the guest's TSC reaches a value. */
function timeOfTsc(tsc: u64): f64 {
  const offset = load<u64>(vp, L.TSC_OFFSET);
  return <f64>(tsc - offset) / load<f64>(L.SHARED + L.SHARED_TSC_PER_NANOSECOND);
}

export function tscDeadline(): u64 {
  return timerMode() == 2 ? load<u64>(vp, L.APIC_TSC_DEADLINE) : 0;
}
export function setTscDeadline(value: u64): void {
  if (timerMode() != 2) return;
  store<u64>(vp, value, L.APIC_TSC_DEADLINE);
  store<f64>(vp, value == 0 ? NEVER : timeOfTsc(value), L.APIC_TIMER_DEADLINE);
  forcePoll();
}

/** The timer's part of a poll. */
export function timerDue(now: f64): void {
  const lvt = get(LVT_TIMER);
  const mode = timerMode();
  if (mode == 1) {
    const period = <f64>get(TIMER_INITIAL) * divisor();
    let next = load<f64>(vp, L.APIC_TIMER_DEADLINE) + period;
    // Ticks that nobody could take are lost, as they are on a real processor with interrupts off.
    if (next < now) next = now + period;
    store<f64>(vp, next, L.APIC_TIMER_DEADLINE);
    store<f64>(vp, next - period, L.APIC_TIMER_START);
  } else {
    store<f64>(vp, NEVER, L.APIC_TIMER_DEADLINE);
    store<u64>(vp, 0, L.APIC_TSC_DEADLINE);
  }
  if (!(lvt & LVT_MASKED) && softwareEnabled()) requestVector(lvt & 0xff, false);
}

// ---- register access ----

function sendInterrupt(low: u32, destination: u32): void {
  const shorthand = (low >> 18) & 3;
  const delivery = (low >> 8) & 7;
  if (shorthand == 1) {
    if (delivery == 0) requestVector(low & 0xff, false);
    forcePoll();
    return;
  }
  hostSendInterrupt(low, destination);
  forcePoll();
}

function readRegister(register: u32): u32 {
  if (register == PPR) return priority();
  if (register == TIMER_CURRENT) return currentCount();
  if (register == ID && x2apic()) return get(ID) >> 24;
  if (register == LDR && x2apic()) {
    const id = get(ID) >> 24;
    return ((id >> 4) << 16) | (1 << (id & 15));
  }
  return register < ESR_PENDING ? get(register) : 0;
}

function writeRegister(register: u32, value: u32): void {
  switch (register) {
    case TPR:
      set(TPR, value & 0xff);
      store<u32>(vp, 1, L.APIC_ATTENTION);
      forcePoll();
      break;
    case 0x0b:
      endOfInterrupt();
      break;
    case LDR:
      set(LDR, value & 0xff000000);
      break;
    case DFR:
      set(DFR, value | 0x0fffffff);
      break;
    case SVR:
      set(SVR, value & 0x1ff);
      if (!(value & 0x100)) for (let lvt = LVT_TIMER; lvt <= LVT_ERROR; lvt++) set(lvt, get(lvt) | LVT_MASKED);
      store<u32>(vp, 1, L.APIC_ATTENTION);
      break;
    case ESR:
      set(ESR, get(ESR_PENDING));
      set(ESR_PENDING, 0);
      break;
    case ICR_LOW:
      set(ICR_LOW, value & 0xccfff);
      sendInterrupt(value, x2apic() ? get(ICR_HIGH) : get(ICR_HIGH) >> 24);
      break;
    case ICR_HIGH:
      set(ICR_HIGH, value);
      break;
    case LVT_TIMER: {
      const before = timerMode();
      set(LVT_TIMER, (value & 0x700ff) | (softwareEnabled() ? 0 : LVT_MASKED));
      if (before != timerMode()) {
        store<f64>(vp, NEVER, L.APIC_TIMER_DEADLINE);
        store<u64>(vp, 0, L.APIC_TSC_DEADLINE);
        set(TIMER_INITIAL, 0);
      }
      break;
    }
    case LVT_THERMAL:
    case LVT_PERFORMANCE:
    case LVT_LINT0:
    case LVT_LINT1:
    case LVT_ERROR:
      set(register, (value & 0x1a7ff) | (softwareEnabled() ? 0 : LVT_MASKED));
      forcePoll();
      break;
    case TIMER_INITIAL:
      if (timerMode() == 2) break;
      set(TIMER_INITIAL, value);
      startTimer();
      break;
    case TIMER_DIVIDE:
      set(TIMER_DIVIDE, value & 0xb);
      break;
    default:
      set(ESR_PENDING, get(ESR_PENDING) | 0x80);
  }
}

/** xAPIC page read: 32-bit registers at multiples of 16; narrower and wider accesses see the containing word. */
export function apicRead(offset: u32, size: u32): u64 {
  const word = readRegister(offset >> 4);
  const within = offset & 15;
  if (within >= 4) return 0;
  const value = <u64>word >> (within * 8);
  return size >= 8 ? value : value & ((<u64>1 << (size * 8)) - 1);
}
export function apicWrite(offset: u32, value: u32): void {
  if (offset & 15) return;
  writeRegister(offset >> 4, value);
}

/** x2APIC MSR 0x800 + register. @returns false for #GP. */
export function x2apicRead(register: u32): bool {
  if (!x2apic()) return false;
  let value: u64 = 0;
  if (register == 0x0b || register == 0x3f || register == DFR || register == ICR_HIGH) return false;
  const known =
    register == ID || register == VERSION || register == TPR || register == PPR || register == LDR || register == SVR ||
    (register >= ISR && register < ISR + 24) || register == ESR || register == ICR_LOW ||
    (register >= LVT_TIMER && register <= TIMER_CURRENT) || register == TIMER_DIVIDE;
  if (!known) return false;
  value = readRegister(register);
  if (register == ICR_LOW) value |= <u64>get(ICR_HIGH) << 32;
  x2apicValue = value;
  return true;
}
export let x2apicValue: u64 = 0;

export function x2apicWrite(register: u32, value: u64): bool {
  if (!x2apic()) return false;
  if (register == ICR_LOW) {
    set(ICR_HIGH, <u32>(value >> 32));
    writeRegister(ICR_LOW, <u32>value);
    return true;
  }
  if (value >> 32 != 0) return false;
  if (register == 0x3f) {
    requestVector(<u32>value & 0xff, false);
    forcePoll();
    return true;
  }
  if (register == 0x0b || register == ESR) {
    if (value != 0) return false;
    writeRegister(register, 0);
    return true;
  }
  const known =
    register == TPR || register == SVR || (register >= LVT_TIMER && register <= TIMER_INITIAL) || register == TIMER_DIVIDE;
  if (!known) return false;
  writeRegister(register, <u32>value);
  return true;
}

/** CR8 is the task priority's upper half. */
export function readCr8(): u64 {
  return (get(TPR) >> 4) & 15;
}
export function writeCr8(value: u64): void {
  writeRegister(TPR, <u32>(value & 15) << 4);
}

/** Writes APIC_BASE. @returns false for #GP (illegal transition or reserved bits). */
export function writeApicBase(value: u64, index: u32): bool {
  const before = load<u64>(vp, L.APIC_BASE);
  const physical = (<u64>1 << load<u32>(L.SHARED + L.SHARED_PHYSICAL_ADDRESS_BITS)) - 1;
  if ((value & ~(physical & ~0xfff) & ~0xd00) != 0) return false;
  const oldMode = before & 0xc00;
  const newMode = value & 0xc00;
  if (newMode == 0x400) return false;
  if (oldMode == 0xc00 && newMode == 0x800) return false;
  if (oldMode == 0 && newMode == 0xc00) return false;
  store<u64>(vp, (value & ~0x100) | (before & 0x100), L.APIC_BASE);
  if (newMode == 0 && oldMode != 0) apicReset(index);
  return true;
}

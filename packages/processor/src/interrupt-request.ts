/**
 * Interrupts for a processor's local APIC from any thread: sets request bits in the shared memory and wakes the processor.
 *
 * Answers to: AMD64 manual volume 2, section 16.6 (destinations and delivery modes); Intel SDM volume 3, section 10.12 for x2APIC
 * logical ids. Called by: the IOAPIC's and MSI's `deliver` callbacks, interprocessor interrupts.
 */
import type { InterruptMessage, MemoryLayout } from '@plinth/hypervisor';
import { STATE } from './state-layout.ts';

const APIC = { id: 0x02, ldr: 0x0d, dfr: 0x0e, svr: 0x0f, tmr: 0x18, irr: 0x20 } as const;
const DELIVERY = { fixed: 0, lowestPriority: 1, nmi: 4, init: 5, startup: 6 } as const;
const PENDING = { nmi: 1, init: 2, startup: 4 } as const;
/** Its sign is what code looks at. */
const REQUESTED = -1;
const BROADCAST_X2APIC = 0xffffffff;
const BROADCAST_XAPIC = 0xff;

function wordsOf(memory: WebAssembly.Memory, layout: MemoryLayout, index: number): Int32Array {
  return new Int32Array(memory.buffer, layout.processorsOffset + index * layout.processorStride, STATE.TLB_SETS / 4);
}

/**
 * The word that a halted processor sleeps on, for Atomics.wait: non-zero once somebody wants it.
 */
export function kickWord(memory: WebAssembly.Memory, layout: MemoryLayout, index: number): Int32Array {
  return wordsOf(memory, layout, index).subarray(STATE.KICK / 4, STATE.KICK / 4 + 1);
}

/** Wakes a processor, or makes its `run` return with `kicked`: at the next transfer between blocks, in a loop within one iteration. */
export function kickProcessor(memory: WebAssembly.Memory, layout: MemoryLayout, index: number): void {
  wake(wordsOf(memory, layout, index));
}

function matches(words: Int32Array, message: InterruptMessage): boolean {
  const register = (number: number): number => Atomics.load(words, STATE.APIC / 4 + number) >>> 0;
  const id = register(APIC.id) >>> 24;
  const x2apic = ((words[STATE.APIC_BASE / 4] ?? 0) & 0xc00) === 0xc00;
  const { destination } = message;
  if (destination === BROADCAST_X2APIC) return true;
  if (!message.logicalDestination) return destination === id || (!x2apic && destination === BROADCAST_XAPIC);
  if (x2apic) return destination >>> 16 === id >>> 4 && (destination & 0xffff & (1 << (id & 15))) !== 0;
  const logical = register(APIC.ldr) >>> 24;
  const flat = register(APIC.dfr) >>> 28 === 0xf;
  if (flat) return (logical & destination) !== 0;
  const cluster = destination >>> 4 === logical >>> 4 || destination >>> 4 === 0xf;
  return cluster && (logical & destination & 0xf) !== 0;
}

/**
 * Delivers an interrupt message to the processors it names.
 * @param except a processor that is left out (the ICR's "all but self")
 */
export function requestInterrupt(
  memory: WebAssembly.Memory,
  layout: MemoryLayout,
  message: InterruptMessage,
  except?: number,
): void {
  for (let index = 0; index < layout.processors; index++) {
    if (index === except) continue;
    const words = wordsOf(memory, layout, index);
    if (!matches(words, message)) continue;
    switch (message.deliveryMode) {
      case DELIVERY.nmi:
        Atomics.or(words, STATE.PENDING / 4, PENDING.nmi);
        break;
      case DELIVERY.init:
        Atomics.or(words, STATE.PENDING / 4, PENDING.init);
        break;
      case DELIVERY.startup:
        Atomics.or(words, STATE.PENDING / 4, PENDING.startup);
        break;
      default: {
        if (message.vector < 16) break;
        const word = message.vector >>> 5;
        const bit = 1 << (message.vector & 31);
        const trigger = STATE.APIC / 4 + APIC.tmr + word;
        if (message.levelTriggered) Atomics.or(words, trigger, bit);
        else Atomics.and(words, trigger, ~bit);
        Atomics.or(words, STATE.APIC / 4 + APIC.irr + word, bit);
        Atomics.store(words, STATE.APIC_ATTENTION / 4, 1);
      }
    }
    wake(words);
    if (message.deliveryMode === DELIVERY.lowestPriority) return;
  }
}

/** A request sets the kick word too, so that a processor about to sleep does not miss it; then one that runs is told to look. */
function wake(words: Int32Array): void {
  Atomics.store(words, STATE.KICK / 4, 1);
  Atomics.store(words, STATE.REQUEST / 4, REQUESTED);
  Atomics.notify(words, STATE.KICK / 4);
}

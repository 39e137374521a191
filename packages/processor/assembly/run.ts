/**
 * The run loop: dispatch of pre-decoded operations, control transfer between blocks, and the poll between them.
 *
 * One `switch` over the operation number; what it does not know goes to the general handlers. An operation that leaves its block
 * continues at one of the LEAVE operations (blocks.ts). L.RIP is valid at those, not within a block.
 *
 * A poll happens when the budget, counted down by operations at each transfer, is used up: it reads the clock, fires due timers,
 * takes interrupts, and looks at the kick word. Whatever may make an interrupt deliverable sets the budget to 0. Another thread that
 * posts an interrupt or a kick makes L.REQUEST negative, which each transfer looks at together with the budget (one load and one OR).
 * Called by engine.ts.
 */
import * as L from './generated/layout';
import { vp, forcePoll, forcePollNow, raise, SEG_SS, FLAG_IF, MODE_64, RSP, RBP, VECTOR_GP, VECTOR_SS, VECTOR_NMI, SHADOW_STACK, VECTOR_FERR,
} from './state';
import { GENERAL_BASE } from './decoder';
import {
  INTERPRET_ONE, INTERPRET_ONLY, TRANSLATE_AT_ONCE, jumpSlot, interpretSlot, lookUpSlow, singleBlock, leaveOperation, linearOf, LEAVE_DELIVER, LEAVE_EXIT, LEAVE_POLL,
  invalidateCode, arenaFlushes,
} from './blocks';
import { executeGeneral } from './general';
import { raiseAt, startRip } from './operands';
import { recordBranch, recordLinkedBranch } from './branches';
import { executeSystem, EXIT_HALT, EXIT_KICKED, EXIT_BUDGET, EXIT_STOP_POINT } from './system';
import { beginInstruction, raiseBreakpoints, raiseTraps } from './debug';
import { executeString } from './strings';
import { executeFpu, executeVector } from './vector-execute';
import { waitForInterrupt } from './math-fault';
import { executeMmx } from './mmx';
import { executeX87 } from './x87-execute';
import { executeExtension } from './extended';
import { FIRST_EXTENSION } from './generated/tables';
import { deliverFault, deliverInterrupt } from './interrupts';
import { takeAddressFault, isCanonical } from './memory';
import { flushAll, isCurrent } from './tlb';
import { isStopPoint } from './stop-points';
import { deliverableVector, acceptVector, externalInterruptAllowed, timerDue } from './apic';
import { Operation } from './generated/operations';
import { hostNow, hostDeadline, hostAcknowledge, hostTranslate } from './host';

/** Operations between two looks at the clock: about 20 microseconds. */
const POLL_INTERVAL: i32 = 4000;

const HOT_QUEUE_LIMIT: u32 = 1000;
/** Blocks that make a batch, and polls after which fewer do. */
const BATCH: u32 = 64;
let pollsSinceBatch: u32 = 0;

/** What is left of the caller's budget of instructions. */
let allowance: i64 = 0;

/** Counts the operations from the block's first up to `u`. */
// @ts-ignore: decorator
@inline
export function charge(u: usize, first: usize): void {
  store<i32>(vp, load<i32>(vp, L.BUDGET) - <i32>(((u - first) >> 4) + 1), L.BUDGET);
}

/** First operation at RIP, or a LEAVE operation. */
export function enter(rip: u64): usize {
  if ((load<i32>(vp, L.BUDGET) | load<i32>(vp, L.REQUEST)) < 0) {
    store<u64>(vp, rip, L.RIP);
    return leaveOperation(LEAVE_POLL);
  }
  return enterNow(rip);
}
function enterNow(rip: u64): usize {
  let block: usize = load<u32>(jumpSlot(rip));
  if (block == 0 || load<u64>(block, L.BLOCK_RIP) != rip || !isCurrent(load<u32>(block, L.BLOCK_GENERATION))) {
    store<u64>(vp, rip, L.RIP);
    block = lookUpSlow(rip, 0);
    if (block == 0) {
      store<u32>(vp, 0, L.FAULT_OPERATION);
      return leaveOperation(LEAVE_DELIVER);
    }
  }
  store<u64>(vp, rip, L.RIP_BASE);
  return block + L.BLOCK_FIRST_OPERATION;
}

/** Transfer by an operation that carries a link: looks its target up and links it. */
export function enterLinked(u: usize, target: u64): usize {
  if (!isCanonical(target)) return raiseAt(u, VECTOR_GP, 0);
  recordBranch(startRip(u), target, L.BRANCH_TAKEN);
  const flushes = arenaFlushes();
  const next = enter(target);
  if (next >= vp + L.ARENA && arenaFlushes() == flushes) store<u32>(u, <u32>next - L.BLOCK_FIRST_OPERATION, 12);
  return next;
}
/**
 * Transfer by a region's exit. A target that is not canonical raises as the transfer itself would have: the exception is the target's,
 * for there is no operation that made the transfer.
 */
export function enterExit(u: usize, address: u64): usize {
  // 32-bit addresses begin anew behind 4 GiB. No link is for an address beyond, so such exits always come here.
  const target = load<u32>(vp, L.MODE) & MODE_64 ? address : address & 0xffffffff;
  recordLinkedBranch(u, target);
  if (!isCanonical(target)) {
    store<u64>(vp, target, L.RIP);
    raise(VECTOR_GP, 0);
    store<u32>(vp, 0, L.FAULT_OPERATION);
    return leaveOperation(LEAVE_DELIVER);
  }
  const flushes = arenaFlushes();
  const next = enter(target);
  if (next >= vp + L.ARENA && arenaFlushes() == flushes) {
    store<u32>(u, <u32>next - L.BLOCK_FIRST_OPERATION, 12);
    // What the chain function goes on to by itself (chain.ts): a region of the module that the exit belongs to.
    const same = load<u16>(next) == <u16>L.LEAVE_TRANSLATED && load<u32>(next, 4) == load<u32>(u, 4);
    store<u16>(u, <u16>same, 2);
  }
  return next;
}
/** Transfer by an operation of the general handlers, charged already: near transfers of 32-bit code, and what changes the mode. */
export function enterCounted(rip: u64): usize {
  const next = enter(rip);
  if (next >= vp + L.ARENA) {
    const block = next - L.BLOCK_FIRST_OPERATION;
    const uses = load<u32>(block, L.BLOCK_USES) - 1;
    store<u32>(block, uses, L.BLOCK_USES);
    if (uses == 0) noteHot(block);
  }
  return next;
}
/** Transfer to a computed target. */
export function enterChecked(u: usize, target: u64): usize {
  if (!isCanonical(target)) return raiseAt(u, VECTOR_GP, 0);
  recordBranch(startRip(u), target, L.BRANCH_TAKEN);
  return enter(target);
}
/**
 * Block of the instruction at RIP that is never translated: what translated code leaves to the interpreter. `one`: just that instruction,
 * which has no translation, so that what follows it can have its own.
 */
export function enterInterpreted(rip: u64, one: bool): usize {
  if (load<i32>(vp, L.BUDGET) < 0) return leaveOperation(LEAVE_POLL);
  let kind: u32 = one ? INTERPRET_ONE : INTERPRET_ONLY;
  // What is behind the instruction is translated too.
  if (!one && load<u32>(vp, L.HOT_THRESHOLD) == TRANSLATE_AT_ONCE) kind |= INTERPRET_ONE;
  const block = blockFor(rip, kind);
  if (block == 0) {
    store<u32>(vp, 0, L.FAULT_OPERATION);
    return leaveOperation(LEAVE_DELIVER);
  }
  store<u64>(vp, rip, L.RIP_BASE);
  const count = vp + (one ? L.UNTRANSLATED_COUNTS : L.SIDE_EXIT_COUNTS) + (<u32>load<u16>(block, L.BLOCK_FIRST_OPERATION) << 2);
  store<u32>(count, load<u32>(count) + 1);
  return block + L.BLOCK_FIRST_OPERATION;
}
/** Block of one of the kinds that are only interpreted; 0 after a recorded fault. */
function blockFor(rip: u64, kind: u32): usize {
  const block: usize = load<u32>(interpretSlot(rip, kind));
  if (block == 0 || load<u64>(block, L.BLOCK_RIP) != rip || !isCurrent(load<u32>(block, L.BLOCK_GENERATION))) return lookUpSlow(rip, kind);
  return block;
}
/** A block has been entered often enough: it waits for translation. */
export function noteHot(block: usize): void {
  const queue = vp + L.HOT_QUEUE;
  const count = load<u32>(queue);
  if (count >= HOT_QUEUE_LIMIT) {
    store<u32>(block, 1, L.BLOCK_USES);
    return;
  }
  store<u32>(queue + 4 + count * 4, <u32>block);
  store<u32>(queue, count + 1);
}

/** Where to go on behind the operation before `u`. */
export function resumeRip(u: usize): u64 {
  const rip = load<u64>(vp, L.RIP_BASE) + load<u8>(u - 9);
  return load<u32>(vp, L.MODE) & MODE_64 ? rip : rip & 0xffffffff;
}
/** An address-size prefix on LEA. */
export function narrowOffset(offset: u64): u64 {
  return offset & (load<u32>(vp, L.MODE) & MODE_64 ? 0xffffffff : 0xffff);
}

/** Host threads wrote to pages with decoded code: drop what was decoded. */
function takeHostWrites(): void {
  const count = atomic.load<u32>(L.SHARED + L.SHARED_HOST_WRITE_COUNT);
  let seen = load<u32>(vp, L.HOST_WRITES_SEEN);
  if (seen == count) return;
  if (count - seen > L.HOST_WRITE_RING) {
    // The ring ran over: every page may have changed.
    const pages = (load<u32>(L.SHARED + L.SHARED_RAM_BYTES) >> 12) + load<u32>(L.SHARED + L.SHARED_OVERLAY_PAGES);
    for (let page: u32 = 0; page < pages; page++) invalidateCode(page, 0, 0x1000);
  } else {
    for (; seen != count; seen++) {
      invalidateCode(load<u32>(L.SHARED + L.SHARED_HOST_WRITES + (seen & (L.HOST_WRITE_RING - 1)) * 4), 0, 0x1000);
    }
  }
  store<u32>(vp, count, L.HOST_WRITES_SEEN);
}

/** Fires timers that are due. */
function takeTimers(): void {
  const now = hostNow();
  if (now >= load<f64>(vp, L.APIC_TIMER_DEADLINE)) timerDue(now);
  if (now >= load<f64>(vp, L.DEVICE_DEADLINE)) hostDeadline();
}

/** True when something would wake or interrupt the processor now. */
export function interruptPending(): bool {
  if (load<u32>(vp, L.PENDING) & 1) return true;
  if (!(load<u64>(vp, L.FLAGS) & FLAG_IF)) return false;
  return deliverableVector() >= 0 || externalInterruptAllowed();
}

/** Interrupts were just enabled: one that waits ends the budget. Timers that are due meanwhile are seen at the next poll, as always. */
export function interruptsEnabled(): void {
  if (interruptPending()) forcePoll();
}

/** Delivers one interrupt if one is due. @returns 0 none, 1 delivered, 2 the run is over */
function takeInterrupt(): u32 {
  const pending = load<u32>(vp, L.PENDING);
  if (pending & 1) {
    atomic.and<u32>(vp + L.PENDING, ~1);
    store<u32>(vp, 0, L.HALTED);
    return deliverInterrupt(VECTOR_NMI) ? 1 : 2;
  }
  if (!(load<u64>(vp, L.FLAGS) & FLAG_IF)) return 0;
  const vector = deliverableVector();
  if (vector >= 0) {
    store<u32>(vp, 0, L.HALTED);
    acceptVector(vector);
    return deliverInterrupt(vector) ? 1 : 2;
  }
  if (externalInterruptAllowed()) {
    store<u32>(vp, 0, L.HALTED);
    return deliverInterrupt(hostAcknowledge()) ? 1 : 2;
  }
  return 0;
}

function exitWith(reason: u32): usize {
  store<u32>(vp, reason, L.EXIT_REASON);
  return leaveOperation(LEAVE_EXIT);
}

/** Where a single step stands: not asked for, about to execute, done. */
const STEP_NONE: u32 = 0;
const STEP_ASKED: u32 = 1;
const STEP_DONE: u32 = 2;
let step: u32 = STEP_NONE;

/** The next run is one instruction, or the delivery of its exception: without interrupts, timers and the kick word. */
export function beginStep(): void {
  step = STEP_ASKED;
}
export function endStep(): void {
  step = STEP_NONE;
}

/** The instruction at `rip` alone, from a block that nothing else finds; RIP_BASE is set. */
function enterSingle(rip: u64): usize {
  const block = singleBlock(rip);
  if (block == 0) {
    store<u32>(vp, 0, L.FAULT_OPERATION);
    return leaveOperation(LEAVE_DELIVER);
  }
  store<u64>(vp, rip, L.RIP_BASE);
  return block + L.BLOCK_FIRST_OPERATION;
}

/** The first operation of a block at the offset of a stop point: stops there, or executes what stands there (stop-points.ts). */
export function atStopPoint(): usize {
  const rip = load<u64>(vp, L.RIP_BASE);
  store<u64>(vp, rip, L.RIP);
  const linear = linearOf(rip);
  if (!isStopPoint(linear)) {
    // With a poll behind it: the place of a single block is free for the next that is decoded, so nothing may be linked from it.
    forcePollNow();
    return enterSingle(rip);
  }
  store<u64>(vp, linear, L.EXIT_ADDRESS);
  store<u32>(vp, 0, L.EXIT_DETAIL);
  return exitWith(EXIT_STOP_POINT);
}

/** Between blocks: see the module header. L.RIP is where to go on. @returns the next operation. */
export function poll(): usize {
  const executed = <i64>(load<i32>(vp, L.GRANTED) - load<i32>(vp, L.BUDGET));
  allowance -= executed;
  store<u64>(vp, load<u64>(vp, L.INSTRUCTIONS) + executed, L.INSTRUCTIONS);
  store<i32>(vp, load<i32>(vp, L.BUDGET), L.GRANTED);
  // Before anything is looked at: what is posted from here on makes another poll.
  atomic.store<i32>(vp + L.REQUEST, 0);
  takeHostWrites();
  const watched = load<u32>(vp, L.WATCH_HIT);
  if (watched != 0) {
    store<u32>(vp, 0, L.WATCH_HIT);
    store<u32>(vp, watched, L.EXIT_DETAIL);
    return exitWith(EXIT_STOP_POINT);
  }
  if (step == STEP_DONE) return exitWith(EXIT_BUDGET);
  if (load<u32>(vp, L.SLOT_GENERATION_SEEN) != load<u32>(L.SHARED + L.SHARED_SLOT_GENERATION)) {
    store<u32>(vp, load<u32>(L.SHARED + L.SHARED_SLOT_GENERATION), L.SLOT_GENERATION_SEEN);
    flushAll();
  }
  if (step == STEP_ASKED) {
    step = STEP_DONE;
    // Used up before it begins: the next transfer comes back here.
    store<i32>(vp, -1, L.BUDGET);
    store<i32>(vp, -1, L.GRANTED);
    store<u32>(vp, 0, L.SHADOW);
    return enterSingle(load<u64>(vp, L.RIP));
  }
  takeTimers();
  const hot = load<u32>(vp + L.HOT_QUEUE);
  pollsSinceBatch++;
  const queueDue = hot >= BATCH || (hot != 0 && pollsSinceBatch >= load<u32>(vp, L.BATCH_POLLS));
  if (queueDue) pollsSinceBatch = 0;
  if (queueDue || atomic.load<u32>(vp + L.TRANSLATION_READY) != 0) hostTranslate(queueDue);
  if (atomic.load<i32>(vp + L.KICK) != 0) {
    atomic.store<i32>(vp + L.KICK, 0);
    return exitWith(EXIT_KICKED);
  }
  if (allowance <= 0) {
    return exitWith(EXIT_BUDGET);
  }
  if (load<u32>(vp, L.DEBUGGING) != 0) return debugPoll();
  grant();
  if (load<u32>(vp, L.SHADOW) != 0) {
    store<u32>(vp, 0, L.SHADOW);
    if (interruptPending()) {
      // The one instruction behind STI or MOV SS, alone, then the interrupt.
      store<i32>(vp, 0, L.BUDGET);
      store<i32>(vp, 0, L.GRANTED);
      return enterSingle(load<u64>(vp, L.RIP));
    }
    return enterNow(load<u64>(vp, L.RIP));
  }
  if (takeInterrupt() == 2) return leaveOperation(LEAVE_EXIT);
  return enterNow(load<u64>(vp, L.RIP));
}

/** Grants a budget until the next poll. */
function grant(): void {
  const granted = <i32>min<i64>(allowance, <i64>POLL_INTERVAL);
  store<i32>(vp, granted, L.BUDGET);
  store<i32>(vp, granted, L.GRANTED);
}

/** Delivers the exception that was raised between two instructions, and comes back to the poll. */
function deliverBetween(): usize {
  return deliverFault() ? leaveOperation(LEAVE_POLL) : leaveOperation(LEAVE_EXIT);
}

/** The end of a poll where instructions are looked at one by one: see debug.ts. In the order of APM volume 2, table 8-8. */
function debugPoll(): usize {
  const shadow = load<u32>(vp, L.SHADOW);
  store<u32>(vp, 0, L.SHADOW);
  if (raiseTraps(shadow)) return deliverBetween();
  if (shadow == 0 && takeInterrupt() == 2) return leaveOperation(LEAVE_EXIT);
  if (shadow != SHADOW_STACK && raiseBreakpoints()) return deliverBetween();
  const rip = load<u64>(vp, L.RIP);
  if (!beginInstruction()) {
    grant();
    return enterNow(rip);
  }
  // Whatever the instruction leads to is a poll.
  store<i32>(vp, -1, L.BUDGET);
  store<i32>(vp, -1, L.GRANTED);
  const block = blockFor(rip, INTERPRET_ONLY | INTERPRET_ONE);
  if (block == 0) {
    store<u32>(vp, 0, L.FAULT_OPERATION);
    return leaveOperation(LEAVE_DELIVER);
  }
  store<u64>(vp, rip, L.RIP_BASE);
  store<u64>(vp, rip + load<u8>(block + L.BLOCK_FIRST_OPERATION, 7), L.STEP_NEXT);
  return block + L.BLOCK_FIRST_OPERATION;
}

/** What `u`, a number beyond the loop's own, does. */
export function executeOther(u: usize, number: u32): usize {
  const general = number - GENERAL_BASE;
  const operation = general >> 3;
  if (operation >= FIRST_EXTENSION) return executeExtension(u, general);
  switch (operation) {
    case Operation.MOVS:
    case Operation.STOS:
    case Operation.LODS:
    case Operation.SCAS:
    case Operation.CMPS:
    case Operation.INS:
    case Operation.OUTS:
      return executeString(u, operation);
    // What system calls, faults and switches are made of: not asked for in the other files first.
    case Operation.STI:
    case Operation.SYSCALL:
    case Operation.SYSRET:
    case Operation.IRET:
    case Operation.RDTSC:
    case Operation.RDTSCP:
    case Operation.RDPKRU:
    case Operation.WRPKRU:
    case Operation.MOV_FROM_CR:
    case Operation.MOV_TO_CR:
    case Operation.RDMSR:
    case Operation.WRMSR:
    case Operation.INVLPG:
    case Operation.INVPCID:
      return executeSystem(u, general);
    case Operation.X87_ARITHMETIC:
    case Operation.X87_LOAD:
    case Operation.X87_STORE:
    case Operation.X87_MOVE:
    case Operation.X87_COMPARE:
    case Operation.X87_FLAGS:
    case Operation.X87_FUNCTION:
    case Operation.FNOP:
    case Operation.FFREE:
    case Operation.FINCSTP:
    case Operation.FDECSTP:
      return executeX87(u, operation);
    case Operation.FWAIT:
    case Operation.FLDCW:
    case Operation.FNSTCW:
    case Operation.FNSTSW_AX:
    case Operation.XSAVE:
    case Operation.XSAVEOPT:
    case Operation.XSAVEC:
    case Operation.XSAVES:
    case Operation.XRSTOR:
    case Operation.XRSTORS:
      return executeFpu(u, general);
  }
  let next = executeGeneral(u, general);
  if (next != 0) return next;
  next = executeSystem(u, general);
  if (next != 0) return next;
  next = executeFpu(u, general);
  if (next != 0) return next;
  next = executeMmx(u, general);
  if (next != 0) return next;
  return executeVector(u, general);
}

/** Delivers the exception of FAULT_OPERATION (0: of the fetch at L.RIP). */
export function deliver(): usize {
  const u: usize = load<u32>(vp, L.FAULT_OPERATION);
  const address = takeAddressFault();
  if (u != 0) {
    store<u64>(vp, load<u64>(vp, L.RIP_BASE) + load<u8>(u - 9), L.RIP);
    if (address && load<u32>(vp, L.FAULT_VECTOR) == VECTOR_GP) {
      const base = <u32>load<u8>(u, 4);
      const seg = (<u32>load<u8>(u, 6) >> 4) & 7;
      // Outside 64-bit mode the operand names its segment.
      if (load<u32>(vp, L.MODE) & MODE_64 ? seg == 0 && (base == RSP || base == RBP) : seg == SEG_SS + 1) raise(VECTOR_SS, 0);
    }
  }
  if (load<u32>(vp, L.FAULT_VECTOR) == VECTOR_FERR) return waitForInterrupt();
  if (!deliverFault()) return leaveOperation(LEAVE_EXIT);
  return enter(load<u64>(vp, L.RIP));
}

/** Counts what ran since the last poll, when the loop ends without one. */
export function settle(): void {
  const executed = <i64>(load<i32>(vp, L.GRANTED) - load<i32>(vp, L.BUDGET));
  store<u64>(vp, load<u64>(vp, L.INSTRUCTIONS) + executed, L.INSTRUCTIONS);
  store<i32>(vp, 0, L.GRANTED);
  store<i32>(vp, 0, L.BUDGET);
}

/** Starts a run. @returns 0 to go on with a poll, or the exit reason of a processor that stays halted. */
export function begin(instructions: f64): u32 {
  settle();
  allowance = instructions >= 9e18 ? i64.MAX_VALUE : <i64>instructions;
  if (load<u32>(vp, L.HALTED) == 0) return 0;
  takeTimers();
  if (interruptPending()) {
    store<u32>(vp, 0, L.SHADOW);
    return 0;
  }
  if (atomic.load<i32>(vp + L.KICK) != 0) {
    atomic.store<i32>(vp + L.KICK, 0);
    return EXIT_KICKED;
  }
  return EXIT_HALT;
}

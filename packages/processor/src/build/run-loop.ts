/**
 * Writes the run loop (assembly/generated/loop.ts): one function with one switch, its hot cases from hot-operations.ts.
 *
 * It is generated because AssemblyScript has no macros and a call per operation would cost more than the operation. What the loop
 * calls, and what a poll and the LEAVE operations mean, stands in assembly/run.ts and assembly/blocks.ts.
 */
import { HOT_OPERATIONS } from './hot-operations.ts';
import { LEAVE_OPERATIONS } from './leave-operations.ts';

const HEADER = `
import * as L from './layout';
import { vp, MODE_64 } from '../state';
import { specialAddress, readSlow, writeSlow, commitWrite, isCanonical } from '../memory';
import { carry, zero, sign, less, parity, overflow } from '../flags';
import { fault, raiseAt } from '../operands';
import { stackFault } from '../stack';
import { multiplyHighSigned } from '../multiply';
import { leaveOperation, LEAVE_EXIT, LEAVE_GO, LEAVE_POLL } from '../blocks';
import { enterTranslated, recordBranch, recordComputedExit, recordExit, recordLinkedBranch } from '../branches';
import { atStopPoint, begin, charge, deliver, enter, enterCounted, enterExit, enterInterpreted, enterLinked, enterChecked, noteHot, executeOther, narrowOffset, poll, resumeRip } from '../run';

/** Runs until an exit. @returns the exit reason. */
export function runLoop(instructions: f64): u32 {
  const reason = begin(instructions);
  if (reason != 0) return reason;
  const s: usize = vp;
  let u = leaveOperation(LEAVE_POLL);
  let first = u;
  while (true) {
    const number = <u32>load<u16>(u);
    switch (number) {
`;

/** LEAVE_DELIVER, LEAVE_RESYNC, LEAVE_EXIT, LEAVE_POLL, LEAVE_NEXT of blocks.ts, then everything that is not hot. */
const FOOTER = `
      case LEAVE_DELIVER_NUMBER: {
        const operation: usize = load<u32>(s, L.FAULT_OPERATION);
        if (operation > first) charge(operation - 16, first);
        u = deliver();
        first = u;
        continue;
      }
      case LEAVE_RESYNC_NUMBER:
      case LEAVE_NEXT_NUMBER: {
        if (u > first) charge(u - 16, first);
        u = enter(resumeRip(u));
        first = u;
        continue;
      }
      case LEAVE_EXIT_NUMBER:
        return load<u32>(s, L.EXIT_REASON);
      case LEAVE_POLL_NUMBER:
        u = poll();
        first = u;
        continue;
      case LEAVE_INTERPRET_NUMBER:
        u = enterInterpreted(load<u64>(s, L.RIP), false);
        first = u;
        continue;
      case LEAVE_INTERPRET_ONE_NUMBER:
        u = enterInterpreted(load<u64>(s, L.RIP), true);
        first = u;
        continue;
      case LEAVE_COMPUTED_NUMBER:
        // A region's branch to L.RIP.
        recordBranch(load<u64>(s, L.BRANCH_SOURCE), load<u64>(s, L.RIP), L.BRANCH_TAKEN);
      case LEAVE_JUMP_NUMBER: {
        const target = load<u64>(s, L.RIP);
        const link: usize = load<u32>(s + L.JUMP_CACHE + ((<u32>(target ^ (target >> 12)) & (L.JUMP_ENTRIES - 1)) << 2));
        if ((load<i32>(s, L.BUDGET) | load<i32>(s, L.REQUEST)) >= 0 && link != 0 && load<u64>(link, L.BLOCK_RIP) == target && (load<u32>(link, L.BLOCK_GENERATION) == load<u32>(s, L.GENERATION) || load<u32>(link, L.BLOCK_GENERATION) == load<u32>(s, L.GLOBAL_GENERATION))) {
          const uses = load<u32>(link, L.BLOCK_USES) - 1;
          store<u32>(link, uses, L.BLOCK_USES);
          if (uses == 0) noteHot(link);
          store<u64>(s, target, L.RIP_BASE);
          u = link + L.BLOCK_FIRST_OPERATION;
        } else u = enter(target);
        first = u;
        continue;
      }
      case LEAVE_LINK_NUMBER: {
        // A region's direct exit, charged already.
        const target = load<u64>(s, L.RIP_BASE) + <u64>(<i64>load<i32>(u, 8));
        const link: usize = load<u32>(u, 12);
        if ((load<i32>(s, L.BUDGET) | load<i32>(s, L.REQUEST)) >= 0 && link != 0 && load<u64>(link, L.BLOCK_RIP) == target && (load<u32>(link, L.BLOCK_GENERATION) == load<u32>(s, L.GENERATION) || load<u32>(link, L.BLOCK_GENERATION) == load<u32>(s, L.GLOBAL_GENERATION))) {
          recordLinkedBranch(u, target);
          const uses = load<u32>(link, L.BLOCK_USES) - 1;
          store<u32>(link, uses, L.BLOCK_USES);
          if (uses == 0) noteHot(link);
          store<u64>(s, target, L.RIP_BASE);
          u = link + L.BLOCK_FIRST_OPERATION;
        } else u = enterExit(u, target);
        first = u;
        continue;
      }
      case LEAVE_STOP_POINT_NUMBER:
        u = atStopPoint();
        first = u;
        continue;
      case LEAVE_RESTING_NUMBER:
        // A region that is entered for the first time since it was put to rest.
        store<u16>(u, <u16>L.LEAVE_TRANSLATED);
        continue;
      case LEAVE_TRANSLATED_NUMBER: {
        // A region, and those that it leads to: they come back with the operation to go on with.
        // A poll that is forced meanwhile changes both words, and not what was executed.
        const before = load<i32>(s, L.GRANTED) - load<i32>(s, L.BUDGET);
        enterTranslated();
        let slot = load<u32>(u, 12);
        for (;;) {
          u = call_indirect<u32>(slot, s);
          let target: u64 = 0;
          let link: usize = 0;
          const exit = load<u16>(u);
          if (exit == <u16>L.LEAVE_LINK) {
            target = load<u64>(s, L.RIP_BASE) + <u64>(<i64>load<i32>(u, 8));
            link = load<u32>(u, 12);
          } else if (exit == <u16>L.LEAVE_COMPUTED || exit == <u16>L.LEAVE_JUMP) {
            // Half of all passes are returns and indirect calls: one entry tells all, where the jump cache leads to a block first.
            target = load<u64>(s, L.RIP);
            const hash = <u32>(target ^ (target >> 12));
            const cached = s + L.REGION_CACHE + ((hash & (L.REGION_CACHE_ENTRIES - 1)) << 4);
            if (load<u64>(cached) == target && (load<i32>(s, L.BUDGET) | load<i32>(s, L.REQUEST)) >= 0) {
              const generation = load<u32>(cached, 8);
              if (generation == load<u32>(s, L.GENERATION) || generation == load<u32>(s, L.GLOBAL_GENERATION)) {
                recordComputedExit(exit == <u16>L.LEAVE_COMPUTED, target);
                store<u64>(s, target, L.RIP_BASE);
                slot = load<u32>(cached, 12);
                continue;
              }
            }
            link = load<u32>(s + L.JUMP_CACHE + ((hash & (L.JUMP_ENTRIES - 1)) << 2));
          } else break;
          if ((load<i32>(s, L.BUDGET) | load<i32>(s, L.REQUEST)) < 0 || link == 0 || load<u64>(link, L.BLOCK_RIP) != target) break;
          const generation = load<u32>(link, L.BLOCK_GENERATION);
          if (generation != load<u32>(s, L.GENERATION) && generation != load<u32>(s, L.GLOBAL_GENERATION)) break;
          if (load<u16>(link, L.BLOCK_FIRST_OPERATION) != <u16>L.LEAVE_TRANSLATED) break;
          if (exit == <u16>L.LEAVE_LINK) recordExit(u, target);
          else recordComputedExit(exit == <u16>L.LEAVE_COMPUTED, target);
          store<u64>(s, target, L.RIP_BASE);
          slot = load<u32>(link, L.BLOCK_FIRST_OPERATION + 12);
          if (exit != <u16>L.LEAVE_LINK) {
            const cached = s + L.REGION_CACHE + ((<u32>(target ^ (target >> 12)) & (L.REGION_CACHE_ENTRIES - 1)) << 4);
            store<u64>(cached, target);
            store<u32>(cached, generation, 8);
            store<u32>(cached, slot, 12);
            store<u32>(s, 1, L.REGION_CACHE_USED);
          }
        }
        const executed = load<i32>(s, L.GRANTED) - load<i32>(s, L.BUDGET) - before;
        store<u64>(s, load<u64>(s, L.TRANSLATED) + <u64>(<i64>executed), L.TRANSLATED);
        first = u;
        continue;
      }
      default: {
        const next = executeOther(u, number);
        if (next == leaveOperation(LEAVE_GO)) {
          charge(u, first);
          u = enterCounted(load<u64>(s, L.RIP));
          first = u;
        } else {
          // HLT and what is absent leave without a transfer.
          if (next == leaveOperation(LEAVE_EXIT) || next == leaveOperation(LEAVE_POLL)) charge(u, first);
          u = next;
        }
        continue;
      }
    }
    u += 16;
  }
}
`;

/** Operations that transfer to a target of their own, with a link to its block in their last four bytes. */
const isTransfer = ({ name }: { readonly name: string }): boolean =>
  name === 'JMP' || name === 'CALL' || name.startsWith('JCC_');

/** @returns AssemblyScript source of a function that knows those operations by their numbers. */
export function transfersSource(): string {
  const cases = HOT_OPERATIONS.flatMap((operation, index) =>
    isTransfer(operation) ? [`    case ${index + 1}:\n`] : [],
  );
  return `/** Whether an operation transfers to a target of its own: i32 distance from the block at 8, link at 12. */
export function isTransfer(number: u32): bool {
  switch (number) {
${cases.join('')}      return true;
    default:
      return false;
  }
}
`;
}

export const FIRST_LEAVE = HOT_OPERATIONS.length + 1;

/** @returns AssemblyScript source. */
export function runLoopSource(): string {
  const cases = HOT_OPERATIONS.map(
    ({ name, body }, index) =>
      `      // ${name}\n      case ${index + 1}: {\n${body}\n${body.trimEnd().endsWith('continue;') ? '' : 'break;\n'}      }\n`,
  ).join('');
  let footer = FOOTER;
  LEAVE_OPERATIONS.forEach((name, index) => {
    footer = footer.replace(`LEAVE_${name}_NUMBER`, String(FIRST_LEAVE + index));
  });
  return HEADER + cases + footer;
}

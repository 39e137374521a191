/**
 * Function 0 of every module: from one region to the next without the run loop.
 *
 * A region that is left by an exit which the run loop has linked to a region of the same module tail-calls `chain (processor's block, operation to
 * go on with)` with its state stored. When that region may be entered under the current generation, the chain goes on there by a tail call;
 * otherwise the operation itself is the answer. What it goes on by is recorded as a branch, as the run loop does it (assembly/branches.ts,
 * recordExit). All other exits, of which most lead to other modules, answer their operation at once, and the run
 * loop does what it says: a module's own copy of this function is seldom optimized.
 *
 * Invariant: nothing is entered with the budget used up or a request of another thread, so polls are never missed.
 * Answers to: the layout of blocks and exits in assembly/blocks.ts. Called by: translator.ts.
 */
import { BLOCK, BRANCH, STATE } from '../state-layout.ts';
import { type FunctionWriter, I32, I64, OP, VOID } from './wasm-encoder.ts';

/** Numbers and addresses of the run loop that the chain compares with. */
export interface ChainHost {
  /** Number of the operation that calls a region. */
  readonly translated: number;
  /** Identity of the module; never used twice. */
  readonly module: number;
}

const LINK = { displacement: 8, target: 12 } as const;
/** Mark of an exit (its second u16) that is linked to a region of its own module (assembly/run.ts, enterExit). */
const SAME_MODULE = 1;
/** First word of such an exit. @param leaveLink number of a linked exit's operation */
export function chainedLink(leaveLink: number): number {
  return leaveLink | (SAME_MODULE << 16);
}
const INDEX = BLOCK.FIRST_OPERATION + 8;

/** Writes the function (i32 processor, i32 operation) -> i32 operation. */
export function writeChain(code: FunctionWriter, host: ChainHost): void {
  code.begin(2);
  const processor = 0;
  const operation = 1;
  const block = code.local(I32);
  const generation = code.local(I32);
  const target = code.local(I64);
  const record = generation;
  code.op2(OP.block, VOID);
  code.get(processor);
  code.memory(OP.i32_load, STATE.BUDGET);
  code.get(processor);
  code.memory(OP.i32_load, STATE.REQUEST);
  code.op(OP.i32_or);
  code.i32(0);
  code.op(OP.i32_lt_s);
  code.branch(OP.br_if, 0);
  code.get(operation);
  code.memory(OP.i32_load, LINK.target);
  code.set(block);
  code.get(processor);
  code.memory(OP.i64_load, STATE.RIP_BASE);
  code.get(operation);
  code.memory(OP.i64_load32_s, LINK.displacement);
  code.op(OP.i64_add);
  code.set(target);

  code.get(block);
  code.memory(OP.i64_load, BLOCK.RIP);
  code.get(target);
  code.op(OP.i64_ne);
  code.branch(OP.br_if, 0);
  code.get(block);
  code.memory(OP.i32_load, BLOCK.GENERATION);
  code.tee(generation);
  code.get(processor);
  code.memory(OP.i32_load, STATE.GENERATION);
  code.op(OP.i32_ne);
  code.get(generation);
  code.get(processor);
  code.memory(OP.i32_load, STATE.GLOBAL_GENERATION);
  code.op2(OP.i32_ne, OP.i32_and);
  code.branch(OP.br_if, 0);
  // The operation's number, two bytes that are zero, and the module.
  code.get(block);
  code.memory(OP.i64_load, BLOCK.FIRST_OPERATION);
  code.i64((BigInt(host.module) << 32n) | BigInt(host.translated));
  code.op(OP.i64_ne);
  code.branch(OP.br_if, 0);
  code.get(processor);
  code.get(processor);
  code.memory(OP.i32_load, STATE.BRANCH_NEXT);
  code.op(OP.i32_add);
  code.tee(record);
  code.get(target);
  code.memory(OP.i64_store, STATE.BRANCHES + BRANCH.TO);
  code.get(record);
  code.get(operation);
  code.memory(OP.i32_store, STATE.BRANCHES + BRANCH.EXIT);
  code.get(processor);
  code.get(record);
  code.get(processor);
  code.op(OP.i32_sub);
  code.i32(BRANCH.BYTES);
  code.op(OP.i32_add);
  code.i32(BRANCH.BYTES * BRANCH.COUNT - 1);
  code.op(OP.i32_and);
  code.memory(OP.i32_store, STATE.BRANCH_NEXT);
  code.get(processor);
  code.get(target);
  code.memory(OP.i64_store, STATE.RIP_BASE);
  code.get(processor);
  code.get(block);
  code.memory(OP.i32_load, INDEX);
  code.tailCallRegion();
  code.op(OP.end);
  code.get(operation);
}

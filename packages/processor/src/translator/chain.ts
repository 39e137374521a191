/**
 * Function 0 of every module: from one region to the next without the run loop.
 *
 * A region that is left tail-calls `chain (processor's block, operation to go on with)` with its state stored. When the operation is a
 * linked exit, or a computed jump with an entry in the jump cache, and the target is a region that may be entered under the current
 * generation, the chain goes on there: by a tail call when the region is of the same module, else through the run loop, which calls it
 * at once. In all other cases the operation itself is the answer and the run loop does what it says.
 *
 * Invariant: nothing is entered with the budget used up or a request of another thread, so polls are never missed.
 * Answers to: the layout of blocks and exits in assembly/blocks.ts. Called by: translator.ts.
 */
import { BLOCK, JUMP_ENTRIES, STATE } from '../state-layout.ts';
import { type FunctionWriter, I32, I64, OP, VOID } from './wasm-encoder.ts';

/** Numbers and addresses of the run loop that the chain compares with. */
export interface ChainHost {
  /** Number of the operation that calls a region. */
  readonly translated: number;
  /** Address of the operation for computed jumps, relative to the processor's block. */
  readonly leaveJump: number;
  /** Identity of the module; never used twice. */
  readonly module: number;
}

const LINK = { displacement: 8, target: 12 } as const;
const INDEX = BLOCK.FIRST_OPERATION + 8;

/** Writes the function (i32 processor, i32 operation) -> i32 operation. */
export function writeChain(code: FunctionWriter, host: ChainHost): void {
  code.begin(2);
  const processor = 0;
  const operation = 1;
  const block = code.local(I32);
  const generation = code.local(I32);
  const target = code.local(I64);
  const kind = code.local(I64);
  code.op2(OP.block, VOID);
  code.get(processor);
  code.memory(OP.i32_load, STATE.BUDGET);
  code.get(processor);
  code.memory(OP.i32_load, STATE.REQUEST);
  code.op(OP.i32_or);
  code.i32(0);
  code.op(OP.i32_lt_s);
  code.branch(OP.br_if, 0);

  code.op2(OP.block, VOID);
  code.op2(OP.block, VOID);
  // Only exits have a link.
  code.get(operation);
  code.memory(OP.i32_load, LINK.target);
  code.tee(block);
  code.op(OP.i32_eqz);
  code.branch(OP.br_if, 0);
  code.get(processor);
  code.memory(OP.i64_load, STATE.RIP_BASE);
  code.get(operation);
  code.memory(OP.i64_load32_s, LINK.displacement);
  code.op(OP.i64_add);
  code.set(target);
  code.branch(OP.br, 1);
  code.op(OP.end);
  code.get(operation);
  code.get(processor);
  code.i32(host.leaveJump);
  code.op2(OP.i32_add, OP.i32_ne);
  code.branch(OP.br_if, 1);
  code.get(processor);
  code.get(processor);
  code.memory(OP.i64_load, STATE.RIP);
  code.tee(target);
  code.get(target);
  code.i64(12);
  code.op3(OP.i64_shr_u, OP.i64_xor, OP.i32_wrap);
  code.i32(JUMP_ENTRIES - 1);
  code.op(OP.i32_and);
  code.i32(2);
  code.op2(OP.i32_shl, OP.i32_add);
  code.memory(OP.i32_load, STATE.JUMP_CACHE);
  code.tee(block);
  code.op(OP.i32_eqz);
  code.branch(OP.br_if, 1);
  code.op(OP.end);

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
  code.tee(kind);
  code.i64((BigInt(host.module) << 32n) | BigInt(host.translated));
  code.op3(OP.i64_eq, OP.if, VOID);
  code.get(processor);
  code.get(target);
  code.memory(OP.i64_store, STATE.RIP_BASE);
  code.get(processor);
  code.get(block);
  code.memory(OP.i32_load, INDEX);
  code.tailCallRegion();
  code.op(OP.end);
  code.get(kind);
  code.op(OP.i32_wrap);
  code.i32(host.translated);
  code.op(OP.i32_ne);
  code.branch(OP.br_if, 0);
  code.get(processor);
  code.get(target);
  code.memory(OP.i64_store, STATE.RIP_BASE);
  code.get(block);
  code.i32(BLOCK.FIRST_OPERATION);
  code.op2(OP.i32_add, OP.return);
  code.op(OP.end);
  code.get(operation);
}

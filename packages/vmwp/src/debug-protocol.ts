/**
 * What a debugger asks of a virtual processor's thread, and what it is told: plain data, as between all threads (processor-protocol.ts).
 *
 * A stopped processor executes nothing and takes no interrupt; devices' threads and the partition's clock go on.
 * Called by: gdb/gdb-server.ts (asks), processor-debugger.ts (answers).
 */
import type { RegisterName, RegisterValue, StopPoint } from '@plinth/hypervisor';

export type DebugRequest =
  /** Stop; told of by `stopped`. */
  | { readonly what: 'stop' }
  | { readonly what: 'continue' }
  /** One instruction, without interrupts; told of by `stopped`. */
  | { readonly what: 'step' }
  /** All registers of the names given. */
  | { readonly what: 'read-registers'; readonly names: readonly RegisterName[] }
  | { readonly what: 'write-register'; readonly name: RegisterName; readonly value: RegisterValue }
  /** Linear memory up to the first page that is not mapped. */
  | { readonly what: 'read-memory'; readonly address: bigint; readonly length: number }
  | { readonly what: 'write-memory'; readonly address: bigint; readonly bytes: Uint8Array }
  /** The whole set, in place of the former one. */
  | { readonly what: 'set-stop-points'; readonly points: readonly StopPoint[] }
  /** Forget all stop points and run on. */
  | { readonly what: 'detach' };

/** An answer, by the kind of request; requests that only change something are answered by whether they could. */
export type DebugAnswer =
  | { readonly what: 'registers'; readonly values: readonly RegisterValue[] }
  | { readonly what: 'memory'; readonly bytes: Uint8Array }
  | { readonly what: 'done'; readonly done: boolean };

/** Why the processor stopped. */
export type StopReason =
  | { readonly why: 'asked' }
  | { readonly why: 'stepped' }
  /** Before the instruction at a stop point; the address of what was accessed, behind the access. */
  | { readonly why: 'execute' | 'write' | 'read' | 'access'; readonly address: bigint };

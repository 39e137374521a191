/**
 * What an x87 exception that is not masked comes to at the next instruction that waits: #MF, or with CR0.NE clear what a PC has made of it since
 * the 80287. The processor raises FERR#, by which the chipset interrupts (IRQ 13), and stops before the instruction until an interrupt comes;
 * while the chipset holds IGNNE#, the exception is ignored. FERR# stays until no exception waits any more.
 *
 * The stop is a pseudo vector, so that translated code leaves for it as for any exception. fpu.ts clears L.FERR with the exceptions.
 * Answers to: AMD64 manual volume 2, section 3.1.1 (NE); volume 1, section 6.8. Called by the x87 and MMX instructions, and by run.ts.
 */
import * as L from './generated/layout';
import { vp, raise, CR0_NE, NO_VECTOR, VECTOR_MF, VECTOR_FERR } from './state';
import { raiseAt } from './operands';
import { leaveOperation, LEAVE_EXIT, LEAVE_POLL } from './blocks';
import { interruptPending } from './run';
import { EXIT_HALT } from './system';
import { hostFloatingPointError } from './host';

/** An exception waits at `u`. @returns 0 when it is to be ignored, else the operation to go on with */
export function mathFault(u: usize): usize {
  if (load<u64>(vp, L.CR0) & CR0_NE) return raiseAt(u, VECTOR_MF, 0);
  const isNew: u32 = load<u32>(vp, L.FERR) == 0 ? 1 : 0;
  store<u32>(vp, 1, L.FERR);
  return hostFloatingPointError(isNew) != 0 ? 0 : raiseAt(u, VECTOR_FERR, 0);
}

/** Stops at L.RIP until an interrupt comes. */
export function waitForInterrupt(): usize {
  store<u32>(vp, NO_VECTOR, L.FAULT_VECTOR);
  store<u32>(vp, 1, L.HALTED);
  if (interruptPending()) return leaveOperation(LEAVE_POLL);
  store<u32>(vp, EXIT_HALT, L.EXIT_REASON);
  return leaveOperation(LEAVE_EXIT);
}

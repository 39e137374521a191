/**
 * What the core asks of its host: the clock and the intercepts that devices answer. Implemented by src/software-processor.ts.
 * 64-bit values cross as two halves, so that no call makes a BigInt.
 */

/** Monotonic partition time in nanoseconds. */
// @ts-ignore: decorator
@external("host", "now")
export declare function hostNow(): f64;
// @ts-ignore: decorator
@external("host", "portRead")
export declare function hostPortRead(port: u32, size: u32): u32;
// @ts-ignore: decorator
@external("host", "portWrite")
export declare function hostPortWrite(port: u32, size: u32, value: u32): void;
// @ts-ignore: decorator
@external("host", "mmioRead")
export declare function hostMmioRead(gpa: f64, size: u32): u32;
// @ts-ignore: decorator
@external("host", "mmioWrite")
export declare function hostMmioWrite(gpa: f64, size: u32, value: u32): void;
/** Reads an MSR that the core does not know: low half returned, high half left at `high`; 0 in `found` means #GP. */
// @ts-ignore: decorator
@external("host", "msrRead")
export declare function hostMsrRead(index: u32, result: usize): u32;
// @ts-ignore: decorator
@external("host", "msrWrite")
export declare function hostMsrWrite(index: u32, low: u32, high: u32): u32;
/** A hypercall with its parameters in the registers; L.RIP is behind the instruction. @returns HYPERCALL_* of system.ts */
// @ts-ignore: decorator
@external("host", "hypercall")
export declare function hostHypercall(): u32;
/** FERR# is asserted; `isNew`: since now. @returns whether IGNNE# is */
// @ts-ignore: decorator
@external("host", "floatingPointError")
export declare function hostFloatingPointError(isNew: u32): u32;
/** The device deadline has passed. */
// @ts-ignore: decorator
@external("host", "deadline")
export declare function hostDeadline(): void;
// @ts-ignore: decorator
@external("host", "acknowledgeExternalInterrupt")
export declare function hostAcknowledge(): u32;
// @ts-ignore: decorator
@external("host", "endOfInterrupt")
export declare function hostEndOfInterrupt(vector: u32): void;
/** Sends an interprocessor interrupt: the ICR's low half and the destination. */
// @ts-ignore: decorator
@external("host", "sendInterrupt")
export declare function hostSendInterrupt(icrLow: u32, destination: u32): void;
/** The translator has something for the processor, or has not done with it; `queueDue`: and hot blocks in L.HOT_QUEUE are to be sent. */
// @ts-ignore: decorator
@external("host", "translate")
export declare function hostTranslate(queueDue: bool): void;
/** With translation before execution: a block of code that is translated is about to be interpreted, and no side exit led to it. */
// @ts-ignore: decorator
@external("host", "interpreted")
export declare function hostInterpreted(block: usize): void;
/** Brings in a page of RAM whose record says that it is absent: its bytes are there on return. The number is that of its record. */
// @ts-ignore: decorator
@external("host", "loadPage")
export declare function hostLoadPage(page: u32): void;
/** 32 bits of good randomness. */
// @ts-ignore: decorator
@external("host", "random")
export declare function hostRandom(): u32;
// @ts-ignore: decorator
@external("host", "trace")
export declare function hostTrace(topic: u32, a: u32, b: u32): void;

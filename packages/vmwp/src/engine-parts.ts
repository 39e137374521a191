/**
 * The processor engine, as the main thread needs it. Called by: run-virtual-machine.ts; made by software-engine.ts.
 */
import type { CpuidEntry, InterruptMessage, Partition } from '@plinth/hypervisor';
import type { VirtualMachineConfiguration } from './configuration.ts';
import type { ProcessorSnapshot } from './processor-snapshot.ts';

export interface EngineParts {
  /** Module of a processor's thread; it calls `runProcessorWorker`. */
  readonly processorModule: URL;
  /** Module of the thread that translates for a processor; undefined when nothing is translated there. */
  translationModule(): URL | undefined;
  /** What CPUID tells the guest, but for what the configuration takes away. */
  cpuid(configuration: VirtualMachineConfiguration): readonly CpuidEntry[];
  /** Makes a processor's thread leave its run or its sleep; callable from any thread. */
  kick(partition: Partition, index: number): void;
  /** Takes an interrupt message to the local APICs; callable from any thread. */
  deliver(partition: Partition, message: InterruptMessage): void;
  /** Lines for the instructions around an address, for a crash report, when the processors' threads are over. */
  disassemble?(
    partition: Partition,
    code: {
      readonly before: Uint8Array;
      readonly after: Uint8Array;
      readonly address: bigint;
      readonly bits: 16 | 32 | 64;
    },
  ): Promise<readonly string[]>;
}

/** Lines of a crash report: the instructions around RIP. The processor's threads are over. A report without them is better than none. */
export async function disassembleAround(
  engine: EngineParts,
  partition: Partition,
  snapshot: ProcessorSnapshot | undefined,
): Promise<readonly string[]> {
  if (snapshot?.code === undefined || engine.disassemble === undefined) return [];
  const bytesOf = (text: string): Uint8Array => Uint8Array.from(Buffer.from(text.replaceAll(' ', ''), 'hex'));
  const { address, before, after } = snapshot.code;
  try {
    return await engine.disassemble(partition, {
      before: bytesOf(before),
      after: bytesOf(after),
      address: BigInt(address),
      bits: snapshot.codeBits,
    });
  } catch (error) {
    return [`not possible: ${error instanceof Error ? error.message : String(error)}`];
  }
}

/**
 * From a serial port's output ring to where it is wanted, without loss: the ring is emptied only as fast as the sink takes
 * bytes, a full ring makes the port busy, and the guest waits.
 *
 * Called by: run-virtual-machine.ts, once per serial port, on the main thread.
 */
import { closeSync, openSync, write } from 'node:fs';
import { promisify } from 'node:util';
import { PlinthError } from '@plinth/errors';
import { fileReason } from './file-reason.ts';

/** What takes a port's output. `write` settles when more can be taken. */
export interface ConsoleSink {
  write(bytes: Uint8Array): Promise<void>;
  close(): void;
}

/** The host's end of a port's output ring. */
export interface OutputRing {
  /** Takes everything that waits. */
  readAll(): Uint8Array;
}

export class ConsolePump {
  private readonly ring: OutputRing;
  private readonly sink: ConsoleSink;
  private readonly observe: (bytes: Uint8Array) => void;
  private readonly failed: (error: unknown) => void;
  private running: Promise<void> | undefined;
  private broken = false;
  bytes = 0;

  /**
   * @param observe sees each byte once, before the sink does
   * @param failed told once when the sink fails; output is thrown away from then on, and the guest does not hang on it
   */
  constructor(
    ring: OutputRing,
    sink: ConsoleSink,
    actions: { observe: (bytes: Uint8Array) => void; failed: (error: unknown) => void },
  ) {
    this.ring = ring;
    this.sink = sink;
    this.observe = actions.observe;
    this.failed = actions.failed;
  }

  /** There may be bytes in the ring. */
  notify(): void {
    this.running ??= this.drain().finally(() => {
      this.running = undefined;
    });
  }

  /** Waits until the ring is empty and the sink has all that was in it. */
  async flush(): Promise<void> {
    await this.running;
    await this.drain();
  }

  /** Takes what is left and waits until the sink has all of it. */
  async finish(): Promise<void> {
    await this.running;
    await this.drain();
    this.sink.close();
  }

  private async drain(): Promise<void> {
    for (;;) {
      const bytes = this.ring.readAll();
      if (bytes.length === 0) return;
      this.bytes += bytes.length;
      this.observe(bytes);
      if (this.broken) continue;
      try {
        await this.sink.write(bytes);
      } catch (error) {
        this.broken = true;
        this.failed(error);
      }
    }
  }
}

/** Bytes that nobody wants to see; marks and the crash report's console tail still do. */
export const nullSink: ConsoleSink = { write: async () => {}, close: () => {} };

/** A stream of the process. It is not closed: others write to it too. */
export function streamSink(stream: NodeJS.WritableStream): ConsoleSink {
  // The write's callback has the error too; without a listener the event would end the process.
  stream.on('error', () => {});
  return {
    write: (bytes) =>
      new Promise((resolve, reject) => {
        stream.write(bytes, (error) => (error ? reject(error) : resolve()));
      }),
    close: () => {},
  };
}

/**
 * A file, made new, readable by its owner only.
 * @throws PlinthError PL-3005 when it cannot be opened; `write` rejects with PL-3005 when it cannot be written (a full disk)
 */
export function fileSink(path: string, option: string): ConsoleSink {
  const writeAsync = promisify(write);
  let descriptor: number;
  try {
    descriptor = openSync(path, 'w', 0o600);
  } catch (error) {
    throw new PlinthError('PL-3005', { path, option, reason: fileReason(error) }, { cause: error });
  }
  return {
    async write(bytes) {
      try {
        for (let offset = 0; offset < bytes.length; ) {
          offset += (await writeAsync(descriptor, bytes, offset, bytes.length - offset, null)).bytesWritten;
        }
      } catch (error) {
        throw new PlinthError('PL-3005', { path, option, reason: fileReason(error) }, { cause: error });
      }
    },
    close: () => closeSync(descriptor),
  };
}

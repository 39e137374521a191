/**
 * The debugger's port of one VM (`plinth run --gdb PORT`): a socket on this machine alone, one debugger at a time, its conversation in
 * session.ts, its requests to the processor's thread.
 *
 * Whoever connects stops the guest, and finds it as it stands then; when the connection is lost or the debugger detaches, its stop
 * points are gone and the guest runs on. Called by: run-virtual-machine.ts.
 */
import { createServer, type Server, type Socket } from 'node:net';
import { PlinthError } from '@plinth/errors';
import type { StopReason } from '../debug-protocol.ts';
import { type DebugTarget, GdbSession } from './session.ts';

/** The debugger may change everything in the guest, so it must come from this machine. */
const HOST = '127.0.0.1';

export class GdbServer {
  readonly #target: DebugTarget;
  readonly #server: Server;
  #connection: { readonly socket: Socket; readonly session: GdbSession } | undefined;

  private constructor(target: DebugTarget, server: Server) {
    this.#target = target;
    this.#server = server;
    server.on('connection', (socket) => this.#accept(socket));
  }

  /**
   * Listens on a port of this machine; 0 takes a free one.
   * @throws PlinthError PL-3014 when the port cannot be had
   */
  static async listen(port: number, target: DebugTarget): Promise<GdbServer> {
    const server = createServer();
    await new Promise<void>((resolve, reject) => {
      server.once('error', (cause: NodeJS.ErrnoException) => {
        reject(new PlinthError('PL-3014', { port, reason: cause.code ?? cause.message }, { cause }));
      });
      server.listen(port, HOST, resolve);
    });
    return new GdbServer(target, server);
  }

  get port(): number {
    const address = this.#server.address();
    return typeof address === 'object' && address !== null ? address.port : 0;
  }

  stopped(reason: StopReason): void {
    this.#connection?.session.stopped(reason);
  }

  /** The VM is over. */
  close(status: number): void {
    this.#connection?.session.ended(status);
    this.#connection?.socket.end();
    this.#connection = undefined;
    this.#server.close();
  }

  #accept(socket: Socket): void {
    if (this.#connection !== undefined) {
      socket.destroy();
      return;
    }
    socket.setNoDelay(true);
    const session = new GdbSession(this.#target, (bytes) => {
      if (!socket.destroyed) socket.write(bytes);
    });
    this.#connection = { socket, session };
    // Nothing is answered before the guest stands still.
    const ready = this.#target.ask({ what: 'stop' });
    socket.on('data', (bytes: Buffer) => {
      void ready
        .then(() => session.receive(bytes))
        .then(() => {
          if (session.isOver) socket.end();
        });
    });
    // A connection that breaks is closed, and 'close' follows.
    socket.on('error', () => socket.destroy());
    socket.on('close', () => this.#left());
  }

  #left(): void {
    if (this.#connection === undefined) return;
    const { session } = this.#connection;
    this.#connection = undefined;
    if (!session.isOver) void this.#target.ask({ what: 'detach' });
  }
}

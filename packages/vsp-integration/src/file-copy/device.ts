/**
 * File copy: brings a file of the host into a folder of the guest, piece by piece, each answered before the next. Guest side:
 * until 6.9 drivers/hv/hv_fcopy.c with the hv_fcopy_daemon, later uio_hv_generic with the hv_fcopy_uio_daemon, which reads one
 * packet for each signal and is found by the instance id below. Both speak the same messages.
 * Called by: IntegrationServices.
 */
import { PlinthError } from '@plinth/errors';
import type { InspectTree } from '@plinth/hypervisor';
import { encodeText, MESSAGE_TYPE, SERVICE_STATUS } from '../framework/protocol.ts';
import { refusal } from '../framework/refusal.ts';
import { IntegrationService, type ServiceClock } from '../framework/service.ts';
import {
  FILE_COPY_FLAG,
  FILE_COPY_HEADER,
  FILE_COPY_OPERATION,
  FILE_COPY_VERSIONS,
  FRAGMENT_BYTES,
  NAME_BYTES,
  START_MESSAGE,
  WRITE_MESSAGE,
} from './protocol.ts';

/** Longer than Linux waits for its daemon before it answers with a failure. */
const PATIENCE = 40_000;

/** What a guest means that only says that it failed. */
const FAILED = [
  'The folder does not exist there, or nothing can be written to it',
  'the same command with --parents, or another folder',
] as const;

/** What is copied. */
export interface FileSource {
  readonly size: number;
  /** Bytes at an offset; as many as asked for, or the file has become shorter. */
  read(offset: number, length: number): Promise<Uint8Array> | Uint8Array;
}

export interface CopyOptions {
  readonly fileName: string;
  /** The guest's folder, `/var/tmp`. */
  readonly folder: string;
  readonly overwrite?: boolean;
  /** Makes the folder, and those above it. */
  readonly createFolder?: boolean;
  readonly progress?: (copied: number) => void;
}

export type CopyState =
  | { readonly kind: 'idle' }
  | { readonly kind: 'copying'; readonly fileName: string; readonly size: number; readonly copied: number };

export class FileCopyService extends IntegrationService {
  #copy: CopyState = { kind: 'idle' };
  #files = 0;

  constructor(clock: ServiceClock) {
    super(
      {
        name: 'file-copy',
        title: 'Guest services (file copy)',
        interfaceId: '34d14be3-dee4-41c8-9ae7-6b174977c192',
        instanceId: 'eb765408-105f-49b6-b4aa-c123b64d17d4',
        messageType: MESSAGE_TYPE.fileCopy,
        versions: FILE_COPY_VERSIONS,
        remedy:
          'the package hyperv-daemons in the guest, with hv_fcopy_daemon running (kernels from 6.10 on: hv_fcopy_uio_daemon, and the uio_hv_generic driver)',
      },
      clock,
    );
  }

  get copyState(): CopyState {
    return this.#copy;
  }

  /**
   * Copies a file into the guest; one at a time.
   * @throws PlinthError PL-3201 without contact, PL-3202 when the guest refuses or another file is being copied, PL-3203 for a
   *   name that is too long
   */
  async copy(source: FileSource, options: CopyOptions): Promise<void> {
    const { fileName, folder, overwrite = false, createFolder = false, progress } = options;
    const action = `take the file ${fileName}`;
    const name = encodeText(fileName, NAME_BYTES);
    // The daemon makes and looks for each folder that a slash follows.
    const path = encodeText(folder.endsWith('/') ? folder : `${folder}/`, NAME_BYTES);
    if (name === undefined || path === undefined) {
      const value = name === undefined ? fileName : folder;
      throw new PlinthError('PL-3203', {
        value,
        reason: 'A file name and a folder have at most 259 characters each, with a slash behind the folder',
      });
    }
    if (this.#copy.kind !== 'idle') {
      const reason = `${this.#copy.fileName} is being copied to it`;
      throw new PlinthError('PL-3202', { action, reason, remedy: 'the same command when that is done' });
    }
    const { size } = source;
    this.#copy = { kind: 'copying', fileName, size, copied: 0 };
    try {
      await this.#step(
        action,
        START_MESSAGE.build({
          operation: FILE_COPY_OPERATION.start,
          fileName: name,
          pathName: path,
          flags: (overwrite ? FILE_COPY_FLAG.overwrite : 0) | (createFolder ? FILE_COPY_FLAG.createPath : 0),
          size: BigInt(size),
        }),
      );
      await this.#write(action, source, fileName, progress);
      await this.#step(action, FILE_COPY_HEADER.build({ operation: FILE_COPY_OPERATION.complete }));
      this.#files++;
    } finally {
      this.#copy = { kind: 'idle' };
    }
  }

  async #write(action: string, source: FileSource, fileName: string, progress: CopyOptions['progress']): Promise<void> {
    const { size } = source;
    try {
      for (let offset = 0; offset < size; ) {
        const data = await source.read(offset, Math.min(FRAGMENT_BYTES, size - offset));
        if (data.length === 0) {
          const reason = `The file has become shorter while it was copied: ${offset} bytes instead of ${size}`;
          throw new PlinthError('PL-3202', { action, reason, remedy: 'the same command again' });
        }
        const operation = FILE_COPY_OPERATION.write;
        await this.#step(action, WRITE_MESSAGE.build({ operation, offset: BigInt(offset), size: data.length, data }));
        offset += data.length;
        this.#copy = { kind: 'copying', fileName, size, copied: offset };
        progress?.(offset);
      }
    } catch (error) {
      // The guest is to throw away what it has; whether it does is seen there, and the first error is the one to tell.
      this.ask(FILE_COPY_HEADER.build({ operation: FILE_COPY_OPERATION.cancel }), PATIENCE, () => {});
      throw error;
    }
  }

  async #step(action: string, body: Uint8Array): Promise<void> {
    const { status } = await this.request(body, PATIENCE);
    if (status !== SERVICE_STATUS.ok) throw refusal(action, status, FAILED);
  }

  override inspect(): InspectTree {
    const copying = this.#copy.kind === 'idle' ? null : { name: this.#copy.fileName, copied: this.#copy.copied };
    return { ...super.inspect(), files: this.#files, copying };
  }
}

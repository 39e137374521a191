/**
 * What passes between a processor's thread and its translator, which may be a thread of its own: plain data only.
 * Called by: translator.ts (the processor's side) and region-compiler.ts (the translator's).
 */

import type { CodeWriterExports } from './wasm-encoder.ts';

/** Mode keys of the blocks that are translated: ordinary 64-bit code, and flat 32-bit code (assembly/blocks.ts). */
export const KEY_64 = 1;
export const KEY_FLAT = 32;

/** A hot block and the code around it, as it was when the processor asked. */
export interface HotBlock {
  /** Address of the block in the shared memory. */
  readonly block: number;
  readonly gpa: number;
  /** It is flat 32-bit code; else 64-bit code. */
  readonly code32: boolean;
  /** Its windows (code-windows.ts), its own first. */
  readonly description: Uint8Array;
}

export type TranslatorMessage =
  /** `epoch`: how often decoded code was thrown away as a whole; what belongs to another is void. */
  | {
      readonly kind: 'translate';
      readonly epoch: number;
      readonly blocks: readonly HotBlock[];
      /** The regions are to tell about themselves. */
      readonly traced?: boolean;
    }
  /** The exits of modules are not used any more. */
  | { readonly kind: 'free'; readonly epoch: number; readonly modules: readonly number[] };

/** What a region has of one page. */
export interface RegionPage {
  /** Host address. */
  readonly host: number;
  /** Pages from the entry's page to it. */
  readonly delta: number;
  /** Hull of the region's bytes in it, and what they were. */
  readonly from: number;
  readonly to: number;
  readonly code: Uint8Array;
}

/** A region of a translated batch: function `index` of the module. */
export interface TranslatedRegion {
  readonly block: number;
  readonly gpa: number;
  readonly index: number;
  readonly instructions: number;
  /** The pages that it lies in, the entry's first. */
  readonly pages: readonly RegionPage[];
  /** For traces: blocks, bytes of WebAssembly, and what ends it. */
  readonly about?: { readonly blocks: number; readonly bytes: number; readonly ends: string };
}

export interface TranslatedBatch {
  readonly epoch: number;
  /** Never used twice. */
  readonly id: number;
  readonly module: WebAssembly.Module;
  readonly bytes: number;
  readonly regions: readonly TranslatedRegion[];
  /** Blocks that became no region because one of the same batch covers them, or because there was no room. */
  readonly left: readonly { readonly block: number; readonly gpa: number }[];
}

/** The way to a translator. */
export interface TranslationService {
  /** What is sent is there when `send` returns, and all of it is to be in its place before the processor goes on. */
  readonly atOnce?: boolean;
  send(message: TranslatorMessage): void;
  /** The next batch that is ready; L.TRANSLATION_READY tells when there may be one. */
  receive(): TranslatedBatch | undefined;
  /** An instance of a batch's module, where it takes more than `new WebAssembly.Instance`. */
  instantiate?(module: WebAssembly.Module, imports: WebAssembly.Imports): WebAssembly.Instance;
  /**
   * Where each block is translated before it is executed: a block is about to be interpreted, though no side exit led to it.
   * @throws PlinthError PL-4006 when its first instruction has a translation
   */
  interpreted?(block: number): void;
}

/** What a translator needs of the engine core. */
export interface TranslatorCore extends CodeWriterExports {
  decodeAt(host: number, room: number, code32: number): number;
}

/** What a processor offers to a translator in its own thread. */
export interface TranslationHost {
  readonly memory: WebAssembly.Memory;
  /** Address of the processor's block. */
  readonly base: number;
  readonly decoder: TranslatorCore;
  /** Blocks are translated before they were executed. */
  readonly always: boolean;
}
export type TranslationFactory = (host: TranslationHost) => TranslationService;

/** The software engine's public surface: `host.ts` for all threads, the processor for its own. */
export * from './host.ts';
export * from './software-processor.ts';
export { SEGMENT, SEGMENT_BYTES, STATE } from './state-layout.ts';
export type { TranslatedBatch, TranslationFactory, TranslationService } from './translator/translation-messages.ts';

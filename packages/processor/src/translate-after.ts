/** How often a block is jumped to before it is translated. Called by: software-processor.ts and whoever sets `translateAfter`. */

/** `translateAfter` of a processor that translates all that it can before it executes it. */
export const TRANSLATE_AT_ONCE = 0xffffffff;
/** Measured on boots (docs/processor.md): half as many cost 4 MiB more for modules and no less CPU, for code that is hardly run again. */
export const DEFAULT_TRANSLATE_AFTER = 1000;

/**
 * The components of XSAVE's area behind the image of FXSAVE and the header, and where they lie in its standard form: as on the AMD processors
 * that have protection keys and no AVX-512. Software asks CPUID leaf 0xD.
 * Answers to: AMD64 manual volume 2, section 11.5. Called by: cpuid.ts, cpu-features.ts, and the build for the core.
 */

/** `bit`: the component's number, in XCR0 and in the header. */
export const XSAVE_COMPONENTS = {
  avx: { bit: 2, offset: 576, bytes: 256 },
  pku: { bit: 9, offset: 2432, bytes: 8 },
} as const;
/** x87 and SSE, which are always there, and the header. */
const LEGACY_COMPONENTS = 3;
const LEGACY_BYTES = 576;

/** XCR0 with all components but those of the features named. */
export function xsaveComponents(absent: ReadonlySet<string> = new Set()): number {
  return Object.entries(XSAVE_COMPONENTS).reduce(
    (mask, [feature, { bit }]) => (absent.has(feature) ? mask : mask | (1 << bit)),
    LEGACY_COMPONENTS,
  );
}

/** Bytes of the standard form with these components. */
export function xsaveBytes(components: number): number {
  return Object.values(XSAVE_COMPONENTS).reduce(
    (end, { bit, offset, bytes }) => (((components >> bit) & 1) === 1 ? Math.max(end, offset + bytes) : end),
    LEGACY_BYTES,
  );
}

/** Bytes of the compacted form, in which one component follows the other. */
export function xsaveCompactedBytes(components: number): number {
  return Object.values(XSAVE_COMPONENTS).reduce(
    (end, { bit, bytes }) => (((components >> bit) & 1) === 1 ? end + bytes : end),
    LEGACY_BYTES,
  );
}

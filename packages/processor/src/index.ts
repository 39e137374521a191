/** The software engine's public surface. */
export * from './cpuid.ts';
export * from './interrupt-request.ts';
export * from './software-processor.ts';
export { SEGMENT, SEGMENT_BYTES, STATE } from './state-layout.ts';

/** What src/vector.test.ts and src/fpu.test.ts compile: the vector and x87 files alone, over a memory of its own. Not part of the engine. */
import { setProcessor } from './state';

export * from './fpu';
export { vectorOperation } from './vector';
export function attach(address: usize): void {
  setProcessor(address);
}

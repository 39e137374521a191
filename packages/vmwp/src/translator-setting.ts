/**
 * PLINTH_TRANSLATOR: how the software engine treats hot guest code, for people who look for a fault or measure.
 * Called by: software-engine.ts, before anything starts, and software-thread.ts.
 */
import { PlinthError } from '@plinth/errors';
import { TRANSLATE_AT_ONCE } from '@plinth/processor/host';

const SETTINGS: Readonly<Record<string, number | undefined>> = { off: 0, on: undefined, force: TRANSLATE_AT_ONCE };

/**
 * @returns transfers to a block after which it is translated; undefined: the engine's own choice
 * @throws PlinthError PL-3010 when the variable has another value than off, on or force
 */
export function translateAfter(environment: NodeJS.ProcessEnv = process.env): number | undefined {
  const value = environment.PLINTH_TRANSLATOR ?? 'on';
  if (!Object.hasOwn(SETTINGS, value)) throw new PlinthError('PL-3010', { value });
  return SETTINGS[value];
}

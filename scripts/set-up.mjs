/** Packages and build, for the launcher `plinth` in a fresh clone. */
import { endOnFailure, setUp } from './steps.mjs';

await setUp().catch(endOnFailure);

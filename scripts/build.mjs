/** `npm run build`: builds what changed. */
import { build, endOnFailure, installPackages, requireNode, step } from './steps.mjs';

try {
  requireNode();
  await installPackages();
  await step('Building', build);
} catch (error) {
  endOnFailure(error);
}

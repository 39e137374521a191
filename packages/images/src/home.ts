/**
 * Where Plinth keeps what outlives a command: images, downloaded packages and package lists all stand under one folder.
 * Called by whoever needs a folder of its own there.
 */
import { homedir } from 'node:os';
import { join } from 'node:path';

/**
 * Plinth's folder: `$PLINTH_HOME`, or `plinth` in the platform's folder for application data.
 *
 * @param environment the variables to look at; the process's own unless told
 * @param platform as `process.platform`
 */
export function plinthHome(
  environment: NodeJS.ProcessEnv = process.env,
  platform: NodeJS.Platform = process.platform,
): string {
  if (environment.PLINTH_HOME) return environment.PLINTH_HOME;
  if (platform === 'win32') return join(environment.LOCALAPPDATA ?? join(homedir(), 'AppData', 'Local'), 'plinth');
  if (platform === 'darwin') return join(homedir(), 'Library', 'Application Support', 'plinth');
  return join(environment.XDG_DATA_HOME || join(homedir(), '.local', 'share'), 'plinth');
}

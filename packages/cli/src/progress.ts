/**
 * Progress of whatever takes more than a second, on standard error: one line that is rewritten on a terminal, a line at
 * the beginning of each stage elsewhere (a log file should tell what was done, too), and one that tells how long it took.
 */
import { showSeconds } from './output.ts';

export interface Progress {
  /** A new stage begins, such as `unpacking the kernel`. The same stage again, with another detail, is no new one. */
  stage(name: string, detail?: string): void;
  /** The work is done: leaves a line that tells how long it took. */
  done(summary: string): void;
  /** The work ended otherwise: leaves the terminal's line empty. */
  stop(): void;
}

/** What progress is written to: a part of `process.stderr`. */
export interface ProgressStream {
  readonly isTTY?: boolean;
  readonly columns?: number;
  write(text: string): unknown;
}

const spinner = ['⠋', '⠙', '⠹', '⠸', '⠼', '⠴', '⠦', '⠧', '⠇', '⠏'];

/** Starts to show progress on `stream`. */
export function startProgress(
  stream: ProgressStream = process.stderr,
  now: () => number = () => performance.now(),
): Progress {
  const began = now();
  let stageName = '';
  let stageBegan = began;
  let detail: string | undefined;
  let frame = 0;
  let timer: NodeJS.Timeout | undefined;

  const elapsed = (since: number): string => showSeconds((now() - since) / 1000);
  const draw = (): void => {
    frame = (frame + 1) % spinner.length;
    const text = `${spinner[frame]} ${stageName}${detail === undefined ? '' : ` (${detail})`}  ${elapsed(stageBegan)}`;
    stream.write(`\r${text.slice(0, Math.max(1, (stream.columns ?? 80) - 1))}\u001b[K`);
  };
  const clear = (): void => {
    if (timer !== undefined) {
      clearInterval(timer);
      timer = undefined;
      stream.write('\r\u001b[K');
    }
  };
  // A line for each stage that took its time: it shows what the time went to.
  const endStage = (): void => {
    clear();
    if (stageName !== '' && now() - stageBegan >= 1000) stream.write(`${stageName}: ${elapsed(stageBegan)}\n`);
  };

  return {
    stage(name, newDetail) {
      detail = newDetail;
      if (name !== stageName) {
        endStage();
        stageName = name;
        stageBegan = now();
        if (stream.isTTY !== true) stream.write(`${name}\n`);
      }
      if (stream.isTTY === true) {
        if (timer === undefined) {
          timer = setInterval(draw, 100);
          timer.unref();
        }
        draw();
      }
    },
    done(summary) {
      endStage();
      stream.write(`${summary} (${elapsed(began)})\n`);
    },
    stop: clear,
  };
}

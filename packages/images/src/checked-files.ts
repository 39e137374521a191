/**
 * Which of an image's files have been compared with their checksums: what the file system told of each, in `checked.json` beside them. A file
 * that has the same inode, size and times has not been written since, and a machine's start does not have to read it once more.
 *
 * A note is nothing but time saved: without one, or with one that cannot be read, files are compared. Called by: image-store.ts.
 */
import { readFileSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

/** A file in the image's folder, as its manifest has it. */
interface RecordedFile {
  readonly file: string;
  readonly sha256: string;
}

const NOTES = 'checked.json';
/**
 * A file that was changed within this time is compared once more, in milliseconds: file systems tell times in steps, and another change may
 * have come in the same one.
 */
const SETTLED_MILLISECONDS = 2000;

/** What a file is known by, and its time of change in milliseconds; undefined where there is none. */
function identityOf(folder: string, { file, sha256 }: RecordedFile): { text: string; changed: number } | undefined {
  const status = statSync(join(folder, file), { bigint: true, throwIfNoEntry: false });
  if (status === undefined) return undefined;
  const { dev, ino, size, mtimeNs, ctimeNs, ctimeMs } = status;
  return { text: [sha256, dev, ino, size, mtimeNs, ctimeNs].join(' '), changed: Number(ctimeMs) };
}

/** Whether all of them are as they were when they were compared. */
export function areChecked(folder: string, files: readonly RecordedFile[]): boolean {
  const notes = readNotes(folder);
  return files.every((file) => {
    const note = notes[file.file];
    return note !== undefined && note === identityOf(folder, file)?.text;
  });
}

/**
 * Looks at files that are about to be compared. What is changed while they are read is not taken for what was read.
 * @returns notes that they were, when they were
 */
export function beforeCheck(folder: string, files: readonly RecordedFile[]): () => void {
  const notes: Record<string, string> = {};
  for (const file of files) {
    const identity = identityOf(folder, file);
    if (identity === undefined || Math.abs(Date.now() - identity.changed) < SETTLED_MILLISECONDS) continue;
    notes[file.file] = identity.text;
  }
  return () => {
    const path = join(folder, NOTES);
    const fresh = `${path}.${process.pid}`;
    try {
      writeFileSync(fresh, `${JSON.stringify(notes, null, 2)}\n`, { mode: 0o600 });
      renameSync(fresh, path);
    } catch {
      // Another's folder, or a full disk: the next start compares them again.
      rmSync(fresh, { force: true });
    }
  };
}

function readNotes(folder: string): Readonly<Record<string, unknown>> {
  try {
    const notes: unknown = JSON.parse(readFileSync(join(folder, NOTES), 'utf8'));
    return typeof notes === 'object' && notes !== null ? { ...notes } : {};
  } catch {
    // None yet, or one that a full disk cut short.
    return {};
  }
}

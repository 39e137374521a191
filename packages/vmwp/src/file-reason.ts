/** What an operating system's refusal of a file means, for people. Called by: whoever opens, reads and writes files. */

const REASONS: Readonly<Record<string, string>> = {
  EACCES: 'You have no permission for it',
  EPERM: 'You have no permission for it',
  EROFS: 'It is on a read-only file system',
  ENOENT: 'It or a folder on the way to it does not exist',
  ENOTDIR: 'Something on the way to it is a file, not a folder',
  EISDIR: 'It is a folder, not a file',
  ENOSPC: 'The disk is full',
  EDQUOT: 'Your quota of disk space is used up',
  EFBIG: 'It would become larger than files may be here',
  EMFILE: 'This process has too many files open',
  ECONNREFUSED: 'ECONNREFUSED: no process listens on it',
  EADDRINUSE: 'A file of that name is in the way',
  EINVAL: 'Its path is too long, or not a path',
};

/** What the operating system's refusal of a file means, as a sentence without its full stop. */
export function fileReason(error: unknown): string {
  const code = typeof error === 'object' && error !== null && 'code' in error ? String(error.code) : '';
  return REASONS[code] ?? `The system says: ${error instanceof Error ? error.message : String(error)}`;
}

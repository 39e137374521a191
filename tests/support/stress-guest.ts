/**
 * A guest with programs that check themselves: stress-ng with its `--verify`, a C compiler, xz, made from Debian's packages on this
 * machine. Called by the system tests.
 */
import type { GuestFile } from '@plinth/images';
import { packageGuest } from './package-guest.ts';

/** Runs each line of a file as the words of one stress-ng: `@run` before each, `@failed` with what it said, and a count at the end. */
const runner = `#!/bin/sh
count=0
while read -r words; do
  echo "@run $words"
  if stress-ng --verify --timeout 120 $words >/tmp/said 2>&1 </dev/null && grep -q 'successful run completed' /tmp/said &&
    ! grep -qiE 'fail:|skipp|error:' /tmp/said; then
    count=$((count + 1))
  else
    echo "@failed $words"
    tail -n 5 /tmp/said
  fi
done <"$1"
echo "@passed $count"
`;

/**
 * Builds the guest's initrd.
 * @param files more of them
 * @returns words of \`plinth run\` that boot it
 */
export const stressGuest = (folder: string, files: readonly GuestFile[] = []): Promise<string[]> =>
  packageGuest(
    folder,
    'stress',
    ['stress-ng', 'tcc', 'xz-utils'],
    [{ path: 'bin/run-stress', contents: runner, mode: 0o755 }, ...files],
  );

/** Whether the long tests run too: `npm run test:long`. */
export const isLong = process.env.PLINTH_TEST_LONG === '1';

/** PLINTH_TEST_PART, such as `2/5`: one of so many parts of a long test's count; without it, all of it. */
const [part, parts] = /^([1-9]\d*)\/([1-9]\d*)$/
  .exec(process.env.PLINTH_TEST_PART ?? '1/1')
  ?.slice(1)
  .map(Number) ?? [1, 1];

/** How many of a long test's `total` belong to the part that is run; those of all parts add up to it. */
export function shareOf(total: number): number {
  const [number = 1, count = 1] = [part, parts];
  return Math.floor((total * number) / count) - Math.floor((total * (number - 1)) / count);
}

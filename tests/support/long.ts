/** Whether the long tests run too: `npm run test:long`. */
export const isLong = process.env.PLINTH_TEST_LONG === '1';

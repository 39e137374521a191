/** Where an operation's operands are: N none, R register, M memory, I immediate; destination first. Called by: build and translator. */
export const FORM = { N: 0, R: 1, M: 2, RR: 3, RI: 4, RM: 5, MR: 6, MI: 7 } as const;
export type FormName = keyof typeof FORM;

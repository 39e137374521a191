/** The instruction table and its types, for everything that reads it: generator, disassembler, tests, translator. */
export * from './parse.ts';

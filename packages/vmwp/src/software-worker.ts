/** The module of a software processor's thread whose hot code another thread translates, or nobody. Called by: processor-worker.ts. */
import { serveSoftwareProcessor } from './software-thread.ts';

serveSoftwareProcessor();

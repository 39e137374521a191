/**
 * The module of a software processor's thread that translates each block itself, before it is executed (PLINTH_TRANSLATOR=force). Apart from
 * software-worker.ts, so that the other threads come without a translator. Called by: processor-worker.ts.
 */
import { translateLocally } from '@plinth/processor/local-translation';
import { serveSoftwareProcessor } from './software-thread.ts';

serveSoftwareProcessor(translateLocally);

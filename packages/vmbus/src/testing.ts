/**
 * For tests of VMBus and of devices on it: a partition with memory, a SynIC of arrays, and a guest that behaves as Linux's
 * drivers/hv does. Called by: tests here and in the packages of devices.
 */
export { firstSeed, HostileGuest, Random } from './testing/hostile-guest.ts';
export { GuestChannel, type GuestOffer, type GuestPacket, GuestStuck, LinuxGuest } from './testing/linux-guest.ts';
export { TestHost, TestMachine } from './testing/test-machine.ts';

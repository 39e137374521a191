/**
 * For tests of VMBus and of devices on it: a partition with memory, a SynIC of arrays, and a guest that behaves as Linux's
 * drivers/hv does. Called by: tests here and in the packages of devices.
 */
export { GuestChannel, type GuestOffer, type GuestPacket, LinuxGuest } from './testing/linux-guest.ts';
export { TestHost, TestMachine } from './testing/test-machine.ts';

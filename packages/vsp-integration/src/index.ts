/**
 * Hyper-V's integration services over VMBus: shutdown, time synchronization, heartbeat, key-value pairs, backup, file copy.
 *
 *     const services = new IntegrationServices({ bus, clock, hostItems: { VirtualMachineName: 'web' } });
 *     setInterval(() => services.tick(), 2000);
 *     await services.shutdown.shutDown('power-off');
 *     services.heartbeat.heartbeat; services.kvp.addresses; services.status()
 *
 * Everything that asks the guest returns a promise, which fails with PL-3201 (no contact, and what to install), PL-3202 (the guest
 * refuses, and why) or PL-3203 (too long).
 */
export type { CopyOptions, FileSource } from './file-copy/device.ts';
export { FRAGMENT_BYTES } from './file-copy/protocol.ts';
export type { ServiceClock } from './framework/service.ts';
export type { ServiceCondition, ServiceStatus } from './framework/status.ts';
export type { Heartbeat } from './heartbeat/device.ts';
export {
  findServiceName,
  type IntegrationOptions,
  IntegrationServices,
  SERVICE_NAMES,
  type ServiceName,
} from './integration-services.ts';
export { type AdapterAddresses, type KeyValue, KVP_POOL, type KvpPool } from './kvp/protocol.ts';
export type { ShutdownKind } from './shutdown/device.ts';

/**
 * The integration services as the control socket offers them: stopping the guest, key-value pairs, adapters' addresses, files, freezing.
 *
 *     {"command": "copy-file", "parameters": {"source": "/host/file", "folder": "/var/tmp", "fileName": "a", "overwrite": true}}
 *
 * Parameters are texts and switches; what is missing or of another kind is PL-3011. Called by: run-virtual-machine.ts.
 */
import { type FileHandle, open } from 'node:fs/promises';
import { PlinthError } from '@plinth/errors';
import {
  FRAGMENT_BYTES,
  type IntegrationServices,
  KVP_POOL,
  type KvpPool,
  SERVICE_NAMES,
} from '@plinth/vsp-integration';
import type { ControlCommand, ControlRequest } from './control-socket.ts';
import { fileReason } from './file-reason.ts';

/** Bytes that are read from the host's file at once: whole pieces of the protocol. */
const READ_BYTES = FRAGMENT_BYTES * 128;

/** Answers a request to a service. @returns undefined when the command is not one for the services */
export async function answerServiceRequest(services: IntegrationServices, request: ControlRequest): Promise<unknown> {
  const parameters = new Parameters(request);
  switch (request.command) {
    case 'services':
      return {
        heartbeat: services.heartbeat.heartbeat,
        addresses: services.kvp.addresses,
        services: services.status(),
      };
    case 'set-service': {
      const service = parameters.word('service', SERVICE_NAMES);
      services.enable(service, parameters.has('enabled'));
      return { service, enabled: parameters.has('enabled') };
    }
    case 'kvp':
      return answerKvp(services, parameters);
    case 'adapter':
      return answerAdapter(services, parameters);
    case 'copy-file':
      return copyFile(services, parameters);
    case 'freeze':
      await services.vss.freeze();
      return { state: 'frozen' };
    case 'thaw':
      await services.vss.thaw();
      return { state: 'thawed' };
    default:
      return undefined;
  }
}

/** By command: the service that it goes through, in the words of a refusal. */
const SERVICE_OF: Readonly<Partial<Record<ControlCommand, string>>> = {
  kvp: 'data exchange',
  adapter: 'data exchange',
  'copy-file': 'file copy',
  freeze: 'backup',
  thaw: 'backup',
  stop: 'shutdown',
};

/** Why a command does nothing for a guest that is not told of the hypervisor, and so has no synthetic device. */
export function refusalWithoutHypervisor(command: ControlCommand, name: string): PlinthError {
  const other = command === 'stop' ? `, or plinth vm exec ${name} -- reboot` : '';
  return new PlinthError('PL-3201', {
    service: SERVICE_OF[command] ?? 'integration',
    reason: 'The guest is not told of the hypervisor (--cpu-features=-hypervisor), so it has none of its devices',
    remedy: `plinth run without that option${other}`,
  });
}

/** Asks the guest to stop through its shutdown service. @returns false when the guest has none, and another way is to be tried */
export async function shutDownByService(
  services: IntegrationServices | undefined,
  request: ControlRequest,
  name: string,
): Promise<boolean> {
  const parameters = new Parameters(request);
  if (services === undefined) {
    if (parameters.has('reboot')) throw refusalWithoutHypervisor('stop', name);
    return false;
  }
  const { condition } = services.shutdown.status();
  const usable = condition !== 'no-contact' && condition !== 'incompatible' && condition !== 'disabled';
  // The power button cannot say that a restart is meant, so a restart fails where the service does.
  if (!usable && !parameters.has('reboot')) return false;
  const kind = parameters.has('reboot') ? 'reboot' : 'power-off';
  await services.shutdown.shutDown(kind, { force: parameters.has('force'), text: parameters.text('text', '') });
  return true;
}

async function answerKvp(services: IntegrationServices, parameters: Parameters): Promise<unknown> {
  const { kvp } = services;
  const pool = parameters.word('pool', Object.keys(KVP_POOL) as KvpPool[]);
  switch (parameters.word('operation', ['list', 'get', 'set', 'rm'])) {
    case 'list':
      return kvp.list(pool);
    case 'get':
      return { value: (await kvp.get(pool, parameters.text('key'))) ?? null };
    case 'set':
      await kvp.set(pool, parameters.text('key'), parameters.text('value'));
      return {};
    case 'rm':
      return { removed: await kvp.delete(pool, parameters.text('key')) };
  }
}

/** Reads the settings of an adapter in the guest; with `set`, writes them. Lists are texts with semicolons between. */
async function answerAdapter({ kvp }: IntegrationServices, parameters: Parameters): Promise<unknown> {
  const adapter = parameters.text('adapter');
  if (!parameters.has('set')) return kvp.getAddresses(adapter);
  const list = (name: string): string[] =>
    parameters
      .text(name, '')
      .split(';')
      .filter((item) => item !== '');
  await kvp.setAddresses(adapter, {
    dhcp: parameters.has('dhcp'),
    addresses: list('addresses'),
    subnets: list('subnets'),
    gateways: list('gateways'),
    dnsServers: list('dnsServers'),
  });
  return {};
}

async function copyFile(services: IntegrationServices, parameters: Parameters): Promise<unknown> {
  const path = parameters.text('source');
  let file: FileHandle | undefined;
  try {
    file = await open(path, 'r');
    const source = await hostFile(file);
    await services.fileCopy.copy(source, {
      fileName: parameters.text('fileName'),
      folder: parameters.text('folder'),
      overwrite: parameters.has('overwrite'),
      createFolder: parameters.has('createFolder'),
    });
    return { bytes: source.size };
  } catch (error) {
    if (error instanceof PlinthError) throw error;
    throw new PlinthError('PL-3006', { path, option: 'the copy', reason: fileReason(error) }, { cause: error });
  } finally {
    await file?.close();
  }
}

/** A file of the host, read ahead in larger pieces than the guest takes them. */
async function hostFile(file: FileHandle) {
  const { size } = await file.stat();
  let buffer = new Uint8Array(0);
  let bufferOffset = 0;
  return {
    size,
    async read(offset: number, length: number): Promise<Uint8Array> {
      if (offset < bufferOffset || offset + length > bufferOffset + buffer.length) {
        const whole = new Uint8Array(READ_BYTES);
        const { bytesRead } = await file.read(whole, 0, READ_BYTES, offset);
        buffer = whole.subarray(0, bytesRead);
        bufferOffset = offset;
      }
      return buffer.subarray(offset - bufferOffset, offset - bufferOffset + length);
    },
  };
}

/** Parameters of a request, read by their kinds. */
class Parameters {
  readonly #request: ControlRequest;

  constructor(request: ControlRequest) {
    this.#request = request;
  }

  has(name: string): boolean {
    return this.#value(name) === true;
  }

  text(name: string, otherwise?: string): string {
    const value = this.#value(name) ?? otherwise;
    if (typeof value === 'string') return value;
    throw new PlinthError('PL-3011', { command: this.#request.command, parameter: name, expected: 'a text' });
  }

  word<const Word extends string>(name: string, words: readonly Word[]): Word {
    const value = words.find((word) => word === this.#value(name));
    if (value !== undefined) return value;
    const expected = `one of ${words.join(', ')}`;
    throw new PlinthError('PL-3011', { command: this.#request.command, parameter: name, expected });
  }

  #value(name: string): unknown {
    const parameters = this.#request.parameters ?? {};
    return Object.hasOwn(parameters, name) ? parameters[name] : undefined;
  }
}

/**
 * Shutdown: asks the guest to power off, reboot or hibernate. The guest says at once whether it will; that it has is seen when it
 * powers off through ACPI. Guest side: drivers/hv/hv_util.c. Called by: IntegrationServices.
 */
import { encodeStart, MESSAGE_TYPE, SERVICE_STATUS } from '../framework/protocol.ts';
import { refusal } from '../framework/refusal.ts';
import { IntegrationService, type ServiceClock } from '../framework/service.ts';
import {
  FLAG_FORCE,
  REASON_PLANNED,
  SHUTDOWN_FLAGS,
  SHUTDOWN_MESSAGE,
  SHUTDOWN_VERSIONS,
  TEXT_BYTES,
} from './protocol.ts';

export type ShutdownKind = keyof typeof SHUTDOWN_FLAGS;

const ACTIONS: Readonly<Record<ShutdownKind, string>> = {
  'power-off': 'power off',
  reboot: 'restart',
  hibernate: 'hibernate',
};
const PATIENCE = 30_000;

export class ShutdownService extends IntegrationService {
  constructor(clock: ServiceClock) {
    super(
      {
        name: 'shutdown',
        title: 'Operating system shutdown',
        interfaceId: '0e0b6031-5213-4934-818b-38d90ced39db',
        instanceId: 'b6650ff7-33bc-4840-8048-e0676786f393',
        messageType: MESSAGE_TYPE.shutdown,
        versions: SHUTDOWN_VERSIONS,
        remedy: 'the hv_utils driver in the guest (modprobe hv_utils); it is part of every Debian kernel',
      },
      clock,
    );
  }

  /**
   * Asks the guest to stop.
   * @param text shown to users of the guest where its system does that; what does not fit is left away
   * @throws PlinthError PL-3201 when it cannot be asked, PL-3202 when it refuses
   */
  async shutDown(
    kind: ShutdownKind,
    options: { readonly force?: boolean; readonly text?: string } = {},
  ): Promise<void> {
    const { force = false, text = '' } = options;
    const body = SHUTDOWN_MESSAGE.build({
      reason: REASON_PLANNED,
      flags: SHUTDOWN_FLAGS[kind] | (force ? FLAG_FORCE : 0),
      text: encodeStart(text, TEXT_BYTES),
    });
    const { status } = await this.request(body, PATIENCE);
    if (status !== SERVICE_STATUS.ok) throw refusal(ACTIONS[kind], status);
  }
}

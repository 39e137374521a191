/** What a guest's refusal means, in words. Called by: the services. */
import { PlinthError } from '@plinth/errors';
import { SERVICE_STATUS } from './protocol.ts';

const REASONS: ReadonlyMap<number, readonly [reason: string, remedy: string]> = new Map([
  [SERVICE_STATUS.alreadyExists, ['There is a file of that name', 'the same command with --force, or another name']],
  [SERVICE_STATUS.diskFull, ['Its disk is full', 'the same command after making room in the guest']],
  [SERVICE_STATUS.notSupported, ['Its driver does not know this request', 'a newer kernel in the guest']],
  [SERVICE_STATUS.invalidArgument, ['It finds a value wrong', 'the same command with other values']],
  [SERVICE_STATUS.notFound, ['It does not have what was asked for', 'another name, as the guest shows it']],
  [SERVICE_STATUS.noMoreItems, ['It does not have what was asked for', 'another name, as the guest shows it']],
  [SERVICE_STATUS.machineLocked, ['Somebody works on its screen, which is locked', 'the same command with --force']],
  [SERVICE_STATUS.notConnected, ['The service in the guest is not running', 'starting it in the guest']],
]);

/**
 * @param action what the guest was asked to do, `freeze its file systems`
 * @param failed what a failure without a reason most likely means here: the reason, and what to try
 */
export function refusal(action: string, status: number, failed?: readonly [string, string]): PlinthError {
  const known = status === SERVICE_STATUS.fail ? failed : REASONS.get(status);
  const [reason, remedy] = known ?? [
    `It answered with 0x${status.toString(16).padStart(8, '0')}`,
    "the same command again; the guest's log says more",
  ];
  return new PlinthError('PL-3202', { action, reason, remedy });
}

/**
 * What the host makes of a contact and of an open request: pure judgements over what the guest asked for.
 * Orders of refusal follow OpenVMM's vmbus_server; a guest whose contact is refused goes on with the next older version.
 * Called by: server.ts.
 */
import type { Extent } from './gpa-ranges.ts';
import {
  type ContactRequest,
  MESSAGE_CONNECTION_ID_5_0,
  NEWEST_VERSION,
  NO_PROCESSOR,
  type OpenRequest,
  SUPPORTED_VERSIONS,
  VERSION,
  VMBUS_SINT,
  versionText,
} from './protocol.ts';
import type { Connected, VmbusEvent } from './server-types.ts';

const PAGE_BYTES = 4096;
/** A ring takes a control page and a page of data at least. */
const RING_PAGES = 2;
const SINTS = 16;
/** VersionResponse: the version is known, but the connection failed for a reason of its own. */
const CONNECTION_FAILED = 2;

export interface ServerOptions {
  readonly processors: number;
  /** Newest protocol version that guests may have. */
  readonly maximumVersion?: number;
  readonly isMemory: (extents: readonly Extent[]) => boolean;
}

/** What to answer to a contact, and the connection if there is one. */
interface ContactJudgement {
  readonly processor: number;
  readonly sint: number;
  readonly response: { versionSupported?: number; connectionState?: number; versionOrConnectionId?: number };
  readonly connected: Connected | undefined;
  readonly text: string;
  readonly level: VmbusEvent['level'];
}

export function judgeContact(contact: ContactRequest, options: ServerOptions): ContactJudgement {
  const { version, targetProcessor } = contact;
  const newest = options.maximumVersion ?? NEWEST_VERSION;
  // Below 5.0 the bytes of SINT and trust level are the address of a page that nobody needs any more.
  const hasTarget = version >= VERSION.windows10_5_0;
  const sint = hasTarget ? contact.sint : VMBUS_SINT;
  const vtl = hasTarget ? contact.vtl : 0;
  const processor = targetProcessor < options.processors ? targetProcessor : 0;
  const refused = (text: string): ContactJudgement => ({
    processor,
    sint: sint < SINTS ? sint : VMBUS_SINT,
    response: {},
    connected: undefined,
    text,
    level: 'information',
  });
  if (processor !== targetProcessor) {
    return refused(`The guest wants messages on processor ${targetProcessor}, which it does not have`);
  }
  if (sint !== VMBUS_SINT || vtl !== 0)
    return refused(`The guest asked for messages on SINT ${sint}, trust level ${vtl}`);
  if (!SUPPORTED_VERSIONS.includes(version) || version > newest) {
    return refused(`The guest asked for VMBus ${versionText(version)}; newest is ${versionText(newest)}`);
  }
  const versionOrConnectionId = hasTarget ? MESSAGE_CONNECTION_ID_5_0 : version;
  const parentToChildMonitorPage = monitorPage(contact.parentToChildMonitorPage, options);
  const childToParentMonitorPage = monitorPage(contact.childToParentMonitorPage, options);
  if (parentToChildMonitorPage === undefined || childToParentMonitorPage === undefined) {
    return {
      ...refused('The guest gave monitor pages that are not memory'),
      response: { versionSupported: 1, connectionState: CONNECTION_FAILED, versionOrConnectionId },
      level: 'warning',
    };
  }
  return {
    processor,
    sint,
    response: { versionSupported: 1, versionOrConnectionId },
    connected: {
      kind: 'connected',
      version,
      processor,
      sint,
      offersSent: false,
      parentToChildMonitorPage,
      childToParentMonitorPage,
    },
    text: `The guest is connected with VMBus ${versionText(version)}`,
    level: 'information',
  };
}

/** 0 for none, undefined for one that cannot be. */
function monitorPage(address: bigint, options: ServerOptions): number | undefined {
  if (address === 0n) return 0;
  if (address % BigInt(PAGE_BYTES) !== 0n || address >= 2n ** 52n) return undefined;
  const gpa = Number(address);
  return options.isMemory([{ start: 0, gpa, bytes: PAGE_BYTES }]) ? gpa : undefined;
}

/**
 * The memory of an open request's two rings, or why it cannot be.
 * @param ranges the GPADL that the request names, if it is there
 */
export function ringOf(
  ranges: readonly (readonly Extent[])[] | undefined,
  { targetProcessor, downstreamPageOffset }: OpenRequest,
  processors: number,
): readonly Extent[] | string {
  if (targetProcessor !== NO_PROCESSOR && targetProcessor >= processors) {
    return `it is to interrupt processor ${targetProcessor}, which does not exist`;
  }
  if (ranges === undefined) return 'its ring was not lent to it';
  const [ring, ...others] = ranges;
  if (ring === undefined || others.length > 0) return 'its ring is not one range of memory';
  if (!ring.every(({ gpa, bytes }) => gpa % PAGE_BYTES === 0 && bytes % PAGE_BYTES === 0)) {
    return 'its ring does not consist of whole pages';
  }
  const pages = ring.reduce((sum, { bytes }) => sum + bytes, 0) / PAGE_BYTES;
  if (downstreamPageOffset < RING_PAGES || pages - downstreamPageOffset < RING_PAGES) {
    return `its ring of ${pages} pages cannot be divided at page ${downstreamPageOffset}`;
  }
  return ring;
}

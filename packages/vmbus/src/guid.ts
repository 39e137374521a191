/**
 * GUIDs as Windows writes them: in text `xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx` in lower case, on the wire 16 bytes whose first
 * three groups are little-endian (MS-DTYP 2.3.4.2). Called by: everything that names a device type or instance.
 */

/** A GUID in its text form, lower case, without braces. */
export type Guid = string;

export const GUID_BYTES = 16;

/** For each byte on the wire, which byte of the text (in the order in which it is written) it is. */
const TEXT_ORDER = [3, 2, 1, 0, 5, 4, 7, 6, 8, 9, 10, 11, 12, 13, 14, 15] as const;

export function guidFromBytes(bytes: Uint8Array): Guid {
  const text = TEXT_ORDER.map((at) => (bytes[at] ?? 0).toString(16).padStart(2, '0')).join('');
  return `${text.slice(0, 8)}-${text.slice(8, 12)}-${text.slice(12, 16)}-${text.slice(16, 20)}-${text.slice(20)}`;
}

/** @throws RangeError when the text is not a GUID: only the host's own constants come here */
export function guidToBytes(guid: Guid): Uint8Array<ArrayBuffer> {
  if (!/^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/.test(guid)) throw new RangeError(`not a GUID: ${guid}`);
  const text = guid.replaceAll('-', '');
  const bytes = new Uint8Array(GUID_BYTES);
  TEXT_ORDER.forEach((at, index) => {
    bytes[index] = Number.parseInt(text.slice(at * 2, at * 2 + 2), 16);
  });
  return bytes;
}

import { expect, it } from 'vitest';
import {
  buildAddressesRequest,
  buildEnumerateRequest,
  buildValueRequest,
  parseAddressesAnswer,
  parseValueAnswer,
} from './protocol.ts';

const answer = (type: number, value: readonly number[], valueSize = value.length): Uint8Array => {
  const body = buildEnumerateRequest('guest', 0);
  const view = new DataView(body.buffer);
  view.setUint32(8, type, true);
  view.setUint32(12, 8, true);
  view.setUint32(16, valueSize, true);
  body.set([107, 0, 101, 0, 121, 0], 20);
  body.set(value, 20 + 512);
  return body;
};

it('requests have the sizes and places of struct hv_kvp_msg', () => {
  const set = buildValueRequest('set', 'auto-external', 'ab', 'c') ?? new Uint8Array(0);
  expect(set).toHaveLength(2580);
  expect([...set.subarray(0, 22)]).toEqual([1, 3, 0, 0, 1, 0, 0, 0, 6, 0, 0, 0, 4, 0, 0, 0, 97, 0, 98, 0, 0, 0]);
  expect([...set.subarray(528, 532)]).toEqual([99, 0, 0, 0]);
  const remove = buildValueRequest('delete', 'external', 'ab') ?? new Uint8Array(0);
  expect([...remove.subarray(0, 12)]).toEqual([2, 0, 0, 0, 6, 0, 0, 0, 97, 0, 98, 0]);
  expect([...buildEnumerateRequest('auto', 0x102).subarray(0, 8)]).toEqual([3, 2, 0, 0, 2, 1, 0, 0]);
  expect(buildAddressesRequest('00:15:5D:00:00:00')).toHaveLength(7428);
});

it.each([
  ['a text', 1, [104, 0, 105, 0, 0, 0], 'hi'],
  ['a text with variables', 2, [104, 0, 0, 0], 'h'],
  ['a text without an end', 1, [104, 0, 105, 0], 'hi'],
  ['a text longer than its size', 1, [104, 0, 105, 0, 106, 0], 'hi', 4],
  ['32 bits', 4, [1, 0, 0, 0x80], '2147483649'],
  ['64 bits', 11, [1, 0, 0, 0, 0, 0, 0, 0x80], '9223372036854775809'],
  ["64 bits by Linux's number", 8, [2, 0, 0, 0, 0, 0, 0, 0], '2'],
])('a value may be %s', (_, type, value, expected, size?: number) => {
  expect(parseValueAnswer(answer(type, value, size))).toEqual({ key: 'key', value: expected });
});

it('what is no value is none', () => {
  expect(parseValueAnswer(answer(3, [1]))).toBeUndefined();
  expect(parseValueAnswer(new Uint8Array(100))).toBeUndefined();
  expect(parseValueAnswer(answer(1, []).subarray(0, 2579))).toBeUndefined();
  expect(parseValueAnswer(answer(1, [104, 0], 0xffffffff))?.value).toBe('h');
  expect(parseAddressesAnswer(new Uint8Array(7427))).toBeUndefined();
});

it('addresses that do not fit are not sent', () => {
  const none = { dhcp: false, addresses: [], subnets: [], gateways: [], dnsServers: [] };
  expect(buildAddressesRequest('x'.repeat(128))).toBeUndefined();
  for (const name of ['addresses', 'subnets', 'gateways', 'dnsServers']) {
    expect(buildAddressesRequest('x', { ...none, [name]: ['y'.repeat(1024)] })).toBeUndefined();
  }
  expect(buildAddressesRequest('x', none)?.[258]).toBe(0);
});

import { describe, expect, it } from 'vitest';
import { checkHost, type HostFacts } from './host-requirements.ts';

const good: HostFacts = {
  nodeVersion: '20.20.0',
  availableBytes: 2 ** 31,
  extendedFeatures: 1 << 20,
  hasSharedMemory: true,
  access: () => 'ok',
  hasProgram: () => true,
};
const states = (facts: Partial<HostFacts>): Record<string, string> =>
  Object.fromEntries(checkHost({ ...good, ...facts }).map(({ name, state }) => [name, state]));
const allOk = { nx: 'ok', memory: 'ok', node: 'ok', 'shared-memory': 'ok', kvm: 'ok', tap: 'ok', apt: 'ok' };

describe('the requirements', () => {
  it('are all met by a machine that has everything, with nothing left to do', () => {
    expect(states({})).toEqual(allOk);
    expect(checkHost(good).map(({ remedy }) => remedy)).toEqual(['', '', '', '', '', '', '']);
  });

  it.each<[string, Partial<HostFacts>, Record<string, string>]>([
    ['no NX', { extendedFeatures: 0 }, { nx: 'missing' }],
    ['little memory', { availableBytes: 2 ** 29 }, { memory: 'missing' }],
    ['an old Node.js', { nodeVersion: '20.18.3' }, { node: 'missing' }],
    ['an older Node.js', { nodeVersion: '18.20.0' }, { node: 'missing' }],
    ['no threads', { hasSharedMemory: false }, { 'shared-memory': 'missing' }],
    ['no KVM and no TAP', { access: () => 'not there' }, { kvm: 'absent', tap: 'absent' }],
    ['no dpkg', { hasProgram: (name) => name !== 'dpkg-deb' }, { apt: 'absent' }],
  ])('tell %s', (_, facts, expected) => {
    expect(states(facts)).toEqual({ ...allOk, ...expected });
    for (const { state, remedy } of checkHost({ ...good, ...facts })) expect(remedy === '').toBe(state === 'ok');
  });

  it('tell a device that may not be used from one that is not there', () => {
    const remedies = (access: 'not there' | 'not permitted'): (string | undefined)[] =>
      checkHost({ ...good, access: () => access })
        .filter(({ name }) => name === 'kvm')
        .map(({ remedy }) => remedy);
    expect(remedies('not there')).toEqual([expect.stringContaining('load the modules')]);
    expect(remedies('not permitted')).toEqual([expect.stringContaining('group kvm')]);
  });

  it('are looked at on this machine, which runs this test', () => {
    expect(checkHost()).toContainEqual(expect.objectContaining({ name: 'node', state: 'ok' }));
    expect(checkHost()).toContainEqual(expect.objectContaining({ name: 'nx', state: 'ok' }));
  });
});

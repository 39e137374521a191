import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { imageListCommand, imageRemoveCommand } from './image-command.ts';
import { findMachine, inspectCommand } from './inspect-command.ts';

const home = mkdtempSync(join(tmpdir(), 'plinth-cli-'));
afterAll(() => rmSync(home, { recursive: true }));

describe('plinth image', () => {
  it('lists images that are not built', async () => {
    const rows: unknown = JSON.parse(await imageListCommand(home, 'json'));
    expect(rows).toContainEqual(expect.objectContaining({ name: 'debian-tiny', state: 'missing', sizeBytes: null }));
    expect(await imageListCommand(home, 'table')).toMatch(
      /^NAME +STATE +KERNEL +SIZE +BUILT +DESCRIPTION\ndebian-tiny +missing/,
    );
    expect((await imageListCommand(home, 'name')).split('\n')).toContain('debian-tiny');
  });

  it('refuses to remove what is not there', async () => {
    await expect(imageRemoveCommand(home, 'debian-tiny')).rejects.toMatchObject({ code: 'PL-2102' });
    await expect(imageRemoveCommand(home, '../x')).rejects.toMatchObject({ code: 'PL-2101' });
  });
});

describe('plinth inspect', () => {
  const machine = (name: string) => ({ name, id: `id-of-${name}`, pid: 1, socket: `/${name}.sock` });

  it('shows nothing where nothing runs', async () => {
    expect(await inspectCommand(home, 'vms', 'json')).toBe('[]\n');
    expect(await inspectCommand(home, 'vms', 'table')).toBe('NAME  PID  SOCKET\n');
    const empty = { vms: {}, hypervisor: { partitions: {} } };
    expect(JSON.parse(await inspectCommand(home, '/', 'json'))).toEqual(empty);
    expect(JSON.parse(await inspectCommand(home, 'hypervisor/partitions', 'json'))).toEqual({});
  });

  it('refuses other branches and machines that do not run', async () => {
    await expect(inspectCommand(home, 'nothing', 'json')).rejects.toMatchObject({ code: 'PL-1018', exitStatus: 1 });
    await expect(inspectCommand(home, 'vms/x', 'json')).rejects.toMatchObject({ code: 'PL-1017', exitStatus: 1 });
  });

  it('finds a machine by its name or a prefix that no other has', () => {
    const machines = [machine('web'), machine('web-2'), machine('store')];
    expect(findMachine(machines, 'web').name).toBe('web');
    expect(findMachine(machines, 'web-').name).toBe('web-2');
    expect(findMachine(machines, 's').name).toBe('store');
    expect(() => findMachine(machines, 'w')).toThrowError(/running now: web, web-2\./);
    expect(() => findMachine(machines, 'x')).toThrowError(/running now: web, web-2, store\./);
    expect(() => findMachine([], 'x')).toThrowError(/running now: none\./);
  });
});

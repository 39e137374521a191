import { describe, expect, it } from 'vitest';
import { parseCommandLine } from './command-line.ts';

const parsed = (...words: string[]) => {
  const invocation = parseCommandLine(words);
  if (invocation.kind !== 'command') throw new Error(invocation.text);
  const { command, arguments: names, options } = invocation;
  return { command: command.name, names, options };
};

describe("Hyper-V's own verbs", () => {
  it.each([
    [['Disable-VMIntegrationService', '-VMName', 'web', '-Name', 'Guest Service Interface'], 'vm disable'],
    [['disable-vmintegrationservice', '-name:Guest Service Interface', '-vmname', 'web'], 'vm disable'],
    [['ENABLE-VMINTEGRATIONSERVICE', 'Guest Service Interface', 'web'], 'vm enable'],
    [['Enable-VMIntegrationService', '-VMName', 'web', 'Guest Service Interface'], 'vm enable'],
  ])('%j', (words, command) => {
    expect(parsed(...words)).toEqual({ command, names: ['web', 'Guest Service Interface'], options: {} });
  });

  it('show services as `vm show` does', () => {
    expect(parsed('Get-VMIntegrationService', '-VMName', 'web', '-o', 'json')).toEqual({
      command: 'vm show',
      names: ['web'],
      options: { '--output': 'json' },
    });
  });

  it.each([
    [['Enable-VMIntegrationService', '-VMName', 'web'], 'PL-1007'],
    [['Enable-VMIntegrationService', '-VMName'], 'PL-1003'],
    [['Enable-VMIntegrationService', '-Passthru', '-VMName', 'web'], 'PL-1002'],
    [['Enable-VMIntegrationService', 'a', 'b', 'c'], 'PL-1008'],
    [['Set-VM', '-Name', 'web'], 'PL-1006'],
  ])('refuse %j with %s', (words, code) => {
    expect(() => parseCommandLine(words)).toThrow(expect.objectContaining({ code }));
  });
});

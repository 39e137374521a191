/**
 * What a machine needs to run Plinth, checked one by one: `plinth host check`.
 *
 * Each requirement is a row: what it is, whether it is needed at all or only for something, how it is looked at, and what helps.
 * Called by: cli.
 */
import { accessSync, constants, existsSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import { defaultCpuid } from '@plinth/processor/host';

export interface RequirementResult {
  readonly name: string;
  /** `missing` is in the way; `absent` only of what it is `neededFor`. */
  readonly state: 'ok' | 'missing' | 'absent';
  /** What does not work without it. */
  readonly neededFor: string;
  /** What was found. */
  readonly found: string;
  /** What to do; empty when there is nothing to do. */
  readonly remedy: string;
}

/** What the checks look at; the machine's own unless a test gives another. */
export interface HostFacts {
  readonly nodeVersion: string;
  /** Bytes that a process may still take, by the operating system's or its container's word. */
  readonly availableBytes: number;
  /** EDX of CPUID leaf 0x80000001 as guests get it. */
  readonly extendedFeatures: number;
  readonly hasSharedMemory: boolean;
  /** Whether a file may be read and written, or why not. */
  access(path: string): 'ok' | 'not there' | 'not permitted';
  hasProgram(name: string): boolean;
}

interface Requirement {
  readonly name: string;
  readonly needed: boolean;
  readonly neededFor: string;
  readonly check: (facts: HostFacts) => { readonly ok: boolean; readonly found: string; readonly remedy: string };
}

const MIB = 1024 * 1024;
const NODE_MINIMUM = [20, 19, 0] as const;
const FEATURE_NX = 1 << 20;
/** The default guest's RAM, and what its process takes beside it. */
const MEMORY_MINIMUM = (512 + 256) * MIB;

const REQUIREMENTS: readonly Requirement[] = [
  {
    name: 'nx',
    needed: true,
    neededFor: 'every virtual machine',
    check: ({ extendedFeatures }) => ({
      ok: (extendedFeatures & FEATURE_NX) !== 0,
      found: `the virtual processor ${(extendedFeatures & FEATURE_NX) !== 0 ? 'has' : 'lacks'} data execution prevention (NX)`,
      remedy: 'a version of Plinth whose processor has NX; the hypervisor does not launch without it (PL-4111)',
    }),
  },
  {
    name: 'memory',
    needed: true,
    neededFor: 'a virtual machine of 512 MiB',
    check: ({ availableBytes }) => ({
      ok: availableBytes >= MEMORY_MINIMUM,
      found: `${Math.floor(availableBytes / MIB)} MiB are available`,
      remedy: 'end other programs, or plinth run --memory 128M',
    }),
  },
  {
    name: 'node',
    needed: true,
    neededFor: 'Plinth itself',
    check: ({ nodeVersion }) => ({
      ok: isAtLeast(nodeVersion, NODE_MINIMUM),
      found: `Node.js ${nodeVersion}`,
      remedy: `Node.js ${NODE_MINIMUM.join('.')} or newer, from nodejs.org or your distribution`,
    }),
  },
  {
    name: 'shared-memory',
    needed: true,
    neededFor: 'every virtual machine',
    check: ({ hasSharedMemory }) => ({
      ok: hasSharedMemory,
      found: `WebAssembly memory shared by threads is ${hasSharedMemory ? '' : 'not '}there`,
      remedy:
        'start Node.js without options that take WebAssembly or SharedArrayBuffer away (--jitless, --no-experimental-wasm..)',
    }),
  },
  {
    name: 'kvm',
    needed: false,
    neededFor: 'running guest code on the processor itself; the software processor needs nothing',
    check: (facts) => deviceResult(facts, '/dev/kvm', 'load the modules kvm_intel or kvm_amd', 'kvm'),
  },
  {
    name: 'tap',
    needed: false,
    neededFor: 'connecting a switch to a network of the host; the user-mode network needs nothing',
    check: (facts) => deviceResult(facts, '/dev/net/tun', 'load the module tun', 'netdev'),
  },
  {
    name: 'apt',
    needed: false,
    neededFor: 'plinth image build; guests of your own files need nothing',
    check: (facts) => {
      const missing = ['apt-get', 'apt-cache', 'dpkg-deb', 'xz'].filter((program) => !facts.hasProgram(program));
      return {
        ok: missing.length === 0,
        found:
          missing.length === 0 ? 'apt-get, apt-cache, dpkg-deb and xz are there' : `${missing.join(', ')} not found`,
        remedy: 'a Debian or Ubuntu machine with apt and xz-utils, or plinth run --kernel FILE --initrd FILE',
      };
    },
  },
];

/** Looks at each requirement. */
export function checkHost(facts: HostFacts = thisHost()): RequirementResult[] {
  return REQUIREMENTS.map(({ name, needed, neededFor, check }) => {
    const { ok, found, remedy } = check(facts);
    return { name, state: ok ? 'ok' : needed ? 'missing' : 'absent', neededFor, found, remedy: ok ? '' : remedy };
  });
}

function deviceResult(
  facts: HostFacts,
  path: string,
  load: string,
  group: string,
): { readonly ok: boolean; readonly found: string; readonly remedy: string } {
  const access = facts.access(path);
  return {
    ok: access === 'ok',
    found: access === 'ok' ? `${path} can be used` : `${path} is ${access}`,
    remedy:
      access === 'not there'
        ? `${load}, as root; inside a container, pass ${path} in`
        : `add your user to the group ${group}, and log in again`,
  };
}

function isAtLeast(version: string, minimum: readonly number[]): boolean {
  const parts = version.replace(/^v/, '').split(/[.-]/).map(Number);
  for (const [index, wanted] of minimum.entries()) {
    const part = parts[index] ?? 0;
    if (part !== wanted) return part > wanted;
  }
  return true;
}

function thisHost(): HostFacts {
  return {
    nodeVersion: process.versions.node,
    availableBytes: process.availableMemory(),
    extendedFeatures: defaultCpuid({ processors: 1 }).find(({ leaf }) => leaf === 0x80000001)?.edx ?? 0,
    hasSharedMemory: hasSharedMemory(),
    access(path) {
      if (!existsSync(path)) return 'not there';
      try {
        accessSync(path, constants.R_OK | constants.W_OK);
        return 'ok';
      } catch {
        return 'not permitted'; // Whatever the reason: it is there and cannot be used.
      }
    },
    hasProgram: (name) =>
      (process.env.PATH ?? '').split(delimiter).some((folder) => folder !== '' && existsSync(join(folder, name))),
  };
}

function hasSharedMemory(): boolean {
  try {
    return new WebAssembly.Memory({ initial: 1, maximum: 1, shared: true }).buffer instanceof SharedArrayBuffer;
  } catch {
    return false; // No WebAssembly, or none with threads: each is thrown in its own way.
  }
}

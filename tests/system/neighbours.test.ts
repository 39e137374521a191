/**
 * Two machines side by side: one runs Debian with its services at work, the other is hostile and guesses all that the first uses: its
 * connection ids, channel ids (relids) and GPADL handles. It gets nothing, and the first does not notice.
 *
 * The hostile guest is a few bytes of machine code: it enables its hypercalls, signals 65,536 connections, posts prepared messages,
 * and writes each status to its serial port.
 */
import { createHash, randomBytes } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, expect, it } from 'vitest';
import { endAll, launcher, plinth, start } from '../support/plinth.ts';
import { type RunningGuest, startGuest } from '../support/running-guest.ts';
import { savedGuest } from '../support/saved-guest.ts';
import { entryPoint, writeTinyKernel } from '../support/tiny-guest.ts';

const folder = mkdtempSync(join(tmpdir(), 'plinth-neighbours-'));
afterEach(endAll);
afterAll(() => rmSync(folder, { recursive: true }));

const HV_STATUS = { success: 0, invalidConnectionId: 0x12 } as const;
/** Where code ends and the messages begin, from the entry point on. */
const MESSAGES = 0x200;
const MESSAGE_BYTES = 256;

const u32 = (value: number): number[] => [0, 8, 16, 24].map((shift) => (value >>> shift) & 0xff);
const wrmsr = (register: number, value: number): number[] => [
  ...[0xb9, ...u32(register), 0xb8, ...u32(value)],
  ...[0x31, 0xd2, 0x0f, 0x30], // xor %edx,%edx; wrmsr
];

/** The parameters of HvCallPostMessage. @param words of the VMBus message, its type first */
function post(connectionId: number, words: readonly number[]): number[] {
  const [type = 0, ...rest] = words;
  const payload = [...u32(type), ...u32(0), ...rest.flatMap(u32)];
  const call = [...u32(connectionId), ...u32(0), ...u32(1), ...u32(payload.length), ...payload];
  return [...call, ...new Array<number>(MESSAGE_BYTES - call.length).fill(0)];
}

/** The whole guest: it ends with the bytes that it has sent, and an `E`. */
function hostileGuest(messages: readonly number[][]): number[] {
  // push %rdx; push %rax; mov $0x3fd,%edx; 1: in; test $0x20,%al; jz 1b; pop %rax; mov $0x3f8,%edx; out; pop %rdx; ret
  const put = [
    0x52,
    0x50,
    0xba,
    ...u32(0x3fd),
    0xec,
    0xa8,
    0x20,
    0x74,
    0xfb,
    0x58,
    0xba,
    ...u32(0x3f8),
    0xee,
    0x5a,
    0xc3,
  ];
  const code: number[] = [0xe9, ...u32(put.length), ...put];
  const call = (): void => {
    code.push(0xe8, ...u32(5 - (code.length + 5)));
  };
  code.push(0xbc, ...u32(0x2200000)); // mov $stack,%esp
  code.push(...wrmsr(0x40000000, 1), ...wrmsr(0x40000001, 0x2000001));
  // HvCallSignalEvent, fast, for each number in %ebx; successes are counted in %r12d.
  code.push(0x45, 0x31, 0xe4, 0x31, 0xdb);
  code.push(0xb9, ...u32(0x1005d), 0x89, 0xda, 0x0f, 0x01, 0xd9); // mov $call,%ecx; mov %ebx,%edx; vmmcall
  code.push(0x66, 0x85, 0xc0, 0x75, 0x03, 0x41, 0xff, 0xc4); // test %ax,%ax; jnz 1f; inc %r12d
  code.push(0xff, 0xc3, 0x81, 0xfb, ...u32(0x10000), 0x72, 0xe4); // 1: inc %ebx; cmp $65536,%ebx; jb
  code.push(0x44, 0x88, 0xe0); // mov %r12b,%al
  call();
  code.push(0x44, 0x89, 0xe0, 0xc1, 0xe8, 0x08); // mov %r12d,%eax; shr $8,%eax
  call();
  // HvCallPostMessage for each message at %r13, %r14d of them.
  code.push(0x41, 0xbd, ...u32(entryPoint + MESSAGES), 0x41, 0xbe, ...u32(messages.length));
  const loop = code.length;
  code.push(0xb9, ...u32(0x5c), 0x4c, 0x89, 0xea, 0x45, 0x31, 0xc0, 0x0f, 0x01, 0xd9);
  call();
  code.push(0x49, 0x81, 0xc5, ...u32(MESSAGE_BYTES), 0x41, 0xff, 0xce); // add; dec %r14d
  code.push(0x75, (loop - (code.length + 2)) & 0xff); // jnz
  code.push(0xb0, 0x45); // mov $'E',%al
  call();
  code.push(0xfb, 0xf4, 0xeb, 0xfd); // 1: sti; hlt; jmp 1b
  if (code.length > MESSAGES) throw new RangeError('the code lies where the messages are');
  return [...code, ...new Array<number>(MESSAGES - code.length).fill(0), ...messages.flat()];
}

interface Bus {
  readonly connection: { readonly gpadls: number; readonly lentPages: number };
  readonly channels: Record<string, { readonly state: string; readonly channelId: number }>;
  readonly events: { readonly count: number; readonly last: readonly string[] };
}
const busOf = (guest: RunningGuest): Promise<Bus> => guest.inspect('vmbus') as Promise<Bus>;

it('a hostile machine guesses the ids of another, and gets nothing', async () => {
  const victim = await startGuest(await savedGuest());
  await victim.allServicesWork();
  const before = await busOf(victim);
  const channels = Object.values(before.channels).map(({ channelId }) => channelId);
  expect(channels).toHaveLength(6);
  // Linux counts its handles from here on.
  const handles = Array.from({ length: before.connection.gpadls }, (_, index) => 0xe1e10 + index);
  const guesses = channels.flatMap((relid, index) => {
    const handle = handles[index] ?? 0;
    return [
      [11, relid, handle], // take back the ring
      [7, relid], // close
      [5, relid, relid, handle, 0, 4, ...new Array<number>(30).fill(0)], // open with the other's ring
      [22, relid, 0], // move its interrupts
      [13, relid], // release it
    ];
  });
  const contact = [14, 0x50003, 0, 2, 0, 0, 0, 0, 0];
  const strangers = [0, 2, 3, 5, 0x1001, 0x2001, 0x2002, 0x2003];
  const messages = [
    ...strangers.map((connection) => post(connection, [7, channels[0] ?? 0])),
    ...guesses.map((words) => post(4, words)), // before it is connected
    post(4, contact),
    ...guesses.map((words) => post(4, words)), // connected, and offered nothing
    post(4, [3]), // from here on it has channels of its own, of which none is open
    ...handles.flatMap((handle) => channels.map((relid) => post(4, [11, relid, handle]))),
  ];
  const kernel = writeTinyKernel(folder, 'hostile', hostileGuest(messages));
  // The first machine is at work meanwhile.
  const bytes = randomBytes(4 * 2 ** 20);
  writeFileSync(join(folder, 'file'), bytes);
  const copy = plinth(['vm', 'cp', join(folder, 'file'), `${victim.name}:/tmp/`]);
  const name = `hostile-${process.pid}`;
  const output = join(folder, 'console');
  const words = ['run', '--kernel', kernel, '--memory', '64M', '--name', name, '--console', `file:${output}`];
  const hostile = start(launcher, words);
  const said = (): Buffer => readFileSync(output);
  await victim.until(async () => {
    if (hostile.child.exitCode !== null) throw new Error(hostile.stderr());
    return hostile.child.pid !== undefined && (await plinth(['inspect', `vms/${name}/name`])).status === 0;
  });
  await victim.until(async () => said().length >= messages.length + 3);
  const [low = 0, high = 0, ...statuses] = said();
  expect(low | (high << 8)).toBe(0);
  expect(statuses.pop()).toBe(0x45);
  expect(statuses.slice(0, strangers.length)).toEqual(strangers.map(() => HV_STATUS.invalidConnectionId));
  // What it may send to its own bus is taken, and led to nothing but an event.
  expect(new Set(statuses.slice(strangers.length))).toEqual(new Set([HV_STATUS.success]));
  const other = JSON.parse((await plinth(['inspect', `vms/${name}/vmbus`, '-o', 'json'])).stdout) as Bus;
  expect(other.events.count).toBe(messages.length - strangers.length - 1 - channels.length);
  expect(
    other.events.last.every((line) => /channel \d+, which it was not offered|which it had not lent/.test(line)),
  ).toBe(true);
  expect(Object.values(other.channels).map(({ state }) => state)).toEqual(channels.map(() => 'offered'));
  expect(other.connection).toMatchObject({ gpadls: 0, lentPages: 0 });

  expect((await copy).status).toBe(0);
  expect(await victim.output('sha256sum </tmp/file')).toBe(`${createHash('sha256').update(bytes).digest('hex')}  -`);
  const after = await busOf(victim);
  expect(after.events).toEqual(before.events);
  expect(after.connection).toEqual(before.connection);
  const states = (bus: Bus): unknown =>
    Object.entries(bus.channels).map(([key, { state, channelId }]) => [key, state, channelId]);
  expect(states(after)).toEqual(states(before));
  await victim.allServicesWork();
  expect((await plinth(['vm', 'kvp', victim.name, 'set', 'still', 'here'])).status).toBe(0);
  // Their partitions are two, with ids and ports of their own.
  const partitions = Object.values(
    JSON.parse((await plinth(['inspect', 'hypervisor/partitions', '-o', 'json'])).stdout) as Record<
      string,
      { vm?: string }
    >,
  );
  for (const vm of [name, victim.name]) expect(partitions.filter((partition) => partition.vm === vm)).toHaveLength(1);
  expect((await plinth(['vm', 'turn-off', name])).status).toBe(0);
  await victim.stop();
});

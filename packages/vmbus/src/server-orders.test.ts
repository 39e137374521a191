/**
 * Every message about a channel in every state that the channel can be in: the state it is in afterwards, the answers that the guest
 * gets, and what is reported. Orders that are as they should be stand beside those that are not.
 */
import { describe, expect, it } from 'vitest';
import type { Channel } from './channel.ts';
import { EchoDevice } from './testing/echo-device.ts';
import { LinuxGuest } from './testing/linux-guest.ts';
import { TestMachine } from './testing/test-machine.ts';

const RELID = 1;
/** Lent to the channel before, and not its ring. */
const SPARE = 0x77;

/** A machine with one channel in a state. */
class Scene {
  readonly machine = new TestMachine();
  readonly guest = new LinuxGuest(this.machine);
  readonly echo = new EchoDevice();
  ring = 0;
  /** As its device has it. */
  channel: Channel | undefined;

  constructor() {
    this.machine.bus.offer(this.echo);
    this.guest.boot();
    for (const part of this.guest.gpadlMessages(RELID, SPARE, this.machine.allocate(8))) this.guest.post(part);
    this.guest.wait(10);
  }

  open(): void {
    this.ring = this.guest.opened(RELID).ringGpadl;
    [this.channel] = this.echo.open_;
  }

  /** The channel's, as the bus has it. */
  get state(): string {
    const [channel] = this.machine.bus.status().channels;
    return channel?.state ?? 'gone';
  }
}

const STATES = {
  offered: () => {},
  open: (scene) => scene.open(),
  closing: (scene) => {
    scene.echo.slow = true;
    scene.open();
    scene.guest.closeMessage(RELID);
  },
  broken: (scene) => {
    scene.open();
    [...scene.echo.open_][0]?.fail('for the test');
  },
  rescinded: (scene) => {
    scene.open();
    scene.machine.bus.rescind('echo');
  },
  'closing and rescinded': (scene) => {
    scene.echo.slow = true;
    scene.open();
    scene.machine.bus.rescind('echo');
  },
  released: (scene) => scene.guest.releaseChannel(RELID),
} as const satisfies Record<string, (scene: Scene) => void>;
type StateName = keyof typeof STATES;

const words = (type: number, ...values: number[]): Uint8Array => {
  const bytes = new Uint8Array(8 + values.length * 4);
  const view = new DataView(bytes.buffer);
  [type, 0, ...values].forEach((value, index) => {
    view.setUint32(index * 4, value, true);
  });
  return bytes;
};
const MESSAGES = {
  'OpenChannel with its ring': ({ guest, ring }) => guest.openMessage(RELID, ring, 4),
  'OpenChannel with another ring': ({ guest }) => guest.openMessage(RELID, SPARE, 4),
  'OpenChannel without a ring': ({ guest }) => guest.openMessage(RELID, 0x5555, 4),
  CloseChannel: () => words(7, RELID),
  'GpadlHeader of a new list': ({ guest, machine }) =>
    guest.gpadlMessages(RELID, 0x99, machine.allocate(2))[0] ?? new Uint8Array(0),
  'GpadlHeader of a number in use': ({ guest, machine }) =>
    guest.gpadlMessages(RELID, SPARE, machine.allocate(2))[0] ?? new Uint8Array(0),
  'GpadlTeardown of its ring': ({ ring }) => words(11, RELID, ring),
  'GpadlTeardown of another list': () => words(11, RELID, SPARE),
  'GpadlTeardown of nothing': () => words(11, RELID, 0x5555),
  ModifyChannel: () => words(22, RELID, 1),
  'ModifyChannel to nowhere': () => words(22, RELID, 77),
  RelIdReleased: () => words(13, RELID),
} as const satisfies Record<string, (scene: Scene) => Uint8Array>;
type MessageName = keyof typeof MESSAGES;

const ANSWERS: Readonly<Record<number, string>> = {
  6: 'OpenResult',
  10: 'GpadlCreated',
  12: 'GpadlTorndown',
  24: 'ModifyResponse',
};
/** Offsets of the status in the answers that have one. */
const STATUS_AT: Readonly<Record<number, number>> = { 6: 16, 10: 16, 24: 12 };

/** The answers that have come, with 'fails' where they say so. */
function answersOf(guest: LinuxGuest): string[] {
  return Object.entries(ANSWERS).flatMap(([type, name]) => {
    if (!guest.has(Number(type))) return [];
    const offset = STATUS_AT[Number(type)];
    const answer = guest.wait(Number(type));
    return offset !== undefined && answer.getUint32(offset, true) !== 0 ? [`${name} fails`] : [name];
  });
}

/** State afterwards, answers, events. */
function outcome(state: StateName, message: MessageName): string {
  const scene = new Scene();
  STATES[state](scene);
  const { guest, machine } = scene;
  const before = machine.host.warnings().length;
  guest.post(MESSAGES[message](scene));
  machine.host.settle();
  const answers = answersOf(guest);
  const events = machine.host.warnings().length - before;
  return [scene.state, ...answers, ...new Array<string>(events).fill('event')].join(', ');
}

const EXPECTED: Readonly<Record<StateName, Readonly<Record<MessageName, string>>>> = {
  offered: {
    'OpenChannel with its ring': 'offered, OpenResult fails, event',
    'OpenChannel with another ring': 'open, OpenResult',
    'OpenChannel without a ring': 'offered, OpenResult fails, event',
    CloseChannel: 'offered, event',
    'GpadlHeader of a new list': 'offered, GpadlCreated',
    'GpadlHeader of a number in use': 'offered, GpadlCreated fails, event',
    'GpadlTeardown of its ring': 'offered, event',
    'GpadlTeardown of another list': 'offered, GpadlTorndown',
    'GpadlTeardown of nothing': 'offered, event',
    ModifyChannel: 'offered, ModifyResponse fails, event',
    'ModifyChannel to nowhere': 'offered, ModifyResponse fails, event',
    RelIdReleased: 'unoffered',
  },
  open: {
    'OpenChannel with its ring': 'open, event',
    'OpenChannel with another ring': 'open, event',
    'OpenChannel without a ring': 'open, event',
    CloseChannel: 'offered',
    'GpadlHeader of a new list': 'open, GpadlCreated',
    'GpadlHeader of a number in use': 'open, GpadlCreated fails, event',
    'GpadlTeardown of its ring': 'broken, GpadlTorndown, event',
    'GpadlTeardown of another list': 'open, GpadlTorndown',
    'GpadlTeardown of nothing': 'open, event',
    ModifyChannel: 'open, ModifyResponse',
    'ModifyChannel to nowhere': 'open, ModifyResponse fails, event',
    RelIdReleased: 'open, event',
  },
  closing: {
    'OpenChannel with its ring': 'closing',
    'OpenChannel with another ring': 'closing',
    'OpenChannel without a ring': 'closing',
    CloseChannel: 'closing',
    'GpadlHeader of a new list': 'closing, GpadlCreated',
    'GpadlHeader of a number in use': 'closing, GpadlCreated fails, event',
    'GpadlTeardown of its ring': 'closing',
    'GpadlTeardown of another list': 'closing',
    'GpadlTeardown of nothing': 'closing, event',
    ModifyChannel: 'closing, ModifyResponse fails, event',
    'ModifyChannel to nowhere': 'closing, ModifyResponse fails, event',
    RelIdReleased: 'closing',
  },
  broken: {
    'OpenChannel with its ring': 'broken, OpenResult fails, event',
    'OpenChannel with another ring': 'broken, OpenResult fails, event',
    'OpenChannel without a ring': 'broken, OpenResult fails, event',
    CloseChannel: 'offered',
    'GpadlHeader of a new list': 'broken, GpadlCreated',
    'GpadlHeader of a number in use': 'broken, GpadlCreated fails, event',
    'GpadlTeardown of its ring': 'broken, GpadlTorndown',
    'GpadlTeardown of another list': 'broken, GpadlTorndown',
    'GpadlTeardown of nothing': 'broken, event',
    ModifyChannel: 'broken, ModifyResponse fails, event',
    'ModifyChannel to nowhere': 'broken, ModifyResponse fails, event',
    RelIdReleased: 'unoffered',
  },
  rescinded: {
    'OpenChannel with its ring': 'rescinded',
    'OpenChannel with another ring': 'rescinded',
    'OpenChannel without a ring': 'rescinded',
    CloseChannel: 'rescinded',
    'GpadlHeader of a new list': 'rescinded, GpadlCreated',
    'GpadlHeader of a number in use': 'rescinded, GpadlCreated fails, event',
    'GpadlTeardown of its ring': 'rescinded, GpadlTorndown',
    'GpadlTeardown of another list': 'rescinded, GpadlTorndown',
    'GpadlTeardown of nothing': 'rescinded, event',
    ModifyChannel: 'rescinded, ModifyResponse fails, event',
    'ModifyChannel to nowhere': 'rescinded, ModifyResponse fails, event',
    RelIdReleased: 'gone',
  },
  'closing and rescinded': {
    'OpenChannel with its ring': 'closing',
    'OpenChannel with another ring': 'closing',
    'OpenChannel without a ring': 'closing',
    CloseChannel: 'closing',
    'GpadlHeader of a new list': 'closing, GpadlCreated',
    'GpadlHeader of a number in use': 'closing, GpadlCreated fails, event',
    'GpadlTeardown of its ring': 'closing',
    'GpadlTeardown of another list': 'closing',
    'GpadlTeardown of nothing': 'closing, event',
    ModifyChannel: 'closing, ModifyResponse fails, event',
    'ModifyChannel to nowhere': 'closing, ModifyResponse fails, event',
    RelIdReleased: 'closing',
  },
  released: {
    'OpenChannel with its ring': 'unoffered, event',
    'OpenChannel with another ring': 'unoffered, event',
    'OpenChannel without a ring': 'unoffered, event',
    CloseChannel: 'unoffered, event',
    'GpadlHeader of a new list': 'unoffered, GpadlCreated fails, event',
    'GpadlHeader of a number in use': 'unoffered, GpadlCreated fails, event',
    'GpadlTeardown of its ring': 'unoffered, event',
    'GpadlTeardown of another list': 'unoffered, event',
    'GpadlTeardown of nothing': 'unoffered, event',
    ModifyChannel: 'unoffered, event',
    'ModifyChannel to nowhere': 'unoffered, event',
    RelIdReleased: 'unoffered, event',
  },
};

describe.each(Object.keys(STATES) as StateName[])('a channel that is %s', (state) => {
  it.each(Object.keys(MESSAGES) as MessageName[])('%s', (message) => {
    expect(outcome(state, message)).toBe(EXPECTED[state][message]);
  });
});

describe('the answers that wait for a slow device', () => {
  it.each<[StateName, MessageName, string]>([
    ['closing', 'GpadlTeardown of its ring', 'GpadlTorndown'],
    ['closing', 'OpenChannel with another ring', 'OpenResult'],
    ['closing and rescinded', 'GpadlTeardown of its ring', 'GpadlTorndown'],
  ])('%s: %s', (state, message, answer) => {
    const scene = new Scene();
    STATES[state](scene);
    const channel = scene.channel;
    scene.guest.post(MESSAGES[message](scene));
    expect(answersOf(scene.guest)).toEqual([]);
    channel?.closed();
    expect(answersOf(scene.guest)).toEqual([answer]);
  });
});

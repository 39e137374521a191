/** The host's side of the agent: what it says, what it understands, and that nothing a guest sends can harm it. */
import { PlinthError } from '@plinth/errors';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { type AgentEvent, AgentProtocol, commandLimit, inputPiece, inputWindow } from './agent-protocol.ts';

const text = (bytes: Uint8Array): string => Buffer.from(bytes).toString('latin1');
const bytes = (content: string): Uint8Array => new Uint8Array(Buffer.from(content, 'latin1'));
const base64 = (content: Uint8Array): string => Buffer.from(content).toString('base64');

function receive(protocol: AgentProtocol, content: string): { events: readonly AgentEvent[]; send: string } {
  const { events, send } = protocol.receive(bytes(content));
  return { events, send: text(send) };
}

describe('to the guest', () => {
  it('a command is a line with its length and then its bytes', () => {
    const protocol = new AgentProtocol();
    expect(text(protocol.run('echo "ä"', { input: false }).send)).toBe('\n@run 1 9\necho "\u00c3\u00a4"');
    expect(text(protocol.run('cat', { input: true }).send)).toBe('\n@run-with-input 2 3\ncat');
    expect(protocol.running).toEqual([1, 2]);
    expect(text(protocol.ping())).toBe('@ping 0\n');
  });

  it('a command may have as many bytes as the agent takes, and not one more', () => {
    const protocol = new AgentProtocol();
    expect(() => protocol.run('x'.repeat(commandLimit), { input: false })).not.toThrow();
    expect(() => protocol.run('x'.repeat(commandLimit + 1), { input: false })).toThrow(PlinthError);
    expect(() => protocol.run('ä'.repeat(commandLimit / 2 + 1), { input: false })).toThrow('PL-2112');
  });

  it('input goes in pieces, as many as the window allows, the rest as the guest acknowledges', () => {
    const protocol = new AgentProtocol();
    const { id } = protocol.run('cat', { input: true });
    const data = new Uint8Array(inputPiece * (inputWindow + 1) + 5).fill(0x61);
    const first = text(protocol.input(id, data));
    expect(first.match(/@in 1 \d+\n/g)).toEqual(Array(inputWindow).fill(`@in 1 ${inputPiece}\n`));
    expect(text(protocol.endInput(id))).toBe('');
    expect(receive(protocol, '@ack 1\n').send).toBe(`@in 1 ${inputPiece}\n${'a'.repeat(inputPiece)}`);
    expect(receive(protocol, '@ack 1\n').send).toBe('@in 1 5\naaaaa@end-of-input 1\n');
    expect(receive(protocol, '@ack 1\n'.repeat(inputWindow - 1)).events).toEqual([]);
    expect(receive(protocol, '@ack 1\n')).toEqual({ events: [{ kind: 'input-taken', id: 1 }], send: '' });
    // Input after its end goes nowhere.
    expect(text(protocol.input(id, data))).toBe('');
    expect(text(protocol.endInput(id))).toBe('');
  });

  it('input is copied, so the caller may use its buffer again', () => {
    const protocol = new AgentProtocol();
    const { id } = protocol.run('cat', { input: true });
    const data = new Uint8Array(inputPiece * (inputWindow + 1)).fill(0x61);
    protocol.input(id, data);
    data.fill(0x62);
    expect(receive(protocol, '@ack 1\n').send).toBe(`@in 1 ${inputPiece}\n${'a'.repeat(inputPiece)}`);
  });

  it('a signal goes to a command that runs, and input to one that takes it', () => {
    const protocol = new AgentProtocol();
    const { id } = protocol.run('sleep 9', { input: false });
    expect(text(protocol.signal(id, 15))).toBe('@signal 1 15\n');
    expect(text(protocol.input(id, bytes('x')))).toBe('');
    receive(protocol, '@exit 1 143\n');
    expect(text(protocol.signal(id, 15))).toBe('');
  });

  it('ids go on from where a former run has ended', () => {
    expect(new AgentProtocol(41).run('true', { input: false }).id).toBe(41);
  });
});

describe('from the guest', () => {
  it('output, errors and the status', () => {
    const protocol = new AgentProtocol();
    protocol.run('x', { input: false });
    const { events } = receive(protocol, `\r\n@ready 1\n@out 1 AP8K\n@err 1 ${base64(bytes('no'))}\r\n@exit 1 137\n`);
    expect(events).toEqual([
      { kind: 'ready', version: 1 },
      { kind: 'stdout', id: 1, data: new Uint8Array([0, 255, 10]) },
      { kind: 'stderr', id: 1, data: bytes('no') },
      { kind: 'exit', id: 1, status: 137 },
    ]);
    expect(protocol.running).toEqual([]);
  });

  it('nothing follows a status, and nothing of an unknown command counts', () => {
    const protocol = new AgentProtocol();
    protocol.run('x', { input: false });
    expect(receive(protocol, '@out 7 AAAA\n@exit 7 0\n').events).toEqual([]);
    receive(protocol, '@exit 1 0\n');
    expect(receive(protocol, '@out 1 AAAA\n@exit 1 1\n@ack 1\n')).toEqual({ events: [], send: '' });
  });

  it.each([
    '@exit 1 256',
    '@exit 1 -1',
    '@exit 1 1e1',
    '@exit 1',
    '@out 1 A',
    '@out 1 A===',
    '@out 1 A=AA',
    '@out 1  AAAA',
    ' @out 1 AAAA',
    'x@out 1 AAAA',
    '@OUT 1 AAAA',
    '@out 1 AA\0A',
    '@ready 1 AAAA',
    '@ack 1 AAAA',
    '[    1.0] usb 1-1: new device',
  ])('%j is passed over', (line) => {
    const protocol = new AgentProtocol();
    protocol.run('x', { input: true });
    expect(receive(protocol, `${line}\n`)).toEqual({ events: [], send: '' });
    expect(receive(protocol, '@exit 1 0\n').events).toEqual([{ kind: 'exit', id: 1, status: 0 }]);
  });

  it('a line without end is passed over, and the next one is understood', () => {
    const protocol = new AgentProtocol();
    protocol.run('x', { input: false });
    const flood = new Uint8Array(100_000).fill(0x41);
    for (let index = 0; index < 20; index++) expect(protocol.receive(flood).events).toEqual([]);
    expect(receive(protocol, '\n@exit 1 5\n').events).toEqual([{ kind: 'exit', id: 1, status: 5 }]);
  });
});

/** A guest that is the agent's model: it answers what the protocol sends with what the real agent would. */
function exchange(sent: Uint8Array): { commands: string[]; input: Uint8Array; ended: boolean } {
  const commands: string[] = [];
  const input: Buffer[] = [];
  let ended = false;
  let rest = Buffer.from(sent);
  for (let newline = rest.indexOf(10); newline >= 0; newline = rest.indexOf(10)) {
    const [verb, , argument] = rest.subarray(0, newline).toString('latin1').split(' ');
    rest = rest.subarray(newline + 1);
    if (verb === '@end-of-input') ended = true;
    if (verb !== '@run-with-input' && verb !== '@in') continue;
    const content = rest.subarray(0, Number(argument));
    rest = rest.subarray(content.length);
    if (verb === '@in') input.push(content);
    else commands.push(content.toString('utf8'));
  }
  return { commands, input: Buffer.concat(input), ended };
}

describe('properties', () => {
  it('any input reaches the guest whole and in order, never more than the window at once', () => {
    fc.assert(
      fc.property(fc.string(), fc.array(fc.uint8Array({ maxLength: 40_000 }), { maxLength: 6 }), (command, pieces) => {
        const protocol = new AgentProtocol();
        const { id, send } = protocol.run(command, { input: true });
        const sent: Uint8Array[] = [send];
        let inFlight = 0;
        const take = (piece: Uint8Array): void => {
          sent.push(piece);
          inFlight += text(piece).match(/@in 1 \d+\n/g)?.length ?? 0;
        };
        // Only lines at the beginnings count, so the content has none of its own.
        for (const piece of pieces)
          take(
            protocol.input(
              id,
              piece.map((byte) => byte & 0x3f),
            ),
          );
        take(protocol.endInput(id));
        expect(inFlight).toBeLessThanOrEqual(inputWindow);
        while (inFlight > 0) {
          inFlight--;
          take(protocol.receive(bytes('@ack 1\n')).send);
          expect(inFlight).toBeLessThanOrEqual(inputWindow);
        }
        const guest = exchange(Buffer.concat(sent));
        expect(guest.commands).toEqual([command]);
        expect(guest.ended).toBe(true);
        expect(Buffer.from(guest.input)).toEqual(
          Buffer.concat(pieces.map((piece) => piece.map((byte) => byte & 0x3f))),
        );
      }),
      { numRuns: 60 },
    );
  });

  it('however the bytes are cut and whatever stands between the lines, the output is the same', () => {
    const noise = fc.string({ maxLength: 60 }).map((line) => `${line.replaceAll(/[@\n]/g, '.')}\n`);
    const output = fc.uint8Array({ minLength: 1, maxLength: 300 });
    fc.assert(
      fc.property(
        fc.array(fc.tuple(output, noise), { maxLength: 12 }),
        fc.array(fc.integer({ min: 1, max: 97 }), { minLength: 1 }),
        (parts, cuts) => {
          const protocol = new AgentProtocol();
          protocol.run('x', { input: false });
          const stream = bytes(
            `${parts.map(([data, other]) => `@out 1 ${base64(data)}\n${other}`).join('')}@exit 1 7\n`,
          );
          const events: AgentEvent[] = [];
          for (let at = 0, turn = 0; at < stream.length; turn++) {
            const length = cuts[turn % cuts.length] ?? 1;
            events.push(...protocol.receive(stream.subarray(at, at + length)).events);
            at += length;
          }
          const received = events.flatMap((event) => (event.kind === 'stdout' ? [event.data] : []));
          expect(Buffer.concat(received)).toEqual(Buffer.concat(parts.map(([data]) => data)));
          expect(events.at(-1)).toEqual({ kind: 'exit', id: 1, status: 7 });
        },
      ),
      { numRuns: 200 },
    );
  });

  it('arbitrary bytes throw nothing, and the agent is understood afterwards', () => {
    const fragment = fc.oneof(
      fc.uint8Array({ maxLength: 200 }),
      fc
        .constantFrom('@out 1 ', '@exit 1 ', '@ack 1\n', '@ready ', '\n', '@err 1 AAAA\n', '@', ' ', '999\n')
        .map(bytes),
    );
    fc.assert(
      fc.property(fc.array(fragment, { maxLength: 30 }), (fragments) => {
        const protocol = new AgentProtocol();
        protocol.run('x', { input: true });
        for (const piece of fragments) protocol.receive(piece);
        // The half line that they may end with is whole now, and may mean something.
        receive(protocol, '\n');
        const { id } = protocol.run('y', { input: false });
        expect(receive(protocol, `@exit ${id} 3\n`).events).toEqual([{ kind: 'exit', id, status: 3 }]);
      }),
      { numRuns: 500 },
    );
  });
});

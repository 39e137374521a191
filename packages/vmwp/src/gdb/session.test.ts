/** The debugger's protocol without a socket and without a processor: framing, each packet, illegal ones, and noise. */
import type { RegisterName, RegisterValue, StopPoint } from '@plinth/hypervisor';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { DebugAnswer, DebugRequest } from '../debug-protocol.ts';
import { bytesOfHex, encodePacket, type GdbInput, PACKET_BYTES, PacketReader } from './packet.ts';
import { type DebugTarget, GdbSession } from './session.ts';
import { DEBUGGER_REGISTERS, NAMES_READ, REGISTER_BYTES } from './target-description.ts';

const bytesOf = (text: string): Uint8Array => Uint8Array.from(text, (character) => character.charCodeAt(0));

/** A machine of a few registers and 64 KiB of memory from 0x1000 on. */
class FakeTarget implements DebugTarget {
  readonly asked: DebugRequest[] = [];
  readonly told: string[] = [];
  readonly memory = new Uint8Array(0x10000);
  readonly registers = new Map<RegisterName, RegisterValue>();
  points: readonly StopPoint[] = [];

  constructor() {
    for (const name of NAMES_READ) {
      if (name === 'Gdtr' || name === 'Idtr') this.registers.set(name, { base: 0n, limit: 0 });
      else if (/^([C-GS]s|Tr)$/.test(name)) {
        this.registers.set(name, { selector: 0x10, base: 0n, limit: 0xffff_ffff, attributes: 0xa09b });
      } else this.registers.set(name, 0n);
    }
  }

  ask(request: DebugRequest): Promise<DebugAnswer> {
    this.asked.push(request);
    return Promise.resolve(this.#answer(request));
  }

  #answer(request: DebugRequest): DebugAnswer {
    const done = (value: boolean): DebugAnswer => ({ what: 'done', done: value });
    switch (request.what) {
      case 'read-registers':
        return { what: 'registers', values: request.names.map((name) => this.registers.get(name) ?? 0n) };
      case 'write-register':
        this.registers.set(request.name, request.value);
        return done(true);
      case 'read-memory': {
        const at = Number(request.address) - 0x1000;
        return { what: 'memory', bytes: at < 0 ? new Uint8Array() : this.memory.slice(at, at + request.length) };
      }
      case 'write-memory': {
        const at = Number(request.address) - 0x1000;
        if (at < 0 || at + request.bytes.length > this.memory.length) return done(false);
        this.memory.set(request.bytes, at);
        return done(true);
      }
      case 'set-stop-points':
        if (request.points.length > 4) return done(false);
        this.points = request.points;
        return done(true);
      default:
        return done(true);
    }
  }

  reset(): void {
    this.told.push('reset');
  }
  turnOff(): void {
    this.told.push('turn off');
  }
}

/** A debugger's side: sends packets, reads what comes back. */
class Debugger {
  readonly target = new FakeTarget();
  readonly #reader = new PacketReader();
  readonly #inputs: GdbInput[] = [];
  readonly session = new GdbSession(this.target, (bytes) => {
    this.#inputs.push(...this.#reader.push(bytes));
  });

  /** What has come since the last look; packets as their payloads. */
  take(): string[] {
    return this.#inputs.splice(0).map((input) => (input.kind === 'packet' ? input.payload : `(${input.kind})`));
  }
  async raw(bytes: Uint8Array): Promise<string[]> {
    await this.session.receive(bytes);
    return this.take();
  }
  /** Sends a packet and returns the answer, acknowledgements left out. */
  async ask(payload: string): Promise<string | undefined> {
    const answers = await this.raw(encodePacket(payload));
    return answers.find((answer) => !answer.startsWith('('));
  }
}

describe('packets', () => {
  it('carry every byte there and back', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 300 }), (bytes) => {
        const payload = String.fromCharCode(...bytes);
        expect(new PacketReader().push(encodePacket(payload))).toEqual([{ kind: 'packet', payload }]);
      }),
    );
  });
  it('come in any pieces', () => {
    const whole = [...encodePacket('qSupported'), 0x2b, ...encodePacket('g'), 3];
    fc.assert(
      fc.property(fc.array(fc.nat(whole.length)), (cuts) => {
        const places = [0, ...cuts.sort((a, b) => a - b), whole.length];
        const reader = new PacketReader();
        const inputs = places.flatMap((place, index) =>
          reader.push(Uint8Array.from(whole.slice(place, places[index + 1] ?? place))),
        );
        expect(inputs.map(({ kind }) => kind)).toEqual(['packet', 'acknowledged', 'packet', 'interrupt']);
      }),
    );
  });
  it('of a wrong checksum, without one, or too long are damaged; a new one takes the place of one without end', () => {
    const reader = new PacketReader();
    expect(reader.push(bytesOf('$g#00'))).toEqual([{ kind: 'damaged' }]);
    expect(reader.push(bytesOf('$g#zz'))).toEqual([{ kind: 'damaged' }]);
    expect(reader.push(encodePacket('m'.repeat(PACKET_BYTES + 1)))).toEqual([{ kind: 'damaged' }]);
    expect(reader.push(bytesOf('$m10$g#67'))).toEqual([{ kind: 'packet', payload: 'g' }]);
    expect(bytesOfHex('0aFf')).toEqual(Uint8Array.of(10, 255));
    expect([bytesOfHex('0'), bytesOfHex('0x')]).toEqual([undefined, undefined]);
  });
});

describe('a conversation', () => {
  it('acknowledges each packet until it need not, repeats its last one, and refuses a damaged one', async () => {
    const debuggerSide = new Debugger();
    expect(await debuggerSide.raw(encodePacket('qAttached'))).toEqual(['(acknowledged)', '1']);
    expect(await debuggerSide.raw(bytesOf('-'))).toEqual(['1']);
    expect(await debuggerSide.raw(bytesOf('$g#00'))).toEqual(['(refused)']);
    expect(await debuggerSide.raw(bytesOf('+'))).toEqual([]);
    expect(await debuggerSide.raw(encodePacket('QStartNoAckMode'))).toEqual(['(acknowledged)', 'OK']);
    expect(await debuggerSide.raw(encodePacket('qC'))).toEqual(['QC1']);
  });
  it('describes the registers, whole and in pieces', async () => {
    const debuggerSide = new Debugger();
    expect(await debuggerSide.ask('qSupported:swbreak+')).toContain('qXfer:features:read+');
    const whole = (await debuggerSide.ask('qXfer:features:read:target.xml:0,4000')) ?? '';
    expect(whole).toMatch(/^l<\?xml.*<reg name="rip" bitsize="64".*<reg name="cr3".*<\/target>$/);
    const first = await debuggerSide.ask('qXfer:features:read:target.xml:0,10');
    expect(first).toBe(`m${whole.slice(1, 17)}`);
    expect(await debuggerSide.ask('qXfer:features:read:other.xml:0,10')).toBe('E00');
    expect(await debuggerSide.ask('qXfer:memory-map:read::0,10')).toBe('');
    expect(await debuggerSide.ask('qXfer:features:read:target.xml:x,y')).toBe('E22');
  });
  it('reads and writes registers, one and all', async () => {
    const debuggerSide = new Debugger();
    const { registers } = debuggerSide.target;
    registers.set('Rax', 0x1122_3344_5566_7788n);
    const all = (await debuggerSide.ask('g')) ?? '';
    expect(all).toHaveLength(REGISTER_BYTES * 2);
    expect(all.slice(0, 16)).toBe('8877665544332211');
    expect(await debuggerSide.ask('P0=0100000000000000')).toBe('OK');
    expect(registers.get('Rax')).toBe(1n);
    const flags = DEBUGGER_REGISTERS.findIndex(({ name }) => name === 'eflags');
    expect(await debuggerSide.ask(`P${flags.toString(16)}=46020000`)).toBe('OK');
    expect(registers.get('Rflags')).toBe(0x246n);
    const base = DEBUGGER_REGISTERS.findIndex(({ name }) => name === 'gs_base');
    expect(await debuggerSide.ask(`P${base.toString(16)}=0000000080ffffff`)).toBe('OK');
    expect(registers.get('Gs')).toEqual({
      selector: 0x10,
      base: 0xffff_ff80_0000_0000n,
      limit: 0xffff_ffff,
      attributes: 0xa09b,
    });
    expect(await debuggerSide.ask(`p${base.toString(16)}`)).toBe('0000000080ffffff');
    expect(await debuggerSide.ask(`G${all}`)).toBe('OK');
    expect(registers.get('Rax')).toBe(0x1122_3344_5566_7788n);
    const limit = DEBUGGER_REGISTERS.findIndex(({ name }) => name === 'gdtr_limit');
    expect(await debuggerSide.ask(`P${limit.toString(16)}=7f000000`)).toBe('OK');
    expect(registers.get('Gdtr')).toEqual({ base: 0n, limit: 0x7f });
    const tags = DEBUGGER_REGISTERS.findIndex(({ name }) => name === 'ftag');
    for (const bad of ['pffff', 'P0=01', 'P0=zz', 'Pffff=00', 'G00', `P${tags.toString(16)}=34120000`]) {
      expect(await debuggerSide.ask(bad), bad).toBe('E22');
    }
  });
  it('shows the x87 unit by its stack', async () => {
    const debuggerSide = new Debugger();
    const { registers } = debuggerSide.target;
    const at = (wanted: string): string => DEBUGGER_REGISTERS.findIndex(({ name }) => name === wanted).toString(16);
    // The top is 6; registers 6 and 7 are full: 1.0 and zero.
    registers.set('FpControlStatus', 0x037fn | (0x3000n << 16n) | (0xc0n << 32n) | (0x1234n << 64n));
    registers.set('FpMmx6', 0x3fff_8000_0000_0000_0000n);
    expect(await debuggerSide.ask(`p${at('st0')}`)).toBe('0000000000000080ff3f');
    expect(await debuggerSide.ask(`p${at('fctrl')}`)).toBe('7f030000');
    expect(await debuggerSide.ask(`p${at('fstat')}`)).toBe('00300000');
    expect(await debuggerSide.ask(`p${at('ftag')}`)).toBe('ff4f0000');
    expect(await debuggerSide.ask(`p${at('fioff')}`)).toBe('34120000');
    expect(await debuggerSide.ask(`P${at('st1')}=0000000000000080fe3f`)).toBe('OK');
    expect(registers.get('FpMmx7')).toBe(0x3ffe_8000_0000_0000_0000n);
    expect(await debuggerSide.ask(`P${at('fctrl')}=7f0f0000`)).toBe('OK');
    expect(registers.get('FpControlStatus')).toBe(0x0f7fn | (0x3000n << 16n) | (0xc0n << 32n) | (0x1234n << 64n));
    registers.set('FpMmx6', 0x7fff_8000_0000_0000_0000n);
    expect(await debuggerSide.ask(`p${at('ftag')}`)).toBe('ff2f0000');
  });
  it('reads and writes memory, binary too', async () => {
    const debuggerSide = new Debugger();
    expect(await debuggerSide.ask('M1000,3:010203')).toBe('OK');
    expect(await debuggerSide.ask('m1000,4')).toBe('01020300');
    expect(await debuggerSide.ask('X1010,4:#$}*')).toBe('OK');
    expect(await debuggerSide.ask('m1010,4')).toBe('23247d2a');
    expect(await debuggerSide.ask('X1010,0:')).toBe('OK');
    expect(await debuggerSide.ask('m0,4')).toBe('E14');
    expect(await debuggerSide.ask('M0,1:00')).toBe('E14');
    for (const bad of ['mx,4', 'm1000', 'M1000,2:01', 'M1000,1:0', 'Mzz'])
      expect(await debuggerSide.ask(bad), bad).toBe('E22');
  });
  it('sets stop points and takes them away', async () => {
    const debuggerSide = new Debugger();
    expect(await debuggerSide.ask('Z0,ffffffff81000000,1')).toBe('OK');
    expect(await debuggerSide.ask('Z2,1008,8')).toBe('OK');
    expect(debuggerSide.target.points).toEqual([
      { kind: 'execute', address: 0xffff_ffff_8100_0000n },
      { kind: 'write', address: 0x1008n, bytes: 8 },
    ]);
    for (const more of ['Z1,1,1', 'Z3,2,4']) expect(await debuggerSide.ask(more)).toBe('OK');
    // One too many: the processor refuses it, and the others stand.
    expect(await debuggerSide.ask('Z4,3,4')).toBe('E22');
    expect(await debuggerSide.ask('z1,1,1')).toBe('OK');
    expect(debuggerSide.target.points).toHaveLength(3);
    for (const bad of ['Z5,1,1', 'Z0,1', 'Z0,x,1']) expect(await debuggerSide.ask(bad), bad).toBe('E22');
  });
  it('lets the guest run and stop', async () => {
    const debuggerSide = new Debugger();
    const { session, target } = debuggerSide;
    await debuggerSide.ask('Z0,40,1');
    const stops = [
      ['c', { why: 'execute', address: 0x40n }, 'T05thread:1;swbreak:;'],
      ['vCont;c:1', { why: 'execute', address: 0x44n }, 'T05thread:1;hwbreak:;'],
      ['vCont;s:p1.1;c', { why: 'stepped' }, 'T05thread:1;'],
      ['s', { why: 'stepped' }, 'T05thread:1;'],
      ['C05', { why: 'write', address: 0x1008n }, 'T05thread:1;watch:1008;'],
      ['S05;2000', { why: 'read', address: 0x1008n }, 'T05thread:1;rwatch:1008;'],
      ['c1234', { why: 'access', address: 0x1008n }, 'T05thread:1;awatch:1008;'],
    ] as const;
    for (const [packet, reason, reply] of stops) {
      expect(await debuggerSide.ask(packet), packet).toBeUndefined();
      session.stopped(reason);
      expect(debuggerSide.take()).toEqual([reply]);
      expect(await debuggerSide.ask('?')).toBe(reply);
    }
    expect(target.registers.get('Rip')).toBe(0x1234n);
    await debuggerSide.ask('c');
    await debuggerSide.raw(Uint8Array.of(3));
    expect(target.asked.at(-1)).toEqual({ what: 'stop' });
    session.stopped({ why: 'asked' });
    expect(debuggerSide.take()).toEqual(['T02thread:1;']);
    // Nobody is told twice, and a stopped guest is not stopped.
    session.stopped({ why: 'asked' });
    await debuggerSide.raw(Uint8Array.of(3));
    expect(debuggerSide.take()).toEqual([]);
    for (const bad of ['cxyz', 'vCont;x', 'C']) expect(['E22', undefined]).toContain(await debuggerSide.ask(bad));
  });
  it('answers what a debugger asks of threads and does not know the rest', async () => {
    const debuggerSide = new Debugger();
    const answers = Object.entries({
      qfThreadInfo: 'm1',
      qsThreadInfo: 'l',
      Hg0: 'OK',
      'Hc-1': 'OK',
      Hg7: 'E22',
      T1: 'OK',
      T9: 'E22',
      qSymbol: 'OK',
      'vCont?': 'vCont;c;C;s;S',
      vMustReplyEmpty: '',
      qTStatus: '',
      '!': '',
      '': '',
    });
    for (const [packet, answer] of answers) expect(await debuggerSide.ask(packet), packet).toBe(answer);
    const text = Buffer.from((await debuggerSide.ask('qThreadExtraInfo,1')) ?? '', 'hex').toString();
    expect(text).toBe('virtual processor 0');
  });
  it('resets and turns off by monitor commands', async () => {
    const debuggerSide = new Debugger();
    const monitor = (word: string) => debuggerSide.ask(`qRcmd,${Buffer.from(word).toString('hex')}`);
    expect(await monitor('reset')).toBe('OK');
    expect(await monitor('quit')).toBe('OK');
    expect(debuggerSide.target.told).toEqual(['reset', 'turn off']);
    for (const word of ['help', 'dance']) {
      expect(Buffer.from((await monitor(word)) ?? '', 'hex').toString()).toMatch(/monitor/);
    }
    expect(await debuggerSide.ask('qRcmd,zz')).toMatch(/^[0-9a-f]+$/);
  });
  it.each([
    ['D', 'OK', 'detach'],
    ['k', undefined, undefined],
    ['vKill;1', 'OK', undefined],
  ])('is over after %s', async (packet, answer, asked) => {
    const debuggerSide = new Debugger();
    expect(await debuggerSide.ask(packet)).toBe(answer);
    expect(debuggerSide.session.isOver).toBe(true);
    expect(debuggerSide.target.asked.at(-1)?.what).toBe(asked);
    expect(debuggerSide.target.told).toEqual(asked === undefined ? ['turn off'] : []);
    expect(await debuggerSide.ask('g')).toBeUndefined();
    debuggerSide.session.ended(0);
    expect(debuggerSide.take()).toEqual([]);
  });
  it('tells a running guest’s end by its status', async () => {
    const debuggerSide = new Debugger();
    await debuggerSide.ask('c');
    debuggerSide.session.ended(75);
    expect(debuggerSide.take()).toEqual(['W4b']);
  });
  it('survives whatever comes, from every state', async () => {
    const traces = [
      'g',
      'G00',
      'p0',
      'P0=00',
      'm1000,10',
      'X1000,1:a',
      'Z0,1000,1',
      'z0,1000,1',
      'vCont;c',
      'vCont;s:1',
      'qXfer:features:read:target.xml:0,fff',
      'qRcmd,68',
      'Hg0',
      'T1',
      'C05;10',
      'c',
      '?',
    ]; // prettier-ignore
    const mutated = fc
      .tuple(
        fc.constantFrom(...traces),
        fc.array(fc.tuple(fc.nat(40), fc.string({ minLength: 0, maxLength: 3 })), { maxLength: 4 }),
      )
      .map(([trace, edits]) =>
        edits.reduce((text, [at, piece]) => text.slice(0, at) + piece + text.slice(at + 1), trace),
      );
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.oneof(mutated.map(encodePacket), fc.uint8Array({ maxLength: 40 })), { maxLength: 12 }),
        async (pieces) => {
          const debuggerSide = new Debugger();
          for (const piece of pieces) {
            await debuggerSide.raw(piece);
            debuggerSide.session.stopped({ why: 'stepped' });
          }
        },
      ),
      { numRuns: 1500 },
    );
  });
});

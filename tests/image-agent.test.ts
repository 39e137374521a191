/**
 * The images of Plinth booted by QEMU (Debian's qemu-system-x86), the oracle for what is in them: init, the console, the agent on the
 * second serial port behind its protocol. Nothing of Plinth's own machine takes part, so a failure here is the image's.
 */
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { createHash, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { closeSync, mkdtempSync, openSync, readFileSync, rmSync } from 'node:fs';
import { connect, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { AgentProtocol, buildImage, type ResolvedImage, resolveImage } from '@plinth/images';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';

const hasQemu = spawnSync('qemu-system-x86_64', ['--version']).status === 0;

interface Output {
  status: number;
  stdout: Buffer;
  stderr: string;
  /** When each piece of standard output came, in seconds after the start. */
  times: number[];
}

/** A machine of QEMU's that runs an image, its console and its agent. */
class QemuGuest {
  readonly #folder = mkdtempSync(join(tmpdir(), 'plinth-qemu-'));
  readonly #log = join(this.#folder, 'console');
  readonly #process: ChildProcess;
  readonly #protocol = new AgentProtocol();
  readonly #listeners = new Map<number, (event: { kind: string; data?: Uint8Array; status?: number }) => void>();
  #socket: Socket | undefined;
  #ready: () => void = () => {};
  readonly #isReady = new Promise<void>((resolve) => {
    this.#ready = resolve;
  });

  constructor(image: ResolvedImage) {
    const drives = ['-kernel', image.kernel, '-initrd', image.initrds[0] ?? '', '-append', image.commandLine];
    const agent = `unix:${join(this.#folder, 'agent')},server=on,wait=on`;
    const ports = ['-display', 'none', '-serial', 'stdio', '-serial', agent];
    // Into a file: what a reader does not take in time from one of Node's pipes, QEMU's serial port loses.
    const log = openSync(this.#log, 'w');
    this.#process = spawn('qemu-system-x86_64', ['-accel', 'tcg', '-m', '512', '-no-reboot', ...ports, ...drives], {
      stdio: ['pipe', log, 'inherit'],
    });
    closeSync(log);
  }

  get console(): string {
    return readFileSync(this.#log, 'latin1');
  }

  async start(): Promise<void> {
    for (let attempt = 0; this.#socket === undefined; attempt++) {
      const socket = connect(join(this.#folder, 'agent'));
      await Promise.race([once(socket, 'connect'), once(socket, 'error').then(() => undefined)]).catch(() => undefined);
      if (!socket.connecting && !socket.destroyed && socket.readyState === 'open') this.#socket = socket;
      else if (attempt > 300) throw new Error('QEMU did not open its socket');
      else await delay(100);
    }
    this.#socket.on('data', (data: Buffer) => {
      const { events, send } = this.#protocol.receive(data);
      this.send(send);
      for (const event of events) {
        if (event.kind === 'ready') this.#ready();
        else this.#listeners.get(event.id)?.(event);
      }
    });
    await this.#isReady;
  }

  send(bytes: Uint8Array): void {
    if (bytes.length > 0) this.#socket?.write(bytes);
  }

  type(text: string): void {
    this.#process.stdin?.write(text);
  }

  async see(text: string | RegExp, seconds = 60): Promise<void> {
    const end = Date.now() + seconds * 1000;
    while (typeof text === 'string' ? !this.console.includes(text) : !text.test(this.console)) {
      if (Date.now() > end) throw new Error(`${text} did not appear on ${this.console.slice(-2000)}`);
      await delay(20);
    }
  }

  /** Runs a command; `signals` are sent when its first output has come. */
  async run(command: string, input?: Uint8Array, signals: readonly number[] = []): Promise<Output> {
    const { id, send } = this.#protocol.run(command, { input: input !== undefined });
    const began = performance.now();
    const stdout: Buffer[] = [];
    const stderr: Buffer[] = [];
    const times: number[] = [];
    const status = new Promise<number>((resolve) => {
      this.#listeners.set(id, ({ kind, data = new Uint8Array(0), status: code = -1 }) => {
        if (kind === 'stdout') {
          if (stdout.length === 0) for (const number of signals) this.send(this.#protocol.signal(id, number));
          stdout.push(Buffer.from(data));
          times.push((performance.now() - began) / 1000);
        } else if (kind === 'stderr') stderr.push(Buffer.from(data));
        else if (kind === 'exit') resolve(code);
      });
    });
    this.send(send);
    if (input !== undefined) {
      this.send(this.#protocol.input(id, input));
      this.send(this.#protocol.endInput(id));
    }
    return {
      status: await status,
      stdout: Buffer.concat(stdout),
      stderr: Buffer.concat(stderr).toString('utf8'),
      times,
    };
  }

  /** Waits until the machine is off; its exit status. */
  async off(): Promise<number | null> {
    if (this.#process.exitCode === null) await once(this.#process, 'exit');
    return this.#process.exitCode;
  }

  end(): void {
    this.#process.kill('SIGKILL');
    rmSync(this.#folder, { recursive: true, force: true });
  }
}

describe.each(['debian-tiny', 'debian-tiny-generic'])('%s in QEMU', (name) => {
  let guest: QemuGuest;
  beforeAll(async () => {
    if (!hasQemu) return;
    guest = new QemuGuest(await resolveImage(name).catch(() => buildImage(name)));
    await guest.start();
  });
  afterAll(() => guest?.end());
  const guestTest = (title: string, test: () => Promise<void>): void => {
    it(title, async ({ skip }) => {
      if (!hasQemu) skip('qemu-system-x86_64 is not installed');
      await test();
    });
  };

  guestTest('comes up to a shell on the console without a complaint of the kernel', async () => {
    await guest.see(`root@${name}:~# `);
    expect(guest.console).toMatch(new RegExp(`${name}: init started after [0-9.]+ s, Linux 6\\.`));
    const { stdout } = await guest.run('dmesg -r');
    // What comes before init is between the kernel and QEMU. Levels 0 to 3: errors and worse.
    const [, afterInit] = stdout.toString().split('Run /init as init process');
    expect(afterInit?.split('\n').filter((line) => /^<[0-3]>/.test(line))).toEqual([]);
  });

  guestTest('keeps output, errors and status apart', async () => {
    const { status, stdout, stderr } = await guest.run('echo out; echo err >&2; printf "a\\0\\377\\n\\n"; exit 3');
    expect([status, stdout, stderr]).toEqual([3, Buffer.from('out\na\0\xff\n\n', 'latin1'), 'err\n']);
  });

  guestTest('tells each kind of end', async () => {
    const statuses = [];
    for (const command of [
      'true',
      'false',
      'exit 255',
      'kill -KILL $$',
      'kill -TERM $$',
      'kill -INT $$',
      'nothing',
      'if',
    ]) {
      statuses.push((await guest.run(command)).status);
    }
    expect(statuses).toEqual([0, 1, 255, 137, 143, 130, 127, 2]);
    // What the agent's own shell says of a killed program is not the command's.
    expect((await guest.run('kill -KILL $$')).stderr).toBe('');
  });

  guestTest('gives a command a place like home and no terminal', async () => {
    const { stdout } = await guest.run('pwd; echo $HOME $USER $SHELL; tty; id -u; ls /proc/self/fd | wc -l; umask');
    expect(stdout.toString()).toBe('/root\n/root root /bin/sh\nnot a tty\n0\n4\n0022\n');
  });

  guestTest('takes input to its end, also when nobody reads it', async () => {
    const data = randomBytes(100_000);
    const sum = createHash('sha256').update(data).digest('hex');
    expect((await guest.run('sha256sum', data)).stdout.toString()).toBe(`${sum}  -\n`);
    expect((await guest.run('head -c 3', Buffer.from('abcdef'))).stdout.toString()).toBe('abc');
    expect((await guest.run('echo done', data)).stdout.toString()).toBe('done\n');
    expect((await guest.run('cat; echo end', Buffer.alloc(0))).stdout.toString()).toBe('end\n');
    expect((await guest.run('cat; echo end')).stdout.toString()).toBe('end\n');
    // Lines in the input are not the agent's to obey.
    const trap = Buffer.from('\n@run 9999 4\ntrue\n@ready 1\n');
    expect((await guest.run('head -c 1 >/dev/null; sleep 0.2', trap)).status).toBe(0);
    expect((await guest.run('cat', trap)).stdout).toEqual(trap);
  });

  guestTest('brings output back to the byte, many times', async () => {
    const data = randomBytes(50_000);
    for (let turn = 0; turn < 5; turn++) {
      const { status, stdout } = await guest.run('cat', data);
      expect([status, stdout.equals(data)]).toEqual([0, true]);
    }
    const lines = 'i=0; while [ $i -lt 1000 ]; do echo out$i; echo err$i >&2; i=$((i+1)); done';
    const { stdout, stderr } = await guest.run(lines);
    const numbered = (word: string): string => Array.from({ length: 1000 }, (_, index) => `${word}${index}\n`).join('');
    expect(stdout.toString()).toBe(numbered('out'));
    expect(stderr).toBe(numbered('err'));
  });

  guestTest('brings output when it is written, not at the end', async () => {
    const { times } = await guest.run('for i in 1 2 3; do echo $i; sleep 1; done');
    expect(times).toHaveLength(3);
    expect((times[2] ?? 0) - (times[0] ?? 0)).toBeGreaterThan(1.5);
  });

  guestTest('runs commands side by side', async () => {
    const outputs = await Promise.all([
      guest.run('sleep 1; echo a'),
      guest.run('echo b'),
      guest.run('cat', Buffer.from('c')),
    ]);
    expect(outputs.map(({ stdout }) => stdout.toString())).toEqual(['a\n', 'b\n', 'c']);
  });

  guestTest('is not held up by what a command leaves running', async () => {
    const { status, stdout } = await guest.run('sleep 1000 & echo started');
    expect([status, stdout.toString()]).toEqual([0, 'started\n']);
    await guest.run('killall sleep');
  });

  guestTest('hands signals to a command, which may catch them', async () => {
    const catching = 'trap "echo caught; exit 9" INT; echo ready; while :; do sleep 0.1; done';
    const { status, stdout } = await guest.run(catching, undefined, [2]);
    expect([status, stdout.toString()]).toEqual([9, 'ready\ncaught\n']);
    expect((await guest.run('echo ready; sleep 1000', new Uint8Array(0), [9])).status).toBe(137);
  });

  guestTest('survives what is not its protocol', async () => {
    guest.send(randomBytes(3000));
    guest.send(
      Buffer.from('\n@run x\n@run 1\n@run 1 x\n@in 77 abc\n@in 77 3\nxyz@signal 1 9\n@signal 77 9\n@nothing 3\n\n'),
    );
    expect((await guest.run('echo alive')).stdout.toString()).toBe('alive\n');
  });

  guestTest('takes a long command', async () => {
    const word = 'x'.repeat(60_000);
    expect((await guest.run(`printf %s ${word} | wc -c`)).stdout.toString()).toBe('60000\n');
  });

  guestTest('has the Hyper-V drivers and daemons, and the file systems', async () => {
    const modules = 'hv_vmbus hv_utils hv_storvsc hv_netvsc hv_balloon hv_sock hyperv_keyboard hid_hyperv pci_hyperv';
    // Without a hypervisor of that kind the drivers are found and refuse by themselves.
    const { stdout } = await guest.run(
      `for m in ${modules}; do modprobe -D $m >/dev/null || echo $m; modprobe $m 2>&1; done`,
    );
    const refusals = stdout
      .toString()
      .split('\n')
      .filter((line) => line !== '');
    expect(refusals.filter((line) => !line.endsWith('No such device'))).toEqual([]);
    for (const daemon of ['kvp', 'vss', 'fcopy']) {
      expect((await guest.run(`hv_${daemon}_daemon --help`)).stderr).toContain('Usage');
    }
    const mount =
      'dd if=/dev/zero of=/tmp/d bs=1M count=8 2>/dev/null && mke2fs -F /tmp/d >/dev/null && mkdir -p /mnt/a &&';
    const use = 'mount -o loop -t ext4 /tmp/d /mnt/a && echo kept >/mnt/a/f && umount /mnt/a &&';
    const again =
      'mount -o loop -t ext4 /tmp/d /mnt/a && cat /mnt/a/f && umount /mnt/a && modprobe brd && ls /dev/ram0';
    expect((await guest.run(`${mount} ${use} ${again}`)).stdout.toString()).toBe('kept\n/dev/ram0\n');
  });

  guestTest('leaves nothing behind of commands', async () => {
    // Programs of the agent name the command's number after their own; only this command's is left.
    const keepers = "for f in /proc/[0-9]*/cmdline; do tr '\\0' ' ' <$f | grep '^/bin/sh /lib/plinth/keep'; done";
    const { stdout } = await guest.run(
      `ls /run/plinth/agent | wc -l; { ${keepers}; } | cut -d' ' -f3 | sort -u | wc -l`,
    );
    expect(stdout.toString()).toBe('1\n1\n');
  });

  guestTest('gives Ctrl+C to what runs on the console, and is off when its shell ends', async () => {
    // The program itself says that it runs: between fork and exec the shell's child still has the shell's handlers.
    guest.type('sh -c \'echo sl""eeping; exec sleep 1000\'\r');
    await guest.see('sleeping');
    guest.type('\u0003');
    guest.type('echo $((6 * 7)) answers\r');
    await guest.see('42 answers');
    guest.type('exit\r');
    await guest.see('powering off');
    expect(await guest.off()).toBe(0);
  });
});

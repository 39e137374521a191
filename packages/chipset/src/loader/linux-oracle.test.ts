/**
 * The plans of the loader, carried out by QEMU: a firmware of a few instructions puts the processor into the planned state, so
 * neither a BIOS nor QEMU's own loader takes part, and Debian's real kernel must find its command line and its memory map, and
 * unpack two initrds. Skipped by name without QEMU, binutils or the built image.
 */
import { execFileSync, spawn, spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { homedir, tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { planLinuxBoot } from './linux.ts';
import type { BootPlan } from './types.ts';

const imageFolder = join(
  process.env.PLINTH_HOME ?? join(process.env.XDG_DATA_HOME || join(homedir(), '.local', 'share'), 'plinth'),
  'images',
  'debian-tiny',
);
const kernelFile = existsSync(imageFolder)
  ? readdirSync(imageFolder).find((name) => name.startsWith('vmlinuz-'))
  : undefined;
const isThere = (program: string): boolean => spawnSync(program, ['--version']).status === 0;
const reason =
  kernelFile === undefined
    ? 'the image debian-tiny is not built'
    : !isThere('qemu-system-x86_64') || !isThere('as') || !isThere('objcopy')
      ? 'QEMU or binutils are not installed'
      : undefined;

/** 64 KiB of ROM that ends at 4 GiB: it brings the processor into the state of the plan and jumps. */
function firmware(plan: BootPlan, folder: string): string {
  const { state } = plan;
  const is64 = state.mode === 'long64';
  const source = `
    .code16
    .org 0
start:
    cli
    lgdtl %cs:(table - start)
    ${is64 ? `movl $${state.cr4}, %eax; movl %eax, %cr4; movl $${state.cr3}, %eax; movl %eax, %cr3` : ''}
    ${is64 ? `movl $0xc0000080, %ecx; xorl %edx, %edx; movl $0x100, %eax; wrmsr` : ''}
    movl $${state.cr0}, %eax
    movl %eax, %cr0
    .byte 0x66, 0xea
    .long 0xf0000 + target - start
    .word ${state.segments.cs.selector}
    ${is64 ? '.code64' : '.code32'}
target:
    movl $${state.segments.ds.selector}, %eax
    movl %eax, %ds
    movl %eax, %es
    movl %eax, %ss
    # Interrupts of the 8259 reach the processor through the local APIC's LINT0, as every BIOS sets it up.
    movl $0xfee00000, %ebx
    movl $0x1ff, 0xf0(%${is64 ? 'rbx' : 'ebx'})
    movl $0x700, 0x350(%${is64 ? 'rbx' : 'ebx'})
    movl $${state.rsp}, %esp
    movl $${state.rsi}, %esi
    xorl %ebp, %ebp
    xorl %edi, %edi
    xorl %ebx, %ebx
    movl $${state.rip}, %eax
    ${is64 ? 'jmp *%rax' : 'jmp *%eax'}
table:
    .word ${state.gdt.limit}
    .long ${state.gdt.base}
    .org 0xfff0
    .code16
    .byte 0xea
    .word 0
    .word 0xf000
    .org 0x10000
`;
  const object = join(folder, 'firmware.o');
  execFileSync('as', ['--64', '-o', object, '-'], { input: source });
  const path = join(folder, 'firmware.bin');
  execFileSync('objcopy', ['-O', 'binary', object, path]);
  return path;
}

/** Runs the plan until `text` is on the console; gives all of it. */
async function runInQemu(plan: BootPlan, memoryMebibytes: number, text: string): Promise<string> {
  const folder = mkdtempSync(join(tmpdir(), 'plinth-loader-'));
  try {
    const loaders = plan.writes.flatMap(({ gpa, bytes }, index) => {
      const path = join(folder, `write-${index}`);
      writeFileSync(path, bytes);
      return ['-device', `loader,file=${path},addr=0x${gpa.toString(16)},force-raw=on`];
    });
    // Into a file: what a reader does not take in time from a pipe, QEMU's serial port loses.
    const log = join(folder, 'console');
    const args = ['-accel', 'tcg', '-m', `${memoryMebibytes}`, '-display', 'none', '-serial', `file:${log}`];
    const machine = spawn('qemu-system-x86_64', [...args, '-no-reboot', '-bios', firmware(plan, folder), ...loaders], {
      stdio: ['ignore', 'ignore', 'inherit'],
    });
    const ended = new Promise((resolve) => machine.on('close', resolve));
    const read = (): string => (existsSync(log) ? readFileSync(log, 'latin1') : '');
    const limit = setTimeout(() => machine.kill('SIGKILL'), 50_000);
    const look = setInterval(() => {
      // With the rest of its line.
      if (read().split(text)[1]?.includes('\n')) machine.kill('SIGKILL');
    }, 100);
    await ended;
    clearTimeout(limit);
    clearInterval(look);
    const output = read();
    return output;
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/** A cpio archive of one small file. */
function archiveOf(name: string, mode: number, contents: string): Uint8Array {
  const record = (path: string, fileMode: number, text: string): Buffer => {
    const fields = [1, fileMode, 0, 0, 1, 0, text.length, 0, 0, 0, 0, path.length + 1, 0];
    const header = `070701${fields.map((field) => field.toString(16).padStart(8, '0')).join('')}${path}\0`;
    const pad = (piece: string): Buffer => Buffer.from(piece.padEnd(Math.ceil(piece.length / 4) * 4, '\0'), 'latin1');
    return Buffer.concat([pad(header), pad(text)]);
  };
  // Its length is no multiple of 4, so the next archive needs the loader's padding.
  return Buffer.concat([record(name, mode, contents), record('TRAILER!!!', 0, ''), Buffer.alloc(1)]);
}

describe('a planned boot carried out by QEMU', () => {
  for (const protocol of [64, 32] as const) {
    it(`boots Debian's kernel by the ${protocol}-bit protocol`, async ({ skip }) => {
      if (reason !== undefined) skip(reason);
      const kernel = readFileSync(join(imageFolder, kernelFile ?? ''));
      const first = archiveOf('first', 0o100644, 'one');
      const second = archiveOf('second', 0o100755, 'two');
      const plan = planLinuxBoot({
        kernel,
        initrds: [first, second],
        commandLine: 'console=ttyS0 acpi=off nolapic marker=there',
        memoryBytes: 256 << 20,
        protocol,
      });
      const output = await runInQemu(plan, 256, 'Freeing initrd memory');
      expect(output).toContain(`Linux version ${plan.layout.kernelVersion.split(' ')[0]}`);
      expect(output).toContain('marker=there');
      expect(output).toMatch(/BIOS-e820: \[mem 0x0000000000000000-0x000000000009ffff\] usable/);
      expect(output).toMatch(/BIOS-e820: \[mem 0x00000000000a0000-0x00000000000fffff\] reserved/);
      expect(output).toMatch(/BIOS-e820: \[mem 0x0000000000100000-0x000000000fffffff\] usable/);
      // The second archive begins after the padding of the first; at a wrong place the kernel complains.
      expect(output).toContain('Trying to unpack rootfs image as initramfs');
      expect(output).toContain('Freeing initrd memory: 4K');
      expect(output).not.toContain('unpacking failed');
    });
  }
});

/**
 * v86 as a program: a machine without a screen, its first serial port on standard output. The bench `v86` starts it and times it from
 * outside, as it does Plinth. Facts: v86's v86.d.ts and Readme.md.
 *
 *     node support-v86-machine.mjs --kernel FILE --initrd FILE --append TEXT --memory MIB
 */
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { parseArgs } from 'node:util';
import { V86 } from 'v86';

/** Firmware of Debian's package seabios. */
export const firmware = '/usr/share/seabios';
/** The package's folder. */
export const v86Folder = dirname(dirname(createRequire(import.meta.url).resolve('v86')));

if (process.argv[1] === import.meta.filename) {
  const { values } = parseArgs({
    options: {
      kernel: { type: 'string' },
      initrd: { type: 'string' },
      append: { type: 'string' },
      memory: { type: 'string' },
    },
  });
  const file = (path) => {
    const bytes = readFileSync(path);
    return { buffer: bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.length) };
  };
  const machine = new V86({
    wasm_path: join(v86Folder, 'build', 'v86.wasm'),
    bios: file(join(firmware, 'bios.bin')),
    vga_bios: file(join(firmware, 'vgabios-stdvga.bin')),
    bzimage: file(values.kernel),
    initrd: file(values.initrd),
    cmdline: values.append,
    memory_size: Number(values.memory) * 2 ** 20,
    vga_memory_size: 2 * 2 ** 20,
    disable_keyboard: true,
    disable_mouse: true,
    disable_speaker: true,
    autostart: true,
  });
  machine.add_listener('serial0-output-byte', (byte) => process.stdout.write(Uint8Array.of(byte)));
}

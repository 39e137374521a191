/**
 * Guests for tests: a bzImage around a few dozen bytes of machine code, entered at its 64-bit entry point, and the pieces that
 * such code is made of. Real x86, so that the same guests run on any engine.
 */

/** A bzImage (boot protocol 2.15) whose 64-bit entry point begins with `code`. */
export function tinyKernel(code: readonly number[]): Uint8Array {
  const sectors = 2;
  const body = 0x200 + Math.max(code.length, 0x200);
  const bytes = new Uint8Array((sectors + 1) * 512 + Math.ceil(body / 16) * 16);
  const view = new DataView(bytes.buffer);
  view.setUint8(0x1f1, sectors);
  view.setUint32(0x1f4, Math.ceil(body / 16), true);
  view.setUint16(0x1fe, 0xaa55, true);
  view.setUint8(0x201, 0x6a);
  view.setUint32(0x202, 0x53726448, true);
  view.setUint16(0x206, 0x020f, true);
  view.setUint8(0x211, 1);
  view.setUint32(0x22c, 0x7fffffff, true);
  view.setUint32(0x230, 0x200000, true);
  view.setUint8(0x234, 1);
  view.setUint16(0x236, 1, true);
  view.setUint32(0x238, 2047, true);
  view.setBigUint64(0x258, 0x1000000n, true);
  view.setUint32(0x260, 0x10000, true);
  bytes.set(code, (sectors + 1) * 512 + 0x200);
  return bytes;
}

const little = (value: number, bytes: number): number[] =>
  Array.from({ length: bytes }, (_, index) => (value >>> (8 * index)) & 0xff);

/** mov $port,%edx; mov $value,%al; out %al,(%dx) */
export const out8 = (port: number, value: number): number[] => [0xba, ...little(port, 4), 0xb0, value, 0xee];
/** mov $port,%edx; mov $value,%eax; out %ax,(%dx) */
const out16 = (port: number, value: number): number[] => [
  0xba,
  ...little(port, 4),
  0xb8,
  ...little(value, 4),
  0x66,
  0xef,
];
/** Writes a text to COM1, waiting for the transmitter before each byte. */
export const print = (text: string, port = 0x3f8): number[] =>
  [...new TextEncoder().encode(text)].flatMap((byte) => [
    // mov $LSR,%edx; 1: in (%dx),%al; test $0x20,%al; jz 1b
    0xba,
    ...little(port + 5, 4),
    0xec,
    0xa8,
    0x20,
    0x74,
    0xfb,
    ...out8(port, byte),
  ]);
/** ACPI soft-off: SLP_TYP 5 and SLP_EN into PM1 control. */
export const powerOff = [...out16(0x604, (5 << 10) | 0x2000), 0xeb, 0xfe];
/** Reset by port 0xCF9. */
export const resetMachine = [...out8(0xcf9, 0x06), 0xeb, 0xfe];
/** cli; hlt */
export const haltForever = [0xfa, 0xf4, 0xeb, 0xfe];
/** cli; jmp to itself: spins with interrupts off. */
export const spin = [0xfa, 0xeb, 0xfe];
/** ud2 without an IDT: a triple fault. */
export const tripleFault = [0x0f, 0x0b];
/** sti; hlt; jmp back: sleeps until the end of time. */
export const sleepForever = [0xfb, 0xf4, 0xeb, 0xfd];
/** Waits for bytes of COM1 and sends each back; a 'q' leaves the loop. */
export const echoUntilQ = [
  // 0: mov $LSR,%edx; in; test $1,%al; jz 0 (spinning)
  0xba,
  ...little(0x3fd, 4),
  0xec,
  0xa8,
  0x01,
  0x74,
  0xf6,
  // mov $0x3f8,%edx; in (%dx),%al; out %al,(%dx)
  0xba,
  ...little(0x3f8, 4),
  0xec,
  0xee,
  // cmp $'q',%al; jne 0
  0x3c,
  0x71,
  0x75,
  0xeb,
];
/** Writes a dword to memory below 4 GiB: mov $address,%edx; movl $value,(%rdx) */
export const store32 = (address: number, value: number): number[] => [
  0xba,
  ...little(address, 4),
  0xc7,
  0x02,
  ...little(value, 4),
];

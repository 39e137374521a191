/** Programs for Linux made from a few bytes of machine code, and kernels made of a few more. Called by the system tests. */

/**
 * A static x86-64 program: one segment, readable, writable and executable, entered at its first byte.
 * (ELF-64 of the System V ABI, AMD64 supplement.)
 */
export function linuxProgram(code: readonly number[]): Uint8Array {
  const [header, entry, base] = [64, 56, 0x400000];
  const bytes = new Uint8Array(header + entry + code.length);
  const view = new DataView(bytes.buffer);
  bytes.set([0x7f, 0x45, 0x4c, 0x46, 2, 1, 1]);
  view.setUint16(16, 2, true); // ET_EXEC
  view.setUint16(18, 62, true); // EM_X86_64
  view.setUint32(20, 1, true);
  view.setBigUint64(24, BigInt(base + header + entry), true);
  view.setBigUint64(32, BigInt(header), true);
  view.setUint16(52, header, true);
  view.setUint16(54, entry, true);
  view.setUint16(56, 1, true);
  view.setUint32(header, 1, true); // PT_LOAD
  view.setUint32(header + 4, 7, true);
  view.setBigUint64(header + 16, BigInt(base), true);
  view.setBigUint64(header + 24, BigInt(base), true);
  view.setBigUint64(header + 32, BigInt(bytes.length), true);
  view.setBigUint64(header + 40, BigInt(bytes.length), true);
  view.setBigUint64(header + 48, 0x1000n, true);
  bytes.set(code, header + entry);
  return bytes;
}

/** Bytes that no compressor makes smaller, the same each time (xorshift32). */
export function noise(length: number, seed = 0x2545f491): Uint8Array {
  const bytes = new Uint8Array(length);
  let state = seed;
  for (let index = 0; index < length; index++) {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    bytes[index] = state >>> 24;
  }
  return bytes;
}

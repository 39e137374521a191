/** 64-bit registers in shared state, whose fields have at most 32 bits: pairs of u32, low half first. */

export class Words64 {
  readonly #words: Uint32Array;

  /** @param words two elements for each register */
  constructor(words: Uint32Array) {
    this.#words = words;
  }

  get(index = 0): bigint {
    return (BigInt(this.#words[index * 2 + 1] as number) << 32n) | BigInt(this.#words[index * 2] as number);
  }

  set(value: bigint, index = 0): void {
    this.#words[index * 2] = Number(value & 0xffffffffn);
    this.#words[index * 2 + 1] = Number((value >> 32n) & 0xffffffffn);
  }

  /** The low half: enable bits and such. */
  low(index = 0): number {
    return this.#words[index * 2] as number;
  }
}

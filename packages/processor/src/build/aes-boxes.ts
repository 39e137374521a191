/**
 * The S-box of AES and its inverse, from their definition (FIPS 197, section 5.1.1): inverses in GF(2^8), then an affine map.
 * Called by: decoder-tables.ts, for the core's constants.
 */
export function aesBoxes(): { readonly forward: Uint8Array; readonly inverse: Uint8Array } {
  const forward = new Uint8Array(256);
  const inverse = new Uint8Array(256);
  let p = 1;
  let q = 1;
  do {
    // p is multiplied by the generator 3, q divided by it.
    p = (p ^ (p << 1) ^ ((p & 0x80) === 0 ? 0 : 0x11b)) & 255;
    q ^= q << 1;
    q ^= q << 2;
    q ^= q << 4;
    q &= 255;
    if ((q & 0x80) !== 0) q ^= 0x09;
    const turned = [1, 2, 3, 4].reduce((sum, by) => sum ^ (q << by) ^ (q >> (8 - by)), q);
    forward[p] = (turned & 255) ^ 0x63;
  } while (p !== 1);
  forward[0] = 0x63;
  forward.forEach((value, index) => {
    inverse[value] = index;
  });
  return { forward, inverse };
}

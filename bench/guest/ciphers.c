/* Ciphers: ChaCha20 (RFC 8439), and AES-128 by tables (FIPS 197), its S-box computed from the field's inverse. */
#include "programs.h"

#include <string.h>

static uint32_t rotate_left(uint32_t value, unsigned count) { return (value << count) | (value >> (32 - count)); }

#define quarter_round(a, b, c, d) \
  do { \
    a += b, d = rotate_left(d ^ a, 16); \
    c += d, b = rotate_left(b ^ c, 12); \
    a += b, d = rotate_left(d ^ a, 8); \
    c += d, b = rotate_left(b ^ c, 7); \
  } while (0)

static uint64_t chacha(uint64_t iterations) {
  uint32_t state[16] = {0x61707865, 0x3320646e, 0x79622d32, 0x6b206574};
  for (uint32_t i = 4; i < 16; i++) state[i] = i * 0x01010101;
  uint64_t sum = 0;
  for (uint64_t i = 0; i < iterations; i++) {
    uint32_t x[16];
    memcpy(x, state, sizeof x);
    for (int round = 0; round < 10; round++) {
      quarter_round(x[0], x[4], x[8], x[12]);
      quarter_round(x[1], x[5], x[9], x[13]);
      quarter_round(x[2], x[6], x[10], x[14]);
      quarter_round(x[3], x[7], x[11], x[15]);
      quarter_round(x[0], x[5], x[10], x[15]);
      quarter_round(x[1], x[6], x[11], x[12]);
      quarter_round(x[2], x[7], x[8], x[13]);
      quarter_round(x[3], x[4], x[9], x[14]);
    }
    for (int word = 0; word < 16; word += 2) sum += (uint64_t)(x[word] + state[word]) << 32 | (x[word + 1] + state[word + 1]);
    if (++state[12] == 0) state[13]++;
  }
  return sum;
}

static uint8_t s_box[256];
static uint32_t table[4][256];

/* Multiplication in GF(2^8) modulo x^8 + x^4 + x^3 + x + 1. */
static uint8_t multiply(uint8_t a, uint8_t b) {
  uint8_t product = 0;
  for (; b != 0; b >>= 1) {
    if (b & 1) product ^= a;
    a = (uint8_t)((a << 1) ^ (a & 0x80 ? 0x1b : 0));
  }
  return product;
}

static void prepare_tables(void) {
  for (unsigned value = 0; value < 256; value++) {
    /* The inverse is the 254th power. */
    uint8_t inverse = 1;
    for (int i = 0; i < 254; i++) inverse = multiply(inverse, (uint8_t)value);
    if (value == 0) inverse = 0;
    unsigned spread = inverse | (unsigned)inverse << 8;
    s_box[value] = (uint8_t)(0x63 ^ inverse ^ (spread >> 7) ^ (spread >> 6) ^ (spread >> 5) ^ (spread >> 4));
  }
  for (unsigned value = 0; value < 256; value++) {
    uint8_t s = s_box[value];
    uint32_t column = (uint32_t)multiply(s, 2) << 24 | (uint32_t)s << 16 | (uint32_t)s << 8 | multiply(s, 3);
    for (unsigned row = 0; row < 4; row++) table[row][value] = row == 0 ? column : (column >> (8 * row)) | (column << (32 - 8 * row));
  }
}

static uint64_t aes(uint64_t iterations) {
  prepare_tables();
  uint32_t keys[44] = {0x2b7e1516, 0x28aed2a6, 0xabf71588, 0x09cf4f3c};
  uint8_t constant = 1;
  for (unsigned i = 4; i < 44; i++) {
    uint32_t word = keys[i - 1];
    if (i % 4 == 0) {
      word = rotate_left(word, 8);
      word = (uint32_t)s_box[word >> 24] << 24 | (uint32_t)s_box[word >> 16 & 255] << 16 |
             (uint32_t)s_box[word >> 8 & 255] << 8 | s_box[word & 255];
      word ^= (uint32_t)constant << 24;
      constant = multiply(constant, 2);
    }
    keys[i] = keys[i - 4] ^ word;
  }
  /* Each block is the one before, encrypted. */
  uint32_t block[4] = {0x3243f6a8, 0x885a308d, 0x313198a2, 0xe0370734};
  for (uint64_t i = 0; i < iterations; i++) {
    uint32_t s[4], t[4];
    for (int column = 0; column < 4; column++) s[column] = block[column] ^ keys[column];
    for (int round = 1; round < 10; round++) {
      for (int column = 0; column < 4; column++)
        t[column] = table[0][s[column] >> 24] ^ table[1][s[(column + 1) & 3] >> 16 & 255] ^
                    table[2][s[(column + 2) & 3] >> 8 & 255] ^ table[3][s[(column + 3) & 3] & 255] ^ keys[4 * round + column];
      memcpy(s, t, sizeof s);
    }
    for (int column = 0; column < 4; column++)
      block[column] = ((uint32_t)s_box[s[column] >> 24] << 24 | (uint32_t)s_box[s[(column + 1) & 3] >> 16 & 255] << 16 |
                       (uint32_t)s_box[s[(column + 2) & 3] >> 8 & 255] << 8 | s_box[s[(column + 3) & 3] & 255]) ^
                      keys[40 + column];
  }
  return mix((uint64_t)block[0] << 32 | block[1], (uint64_t)block[2] << 32 | block[3]);
}

const struct program cipher_programs[] = {
    {"chacha20", chacha, 3000000}, {"aes-table", aes, 1200000}, {NULL, NULL, 0},
};

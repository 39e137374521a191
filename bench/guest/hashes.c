/* Checksums and hashes: CRC-32 by table (ISO 3309), SHA-256 (FIPS 180-4), a hash of MD5's shape, a hash table. */
#include "programs.h"

#include <stdlib.h>
#include <string.h>

enum { buffer_size = 65536 };
static uint8_t buffer[buffer_size];

static void fill_buffer(uint64_t seed) {
  for (size_t i = 0; i < buffer_size; i += 8) {
    uint64_t value = next_random(&seed);
    memcpy(buffer + i, &value, 8);
  }
}

static uint64_t crc(uint64_t iterations) {
  uint32_t table[256], sum = 0;
  for (uint32_t i = 0; i < 256; i++) {
    uint32_t value = i;
    for (int bit = 0; bit < 8; bit++) value = value & 1 ? (value >> 1) ^ 0xedb88320u : value >> 1;
    table[i] = value;
  }
  fill_buffer(7);
  for (uint64_t i = 0; i < iterations; i++) {
    uint32_t value = ~sum;
    for (size_t at = 0; at < buffer_size; at++) value = table[(value ^ buffer[at]) & 255] ^ (value >> 8);
    sum = ~value;
  }
  return sum;
}

/* The first 32 bits of the fractional parts of cube roots of primes are constants; they are computed here, in whole numbers. */
static uint32_t cube_root_fraction(uint32_t prime) {
  uint64_t root = 0;
  for (int bit = 35; bit >= 0; bit--) {
    uint64_t next = root | UINT64_C(1) << bit, digits[4] = {1, 0, 0, 0};
    /* Its cube, in four digits of 32 bits; a factor has 36. */
    for (int power = 0; power < 3; power++) {
      uint64_t carry = 0;
      for (int i = 0; i < 4; i++) {
        uint64_t product = digits[i] * (next & 0xffff) + carry;
        uint64_t upper = digits[i] * (next >> 16) + (product >> 16);
        digits[i] = (product & 0xffff) | (upper & 0xffff) << 16;
        carry = upper >> 16;
      }
    }
    if (digits[3] < prime) root = next;
  }
  return (uint32_t)root;
}

static uint32_t rotate_right(uint32_t value, unsigned count) { return (value >> count) | (value << (32 - count)); }
static uint32_t rotate_left(uint32_t value, unsigned count) { return (value << count) | (value >> (32 - count)); }

static void sha256_block(uint32_t hash[8], const uint8_t *block, const uint32_t constants[64]) {
  uint32_t w[64];
  for (int i = 0; i < 16; i++) {
    memcpy(&w[i], block + 4 * i, 4);
    w[i] = __builtin_bswap32(w[i]);
  }
  for (int i = 16; i < 64; i++) {
    uint32_t s0 = rotate_right(w[i - 15], 7) ^ rotate_right(w[i - 15], 18) ^ (w[i - 15] >> 3);
    uint32_t s1 = rotate_right(w[i - 2], 17) ^ rotate_right(w[i - 2], 19) ^ (w[i - 2] >> 10);
    w[i] = w[i - 16] + s0 + w[i - 7] + s1;
  }
  uint32_t s[8];
  memcpy(s, hash, sizeof s);
  for (int i = 0; i < 64; i++) {
    uint32_t one = rotate_right(s[4], 6) ^ rotate_right(s[4], 11) ^ rotate_right(s[4], 25);
    uint32_t first = s[7] + one + ((s[4] & s[5]) ^ (~s[4] & s[6])) + constants[i] + w[i];
    uint32_t zero = rotate_right(s[0], 2) ^ rotate_right(s[0], 13) ^ rotate_right(s[0], 22);
    uint32_t second = zero + ((s[0] & s[1]) ^ (s[0] & s[2]) ^ (s[1] & s[2]));
    s[7] = s[6], s[6] = s[5], s[5] = s[4], s[4] = s[3] + first;
    s[3] = s[2], s[2] = s[1], s[1] = s[0], s[0] = first + second;
  }
  for (int i = 0; i < 8; i++) hash[i] += s[i];
}

static uint64_t sha256(uint64_t iterations) {
  uint32_t constants[64];
  for (uint32_t prime = 2, found = 0; found < 64; prime++) {
    uint32_t divisor = 2;
    while (divisor * divisor <= prime && prime % divisor != 0) divisor++;
    if (divisor * divisor > prime) constants[found++] = cube_root_fraction(prime);
  }
  uint32_t hash[8] = {0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a, 0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19};
  fill_buffer(11);
  for (uint64_t i = 0; i < iterations; i++)
    for (size_t at = 0; at < buffer_size; at += 64) sha256_block(hash, buffer + at, constants);
  return mix((uint64_t)hash[0] << 32 | hash[1], (uint64_t)hash[6] << 32 | hash[7]);
}

/* Rounds like MD5's (add, a function of three words, rotate), with constants of its own. */
static uint64_t word_hash(uint64_t iterations) {
  static const uint8_t rotations[4][4] = {{7, 12, 17, 22}, {5, 9, 14, 20}, {4, 11, 16, 23}, {6, 10, 15, 21}};
  uint32_t constants[64];
  uint64_t seed = 5;
  for (int i = 0; i < 64; i++) constants[i] = (uint32_t)(next_random(&seed) >> 32);
  uint32_t a = 1, b = 2, c = 3, d = 4;
  fill_buffer(13);
  for (uint64_t i = 0; i < iterations; i++) {
    for (size_t at = 0; at < buffer_size; at += 64) {
      uint32_t words[16], old[4] = {a, b, c, d};
      memcpy(words, buffer + at, 64);
      for (unsigned step = 0; step < 64; step++) {
        uint32_t function;
        unsigned index;
        switch (step >> 4) {
          case 0: function = (b & c) | (~b & d); index = step; break;
          case 1: function = (d & b) | (~d & c); index = 5 * step + 1; break;
          case 2: function = b ^ c ^ d; index = 3 * step + 5; break;
          default: function = c ^ (b | ~d); index = 7 * step; break;
        }
        uint32_t next = b + rotate_left(a + function + constants[step] + words[index & 15], rotations[step >> 4][step & 3]);
        a = d, d = c, c = b, b = next;
      }
      a += old[0], b += old[1], c += old[2], d += old[3];
    }
  }
  return mix((uint64_t)a << 32 | b, (uint64_t)c << 32 | d);
}

/* Open addressing, half full: inserts, finds and removes. */
static uint64_t hash_table(uint64_t iterations) {
  enum { slots = 1 << 17 };
  uint64_t *keys = calloc(slots, sizeof *keys), *values = calloc(slots, sizeof *values);
  if (keys == NULL || values == NULL) fail("memory for the hash table");
  uint64_t state = 17, sum = 0;
  for (uint64_t i = 0; i < iterations; i++) {
    uint64_t key = (next_random(&state) >> 48) + 1;
    size_t slot = (key * UINT64_C(0x9e3779b97f4a7c15)) >> 47;
    while (keys[slot] != 0 && keys[slot] != key) slot = (slot + 1) & (slots - 1);
    if (keys[slot] == 0) keys[slot] = key;
    else sum += values[slot];
    values[slot] += i;
  }
  for (size_t slot = 0; slot < slots; slot++) sum = mix(sum, keys[slot] ^ values[slot]);
  free(keys);
  free(values);
  return sum;
}

const struct program hash_programs[] = {
    {"crc32", crc, 3000}, {"sha256", sha256, 800}, {"md5-like", word_hash, 2000}, {"hash-table", hash_table, 6000000},
    {NULL, NULL, 0},
};

/* Whole numbers in registers: add and multiply, shifts and rotates, divisions, single bits, atomic operations. */
#include "programs.h"

static uint64_t integer(uint64_t iterations) {
  uint64_t a = 1, b = 2, c = 3, d = 4;
  for (uint64_t i = 0; i < iterations; i++) {
    a = a * UINT64_C(6364136223846793005) + b;
    b ^= a + (c & d);
    c = (c + i) - (a | 7);
    d += b ^ (uint32_t)c;
    opaque(d);
  }
  return mix(mix(a, b), mix(c, d));
}

static uint64_t narrow(uint64_t iterations) {
  uint8_t bytes = 1;
  uint16_t words = 2;
  uint32_t longs = 3;
  for (uint64_t i = 0; i < iterations; i++) {
    __asm__ volatile("addb %b2, %0\n\tadcw %w2, %1\n\tsbbl %k2, %2\n\txorb $0x5a, %0\n\tincw %1\n\tnegl %2\n\tsetc %b2"
                     : "+q"(bytes), "+r"(words), "+q"(longs)
                     :
                     : "cc");
    longs += (uint32_t)i;
  }
  return mix(mix(bytes, words), longs);
}

static uint64_t shifts(uint64_t iterations) {
  uint64_t a = UINT64_C(0x0123456789abcdef), b = UINT64_C(0xfedcba9876543210);
  uint32_t c = 0x89abcdef;
  for (uint64_t i = 0; i < iterations; i++) {
    unsigned count = (unsigned)(a ^ i) & 63;
    a = (a << count) | (a >> ((64 - count) & 63));
    b += a >> (count & 31);
    c = (c >> 7) | (c << 25);
    b ^= (uint64_t)((int64_t)b >> 3) << (c & 15);
#ifdef __x86_64__
    __asm__("shld %b2, %1, %0\n\trcr $1, %1" : "+r"(a), "+r"(b) : "c"(count | 1) : "cc");
#else
    uint32_t low = (uint32_t)a, from = (uint32_t)b;
    __asm__("shld %b2, %1, %0\n\trcr $1, %1" : "+r"(low), "+r"(from) : "c"(count | 1) : "cc");
    a = (a & ~UINT64_C(0xffffffff)) | low, b = (b & ~UINT64_C(0xffffffff)) | from;
#endif
  }
  return mix(mix(a, b), c);
}

static uint64_t divide(uint64_t iterations) {
  uint64_t state = 88172645463325252, sum = 0;
  for (uint64_t i = 0; i < iterations; i++) {
    uint64_t dividend = next_random(&state);
    uint64_t divisor = (dividend >> 40) | 1;
    sum += dividend / divisor + dividend % (divisor + 2);
    sum ^= (uint32_t)dividend / ((uint32_t)divisor | 3);
    sum += (uint64_t)((int64_t)dividend / (int64_t)(divisor | 5));
  }
  return sum;
}

static uint64_t bits(uint64_t iterations) {
  uint64_t state = 362436069, sum = 0;
  for (uint64_t i = 0; i < iterations; i++) {
    uint64_t value = next_random(&state) | 1;
    sum += (uint64_t)__builtin_ctzll(value >> 3 | UINT64_C(1) << 60) + (uint64_t)__builtin_clzll(value);
    sum ^= __builtin_bswap64(value);
    uint64_t position = sum & 63;
#ifdef __x86_64__
    __asm__("btc %1, %0\n\tadc $0, %0" : "+r"(sum) : "r"(position) : "cc");
#else
    uint32_t low = (uint32_t)sum;
    __asm__("btc %1, %0\n\tadc $0, %0" : "+r"(low) : "r"((uint32_t)position) : "cc");
    sum = (sum & ~UINT64_C(0xffffffff)) | low;
#endif
    value -= (value >> 1) & UINT64_C(0x5555555555555555);
    value = (value & UINT64_C(0x3333333333333333)) + ((value >> 2) & UINT64_C(0x3333333333333333));
    sum += (((value + (value >> 4)) & UINT64_C(0x0f0f0f0f0f0f0f0f)) * UINT64_C(0x0101010101010101)) >> 56;
  }
  return sum;
}

static uint64_t atomics(uint64_t iterations) {
  static uint64_t counter, lock, words[64];
  counter = lock = 0;
  for (unsigned i = 0; i < 64; i++) words[i] = i;
  uint64_t sum = 0;
  for (uint64_t i = 0; i < iterations; i++) {
    while (__atomic_exchange_n(&lock, 1, __ATOMIC_ACQUIRE) != 0) {
    }
    sum += __atomic_fetch_add(&counter, i, __ATOMIC_SEQ_CST);
    uint64_t expected = words[i & 63];
    if (__atomic_compare_exchange_n(&words[i & 63], &expected, expected + sum, 0, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST)) sum++;
    __atomic_fetch_or(&words[(i + 7) & 63], i, __ATOMIC_SEQ_CST);
    __atomic_store_n(&lock, 0, __ATOMIC_RELEASE);
  }
  for (unsigned i = 0; i < 64; i++) sum = mix(sum, words[i]);
  return sum;
}

const struct program arithmetic_programs[] = {
    {"integer", integer, 600000000}, {"narrow", narrow, 150000000}, {"shifts", shifts, 200000000},
    {"divide", divide, 60000000},    {"bits", bits, 250000000},     {"atomics", atomics, 100000000},
    {NULL, NULL, 0},
};

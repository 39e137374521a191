/* Numbers of many words: 64 by 64 to 128 bit products, chains of carries, and a power modulo a number of 1024 bits (Montgomery). */
#include "programs.h"

#ifdef __x86_64__

#include <string.h>

enum { words = 16 };
typedef unsigned __int128 wide;

/* result = a * b / 2^1024 modulo the odd number `modulus`; inverse is -1 / modulus modulo 2^64. */
static __attribute__((noinline)) void montgomery(uint64_t *result, const uint64_t *a, const uint64_t *b, const uint64_t *modulus,
                                                 uint64_t inverse) {
  uint64_t sum[words + 2] = {0};
  for (int i = 0; i < words; i++) {
    uint64_t carry = 0;
    for (int j = 0; j < words; j++) {
      wide product = (wide)a[j] * b[i] + sum[j] + carry;
      sum[j] = (uint64_t)product;
      carry = (uint64_t)(product >> 64);
    }
    wide top = (wide)sum[words] + carry;
    sum[words] = (uint64_t)top;
    sum[words + 1] = (uint64_t)(top >> 64);
    uint64_t factor = sum[0] * inverse;
    carry = (uint64_t)(((wide)factor * modulus[0] + sum[0]) >> 64);
    for (int j = 1; j < words; j++) {
      wide product = (wide)factor * modulus[j] + sum[j] + carry;
      sum[j - 1] = (uint64_t)product;
      carry = (uint64_t)(product >> 64);
    }
    top = (wide)sum[words] + carry;
    sum[words - 1] = (uint64_t)top;
    sum[words] = sum[words + 1] + (uint64_t)(top >> 64);
  }
  /* Subtract the modulus once when the sum is not less. */
  uint64_t reduced[words];
  unsigned char borrow = 0;
  for (int j = 0; j < words; j++) {
    wide difference = (wide)sum[j] - modulus[j] - borrow;
    reduced[j] = (uint64_t)difference;
    borrow = (unsigned char)((difference >> 64) & 1);
  }
  memcpy(result, sum[words] >= borrow ? reduced : sum, sizeof reduced);
}

static uint64_t big_power(uint64_t iterations) {
  uint64_t modulus[words], base[words], seed = 31;
  for (int i = 0; i < words; i++) modulus[i] = next_random(&seed), base[i] = next_random(&seed);
  modulus[0] |= 1, modulus[words - 1] |= UINT64_C(1) << 63, base[words - 1] >>= 1;
  uint64_t inverse = 1;
  for (int i = 0; i < 6; i++) inverse *= 2 - modulus[0] * inverse;
  inverse = -inverse;
  uint64_t value[words];
  memcpy(value, base, sizeof value);
  for (uint64_t i = 0; i < iterations; i++) {
    montgomery(value, value, value, modulus, inverse);
    if (i % 3 == 0) montgomery(value, value, base, modulus, inverse);
  }
  uint64_t sum = 0;
  for (int i = 0; i < words; i++) sum = mix(sum, value[i]);
  return sum;
}

/* Fibonacci numbers of 2048 bits by chains of adc and sbb. */
static uint64_t carry_chain(uint64_t iterations) {
  enum { length = 32 };
  uint64_t a[length] = {1}, b[length] = {1};
  for (uint64_t i = 0; i < iterations; i++) {
    uint64_t count = length / 4, word, *to = i & 1 ? a : b;
    const uint64_t *from = i & 1 ? b : a;
    __asm__ volatile(
        "clc\n"
        "1:\n\t"
        "mov (%[from]), %[word]\n\tadc %[word], (%[to])\n\t"
        "mov 8(%[from]), %[word]\n\tadc %[word], 8(%[to])\n\t"
        "mov 16(%[from]), %[word]\n\tadc %[word], 16(%[to])\n\t"
        "mov 24(%[from]), %[word]\n\tadc 24(%[to]), %[word]\n\tmov %[word], 24(%[to])\n\t"
        "lea 32(%[from]), %[from]\n\tlea 32(%[to]), %[to]\n\tdec %[count]\n\tjnz 1b"
        : [count] "+r"(count), [word] "=&r"(word), [to] "+r"(to), [from] "+r"(from)
        :
        : "cc", "memory");
  }
  uint64_t sum = 0;
  for (int i = 0; i < length; i++) sum = mix(mix(sum, a[i]), b[i]);
  return sum;
}

const struct program big_number_programs[] = {
    {"big-power", big_power, 300000}, {"carry-chain", carry_chain, 3000000}, {NULL, NULL, 0},
};
#else
/* There are no 64 by 64 to 128 bit products with -m32. */
const struct program big_number_programs[] = {{NULL, NULL, 0}};
#endif

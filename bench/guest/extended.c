/* Extended precision by the x87: long double arithmetic, rounding and precision control, remainders, decimals. */
#include "programs.h"

#include <string.h>

/* Ten bytes of sixteen count. */
static uint64_t mix_extended(uint64_t sum, long double value) {
  uint64_t words[2] = {0, 0};
  memcpy(words, &value, 10);
  return mix(mix(sum, words[0]), words[1]);
}

static long double random_extended(uint64_t *state) {
  return (long double)(int64_t)next_random(state) / 4611686018427387904.0L;
}

/* A system of linear equations by elimination with pivots, and what is left of its right side. */
static uint64_t long_double(uint64_t iterations) {
  enum { size = 16 };
  static long double matrix[size][size + 1], copy[size][size + 1];
  uint64_t state = 71, sum = 0;
  for (uint64_t round = 0; round < iterations; round++) {
    for (int row = 0; row < size; row++)
      for (int column = 0; column <= size; column++) matrix[row][column] = random_extended(&state);
    memcpy(copy, matrix, sizeof copy);
    for (int step = 0; step < size; step++) {
      int best = step;
      for (int row = step + 1; row < size; row++) {
        long double a = matrix[row][step], b = matrix[best][step];
        if ((a < 0 ? -a : a) > (b < 0 ? -b : b)) best = row;
      }
      for (int column = 0; column <= size; column++) {
        long double value = matrix[step][column];
        matrix[step][column] = matrix[best][column];
        matrix[best][column] = value;
      }
      for (int row = step + 1; row < size; row++) {
        long double factor = matrix[row][step] / matrix[step][step];
        for (int column = step; column <= size; column++) matrix[row][column] -= factor * matrix[step][column];
      }
    }
    long double solution[size];
    for (int row = size - 1; row >= 0; row--) {
      long double value = matrix[row][size];
      for (int column = row + 1; column < size; column++) value -= matrix[row][column] * solution[column];
      solution[row] = value / matrix[row][row];
    }
    for (int row = 0; row < size; row++) {
      long double rest = copy[row][size];
      for (int column = 0; column < size; column++) rest -= copy[row][column] * solution[column];
      sum = mix_extended(mix_extended(sum, solution[row]), rest);
      sum = mix(sum, (uint64_t)(int64_t)(solution[row] * 1000));
    }
  }
  return sum;
}

/* The same sums, quotients and roots in each rounding direction and precision; which exceptions they raised. */
static uint64_t rounding_control(uint64_t iterations) {
  static const uint16_t precisions[] = {0x000, 0x200, 0x300};
  uint64_t state = 72, sum = 0;
  uint16_t before;
  __asm__ volatile("fnstcw %0" : "=m"(before));
  for (uint64_t round = 0; round < iterations; round++) {
    long double a = random_extended(&state), b = random_extended(&state);
    uint16_t control = (uint16_t)(0x7f | precisions[round % 3] | (round & 3) << 10), status;
    double narrow;
    float narrower;
    int32_t whole;
    long double difference, quotient, root, rounded;
    __asm__ volatile("fnclex\n fldcw %0" ::"m"(control));
    __asm__ volatile("fldt %1\n fldt %2\n fsubrp\n fstpt %0" : "=m"(difference) : "m"(a), "m"(b));
    __asm__ volatile("fldt %1\n fldt %2\n fdivrp\n fstpt %0" : "=m"(quotient) : "m"(a), "m"(b));
    __asm__ volatile("fldt %1\n fabs\n fsqrt\n fstpt %0" : "=m"(root) : "m"(quotient));
    __asm__ volatile("fldt %3\n fstl %0\n fsts %1\n fistpl %2" : "=m"(narrow), "=m"(narrower), "=m"(whole) : "m"(quotient));
    __asm__ volatile("fldt %1\n frndint\n fstpt %0" : "=m"(rounded) : "m"(quotient));
    __asm__ volatile("fnstsw %0" : "=m"(status));
    sum = mix_extended(mix_extended(mix_extended(mix_extended(sum, difference), quotient), root), rounded);
    uint64_t bits = 0;
    memcpy(&bits, &narrow, sizeof narrow);
    sum = mix(sum, bits);
    bits = 0;
    memcpy(&bits, &narrower, sizeof narrower);
    sum = mix(mix(sum, bits), (uint32_t)whole);
    sum = mix(sum, status & 0x3f);
  }
  __asm__ volatile("fldcw %0" ::"m"(before));
  return sum;
}

/* Remainders of numbers far apart, exponents taken out and put back, packed decimals, constants. */
static uint64_t remainders(uint64_t iterations) {
  uint64_t state = 73, sum = 0;
  for (uint64_t round = 0; round < iterations; round++) {
    long double a = random_extended(&state), b = random_extended(&state), rest, scaled, decimal = (long double)(int64_t)(next_random(&state) >> 6);
    int16_t by = (int16_t)(next_random(&state) >> 52);
    uint16_t status;
    uint8_t digits[10];
    __asm__ volatile("filds %1\n fldt %2\n fscale\n fstp %%st(1)\n fstpt %0" : "=m"(scaled) : "m"(by), "m"(a));
    if (b == 0) b = 1;
    __asm__ volatile(
        "fldt %3\n fldt %2\n"
        "1: fprem\n fnstsw %%ax\n testb $4, %%ah\n jnz 1b\n movw %%ax, %1\n fstp %%st(1)\n fstpt %0"
        : "=m"(rest), "=m"(status)
        : "m"(scaled), "m"(b)
        : "ax");
    sum = mix(mix_extended(sum, rest), status & 0x4300);
    __asm__ volatile("fldt %1\n fxtract\n fldpi\n fmulp\n faddp\n fstpt %0" : "=m"(rest) : "m"(scaled));
    sum = mix_extended(sum, rest);
    __asm__ volatile("fldt %1\n fbstp %0" : "=m"(digits) : "m"(decimal));
    __asm__ volatile("fbld %1\n fldl2t\n fdivrp\n fstpt %0" : "=m"(rest) : "m"(digits));
    sum = mix_extended(sum, rest);
  }
  return sum;
}

const struct program extended_programs[] = {
    {"long-double", long_double, 2400},
    {"x87-rounding", rounding_control, 900000},
    {"x87-remainders", remainders, 100000},
    {0},
};

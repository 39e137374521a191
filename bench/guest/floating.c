/* Scalar floating point by SSE2: double with square roots and divisions, float, conversions and comparisons. */
#include "programs.h"

#include <string.h>
#include <xmmintrin.h>

static uint64_t bits_of(double value) {
  uint64_t bits;
  memcpy(&bits, &value, sizeof bits);
  return bits;
}

static double square_root(double value) {
  double root;
  __asm__("sqrtsd %1, %0" : "=x"(root) : "x"(value));
  return root;
}

/* Five bodies under gravity, by the leapfrog method. */
static uint64_t bodies(uint64_t iterations) {
  enum { count = 5 };
  double position[count][3], velocity[count][3], mass[count];
  uint64_t state = 41;
  for (int i = 0; i < count; i++) {
    mass[i] = i == 0 ? 40 : (double)(next_random(&state) >> 56) / 4096;
    for (int axis = 0; axis < 3; axis++) {
      position[i][axis] = i == 0 ? 0 : (double)(next_random(&state) >> 52) / 256 - 8;
      velocity[i][axis] = i == 0 ? 0 : (double)(next_random(&state) >> 52) / 2048 - 1;
    }
  }
  for (uint64_t step = 0; step < iterations; step++) {
    for (int i = 0; i < count; i++) {
      for (int j = i + 1; j < count; j++) {
        double x = position[i][0] - position[j][0], y = position[i][1] - position[j][1], z = position[i][2] - position[j][2];
        double square = x * x + y * y + z * z + 0.01;
        double magnitude = 0.001 / (square * square_root(square));
        velocity[i][0] -= x * mass[j] * magnitude, velocity[i][1] -= y * mass[j] * magnitude;
        velocity[i][2] -= z * mass[j] * magnitude, velocity[j][0] += x * mass[i] * magnitude;
        velocity[j][1] += y * mass[i] * magnitude, velocity[j][2] += z * mass[i] * magnitude;
      }
    }
    for (int i = 0; i < count; i++)
      for (int axis = 0; axis < 3; axis++) position[i][axis] += 0.001 * velocity[i][axis];
  }
  uint64_t sum = 0;
  for (int i = 0; i < count; i++)
    for (int axis = 0; axis < 3; axis++) sum = mix(sum, bits_of(position[i][axis]));
  return sum;
}

/* How soon z * z + c escapes, in single precision. */
static uint64_t escape(uint64_t iterations) {
  uint64_t sum = 0;
  for (uint64_t i = 0; i < iterations; i++) {
    for (int row = 0; row < 32; row++) {
      for (int column = 0; column < 32; column++) {
        float real = (float)column / 16.0f - 1.5f + (float)(i & 15) / 512.0f, imaginary = (float)row / 16.0f - 1.0f;
        float x = 0, y = 0;
        unsigned steps = 0;
        while (steps < 100 && x * x + y * y < 4.0f) {
          float next = x * x - y * y + real;
          y = 2 * x * y + imaginary;
          x = next;
          steps++;
        }
        sum = mix(sum, steps);
      }
    }
  }
  return sum;
}

/* A filter over samples: whole number to float and back, minimum and maximum. */
static uint64_t convert(uint64_t iterations) {
  uint64_t state = 53, sum = 0;
  double low = 1e9, high = -1e9, smooth = 0;
  for (uint64_t i = 0; i < iterations; i++) {
    int32_t sample = (int32_t)(next_random(&state) >> 40) - (1 << 23);
    double value = (double)sample;
    smooth = smooth * 0.875 + value * 0.125;
    low = smooth < low ? smooth : low;
    high = smooth > high ? smooth : high;
    float narrow = (float)smooth;
    sum += (uint64_t)(int64_t)narrow ^ (uint32_t)(int32_t)(value * 0.5);
    if (narrow != narrow) fail("a number that is none");
  }
  return mix(mix(sum, bits_of(low)), bits_of(high));
}

static uint64_t double_matrix(uint64_t iterations) {
  enum { size = 64 };
  static double a[size][size], b[size][size], c[size][size];
  uint64_t state = 61, sum = 0;
  for (int i = 0; i < size; i++)
    for (int j = 0; j < size; j++) a[i][j] = (double)(next_random(&state) >> 44) / 1048576, b[i][j] = (double)(next_random(&state) >> 44) / 1048576;
  for (uint64_t round = 0; round < iterations; round++) {
    for (int i = 0; i < size; i++)
      for (int j = 0; j < size; j++) {
        double dot = 0;
        for (int k = 0; k < size; k++) dot += a[i][k] * b[k][j];
        c[i][j] = dot;
      }
    for (int i = 0; i < size; i++) sum = mix(sum, bits_of(c[i][(i * 7) % size]));
    a[round % size][(round * 3) % size] = c[round % size][(round * 5) % size] / 64;
  }
  return sum;
}

/* Whole numbers in doubles, as scripting languages count: no result is inexact, so the processor's sticky flag for that stays clear. */
static uint64_t whole_numbers(uint64_t iterations) {
  static double values[256];
  uint64_t state = 67;
  for (int i = 0; i < 256; i++) values[i] = (double)(next_random(&state) >> 52);
  unsigned control = _mm_getcsr();
  _mm_setcsr(0x1f80);
  double sum = 0, product = 1;
  for (uint64_t i = 0; i < iterations; i++) {
    double value = values[i & 255];
    sum += value;
    product = product * 3 + value;
    while (product > 1048576) product -= 1048576;
    values[i & 255] = product - value < 0 ? value - 1 : value + 1;
  }
  if (_mm_getcsr() & 0x20) fail("an inexact result");
  _mm_setcsr(control);
  return mix(bits_of(sum), bits_of(product));
}

const struct program floating_programs[] = {
    {"double", bodies, 600000}, {"float", escape, 500}, {"convert", convert, 15000000}, {"double-matrix", double_matrix, 500},
    {"whole-numbers", whole_numbers, 5000000},
    {NULL, NULL, 0},
};

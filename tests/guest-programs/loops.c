/*
 * Loops over arrays that -O3 makes vectors of, for each element type: arithmetic, saturation, comparisons and selection, conversions between
 * sizes, reductions, shuffles by stride and by index. Floating-point elements are of every kind: zeros, denormals, infinities, NaNs.
 */
#include "computations.h"

#include <string.h>

enum { count = 259 };

static void fill(void *bytes, size_t size, uint64_t seed) {
  unsigned char *at = bytes;
  for (size_t i = 0; i < size; i++) at[i] = (unsigned char)(next_random(&seed) >> 56);
}

/* For an unsigned and a signed type of the same size, and the type of twice the size. */
#define WHOLE_NUMBERS(name, u, s, wide)                                                                                    \
  static u name##_a[count], name##_b[count], name##_c[count];                                                              \
  static wide name##_w[count];                                                                                             \
  static __attribute__((noinline)) void name##_arithmetic(unsigned shift) {                                                \
    for (int i = 0; i < count; i++) name##_c[i] = (u)(name##_a[i] * name##_b[i] + (name##_a[i] ^ (u)(name##_b[i] - name##_c[i]))); \
    for (int i = 0; i < count; i++) name##_c[i] = (u)((name##_c[i] << shift) | (name##_c[i] >> (8 * sizeof(u) - shift)));  \
    for (int i = 0; i < count; i++) name##_a[i] = (u)((s)name##_a[i] >> (name##_b[i] % (8 * sizeof(u))));                  \
    for (int i = 0; i < count; i++) name##_b[i] = (u)(~name##_b[i] & name##_c[i]) + (u)(name##_b[i] << (name##_a[i] % (8 * sizeof(u)))); \
  }                                                                                                                        \
  static __attribute__((noinline)) void name##_selection(void) {                                                           \
    for (int i = 0; i < count; i++) name##_c[i] = (s)name##_a[i] < (s)name##_b[i] ? name##_c[i] : name##_b[i];             \
    for (int i = 0; i < count; i++) name##_a[i] = name##_c[i] > name##_b[i] ? name##_c[i] : (u) - name##_b[i];             \
    for (int i = 0; i < count; i++) name##_b[i] = (u)((s)name##_c[i] < 0 ? -(s)name##_c[i] : (s)name##_c[i]);              \
    for (int i = 0; i < count; i++)                                                                                        \
      if (name##_a[i] & 1) name##_c[i] = (u)(name##_a[i] + name##_b[i]);                                                   \
    for (int i = 0; i < count; i++) {                                                                                      \
      u sum = (u)(name##_a[i] + name##_b[i]);                                                                              \
      name##_a[i] = sum < name##_b[i] ? (u)-1 : sum;                                                                       \
    }                                                                                                                      \
  }                                                                                                                        \
  static __attribute__((noinline)) void name##_sizes(void) {                                                               \
    for (int i = 0; i < count; i++) name##_w[i] = (wide)((wide)name##_a[i] * (wide)name##_b[i]);                           \
    for (int i = 0; i < count; i++) name##_w[i] = (wide)(name##_w[i] + (wide)(s)name##_c[i]);                              \
    for (int i = 0; i < count; i++) name##_c[i] = (u)(name##_w[i] >> (4 * sizeof(u)));                                     \
    for (int i = 0; i < count / 2; i++) name##_a[i] = (u)(name##_b[2 * i] - name##_b[2 * i + 1]);                          \
    for (int i = 0; i < count; i++) name##_b[i] = name##_c[count - 1 - i];                                                 \
  }                                                                                                                        \
  static __attribute__((noinline)) uint64_t name##_reductions(void) {                                                      \
    u all = (u)-1, any = 0, sum = 0, odd = 0, least = (u)-1;                                                               \
    s most = 0;                                                                                                            \
    uint64_t products = 0;                                                                                                 \
    for (int i = 0; i < count; i++) {                                                                                      \
      all &= name##_a[i], any |= name##_b[i], sum = (u)(sum + name##_c[i]), odd ^= name##_a[i];                            \
      least = name##_b[i] < least ? name##_b[i] : least;                                                                   \
      most = (s)name##_c[i] > most ? (s)name##_c[i] : most;                                                                \
      products += (uint64_t)name##_a[i] * name##_b[i];                                                                     \
    }                                                                                                                      \
    return mix(mix(mix(mix(all, any), mix(sum, odd)), mix(least, (uint64_t)(u)most)), products);                           \
  }                                                                                                                        \
  static uint64_t name(void) {                                                                                             \
    uint64_t result = 0;                                                                                                   \
    fill(name##_a, sizeof name##_a, 1), fill(name##_b, sizeof name##_b, 2), fill(name##_c, sizeof name##_c, 3);            \
    for (unsigned round = 1; round < 8; round++) {                                                                         \
      name##_arithmetic(round);                                                                                            \
      result = mix_bytes(result, name##_c, sizeof name##_c);                                                               \
      name##_selection();                                                                                                  \
      name##_sizes();                                                                                                      \
      result = mix(mix_bytes(mix_bytes(result, name##_a, sizeof name##_a), name##_w, sizeof name##_w), name##_reductions()); \
    }                                                                                                                      \
    return result;                                                                                                         \
  }

WHOLE_NUMBERS(bytes, uint8_t, int8_t, uint16_t)
WHOLE_NUMBERS(words, uint16_t, int16_t, uint32_t)
WHOLE_NUMBERS(doublewords, uint32_t, int32_t, uint64_t)
WHOLE_NUMBERS(quadwords, uint64_t, int64_t, uint64_t)

/* Bits of floating-point numbers of every kind: a kind, then a sign and digits by chance. */
static uint64_t some_double(uint64_t *state) {
  uint64_t random = next_random(state), sign_and_digits = random & UINT64_C(0x800fffffffffffff);
  switch (next_random(state) >> 60) {
    case 0: return random & UINT64_C(1) << 63;
    case 1: return sign_and_digits;
    case 2: return (random & UINT64_C(1) << 63) | UINT64_C(0x7ff) << 52;
    case 3: return sign_and_digits | UINT64_C(0x7ff8) << 48;
    case 4: return random;
    default: return sign_and_digits | (UINT64_C(1008) + (random >> 52 & 31)) << 52;
  }
}
static uint32_t some_float(uint64_t *state) {
  uint32_t random = (uint32_t)(next_random(state) >> 32), sign_and_digits = random & 0x807fffff;
  switch (next_random(state) >> 60) {
    case 0: return random & 0x80000000;
    case 1: return sign_and_digits;
    case 2: return (random & 0x80000000) | 0x7f800000;
    case 3: return sign_and_digits | 0x7fc00000;
    case 4: return (random & 0x7f800000) == 0x7f800000 ? sign_and_digits : random;
    default: return sign_and_digits | (112 + (random >> 24 & 31)) << 23;
  }
}

/* Whole numbers are made only of numbers that fit: for others the language leaves the result open, and compilers make use of it. */
#define REAL_NUMBERS(name, real, bits, some, root, near_most, integer)                                                     \
  static real name##_a[count], name##_b[count], name##_c[count];                                                           \
  static integer name##_i[count];                                                                                          \
  static __attribute__((noinline)) void name##_arithmetic(real factor) {                                                   \
    for (int i = 0; i < count; i++) name##_c[i] = name##_a[i] * name##_b[i] + name##_c[i];                                 \
    for (int i = 0; i < count; i++) name##_b[i] = name##_b[i] - name##_a[i] * factor;                                      \
    for (int i = 0; i < count; i++) name##_a[i] = -(name##_c[i] * factor) - name##_b[i];                                   \
    for (int i = 0; i < count; i++) name##_c[i] = name##_a[i] / name##_b[i];                                               \
    for (int i = 0; i < count; i++) name##_a[i] = root(name##_a[i] < 0 ? -name##_a[i] : name##_a[i]);                      \
  }                                                                                                                        \
  static __attribute__((noinline)) void name##_selection(void) {                                                           \
    for (int i = 0; i < count; i++) name##_c[i] = name##_a[i] < name##_b[i] ? name##_a[i] : name##_b[i];                   \
    for (int i = 0; i < count; i++) name##_a[i] = name##_a[i] != name##_a[i] ? 1 : name##_a[i];                            \
    for (int i = 0; i < count; i++) name##_b[i] = name##_b[i] > near_most || name##_b[i] != name##_b[i] ? 2 : name##_b[i]; \
    for (int i = 0; i < count; i++) name##_b[i] = name##_b[i] < -near_most ? -3 : name##_b[i];                             \
    for (int i = 0; i < count; i++) name##_i[i] = (integer)name##_b[i];                                                    \
    for (int i = 0; i < count; i++) name##_c[i] += (real)(name##_i[i] >> 1);                                               \
  }                                                                                                                        \
  static uint64_t name(void) {                                                                                             \
    uint64_t state = 5, result = 0;                                                                                        \
    for (int round = 1; round < 12; round++) {                                                                             \
      for (int i = 0; i < count; i++) {                                                                                    \
        bits three[3] = {some(&state), some(&state), some(&state)};                                                        \
        memcpy(&name##_a[i], &three[0], sizeof(bits)), memcpy(&name##_b[i], &three[1], sizeof(bits));                      \
        memcpy(&name##_c[i], &three[2], sizeof(bits));                                                                     \
      }                                                                                                                    \
      name##_arithmetic((real)round / 4);                                                                                  \
      result = mix_bytes(mix_bytes(result, name##_a, sizeof name##_a), name##_c, sizeof name##_c);                         \
      name##_selection();                                                                                                  \
      result = mix_bytes(mix_bytes(result, name##_c, sizeof name##_c), name##_i, sizeof name##_i);                         \
      real sum = 0;                                                                                                        \
      for (int i = 0; i < count; i++) sum += name##_b[i] / (real)(i + 1);                                                  \
      result = mix_bytes(result, &sum, sizeof sum);                                                                        \
    }                                                                                                                      \
    return result;                                                                                                         \
  }

REAL_NUMBERS(floats, float, uint32_t, some_float, __builtin_sqrtf, 1e9f, int32_t)
REAL_NUMBERS(doubles, double, uint64_t, some_double, __builtin_sqrt, 1e9, int32_t)
REAL_NUMBERS(doubles_to_quadwords, double, uint64_t, some_double, __builtin_sqrt, 1e18, int64_t)

/* Half precision through _Float16, which F16C converts where it is there; where it is not, the compiler's library does. */
static __attribute__((noinline)) uint64_t halves(void) {
  static _Float16 half[count];
  static float single[count];
  uint64_t state = 7, result = 0;
  for (int round = 0; round < 8; round++) {
    for (int i = 0; i < count; i++) {
      uint32_t bits = some_float(&state);
      memcpy(&single[i], &bits, sizeof bits);
    }
    for (int i = 0; i < count; i++) half[i] = (_Float16)single[i];
    result = mix_bytes(result, half, sizeof half);
    for (int i = 0; i < count; i++) single[i] = (float)half[i] * 3;
    result = mix_bytes(result, single, sizeof single);
  }
  return result;
}

/* Elements by an index (gathers), every third one, and pairs exchanged. */
static __attribute__((noinline)) uint64_t places(void) {
  static uint32_t index[count], doubleword[count];
  static double wide[count], gathered[count];
  static uint8_t byte[3 * count], lower[256];
  uint64_t state = 9, result = 0;
  for (int i = 0; i < 256; i++) lower[i] = (uint8_t)(i * 7 + 3);
  for (int i = 0; i < 3 * count; i++) byte[i] = (uint8_t)(next_random(&state) >> 56);
  for (int i = 0; i < count; i++) index[i] = (uint32_t)(next_random(&state) >> 33) % count, wide[i] = i * 1.5, doubleword[i] = (uint32_t)i * 77;
  for (int round = 0; round < 8; round++) {
    for (int i = 0; i < count; i++) gathered[i] = wide[index[i]] + 1;
    for (int i = 0; i < count; i++) doubleword[i] += doubleword[index[i]];
    for (int i = 0; i < count; i++) byte[i] = (uint8_t)(byte[3 * i] + 2 * byte[3 * i + 1] + lower[byte[3 * i + 2]]);
    for (int i = 0; i + 1 < count; i += 2) {
      double first = gathered[i];
      wide[i] = gathered[i + 1], wide[i + 1] = first;
    }
    for (int i = 0; i < count; i++) index[i] = (index[i] * 5 + doubleword[i]) % count;
    result = mix_bytes(mix_bytes(mix_bytes(result, wide, sizeof wide), doubleword, sizeof doubleword), byte, sizeof byte);
  }
  return result;
}

/* Complex numbers, and a matrix times a matrix. */
static __attribute__((noinline)) uint64_t products(void) {
  enum { size = 24 };
  static float complex_a[size][2], complex_b[size][2];
  static double a[size][size], b[size][size], c[size][size];
  static int32_t m[size][size], n[size][size], p[size][size];
  uint64_t state = 11, result = 0;
  for (int i = 0; i < size; i++) {
    complex_a[i][0] = (float)(i + 1) / 8, complex_a[i][1] = (float)(size - i) / 16, complex_b[i][0] = 1, complex_b[i][1] = 0.5f;
    for (int j = 0; j < size; j++) {
      a[i][j] = (double)(int64_t)next_random(&state) / 1e18, b[i][j] = (double)(int64_t)next_random(&state) / 1e18;
      m[i][j] = (int32_t)(next_random(&state) >> 40), n[i][j] = (int32_t)(next_random(&state) >> 44);
    }
  }
  for (int i = 0; i < size; i++)
    for (int j = 0; j < size; j++) {
      double sum = 0;
      uint32_t total = 0;
      for (int k = 0; k < size; k++) sum += a[i][k] * b[k][j], total += (uint32_t)m[i][k] * (uint32_t)n[k][j];
      c[i][j] = sum, p[i][j] = (int32_t)total;
    }
  for (int round = 0; round < 6; round++)
    for (int i = 0; i < size; i++) {
      float real = complex_a[i][0] * complex_b[i][0] - complex_a[i][1] * complex_b[i][1];
      float imaginary = complex_a[i][0] * complex_b[i][1] + complex_a[i][1] * complex_b[i][0];
      complex_b[i][0] = real, complex_b[i][1] = imaginary;
    }
  result = mix_bytes(result, c, sizeof c);
  result = mix_bytes(result, p, sizeof p);
  return mix_bytes(result, complex_b, sizeof complex_b);
}

const struct computation loop_computations[] = {
    {"bytes", bytes},   {"words", words},     {"doublewords", doublewords},
    {"quadwords", quadwords}, {"floats", floats}, {"doubles", doubles},
    {"doubles-to-quadwords", doubles_to_quadwords}, {"halves", halves}, {"places", places},
    {"products", products}, {NULL, NULL},
};

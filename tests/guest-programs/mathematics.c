/*
 * The C library's mathematics, of which it has versions with and without FMA and SSE4.1, and its decimals. Errors and exceptions count: the
 * flags of fenv.h are part of the sums.
 */
#include "computations.h"

#include <complex.h>
#include <fenv.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A NaN's sign and digits are the processor's choice between operands, which is compared too. */
static uint64_t mix_double(uint64_t sum, double value) {
  uint64_t bits;
  memcpy(&bits, &value, sizeof bits);
  return mix(sum, bits);
}
static uint64_t mix_float(uint64_t sum, float value) {
  uint32_t bits;
  memcpy(&bits, &value, sizeof bits);
  return mix(sum, bits);
}

static double argument(uint64_t *state, int i) {
  static const double special[] = {0.0, -0.0, 1.0, -1.0, INFINITY, -INFINITY, 0.5, 2.0, 709.7, -745.1, 5e-324, 1e-310, 1e300, 3.5, -2.5, 1e22};
  if (i % 5 == 0) return special[(size_t)(i / 5) % (sizeof special / sizeof special[0])];
  double value = (double)(int64_t)next_random(state) / 9223372036854775808.0;
  return value * (i % 3 == 0 ? 1 : i % 3 == 1 ? 20 : 1e5);
}

static __attribute__((noinline)) uint64_t functions(void) {
  static double (*const of_one[])(double) = {sin,  cos,  tan,  asin,  acos,  atan,  sinh,  cosh,   tanh,  exp,       exp2, expm1, log,
                                             log2, log10, log1p, cbrt, sqrt, floor, ceil, trunc, round, nearbyint, rint, erf,   tgamma, fabs, asinh};
  static double (*const of_two[])(double, double) = {pow, atan2, fmod, hypot, fdim, fmin, fmax, nextafter, remainder, copysign};
  uint64_t state = 31, sum = 0;
  for (int i = 0; i < 300; i++) {
    double x = argument(&state, i), y = argument(&state, (i * 7) % 301);
    feclearexcept(FE_ALL_EXCEPT);
    for (size_t f = 0; f < sizeof of_one / sizeof of_one[0]; f++) sum = mix_double(sum, of_one[f](x));
    for (size_t f = 0; f < sizeof of_two / sizeof of_two[0]; f++) sum = mix_double(sum, of_two[f](x, y));
    sum = mix_double(sum, fma(x, y, 1 / (x + 3)));
    int exponent = 0;
    double whole = 0, s = 0, c = 0;
    sum = mix_double(mix(mix_double(sum, frexp(x, &exponent)), (uint64_t)exponent), modf(x, &whole));
    sincos(x, &s, &c);
    sum = mix_double(mix_double(mix_double(sum, s), c), ldexp(whole, i % 40 - 20));
    if (fabs(x) < 1e9) sum = mix(sum, (uint64_t)lrint(x) ^ (uint64_t)llround(x));
    sum = mix(sum, (uint64_t)fetestexcept(FE_ALL_EXCEPT));
  }
  return sum;
}

static __attribute__((noinline)) uint64_t float_functions(void) {
  static float (*const of_one[])(float) = {sinf,  cosf,  tanf,   asinf, atanf, expf,  exp2f, logf,      log2f,
                                           sqrtf, floorf, ceilf, truncf, roundf, rintf, nearbyintf, cbrtf, tanhf};
  uint64_t state = 32, sum = 0;
  for (int i = 0; i < 300; i++) {
    float x = (float)argument(&state, i), y = (float)argument(&state, (i * 11) % 307);
    feclearexcept(FE_ALL_EXCEPT);
    for (size_t f = 0; f < sizeof of_one / sizeof of_one[0]; f++) sum = mix_float(sum, of_one[f](x));
    sum = mix_float(mix_float(mix_float(sum, powf(x, y)), fmaf(x, y, x)), fmodf(x, y));
    sum = mix(sum, (uint64_t)fetestexcept(FE_ALL_EXCEPT));
  }
  return sum;
}

static __attribute__((noinline)) uint64_t long_functions(void) {
  uint64_t state = 33, sum = 0;
  for (int i = 0; i < 200; i++) {
    long double x = (long double)argument(&state, i), y = (long double)argument(&state, (i * 3) % 211);
    /* No FSIN, FCOS, FPTAN here: how many bits of pi they reduce with differs between processors. */
    long double results[] = {sqrtl(x < 0 ? -x : x), floorl(x), rintl(x), fmodl(x, y), x * y, x / (y + 7), fabsl(x), cbrtl(x), fmal(x, y, x)};
    for (size_t r = 0; r < sizeof results / sizeof results[0]; r++) sum = mix_bytes(sum, &results[r], 10);
  }
  return sum;
}

/* The same in each rounding direction. */
static __attribute__((noinline)) uint64_t directions(void) {
  static const int modes[] = {FE_TONEAREST, FE_UPWARD, FE_DOWNWARD, FE_TOWARDZERO};
  uint64_t state = 34, sum = 0;
  for (int i = 0; i < 400; i++) {
    volatile double x = argument(&state, i), y = argument(&state, (i * 13) % 401);
    volatile float narrow = (float)y;
    fesetround(modes[i & 3]);
    sum = mix_double(mix_double(mix_double(sum, x + y), x * y), x / (y + 3));
    sum = mix_double(mix_float(mix_float(sum, (float)x), narrow * (float)y), sqrt(fabs(x)));
    sum = mix_double(mix_double(sum, rint(x)), nearbyint(x / 3));
    if (fabs(x) < 1e9) sum = mix(sum, (uint64_t)lrint(x));
    sum = mix(sum, (uint64_t)fetestexcept(FE_ALL_EXCEPT));
  }
  fesetround(FE_TONEAREST);
  return sum;
}

static __attribute__((noinline)) uint64_t decimals(void) {
  char text[512];
  uint64_t state = 35, sum = 0;
  for (int i = 0; i < 300; i++) {
    double x = argument(&state, i);
    long double wide = (long double)x / 7;
    int length = snprintf(text, sizeof text, "%.17g %a %.3e %Lg %.20Lf %lld %llx", x, x, x * 3, wide, fabsl(wide) < 1e9L ? wide : 1.0L,
                          (long long)(next_random(&state) >> (i & 63)), (unsigned long long)state);
    sum = mix_bytes(sum, text, (size_t)length);
    char *rest = text;
    double back = strtod(text, &rest);
    if (memcmp(&back, &x, sizeof x) != 0) fail("strtod of what %.17g printed");
    sum = mix_double(sum, strtod(rest, &rest));
    long double long_back = strtold(rest, &rest);
    sum = mix_bytes(sum, &long_back, 10);
  }
  return sum;
}

static __attribute__((noinline)) uint64_t complex_numbers(void) {
  uint64_t state = 36, sum = 0;
  for (int i = 0; i < 100; i++) {
    double complex x = argument(&state, i) + I * argument(&state, i + 1), y = argument(&state, i + 2) + 1;
    double complex results[] = {x * y, x / (y + I), csqrt(x), cexp(x / 1e4), clog(x)};
    for (size_t r = 0; r < sizeof results / sizeof results[0]; r++)
      sum = mix_double(mix_double(sum, creal(results[r])), cimag(results[r]));
    sum = mix_double(sum, cabs(x));
  }
  return sum;
}

const struct computation mathematics_computations[] = {
    {"functions", functions}, {"float-functions", float_functions}, {"long-functions", long_functions},
    {"directions", directions}, {"decimals", decimals}, {"complex-numbers", complex_numbers}, {NULL, NULL},
};

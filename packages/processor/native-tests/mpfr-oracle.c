/*
 * The transcendental functions of the x87 by GNU MPFR, as the oracle of src/x87-functions.test.ts.
 *
 * Reads struct record from standard input, as often as there is one: the function (the last five bits of the opcode), its operands, and the
 * result in question. Writes struct answer for each: the error in units of the result's last place, and the value rounded to nearest.
 * Built with: gcc -O2 -o oracle mpfr-oracle.c -lmpfr -lgmp
 */
#include <mpfr.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

struct value { uint64_t significand; uint64_t high; };
struct record { uint64_t function; struct value x, y, result; };
struct answer { double error; struct value nearest; };

static void load(mpfr_t to, struct value from) {
  int exponent = from.high & 0x7fff;
  mpfr_set_ui(to, from.significand, MPFR_RNDN);
  mpfr_mul_2si(to, to, (exponent == 0 ? 1 : exponent) - 16383 - 63, MPFR_RNDN);
  if (from.high & 0x8000) mpfr_neg(to, to, MPFR_RNDN);
}

/* The value with 64 bits, fewer for denormals. */
static struct value round_to_nearest(mpfr_t from) {
  struct value to = {0, mpfr_signbit(from) ? 0x8000 : 0};
  if (mpfr_zero_p(from)) return to;
  long exponent = mpfr_get_exp(from) - 1;
  long last = exponent - 63 < -16445 ? -16445 : exponent - 63;
  mpfr_t scaled;
  mpfr_init2(scaled, 600);
  mpfr_abs(scaled, from, MPFR_RNDN);
  mpfr_mul_2si(scaled, scaled, -last, MPFR_RNDN);
  mpfr_rint(scaled, scaled, MPFR_RNDN);
  if (mpfr_get_exp(scaled) > 64) {
    mpfr_div_2ui(scaled, scaled, 1, MPFR_RNDN);
    last++;
  }
  to.significand = mpfr_get_ui(scaled, MPFR_RNDN);
  if (to.significand >> 63) to.high |= last + 63 + 16383;
  mpfr_clear(scaled);
  return to;
}

int main(void) {
  struct record record;
  mpfr_t x, y, exact, result, unit;
  mpfr_inits2(600, x, y, exact, result, unit, (mpfr_ptr)0);
  while (fread(&record, sizeof record, 1, stdin) == 1) {
    load(x, record.x);
    load(y, record.y);
    switch (record.function) {
      case 0x10:
        mpfr_const_log2(unit, MPFR_RNDN);
        mpfr_mul(exact, x, unit, MPFR_RNDN);
        mpfr_expm1(exact, exact, MPFR_RNDN);
        break;
      case 0x11:
        mpfr_log2(exact, x, MPFR_RNDN);
        mpfr_mul(exact, exact, y, MPFR_RNDN);
        break;
      case 0x12: mpfr_tan(exact, x, MPFR_RNDN); break;
      case 0x13: mpfr_atan2(exact, y, x, MPFR_RNDN); break;
      case 0x19:
        mpfr_log1p(exact, x, MPFR_RNDN);
        mpfr_const_log2(unit, MPFR_RNDN);
        mpfr_div(exact, exact, unit, MPFR_RNDN);
        mpfr_mul(exact, exact, y, MPFR_RNDN);
        break;
      case 0x1e: mpfr_sin(exact, x, MPFR_RNDN); break;
      case 0x1f: mpfr_cos(exact, x, MPFR_RNDN); break;
      default: return 64;
    }
    struct answer answer = {0, round_to_nearest(exact)};
    load(result, record.result);
    mpfr_sub(result, result, exact, MPFR_RNDN);
    if (!mpfr_zero_p(exact)) {
      long last = mpfr_get_exp(exact) - 64;
      mpfr_mul_2si(result, result, -(last < -16445 ? -16445 : last), MPFR_RNDN);
    }
    answer.error = mpfr_get_d(result, MPFR_RNDA);
    if (fwrite(&answer, sizeof answer, 1, stdout) != 1) return 1;
  }
  return 0;
}

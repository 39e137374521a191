/* SSE2 vectors: bytes and words as in video, floats four at a time, doubles two at a time. */
#include "programs.h"

#include <emmintrin.h>
#include <string.h>

enum { size = 4096 };
static uint8_t left[size] __attribute__((aligned(16))), right[size] __attribute__((aligned(16))), out[size] __attribute__((aligned(16)));

static void fill(uint8_t *bytes, uint64_t seed) {
  for (size_t i = 0; i < size; i += 8) {
    uint64_t value = next_random(&seed);
    memcpy(bytes + i, &value, 8);
  }
}

static uint64_t sum_of(__m128i value) {
  uint64_t halves[2];
  memcpy(halves, &value, sizeof halves);
  return mix(halves[0], halves[1]);
}

/* Blends two pictures, sums their differences, and counts equal bytes. */
static uint64_t vector_bytes(uint64_t iterations) {
  fill(left, 1), fill(right, 2);
  __m128i differences = _mm_setzero_si128(), zero = _mm_setzero_si128();
  uint64_t equal = 0;
  for (uint64_t i = 0; i < iterations; i++) {
    __m128i weight = _mm_set1_epi16((short)(i & 255)), rest = _mm_set1_epi16((short)(256 - (i & 255)));
    for (size_t at = 0; at < size; at += 16) {
      __m128i a = _mm_load_si128((const __m128i *)(left + at)), b = _mm_load_si128((const __m128i *)(right + at));
      __m128i low = _mm_add_epi16(_mm_mullo_epi16(_mm_unpacklo_epi8(a, zero), weight), _mm_mullo_epi16(_mm_unpacklo_epi8(b, zero), rest));
      __m128i high = _mm_add_epi16(_mm_mullo_epi16(_mm_unpackhi_epi8(a, zero), weight), _mm_mullo_epi16(_mm_unpackhi_epi8(b, zero), rest));
      __m128i blended = _mm_packus_epi16(_mm_srli_epi16(low, 8), _mm_srli_epi16(high, 8));
      _mm_store_si128((__m128i *)(out + at), blended);
      differences = _mm_add_epi64(differences, _mm_sad_epu8(a, blended));
      equal += (unsigned)_mm_movemask_epi8(_mm_cmpeq_epi8(_mm_max_epu8(a, blended), _mm_avg_epu8(b, blended)));
    }
    right[i % size] ^= out[(i * 7) % size];
  }
  return mix(sum_of(differences), equal);
}

/* A correlation of words (pmaddwd), and 32-bit lanes shuffled, shifted and multiplied. */
static uint64_t vector_words(uint64_t iterations) {
  fill(left, 3), fill(right, 4);
  __m128i sum = _mm_setzero_si128(), state = _mm_set_epi32(1, 2, 3, 4);
  for (uint64_t i = 0; i < iterations; i++) {
    for (size_t at = 0; at + 16 <= size - 16; at += 16) {
      __m128i a = _mm_load_si128((const __m128i *)(left + at)), b = _mm_loadu_si128((const __m128i *)(right + at + 2));
      sum = _mm_add_epi32(sum, _mm_madd_epi16(a, b));
      state = _mm_xor_si128(_mm_shuffle_epi32(state, 0x39), _mm_add_epi32(sum, _mm_slli_epi32(state, 5)));
      state = _mm_sub_epi32(state, _mm_mul_epu32(a, state));
      sum = _mm_or_si128(_mm_and_si128(_mm_cmpgt_epi32(state, sum), b), _mm_srai_epi32(_mm_unpacklo_epi32(state, sum), 1));
    }
  }
  return mix(sum_of(sum), sum_of(state));
}

static uint64_t vector_float(uint64_t iterations) {
  static float values[1024] __attribute__((aligned(16)));
  for (int i = 0; i < 1024; i++) values[i] = (float)(i % 37) / 8 + 1;
  for (uint64_t round = 0; round < iterations; round++) {
    __m128 factor = _mm_set1_ps(1.0f + (float)(round & 7) / 64), total = _mm_setzero_ps();
    for (int i = 0; i < 1024; i += 4) {
      __m128 value = _mm_load_ps(values + i);
      value = _mm_add_ps(_mm_mul_ps(value, factor), _mm_shuffle_ps(value, value, 0x1b));
      value = _mm_div_ps(value, _mm_sqrt_ps(_mm_add_ps(_mm_mul_ps(value, value), _mm_set1_ps(1))));
      __m128 small = _mm_cmplt_ps(value, _mm_set1_ps(0.9f));
      value = _mm_or_ps(_mm_and_ps(small, _mm_add_ps(value, _mm_set1_ps(2))), _mm_andnot_ps(small, _mm_max_ps(value, total)));
      total = _mm_min_ps(_mm_add_ps(total, value), _mm_set1_ps(3));
      _mm_store_ps(values + i, value);
    }
  }
  uint64_t sum = 0;
  for (int i = 0; i < 1024; i++) {
    uint32_t bits;
    memcpy(&bits, &values[i], 4);
    sum = mix(sum, bits);
  }
  return sum;
}

static uint64_t vector_double(uint64_t iterations) {
  static double values[512] __attribute__((aligned(16)));
  for (int i = 0; i < 512; i++) values[i] = (double)(i % 41) / 16;
  __m128d total = _mm_setzero_pd();
  for (uint64_t round = 0; round < iterations; round++) {
    for (int i = 0; i < 512; i += 2) {
      __m128d value = _mm_load_pd(values + i);
      total = _mm_add_pd(_mm_mul_pd(total, _mm_set1_pd(0.5)), value);
      value = _mm_sub_pd(_mm_mul_pd(value, _mm_set1_pd(0.75)), _mm_mul_pd(_mm_unpacklo_pd(total, value), _mm_set1_pd(0.125)));
      value = _mm_add_pd(value, _mm_cvtepi32_pd(_mm_cvttpd_epi32(total)));
      _mm_store_pd(values + i, _mm_min_pd(_mm_max_pd(value, _mm_set1_pd(-4)), _mm_set1_pd(4)));
    }
  }
  uint64_t halves[2], sum = 0;
  memcpy(halves, &total, sizeof halves);
  for (int i = 0; i < 512; i++) {
    uint64_t bits;
    memcpy(&bits, &values[i], 8);
    sum = mix(sum, bits);
  }
  return mix(sum, mix(halves[0], halves[1]));
}

const struct program vector_programs[] = {
    {"vector-bytes", vector_bytes, 80000}, {"vector-words", vector_words, 80000}, {"vector-float", vector_float, 40000},
    {"vector-double", vector_double, 60000}, {NULL, NULL, 0},
};

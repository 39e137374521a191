/* Algorithms over arrays: the sieve, sorting, matrices of whole numbers, a compressor of LZ77's kind. */
#include "programs.h"

#include <stdlib.h>
#include <string.h>

static uint64_t sieve(uint64_t iterations) {
  enum { size = 1 << 19 };
  uint8_t *composite = malloc(size);
  if (composite == NULL) fail("memory for the sieve");
  uint64_t sum = 0;
  for (uint64_t i = 0; i < iterations; i++) {
    memset(composite, 0, size);
    for (uint32_t n = 2; n < size; n++) {
      if (composite[n]) continue;
      sum += n ^ i;
      for (uint32_t multiple = n * 2; multiple < size; multiple += n) composite[multiple] = 1;
    }
  }
  free(composite);
  return sum;
}

enum { sort_count = 20000 };

static void quick_sort(uint32_t *values, long left, long right) {
  while (left < right) {
    uint32_t pivot = values[(left + right) >> 1];
    long i = left, j = right;
    while (i <= j) {
      while (values[i] < pivot) i++;
      while (values[j] > pivot) j--;
      if (i <= j) {
        uint32_t other = values[i];
        values[i++] = values[j];
        values[j--] = other;
      }
    }
    if (j - left < right - i) quick_sort(values, left, j), left = i;
    else quick_sort(values, i, right), right = j;
  }
}

static void heap_sort(uint32_t *values, size_t count) {
  for (size_t start = count / 2, end = count; end > 1;) {
    uint32_t value;
    if (start > 0) value = values[--start];
    else value = values[--end], values[end] = values[0];
    size_t hole = start;
    for (size_t child = 2 * hole + 1; child < end; child = 2 * hole + 1) {
      if (child + 1 < end && values[child + 1] > values[child]) child++;
      if (values[child] <= value) break;
      values[hole] = values[child];
      hole = child;
    }
    values[hole] = value;
  }
}

static int compare(const void *left, const void *right) {
  uint32_t a = *(const uint32_t *)left, b = *(const uint32_t *)right;
  return (a > b) - (a < b);
}

static uint64_t sort(uint64_t iterations) {
  uint32_t *values = malloc(sort_count * sizeof *values);
  if (values == NULL) fail("memory for sorting");
  uint64_t state = 3, sum = 0;
  for (uint64_t i = 0; i < iterations; i++) {
    for (int k = 0; k < sort_count; k++) values[k] = (uint32_t)(next_random(&state) >> 33);
    switch (i % 3) {
      case 0: quick_sort(values, 0, sort_count - 1); break;
      case 1: heap_sort(values, sort_count); break;
      default: qsort(values, sort_count, sizeof *values, compare); break;
    }
    for (int k = 1; k < sort_count; k++)
      if (values[k - 1] > values[k]) fail("sorting");
    for (int k = 0; k < sort_count; k += 97) sum = mix(sum, values[k]);
  }
  free(values);
  return sum;
}

/* With `simd` the compiler may use vectors, which it makes of 32-bit products, shifts and shuffles. */
static inline __attribute__((always_inline)) uint64_t multiply_matrices(uint64_t iterations, int simd) {
  enum { size = 96 };
  static uint64_t a[size][size], b[size][size], c[size][size];
  uint64_t state = 23, sum = 0;
  for (int i = 0; i < size; i++)
    for (int j = 0; j < size; j++) a[i][j] = next_random(&state) >> 32, b[i][j] = next_random(&state) >> 32;
  for (uint64_t round = 0; round < iterations; round++) {
    for (int i = 0; i < size; i++)
      for (int j = 0; j < size; j++) {
        uint64_t dot = 0;
        for (int k = 0; k < size; k++) {
          dot += a[i][k] * b[k][j];
          if (!simd) opaque(dot);
        }
        c[i][j] = dot;
      }
    for (int i = 0; i < size; i++) sum = mix(sum, c[i][(i * 7 + (int)(round % size)) % size]);
    a[round % size][(round * 5) % size] += sum;
  }
  return sum;
}

static uint64_t matrix(uint64_t iterations) { return multiply_matrices(iterations, 0); }
static uint64_t matrix_simd(uint64_t iterations) { return multiply_matrices(iterations, 1); }

enum { text_size = 1 << 16 };

/* Literals are (0, byte), matches are (length 4 to 255, two bytes of distance). */
static size_t compress(const uint8_t *in, size_t length, uint8_t *out) {
  static uint32_t recent[1 << 12];
  memset(recent, 0, sizeof recent);
  size_t at = 0, to = 0;
  while (at < length) {
    size_t best = 0, distance = 0;
    if (at + 4 <= length) {
      uint32_t word;
      memcpy(&word, in + at, 4);
      uint32_t hash = (word * 2654435761u) >> 20;
      size_t candidate = recent[hash];
      recent[hash] = (uint32_t)at + 1;
      if (candidate != 0 && at - (candidate - 1) < 65536) {
        candidate--;
        while (best < 255 && at + best < length && in[candidate + best] == in[at + best]) best++;
        distance = at - candidate;
      }
    }
    if (best >= 4) {
      out[to++] = (uint8_t)best, out[to++] = (uint8_t)distance, out[to++] = (uint8_t)(distance >> 8);
      at += best;
    } else {
      out[to++] = 0, out[to++] = in[at++];
    }
  }
  return to;
}

static size_t expand(const uint8_t *in, size_t length, uint8_t *out) {
  size_t to = 0;
  for (size_t at = 0; at < length;) {
    if (in[at] == 0) {
      out[to++] = in[at + 1];
      at += 2;
    } else {
      size_t distance = in[at + 1] | (size_t)in[at + 2] << 8;
      for (int left = in[at]; left > 0; left--, to++) out[to] = out[to - distance];
      at += 3;
    }
  }
  return to;
}

static uint64_t compressor(uint64_t iterations) {
  uint8_t *text = malloc(text_size), *packed = malloc(2 * text_size), *again = malloc(text_size);
  if (text == NULL || packed == NULL || again == NULL) fail("memory for the compressor");
  static const char *const syllables[] = {"par", "ti", "tion", " ", "in", "ter", "cept", ", ", "page", " of ", "mem", "ory\n"};
  uint64_t state = 77, sum = 0;
  for (uint64_t i = 0; i < iterations; i++) {
    for (size_t at = 0; at < text_size;) {
      const char *syllable = syllables[(next_random(&state) >> 40) % 12];
      for (; *syllable != 0 && at < text_size; syllable++) text[at++] = (uint8_t)*syllable;
    }
    size_t length = compress(text, text_size, packed);
    if (expand(packed, length, again) != text_size || memcmp(text, again, text_size) != 0) fail("the compressor");
    sum = mix(sum, length);
  }
  free(text);
  free(packed);
  free(again);
  return sum;
}

const struct program data_programs[] = {
    {"sieve", sieve, 250}, {"sort", sort, 250}, {"matrix", matrix, 500}, {"matrix-simd", matrix_simd, 80}, {"compress", compressor, 800},
    {NULL, NULL, 0},
};

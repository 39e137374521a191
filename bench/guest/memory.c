/* Memory: the library's copies, rep movs and rep stos, a walk along pointers, loads and stores of all widths. */
#include "programs.h"

#include <stdlib.h>
#include <string.h>

static uint64_t copy(uint64_t iterations) {
  enum { size = 1 << 20 };
  uint8_t *from = malloc(size), *to = malloc(size);
  if (from == NULL || to == NULL) fail("memory for copies");
  uint64_t state = 9, sum = 0;
  for (size_t i = 0; i < size; i++) from[i] = (uint8_t)(next_random(&state) >> 56);
  for (uint64_t i = 0; i < iterations; i++) {
    /* Lengths from 16 bytes to 64 KiB, any alignment. */
    size_t length = (size_t)16 << (next_random(&state) >> 33) % 13;
    size_t at = (next_random(&state) >> 40) & (size / 2 - 1), target = (next_random(&state) >> 40) & (size / 2 - 1);
    memcpy(to + target, from + at, length);
    memory_barrier();
    sum = mix(sum, to[target + (length >> 1)]);
    if ((i & 3) == 0) memmove(to + at, to + at + 5, length);
    if ((i & 7) == 0) memset(to + target, (int)sum, length >> 2);
    from[at] ^= to[at];
  }
  free(from);
  free(to);
  return sum;
}

static uint64_t repeat_strings(uint64_t iterations) {
  enum { size = 1 << 18 };
  uint8_t *from = malloc(size), *to = malloc(size);
  if (from == NULL || to == NULL) fail("memory for string instructions");
  memset(from, 1, size), memset(to, 2, size);
  uint64_t state = 19, sum = 0;
  for (uint64_t i = 0; i < iterations; i++) {
    size_t count = (next_random(&state) >> 40) & 16383, at = (next_random(&state) >> 40) & 65535;
    void *target = to + at;
    const void *source = from + (at ^ 4095);
    size_t left = count;
    if (i & 1) __asm__ volatile("rep movsb" : "+D"(target), "+S"(source), "+c"(left) : : "memory");
    else {
      left /= sizeof left;
#ifdef __x86_64__
      __asm__ volatile("rep movsq" : "+D"(target), "+S"(source), "+c"(left) : : "memory");
#else
      __asm__ volatile("rep movsl" : "+D"(target), "+S"(source), "+c"(left) : : "memory");
#endif
    }
    target = from + (at >> 1);
    left = count >> 2;
    __asm__ volatile("rep stosb" : "+D"(target), "+c"(left) : "a"((uint8_t)i) : "memory");
    sum = mix(sum, to[at + (count >> 1)]);
  }
  free(from);
  free(to);
  return sum;
}

/* A random cycle through 4 MiB. */
static uint64_t chase(uint64_t iterations) {
  enum { count = 1 << 19 };
  uint64_t *next = malloc(count * sizeof *next);
  if (next == NULL) fail("memory for the pointer chase");
  for (uint64_t i = 0; i < count; i++) next[i] = i;
  uint64_t state = 29, at = 0, sum = 0;
  for (uint64_t i = count - 1; i > 0; i--) {
    uint64_t other = (next_random(&state) >> 20) % i, value = next[i];
    next[i] = next[other];
    next[other] = value;
  }
  for (uint64_t i = 0; i < iterations; i++) {
    at = next[at];
    sum += at ^ i;
  }
  free(next);
  return sum;
}

/* Fields of records: bytes, words and more, read with both extensions, at any alignment. */
static uint64_t fields(uint64_t iterations) {
  struct __attribute__((packed)) record {
    int8_t a;
    uint16_t b;
    int16_t c;
    uint32_t d;
    int32_t e;
    uint64_t f;
    uint8_t g;
  };
  enum { count = 1024 };
  static struct record records[count];
  uint64_t state = 37, sum = 0;
  for (int i = 0; i < count; i++) {
    uint64_t value = next_random(&state);
    records[i] = (struct record){(int8_t)value, (uint16_t)(value >> 3), (int16_t)(value >> 5), (uint32_t)(value >> 7),
                                 (int32_t)(value >> 11), value, (uint8_t)(value >> 13)};
  }
  for (uint64_t round = 0; round < iterations; round++) {
    for (int i = 0; i < count; i++) {
      struct record *record = &records[i];
      sum += (uint64_t)(record->a + record->c) + record->b + (uint64_t)record->e * record->g;
      record->d += (uint32_t)sum;
      record->f ^= sum + record->d;
      record->a = (int8_t)(record->a + 1);
      record->g = (uint8_t)(record->f >> 17);
      record->c = (int16_t)(record->c ^ record->b);
    }
    memory_barrier();
  }
  return sum;
}

const struct program memory_programs[] = {
    {"memcpy", copy, 200000}, {"rep-movs", repeat_strings, 100000}, {"pointer-chase", chase, 20000000}, {"fields", fields, 80000},
    {NULL, NULL, 0},
};

/*
 * Programs whose compiled form is the test: loops that compilers make vectors of, mathematics and string routines of which the C library
 * picks another version for each processor. Each answers a sum that the host's own processor must answer too, from the same binary.
 */
#ifndef COMPUTATIONS_H
#define COMPUTATIONS_H

#include <stddef.h>
#include <stdint.h>

struct computation {
  const char *name;
  uint64_t (*run)(void);
};

/* Each file's computations; the last entry has no name. */
extern const struct computation loop_computations[];
extern const struct computation bit_computations[];
extern const struct computation mathematics_computations[];
extern const struct computation string_computations[];

/* Ends the program with a message: a result is wrong by what the same program computes in another way. */
_Noreturn void fail(const char *what);

/* The next of a sequence of pseudo-random numbers (xorshift64*, Vigna); the state must not be 0. */
static inline uint64_t next_random(uint64_t *state) {
  *state ^= *state >> 12;
  *state ^= *state << 25;
  *state ^= *state >> 27;
  return *state * UINT64_C(2685821657736338717);
}

/* Adds a value to a checksum so that order matters. */
static inline uint64_t mix(uint64_t sum, uint64_t value) { return (sum ^ value) * UINT64_C(1099511628211) + (sum >> 29); }

/* The sum of bytes. */
static inline uint64_t mix_bytes(uint64_t sum, const void *bytes, size_t count) {
  const unsigned char *at = bytes;
  for (size_t i = 0; i < count; i++) sum = mix(sum, at[i]);
  return sum;
}

#endif

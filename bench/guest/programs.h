/*
 * What the guest programs of the bench `cpu` share.
 *
 * A program does its work `iterations` times and answers a value that depends on all of it. The same static binary computes the
 * value that is right on the host's own processor, so it must depend on nothing else: no address, process id, time or random
 * source. Floating point is double and float by SSE2, and long double by the x87, with operations that are exact or rounded once; the C
 * library's mathematics would pick other instructions on other processors.
 */
#ifndef PROGRAMS_H
#define PROGRAMS_H

#include <stddef.h>
#include <stdint.h>

struct program {
  const char *name;
  uint64_t (*run)(uint64_t iterations);
  /* How often by default: about one second in QEMU's software engine. */
  uint64_t iterations;
};

/* Each file's programs; the last entry has no name. Three files have none when they are compiled with -m32. */
extern const struct program arithmetic_programs[];
extern const struct program big_number_programs[];
extern const struct program cipher_programs[];
extern const struct program control_programs[];
extern const struct program data_programs[];
extern const struct program extended_programs[];
extern const struct program floating_programs[];
extern const struct program generated_code_programs[];
extern const struct program hash_programs[];
extern const struct program memory_programs[];
extern const struct program process_programs[];
extern const struct program ring_programs[];
extern const struct program system_programs[];
extern const struct program text_programs[];
extern const struct program vector_programs[];

/* The path of this program, for those that start it again. */
extern const char *own_path;

/* Ends the program with a message: something that cannot fail has failed. */
_Noreturn void fail(const char *what);

/* The next of a sequence of pseudo-random numbers (xorshift64*, Vigna); the state must not be 0. */
static inline uint64_t next_random(uint64_t *state) {
  *state ^= *state >> 12;
  *state ^= *state << 25;
  *state ^= *state >> 27;
  return *state * UINT64_C(2685821657736338717);
}

/* Adds a value to a checksum so that order matters. */
static inline uint64_t mix(uint64_t sum, uint64_t value) {
  return (sum ^ value) * UINT64_C(1099511628211) + (sum >> 29);
}

/* The compiler must assume that memory was read and written here. */
#define memory_barrier() __asm__ volatile("" ::: "memory")

/* The compiler may not know this value. */
#define opaque(value) __asm__ volatile("" : "+r"(value))

#endif

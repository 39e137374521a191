/*
 * A ring of eight pieces of code, each in a page of its own and none beside another: one addition to memory, then on to the next. What
 * it costs to get from one translated piece to the next stands out when there is next to nothing in the pieces.
 */
#include "programs.h"

#ifdef __x86_64__

#include <string.h>
#include <sys/mman.h>

enum { pieces = 8, page = 4096, stride = 3 * page, transitions_per_iteration = 1000 * pieces };

typedef void (*ring_entry)(uint64_t *counters, uint64_t rounds);

static uint8_t *emit(uint8_t *at, const uint8_t *bytes, size_t count) {
  memcpy(at, bytes, count);
  return at + count;
}

/* Where a piece lies: at another offset in each page, so that they do not compete for the same lines of a cache. */
static uint8_t *place(uint8_t *memory, int piece) { return memory + piece * stride + piece * 256; }

/* A jump to `target`, with the opcode given. */
static uint8_t *emit_jump(uint8_t *at, const uint8_t *opcode, size_t count, const uint8_t *target) {
  at = emit(at, opcode, count);
  int32_t distance = (int32_t)(target - (at + 4));
  return emit(at, (const uint8_t *)&distance, 4);
}

static uint64_t ring(uint64_t iterations) {
  uint8_t *memory =
      mmap(NULL, pieces * stride, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) fail("memory for code");
  for (int piece = 0; piece < pieces; piece++) {
    /* add qword [rdi + 8 * piece], piece + 1 */
    uint8_t *at = emit(place(memory, piece), (const uint8_t[]){0x48, 0x83, 0x47, 8 * piece, piece + 1}, 5);
    if (piece < pieces - 1) {
      emit_jump(at, (const uint8_t[]){0xe9}, 1, place(memory, piece + 1));
    } else {
      at = emit(at, (const uint8_t[]){0x48, 0xff, 0xce}, 3); /* dec rsi; jnz first; ret */
      at = emit_jump(at, (const uint8_t[]){0x0f, 0x85}, 2, place(memory, 0));
      *at = 0xc3;
    }
  }
  memory_barrier();
  ring_entry entry;
  memcpy(&entry, &memory, sizeof entry);
  uint64_t counters[pieces] = {0}, sum = 0;
  for (uint64_t i = 0; i < iterations; i++) entry(counters, transitions_per_iteration / pieces);
  for (int piece = 0; piece < pieces; piece++) sum = mix(sum, counters[piece]);
  munmap(memory, pieces * stride);
  return sum;
}

const struct program ring_programs[] = {{"ring", ring, 25000}, {NULL, NULL, 0}};
#else
/* There are no machine code of 64-bit mode with -m32. */
const struct program ring_programs[] = {{NULL, NULL, 0}};
#endif

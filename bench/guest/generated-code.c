/* Code that writes code: an instruction patched before each call, and functions written one after the other and run. */
#include "programs.h"

#ifdef __x86_64__

#include <string.h>
#include <sys/mman.h>

typedef uint32_t (*generated)(uint32_t);

enum { code_size = 65536 };

static uint8_t *code_memory(void) {
  uint8_t *memory = mmap(NULL, code_size, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) fail("memory for code");
  return memory;
}

static generated function_at(uint8_t *code) {
  generated function;
  memcpy(&function, &code, sizeof function);
  return function;
}

/* lea eax, [rdi + constant]; ret - the constant changes before each call. */
static uint64_t patch(uint64_t iterations) {
  uint8_t *code = code_memory();
  static const uint8_t template[] = {0x8d, 0x87, 0, 0, 0, 0, 0xc3};
  memcpy(code, template, sizeof template);
  generated function = function_at(code);
  uint32_t value = 1;
  for (uint32_t i = 0; i < iterations; i++) {
    uint32_t constant = i * 2654435761u;
    memcpy(code + 2, &constant, 4);
    memory_barrier();
    value = function(value) ^ (value >> 3);
  }
  munmap(code, code_size);
  return value;
}

static uint8_t *emit(uint8_t *at, const uint8_t *bytes, size_t count) {
  memcpy(at, bytes, count);
  return at + count;
}

static uint8_t *emit_constant(uint8_t *at, uint32_t constant) { return emit(at, (const uint8_t *)&constant, 4); }

/* A loop of 20 random operations on eax, 100 times: what a just-in-time compiler does with a new function. */
static uint8_t *write_function(uint8_t *at, uint64_t *state) {
  at = emit(at, (const uint8_t[]){0x89, 0xf8}, 2); /* mov eax, edi */
  *at++ = 0xb9;                                      /* mov ecx, 100 */
  at = emit_constant(at, 100);
  uint8_t *loop = at;
  for (int i = 0; i < 20; i++) {
    uint32_t random = (uint32_t)(next_random(state) >> 32);
    switch (random & 3) {
      case 0: *at++ = 0x05, at = emit_constant(at, random); break;                                /* add eax, random */
      case 1: *at++ = 0x35, at = emit_constant(at, random); break;                                /* xor eax, random */
      case 2: at = emit(at, (const uint8_t[]){0xc1, 0xc0, (uint8_t)(random >> 8 & 31)}, 3); break; /* rol eax, n */
      default: at = emit(at, (const uint8_t[]){0x69, 0xc0}, 2), at = emit_constant(at, random | 1); break; /* imul */
    }
  }
  at = emit(at, (const uint8_t[]){0xff, 0xc9, 0x0f, 0x85}, 4); /* dec ecx; jnz loop */
  at = emit_constant(at, (uint32_t)(loop - (at + 4)));
  *at++ = 0xc3;
  return at;
}

static uint64_t write_and_run(uint64_t iterations) {
  uint8_t *code = code_memory(), *at = code;
  uint64_t state = 83;
  uint32_t value = 1;
  for (uint64_t i = 0; i < iterations; i++) {
    if (at + 512 > code + code_size) at = code;
    uint8_t *start = at;
    at = write_function(at, &state);
    memory_barrier();
    for (int call = 0; call < 10; call++) value = function_at(start)(value);
  }
  munmap(code, code_size);
  return value;
}

const struct program generated_code_programs[] = {
    {"code-patch", patch, 150000}, {"code-write", write_and_run, 6000}, {NULL, NULL, 0},
};
#else
/* There are no machine code of 64-bit mode with -m32. */
const struct program generated_code_programs[] = {{NULL, NULL, 0}};
#endif

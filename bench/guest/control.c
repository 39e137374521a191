/* Control flow: branches that depend on data, recursion, a switch-driven interpreter, calls through pointers. */
#include "programs.h"

static uint64_t branches(uint64_t iterations) {
  uint64_t state = 1234567, counts[4] = {0}, steps = 0;
  for (uint64_t i = 0; i < iterations; i++) {
    uint64_t value = next_random(&state) >> 44;
    if (value & 1) counts[0]++;
    else if (value & 2) counts[1] += 3;
    else if (value % 5 == 0) counts[2] ^= value;
    else counts[3] += value;
    while (value > 1 && value < 1048576) {
      value = value & 1 ? value * 3 + 1 : value >> 1;
      if (++steps % 64 == 0) break;
    }
  }
  return mix(mix(counts[0], counts[1]), mix(counts[2], counts[3] + steps));
}

static __attribute__((noinline)) uint64_t fibonacci(uint64_t n) {
  opaque(n);
  if (n < 2) return n;
  uint64_t left = fibonacci(n - 1);
  opaque(left);
  return left + fibonacci(n - 2);
}

static __attribute__((noinline)) unsigned ackermann(unsigned m, unsigned n) {
  opaque(m);
  if (m == 0) return n + 1;
  if (n == 0) return ackermann(m - 1, 1);
  return ackermann(m - 1, ackermann(m, n - 1));
}

static uint64_t recursion(uint64_t iterations) {
  uint64_t sum = 0;
  for (uint64_t i = 0; i < iterations; i++) sum = mix(sum, fibonacci(18 + i % 3) + ackermann(2, (unsigned)(40 + i % 5)));
  return sum;
}

/* A machine with a stack and eight operations, running a small program of its own. */
enum operation { push, load, store, add, multiply, shift, less, jump_if, halt };
static const uint8_t code[] = {
    push, 0, store, 0, push, 1, store, 1,                                         /* i = 0; x = 1 */
    load, 1, push, 13, multiply, load, 0, add, store, 1,                          /* x = x * 13 + i */
    load, 1, push, 3, shift, load, 1, add, store, 2,                              /* y = (x >> 3) + x */
    load, 0, push, 1, add, store, 0, load, 0, push, 100, less, jump_if, 8, halt, /* while (++i < 100) */
};

static __attribute__((noinline)) uint64_t interpret(const uint8_t *program, uint64_t seed) {
  uint64_t stack[16], variables[4] = {0, 0, 0, 0};
  unsigned top = 0, at = 0;
  for (;;) {
    switch ((enum operation)program[at++]) {
      case push: stack[top++ & 15] = program[at++]; break;
      case load: stack[top++ & 15] = variables[program[at++] & 3]; break;
      case store: variables[program[at++] & 3] = stack[--top & 15]; break;
      case add: top--; stack[(top - 1) & 15] += stack[top & 15]; break;
      case multiply: top--; stack[(top - 1) & 15] *= stack[top & 15]; break;
      case shift: top--; stack[(top - 1) & 15] >>= stack[top & 15] & 63; break;
      case less: top--; stack[(top - 1) & 15] = stack[(top - 1) & 15] < stack[top & 15]; break;
      case jump_if: at = stack[--top & 15] ? program[at] : at + 1; break;
      case halt: return variables[1] + variables[2] * seed;
    }
  }
}

static uint64_t interpreter(uint64_t iterations) {
  uint64_t sum = 1;
  for (uint64_t i = 0; i < iterations; i++) {
    memory_barrier();
    sum = mix(sum, interpret(code, sum | 1));
  }
  return sum;
}

static uint64_t call_0(uint64_t x) { return x * 3; }
static uint64_t call_1(uint64_t x) { return x + 0x1234567; }
static uint64_t call_2(uint64_t x) { return x ^ (x >> 9); }
static uint64_t call_3(uint64_t x) { return x - (x << 5); }
static uint64_t call_4(uint64_t x) { return ~x + 17; }
static uint64_t call_5(uint64_t x) { return (x << 13) | (x >> 51); }
static uint64_t call_6(uint64_t x) { return x & 1 ? x >> 1 : x + 0x8000000000000001; }
static uint64_t call_7(uint64_t x) { return x * x + 1; }

static uint64_t indirect(uint64_t iterations) {
  static uint64_t (*volatile const targets[8])(uint64_t) = {call_0, call_1, call_2, call_3, call_4, call_5, call_6, call_7};
  uint64_t value = 42, state = 99;
  for (uint64_t i = 0; i < iterations; i++) {
    if ((i & 7) == 0) next_random(&state);
    value = targets[(state >> (i & 31)) & 7](value);
  }
  return value;
}

const struct program control_programs[] = {
    {"branches", branches, 10000000}, {"recursion", recursion, 15000}, {"interpreter", interpreter, 50000},
    {"indirect", indirect, 50000000}, {NULL, NULL, 0},
};

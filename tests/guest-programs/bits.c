/* Bits and whole numbers, of which compilers make BMI, LZCNT, POPCNT, MOVBE, ADX, MULX, CMOV, BSWAP and division. */
#include "computations.h"

#include <string.h>

/* x86intrin.h would tie the file to one level: what the compiler finds by itself is the test. */
static __attribute__((noinline)) uint64_t counts(void) {
  uint64_t state = 21, sum = 0;
  for (int i = 0; i < 4000; i++) {
    uint64_t value = next_random(&state) >> (i & 63);
    uint32_t narrow = (uint32_t)value;
    sum = mix(sum, (uint64_t)__builtin_popcountll(value) << 8 | (uint64_t)__builtin_popcount(narrow));
    sum += (uint64_t)(value == 0 ? 64 : __builtin_clzll(value)) << 3 ^ (uint64_t)(narrow == 0 ? 32 : __builtin_ctz(narrow));
    sum += (uint64_t)(value == 0 ? 64 : __builtin_ctzll(value)) + (uint64_t)(narrow == 0 ? 32 : __builtin_clz(narrow));
    sum ^= (uint64_t)__builtin_ffsll((int64_t)value) + (uint64_t)__builtin_parityll(value) + (uint64_t)__builtin_clrsb((int)narrow);
  }
  return sum;
}

static __attribute__((noinline)) uint64_t fields(void) {
  uint64_t state = 22, sum = 0;
  for (int i = 0; i < 4000; i++) {
    uint64_t value = next_random(&state), other = next_random(&state);
    uint32_t narrow = (uint32_t)value, count = (uint32_t)other;
    sum = mix(sum, value & (value - 1)) + (value & -value) + (value ^ (value - 1)) + (~value & other);
    sum ^= (uint64_t)(narrow & (narrow - 1)) + (narrow & -narrow) + (narrow ^ (narrow - 1)) + (~narrow & count);
    sum += (value >> (other & 63)) + (value << (count & 63)) + (uint64_t)((int64_t)value >> (other >> 58));
    sum ^= (narrow >> (count & 31)) + (narrow << (count >> 27)) + (uint64_t)(uint32_t)((int32_t)narrow >> (count & 31));
    sum += (value >> 13 & ((UINT64_C(1) << 21) - 1)) + (value & ((UINT64_C(1) << (other & 63)) - 1));
    sum ^= (value << 17 | value >> 47) + (narrow >> 9 | narrow << 23) + (uint16_t)((uint16_t)narrow << 3 | (uint16_t)narrow >> 13);
    sum += (value >> (other & 63) & 1) + (value | UINT64_C(1) << (other & 63)) + (value & ~(UINT64_C(1) << (count & 63))) +
           (value ^ UINT64_C(1) << (count >> 26));
  }
  return sum;
}

static __attribute__((noinline)) uint64_t order(void) {
  unsigned char bytes[256];
  uint64_t state = 23, sum = 0;
  for (int i = 0; i < 256; i++) bytes[i] = (unsigned char)(next_random(&state) >> 56);
  for (int i = 0; i < 2000; i++) {
    uint64_t eight;
    uint32_t four;
    uint16_t two;
    memcpy(&eight, bytes + i % 240, 8), memcpy(&four, bytes + i % 250, 4), memcpy(&two, bytes + i % 251, 2);
    sum = mix(sum, __builtin_bswap64(eight)) + __builtin_bswap32(four) + __builtin_bswap16(two);
    eight = __builtin_bswap64(sum), four = __builtin_bswap32((uint32_t)sum), two = __builtin_bswap16((uint16_t)sum);
    memcpy(bytes + i % 239, &eight, 8), memcpy(bytes + i % 241, &four, 4), memcpy(bytes + i % 253, &two, 2);
  }
  return mix_bytes(sum, bytes, sizeof bytes);
}

/* Products and quotients of each size, with sums that carry. */
static __attribute__((noinline)) uint64_t wide_numbers(void) {
  uint64_t state = 24, sum = 0;
  for (int i = 0; i < 2000; i++) {
    uint64_t a = next_random(&state) >> (i & 31), b = next_random(&state) >> (i * 7 & 63) | 1;
    uint32_t c = (uint32_t)a, d = (uint32_t)b | 1;
    sum = mix(sum, a / b) + a % b + c / d + c % d + (uint16_t)((uint16_t)c / (uint16_t)d) + (uint8_t)((uint8_t)c % (uint8_t)d);
    int64_t signed_quotient = (int64_t)a / (int64_t)b, signed_rest = (int64_t)(a | 1) % -(int64_t)(b >> 1 | 1);
    sum ^= (uint64_t)signed_quotient + (uint64_t)signed_rest + a / 1000003 + (uint64_t)((int64_t)a / -37) + c / 7 + c % 641;
    uint64_t carried = 0;
    sum += (uint64_t)__builtin_add_overflow(a, sum, &carried);
    sum ^= carried;
    int32_t narrow = 0;
    sum += (uint64_t)__builtin_mul_overflow((int32_t)c, (int32_t)d, &narrow) + (uint32_t)narrow;
    sum += (uint64_t)__builtin_sub_overflow((int32_t)d, (int32_t)c, &narrow) ^ (uint32_t)narrow;
#ifdef __SIZEOF_INT128__
    unsigned __int128 product = (unsigned __int128)a * sum + ((unsigned __int128)b << 64 | sum);
    sum = mix(sum, (uint64_t)(product >> 64)) + (uint64_t)product;
    sum += (uint64_t)(product / b) + (uint64_t)(product % (a | 1));
#endif
  }
  return sum;
}

const struct computation bit_computations[] = {
    {"counts", counts}, {"fields", fields}, {"order", order}, {"wide-numbers", wide_numbers}, {NULL, NULL},
};

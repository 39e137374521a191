/* Strings of the C library, and words counted by hand. */
#include "programs.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { size = 16384 };

static void write_text(char *text, uint64_t seed) {
  for (int i = 0; i < size - 1; i++) {
    unsigned value = (unsigned)(next_random(&seed) >> 40);
    text[i] = value % 7 == 0 ? ' ' : (char)('a' + value % 26);
  }
  text[size - 1] = 0;
}

static uint64_t strings(uint64_t iterations) {
  static char text[size], other[size];
  write_text(text, 71);
  uint64_t sum = 0;
  for (uint64_t i = 0; i < iterations; i++) {
    memory_barrier();
    sum += strlen(text + (i & 15));
    memcpy(other, text, size);
    other[size - 2 - (i & 1023)] = '!';
    sum += (uint64_t)(memcmp(text, other, size) > 0);
    sum += (uint64_t)(strchr(other, '!') - other);
    const char *found = strstr(text, "zebra");
    sum += found == NULL ? 1 : (uint64_t)(found - text);
    sum += strcspn(text + (i & 255), "q") + strspn(text + (i & 255), "abcdefghijklm ");
    sum += (uint64_t)(strncmp(text, other, size) != 0);
    text[(i * 31) & (size - 2)] ^= 1;
    if (text[(i * 31) & (size - 2)] == 0) text[(i * 31) & (size - 2)] = 'x';
  }
  return sum;
}

static uint64_t words(uint64_t iterations) {
  static char text[size];
  write_text(text, 73);
  uint64_t sum = 0;
  for (uint64_t i = 0; i < iterations; i++) {
    memory_barrier();
    unsigned inside = 0, lengths[8] = {0};
    unsigned length = 0;
    uint32_t word = 0;
    for (const char *at = text; *at != 0; at++) {
      int letter = (*at >= 'a' && *at <= 'z') || (*at >= 'A' && *at <= 'Z');
      if (letter) {
        word = word * 31 + (uint8_t)*at;
        length++;
        inside = 1;
      } else if (inside) {
        lengths[length & 7]++;
        sum += word;
        length = word = inside = 0;
      }
    }
    for (int k = 0; k < 8; k++) sum = mix(sum, lengths[k]);
    text[(i * 17) % (size - 1)] ^= 0x20;
    if (text[(i * 17) % (size - 1)] == 0) text[(i * 17) % (size - 1)] = ' ';
  }
  return sum;
}

static uint64_t print(uint64_t iterations) {
  char line[128];
  uint64_t state = 79, sum = 0;
  for (uint64_t i = 0; i < iterations; i++) {
    uint64_t value = next_random(&state);
    int length = snprintf(line, sizeof line, "%llu %08x %-12s|%5d|%c", (unsigned long long)(value >> 20), (unsigned)value,
                          i & 1 ? "partition" : "page", (int)(int16_t)value, (int)('a' + value % 26));
    sum = mix(sum, (uint64_t)length);
    sum += strtoull(line, NULL, 10);
  }
  return sum;
}

const struct program text_programs[] = {
    {"strings", strings, 12000}, {"words", words, 20000}, {"printf", print, 400000}, {NULL, NULL, 0},
};

/*
 * The C library's routines for strings and memory, at every alignment, with their operands' ends at the end of a page behind which there is
 * none, each beside a plain loop. Which version of a routine runs is the library's choice by what CPUID tells.
 */
#include "computations.h"

#include <string.h>
#include <strings.h>
#include <sys/mman.h>
#include <wchar.h>

enum { page = 4096, longest = 320, lengths = 34 };

/* Two pages that end where nothing is mapped. */
static unsigned char *left_end, *right_end;

static unsigned char *pages_before_a_hole(void) {
  unsigned char *at = mmap(NULL, 3 * page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (at == MAP_FAILED || mprotect(at + 2 * page, page, PROT_NONE) != 0) fail("memory");
  return at + 2 * page;
}

static void prepare(void) {
  if (left_end == NULL) left_end = pages_before_a_hole(), right_end = pages_before_a_hole();
}

static size_t length_of(int i) {
  static const size_t some[lengths] = {0,  1,  2,  3,  4,  5,  7,  8,  9,  15, 16,  17,  23,  24,  25,  31,  32,
                                       33, 47, 48, 63, 64, 65, 79, 95, 96, 97, 127, 128, 129, 191, 255, 256, 300};
  return some[i];
}

/* Letters without the end of a string, few kinds so that searches find something. */
static void fill(unsigned char *at, size_t count, uint64_t seed, unsigned kinds) {
  for (size_t i = 0; i < count; i++) at[i] = (unsigned char)('A' + (next_random(&seed) >> 40) % kinds);
}

static int sign(int value) { return (value > 0) - (value < 0); }

static void expect(int right, const char *what) {
  if (!right) fail(what);
}

static int plain_compare(const unsigned char *a, const unsigned char *b, size_t count, int strings, int fold) {
  for (size_t i = 0; i < count; i++) {
    unsigned x = a[i], y = b[i];
    if (fold && x >= 'A' && x <= 'Z') x += 32;
    if (fold && y >= 'A' && y <= 'Z') y += 32;
    if (x != y) return x < y ? -1 : 1;
    if (strings && x == 0) return 0;
  }
  return 0;
}

/* Offsets from the end of the page: right before it, and some bytes before it. */
#define for_each_place(i, back)             \
  for (int i = 0; i < lengths; i++)         \
    for (size_t back = 0; back < 70; back += back < 33 ? 1 : 7)

static uint64_t searches(void) {
  uint64_t sum = 0;
  prepare();
  for_each_place(i, back) {
    size_t length = length_of(i);
    unsigned char *text = left_end - back - length - 1;
    fill(text, length, 41 + length, 60);
    text[length] = 0;
    const char *string = (const char *)text;
    expect(strlen(string) == length, "strlen");
    expect(strnlen(string, length + back + 1) == length && strnlen(string, length / 2) == length / 2, "strnlen");
    int wanted = 'A' + (int)((length * 7 + back) % 60);
    size_t first = length, last = length;
    for (size_t at = length; at-- > 0;)
      if (text[at] == wanted) first = at;
    for (size_t at = 0; at < length; at++)
      if (text[at] == wanted) last = at;
    const char *found = first < length ? string + first : NULL;
    expect(strchr(string, wanted) == found && memchr(string, wanted, length) == found, "strchr, memchr");
    expect(strrchr(string, wanted) == (found == NULL ? NULL : string + last), "strrchr");
    expect(memrchr(string, wanted, length) == (found == NULL ? NULL : string + last), "memrchr");
    expect(strchrnul(string, wanted) == string + first, "strchrnul");
    expect(rawmemchr(string, first < length ? wanted : 0) == string + first, "rawmemchr");
    expect(strchr(string, 0) == string + length && strrchr(string, 0) == string + length, "the end by strchr");
    char set[4] = {(char)wanted, (char)(wanted + 1), (char)(wanted + 2), 0};
    size_t in = 0, out = 0;
    while (out < length && strchr(set, string[out]) == NULL) out++;
    while (in < length && strchr("ABCDEFGHIJKLMNOPQRSTUVWXYZ[\\]^_`abcdefghij", string[in]) != NULL) in++;
    expect(strcspn(string, set) == out, "strcspn");
    expect(strpbrk(string, set) == (out < length ? string + out : NULL), "strpbrk");
    expect(strspn(string, "ABCDEFGHIJKLMNOPQRSTUVWXYZ[\\]^_`abcdefghij") == in, "strspn");
    sum = mix(sum, first * 1000 + last * 10 + out + in);
  }
  return sum;
}

static uint64_t comparisons(void) {
  uint64_t sum = 0;
  prepare();
  for_each_place(i, back) {
    size_t length = length_of(i), other = (back * 5) % 64;
    unsigned char *a = left_end - back - length - 1, *b = right_end - other - length - 1;
    for (size_t change = 0; change < 4; change++) {
      fill(a, length, 51 + length, 58);
      memcpy(b, a, length);
      a[length] = b[length] = 0;
      size_t at = length == 0 ? 0 : (change * 37 + back) % length;
      if (change > 0 && length > 0) b[at] = change == 1 ? (unsigned char)(b[at] ^ 32) : change == 2 ? 0x81 : (unsigned char)(b[at] + 1);
      if (change == 3 && length > 3) b[at / 2] = 0;
      const char *x = (const char *)a, *y = (const char *)b;
      int whole = plain_compare(a, b, length + 1, 1, 0), part = plain_compare(a, b, length / 2, 1, 0);
      expect(sign(strcmp(x, y)) == whole && sign(strcmp(y, x)) == -whole, "strcmp");
      expect(sign(strncmp(x, y, length / 2)) == part && sign(strncmp(x, y, length + 9)) == whole, "strncmp");
      expect(sign(memcmp(x, y, length)) == plain_compare(a, b, length, 0, 0), "memcmp");
      expect((bcmp(x, y, length) != 0) == (plain_compare(a, b, length, 0, 0) != 0), "bcmp");
      int folded = plain_compare(a, b, length + 1, 1, 1), folded_part = plain_compare(a, b, length / 2, 1, 1);
      expect(sign(strcasecmp(x, y)) == folded, "strcasecmp");
      expect(sign(strncasecmp(x, y, length / 2)) == folded_part, "strncasecmp");
      sum = mix(sum, (uint64_t)(whole + 1) * 100 + (uint64_t)(part + 1) * 10 + (uint64_t)(folded + 1));
    }
  }
  return sum;
}

static uint64_t copies(void) {
  uint64_t sum = 0;
  prepare();
  for_each_place(i, back) {
    size_t length = length_of(i), other = (back * 3) % 67;
    unsigned char *from = left_end - back - length - 1, *to = right_end - other - longest - 1;
    fill(from, length, 61 + back, 60);
    from[length] = 0;
    const char *string = (const char *)from;
    char *target = (char *)to;
    memset(to, 'x', longest);
    expect(memcpy(to, from, length) == to && memcmp(to, from, length) == 0 && to[length] == 'x', "memcpy");
    expect(mempcpy(to + 1, from, length) == to + 1 + length && memcmp(to + 1, from, length) == 0, "mempcpy");
    expect(strcpy(target, string) == target && strcmp(target, string) == 0, "strcpy");
    expect(stpcpy(target + 1, string) == target + 1 + length && memcmp(target + 1, string, length + 1) == 0, "stpcpy");
    memset(to, 'x', longest);
    strncpy(target, string, length / 2 + 5);
    for (size_t at = 0; at < length / 2 + 6; at++)
      expect(to[at] == (at >= length / 2 + 5 ? 'x' : at < length ? from[at] : 0), "strncpy");
    memset(to, 'x', longest);
    expect(stpncpy(target, string, length + 3) == target + length && to[length + 2] == 0 && to[length + 3] == 'x', "stpncpy");
    to[10] = 0;
    if (length + 11 < longest) {
      strcpy(target, "0123456789");
      expect(strcat(target, string) == target && strlen(target) == length + 10 && strcmp(target + 10, string) == 0, "strcat");
      target[10] = 0;
      strncat(target, string, length / 3);
      expect(strlen(target) == 10 + length / 3 && memcmp(target + 10, string, length / 3) == 0, "strncat");
    }
    expect(memset(to, (int)back, length) == to, "memset");
    for (size_t at = 0; at < length; at++) expect(to[at] == back, "what memset wrote");
    expect(memccpy(to, from, 'C', length) == NULL || to[0] != 0, "memccpy");
    sum = mix_bytes(sum, to, longest);
  }
  return sum;
}

/* Moves within itself, by less and by more than it is long, up to several pages: where routines change their ways. */
static uint64_t moves(void) {
  static unsigned char area[48 * 1024], model[48 * 1024];
  static const size_t sizes[] = {0, 3, 15, 16, 31, 33, 64, 100, 127, 128, 200, 256, 257, 512, 1000, 2048, 4096, 5000, 8192, 16384};
  uint64_t sum = 0, seed = 71;
  fill(area, sizeof area, 71, 60);
  memcpy(model, area, sizeof area);
  for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
    for (int round = 0; round < 24; round++) {
      size_t from = (size_t)(next_random(&seed) >> 40) % 16384, distance = (size_t)(next_random(&seed) >> 40) % (round < 12 ? 100 : 9000);
      size_t to = round & 1 ? from + distance : from > distance ? from - distance : 0;
      memmove(area + to, area + from, sizes[i]);
      if (to < from)
        for (size_t at = 0; at < sizes[i]; at++) {
          model[to + at] = model[from + at];
          __asm__ volatile("" ::: "memory");
        }
      else
        for (size_t at = sizes[i]; at-- > 0;) {
          model[to + at] = model[from + at];
          __asm__ volatile("" ::: "memory");
        }
    }
    expect(memcmp(area, model, sizeof area) == 0, "memmove");
    sum = mix_bytes(sum, area, 4096);
  }
  return sum;
}

/* A needle in a text, both at the end of their pages. */
static uint64_t needles(void) {
  uint64_t sum = 0;
  prepare();
  for (int i = 0; i < lengths; i++) {
    for (size_t size = 0; size < 70; size += size < 20 ? 1 : 9) {
      size_t length = length_of(i);
      unsigned char *text = left_end - length - 1, *needle = right_end - size - 1;
      fill(text, length, 81 + length, 3), fill(needle, size, 82 + size, 3);
      if (size < length && size % 3 != 0) memcpy(needle, text + (length - size) / 2, size);
      text[length] = needle[size] = 0;
      size_t found = length + 1;
      for (size_t at = 0; at + size <= length && found > length; at++)
        if (memcmp(text + at, needle, size) == 0) found = at;
      const char *right = found > length ? NULL : (const char *)text + found;
      expect(strstr((const char *)text, (const char *)needle) == right, "strstr");
      expect(memmem(text, length, needle, size) == right, "memmem");
      expect(strcasestr((const char *)text, (const char *)needle) == right, "strcasestr");
      sum = mix(sum, found);
    }
  }
  return sum;
}

/* Wide characters: 32 bits each. */
static uint64_t wide_characters(void) {
  uint64_t sum = 0;
  prepare();
  for_each_place(i, back) {
    size_t length = length_of(i);
    wchar_t *a = (wchar_t *)left_end - back - length - 1, *b = (wchar_t *)right_end - length - 1;
    uint64_t seed = 91 + length;
    for (size_t at = 0; at < length; at++) a[at] = b[at] = (wchar_t)(0x100 + (next_random(&seed) >> 40) % 50);
    a[length] = b[length] = 0;
    wchar_t wanted = (wchar_t)(0x100 + (int)(back % 50));
    size_t first = length, last = length;
    for (size_t at = length; at-- > 0;)
      if (a[at] == wanted) first = at;
    for (size_t at = 0; at < length; at++)
      if (a[at] == wanted) last = at;
    expect(wcslen(a) == length && wcsnlen(a, length / 2) == length / 2, "wcslen");
    expect(wcschr(a, wanted) == (first < length ? a + first : NULL), "wcschr");
    expect(wcsrchr(a, wanted) == (first < length ? a + last : NULL), "wcsrchr");
    expect(wmemchr(a, wanted, length) == (first < length ? a + first : NULL), "wmemchr");
    expect(wcscmp(a, b) == 0 && wmemcmp(a, b, length) == 0 && wcsncmp(a, b, length + 1) == 0, "wcscmp, equal");
    if (length > 0) {
      size_t at = (back * 13) % length;
      b[at] = at & 1 ? -5 : 0x12345;
      expect(sign(wcscmp(a, b)) == (at & 1 ? 1 : -1), "wcscmp");
      expect(sign(wmemcmp(a, b, length)) == (at & 1 ? 1 : -1), "wmemcmp");
      expect(wcsncmp(a, b, at) == 0 && sign(wcsncmp(a, b, at + 1)) == (at & 1 ? 1 : -1), "wcsncmp");
    }
    wmemset(b, wanted, length);
    for (size_t at = 0; at < length; at++) expect(b[at] == wanted, "wmemset");
    expect(wcscpy(b, a) == b && wmemcmp(a, b, length + 1) == 0, "wcscpy");
    sum = mix(sum, first * 1000 + last);
  }
  return sum;
}

const struct computation string_computations[] = {
    {"searches", searches}, {"comparisons", comparisons}, {"copies", copies},
    {"moves", moves},       {"needles", needles},         {"wide-characters", wide_characters},
    {NULL, NULL},
};

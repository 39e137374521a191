/* computations [NAME..]: runs them, or all, and prints a line `NAME SUM` for each; `@failed` and status 1 where a result is wrong. */
#include "computations.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

_Noreturn void fail(const char *what) {
  printf("@failed %s\n", what);
  exit(1);
}

static int wanted(const char *name, int count, char **words) {
  for (int i = 1; i < count; i++)
    if (strcmp(words[i], name) == 0) return 1;
  return count < 2;
}

int main(int count, char **words) {
  static const struct computation *const groups[] = {loop_computations, bit_computations, mathematics_computations,
                                                     string_computations};
  for (size_t group = 0; group < sizeof groups / sizeof groups[0]; group++)
    for (const struct computation *one = groups[group]; one->name != NULL; one++)
      if (wanted(one->name, count, words)) printf("%s %016llx\n", one->name, (unsigned long long)one->run());
  return 0;
}

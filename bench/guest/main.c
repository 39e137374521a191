/*
 * guest-programs list                 one line for each program: its name
 * guest-programs NAME.. [scale=N]     runs programs, N thousandths of the default iterations; `all` is every program
 * guest-programs nothing              ends at once: what the program `exec` starts
 *
 * Before a program `@begin NAME`, after it `@end NAME VALUE NANOSECONDS`; the harness takes the host's CPU time at both lines.
 */
#include "programs.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

const char *own_path;

static const struct program *const groups[] = {
    arithmetic_programs, big_number_programs,     cipher_programs, control_programs, data_programs,    extended_programs,
    floating_programs,   generated_code_programs, hash_programs,   memory_programs,  process_programs, ring_programs,
    system_programs,     text_programs,           vector_programs,
};
enum { group_count = sizeof groups / sizeof groups[0] };

_Noreturn void fail(const char *what) {
  fprintf(stderr, "@failed %s\n", what);
  exit(1);
}

static uint64_t nanoseconds(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

/* Waits until the line has left the serial port, so that sending it is not counted as the program's work. */
static void show_line(void) {
  fflush(stdout);
  tcdrain(STDOUT_FILENO);
}

static void run_program(const struct program *program, uint64_t scale) {
  uint64_t iterations = program->iterations * scale / 1000;
  if (iterations == 0) iterations = 1;
  printf("@begin %s\n", program->name);
  show_line();
  uint64_t began = nanoseconds();
  uint64_t value = program->run(iterations);
  uint64_t ended = nanoseconds();
  printf("@end %s %016llx %llu\n", program->name, (unsigned long long)value, (unsigned long long)(ended - began));
  show_line();
}

int main(int count, char **words) {
  own_path = words[0];
  if (count == 2 && strcmp(words[1], "nothing") == 0) return 0;
  int list = count == 2 && strcmp(words[1], "list") == 0;
  uint64_t scale = 1000;
  for (int index = 1; index < count; index++) {
    if (strncmp(words[index], "scale=", 6) == 0) scale = strtoull(words[index] + 6, NULL, 10);
  }
  for (int index = 1; index < count; index++) {
    if (strncmp(words[index], "scale=", 6) == 0) continue;
    int found = list || strcmp(words[index], "all") == 0;
    int every = found;
    for (int group = 0; group < group_count; group++) {
      for (const struct program *program = groups[group]; program->name != NULL; program++) {
        if (!every && strcmp(program->name, words[index]) != 0) continue;
        found = 1;
        if (list) puts(program->name);
        else run_program(program, scale);
      }
    }
    if (!found) fail(words[index]);
  }
  return 0;
}

/* One process and the kernel: system calls, signals, page faults, files. */
#define _GNU_SOURCE
#include "programs.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

static uint64_t system_calls(uint64_t iterations) {
  uint64_t sum = 0;
  for (uint64_t i = 0; i < iterations; i++) {
    /* The cheapest calls there are: a lookup, an error, and one with an argument in memory. */
    sum += (uint64_t)(syscall(SYS_getppid) > 0);
    sum += (uint64_t)(syscall(SYS_close, -1) == -1 && errno == EBADF);
    sum += (uint64_t)syscall(SYS_sched_get_priority_max, 1);
  }
  return sum;
}

static volatile uint64_t handled;
static void count_signal(int number) { handled += (uint64_t)number; }

static uint64_t signals(uint64_t iterations) {
  struct sigaction action = {.sa_handler = count_signal};
  handled = 0;
  if (sigaction(SIGUSR1, &action, NULL) != 0) fail("sigaction");
  for (uint64_t i = 0; i < iterations; i++)
    if (raise(SIGUSR1) != 0) fail("raise");
  signal(SIGUSR1, SIG_DFL);
  return handled;
}

static uint64_t page_faults(uint64_t iterations) {
  enum { pages = 64, page = 4096 };
  uint64_t sum = 0;
  for (uint64_t i = 0; i < iterations; i++) {
    uint8_t *memory = mmap(NULL, pages * page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED) fail("mmap");
    for (int k = 0; k < pages; k++) memory[k * page + (k & 63)] = (uint8_t)(k + (int)i);
    for (int k = 0; k < pages; k++) sum += memory[k * page + (k & 63)] + memory[k * page + 64];
    munmap(memory, pages * page);
  }
  return sum;
}

static sigjmp_buf back;
static void leave(int number) { siglongjmp(back, number); }

/* Writes to a page that may not be written: fault, signal, and a jump out of its handler. */
static uint64_t protection_faults(uint64_t iterations) {
  volatile uint8_t *memory = mmap(NULL, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) fail("mmap");
  struct sigaction action = {.sa_handler = leave}, before;
  if (sigaction(SIGSEGV, &action, &before) != 0) fail("sigaction");
  static volatile uint64_t caught;
  caught = 0;
  for (volatile uint64_t i = 0; i < iterations; i++) {
    if (sigsetjmp(back, 1) == 0) memory[i & 4095] = 1;
    else caught++;
  }
  sigaction(SIGSEGV, &before, NULL);
  munmap((void *)memory, 4096);
  return caught;
}

static uint64_t files(uint64_t iterations) {
  char block[4096], path[64];
  uint64_t sum = 0;
  memset(block, 'x', sizeof block);
  snprintf(path, sizeof path, "/tmp/guest-programs.%d", (int)getpid());
  for (uint64_t i = 0; i < iterations; i++) {
    int file = open(path, O_RDWR | O_CREAT | O_TRUNC, 0600);
    if (file < 0) fail("open");
    for (int k = 0; k < 4; k++)
      if (write(file, block, sizeof block) != (ssize_t)sizeof block) fail("write");
    if (lseek(file, 0, SEEK_SET) != 0) fail("lseek");
    for (ssize_t count; (count = read(file, block, sizeof block)) > 0;) sum += (uint64_t)count + (uint8_t)block[i & 4095];
    struct stat status;
    if (fstat(file, &status) != 0) fail("fstat");
    sum += (uint64_t)status.st_size;
    close(file);
    if (unlink(path) != 0) fail("unlink");
    sum += (uint64_t)(access(path, F_OK) != 0);
  }
  return sum;
}

const struct program system_programs[] = {
    {"system-calls", system_calls, 800000}, {"signals", signals, 150000}, {"page-faults", page_faults, 2000},
    {"protection-faults", protection_faults, 150000}, {"files", files, 8000}, {NULL, NULL, 0},
};

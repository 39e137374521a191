/* Several processes and threads: fork, exec, pipes, and switches from one to the other. */
#define _GNU_SOURCE
#include "programs.h"

#include <linux/futex.h>
#include <pthread.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static uint64_t status_of(pid_t child) {
  int status;
  if (waitpid(child, &status, 0) != child || !WIFEXITED(status)) fail("a child did not end by itself");
  return (uint64_t)WEXITSTATUS(status);
}

static uint64_t forks(uint64_t iterations) {
  uint64_t sum = 0;
  for (uint64_t i = 0; i < iterations; i++) {
    pid_t child = fork();
    if (child < 0) fail("fork");
    if (child == 0) _exit((int)(i & 127));
    sum = mix(sum, status_of(child));
  }
  return sum;
}

static uint64_t executions(uint64_t iterations) {
  uint64_t sum = 0;
  for (uint64_t i = 0; i < iterations; i++) {
    pid_t child = fork();
    if (child < 0) fail("fork");
    if (child == 0) {
      execl(own_path, own_path, "nothing", (char *)NULL);
      _exit(99);
    }
    sum += status_of(child) + 1;
  }
  return sum;
}

/* A byte to another process and back: two switches of address space. */
static uint64_t pipe_switches(uint64_t iterations) {
  int there[2], back[2];
  if (pipe(there) != 0 || pipe(back) != 0) fail("pipe");
  pid_t child = fork();
  if (child < 0) fail("fork");
  if (child == 0) {
    uint8_t byte;
    close(there[1]);
    while (read(there[0], &byte, 1) == 1) {
      byte = (uint8_t)(byte * 5 + 1);
      if (write(back[1], &byte, 1) != 1) _exit(1);
    }
    _exit(0);
  }
  uint8_t byte = 0;
  uint64_t sum = 0;
  for (uint64_t i = 0; i < iterations; i++) {
    byte ^= (uint8_t)i;
    if (write(there[1], &byte, 1) != 1 || read(back[0], &byte, 1) != 1) fail("pipe");
    sum = mix(sum, byte);
  }
  close(there[0]), close(there[1]), close(back[0]), close(back[1]);
  return sum + status_of(child);
}

/* Data through a pipe to another process, 64 KiB at a time. */
static uint64_t pipe_data(uint64_t iterations) {
  enum { size = 65536 };
  static uint8_t data[size];
  int there[2], back[2];
  if (pipe(there) != 0 || pipe(back) != 0) fail("pipe");
  pid_t child = fork();
  if (child < 0) fail("fork");
  if (child == 0) {
    close(there[1]);
    uint64_t sum = 0;
    ssize_t count, place = 0;
    while ((count = read(there[0], data, size)) > 0) {
      /* Pieces come as the kernel likes; the sum must not depend on where they end. */
      for (ssize_t at = (512 - place % 512) % 512; at < count; at += 512) sum = mix(sum, data[at]);
      place += count;
    }
    _exit(write(back[1], &sum, sizeof sum) == sizeof sum ? 0 : 1);
  }
  for (uint64_t i = 0; i < iterations; i++) {
    memset(data, (int)(i & 255), size);
    if (write(there[1], data, size) != size) fail("pipe");
  }
  close(there[1]);
  uint64_t sum = 0;
  if (read(back[0], &sum, sizeof sum) != sizeof sum) fail("pipe");
  close(there[0]), close(back[0]), close(back[1]);
  return sum + status_of(child);
}

static uint32_t turn;
static uint64_t turns;

static void wait_for_turn(uint32_t own) {
  while (__atomic_load_n(&turn, __ATOMIC_ACQUIRE) != own) syscall(SYS_futex, &turn, FUTEX_WAIT_PRIVATE, !own, NULL, NULL, 0);
}

static void give_turn(uint32_t to) {
  __atomic_store_n(&turn, to, __ATOMIC_RELEASE);
  syscall(SYS_futex, &turn, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0);
}

static void *other_thread(void *sum) {
  for (uint64_t i = 0; i < turns; i++) {
    wait_for_turn(1);
    *(uint64_t *)sum = mix(*(uint64_t *)sum, i);
    give_turn(0);
  }
  return NULL;
}

/* Two threads take turns: switches within an address space. */
static uint64_t thread_switches(uint64_t iterations) {
  uint64_t sum = 1;
  pthread_t thread;
  turn = 0;
  turns = iterations;
  if (pthread_create(&thread, NULL, other_thread, &sum) != 0) fail("pthread_create");
  for (uint64_t i = 0; i < iterations; i++) {
    wait_for_turn(0);
    sum += i;
    give_turn(1);
  }
  pthread_join(thread, NULL);
  return sum;
}

const struct program process_programs[] = {
    {"fork", forks, 1500},           {"exec", executions, 300},         {"pipe-switches", pipe_switches, 20000},
    {"pipe-data", pipe_data, 8000}, {"thread-switches", thread_switches, 80000}, {NULL, NULL, 0},
};

/*
 * What a program gets from protection keys, as pkeys(7) has it: a key for a page, rights by WRPKRU, faults that name the key, kernel accesses
 * that fail, rights of threads and children, rights in a signal's frame, and memory that can only be executed. A line for each check; the
 * last one counts them.
 */
#define _GNU_SOURCE
#include <cpuid.h>
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <ucontext.h>
#include <unistd.h>

static sigjmp_buf back;
static volatile siginfo_t fault;
static volatile int repair = -1;

/* Volatile: what is counted stands before and behind accesses that fault. */
static volatile int checks, failures;
static void check(const char *name, int good) {
  checks++;
  if (good) return;
  failures++;
  printf("FAIL %s, code %d key %d\n", name, fault.si_code, (int)fault.si_pkey);
}

/* Jumps back; or gives the key all rights in the frame that the handler returns to. */
static void handle(int signal, siginfo_t *information, void *context) {
  (void)signal;
  memcpy((void *)&fault, information, sizeof fault);
  if (repair < 0) siglongjmp(back, 1);
  unsigned eax, offset, ecx, edx;
  __cpuid_count(0xd, 9, eax, offset, ecx, edx);
  char *area = (char *)((ucontext_t *)context)->uc_mcontext.fpregs;
  *(uint32_t *)(area + offset) &= ~(3u << (2 * repair));
  *(uint64_t *)(area + 512) |= 1 << 9;
}
/* Whether an access ends in a fault of this key. */
static int denied(volatile char *at, int write, int key) {
  memset((void *)&fault, 0, sizeof fault);
  if (sigsetjmp(back, 1) == 0) {
    if (write) *at = 7;
    else (void)*at;
    return 0;
  }
  return fault.si_code == SEGV_PKUERR && (int)fault.si_pkey == key && fault.si_addr == (void *)at;
}
static int allowed(volatile char *at, int write) {
  if (sigsetjmp(back, 1) != 0) return 0;
  if (write) *at = 7;
  else (void)*at;
  return 1;
}

/* Threads that yield to each other keep rights of their own. */
static int keys[2];
static void *thread(void *argument) {
  int mine = (int)(intptr_t)argument;
  pkey_set(keys[mine], PKEY_DISABLE_WRITE);
  pkey_set(keys[1 - mine], PKEY_DISABLE_ACCESS);
  for (int turn = 0; turn < 2000; turn++) {
    sched_yield();
    if (pkey_get(keys[mine]) != PKEY_DISABLE_WRITE || pkey_get(keys[1 - mine]) != PKEY_DISABLE_ACCESS) return (void *)1;
  }
  return 0;
}

int main(void) {
  struct sigaction action = {.sa_sigaction = handle, .sa_flags = SA_SIGINFO};
  sigaction(SIGSEGV, &action, 0);
  int key = pkey_alloc(0, 0);
  if (key < 0) {
    printf("no keys: %s\n", strerror(errno));
    return 1;
  }
  char *page = mmap(0, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  *page = 1;
  check("pkey_mprotect", pkey_mprotect(page, 4096, PROT_READ | PROT_WRITE, key) == 0);
  check("a page with a key that allows it", allowed(page, 1) && allowed(page, 0));
  pkey_set(key, PKEY_DISABLE_WRITE);
  check("pkey_get", pkey_get(key) == PKEY_DISABLE_WRITE);
  check("no writes", denied(page, 1, key));
  /* The handler ran with the rights that the kernel begins with; back here they are as they were. */
  pkey_set(key, PKEY_DISABLE_WRITE);
  check("but reads", allowed(page, 0));
  pkey_set(key, PKEY_DISABLE_ACCESS);
  check("no access", denied(page, 0, key));
  pkey_set(key, PKEY_DISABLE_ACCESS);
  check("nor writes", denied(page, 1, key));
  pkey_set(key, PKEY_DISABLE_ACCESS);
  check("the page beside it has no key", allowed(page + 4096, 1));

  int pipes[2];
  check("pipe", pipe(pipes) == 0);
  check("the kernel may not read it either", write(pipes[1], page, 1) == -1 && errno == EFAULT);
  pkey_set(key, PKEY_DISABLE_WRITE);
  check("reads it where that is allowed", write(pipes[1], page, 1) == 1);
  check("and does not write", read(pipes[0], page, 1) == -1 && errno == EFAULT);
  pkey_set(key, 0);
  check("until it may", read(pipes[0], page, 1) == 1);

  pid_t child = fork();
  if (child == 0) {
    pkey_set(key, PKEY_DISABLE_ACCESS);
    _exit(denied(page, 0, key) ? 0 : 1);
  }
  int status = -1;
  waitpid(child, &status, 0);
  check("a child has the key", status == 0);
  check("and rights of its own", allowed(page, 1));

  pkey_set(key, PKEY_DISABLE_ACCESS);
  repair = key;
  memset((void *)&fault, 0, sizeof fault);
  *(volatile char *)page = 9;
  check("rights in a signal's frame are loaded behind it", fault.si_code == SEGV_PKUERR && pkey_get(key) == 0 && *page == 9);
  repair = -1;

  for (int index = 0; index < 2; index++) keys[index] = pkey_alloc(0, 0);
  check("two more keys", keys[0] > 0 && keys[1] > 0 && keys[0] != keys[1]);
  pthread_t threads[2];
  for (intptr_t index = 0; index < 2; index++) pthread_create(&threads[index], 0, thread, (void *)index);
  for (int index = 0; index < 2; index++) {
    void *wrong;
    pthread_join(threads[index], &wrong);
    check("a thread's rights", wrong == 0);
  }

  /* Thousands of changes between accesses. */
  int wrong = 0;
  for (int turn = 0; turn < 20000; turn++) {
    pkey_set(key, 0);
    ++*(volatile unsigned *)page;
    pkey_set(key, turn % 3 ? PKEY_DISABLE_WRITE : PKEY_DISABLE_ACCESS);
    if (turn % 1000 == 0) wrong += !denied(page, 1, key);
  }
  check("changes by the thousand", wrong == 0);

  /* ret, in memory that can only be executed: the kernel finds a key for it. */
  char *code = mmap(0, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  *code = (char)0xc3;
  check("mprotect", mprotect(code, 4096, PROT_EXEC) == 0);
  ((void (*)(void))code)();
  memset((void *)&fault, 0, sizeof fault);
  if (sigsetjmp(back, 1) == 0) {
    (void)*(volatile char *)code;
    check("execute-only memory is not read", 0);
  } else {
    check("a read of execute-only memory is the fault of a key", fault.si_code == SEGV_PKUERR);
  }
  check("pkey_free", pkey_free(keys[0]) == 0 && pkey_alloc(0, PKEY_DISABLE_WRITE) == keys[0]);
  check("rights that come with a key", pkey_get(keys[0]) == PKEY_DISABLE_WRITE);
  printf("%d checks, %d failures\n", checks, failures);
  return failures != 0;
}

/**
 * Oracle for single instructions: runs them on the host's own processor and reports what they did.
 *
 * Reads batches from standard input and writes them back, changed. A batch is a header of 32 bytes
 *   { u32 kind; u32 code_bytes; u32 count; u32 memory_form; u8 code[16] }
 * and `count` records:
 *   kind 0, SSE, 64 bytes: { u8 xmm0[16]; u8 other[16]; u64 rax; u64 rcx; u32 mxcsr; u32 fault; u32 flags; u32 unused }
 *     `other` is xmm1 and also the memory at [rdx]; after a memory form it is that memory, otherwise xmm1.
 *     `fault` is 0, or MXCSR at #XM with bit 31 set (bit 30 instead: #GP).
 *   kind 1, x87 state, 2048 bytes: { u8 image[512]; u8 memory[1024]; u64 rax; u64 rdx; u32 fault; u8 unused[492] }
 *     `image` (FXSAVE64 form) is loaded before and stored after; [rcx] is the memory; rax and rdx are loaded, rax stored.
 * Used by src/vector.test.ts and src/fpu.test.ts, which compile it with gcc. x86-64 Linux only.
 */
#define _GNU_SOURCE
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <ucontext.h>

struct header {
  uint32_t kind, code_bytes, count, memory_form;
  uint8_t code[16];
};

static uint8_t *stub, *resume;
static uint8_t *emitted;
static volatile uint32_t fault;

static void emit(const char *bytes, size_t count) {
  memcpy(emitted, bytes, count);
  emitted += count;
}
#define EMIT(bytes) emit(bytes, sizeof(bytes) - 1)

static void on_fault(int number, siginfo_t *information, void *context) {
  (void)information;
  ucontext_t *user = context;
  uint8_t *at = (uint8_t *)user->uc_mcontext.gregs[REG_RIP];
  if (at < stub || at >= resume) {
    fprintf(stderr, "signal %d at %p, outside the instruction\n", number, (void *)at);
    _exit(3);
  }
  fault = number == SIGFPE ? (user->uc_mcontext.fpregs->mxcsr & 0xffff) | 0x80000000u : 0x40000000u;
  user->uc_mcontext.fpregs->mxcsr = 0x1f80;
  user->uc_mcontext.gregs[REG_RIP] = (greg_t)resume;
}

static void read_all(void *to, size_t count) {
  if (fread(to, 1, count, stdin) != count) {
    fprintf(stderr, "short input\n");
    exit(2);
  }
}

static void build_vector(const struct header *header) {
  emitted = stub;
  EMIT("\x0f\xae\x57\x30");                 /* ldmxcsr [rdi+48] */
  EMIT("\x0f\x10\x07\x0f\x10\x4f\x10");     /* movups xmm0, [rdi]; movups xmm1, [rdi+16] */
  EMIT("\x48\x8b\x47\x20\x48\x8b\x4f\x28"); /* mov rax, [rdi+32]; mov rcx, [rdi+40] */
  EMIT("\x48\x8d\x57\x10");                 /* lea rdx, [rdi+16] */
  EMIT("\x68\xd7\x08\x00\x00\x9d");         /* push 0x8d7; popfq */
  emit((const char *)header->code, header->code_bytes);
  resume = emitted;
  EMIT("\x9c\x41\x58\x44\x89\x47\x38");     /* pushfq; pop r8; mov [rdi+56], r8d */
  EMIT("\x0f\x11\x07");                     /* movups [rdi], xmm0 */
  if (!header->memory_form) EMIT("\x0f\x11\x4f\x10");
  EMIT("\x48\x89\x47\x20\x48\x89\x4f\x28"); /* mov [rdi+32], rax; mov [rdi+40], rcx */
  EMIT("\x0f\xae\x5f\x30\xc3");             /* stmxcsr [rdi+48]; ret */
}

static void build_state(const struct header *header) {
  emitted = stub;
  EMIT("\x48\x8b\x87\x00\x06\x00\x00");     /* mov rax, [rdi+0x600] */
  EMIT("\x48\x8b\x97\x08\x06\x00\x00");     /* mov rdx, [rdi+0x608] */
  EMIT("\x48\x8d\x8f\x00\x02\x00\x00");     /* lea rcx, [rdi+0x200] */
  EMIT("\x48\x0f\xae\x0f");                 /* fxrstor64 [rdi] */
  emit((const char *)header->code, header->code_bytes);
  resume = emitted;
  EMIT("\x48\x0f\xae\x07");                 /* fxsave64 [rdi] */
  EMIT("\x48\x89\x87\x00\x06\x00\x00");     /* mov [rdi+0x600], rax */
  EMIT("\xdb\xe3\xc3");                     /* fninit; ret */
}

int main(void) {
  stub = mmap(NULL, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (stub == MAP_FAILED) {
    perror("mmap");
    return 2;
  }
  struct sigaction action = {.sa_sigaction = on_fault, .sa_flags = SA_SIGINFO | SA_NODEFER};
  sigaction(SIGFPE, &action, NULL);
  sigaction(SIGSEGV, &action, NULL);
  sigaction(SIGILL, &action, NULL);

  struct header header;
  while (fread(&header, sizeof header, 1, stdin) == 1) {
    if (header.code_bytes > sizeof header.code || header.kind > 1) return 2;
    size_t size = header.kind == 0 ? 64 : 2048;
    uint8_t *records = aligned_alloc(64, size * header.count);
    read_all(records, size * header.count);
    if (header.kind == 0) build_vector(&header);
    else build_state(&header);
    const uint32_t standard = 0x1f80;
    for (uint32_t index = 0; index < header.count; index++) {
      uint8_t *record = records + index * size;
      fault = 0;
      ((void (*)(void *))stub)(record);
      __asm__ volatile("ldmxcsr %0" : : "m"(standard));
      const uint32_t seen = fault;
      memcpy(record + (header.kind == 0 ? 52 : 0x610), &seen, 4);
    }
    fwrite(records, size, header.count, stdout);
    free(records);
  }
  return fflush(stdout) == 0 ? 0 : 2;
}

/*
 * Runs the cases of the differential harness on the host's own processor.
 *
 *     differential-runner CASES RESULTS
 *
 * A case begins and ends with a signal: the handler stores the outcome of the case that just ended out of its context,
 * puts the memory back, and edits the context so that returning from the signal is the entry into the next case, with all
 * of its registers, flags and vector state. Code that ends at a breakpoint, a wild jump and a division by zero are the
 * same thing to it. 32-bit code runs in the same process through the 32-bit code segment of Linux.
 *
 * The layouts of the files and of memory belong to src/testing/differential-layout.ts; addresses come in the header.
 * Built with: gcc -O1 -fno-stack-protector (the canary is found through FS, which a case may have changed). Linux on x86-64 only.
 * Called by tests/differential/oracle.mjs.
 */
#define _GNU_SOURCE
#include <cpuid.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/ucontext.h>
#include <asm/ldt.h>
#include <asm/prctl.h>
#include <unistd.h>

#define PAGE 4096u
/* Data, stack and high pages in this order, two of each, then the read-only page. */
#define WRITABLE_PAGES 6
#define TEMPLATE_PAGES 7
/* Of the upper halves in an XSAVE area. */
#define YMM_OFFSET 576
#define HANG_VECTOR 255
#define HANG_TICKS 4

struct header {
  uint32_t magic, count, patch_bytes, code_bytes;
  uint64_t code, data, stack, high;
  /* Descriptors of the local table; 0: none. */
  uint64_t local[8];
};
struct machine_case {
  uint64_t registers[16];
  uint64_t rip, flags;
  uint32_t mode32, patch_offset, patch_count;
  uint16_t fs, gs;
  uint64_t fs_base, gs_base;
  uint8_t vector_state[512];
  uint8_t upper[256];
};
struct result {
  uint64_t registers[16];
  uint64_t rip, flags, cr2;
  uint32_t vector, error;
  uint16_t cs, ss, ds, es, fs, gs;
  uint32_t reserved;
  uint64_t fs_base, gs_base;
  uint8_t vector_state[512];
  uint32_t change_offset, change_count;
  uint8_t upper[256];
};
struct change { uint32_t word, value; };
_Static_assert(sizeof(struct machine_case) == 944, "case layout");
_Static_assert(sizeof(struct result) == 968, "result layout");

static struct header header;
static const uint8_t *template;
static const struct machine_case *cases;
static const uint8_t *patches;
static struct result *results;
static struct change *changes;
static size_t change_total, change_limit;
static uint8_t *writable[WRITABLE_PAGES];
static volatile int current = -1;
static int ticks, tick_case = -2;
static uint64_t host_fs_base, host_gs_base;
static int has_fsgsbase, local_table_taken;
static const char *result_path;
static uint8_t *entry;

static void fail(const char *what) {
  fprintf(stderr, "differential-runner: %s: %s\n", what, strerror(errno));
  _exit(2);
}

static uint64_t read_base(int segment) {
  uint64_t base;
  if (has_fsgsbase) {
    if (segment == 'f') __asm__ volatile("rdfsbase %0" : "=r"(base));
    else __asm__ volatile("rdgsbase %0" : "=r"(base));
    return base;
  }
  long status, number = SYS_arch_prctl, code = segment == 'f' ? ARCH_GET_FS : ARCH_GET_GS;
  __asm__ volatile("syscall" : "=a"(status) : "a"(number), "D"(code), "S"(&base) : "rcx", "r11", "memory");
  return base;
}

static void write_base(int segment, uint64_t base) {
  if (has_fsgsbase) {
    if (segment == 'f') __asm__ volatile("wrfsbase %0" ::"r"(base));
    else __asm__ volatile("wrgsbase %0" ::"r"(base));
    return;
  }
  long status, number = SYS_arch_prctl, code = segment == 'f' ? ARCH_SET_FS : ARCH_SET_GS;
  __asm__ volatile("syscall" : "=a"(status) : "a"(number), "D"(code), "S"(base) : "rcx", "r11", "memory");
}

static void write_all(int file, const void *from, size_t bytes) {
  const uint8_t *at = from;
  while (bytes > 0) {
    ssize_t written = write(file, at, bytes);
    if (written < 0) fail("cannot write the results");
    at += written;
    bytes -= written;
  }
}

/* Whether a program can see a segment: its descriptor is in a table of the kernel's, and its privilege is 3. */
static unsigned has_segment(unsigned selector) {
  unsigned access;
  uint8_t seen;
  __asm__("lar %2, %0\n setz %1" : "=r"(access), "=q"(seen) : "r"(selector) : "cc");
  return seen;
}

/* Some kernels take a local table and give none to the processor. */
static unsigned has_local_table(void) {
  for (unsigned i = 0; i < sizeof header.local / sizeof *header.local; i++)
    if (header.local[i] != 0 && !has_segment(i * 8 + 7)) return 0;
  return local_table_taken;
}

/* HOST_FEATURES of src/testing/differential-layout.ts, bit by bit. */
static uint32_t host_features(void) {
  unsigned a, b, c, d, one, seven, state = 0;
  /* "Auth": AuthenticAMD. */
  __cpuid(0, a, b, c, d);
  unsigned amd = b == 0x68747541;
  __cpuid(1, a, b, one, d);
  __cpuid_count(7, 0, a, seven, c, d);
  if (one >> 26 & 1) __cpuid_count(13, 1, state, b, c, d);
  __cpuid(0x80000001, a, b, c, d);
  const unsigned has[] = {
    one >> 23, one >> 13, one >> 27, (unsigned)has_fsgsbase, amd, one >> 12, one >> 22, one >> 25, one >> 29,
    seven >> 3, seven >> 5, seven >> 8, seven >> 19, seven >> 29, has_local_table(), has_segment(0x23),
    c >> 5, one, one >> 9, one >> 19, one >> 20, one >> 1, one >> 28, seven >> 23, seven >> 24, state >> 1, state >> 3,
  };
  uint32_t bits = 0;
  for (unsigned i = 0; i < sizeof has / sizeof *has; i++) bits |= (uint32_t)(has[i] & 1) << i;
  return bits;
}

static void finish_all(void) {
  uint32_t words[4] = {0x52444c50, header.count, (uint32_t)change_total, 0};
  words[3] = host_features();
  int file = open(result_path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
  if (file < 0) fail(result_path);
  write_all(file, words, sizeof words);
  write_all(file, results, header.count * sizeof *results);
  write_all(file, changes, change_total * sizeof *changes);
  close(file);
  _exit(0);
}

static void store_changes(struct result *result) {
  result->change_offset = change_total;
  for (int page = 0; page < WRITABLE_PAGES; page++) {
    uint64_t *now = (uint64_t *)writable[page];
    const uint64_t *before = (const uint64_t *)(template + page * PAGE);
    for (unsigned i = 0; i < PAGE / 8; i++) {
      if (now[i] == before[i]) continue;
      for (unsigned half = 0; half < 2; half++) {
        uint32_t value = now[i] >> (32 * half);
        if (value == (uint32_t)(before[i] >> (32 * half))) continue;
        if (change_total == change_limit) {
          errno = ENOSPC;
          fail("too many changed words");
        }
        changes[change_total++] = (struct change){page * (PAGE / 4) + i * 2 + half, value};
      }
      now[i] = before[i];
    }
  }
  result->change_count = change_total - result->change_offset;
}

/* The order of general registers in the context, by their numbers in instructions. */
static const int greg[16] = {REG_RAX, REG_RCX, REG_RDX, REG_RBX, REG_RSP, REG_RBP, REG_RSI, REG_RDI,
                             REG_R8,  REG_R9,  REG_R10, REG_R11, REG_R12, REG_R13, REG_R14, REG_R15};

/* A case's AC, NT and ID stay set in a handler and across the return from it: the kernel touches others only. */
static inline __attribute__((always_inline)) void clear_flags(void) {
  __asm__ volatile("lea -128(%%rsp), %%rsp\n pushq $0x202\n popfq\n lea 128(%%rsp), %%rsp" ::: "memory", "cc");
}

/*
 * Enters a case whose stack pointer is no canonical address: some hypervisors make a #GP of the return to it. The instructions that load it
 * change nothing else: mov $rsp, %rsp; jmp *0(%rip).
 */
static void enter_with_stack_pointer(greg_t *registers, const struct machine_case *next) {
  static const uint8_t load[] = {0x48, 0xbc}, jump[] = {0xff, 0x25, 0, 0, 0, 0};
  memcpy(entry, load, sizeof load);
  memcpy(entry + 2, &next->registers[4], 8);
  memcpy(entry + 10, jump, sizeof jump);
  memcpy(entry + 16, &next->rip, 8);
  registers[REG_RSP] = header.stack;
  registers[REG_RIP] = (greg_t)entry;
}

static void handler(int signal, siginfo_t *information, void *context) {
  (void)information;
  clear_flags();
  uint16_t ds, es, fs, gs;
  __asm__ volatile("mov %%ds, %0\n mov %%es, %1\n mov %%fs, %2\n mov %%gs, %3" : "=r"(ds), "=r"(es), "=r"(fs), "=r"(gs));
  if (signal == SIGALRM) {
    if (tick_case != current) {
      tick_case = current;
      ticks = 0;
    }
    if (++ticks < HANG_TICKS) return;
  }
  uint64_t fs_base = read_base('f'), gs_base = read_base('g');
  uint16_t none = 0;
  __asm__ volatile("mov %0, %%fs\n mov %0, %%gs" ::"r"(none));
  write_base('f', host_fs_base);
  write_base('g', host_gs_base);

  ucontext_t *user = context;
  greg_t *registers = user->uc_mcontext.gregs;
  uint8_t *vector_state = (uint8_t *)user->uc_mcontext.fpregs;
  if (current >= 0) {
    struct result *result = &results[current];
    for (int i = 0; i < 16; i++) result->registers[i] = registers[greg[i]];
    result->rip = registers[REG_RIP];
    result->flags = registers[REG_EFL];
    result->vector = signal == SIGALRM ? HANG_VECTOR : registers[REG_TRAPNO];
    result->error = signal == SIGALRM ? 0 : registers[REG_ERR];
    result->cr2 = result->vector == 14 ? registers[REG_CR2] : 0;
    result->cs = registers[REG_CSGSFS] & 0xffff;
    result->ss = registers[REG_CSGSFS] >> 48 & 0xffff;
    result->ds = ds;
    result->es = es;
    result->fs = fs;
    result->gs = gs;
    result->fs_base = fs_base;
    result->gs_base = gs_base;
    memcpy(result->vector_state, vector_state, 416);
    uint64_t used;
    memcpy(&used, vector_state + 512, 8);
    /* Upper halves that are not in use are zero. */
    if (used & 4) memcpy(result->upper, vector_state + YMM_OFFSET, 256);
    store_changes(result);
  }
  current++;
  if ((uint32_t)current == header.count) finish_all();

  const struct machine_case *next = &cases[current];
  const uint8_t *patch = patches + next->patch_offset;
  for (uint32_t i = 0; i < next->patch_count; i++) {
    uint64_t address;
    uint32_t bytes;
    memcpy(&address, patch, 8);
    memcpy(&bytes, patch + 8, 4);
    memcpy((void *)address, patch + 16, bytes);
    patch += 16 + ((bytes + 7) & ~7u);
  }
  for (int i = 0; i < 16; i++) registers[greg[i]] = next->registers[i];
  registers[REG_RIP] = next->rip;
  if (!next->mode32 && (int64_t)(next->registers[4] << 16) >> 16 != (int64_t)next->registers[4])
    enter_with_stack_pointer(registers, next);
  registers[REG_EFL] = next->flags;
  registers[REG_CSGSFS] = (next->mode32 ? 0x23 : 0x33) | 0x2bull << 48;
  /* UC_SIGCONTEXT_SS and UC_STRICT_RESTORE_SS: SS is taken from the context even when the signal came from 32-bit code. */
  user->uc_flags |= 6;
  memcpy(vector_state, next->vector_state, 416);
  memcpy(vector_state + YMM_OFFSET, next->upper, 256);
  /* XSTATE_BV: x87, SSE and AVX are in use, whatever the processor thought at the signal. */
  uint64_t in_use;
  memcpy(&in_use, vector_state + 512, 8);
  in_use |= 7;
  memcpy(vector_state + 512, &in_use, 8);

  uint16_t data_segment = 0x2b;
  __asm__ volatile("mov %0, %%ds\n mov %0, %%es" ::"r"(data_segment));
  __asm__ volatile("mov %0, %%fs\n mov %1, %%gs" ::"r"(next->fs), "r"(next->gs));
  /* Without the instructions a base comes with a null selector; that of a segment is its own base already. */
  if (has_fsgsbase || next->fs == 0) write_base('f', next->fs_base);
  if (has_fsgsbase || next->gs == 0) write_base('g', next->gs_base);
  clear_flags();
}

/* The table's segments, which the kernel takes in a form of its own. */
static void set_local_table(void) {
  local_table_taken = 1;
  for (unsigned i = 0; i < sizeof header.local / sizeof *header.local; i++) {
    uint64_t descriptor = header.local[i];
    if (descriptor == 0) continue;
    unsigned type = descriptor >> 40 & 15;
    struct user_desc segment = {
      .entry_number = i,
      .base_addr = (descriptor >> 16 & 0xffffff) | descriptor >> 56 << 24,
      .limit = (descriptor & 0xffff) | (descriptor >> 48 & 15) << 16,
      .seg_32bit = descriptor >> 54 & 1,
      .contents = type >> 2,
      .read_exec_only = !(type >> 1 & 1),
      .limit_in_pages = descriptor >> 55 & 1,
    };
    if (syscall(SYS_modify_ldt, 0x11, &segment, sizeof segment) != 0) local_table_taken = 0;
  }
}

static void map_at(uint64_t address, size_t bytes) {
  if (mmap((void *)address, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0) !=
      (void *)address)
    fail("cannot map the fixed addresses");
}

int main(int count, char **parameters) {
  if (count != 3) {
    fprintf(stderr, "usage: differential-runner CASES RESULTS\n");
    return 64;
  }
  result_path = parameters[2];
  int file = open(parameters[1], O_RDONLY);
  struct stat status;
  if (file < 0 || fstat(file, &status) < 0) fail(parameters[1]);
  const uint8_t *input = mmap(NULL, status.st_size, PROT_READ, MAP_PRIVATE | MAP_POPULATE, file, 0);
  if (input == MAP_FAILED) fail(parameters[1]);
  memcpy(&header, input, sizeof header);
  template = input + sizeof header;
  const uint8_t *code = template + TEMPLATE_PAGES * PAGE;
  cases = (const struct machine_case *)(code + header.code_bytes);
  patches = (const uint8_t *)(cases + header.count);
  if (header.magic != 0x43444c50 || patches + header.patch_bytes != input + status.st_size) {
    errno = EINVAL;
    fail("the case file is not what it should be");
  }

  results = mmap(NULL, header.count * sizeof *results + PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  change_limit = (size_t)header.count * 512 + 65536;
  changes = mmap(NULL, change_limit * sizeof *changes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (results == MAP_FAILED || changes == MAP_FAILED) fail("no memory for results");

  map_at(header.code, header.code_bytes);
  memcpy((void *)header.code, code, header.code_bytes);
  mprotect((void *)header.code, header.code_bytes, PROT_READ | PROT_EXEC);
  map_at(header.data, 3 * PAGE);
  map_at(header.stack, 2 * PAGE);
  map_at(header.high, 2 * PAGE);
  for (int i = 0; i < 2; i++) {
    writable[i] = (uint8_t *)header.data + i * PAGE;
    writable[2 + i] = (uint8_t *)header.stack + i * PAGE;
    writable[4 + i] = (uint8_t *)header.high + i * PAGE;
  }
  for (int i = 0; i < WRITABLE_PAGES; i++) memcpy(writable[i], template + i * PAGE, PAGE);
  memcpy((void *)(header.data + 2 * PAGE), template + WRITABLE_PAGES * PAGE, PAGE);
  mprotect((void *)(header.data + 2 * PAGE), PAGE, PROT_READ);

  entry = mmap(NULL, PAGE, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (entry == MAP_FAILED) fail("no memory for entries");
  set_local_table();
  has_fsgsbase = (getauxval(AT_HWCAP2) & 2) != 0;
  host_fs_base = read_base('f');
  host_gs_base = read_base('g');
  const size_t stack_bytes = 256 * 1024;
  stack_t stack = {.ss_sp = malloc(stack_bytes), .ss_size = stack_bytes};
  if (stack.ss_sp == NULL || sigaltstack(&stack, NULL) < 0) fail("no signal stack");
  struct sigaction action = {.sa_sigaction = handler, .sa_flags = SA_SIGINFO | SA_ONSTACK};
  sigfillset(&action.sa_mask);
  const int signals[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP, SIGALRM};
  for (size_t i = 0; i < sizeof signals / sizeof *signals; i++) {
    if (sigaction(signals[i], &action, NULL) < 0) fail("no signal handler");
  }
  struct itimerval interval = {{0, 100000}, {0, 100000}};
  setitimer(ITIMER_REAL, &interval, NULL);
  __asm__ volatile("int3");
  return 1;
}

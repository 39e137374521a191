/* Console, checks and exception handling of the ring 0 tests' kernel. */
#include "kernel.h"

struct fault fault;
int counting;
struct trap traps[64];
int trap_count;
u64 idt[256];
static u32 checks, failures;
extern u8 entries[];
int attempt(void (*code)(void));

void put(char c) {
  while (!serial_empty()) {
  }
  out8(0x3f8, (u8)c);
}

void check(const char *name, u32 got, u32 expected) {
  checks++;
  if (got == expected) return;
  failures++;
  print("FAIL %s: 0x%x, not 0x%x\n", name, got, expected);
}

void reset_tables(void) {
  for (int vector = 0; vector < 256; vector++) idt[vector] = gate(KERNEL_CODE, (u32)entries + 16 * vector, 0x8e);
  struct {
    u16 limit;
    u32 base;
  } __attribute__((packed)) pointer = {sizeof idt - 1, (u32)idt};
  __asm__ volatile("lidt %0" : : "m"(pointer));
}

static u32 debug_status(void) {
  u32 value;
  __asm__ volatile("mov %%dr6, %0" : "=r"(value));
  return value;
}

/* Called by every handler. 0: go on where it came from; else the attempt is given up. */
int trapped(struct frame *frame) {
  if (frame->vector == 1 && counting) {
    u32 status = debug_status();
    if (trap_count < 64) traps[trap_count] = (struct trap){frame->eip, status, frame->eflags};
    trap_count++;
    __asm__ volatile("mov %0, %%dr6" : : "r"(0));
    /* A fault of an instruction breakpoint would come again. */
    u32 control;
    __asm__ volatile("mov %%dr7, %0" : "=r"(control));
    for (u32 index = 0; index < 4; index++)
      if ((status >> index & 1) && ((control >> (16 + 4 * index)) & 3) == 0) frame->eflags |= 0x10000;
    return 0;
  }
  u32 cr2;
  __asm__ volatile("mov %%cr2, %0" : "=r"(cr2));
  u32 outer = frame->cs & 3;
  fault = (struct fault){frame->vector, frame->error, frame->eip, frame->cs, frame->eflags,
                         outer ? frame->outer_esp : (u32)&frame->outer_esp, outer ? frame->outer_ss : 0, cr2, debug_status()};
  return 1;
}

int left_out_by_tcg(const char *what) {
  u32 eax = 0x40000000, ebx, ecx, edx;
  __asm__("cpuid" : "+a"(eax), "=b"(ebx), "=c"(ecx), "=d"(edx));
  /* "TCGT" */
  if (ebx != 0x54474354) return 0;
  print("skipped: %s\n", what);
  return 1;
}

u32 try_code(void (*code)(void)) {
  fault = (struct fault){.vector = NOTHING};
  trap_count = 0;
  attempt(code);
  return fault.vector;
}

void expect_fault(const char *name, void (*code)(void), u32 vector, u32 error, u32 offset) {
  try_code(code);
  checks++;
  if (fault.vector == vector && fault.error == error && fault.eip - (u32)code == offset) return;
  failures++;
  print("FAIL %s: vector 0x%x error 0x%x at +0x%x", name, fault.vector, fault.error, fault.vector == NOTHING ? 0 : fault.eip - (u32)code);
  print(", not 0x%x 0x%x +0x%x\n", vector, error, offset);
}

void expect_nothing(const char *name, void (*code)(void)) {
  try_code(code);
  checks++;
  if (fault.vector == NOTHING) return;
  failures++;
  print("FAIL %s: vector 0x%x error 0x%x at +0x%x, not none\n", name, fault.vector, fault.error, fault.eip - (u32)code);
}

struct information {
  u32 flags, low, high, boot_device, command_line, module_count, modules;
};
struct module {
  const char *start, *end, *name;
  u32 reserved;
};

/* The parts that the command line names, or all of them. */
static int wanted(const char *line, const char *part) {
  int any = 0;
  while (*line != 0) {
    while (*line == ' ') line++;
    if (*line == 0) break;
    any = 1;
    const char *p = part;
    while (*p != 0 && *line == *p) {
      p++;
      line++;
    }
    if (*p == 0 && (*line == 0 || *line == ' ')) return 1;
    while (*line != 0 && *line != ' ') line++;
  }
  return !any;
}

int main(u32 magic, struct information *information) {
  static const struct {
    const char *name;
    void (*run)(void);
  } parts[] = {
#include "parts.h"
  };
  reset_tables();
  mask_interrupts();
  const char *line = information->flags & 4 ? (const char *)information->command_line : "";
  print("ring 0 tests\n");
  check("multiboot magic", magic, 0x2badb002);
  struct module *modules = (struct module *)information->modules;
  for (u32 index = 0; information->flags & 8 && index < information->module_count; index++) {
    print("module %s of 0x%x bytes", modules[index].name, (u32)(modules[index].end - modules[index].start));
    print(" begins with 0x%x\n", *(const u8 *)modules[index].start);
  }
  for (u32 index = 0; index < sizeof parts / sizeof parts[0]; index++) {
    if (!wanted(line, parts[index].name)) continue;
    u32 before = failures;
    u32 had = checks;
    parts[index].run();
    print("%s %s: 0x%x checks\n", failures == before ? "ok" : "not ok", parts[index].name, checks - had);
  }
  print("0x%x checks, 0x%x failures\n", checks, failures);
  return failures == 0 ? 0 : 1;
}

/* Console, machine state and reports of the recorded cases. */
#include "cases.h"

const char *const mode_names[MODES] = {"real", "p16", "p32", "c16", "c32", "l64"};
const enum mode protected_modes[PROTECTED_MODES] = {P32, P16, C32, L64};
struct before before;
struct after after;
enum mode mode;
u32 level, hidden_bits;
u64 hidden_ax;
u64 narrow_idt[256] __attribute__((aligned(16)));
u64 wide_idt[512] __attribute__((aligned(16)));
u32 tss[1024] __attribute__((aligned(4096)));
extern u64 long_tables[512];
static u64 long_pointers[512] __attribute__((aligned(4096)));
static u64 long_directory[512] __attribute__((aligned(4096)));
extern u8 narrow_entries[], wide_entries[];
extern const u8 snippets_start[], snippets_end[], real_start[], real_end[];
extern u32 plain_cr0, real_entries_offset;
void run_protected(void);
void run_long(void);
void run_real(void);

/* The serial port's queue has room for sixteen characters when it is empty. */
static char queue[16];
static u32 queued;
static void flush(void) {
  while (!serial_empty()) {
  }
  const char *from = queue;
  u32 count = queued;
  __asm__ volatile("cld; rep outsb" : "+S"(from), "+c"(count) : "d"(0x3f8) : "memory");
  queued = 0;
}
void put(char c) {
  queue[queued++] = c;
  if (queued == sizeof queue) flush();
}

int is_long(enum mode of) { return of >= C16; }
int is_narrow(enum mode of) { return of == REAL || of == P16 || of == C16; }
u32 data(void) { return is_narrow(mode) ? 0 : DATA_BASE; }
u32 one_flag(u32 bit, u32 inverted, u32 all) { return inverted ? all & ~(1u << bit) : 1u << bit; }
void put_type(u32 access, u32 flags) {
  gdt[TEST / 8] = access & 0x10 ? descriptor(0, 0xfffff, access, flags) : gate(0, 0, access);
  gdt[TEST / 8 + 1] = 0;
}

/* What is compared behind each case, and filled before it. */
static const struct window {
  u32 start, bytes;
} windows[] = {
    {DATA_BASE, 0x40}, {DATA_BASE + 0xffe0, 0x20}, {STACK_BASE, 0x20}, {STACK_BASE + STACK_TOP - 0x40, 0x80}, {STACK_BASE + 0xffc0, 0x40},
    {STACK0 - 0x40, 0x40}, {STACK1 - 0x40, 0x40}, {STACK2 - 0x40, 0x40},
};
enum { WINDOWS = COUNT_OF(windows), PATTERN = 0x5a5a5a5a };
static u32 shadow[0x100];
static u64 old_gdt[64];

static u32 *word_at(u32 address) { return (u32 *)address; }
void put_data(u32 offset, u32 value) { *word_at(DATA_BASE + offset) = value; }
void put_stack(u32 offset, u32 value) { *word_at(STACK_BASE + offset) = value; }

static void fill(void) {
  for (u32 index = 0; index < WINDOWS; index++)
    for (u32 offset = 0; offset < windows[index].bytes; offset += 4) *word_at(windows[index].start + offset) = PATTERN;
}
static void remember(void) {
  u32 *to = shadow;
  for (u32 index = 0; index < WINDOWS; index++)
    for (u32 offset = 0; offset < windows[index].bytes; offset += 4) *to++ = *word_at(windows[index].start + offset);
  for (u32 entry = 0; entry < 64; entry++) old_gdt[entry] = gdt[entry];
}

void put_gate(u32 vector, u64 low, u64 high) {
  narrow_idt[vector] = low;
  wide_idt[vector * 2] = low;
  wide_idt[vector * 2 + 1] = high;
}

static void build_tables(void) {
  for (u32 entry = 0; entry < 64; entry++) gdt[entry] = 0;
  gdt[KERNEL_CODE / 8] = descriptor(0, 0xfffff, 0x9b, 0xc);
  gdt[KERNEL_DATA / 8] = descriptor(0, 0xfffff, 0x93, 0xc);
  gdt[KERNEL_CODE64 / 8] = descriptor(0, 0xfffff, 0x9b, 0xa);
  gdt[CODE_FOR_REAL / 8] = descriptor(0, 0xffff, 0x9b, 0);
  gdt[DATA_FOR_REAL / 8] = descriptor(0, 0xffff, 0x93, 0);
  gdt[TSS / 8] = descriptor((u32)tss, sizeof tss - 1, 0x8b, 0);
  for (u32 at = 0; at < 4; at++) {
    u32 dpl = at << 5;
    gdt[CODE32 / 8 + at] = descriptor(0, 0xfffff, 0x9b | dpl, 0xc);
    gdt[CODE16 / 8 + at] = descriptor(CODE_BASE, 0xffff, 0x9b | dpl, 0);
    gdt[CODE64 / 8 + at] = descriptor(0, 0xfffff, 0x9b | dpl, 0xa);
    gdt[DATA32 / 8 + at] = descriptor(0, 0xfffff, 0x93 | dpl, 0xc);
    gdt[DATA16 / 8 + at] = descriptor(DATA_BASE, 0xffff, 0x93 | dpl, 0);
    gdt[STACK16 / 8 + at] = descriptor(STACK_BASE, 0xffff, 0x93 | dpl, 0);
  }
  for (u32 vector = 0; vector < 256; vector++) {
    u32 access = vector == 3 ? 0xee : 0x8e;
    narrow_idt[vector] = gate(KERNEL_CODE, (u32)narrow_entries + 16 * vector, access);
    wide_idt[vector * 2] = gate(KERNEL_CODE64, (u32)wide_entries + 16 * vector, access) | (u64)1 << 32;
    wide_idt[vector * 2 + 1] = 0;
  }
}

/* The task's permission map: its offset, the first port of interest (a multiple of 8), and sixteen bits from there. */
u32 map_offset = 0x68, map_first = 0x80, map_bits = 0xffff;

static void put_task_state(int wide) {
  static u8 interrupt_stack[0x1000] __attribute__((aligned(16)));
  for (u32 index = 0; index < 26; index++) tss[index] = 0;
  if (wide) {
    tss[1] = STACK0;
    tss[3] = STACK1;
    tss[5] = STACK2;
    tss[9] = (u32)(interrupt_stack + sizeof interrupt_stack);
  } else {
    tss[1] = STACK0;
    tss[2] = DATA32;
    tss[3] = STACK1;
    tss[4] = DATA32 + 8 + 1;
    tss[5] = STACK2;
    tss[6] = DATA32 + 16 + 2;
  }
  tss[25] = map_offset << 16;
  /* No port of the map is open but those that the case says. */
  for (u32 offset = map_offset < 0x68 ? 0x68 : map_offset; offset < sizeof tss; offset++) ((u8 *)tss)[offset] = map_bits == 0 ? 0 : 0xff;
  if (map_offset + map_first / 8 + 1 < sizeof tss) {
    ((u8 *)tss)[map_offset + map_first / 8] = (u8)map_bits;
    ((u8 *)tss)[map_offset + map_first / 8 + 1] = (u8)(map_bits >> 8);
  }
}

void begin(enum mode of, u32 at_level) {
  mode = of;
  level = at_level;
  hidden_bits = 0;
  hidden_ax = 0;
  fill();
  before = (struct before){.flags = 2, .cr0 = plain_cr0};
  before.r = (struct registers){.ax = 0xa1a2a3a4, .cx = 0xc1c2c3c4, .dx = 0xd1d2d3d4, .bx = data(), .bp = 0xb1b2b3b4, .si = 0xe1e2e3e4, .di = 0xf1f2f3f4};
  before.cs = OF_LEVEL(of == L64 ? CODE64 : is_narrow(of) ? CODE16 : CODE32, at_level);
  before.ss = OF_LEVEL(is_narrow(of) ? STACK16 : DATA32, at_level);
  before.ds = before.es = before.fs = before.gs = OF_LEVEL(is_narrow(of) ? DATA16 : DATA32, at_level);
  before.r.sp = is_narrow(of) ? STACK_TOP : STACK_BASE + STACK_TOP;
  if (of == REAL) {
    before.cs = CODE_BASE >> 4;
    before.ss = STACK_BASE >> 4;
    before.ds = before.es = before.fs = before.gs = DATA_BASE >> 4;
  }
}

static u32 cases;
static char last[512], now[512];
static u32 used;
static void put_now(char c) {
  if (used < sizeof now - 1) now[used++] = c;
}
static void add(const char *format, ...) {
  __builtin_va_list arguments;
  __builtin_va_start(arguments, format);
  format_to(put_now, format, arguments);
  __builtin_va_end(arguments);
}

void group(const char *format, ...) {
  __builtin_va_list arguments;
  __builtin_va_start(arguments, format);
  last[0] = 0;
  print("\n@ ");
  format_to(put, format, arguments);
  __builtin_va_end(arguments);
}

static void changed64(const char *name, u64 old, u64 value) {
  if (old == value) return;
  add(name);
  add("%q", value);
}
static int has_error(u32 vector) { return vector == 8 || (vector >= 10 && vector <= 14) || vector == 17; }

static void report(u32 start, u32 length, u32 key, u32 second) {
  used = 0;
  int finished = after.vector == 3;
  if (!finished) add(",v%x", (u32)after.vector);
  if (has_error((u32)after.vector) && mode != REAL) add(":%x", (u32)after.error);
  if ((u32)after.vector == 14) add(",cr2=%q", after.cr2);
  /* A landing place by its name, else an offset in the snippet. */
  if (finished && after.ip == LAND16 + 1) add(",l16");
  else if (finished && after.ip == LAND32 + 1) add(",l32");
  else if (after.ip - start < 0x100) changed64(",@", finished ? length + 1 : 0, after.ip - start);
  else add(",ip=%q", after.ip);
  changed64(",cs=", before.cs, after.cs);
  /* RF is set in the frame of a fault, which QEMU leaves out: debug.c has it. */
  changed64(",f=", before.flags | 2, after.flags & ~(u64)0x10000);
  changed64(",a=", before.r.ax & ~hidden_ax, after.r.ax & ~hidden_ax);
  changed64(",c=", before.r.cx, after.r.cx);
  changed64(",d=", before.r.dx, after.r.dx);
  changed64(",b=", before.r.bx, after.r.bx);
  changed64(",bp=", before.r.bp, after.r.bp);
  changed64(",si=", before.r.si, after.r.si);
  changed64(",di=", before.r.di, after.r.di);
  changed64(",sp=", before.r.sp, after.sp);
  changed64(",ss=", before.ss, after.ss);
  changed64(",ds=", before.ds, after.ds);
  changed64(",es=", before.es, after.es);
  changed64(",fs=", before.fs, after.fs);
  changed64(",gs=", before.gs, after.gs);
  changed64(",cr0=", is_long(mode) ? before.cr0 | 0x80000000 : mode == REAL ? before.cr0 & ~1u : before.cr0, after.cr0);
  changed64(",cr4=", is_long(mode) ? before.cr4 | 0x20 : before.cr4, after.cr4);
  for (u32 entry = LDT / 8; entry < 64; entry++)
    if (gdt[entry] != old_gdt[entry]) add(",g%x=%x", entry * 8, (u32)(gdt[entry] >> 40) & 0xff);
  /* The frame of the last exception, and what its handler pushed, is no part of the case. */
  u32 frame = (u32)after.frame;
  if (mode == REAL) frame += STACK_BASE;
  else if (!(after.cs & 3) && (after.ss & 0xfffc) >= STACK16 && (after.ss & 0xfffc) < LDT) frame += STACK_BASE;
  u32 frame_bytes = is_long(mode) ? 40 : mode == REAL ? 6 : after.cs & 3 ? 20 : 12;
  const u32 *old = shadow;
  for (u32 index = 0; index < WINDOWS; index++) {
    for (u32 offset = 0; offset < windows[index].bytes; offset += 4, old++) {
      u32 address = windows[index].start + offset;
      u32 value = *word_at(address);
      if (((value ^ *old) & ~hidden_bits) == 0 || (address + 3 >= frame - 72 && address < frame + frame_bytes)) continue;
      add(",[%x]=%x", address, value & ~hidden_bits);
    }
  }
  now[used] = 0;
  /* The same as before it is said by the key alone. */
  u32 same = 0;
  while (now[same] == last[same] && now[same] != 0) same++;
  same = now[same] == last[same];
  print("\n%x", key);
  if (second != ~0u) print(".%x", second);
  if (same) return;
  put('=');
  for (u32 index = 0; index <= used; index++) {
    last[index] = now[index];
    if (now[index] != 0) put(now[index]);
  }
}

/* What the runner lays on the case's own stack at level 0, so that it is no change. */
static u32 below;
static void expect_word(u32 value, u32 bytes) {
  below -= bytes;
  for (u32 index = 0; index < bytes; index++) *(u8 *)(below + index) = (u8)(value >> (index * 8));
}
static void expect_frame(void) {
  below = (u32)before.r.sp + (is_narrow(mode) ? STACK_BASE : 0);
  u32 flags = (u32)before.flags, ip = (u32)before.ip;
  if (mode == REAL) {
    below = STACK_BASE + (before.r.sp & 0xffff);
    const u32 words[] = {flags, before.cs, ip, before.ds};
    for (u32 index = 0; index < 4; index++) expect_word(words[index], 2);
    return;
  }
  const struct registers *r = &before.r;
  const u32 words[] = {flags, before.cs, ip, (u32)r->ax, (u32)r->cx, (u32)r->dx, (u32)r->bx, 0, (u32)r->bp, (u32)r->si, (u32)r->di,
                       before.ds, before.es, before.fs, before.gs};
  for (u32 index = 0; index < COUNT_OF(words); index++) expect_word(words[index], 4);
}

void run(const struct snippet *snippet, u32 key, u32 second) {
  const u8 *start = is_narrow(mode) ? snippet->start16 : mode == L64 ? snippet->start64 : snippet->start32;
  const u8 *end = is_narrow(mode) ? snippet->end16 : mode == L64 ? snippet->end64 : snippet->end32;
  before.ip = (u32)(start - snippets_start) + (is_narrow(mode) ? 0 : CODE_BASE);
  u32 length = (u32)(end - start) - (mode == L64 ? 0 : 1);
  if (!is_long(mode) && level == 0) expect_frame();
  remember();
  after = (struct after){0};
  put_task_state(is_long(mode));
  if (mode == REAL) {
    /* Cases before may have written there: their stacks are anywhere. */
    copy(REAL_CODE, real_start, (u32)(real_end - real_start));
    for (u32 vector = 0; vector < 256; vector++) *word_at(vector * 4) = real_entries_offset + vector * 8;
    copy(0x7000, &before, sizeof before);
    copy(0x7100, &after, sizeof after);
    extern u8 gdt_pointer[];
    copy(0x70f0, gdt_pointer, 6);
    run_real();
    copy((u32)&after, (void *)0x7100, sizeof after);
  } else if (is_long(mode)) run_long();
  else run_protected();
  cases++;
  report((u32)before.ip, length, key, second);
}

int main(void) {
  mask_interrupts();
  out8(0x3fa, 1);
  plain_cr0 = read_cr0();
  build_tables();
  gdt[TSS / 8] = descriptor((u32)tss, sizeof tss - 1, 0x89, 0);
  __asm__ volatile("ltr %w0" : : "r"(TSS));
  copy(CODE_BASE, snippets_start, (u32)(snippets_end - snippets_start));
  for (u32 address = LAND16; address < LAND16 + 0x40; address++) *(u8 *)address = 0xcc;
  for (u32 address = LAND32; address < LAND32 + 0x40; address++) *(u8 *)address = 0xcc;
  long_tables[0] = (u32)long_pointers | 7;
  long_pointers[0] = (u32)long_directory | 7;
  for (u32 index = 0; index < 4; index++) long_directory[index] = index << 21 | 0x87;
  print("cases of system instructions");
  descriptor_cases();
  transfer_cases();
  gate_cases();
  control_cases();
  flag_cases();
  table_cases();
  port_cases();
  system_call_cases();
  stack_cases();
  real_cases();
  print("\nend %x\n", cases);
  flush();
  return 0;
}

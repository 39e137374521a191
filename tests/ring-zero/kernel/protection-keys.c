/*
 * Protection keys, and every combination of a user page's permissions in long mode: both tables' bits with CR0.WP, SMEP, SMAP, PKE, a key and
 * what PKRU says of it, for reads, writes and fetches of both levels, beside a model of the page walk. Then changes of PKRU between accesses,
 * and what RDPKRU and WRPKRU refuse.
 */
#include "kernel.h"

enum { P = 1, W = 2, U = 4, ACCESSED = 0x20, DIRTY = 0x40 };
enum { SMEP = 1u << 20, SMAP = 1u << 21, PKE = 1u << 22, WP = 0x10000 };
enum kind { READ, WRITE, FETCH, STAC_READ, STAC_WRITE, USER_READ, USER_WRITE, USER_FETCH, KINDS, KEEP = 0x100 };
enum { CASES = 512, KEY = 5, NO_ACCESS = 1, NO_WRITE = 2, KEY_ERROR = 0x20 };
#define NX ((u64)1 << 63)
#define TEST 0x40000000u

struct walk_case {
  u64 upper, leaf;
  u32 pkru, kind, vector, error;
  u64 cr2;
};
extern struct walk_case walk_cases[CASES];
extern u64 walk_tables[512], walk_directory[512], walk_table[512], walk_idt[512];
extern u32 walk_cr0, walk_cr4, walk_end, walk_handlers[];
extern u8 user_page[];
void walk_in_long_mode(void);

static u64 pointers[512] __attribute__((aligned(4096)));
static u64 low_directory[512] __attribute__((aligned(4096)));
static u64 low_tables[2][512] __attribute__((aligned(4096)));
static u8 page[4096] __attribute__((aligned(4096)));
static u8 level_stack[4096] __attribute__((aligned(16)));
static u32 tss[26];
static u32 count, mistakes;

static void build(void) {
  for (u32 index = 0; index < 1024; index++) {
    int of_user = index == (u32)user_page >> 12 || index == (u32)user_stack >> 12;
    low_tables[index / 512][index % 512] = index << 12 | P | W | (of_user ? U : 0);
  }
  low_directory[0] = (u32)low_tables[0] | P | W | U;
  low_directory[1] = (u32)low_tables[1] | P | W | U;
  pointers[0] = (u32)low_directory | P | W | U;
  pointers[TEST >> 30] = (u32)walk_directory | P | W | U;
  walk_tables[0] = (u32)pointers | P | W | U;
  page[0] = 0xc3;
  for (u32 *handler = walk_handlers; *handler != 0xffff; handler += 2) {
    walk_idt[handler[0] * 2] = gate(0x18, handler[1], handler[0] == 0x40 ? 0xee : 0x8e);
    walk_idt[handler[0] * 2 + 1] = 0;
  }
  gdt[3] = descriptor(0, 0xfffff, 0x9b, 0xa);
  gdt[5] = descriptor(0, 0xfffff, 0xf3, 0xc);
  gdt[6] = descriptor(0, 0xfffff, 0xfb, 0xa);
  gdt[8] = 0;
  tss[1] = (u32)(level_stack + sizeof level_stack);
}

/* How the access ends: the error code of its page fault, or NOTHING. */
static u32 model(const struct walk_case *one, u32 cr0, u32 cr4) {
  u32 kind = one->kind & 0xff;
  int user = kind >= USER_READ;
  int write = kind == WRITE || kind == STAC_WRITE || kind == USER_WRITE;
  int fetch = kind == FETCH || kind == USER_FETCH;
  int ac = kind == STAC_READ || kind == STAC_WRITE;
  int writable = (one->upper & one->leaf & W) != 0;
  int of_user = (one->upper & one->leaf & U) != 0;
  int no_execute = ((one->upper | one->leaf) & NX) != 0;
  int protected = write && (user || (cr0 & WP));
  u32 error = 1 | (write ? 2 : 0) | (user ? 4 : 0) | (fetch ? 16 : 0);
  u32 rights = one->pkru >> ((u32)(one->leaf >> 59) & 15) * 2;
  if ((cr4 & PKE) && of_user && !fetch && ((rights & NO_ACCESS) || (protected && (rights & NO_WRITE)))) return error | KEY_ERROR;
  if (user && !of_user) return error;
  if (fetch) return no_execute || (!user && of_user && (cr4 & SMEP)) ? error : NOTHING;
  if (!user && of_user && (cr4 & SMAP) && !ac) return error;
  return protected && !writable ? error : NOTHING;
}

static void add(u64 upper, u64 leaf, u32 pkru, u32 kind) {
  walk_cases[count++] = (struct walk_case){.upper = upper, .leaf = leaf, .pkru = pkru, .kind = kind};
}
/* Tries what was added, and compares. */
static void walks(u32 cr0, u32 cr4) {
  walk_cr0 = cr0;
  walk_cr4 = cr4;
  walk_end = (u32)&walk_cases[count];
  gdt[7] = descriptor((u32)tss, 0x67, 0x89, 0);
  try_code(walk_in_long_mode);
  check("walks in long mode", fault.vector, NOTHING);
  for (u32 index = 0; index < count; index++) {
    const struct walk_case *one = &walk_cases[index];
    u32 wanted = model(one, cr0, cr4);
    u32 got = one->vector == NOTHING ? NOTHING : one->vector == 14 ? one->error : 0x1000 + one->vector;
    if (got == wanted && (wanted == NOTHING || one->cr2 == TEST)) continue;
    if (mistakes++ != 0) continue;
    print("FAIL walk: 0x%x, not 0x%x", got, wanted);
    print(" with upper 0x%q", one->upper);
    print(" leaf 0x%q", one->leaf);
    print(" pkru 0x%x kind 0x%x", one->pkru, one->kind);
    print(" cr0 0x%x cr4 0x%x cr2 0x%x\n", cr0, cr4, (u32)one->cr2);
  }
  count = 0;
}

static u64 upper_of(u32 bits) { return (u32)walk_table | P | (bits & 6) | (bits & 8 ? NX : 0); }
static u64 leaf_of(u32 bits, u32 key) { return (u32)page | P | (bits & 6) | (bits & 8 ? NX : 0) | (u64)key << 59; }

static void combinations(int keys) {
  u32 done = 0;
  mistakes = 0;
  for (u32 control = 0; control < (keys ? 16u : 8u); control++) {
    u32 cr0 = (read_cr0() & ~(u32)WP) | (control & 1 ? WP : 0);
    u32 cr4 = read_cr4() | (control & 2 ? SMEP : 0) | (control & 4 ? SMAP : 0) | (control & 8 ? PKE : 0);
    /* Without PKE the key and PKRU mean nothing: they are tried all the same, as far as they can be written. */
    for (u32 rights = 0; rights < 4; rights++) {
      for (u32 bits = 0; bits < 64; bits++) {
        /* W, U, NX of both tables. */
        u32 upper = (bits & 3) << 1 | (bits & 4) << 1, leaf = (bits >> 3 & 3) << 1 | (bits >> 3 & 4) << 1;
        for (u32 kind = READ; kind < KINDS; kind++) add(upper_of(upper), leaf_of(leaf, KEY), rights << 2 * KEY, kind);
      }
      done += count;
      walks(cr0, cr4);
    }
  }
  check("walks with keys", mistakes, 0);
  print("0x%x walks\n", done);
}

/* The page stays in the TLB; only PKRU changes, of its key and of others. */
static void changes(void) {
  u32 cr4 = read_cr4() | PKE;
  mistakes = 0;
  for (u32 key = 0; key < 16; key++) {
    u32 first = 1;
    for (u32 rights = 0; rights < 8; rights++) {
      /* User mode's stack has key 0. */
      u32 pkru = (rights & 3) << 2 * key | (rights & 4 ? 3u << 2 * ((key + 1) % 15 + 1) : 0);
      for (u32 kind = READ; kind <= USER_WRITE; kind++) {
        if (kind == FETCH || (key == 0 && (rights & 3) && kind >= USER_READ)) continue;
        add(upper_of(W | U), leaf_of(W | U, key), pkru, kind | (first ? 0 : KEEP));
        add(upper_of(W | U), leaf_of(W | U, key), 0, kind | KEEP);
        first = 0;
      }
    }
    walks(read_cr0() | WP, cr4);
  }
  check("changes of PKRU alone", mistakes, 0);
}

CODE(read_pkru, "xor %ecx, %ecx; .byte 0x0f, 0x01, 0xee; ret")
CODE(read_other_pkru, "mov $1, %ecx; .byte 0x0f, 0x01, 0xee; ret")
CODE(write_pkru, "xor %eax, %eax; xor %ecx, %ecx; xor %edx, %edx; .byte 0x0f, 0x01, 0xef; ret")
CODE(write_other_pkru, "xor %eax, %eax; mov $1, %ecx; xor %edx, %edx; .byte 0x0f, 0x01, 0xef; ret")
CODE(write_wide_pkru, "xor %eax, %eax; xor %ecx, %ecx; mov $1, %edx; .byte 0x0f, 0x01, 0xef; ret")

static u32 cpuid_ecx(void) {
  u32 eax = 7, ebx, ecx = 0, edx;
  __asm__ volatile("cpuid" : "+a"(eax), "=b"(ebx), "+c"(ecx), "=d"(edx));
  return ecx;
}

void test_protection_keys(void) {
  u32 cr4 = read_cr4();
  build();
  int keys = (cpuid_ecx() & 8) != 0;
  combinations(keys);
  if (keys) {
    changes();
    check("OSPKE without CR4.PKE", cpuid_ecx() & 16, 0);
    expect_fault("RDPKRU without CR4.PKE", read_pkru, 6, 0, 2);
    expect_fault("WRPKRU without CR4.PKE", write_pkru, 6, 0, 6);
    write_cr4(cr4 | PKE);
    check("OSPKE with it", cpuid_ecx() & 16, 16);
    expect_nothing("RDPKRU", read_pkru);
    expect_nothing("WRPKRU", write_pkru);
    expect_fault("RDPKRU of another register", read_other_pkru, 13, 0, 5);
    expect_fault("WRPKRU of another register", write_other_pkru, 13, 0, 9);
    expect_fault("WRPKRU of 64 bits", write_wide_pkru, 13, 0, 9);
    write_cr4(cr4);
  }
  for (u32 entry = 3; entry < 64; entry++) gdt[entry] = 0;
}

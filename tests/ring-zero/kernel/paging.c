/*
 * Paging of 32-bit and PAE tables: every combination of the permission bits at both levels with CR0.WP, SMEP, SMAP, EFER.NXE and
 * EFLAGS.AC, for reads, writes and fetches of both levels, beside a model of the page walk. Then remapping with INVLPG and CR3.
 */
#include "kernel.h"

enum { P = 1, W = 2, U = 4, ACCESSED = 0x20, DIRTY = 0x40, LARGE = 0x80, GLOBAL = 0x100 };
enum { SMEP = 1u << 20, SMAP = 1u << 21, PAE = 0x20, PSE = 0x10, PGE = 0x80, WP = 0x10000, PG = 0x80000000u };
#define NX ((u64)1 << 63)
#define TEST 0x40000000u
#define EFER 0xc0000080u

static u32 directory[1024] __attribute__((aligned(4096)));
static u32 table[1024] __attribute__((aligned(4096)));
static u64 pointers[4] __attribute__((aligned(32)));
static u64 wide_directories[4][512] __attribute__((aligned(4096)));
static u64 wide_table[512] __attribute__((aligned(4096)));
static u8 page_one[4096] __attribute__((aligned(4096)));
static u8 page_two[4096] __attribute__((aligned(4096)));
static int pae;

/* The accesses, for level 0 and, in a page of their own, for level 3. */
CODE(read_test, "mov 0x40000000, %al; ret")
CODE(write_test, "movb $0xc3, 0x40000000; ret")
CODE(fetch_test, "mov $0x40000000, %eax; call *%eax; ret")
CODE(stac_read_test, "stac; mov 0x40000000, %al; ret")
__asm__(
    ".section .user, \"ax\"\n.globl user_page\nuser_page:\n"
    ".globl user_read\nuser_read: mov 0x40000000, %al; int $0x40\n"
    ".globl user_write\nuser_write: movb $0xc3, 0x40000000; int $0x40\n"
    ".globl user_fetch\nuser_fetch: mov $0x40000000, %eax; call *%eax; int $0x40\n.text\n");
void user_read(void);
void user_write(void);
void user_fetch(void);
extern u8 user_page[];

enum access { READ, WRITE, FETCH };

/* Error code of a reserved bit: P and RSVD. */
static u32 reserved = 9;

/* Identity for the kernel, user rights for the page of user code and the user's stack alone. */
static void map_kernel(void) {
  for (u32 index = 0; index < 1024; index++) directory[index] = 0;
  for (u32 index = 0; index < 1024; index++) table[index] = 0;
  /* Entries by pages for the first 4 MiB; the test's page stands at TEST. */
  static u32 low[1024] __attribute__((aligned(4096)));
  static u64 wide_low[2][512] __attribute__((aligned(4096)));
  u32 user_code = (u32)user_page >> 12;
  u32 stack = (u32)user_stack >> 12;
  for (u32 index = 0; index < 1024; index++) {
    u32 user = index == user_code || index == stack ? U : 0;
    low[index] = index << 12 | P | W | user;
    wide_low[index / 512][index % 512] = (u64)index << 12 | P | W | user;
  }
  directory[0] = (u32)low | P | W | U;
  directory[TEST >> 22] = (u32)table | P | W | U;
  for (u32 index = 0; index < 4; index++) {
    for (u32 entry = 0; entry < 512; entry++) wide_directories[index][entry] = 0;
    pointers[index] = (u32)wide_directories[index] | P;
  }
  for (u32 index = 0; index < 512; index++) wide_table[index] = 0;
  wide_directories[0][0] = (u32)wide_low[0] | P | W | U;
  wide_directories[0][1] = (u32)wide_low[1] | P | W | U;
  wide_directories[TEST >> 30][0] = (u32)wide_table | P | W | U;
}
static void paging_on(int with_pae) {
  pae = with_pae;
  map_kernel();
  write_cr4((read_cr4() & ~(u32)PAE) | (pae ? PAE : 0) | PSE);
  write_cr3(pae ? (u32)pointers : (u32)directory);
  write_cr0(read_cr0() | PG);
}
static void paging_off(void) {
  write_cr0(read_cr0() & ~(PG | WP));
  write_cr4(read_cr4() & ~(u32)(SMEP | SMAP | PAE | PSE | PGE));
  write_msr(EFER, 0);
}

static void put_upper(u64 value) {
  if (pae) wide_directories[TEST >> 30][0] = value;
  else directory[TEST >> 22] = (u32)value;
}
static u64 get_upper(void) { return pae ? wide_directories[TEST >> 30][0] : directory[TEST >> 22]; }
static void put_leaf(u64 value) {
  if (pae) wide_table[0] = value;
  else table[0] = (u32)value;
}
static u64 get_leaf(void) { return pae ? wide_table[0] : table[0]; }
static void flush(void) { __asm__ volatile("invlpg 0x40000000" : : : "memory"); }

/* The walk as the manual has it: NOTHING or the error code of #PF. */
static u32 model(u64 upper, u64 leaf, enum access access, int user, u32 cr0, u32 cr4, int nxe, int ac) {
  u32 error = (access == WRITE ? 2 : 0) | (user ? 4 : 0) | (access == FETCH && ((pae && nxe) || (cr4 & SMEP)) ? 16 : 0);
  if (!(upper & P)) return error;
  if (pae && !nxe && (upper & NX)) return error | reserved;
  if (!(leaf & P)) return error;
  if (pae && !nxe && (leaf & NX)) return error | reserved;
  int writable = (upper & leaf & W) != 0;
  int of_user = (upper & leaf & U) != 0;
  int no_execute = pae && ((upper | leaf) & NX) != 0;
  int good;
  if (access == FETCH) good = !no_execute && (user ? of_user : !(of_user && (cr4 & SMEP)));
  else if (user) good = of_user && (access == READ || writable);
  else good = !(of_user && (cr4 & SMAP) && !ac) && (access == READ || writable || !(cr0 & WP));
  return good ? NOTHING : error | 1;
}

static u32 mistakes;
static void one(u64 upper, u64 leaf, enum access access, int user, u32 cr0, u32 cr4, int nxe, int ac) {
  static void (*const codes[2][3])(void) = {{read_test, write_test, fetch_test}, {user_read, user_write, user_fetch}};
  put_upper(upper);
  put_leaf(leaf);
  flush();
  u32 wanted = model(upper, leaf, access, user, cr0, cr4, nxe, ac);
  u32 vector = user ? in_user(codes[1][access]) : try_code(ac ? stac_read_test : codes[0][access]);
  u32 got = vector == 14 ? fault.error : vector == 0x40 || vector == NOTHING ? NOTHING : 0x1000 + vector;
  int flags_good = 1;
  if (wanted == NOTHING && got == NOTHING)
    flags_good = (get_upper() & ACCESSED) && (get_leaf() & ACCESSED) && !(get_leaf() & DIRTY) == (access != WRITE);
  else if (got != NOTHING && (get_leaf() & DIRTY)) flags_good = 0;
  if (vector == 14 && fault.cr2 != TEST) flags_good = 0;
  if (got == wanted && flags_good) return;
  if (mistakes++ == 0) {
    print("FAIL walk: 0x%x, not 0x%x", got, wanted);
    print(" with upper 0x%q", upper);
    print(" leaf 0x%q", leaf);
    print(" access 0x%x user 0x%x", access, (u32)user);
    print(" cr0 0x%x cr4 0x%x", cr0, cr4);
    print(" nxe 0x%x ac 0x%x\n", (u32)nxe, (u32)ac);
  }
}

static void combinations(void) {
  u32 count = 0;
  mistakes = 0;
  page_one[0] = 0xc3;
  for (u32 control = 0; control < 16; control++) {
    u32 cr0 = (read_cr0() & ~(u32)WP) | (control & 1 ? WP : 0);
    u32 cr4 = (read_cr4() & ~(u32)(SMEP | SMAP)) | (control & 2 ? SMEP : 0) | (control & 4 ? SMAP : 0);
    int nxe = (control & 8) != 0;
    if (!pae && nxe) continue;
    write_msr(EFER, nxe ? 0x800 : 0);
    write_cr0(cr0);
    write_cr4(cr4);
    for (u32 bits = 0; bits < (pae ? 256u : 64u); bits++) {
      u64 upper = (pae ? (u32)wide_table : (u32)table) | (bits & 7) | (bits & 64 ? NX : 0);
      u64 leaf = (u32)page_one | ((bits >> 3) & 7) | (bits & 128 ? NX : 0);
      for (u32 access = READ; access <= FETCH; access++) {
        for (int user = 0; user < 2; user++) one(upper, leaf, access, user, cr0, cr4, nxe, 0), count++;
      }
      if (cr4 & SMAP) one(upper, leaf, READ, 0, cr0, cr4, nxe, 1), count++;
    }
  }
  check(pae ? "walks of PAE tables" : "walks of 32-bit tables", mistakes, 0);
  print("0x%x walks\n", count);
  write_cr0(read_cr0() & ~(u32)WP);
  write_cr4(read_cr4() & ~(u32)(SMEP | SMAP));
}

static u8 peek(void) { return *(volatile u8 *)TEST; }

static void remapping(void) {
  page_one[0] = 1;
  page_two[0] = 2;
  put_upper((pae ? (u32)wide_table : (u32)table) | P | W | U);
  put_leaf((u32)page_one | P | W);
  flush();
  check("the first page", peek(), 1);
  put_leaf((u32)page_two | P | W);
  flush();
  check("INVLPG shows the second", peek(), 2);
  put_leaf((u32)page_one | P | W);
  write_cr3(pae ? (u32)pointers : (u32)directory);
  check("CR3 shows the first again", peek(), 1);
  /* A global page needs more than CR3; INVLPG does it, and CR4.PGE. */
  write_cr4(read_cr4() | PGE);
  put_leaf((u32)page_one | P | W | GLOBAL);
  flush();
  check("a global page", peek(), 1);
  put_leaf((u32)page_two | P | W | GLOBAL);
  flush();
  check("INVLPG forgets global pages", peek(), 2);
  put_leaf((u32)page_one | P | W | GLOBAL);
  write_cr4(read_cr4() & ~(u32)PGE);
  check("CR4.PGE forgets them", peek(), 1);
  /* Code: the page behind an address changes. */
  page_one[0] = 0xc3;
  page_two[0] = 0xf4;
  page_two[1] = 0xc3;
  put_leaf((u32)page_one | P | W);
  flush();
  check("code of the first page", try_code(fetch_test), NOTHING);
  page_two[0] = 0x0f;
  page_two[1] = 0x0b;
  put_leaf((u32)page_two | P | W);
  flush();
  check("code of the second", try_code(fetch_test), 6);
  put_leaf((u32)page_one | P | W);
  flush();
  check("and of the first again", try_code(fetch_test), NOTHING);
  /* Large pages, and their reserved bits. */
  u32 shift = pae ? 21 : 22;
  u32 aligned = (u32)page_one >> shift << shift;
  page_one[0] = 0x77;
  put_upper(aligned | P | W | LARGE);
  flush();
  check("a large page", *(volatile u8 *)(TEST + ((u32)page_one - aligned)), 0x77);
  put_upper((u64)aligned | P | W | LARGE | (pae ? 0x2000 : 0x200000));
  flush();
  check("a reserved bit of a large page", try_code(read_test), 14);
  check("says so", fault.error, reserved);
  if (pae) {
    put_upper((u64)(u32)wide_table | P | W | (u64)1 << 51);
    flush();
    check("an address beyond the processor's", try_code(read_test), 14);
    check("is reserved", fault.error, reserved);
  }
}

/* An operand over two pages of which the second is absent writes nothing. */
CODE(write_over_pages, "movl $-1, 0x40000ffe; ret")
CODE(call_over_pages, "mov $0x40000ffe, %eax; call *%eax; ret")
static void crossing(void) {
  put_upper((pae ? (u32)wide_table : (u32)table) | P | W);
  put_leaf((u32)page_one | P | W);
  if (pae) wide_table[1] = 0;
  else table[1] = 0;
  flush();
  page_one[4094] = page_one[4095] = 0;
  check("a write into an absent page", try_code(write_over_pages), 14);
  check("tells its address", fault.cr2, TEST + 0x1000);
  check("and wrote nothing", page_one[4094] | page_one[4095], 0);
  page_one[4094] = 0xb8;
  check("an instruction into an absent page", try_code(call_over_pages), 14);
  check("its address", fault.cr2, TEST + 0x1000);
  check("at its start", fault.eip, TEST + 0xffe);
}

CODE(enable_without_protection, "mov %cr0, %eax; and $~1, %eax; or $0x80000000, %eax; mov %eax, %cr0; ret")
CODE(write_through_without_disable, "mov %cr0, %eax; or $0x20000000, %eax; and $~0x40000000, %eax; mov %eax, %cr0; ret")
CODE(reserved_cr4, "mov %cr4, %eax; or $0x80000000, %eax; mov %eax, %cr4; ret")
CODE(la57, "mov %cr4, %eax; or $0x1000, %eax; mov %eax, %cr4; ret")
CODE(pcid_outside_long_mode, "mov %cr4, %eax; or $0x20000, %eax; mov %eax, %cr4; ret")

void test_paging(void) {
  if (left_out_by_tcg("P in the error code of reserved bits")) reserved = 8;
  build_levels();
  if (!left_out_by_tcg("bits of CR0 and CR4 that cannot be")) {
    check("PG without PE", try_code(enable_without_protection), 13);
    check("NW without CD", try_code(write_through_without_disable), 13);
    check("a reserved bit of CR4", try_code(reserved_cr4), 13);
    check("LA57, which there is not", try_code(la57), 13);
    check("PCID outside long mode", try_code(pcid_outside_long_mode), 13);
  }
  for (int with_pae = 0; with_pae < 2; with_pae++) {
    paging_on(with_pae);
    combinations();
    remapping();
    crossing();
    paging_off();
  }
  drop_levels();
}

/*
 * A guest that measures: a kernel of its own, entered at the 64-bit entry point of the Linux boot protocol, which speaks to the hypervisor
 * and to VMBus as the TLFS and Linux's drivers do (hypercall page, SynIC, messages, GPADLs, rings), and prints what each step took.
 * Nothing of the host knows it: to VMBus it is a guest whose only driver is one for key-value pairs.
 *
 *     @list NAME VALUE..      nanoseconds, one for each time; a list has as many lines as it needs
 *     @done | @failed WHAT    and then the machine turns itself off
 *
 * The time stamp counter is the clock: its frequency is the hypervisor's word (HV_X64_MSR_TSC_FREQUENCY).
 * Called by: bench/vmbus.mjs. Layouts: TLFS ("Hypercall interface", "Inter-partition communication"), Linux's include/linux/hyperv.h.
 */
#include "machine.h"

enum {
  HYPERCALLS = 100,
  HYPERCALL_BATCHES = 400,
  EXCHANGES = 1000,
  SMALL_LISTS = 500,
  LARGE_LISTS = 40,
  LARGE_PAGES = 4096,
  RING_PAGES = 8,
};

/* ---- printing ------------------------------------------------------------------------------------------------------- */

static void print_number(u64 value) {
  char text[21];
  int at = sizeof text - 1;
  text[at] = 0;
  do text[--at] = '0' + value % 10;
  while ((value /= 10) != 0);
  print(&text[at]);
}

static u64 frequency;

/* Without division by a wide number: the counter runs at a whole number of ticks in a microsecond. */
static u64 nanoseconds(u64 ticks) {
  return ticks * 1000 / (frequency / 1000000);
}

static void print_list(const char *name, const u64 *ticks, int count) {
  for (int at = 0; at < count; at++) {
    if (at % 16 == 0) {
      print(at == 0 ? "@list " : "\n@list ");
      print(name);
    }
    print(" ");
    print_number(nanoseconds(ticks[at]));
  }
  print("\n");
}

static void turn_off(void) {
  out16(0x604, (5 << 10) | 0x2000);
  for (;;) asm volatile("cli; hlt");
}

static void fail(const char *what) {
  print("@failed ");
  print(what);
  print("\n");
  turn_off();
}

/* ---- hypercalls, SynIC ---------------------------------------------------------------------------------------------- */

enum {
  MSR_GUEST_OS_ID = 0x40000000,
  MSR_HYPERCALL = 0x40000001,
  MSR_TSC_FREQUENCY = 0x40000022,
  MSR_SCONTROL = 0x40000080,
  MSR_SIEFP = 0x40000082,
  MSR_SIMP = 0x40000083,
  MSR_EOM = 0x40000084,
  MSR_SINT2 = 0x40000092,
  CALL_LONG_SPIN_WAIT = 0x0008,
  CALL_POST_MESSAGE = 0x005c,
  CALL_SIGNAL_EVENT = 0x005d,
  CALL_FAST = 1 << 16,
  SINT = 2,
  STATUS_INSUFFICIENT_BUFFERS = 0x33,
};

static u8 hypercall_page[4096] PAGE_ALIGNED;
static u8 message_page[4096] PAGE_ALIGNED;
static u8 event_page[4096] PAGE_ALIGNED;
static u8 input_page[4096] PAGE_ALIGNED;

static u64 hypercall(u64 control, u64 input, u64 output) {
  u64 result;
  register u64 r8 asm("r8") = output;
  asm volatile("call *%[page]"
               : "=a"(result), "+c"(control), "+d"(input), "+r"(r8)
               : [page] "r"(hypercall_page)
               : "r9", "r10", "r11", "memory", "cc");
  return result & 0xffff;
}

/* Messages and packets are looked for where they are awaited; a channel's flag must be clear for its next signal to interrupt. */
void vmbus_interrupt(void) {
  u32 *flags = (u32 *)(event_page + SINT * 256);
  for (int word = 0; word < 64; word++)
    if (flags[word] != 0) asm volatile("lock andl $0, %0" : "+m"(flags[word]) : : "cc");
  write_msr(MSR_X2APIC_EOI, 0);
}

static void start_hypervisor_interface(void) {
  u32 registers[4];
  cpuid(0x40000000, registers);
  if (registers[1] != 0x7263694d || registers[2] != 0x666f736f || registers[3] != 0x76482074)
    fail("the processor does not tell of a hypervisor that speaks Microsoft's interface");
  frequency = read_msr(MSR_TSC_FREQUENCY);
  /* An open-source system of no name. */
  write_msr(MSR_GUEST_OS_ID, 0xff00ull << 48);
  write_msr(MSR_HYPERCALL, (u64)hypercall_page | 1);
  write_msr(MSR_SIMP, (u64)message_page | 1);
  write_msr(MSR_SIEFP, (u64)event_page | 1);
  write_msr(MSR_SINT2, VECTOR);
  write_msr(MSR_SCONTROL, 1);
}

/* ---- VMBus messages ------------------------------------------------------------------------------------------------- */

enum {
  MESSAGE_OFFER = 1,
  MESSAGE_REQUEST_OFFERS = 3,
  MESSAGE_ALL_OFFERS = 4,
  MESSAGE_OPEN = 5,
  MESSAGE_OPEN_RESULT = 6,
  MESSAGE_CLOSE = 7,
  MESSAGE_GPADL_HEADER = 8,
  MESSAGE_GPADL_BODY = 9,
  MESSAGE_GPADL_CREATED = 10,
  MESSAGE_GPADL_TEARDOWN = 11,
  MESSAGE_GPADL_TORNDOWN = 12,
  MESSAGE_CONTACT = 14,
  MESSAGE_VERSION = 15,
  VMBUS_5_3 = 0x50003,
};

static u32 message_connection = 4;
/* The last message's payload. */
static u8 received[240];

static u32 get32(const u8 *at) {
  return *(const u32 *)at;
}

static void put32(u8 *at, u32 value) {
  *(u32 *)at = value;
}

static void put64(u8 *at, u64 value) {
  *(u64 *)at = value;
}

/* Where a message's own fields begin in the input page: behind HvCallPostMessage's header and the message's. */
static u8 *begin_message(u32 type, u32 bytes) {
  u8 *message = input_page + 16;
  put32(input_page, message_connection);
  put32(input_page + 4, 0);
  put32(input_page + 8, 1);
  put32(input_page + 12, 8 + bytes);
  put32(message, type);
  put32(message + 4, 0);
  return message + 8;
}

static void post_message(void) {
  u64 status;
  do status = hypercall(CALL_POST_MESSAGE, (u64)input_page, 0);
  while (status == STATUS_INSUFFICIENT_BUFFERS);
  if (status != 0) fail("HvCallPostMessage");
}

/* Sleeps until a message has come, and takes it. */
static u32 take_message(void) {
  volatile u32 *slot = (volatile u32 *)(message_page + SINT * 256);
  for (;;) {
    asm volatile("cli");
    if (slot[0] != 0) break;
    asm volatile("sti; hlt");
  }
  asm volatile("sti");
  copy(received, (const u8 *)&slot[4], sizeof received);
  slot[0] = 0;
  asm volatile("mfence" ::: "memory");
  if ((slot[1] >> 8 & 1) != 0) write_msr(MSR_EOM, 0);
  return get32(received);
}

static void await_message(u32 type, const char *what) {
  if (take_message() != type) fail(what);
}

static u32 channel_id;
static u32 signal_connection;

/* Data exchange: a9a0f4e7-5a45-4d96-b827-8a841e8c03e6. */
static const u8 data_exchange[16] = {
  0xe7, 0xf4, 0xa0, 0xa9, 0x45, 0x5a, 0x96, 0x4d, 0xb8, 0x27, 0x8a, 0x84, 0x1e, 0x8c, 0x03, 0xe6,
};

static void connect(void) {
  u8 *body = begin_message(MESSAGE_CONTACT, 32);
  put32(body, VMBUS_5_3);
  put32(body + 4, 0);
  put64(body + 8, SINT);
  put64(body + 16, 0);
  put64(body + 24, 0);
  post_message();
  await_message(MESSAGE_VERSION, "no answer to the first message");
  if (received[8] == 0) fail("VMBus 5.3 is refused");
  message_connection = get32(received + 12);
  begin_message(MESSAGE_REQUEST_OFFERS, 0);
  post_message();
  for (u32 type = take_message(); type != MESSAGE_ALL_OFFERS; type = take_message()) {
    if (type != MESSAGE_OFFER) fail("a message between the offers");
    if (!equal(received + 8, data_exchange, 16)) continue;
    channel_id = get32(received + 184);
    signal_connection = get32(received + 192);
  }
  if (channel_id == 0) fail("data exchange is not offered");
}

/* ---- GPADLs --------------------------------------------------------------------------------------------------------- */

enum { HEADER_PAGES = 26, BODY_PAGES = 28 };

/* Lends pages that lie one behind the other. `posting` takes the ticks until the last message was posted. */
static u64 lend(u32 number, u64 address, int pages, u64 *posting) {
  u64 began = ticks();
  int page = pages < HEADER_PAGES ? pages : HEADER_PAGES;
  u8 *body = begin_message(MESSAGE_GPADL_HEADER, 20 + 8 * page);
  put32(body, channel_id);
  put32(body + 4, number);
  /* Bytes of the range, and one range. */
  put32(body + 8, (8 + 8 * pages) | 1 << 16);
  put32(body + 12, pages * 4096);
  put32(body + 16, 0);
  for (int at = 0; at < page; at++) put64(body + 20 + 8 * at, (address >> 12) + at);
  post_message();
  for (int message = 0; page < pages; message++) {
    int count = pages - page < BODY_PAGES ? pages - page : BODY_PAGES;
    body = begin_message(MESSAGE_GPADL_BODY, 8 + 8 * count);
    put32(body, message);
    put32(body + 4, number);
    for (int at = 0; at < count; at++) put64(body + 8 + 8 * at, (address >> 12) + page + at);
    post_message();
    page += count;
  }
  if (posting != 0) *posting = ticks() - began;
  await_message(MESSAGE_GPADL_CREATED, "no answer to a GPADL");
  u64 ended = ticks();
  if (get32(received + 16) != 0) fail("a GPADL is refused");
  return ended - began;
}

static void take_back(u32 number) {
  u8 *body = begin_message(MESSAGE_GPADL_TEARDOWN, 8);
  put32(body, channel_id);
  put32(body + 4, number);
  post_message();
  await_message(MESSAGE_GPADL_TORNDOWN, "no answer to the end of a GPADL");
}

/* ---- the channel ---------------------------------------------------------------------------------------------------- */

enum {
  RING_BYTES = RING_PAGES * 4096,
  DATA_BYTES = RING_BYTES - 4096,
  WRITE_INDEX = 0,
  READ_INDEX = 1,
  INTERRUPT_MASK = 2,
  RING_GPADL = 1,
  PACKET_LIMIT = 8192,
};

/* To the host, and behind it to the guest. */
static u8 rings[2 * RING_BYTES] PAGE_ALIGNED;
static u8 packet[PACKET_LIMIT] PAGE_ALIGNED;

static volatile u32 *const to_host = (volatile u32 *)rings;
static volatile u32 *const to_guest = (volatile u32 *)(rings + RING_BYTES);

static void open_channel(void) {
  clear(rings, sizeof rings);
  lend(RING_GPADL, (u64)rings, 2 * RING_PAGES, 0);
  u8 *body = begin_message(MESSAGE_OPEN, 140);
  put32(body, channel_id);
  put32(body + 4, 1);
  put32(body + 8, RING_GPADL);
  put32(body + 12, 0);
  put32(body + 16, RING_PAGES);
  clear(body + 20, 120);
  post_message();
  await_message(MESSAGE_OPEN_RESULT, "no answer to the opening of a channel");
  if (get32(received + 16) != 0) fail("the channel is not opened");
}

static void close_channel(void) {
  u8 *body = begin_message(MESSAGE_CLOSE, 4);
  put32(body, channel_id);
  post_message();
  take_back(RING_GPADL);
}

/* Waits for a packet: asleep as a driver whose interrupt is to come, or looking all the time as a program that polls. */
static void await_packet(int asleep) {
  while (to_guest[WRITE_INDEX] == to_guest[READ_INDEX]) {
    if (!asleep) continue;
    asm volatile("cli");
    if (to_guest[WRITE_INDEX] == to_guest[READ_INDEX]) asm volatile("sti; hlt");
    else asm volatile("sti");
  }
}

static void ring_copy(u8 *out, const u8 *in, u32 ring_at, u32 bytes, int to_ring) {
  u32 first = DATA_BYTES - ring_at < bytes ? DATA_BYTES - ring_at : bytes;
  u8 *ring = to_ring ? rings + 4096 : rings + RING_BYTES + 4096;
  if (to_ring) {
    copy(ring + ring_at, in, first);
    copy(ring, in + first, bytes - first);
  } else {
    copy(out, ring + ring_at, first);
    copy(out + first, ring, bytes - first);
  }
}

/* Takes the packet that is there. @returns its bytes, without the trailer */
static u32 read_packet(void) {
  u32 at = to_guest[READ_INDEX];
  ring_copy(packet, 0, at, 16, 0);
  u32 bytes = *(u16 *)(packet + 4) * 8;
  if (bytes > PACKET_LIMIT) fail("a packet that is too long");
  ring_copy(packet, 0, at, bytes, 0);
  to_guest[READ_INDEX] = (at + bytes + 8) % DATA_BYTES;
  return bytes;
}

/* Sends the packet back, and signals when the host asks for it. @returns the ticks at which it signalled */
static u64 write_packet(u32 bytes) {
  static u8 trailer[8];
  u32 at = to_host[WRITE_INDEX];
  int was_empty = at == to_host[READ_INDEX];
  ring_copy(0, packet, at, bytes, 1);
  ring_copy(0, trailer, (at + bytes) % DATA_BYTES, 8, 1);
  asm volatile("mfence" ::: "memory");
  to_host[WRITE_INDEX] = (at + bytes + 8) % DATA_BYTES;
  asm volatile("mfence" ::: "memory");
  u64 now = ticks();
  if (was_empty && to_host[INTERRUPT_MASK] == 0 && hypercall(CALL_SIGNAL_EVENT | CALL_FAST, signal_connection, 0) != 0)
    fail("HvCallSignalEvent");
  return now;
}

enum { PIPE_HEADER = 16, SERVICE_HEADER = PIPE_HEADER + 8, BODY = SERVICE_HEADER + 20, OPERATION_ENUMERATE = 3 };

/* Makes an answer of the request in `packet`: the newest versions, a stored value, or one more pair of a list that never ends. */
static void answer(void) {
  u8 *service = packet + SERVICE_HEADER;
  u8 *body = packet + BODY;
  if (*(u16 *)(service + 4) == 0) {
    u32 framework_count = *(u16 *)body;
    u32 message_count = *(u16 *)(body + 2);
    u32 framework = get32(body + 8 + 4 * (framework_count - 1));
    u32 message = get32(body + 8 + 4 * (framework_count + message_count - 1));
    put32(body, 1 | 1 << 16);
    put32(body + 8, framework);
    put32(body + 12, message);
  } else if (body[0] == OPERATION_ENUMERATE) {
    put32(body + 8, 1);
    put32(body + 12, 4);
    put32(body + 16, 4);
    put32(body + 20, 'k');
    put32(body + 20 + 512, 'v');
  }
  put32(service + 12, 0);
  /* Transaction, response. */
  service[17] = 5;
}

static u64 samples[EXCHANGES];

/* The host's service asks, and asks the next as soon as it is answered: from each answer's signal to the next request in the ring. */
static void measure_exchanges(const char *name, int asleep) {
  int count = 0;
  open_channel();
  for (int request = 0; count < EXCHANGES; request++) {
    await_packet(asleep);
    u32 bytes = read_packet();
    answer();
    u64 began = write_packet(bytes);
    await_packet(asleep);
    u64 ended = ticks();
    /* The versions and what the host tells of itself come before. */
    if (packet[BODY] == OPERATION_ENUMERATE) samples[count++] = ended - began;
    if (request > 2 * EXCHANGES) fail("the service does not ask for a list");
  }
  close_channel();
  if (name != 0) print_list(name, samples, count);
}

/* ---- all of it ------------------------------------------------------------------------------------------------------ */

static u8 large_buffer[LARGE_PAGES * 4096] PAGE_ALIGNED;

static void measure_hypercalls(void) {
  for (int batch = 0; batch < HYPERCALL_BATCHES; batch++) {
    u64 began = ticks();
    for (int call = 0; call < HYPERCALLS; call++) hypercall(CALL_LONG_SPIN_WAIT | CALL_FAST, 0, 0);
    samples[batch] = (ticks() - began) / HYPERCALLS;
  }
  print_list("hypercall", samples, HYPERCALL_BATCHES);
}

static void measure_lists(void) {
  static u64 posting[LARGE_LISTS];
  for (int time = 0; time < SMALL_LISTS; time++) {
    samples[time] = lend(2, (u64)large_buffer, 1, 0);
    take_back(2);
  }
  print_list("message", samples, SMALL_LISTS);
  for (int time = 0; time < LARGE_LISTS; time++) {
    samples[time] = lend(2, (u64)large_buffer, LARGE_PAGES, &posting[time]);
    posting[time] /= 1 + (LARGE_PAGES - HEADER_PAGES + BODY_PAGES - 1) / BODY_PAGES;
    take_back(2);
  }
  print_list("gpadl-16m", samples, LARGE_LISTS);
  print_list("post", posting, LARGE_LISTS);
}

void start(void) {
  start_machine();
  start_hypervisor_interface();
  measure_hypercalls();
  connect();
  /* The first of each is not counted: everybody's code is compiled while it runs. */
  measure_exchanges(0, 1);
  measure_exchanges("signal-asleep", 1);
  measure_exchanges("signal-awake", 0);
  measure_lists();
  print("@done\n");
  turn_off();
}

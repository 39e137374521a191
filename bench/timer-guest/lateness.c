/*
 * How late a guest's timers are: sleeps to times on the guest's own clock, and prints by how much each was missed.
 *
 *     @list lateness NANOSECONDS..     16 on a line
 *     @done
 *
 * One program asleep at a time, without timer slack, as the only thing that the guest does. Called by: bench/vmbus.mjs.
 */
#define _GNU_SOURCE
#include <stdio.h>
#include <sys/prctl.h>
#include <time.h>

enum { WARM_UP = 200, SLEEPS = 2000, PERIOD = 1000000, SECOND = 1000000000 };

int main(void) {
  static long lateness[SLEEPS];
  struct timespec target, now;
  prctl(PR_SET_TIMERSLACK, 1);
  for (int number = -WARM_UP; number < SLEEPS; number++) {
    clock_gettime(CLOCK_MONOTONIC, &target);
    /* Not in step with the kernel's own tick. */
    target.tv_nsec += PERIOD + (number & 15) * 12345;
    if (target.tv_nsec >= SECOND) {
      target.tv_nsec -= SECOND;
      target.tv_sec++;
    }
    if (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &target, NULL) != 0) return 1;
    clock_gettime(CLOCK_MONOTONIC, &now);
    if (number >= 0)
      lateness[number] = (now.tv_sec - target.tv_sec) * SECOND + (now.tv_nsec - target.tv_nsec);
  }
  for (int number = 0; number < SLEEPS; number++)
    printf("%s%ld%s", number % 16 == 0 ? "@list lateness " : "", lateness[number], number % 16 == 15 ? "\n" : " ");
  printf("@done\n");
  return 0;
}

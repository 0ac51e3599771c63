/* Preloaded into a broker: its wall clock is as far off as the mapped file says. All other clocks are as they are. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define SECOND 1000000000LL

/* Nanoseconds; written by the test while the broker runs. */
static volatile int64_t *shift;
static int (*real)(clockid_t, struct timespec *);

__attribute__((constructor)) static void begin(void) {
    real = (int (*)(clockid_t, struct timespec *))dlsym(RTLD_NEXT, "clock_gettime");
    const char *path = getenv("CLOCK_SHIFT");
    int file = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
    void *place = file < 0 ? MAP_FAILED : mmap(NULL, sizeof *shift, PROT_READ, MAP_SHARED, file, 0);
    if (place == MAP_FAILED) abort();
    close(file);
    shift = place;
}

int clock_gettime(clockid_t clock, struct timespec *at) {
    int answer = real ? real(clock, at) : (int)syscall(SYS_clock_gettime, clock, at);
    if (answer != 0 || !shift || (clock != CLOCK_REALTIME && clock != CLOCK_REALTIME_COARSE)) return answer;
    int64_t now = (int64_t)at->tv_sec * SECOND + at->tv_nsec + *shift;
    at->tv_sec = now / SECOND;
    at->tv_nsec = now % SECOND;
    return 0;
}

/* Preloaded into vestibuled: sets its wall clock, and no other, as an administrator or a time
 * server would. CLOCK_SHIM_FILE names a file of 8 bytes, the seconds to add to CLOCK_REALTIME,
 * which a test maps as well, so that they can change while the program runs. */
#include <dlfcn.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

static _Atomic int64_t *offset;
static int (*real_clock_gettime)(clockid_t clock, struct timespec *ret);

__attribute__((constructor)) static void shim_start(void) {
        const char *path = getenv("CLOCK_SHIM_FILE");
        int fd = path ? open(path, O_RDWR | O_CLOEXEC) : -1;
        void *mapped = fd >= 0 ? mmap(NULL,
                                                 sizeof(*offset),
                                                 PROT_READ | PROT_WRITE,
                                                 MAP_SHARED,
                                                 fd,
                                                 0)
                               : MAP_FAILED;

        *(void **) &real_clock_gettime = dlsym(RTLD_NEXT, "clock_gettime");
        if (mapped == MAP_FAILED || !real_clock_gettime) {
                perror("CLOCK_SHIM_FILE");
                _exit(127);
        }
        (void) close(fd);
        offset = mapped;
}

__attribute__((visibility("default"))) int clock_gettime(clockid_t clock, struct timespec *ret) {
        int r = real_clock_gettime ? real_clock_gettime(clock, ret) : -1;

        if (r == 0 && clock == CLOCK_REALTIME && offset)
                ret->tv_sec += *offset;
        return r;
}

/* Preloaded into a program that is measured: counts its fsync() and fdatasync() calls, of all its
 * threads, and makes each of them longer. Both numbers live in a file that the benchmark maps as
 * well, so that the delay can change while the program runs:
 *
 *     8 bytes: calls so far            8 bytes: microseconds to add to each call
 *
 * FSYNC_SHIM_FILE names the file. Without it, or if it cannot be mapped, the program does not run:
 * a count of nothing would look like a good result. */
#include <dlfcn.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

typedef struct Shim {
        _Atomic uint64_t calls, delay;
} Shim;

static Shim *shim;
static int (*real_fsync)(int fd);
static int (*real_fdatasync)(int fd);

#define PUBLIC __attribute__((visibility("default")))

__attribute__((constructor)) static void shim_start(void) {
        const char *path = getenv("FSYNC_SHIM_FILE");
        int fd = path ? open(path, O_RDWR | O_CLOEXEC) : -1;

        shim = fd >= 0 ? mmap(NULL, sizeof(*shim), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0)
                       : MAP_FAILED;
        if (shim == MAP_FAILED) {
                perror("FSYNC_SHIM_FILE");
                _exit(127);
        }
        (void) close(fd);
        *(void **) &real_fsync = dlsym(RTLD_NEXT, "fsync");
        *(void **) &real_fdatasync = dlsym(RTLD_NEXT, "fdatasync");
        if (!real_fsync || !real_fdatasync)
                _exit(127);
}

static void count_and_wait(void) {
        uint64_t delay = shim->delay;

        shim->calls++;
        if (delay > 0)
                (void) nanosleep(&(struct timespec){ .tv_sec = (time_t) (delay / 1000000),
                                                 .tv_nsec = (long) (delay % 1000000) * 1000 },
                                NULL);
}

PUBLIC int fsync(int fd) {
        count_and_wait();
        return real_fsync(fd);
}

PUBLIC int fdatasync(int fd) {
        count_and_wait();
        return real_fdatasync(fd);
}

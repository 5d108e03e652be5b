/* Ownership made visible: cleanup attributes, and the two macros that show the moment it moves. */
#pragma once

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define _cleanup_(f) __attribute__((cleanup(f)))

/* Moves a pointer or descriptor out of a variable, which then holds nothing to clean up. */
#define TAKE_PTR(p)                            \
        ({                                     \
                __typeof__(p) *_take = &(p);   \
                __typeof__(p) _taken = *_take; \
                *_take = NULL;                 \
                _taken;                        \
        })
#define TAKE_FD(fd)                  \
        ({                           \
                int *_take = &(fd);  \
                int _taken = *_take; \
                *_take = -1;         \
                _taken;              \
        })

/* For a destructor `Type *f(Type *)` that takes NULL: defines fp(), to be named in _cleanup_(). */
#define DEFINE_CLEANUP(type, f)             \
        static inline void f##p(type **p) { \
                if (*p)                     \
                        (void) f(*p);       \
        }

#define N_ELEMENTS(array) (sizeof(array) / sizeof((array)[0]))

static inline void freep(void *p) {
        free(*(void **) p);
}

static inline void closep(int *fd) {
        if (*fd >= 0)
                (void) close(*fd);
}

static inline int close_fd(int fd) {
        if (fd >= 0)
                (void) close(fd);
        return -1;
}

static inline int streq(const char *a, const char *b) {
        return strcmp(a, b) == 0;
}

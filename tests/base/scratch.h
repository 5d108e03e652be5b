/* A folder that one test has to itself. All of it asserts. */
#pragma once

#include <stddef.h>

enum {
        SCRATCH_SIZE = 64, /* of its path, with the final NUL */
};

/* Makes an empty folder, which says in its name whose it is. */
void scratch_make(const char *name, char ret[SCRATCH_SIZE]);

/* Writes a file into it, which its owner alone may read. */
void scratch_write(const char *folder, const char *name, const void *data, size_t size);

/* Removes it with all that is in it. */
void scratch_remove(const char *folder);

#include "scratch.h"

#include "test.h"

#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>

void scratch_make(const char *name, char ret[SCRATCH_SIZE]) {
        assert_true(snprintf(ret, SCRATCH_SIZE, "/tmp/test-%s.XXXXXX", name) < SCRATCH_SIZE);
        assert_non_null(mkdtemp(ret));
}

void scratch_write(const char *folder, const char *name, const void *data, size_t size) {
        char path[SCRATCH_SIZE + 64];
        int fd;

        assert_true(snprintf(path, sizeof(path), "%s/%s", folder, name) < (int) sizeof(path));
        fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
        assert_true(fd >= 0);
        assert_int_equal(write(fd, data, size), size);
        assert_int_equal(close(fd), 0);
}

static int remove_entry(const char *path, const struct stat *st, int type, struct FTW *ftw) {
        return remove(path);
}

void scratch_remove(const char *folder) {
        assert_int_equal(nftw(folder, remove_entry, 8, FTW_DEPTH | FTW_PHYS), 0);
}

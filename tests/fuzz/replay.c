/* Stands in for libFuzzer in ordinary builds: feeds a target every file of its corpus, whole and
 * cut off at each of its first bytes, from heap blocks of the exact size so that the sanitizers see
 * the first byte read too far. */
#include <dirent.h>
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cleanup.h"

enum {
        INPUT_SIZE_MAX = 1024 * 1024,
        CUT_SIZE_MAX = 2048,
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int feed(const uint8_t *data, size_t size) {
        _cleanup_(freep) uint8_t *copy = malloc(size);

        if (size > 0 && !copy)
                return -ENOMEM;
        if (size > 0)
                memcpy(copy, data, size);
        (void) LLVMFuzzerTestOneInput(copy, size);
        return 0;
}

static int replay(const char *path) {
        _cleanup_(freep) uint8_t *data = malloc(INPUT_SIZE_MAX);
        FILE *file;
        size_t size;
        int r;

        if (!data)
                return -ENOMEM;
        file = fopen(path, "re");
        if (!file)
                return -errno;
        size = fread(data, 1, INPUT_SIZE_MAX, file);
        r = ferror(file) ? -EIO : 0;
        (void) fclose(file);

        for (size_t cut = 0; r == 0 && cut < size && cut < CUT_SIZE_MAX; cut++)
                r = feed(data, cut);
        return r < 0 ? r : feed(data, size);
}

static int is_input(const struct dirent *entry) {
        return entry->d_name[0] != '.';
}

int main(int argc, char **argv) {
        struct dirent **entries;
        int n, n_failed = 0;

        if (argc != 2) {
                (void) fprintf(stderr, "usage: %s FOLDER\n", argv[0]);
                return 2;
        }
        n = scandir(argv[1], &entries, is_input, alphasort);
        if (n <= 0) {
                (void) printf("1..1\nnot ok 1 - %s holds inputs\n", argv[1]);
                return 1;
        }

        (void) printf("1..%d\n", n);
        for (int i = 0; i < n; i++) {
                char path[4096];
                int r;

                (void) snprintf(path, sizeof(path), "%s/%s", argv[1], entries[i]->d_name);
                r = replay(path);
                (void) printf("%s %d - %s\n", r < 0 ? "not ok" : "ok", i + 1, entries[i]->d_name);
                (void) fflush(stdout);
                n_failed += r < 0;
                free(entries[i]);
        }
        free(entries);
        return n_failed > 0;
}

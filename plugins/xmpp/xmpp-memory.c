#include "xmpp-memory.h"

#include <malloc.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>

static void *memory_alloc(size_t size, void *userdata) {
        (void) userdata;
        return malloc(size);
}

static void memory_free(void *p, void *userdata) {
        (void) userdata;
        if (!p)
                return;
        sodium_memzero(p, malloc_usable_size(p));
        free(p);
}

/* Grows by half at least: libstrophe lets a text grow by a few bytes at a time. */
static void *memory_realloc(void *p, size_t size, void *userdata) {
        size_t old = p ? malloc_usable_size(p) : 0;
        void *moved;

        if (p && size <= old && size > old / 4)
                return p;
        if (p && size > old && old > 64 && size < old + old / 2)
                size = old + old / 2;
        moved = malloc(size);
        if (!moved)
                return NULL;
        if (p) {
                memcpy(moved, p, old < size ? old : size);
                memory_free(p, userdata);
        }
        return moved;
}

const xmpp_mem_t *xmpp_memory(void) {
        static const xmpp_mem_t memory = { memory_alloc, memory_free, memory_realloc, NULL };

        return &memory;
}

#include "json-wipe.h"

#include <jansson.h>
#include <sodium.h>
#include <stddef.h>
#include <stdlib.h>

/* The size stands in front of the block, in as much room as alignment needs. */
typedef union Header {
        size_t size;
        max_align_t align;
} Header;

static void *wiping_malloc(size_t size) {
        Header *header;

        if (size > SIZE_MAX - sizeof(*header))
                return NULL;
        header = malloc(sizeof(*header) + size);
        if (!header)
                return NULL;
        header->size = size;
        return header + 1;
}

static void wiping_free(void *block) {
        Header *header = block;

        if (!block)
                return;
        header--;
        sodium_memzero(block, header->size);
        free(header);
}

void json_wipe_install(void) {
        json_set_alloc_funcs(wiping_malloc, wiping_free);
}

void json_wipe_free(void *block) {
        json_free_t release;

        json_get_alloc_funcs(NULL, &release);
        release(block);
}

/* What a preview page says about a link: the OpenGraph title, description and image in the head of
 * an HTML page (https://ogp.me), as a messenger shows them. Bytes of a stranger in, values out; no
 * more of HTML is understood than that takes, and nothing is fetched. */
#pragma once

#include <stddef.h>

enum {
        OPEN_GRAPH_PAGE_MAX = 64 * 1024, /* bytes that are looked at */
        OPEN_GRAPH_TEXT_MAX = 4096,      /* bytes of a value; a longer one is taken for absent */
};

/* All UTF-8 without control characters, and NULL where absent. */
typedef struct OpenGraph {
        char *title; /* of the page itself when OpenGraph has none */
        char *description, *image;
} OpenGraph;

#define OPEN_GRAPH_NULL ((OpenGraph){ NULL, NULL, NULL })

/* Reads any bytes at all, also none (page may be NULL then); what cannot be understood is absent.
 * -ENOMEM. The caller calls open_graph_done(). */
int open_graph_read(const char *page, size_t size, OpenGraph *ret);

void open_graph_done(OpenGraph *graph);

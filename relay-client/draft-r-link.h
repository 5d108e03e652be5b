/* The initiating message of Draft R as one URL, which the draft leaves open:
 * the template without its {tigress_location}, which must come last, then "#R1.", the suite's code
 * in four hexadecimal digits, ".", and R in base64url without padding. As
 * with a share URL, all that is secret is in the fragment, which no client sends. */
#pragma once

#include "draft-r.h"

enum {
        DRAFT_R_LINK_MAX = DRAFT_R_TEMPLATE_MAX + 128,
};

typedef struct DraftRLink {
        char template[DRAFT_R_TEMPLATE_MAX + 1];
        DraftRSuite suite;
        uint8_t secret[DRAFT_R_SECRET_MAX];
        size_t secret_size;
} DraftRLink;

/* The template was checked. *ret is the caller's to wipe and free (secret_free_string).
 * DRAFT_R_E_TEMPLATE: its variable does not come last. */
int draft_r_link_build(const char *template,
                DraftRSuite suite,
                const uint8_t *secret,
                size_t secret_size,
                char **ret);

/* DRAFT_R_E_LINK, DRAFT_R_E_SCHEME, DRAFT_R_E_TEMPLATE, DRAFT_R_E_SUITE, DRAFT_R_E_SECRET. On
 * success the caller wipes *ret; on an error nothing secret is in it. */
int draft_r_link_parse(const char *text, DraftRLink *ret);

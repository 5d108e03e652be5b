/* Within the gateway's front: one question of a tenant or operator, and how it is answered. */
#pragma once

#include "gateway.h"

typedef struct Ask {
        Gateway *gateway;
        PluginRequest request;
        json_t *frame;
        Config *config;             /* kept: the tenant points into it */
        const ConfigTenant *tenant; /* NULL for an operator */
        bool operator;
        const struct FrontVerb *verb;

        /* the answer */
        int status;
        json_t *body, *problem;
        int retry_after;
        bool replayed;
        int64_t watch; /* answer when this share has changed, or after wait seconds; 0: now */
        int64_t wait;
} Ask;

/* Answers with a problem (RFC 9457); name is the last part of its type. Returns 0, so that a
 * handler ends with it: a refusal is an answer, and changes nothing. */
__attribute__((format(printf, 5, 6))) int ask_refuse(
                Ask *ask, int status, const char *name, const char *title, const char *detail, ...);

/* --- share-create.c --- */

int front_share_create(Ask *ask);

/* --- front.c --- */

/* Keeps the answer under the request's Idempotency-Key, if it has one; with a share, that share's
 * end wipes it. */
int front_remember_answer(Ask *ask, Share *share);

/* What a request is answered with, and who is to be told of what it did. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "relay-request.h"

typedef enum RelayAnswerKind {
        RELAY_ANSWER_JSON,
        RELAY_ANSWER_HTML,   /* the preview, with its security policy */
        RELAY_ANSWER_OCTETS, /* a message of Draft R */
} RelayAnswerKind;

typedef enum RelayPush {
        RELAY_PUSH_NONE,
        RELAY_PUSH_INITIATOR,
        RELAY_PUSH_RECIPIENT,
} RelayPush;

typedef struct RelayAnswer {
        unsigned status;
        RelayAnswerKind kind;
        char *body; /* owned; NULL = empty */
        size_t body_size;
        uint8_t mailbox[RELAY_ID_SIZE]; /* of the request, or the one that Create made; Draft R: the
                                           beginning of the location's hash */
        RelayPush push;                 /* who has a token to be told of an Update by */
        uint64_t push_token;            /* a hash of that token and the mailbox */
        char *webhook;                  /* owned; where to tell them, NULL = nowhere */
} RelayAnswer;

#define RELAY_ANSWER_NULL ((RelayAnswer){ .status = 0 })

/* Frees what it owns; leaves RELAY_ANSWER_NULL. */
static inline void relay_answer_done(RelayAnswer *answer) {
        free(answer->body);
        free(answer->webhook);
        *answer = RELAY_ANSWER_NULL;
}

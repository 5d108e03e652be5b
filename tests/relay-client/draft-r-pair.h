/* Two parties that speak Draft R through a store which is nothing but PUT, GET and DELETE, and that
 * loses requests, answers and whole processes wherever it is told to. */
#pragma once

#include "../base/test.h"
#include "relay.h"

#define TEMPLATE "https://drop.example/t/{tigress_location}"

enum {
        NOW = 1795262400, /* Sat, 21 Nov 2026 12:00:00 GMT */
        ITEMS_MAX = 16,
        LOG_MAX = 64,
        TRIES_MAX = 4,
};

typedef enum Fault {
        FAULT_NONE,
        FAULT_LOST_REQUEST, /* never executed */
        FAULT_LOST_ANSWER,  /* executed, and nobody learns it */
        FAULT_BUSY,         /* 503 instead of executing */
        FAULT_CRASH,        /* of the client: the operation ended, and its state was not stored */
        _FAULT_MAX,
} Fault;

typedef struct Item {
        char *url;
        char *body;
        size_t size;
} Item;

typedef struct Store {
        Item items[ITEMS_MAX];
        char log[LOG_MAX][512]; /* "PUT https://…" */
        size_t n_log;
        Fault fault;
        size_t fault_at;     /* counts requests, for FAULT_CRASH operations */
        int status;          /* not 0: answered to everything, and nothing is executed */
        const char *headers; /* of every answer; NULL: none */
        size_t n_operations;
} Store;

typedef struct Party {
        const char *name;
        uint8_t root[32];
        RelayTerms terms;
        char *link, *mailbox;
        char first[256]; /* the URL of its first message */
        uint8_t *state;  /* the durable one */
        size_t state_size;
        char content[256]; /* of the last message that was read; empty: none */
        char reason[RELAY_REASON_SIZE];
        unsigned retry_after;
} Party;

extern Store store;
extern Party alice, bob;

void item_done(Item *item);
Item *store_find(const char *url);
void store_put(const char *url, const void *body, size_t size);
size_t store_size(void);
HttpAnswer store_answer(const HttpRequest *request);
DraftRIdentity pair_identity(const Party *party);
RelayOutcome pair_ask_task(Party *party, const RelayJobTask *task);
RelayJobTask pair_task(const Party *party, RelayJobOperation operation, const char *content);
RelayOutcome pair_ask(Party *party, RelayJobOperation operation, const char *content);

/* As a caller does that is told to come back: from its durable state. */
void pair_ask_until_done(Party *party, RelayJobOperation operation, const char *content);

void pair_begin(DraftRSuite suite, DraftRContextMode mode);
void pair_end(void);
int pair_setup(void **state);
int pair_teardown(void **state);
void pair_invite(void);
void pair_hand_over(Party *from, Party *to, const char *content);

/* Four messages, as a car key needs them. */
void pair_converse(void);

void pair_assert_log(size_t i, const char *method, const char *url);
const char *pair_url_in_log(size_t i);
void pair_assert_aborted(Party *party, const char *reason);

/* Two parties speak Draft R through a store that is nothing but PUT, GET and DELETE, and that loses
 * requests, answers and whole processes wherever it is told to. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "cleanup.h"
#include "draft-r-link.h"
#include "draft-r-transcript.h"
#include "relay.h"
#include "secret.h"

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
        size_t fault_at; /* counts requests, for FAULT_CRASH operations */
        int status;      /* not 0: answered to everything, and nothing is executed */
        const char *headers;
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

static const char *const hosts[] = { "drop.example", NULL };
static Store store;
static Party alice, bob;

static void item_done(Item *item) {
        free(item->url);
        free(item->body);
        *item = (Item){ NULL };
}

static Item *store_find(const char *url) {
        for (size_t i = 0; i < ITEMS_MAX; i++)
                if (store.items[i].url && strcmp(store.items[i].url, url) == 0)
                        return &store.items[i];
        return NULL;
}

static void store_put(const char *url, const void *body, size_t size) {
        Item *item = store_find(url);

        for (size_t i = 0; !item; i++) {
                assert_true(i < ITEMS_MAX);
                if (!store.items[i].url)
                        item = &store.items[i];
        }
        item_done(item);
        *item = (Item){ strdup(url), malloc(size + 1), size };
        memcpy(item->body, body, size);
}

static size_t store_size(void) {
        size_t n = 0;

        for (size_t i = 0; i < ITEMS_MAX; i++)
                n += store.items[i].url != NULL;
        return n;
}

/* hold for every request of every test. */
static void check_request(const HttpRequest *request) {
        const bool put = strcmp(request->method, "PUT") == 0;

        assert_int_equal(strncmp(request->url, "https://drop.example/t/", 23), 0);
        assert_int_equal(strlen(request->url), 23 + 43);
        assert_null(strchr(request->url, '#'));
        assert_int_equal(put, request->body != NULL);
        assert_int_equal(request->n_headers, put ? 2 : 0);
        if (!put)
                return;
        assert_string_equal(request->headers[0], "If-None-Match: *");
        assert_string_equal(request->headers[1], "Content-Type: application/octet-stream");
}

static HttpAnswer store_execute(const HttpRequest *request) {
        Item *item = store_find(request->url);

        if (strcmp(request->method, "PUT") == 0) {
                if (item)
                        return (HttpAnswer){ .status = 412 };
                store_put(request->url, request->body, request->body_size);
                return (HttpAnswer){ .status = 201 };
        }
        if (!item)
                return (HttpAnswer){ .status = 404 };
        if (strcmp(request->method, "GET") == 0)
                return (HttpAnswer){ .status = 200, .body = item->body, .body_size = item->size };
        assert_string_equal(request->method, "DELETE");
        item_done(item);
        return (HttpAnswer){ .status = 204 };
}

static HttpAnswer store_answer(const HttpRequest *request) {
        const size_t number = store.n_log;
        const bool faulty = store.fault != FAULT_NONE && store.fault != FAULT_CRASH &&
                            number == store.fault_at;
        HttpAnswer answer;

        check_request(request);
        assert_true(number < LOG_MAX);
        (void) snprintf(store.log[store.n_log++],
                        sizeof(store.log[0]),
                        "%s %s",
                        request->method,
                        request->url);
        if (store.status != 0)
                return (HttpAnswer){ .status = store.status,
                        .headers = store.headers,
                        .headers_size = store.headers ? strlen(store.headers) : 0 };
        if (faulty && store.fault == FAULT_BUSY)
                return (HttpAnswer){ .status = 503 };
        if (faulty && store.fault == FAULT_LOST_REQUEST)
                return (HttpAnswer){ .status = 0, .failure = "timeout" };
        answer = store_execute(request);
        if (faulty)
                return (HttpAnswer){ .status = 0, .failure = "connection-closed" };
        return answer;
}

static DraftRIdentity identity_of(const Party *party) {
        return (DraftRIdentity){
                .root = party->root,
                .kid = party->name,
                .share = "shr_01jd8z0q3t5v7x9b1d3f5h7k9m",
                .generation = 3,
        };
}

static const char *url_last_put(void) {
        for (size_t i = store.n_log; i > 0; i--)
                if (strncmp(store.log[i - 1], "PUT ", 4) == 0)
                        return store.log[i - 1] + 4;
        return "";
}

/* What a durable store does with an operation's end. */
static void keep(Party *party, const RelayResult *result) {
        if (result->state) {
                free(party->state);
                party->state = malloc(result->state_size);
                memcpy(party->state, result->state, result->state_size);
                party->state_size = result->state_size;
        }
        if (result->link) {
                free(party->link);
                party->link = strdup(result->link);
        }
        if (result->mailbox) {
                free(party->mailbox);
                party->mailbox = strdup(result->mailbox);
                assert_true(strlen(url_last_put()) < sizeof(party->first));
                (void) strcpy(party->first, url_last_put());
        }
        if (result->has_content) {
                assert_true(result->content_size < sizeof(party->content));
                memcpy(party->content, result->content, result->content_size);
                party->content[result->content_size] = 0;
        }
}

static RelayOutcome ask_task(Party *party, const RelayJobTask *task) {
        _cleanup_(relay_job_freep) RelayJob *job = NULL;
        const RelayProtocol *protocol = relay_protocol_find("draft-r");
        const RelayResult *result;
        HttpRequest request = HTTP_REQUEST_NULL;
        int r;

        assert_non_null(protocol);
        r = relay_job_begin(protocol, &party->terms, task, &job, &request);
        while (r == RELAY_SEND) {
                HttpAnswer answer = store_answer(&request);

                http_request_done(&request);
                r = relay_job_answer(job, &answer, NOW, &request);
        }
        assert_int_equal(r, 0);

        result = relay_job_result(job);
        memcpy(party->reason, result->reason, sizeof(party->reason));
        party->retry_after = result->retry_after;
        assert_int_equal(result->outcome == RELAY_DONE, !result->reason[0]);
        if (result->outcome == RELAY_AGAIN)
                assert_null(result->state);
        if (store.fault == FAULT_CRASH && store.n_operations++ == store.fault_at)
                return RELAY_AGAIN;
        keep(party, result);
        return result->outcome;
}

static RelayJobTask task_of(const Party *party, RelayJobOperation operation, const char *content) {
        return (RelayJobTask){
                .operation = operation,
                .identity = identity_of(party),
                .content = content,
                .content_size = content ? strlen(content) : 0,
                .state = operation == RELAY_JOB_CREATE ? NULL : party->state,
                .state_size = operation == RELAY_JOB_CREATE ? 0 : party->state_size,
                .link = operation == RELAY_JOB_READ && !party->state ? party->link : NULL,
        };
}

static RelayOutcome ask(Party *party, RelayJobOperation operation, const char *content) {
        RelayJobTask task = task_of(party, operation, content);

        return ask_task(party, &task);
}

/* As a caller does that is told to come back: from its durable state. */
static void ask_until_done(Party *party, RelayJobOperation operation, const char *content) {
        for (int i = 0; i < TRIES_MAX; i++) {
                RelayOutcome outcome;

                party->content[0] = 0;
                outcome = ask(party, operation, content);
                if (outcome == RELAY_DONE)
                        return;
                assert_int_equal(outcome, RELAY_AGAIN);
        }
        fail_msg("%s is not done after %d tries", party->name, TRIES_MAX);
}

static void party_init(Party *party, const char *name, DraftRSuite suite, DraftRContextMode mode) {
        *party = (Party){ .name = name };
        memset(party->root, name[0], sizeof(party->root));
        party->terms = (RelayTerms){
                .hosts = hosts, .template = TEMPLATE, .suite = suite, .mode = mode
        };
}

static void party_done(Party *party) {
        free(party->link);
        free(party->mailbox);
        free(party->state);
}

static void begin(DraftRSuite suite, DraftRContextMode mode) {
        party_init(&alice, "alice", suite, mode);
        party_init(&bob, "bob", suite, mode);
}

static void end(void) {
        party_done(&alice);
        party_done(&bob);
        for (size_t i = 0; i < ITEMS_MAX; i++)
                item_done(&store.items[i]);
        store = (Store){ .fault = FAULT_NONE };
}

static int setup(void **state) {
        (void) state;
        begin(DRAFT_R_AES_128_GCM_SHA256, DRAFT_R_CONTEXT_HASH);
        return 0;
}

static int teardown(void **state) {
        (void) state;
        end();
        return 0;
}

static void invite(void) {
        ask_until_done(&alice, RELAY_JOB_CREATE, "one");
        bob.link = strdup(alice.link);
}

static void hand_over(Party *from, Party *to, const char *content) {
        ask_until_done(from, RELAY_JOB_UPDATE, content);
        ask_until_done(to, RELAY_JOB_READ, NULL);
        assert_string_equal(to->content, content);
}

/* Four messages, as a car key needs them. */
static void converse(void) {
        invite();
        ask_until_done(&bob, RELAY_JOB_READ, NULL);
        assert_string_equal(bob.content, "one");
        hand_over(&bob, &alice, "two");
        hand_over(&alice, &bob, "three");
        hand_over(&bob, &alice, "");
        ask_until_done(&alice, RELAY_JOB_ACKNOWLEDGE, NULL);
}

static void a_conversation_leaves_nothing_behind(void **state) {
        (void) state;
        for (DraftRSuite suite = 0; suite < _DRAFT_R_SUITE_MAX; suite++)
                for (DraftRContextMode mode = 0; mode < _DRAFT_R_CONTEXT_MODE_MAX; mode++) {
                        begin(suite, mode);
                        converse();
                        assert_int_equal(store_size(), 0);
                        end();
                }
        setup(state);
}

/* Every request lost, every answer lost, every state not stored: one after the other. */
static void r11_whatever_is_lost_the_conversation_ends_the_same(void **state) {
        size_t n = 0;

        (void) state;
        for (Fault fault = FAULT_LOST_REQUEST; fault < _FAULT_MAX; fault++)
                for (size_t at = 0;; at++) {
                        size_t reached;

                        begin(DRAFT_R_AES_128_GCM_SHA256, DRAFT_R_CONTEXT_HASH);
                        store.fault = fault;
                        store.fault_at = at;
                        converse();
                        assert_int_equal(store_size(), 0);
                        reached = fault == FAULT_CRASH ? store.n_operations : store.n_log;
                        end();
                        n++;
                        if (reached <= at)
                                break;
                }
        print_message("# %zu faults\n", n);
        assert_true(n > 50);
        setup(state);
}

static void assert_log(size_t i, const char *method, const char *url) {
        char expected[512];

        (void) snprintf(expected, sizeof(expected), "%s %s", method, url);
        assert_true(i < store.n_log);
        assert_string_equal(store.log[i], expected);
}

static const char *url_in_log(size_t i) {
        return strchr(store.log[i], ' ') + 1;
}

static void r4_a_message_is_deleted_before_the_next_is_put(void **state) {
        (void) state;
        invite();
        assert_int_equal(ask(&bob, RELAY_JOB_READ, NULL), RELAY_DONE);
        assert_int_equal(ask(&bob, RELAY_JOB_UPDATE, "two"), RELAY_DONE);
        assert_int_equal(store.n_log, 4);
        assert_log(0, "PUT", alice.first);
        assert_log(1, "GET", alice.first);
        assert_log(2, "DELETE", alice.first);
        assert_int_equal(strncmp(store.log[3], "PUT ", 4), 0);
        assert_string_not_equal(url_in_log(3), alice.first);
}

static void r4_a_delete_that_fails_holds_the_next_message_back(void **state) {
        static const struct {
                int status;
                RelayOutcome outcome;
        } cases[] = {
                { 503, RELAY_AGAIN },
                { 405, RELAY_REFUSED },
                { 403, RELAY_UNAUTHORISED },
                { 302, RELAY_REFUSED },
        };

        (void) state;
        invite();
        assert_int_equal(ask(&bob, RELAY_JOB_READ, NULL), RELAY_DONE);
        for (size_t i = 0; i < N_ELEMENTS(cases); i++) {
                store.status = cases[i].status;
                assert_int_equal(ask(&bob, RELAY_JOB_UPDATE, "two"), cases[i].outcome);
                assert_log(2 + i, "DELETE", alice.first);
                assert_int_equal(store.n_log, 3 + i);
        }
}

static void r11_a_read_ends_before_anything_is_deleted(void **state) {
        uint8_t *before;

        (void) state;
        invite();
        assert_int_equal(ask(&bob, RELAY_JOB_READ, NULL), RELAY_DONE);
        assert_int_equal(store.n_log, 2);
        assert_int_equal(store_size(), 1);
        assert_non_null(bob.state);

        /* The process ends here, before the state was durable: all is as before. */
        before = TAKE_PTR(bob.state);
        free(before);
        bob.content[0] = 0;
        assert_int_equal(ask(&bob, RELAY_JOB_READ, NULL), RELAY_DONE);
        assert_string_equal(bob.content, "one");

        assert_int_equal(ask(&bob, RELAY_JOB_ACKNOWLEDGE, NULL), RELAY_DONE);
        assert_int_equal(store_size(), 0);
        assert_int_equal(ask(&bob, RELAY_JOB_ACKNOWLEDGE, NULL), RELAY_DONE);
        assert_log(store.n_log - 1, "DELETE", alice.first);
        assert_int_equal(store.n_log, 4);
}

static void r11_a_repeated_put_carries_the_same_octets(void **state) {
        _cleanup_(freep) char *first = NULL;
        Item *item;
        size_t size;

        (void) state;
        assert_int_equal(ask(&alice, RELAY_JOB_CREATE, "one"), RELAY_DONE);
        item = store_find(alice.first);
        assert_non_null(item);
        first = TAKE_PTR(item->body);
        size = item->size;
        item_done(item);

        assert_int_equal(ask(&alice, RELAY_JOB_CREATE, "one"), RELAY_DONE);
        item = store_find(url_in_log(0));
        assert_non_null(item);
        assert_int_equal(item->size, size);
        assert_memory_equal(item->body, first, size);
}

static void r9_an_own_message_that_lies_there_already_is_done(void **state) {
        (void) state;
        assert_int_equal(ask(&alice, RELAY_JOB_CREATE, "one"), RELAY_DONE);
        assert_int_equal(ask(&alice, RELAY_JOB_CREATE, "one"), RELAY_DONE);
        assert_int_equal(store.n_log, 3);
        assert_log(1, "PUT", alice.first);
        assert_log(2, "GET", alice.first);
        assert_non_null(alice.link);
}

static void assert_aborted(Party *party, const char *reason) {
        size_t n = store.n_log;

        assert_string_equal(party->reason, reason);
        assert_int_equal(ask(party, RELAY_JOB_READ, NULL), RELAY_REFUSED);
        assert_string_equal(party->reason, "aborted");
        assert_int_equal(ask(party, RELAY_JOB_UPDATE, "x"), RELAY_REFUSED);
        assert_string_equal(party->reason, "aborted");
        assert_int_equal(ask(party, RELAY_JOB_ACKNOWLEDGE, NULL), RELAY_REFUSED);
        assert_int_equal(store.n_log, n);
}

static void r9_who_is_not_first_has_lost_the_race_for_good(void **state) {
        _cleanup_(freep) char *url = NULL;

        (void) state;
        invite();
        assert_int_equal(ask(&bob, RELAY_JOB_READ, NULL), RELAY_DONE);
        assert_int_equal(ask(&bob, RELAY_JOB_ACKNOWLEDGE, NULL), RELAY_DONE);
        store.fault = FAULT_LOST_REQUEST;
        store.fault_at = store.n_log;
        assert_int_equal(ask(&bob, RELAY_JOB_UPDATE, "two"), RELAY_AGAIN);
        url = strdup(url_in_log(store.n_log - 1));
        store_put(url, "somebody else's", 15);

        assert_int_equal(ask(&bob, RELAY_JOB_UPDATE, "two"), RELAY_REFUSED);
        assert_aborted(&bob, "abort-race-lost");
        assert_memory_equal(store_find(url)->body, "somebody else's", 15);
        assert_int_equal(ask(&bob, RELAY_JOB_DELETE, NULL), RELAY_DONE);
        assert_int_equal(store_size(), 0);
}

static void r9_another_text_under_the_same_state_is_a_lost_race_too(void **state) {
        (void) state;
        assert_int_equal(ask(&alice, RELAY_JOB_CREATE, "one"), RELAY_DONE);
        assert_int_equal(ask(&alice, RELAY_JOB_CREATE, "One"), RELAY_REFUSED);
        assert_string_equal(alice.reason, "abort-race-lost");
}

/* The peer takes a message whose PUT we repeat, as its new state was not stored. */
static void a_repeated_put_may_come_after_the_answer(void **state) {
        (void) state;
        invite();
        ask_until_done(&bob, RELAY_JOB_READ, NULL);
        hand_over(&bob, &alice, "two");

        store.fault = FAULT_CRASH;
        store.fault_at = store.n_operations;
        assert_int_equal(ask(&alice, RELAY_JOB_UPDATE, "three"), RELAY_AGAIN);
        ask_until_done(&bob, RELAY_JOB_READ, NULL);
        assert_string_equal(bob.content, "three");
        ask_until_done(&bob, RELAY_JOB_UPDATE, "four");
        assert_int_equal(store_size(), 1);

        ask_until_done(&alice, RELAY_JOB_UPDATE, "three");
        assert_int_equal(store_size(), 2);
        ask_until_done(&alice, RELAY_JOB_READ, NULL);
        assert_string_equal(alice.content, "four");
        ask_until_done(&alice, RELAY_JOB_ACKNOWLEDGE, NULL);
        assert_int_equal(store_size(), 0);
}

static void something_that_vanishes_between_put_and_get_is_tried_again(void **state) {
        _cleanup_(relay_job_freep) RelayJob *job = NULL;
        RelayJobTask task = task_of(&alice, RELAY_JOB_CREATE, "one");
        HttpRequest request;

        (void) state;
        assert_int_equal(relay_job_begin(relay_protocol_find("draft-r"),
                                         &alice.terms,
                                         &task,
                                         &job,
                                         &request),
                        RELAY_SEND);
        http_request_done(&request);
        assert_int_equal(relay_job_answer(job, &(HttpAnswer){ .status = 412 }, NOW, &request),
                        RELAY_SEND);
        assert_string_equal(request.method, "GET");
        http_request_done(&request);
        assert_int_equal(relay_job_answer(job, &(HttpAnswer){ .status = 404 }, NOW, &request), 0);
        assert_int_equal(relay_job_result(job)->outcome, RELAY_AGAIN);
        assert_string_equal(relay_job_result(job)->reason, "vanished");
}

/* The URL of the message that bob is about to answer with, and what he would write. */
static Item answer_of_bob(void) {
        Item item;

        invite();
        ask_until_done(&bob, RELAY_JOB_READ, NULL);
        ask_until_done(&bob, RELAY_JOB_UPDATE, "two");
        assert_int_equal(store_size(), 1);
        for (size_t i = 0;; i++)
                if (store.items[i].url) {
                        item = store.items[i];
                        store.items[i] = (Item){ NULL };
                        return item;
                }
}

/* Alice finds these octets where bob's answer belongs. */
static void assert_aborts(const Item *right, const void *body, size_t size, const char *reason) {
        store_put(right->url, body, size);
        assert_int_equal(ask(&alice, RELAY_JOB_READ, NULL), RELAY_REFUSED);
        assert_string_equal(alice.content, "");
        assert_aborted(&alice, reason);

        /* The right message comes too late. */
        store_put(right->url, right->body, right->size);
        assert_int_equal(ask(&alice, RELAY_JOB_READ, NULL), RELAY_REFUSED);
        assert_string_equal(alice.reason, "aborted");
        assert_int_equal(ask(&alice, RELAY_JOB_DELETE, NULL), RELAY_GONE);
        assert_int_equal(store_size(), 0);
}

static void r7_a_garbled_message_ends_the_run(void **state) {
        const size_t positions[] = { 0, 15, 16, 40, SIZE_MAX };

        for (size_t i = 0; i < N_ELEMENTS(positions); i++) {
                Item right = answer_of_bob();
                _cleanup_(freep) char *body = malloc(right.size);

                memcpy(body, right.body, right.size);
                body[positions[i] == SIZE_MAX ? right.size - 1 : positions[i]] ^= 1;
                assert_aborts(&right, body, right.size, "abort-auth");
                item_done(&right);
                end();
                setup(state);
        }
}

static void r7_a_message_of_another_size_ends_the_run(void **state) {
        _cleanup_(freep) char *large = calloc(1, DRAFT_R_BODY_MAX + 1);
        static const struct {
                int less;
                const char *reason;
        } cases[] = { { 1, "abort-auth" }, { 40, "abort-too-short" } };
        Item right;

        for (size_t i = 0; i < N_ELEMENTS(cases); i++) {
                right = answer_of_bob();
                assert_aborts(&right,
                                right.body,
                                right.size - (size_t) cases[i].less,
                                cases[i].reason);
                item_done(&right);
                end();
                setup(state);
        }
        right = answer_of_bob();
        assert_aborts(&right, "", 0, "abort-too-short");
        item_done(&right);
        end();
        setup(state);
        right = answer_of_bob();
        assert_aborts(&right, large, DRAFT_R_BODY_MAX + 1, "abort-too-large");
        item_done(&right);
}

static void r7_a_reflected_message_ends_the_run(void **state) {
        _cleanup_(item_done) Item own = { NULL };
        Item right;

        (void) state;
        assert_int_equal(ask(&alice, RELAY_JOB_CREATE, "one"), RELAY_DONE);
        own = (Item){ strdup(alice.first), malloc(store.items[0].size), store.items[0].size };
        memcpy(own.body, store.items[0].body, own.size);
        item_done(&store.items[0]);

        right = answer_of_bob();
        assert_aborts(&right, own.body, own.size, "abort-auth");
        item_done(&right);
}

static void r7_a_stale_message_ends_the_run(void **state) {
        _cleanup_(item_done) Item stale = answer_of_bob();
        Item right;

        (void) state;
        store_put(stale.url, stale.body, stale.size);
        ask_until_done(&alice, RELAY_JOB_READ, NULL);
        hand_over(&alice, &bob, "three");
        ask_until_done(&bob, RELAY_JOB_UPDATE, "four");
        assert_int_equal(store_size(), 1);
        for (size_t i = 0; i < ITEMS_MAX; i++)
                if (store.items[i].url) {
                        right = store.items[i];
                        store.items[i] = (Item){ NULL };
                }
        alice.content[0] = 0;
        assert_aborts(&right, stale.body, stale.size, "abort-auth");
        item_done(&right);
}

/* Who has the key and breaks the rules: bob, or whoever knows R and all that was said. */
static void seal_as_bob(const void *plaintext, size_t size, uint8_t **ret) {
        DraftRIdentity identity = identity_of(&alice);
        uint8_t nonce[DRAFT_R_NONCE_MAX] = { 9 };
        DraftRTranscript run;
        DraftRSlot slot;
        size_t body_size;

        assert_int_equal(
                        draft_r_transcript_open(alice.state, alice.state_size, &identity, &run), 0);
        assert_int_equal(draft_r_transcript_slot(&run, &slot), 0);
        assert_int_equal(draft_r_body_seal(run.suite,
                                         slot.key,
                                         nonce,
                                         plaintext,
                                         size,
                                         ret,
                                         &body_size),
                        0);
        assert_int_equal(body_size, draft_r_suite_nonce_size(run.suite) + size + DRAFT_R_TAG_SIZE);
}

static void r5_r6_r7_a_rule_that_is_broken_ends_the_run(void **state) {
#define SIXTEEN "\1\2\3\4\5\6\7\10\11\12\13\14\15\16\17\20"
        static const struct {
                const char *plaintext;
                size_t size;
                const char *reason;
        } cases[] = {
                { "\20" SIXTEEN "\0\0\0\0\0\1x", 24, "abort-message-id" },
                { "\20" SIXTEEN "\0\2\0\0\0\1x", 24, "abort-message-id" },
                { "\20" SIXTEEN "\0\3\0\0\0\1x", 24, "abort-message-id" },
                { "\20" SIXTEEN "\1\1\0\0\0\1x", 24, "abort-message-id" },
                { "\17\2\3\4\5\6\7\10\11\12\13\14\15\16\17\20\0\1\0\0\0\1x", 23, "abort-random" },
                { "\0\0\1\0\0\0\1x", 8, "abort-random" },
                { "\20" SIXTEEN "\0\1\0\0\0\1xy", 25, "abort-form" },
                { "\20" SIXTEEN "\0\1\0\0\0\2x", 24, "abort-form" },
                { "", 0, "abort-form" },
        };

        for (size_t i = 0; i < N_ELEMENTS(cases); i++) {
                Item right = answer_of_bob();
                _cleanup_(freep) uint8_t *body = NULL;

                seal_as_bob(cases[i].plaintext, cases[i].size, &body);
                assert_aborts(&right,
                                body,
                                draft_r_suite_nonce_size(alice.terms.suite) + cases[i].size +
                                                DRAFT_R_TAG_SIZE,
                                cases[i].reason);
                item_done(&right);
                end();
                setup(state);
        }

        /* The same way, with nothing broken. */
        {
                Item right = answer_of_bob();
                _cleanup_(freep) uint8_t *body = NULL;

                seal_as_bob("\20" SIXTEEN "\0\1\0\0\0\1x", 24, &body);
                store_put(right.url, body, 16 + 24 + DRAFT_R_TAG_SIZE);
                ask_until_done(&alice, RELAY_JOB_READ, NULL);
                assert_string_equal(alice.content, "x");
                item_done(&right);
        }
#undef SIXTEEN
}

static void r5_who_has_no_turn_sends_nothing(void **state) {
        size_t n;

        (void) state;
        invite();
        n = store.n_log;
        assert_int_equal(ask(&alice, RELAY_JOB_UPDATE, "two"), RELAY_REFUSED);
        assert_string_equal(alice.reason, "out-of-turn");
        assert_int_equal(store.n_log, n);

        ask_until_done(&bob, RELAY_JOB_READ, NULL);
        n = store.n_log;
        bob.content[0] = 0;
        assert_int_equal(ask(&bob, RELAY_JOB_READ, NULL), RELAY_DONE);
        assert_string_equal(bob.content, "");
        assert_int_equal(store.n_log, n);
}

static void what_is_not_there_yet_is_nothing_new(void **state) {
        (void) state;
        invite();
        for (int i = 0; i < 3; i++) {
                assert_int_equal(ask(&alice, RELAY_JOB_READ, NULL), RELAY_DONE);
                assert_string_equal(alice.content, "");
        }
        ask_until_done(&bob, RELAY_JOB_READ, NULL);
        ask_until_done(&bob, RELAY_JOB_UPDATE, "two");
        ask_until_done(&alice, RELAY_JOB_READ, NULL);
        assert_string_equal(alice.content, "two");
}

static void a_message_that_nobody_took_yet_stays(void **state) {
        (void) state;
        invite();
        ask_until_done(&bob, RELAY_JOB_READ, NULL);
        ask_until_done(&bob, RELAY_JOB_UPDATE, "two");
        bob.content[0] = 0;
        assert_int_equal(ask(&bob, RELAY_JOB_READ, NULL), RELAY_DONE);
        assert_string_equal(bob.content, "");
        assert_int_equal(ask(&bob, RELAY_JOB_ACKNOWLEDGE, NULL), RELAY_DONE);
        assert_int_equal(store_size(), 1);
        ask_until_done(&alice, RELAY_JOB_READ, NULL);
        assert_string_equal(alice.content, "two");
}

static void the_sender_can_cancel_at_any_time(void **state) {
        (void) state;
        invite();
        assert_int_equal(ask(&alice, RELAY_JOB_DELETE, NULL), RELAY_DONE);
        assert_int_equal(store_size(), 0);
        assert_int_equal(ask(&alice, RELAY_JOB_DELETE, NULL), RELAY_GONE);
        assert_int_equal(ask(&bob, RELAY_JOB_READ, NULL), RELAY_DONE);
        assert_string_equal(bob.content, "");
        end();

        /* With an answer unread, and one that was read. */
        setup(state);
        invite();
        ask_until_done(&bob, RELAY_JOB_READ, NULL);
        ask_until_done(&bob, RELAY_JOB_UPDATE, "two");
        assert_int_equal(ask(&alice, RELAY_JOB_DELETE, NULL), RELAY_GONE);
        assert_int_equal(store_size(), 0);
        end();

        setup(state);
        invite();
        ask_until_done(&bob, RELAY_JOB_READ, NULL);
        hand_over(&bob, &alice, "two");
        assert_int_equal(store_size(), 1);
        assert_int_equal(ask(&alice, RELAY_JOB_DELETE, NULL), RELAY_GONE);
        assert_int_equal(store_size(), 0);
}

/* Its URL follows from who we are, whatever the settings have become since. */
static void a_share_of_one_message_needs_its_mailbox_only(void **state) {
        for (DraftRSuite suite = 0; suite < _DRAFT_R_SUITE_MAX; suite++)
                for (DraftRContextMode mode = 0; mode < _DRAFT_R_CONTEXT_MODE_MAX; mode++) {
                        RelayJobTask look, delete;

                        end();
                        begin(suite, mode);
                        invite();
                        assert_string_equal(alice.mailbox, "https://drop.example/t/");
                        assert_int_equal(strncmp(alice.link, alice.mailbox, strlen(alice.mailbox)),
                                        0);
                        assert_int_equal(alice.link[strlen(alice.mailbox)], '#');
                        look = task_of(&alice, RELAY_JOB_LOOK, NULL);
                        delete = task_of(&alice, RELAY_JOB_DELETE, NULL);
                        look.state = delete.state = NULL;
                        look.mailbox = delete.mailbox = alice.mailbox;
                        assert_int_equal(ask_task(&alice, &look), RELAY_DONE);
                        assert_log(1, "GET", alice.first);
                        alice.terms.suite = DRAFT_R_AES_256_GCM_SHA384;
                        alice.terms.mode = !mode;
                        alice.terms.template = "https://drop.example/other/{tigress_location}";
                        assert_int_equal(ask_task(&alice, &look), RELAY_DONE);

                        ask_until_done(&bob, RELAY_JOB_READ, NULL);
                        ask_until_done(&bob, RELAY_JOB_ACKNOWLEDGE, NULL);
                        assert_int_equal(ask_task(&alice, &look), RELAY_GONE);
                        assert_int_equal(ask_task(&alice, &delete), RELAY_GONE);

                        alice.terms = bob.terms;
                        assert_int_equal(ask(&alice, RELAY_JOB_CREATE, "one"), RELAY_DONE);
                        delete.mailbox = alice.mailbox;
                        alice.terms.suite = DRAFT_R_AES_128_GCM_SHA256;
                        alice.terms.mode = !mode;
                        assert_int_equal(ask_task(&alice, &delete), RELAY_DONE);
                        assert_int_equal(store_size(), 0);
                }
        end();
        (void) setup(state);
}

static void a_mailbox_that_is_none_of_this_relay_is_not_asked(void **state) {
        static const char *const bad[] = {
                "http://drop.example/t/",
                "https://other.example/t/",
                "https://drop.example/t/#y",
                "https://drop.example/t/{x}",
                "https://user@drop.example/t/",
                "https://drop.example",
                "",
        };

        (void) state;
        invite();
        for (size_t i = 0; i < N_ELEMENTS(bad); i++) {
                RelayJobTask look = task_of(&alice, RELAY_JOB_LOOK, NULL);

                look.state = NULL;
                look.mailbox = bad[i];
                assert_int_equal(ask_task(&alice, &look), RELAY_REFUSED);
                assert_string_equal(alice.reason, "bad-mailbox");
        }
        assert_int_equal(store.n_log, 1);
}

static void a_look_sees_whether_our_last_message_was_taken(void **state) {
        (void) state;
        invite();
        assert_int_equal(ask(&alice, RELAY_JOB_LOOK, NULL), RELAY_DONE);
        assert_log(1, "GET", alice.first);
        ask_until_done(&bob, RELAY_JOB_READ, NULL);
        assert_int_equal(ask(&alice, RELAY_JOB_LOOK, NULL), RELAY_DONE);
        ask_until_done(&bob, RELAY_JOB_ACKNOWLEDGE, NULL);
        assert_int_equal(ask(&alice, RELAY_JOB_LOOK, NULL), RELAY_GONE);

        hand_over(&bob, &alice, "two"); /* our turn: there is nothing of ours to look for */
        store.n_log = 0;
        assert_int_equal(ask(&alice, RELAY_JOB_LOOK, NULL), RELAY_DONE);
        assert_int_equal(store.n_log, 0);
}

static void a_message_of_another_number_is_neither_read_nor_written(void **state) {
        RelayJobTask task;

        (void) state;
        invite();
        ask_until_done(&bob, RELAY_JOB_READ, NULL);
        ask_until_done(&bob, RELAY_JOB_UPDATE, "two");
        store.n_log = 0;
        task = task_of(&alice, RELAY_JOB_READ, NULL);
        task.number = 3;
        assert_int_equal(ask_task(&alice, &task), RELAY_REFUSED);
        assert_string_equal(alice.reason, "out-of-turn");
        assert_int_equal(store.n_log, 0);
        task.number = 1;
        assert_int_equal(ask_task(&alice, &task), RELAY_DONE);
        assert_string_equal(alice.content, "two");

        store.n_log = 0;
        task = task_of(&alice, RELAY_JOB_UPDATE, "three");
        task.number = 4;
        assert_int_equal(ask_task(&alice, &task), RELAY_REFUSED);
        assert_string_equal(alice.reason, "out-of-turn");
        assert_int_equal(store.n_log, 0);
        task.number = 2;
        assert_int_equal(ask_task(&alice, &task), RELAY_DONE);
}

/* Of the octets on the wire, so that both sides of a relay can say the same of them. */
static void what_was_put_and_got_has_a_digest(void **state) {
        const RelayProtocol *protocol = relay_protocol_find("draft-r");
        uint8_t digests[2][PAYLOAD_DIGEST_SIZE];
        Party *parties[2] = { &alice, &bob };

        (void) state;
        for (size_t i = 0; i < 2; i++) {
                _cleanup_(relay_job_freep) RelayJob *job = NULL;
                HttpRequest request = HTTP_REQUEST_NULL;
                HttpAnswer answer;
                RelayJobTask task = task_of(parties[i],
                                i == 0 ? RELAY_JOB_CREATE : RELAY_JOB_READ,
                                i == 0 ? "one" : NULL);

                assert_int_equal(relay_job_begin(protocol,
                                                 &parties[i]->terms,
                                                 &task,
                                                 &job,
                                                 &request),
                                RELAY_SEND);
                answer = store_answer(&request);
                http_request_done(&request);
                assert_int_equal(relay_job_answer(job, &answer, NOW, &request), 0);
                assert_true(relay_job_result(job)->has_digest);
                memcpy(digests[i], relay_job_result(job)->digest, PAYLOAD_DIGEST_SIZE);
                if (i == 0) {
                        payload_digest(store.items[0].body, store.items[0].size, digests[1]);
                        assert_memory_equal(digests[0], digests[1], PAYLOAD_DIGEST_SIZE);
                        bob.link = strdup(relay_job_result(job)->link);
                }
        }
        assert_memory_equal(digests[0], digests[1], PAYLOAD_DIGEST_SIZE);
}

static void every_status_has_its_meaning(void **state) {
        static const struct {
                int status;
                RelayOutcome create, read;
        } cases[] = {
                /* clang-format off */
                { 200, RELAY_DONE, RELAY_REFUSED }, /* an empty message is none */
                { 201, RELAY_DONE, RELAY_REFUSED },
                { 202, RELAY_REFUSED, RELAY_REFUSED },
                { 204, RELAY_DONE, RELAY_REFUSED },
                { 206, RELAY_REFUSED, RELAY_REFUSED },
                { 301, RELAY_REFUSED, RELAY_REFUSED },
                { 307, RELAY_REFUSED, RELAY_REFUSED },
                { 400, RELAY_REFUSED, RELAY_REFUSED },
                { 401, RELAY_UNAUTHORISED, RELAY_UNAUTHORISED },
                { 403, RELAY_UNAUTHORISED, RELAY_UNAUTHORISED },
                { 404, RELAY_REFUSED, RELAY_DONE },
                { 405, RELAY_REFUSED, RELAY_REFUSED },
                { 408, RELAY_AGAIN, RELAY_AGAIN },
                { 410, RELAY_REFUSED, RELAY_GONE },
                { 413, RELAY_REFUSED, RELAY_REFUSED },
                { 425, RELAY_AGAIN, RELAY_AGAIN },
                { 429, RELAY_AGAIN, RELAY_AGAIN },
                { 500, RELAY_AGAIN, RELAY_AGAIN },
                { 501, RELAY_REFUSED, RELAY_REFUSED },
                { 502, RELAY_AGAIN, RELAY_AGAIN },
                { 503, RELAY_AGAIN, RELAY_AGAIN },
                { 504, RELAY_AGAIN, RELAY_AGAIN },
                { 507, RELAY_AGAIN, RELAY_AGAIN },
                /* clang-format on */
        };

        for (size_t i = 0; i < N_ELEMENTS(cases); i++) {
                print_message("# %d\n", cases[i].status);
                store.status = cases[i].status;
                assert_int_equal(ask(&alice, RELAY_JOB_CREATE, "one"), cases[i].create);
                store.status = 0;
                end();
                setup(state);
                invite();
                store.status = cases[i].status;
                assert_int_equal(ask(&bob, RELAY_JOB_READ, NULL), cases[i].read);
                assert_string_equal(bob.content, "");
                end();
                setup(state);
        }
}

static void retry_after_is_heard_and_bounded(void **state) {
        static const struct {
                const char *headers;
                unsigned seconds;
        } cases[] = {
                { "Retry-After: 17\r\n", 17 },
                { "X: y\r\nretry-after:  17 \r\n", 17 },
                { "Retry-After: 999999999999\r\n", 3600 },
                { "Retry-After: Sat, 21 Nov 2026 12:01:00 GMT\r\n", 60 },
                { "Retry-After: Sat, 21 Nov 2026 11:01:00 GMT\r\n", 0 },
                { "Retry-After: soon\r\n", 0 },
                { "", 0 },
        };

        (void) state;
        store.status = 429;
        for (size_t i = 0; i < N_ELEMENTS(cases); i++) {
                store.headers = cases[i].headers;
                assert_int_equal(ask(&alice, RELAY_JOB_CREATE, "one"), RELAY_AGAIN);
                assert_int_equal(alice.retry_after, cases[i].seconds);
        }
}

static void only_relays_that_are_allowed_are_asked(void **state) {
        static const char *const others[] = { "drop.example:8443", "other.example", NULL };

        (void) state;
        invite();
        alice.terms.hosts = bob.terms.hosts = others;
        assert_int_equal(ask(&bob, RELAY_JOB_READ, NULL), RELAY_REFUSED);
        assert_string_equal(bob.reason, "host-not-allowed");
        assert_int_equal(ask(&alice, RELAY_JOB_READ, NULL), RELAY_REFUSED);
        assert_int_equal(ask(&alice, RELAY_JOB_DELETE, NULL), RELAY_REFUSED);
        assert_int_equal(ask(&alice, RELAY_JOB_CREATE, "one"), RELAY_REFUSED);
        assert_string_equal(alice.reason, "host-not-allowed");
        assert_int_equal(store.n_log, 1);
}

static void a_state_of_another_run_or_key_is_refused(void **state) {
        RelayJobTask task;

        (void) state;
        invite();
        task = task_of(&alice, RELAY_JOB_READ, NULL);
        task.identity.generation++;
        assert_int_equal(ask_task(&alice, &task), RELAY_REFUSED);
        assert_string_equal(alice.reason, "state");
        task = task_of(&alice, RELAY_JOB_READ, NULL);
        task.identity.share = "shr_01jd8z0q3t5v7x9b1d3f5h7k9n";
        assert_int_equal(ask_task(&alice, &task), RELAY_REFUSED);
        task = task_of(&alice, RELAY_JOB_READ, NULL);
        task.identity.root = bob.root;
        assert_int_equal(ask_task(&alice, &task), RELAY_REFUSED);
        assert_string_equal(alice.reason, "state");
        assert_int_equal(store.n_log, 1);
}

static void what_draft_r_has_not_is_refused_without_a_request(void **state) {
        _cleanup_(freep) char *large = malloc(DRAFT_R_MESSAGE_MAX + 2);

        (void) state;
        memset(large, 'x', DRAFT_R_MESSAGE_MAX + 1);
        large[DRAFT_R_MESSAGE_MAX + 1] = 0;
        assert_int_equal(ask(&alice, RELAY_JOB_RELINQUISH, NULL), RELAY_REFUSED);
        assert_string_equal(alice.reason, "unsupported");
        assert_int_equal(ask(&alice, RELAY_JOB_CREATE, large), RELAY_REFUSED);
        assert_string_equal(alice.reason, "too-large");
        assert_int_equal(ask(&alice, RELAY_JOB_UPDATE, "x"), RELAY_REFUSED);
        assert_string_equal(alice.reason, "state");
        assert_int_equal(store.n_log, 0);
}

static void r3_a_literal_context_that_is_full_ends_the_run(void **state) {
        char text[120];

        memset(text, 'x', sizeof(text) - 1);
        text[sizeof(text) - 1] = 0;
        end();
        begin(DRAFT_R_AES_128_GCM_SHA256, DRAFT_R_CONTEXT_RAW);
        invite();
        ask_until_done(&bob, RELAY_JOB_READ, NULL);
        hand_over(&bob, &alice, text);
        ask_until_done(&alice, RELAY_JOB_UPDATE, text);
        assert_int_equal(ask(&bob, RELAY_JOB_READ, NULL), RELAY_DONE);
        assert_string_equal(bob.content, text);
        assert_int_equal(ask(&bob, RELAY_JOB_UPDATE, "x"), RELAY_REFUSED);
        assert_string_equal(bob.reason, "context-too-long");
        (void) state;
}

static void the_link_carries_the_run_and_only_in_its_fragment(void **state) {
        DraftRLink link;

        (void) state;
        invite();
        assert_int_equal(strncmp(alice.link, "https://drop.example/t/#R1.1301.", 32), 0);
        assert_int_equal(draft_r_link_parse(alice.link, &link), 0);
        assert_string_equal(link.template, TEMPLATE);
        assert_int_equal(link.secret_size, 32);
}

int main(void) {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
        static const struct CMUnitTest tests[] = {
                TEST(a_conversation_leaves_nothing_behind),
                TEST(r11_whatever_is_lost_the_conversation_ends_the_same),
                TEST(r4_a_message_is_deleted_before_the_next_is_put),
                TEST(r4_a_delete_that_fails_holds_the_next_message_back),
                TEST(r11_a_read_ends_before_anything_is_deleted),
                TEST(r11_a_repeated_put_carries_the_same_octets),
                TEST(r9_an_own_message_that_lies_there_already_is_done),
                TEST(r9_who_is_not_first_has_lost_the_race_for_good),
                TEST(r9_another_text_under_the_same_state_is_a_lost_race_too),
                TEST(a_repeated_put_may_come_after_the_answer),
                TEST(something_that_vanishes_between_put_and_get_is_tried_again),
                TEST(r7_a_garbled_message_ends_the_run),
                TEST(r7_a_message_of_another_size_ends_the_run),
                TEST(r7_a_reflected_message_ends_the_run),
                TEST(r7_a_stale_message_ends_the_run),
                TEST(r5_r6_r7_a_rule_that_is_broken_ends_the_run),
                TEST(r5_who_has_no_turn_sends_nothing),
                TEST(what_is_not_there_yet_is_nothing_new),
                TEST(a_message_that_nobody_took_yet_stays),
                TEST(the_sender_can_cancel_at_any_time),
                TEST(a_share_of_one_message_needs_its_mailbox_only),
                TEST(a_mailbox_that_is_none_of_this_relay_is_not_asked),
                TEST(a_look_sees_whether_our_last_message_was_taken),
                TEST(a_message_of_another_number_is_neither_read_nor_written),
                TEST(what_was_put_and_got_has_a_digest),
                TEST(every_status_has_its_meaning),
                TEST(retry_after_is_heard_and_bounded),
                TEST(only_relays_that_are_allowed_are_asked),
                TEST(a_state_of_another_run_or_key_is_refused),
                TEST(what_draft_r_has_not_is_refused_without_a_request),
                TEST(r3_a_literal_context_that_is_full_ends_the_run),
                TEST(the_link_carries_the_run_and_only_in_its_fragment),
        };

        if (secret_init() < 0)
                return 99;
        return cmocka_run_group_tests(tests, NULL, NULL);
}

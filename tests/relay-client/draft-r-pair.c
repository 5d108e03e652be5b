#include "draft-r-pair.h"

#include <stdio.h>

static const char *const hosts[] = { "drop.example", NULL };

Store store;
Party alice, bob;

void item_done(Item *item) {
        free(item->url);
        free(item->body);
        *item = (Item){ NULL };
}

Item *store_find(const char *url) {
        for (size_t i = 0; i < ITEMS_MAX; i++)
                if (store.items[i].url && strcmp(store.items[i].url, url) == 0)
                        return &store.items[i];
        return NULL;
}

void store_put(const char *url, const void *body, size_t size) {
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

size_t store_size(void) {
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

HttpAnswer store_answer(const HttpRequest *request) {
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
        if (store.headers) {
                answer.headers = store.headers;
                answer.headers_size = strlen(store.headers);
        }
        if (faulty)
                return (HttpAnswer){ .status = 0, .failure = "connection-closed" };
        return answer;
}

DraftRIdentity pair_identity(const Party *party) {
        return (DraftRIdentity){
                .root = party->root,
                .kid = party->name,
                .share = "shr_01jd8z0q3t5v7x9b1d3f5h7k9m",
                .generation = 3,
        };
}

static const char *pair_url_last_put(void) {
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
                assert_true(strlen(pair_url_last_put()) < sizeof(party->first));
                (void) strcpy(party->first, pair_url_last_put());
        }
        if (result->has_content) {
                assert_true(result->content_size < sizeof(party->content));
                memcpy(party->content, result->content, result->content_size);
                party->content[result->content_size] = 0;
        }
}

RelayOutcome pair_ask_task(Party *party, const RelayJobTask *task) {
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

RelayJobTask pair_task(const Party *party, RelayJobOperation operation, const char *content) {
        return (RelayJobTask){
                .operation = operation,
                .identity = pair_identity(party),
                .content = content,
                .content_size = content ? strlen(content) : 0,
                .state = operation == RELAY_JOB_CREATE ? NULL : party->state,
                .state_size = operation == RELAY_JOB_CREATE ? 0 : party->state_size,
                .link = operation == RELAY_JOB_READ && !party->state ? party->link : NULL,
        };
}

RelayOutcome pair_ask(Party *party, RelayJobOperation operation, const char *content) {
        RelayJobTask task = pair_task(party, operation, content);

        return pair_ask_task(party, &task);
}

void pair_ask_until_done(Party *party, RelayJobOperation operation, const char *content) {
        for (int i = 0; i < TRIES_MAX; i++) {
                RelayOutcome outcome;

                party->content[0] = 0;
                outcome = pair_ask(party, operation, content);
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

void pair_begin(DraftRSuite suite, DraftRContextMode mode) {
        party_init(&alice, "alice", suite, mode);
        party_init(&bob, "bob", suite, mode);
}

void pair_end(void) {
        party_done(&alice);
        party_done(&bob);
        for (size_t i = 0; i < ITEMS_MAX; i++)
                item_done(&store.items[i]);
        store = (Store){ .fault = FAULT_NONE };
}

int pair_setup(void **state) {
        (void) state;
        pair_begin(DRAFT_R_AES_128_GCM_SHA256, DRAFT_R_CONTEXT_HASH);
        return 0;
}

int pair_teardown(void **state) {
        (void) state;
        pair_end();
        return 0;
}

void pair_invite(void) {
        pair_ask_until_done(&alice, RELAY_JOB_CREATE, "one");
        bob.link = strdup(alice.link);
}

void pair_hand_over(Party *from, Party *to, const char *content) {
        pair_ask_until_done(from, RELAY_JOB_UPDATE, content);
        pair_ask_until_done(to, RELAY_JOB_READ, NULL);
        assert_string_equal(to->content, content);
}

void pair_converse(void) {
        pair_invite();
        pair_ask_until_done(&bob, RELAY_JOB_READ, NULL);
        assert_string_equal(bob.content, "one");
        pair_hand_over(&bob, &alice, "two");
        pair_hand_over(&alice, &bob, "three");
        pair_hand_over(&bob, &alice, "");
        pair_ask_until_done(&alice, RELAY_JOB_ACKNOWLEDGE, NULL);
}

void pair_assert_log(size_t i, const char *method, const char *url) {
        char expected[512];

        (void) snprintf(expected, sizeof(expected), "%s %s", method, url);
        assert_true(i < store.n_log);
        assert_string_equal(store.log[i], expected);
}

const char *pair_url_in_log(size_t i) {
        return strchr(store.log[i], ' ') + 1;
}

void pair_assert_aborted(Party *party, const char *reason) {
        size_t n = store.n_log;

        assert_string_equal(party->reason, reason);
        assert_int_equal(pair_ask(party, RELAY_JOB_READ, NULL), RELAY_REFUSED);
        assert_string_equal(party->reason, "aborted");
        assert_int_equal(pair_ask(party, RELAY_JOB_UPDATE, "x"), RELAY_REFUSED);
        assert_string_equal(party->reason, "aborted");
        assert_int_equal(pair_ask(party, RELAY_JOB_ACKNOWLEDGE, NULL), RELAY_REFUSED);
        assert_int_equal(store.n_log, n);
}

/* Operations of Draft R at a relay that is hostile: the first octet chooses the operation, then
 * each answer is an octet for its status, two for the size of what follows, and that, as headers
 * and body both. However it answers, an operation ends, and asks only where it should. */
#include <assert.h>
#include <stdint.h>
#include <string.h>

#include "cleanup.h"
#include "relay.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum {
        REQUESTS_MAX = 6,
};

static const char *const hosts[] = { "drop.example", NULL };
static const uint8_t root[32] = { 1 };
static const RelayTerms terms = {
        .hosts = hosts,
        .template = "https://drop.example/t/{tigress_location}",
};

static HttpAnswer next_answer(const uint8_t **data, size_t *size) {
        static const int statuses[] = { 0,
                200,
                200,
                201,
                202,
                204,
                206,
                301,
                400,
                401,
                403,
                404,
                405,
                410,
                412,
                429,
                500,
                503 };
        HttpAnswer answer = { .failure = "timeout" };
        size_t n;

        if (*size < 3)
                return answer;
        answer.status = statuses[(*data)[0] % N_ELEMENTS(statuses)];
        n = (size_t) (*data)[1] << 8 | (*data)[2];
        *data += 3;
        *size -= 3;
        if (n > *size)
                n = *size;
        answer.headers = answer.body = (const char *) *data;
        answer.headers_size = answer.body_size = n;
        *data += n;
        *size -= n;
        return answer;
}

static void check_request(const HttpRequest *request) {
        const char *method = request->method;

        assert(strncmp(request->url, "https://drop.example/t/", 23) == 0);
        assert(strlen(request->url) == 23 + 43);
        assert(streq(method, "PUT") || streq(method, "GET") || streq(method, "DELETE"));
        assert(streq(method, "PUT") == (request->body != NULL));
}

static void check_result(const RelayResult *result) {
        assert(result->outcome < _RELAY_OUTCOME_MAX);
        assert((result->outcome == RELAY_DONE) == !result->reason[0]);
        assert(result->outcome != RELAY_AGAIN || !result->state);
        assert(!result->has_content || (result->outcome == RELAY_DONE && result->state));
}

static void run(const RelayJobTask *task,
                const uint8_t **data,
                size_t *size,
                uint8_t **ret_state,
                size_t *ret_size) {
        _cleanup_(relay_job_freep) RelayJob *job = NULL;
        const RelayResult *result;
        HttpRequest request;
        size_t n = 0;
        int r;

        r = relay_job_begin(relay_protocol_find("draft-r"), &terms, task, &job, &request);
        while (r == RELAY_SEND) {
                HttpAnswer answer = next_answer(data, size);

                assert(++n <= REQUESTS_MAX);
                check_request(&request);
                http_request_done(&request);
                r = relay_job_answer(job, &answer, 1795262400, &request);
        }
        assert(r == 0);
        result = relay_job_result(job);
        check_result(result);
        if (!result->state)
                return;
        free(*ret_state);
        *ret_state = malloc(result->state_size);
        assert(*ret_state);
        memcpy(*ret_state, result->state, result->state_size);
        *ret_size = result->state_size;
}

/* A first message by us or a first one to be read, then whatever the octets say. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        static const char link[] = "https://drop.example/t/"
                                   "#R1.1303.AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";
        _cleanup_(freep) uint8_t *state = NULL;
        size_t state_size = 0;
        RelayJobTask task = {
                .identity = { .root = root, .kid = "k", .share = "s" },
                .content = "content",
                .content_size = 7,
        };

        for (int i = 0; i < 8 && size > 0; i++) {
                task.operation = (RelayJobOperation) (data[0] % _RELAY_JOB_OPERATION_MAX);
                task.link = data[0] & 0x80 ? link : NULL;
                data++;
                size--;
                task.state = state;
                task.state_size = state_size;
                run(&task, &data, &size, &state, &state_size);
        }
        return 0;
}

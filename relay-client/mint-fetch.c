#include "mint-fetch.h"

#include <errno.h>
#include <stdio.h>

#include "http-client.h"
#include "log.h"
#include "mint.h"
#include "time-text.h"

typedef struct Job Job;
struct Job {
        MintFetch *fetch;
        Job *next;
        int64_t id;
        Mint mint;
};

struct MintFetch {
        HttpClient *http;
        const RelayPrivateKeys *keys;
        MintFetchAnswer answer;
        void *userdata;
        Job *jobs;
        char reason[MINT_REASON_SIZE]; /* of the last one that has to be repeated, or empty */
};

static Job *job_free(Job *job) {
        if (!job)
                return NULL;
        mint_done(&job->mint);
        free(job);
        return NULL;
}
DEFINE_CLEANUP(Job, job_free)

static void job_forget(Job *job) {
        Job **slot = &job->fetch->jobs;

        while (*slot != job)
                slot = &(*slot)->next;
        *slot = job->next;
        job->next = NULL;
}

static void answer_refused(MintFetch *fetch, int64_t id, const char *reason) {
        fetch->answer(id,
                        json_pack("{s:s, s:s}", "type", "refused", "reason", reason),
                        fetch->userdata);
}

static void answer_again(MintFetch *fetch, int64_t id, const char *reason, unsigned retry_after) {
        json_t *frame = json_pack("{s:s, s:s}", "type", "again", "reason", reason);

        if (frame && retry_after > 0)
                (void) json_object_set_new(frame, "retry_after", json_integer(retry_after));
        fetch->answer(id, frame, fetch->userdata);
}

/* At each change of the reason, not at each try. */
static void tell_again(MintFetch *fetch, const Mint *mint, const char *reason) {
        if (streq(fetch->reason, reason))
                return;
        (void) snprintf(fetch->reason, sizeof(fetch->reason), "%s", reason);
        log_warning("tenant %s does not issue for the moment: %s", mint->binding.tenant, reason);
}

static void answer_done(MintFetch *fetch, const Job *job, const json_t *provisioning) {
        _cleanup_(freep) char *box = NULL;
        const char *kid;
        int r;

        r = mint_seal(&job->mint, provisioning, fetch->keys, time_wall(), &kid, &box);
        if (r == -ENOKEY) {
                tell_again(fetch, &job->mint, "key-expired");
                answer_again(fetch, job->id, "key-expired", 0);
                return;
        }
        if (r < 0) {
                answer_again(fetch, job->id, "no-memory", 1);
                return;
        }
        fetch->reason[0] = 0;
        fetch->answer(job->id,
                        json_pack("{s:s, s:s, s:s}", "type", "done", "kid", kid, "box", box),
                        fetch->userdata);
}

static void on_http_done(const HttpAnswer *http, void *userdata) {
        _cleanup_(mint_answer_done) MintAnswer from_tenant = { .outcome = MINT_AGAIN };
        _cleanup_(job_freep) Job *job = userdata;
        MintFetch *fetch = job->fetch;

        job_forget(job);
        if (mint_answer_read(http, time_wall(), &from_tenant) < 0) {
                answer_again(fetch, job->id, "no-memory", 1);
                return;
        }
        switch (from_tenant.outcome) {
        case MINT_DONE:
                answer_done(fetch, job, from_tenant.provisioning);
                return;
        case MINT_AGAIN:
                tell_again(fetch, &job->mint, from_tenant.reason);
                answer_again(fetch, job->id, from_tenant.reason, from_tenant.retry_after);
                return;
        case MINT_REFUSED:
                log_record(LOG_WARNING,
                                &(LogFields){ .share = job->mint.share },
                                "tenant %s did not issue, which ends a share: %s",
                                job->mint.binding.tenant,
                                from_tenant.reason);
                answer_refused(fetch, job->id, from_tenant.reason);
                return;
        }
}

static bool has_room(const MintFetch *fetch, const char *tenant) {
        unsigned n = 0, n_of_tenant = 0;

        for (const Job *job = fetch->jobs; job; job = job->next) {
                n++;
                n_of_tenant += streq(job->mint.binding.tenant, tenant) ? 1 : 0;
        }
        return n < MINT_FETCH_MAX && n_of_tenant < MINT_FETCH_PER_TENANT_MAX;
}

static int job_send(MintFetch *fetch, Job *job) {
        _cleanup_(http_request_done) HttpRequest request = HTTP_REQUEST_NULL;
        int r;

        r = mint_request(&job->mint, fetch->keys->signing_seed, time_wall(), &request);
        if (r < 0)
                return r;
        request.party = job->mint.binding.tenant;
        r = http_client_send(fetch->http, &request, on_http_done, job);
        if (r < 0)
                return r;
        job->next = fetch->jobs;
        fetch->jobs = job;
        return 0;
}

void mint_fetch_ask(MintFetch *fetch, int64_t id, const json_t *frame) {
        _cleanup_(job_freep) Job *job = calloc(1, sizeof(*job));
        const char *reason;
        int r;

        r = job ? mint_read(frame, time_wall(), &job->mint, &reason) : -ENOMEM;
        if (r == MINT_E_REFUSED) {
                log_record(LOG_WARNING,
                                &(LogFields){ .share = json_string_value(
                                                              json_object_get(frame, "share")) },
                                "a mint was refused before the tenant was asked: %s",
                                reason);
                answer_refused(fetch, id, reason);
                return;
        }
        if (r == 0 && !has_room(fetch, job->mint.binding.tenant)) {
                answer_again(fetch, id, "too-many", 1);
                return;
        }
        if (r == 0) {
                job->fetch = fetch;
                job->id = id;
                r = job_send(fetch, job);
        }
        if (r < 0) {
                answer_again(fetch, id, "no-memory", 1);
                return;
        }
        TAKE_PTR(job);
}

int mint_fetch_new(MintFetch **ret, sd_event *event, const MintFetchOptions *options) {
        _cleanup_(mint_fetch_freep) MintFetch *fetch = calloc(1, sizeof(*fetch));
        int r;

        if (!fetch)
                return -ENOMEM;
        fetch->keys = options->keys;
        fetch->answer = options->answer;
        fetch->userdata = options->userdata;
        r = http_client_new(&fetch->http,
                        event,
                        &(HttpPolicy){
                                        .ca_file = options->ca_file,
                                        .user_agent = "vestibule",
                                        .answer_max = MINT_ANSWER_MAX,
                                        .public_only = !options->allow_private,
                                        .wipe_answers = true,
                        });
        if (r < 0)
                return r;
        if (options->allow_private)
                log_warning("mint_allow_private is set: what a tenant's URL leads to may be any "
                            "machine behind this one; this is for tests only");

        *ret = TAKE_PTR(fetch);
        return 0;
}

MintFetch *mint_fetch_free(MintFetch *fetch) {
        if (!fetch)
                return NULL;
        (void) http_client_free(fetch->http);
        while (fetch->jobs) {
                Job *job = fetch->jobs;

                fetch->jobs = job->next;
                (void) job_free(job);
        }
        free(fetch);
        return NULL;
}

#include "relay.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <strings.h>

#include "relay-job.h"

const RelayProtocol *relay_protocol_find(const char *name) {
        static const RelayProtocol *const protocols[] = { &relay_draft_v, &relay_draft_r };

        for (size_t i = 0; i < N_ELEMENTS(protocols); i++)
                if (streq(protocols[i]->name, name))
                        return protocols[i];
        return NULL;
}

int relay_job_begin(const RelayProtocol *protocol,
                const RelayTerms *terms,
                const RelayJobTask *task,
                RelayJob **ret,
                HttpRequest *ret_request) {
        _cleanup_(relay_job_freep) RelayJob *job = calloc(1, sizeof(*job));
        int r;

        if (!job)
                return -ENOMEM;
        job->protocol = protocol;
        job->terms = terms;
        job->operation = task->operation;
        job->result.reachable = true;
        job->own = calloc(1, protocol->own_size);
        if (!job->own)
                return -ENOMEM;
        r = protocol->begin(job, task, ret_request);
        if (r >= 0)
                *ret = TAKE_PTR(job);
        return r;
}

int relay_job_answer(
                RelayJob *job, const HttpAnswer *answer, int64_t now, HttpRequest *ret_request) {
        int r;

        job->result.reachable = answer->status != 0 || answer->answered;
        r = job->protocol->answer(job, answer, now, ret_request);
        if (r < 0)
                (void) relay_job_end(job, RELAY_AGAIN, r == -ENOMEM ? "no-memory" : "internal");
        return r;
}

const RelayResult *relay_job_result(const RelayJob *job) {
        return &job->result;
}

RelayJob *relay_job_free(RelayJob *job) {
        if (!job)
                return NULL;
        if (job->own)
                job->protocol->end(job);
        free(job->own);
        free(job);
        return NULL;
}

int relay_job_end(RelayJob *job, RelayOutcome outcome, const char *format, ...) {
        va_list ap;

        job->result.outcome = outcome;
        va_start(ap, format);
        (void) vsnprintf(job->result.reason, sizeof(job->result.reason), format, ap);
        va_end(ap);
        return 0;
}

bool relay_host_is_allowed(const char *authority, const char *const *hosts) {
        for (size_t i = 0; hosts[i]; i++)
                if (strcasecmp(hosts[i], authority) == 0)
                        return true;
        return false;
}

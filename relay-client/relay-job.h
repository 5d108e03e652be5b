/* Inside a job: what the two protocols share and nobody else sees. */
#pragma once

#include "relay.h"

struct RelayProtocol {
        const char *name;
        size_t own_size; /* of RelayJob.own, which begins as zeros */

        /* As in relay.h, except that on 0 the result is set, and on a negative errno what own holds
         * is still to be ended. */
        int (*begin)(RelayJob *job, const RelayJobTask *task, HttpRequest *ret_request);
        int (*answer)(RelayJob *job,
                        const HttpAnswer *answer,
                        int64_t now,
                        HttpRequest *ret_request);
        void (*end)(RelayJob *job);
};

struct RelayJob {
        const RelayProtocol *protocol;
        const RelayTerms *terms;
        RelayJobOperation operation;
        RelayResult result;
        void *own;
};

extern const RelayProtocol relay_draft_v, relay_draft_r;

/* Ends the job: sets outcome and reason, and returns 0. */
__attribute__((format(printf, 3, 4))) int relay_job_end(
                RelayJob *job, RelayOutcome outcome, const char *format, ...);

/* True when hosts names this "HOST[:PORT]". */
bool relay_host_is_allowed(const char *authority, const char *const *hosts);

/* Draft V behind relay.h: one request for each operation, and a second one for a read that the
 * relay took for a repeated one. */
#include <assert.h>
#include <errno.h>
#include <sodium.h>
#include <stdio.h>

#include "draft-v.h"
#include "relay-job.h"
#include "secret.h"
#include "share-url.h"
#include "text.h"

typedef struct Own {
        DraftVOperation operation;
        DraftVAnswer answer;
        char claim[UUID_TEXT_SIZE], request_id[UUID_TEXT_SIZE];
        char *mailbox; /* of a read or look */
        bool reread;   /* a fresh id was tried already */
        char vertical;
        uint8_t secret[SHARE_URL_SECRET_MAX];
        size_t secret_size;
        char *link;
} Own;

static DraftVCaller caller_of(const RelayJob *job) {
        const Own *own = job->own;

        return (DraftVCaller){
                .dialect = job->terms->dialect,
                .claim = own->claim,
                .request_id = own->request_id,
                .attestation = job->terms->attestation,
        };
}

static const DraftVOperation operations[_RELAY_JOB_OPERATION_MAX] = {
        [RELAY_JOB_CREATE] = DRAFT_V_CREATE,
        [RELAY_JOB_LOOK] = DRAFT_V_READ,
        [RELAY_JOB_READ] = DRAFT_V_READ,
        [RELAY_JOB_UPDATE] = DRAFT_V_UPDATE,
        [RELAY_JOB_DELETE] = DRAFT_V_DELETE,
        [RELAY_JOB_RELINQUISH] = DRAFT_V_RELINQUISH,
        [RELAY_JOB_PREVIEW] = DRAFT_V_PREVIEW,
};

static int begin_create(RelayJob *job, const RelayJobTask *task, HttpRequest *ret_request) {
        Own *own = job->own;
        const DraftVCaller caller = caller_of(job);

        assert(task->title && task->description && task->image_url && task->access_rights);
        own->vertical = task->vertical;
        if (task->secret && task->secret_size <= sizeof(own->secret)) {
                memcpy(own->secret, task->secret, task->secret_size);
                own->secret_size = task->secret_size;
        }
        return draft_v_create(job->terms->url,
                        &caller,
                        &(DraftVCreate){
                                        .title = task->title,
                                        .description = task->description,
                                        .image_url = task->image_url,
                                        .payload_type = task->payload_type,
                                        .payload_data = task->payload_data,
                                        .access_rights = task->access_rights,
                                        .expiration = task->expiration,
                        },
                        ret_request);
}

static int begin_mailbox(RelayJob *job, const RelayJobTask *task, HttpRequest *ret_request) {
        Own *own = job->own;
        const DraftVCaller caller = caller_of(job);

        if (task->operation == RELAY_JOB_UPDATE)
                return draft_v_update(task->mailbox,
                                &caller,
                                &(DraftVUpdate){
                                                .payload_type = task->payload_type,
                                                .payload_data = task->payload_data,
                                },
                                ret_request);
        if (own->operation == DRAFT_V_READ) {
                own->mailbox = strdup(task->mailbox);
                if (!own->mailbox)
                        return -ENOMEM;
        }
        return draft_v_plain(own->operation, task->mailbox, &caller, ret_request);
}

static int begin(RelayJob *job, const RelayJobTask *task, HttpRequest *ret_request) {
        const bool has_claim = task->operation != RELAY_JOB_PREVIEW;
        Own *own = job->own;
        int r;

        if (task->operation == RELAY_JOB_ACKNOWLEDGE)
                return relay_job_end(job, RELAY_DONE, "%s", "");
        assert(task->request_id && (task->claim || !has_claim));
        assert(task->mailbox || task->operation == RELAY_JOB_CREATE);
        assert((task->payload_type && task->payload_data) ||
                        (task->operation != RELAY_JOB_CREATE &&
                                        task->operation != RELAY_JOB_UPDATE));
        if ((has_claim && !text_is_uuid(task->claim)) || !text_is_uuid(task->request_id))
                return relay_job_end(job, RELAY_REFUSED, "bad-frame");
        if (task->operation != RELAY_JOB_CREATE &&
                        !share_url_is_link(task->mailbox, job->terms->hosts))
                return relay_job_end(job, RELAY_REFUSED, "bad-mailbox");
        own->operation = operations[task->operation];
        if (has_claim)
                memcpy(own->claim, task->claim, UUID_TEXT_SIZE);
        memcpy(own->request_id, task->request_id, UUID_TEXT_SIZE);

        r = task->operation == RELAY_JOB_CREATE ? begin_create(job, task, ret_request)
                                                : begin_mailbox(job, task, ret_request);
        if (r == -EINVAL)
                return relay_job_end(job, RELAY_REFUSED, "bad-display");
        if (r == -EMSGSIZE)
                return relay_job_end(job, RELAY_REFUSED, "too-large");
        return r < 0 ? r : RELAY_SEND;
}

/* A fresh id is a new read, and a read changes nothing that was not changed already. */
static int reread(RelayJob *job, HttpRequest *ret_request) {
        Own *own = job->own;
        DraftVCaller caller;
        int r;

        own->reread = true;
        text_uuid4_random(own->request_id);
        caller = caller_of(job);
        r = draft_v_plain(DRAFT_V_READ, own->mailbox, &caller, ret_request);
        return r < 0 ? r : RELAY_SEND;
}

/* The Secret may travel apart, and then the link has no fragment. */
static int build_link(Own *own, const char *mailbox) {
        if (own->secret_size > 0)
                return share_url_build(
                                mailbox, own->vertical, own->secret, own->secret_size, &own->link);
        if (asprintf(&own->link, "%s?v=%c", mailbox, own->vertical) < 0) {
                own->link = NULL;
                return -ENOMEM;
        }
        return 0;
}

static int set_values(RelayJob *job) {
        Own *own = job->own;
        RelayResult *result = &job->result;
        const DraftVAnswer *answer = &own->answer;

        result->retry_after = answer->retry_after;
        result->missing_echo = answer->missing_echo;
        result->push_is_supported = answer->push_is_supported;
        result->mailbox = answer->link;
        result->payload_type = answer->payload_type;
        result->payload_data = answer->payload_data;
        result->title = answer->title;
        result->description = answer->description;
        result->image_url = answer->image_url;
        result->expiration = answer->expiration;
        if (!answer->link || !own->vertical)
                return 0;
        if (build_link(own, answer->link) < 0)
                return -ENOMEM;
        result->link = own->link;
        return 0;
}

/* A relay that has repeated our ids goes on to: what comes without may be the answer to somebody
 * else's request. That it is to be asked again later is harmless, whoever said it, and so is when.
 */
static bool has_lost_echo(const RelayJob *job, const HttpAnswer *http, const DraftVAnswer *answer) {
        bool *echoes = job->terms->echoes;

        if (!echoes || http->status == 0)
                return false;
        *echoes = *echoes || !answer->missing_echo;
        return *echoes && answer->missing_echo && answer->outcome != DRAFT_V_AGAIN;
}

static int answered(RelayJob *job, const HttpAnswer *http, int64_t now, HttpRequest *ret_request) {
        static const RelayOutcome outcomes[] = {
                [DRAFT_V_DONE] = RELAY_DONE,
                [DRAFT_V_AGAIN] = RELAY_AGAIN,
                [DRAFT_V_DUPLICATE] = RELAY_DUPLICATE,
                [DRAFT_V_REREAD] = RELAY_AGAIN,
                [DRAFT_V_GONE] = RELAY_GONE,
                [DRAFT_V_CLAIMED] = RELAY_CLAIMED,
                [DRAFT_V_UNAUTHORISED] = RELAY_UNAUTHORISED,
                [DRAFT_V_REFUSED] = RELAY_REFUSED,
        };
        Own *own = job->own;
        int r;

        draft_v_answer_done(&own->answer);
        r = draft_v_read_answer(own->operation,
                        own->request_id,
                        http,
                        job->terms->hosts,
                        now,
                        &own->answer);
        if (r < 0)
                return r;
        if (has_lost_echo(job, http, &own->answer))
                return relay_job_end(job, RELAY_AGAIN, "missing-echo");
        if (own->answer.outcome == DRAFT_V_REREAD && !own->reread)
                return reread(job, ret_request);
        r = set_values(job);
        if (r < 0)
                return r;
        return relay_job_end(job, outcomes[own->answer.outcome], "%s", own->answer.reason);
}

static void end(RelayJob *job) {
        Own *own = job->own;

        draft_v_answer_done(&own->answer);
        free(own->mailbox);
        secret_free_string(own->link);
        sodium_memzero(own, sizeof(*own));
}

const RelayProtocol relay_draft_v = {
        .name = "draft-v",
        .own_size = sizeof(Own),
        .begin = begin,
        .answer = answered,
        .end = end,
};

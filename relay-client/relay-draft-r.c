/* Draft R behind relay.h: DELETE what was read, then PUT or GET the next message. */
#include <assert.h>
#include <errno.h>
#include <sodium.h>
#include <stdio.h>

#include "draft-r-link.h"
#include "draft-r-transcript.h"
#include "relay-http.h"
#include "relay-job.h"
#include "secret.h"

typedef enum Step {
        STEP_DELETE,
        STEP_PUT,
        STEP_COMPARE, /* something lies where we meant to write: is it ours? */
        STEP_GET,
        STEP_LOOK, /* does our message still lie there? */
} Step;

enum {
        PLACES_MAX = 4,
};

typedef struct Own {
        DraftRIdentity identity; /* its texts are the two that follow */
        char share[256], kid[DRAFT_R_KID_SIZE + 1];
        DraftRTranscript run;

        Step step;
        char *places[PLACES_MAX]; /* URLs to delete before anything else, or to look at */
        size_t n_places, next_place;
        bool is_guess;  /* our message lies in one of them at most */
        bool was_there; /* the first of them, before we deleted it */

        DraftRSlot slot; /* of the message that is put or got */
        char *url;       /* its */
        Plaintext plaintext;
        uint8_t *body;
        size_t body_size;

        uint8_t *state;
        size_t state_size;
        char *mailbox, *link;
} Own;

static const char variable[] = "{tigress_location}";

static int refuse(RelayJob *job, int error) {
        return relay_job_end(job, RELAY_REFUSED, "%s", draft_r_error_name((DraftRError) error));
}

/* Gives the run as it is now to the caller. */
static int give_state(RelayJob *job) {
        Own *own = job->own;
        int r;

        r = draft_r_transcript_seal(&own->run, &own->identity, &own->state, &own->state_size);
        if (r < 0)
                return r;
        job->result.state = own->state;
        job->result.state_size = own->state_size;
        return 0;
}

/* Ends the run for good; there is no second try with the same R. What lies at the location is
 * nobody's to read any more, and is deleted when the caller ends the share. */
static int abort_run(RelayJob *job, const char *reason) {
        Own *own = job->own;
        int r;

        draft_r_transcript_abort(&own->run);
        own->run.has_received = true;
        memcpy(own->run.received, own->slot.location, sizeof(own->run.received));
        r = give_state(job);
        if (r < 0)
                return r;
        return relay_job_end(job, RELAY_REFUSED, "abort-%s", reason);
}

static int send_plain(const char *method, const char *url, HttpRequest *ret_request) {
        HttpRequest request = { .method = method, .url = strdup(url) };

        if (!request.url)
                return -ENOMEM;
        *ret_request = request;
        return RELAY_SEND;
}

static int send_put(const Own *own, HttpRequest *ret_request) {
        _cleanup_(http_request_done) HttpRequest request = { .method = "PUT" };
        int r;

        request.url = strdup(own->url);
        request.body = malloc(own->body_size);
        if (!request.url || !request.body)
                return -ENOMEM;
        memcpy(request.body, own->body, own->body_size);
        request.body_size = own->body_size;
        r = relay_http_add_header(&request, "If-None-Match: *");
        if (r == 0)
                r = relay_http_add_header(&request, "Content-Type: application/octet-stream");
        if (r < 0)
                return r;
        *ret_request = request;
        request = HTTP_REQUEST_NULL;
        return RELAY_SEND;
}

static int add_place(Own *own, const uint8_t location[DRAFT_R_LOCATION_SIZE]) {
        int r;

        r = draft_r_template_expand(own->run.template, location, &own->places[own->n_places]);
        if (r == 0)
                own->n_places++;
        return r;
}

/* The message that was read, and our own that it answers: that one is gone already, unless a PUT
 * was repeated after the peer took it. */
static int add_acknowledgement(Own *own) {
        int r;

        if (!own->run.has_received)
                return 0;
        r = add_place(own, own->run.received);
        if (r == 0 && own->run.has_sent)
                r = add_place(own, own->run.sent);
        return r;
}

static void acknowledged(Own *own) {
        own->run.has_received = false;
        own->run.has_sent = false;
}

/* Whatever may still lie anywhere, our own message first. */
static int add_remains(Own *own) {
        DraftRSlot slot;
        int r = 0;

        if (own->run.has_sent)
                r = add_place(own, own->run.sent);
        if (r == 0 && own->run.has_received)
                r = add_place(own, own->run.received);
        if (r == 0 && draft_r_transcript_is_theirs(&own->run) &&
                        draft_r_transcript_slot(&own->run, &slot) == 0)
                r = add_place(own, slot.location);
        sodium_memzero(&slot, sizeof(slot));
        return r;
}

static int end_deletes(RelayJob *job) {
        Own *own = job->own;
        int r;

        if (job->operation == RELAY_JOB_DELETE)
                return relay_job_end(job,
                                own->was_there || own->n_places == 0 ? RELAY_DONE : RELAY_GONE,
                                "%s",
                                own->was_there || own->n_places == 0 ? "" : "gone");
        acknowledged(own);
        r = give_state(job);
        return r < 0 ? r : relay_job_end(job, RELAY_DONE, "%s", "");
}

/* The next request: deletes, then what the operation is about. */
static int proceed(RelayJob *job, HttpRequest *ret_request) {
        const bool looks = job->operation == RELAY_JOB_LOOK;
        Own *own = job->own;

        if (own->next_place < own->n_places) {
                own->step = looks ? STEP_LOOK : STEP_DELETE;
                return send_plain(looks ? "GET" : "DELETE",
                                own->places[own->next_place],
                                ret_request);
        }
        switch (job->operation) {
        case RELAY_JOB_LOOK:
                return relay_job_end(job, RELAY_GONE, "gone");
        case RELAY_JOB_CREATE:
        case RELAY_JOB_UPDATE:
                own->step = STEP_PUT;
                return send_put(own, ret_request);
        case RELAY_JOB_READ:
                own->step = STEP_GET;
                return send_plain("GET", own->url, ret_request);
        case RELAY_JOB_DELETE:
        case RELAY_JOB_ACKNOWLEDGE:
        case RELAY_JOB_RELINQUISH:
        case RELAY_JOB_PREVIEW:
        case _RELAY_JOB_OPERATION_MAX:
                break;
        }
        return end_deletes(job);
}

/* Where the next message lies. */
static int set_slot(Own *own) {
        int r;

        r = draft_r_transcript_slot(&own->run, &own->slot);
        if (r != 0)
                return r;
        return draft_r_template_expand(own->run.template, own->slot.location, &own->url);
}

/* The next message, of ours, in full. */
static int set_body(Own *own, const RelayJobTask *task) {
        uint8_t random[DRAFT_R_RANDOM_MIN], nonce[DRAFT_R_NONCE_MAX];
        const uint32_t id = own->run.next;
        int r;

        assert(task->content || task->content_size == 0);
        r = set_slot(own);
        if (r != 0)
                return r;
        draft_r_derive_random(&own->identity, id, task->content, task->content_size, random);
        r = draft_r_plaintext_write(
                        &(DraftRMessage){
                                        .random = random,
                                        .random_size = sizeof(random),
                                        .id = id,
                                        .message = task->content,
                                        .message_size = task->content_size,
                        },
                        &own->plaintext);
        if (r != 0)
                return r;
        draft_r_derive_nonce(&own->identity,
                        own->run.suite,
                        id,
                        own->plaintext.data,
                        own->plaintext.size,
                        nonce);
        return draft_r_body_seal(own->run.suite,
                        own->slot.key,
                        nonce,
                        own->plaintext.data,
                        own->plaintext.size,
                        &own->body,
                        &own->body_size);
}

static bool host_is_allowed(const RelayJob *job, const char *template) {
        char authority[SHARE_URL_AUTHORITY_SIZE];

        draft_r_template_authority(template, authority);
        return relay_host_is_allowed(authority, job->terms->hosts);
}

static int begin_run(Own *own,
                const char *template,
                DraftRSuite suite,
                DraftRContextMode mode,
                uint8_t secret[DRAFT_R_SECRET_MAX]) {
        draft_r_derive_secret(&own->identity, suite, secret);
        return draft_r_transcript_begin(DRAFT_R_SENDER,
                        template,
                        suite,
                        mode,
                        secret,
                        draft_r_suite_secret_size(suite),
                        &own->run);
}

static int begin_create(RelayJob *job, const RelayJobTask *task, HttpRequest *ret_request) {
        const RelayTerms *terms = job->terms;
        uint8_t secret[DRAFT_R_SECRET_MAX];
        Own *own = job->own;
        int r;

        r = begin_run(own, terms->template, terms->suite, terms->mode, secret);
        if (r == 0)
                r = draft_r_link_build(terms->template,
                                terms->suite,
                                secret,
                                draft_r_suite_secret_size(terms->suite),
                                &own->link);
        sodium_memzero(secret, sizeof(secret));
        if (r == 0)
                r = set_body(own, task);
        if (r != 0)
                return r < 0 ? r : refuse(job, r);
        if (!host_is_allowed(job, own->run.template))
                return relay_job_end(job, RELAY_REFUSED, "host-not-allowed");
        own->mailbox = strndup(own->link, strcspn(own->link, "#"));
        if (!own->mailbox)
                return -ENOMEM;
        return proceed(job, ret_request);
}

/* The run as the caller kept it, or as a link begins it. */
static int set_run(Own *own, const RelayJobTask *task, DraftRContextMode mode) {
        DraftRLink link;
        int r;

        if (task->state)
                return draft_r_transcript_open(
                                task->state, task->state_size, &own->identity, &own->run);
        if (task->operation != RELAY_JOB_READ || !task->link)
                return DRAFT_R_E_STATE;
        r = draft_r_link_parse(task->link, &link);
        if (r != 0)
                return r;
        r = draft_r_transcript_begin(DRAFT_R_RECEIVER,
                        link.template,
                        link.suite,
                        mode,
                        link.secret,
                        link.secret_size,
                        &own->run);
        sodium_memzero(&link, sizeof(link));
        return r;
}

/* Where our first message lies in a run of this suite and context. */
static int add_guess(Own *own, const char *template, DraftRSuite suite, DraftRContextMode mode) {
        uint8_t secret[DRAFT_R_SECRET_MAX];
        DraftRSlot slot;
        int r;

        r = begin_run(own, template, suite, mode, secret);
        sodium_memzero(secret, sizeof(secret));
        if (r == 0)
                r = draft_r_transcript_slot(&own->run, &slot);
        if (r == 0)
                r = add_place(own, slot.location);
        sodium_memzero(&slot, sizeof(slot));
        return r;
}

/* What the run was made with comes first. Suites that have the hash in common have the first
 * location in common. */
static int add_guesses(RelayJob *job, const char *template) {
        static const DraftRSuite suites[] = { DRAFT_R_AES_128_GCM_SHA256,
                DRAFT_R_AES_256_GCM_SHA384 };
        const size_t first = job->terms->suite == DRAFT_R_AES_256_GCM_SHA384;
        Own *own = job->own;
        int r = 0;

        own->is_guess = true;
        for (size_t i = 0; i < N_ELEMENTS(suites) && r == 0; i++)
                for (size_t mode = 0; mode < _DRAFT_R_CONTEXT_MODE_MAX && r == 0; mode++)
                        r = add_guess(own,
                                        template,
                                        suites[first ^ i],
                                        (DraftRContextMode) (job->terms->mode ^ mode));
        return r;
}

/* Without a state, only what all URLs begin with is known, which must be so at a relay that is
 * allowed: what it lacks to a template is its variable. */
static int begin_mailbox(RelayJob *job, const RelayJobTask *task, HttpRequest *ret_request) {
        char template[DRAFT_R_TEMPLATE_MAX + 1];
        int r;

        if (snprintf(template, sizeof(template), "%s%s", task->mailbox, variable) >=
                                        (int) sizeof(template) ||
                        draft_r_template_check(template) != 0 || !host_is_allowed(job, template))
                return relay_job_end(job, RELAY_REFUSED, "bad-mailbox");
        r = add_guesses(job, template);
        if (r != 0)
                return r < 0 ? r : refuse(job, r);
        return proceed(job, ret_request);
}

/* Our message of this turn: once the peer has answered it, it has nothing to say any more. */
static int begin_look(RelayJob *job, HttpRequest *ret_request) {
        Own *own = job->own;
        int r;

        if (own->run.aborted)
                return relay_job_end(job, RELAY_REFUSED, "aborted");
        if (!own->run.has_sent || !draft_r_transcript_is_theirs(&own->run))
                return relay_job_end(job, RELAY_DONE, "%s", "");
        r = add_place(own, own->run.sent);
        return r < 0 ? r : proceed(job, ret_request);
}

/* Lock-step: who has no turn sends nothing. A read out of turn has no news by nature. */
static int begin_turn(RelayJob *job, const RelayJobTask *task, HttpRequest *ret_request) {
        Own *own = job->own;
        int r;

        if (own->run.aborted)
                return relay_job_end(job, RELAY_REFUSED, "aborted");
        if (task->operation == RELAY_JOB_READ && !draft_r_transcript_is_theirs(&own->run))
                return relay_job_end(job, RELAY_DONE, "%s", "");
        if (task->operation == RELAY_JOB_UPDATE && !draft_r_transcript_is_ours(&own->run))
                return relay_job_end(job, RELAY_REFUSED, "out-of-turn");
        if (task->operation != RELAY_JOB_ACKNOWLEDGE && task->number != 0 &&
                        task->number != own->run.next)
                return relay_job_end(job, RELAY_REFUSED, "out-of-turn");

        r = add_acknowledgement(own);
        if (r == 0 && task->operation != RELAY_JOB_ACKNOWLEDGE)
                r = task->operation == RELAY_JOB_UPDATE ? set_body(own, task) : set_slot(own);
        if (r != 0)
                return r < 0 ? r : refuse(job, r);
        if (task->operation == RELAY_JOB_ACKNOWLEDGE && own->n_places == 0)
                return relay_job_end(job, RELAY_DONE, "%s", "");
        return proceed(job, ret_request);
}

static int set_identity(Own *own, const DraftRIdentity *identity) {
        assert(identity->root && identity->kid && identity->share);
        if (strlen(identity->share) >= sizeof(own->share) ||
                        strlen(identity->kid) >= sizeof(own->kid))
                return -EINVAL;
        memcpy(own->share, identity->share, strlen(identity->share) + 1);
        memcpy(own->kid, identity->kid, strlen(identity->kid) + 1);
        own->identity = (DraftRIdentity){
                .root = identity->root,
                .kid = own->kid,
                .share = own->share,
                .generation = identity->generation,
        };
        return 0;
}

static int begin_kept(RelayJob *job, const RelayJobTask *task, HttpRequest *ret_request) {
        Own *own = job->own;
        int r;

        r = set_run(own, task, job->terms->mode);
        if (r != 0)
                return r < 0 ? r : refuse(job, r);
        if (!host_is_allowed(job, own->run.template))
                return relay_job_end(job, RELAY_REFUSED, "host-not-allowed");
        if (task->operation == RELAY_JOB_LOOK)
                return begin_look(job, ret_request);
        if (task->operation != RELAY_JOB_DELETE)
                return begin_turn(job, task, ret_request);
        r = add_remains(own);
        return r < 0 ? r : proceed(job, ret_request);
}

static int begin(RelayJob *job, const RelayJobTask *task, HttpRequest *ret_request) {
        if (task->operation == RELAY_JOB_RELINQUISH || task->operation == RELAY_JOB_PREVIEW)
                return relay_job_end(job, RELAY_REFUSED, "unsupported");
        if (set_identity(job->own, &task->identity) < 0)
                return relay_job_end(job, RELAY_REFUSED, "bad-frame");
        if (task->operation == RELAY_JOB_CREATE)
                return begin_create(job, task, ret_request);
        if (!task->state && task->mailbox &&
                        (task->operation == RELAY_JOB_LOOK || task->operation == RELAY_JOB_DELETE))
                return begin_mailbox(job, task, ret_request);
        return begin_kept(job, task, ret_request);
}

/* What no step expects. */
static int end_status(RelayJob *job, const HttpAnswer *answer, int64_t now) {
        const int status = answer->status;

        if (relay_http_is_transient(status)) {
                if (status == 0)
                        return relay_job_end(job, RELAY_AGAIN, "%s", answer->failure);
                job->result.retry_after = relay_http_retry_after(answer, now);
                return relay_job_end(job, RELAY_AGAIN, "http-%d", status);
        }
        if (status == 401 || status == 403)
                return relay_job_end(job, RELAY_UNAUTHORISED, "http-%d", status);
        return relay_job_end(job,
                        RELAY_REFUSED,
                        status >= 300 && status < 400 ? "redirect-%d" : "http-%d",
                        status);
}

static bool is_absent(int status) {
        return status == 404 || status == 410;
}

static int deleted(RelayJob *job, const HttpAnswer *answer, int64_t now, HttpRequest *ret_request) {
        Own *own = job->own;
        const int status = answer->status;

        if (!is_absent(status) && status != 200 && status != 202 && status != 204)
                return end_status(job, answer, now);
        if (own->is_guess && !is_absent(status))
                return relay_job_end(job, RELAY_DONE, "%s", "");
        if (own->next_place++ == 0)
                own->was_there = !is_absent(status);
        return proceed(job, ret_request);
}

static void give_digest(RelayJob *job, const void *body, size_t size) {
        payload_digest(body, size, job->result.digest);
        job->result.has_digest = true;
}

/* Our message lies there: it belongs to the transcript from now on. */
static int put_is_done(RelayJob *job) {
        Own *own = job->own;
        int r;

        draft_r_transcript_add(&own->run, own->plaintext.data, own->plaintext.size);
        acknowledged(own);
        own->run.has_sent = true;
        memcpy(own->run.sent, own->slot.location, sizeof(own->run.sent));
        r = give_state(job);
        if (r < 0)
                return r;
        give_digest(job, own->body, own->body_size);
        if (job->operation == RELAY_JOB_CREATE) {
                job->result.mailbox = own->mailbox;
                job->result.link = own->link;
        }
        return relay_job_end(job, RELAY_DONE, "%s", "");
}

static int was_put(RelayJob *job, const HttpAnswer *answer, int64_t now, HttpRequest *ret_request) {
        Own *own = job->own;

        switch (answer->status) {
        case 200:
        case 201:
        case 204:
                return put_is_done(job);
        case 412:
                own->step = STEP_COMPARE;
                return send_plain("GET", own->url, ret_request);
        default:
                return end_status(job, answer, now);
        }
}

/* Octets that only we can have made are ours, of an attempt whose answer was lost. Others: somebody
 * who knows R was faster, and the peer may have read them. Nothing any more: taken or expired
 * since, and the next try tells. */
static int compared(RelayJob *job, const HttpAnswer *answer, int64_t now) {
        const Own *own = job->own;

        if (is_absent(answer->status))
                return relay_job_end(job, RELAY_AGAIN, "vanished");
        if (answer->status != 200)
                return end_status(job, answer, now);
        if (answer->body_size != own->body_size ||
                        memcmp(answer->body, own->body, own->body_size) != 0)
                return abort_run(job, "race-lost");
        return put_is_done(job);
}

static int take_message(RelayJob *job, const HttpAnswer *answer, DraftRMessage *ret) {
        Own *own = job->own;
        int r;

        r = draft_r_body_open(own->run.suite,
                        own->slot.key,
                        answer->body,
                        answer->body_size,
                        &own->plaintext);
        if (r == 0)
                r = draft_r_plaintext_read(
                                own->plaintext.data, own->plaintext.size, own->run.next, ret);
        return r;
}

static int was_got(RelayJob *job, const HttpAnswer *answer, int64_t now) {
        Own *own = job->own;
        DraftRMessage message;
        int r;

        if (answer->status == 404)
                return relay_job_end(job, RELAY_DONE, "%s", "");
        if (answer->status == 410)
                return relay_job_end(job, RELAY_GONE, "gone");
        if (answer->status != 200)
                return end_status(job, answer, now);

        r = take_message(job, answer, &message);
        if (r != 0)
                return r < 0 ? r : abort_run(job, draft_r_error_name((DraftRError) r));
        draft_r_transcript_add(&own->run, own->plaintext.data, own->plaintext.size);
        own->run.has_received = true;
        memcpy(own->run.received, own->slot.location, sizeof(own->run.received));
        r = give_state(job);
        if (r < 0)
                return r;
        give_digest(job, answer->body, answer->body_size);
        job->result.has_content = true;
        job->result.content = message.message;
        job->result.content_size = message.message_size;
        return relay_job_end(job, RELAY_DONE, "%s", "");
}

static int looked(RelayJob *job, const HttpAnswer *answer, int64_t now, HttpRequest *ret_request) {
        Own *own = job->own;

        if (is_absent(answer->status)) {
                own->next_place++;
                return proceed(job, ret_request);
        }
        if (answer->status != 200)
                return end_status(job, answer, now);
        return relay_job_end(job, RELAY_DONE, "%s", "");
}

static int answered(
                RelayJob *job, const HttpAnswer *answer, int64_t now, HttpRequest *ret_request) {
        const Own *own = job->own;

        switch (own->step) {
        case STEP_DELETE:
                return deleted(job, answer, now, ret_request);
        case STEP_PUT:
                return was_put(job, answer, now, ret_request);
        case STEP_COMPARE:
                return compared(job, answer, now);
        case STEP_GET:
                return was_got(job, answer, now);
        case STEP_LOOK:
                return looked(job, answer, now, ret_request);
        }
        return -EINVAL;
}

static void end(RelayJob *job) {
        Own *own = job->own;

        for (size_t i = 0; i < own->n_places; i++)
                free(own->places[i]);
        plaintext_done(&own->plaintext);
        secret_free_string(own->link);
        free(own->mailbox);
        free(own->url);
        free(own->body);
        free(own->state);
        sodium_memzero(own, sizeof(*own));
}

const RelayProtocol relay_draft_r = {
        .name = "draft-r",
        .own_size = sizeof(Own),
        .begin = begin,
        .answer = answered,
        .end = end,
};

#include "client.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>

#include "client-answer.h"
#include "log.h"
#include "mint-fetch.h"
#include "read-verdict.h"
#include "text.h"
#include "time-text.h"

enum {
        JOB_SLOTS = 256,
};

/* One request of the gateway while the relay is asked. */
typedef struct Job Job;
struct Job {
        Client *client;
        Job *next; /* in its slot */
        int64_t id;
        json_t *object; /* the gateway's frame, from which is borrowed: */
        RelayFrame frame;
        Release release;            /* of create and update */
        const RelayPrivateKey *key; /* of the frame's kid, or NULL */

        char lock[RELAY_FRAME_SHARE_MAX + 1]; /* see is_busy() */
        char request_id[UUID_TEXT_SIZE];      /* of the relay's job */
        bool is_comparing;                    /* an update that looks first */
        RelayJob *relay;
};

struct Client {
        Plugin *plugin;
        ClientSettings *settings;
        HttpClient *http;
        MintFetch *mint;
        Job *jobs[JOB_SLOTS]; /* that are under way, by lock */
        bool down, echo_logged;
        bool echoes; /* of the settings' terms */
        char reason[RELAY_REASON_SIZE];
};

static Job *job_free(Job *job) {
        if (!job)
                return NULL;
        (void) relay_job_free(job->relay);
        release_done(&job->release);
        relay_frame_done(&job->frame);
        json_decref(job->object);
        free(job);
        return NULL;
}
DEFINE_CLEANUP(Job, job_free)

/* --- who is under way --- */

static Job **job_find(Client *c, const char *lock) {
        uint32_t hash = 2166136261u; /* FNV-1a */
        Job **slot;

        for (const char *p = lock; *p; p++)
                hash = (hash ^ (uint8_t) *p) * 16777619u;
        slot = &c->jobs[(hash ^ hash >> 16) % JOB_SLOTS];
        while (*slot && !streq((*slot)->lock, lock))
                slot = &(*slot)->next;
        return slot;
}

static void job_remember(Job *job) {
        *job_find(job->client, job->lock) = job;
}

static void job_forget(Job *job) {
        Job **slot = job_find(job->client, job->lock);

        *slot = job->next;
        job->next = NULL;
}

/* Draft V: a relay remembers only the last request id of a claim, so that two requests under way at
 * once could each be executed twice. Draft R: a run has one next message. */
static bool is_busy(const Job *job) {
        return *job_find(job->client, job->lock) != NULL;
}

static void set_lock(Job *job) {
        const char *lock = job->client->settings->is_draft_r || !job->frame.claim
                                           ? job->frame.share
                                           : job->frame.claim;

        /* UUIDs compare without case, and an id of a share has none. */
        for (size_t i = 0; lock[i]; i++)
                job->lock[i] = (char) tolower((unsigned char) lock[i]);
}

/* --- answers --- */

static ClientQuestion question_of(const Job *job) {
        return (ClientQuestion){
                .settings = job->client->settings,
                .frame = &job->frame,
                .release = &job->release,
                .key = job->key,
        };
}

/* NULL: there was no memory for the answer, and asking again does no harm. */
static void answer(Client *c, int64_t id, json_t *frame) {
        plugin_answer(c->plugin, id, frame ? frame : client_answer_again("no-memory", 1));
}

static void job_answer(const Job *job, json_t *frame) {
        const ClientQuestion question = question_of(job);

        client_answer_add_written(&question, &frame);
        answer(job->client, job->id, frame);
}

/* Tells the gateway at each change, and the journal as well. */
static void tell_reachable(Client *c, const HttpAnswer *http) {
        if (http->status != 0 || http->answered) {
                if (c->down) {
                        c->down = false;
                        log_notice("the relay answers again");
                        plugin_tell_status(c->plugin, true, "");
                }
                return;
        }
        if (c->down && streq(c->reason, http->failure))
                return;
        c->down = true;
        (void) snprintf(c->reason, sizeof(c->reason), "%s", http->failure);
        log_warning("the relay cannot be reached: %s", c->reason);
        plugin_tell_status(c->plugin, false, c->reason);
}

static void tell_missing_echo(Client *c) {
        if (c->echo_logged)
                return;
        c->echo_logged = true;
        log_notice("the relay does not repeat Mailbox-Request-ID, so that each of its connections "
                   "can be used only once");
}

/* Of an answer that is none: what HTTP's status says for itself is not told. */
static void tell_unusable(const Job *job, const HttpAnswer *http) {
        const RelayResult *result = relay_job_result(job->relay);
        bool is_success = http->status >= 200 && http->status < 300;

        if ((!is_success && !http->answered) || streq(result->reason, "duplicate") ||
                        (result->outcome != RELAY_AGAIN && result->outcome != RELAY_DUPLICATE))
                return;
        log_record(LOG_WARNING,
                        &(LogFields){ .share = job->frame.share },
                        "what the relay answered cannot be used: %s",
                        result->reason);
}

/* --- steps --- */

static RelayJobOperation operation_of(const Job *job) {
        switch (job->frame.kind) {
        case RELAY_FRAME_CREATE:
                return RELAY_JOB_CREATE;
        case RELAY_FRAME_READ:
                return job->frame.number == 0 ? RELAY_JOB_LOOK : RELAY_JOB_READ;
        case RELAY_FRAME_UPDATE:
                return job->is_comparing ? RELAY_JOB_READ : RELAY_JOB_UPDATE;
        case RELAY_FRAME_DELETE:
                return RELAY_JOB_DELETE;
        case RELAY_FRAME_ACKNOWLEDGE:
        case _RELAY_FRAME_KIND_MAX:
                break;
        }
        return RELAY_JOB_ACKNOWLEDGE;
}

/* What both drafts want; each ignores what is the other's. */
static RelayJobTask task_of(const Job *job) {
        const RelayFrame *frame = &job->frame;
        RelayJobTask task = {
                .operation = operation_of(job),
                .mailbox = frame->mailbox,
                .claim = frame->claim,
                .request_id = job->request_id,
                .payload_type = job->release.payload_type,
                .payload_data = job->release.payload_data,
                .title = frame->title,
                .description = frame->description,
                .image_url = frame->image_url,
                .access_rights = frame->rights,
                .expiration = frame->expiration,
                .vertical = frame->vertical,
                .content = job->release.content.data,
                .content_size = job->release.content.size,
                .state = frame->state,
                .state_size = frame->state_size,
                .number = (uint32_t) frame->number,
        };

        if (job->key)
                task.identity = (DraftRIdentity){
                        .root = job->key->secret,
                        .kid = job->key->kid,
                        .share = frame->share,
                        .generation = frame->generation,
                };
        return task;
}

/* A request that is repeated has its id again, and a read is never one. */
static void set_request_id(Job *job) {
        if (job->frame.request && !job->is_comparing)
                memcpy(job->request_id, job->frame.request, UUID_TEXT_SIZE);
        else
                text_uuid4_random(job->request_id);
}

static int begin_step(Job *job, HttpRequest *ret_request) {
        const ClientSettings *settings = job->client->settings;
        uint8_t secret[PAYLOAD_KEY_MAX];
        RelayJobTask task;
        int r;

        set_request_id(job);
        task = task_of(job);
        if (task.operation == RELAY_JOB_CREATE && !job->frame.encrypted) {
                release_secret(&job->frame, &settings->release_terms, &job->release, secret);
                task.secret = secret;
                task.secret_size = payload_key_size(settings->release_terms.algorithm);
        }
        job->relay = relay_job_free(job->relay);
        r = relay_job_begin(settings->protocol, &settings->terms, &task, &job->relay, ret_request);
        sodium_memzero(secret, sizeof(secret));
        return r;
}

static void job_go_on(Job *job, int r, HttpRequest *request);

/* What lies there decides (conformance C-39): nobody writes over what was not read. */
static void job_compared(Job *job) {
        _cleanup_(http_request_done) HttpRequest request = HTTP_REQUEST_NULL;
        const RelayResult *result = relay_job_result(job->relay);
        const ClientQuestion question = question_of(job);
        uint8_t digest[PAYLOAD_DIGEST_SIZE];
        json_t *frame = NULL;

        job->is_comparing = false;
        if (result->outcome != RELAY_DONE)
                frame = client_answer(&question, result, time_wall());
        else if (read_verdict_digest(result->payload_data, digest) < 0)
                frame = client_answer_again("no-memory", 1);
        else if (memcmp(digest, job->release.digest, sizeof(digest)) == 0)
                frame = client_answer_written();
        else if (memcmp(digest, job->frame.known, sizeof(digest)) == 0) {
                job_go_on(job, begin_step(job, &request), &request);
                return;
        } else
                frame = client_answer_again("unread-message", 0);
        job_answer(job, frame);
        (void) job_free(job);
}

static void job_ended(Job *job) {
        const ClientQuestion question = question_of(job);

        if (relay_job_result(job->relay)->missing_echo)
                tell_missing_echo(job->client);
        if (job->is_comparing) {
                job_compared(job);
                return;
        }
        job_answer(job, client_answer(&question, relay_job_result(job->relay), time_wall()));
        (void) job_free(job);
}

static void on_http_done(const HttpAnswer *http, void *userdata) {
        _cleanup_(http_request_done) HttpRequest request = HTTP_REQUEST_NULL;
        Job *job = userdata;
        int r;

        job_forget(job);
        tell_reachable(job->client, http);
        r = relay_job_answer(job->relay, http, time_wall(), &request);
        if (r == 0)
                tell_unusable(job, http);
        job_go_on(job, r < 0 ? 0 : r, &request); /* that it ended so is the job's result */
}

static void job_refuse(const Job *job, const char *reason) {
        log_record(LOG_WARNING,
                        &(LogFields){ .share = job->frame.share },
                        "a request was refused before the relay was asked: %s",
                        reason);
        job_answer(job, client_answer_refused(reason));
}

/* r is what the relay's job said: RELAY_SEND, 0, or that there is no job. Takes the job over. */
static void job_go_on(Job *job, int r, HttpRequest *request) {
        if (r == 0) {
                job_ended(job);
                return;
        }
        if (r == RELAY_SEND)
                r = http_client_send(job->client->http, request, on_http_done, job);
        if (r == 0) {
                job_remember(job);
                return;
        }
        if (r == -EINVAL)
                job_refuse(job, "bad-request");
        else
                job_answer(job, client_answer_again("no-memory", 1));
        (void) job_free(job);
}

/* --- requests --- */

static int refuse(const char *reason, const char **ret_reason) {
        *ret_reason = reason;
        return RELAY_FRAME_E_REFUSED;
}

static int set_key(Job *job, const char **ret_reason) {
        const ClientSettings *settings = job->client->settings;

        if (job->frame.kid)
                job->key = relay_private_keys_find(settings->keys, job->frame.kid);
        if (settings->is_draft_r && !job->frame.kid)
                return refuse("bad-frame", ret_reason);
        /* Where nothing is to be opened, a key that is no more does not matter. */
        if (!job->key && (settings->is_draft_r || job->frame.number > 0))
                return refuse("unknown-key", ret_reason);
        return 0;
}

static int job_read(Job *job, RelayFrameKind kind, const char **ret_reason) {
        const ClientSettings *settings = job->client->settings;
        int r;

        r = relay_frame_read(kind,
                        job->object,
                        !settings->is_draft_r,
                        time_wall(),
                        &job->frame,
                        ret_reason);
        if (r != 0)
                return r;
        set_lock(job);
        if (kind == RELAY_FRAME_CREATE || kind == RELAY_FRAME_UPDATE)
                r = release_read(&job->frame,
                                &settings->release_terms,
                                time_wall(),
                                &job->release,
                                ret_reason);
        if (r == 0)
                r = set_key(job, ret_reason);
        job->is_comparing = kind == RELAY_FRAME_UPDATE && !settings->is_draft_r;
        return r;
}

static void request_relay(Client *c, RelayFrameKind kind, int64_t id, const json_t *object) {
        _cleanup_(http_request_done) HttpRequest request = HTTP_REQUEST_NULL;
        _cleanup_(job_freep) Job *job = calloc(1, sizeof(*job));
        const char *reason;
        int r;

        if (!job) {
                answer(c, id, client_answer_again("no-memory", 1));
                return;
        }
        job->client = c;
        job->id = id;
        job->object = json_incref((json_t *) object);
        r = job_read(job, kind, &reason);
        if (r < 0) {
                answer(c, id, client_answer_again("no-memory", 1));
                return;
        }
        if (r == RELAY_FRAME_E_REFUSED) {
                job_refuse(job, reason);
                return;
        }
        if (is_busy(job)) {
                job_answer(job, client_answer_again("claim-is-busy", 1));
                return;
        }
        r = begin_step(job, &request);
        job_go_on(TAKE_PTR(job), r, &request);
}

static void on_mint_answer(int64_t id, json_t *frame, void *userdata) {
        answer(userdata, id, frame);
}

int client_request(Client *c, const char *type, int64_t id, const json_t *frame) {
        RelayFrameKind kind;

        if (relay_frame_kind_from_type(type, &kind))
                request_relay(c, kind, id, frame);
        else if (streq(type, "mint"))
                mint_fetch_ask(c->mint, id, frame);
        else
                return PLUGIN_UNSUPPORTED;
        return 0;
}

int client_new(Client **ret, Plugin *plugin, const json_t *settings) {
        _cleanup_(client_freep) Client *c = calloc(1, sizeof(*c));
        int r;

        if (!c)
                return -ENOMEM;
        c->plugin = plugin;
        r = client_settings_new(&c->settings, settings);
        if (r == 0)
                c->settings->terms.echoes = &c->echoes;
        if (r == 0)
                r = client_settings_http(settings, plugin_event(plugin), &c->http);
        if (r == 0)
                r = client_settings_mint(settings,
                                plugin_event(plugin),
                                c->settings->keys,
                                on_mint_answer,
                                c,
                                &c->mint);
        if (r < 0)
                return r;

        *ret = TAKE_PTR(c);
        return 0;
}

Client *client_free(Client *c) {
        if (!c)
                return NULL;
        (void) http_client_free(c->http);
        (void) mint_fetch_free(c->mint);
        for (size_t i = 0; i < JOB_SLOTS; i++)
                while (c->jobs[i]) {
                        Job *job = c->jobs[i];

                        c->jobs[i] = job->next;
                        (void) job_free(job);
                }
        (void) client_settings_free(c->settings);
        free(c);
        return NULL;
}

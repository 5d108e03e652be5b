/* vestibule-relay-client: the only program that opens payloads and speaks to the relay. It keeps no
 * state: claims, ids and boxes come with each request of the gateway, and the Secret of a mailbox
 * is derived from the private key, so that a repeated create always means the same Secret. It
 * connects to the relay for the first time when the first request needs it. */
#include <errno.h>
#include <stdio.h>
#include <strings.h>

#include "credential.h"
#include "curl-glue.h"
#include "draft-v.h"
#include "json-read.h"
#include "key-file.h"
#include "log.h"
#include "make-key.h"
#include "payload.h"
#include "plugin.h"
#include "release.h"
#include "share-url.h"
#include "text.h"
#include "time-text.h"

enum {
        HOSTS_MAX = 16,
        PINS_MAX = 8,
        CLAIM_SLOTS = 256,
};

typedef struct Client Client;

/* One request of the gateway while the relay is asked. */
typedef struct Job Job;
struct Job {
        Client *client;
        Job *next; /* in its slot */
        int64_t id;
        DraftVOperation operation;
        char claim[UUID_TEXT_SIZE], request_id[UUID_TEXT_SIZE];
        char *mailbox;   /* of read and delete */
        Release release; /* of create */
        bool reread;     /* a fresh id was tried already */
};

struct Client {
        Plugin *plugin;
        RelayPrivateKeys *keys;
        HttpClient *http;
        PayloadAlgorithm algorithm;
        char *url;
        char *hosts[HOSTS_MAX + 1];
        Job *jobs[CLAIM_SLOTS]; /* by claim */
        bool down, echo_logged;
        char reason[32];
};

static Job *job_free(Job *job) {
        if (!job)
                return NULL;
        free(job->mailbox);
        release_done(&job->release);
        free(job);
        return NULL;
}
DEFINE_CLEANUP(Job, job_free)

static Client *client_free(Client *c) {
        if (!c)
                return NULL;
        (void) http_client_free(c->http);
        for (size_t i = 0; i < CLAIM_SLOTS; i++)
                while (c->jobs[i]) {
                        Job *job = c->jobs[i];

                        c->jobs[i] = job->next;
                        (void) job_free(job);
                }
        (void) relay_private_keys_free(c->keys);
        for (size_t i = 0; i < HOSTS_MAX; i++)
                free(c->hosts[i]);
        free(c->url);
        free(c);
        return NULL;
}
DEFINE_CLEANUP(Client, client_free)

/* Claims are random UUIDs, so that any of their bytes spread well. */
static Job **claim_slot(Client *c, const char *claim) {
        uint8_t byte = 0;
        char digits[3] = { claim[0], claim[1], 0 };

        (void) text_from_hex(digits, &byte, 1);
        return &c->jobs[byte];
}

static Job **job_find(Client *c, const char *claim) {
        Job **slot = claim_slot(c, claim);

        while (*slot && strcasecmp((*slot)->claim, claim) != 0)
                slot = &(*slot)->next;
        return slot;
}

static void job_remember(Job *job) {
        Job **slot = claim_slot(job->client, job->claim);

        job->next = *slot;
        *slot = job;
}

static void job_forget(Job *job) {
        Job **slot = job_find(job->client, job->claim);

        *slot = job->next;
        job->next = NULL;
}

static void answer(Client *c, int64_t id, json_t *frame) {
        plugin_answer(c->plugin, id, frame);
}

static void answer_refused(Client *c, int64_t id, const char *reason) {
        answer(c, id, json_pack("{s:s, s:s}", "type", "refused", "reason", reason));
}

static void answer_again(Client *c, int64_t id, const char *reason, unsigned retry_after) {
        json_t *frame = json_pack("{s:s, s:s}", "type", "again", "reason", reason);

        if (frame && retry_after > 0)
                (void) json_object_set_new(frame, "retry_after", json_integer(retry_after));
        answer(c, id, frame);
}

/* Tells the gateway at each change, and the journal as well. */
static void tell_reachable(Client *c, const DraftVAnswer *from_relay) {
        if (from_relay->reachable) {
                if (c->down) {
                        c->down = false;
                        log_notice("the relay answers again");
                        plugin_tell_status(c->plugin, true, "");
                }
                return;
        }
        if (c->down && streq(c->reason, from_relay->reason))
                return;
        c->down = true;
        (void) snprintf(c->reason, sizeof(c->reason), "%s", from_relay->reason);
        log_warning("the relay cannot be reached: %s", c->reason);
        plugin_tell_status(c->plugin, false, c->reason);
}

static json_t *done_create(const Job *job, const DraftVAnswer *from_relay) {
        _cleanup_(secret_free_stringp) char *link = NULL;

        if (release_link(&job->release, from_relay->link, &link) < 0)
                return NULL;
        return json_pack("{s:s, s:s, s:s}",
                        "type",
                        "done",
                        "mailbox",
                        from_relay->link,
                        "link",
                        link);
}

static json_t *done_read(const DraftVAnswer *from_relay) {
        return json_pack("{s:s, s:{s:s, s:s}}",
                        "type",
                        "done",
                        "payload",
                        "type",
                        from_relay->payload_type,
                        "data",
                        from_relay->payload_data);
}

static json_t *done_frame(const Job *job, const DraftVAnswer *from_relay) {
        switch (job->operation) {
        case DRAFT_V_CREATE:
                return done_create(job, from_relay);
        case DRAFT_V_READ:
                return done_read(from_relay);
        default:
                return json_pack("{s:s}", "type", "done");
        }
}

static void answer_outcome(const Job *job, const DraftVAnswer *from_relay) {
        static const char *const types[] = {
                [DRAFT_V_DUPLICATE] = "duplicate",
                [DRAFT_V_GONE] = "gone",
                [DRAFT_V_CLAIMED] = "claimed",
                [DRAFT_V_UNAUTHORISED] = "unauthorised",
        };
        Client *c = job->client;

        switch (from_relay->outcome) {
        case DRAFT_V_DONE:
                answer(c, job->id, done_frame(job, from_relay));
                return;
        case DRAFT_V_AGAIN:
        case DRAFT_V_REREAD:
                answer_again(c, job->id, from_relay->reason, from_relay->retry_after);
                return;
        case DRAFT_V_REFUSED:
                log_warning("the relay's answer ends a share: %s", from_relay->reason);
                answer_refused(c, job->id, from_relay->reason);
                return;
        case DRAFT_V_DUPLICATE:
        case DRAFT_V_GONE:
        case DRAFT_V_CLAIMED:
        case DRAFT_V_UNAUTHORISED:
                answer(c, job->id, json_pack("{s:s}", "type", types[from_relay->outcome]));
                return;
        }
}

static int job_send(Job *job, HttpRequest *request);

/* The relay took the read for a repeated one and did not repeat its answer: a fresh id is a new
 * read, and a read changes nothing that was not changed already. */
static int job_reread(Job *job) {
        _cleanup_(http_request_done) HttpRequest request = HTTP_REQUEST_NULL;
        int r;

        job->reread = true;
        text_uuid4_random(job->request_id);
        r = draft_v_plain(DRAFT_V_READ,
                        job->mailbox,
                        &(DraftVCaller){ .claim = job->claim, .request_id = job->request_id },
                        &request);
        if (r < 0)
                return r;
        return job_send(job, &request);
}

static void on_http_done(const HttpAnswer *http, void *userdata) {
        _cleanup_(job_freep) Job *job = userdata;
        _cleanup_(draft_v_answer_done) DraftVAnswer from_relay = { .outcome = DRAFT_V_AGAIN };
        Client *c = job->client;
        int r;

        job_forget(job);
        r = draft_v_read_answer(job->operation,
                        job->request_id,
                        http,
                        (const char *const *) c->hosts,
                        time_wall(),
                        &from_relay);
        if (r < 0) {
                answer_again(c, job->id, "no-memory", 1);
                return;
        }
        tell_reachable(c, &from_relay);
        if (from_relay.missing_echo && !c->echo_logged) {
                c->echo_logged = true;
                log_notice("the relay does not repeat Mailbox-Request-ID");
        }
        if (from_relay.outcome == DRAFT_V_REREAD && !job->reread && job_reread(job) == 0) {
                TAKE_PTR(job);
                return;
        }
        answer_outcome(job, &from_relay);
}

static int job_send(Job *job, HttpRequest *request) {
        int r;

        r = http_client_send(job->client->http, request, on_http_done, job);
        if (r == 0)
                job_remember(job);
        return r;
}

static int job_new(Client *c, int64_t id, DraftVOperation operation, Job **ret) {
        Job *job = calloc(1, sizeof(*job));

        if (!job)
                return -ENOMEM;
        job->client = c;
        job->id = id;
        job->operation = operation;
        *ret = job;
        return 0;
}

/* The relay remembers only the last request id of a claim, so that two requests under way at once
 * could each be executed twice. */
static bool claim_is_busy(Client *c, const char *claim) {
        return *job_find(c, claim) != NULL;
}

static void start_job(Job *job, HttpRequest *request) {
        Client *c = job->client;
        int64_t id = job->id;
        int r;

        if (claim_is_busy(c, job->claim)) {
                (void) job_free(job);
                answer_again(c, id, "claim-is-busy", 1);
                return;
        }
        r = job_send(job, request);
        if (r < 0) {
                (void) job_free(job);
                answer_again(c, id, "no-memory", 1);
        }
}

static void request_create(Client *c, int64_t id, const json_t *frame) {
        _cleanup_(job_freep) Job *job = NULL;
        const char *reason;
        Release *release;
        int r;

        r = job_new(c, id, DRAFT_V_CREATE, &job);
        if (r == 0)
                r = release_read(frame,
                                c->keys,
                                c->url,
                                c->algorithm,
                                time_wall(),
                                &job->release,
                                &reason);
        if (r < 0) {
                answer_again(c, id, "no-memory", 1);
                return;
        }
        if (r == RELEASE_E_REFUSED) {
                log_warning("a release was refused before the relay was asked: %s", reason);
                answer_refused(c, id, reason);
                return;
        }
        release = &job->release;
        memcpy(job->claim, release->claim, sizeof(job->claim));
        memcpy(job->request_id, release->request_id, sizeof(job->request_id));
        start_job(TAKE_PTR(job), &release->request);
}

static void request_mailbox(Client *c, int64_t id, DraftVOperation operation, const json_t *frame) {
        _cleanup_(http_request_done) HttpRequest request = HTTP_REQUEST_NULL;
        _cleanup_(job_freep) Job *job = NULL;
        struct {
                const char *mailbox, *claim, *request;
        } members = { 0 };
        const JsonMember table[] = {
                { "mailbox",
                                JSON_KIND_STRING,
                                offsetof(__typeof__(members), mailbox),
                                true,
                                1,
                                SHARE_URL_LINK_MAX },
                { "claim", JSON_KIND_STRING, offsetof(__typeof__(members), claim), true, 36, 36 },
                { "request",
                                JSON_KIND_STRING,
                                offsetof(__typeof__(members), request),
                                true,
                                36,
                                36 },
        };
        JsonProblem problem;
        int r;

        if (json_read_members(frame, table, N_ELEMENTS(table), false, &members, &problem) != 0 ||
                        !text_is_uuid(members.claim) || !text_is_uuid(members.request)) {
                answer_refused(c, id, "bad-frame");
                return;
        }
        if (!share_url_is_link(members.mailbox, (const char *const *) c->hosts)) {
                answer_refused(c, id, "bad-mailbox");
                return;
        }
        r = job_new(c, id, operation, &job);
        if (r == 0) {
                memcpy(job->claim, members.claim, UUID_TEXT_SIZE);
                memcpy(job->request_id, members.request, UUID_TEXT_SIZE);
                job->mailbox = strdup(members.mailbox);
                r = job->mailbox ? draft_v_plain(operation,
                                                   job->mailbox,
                                                   &(DraftVCaller){
                                                                   .claim = job->claim,
                                                                   .request_id = job->request_id,
                                                   },
                                                   &request)
                                 : -ENOMEM;
        }
        if (r < 0) {
                answer_again(c, id, "no-memory", 1);
                return;
        }
        start_job(TAKE_PTR(job), &request);
}

static int on_request(
                Plugin *plugin, void *state, const char *type, int64_t id, const json_t *frame) {
        (void) plugin;
        if (streq(type, "create"))
                request_create(state, id, frame);
        else if (streq(type, "read"))
                request_mailbox(state, id, DRAFT_V_READ, frame);
        else if (streq(type, "delete"))
                request_mailbox(state, id, DRAFT_V_DELETE, frame);
        else
                return PLUGIN_UNSUPPORTED;
        return 0;
}

/* A setting that is a string or an array of strings. */
static size_t setting_list(const json_t *settings, const char *name, const char **ret, size_t max) {
        const json_t *value = json_object_get(settings, name);
        size_t n = 0;

        if (json_is_string(value)) {
                ret[0] = json_string_value(value);
                return 1;
        }
        for (; n < json_array_size(value) && n < max; n++) {
                ret[n] = json_string_value(json_array_get(value, n));
                if (!ret[n])
                        return 0;
        }
        return n;
}

static int set_hosts(Client *c, const json_t *settings) {
        const char *names[HOSTS_MAX];
        char authority[SHARE_URL_AUTHORITY_SIZE];
        size_t n;

        c->url = strdup(plugin_setting(settings, "url", ""));
        if (!c->url)
                return -ENOMEM;
        if (share_url_authority(c->url, authority) != 0) {
                log_error("the relay's url must be https://HOST or https://HOST:PORT, without a "
                          "path");
                return -EINVAL;
        }
        n = setting_list(settings, "allow_host", names, HOSTS_MAX);
        if (n == 0)
                names[n++] = authority;
        for (size_t i = 0; i < n; i++) {
                c->hosts[i] = strdup(names[i]);
                if (!c->hosts[i])
                        return -ENOMEM;
        }
        return 0;
}

static bool pin_is_valid(const char *pin) {
        _cleanup_(freep) uint8_t *hash = NULL;
        size_t size;

        return strncmp(pin, "sha256//", 8) == 0 &&
               text_from_base64(pin + 8, false, &hash, &size) == 0 && size == 32;
}

static int set_http(Client *c, const json_t *settings) {
        const char *pins[PINS_MAX], *ca_file = plugin_setting(settings, "ca_file", NULL);
        char joined[PINS_MAX * 64] = "";
        size_t n = setting_list(settings, "pinned_key", pins, PINS_MAX), used = 0;
        int r;

        for (size_t i = 0; i < n; i++) {
                if (!pin_is_valid(pins[i])) {
                        log_error("pinned_key must be sha256// and base64 of a SHA-256 hash");
                        return -EINVAL;
                }
                used += (size_t) snprintf(joined + used,
                                sizeof(joined) - used,
                                "%s%s",
                                i > 0 ? ";" : "",
                                pins[i]);
        }
        if (ca_file && access(ca_file, R_OK) < 0) {
                log_error("ca_file %s cannot be read: %s", ca_file, strerror(errno));
                return -EINVAL;
        }

        r = http_client_new(&c->http,
                        plugin_event(c->plugin),
                        &(HttpPolicy){
                                        .ca_file = ca_file,
                                        .pinned_keys = n > 0 ? joined : NULL,
                                        .user_agent = "vestibule",
                                        .answer_max = DRAFT_V_ANSWER_MAX,
                        });
        if (r < 0)
                log_error("the TLS library refuses its settings: %s", strerror(-r));
        return r;
}

static int set_algorithm(Client *c, const json_t *settings) {
        const char *name = plugin_setting(settings, "algorithm", "aes-128-gcm");

        if (streq(name, "aes-128-gcm"))
                c->algorithm = PAYLOAD_AES_128_GCM;
        else if (streq(name, "aes-256-gcm"))
                c->algorithm = PAYLOAD_AES_256_GCM;
        else {
                log_error("algorithm must be aes-128-gcm or aes-256-gcm");
                return -EINVAL;
        }
        return 0;
}

static int set_keys(Client *c) {
        _cleanup_(secret_done) Secret content = SECRET_NULL;
        int r;

        r = credential_read("relay-key", &content);
        if (r < 0) {
                log_error("credential relay-key: %s",
                                r == -EPERM   ? "others can read it; its mode must be 0600 or 0400"
                                : r == -ENXIO ? "$CREDENTIALS_DIRECTORY is not set"
                                              : strerror(-r));
                return r;
        }
        r = relay_private_keys_read(&content, &c->keys);
        if (r < 0)
                log_error("credential relay-key is not what vestibule-relay-client --make-key "
                          "writes");
        return r;
}

static int on_start(Plugin *plugin, const json_t *settings, void **ret_state) {
        _cleanup_(client_freep) Client *c = calloc(1, sizeof(*c));
        int r;

        if (!c)
                return -ENOMEM;
        c->plugin = plugin;
        r = set_hosts(c, settings);
        if (r < 0)
                return r;
        r = set_algorithm(c, settings);
        if (r < 0)
                return r;
        r = set_keys(c);
        if (r < 0)
                return r;
        r = set_http(c, settings);
        if (r < 0)
                return r;

        /* Not tried, and not to be tried before a share is confirmed: up until known to be down. */
        plugin_tell_status(plugin, true, "");
        *ret_state = TAKE_PTR(c);
        return 0;
}

static void on_stop(Plugin *plugin, void *state) {
        (void) plugin;
        (void) client_free(state);
}

static int option(int argc, char **argv) {
        static const MakeKey relay_key = {
                .program = "vestibule-relay-client",
                .sealer = "vestibule-api",
                .private_name = "relay-key",
                .public_name = "relay-key.pub",
                .private_installed = "vestibule.relay-NAME.key (NAME: the relay section's title, "
                                     "usually main)",
                .public_installed = "vestibule.relay-key.pub",
        };

        return make_key_option(&relay_key, argc, argv);
}

int main(int argc, char **argv) {
        static const char *const capabilities[] = { NULL };
        static const PluginOps ops = {
                .program = "vestibule-relay-client",
                .role = "relay",
                .name = "main",
                .summary = "Creates, reads and deletes mailboxes at a relay for confirmed shares.",
                .capabilities = capabilities,
                .start = on_start,
                .request = on_request,
                .stop = on_stop,
                .option = option,
                .option_help = MAKE_KEY_HELP("relay-key", "relay-key.pub"),
        };

        return plugin_main(argc, argv, &ops);
}

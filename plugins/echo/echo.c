/* The teaching example of a channel, and the channel of the tests and benchmarks. Its phones are
 * programs: they connect to the Unix stream socket that the setting `listen` names, and speak
 * frames as ../PROTOCOL.md defines them, but without ids. The account's own address is
 * echo:gateway.
 *
 * A phone says
 *     {"type": "subscribe", "address": "echo:bob"}   send me what goes to this address; "*" means
 * all
 *     {"type": "taken", "message": "msg_…"}          I have it: the gateway is answered `sent`
 *     {"type": "bounce", "message": "msg_…", "permanent": true, "reason": "switched-off"}
 *     {"type": "delivered", "message": "msg_…"}      told to the gateway as it is; `read` as well
 *     {"type": "reply", "inbound": "1", "from": "echo:bob", "text": "123-456-789",
 *      "thread": "thr_…", "quoted": "msg_…", "button": "NO", "authentic": "weak", "automatic":
 * false} where `from` and one of `text` and `button` are needed, and `authentic` is `strong` if
 * absent.
 *
 * A phone hears
 *     {"type": "message", "message", "kind", "to", "text", "thread", "tag", "lang", "link",
 * "buttons"}
 *     {"type": "ack", "inbound": "1"}                           the reply is durable
 *     {"type": "again", "inbound": "1", "retry_after": 1}       repeat it, with the same `inbound`
 *
 * If several phones have an address, each gets the message and the first word counts. A message
 * that nobody has taken fails, for now, when the last phone of its address goes. A phone that
 * breaks these rules loses its own connection and nobody else's; one that does not read misses
 * messages.
 *
 * Read it from the bottom: echo_ops, then echo_start and echo_request, then what phones may say. */
#include "echo.h"

#include <errno.h>
#include <search.h>
#include <stddef.h>
#include <sys/epoll.h>
#include <sys/queue.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include "json-read.h"
#include "log.h"
#include "stream.h"
#include "time-text.h"

enum {
        PHONE_SUBSCRIPTIONS_MAX = 4096,
        NAME_SIZE_MAX = 256, /* bytes of an address, a message, an inbound id */
        TEXT_SIZE_MAX = 4096,
};

typedef struct Echo Echo;
typedef struct Phone Phone;
typedef struct Address Address;

/* One phone has one address. */
typedef struct Subscription {
        Phone *phone;
        Address *address;
        LIST_ENTRY(Subscription) of_phone, of_address;
} Subscription;

/* Lives while a phone or a send needs it. */
struct Address {
        char *name; /* the key in Echo.addresses, hence first */
        LIST_HEAD(, Subscription) subscriptions;
        size_t n_sends;
};

/* A `send` of the gateway that nobody has taken yet. */
typedef struct Send {
        char *message; /* the key in Echo.sends_by_message, hence first */
        int64_t id;
        Address *address;
        LIST_ENTRY(Send) of_echo;
} Send;

/* A `reply` that the gateway has not answered yet. It outlives its phone. */
typedef struct Question {
        Echo *echo;
        Phone *phone; /* NULL when it has gone */
        char *inbound;
        LIST_ENTRY(Question) of_phone;
} Question;

struct Phone {
        Echo *echo;
        FrameStream *stream;
        size_t n_subscriptions;
        LIST_HEAD(, Subscription) subscriptions;
        LIST_HEAD(, Question) questions;
        json_t *waiting; /* a reply that found the gateway's window full; nothing is read meanwhile
                          */
        LIST_ENTRY(Phone) of_echo;
        TAILQ_ENTRY(Phone) of_waiting;
};

struct Echo {
        Plugin *plugin;
        int listen_fd;
        bool bound;
        struct sockaddr_un path;
        sd_event_source *listen;
        void *addresses, *sends_by_message; /* trees of tsearch(3) */
        LIST_HEAD(, Send) sends;
        LIST_HEAD(, Phone) phones;
        TAILQ_HEAD(PhoneQueue, Phone) waiting;
};

/* Both trees are ordered by the string that their entries begin with. */
static int compare_keys(const void *a, const void *b) {
        return strcmp(*(const char *const *) a, *(const char *const *) b);
}

static void *tree_find(void *const *tree, const char *key) {
        void *node = tfind(&key, tree, compare_keys);

        return node ? *(void **) node : NULL;
}

/* Copies what is there of the named members. */
static int frame_copy(json_t *to, const json_t *from, const char *const *names) {
        for (; *names; names++) {
                json_t *value = json_object_get(from, *names);

                if (value && json_object_set(to, *names, value) < 0)
                        return -ENOMEM;
        }
        return 0;
}

/* --- Addresses, and the messages that wait at them --- */

static Address *address_get(Echo *e, const char *name) {
        Address *a = tree_find(&e->addresses, name);

        if (a)
                return a;
        a = calloc(1, sizeof(*a));
        if (!a)
                return NULL;
        a->name = strdup(name);
        if (!a->name || !tsearch(a, &e->addresses, compare_keys)) {
                free(a->name);
                free(a);
                return NULL;
        }
        return a;
}

static void address_release(Echo *e, Address *a) {
        if (!a || !LIST_EMPTY(&a->subscriptions) || a->n_sends > 0)
                return;
        (void) tdelete(a, &e->addresses, compare_keys);
        free(a->name);
        free(a);
}

/* Whether this phone, or any for NULL, has the address. Takes NULL. */
static bool address_has_phone(const Address *a, const Phone *phone) {
        const Subscription *s = a ? LIST_FIRST(&a->subscriptions) : NULL;

        for (; s; s = LIST_NEXT(s, of_address))
                if (!phone || s->phone == phone)
                        return true;
        return false;
}

/* The same for a message; phones that asked for all have it as well. */
static bool send_has_phone(Echo *e, const Send *s, const Phone *phone) {
        return address_has_phone(s->address, phone) ||
               address_has_phone(tree_find(&e->addresses, "*"), phone);
}

static json_t *failed(bool permanent, const char *reason) {
        json_t *answer = json_pack("{s:s, s:b, s:s}",
                        "type",
                        "failed",
                        "permanent",
                        permanent,
                        "reason",
                        reason);

        if (answer && !permanent)
                (void) json_object_set_new(answer, "retry_after", json_integer(1));
        return answer;
}

static int send_new(Echo *e, int64_t id, const char *message, const char *to, Send **ret) {
        Send *s = calloc(1, sizeof(*s));

        if (!s)
                return -ENOMEM;
        s->id = id;
        s->message = strdup(message);
        s->address = address_get(e, to);
        if (!s->message || !s->address || !tsearch(s, &e->sends_by_message, compare_keys)) {
                address_release(e, s->address);
                free(s->message);
                free(s);
                return -ENOMEM;
        }
        s->address->n_sends++;
        LIST_INSERT_HEAD(&e->sends, s, of_echo);
        *ret = s;
        return 0;
}

/* Answers the gateway and forgets the message. */
static void send_finish(Echo *e, Send *s, json_t *answer) {
        plugin_answer(e->plugin, s->id, answer);
        (void) tdelete(s, &e->sends_by_message, compare_keys);
        LIST_REMOVE(s, of_echo);
        s->address->n_sends--;
        address_release(e, s->address);
        free(s->message);
        free(s);
}

/* --- Replies: from a phone to the gateway, and its answer back --- */

static Phone *phone_free(Phone *phone);

static const char *const reply_members[] = {
        "inbound", "from", "text", "thread", "quoted", "button", NULL
};

static json_t *reply_new(const json_t *said) {
        static const char *const optional[] = { "authentic", "automatic", NULL };
        json_auto_t *reply = json_pack("{s:s, s:s, s:I, s:s, s:b}",
                        "type",
                        "reply",
                        "to",
                        "echo:gateway",
                        "received",
                        (json_int_t) time_wall(),
                        "authentic",
                        "strong",
                        "automatic",
                        false);

        if (!reply || frame_copy(reply, said, reply_members) < 0 ||
                        frame_copy(reply, said, optional) < 0)
                return NULL;
        return json_incref(reply);
}

/* Only `ack` says that the reply is durable; everything else, and no answer at all, is `again`. */
static json_t *reply_outcome(const json_t *answer, const char *inbound) {
        static const char *const names[] = { "retry_after", NULL };
        const char *type = json_string_value(json_object_get(answer, "type"));
        bool ack = type && streq(type, "ack");
        json_t *outcome =
                        json_pack("{s:s, s:s}", "type", ack ? "ack" : "again", "inbound", inbound);

        if (outcome && answer && !ack)
                (void) frame_copy(outcome, answer, names);
        return outcome;
}

static void wake_waiting(Echo *e);

static void on_reply_answer(Plugin *plugin, const json_t *answer, void *userdata) {
        Question *q = userdata;
        Echo *e = q->echo;

        (void) plugin;
        if (q->phone) {
                LIST_REMOVE(q, of_phone);
                if (frame_stream_send_new(q->phone->stream, reply_outcome(answer, q->inbound)) < 0)
                        (void) phone_free(q->phone);
        }
        free(q->inbound);
        free(q);
        wake_waiting(e);
}

/* The question has no deadline: only the gateway's answer makes room in the window, so nothing
 * would be won by giving up before, and a phone may repeat itself whenever it likes. */
static int ask_reply(Phone *phone, const json_t *said) {
        Question *q = calloc(1, sizeof(*q));
        int r;

        if (!q)
                return -ENOMEM;
        *q = (Question){ .echo = phone->echo, .phone = phone };
        q->inbound = strdup(json_string_value(json_object_get(said, "inbound")));
        r = q->inbound ? plugin_ask(phone->echo->plugin,
                                         reply_new(said),
                                         0,
                                         on_reply_answer,
                                         q,
                                         NULL)
                       : -ENOMEM;
        if (r < 0) {
                free(q->inbound);
                free(q);
                return r;
        }
        LIST_INSERT_HEAD(&phone->questions, q, of_phone);
        return 0;
}

/* First come, first served. */
static void wake_waiting(Echo *e) {
        Phone *phone;

        while (plugin_may_ask(e->plugin) && (phone = TAILQ_FIRST(&e->waiting))) {
                json_auto_t *said = TAKE_PTR(phone->waiting);

                TAILQ_REMOVE(&e->waiting, phone, of_waiting);
                if (ask_reply(phone, said) < 0)
                        (void) phone_free(phone);
                else
                        frame_stream_set_reading(phone->stream, true);
        }
}

/* --- What a phone may say. A negative return ends its connection. --- */

static bool authentic_is_valid(const char *authentic) {
        return streq(authentic, "strong") || streq(authentic, "weak") || streq(authentic, "none");
}

static int phone_reply(Phone *phone, const json_t *frame) {
        struct {
                const char *inbound, *from, *text, *thread, *quoted, *button, *authentic;
                bool automatic;
        } said = { .authentic = "strong" };
        typedef __typeof__(said) Said;
        static const JsonMember members[] = {
                { "inbound", JSON_KIND_STRING, offsetof(Said, inbound), true, 1, NAME_SIZE_MAX },
                { "from", JSON_KIND_STRING, offsetof(Said, from), true, 1, NAME_SIZE_MAX },
                { "text", JSON_KIND_STRING, offsetof(Said, text), false, 0, TEXT_SIZE_MAX },
                { "thread", JSON_KIND_STRING, offsetof(Said, thread), false, 1, NAME_SIZE_MAX },
                { "quoted", JSON_KIND_STRING, offsetof(Said, quoted), false, 1, NAME_SIZE_MAX },
                { "button", JSON_KIND_STRING, offsetof(Said, button), false, 1, NAME_SIZE_MAX },
                { "authentic", JSON_KIND_STRING, offsetof(Said, authentic), false, 0, 0 },
                { "automatic", JSON_KIND_BOOLEAN, offsetof(Said, automatic), false, 0, 0 },
        };
        JsonProblem problem;

        if (json_read_members(frame, members, N_ELEMENTS(members), false, &said, &problem) != 0 ||
                        !authentic_is_valid(said.authentic) || (!said.text && !said.button))
                return -EPROTO;
        if (plugin_may_ask(phone->echo->plugin))
                return ask_reply(phone, frame);

        /* Back-pressure: the socket fills until the gateway has caught up. */
        phone->waiting = json_incref((json_t *) frame);
        TAILQ_INSERT_TAIL(&phone->echo->waiting, phone, of_waiting);
        frame_stream_set_reading(phone->stream, false);
        return 0;
}

static int phone_subscribe(Phone *phone, const json_t *frame) {
        const char *name = json_string_value(json_object_get(frame, "address"));
        Subscription *s;
        Address *a;

        if (!name || !name[0] || strlen(name) > NAME_SIZE_MAX ||
                        phone->n_subscriptions == PHONE_SUBSCRIPTIONS_MAX)
                return -EPROTO;
        a = address_get(phone->echo, name);
        if (!a)
                return -ENOMEM;
        if (address_has_phone(a, phone))
                return 0;

        s = calloc(1, sizeof(*s));
        if (!s) {
                address_release(phone->echo, a);
                return -ENOMEM;
        }
        *s = (Subscription){ .phone = phone, .address = a };
        LIST_INSERT_HEAD(&phone->subscriptions, s, of_phone);
        LIST_INSERT_HEAD(&a->subscriptions, s, of_address);
        phone->n_subscriptions++;
        return 0;
}

/* `taken` and `bounce` answer the gateway's request, if it is still open and this phone's to
 * answer. */
static Send *phone_find_send(Phone *phone, const char *message) {
        Send *s = tree_find(&phone->echo->sends_by_message, message);

        return s && send_has_phone(phone->echo, s, phone) ? s : NULL;
}

static int phone_taken(Phone *phone, const char *message) {
        Send *s = phone_find_send(phone, message);

        if (s)
                send_finish(phone->echo, s, json_pack("{s:s}", "type", "sent"));
        return 0;
}

static bool reason_is_valid(const char *reason) {
        size_t size = strlen(reason);

        return size > 0 && size <= NAME_SIZE_MAX &&
               strspn(reason, "abcdefghijklmnopqrstuvwxyz0123456789-") == size;
}

/* Before `sent` a failure is the answer to the request, afterwards an event of its own. */
static int phone_bounce(Phone *phone, const char *message, const json_t *frame) {
        const char *reason = json_string_value(json_object_get(frame, "reason"));
        bool permanent = json_is_true(json_object_get(frame, "permanent"));
        Send *s = phone_find_send(phone, message);
        json_t *outcome;

        if (!reason || !reason_is_valid(reason))
                return -EPROTO;
        outcome = failed(permanent, reason);
        if (s) {
                send_finish(phone->echo, s, outcome);
                return 0;
        }
        if (outcome)
                (void) json_object_set_new(outcome, "message", json_string(message));
        plugin_tell(phone->echo->plugin, outcome);
        return 0;
}

static int on_phone_frame(FrameStream *stream, json_t *frame, void *userdata) {
        Phone *phone = userdata;
        const char *type = json_string_value(json_object_get(frame, "type"));
        const char *message = json_string_value(json_object_get(frame, "message"));

        (void) stream;
        if (streq(type, "reply"))
                return phone_reply(phone, frame);
        if (streq(type, "subscribe"))
                return phone_subscribe(phone, frame);

        if (!message || !message[0] || strlen(message) > NAME_SIZE_MAX)
                return -EPROTO;
        if (streq(type, "taken"))
                return phone_taken(phone, message);
        if (streq(type, "bounce"))
                return phone_bounce(phone, message, frame);
        if (!streq(type, "delivered") && !streq(type, "read"))
                return -EPROTO;
        plugin_tell(phone->echo->plugin, json_pack("{s:s, s:s}", "type", type, "message", message));
        return 0;
}

/* --- Phones come and go --- */

/* A message that nobody has taken fails when the last phone of its address has gone. */
static void fail_deserted(Echo *e) {
        Send *next;

        for (Send *s = LIST_FIRST(&e->sends); s; s = next) {
                next = LIST_NEXT(s, of_echo);
                if (!send_has_phone(e, s, NULL))
                        send_finish(e, s, failed(false, "no-phone"));
        }
}

static Phone *phone_free(Phone *phone) {
        Echo *e = phone->echo;
        Subscription *s;
        Question *q;

        LIST_REMOVE(phone, of_echo);
        if (phone->waiting)
                TAILQ_REMOVE(&e->waiting, phone, of_waiting);
        json_decref(phone->waiting);
        for (q = LIST_FIRST(&phone->questions); q; q = LIST_NEXT(q, of_phone))
                q->phone = NULL;
        while ((s = LIST_FIRST(&phone->subscriptions))) {
                LIST_REMOVE(s, of_phone);
                LIST_REMOVE(s, of_address);
                address_release(e, s->address);
                free(s);
        }
        fail_deserted(e);
        (void) frame_stream_free(phone->stream);
        free(phone);

        /* There is a descriptor to spare again. */
        if (e->listen)
                (void) sd_event_source_set_enabled(e->listen, SD_EVENT_ON);
        return NULL;
}

static void on_phone_end(FrameStream *stream, int error, const char *reason, void *userdata) {
        (void) stream;
        if (error == -EPROTO)
                log_notice("a phone lost its connection: %s", reason);
        (void) phone_free(userdata);
}

static int phone_new(Echo *e, int fd) {
        Phone *phone = calloc(1, sizeof(*phone));
        int r;

        if (!phone)
                return -ENOMEM;
        phone->echo = e;
        r = frame_stream_new(&phone->stream,
                        plugin_event(e->plugin),
                        fd,
                        on_phone_frame,
                        on_phone_end,
                        phone);
        if (r < 0) {
                free(phone);
                return r;
        }
        LIST_INSERT_HEAD(&e->phones, phone, of_echo);
        return 0;
}

static int on_listen(sd_event_source *source, int fd, uint32_t revents, void *userdata) {
        _cleanup_(closep) int phone_fd = -1;
        Echo *e = userdata;
        int r;

        (void) revents;
        phone_fd = accept4(fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
        if (phone_fd < 0) {
                /* The queue stays readable, so asking again at once would spin. */
                if (errno == EMFILE || errno == ENFILE || errno == ENOMEM) {
                        log_warning("no more phones for now: %s", strerror(errno));
                        (void) sd_event_source_set_enabled(source, SD_EVENT_OFF);
                }
                return 0;
        }
        r = phone_new(e, phone_fd);
        if (r < 0)
                log_warning("a phone could not be admitted: %s", strerror(-r));
        else
                (void) TAKE_FD(phone_fd);
        return 0;
}

/* --- What the gateway asks --- */

/* Returns how many phones have it now. One that does not read is passed over. */
static size_t deliver(const Address *a, const json_t *message) {
        const Subscription *s = a ? LIST_FIRST(&a->subscriptions) : NULL;
        size_t n = 0;

        for (; s; s = LIST_NEXT(s, of_address))
                if (frame_stream_queued(s->phone->stream) < STREAM_WINDOW_BYTES &&
                                frame_stream_send(s->phone->stream, message) >= 0)
                        n++;
        return n;
}

static json_t *message_new(const json_t *send) {
        static const char *const names[] = {
                "message", "kind", "to", "text", "thread", "tag", "lang", "link", "buttons", NULL
        };
        json_auto_t *message = json_pack("{s:s}", "type", "message");

        return message && frame_copy(message, send, names) >= 0 ? json_incref(message) : NULL;
}

static int echo_send(Echo *e, int64_t id, const json_t *frame) {
        const char *name = json_string_value(json_object_get(frame, "message"));
        const char *to = json_string_value(json_object_get(frame, "to"));
        const json_t *expires = json_object_get(frame, "expires");
        json_auto_t *message = NULL;
        Send *s;
        int r;

        if (!name || !to || strncmp(to, "echo:", 5) != 0) {
                plugin_answer(e->plugin, id, failed(true, "no-such-address"));
                return 0;
        }
        if (json_is_integer(expires) && json_integer_value(expires) <= time_wall()) {
                plugin_answer(e->plugin, id, failed(false, "expired"));
                return 0;
        }

        /* The gateway repeats a message when it has waited too long: the new request takes over. */
        s = tree_find(&e->sends_by_message, name);
        if (s)
                send_finish(e, s, failed(false, "repeated"));
        message = message_new(frame);
        r = message ? send_new(e, id, name, to, &s) : -ENOMEM;
        if (r < 0) {
                plugin_answer(e->plugin, id, failed(false, "out-of-memory"));
                return 0;
        }
        if (deliver(s->address, message) + deliver(tree_find(&e->addresses, "*"), message) == 0)
                send_finish(e, s, failed(false, "no-phone"));
        return 0;
}

static int echo_request(
                Plugin *plugin, void *state, const char *type, int64_t id, const json_t *frame) {
        (void) plugin;
        return streq(type, "send") ? echo_send(state, id, frame) : PLUGIN_UNSUPPORTED;
}

/* --- Start and stop --- */

static int listen_open(Echo *e, const char *path) {
        struct stat st;

        if (strlen(path) >= sizeof(e->path.sun_path))
                return -ENAMETOOLONG;
        e->path.sun_family = AF_UNIX;
        memcpy(e->path.sun_path, path, strlen(path));

        /* What an earlier run left behind; never anything but a socket. */
        if (lstat(path, &st) == 0 && S_ISSOCK(st.st_mode))
                (void) unlink(path);

        e->listen_fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        if (e->listen_fd < 0)
                return -errno;
        /* Before anybody can connect: between bind() and listen(). */
        if (bind(e->listen_fd, (struct sockaddr *) &e->path, sizeof(e->path)) < 0)
                return -errno;
        e->bound = true;
        if (chmod(path, 0600) < 0 || listen(e->listen_fd, SOMAXCONN) < 0)
                return -errno;
        return sd_event_add_io(
                        plugin_event(e->plugin), &e->listen, e->listen_fd, EPOLLIN, on_listen, e);
}

/* Questions have been given up before, so nobody refers to a phone any more. */
static void echo_stop(Plugin *plugin, void *state) {
        Echo *e = state;
        Phone *phone;

        (void) plugin;
        e->listen = sd_event_source_disable_unref(e->listen);
        e->listen_fd = close_fd(e->listen_fd);
        if (e->bound)
                (void) unlink(e->path.sun_path);
        while ((phone = LIST_FIRST(&e->phones))) {
                (void) frame_stream_flush(phone->stream);
                (void) phone_free(phone);
        }
        free(e);
}

static int echo_start(Plugin *plugin, const json_t *settings, void **ret_state) {
        const char *path = plugin_setting(settings, "listen", NULL);
        struct rlimit limit;
        Echo *e;
        int r;

        if (!path) {
                log_error("the setting `listen` is needed: the path of a Unix socket");
                return -EINVAL;
        }
        e = calloc(1, sizeof(*e));
        if (!e)
                return -ENOMEM;
        e->plugin = plugin;
        e->listen_fd = -1;
        TAILQ_INIT(&e->waiting);

        /* One descriptor for each phone. */
        if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
                limit.rlim_cur = limit.rlim_max;
                (void) setrlimit(RLIMIT_NOFILE, &limit);
        }
        r = listen_open(e, path);
        if (r < 0) {
                log_error("cannot listen on %s: %s", path, strerror(-r));
                echo_stop(plugin, e);
                return r;
        }
        plugin_tell_status(plugin, true, "");
        *ret_state = e;
        return 0;
}

const PluginOps echo_ops = {
        .program = "vestibule-echo",
        .role = "channel",
        .name = "echo",
        .summary = "A channel whose phones are programs on a Unix socket, for tests and as an "
                   "example.",
        .capabilities = (const char *const[]){ "reply", "receipt", NULL },
        .start = echo_start,
        .request = echo_request,
        .stop = echo_stop,
};

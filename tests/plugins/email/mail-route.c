/* One inbound route with a channel that does what a test tells it: words on stdin, JSON lines on
 * stdout.
 *
 * usage: mail-route PLACE [SETTINGS]
 *
 *     policy taken|later|refused|hold   what becomes of a mail; for recipients that begin with one
 *                                       of these words that counts
 *     settle N taken|later|refused      what becomes of a mail that is held
 *     limit N                           the channel is busy with that many
 *     quietly N                         the same, and whoever waits for room is not told
 *     quit                              as does the end of stdin
 *
 * Each is answered once it was done. A recipient is ours in hotel.test, but for those who begin
 * with "nobody". */
#include <assert.h>
#include <errno.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>

#include "cleanup.h"
#include "log.h"
#include "mail-route.h"
#include "secret.h"
#include "text.h"

enum {
        OPEN_MAX = 10000,
        TEXT_SHOWN_MAX = 4000,
        HOLD = -1,
        NUMBER = 3, /* of the route */
};

static const char *const words[] = {
        [MAIL_SETTLED_TAKEN] = "taken",
        [MAIL_SETTLED_LATER] = "later",
        [MAIL_SETTLED_REFUSED] = "refused",
};

struct EmailChannel {
        sd_event *event;
        const MailRouteOps *ops;
        MailRoute *route;
        int policy;
        size_t limit, n_open, n;
        uint64_t tokens[OPEN_MAX];
        const char *data[OPEN_MAX];
        size_t sizes[OPEN_MAX];
        char digests[OPEN_MAX][65];
        bool open[OPEN_MAX];
        bool was_busy;
};

static const MailRouteOps *const all[] = {
        &mail_route_lmtp, &mail_route_maildir, &mail_route_imap
};

static void print(json_t *line) {
        char *text = json_dumps(line, JSON_COMPACT);

        assert(text);
        (void) printf("%s\n", text);
        (void) fflush(stdout);
        free(text);
        json_decref(line);
}

static void digest(const char *data, size_t size, char ret[65]) {
        uint8_t hash[32];

        (void) crypto_generichash(hash, sizeof(hash), (const uint8_t *) data, size, NULL, 0);
        text_hex(hash, sizeof(hash), ret);
}

static int policy_of(const char *text, size_t size) {
        for (size_t i = 0; i < N_ELEMENTS(words); i++)
                if (size >= strlen(words[i]) && strncmp(text, words[i], strlen(words[i])) == 0)
                        return (int) i;
        return size >= 4 && strncmp(text, "hold", 4) == 0 ? HOLD : (int) N_ELEMENTS(words);
}

bool email_channel_is_busy(EmailChannel *channel) {
        bool busy = channel->n_open >= channel->limit;

        if (busy && !channel->was_busy)
                print(json_pack("{s:s}", "event", "busy"));
        channel->was_busy = channel->was_busy || busy;
        return busy;
}

bool email_channel_is_ours(EmailChannel *channel, const char *recipient) {
        const char *at = strrchr(recipient, '@');

        (void) channel;
        return at && streq(at, "@hotel.test") && strncmp(recipient, "nobody", 6) != 0;
}

void email_channel_route(EmailChannel *channel, size_t number, bool up, const char *reason) {
        assert(number == NUMBER);
        print(json_pack("{s:s, s:s, s:b, s:s}",
                        "event",
                        "route",
                        "scheme",
                        channel->ops->scheme,
                        "up",
                        up,
                        "reason",
                        reason));
}

static void settle(EmailChannel *channel, size_t n, MailSettlement settlement) {
        char now[65];

        /* What was borrowed is still what it was. */
        assert(n < channel->n && channel->open[n]);
        digest(channel->data[n], channel->sizes[n], now);
        assert(streq(now, channel->digests[n]));
        channel->open[n] = false;
        channel->n_open--;
        channel->ops->settle(channel->route, channel->tokens[n], settlement);
}

void email_channel_arrival(
                EmailChannel *channel, const MailRouteOps *ops, const MailArrival *arrival) {
        int policy = channel->policy;
        size_t n = channel->n++;
        json_t *line;

        assert(n < OPEN_MAX && ops == channel->ops);
        channel->route = arrival->route;
        channel->tokens[n] = arrival->token;
        channel->data[n] = arrival->data;
        channel->sizes[n] = arrival->size;
        channel->open[n] = true;
        channel->n_open++;
        digest(arrival->data, arrival->size, channel->digests[n]);
        line = json_pack("{s:s, s:I, s:s?, s:s?, s:I, s:s}",
                        "event",
                        "arrival",
                        "n",
                        (json_int_t) n,
                        "path",
                        arrival->path,
                        "recipient",
                        arrival->recipient,
                        "size",
                        (json_int_t) arrival->size,
                        "digest",
                        channel->digests[n]);
        if (arrival->size <= TEXT_SHOWN_MAX) /* what is no UTF-8 is left out */
                (void) json_object_set_new(
                                line, "text", json_stringn(arrival->data, arrival->size));
        print(line);
        if (arrival->recipient && policy_of(arrival->recipient, strlen(arrival->recipient)) <
                                                  (int) N_ELEMENTS(words))
                policy = policy_of(arrival->recipient, strlen(arrival->recipient));
        if (policy != HOLD)
                settle(channel, n, (MailSettlement) policy);
}

/* False: it is time to go. */
static bool obey(EmailChannel *channel, const char *line) {
        size_t n;
        int at = 0;

        if (streq(line, "quit"))
                return false;
        if (sscanf(line, "limit %zu", &n) == 1)
                channel->limit = n;
        else if (sscanf(line, "quietly %zu", &n) == 1) {
                channel->limit = n;
                channel->was_busy = false;
        } else if (strncmp(line, "policy ", 7) == 0)
                channel->policy = policy_of(line + 7, strlen(line + 7));
        else if (sscanf(line, "settle %zu %n", &n, &at) == 1 && at > 0)
                settle(channel, n, (MailSettlement) policy_of(line + at, strlen(line + at)));
        else
                assert(false);
        if (channel->was_busy && channel->n_open < channel->limit) {
                channel->was_busy = false;
                channel->ops->ready(channel->route);
        }
        print(json_pack("{s:s}", "event", "obeyed"));
        return true;
}

static int on_stdin(sd_event_source *source, int fd, uint32_t revents, void *userdata) {
        static char input[65536];
        static size_t size;
        EmailChannel *channel = userdata;
        ssize_t n = read(fd, input + size, sizeof(input) - size);
        char *end;

        (void) source;
        (void) revents;
        if (n <= 0)
                return sd_event_exit(channel->event, 0);
        size += (size_t) n;
        while ((end = memchr(input, '\n', size))) {
                *end++ = '\0';
                if (!obey(channel, input))
                        return sd_event_exit(channel->event, 0);
                size -= (size_t) (end - input);
                memmove(input, end, size);
        }
        return 0;
}

int main(int argc, char **argv) {
        static EmailChannel channel = { .limit = 64 };
        json_auto_t *settings = json_loads(argc > 2 ? argv[2] : "{}", 0, NULL);
        size_t kind = 0;

        assert(argc >= 2 && settings);
        log_open("mail-route");
        if (secret_init() < 0 || sd_event_default(&channel.event) < 0)
                return 71;
        while (kind < N_ELEMENTS(all) &&
                        (strncmp(argv[1], all[kind]->scheme, strlen(all[kind]->scheme)) != 0 ||
                                        argv[1][strlen(all[kind]->scheme)] != ':'))
                kind++;
        assert(kind < N_ELEMENTS(all));
        channel.ops = all[kind];
        if (channel.ops->new (&channel.route,
                            &(MailRouteStart){ .channel = &channel,
                                            .number = NUMBER,
                                            .event = channel.event,
                                            .place = argv[1],
                                            .settings = settings }) < 0)
                return 78;
        if (sd_event_add_io(channel.event, NULL, STDIN_FILENO, EPOLLIN, on_stdin, &channel) < 0)
                return 71;
        print(json_pack("{s:s}", "event", "started"));
        (void) sd_event_loop(channel.event);
        channel.route = channel.ops->free(channel.route);
        channel.event = sd_event_unref(channel.event);
        return 0;
}

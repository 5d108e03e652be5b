/* vestibulectl events: what happens to a tenant's shares, as it happens. The lines of a stream are
 * those of server-sent events (WHATWG HTML, section 9.2.6), as GET /v1/events writes them. */
#include <stdio.h>
#include <sysexits.h>

#include "ctl.h"

enum {
        LINE_MAX_BYTES = 64 * 1024,
        TRIES_MAX = 5, /* in a row, of a stream that has never begun */
        RETRY_MSEC_MAX = 60 * 1000,
};

typedef struct Reader {
        const CtlOptions *options;
        char *line; /* so far, LINE_MAX_BYTES of room */
        size_t n;
        char *data;    /* of the event so far, or NULL */
        char last[32]; /* what the next request says that it has read, or "" */
        char id[32];   /* of the event so far */
        long retry_msec;
        bool begun, shown; /* a stream; an event of it */
        bool comment, stop, bad, no_memory;
} Reader;

static void event_print(const json_t *event, const char *id) {
        const char *type = ctl_text(event, "type");
        const char *word = type && strncmp(type, "share.", 6) == 0 ? type + 6 : type;
        _cleanup_(freep) char *plain = ctl_plain(word),
                              *detail = ctl_plain(ctl_text(event, "detail")),
                              *share = ctl_plain(ctl_text(event, "share"));
        char at[40];

        if (type && streq(type, "reset")) {
                (void) printf("%s  from here on; what was before may be missing: `vestibulectl "
                              "share "
                              "list` shows how things are\n",
                                id);
                return;
        }
        ctl_local_time(ctl_text(event, "at"), at);
        (void) printf("%s  %s  %s  %s%s%s\n", id, at, share, plain, detail[0] ? "  " : "", detail);
}

/* An empty line: the event is whole. Without data nothing happened up to the id, and whoever does
 * not follow has seen all there is. */
static void dispatch(Reader *reader) {
        json_auto_t *event = NULL;

        if (reader->id[0])
                (void) snprintf(reader->last, sizeof(reader->last), "%s", reader->id);
        if (!reader->data) {
                reader->stop = !reader->options->follow && (reader->comment || reader->id[0]);
                return;
        }
        event = json_loads(reader->data, 0, NULL);
        free(reader->data);
        reader->data = NULL;
        if (!json_is_object(event))
                reader->bad = true;
        else if (reader->options->json)
                ctl_print_json(event, true);
        else
                event_print(event, reader->id);
        reader->shown = true;
        (void) fflush(stdout);
}

static void field_read(Reader *reader, const char *name, const char *value) {
        if (streq(name, "id") && value[0] && strlen(value) < sizeof(reader->id) &&
                        value[strspn(value, "0123456789abcdef-")] == 0)
                (void) snprintf(reader->id, sizeof(reader->id), "%s", value);
        else if (streq(name, "retry") && value[strspn(value, "0123456789")] == 0) {
                reader->retry_msec = strtol(value, NULL, 10);
                if (reader->retry_msec > RETRY_MSEC_MAX)
                        reader->retry_msec = RETRY_MSEC_MAX;
        } else if (streq(name, "data")) {
                if (reader->data) /* our events are one line each */
                        reader->bad = true;
                else {
                        reader->data = strdup(value);
                        reader->no_memory = !reader->data;
                }
        }
}

static void line_read(Reader *reader, char *line) {
        char *value = strchr(line, ':');

        if (!line[0]) {
                dispatch(reader);
                reader->id[0] = 0;
                reader->comment = false;
        } else if (value == line)
                reader->comment = true;
        else if (value) {
                *value++ = 0;
                field_read(reader, line, value + (*value == ' '));
        }
}

/* A piece of the stream. False ends the connection. */
static bool on_piece(const char *data, size_t size, void *userdata) {
        Reader *reader = userdata;

        reader->begun = true;
        for (size_t i = 0; i < size && !reader->stop && !reader->bad && !reader->no_memory; i++) {
                if (data[i] != '\n') {
                        if (reader->n == LINE_MAX_BYTES - 1)
                                reader->bad = true;
                        else
                                reader->line[reader->n++] = data[i];
                        continue;
                }
                reader->line[reader->n] = 0;
                reader->n = 0;
                line_read(reader, reader->line);
        }
        return !reader->stop && !reader->bad && !reader->no_memory;
}

/* One connection: until it ends, or there is nothing more to see. */
static int read_once(Reader *reader, CtlAnswer *answer) {
        char path[128] = "/v1/events";

        reader->n = 0;
        reader->comment = false;
        free(reader->data);
        reader->data = NULL;
        reader->id[0] = 0;
        ctl_query_add(path, sizeof(path), "after", reader->last[0] ? reader->last : NULL);
        return ctl_stream(reader->options, path, on_piece, reader, answer);
}

/* Whether it makes sense to come back: the stream ended, or nobody could answer just now. */
static bool may_come_back(const Reader *reader, int r, const CtlAnswer *answer) {
        if (r == 0 && answer->status == 429)
                return reader->options->follow;
        return r == EX_UNAVAILABLE || (r == 0 && (answer->status == 200 || answer->status == 503));
}

static int give_up(int r, const CtlAnswer *answer) {
        if (r == 0 && answer->status != 200)
                return ctl_refused(answer);
        (void) fprintf(stderr,
                        "vestibulectl: %s\n",
                        answer->error[0] ? answer->error : "the stream ended");
        return r == 0 ? EX_UNAVAILABLE : r;
}

static void pause_before_next(const Reader *reader, const CtlAnswer *answer) {
        long pause = answer->retry_after > 0 ? answer->retry_after * 1000 : reader->retry_msec;

        if (pause > RETRY_MSEC_MAX)
                pause = RETRY_MSEC_MAX;
        (void) fprintf(stderr,
                        "vestibulectl: %s; trying again in %ld s\n",
                        answer->error[0]        ? answer->error
                        : answer->status == 429 ? "too many requests wait"
                        : answer->status == 503 ? "the gateway is busy"
                                                : "the stream ended",
                        (pause + 999) / 1000);
        (void) usleep((useconds_t) pause * 1000);
}

/* Until everything was shown; or, where somebody follows, for ever once a stream has begun. */
static int follow(Reader *reader) {
        for (unsigned failures = 1;; failures++) {
                _cleanup_(ctl_answer_done) CtlAnswer answer = { 0 };
                int r;

                r = read_once(reader, &answer);
                if (reader->stop)
                        return 0;
                if (reader->no_memory)
                        return EX_OSERR;
                if (reader->bad) {
                        (void) fprintf(stderr, "vestibulectl: that is no stream of events\n");
                        return EX_PROTOCOL;
                }
                if (!may_come_back(reader, r, &answer))
                        return give_up(r, &answer);
                if (failures >= TRIES_MAX && !(reader->begun && reader->options->follow))
                        return give_up(r, &answer);
                pause_before_next(reader, &answer);
        }
}

int ctl_events(const CtlOptions *options, char **arguments) {
        const char *after = options->after ? options->after : options->follow ? "" : "0";
        Reader reader = { .options = options, .retry_msec = 3000 };
        int r;

        (void) arguments;
        if (strlen(after) >= sizeof(reader.last)) {
                (void) fprintf(stderr, "vestibulectl: --after takes the id of an event\n");
                return EX_USAGE;
        }
        (void) snprintf(reader.last, sizeof(reader.last), "%s", after);
        reader.line = malloc(LINE_MAX_BYTES);
        if (!reader.line)
                return EX_OSERR;
        r = follow(&reader);
        if (r == 0 && !reader.shown && !options->json)
                (void) fprintf(stderr,
                                "Nothing has happened %s.\n",
                                options->after ? "since" : "in the last three days");
        free(reader.line);
        free(reader.data);
        return r;
}

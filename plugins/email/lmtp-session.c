#include "lmtp-session.h"

#include <assert.h>
#include <ctype.h>
#include <errno.h>
#include <limits.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "text.h"

enum {
        OUTPUT_MAX = 64 * 1024, /* answers that may wait before no more commands are read */
        OUTPUT_LINE_MAX = 256,
        /* Room for the answers of one mail, and for what may wait before it. */
        OUTPUT_ROOM = OUTPUT_MAX + (LMTP_RECIPIENTS_MAX + 8) * OUTPUT_LINE_MAX,
        HOST_MAX = 200,
};

typedef enum State {
        STATE_NEW,       /* before LHLO */
        STATE_READY,     /* no mail begun */
        STATE_MAIL,      /* MAIL FROM accepted */
        STATE_RECIPIENT, /* the caller decides about a recipient */
        STATE_DATA,      /* inside a mail */
        STATE_DECIDE,    /* the caller decides about the mail */
        STATE_ENDED,
} State;

typedef enum Fault {
        FAULT_NONE,
        FAULT_BARE, /* CR or LF alone */
        FAULT_NUL,
        FAULT_LINE, /* longer than LMTP_LINE_MAX */
        FAULT_SIZE,
        FAULT_MAX,
} Fault;

struct LmtpSession {
        char host[HOST_MAX + 1];
        size_t size_max;
        State state;
        unsigned mistakes, idle_commands, refused;

        char input[LMTP_INPUT_MAX];
        size_t input_size;
        size_t scanned; /* of the input: holds no end of line up to here */
        bool skipping;  /* behind a command that was too long, before its CRLF */

        char output[OUTPUT_ROOM];
        size_t output_size;

        /* The mail that is open. */
        char path[LMTP_PATH_SIZE];
        bool utf8; /* SMTPUTF8 was asked for */
        char (*recipients)[LMTP_PATH_SIZE];
        LmtpAnswer answers[LMTP_RECIPIENTS_MAX]; /* LMTP_ANSWER_MAX: not yet */
        size_t n_recipients, n_answered;         /* answered: whose lines are out, in order */
        char candidate[LMTP_PATH_SIZE];
        char *data;
        size_t size, room, line_size;
        bool line_begun; /* the next octet does not stand at the start of a line */
        Fault fault;
};

static void end_mail(LmtpSession *session) {
        free(session->recipients);
        free(session->data);
        session->recipients = NULL;
        session->data = NULL;
        session->n_recipients = session->n_answered = 0;
        session->size = session->room = session->line_size = 0;
        session->line_begun = session->utf8 = false;
        session->fault = FAULT_NONE;
        session->path[0] = session->candidate[0] = '\0';
}

/* There is room: no command is read while much of the output waits; see lmtp_session_next(). */
static void answer(LmtpSession *session, const char *text) {
        size_t n = strlen(text);

        assert(OUTPUT_ROOM - session->output_size >= n + 2);
        memcpy(session->output + session->output_size, text, n);
        memcpy(session->output + session->output_size + n, "\r\n", 2);
        session->output_size += n + 2;
}

static void end_session(LmtpSession *session, const char *text) {
        answer(session, text);
        end_mail(session);
        session->state = STATE_ENDED;
}

static void mistake(LmtpSession *session, const char *text) {
        if (++session->mistakes > LMTP_MISTAKES_MAX)
                end_session(session, "421 4.7.0 Too many mistakes");
        else
                answer(session, text);
}

int lmtp_session_new(const char *host, size_t size_max, LmtpSession **ret) {
        _cleanup_(lmtp_session_freep) LmtpSession *session = NULL;
        char greeting[OUTPUT_LINE_MAX];

        if (strlen(host) == 0 || strlen(host) > HOST_MAX)
                return -EINVAL;
        for (const char *p = host; *p; p++)
                if ((unsigned char) *p <= ' ' || (unsigned char) *p >= 127)
                        return -EINVAL;
        session = calloc(1, sizeof(*session));
        if (!session)
                return -ENOMEM;
        memcpy(session->host, host, strlen(host) + 1);
        session->size_max = size_max;
        (void) snprintf(greeting, sizeof(greeting), "220 %s LMTP", host);
        answer(session, greeting);
        *ret = TAKE_PTR(session);
        return 0;
}

LmtpSession *lmtp_session_free(LmtpSession *session) {
        if (!session)
                return NULL;
        end_mail(session);
        free(session);
        return NULL;
}

bool lmtp_session_wants_input(const LmtpSession *session) {
        return lmtp_session_room(session) > 0;
}

size_t lmtp_session_room(const LmtpSession *session) {
        return session->state == STATE_ENDED ? 0 : LMTP_INPUT_MAX - session->input_size;
}

size_t lmtp_session_held(const LmtpSession *session) {
        return session->room;
}

size_t lmtp_session_push(LmtpSession *session, const char *data, size_t size) {
        size_t room = lmtp_session_room(session);

        if (size > room)
                size = room;
        memcpy(session->input + session->input_size, data, size);
        session->input_size += size;
        return size;
}

static void consume(LmtpSession *session, size_t size) {
        assert(size <= session->input_size);
        session->input_size -= size;
        memmove(session->input, session->input + size, session->input_size);
        session->scanned = 0;
}

/* A command's words behind its verb. */
typedef struct Arguments {
        const char *p;
} Arguments;

static void skip_spaces(Arguments *arguments) {
        while (*arguments->p == ' ')
                arguments->p++;
}

/* "<" path ">", copied without brackets. Source routes were obsolete in 2001 and are refused. */
static bool read_path(Arguments *arguments, char ret[LMTP_PATH_SIZE]) {
        const char *p = arguments->p;
        bool quoted = false;
        size_t n = 0;

        if (*p++ != '<' || *p == '@')
                return false;
        for (; *p && (quoted || *p != '>'); p++) {
                if (n + 2 >= LMTP_PATH_SIZE || *p == '<' || (!quoted && *p == ' '))
                        return false;
                if (quoted && *p == '\\' && p[1])
                        ret[n++] = *p++;
                else if (*p == '"')
                        quoted = !quoted;
                ret[n++] = *p;
        }
        ret[n] = '\0';
        if (*p != '>' || (p[1] != '\0' && p[1] != ' '))
                return false;
        arguments->p = p + 1;
        return n == 0 || (ret[0] != '@' && ret[n - 1] != '@');
}

static bool is_ascii(const char *text) {
        for (; *text; text++)
                if ((unsigned char) *text >= 0x80)
                        return false;
        return true;
}

/* A path that may be a recipient or a sender of this mail. */
static bool is_path_allowed(const LmtpSession *session, const char *path) {
        return is_ascii(path) || (session->utf8 && text_is_utf8(path, strlen(path)));
}

/* The next word, which ends at a space. False: there is none. */
static bool next_word(Arguments *arguments, const char **ret, size_t *ret_size) {
        skip_spaces(arguments);
        *ret = arguments->p;
        *ret_size = strcspn(arguments->p, " ");
        arguments->p += *ret_size;
        return *ret_size > 0;
}

static bool is_word(const char *word, size_t size, const char *name) {
        return size == strlen(name) && strncasecmp(word, name, size) == 0;
}

/* SIZE=n. False: not a number. */
static bool read_size(const char *word, size_t size, uint64_t *ret) {
        uint64_t n = 0;

        if (size <= 5 || size > 5 + 18)
                return false;
        for (size_t i = 5; i < size; i++) {
                if (!isdigit((unsigned char) word[i]))
                        return false;
                n = n * 10 + (uint64_t) (word[i] - '0');
        }
        *ret = n;
        return true;
}

/* Returns the answer to what is wrong with the parameters of MAIL, or NULL. */
static const char *read_mail_parameters(LmtpSession *session, Arguments *arguments) {
        const char *word;
        size_t size;

        while (next_word(arguments, &word, &size)) {
                uint64_t announced;

                if (size >= 5 && strncasecmp(word, "SIZE=", 5) == 0) {
                        if (!read_size(word, size, &announced))
                                return "501 5.5.4 SIZE is a number";
                        if (announced > session->size_max)
                                return "552 5.3.4 The message is too large";
                } else if (is_word(word, size, "SMTPUTF8"))
                        session->utf8 = true;
                else if (!is_word(word, size, "BODY=7BIT") && !is_word(word, size, "BODY=8BITMIME"))
                        return "555 5.5.4 Unknown parameter";
        }
        return NULL;
}

static void do_lhlo(LmtpSession *session, Arguments *arguments) {
        char line[OUTPUT_LINE_MAX];

        skip_spaces(arguments);
        if (!*arguments->p) {
                mistake(session, "501 5.5.4 LHLO wants a name");
                return;
        }
        end_mail(session);
        session->state = STATE_READY;
        (void) snprintf(line, sizeof(line), "250-%s", session->host);
        answer(session, line);
        answer(session, "250-PIPELINING");
        answer(session, "250-8BITMIME");
        answer(session, "250-SMTPUTF8");
        answer(session, "250-ENHANCEDSTATUSCODES");
        (void) snprintf(line, sizeof(line), "250 SIZE %zu", session->size_max);
        answer(session, line);
}

static void do_mail(LmtpSession *session, Arguments *arguments) {
        const char *wrong;

        if (session->state != STATE_READY) {
                mistake(session,
                                session->state == STATE_NEW ? "503 5.5.1 LHLO comes first"
                                                            : "503 5.5.1 MAIL was given already");
                return;
        }
        if (strncasecmp(arguments->p, "FROM:", 5) != 0) {
                mistake(session, "501 5.5.4 MAIL FROM:<path>");
                return;
        }
        arguments->p += 5;
        skip_spaces(arguments);
        if (!read_path(arguments, session->path) ||
                        (session->path[0] && !strchr(session->path, '@'))) {
                end_mail(session);
                mistake(session, "501 5.1.7 Not a path");
                return;
        }
        wrong = read_mail_parameters(session, arguments);
        if (!wrong && !is_path_allowed(session, session->path))
                wrong = "553 5.6.7 That path needs SMTPUTF8";
        if (wrong) {
                end_mail(session);
                mistake(session, wrong);
                return;
        }
        session->state = STATE_MAIL;
        answer(session, "250 2.1.0 Ok");
}

static void do_rcpt(LmtpSession *session, Arguments *arguments) {
        const char *word;
        size_t size;

        if (session->state != STATE_MAIL) {
                mistake(session, "503 5.5.1 MAIL comes first");
                return;
        }
        if (strncasecmp(arguments->p, "TO:", 3) != 0) {
                mistake(session, "501 5.5.4 RCPT TO:<path>");
                return;
        }
        arguments->p += 3;
        skip_spaces(arguments);
        if (!read_path(arguments, session->candidate) || !session->candidate[0] ||
                        (!strchr(session->candidate, '@') &&
                                        strcasecmp(session->candidate, "postmaster") != 0))
                mistake(session, "501 5.1.3 Not a path");
        else if (next_word(arguments, &word, &size))
                mistake(session, "555 5.5.4 Unknown parameter");
        else if (!is_path_allowed(session, session->candidate))
                mistake(session, "553 5.6.7 That path needs SMTPUTF8");
        else if (session->n_recipients == LMTP_RECIPIENTS_MAX)
                answer(session, "452 4.5.3 Too many recipients");
        else
                session->state = STATE_RECIPIENT;
}

static void do_data(LmtpSession *session) {
        if (session->state != STATE_MAIL)
                mistake(session, "503 5.5.1 MAIL comes first");
        else if (session->n_recipients == 0)
                mistake(session, "503 5.5.1 No recipient was accepted");
        else {
                session->state = STATE_DATA;
                answer(session, "354 End with a line that has only a dot");
        }
}

static void do_rset(LmtpSession *session) {
        end_mail(session);
        if (session->state == STATE_MAIL)
                session->state = STATE_READY;
        answer(session, "250 2.0.0 Ok");
}

typedef enum Verb {
        VERB_LHLO,
        VERB_MAIL,
        VERB_RCPT,
        VERB_DATA,
        VERB_RSET,
        VERB_NOOP,
        VERB_QUIT,
        VERB_VRFY,
        VERB_HELO,
        VERB_EHLO,
        VERB_MAX,
} Verb;

static Verb read_verb(const char *line, Arguments *ret) {
        static const char *const names[VERB_MAX] = {
                "LHLO", "MAIL", "RCPT", "DATA", "RSET", "NOOP", "QUIT", "VRFY", "HELO", "EHLO"
        };
        size_t size = strcspn(line, " ");

        ret->p = line + size;
        skip_spaces(ret);
        for (unsigned i = 0; i < VERB_MAX; i++)
                if (is_word(line, size, names[i]))
                        return (Verb) i;
        return VERB_MAX;
}

static void do_command(LmtpSession *session, const char *line) {
        Arguments arguments;
        Verb verb = read_verb(line, &arguments);

        if ((verb == VERB_DATA || verb == VERB_RSET || verb == VERB_QUIT) && *arguments.p) {
                mistake(session, "501 5.5.4 That command stands alone");
                return;
        }
        switch (verb) {
        case VERB_LHLO:
                do_lhlo(session, &arguments);
                break;
        case VERB_MAIL:
                do_mail(session, &arguments);
                break;
        case VERB_RCPT:
                do_rcpt(session, &arguments);
                break;
        case VERB_DATA:
                do_data(session);
                break;
        case VERB_RSET:
                do_rset(session);
                break;
        case VERB_NOOP:
                answer(session, "250 2.0.0 Ok");
                break;
        case VERB_QUIT:
                end_session(session, "221 2.0.0 Bye");
                break;
        case VERB_VRFY:
                answer(session, "252 2.1.5 Try and see");
                break;
        case VERB_HELO:
        case VERB_EHLO:
                mistake(session, "500 5.5.1 This is LMTP: LHLO");
                break;
        case VERB_MAX:
                mistake(session, "500 5.5.1 Unknown command");
        }
}

static bool has_control(const char *text, size_t size) {
        for (size_t i = 0; i < size; i++)
                if ((unsigned char) text[i] < 0x20 || text[i] == 0x7f)
                        return true;
        return false;
}

/* The offset of the first CRLF, or SIZE_MAX; what was looked at is not looked at again. */
static size_t find_end(LmtpSession *session) {
        const char *found = NULL;

        if (session->input_size > session->scanned)
                found = memmem(session->input + session->scanned,
                                session->input_size - session->scanned,
                                "\r\n",
                                2);
        if (found)
                return (size_t) (found - session->input);
        session->scanned = session->input_size > 0 ? session->input_size - 1 : 0;
        return SIZE_MAX;
}

/* Reads one command. False: it is not whole yet. */
static bool read_command(LmtpSession *session) {
        char line[LMTP_COMMAND_MAX];
        size_t size = find_end(session);

        if (size == SIZE_MAX) {
                size_t whole = session->input_size;

                if (whole < LMTP_COMMAND_MAX)
                        return false;
                if (!session->skipping)
                        mistake(session, "500 5.5.6 The line is too long");
                session->skipping = true;
                consume(session, whole - (session->input[whole - 1] == '\r'));
                return session->state == STATE_ENDED;
        }
        if (session->skipping) {
                session->skipping = false;
                consume(session, size + 2);
                return true;
        }
        if (size + 2 > LMTP_COMMAND_MAX) {
                mistake(session, "500 5.5.6 The line is too long");
                consume(session, size + 2);
                return true;
        }
        memcpy(line, session->input, size);
        line[size] = '\0';
        consume(session, size + 2);
        if (++session->idle_commands > LMTP_IDLE_COMMANDS_MAX)
                end_session(session, "421 4.7.0 Too many commands without a message");
        else if (has_control(line, size))
                mistake(session, "500 5.5.2 Control character, or CR or LF alone");
        else
                do_command(session, line);
        return true;
}

static void set_fault(LmtpSession *session, Fault fault) {
        if (session->fault == FAULT_NONE)
                session->fault = fault;
        free(session->data); /* it will be refused: nobody reads it */
        session->data = NULL;
        session->size = session->room = 0;
}

/* Keeps a piece of the mail. -ENOMEM. */
static int keep(LmtpSession *session, const char *data, size_t size) {
        if (session->fault != FAULT_NONE || size == 0)
                return 0;
        if (session->size_max - session->size < size) {
                set_fault(session, FAULT_SIZE);
                return 0;
        }
        if (session->room - session->size < size) {
                size_t room = 2 * session->room + size + 4096;
                char *grown;

                if (room > session->size_max)
                        room = session->size_max;
                grown = realloc(session->data, room);
                if (!grown)
                        return -ENOMEM;
                session->data = grown;
                session->room = room;
        }
        memcpy(session->data + session->size, data, size);
        session->size += size;
        return 0;
}

static void end_data(LmtpSession *session) {
        static const char *const refusals[FAULT_MAX] = {
                [FAULT_BARE] = "554 5.6.0 CR or LF alone",
                [FAULT_NUL] = "554 5.6.0 NUL octet",
                [FAULT_LINE] = "554 5.6.0 A line is too long",
                [FAULT_SIZE] = "552 5.3.4 The message is too large",
        };

        session->idle_commands = 0;
        if (session->fault == FAULT_NONE) {
                for (size_t i = 0; i < session->n_recipients; i++)
                        session->answers[i] = LMTP_ANSWER_MAX;
                session->state = STATE_DECIDE;
                return;
        }
        for (size_t i = 0; i < session->n_recipients; i++)
                answer(session, refusals[session->fault]);
        end_mail(session);
        session->state = STATE_READY;
}

/* Judges and keeps octets of one line, without its CRLF. */
static int take_text(LmtpSession *session, const char *data, size_t size) {
        session->line_size += size;
        if (session->line_size + 2 > LMTP_LINE_MAX)
                set_fault(session, FAULT_LINE);
        if (memchr(data, '\0', size))
                set_fault(session, FAULT_NUL);
        if (memchr(data, '\r', size) || memchr(data, '\n', size))
                set_fault(session, FAULT_BARE);
        if (!session->line_begun && size > 0 && data[0] == '.') /* stuffed */
                data++, size--;
        session->line_begun = true;
        return keep(session, data, size);
}

/* Reads lines of a mail. *ret_more is false when input is missing. */
static int read_data(LmtpSession *session, bool *ret_more) {
        size_t start = 0;
        int r = 0;

        *ret_more = true;
        while (r == 0) {
                const char *line = session->input + start;
                size_t left = session->input_size - start;
                const char *found = left >= 2 ? memmem(line, left, "\r\n", 2) : NULL;
                size_t size = found ? (size_t) (found - line) : left;

                if (!found && size < LMTP_LINE_MAX) {
                        *ret_more = false;
                        break;
                }
                if (!found)
                        size -= line[size - 1] == '\r';
                else if (!session->line_begun && size == 1 && line[0] == '.') {
                        start += 3;
                        end_data(session);
                        break;
                }
                r = take_text(session, line, size);
                start += size;
                if (found) {
                        start += 2;
                        if (r == 0)
                                r = keep(session, "\r\n", 2);
                        session->line_begun = false;
                        session->line_size = 0;
                }
        }
        consume(session, start);
        return r;
}

int lmtp_session_next(LmtpSession *session, LmtpEvent *ret) {
        bool more = true;
        int r;

        *ret = (LmtpEvent){ .kind = LMTP_EVENT_NOTHING };
        while (more && session->output_size < OUTPUT_MAX &&
                        (session->state == STATE_DATA || session->state <= STATE_MAIL)) {
                if (session->state != STATE_DATA) {
                        more = read_command(session);
                        continue;
                }
                r = read_data(session, &more);
                if (r < 0)
                        return r;
        }
        if (session->state == STATE_ENDED)
                ret->kind = LMTP_EVENT_CLOSE;
        else if (session->state == STATE_RECIPIENT) {
                ret->kind = LMTP_EVENT_RECIPIENT;
                ret->recipient = session->candidate;
        } else if (session->state == STATE_DECIDE)
                *ret = (LmtpEvent){ .kind = LMTP_EVENT_MAIL,
                        .path = session->path,
                        .data = session->data ? session->data : "",
                        .size = session->size,
                        .recipients = session->recipients,
                        .n_recipients = session->n_recipients };
        return 0;
}

void lmtp_session_answer_recipient(LmtpSession *session, LmtpAnswer given) {
        static const char *const texts[LMTP_ANSWER_MAX] = {
                [LMTP_ANSWER_TAKEN] = "250 2.1.5 Ok",
                [LMTP_ANSWER_LATER] = "451 4.3.0 Not now, try again",
                [LMTP_ANSWER_REFUSED] = "550 5.1.1 No such address",
        };

        assert(given < LMTP_ANSWER_MAX && session->state == STATE_RECIPIENT);
        session->state = STATE_MAIL;
        if (given == LMTP_ANSWER_TAKEN && !session->recipients) {
                session->recipients = calloc(LMTP_RECIPIENTS_MAX, sizeof(*session->recipients));
                if (!session->recipients)
                        given = LMTP_ANSWER_LATER;
        }
        if (given == LMTP_ANSWER_TAKEN)
                memcpy(session->recipients[session->n_recipients++],
                                session->candidate,
                                LMTP_PATH_SIZE);
        else if (++session->refused > LMTP_REFUSED_RECIPIENTS_MAX) {
                end_session(session, "421 4.7.0 Too many recipients that are not here");
                return;
        }
        answer(session, texts[given]);
}

void lmtp_session_answer_mail(LmtpSession *session, size_t recipient, LmtpAnswer given) {
        static const char *const texts[LMTP_ANSWER_MAX] = {
                [LMTP_ANSWER_TAKEN] = "250 2.0.0 Taken",
                [LMTP_ANSWER_LATER] = "451 4.3.0 Not now, try again",
                [LMTP_ANSWER_REFUSED] = "550 5.6.0 This message is of no use here",
        };

        assert(session->state == STATE_DECIDE && given < LMTP_ANSWER_MAX);
        assert(recipient < session->n_recipients && session->answers[recipient] == LMTP_ANSWER_MAX);
        session->answers[recipient] = given;
        while (session->n_answered < session->n_recipients &&
                        session->answers[session->n_answered] != LMTP_ANSWER_MAX)
                answer(session, texts[session->answers[session->n_answered++]]);
        if (session->n_answered == session->n_recipients) {
                end_mail(session);
                session->state = STATE_READY;
        }
}

void lmtp_session_end(LmtpSession *session) {
        if (session->state != STATE_ENDED)
                end_session(session, "421 4.3.2 Closing");
}

void lmtp_session_output(const LmtpSession *session, const char **ret_data, size_t *ret_size) {
        *ret_data = session->output;
        *ret_size = session->output_size;
}

void lmtp_session_written(LmtpSession *session, size_t size) {
        assert(size <= session->output_size);
        session->output_size -= size;
        memmove(session->output, session->output + size, session->output_size);
}

#include "imap-session.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "imap-reader.h"
#include "secret.h"
#include "text.h"

#define KEYWORD "$VestibuleTaken"

enum {
        OUTPUT_MAX = 8 * IMAP_NAME_MAX, /* of one command */
        KEPT_INPUT_MAX = 256 * 1024,    /* memory that stays from one response to the next */
        TAG_SIZE = 16,
};

typedef enum State {
        STATE_GREETING,
        STATE_CAPABILITY,
        STATE_AUTHENTICATE, /* waits for "+" */
        STATE_PASSWORD,     /* waits for what becomes of it */
        STATE_SELECT,
        STATE_IDLE,
        STATE_SEARCH,
        STATE_SIZE,
        STATE_BODY,
        STATE_MARK,
        STATE_LOGOUT,
        STATE_ENDED,
} State;

struct ImapSession {
        char *user, *password;
        char *folder; /* as a quoted string of modified UTF-7 */
        size_t size_max;

        State state;
        unsigned n_commands;
        char tag[TAG_SIZE];
        const char *reason;
        uint32_t bad_uid; /* the mail that ended it */

        char *input;
        size_t input_size, input_room;
        size_t consumed; /* of the input: a response that was read */
        ImapFrame frame;

        char output[OUTPUT_MAX];
        size_t output_size;

        bool plain, no_login;          /* what the server can */
        bool keywords, seen, writable; /* what the folder can */
        uint32_t validity;

        uint32_t uids[2 * IMAP_FOUND_MAX]; /* tidied when it is full */
        size_t n_uids;
        uint32_t uid; /* that a command is about */
        bool sized;
        uint64_t size;
        char *mail;
        size_t mail_size;
};

/* --- making one --- */

static bool is_plain(const char *text) {
        for (; *text; text++)
                if ((unsigned char) *text < ' ' || (unsigned char) *text > '~')
                        return false;
        return true;
}

/* text as a quoted string. NULL: no memory. */
static char *quote(const char *text) {
        char *quoted = malloc(2 * strlen(text) + 3), *p = quoted;

        if (!quoted)
                return NULL;
        *p++ = '"';
        for (; *text; text++) {
                if (*text == '"' || *text == '\\')
                        *p++ = '\\';
                *p++ = *text;
        }
        *p++ = '"';
        *p = '\0';
        return quoted;
}

/* One character of UTF-8, which is well-formed. */
static uint32_t next_character(const char **p) {
        unsigned char first = (unsigned char) *(*p)++;
        unsigned more = first >= 0xf0 ? 3 : first >= 0xe0 ? 2 : first >= 0xc0 ? 1 : 0;
        uint32_t c = more == 0 ? first : first & (0x3fU >> more);

        for (; more > 0; more--)
                c = c << 6 | ((unsigned char) *(*p)++ & 0x3fU);
        return c;
}

typedef struct Shift {
        char *p;
        uint32_t bits;
        unsigned n_bits;
} Shift;

/* Base64 of 16 bits of UTF-16, with "," in place of "/". */
static const char shift_digits[] =
                "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+,";

static void shift_unit(Shift *shift, uint32_t unit) {
        shift->bits = shift->bits << 16 | unit;
        for (shift->n_bits += 16; shift->n_bits >= 6; shift->n_bits -= 6)
                *shift->p++ = shift_digits[shift->bits >> (shift->n_bits - 6) & 63];
        shift->bits &= (1U << shift->n_bits) - 1;
}

static void shift_end(Shift *shift) {
        if (shift->n_bits > 0)
                *shift->p++ = shift_digits[shift->bits << (6 - shift->n_bits) & 63];
        *shift->p++ = '-';
        shift->bits = shift->n_bits = 0;
}

static void shift_character(Shift *shift, uint32_t c) {
        if (c < 0x10000) {
                shift_unit(shift, c);
                return;
        }
        shift_unit(shift, 0xd800 + ((c - 0x10000) >> 10));
        shift_unit(shift, 0xdc00 + ((c - 0x10000) & 0x3ff));
}

/* Modified UTF-7 (RFC 3501 section 5.1.3). ret has room for eight times the text. */
static void folder_name(const char *text, char *ret) {
        Shift shift = { .p = ret };

        while (*text) {
                if (*text >= ' ' && *text <= '~') {
                        *shift.p++ = *text;
                        if (*text++ == '&')
                                *shift.p++ = '-';
                        continue;
                }
                *shift.p++ = '&';
                while (*text && !(*text >= ' ' && *text <= '~'))
                        shift_character(&shift, next_character(&text));
                shift_end(&shift);
        }
        *shift.p = '\0';
}

static bool is_name(const char *text) {
        size_t size = strlen(text);

        return size > 0 && size <= IMAP_NAME_MAX && text_is_utf8(text, size);
}

int imap_session_new(const ImapAccount *account, ImapSession **ret) {
        _cleanup_(imap_session_freep) ImapSession *session = NULL;
        char folder[8 * IMAP_NAME_MAX + 1];

        if (!is_name(account->user) || !is_name(account->password) || !is_name(account->folder))
                return -EINVAL;
        for (const char *p = account->folder; *p; p++)
                if ((unsigned char) *p < ' ' || *p == 0x7f)
                        return -EINVAL;
        folder_name(account->folder, folder);
        if (strlen(folder) > IMAP_NAME_MAX)
                return -EINVAL;
        session = calloc(1, sizeof(*session));
        if (!session)
                return -ENOMEM;
        session->user = strdup(account->user);
        session->password = strdup(account->password);
        session->folder = quote(folder);
        session->size_max = account->size_max;
        if (!session->user || !session->password || !session->folder)
                return -ENOMEM;
        *ret = TAKE_PTR(session);
        return 0;
}

ImapSession *imap_session_free(ImapSession *session) {
        if (!session)
                return NULL;
        secret_free_string(session->user);
        secret_free_string(session->password);
        free(session->folder);
        free(session->input);
        free(session->mail);
        sodium_memzero(session->output, sizeof(session->output));
        free(session);
        return NULL;
}

/* --- commands --- */

static void session_end(ImapSession *session, const char *reason) {
        if (session->state == STATE_ENDED)
                return;
        session->state = STATE_ENDED;
        session->reason = reason;
}

static void say(ImapSession *session, const char *text) {
        size_t size = strlen(text);

        assert(OUTPUT_MAX - session->output_size >= size);
        memcpy(session->output + session->output_size, text, size);
        session->output_size += size;
}

/* Begins a command, whose words are said by the caller, with its tag. */
static void begin(ImapSession *session, State state) {
        (void) snprintf(session->tag, sizeof(session->tag), "v%u", ++session->n_commands);
        session->state = state;
        say(session, session->tag);
        say(session, " ");
}

static void say_number(ImapSession *session, uint32_t number) {
        char text[16];

        (void) snprintf(text, sizeof(text), "%" PRIu32, number);
        say(session, text);
}

static void log_in(ImapSession *session) {
        _cleanup_(secret_free_stringp) char *user = NULL;
        _cleanup_(secret_free_stringp) char *password = NULL;

        if (session->plain) {
                begin(session, STATE_AUTHENTICATE);
                say(session, "AUTHENTICATE PLAIN\r\n");
                return;
        }
        if (session->no_login || !is_plain(session->user) || !is_plain(session->password)) {
                session_end(session, "no-way-to-log-in");
                return;
        }
        user = quote(session->user);
        password = quote(session->password);
        if (!user || !password) {
                session_end(session, "out-of-memory");
                return;
        }
        begin(session, STATE_PASSWORD);
        say(session, "LOGIN ");
        say(session, user);
        say(session, " ");
        say(session, password);
        say(session, "\r\n");
}

/* RFC 4616: nobody else's name, a NUL, the user, a NUL, the password. */
static void say_password(ImapSession *session) {
        size_t n_user = strlen(session->user), n_password = strlen(session->password);
        char text[2 * IMAP_NAME_MAX + 2];
        char *coded;

        text[0] = '\0';
        memcpy(text + 1, session->user, n_user + 1);
        memcpy(text + n_user + 2, session->password, n_password);
        coded = text_base64(text, n_user + n_password + 2);
        sodium_memzero(text, sizeof(text));
        if (!coded) {
                session_end(session, "out-of-memory");
                return;
        }
        session->state = STATE_PASSWORD;
        say(session, coded);
        say(session, "\r\n");
        secret_free_string(coded);
}

static void select_folder(ImapSession *session) {
        session->writable = session->keywords = session->seen = true;
        begin(session, STATE_SELECT);
        say(session, "SELECT ");
        say(session, session->folder);
        say(session, "\r\n");
}

void imap_session_search(ImapSession *session, uint32_t first) {
        assert(imap_session_is_idle(session));
        session->n_uids = 0;
        begin(session, STATE_SEARCH);
        say(session, "UID SEARCH UID ");
        say_number(session, first == 0 ? 1 : first);
        say(session,
                        session->keywords ? ":* UNDELETED UNKEYWORD " KEYWORD "\r\n"
                                          : ":* UNDELETED UNSEEN\r\n");
}

static void fetch(ImapSession *session, State state, const char *what) {
        begin(session, state);
        say(session, "UID FETCH ");
        say_number(session, session->uid);
        say(session, what);
}

void imap_session_fetch(ImapSession *session, uint32_t uid) {
        assert(imap_session_is_idle(session) && uid > 0);
        session->uid = uid;
        session->sized = false;
        free(session->mail);
        session->mail = NULL;
        session->mail_size = 0;
        fetch(session, STATE_SIZE, " (UID RFC822.SIZE)\r\n");
}

char *imap_session_take_mail(ImapSession *session, size_t *ret_size) {
        *ret_size = session->mail_size;
        return TAKE_PTR(session->mail);
}

void imap_session_mark(ImapSession *session, uint32_t uid, bool refused) {
        assert(imap_session_is_idle(session) && uid > 0);
        session->uid = uid;
        begin(session, STATE_MARK);
        say(session, "UID STORE ");
        say_number(session, uid);
        say(session, " +FLAGS.SILENT (");
        say(session, session->keywords ? KEYWORD : "\\Seen");
        say(session, refused ? " \\Flagged)\r\n" : ")\r\n");
}

void imap_session_logout(ImapSession *session) {
        if (session->state != STATE_IDLE)
                return;
        begin(session, STATE_LOGOUT);
        say(session, "LOGOUT\r\n");
}

bool imap_session_is_idle(const ImapSession *session) {
        return session->state == STATE_IDLE;
}

/* --- what the server says --- */

static void read_capabilities(ImapSession *session, ImapReader *reader) {
        const char *atom;
        size_t size;

        session->plain = session->no_login = false;
        while (imap_read_char(reader, ' ') && imap_read_atom(reader, &atom, &size)) {
                if (imap_atom_is(atom, size, "AUTH=PLAIN"))
                        session->plain = true;
                else if (imap_atom_is(atom, size, "LOGINDISABLED"))
                        session->no_login = true;
        }
}

static void read_permanent_flags(ImapSession *session, ImapReader *reader) {
        const char *atom;
        size_t size;

        session->keywords = session->seen = false;
        if (!imap_read_char(reader, ' ') || !imap_read_char(reader, '('))
                return;
        while (imap_read_atom(reader, &atom, &size)) {
                if (imap_atom_is(atom, size, "\\*") || imap_atom_is(atom, size, KEYWORD))
                        session->keywords = true;
                else if (imap_atom_is(atom, size, "\\Seen"))
                        session->seen = true;
                (void) imap_read_char(reader, ' ');
        }
}

/* What stands in brackets behind OK. */
static void read_code(ImapSession *session, ImapReader *reader) {
        uint64_t number;

        if (!imap_read_char(reader, ' ') || !imap_read_char(reader, '['))
                return;
        if (imap_read_word(reader, "UIDVALIDITY")) {
                if (imap_read_char(reader, ' ') && imap_read_number(reader, UINT32_MAX, &number))
                        session->validity = (uint32_t) number;
        } else if (imap_read_word(reader, "PERMANENTFLAGS"))
                read_permanent_flags(session, reader);
        else if (imap_read_word(reader, "READ-ONLY"))
                session->writable = false;
        else if (imap_read_word(reader, "READ-WRITE"))
                session->writable = true;
}

static int compare_uids(const void *a, const void *b) {
        uint32_t x = *(const uint32_t *) a, y = *(const uint32_t *) b;

        return (x > y) - (x < y);
}

/* Sorted, each once, and no more than the lowest that are of use. */
static void tidy_uids(ImapSession *session) {
        size_t n = 0;

        qsort(session->uids, session->n_uids, sizeof(*session->uids), compare_uids);
        for (size_t i = 0; i < session->n_uids && n < IMAP_FOUND_MAX; i++)
                if (n == 0 || session->uids[n - 1] != session->uids[i])
                        session->uids[n++] = session->uids[i];
        session->n_uids = n;
}

static void add_uid(ImapSession *session, uint32_t uid) {
        if (session->n_uids == N_ELEMENTS(session->uids))
                tidy_uids(session);
        session->uids[session->n_uids++] = uid;
}

static void read_search(ImapSession *session, ImapReader *reader) {
        uint64_t uid;

        while (imap_read_char(reader, ' ') && imap_read_number(reader, UINT32_MAX, &uid))
                if (uid > 0)
                        add_uid(session, (uint32_t) uid);
}

typedef struct Fetched {
        uint64_t uid, size;
        bool has_size;
        const char *body;
        size_t body_size;
        bool quoted;
} Fetched;

static bool read_fetch_item(ImapReader *reader, Fetched *fetched) {
        const char *name;
        size_t size;

        if (!imap_read_atom(reader, &name, &size) || !imap_read_char(reader, ' '))
                return false;
        if (imap_atom_is(name, size, "UID"))
                return imap_read_number(reader, UINT32_MAX, &fetched->uid);
        if (imap_atom_is(name, size, "RFC822.SIZE"))
                return fetched->has_size = imap_read_number(reader, UINT64_MAX, &fetched->size);
        if (imap_atom_is(name, size, "BODY[]"))
                return imap_read_nstring(
                                reader, &fetched->body, &fetched->body_size, &fetched->quoted);
        return imap_skip_value(reader, IMAP_DEPTH_MAX);
}

static bool read_fetch_items(ImapReader *reader, Fetched *ret) {
        *ret = (Fetched){ 0 };
        if (!imap_read_char(reader, ' ') || !imap_read_char(reader, '('))
                return false;
        do
                if (!read_fetch_item(reader, ret))
                        return false;
        while (imap_read_char(reader, ' '));
        return imap_read_char(reader, ')');
}

static bool keep_mail(ImapSession *session, const Fetched *fetched) {
        char *mail = malloc(fetched->body_size + 1);
        size_t n = 0;

        if (!mail)
                return false;
        for (size_t i = 0; fetched->quoted && i < fetched->body_size; i++) {
                i += fetched->body[i] == '\\';
                mail[n++] = fetched->body[i];
        }
        if (!fetched->quoted) {
                memcpy(mail, fetched->body, fetched->body_size);
                n = fetched->body_size;
        }
        mail[n] = '\0';
        free(session->mail);
        session->mail = mail;
        session->mail_size = n;
        return true;
}

/* What it is not about, the server says because somebody else changed it. */
static void read_fetch(ImapSession *session, ImapReader *reader) {
        Fetched fetched;

        if (!read_fetch_items(reader, &fetched)) {
                session_end(session, "bad-answer");
                return;
        }
        if (fetched.uid != session->uid)
                return;
        if (session->state == STATE_SIZE && fetched.has_size) {
                session->sized = true;
                session->size = fetched.size;
        } else if (session->state == STATE_BODY && fetched.body && !keep_mail(session, &fetched))
                session_end(session, "out-of-memory");
}

static void read_numbered(ImapSession *session, ImapReader *reader) {
        if (imap_read_char(reader, ' ') && imap_read_word(reader, "FETCH"))
                read_fetch(session, reader);
}

static void read_greeting(ImapSession *session, bool authenticated) {
        if (authenticated)
                select_folder(session);
        else {
                begin(session, STATE_CAPABILITY);
                say(session, "CAPABILITY\r\n");
        }
}

static void read_untagged(ImapSession *session, ImapReader *reader) {
        uint64_t number;

        if (imap_read_number(reader, UINT64_MAX, &number))
                read_numbered(session, reader);
        else if (imap_read_word(reader, "BYE"))
                session_end(session, "server-leaves");
        else if (session->state == STATE_GREETING) {
                if (imap_read_word(reader, "OK"))
                        read_greeting(session, false);
                else if (imap_read_word(reader, "PREAUTH"))
                        read_greeting(session, true);
                else
                        session_end(session, "bad-greeting");
        } else if (imap_read_word(reader, "CAPABILITY"))
                read_capabilities(session, reader);
        else if (imap_read_word(reader, "SEARCH")) {
                if (session->state == STATE_SEARCH)
                        read_search(session, reader);
        } else if (imap_read_word(reader, "OK")) {
                if (session->state == STATE_SELECT)
                        read_code(session, reader);
        }
}

/* The folder is open: whether it can be worked with. */
static void read_selected(ImapSession *session, ImapReader *reader, ImapEvent *ret) {
        read_code(session, reader);
        if (session->validity == 0)
                session_end(session, "no-uidvalidity");
        else if (!session->writable || (!session->keywords && !session->seen))
                session_end(session, "read-only");
        else
                *ret = (ImapEvent){ .kind = IMAP_EVENT_READY,
                        .validity = session->validity,
                        .keyword = session->keywords };
}

/* The size is there: the content is asked for, if it is not too large. */
static void read_sized(ImapSession *session, ImapEvent *ret) {
        if (!session->sized)
                *ret = (ImapEvent){ .kind = IMAP_EVENT_ABSENT, .uid = session->uid };
        else if (session->size > session->size_max)
                *ret = (ImapEvent){ .kind = IMAP_EVENT_LARGE, .uid = session->uid };
        else
                fetch(session, STATE_BODY, " (UID BODY.PEEK[])\r\n");
}

/* A command was done. */
static void read_done(ImapSession *session, ImapReader *reader, ImapEvent *ret) {
        State state = session->state;

        session->state = STATE_IDLE;
        switch (state) {
        case STATE_CAPABILITY:
                log_in(session);
                break;
        case STATE_PASSWORD:
                select_folder(session);
                break;
        case STATE_SELECT:
                read_selected(session, reader, ret);
                break;
        case STATE_SEARCH:
                tidy_uids(session);
                *ret = (ImapEvent){
                        .kind = IMAP_EVENT_FOUND, .uids = session->uids, .n_uids = session->n_uids
                };
                break;
        case STATE_SIZE:
                read_sized(session, ret);
                break;
        case STATE_BODY:
                *ret = (ImapEvent){ .kind = session->mail ? IMAP_EVENT_MAIL : IMAP_EVENT_ABSENT,
                        .uid = session->uid };
                break;
        case STATE_MARK:
                *ret = (ImapEvent){ .kind = IMAP_EVENT_MARKED, .uid = session->uid };
                break;
        case STATE_GREETING:
        case STATE_AUTHENTICATE:
        case STATE_IDLE:
        case STATE_LOGOUT:
        case STATE_ENDED:
                session_end(session, "bad-answer");
        }
}

/* A command was not done. */
static void read_refusal(ImapSession *session, ImapEvent *ret) {
        switch (session->state) {
        case STATE_AUTHENTICATE:
        case STATE_PASSWORD:
                session_end(session, "not-logged-in");
                break;
        case STATE_SELECT:
                session_end(session, "no-such-folder");
                break;
        case STATE_SEARCH:
        case STATE_SIZE:
        case STATE_BODY:
        case STATE_MARK:
                *ret = (ImapEvent){ .kind = IMAP_EVENT_NO,
                        .uid = session->state == STATE_SEARCH ? 0 : session->uid };
                session->state = STATE_IDLE;
                break;
        default:
                session_end(session, "bad-answer");
        }
}

/* Whether the end of the command that is under way stands here. */
static bool read_tag(ImapSession *session, ImapReader *reader) {
        return session->state != STATE_GREETING && session->state != STATE_IDLE &&
               imap_read_word(reader, session->tag) && imap_read_char(reader, ' ');
}

static void read_tagged(ImapSession *session, ImapReader *reader, ImapEvent *ret) {
        bool tagged = read_tag(session, reader);

        if (tagged && imap_read_word(reader, "OK"))
                read_done(session, reader, ret);
        else if (tagged && (imap_read_word(reader, "NO") || imap_read_word(reader, "BAD")))
                read_refusal(session, ret);
        else
                session_end(session, "bad-answer");
}

static void read_response(ImapSession *session, const char *data, size_t size, ImapEvent *ret) {
        ImapReader reader;

        imap_reader_init(&reader, data, size - 2);
        if (imap_read_char(&reader, '*') && imap_read_char(&reader, ' '))
                read_untagged(session, &reader);
        else if (session->state == STATE_AUTHENTICATE && imap_read_char(&reader, '+'))
                say_password(session);
        else
                read_tagged(session, &reader, ret);
}

/* --- octets --- */

static void drop_consumed(ImapSession *session) {
        session->input_size -= session->consumed;
        memmove(session->input, session->input + session->consumed, session->input_size);
        session->consumed = 0;
}

int imap_session_push(ImapSession *session, const char *data, size_t size) {
        if (size == 0)
                return 0;
        if (session->consumed > 0)
                drop_consumed(session);
        if (session->input_room - session->input_size < size) {
                size_t room = 2 * session->input_room + size;
                char *grown = realloc(session->input, room);

                if (!grown)
                        return -ENOMEM;
                session->input = grown;
                session->input_room = room;
        }
        memcpy(session->input + session->input_size, data, size);
        session->input_size += size;
        return 0;
}

/* The room of a large mail is not kept. */
static void give_back_room(ImapSession *session) {
        if (session->consumed < session->input_size || session->input_room <= KEPT_INPUT_MAX)
                return;
        free(session->input);
        session->input = NULL;
        session->input_size = session->input_room = session->consumed = 0;
}

static bool next_response(ImapSession *session, ImapEvent *ret) {
        size_t max = IMAP_LITERALS_MAX + (session->state == STATE_BODY ? session->size_max : 0);
        const char *data;
        size_t size;

        if (session->input_size == session->consumed)
                return false;
        data = session->input + session->consumed;
        switch (imap_frame_scan(&session->frame,
                        data,
                        session->input_size - session->consumed,
                        max,
                        &size)) {
        case IMAP_FRAME_PART:
                return false;
        case IMAP_FRAME_WHOLE:
                session->frame = (ImapFrame){ 0 };
                read_response(session, data, size, ret);
                session->consumed += size;
                give_back_room(session);
                break;
        case IMAP_FRAME_TEXT:
                session_end(session, "bad-answer");
                break;
        case IMAP_FRAME_LITERAL:
                if (session->state == STATE_BODY)
                        session->bad_uid = session->uid;
                session_end(session, "too-large");
        }
        return true;
}

void imap_session_next(ImapSession *session, ImapEvent *ret) {
        *ret = (ImapEvent){ .kind = IMAP_EVENT_NOTHING };
        /* A server that answers what it has not been told yet waits. */
        while (session->output_size == 0 && ret->kind == IMAP_EVENT_NOTHING &&
                        session->state != STATE_ENDED && next_response(session, ret))
                ;
        if (session->state == STATE_ENDED)
                *ret = (ImapEvent){
                        .kind = IMAP_EVENT_CLOSE, .uid = session->bad_uid, .reason = session->reason
                };
}

void imap_session_output(const ImapSession *session, const char **ret_data, size_t *ret_size) {
        *ret_data = session->output;
        *ret_size = session->output_size;
}

void imap_session_written(ImapSession *session, size_t size) {
        assert(size <= session->output_size);
        session->output_size -= size;
        memmove(session->output, session->output + size, session->output_size);
        sodium_memzero(session->output + session->output_size, size);
}

#include "smtp-outcome.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <unistr.h>

#include "text.h"

enum {
        LIBCURL_WITH_SUFFIX = 0x080f00,
};

/* --- Following a session --- */

static void set_stage(SmtpTrace *trace, SmtpStage stage) {
        trace->stage = stage;
        trace->code = 0;
        trace->status[0] = '\0';
}

void smtp_trace_begin(SmtpTrace *trace, bool needs_utf8) {
        set_stage(trace, SMTP_STAGE_CONNECT);
        trace->needs_utf8 = needs_utf8;
        trace->lacks_utf8 = false;
}

bool smtp_trace_connected(SmtpTrace *trace) {
        set_stage(trace, SMTP_STAGE_MAIL);
        trace->lacks_utf8 = trace->needs_utf8 && !trace->offers_utf8;
        return !trace->lacks_utf8;
}

/* class "." subject "." detail, the latter two of one to three digits, behind a code of that class.
 */
static void read_status(SmtpTrace *trace, const char *text, size_t size) {
        size_t n = 1, digits;

        if (size < 5 || text[0] != '0' + trace->code / 100)
                return;
        for (int part = 0; part < 2; part++) {
                if (n >= size || text[n] != '.')
                        return;
                n++;
                for (digits = 0; n < size && isdigit((unsigned char) text[n]); n++)
                        digits++;
                if (digits < 1 || digits > 3)
                        return;
        }
        if (n < size && !isspace((unsigned char) text[n]))
                return;
        memcpy(trace->status, text, n);
        trace->status[n] = '\0';
}

static bool begins_with(const char *text, size_t size, const char *word) {
        size_t n = strlen(word);

        return size >= n && strncasecmp(text, word, n) == 0 &&
               (size == n || isspace((unsigned char) text[n]));
}

/* Greeting and STARTTLS (220) come before an EHLO, whose lines say what is offered. Old versions of
 * libcurl know SMTPUTF8 in capitals only, and without what they add the offer is of no use. */
static void note_offer(SmtpTrace *trace, const char *text, size_t size) {
        if (trace->code == 220)
                trace->offers_dsn = trace->offers_utf8 = false;
        if (trace->code != 250)
                return;
        trace->offers_dsn |= begins_with(text, size, "DSN");
        trace->offers_utf8 |= begins_with(text, size, "SMTPUTF8") &&
                              memcmp(text, "SMTPUTF8", strlen("SMTPUTF8")) == 0;
}

void smtp_trace_reply(SmtpTrace *trace, const char *line, size_t size) {
        bool goes_on;

        if (size < 3 || !isdigit((unsigned char) line[0]) || !isdigit((unsigned char) line[1]) ||
                        !isdigit((unsigned char) line[2]) || memcmp(line, "221", 3) == 0)
                return; /* 221 answers QUIT, which libcurl says when all is over */
        trace->code = (line[0] - '0') * 100 + (line[1] - '0') * 10 + (line[2] - '0');
        trace->status[0] = '\0';
        goes_on = size > 3 && line[3] == '-';
        if (size > 4) {
                read_status(trace, line + 4, size - 4);
                if (trace->stage == SMTP_STAGE_CONNECT)
                        note_offer(trace, line + 4, size - 4);
        }
        if (goes_on || trace->stage == SMTP_STAGE_CONNECT || trace->stage == SMTP_STAGE_CONTENT)
                return;
        if (trace->stage == SMTP_STAGE_DATA ? trace->code == 354 : trace->code / 100 == 2)
                set_stage(trace, trace->stage + 1);
}

/* --- The verdict --- */

/* The enhanced status says more than the code. */
static void set_reply_reason(const SmtpTrace *trace, SmtpOutcome *outcome) {
        if (trace->status[0])
                (void) snprintf(outcome->reason, SMTP_REASON_SIZE, "smtp-%s", trace->status);
        else
                (void) snprintf(outcome->reason, SMTP_REASON_SIZE, "smtp-%d", trace->code);
        for (char *p = outcome->reason; *p; p++)
                if (*p == '.')
                        *p = '-';
}

static void set_outcome(SmtpOutcome *outcome, SmtpVerdict verdict, bool down, const char *reason) {
        outcome->verdict = verdict;
        outcome->down = down;
        (void) snprintf(outcome->reason, SMTP_REASON_SIZE, "%s", reason);
}

static bool has_subject(const SmtpTrace *trace, char subject) {
        return trace->status[0] && trace->status[2] == subject && trace->status[3] == '.';
}

static bool is_detail(const SmtpTrace *trace, const char *detail) {
        return trace->status[0] && strcmp(trace->status + 1, detail) == 0;
}

/* 530 (RFC 3207, RFC 4954), 534, 535, 538: who is asked for another login, or for TLS. */
static bool wants_login(const SmtpTrace *trace) {
        return trace->code == 530 || trace->code == 534 || trace->code == 535 || trace->code == 538;
}

/* Syntax and parameters (RFC 5321 section 4.2.2, RFC 3463 5.5.x). */
static bool is_about_parameters(const SmtpTrace *trace) {
        return (trace->code == 555 || trace->code == 504 || trace->code == 501 ||
                               trace->code == 503) &&
               (!trace->status[0] || has_subject(trace, '5'));
}

/* What is only the recipient's, such as a full mailbox, counts as a try. Everything else that is
 * not for ever is the server's own state, or greylisting, for which many servers say 4.2.0. */
static void judge_temporary(const SmtpTrace *trace, SmtpOutcome *outcome) {
        bool of_recipient = has_subject(trace, '1') || has_subject(trace, '6') ||
                            (has_subject(trace, '2') && !is_detail(trace, ".2.0"));

        set_reply_reason(trace, outcome);
        if (trace->code != 421 && of_recipient) {
                outcome->verdict = SMTP_VERDICT_FAILED;
                return;
        }
        outcome->verdict = SMTP_VERDICT_LATER;
        outcome->slow = trace->code == 421 || has_subject(trace, '3') || is_detail(trace, ".4.5") ||
                        is_detail(trace, ".5.3") || trace->stage != SMTP_STAGE_RECIPIENT;
}

static void judge_permanent(const SmtpTrace *trace, SmtpOutcome *outcome) {
        set_reply_reason(trace, outcome);
        outcome->verdict = SMTP_VERDICT_REFUSED;
        if (wants_login(trace)) {
                set_outcome(outcome, SMTP_VERDICT_LATER, true, "not-authorized");
                outcome->login = true;
                return;
        }
        outcome->without_dsn = trace->stage <= SMTP_STAGE_RECIPIENT && is_about_parameters(trace);
        /* About us as its sender, unless it is about the mail: too large, or in UTF-8 (RFC 6531
         * section 3.5). */
        if (trace->stage == SMTP_STAGE_MAIL && trace->code != 552 && !is_detail(trace, ".3.4") &&
                        !is_detail(trace, ".6.7") && !is_detail(trace, ".6.9"))
                outcome->verdict = SMTP_VERDICT_FAILED;
}

static void judge_reply(const SmtpTrace *trace, SmtpOutcome *outcome) {
        if (trace->stage == SMTP_STAGE_CONNECT) {
                set_reply_reason(trace, outcome);
                outcome->verdict = SMTP_VERDICT_LATER;
                outcome->down = true;
                outcome->crowded = trace->code == 421;
        } else if (trace->code >= 500)
                judge_permanent(trace, outcome);
        else
                judge_temporary(trace, outcome);
}

/* What libcurl says of the way to the server, and of TLS. */
static const char *carrier_word(CURLcode code) {
        switch (code) {
        case CURLE_COULDNT_RESOLVE_HOST:
                return "host-not-found";
        case CURLE_COULDNT_CONNECT:
                return "connection-refused";
        case CURLE_PEER_FAILED_VERIFICATION:
        case CURLE_SSL_ISSUER_ERROR:
                return "certificate";
        case CURLE_SSL_CACERT_BADFILE:
                return "ca-file";
        case CURLE_USE_SSL_FAILED:
                return "no-starttls";
        case CURLE_SSL_CONNECT_ERROR:
        case CURLE_SSL_CIPHER:
                return "tls";
        default:
                return NULL;
        }
}

/* The session ended without a word. */
static void judge_break(const SmtpTrace *trace, CURLcode code, bool reused, SmtpOutcome *outcome) {
        bool timeout = code == CURLE_OPERATION_TIMEDOUT;
        const char *word = timeout              ? "timeout"
                           : trace->code >= 200 ? "bad-reply"
                                                : "connection-lost";

        if (code == CURLE_OUT_OF_MEMORY)
                set_outcome(outcome, SMTP_VERDICT_LATER, false, "out-of-memory");
        else if (trace->stage == SMTP_STAGE_CONTENT)
                set_outcome(outcome, SMTP_VERDICT_FAILED, false, word);
        else {
                set_outcome(outcome, SMTP_VERDICT_LATER, true, word);
                outcome->once_more = reused && !timeout;
        }
}

void smtp_outcome(const SmtpTrace *trace, CURLcode code, bool reused, SmtpOutcome *ret) {
        const char *word = carrier_word(code);

        *ret = (SmtpOutcome){ .verdict = SMTP_VERDICT_SENT };
        if (trace->lacks_utf8) {
                set_outcome(ret, SMTP_VERDICT_REFUSED, false, "smtputf8-not-offered");
                return;
        }
        if (code == CURLE_OK)
                return;
        if (word)
                set_outcome(ret, SMTP_VERDICT_LATER, true, word);
        else if (code == CURLE_LOGIN_DENIED && trace->code / 100 != 4) {
                set_outcome(ret, SMTP_VERDICT_LATER, true, "not-authorized");
                ret->login = true;
        } else if (trace->stage == SMTP_STAGE_CONTENT && trace->code / 100 == 2) {
                /* Taken, though libcurl wants to hear 250 and nothing else. */
        } else if (trace->code >= 400) {
                judge_reply(trace, ret);
                /* Whom we kept waiting too long says so when we come back: RFC 5321 section 3.8. */
                ret->once_more = reused && trace->code == 421 && trace->stage == SMTP_STAGE_MAIL;
        } else
                judge_break(trace, code, reused, ret);
}

/* --- What asks for reports --- */

/* xtext (RFC 3461 section 4). */
static size_t write_xtext(const char *text, char *ret, size_t size) {
        size_t n = 0;

        for (; *text && n + 4 < size; text++) {
                unsigned char c = (unsigned char) *text;

                if (c > ' ' && c < 0x7f && c != '+' && c != '=')
                        ret[n++] = *text;
                else
                        n += (size_t) sprintf(ret + n, "+%02X", c);
        }
        ret[n] = '\0';
        return n;
}

/* utf-8-addr-xtext (RFC 6533 section 3): code points beyond ASCII by their numbers. text is valid
 * UTF-8. */
static size_t write_utf8_xtext(const char *text, char *ret, size_t size) {
        const uint8_t *p = (const uint8_t *) text;
        size_t n = 0;
        ucs4_t c;

        while ((p = u8_next(&c, p)) && n + strlen("\\x{10FFFF}") < size) {
                if (c > ' ' && c < 0x7f && c != '+' && c != '=' && c != '\\')
                        ret[n++] = (char) c;
                else
                        n += (size_t) sprintf(ret + n, "\\x{%02X}", (unsigned) c);
        }
        ret[n] = '\0';
        return n;
}

bool smtp_path_needs_utf8(const char *path) {
        return !text_is_ascii(path, strlen(path));
}

/* libcurl closes the bracket that is left open here. */
static const char *open_bracket(unsigned libcurl_version) {
        return libcurl_version < LIBCURL_WITH_SUFFIX ? "<" : "";
}

void smtp_write_from(unsigned libcurl_version,
                bool dsn,
                const char *path,
                const char *envelope_id,
                char ret[SMTP_COMMAND_SIZE]) {
        char id[SMTP_COMMAND_SIZE / 4];

        if (!dsn) {
                (void) snprintf(ret, SMTP_COMMAND_SIZE, "<%s>", path);
                return;
        }
        (void) write_xtext(envelope_id, id, sizeof(id));
        (void) snprintf(ret,
                        SMTP_COMMAND_SIZE,
                        "<%s> RET=HDRS ENVID=%s%s",
                        path,
                        open_bracket(libcurl_version),
                        id);
}

void smtp_write_recipient(
                unsigned libcurl_version, bool dsn, const char *path, char ret[SMTP_COMMAND_SIZE]) {
        bool utf8 = smtp_path_needs_utf8(path);
        char original[SMTP_COMMAND_SIZE / 2]; /* at most six for one of 64, and a domain */

        if (!dsn) {
                (void) snprintf(ret, SMTP_COMMAND_SIZE, "<%s>", path);
                return;
        }
        if (utf8)
                (void) write_utf8_xtext(path, original, sizeof(original));
        else
                (void) write_xtext(path, original, sizeof(original));
        (void) snprintf(ret,
                        SMTP_COMMAND_SIZE,
                        "<%s> NOTIFY=SUCCESS,FAILURE,DELAY ORCPT=%s;%s%s",
                        path,
                        utf8 ? "utf-8" : "rfc822",
                        open_bracket(libcurl_version),
                        original);
}

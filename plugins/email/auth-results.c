#include "auth-results.h"

#include <assert.h>
#include <ctype.h>
#include <string.h>
#include <strings.h>

#include "text.h"

enum {
        VALUE_SIZE = 1024, /* of one value; a longer one is nothing that we compare */
        RESULTS_MAX = 64,  /* statements of one field, and properties of one statement */
};

/* What is known while the field is read; only DMARC's statements leave traces. */
typedef struct Reading {
        MailCursor at;
        size_t n_dmarc, n_domains;
        AuthResultsVerdict said;
        char domain[256];
} Reading;

static bool at_end(const Reading *reading) {
        return reading->at.p == reading->at.end;
}

static bool is_next(const Reading *reading, char c) {
        return !at_end(reading) && *reading->at.p == c;
}

/* Takes one character with the comments around it. */
static bool take(Reading *reading, char c) {
        if (!mail_skip_comments(&reading->at) || !is_next(reading, c))
                return false;
        reading->at.p++;
        return mail_skip_comments(&reading->at);
}

/* Keyword (RFC 8601 section 2.2): letters, digits and inner hyphens. Properties may have
 * underscores in life. In lower case. */
static bool read_keyword(Reading *reading, char *ret, size_t ret_size) {
        size_t n = 0;

        while (!at_end(reading) &&
                        (isalnum((unsigned char) *reading->at.p) || strchr("-_", *reading->at.p))) {
                if (*reading->at.p == '\0' || n + 1 >= ret_size)
                        return false;
                ret[n++] = (char) tolower((unsigned char) *reading->at.p++);
        }
        ret[n] = '\0';
        return n > 0;
}

/* value, or pvalue: a quoted string, an address with one as its local part, or a stretch that ends
 * where a comment, a space or the statement does. Signatures carry / and = unquoted in life. */
static bool read_value(Reading *reading, char *ret, size_t ret_size) {
        size_t n = 0;

        ret[0] = '\0';
        if (is_next(reading, '"')) {
                if (!mail_read_quoted(&reading->at, ret, ret_size))
                        return false;
                n = strlen(ret);
                if (!is_next(reading, '@'))
                        return true;
        }
        while (!at_end(reading) && (unsigned char) *reading->at.p > 32 && *reading->at.p != 127 &&
                        !strchr("();\"\\", *reading->at.p)) {
                if (n + 1 >= ret_size)
                        return false;
                ret[n++] = *reading->at.p++;
        }
        ret[n] = '\0';
        return n > 0 && text_is_utf8(ret, n);
}

/* The domain of an address or a domain alone, in the form that canonical addresses have. */
static bool canonical_domain(const char *text, char ret[256]) {
        const char *at = strrchr(text, '@');
        char spec[VALUE_SIZE + 2], uri[ADDRESS_SIZE_MAX];
        size_t n;

        at = at ? at + 1 : text;
        n = strlen(at);
        memcpy(spec, "x@", 2);
        memcpy(spec + 2, at, n);
        if (mail_address_from_spec(spec, n + 2, uri) != 0)
                return false;
        at = strrchr(uri, '@') + 1;
        if (strlen(at) >= 256)
                return false;
        memcpy(ret, at, strlen(at) + 1);
        return true;
}

static AuthResultsVerdict verdict_of(const char *result) {
        if (streq(result, "pass"))
                return AUTH_RESULTS_PASS;
        return streq(result, "fail") ? AUTH_RESULTS_FAIL : AUTH_RESULTS_NONE;
}

/* "reason" = value, or ptype "." property = pvalue; the keyword has not been read yet. */
static bool read_property(Reading *reading, bool dmarc, bool *reason) {
        char type[64], property[64] = "", value[VALUE_SIZE];

        if (!read_keyword(reading, type, sizeof(type)))
                return false;
        if (!mail_skip_comments(&reading->at))
                return false;
        if (is_next(reading, '.')) {
                if (!take(reading, '.') || !read_keyword(reading, property, sizeof(property)))
                        return false;
        } else if (!streq(type, "reason") || *reason)
                return false;
        else
                *reason = true;
        if (!take(reading, '=') || !read_value(reading, value, sizeof(value)))
                return false;

        if (!dmarc || !streq(type, "header") || !streq(property, "from"))
                return true;
        reading->n_domains++;
        return canonical_domain(value, reading->domain);
}

/* What follows a ";": method, its version, its result, and what that is about. */
static bool read_statement(Reading *reading) {
        char method[64], version[16], result[64];
        bool dmarc, reason = false;

        if (!read_keyword(reading, method, sizeof(method)) || !mail_skip_comments(&reading->at))
                return false;
        dmarc = streq(method, "dmarc");
        if (is_next(reading, '/') &&
                        (!take(reading, '/') || !read_keyword(reading, version, sizeof(version)) ||
                                        strspn(version, "0123456789") != strlen(version)))
                return false;
        if (!take(reading, '=') || !read_keyword(reading, result, sizeof(result)))
                return false;
        if (dmarc) {
                reading->n_dmarc++;
                reading->said = verdict_of(result);
        }

        for (size_t i = 0; i <= RESULTS_MAX; i++) {
                const char *before = reading->at.p;

                if (!mail_skip_comments(&reading->at))
                        return false;
                if (at_end(reading) || is_next(reading, ';'))
                        return true;
                if (before == reading->at.p || !read_property(reading, dmarc, &reason))
                        return false; /* nothing between two words, or no property */
        }
        return false;
}

/* Everything behind the authserv-id. "none" stands alone; a last ";" with nothing behind it is
 * common and changes nothing. */
static bool read_statements(Reading *reading) {
        char word[8];

        for (size_t n = 0; n <= RESULTS_MAX; n++) {
                MailCursor start;

                if (at_end(reading))
                        return true;
                if (!take(reading, ';'))
                        return false;
                if (at_end(reading))
                        return true;
                start = reading->at;
                if (n == 0 && read_keyword(reading, word, sizeof(word)) && streq(word, "none") &&
                                mail_skip_comments(&reading->at) && at_end(reading))
                        return true;
                reading->at = start;
                if (!read_statement(reading))
                        return false;
        }
        return false;
}

/* The authserv-id and the version, of which there is only 1. */
static bool read_server(Reading *reading, char *ret, size_t ret_size) {
        char version[8];

        if (!mail_skip_comments(&reading->at) || !read_value(reading, ret, ret_size) ||
                        strchr(ret, '=') || !mail_skip_comments(&reading->at))
                return false;
        if (at_end(reading) || is_next(reading, ';'))
                return true;
        return read_keyword(reading, version, sizeof(version)) && streq(version, "1") &&
               mail_skip_comments(&reading->at);
}

static bool is_same_server(const char *a, const char *b) {
        char domain_a[256], domain_b[256];

        if (strcasecmp(a, b) == 0)
                return true;
        return strlen(a) < VALUE_SIZE && strlen(b) < VALUE_SIZE && !strchr(a, '@') &&
               !strchr(b, '@') && canonical_domain(a, domain_a) && canonical_domain(b, domain_b) &&
               streq(domain_a, domain_b);
}

static AuthResultsVerdict conclude(const Reading *reading) {
        if (reading->n_dmarc == 0)
                return AUTH_RESULTS_NO_DMARC;
        return reading->n_dmarc > 1 || reading->n_domains > 1 ? AUTH_RESULTS_AMBIGUOUS
                                                              : reading->said;
}

void auth_results_parse(const char *value, size_t size, const char *authserv_id, AuthResults *ret) {
        Reading reading = { .at = { value, value + size } };
        char server[VALUE_SIZE];

        *ret = (AuthResults){ .verdict = AUTH_RESULTS_MALFORMED };
        if (!read_server(&reading, server, sizeof(server)))
                return;
        if (!is_same_server(server, authserv_id)) {
                ret->verdict = AUTH_RESULTS_FOREIGN;
                return;
        }
        if (!read_statements(&reading))
                return;
        ret->verdict = conclude(&reading);
        if (ret->verdict >= AUTH_RESULTS_NONE)
                memcpy(ret->domain, reading.domain, sizeof(ret->domain));
}

void auth_results_read(const MailHeader *header, const char *authserv_id, AuthResults *ret) {
        const MailField *top = mail_header_find(header, "Authentication-Results");

        *ret = (AuthResults){ .verdict = AUTH_RESULTS_ABSENT };
        if (!top)
                return;
        auth_results_parse(top->value, top->value_size, authserv_id, ret);
        if (top->spaced) /* no server writes it so, and not every server strips it */
                *ret = (AuthResults){ .verdict = AUTH_RESULTS_MALFORMED };
}

MailAuthentic auth_results_authentic(const AuthResults *results, const char *from) {
        const char *at = strrchr(from, '@');

        if (!at)
                return MAIL_AUTHENTIC_NONE;
        switch (results->verdict) {
        case AUTH_RESULTS_PASS:
                if (!results->domain[0])
                        return MAIL_AUTHENTIC_WEAK;
                return streq(results->domain, at + 1) ? MAIL_AUTHENTIC_STRONG : MAIL_AUTHENTIC_NONE;
        case AUTH_RESULTS_ABSENT:
        case AUTH_RESULTS_FOREIGN:
        case AUTH_RESULTS_NO_DMARC:
        case AUTH_RESULTS_NONE:
                return MAIL_AUTHENTIC_WEAK;
        case AUTH_RESULTS_MALFORMED:
        case AUTH_RESULTS_AMBIGUOUS:
        case AUTH_RESULTS_FAIL:
        case AUTH_RESULTS_VERDICT_MAX:
                return MAIL_AUTHENTIC_NONE;
        }
        return MAIL_AUTHENTIC_NONE;
}

const char *mail_authentic_name(MailAuthentic authentic) {
        static const char *const names[MAIL_AUTHENTIC_MAX] = { "none", "weak", "strong" };

        assert(authentic < MAIL_AUTHENTIC_MAX);
        return names[authentic];
}

const char *auth_results_verdict_name(AuthResultsVerdict verdict) {
        static const char *const names[AUTH_RESULTS_VERDICT_MAX] = {
                "absent", "foreign", "malformed", "ambiguous", "no-dmarc", "none", "fail", "pass"
        };

        assert(verdict < AUTH_RESULTS_VERDICT_MAX);
        return names[verdict];
}

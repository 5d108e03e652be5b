#include "reply-text.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "cleanup.h"
#include "html-text.h"
#include "secret.h"
#include "utf8-filter.h"

enum {
        GROWTH_MAX = 4, /* a byte that is no UTF-8 becomes three, and "<p>x" a quoted line */
        WORK_SIZE_MIN = 64,
        LINES_MAX = 16 * 1024,
        ATTRIBUTION_LINES_MAX = 4,
        ATTRIBUTION_MAX = 512, /* bytes */
        SHORT_LINE_MAX = 120,  /* of what programs put beneath */
        HEADER_LOOK_AHEAD = 8, /* lines in which Outlook's block shows itself */
};

typedef struct Line {
        const char *p;
        size_t n; /* without space at its end */
} Line;

typedef struct Lines {
        Line *lines;
        size_t n;
} Lines;

/* Space and no-break space at p, in bytes; 0 for anything else. */
static size_t space_size(const char *p, const char *end) {
        if (p < end && (*p == ' ' || *p == '\t' || *p == '\n'))
                return 1;
        return end - p >= 2 && memcmp(p, "\xc2\xa0", 2) == 0 ? 2 : 0;
}

static Line trim(const char *p, size_t n) {
        const char *end = p + n;
        size_t space;

        while ((space = space_size(p, end)) > 0)
                p += space;
        for (;;) {
                if (end > p && space_size(end - 1, end) == 1)
                        end--;
                else if (end - p >= 2 && space_size(end - 2, end) == 2)
                        end -= 2;
                else
                        return (Line){ p, (size_t) (end - p) };
        }
}

static bool starts_with(Line line, const char *prefix) {
        size_t n = strlen(prefix);

        return line.n >= n && strncasecmp(line.p, prefix, n) == 0;
}

static bool ends_with(Line line, const char *suffix) {
        size_t n = strlen(suffix);

        return line.n >= n && strncasecmp(line.p + line.n - n, suffix, n) == 0;
}

static bool contains(Line line, const char *part) {
        for (; line.n >= strlen(part); line.p++, line.n--)
                if (starts_with(line, part))
                        return true;
        return false;
}

static bool contains_digit(Line line) {
        for (size_t i = 0; i < line.n; i++)
                if (isdigit((unsigned char) line.p[i]))
                        return true;
        return false;
}

static bool starts_with_any(Line line, const char *const *prefixes, size_t n) {
        for (size_t i = 0; i < n; i++)
                if (starts_with(line, prefixes[i]))
                        return true;
        return false;
}

static bool is_quoted(Line line) {
        return line.n > 0 && line.p[0] == '>';
}

/* Programs mark bold with asterisks when they turn HTML into text. */
static Line without_stars(Line line) {
        while (line.n > 0 && (*line.p == '*' || *line.p == '_'))
                line.p++, line.n--;
        while (line.n > 0 && (line.p[line.n - 1] == '*' || line.p[line.n - 1] == '_'))
                line.n--;
        return trim(line.p, line.n);
}

/* "-----Original Message-----": three dashes at least on both sides, and words between them. */
static bool is_dashed_title(Line line) {
        size_t left = 0, right = 0;

        if (line.n > SHORT_LINE_MAX)
                return false;
        while (left < line.n && line.p[left] == '-')
                left++;
        while (right < line.n - left && line.p[line.n - 1 - right] == '-')
                right++;
        return left >= 3 && right >= 3 && line.n - left - right >= 4;
}

static bool is_key(Line line, const char *const *keys, size_t n) {
        for (size_t i = 0; i < n; i++) {
                Line rest = line;

                if (!starts_with(line, keys[i]))
                        continue;
                rest.p += strlen(keys[i]);
                rest.n -= strlen(keys[i]);
                while (rest.n > 0 && (*rest.p == '*' || space_size(rest.p, rest.p + rest.n))) {
                        size_t space = *rest.p == '*' ? 1 : space_size(rest.p, rest.p + rest.n);

                        rest.p += space;
                        rest.n -= space;
                }
                if (rest.n > 0 && *rest.p == ':')
                        return true;
        }
        return false;
}

/* The block of fields that Outlook copies, of which the first is the sender. */
static bool is_copied_header(const Lines *lines, size_t i) {
        static const char *const first[] = { "From", "Von", "De", "Expéditeur", "Remitente" };
        static const char *const more[] = { "Sent",
                "Date",
                "To",
                "Subject",
                "Cc",
                "Gesendet",
                "Datum",
                "An",
                "Betreff",
                "Envoyé",
                "À",
                "A",
                "Objet",
                "Enviado",
                "Enviado el",
                "Fecha",
                "Para",
                "Asunto",
                "Reply-To",
                "Antwort an" };
        size_t found = 0;

        if (!is_key(without_stars(lines->lines[i]), first, N_ELEMENTS(first)))
                return false;
        for (size_t j = i + 1; j < lines->n && j <= i + HEADER_LOOK_AHEAD; j++)
                found += is_key(without_stars(lines->lines[j]), more, N_ELEMENTS(more));
        return found >= 2;
}

/* Outlook's rule before that block. */
static bool is_rule_before_header(const Lines *lines, size_t i) {
        Line line = lines->lines[i];

        if (line.n < 10)
                return false;
        for (size_t k = 0; k < line.n; k++)
                if (line.p[k] != '_')
                        return false;
        for (i++; i < lines->n && lines->lines[i].n == 0;)
                i++;
        return i < lines->n && is_copied_header(lines, i);
}

static bool is_mobile_signature(Line line) {
        static const char *const prefixes[] = { "Sent from my ",
                "Sent from Mail",
                "Sent from Outlook",
                "Sent from Yahoo",
                "Sent from Proton",
                "Sent from Samsung",
                "Sent via ",
                "Get Outlook for ",
                "Get BlueMail for ",
                "Gesendet von meine",
                "Gesendet von Mail",
                "Gesendet von Outlook",
                "Gesendet mit der ",
                "Gesendet aus der ",
                "Diese Nachricht wurde von meinem ",
                "Holen Sie sich Outlook",
                "Outlook für ",
                "Envoyé de mon ",
                "Envoyé depuis ",
                "Envoyé à partir d",
                "Télécharger Outlook",
                "Téléchargez Outlook",
                "Obtenir Outlook",
                "Obtenez Outlook",
                "Enviado desde ",
                "Enviado de mi ",
                "Enviado do meu ",
                "Obtener Outlook",
                "Obtenga Outlook",
                "Obtén Outlook" };

        if (line.n > SHORT_LINE_MAX)
                return false;
        return starts_with_any(line, prefixes, N_ELEMENTS(prefixes)) ||
               (starts_with(line, "Von meine") && ends_with(line, " gesendet"));
}

/* "-- " alone; the space at its end is gone already, and some programs leave it out. */
static bool is_signature(Line line) {
        return (line.n == 2 && memcmp(line.p, "--", 2) == 0) || is_mobile_signature(line);
}

static bool says_wrote(Line text) {
        static const char *const words[] = { " wrote",
                " schrieb",
                " a écrit",
                " escribió",
                " ha scritto",
                " escreveu",
                " schreef" };

        for (size_t i = 0; i < N_ELEMENTS(words); i++)
                if (contains(text, words[i]))
                        return true;
        return false;
}

static bool starts_attribution(Line line) {
        static const char *const prefixes[] = { "On ", "Am ", "Le ", "El ", "Il ", "Em ", "Op " };

        return starts_with_any(line, prefixes, N_ELEMENTS(prefixes));
}

static bool is_followed_by_quotation(const Lines *lines, size_t i) {
        while (i < lines->n && lines->lines[i].n == 0)
                i++;
        return i < lines->n && is_quoted(lines->lines[i]);
}

/* Joins k lines with spaces. False: too long, or one of them cannot be a part. */
static bool join(
                const Lines *lines, size_t i, size_t k, char ret[ATTRIBUTION_MAX], Line *ret_line) {
        size_t n = 0;

        for (size_t j = i; j < i + k; j++) {
                Line line = lines->lines[j];

                if (line.n == 0 || is_quoted(line) || n + line.n + 1 > ATTRIBUTION_MAX)
                        return false;
                if (j > i && starts_attribution(line))
                        return false;
                if (j > i)
                        ret[n++] = ' ';
                memcpy(ret + n, line.p, line.n);
                n += line.n;
        }
        *ret_line = trim(ret, n);
        return true;
}

/* How many lines from i on are "On … wrote:"; 0 for none. A sentence of a person may look like it:
 * without the usual beginning or an address, a quotation must follow. */
static size_t attribution_lines(const Lines *lines, size_t i) {
        char joined[ATTRIBUTION_MAX];
        Line text, first = lines->lines[i];

        for (size_t k = 1; k <= ATTRIBUTION_LINES_MAX && i + k <= lines->n; k++) {
                bool known = starts_attribution(first) || memchr(first.p, '@', first.n);

                if (k > 1 && !known)
                        return 0;
                if (!join(lines, i, k, joined, &text))
                        return 0;
                if (!ends_with(text, ":") || !contains_digit(text))
                        continue;
                if (says_wrote(text) && (known || is_followed_by_quotation(lines, i + k)))
                        return k;
                if (memchr(text.p, '@', text.n) && is_followed_by_quotation(lines, i + k))
                        return k;
        }
        return 0;
}

static void append(char *text, size_t *size, size_t room, Line line) {
        if (room - *size < line.n + 1)
                return;
        memcpy(text + *size, line.p, line.n);
        *size += line.n;
        text[(*size)++] = '\n';
}

/* Sorts the lines: what stands above the first quotation, and what stands below. */
static void sort_lines(const Lines *lines,
                size_t room,
                char *above,
                size_t *ret_above,
                char *below,
                size_t *ret_below) {
        bool quotation = false, signature = false;

        *ret_above = *ret_below = 0;
        for (size_t i = 0; i < lines->n; i++) {
                Line line = lines->lines[i];
                size_t n;

                if (is_quoted(line)) {
                        quotation = true;
                        signature = false;
                        continue;
                }
                if (is_dashed_title(line) || is_copied_header(lines, i) ||
                                is_rule_before_header(lines, i))
                        return;
                n = line.n > 0 ? attribution_lines(lines, i) : 0;
                if (n > 0) {
                        if (!is_followed_by_quotation(lines, i + n))
                                return;
                        i += n - 1;
                        quotation = true;
                        signature = false;
                        continue;
                }
                signature |= is_signature(line);
                if (signature)
                        continue;
                if (quotation)
                        append(below, ret_below, room, line);
                else
                        append(above, ret_above, room, line);
        }
}

/* "Dear hotel," above a quotation is no answer yet. */
static bool goes_on_below(Line above) {
        return above.n == 0 || above.p[above.n - 1] == ',' || above.p[above.n - 1] == ':';
}

static void copy_result(Line above, Line below, char ret[REPLY_TEXT_MAX + 1]) {
        Utf8Filter filter;
        size_t size;
        Line whole;

        utf8_filter_init(&filter, ret, REPLY_TEXT_MAX + 1);
        utf8_filter_put(&filter, above.p, above.n);
        if (above.n > 0 && below.n > 0)
                utf8_filter_put(&filter, "\n", 1);
        utf8_filter_put(&filter, below.p, below.n);
        size = utf8_filter_end(&filter);
        whole = trim(ret, size);
        memmove(ret, whole.p, whole.n);
        ret[whole.n] = '\0';
}

static int split_lines(const char *text, size_t size, Lines *ret) {
        const char *p = text, *end = text + size;

        size_t n = 1;

        for (size_t i = 0; i < size; i++)
                n += text[i] == '\n';
        if (n > LINES_MAX)
                n = LINES_MAX;
        ret->lines = calloc(n, sizeof(*ret->lines));
        ret->n = 0;
        if (!ret->lines)
                return -ENOMEM;
        while (p < end && ret->n < n) {
                const char *feed = memchr(p, '\n', (size_t) (end - p));
                const char *stop = feed ? feed : end;

                ret->lines[ret->n++] = trim(p, (size_t) (stop - p));
                p = stop + 1;
        }
        return 0;
}

/* Joins the lines of paragraphs, in place: a line that ends with a space goes on in the next one of
 * the same depth. A stuffed space goes; one before a ">" that is text stays. */
static size_t unflow(char *text, size_t size, bool delete_space) {
        const char *p = text, *end = text + size;
        size_t n = 0, depth_before = 0;
        bool flowing = false;

        while (p < end) {
                const char *feed = memchr(p, '\n', (size_t) (end - p));
                const char *stop = feed ? feed : end;
                size_t depth = 0, line;
                bool signature;

                while (p + depth < stop && p[depth] == '>')
                        depth++;
                if (flowing && depth == depth_before) {
                        n--; /* over the line feed */
                        p += depth;
                        p += p < stop && *p == ' ';
                } else if (depth == 0 && stop - p >= 2 && p[0] == ' ' && p[1] != '>')
                        p++;
                line = (size_t) (stop - p);
                signature = line >= 3 && memcmp(stop - 3, "-- ", 3) == 0 && (line == 3 || depth);
                flowing = line > 0 && stop[-1] == ' ' && !signature;
                memmove(text + n, p, line);
                n += line - (flowing && delete_space ? 1 : 0);
                if (n < size)
                        text[n++] = '\n';
                depth_before = depth;
                p = stop + 1;
        }
        return n;
}

/* Makes UTF-8 with one way of quoting of whatever came. Returns its size. */
static size_t prepare(const char *text, size_t size, unsigned flags, char *ret, size_t ret_size) {
        Utf8Filter filter;
        size_t n;

        if (flags & REPLY_TEXT_HTML)
                return html_text(text, size, ret, ret_size);
        utf8_filter_init(&filter, ret, ret_size);
        utf8_filter_put(&filter, text, size);
        n = utf8_filter_end(&filter);
        return flags & REPLY_TEXT_FLOWED ? unflow(ret, n, flags & REPLY_TEXT_DELSP) : n;
}

int reply_text(const char *text, size_t size, unsigned flags, char ret[REPLY_TEXT_MAX + 1]) {
        _cleanup_(secret_done) Secret work = SECRET_NULL, above = SECRET_NULL, below = SECRET_NULL;
        size_t n, room, n_above, n_below;
        Lines lines;
        Line up, down;

        ret[0] = '\0';
        if (size > REPLY_TEXT_INPUT_MAX)
                size = REPLY_TEXT_INPUT_MAX;
        room = GROWTH_MAX * size + WORK_SIZE_MIN;
        if (secret_new(&work, room) < 0 || secret_new(&above, room) < 0 ||
                        secret_new(&below, room) < 0)
                return -ENOMEM;
        n = prepare(text, size, flags, (char *) work.data, room);
        if (split_lines((char *) work.data, n, &lines) < 0)
                return -ENOMEM;

        sort_lines(&lines, room, (char *) above.data, &n_above, (char *) below.data, &n_below);
        free(lines.lines);
        up = trim((char *) above.data, n_above);
        down = goes_on_below(up) ? trim((char *) below.data, n_below) : (Line){ up.p, 0 };
        copy_result(up, down, ret);
        return ret[0] ? 0 : REPLY_TEXT_E_EMPTY;
}

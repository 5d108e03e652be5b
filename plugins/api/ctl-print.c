/* What vestibulectl prints: tables, times and text that was written by others. */
#include <langinfo.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <time.h>
#include <wchar.h>
#include <wctype.h>

#include "ctl.h"
#include "json-quick.h"
#include "json-wipe.h"
#include "time-text.h"

const char *ctl_text(const json_t *object, const char *member) {
        return json_string_value(json_object_get(object, member));
}

/* Foreign text may hold escape sequences or marks that turn a line around: only what the locale
 * calls printable stays, and of that nothing of zero width but accents. */
char *ctl_plain(const char *text) {
        char *plain = calloc(1, text ? strlen(text) + 1 : 1);
        mbstate_t state = { 0 };
        size_t n = 0;

        if (!plain)
                abort();
        while (text && *text) {
                wchar_t c;
                size_t size = mbrtowc(&c, text, MB_CUR_MAX, &state);

                if (size == (size_t) -1 || size == (size_t) -2) {
                        state = (mbstate_t){ 0 };
                        plain[n++] = '?';
                        text++;
                        while ((*text & 0xc0) == 0x80)
                                text++;
                        continue;
                }
                if (iswprint((wint_t) c) && !(c >= 0x200b && c <= 0x206f) && c != 0x061c &&
                                c != 0xfeff) {
                        memcpy(plain + n, text, size);
                        n += size;
                } else
                        plain[n++] = '?';
                text += size;
        }
        return plain;
}

static size_t text_width(const char *text) {
        wchar_t wide[512];
        size_t n = mbstowcs(wide, text, N_ELEMENTS(wide) - 1);
        int width;

        if (n == (size_t) -1)
                return strlen(text);
        width = wcswidth(wide, n);
        return width < 0 ? n : (size_t) width;
}

static size_t terminal_width(void) {
        struct winsize size;

        if (!isatty(STDOUT_FILENO))
                return 4096; /* for other programs nothing is cut */
        if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col >= 20)
                return size.ws_col;
        return 80;
}

void ctl_table_init(CtlTable *table, size_t n_columns, ...) {
        va_list titles;

        *table = (CtlTable){ .n_columns = n_columns };
        va_start(titles, n_columns);
        for (size_t i = 0; i < n_columns; i++)
                ctl_table_add(table, va_arg(titles, const char *));
        va_end(titles);
}

void ctl_table_add(CtlTable *table, const char *text) {
        char **cells = reallocarray(table->cells, table->n_cells + 1, sizeof(*cells));

        if (!cells)
                abort();
        table->cells = cells;
        cells[table->n_cells++] = ctl_plain(text);
}

/* Ids are there to be copied: their columns are never cut. */
static bool holds_ids(const CtlTable *table, size_t column) {
        const char *text = table->n_cells > table->n_columns
                                           ? table->cells[table->n_columns + column]
                                           : "";

        return strncmp(text, "shr_", 4) == 0 || strncmp(text, "msg_", 4) == 0;
}

/* Takes space from the widest column until the line fits. */
static void widths_fit(const CtlTable *table, size_t widths[CTL_COLUMNS_MAX], size_t available) {
        for (;;) {
                size_t sum = 0, most = 0, widest = 0;

                for (size_t i = 0; i < table->n_columns; i++) {
                        sum += widths[i] + 2;
                        if (widths[i] > most && !holds_ids(table, i)) {
                                most = widths[i];
                                widest = i;
                        }
                }
                if (sum <= available + 2 || most <= 6)
                        return;
                widths[widest]--;
        }
}

static void cell_print(const char *text, size_t width, bool last) {
        size_t is = text_width(text), n = strlen(text);

        if (is <= width) {
                (void) printf("%s%*s", text, last ? 0 : (int) (width - is + 2), "");
                return;
        }
        while (n > 0 && is + 3 > width) {
                _cleanup_(freep) char *cut = NULL;

                do
                        n--;
                while (n > 0 && (text[n] & 0xc0) == 0x80);
                cut = strndup(text, n);
                is = cut ? text_width(cut) : 0;
        }
        (void) printf("%.*s...%*s", (int) n, text, last ? 0 : (int) (width - is - 3 + 2), "");
}

void ctl_table_print(CtlTable *table) {
        size_t widths[CTL_COLUMNS_MAX] = { 0 };

        for (size_t i = 0; i < table->n_cells; i++) {
                size_t width = text_width(table->cells[i]), column = i % table->n_columns;

                if (width > widths[column])
                        widths[column] = width;
        }
        widths_fit(table, widths, terminal_width());
        for (size_t i = 0; i < table->n_cells; i++) {
                size_t column = i % table->n_columns;
                bool last = column == table->n_columns - 1;

                cell_print(table->cells[i], widths[column], last);
                if (last)
                        (void) putchar('\n');
                free(table->cells[i]);
        }
        free(table->cells);
        *table = (CtlTable){ 0 };
}

void ctl_local_time(const char *text, char ret[40]) {
        int64_t seconds;
        struct tm tm;
        time_t t;

        if (!text || time_from_text(text, &seconds) < 0) {
                (void) snprintf(ret, 40, "%s", text ? text : "");
                return;
        }
        t = (time_t) seconds;
        if (!localtime_r(&t, &tm) || strftime(ret, 40, "%Y-%m-%d %H:%M:%S", &tm) == 0)
                (void) snprintf(ret, 40, "%s", text);
}

void ctl_field(const char *label, const char *value) {
        _cleanup_(freep) char *plain = ctl_plain(value);

        if (value)
                (void) printf("%-14s%s\n", label, plain);
}

static void line_break(unsigned depth) {
        (void) printf("\n%*s", (int) (2 * depth), "");
}

static void print_compact(const json_t *value) {
        _cleanup_(json_wipe_freep) char *text = json_quick_text(value);

        (void) fputs(text ? text : "null", stdout);
}

/* As jansson would, but for what is kept as it came, which has no other form. */
static void print_pretty(const json_t *value, unsigned depth) {
        const bool is_object = json_is_object(value);
        const char *separator = "";
        size_t size;

        if (json_quick_verbatim_text(value, &size) ||
                        json_object_size(value) + json_array_size(value) == 0) {
                print_compact(value);
                return;
        }
        (void) putchar(is_object ? '{' : '[');
        if (is_object) {
                const char *name;
                json_t *member;

                json_object_foreach((json_t *) value, name, member) {
                        json_auto_t *text = json_string(name);

                        (void) fputs(separator, stdout);
                        line_break(depth + 1);
                        print_compact(text);
                        (void) fputs(": ", stdout);
                        print_pretty(member, depth + 1);
                        separator = ",";
                }
        } else {
                for (size_t i = 0; i < json_array_size(value); i++) {
                        (void) fputs(separator, stdout);
                        line_break(depth + 1);
                        print_pretty(json_array_get(value, i), depth + 1);
                        separator = ",";
                }
        }
        line_break(depth);
        (void) putchar(is_object ? '}' : ']');
}

void ctl_print_json(const json_t *value, bool compact) {
        if (compact)
                print_compact(value);
        else
                print_pretty(value, 0);
        (void) putchar('\n');
        (void) fflush(stdout);
}

void ctl_print_code(const char *code) {
        _cleanup_(freep) char *plain = ctl_plain(code);
        size_t n = 2 * strlen(plain) + 3;
        bool bold = isatty(STDOUT_FILENO);

        (void) printf("\n    +");
        for (size_t i = 0; i < n; i++)
                (void) putchar('-');
        (void) printf("+\n    |  %s", bold ? "\033[1m" : "");
        for (const char *p = plain; *p; p++)
                (void) printf("%c ", *p);
        (void) printf("%s |\n    +", bold ? "\033[0m" : "");
        for (size_t i = 0; i < n; i++)
                (void) putchar('-');
        (void) printf("+\n\n"
                      "Tell the recipient this code yourself, by voice: in a call or face to "
                      "face.\n"
                      "Never send it the way the invitation goes. It is not shown again.\n");
}

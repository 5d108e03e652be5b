#include "relay-http.h"

#include <assert.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <time.h>

int relay_http_add_header(HttpRequest *request, const char *format, ...) {
        char *line;
        va_list ap;
        int r;

        assert(request->n_headers < HTTP_HEADERS_MAX);
        va_start(ap, format);
        r = vasprintf(&line, format, ap);
        va_end(ap);
        if (r < 0)
                return -ENOMEM;
        request->headers[request->n_headers++] = line;
        return 0;
}

bool relay_http_next_header(const HttpAnswer *answer,
                const char *name,
                size_t *offset,
                const char **ret,
                size_t *ret_size) {
        const size_t name_size = strlen(name);

        while (*offset < answer->headers_size) {
                const char *line = answer->headers + *offset;
                const char *end = memchr(line, '\n', answer->headers_size - *offset);
                size_t size = end ? (size_t) (end - line) : answer->headers_size - *offset;

                *offset += size + (end ? 1 : 0);
                if (size <= name_size || line[name_size] != ':' ||
                                strncasecmp(line, name, name_size) != 0)
                        continue;
                line += name_size + 1;
                size -= name_size + 1;
                while (size > 0 && (*line == ' ' || *line == '\t'))
                        line++, size--;
                while (size > 0 && (line[size - 1] == ' ' || line[size - 1] == '\t' ||
                                                   line[size - 1] == '\r'))
                        size--;
                *ret = line;
                *ret_size = size;
                return true;
        }
        return false;
}

/* Every echo must be right: an answer with two is somebody's answer to somebody else. */
RelayHttpEcho relay_http_echo(
                const HttpAnswer *answer, const char *name, const char *value, size_t size) {
        RelayHttpEcho echo = RELAY_HTTP_ECHO_MISSING;
        size_t offset = 0, found_size;
        const char *found;

        while (relay_http_next_header(answer, name, &offset, &found, &found_size)) {
                if (found_size != size || strncasecmp(found, value, size) != 0)
                        return RELAY_HTTP_ECHO_WRONG;
                echo = RELAY_HTTP_ECHO_RIGHT;
        }
        return echo;
}

const char *relay_http_json_reason(const JsonProblem *problem) {
        if (problem->error == JSON_E_DEPTH)
                return "answer-too-deep";
        switch (problem->syntax) {
        case JSON_SYNTAX_REPEATED:
                return "answer-repeated-member";
        case JSON_SYNTAX_UTF8:
                return "answer-not-utf8";
        case JSON_SYNTAX_OTHER:
                break;
        }
        return "answer-not-json";
}

unsigned relay_http_retry_after(const HttpAnswer *answer, int64_t now) {
        size_t offset = 0, size;
        const char *value;
        char text[64];
        int64_t seconds = 0;

        if (!relay_http_next_header(answer, "Retry-After", &offset, &value, &size) || size == 0 ||
                        size >= sizeof(text))
                return 0;
        memcpy(text, value, size);
        text[size] = 0;

        if (strspn(text, "0123456789") == size) {
                if (size > 9)
                        return RELAY_RETRY_AFTER_MAX;
                seconds = atoll(text);
        } else {
                struct tm tm = { 0 };
                const char *end = strptime(text, "%a, %d %b %Y %H:%M:%S GMT", &tm);

                if (!end || *end)
                        return 0;
                seconds = (int64_t) timegm(&tm) - now;
        }
        if (seconds < 0)
                return 0;
        return seconds > RELAY_RETRY_AFTER_MAX ? RELAY_RETRY_AFTER_MAX : (unsigned) seconds;
}

bool relay_http_is_transient(int status) {
        return status < 200 || status == 408 || status == 425 || status == 429 ||
               (status >= 500 && status != 501 && status != 505);
}

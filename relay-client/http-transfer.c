/* One request of the HTTP client while it is under way: the text that is sent, and the list that it
 * stands in. */
#include <errno.h>
#include <sodium.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "http-internal.h"

void http_transfer_list_append(HttpTransferList *list, HttpTransfer *t) {
        t->previous = list->last;
        t->next = NULL;
        if (list->last)
                list->last->next = t;
        else
                list->first = t;
        list->last = t;
        list->n++;
}

void http_transfer_list_prepend(HttpTransferList *list, HttpTransfer *t) {
        t->previous = NULL;
        t->next = list->first;
        if (list->first)
                list->first->previous = t;
        else
                list->last = t;
        list->first = t;
        list->n++;
}

void http_transfer_list_remove(HttpTransferList *list, HttpTransfer *t) {
        if (t->previous)
                t->previous->next = t->next;
        else
                list->first = t->next;
        if (t->next)
                t->next->previous = t->previous;
        else
                list->last = t->previous;
        list->n--;
}

HttpTransfer *http_transfer_free(HttpTransfer *t) {
        if (!t)
                return NULL;
        if (t->out) {
                sodium_memzero(t->out, t->out_size);
                free(t->out);
        }
        free(t);
        return NULL;
}

void http_transfer_fail(HttpTransfer *t, const char *failure) {
        const HttpAnswer answer = { .failure = failure, .answered = t->answered };

        t->done(&answer, t->userdata);
        (void) http_transfer_free(t);
}

void http_transfer_list_free(HttpTransferList *list) {
        while (list->first) {
                HttpTransfer *t = list->first;

                http_transfer_list_remove(list, t);
                (void) http_transfer_free(t);
        }
}

/* --- the request as text --- */

/* 0: ret and ret_size are the authority, *ret_path what follows, without a fragment. */
int http_transfer_split_url(const char *url,
                const char **ret,
                size_t *ret_size,
                const char **ret_path,
                size_t *ret_path_size) {
        static const char scheme[] = "https://";
        const char *path;
        size_t n;

        if (strncasecmp(url, scheme, sizeof(scheme) - 1) != 0)
                return -EINVAL;
        url += sizeof(scheme) - 1;
        n = strspn(url, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789.-_:[]");
        path = url + n;
        if (n == 0 || (*path && *path != '/' && *path != '?' && *path != '#'))
                return -EINVAL;
        *ret = url;
        *ret_size = n;
        *ret_path = path;
        *ret_path_size = strcspn(path, "#");
        for (size_t i = 0; i < *ret_path_size; i++)
                if (path[i] <= ' ' || path[i] >= 0x7f)
                        return -EINVAL;
        return 0;
}

static bool wants_length(const HttpRequest *request) {
        return request->body || strcmp(request->method, "POST") == 0 ||
               strcmp(request->method, "PUT") == 0;
}

static char *put(char *p, const char *text, size_t size) {
        return mempcpy(p, text, size);
}

static char *put_text(char *p, const char *text) {
        return put(p, text, strlen(text));
}

/* The line is "Name: value" in the request's text. */
static void note_echo(HttpTransfer *t, const char *line, size_t size) {
        size_t name_size = strlen(t->echo_name);

        if (size < name_size + 2 || memcmp(line, t->echo_name, name_size) != 0 ||
                        line[name_size] != ':')
                return;
        t->echo = line + name_size + 2;
        t->echo_size = size - name_size - 2;
}

int http_transfer_write(const HttpClient *c,
                const HttpRequest *request,
                const char *authority,
                const char *path,
                size_t path_size,
                HttpTransfer *t) {
        bool has_slash = path_size > 0 && path[0] == '/';
        size_t size = strlen(request->method) + strlen(authority) + path_size +
                      strlen(c->user_agent) + request->body_size + 160;
        char *p;

        for (size_t i = 0; i < request->n_headers; i++) {
                if (strpbrk(request->headers[i], "\r\n"))
                        return -EINVAL;
                size += strlen(request->headers[i]) + 2;
        }
        p = t->out = malloc(size);
        if (!p)
                return -ENOMEM;
        p = put_text(p, request->method);
        p = put_text(p, has_slash ? " " : " /");
        p = put(p, path, path_size);
        p = put_text(p, " HTTP/1.1\r\nHost: ");
        p = put_text(p, authority);
        p = put_text(p, "\r\nUser-Agent: ");
        p = put_text(p, c->user_agent);
        p = put_text(p, "\r\nAccept: application/json\r\n");
        t->echo_name = request->echoed;
        for (size_t i = 0; i < request->n_headers; i++) {
                char *line = p;

                p = put_text(put_text(p, request->headers[i]), "\r\n");
                if (t->echo_name)
                        note_echo(t, line, (size_t) (p - line) - 2);
        }
        if (wants_length(request))
                p += sprintf(p, "Content-Length: %zu\r\n", request->body_size);
        p = put_text(p, "\r\n");
        if (request->body)
                p = put(p, request->body, request->body_size);
        t->out_size = (size_t) (p - t->out);
        t->is_head = strcmp(request->method, "HEAD") == 0;
        return 0;
}

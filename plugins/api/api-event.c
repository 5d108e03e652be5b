#include "api-event.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cleanup.h"

enum { TYPE_SIZE_MAX = 64, ID_DIGITS_MAX = 16 };

/* It stands on a line of its own. */
static bool is_type(const char *text) {
        size_t n = text ? strspn(text, "abcdefghijklmnopqrstuvwxyz0123456789._") : 0;

        return n > 0 && n < TYPE_SIZE_MAX && text[n] == 0;
}

/* JSON without line feeds is one `data` line. */
static int write_event(FILE *file, const json_t *event) {
        const json_t *sequence = json_object_get(event, "sequence");
        const char *type = json_string_value(json_object_get(event, "type"));

        if (!json_is_integer(sequence) || !is_type(type))
                return -EBADMSG;
        (void) fprintf(file,
                        "id: %lld\nevent: %s\ndata: ",
                        (long long) json_integer_value(sequence),
                        type);
        if (json_dumpf(event, file, JSON_COMPACT) < 0)
                return -ENOMEM;
        (void) fputs("\n\n", file);
        return 0;
}

static int write_body(FILE *file, const json_t *body, bool opening) {
        const json_t *events = json_object_get(body, "events");
        const json_t *cursor = json_object_get(body, "cursor");
        json_t *event;
        size_t i;

        if (!json_is_array(events) || !json_is_integer(cursor))
                return -EBADMSG;
        if (opening)
                (void) fprintf(file, "retry: %d\n", API_EVENT_RETRY_MSEC);
        if (opening && json_array_size(events) == 0)
                (void) fprintf(file, "id: %lld\n", (long long) json_integer_value(cursor));
        if (opening)
                (void) fputs("\n", file);
        else if (json_array_size(events) == 0)
                (void) fputs(":\n\n", file);
        json_array_foreach(events, i, event) {
                int r = write_event(file, event);

                if (r < 0)
                        return r;
        }
        return 0;
}

int api_event_text(const json_t *body, bool opening, char **ret) {
        _cleanup_(freep) char *text = NULL;
        size_t size = 0;
        FILE *file = open_memstream(&text, &size);
        int r;

        if (!file)
                return -ENOMEM;
        r = write_body(file, body, opening);
        if (fclose(file) != 0 && r >= 0)
                r = -ENOMEM;
        if (r < 0)
                return r;
        *ret = TAKE_PTR(text);
        return 0;
}

int api_event_id_read(const char *header, int64_t *ret, ApiFault *ret_fault) {
        size_t n = strspn(header, "0123456789");

        if (n == 0 || n > ID_DIGITS_MAX || header[n])
                return api_fault(ret_fault,
                                API_PROBLEM_INVALID_HEADER,
                                NULL,
                                "Send the `id` of the last event that you read as Last-Event-ID, "
                                "or none to read from now on.");
        *ret = strtoll(header, NULL, 10);
        return 0;
}

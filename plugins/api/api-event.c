#include "api-event.h"

#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cleanup.h"

enum { TYPE_SIZE_MAX = 64, NUMBER_DIGITS_MAX = 16, TAG_DIGITS = 8 };

#define NUMBER_MAX INT64_C(9007199254740991) /* what a JSON number holds exactly everywhere */

bool api_event_id_is(const char *text) {
        size_t n = strspn(text, "0123456789");

        if (n == 0 || n > NUMBER_DIGITS_MAX || strtoll(text, NULL, 10) > NUMBER_MAX)
                return false;
        return !text[n] || (text[n] == '-' && strlen(text + n + 1) == TAG_DIGITS &&
                                           strspn(text + n + 1, "0123456789abcdef") == TAG_DIGITS);
}

json_t *api_event_id_json(const char *id) {
        return strchr(id, '-') ? json_string(id) : json_integer(strtoll(id, NULL, 10));
}

/* The gateway's id of an event, or its number alone. False: it is neither. */
static bool id_text(const json_t *id, char ret[API_EVENT_ID_SIZE]) {
        if (json_is_integer(id))
                (void) snprintf(ret, API_EVENT_ID_SIZE, "%lld", (long long) json_integer_value(id));
        else if (!json_is_string(id) ||
                        snprintf(ret, API_EVENT_ID_SIZE, "%s", json_string_value(id)) >=
                                        API_EVENT_ID_SIZE)
                return false;
        return api_event_id_is(ret);
}

/* It stands on a line of its own. */
static bool is_type(const char *text) {
        size_t n = text ? strspn(text, "abcdefghijklmnopqrstuvwxyz0123456789._") : 0;

        return n > 0 && n < TYPE_SIZE_MAX && text[n] == 0;
}

/* JSON without line feeds is one `data` line. */
static int write_event(FILE *file, const json_t *event) {
        const json_t *id = json_object_get(event, "id");
        const char *type = json_string_value(json_object_get(event, "type"));
        char text[API_EVENT_ID_SIZE];

        if (!id_text(id ? id : json_object_get(event, "sequence"), text) || !is_type(type))
                return -EBADMSG;
        (void) fprintf(file, "id: %s\nevent: %s\ndata: ", text, type);
        if (json_dumpf(event, file, JSON_COMPACT) < 0)
                return -ENOMEM;
        (void) fputs("\n\n", file);
        return 0;
}

static int write_body(FILE *file, const json_t *body, bool opening) {
        const json_t *events = json_object_get(body, "events");
        char cursor[API_EVENT_ID_SIZE];
        json_t *event;
        size_t i;

        if (!json_is_array(events) || !id_text(json_object_get(body, "cursor"), cursor))
                return -EBADMSG;
        if (opening)
                (void) fprintf(file, "retry: %d\n", API_EVENT_RETRY_MSEC);
        if (opening && json_array_size(events) == 0)
                (void) fprintf(file, "id: %s\n", cursor);
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

int api_event_id_read(const char *header, char ret[API_EVENT_ID_SIZE], ApiFault *ret_fault) {
        if (!api_event_id_is(header))
                return api_fault(ret_fault,
                                API_PROBLEM_INVALID_HEADER,
                                NULL,
                                "Send the `id` of the last event that you read as Last-Event-ID, "
                                "or none to read from now on.");
        (void) snprintf(ret, API_EVENT_ID_SIZE, "%s", header);
        return 0;
}

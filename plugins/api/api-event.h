/* Events as text/event-stream (WHATWG HTML, section 9.2 "Server-sent events"). Pure. */
#pragma once

#include <jansson.h>
#include <stdbool.h>

#include "api-problem.h"

#define API_EVENT_TYPE "text/event-stream"

enum { API_EVENT_RETRY_MSEC = 3000 }; /* until a client that was cut off comes back */

/* Writes the body of the gateway's answer to event.follow: its events, or, if there are none, a
 * comment that shows a proxy that somebody is there. opening is for the first piece of a stream: it
 * says when to come back, and without events from where, so that also who is cut off before the
 * first event misses none. The caller frees *ret. -EBADMSG: that is no such body. */
int api_event_text(const json_t *body, bool opening, char **ret);

enum { API_EVENT_ID_SIZE = 26 };

/* Whether that may be the id of an event: its number, perhaps with the gateway's tag. */
bool api_event_id_is(const char *text);

/* What the gateway is asked with to go on after that id. NULL: out of memory. */
json_t *api_event_id_json(const char *id);

/* Reads a Last-Event-ID that api_event_text() gave. 0, or API_E_FAULT with the fault filled. */
int api_event_id_read(const char *header, char ret[API_EVENT_ID_SIZE], ApiFault *ret_fault);

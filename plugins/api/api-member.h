/* Reading the objects of a body by table, with the faults that tell a tenant what to do: for the
 * parsers of this folder. Pure. Every int is 0, API_E_FAULT with the fault filled, or -ENOMEM. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "api-problem.h"
#include "json-read.h"

/* Reads a whole body, which must be one object within the limits of api-request.h. What is shared
 * in clear, `provisioning.content`, is written with the bytes it came with (json-raw.h). The caller
 * owns *ret. */
int api_body_read(const void *data, size_t size, json_t **ret, ApiFault *fault);

/* json_read_members() with unknown members refused. where is the path of the object, or "". */
int api_members_read(const json_t *object,
                const char *where,
                const JsonMember *members,
                size_t n_members,
                void *ret,
                ApiFault *fault);

/* True for UTF-8 text without controls, line breaks and marks of writing direction. */
bool api_text_is_plain(const char *text);

/* Refuses any other text; takes NULL as a member that is absent. */
int api_plain_text_check(const char *text, const char *path, ApiFault *fault);

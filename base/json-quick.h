/* The two halves of every frame, quicker than jansson's: its lexer takes each byte through a
 * callback and its writer each piece, which cost half of every program's time. What these two do
 * not know they leave to jansson, which alone decides what is an error and says where. */
#pragma once

#include <jansson.h>
#include <stddef.h>

/* Reads an object or array of objects, arrays, strings, integers, true, false and null, nested no
 * deeper than max_depth, with nothing but white space around it. NULL: this text needs jansson, be
 * it for a number with a fraction, for \u, for a mistake, or for want of memory. What it returns,
 * json_loadb() with JSON_REJECT_DUPLICATES would return as well. */
json_t *json_quick_read(const void *data, size_t size, unsigned max_depth);

/* Writes a value as json_dumpb() with JSON_COMPACT does: returns the size of the whole text, of
 * which no more than room bytes were written, and no NUL. 0: out of memory, or no JSON value. */
size_t json_quick_write(const json_t *value, void *buffer, size_t room);

/* The same of a string that is UTF-8, as it stands in quotes. */
size_t json_quick_write_text(const char *text, void *buffer, size_t room);

/* The same as a string, as json_dumps() makes it: for json_wipe_free(), where json-wipe.h is used.
 * NULL for NULL. */
char *json_quick_text(const json_t *value);

/* An object that the functions above write as this text, byte for byte, and that no reader makes,
 * whatever it reads. The text, which is copied, must be an object that json_raw_read() took
 * (json-raw.h). jansson's own functions refuse to write it. NULL: out of memory. */
json_t *json_quick_verbatim(const char *text, size_t size);

/* The text of such an object, which owns it; NULL for any other value. */
const char *json_quick_verbatim_text(const json_t *value, size_t *ret_size);

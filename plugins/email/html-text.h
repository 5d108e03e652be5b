/* The words of an HTML mail: what a person wrote, without markup, and marked where it is a
 * quotation. One pass over the bytes, no tree, no recursion, no memory but the result.
 *
 * Debian 12's libxml2 has an HTML 4 parser that builds trees, draws in ICU and is a source of
 * advisories of its own; gumbo 0.10.1 has had no upstream since 2016, and lexbor is not packaged.
 * An answer of a few words needs none of what they are good at, so this is a tokenizer (after the
 * WHATWG standard, section 13.2.5, as far as it decides where text ends) and nothing more.
 *
 * Every line inside a quotation (blockquote, and the containers in which Gmail, Outlook, Yahoo,
 * Thunderbird and Apple put one) begins with "> ", so that reply-text.h needs to know one way of
 * quoting. Left out: comments, head, script, style, title, template, object, svg, math, attributes,
 * marked signatures, and what cannot be seen (hidden, display:none). Nothing is ever loaded. */
#pragma once

#include <stddef.h>

/* Writes well-formed UTF-8, at most ret_size - 1 bytes and a NUL; what does not fit is left out at
 * a character's end. Input that is no UTF-8 gives U+FFFD for each byte that is none. Returns the
 * number of bytes. ret_size is at least 1. */
size_t html_text(const char *html, size_t size, char *ret, size_t ret_size);

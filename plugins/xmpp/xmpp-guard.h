/* Limits for every byte of XML that libstrophe parses, set where the library meets expat.
 *
 * libstrophe has no limit on a stanza's width, depth or size, and its cost grows with the square of
 * the width and with the stack of the depth: one message of any stranger could hold up or end this
 * program. It also leaves expat's reparse deferral on, which keeps a whole stanza back when it came
 * in three reads. It offers no hook for either. So this module defines the few functions of expat
 * that libstrophe calls; the dynamic linker prefers a program's own symbols (ld.so(8)), and each of
 * ours calls expat's after applying the limits. Linking it statically fails, rather than undoing
 * it.
 *
 * What is beyond a limit is left out before libstrophe sees it and the stanza is marked as cut, so
 * that the stream goes on and only the offending stanza is lost. */
#pragma once

#include <stdbool.h>

enum {
        XMPP_GUARD_DEPTH_MAX = 32,             /* elements within elements, the stanza included */
        XMPP_GUARD_ELEMENTS_MAX = 512,         /* elements of one stanza */
        XMPP_GUARD_ATTRIBUTES_MAX = 64,        /* attributes of one element */
        XMPP_GUARD_ATTRIBUTE_BYTES_MAX = 8192, /* their names and values together */
        XMPP_GUARD_TEXT_MAX = 32768,           /* bytes of text of one stanza */
        XMPP_GUARD_TOKEN_MAX = 1024 * 1024,    /* bytes without one whole token: ends the stream */
};

/* True while a handler runs for a stanza of which something was left out. */
bool xmpp_guard_stanza_was_cut(void);

/* True once libstrophe has made a parser through this module. False after a connection object was
 * made means that the limits are not in force, and the caller must not go on. */
bool xmpp_guard_is_in_force(void);

/* True once after bytes were refused: the parser that got them will take no more. libstrophe tells
 * the server and then waits for it to end the stream, which not every server does. */
bool xmpp_guard_take_failure(void);

#include "xmpp-guard.h"

#include <assert.h>
#include <dlfcn.h>
#include <expat.h>
#include <stdlib.h>
#include <string.h>

#define EXPORTED __attribute__((visibility("default")))

typedef struct Guard Guard;

struct Guard {
        XML_Parser parser;
        Guard *next;
        void *userdata; /* the three of libstrophe */
        XML_StartElementHandler start;
        XML_EndElementHandler end;
        XML_CharacterDataHandler text;
        unsigned depth;    /* open elements that libstrophe knows, the stream included */
        unsigned skipped;  /* open elements that it does not know */
        unsigned elements; /* of this stanza */
        size_t text_size;  /* of this stanza */
        size_t unreported; /* bytes fed since expat last reported anything */
        bool cut;
};

/* One entry for each live parser: one connection, or one string that is being read. */
static Guard *guards;
static bool in_force, stanza_was_cut, failed;

bool xmpp_guard_stanza_was_cut(void) {
        return stanza_was_cut;
}

bool xmpp_guard_is_in_force(void) {
        return in_force;
}

bool xmpp_guard_take_failure(void) {
        bool was = failed;

        failed = false;
        return was;
}

static void *expat_function(const char *name) {
        void *function = dlsym(RTLD_NEXT, name);

        assert(function);
        return function;
}

/* ISO C has no cast from an object pointer to a function pointer; POSIX dlsym(3) allows the copy.
 */
#define EXPAT(name, ret)                                                  \
        do {                                                              \
                static __typeof__(&(name)) _function;                     \
                if (!_function) {                                         \
                        void *_address = expat_function(#name);           \
                        memcpy(&_function, &_address, sizeof(_function)); \
                }                                                         \
                *(ret) = _function;                                       \
        } while (0)

static Guard *guard_find(XML_Parser parser) {
        for (Guard *g = guards; g; g = g->next)
                if (g->parser == parser)
                        return g;
        return NULL;
}

static bool attributes_fit(const XML_Char **attributes) {
        size_t bytes = 0;
        unsigned n = 0;

        for (; attributes[0]; attributes += 2) {
                bytes += strlen(attributes[0]) + strlen(attributes[1]);
                if (++n > XMPP_GUARD_ATTRIBUTES_MAX || bytes > XMPP_GUARD_ATTRIBUTE_BYTES_MAX)
                        return false;
        }
        return true;
}

static void on_start(void *userdata, const XML_Char *name, const XML_Char **attributes) {
        static const XML_Char *none[] = { NULL };
        Guard *g = userdata;

        g->unreported = 0;
        if (g->skipped > 0) {
                g->skipped++;
                return;
        }
        if (g->depth == 1) {
                g->elements = 0;
                g->text_size = 0;
                g->cut = false;
        }
        if (g->depth > XMPP_GUARD_DEPTH_MAX || g->elements >= XMPP_GUARD_ELEMENTS_MAX) {
                g->cut = true;
                g->skipped = 1;
                return;
        }
        if (g->depth > 0) {
                g->elements++;
                if (!attributes_fit(attributes)) {
                        g->cut = true;
                        attributes = none;
                }
        }
        g->depth++;
        g->start(g->userdata, name, attributes);
}

static void on_end(void *userdata, const XML_Char *name) {
        Guard *g = userdata;

        g->unreported = 0;
        if (g->skipped > 0) {
                g->skipped--;
                return;
        }
        g->depth--;
        if (g->depth == 1)
                stanza_was_cut = g->cut;
        g->end(g->userdata, name);
}

static void on_text(void *userdata, const XML_Char *text, int size) {
        Guard *g = userdata;

        g->unreported = 0;
        if (g->skipped > 0)
                return;
        if (g->text_size + (size_t) size > XMPP_GUARD_TEXT_MAX) {
                g->cut = true;
                return;
        }
        if (g->depth > 1)
                g->text_size += (size_t) size;
        g->text(g->userdata, text, size);
}

/* RFC 6120 section 11.1 forbids it, and nothing good comes of entities. */
static void on_doctype(void *userdata,
                const XML_Char *name,
                const XML_Char *system_id,
                const XML_Char *public_id,
                int has_internal_subset) {
        Guard *g = userdata;

        (void) name;
        (void) system_id;
        (void) public_id;
        (void) has_internal_subset;
        (void) XML_StopParser(g->parser, XML_FALSE);
}

static void guard_prepare(XML_Parser parser) {
#ifdef HAVE_REPARSE_DEFERRAL
        (void) XML_SetReparseDeferralEnabled(parser, XML_FALSE);
#endif
        XML_SetStartDoctypeDeclHandler(parser, on_doctype);
}

EXPORTED XML_Parser XML_ParserCreate_MM(const XML_Char *encoding,
                const XML_Memory_Handling_Suite *memory,
                const XML_Char *separator) {
        __typeof__(&XML_ParserCreate_MM) create;
        Guard *g;

        EXPAT(XML_ParserCreate_MM, &create);
        g = calloc(1, sizeof(*g));
        if (!g)
                return NULL;
        g->parser = create(encoding, memory, separator);
        if (!g->parser) {
                free(g);
                return NULL;
        }
        g->next = guards;
        guards = g;
        in_force = true;
        guard_prepare(g->parser);
        return g->parser;
}

EXPORTED XML_Bool XML_ParserReset(XML_Parser parser, const XML_Char *encoding) {
        __typeof__(&XML_ParserReset) reset;
        Guard *g = guard_find(parser);
        XML_Bool r;

        EXPAT(XML_ParserReset, &reset);
        r = reset(parser, encoding);
        if (r && g) {
                Guard *next = g->next;

                *g = (Guard){ .parser = parser, .next = next };
                guard_prepare(parser);
        }
        return r;
}

EXPORTED void XML_ParserFree(XML_Parser parser) {
        __typeof__(&XML_ParserFree) release;

        EXPAT(XML_ParserFree, &release);
        for (Guard **p = &guards; *p; p = &(*p)->next) {
                Guard *g = *p;

                if (g->parser == parser) {
                        *p = g->next;
                        free(g);
                        break;
                }
        }
        release(parser);
}

EXPORTED void XML_SetUserData(XML_Parser parser, void *userdata) {
        __typeof__(&XML_SetUserData) set;
        Guard *g = guard_find(parser);

        EXPAT(XML_SetUserData, &set);
        if (g)
                g->userdata = userdata;
        set(parser, g ? g : userdata);
}

EXPORTED void XML_SetElementHandler(
                XML_Parser parser, XML_StartElementHandler start, XML_EndElementHandler end) {
        __typeof__(&XML_SetElementHandler) set;
        Guard *g = guard_find(parser);

        EXPAT(XML_SetElementHandler, &set);
        if (g) {
                g->start = start;
                g->end = end;
        }
        set(parser, g && start ? on_start : start, g && end ? on_end : end);
}

EXPORTED void XML_SetCharacterDataHandler(XML_Parser parser, XML_CharacterDataHandler text) {
        __typeof__(&XML_SetCharacterDataHandler) set;
        Guard *g = guard_find(parser);

        EXPAT(XML_SetCharacterDataHandler, &set);
        if (g)
                g->text = text;
        set(parser, g && text ? on_text : text);
}

EXPORTED enum XML_Status XML_Parse(XML_Parser parser, const char *data, int size, int is_final) {
        __typeof__(&XML_Parse) parse;
        Guard *g = guard_find(parser);
        enum XML_Status status = XML_STATUS_ERROR;

        EXPAT(XML_Parse, &parse);
        if (g && size > 0)
                g->unreported += (size_t) size;
        if (!g || g->unreported <= XMPP_GUARD_TOKEN_MAX)
                status = parse(parser, data, size, is_final);
        failed = status == XML_STATUS_ERROR || failed;
        return status;
}

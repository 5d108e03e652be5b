/* The limits that libstrophe lacks: what strangers send costs little, whatever its shape. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>
#include <expat.h>
#include <strophe.h>

#include "xmpp-guard.h"
#include "xmpp-memory.h"

/* A tenth of what the same stanzas cost without the limits, and twenty times what they cost with.
 */
#if defined(__SANITIZE_ADDRESS__)
enum { COST_MAX_MSEC = 3000 }; /* each access is checked */
#else
enum { COST_MAX_MSEC = 300 };
#endif

static xmpp_ctx_t *context;

static int setup(void **state) {
        (void) state;
        xmpp_initialize();
        context = xmpp_ctx_new(xmpp_memory(), NULL);
        return context ? 0 : -1;
}

static int teardown(void **state) {
        (void) state;
        xmpp_ctx_free(context);
        xmpp_shutdown();
        return 0;
}

static char *repeat(const char *before, const char *part, size_t n, const char *after) {
        size_t size = strlen(part);
        char *text = malloc(strlen(before) + n * size + strlen(after) + 1), *p;

        assert_non_null(text);
        p = stpcpy(text, before);
        for (size_t i = 0; i < n; i++)
                p = stpcpy(p, part);
        (void) strcpy(p, after);
        return text;
}

/* Parses and releases; says whether the stanza was cut, and checks what it cost. */
static bool parse_is_cut(char *text, bool want_stanza) {
        clock_t begin = clock(); /* of this process, so that a busy machine does not count */
        xmpp_stanza_t *stanza = xmpp_stanza_new_from_string(context, text);
        clock_t cost = (clock() - begin) / (CLOCKS_PER_SEC / 1000);

        assert_int_equal(stanza != NULL, want_stanza);
        if (stanza)
                xmpp_stanza_release(stanza);
        free(text);
        assert_true(xmpp_guard_is_in_force());
        if (cost > COST_MAX_MSEC)
                fail_msg("it took %u ms", (unsigned) cost);
        return xmpp_guard_stanza_was_cut();
}

static void an_ordinary_stanza_is_whole(void **state) {
        (void) state;
        assert_false(parse_is_cut(repeat("<message>", "<a b='c'/>", 500, "</message>"), true));
        assert_false(parse_is_cut(
                        repeat("<message><body>", "x\n", 15000, "</body></message>"), true));
}

static void a_wide_stanza_is_cut(void **state) {
        (void) state;
        assert_true(parse_is_cut(repeat("<message>", "<a/>", 60000, "</message>"), true));
}

static void a_deep_stanza_is_cut(void **state) {
        char *open = repeat("<message>", "<a>", 100000, ""), *text;

        (void) state;
        text = repeat(open, "</a>", 100000, "</message>");
        free(open);
        assert_true(parse_is_cut(text, true));
}

static void a_stanza_with_much_text_is_cut(void **state) {
        (void) state;
        assert_true(parse_is_cut(
                        repeat("<message><body>", "\n", 400000, "</body></message>"), true));
}

static void an_element_with_many_attributes_is_cut(void **state) {
        char name[16], *text = calloc(1, 1 << 20);

        (void) state;
        strcpy(text, "<message ");
        for (unsigned i = 0; i < 1000; i++) {
                (void) snprintf(name, sizeof(name), "a%u='x' ", i);
                strcat(text, name);
        }
        strcat(text, "/>");
        assert_true(parse_is_cut(text, true));
}

static void a_cut_stanza_does_not_cut_the_next(void **state) {
        (void) state;
        assert_true(parse_is_cut(repeat("<message>", "<a/>", 1000, "</message>"), true));
        assert_false(parse_is_cut(strdup("<message><body>x</body></message>"), true));
}

static void an_endless_token_and_a_doctype_end_the_stream(void **state) {
        (void) state;
        (void) parse_is_cut(repeat("<message a='", "x", XMPP_GUARD_TOKEN_MAX, "'/>"), false);
        (void) parse_is_cut(strdup("<!DOCTYPE x [<!ENTITY a 'b'>]><message/>"), false);
}

static int n_elements;

static void count_start(void *userdata, const XML_Char *name, const XML_Char **attributes) {
        (void) userdata;
        (void) name;
        (void) attributes;
        n_elements++;
}

static void count_end(void *userdata, const XML_Char *name) {
        (void) userdata;
        (void) name;
}

static void ignore_text(void *userdata, const XML_Char *text, int size) {
        (void) userdata;
        (void) text;
        (void) size;
}

/* With expat's reparse deferral the last element would stay back until more bytes came. */
static void a_stanza_in_many_reads_is_not_kept_back(void **state) {
        static const char text[] = "<stream><message/>";
        const XML_Char separator = '\x1f';
        XML_Parser parser = XML_ParserCreate_MM(NULL, NULL, &separator);

        (void) state;
        assert_non_null(parser);
        n_elements = 0;
        XML_SetUserData(parser, NULL);
        XML_SetElementHandler(parser, count_start, count_end);
        XML_SetCharacterDataHandler(parser, ignore_text);
        for (size_t i = 0; i < strlen(text); i++)
                assert_int_equal(XML_Parse(parser, text + i, 1, 0), XML_STATUS_OK);
        assert_int_equal(n_elements, 2);

        assert_true(XML_ParserReset(parser, NULL));
        XML_SetUserData(parser, NULL);
        XML_SetElementHandler(parser, count_start, count_end);
        XML_SetCharacterDataHandler(parser, ignore_text);
        for (size_t i = 0; i < strlen(text); i++)
                assert_int_equal(XML_Parse(parser, text + i, 1, 0), XML_STATUS_OK);
        assert_int_equal(n_elements, 4);
        XML_ParserFree(parser);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(an_ordinary_stanza_is_whole),
                cmocka_unit_test(a_wide_stanza_is_cut),
                cmocka_unit_test(a_deep_stanza_is_cut),
                cmocka_unit_test(a_stanza_with_much_text_is_cut),
                cmocka_unit_test(an_element_with_many_attributes_is_cut),
                cmocka_unit_test(a_cut_stanza_does_not_cut_the_next),
                cmocka_unit_test(an_endless_token_and_a_doctype_end_the_stream),
                cmocka_unit_test(a_stanza_in_many_reads_is_not_kept_back),
        };

        return cmocka_run_group_tests_name("xmpp-guard", tests, setup, teardown);
}

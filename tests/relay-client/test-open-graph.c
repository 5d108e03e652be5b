/* Preview pages: what is read of one, and what no page can do. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "cleanup.h"
#include "open-graph.h"

#define TITLE(text) "<meta property=\"og:title\" content=\"" text "\">"

static void assert_text(const char *text, const char *expected) {
        if (!expected) {
                assert_null(text);
                return;
        }
        assert_non_null(text);
        assert_string_equal(text, expected);
}

/* The example of the draft, and the other way round as its sample implementation writes it. */
static void a_page_is_read_in_either_order(void **state) {
        static const char *const pages[] = {
                "<html prefix=\"og: https://ogp.me/ns#\">\n <head>\n <title>other</title>\n"
                " <meta property=\"og:title\" content=\"Hotel Pass\" />\n"
                " <meta property=\"og:type\" content=\"image/jpeg\" />\n"
                " <meta property=\"og:description\" content=\"Some Hotel Pass\" />\n"
                " <meta property=\"og:url\" content=\"share://\" />\n"
                " <meta property=\"og:image\" content=\"https://example.com/photo.jpg\" />\n"
                " <meta property=\"og:image:width\" content=\"612\" /></head>\n </html>\n",
                "<HEAD><META CONTENT='Hotel Pass' PROPERTY='OG:Title'/>"
                "<meta\tcontent = 'Some Hotel Pass'\nproperty= og:description>"
                "<meta content=https://example.com/photo.jpg property=og:image></HEAD>",
        };

        (void) state;
        for (size_t i = 0; i < N_ELEMENTS(pages); i++) {
                _cleanup_(open_graph_done) OpenGraph graph = OPEN_GRAPH_NULL;

                assert_int_equal(open_graph_read(pages[i], strlen(pages[i]), &graph), 0);
                assert_text(graph.title, "Hotel Pass");
                assert_text(graph.description, "Some Hotel Pass");
                assert_text(graph.image, "https://example.com/photo.jpg");
        }
}

static void a_title_is_what_a_browser_would_show(void **state) {
        static const struct {
                const char *page, *title;
        } cases[] = {
                { "", NULL },
                { "<", NULL },
                { "<title>plain</title>", "plain" },
                { "<title>plain</title>" TITLE("better"), "better" },
                { TITLE("first") TITLE("second"), "first" },
                { TITLE(""), "" },
                { TITLE("a &lt;b&gt; &amp;amp; &quot;&apos;&#39;&#x27;"), "a <b> &amp; \"'''" },
                { TITLE("&#8364;&#x20ac;&#x1F511;"), "\xe2\x82\xac\xe2\x82\xac\xf0\x9f\x94\x91" },
                { TITLE("&#0; &#xd800; &#x110000; &#; &#x; &nbsp; &; &"),
                                "&#0; &#xd800; &#x110000; &#; &#x; &nbsp; &; &" },
                { TITLE("\xff"), NULL },
                { TITLE("a\nb\x1b[31mc\x7f"), "a b [31mc " },
                { TITLE("\xc2\x9b&#x9b;&#27;x"), "     x" },
                { "<!-- " TITLE("hidden") " -->" TITLE("seen"), "seen" },
                { "<script>" TITLE("hidden") "</script>" TITLE("seen"), "seen" },
                { "<style>" TITLE("hidden") "</STYLE >" TITLE("seen"), "seen" },
                { "<script>" TITLE("hidden"), NULL },
                { "<title>" TITLE("text") "</title>", TITLE("text") },
                { "<p title='<meta'>" TITLE("seen"), "seen" },
                { "<p title='>" TITLE("hidden") "'>" TITLE("seen"), "seen" },
                { "</head>" TITLE("late"), NULL },
                { "<body>" TITLE("late"), NULL },
                { "<meta property=og:title>", NULL },
                { "<meta property=og:title content", "" },
                { "<meta property=og:title content='open", "open" },
        };

        (void) state;
        for (size_t i = 0; i < N_ELEMENTS(cases); i++) {
                _cleanup_(open_graph_done) OpenGraph graph = OPEN_GRAPH_NULL;

                print_message("# case %zu\n", i);
                assert_int_equal(open_graph_read(cases[i].page, strlen(cases[i].page), &graph), 0);
                assert_text(graph.title, cases[i].title);
        }
}

static void no_page_is_read_as_an_empty_one(void **state) {
        _cleanup_(open_graph_done) OpenGraph graph = OPEN_GRAPH_NULL;

        (void) state;
        assert_int_equal(open_graph_read(NULL, 0, &graph), 0);
        assert_null(graph.title);
}

static void a_huge_page_is_read_in_part(void **state) {
        const size_t size = OPEN_GRAPH_PAGE_MAX + 1000;
        _cleanup_(freep) char *page = malloc(size);
        _cleanup_(open_graph_done) OpenGraph graph = OPEN_GRAPH_NULL;

        (void) state;
        memset(page, ' ', size);
        memcpy(page + OPEN_GRAPH_PAGE_MAX, "<title>late</title>", 19);
        assert_int_equal(open_graph_read(page, size, &graph), 0);
        assert_null(graph.title);

        memset(page, 'x', size);
        memcpy(page, "<title>", 7);
        memcpy(page + 7 + OPEN_GRAPH_TEXT_MAX, "</title>", 8);
        assert_int_equal(open_graph_read(page, size, &graph), 0);
        assert_non_null(graph.title);
        assert_int_equal(strlen(graph.title), OPEN_GRAPH_TEXT_MAX);
        open_graph_done(&graph);
        memcpy(page + 7 + OPEN_GRAPH_TEXT_MAX, "x</title>", 9);
        assert_int_equal(open_graph_read(page, size, &graph), 0);
        assert_null(graph.title);
}

int main(void) {
        static const struct CMUnitTest tests[] = {
                cmocka_unit_test(a_page_is_read_in_either_order),
                cmocka_unit_test(a_title_is_what_a_browser_would_show),
                cmocka_unit_test(no_page_is_read_as_an_empty_one),
                cmocka_unit_test(a_huge_page_is_read_in_part),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}

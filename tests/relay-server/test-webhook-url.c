/* Which addresses count as below a prefix. */
#include "test.h"

#include "webhook-url.h"

static const WebhookPrefixes prefixes = {
        .texts = { "https://hooks.example.org/a/", "https://b.example:8443/" },
        .n = 2,
};

static void what_lies_below_a_prefix_is_allowed(void **state) {
        static const char *const texts[] = {
                "https://hooks.example.org/a/",
                "https://hooks.example.org/a/x/y?z=1&..=/../",
                "https://hooks.example.org/a/.x/..y/x./...",
                "https://hooks.example.org/a/%20",
                "https://b.example:8443/",
                "https://b.example:8443//x",
        };

        for (size_t i = 0; i < N_ELEMENTS(texts); i++)
                if (!webhook_url_is_allowed(&prefixes, texts[i]))
                        fail_msg("%s", texts[i]);
}

static void all_else_is_refused(void **state) {
        static const char *const texts[] = {
                "",
                "https://",
                "https://hooks.example.org",
                "https://hooks.example.org/",
                "https://hooks.example.org/a",
                "https://hooks.example.org/A/",
                "https://HOOKS.example.org/a/",
                "HTTPS://hooks.example.org/a/",
                "http://hooks.example.org/a/",
                "https://hooks.example.org:443/a/",
                "https://hooks.example.org.evil.example/a/",
                "https://hooks.example.org/a/..",
                "https://hooks.example.org/a/../b",
                "https://hooks.example.org/a/./b",
                "https://hooks.example.org/a/x/..?y",
                "https://hooks.example.org/a/%2e%2e/b",
                "https://hooks.example.org/a/.%2E/b",
                "https://hooks.example.org/a/..%2fb",
                "https://hooks.example.org/a/..%5Cb",
                "https://hooks.example.org/a/..\\b",
                "https://hooks.example.org/a/#x",
                "https://hooks.example.org/a/@x",
                "https://u@hooks.example.org/a/",
                "https://hooks.example.org@evil.example/a/",
                "https://hooks.example.org/a/ x",
                "https://hooks.example.org/a/\nx",
                "https://hooks.example.org/a/\x7f",
                "https://hooks.example.org/a/\xc3\xa4",
                " https://hooks.example.org/a/",
                "https://b.example:84433/",
                "https://b.example:8443",
        };

        for (size_t i = 0; i < N_ELEMENTS(texts); i++)
                if (webhook_url_is_allowed(&prefixes, texts[i]))
                        fail_msg("%s", texts[i]);
        assert_false(webhook_url_is_allowed(&(WebhookPrefixes){ .n = 0 }, "https://a/"));
}

static void an_address_has_a_bounded_length(void **state) {
        char url[WEBHOOK_URL_MAX + 2];

        memset(url, 'x', sizeof(url));
        memcpy(url, "https://b.example:8443/", 23);
        url[WEBHOOK_URL_MAX] = 0;
        assert_true(webhook_url_is_allowed(&prefixes, url));
        url[WEBHOOK_URL_MAX] = 'x';
        url[WEBHOOK_URL_MAX + 1] = 0;
        assert_false(webhook_url_is_allowed(&prefixes, url));
}

static void a_prefix_ends_with_a_slash_after_its_host(void **state) {
        assert_true(webhook_prefix_is_valid("https://a/"));
        assert_true(webhook_prefix_is_valid("https://a:1/b/"));
        assert_false(webhook_prefix_is_valid("https://a"));
        assert_false(webhook_prefix_is_valid("https://a/b"));
        assert_false(webhook_prefix_is_valid("https:///"));
        assert_false(webhook_prefix_is_valid("https://:1/"));
        assert_false(webhook_prefix_is_valid("https://a?x/"));
        assert_false(webhook_prefix_is_valid("https://a/../"));
        assert_false(webhook_prefix_is_valid("http://a/"));
}

int main(void) {
        static const struct CMUnitTest tests[] = {
                cmocka_unit_test(what_lies_below_a_prefix_is_allowed),
                cmocka_unit_test(all_else_is_refused),
                cmocka_unit_test(an_address_has_a_bounded_length),
                cmocka_unit_test(a_prefix_ends_with_a_slash_after_its_host),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}

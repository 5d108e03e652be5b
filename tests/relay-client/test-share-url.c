/* Share URLs: the vectors, and what else a stranger may put into a link. */
#include "vectors.h"

#include "cleanup.h"
#include "secret.h"
#include "share-url.h"

#define MAILBOX "3f0c1a52-6f0b-4a6e-9c1d-0b1f5f1f2a77"

static void every_vector_parses_as_it_says(void **state) {
        const json_t *vector;
        size_t i, n_valid = 0, n_invalid = 0;

        (void) state;
        json_array_foreach(json_object_get(vectors, "share_url"), i, vector) {
                uint8_t secret[32];
                ShareUrl url;
                int r;

                (void) vector_begin(vector);
                r = share_url_parse(vector_text(vector, "url"), &url);
                if (json_is_false(json_object_get(vector, "valid"))) {
                        assert_true(r > 0);
                        assert_string_equal(share_url_error_name((ShareUrlError) r),
                                        vector_text(vector, "error"));
                        n_invalid++;
                        continue;
                }
                assert_int_equal(r, 0);
                assert_string_equal(url.host, vector_text(vector, "host"));
                assert_string_equal(url.version, vector_text(vector, "api_version"));
                assert_string_equal(url.mailbox, vector_text(vector, "mailbox_id"));
                assert_string_equal(url.api, vector_text(vector, "api_url"));
                assert_int_equal(url.vertical, vector_text(vector, "vertical")[0]);
                if (vector_text(vector, "secret_hex")) {
                        size_t size = vector_bytes(vector, "secret_hex", secret, sizeof(secret));

                        assert_int_equal(url.secret_size, size);
                        assert_memory_equal(url.secret, secret, size);
                } else
                        assert_int_equal(url.secret_size, 0);
                n_valid++;
        }
        assert_int_equal(n_valid, 8);
        assert_int_equal(n_invalid, 4);
}

static void hostile_links_are_refused_by_name(void **state) {
        static const struct {
                const char *text, *error;
        } cases[] = {
                { "", "length" },
                { "https://", "host" },
                { "https:///v1/m/" MAILBOX, "host" },
                { "https://relay.example:0/v1/m/" MAILBOX, "host" },
                { "https://relay.example:65536/v1/m/" MAILBOX, "host" },
                { "https://relay.example:08443/v1/m/" MAILBOX, "host" },
                { "https://relay.example:/v1/m/" MAILBOX, "host" },
                { "https://relay%2eexample/v1/m/" MAILBOX, "host" },
                { "https://-relay.example/v1/m/" MAILBOX, "host" },
                { "https://[::1/v1/m/" MAILBOX, "host" },
                { "https://a:b@relay.example/v1/m/" MAILBOX, "userinfo" },
                { "https://relay.example\\@evil.example/v1/m/" MAILBOX, "character" },
                { "https://relay.example/v1/m/" MAILBOX " ", "character" },
                { "https://relay.example/v1/m/" MAILBOX "\r\nX: y", "character" },
                { "https://r\xc3\xa9lay.example/v1/m/" MAILBOX, "character" },
                { "javascript:alert(1)", "scheme-not-https" },
                { "https:relay.example/v1/m/" MAILBOX, "scheme-not-https" },
                { "https://relay.example/m/" MAILBOX, "path" },
                { "https://relay.example/v/m/" MAILBOX, "path" },
                { "https://relay.example/v12345678/m/" MAILBOX, "path" },
                { "https://relay.example/v1/x/" MAILBOX, "path" },
                { "https://relay.example", "path" },
                { "https://relay.example/v1/m/" MAILBOX "/", "mailbox-id" },
                { "https://relay.example/v1/m/../" MAILBOX, "mailbox-id" },
                { "https://relay.example/v1/m/", "mailbox-id" },
                { "https://relay.example/v1/m/" MAILBOX "#no base64", "character" },
                { "https://relay.example/v1/m/" MAILBOX "#!!!!", "secret" },
                { "https://relay.example/v1/m/" MAILBOX "#hXlr6aRC7KgJpOLTNZaLsw%3", "secret" },
                { "https://relay.example/v1/m/" MAILBOX "#%00XlraRC7KgJpOLTNZaLsw", "secret" },
                { "https://relay.example/v1/m/" MAILBOX "#AAAA", "secret-length" },
        };
        char *big = malloc(SHARE_URL_MAX + 2);
        ShareUrl url;

        (void) state;
        for (size_t i = 0; i < N_ELEMENTS(cases); i++) {
                int r = share_url_parse(cases[i].text, &url);

                print_message("# case %zu\n", i);
                assert_true(r > 0);
                assert_string_equal(share_url_error_name((ShareUrlError) r), cases[i].error);
        }

        memset(big, 'a', SHARE_URL_MAX + 1);
        big[SHARE_URL_MAX + 1] = 0;
        assert_int_equal(share_url_parse(big, &url), SHARE_URL_E_LENGTH);
        free(big);
}

static void an_unknown_vertical_is_general_access(void **state) {
        ShareUrl url;

        (void) state;
        assert_int_equal(share_url_parse("https://relay.example/v1/m/" MAILBOX "?x=1&v=zz&v=c",
                                         &url),
                        0);
        assert_int_equal(url.vertical, 'a');
        assert_false(url.vertical_known);
        assert_int_equal(
                        share_url_parse("https://relay.example/v1/m/" MAILBOX "?x=1&v=h", &url), 0);
        assert_int_equal(url.vertical, 'h');
}

static void only_a_named_authority_is_allowed(void **state) {
        static const char *const hosts[] = { "relay.example", "127.0.0.1:8443", "[::1]:9", NULL };
        static const struct {
                const char *text;
                bool allowed;
        } cases[] = {
                { "https://relay.example/v1/m/" MAILBOX, true },
                { "https://RELAY.example:443/v1/m/" MAILBOX, true },
                { "https://127.0.0.1:8443/v1/m/" MAILBOX, true },
                { "https://[::1]:9/v1/m/" MAILBOX, true },
                { "https://relay.example:8443/v1/m/" MAILBOX, false },
                { "https://127.0.0.1/v1/m/" MAILBOX, false },
                { "https://relay.example.evil/v1/m/" MAILBOX, false },
                { "https://xrelay.example/v1/m/" MAILBOX, false },
                { "https://relay.example./v1/m/" MAILBOX, false },
        };

        (void) state;
        for (size_t i = 0; i < N_ELEMENTS(cases); i++) {
                ShareUrl url;

                assert_int_equal(share_url_parse(cases[i].text, &url), 0);
                assert_int_equal(share_url_is_allowed(&url, hosts), cases[i].allowed);
                assert_int_equal(share_url_is_link(cases[i].text, hosts), cases[i].allowed);
        }
}

static void a_link_of_a_relay_is_bare(void **state) {
        static const char *const hosts[] = { "relay.example", NULL };

        (void) state;
        assert_true(share_url_is_link("https://relay.example/v1/m/" MAILBOX, hosts));
        assert_false(share_url_is_link("https://relay.example/v1/m/" MAILBOX "?v=a", hosts));
        assert_false(share_url_is_link("https://relay.example/v1/m/" MAILBOX "#", hosts));
        assert_false(share_url_is_link(
                        "https://relay.example/v1/m/" MAILBOX "#hXlr6aRC7KgJpOLTNZaLsw==", hosts));
        assert_false(share_url_is_link("https://relay.example/v2/m/" MAILBOX, hosts));
        assert_false(share_url_is_link("http://relay.example/v1/m/" MAILBOX, hosts));
}

static void what_is_built_parses_back(void **state) {
        _cleanup_(secret_free_stringp) char *text = NULL;
        uint8_t secret[32];
        ShareUrl url;

        (void) state;
        memset(secret, 0xfb, sizeof(secret));
        assert_int_equal(share_url_build("https://relay.example/v1/m/" MAILBOX,
                                         'c',
                                         secret,
                                         16,
                                         &text),
                        0);
        assert_string_equal(text,
                        "https://relay.example/v1/m/" MAILBOX "?v=c#+/v7+/v7+/v7+/v7+/v7+w==");
        assert_int_equal(share_url_parse(text, &url), 0);
        assert_int_equal(url.vertical, 'c');
        assert_int_equal(url.secret_size, 16);
        assert_memory_equal(url.secret, secret, 16);
}

static void a_relay_is_named_by_its_authority(void **state) {
        char authority[SHARE_URL_AUTHORITY_SIZE];

        (void) state;
        assert_int_equal(share_url_authority("https://Relay.example:443/", authority), 0);
        assert_string_equal(authority, "relay.example");
        assert_int_equal(share_url_authority("https://127.0.0.1:8443", authority), 0);
        assert_string_equal(authority, "127.0.0.1:8443");
        assert_int_equal(
                        share_url_authority("http://relay.example", authority), SHARE_URL_E_SCHEME);
        assert_int_equal(share_url_authority("https://relay.example/v1", authority),
                        SHARE_URL_E_PATH);
        assert_int_equal(share_url_authority("https://u@relay.example", authority),
                        SHARE_URL_E_USERINFO);
}

int main(int argc, char **argv) {
        static const struct CMUnitTest tests[] = {
                cmocka_unit_test(every_vector_parses_as_it_says),
                cmocka_unit_test(hostile_links_are_refused_by_name),
                cmocka_unit_test(an_unknown_vertical_is_general_access),
                cmocka_unit_test(only_a_named_authority_is_allowed),
                cmocka_unit_test(a_link_of_a_relay_is_bare),
                cmocka_unit_test(what_is_built_parses_back),
                cmocka_unit_test(a_relay_is_named_by_its_authority),
        };

        if (secret_init() < 0 || vectors_load(argc, argv) != 0)
                return 99;
        return cmocka_run_group_tests(tests, NULL, NULL);
}

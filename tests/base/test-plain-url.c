/* URLs of others: one reading, one spelling, and no way out of a prefix. */
#include "test.h"

#include <stdio.h>
#include <string.h>

#include "plain-url.h"

enum { MAX = 512 };

static bool is_tenants(const char *url) {
        return plain_url_is_https(url, MAX) && plain_url_has_name(url);
}

static void a_name_with_or_without_a_port_may_be_asked(void **state) {
        static const char *const texts[] = {
                "https://pms.hotel.example/mint",
                "https://pms.hotel.example/mint/booking-4711?a=b&c=..",
                "https://pms.hotel.example/",
                "https://pms.hotel.example",
                "https://pms.hotel.example:8443/mint",
                "https://pms.hotel.example:65535/",
                "https://xn--bcher-kva.example/%20/~x/$;x,y='(1)'/",
                "https://localhost:1/",
                "https://3com.example/",
                "https://10.0.0.1.example/",
        };

        for (size_t i = 0; i < N_ELEMENTS(texts); i++)
                if (!is_tenants(texts[i]))
                        fail_msg("%s", texts[i]);
}

static void addresses_and_second_spellings_may_not(void **state) {
        static const char *const texts[] = {
                "",
                "https://",
                "https:///mint",
                "http://pms.hotel.example/",
                "HTTPS://pms.hotel.example/",
                "https://Pms.hotel.example/",
                "https://pms.hotel.example./",
                "https://.hotel.example/",
                "https://pms..example/",
                "https://-pms.example/",
                "https://pms-.example/",
                "https://p_ms.example/",
                "https://p%6ds.example/",
                "https://127.0.0.1/",
                "https://127.1/",
                "https://2130706433/",
                "https://0x7f000001/",
                "https://0177.0.0.0x1/",
                "https://[::1]/",
                "https://[::ffff:10.0.0.1]:8443/",
                "https://pms.hotel.example:/",
                "https://pms.hotel.example:0/",
                "https://pms.hotel.example:080/",
                "https://pms.hotel.example:443/",
                "https://pms.hotel.example:65536/",
                "https://pms.hotel.example:123456/",
                "https://pms.hotel.example:8a/",
                "https://pms.hotel.example:8:8/",
                "https://pms.hotel.example?x",
                "https://pms.hotel.example:8443?x",
                "https://user@pms.hotel.example/",
                "https://user:password@pms.hotel.example/",
                "https://pms.hotel.example/x@y",
                "https://pms.hotel.example/#x",
                "https://pms.hotel.example/a/../b",
                "https://pms.hotel.example/a/%2e%2E/b",
                "https://pms.hotel.example/a%2Fb",
                "https://pms.hotel.example/a\\b",
                "https://pms.hotel.example/a b",
                "https://pms.hotel.example/a\r\nb",
                "https://pms.hotel.example/\xc3\xa4",
                "https://b\303\274cher.example/",
        };

        for (size_t i = 0; i < N_ELEMENTS(texts); i++)
                if (is_tenants(texts[i]))
                        fail_msg("%s", texts[i]);
}

static void labels_names_and_urls_have_bounds(void **state) {
        char url[600];

        (void) snprintf(url, sizeof(url), "https://%063d.example/", 0);
        assert_true(is_tenants(url));
        (void) snprintf(url, sizeof(url), "https://%064d.example/", 0);
        assert_false(is_tenants(url));
        (void) snprintf(url, sizeof(url), "https://%063d.%063d.%063d.%059d.a/", 0, 0, 0, 0);
        assert_true(is_tenants(url));
        (void) snprintf(url, sizeof(url), "https://%063d.%063d.%063d.%060d.a/", 0, 0, 0, 0);
        assert_false(is_tenants(url));

        memset(url, 'x', sizeof(url));
        memcpy(url, "https://a.example/", 18);
        url[MAX] = 0;
        assert_true(is_tenants(url));
        url[MAX] = 'x';
        url[MAX + 1] = 0;
        assert_false(is_tenants(url));
}

static void a_prefix_ends_where_nothing_can_continue_it(void **state) {
        assert_true(plain_url_is_prefix("https://pms.hotel.example/", MAX));
        assert_true(plain_url_is_prefix("https://pms.hotel.example:8443/mint/", MAX));
        assert_false(plain_url_is_prefix("https://pms.hotel.example", MAX));
        assert_false(plain_url_is_prefix("https://pms.hotel.example/mint", MAX));
        assert_false(plain_url_is_prefix("https://pms.hotel.example/?/", MAX));
        assert_false(plain_url_is_prefix("https://", MAX));

        assert_true(plain_url_is_below("https://a.example/x/1", "https://a.example/x/"));
        assert_true(plain_url_is_below("https://a.example/x/", "https://a.example/x/"));
        assert_false(plain_url_is_below("https://a.example/x", "https://a.example/x/"));
        assert_false(plain_url_is_below("https://a.example.evil/x/", "https://a.example/"));
}

int main(void) {
        static const struct CMUnitTest tests[] = {
                cmocka_unit_test(a_name_with_or_without_a_port_may_be_asked),
                cmocka_unit_test(addresses_and_second_spellings_may_not),
                cmocka_unit_test(labels_names_and_urls_have_bounds),
                cmocka_unit_test(a_prefix_ends_where_nothing_can_continue_it),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}

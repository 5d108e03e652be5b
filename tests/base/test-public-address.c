/* The edges of every special range, on both sides. */
#include "test.h"

#include <arpa/inet.h>

#include "public-address.h"

static bool is_public(const char *text) {
        struct sockaddr_in6 in6 = { .sin6_family = AF_INET6 };
        struct sockaddr_in in = { .sin_family = AF_INET };

        if (inet_pton(AF_INET, text, &in.sin_addr) == 1)
                return public_address_is((const struct sockaddr *) (const void *) &in);
        assert_int_equal(inet_pton(AF_INET6, text, &in6.sin6_addr), 1);
        return public_address_is((const struct sockaddr *) (const void *) &in6);
}

static void what_is_special_is_not_public(void **state) {
        static const char *const texts[] = {
                "0.0.0.0",
                "0.255.255.255",
                "10.0.0.0",
                "10.255.255.255",
                "100.64.0.0",
                "100.127.255.255",
                "127.0.0.1",
                "127.255.255.255",
                "169.254.0.0",
                "169.254.169.254",
                "172.16.0.0",
                "172.31.255.255",
                "192.0.0.1",
                "192.0.2.255",
                "192.88.99.1",
                "192.168.0.0",
                "192.168.255.255",
                "198.18.0.0",
                "198.19.255.255",
                "198.51.100.0",
                "203.0.113.255",
                "224.0.0.1",
                "239.255.255.255",
                "240.0.0.0",
                "255.255.255.255",
                "::",
                "::1",
                "::7f00:1",
                "::ffff:10.0.0.1",
                "::ffff:127.0.0.1",
                "64:ff9b::10.0.0.1",
                "64:ff9b:1::1",
                "100::1",
                "1fff::1",
                "2001::1",
                "2001:10::1",
                "2001:20::1",
                "2001:1ff::1",
                "2001:db8::1",
                "2002:a00:1::1",
                "2002:7f00:1::1",
                "3fff::1",
                "3fff:fff::1",
                "4000::1",
                "5f00::1",
                "fc00::1",
                "fdff::1",
                "fe80::1",
                "fec0::1",
                "ff02::1",
        };

        for (size_t i = 0; i < N_ELEMENTS(texts); i++)
                if (is_public(texts[i]))
                        fail_msg("%s", texts[i]);
}

static void their_neighbours_are_public(void **state) {
        static const char *const texts[] = {
                "1.0.0.0",
                "9.255.255.255",
                "11.0.0.0",
                "100.63.255.255",
                "100.128.0.0",
                "126.255.255.255",
                "128.0.0.0",
                "169.253.255.255",
                "169.255.0.0",
                "172.15.255.255",
                "172.32.0.0",
                "192.0.1.0",
                "192.0.3.0",
                "192.88.98.255",
                "192.167.255.255",
                "192.169.0.0",
                "198.17.255.255",
                "198.20.0.0",
                "198.51.99.255",
                "203.0.114.0",
                "223.255.255.255",
                "2000::1",
                "2001:200::1",
                "2001:db7::1",
                "2001:db9::1",
                "2002:808:808::1",
                "2a00:1450::1",
                "3ffe::1",
                "3fff:1000::1",
                "::ffff:8.8.8.8",
                "64:ff9b::8.8.8.8",
        };

        for (size_t i = 0; i < N_ELEMENTS(texts); i++)
                if (!is_public(texts[i]))
                        fail_msg("%s", texts[i]);
}

static void what_is_no_internet_address_is_not_public(void **state) {
        struct sockaddr_storage other = { .ss_family = AF_UNIX };

        assert_false(public_address_is((const struct sockaddr *) &other));
}

int main(void) {
        static const struct CMUnitTest tests[] = {
                cmocka_unit_test(what_is_special_is_not_public),
                cmocka_unit_test(their_neighbours_are_public),
                cmocka_unit_test(what_is_no_internet_address_is_not_public),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}

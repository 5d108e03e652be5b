/* Token buckets by address, with a clock moved by hand. */
#include "test.h"

#include <arpa/inet.h>
#include <netinet/in.h>

#include "rate-limit.h"

static unsigned take4(RateLimit *limit, uint32_t address, uint64_t now) {
        struct sockaddr_in in = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(address) };

        return rate_limit_take(limit, (struct sockaddr *) &in, now);
}

static unsigned take6(RateLimit *limit, const char *address, uint64_t now) {
        struct sockaddr_in6 in = { .sin6_family = AF_INET6 };

        assert_int_equal(inet_pton(AF_INET6, address, &in.sin6_addr), 1);
        return rate_limit_take(limit, (struct sockaddr *) &in, now);
}

static void a_burst_passes_and_then_the_rate_holds(void **state) {
        _cleanup_(rate_limit_freep) RateLimit *limit = NULL;
        unsigned passed = 0;

        assert_int_equal(rate_limit_new(&limit, 10), 0);
        for (unsigned i = 0; i < 20; i++)
                assert_int_equal(take4(limit, 1, 1000000), 0);
        assert_int_equal(take4(limit, 1, 1000000), 1);
        for (uint64_t now = 1000000; now < 11000000; now += 10000)
                passed += take4(limit, 1, now) == 0;
        assert_in_range(passed, 98, 101);
}

static void one_address_does_not_use_up_the_tokens_of_another(void **state) {
        _cleanup_(rate_limit_freep) RateLimit *limit = NULL;

        assert_int_equal(rate_limit_new(&limit, 1), 0);
        while (take4(limit, 1, 5) == 0)
                ;
        assert_int_equal(take4(limit, 2, 5), 0);
}

static void an_ipv6_network_counts_as_one_address(void **state) {
        _cleanup_(rate_limit_freep) RateLimit *limit = NULL;

        assert_int_equal(rate_limit_new(&limit, 1), 0);
        assert_int_equal(take6(limit, "2001:db8::1", 5), 0);
        assert_int_equal(take6(limit, "2001:db8::2", 5), 0);
        assert_int_not_equal(take6(limit, "2001:db8::3", 5), 0);
        assert_int_equal(take6(limit, "2001:db8:0:1::1", 5), 0);
}

static void an_ipv4_address_counts_by_itself_on_an_ipv6_socket(void **state) {
        _cleanup_(rate_limit_freep) RateLimit *limit = NULL;

        assert_int_equal(rate_limit_new(&limit, 1), 0);
        while (take6(limit, "::ffff:192.0.2.1", 5) == 0)
                ;
        assert_int_equal(take6(limit, "::ffff:192.0.2.2", 5), 0);
        assert_int_not_equal(take4(limit, 0xc0000201, 5), 0);
}

static void what_arrived_earlier_refills_nothing(void **state) {
        _cleanup_(rate_limit_freep) RateLimit *limit = NULL;

        assert_int_equal(rate_limit_new(&limit, 1), 0);
        while (take4(limit, 1, 2000000) == 0)
                ;
        for (unsigned i = 0; i < 10; i++) {
                assert_int_not_equal(take4(limit, 1, 1000000), 0);
                assert_int_not_equal(take4(limit, 1, 2000000), 0);
        }
}

static void many_addresses_cost_no_more_memory_and_still_pass(void **state) {
        _cleanup_(rate_limit_freep) RateLimit *limit = NULL;

        assert_int_equal(rate_limit_new(&limit, 1), 0);
        for (uint32_t address = 0; address < 100000; address++)
                assert_int_equal(take4(limit, address, 5 + address), 0);
}

int main(void) {
        static const struct CMUnitTest tests[] = {
                cmocka_unit_test(a_burst_passes_and_then_the_rate_holds),
                cmocka_unit_test(one_address_does_not_use_up_the_tokens_of_another),
                cmocka_unit_test(an_ipv6_network_counts_as_one_address),
                cmocka_unit_test(an_ipv4_address_counts_by_itself_on_an_ipv6_socket),
                cmocka_unit_test(what_arrived_earlier_refills_nothing),
                cmocka_unit_test(many_addresses_cost_no_more_memory_and_still_pass),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}

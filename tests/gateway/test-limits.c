/* Counters on a real store, and which messages they hold: of a gateway whose plugins never connect,
 * in a time that is moved by hand. */
#include "test.h"

#include <stdio.h>

#include "log.h"
#include "world.h"

enum { MINUTE = 60, HOUR = 3600, DAY = 24 * HOUR };

static Gateway *gateway_of(void **state) {
        return ((World *) *state)->gateway;
}

static void begin(Gateway *g) {
        assert_int_equal(store_begin(g->store), 0);
}

/* The end of a command and of its batch. */
static void commit(Gateway *g) {
        limiter_keep(g->limiter);
        assert_int_equal(limiter_write(g->limiter), 0);
        assert_int_equal(store_commit(g->store), 0);
        limiter_committed(g->limiter);
}

/* The limiter of a gateway that starts again; elapsed says how it finds the clock. */
static void start_again(Gateway *g, const StoreElapsed *elapsed) {
        begin(g);
        assert_int_equal(elapsed ? store_elapsed_put(g->store, elapsed)
                                 : limiter_put_time(g->limiter),
                        0);
        assert_int_equal(store_commit(g->store), 0);
        limiter_free(g->limiter);
        assert_int_equal(limiter_new(&g->limiter, g->store, g->vault), 0);
}

/* So many seconds pass for the gateway and for what it counts. */
static void pass(Gateway *g, int64_t seconds) {
        StoreElapsed elapsed;

        begin(g);
        assert_int_equal(limiter_put_time(g->limiter), 0);
        assert_int_equal(store_elapsed_get(g->store, &elapsed), 0);
        assert_int_equal(store_commit(g->store), 0);
        elapsed.seconds += seconds;
        start_again(g, &elapsed);
        g->clock.base += seconds;
}

static LimitRecord *get(Gateway *g, LimitKind kind, const char *tenant, const char *whom) {
        LimitRecord *record;

        assert_int_equal(limiter_get(g->limiter, kind, tenant, whom, &record), 0);
        return record;
}

static uint32_t count(
                Gateway *g, LimitKind kind, const char *tenant, const char *whom, int window) {
        return limits_count(get(g, kind, tenant, whom), window, limiter_now(g->limiter));
}

/* --- counters ----------------------------------------------------------------------------------
 */

static void add(Gateway *g, const char *tenant, uint32_t n) {
        LimitRecord *record = get(g, LIMIT_TENANT, tenant, "");

        limiter_change(g->limiter, record);
        limits_add(record, LIMIT_TENANT_SHARES, n, limiter_now(g->limiter));
}

static uint32_t shares(Gateway *g, const char *tenant) {
        return count(g, LIMIT_TENANT, tenant, "", LIMIT_TENANT_SHARES);
}

static void what_is_committed_is_there_after_a_restart(void **state) {
        Gateway *g = gateway_of(state);

        begin(g);
        add(g, "adler", 5);
        commit(g);
        start_again(g, NULL);
        assert_int_equal(shares(g, "adler"), 5);
        assert_int_equal(shares(g, "krone"), 0);
}

static void a_command_that_is_rolled_back_counts_nothing(void **state) {
        Gateway *g = gateway_of(state);

        begin(g);
        add(g, "adler", 5);
        limiter_keep(g->limiter);
        add(g, "adler", 7);
        add(g, "krone", 1);
        limiter_forget(g->limiter);
        assert_int_equal(shares(g, "adler"), 5);
        commit(g);
        start_again(g, NULL);
        assert_int_equal(shares(g, "adler"), 5);
        assert_int_equal(shares(g, "krone"), 0);
}

static void a_batch_that_fails_counts_nothing(void **state) {
        Gateway *g = gateway_of(state);

        begin(g);
        add(g, "adler", 5);
        limiter_keep(g->limiter);
        assert_int_equal(limiter_write(g->limiter), 0);
        store_rollback(g->store);
        limiter_failed(g->limiter);
        assert_int_equal(shares(g, "adler"), 0);
}

static void a_restart_goes_on_with_the_clock_of_the_boot(void **state) {
        Gateway *g = gateway_of(state);
        int64_t now = limiter_now(g->limiter);
        StoreElapsed elapsed;

        start_again(g, NULL);
        assert_in_range(limiter_now(g->limiter) - now, 0, 5);

        /* An hour ago in this boot: it has passed. */
        assert_int_equal(store_elapsed_get(g->store, &elapsed), 0);
        elapsed.seconds = 1000;
        elapsed.boot_seconds -= elapsed.boot_seconds < HOUR ? elapsed.boot_seconds : HOUR;
        now = (int64_t) (time_boot() / USEC_PER_SEC) - elapsed.boot_seconds;
        start_again(g, &elapsed);
        assert_in_range(limiter_now(g->limiter) - 1000 - now, 0, 5);

        /* In another boot nobody knows. */
        elapsed.boot[0] ^= 1;
        start_again(g, &elapsed);
        assert_in_range(limiter_now(g->limiter) - 1000, 0, 5);
}

static void no_wall_clock_refills_anything(void **state) {
        Gateway *g = gateway_of(state);

        begin(g);
        add(g, "adler", 5);
        commit(g);
        for (int days = -1; days <= 2; days++) {
                g->clock.base += days * DAY;
                assert_int_equal(shares(g, "adler"), 5);
                start_again(g, NULL);
                assert_int_equal(shares(g, "adler"), 5);
        }
        pass(g, DAY + HOUR);
        assert_int_equal(shares(g, "adler"), 0);
}

static void a_damaged_counter_is_full_and_ages(void **state) {
        static const uint8_t damage[] = { LIMIT_TENANT, 1, 2, 3 };
        Gateway *g = gateway_of(state);
        uint8_t key[VAULT_INDEX_SIZE];

        limiter_key(g->limiter, LIMIT_TENANT, "adler", "", key);
        begin(g);
        assert_int_equal(store_counter_put(g->store, key, damage, sizeof(damage), NULL, 0), 0);
        assert_int_equal(store_commit(g->store), 0);
        begin(g);
        assert_int_equal(shares(g, "adler"), UINT32_MAX);
        commit(g);
        pass(g, DAY + HOUR);
        assert_int_equal(shares(g, "adler"), 0);
}

static int count_row(const StoreCounter *counter, void *userdata) {
        (void) counter;
        ++*(int *) userdata;
        return 0;
}

static int rows(Gateway *g) {
        int n = 0;

        assert_int_equal(store_counter_each(g->store, NULL, false, 100000, count_row, &n), 0);
        return n;
}

static void what_counts_nothing_any_more_is_thrown_away(void **state) {
        Gateway *g = gateway_of(state);
        char tenant[16];

        begin(g);
        for (int i = 0; i < 300; i++) {
                (void) snprintf(tenant, sizeof(tenant), "tenant%d", i);
                add(g, tenant, 1);
        }
        commit(g);
        assert_int_equal(rows(g), 300);
        begin(g);
        for (int i = 0; i < 20; i++)
                assert_int_equal(limiter_sweep(g->limiter, 100), 0);
        commit(g);
        assert_int_equal(rows(g), 300);
        pass(g, DAY + HOUR);
        begin(g);
        add(g, "tenant7", 1);
        for (int i = 0; i < 20; i++)
                assert_int_equal(limiter_sweep(g->limiter, 100), 0);
        commit(g);
        assert_int_equal(rows(g), 1);
}

/* --- messages ----------------------------------------------------------------------------------
 */

static const ConfigChannel sms = { .name = "sms", .scheme = "sms", .price = 700 },
                           echo = { .name = "echo", .scheme = "echo" },
                           mail = { .name = "email", .scheme = "mailto" };

static const ConfigChannel *channel_of(const char *address) {
        return strncmp(address, "sms:", 4) == 0      ? &sms
               : strncmp(address, "mailto:", 7) == 0 ? &mail
                                                     : &echo;
}

/* In how many seconds a message may leave that was made so long ago; 0: it left, and counts. */
static int64_t send_kind(
                Gateway *g, const char *tenant, const char *address, OutboxKind kind, int64_t age) {
        ShareContext c = { .gateway = g, .now = gateway_now(g) };
        const LimitMessage message = { .kind = kind,
                .address = address,
                .channel = channel_of(address),
                .text = "A text of one part.",
                .made = c.now - age };
        int64_t wait = 0;
        int r;

        c.share = world_share(7, LIFECYCLE_PENDING);
        c.share.tenant = (char *) tenant;
        begin(g);
        r = limit_take_message(&c, &message, &wait);
        commit(g);
        assert_true(r == 0 || r == LIMIT_HOLD);
        assert_true((r == 0) == (wait == 0));
        return wait;
}

static int64_t send_message(Gateway *g, const char *tenant, const char *address, int64_t age) {
        return send_kind(g, tenant, address, OUTBOX_INVITATION, age);
}

static void answer(Gateway *g, const char *tenant, const char *address) {
        ShareContext c = { .gateway = g, .now = gateway_now(g) };

        c.share = world_share(7, LIFECYCLE_INVITED);
        c.share.tenant = (char *) tenant;
        begin(g);
        assert_int_equal(limit_note_answered(&c, address), 0);
        commit(g);
}

static const char *neighbour(int i) {
        static char address[32];

        (void) snprintf(address, sizeof(address), "sms:+4915112%06d", i);
        return address;
}

static void one_tenant_delays_another_for_fifteen_minutes_at_most(void **state) {
        Gateway *g = gateway_of(state);
        int64_t age = 0, wait;
        int tries = 0;

        for (int i = 0; i < 3; i++)
                assert_int_equal(send_message(g, "adler", "echo:bob", 0), 0);
        while ((wait = send_message(g, "krone", "echo:bob", age)) > 0) {
                pass(g, wait);
                age += wait;
                assert_true(++tries < 20);
                (void) send_message(g, "adler", "echo:bob", LIMITS_DELAY_MAX); /* and goes on */
        }
        assert_in_range(age, 1, LIMITS_DELAY_MAX);
        assert_int_equal(send_message(g, "adler", "echo:eve", 0), 0);
}

static void all_aliases_of_a_person_count_as_one(void **state) {
        Gateway *g = gateway_of(state);

        assert_int_equal(send_message(g, "adler", "mailto:bob@example.org", 0), 0);
        assert_int_equal(send_message(g, "adler", "mailto:Bob+a@example.org", 0), 0);
        assert_int_equal(send_message(g, "adler", "mailto:bob+b@example.org", 0), 0);
        assert_true(send_message(g, "krone", "mailto:BOB+c@example.org", 0) > 0);
        assert_int_equal(send_message(g, "krone", "mailto:eve@example.org", 0), 0);
}

static void links_and_notices_wait_for_nobody(void **state) {
        Gateway *g = gateway_of(state);

        for (int i = 0; i < 20; i++) {
                assert_int_equal(send_kind(g, "adler", "echo:bob", OUTBOX_LINK, 0), 0);
                assert_int_equal(send_kind(g, "adler", "echo:bob", OUTBOX_NOTICE, 0), 0);
        }
        assert_int_equal(send_message(g, "adler", "echo:bob", 0), 0);
}

/* Twenty an hour for a block of numbers; who has sent least is asked first. */
static void who_has_sent_least_goes_first(void **state) {
        Gateway *g = gateway_of(state);
        int64_t busy, quiet;

        for (int i = 0; i < 20; i++)
                assert_int_equal(send_message(g, i < 18 ? "adler" : "krone", neighbour(i), 0), 0);
        busy = send_message(g, "adler", neighbour(50), 10 * MINUTE);
        quiet = send_message(g, "krone", neighbour(51), 10 * MINUTE);
        assert_true(quiet > 0 && quiet <= busy && busy <= 5 * MINUTE);
        pass(g, 58 * MINUTE);
        busy = send_message(g, "adler", neighbour(50), 0);
        quiet = send_message(g, "krone", neighbour(51), 0);
        assert_true(quiet > 0 && quiet < busy);
}

static void bounce(Gateway *g, const char *tenant, const char *address) {
        ShareContext c = { .gateway = g, .now = gateway_now(g) };

        c.share = world_share(7, LIFECYCLE_INVITED);
        c.share.tenant = (char *) tenant;
        begin(g);
        assert_int_equal(limit_note_bounced(&c, address), 0);
        commit(g);
}

static void mails_that_come_back_hold_the_next_to_their_domain_for_their_tenant_alone(
                void **state) {
        Gateway *g = gateway_of(state);
        char address[64];

        for (int i = 0; i < 20; i++) {
                (void) snprintf(address, sizeof(address), "mailto:guest%d@example.org", i);
                assert_int_equal(send_message(g, "adler", address, 0), 0);
        }
        bounce(g, "adler", "mailto:guest1@example.org"); /* five in a hundred are usual */
        assert_int_equal(send_message(g, "adler", "mailto:bob@example.org", 0), 0);
        bounce(g, "adler", "mailto:Guest2@example.org");
        assert_true(send_message(g, "adler", "mailto:eve@example.org", LIMITS_DELAY_MAX) > 0);
        assert_int_equal(send_message(g, "adler", "mailto:eve@example.com", 0), 0);
        assert_int_equal(send_message(g, "krone", "mailto:eve@example.org", 0), 0);
        start_again(g, NULL);
        assert_true(send_message(g, "adler", "mailto:eve@example.org", LIMITS_DELAY_MAX) > 0);
        pass(g, HOUR + 5 * MINUTE);
        assert_int_equal(send_message(g, "adler", "mailto:eve@example.org", 0), 0);
}

static void few_mails_that_come_back_hold_nothing(void **state) {
        Gateway *g = gateway_of(state);

        assert_int_equal(send_message(g, "adler", "mailto:bob@example.org", 0), 0);
        bounce(g, "adler", "mailto:bob@example.org");
        assert_int_equal(send_message(g, "adler", "mailto:eve@example.org", 0), 0);
}

static void sms_that_nobody_answers_stop_for_their_tenant_alone(void **state) {
        Gateway *g = gateway_of(state);

        for (int i = 0; i < 30; i++)
                assert_int_equal(send_message(g, "adler", neighbour(i), LIMITS_DELAY_MAX), 0);
        assert_int_equal(send_message(g, "adler", neighbour(40), LIMITS_DELAY_MAX), 0);
        pass(g, HOUR); /* everybody had time to answer */
        answer(g, "adler", neighbour(1));
        assert_true(send_message(g, "adler", neighbour(41), LIMITS_DELAY_MAX) > 0);
        assert_int_equal(send_message(g, "krone", neighbour(41), LIMITS_DELAY_MAX), 0);
        assert_int_equal(send_message(g, "adler", "sms:+4917112345678", LIMITS_DELAY_MAX), 0);
        pass(g, 12 * HOUR);
        start_again(g, NULL);
        assert_true(send_message(g, "adler", neighbour(41), LIMITS_DELAY_MAX) > 0);
        pass(g, 12 * HOUR + 1);
        assert_int_equal(send_message(g, "adler", neighbour(41), LIMITS_DELAY_MAX), 0);
}

static void sms_that_are_answered_go_on(void **state) {
        Gateway *g = gateway_of(state);

        for (int i = 0; i < 60; i++) {
                assert_int_equal(send_message(g, "adler", neighbour(i), LIMITS_DELAY_MAX), 0);
                if (i % 8 == 0)
                        answer(g, "adler", neighbour(i));
        }
        pass(g, HOUR);
        assert_int_equal(send_message(g, "adler", neighbour(99), LIMITS_DELAY_MAX), 0);
}

static void a_country_has_so_many_sms_a_day_of_each_tenant(void **state) {
        Gateway *g = gateway_of(state);
        char address[32];

        g->config->limits.number[LIMIT_MESSAGES_PER_COUNTRY] = 50;
        for (int i = 0; i < 50; i++) {
                (void) snprintf(address, sizeof(address), "sms:+49151%d0000000", 10 + i);
                assert_int_equal(send_message(g, "adler", address, LIMITS_DELAY_MAX), 0);
        }
        assert_true(send_message(g, "adler", "sms:+4917012345678", LIMITS_DELAY_MAX) > 0);
        assert_int_equal(send_message(g, "adler", "sms:+436601234567", LIMITS_DELAY_MAX), 0);
        assert_int_equal(send_message(g, "krone", "sms:+4917012345678", LIMITS_DELAY_MAX), 0);
}

static void what_sms_cost_never_passes_the_cap(void **state) {
        Gateway *g = gateway_of(state);
        uint32_t sent = 0;

        g->config->tenants[0].spend_per_day = 10000;
        for (int i = 0; i < 40; i++)
                sent += send_kind(g, "adler", neighbour(i), OUTBOX_NOTICE, 0) == 0;
        assert_int_equal(sent, 14); /* of 0.07 in 1.00 */
        assert_int_equal(count(g, LIMIT_TENANT, "adler", "", LIMIT_TENANT_SPENT), 9800);
        assert_int_equal(send_kind(g, "adler", "echo:bob", OUTBOX_NOTICE, 0), 0);
        pass(g, 25 * HOUR);
        assert_int_equal(send_kind(g, "adler", neighbour(1), OUTBOX_NOTICE, 0), 0);
}

static void a_channel_that_sends_far_more_than_usual_waits_for_some_minutes(void **state) {
        Gateway *g = gateway_of(state);
        LimitRecord *record;
        char address[32];

        pass(g, 8 * DAY);
        begin(g);
        record = get(g, LIMIT_CHANNEL, "", "echo");
        limiter_change(g->limiter, record);
        for (int i = 48; i > 0; i--)
                limits_add(record, LIMIT_CHANNEL_SENT, 50, limiter_now(g->limiter) - i * HOUR);
        commit(g);
        for (int i = 0; i < 250; i++) {
                (void) snprintf(address, sizeof(address), "echo:guest%d", i);
                assert_int_equal(send_message(g, "adler", address, 0), 0);
        }
        assert_in_range(send_message(g, "adler", "echo:last", 0), 1, LIMITS_DELAY_MAX);
        assert_int_equal(send_message(g, "adler", "echo:last", LIMITS_DELAY_MAX), 0);
}

#define ON_WORLD(name) cmocka_unit_test_setup_teardown(name, world_setup, world_teardown)

int main(void) {
        const struct CMUnitTest tests[] = {
                ON_WORLD(what_is_committed_is_there_after_a_restart),
                ON_WORLD(a_command_that_is_rolled_back_counts_nothing),
                ON_WORLD(a_batch_that_fails_counts_nothing),
                ON_WORLD(a_restart_goes_on_with_the_clock_of_the_boot),
                ON_WORLD(no_wall_clock_refills_anything),
                ON_WORLD(a_damaged_counter_is_full_and_ages),
                ON_WORLD(what_counts_nothing_any_more_is_thrown_away),
                ON_WORLD(one_tenant_delays_another_for_fifteen_minutes_at_most),
                ON_WORLD(all_aliases_of_a_person_count_as_one),
                ON_WORLD(links_and_notices_wait_for_nobody),
                ON_WORLD(who_has_sent_least_goes_first),
                ON_WORLD(mails_that_come_back_hold_the_next_to_their_domain_for_their_tenant_alone),
                ON_WORLD(few_mails_that_come_back_hold_nothing),
                ON_WORLD(sms_that_nobody_answers_stop_for_their_tenant_alone),
                ON_WORLD(sms_that_are_answered_go_on),
                ON_WORLD(a_country_has_so_many_sms_a_day_of_each_tenant),
                ON_WORLD(what_sms_cost_never_passes_the_cap),
                ON_WORLD(a_channel_that_sends_far_more_than_usual_waits_for_some_minutes),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}

/* What the numbers of a policy promise, tried out: how often guessing succeeds within a budget, and
 * that the time of the comparison says nothing about its outcome. */
#include <math.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "attempts.h"

#include "../base/test.h"

enum {
        SHARES = 1000000,
        CODES = 1000, /* so few that luck shows */
        SIGMAS = 5,

        SAMPLES = 100000, /* of each kind, in one round */
        ROUNDS = 5,
        COMPARISONS = 16, /* in one sample, as a clock counts no single one */
};

/* xorshift64*: a test that fails has to fail again. */
static uint64_t next_random(uint64_t *state) {
        *state ^= *state >> 12;
        *state ^= *state << 25;
        *state ^= *state >> 27;
        return *state * 0x2545f4914f6cdd1dULL;
}

static uint64_t a_seed(void) {
        const char *given = getenv("VESTIBULE_SEED");
        uint64_t seed = 0;

        if (given)
                seed = strtoull(given, NULL, 10);
        while (seed == 0)
                randombytes_buf(&seed, sizeof(seed));
        (void) printf("# VESTIBULE_SEED=%llu\n", (unsigned long long) seed);
        return seed;
}

/* A code of the toy space as its verifier: what is compared is as long as the real thing. */
static void toy_verifier(uint32_t code, uint8_t ret[CODE_VERIFIER_SIZE]) {
        memset(ret, 0x5a, CODE_VERIFIER_SIZE);
        memcpy(ret, &code, sizeof(code));
}

/* One share under attack, with distinct guesses, until it confirms or locks. */
static bool is_guessed(Attempts *attempts, uint64_t *random, uint32_t right_code, int64_t *now) {
        uint32_t guess_code = (uint32_t) (next_random(random) % CODES);
        uint8_t right[CODE_VERIFIER_SIZE], guess[CODE_VERIFIER_SIZE];

        toy_verifier(right_code, right);
        for (;;) {
                AttemptsTicket ticket;
                int r;

                toy_verifier(guess_code, guess);
                r = attempts_spend(attempts, guess, *now, &ticket);
                if (r == ATTEMPTS_E_EARLY) {
                        *now = attempts->not_before;
                        continue;
                }
                if (r == ATTEMPTS_E_NONE_LEFT)
                        return false;
                assert_int_equal(r, 0);
                if (attempts_judge(attempts, &ticket, right, *now) == ATTEMPTS_RIGHT)
                        return true;
                guess_code = (guess_code + 1) % CODES;
        }
}

static void expect_share(const char *what, long found, double probability) {
        double expected = SHARES * probability,
               sigma = sqrt(SHARES * probability * (1 - probability));

        (void) printf("# %s: %ld of %d confirmed, %.1f expected, %+.2f sigma\n",
                        what,
                        found,
                        SHARES,
                        expected,
                        ((double) found - expected) / sigma);
        assert_true(fabs((double) found - expected) < SIGMAS * sigma);
}

/* security.md B.2: k guesses of N confirm k in N shares, whatever else is tried. */
static void a_million_attacked_shares_confirm_as_often_as_the_policy_says(void **state) {
        static const unsigned tries[] = { 1, 3, 5 };
        uint64_t random = a_seed();

        for (size_t t = 0; t < N_ELEMENTS(tries); t++) {
                char what[32];
                long found = 0;

                for (int i = 0; i < SHARES; i++) {
                        Attempts attempts;
                        int64_t now = 1;

                        attempts_init(&attempts, tries[t], 9);
                        found += is_guessed(&attempts,
                                        &random,
                                        (uint32_t) (next_random(&random) % CODES),
                                        &now);
                }
                (void) snprintf(what, sizeof(what), "%u tries", tries[t]);
                expect_share(what, found, (double) tries[t] / CODES);
        }
}

/* With a further code after every two wrong answers the tries are never more than all that there
 * are. */
static void further_codes_refill_nothing(void **state) {
        enum { TRIES = 3, TOTAL = 9, REISSUES = 2 };
        uint64_t random = a_seed();
        long found = 0, compared = 0;

        for (int i = 0; i < SHARES; i++) {
                uint32_t code = (uint32_t) (next_random(&random) % CODES), guess_code;
                uint8_t right[CODE_VERIFIER_SIZE], guess[CODE_VERIFIER_SIZE];
                int reissues = REISSUES;
                Attempts attempts;
                int64_t now = 1;
                bool is_found = false;

                attempts_init(&attempts, TRIES, TOTAL);
                guess_code = (uint32_t) (next_random(&random) % CODES);
                while (!is_found) {
                        AttemptsTicket ticket;
                        int r;

                        if (attempts.left == 1 && reissues > 0) {
                                reissues--;
                                assert_int_equal(attempts_renew(&attempts, TRIES), 0);
                                code = (uint32_t) (next_random(&random) % CODES);
                        }
                        toy_verifier(guess_code, guess);
                        toy_verifier(code, right);
                        now += 100;
                        r = attempts_spend(&attempts, guess, now, &ticket);
                        if (r == ATTEMPTS_E_NONE_LEFT)
                                break;
                        assert_int_equal(r, 0);
                        compared++;
                        is_found = attempts_judge(&attempts, &ticket, right, now) == ATTEMPTS_RIGHT;
                        guess_code = (guess_code + 1) % CODES;
                }
                found += is_found;
        }
        /* Two, two and three: a code that is replaced takes its last try with it. */
        assert_true(compared <= (long) TOTAL * SHARES);
        expect_share("further codes", found, 1 - pow(1 - 2.0 / CODES, 2) * (1 - 3.0 / CODES));
}

/* --- time --------------------------------------------------------------------------------- */

typedef bool (*Compare)(const uint8_t *a, const uint8_t *b);

/* What a careless comparison does: the control, which the test has to catch. */
__attribute__((noinline)) static bool stops_early(const uint8_t *a, const uint8_t *b) {
        for (size_t i = 0; i < CODE_VERIFIER_SIZE; i++) {
                volatile uint8_t x = a[i], y = b[i];

                if (x != y)
                        return false;
        }
        return true;
}

static bool as_we_compare(const uint8_t *a, const uint8_t *b) {
        return code_verifier_equal(a, b);
}

static double nanoseconds(void) {
        struct timespec now;

        (void) clock_gettime(CLOCK_MONOTONIC, &now);
        return (double) now.tv_sec * 1e9 + (double) now.tv_nsec;
}

/* The guess is put together without a branch, and always in the same place: else the measurement
 * would measure itself. */
static double one_sample(
                Compare compare, const uint8_t *right, const uint8_t *wrong, uint8_t pick) {
        static uint8_t guess[CODE_VERIFIER_SIZE];
        uint8_t mask = (uint8_t) -pick;
        volatile bool sink = false;
        double began;

        for (size_t i = 0; i < sizeof(guess); i++)
                guess[i] = (uint8_t) ((right[i] & mask) | (wrong[i] & (uint8_t) ~mask));
        began = nanoseconds();
        for (int i = 0; i < COMPARISONS; i++)
                sink = compare(guess, right) ^ sink;
        return nanoseconds() - began;
}

static int by_size(const void *a, const void *b) {
        double x = *(const double *) a, y = *(const double *) b;

        return (x > y) - (x < y);
}

/* Welch's t between the two kinds, of the nine tenths of samples that nothing came between. */
static double welch(Compare compare, uint64_t *random) {
        double *samples = malloc(2 * SAMPLES * sizeof(double)), *sorted, cut;
        double n[2] = { 0 }, sum[2] = { 0 }, squares[2] = { 0 }, mean[2], variance[2];
        uint8_t right[CODE_VERIFIER_SIZE], wrong[CODE_VERIFIER_SIZE];
        uint8_t *kinds = malloc(2 * SAMPLES);

        sorted = malloc(2 * SAMPLES * sizeof(double));
        assert_non_null(samples);
        assert_non_null(sorted);
        assert_non_null(kinds);
        for (size_t i = 0; i < CODE_VERIFIER_SIZE; i++) {
                right[i] = (uint8_t) next_random(random);
                wrong[i] = (uint8_t) ~right[i];
        }
        for (size_t i = 0; i < 2 * SAMPLES; i++) {
                kinds[i] = (uint8_t) (next_random(random) >> 63);
                samples[i] = sorted[i] = one_sample(compare, right, wrong, kinds[i]);
        }
        qsort(sorted, 2 * SAMPLES, sizeof(double), by_size);
        cut = sorted[2 * SAMPLES / 10 * 9];
        for (size_t i = 0; i < 2 * SAMPLES; i++) {
                if (samples[i] > cut)
                        continue;
                n[kinds[i]]++;
                sum[kinds[i]] += samples[i];
                squares[kinds[i]] += samples[i] * samples[i];
        }
        for (int k = 0; k < 2; k++) {
                mean[k] = sum[k] / n[k];
                variance[k] = squares[k] / n[k] - mean[k] * mean[k];
        }
        free(samples);
        free(sorted);
        free(kinds);
        return (mean[1] - mean[0]) / sqrt(variance[0] / n[0] + variance[1] / n[1] + 1e-9);
}

/* Of several rounds the one in the middle: another process that wakes up is not a leak. */
static double middle_welch(const char *what, Compare compare, uint64_t *random) {
        double t[ROUNDS];

        for (int i = 0; i < ROUNDS; i++)
                t[i] = fabs(welch(compare, random));
        qsort(t, ROUNDS, sizeof(double), by_size);
        (void) printf("# %s: Welch's t %.2f (%.2f to %.2f)\n",
                        what,
                        t[ROUNDS / 2],
                        t[0],
                        t[ROUNDS - 1]);
        return t[ROUNDS / 2];
}

static void right_and_wrong_take_the_same_time(void **state) {
        uint64_t random = a_seed();

        assert_true(middle_welch("as we compare", as_we_compare, &random) < 4.5);
        assert_true(middle_welch("a comparison that stops early", stops_early, &random) > 45);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(a_million_attacked_shares_confirm_as_often_as_the_policy_says),
                cmocka_unit_test(further_codes_refill_nothing),
                cmocka_unit_test(right_and_wrong_take_the_same_time),
        };

        if (sodium_init() < 0)
                return 1;
        return cmocka_run_group_tests(tests, NULL, NULL);
}

/* Attempts. Whether a guess was made before is answered from the traces of wrong guesses alone, so
 * that spending never depends on the right code and the order of spend and comparison cannot be
 * turned round. */
#include "attempts.h"

#include <sodium.h>
#include <string.h>

#include "rules.h"

static const int64_t delays[] = { 2, 8, 30 };
enum { N_DELAYS = sizeof(delays) / sizeof(delays[0]) };

static unsigned least(unsigned a, unsigned b) {
        return a < b ? a : b;
}

void attempts_init(Attempts *ret, unsigned attempts, unsigned attempts_total) {
        memset(ret, 0, sizeof(*ret));
        ret->total_left = (uint8_t) least(attempts_total, ATTEMPTS_TOTAL_MAX);
        ret->left = (uint8_t) least(least(attempts, RULES_ATTEMPTS_MAX), ret->total_left);
        ret->mistyped_left = ATTEMPTS_MISTYPED_MAX;
}

void attempts_forget_wrong(Attempts *attempts) {
        sodium_memzero(attempts->wrong, sizeof(attempts->wrong));
        attempts->n_wrong = 0;
}

int attempts_renew(Attempts *attempts, unsigned tries) {
        if (attempts->total_left == 0)
                return ATTEMPTS_E_NONE_LEFT;
        attempts->left = (uint8_t) least(least(tries, RULES_ATTEMPTS_MAX), attempts->total_left);
        attempts_forget_wrong(attempts);
        return 0;
}

/* What is stored could be damaged: a count never reaches past the array. */
static unsigned n_traces(const Attempts *attempts) {
        return least(attempts->n_wrong, ATTEMPTS_TOTAL_MAX);
}

static bool was_wrong(const Attempts *attempts, const uint8_t guess[CODE_VERIFIER_SIZE]) {
        bool found = false;

        for (unsigned i = 0; i < n_traces(attempts); i++)
                found |= sodium_memcmp(attempts->wrong[i], guess, ATTEMPTS_TRACE_SIZE) == 0;
        return found;
}

int attempts_spend(Attempts *attempts,
                const uint8_t guess[CODE_VERIFIER_SIZE],
                int64_t now,
                AttemptsTicket *ret) {
        memset(ret, 0, sizeof(*ret));

        if (attempts->left == 0 || attempts->total_left == 0)
                return ATTEMPTS_E_NONE_LEFT;
        if (was_wrong(attempts, guess))
                return ATTEMPTS_E_REPEATED;
        /* Further off than any delay is a time of a clock that was found wrong and set back. */
        if (now < attempts->not_before && attempts->not_before - now <= delays[N_DELAYS - 1])
                return ATTEMPTS_E_EARLY;

        attempts->left--;
        attempts->total_left--;
        memcpy(ret->guess, guess, CODE_VERIFIER_SIZE);
        ret->valid = true;
        return 0;
}

static void remember(Attempts *attempts, const uint8_t guess[CODE_VERIFIER_SIZE], int64_t now) {
        unsigned n = n_traces(attempts);

        if (n < ATTEMPTS_TOTAL_MAX) {
                memcpy(attempts->wrong[n], guess, ATTEMPTS_TRACE_SIZE);
                attempts->n_wrong = (uint8_t) (n + 1);
        }
        attempts->not_before = now + delays[n < N_DELAYS ? n : N_DELAYS - 1];
}

AttemptsVerdict attempts_judge(Attempts *attempts,
                AttemptsTicket *ticket,
                const uint8_t right[CODE_VERIFIER_SIZE],
                int64_t now) {
        bool equal = code_verifier_equal(ticket->guess, right), valid = ticket->valid;

        if (valid && !equal)
                remember(attempts, ticket->guess, now);
        sodium_memzero(ticket, sizeof(*ticket));

        if (valid && equal)
                return ATTEMPTS_RIGHT;
        return attempts->left == 0 ? ATTEMPTS_WRONG_LAST : ATTEMPTS_WRONG;
}

int attempts_mistyped(Attempts *attempts) {
        if (attempts->mistyped_left == 0)
                return ATTEMPTS_E_SILENT;
        attempts->mistyped_left--;
        return 0;
}

/* When the n-th answer counted from the last leaves its window; 0 when it is out already. */
static int64_t blocked_until(
                const AttemptsBudget *budget, unsigned n, int64_t window, int64_t now) {
        int64_t time = budget->times[ATTEMPTS_PER_DAY - n];

        return time > 0 && now - time < window ? time + window : 0;
}

bool attempts_budget_take(AttemptsBudget *budget, int64_t now, int64_t *ret_retry) {
        int64_t hour = blocked_until(budget, ATTEMPTS_PER_HOUR, 3600, now);
        int64_t day = blocked_until(budget, ATTEMPTS_PER_DAY, 24 * 3600, now);

        if (hour != 0 || day != 0) {
                if (ret_retry)
                        *ret_retry = hour > day ? hour : day;
                return false;
        }
        memmove(budget->times, budget->times + 1, sizeof(budget->times) - sizeof(budget->times[0]));
        budget->times[ATTEMPTS_PER_DAY - 1] = now;
        return true;
}

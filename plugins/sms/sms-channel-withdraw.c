/* Messages that are taken back: one that waits here is dropped; one that the driver is sending is
 * waited for; one that the carrier has is the driver's to ask for. `withdrawn` is answered only
 * where nobody has got any copy, nor will: of a message that left more than once, or in a try whose
 * end is not known, the newest copy is taken back, and the answer is `too-late` all the same. */
#include <errno.h>
#include <stdio.h>

#include "sms-channel-internal.h"
#include "time-text.h"

static void answer(SmsChannel *c, int64_t id, SmsWithdrawOutcome outcome) {
        if (outcome == SMS_WITHDRAW_LATER)
                plugin_answer(c->plugin,
                                id,
                                json_pack("{s:s, s:s, s:i}",
                                                "type",
                                                "later",
                                                "reason",
                                                "carrier",
                                                "retry_after",
                                                SMS_CHANNEL_RETRY_SECONDS));
        else
                plugin_answer(c->plugin,
                                id,
                                json_pack("{s:s}",
                                                "type",
                                                outcome == SMS_WITHDRAW_DONE ? "withdrawn"
                                                                             : "too-late"));
}

static void withdrawal_end(SmsChannel *c, Withdrawal *withdrawal, SmsWithdrawOutcome outcome) {
        TAILQ_REMOVE(&c->withdrawals, withdrawal, entry);
        if (outcome == SMS_WITHDRAW_DONE && withdrawal->has_copies)
                outcome = SMS_WITHDRAW_TOO_LATE;
        answer(c, withdrawal->request, outcome);
        free(withdrawal);
}

/* --- Copies that may have left before --- */

/* A restart forgets them, and a long night of a carrier's as well: what was made before may have
 * been tried then. */
static void remember_tried(SmsChannel *c, const char *message) {
        if (c->tried[c->next_tried][0] && !streq(c->tried[c->next_tried], message))
                c->tried_known_after = time_wall();
        memcpy(c->tried[c->next_tried], message, SMS_MESSAGE_SIZE);
        c->next_tried = (c->next_tried + 1) % SMS_CHANNEL_TRIED_MAX;
}

static bool is_remembered(const SmsChannel *c, const char *message) {
        for (size_t i = 0; i < SMS_CHANNEL_TRIED_MAX; i++)
                if (streq(c->tried[i], message))
                        return true;
        return false;
}

bool sms_withdraw_was_tried(const SmsChannel *c, const char *message, int64_t made) {
        return is_remembered(c, message) || sms_reports_has_parts(c->reports, message) ||
               (c->tried_known_after != 0 && made <= c->tried_known_after);
}

/* --- The driver's part --- */

/* Asked once for all who ask for the same. */
static bool is_asked(const SmsChannel *c, const char *message) {
        const Withdrawal *withdrawal;

        TAILQ_FOREACH(withdrawal, &c->withdrawals, entry)
        if (withdrawal->is_with_driver && streq(withdrawal->message, message))
                return true;
        return false;
}

/* 0: the driver has been asked, and will tell. */
static int ask_driver(SmsChannel *c, Withdrawal *withdrawal) {
        _cleanup_(freep) const char **ids = NULL;
        SmsTaken taken = {
                .message = withdrawal->message, .to = withdrawal->to, .from = c->settings.sender
        };

        if (!sms_reports_ids(c->reports,
                            withdrawal->message,
                            &ids,
                            &taken.n_ids,
                            &withdrawal->has_copies))
                return -ENOENT;
        withdrawal->has_copies = withdrawal->has_copies || is_remembered(c, withdrawal->message);
        if (is_asked(c, withdrawal->message))
                return 0;
        if (!c->settings.driver->withdraw)
                return -EOPNOTSUPP;
        taken.ids = ids;
        return c->settings.driver->withdraw(c->driver, &taken);
}

static void begin(SmsChannel *c, Withdrawal *withdrawal) {
        int r = ask_driver(c, withdrawal);

        if (r == 0)
                withdrawal->is_with_driver = true;
        else
                withdrawal_end(c,
                                withdrawal,
                                r == -EAGAIN ? SMS_WITHDRAW_LATER : SMS_WITHDRAW_TOO_LATE);
}

void sms_withdraw_result(SmsChannel *c, const char *message, SmsWithdrawOutcome outcome) {
        Withdrawal *withdrawal, *next;

        /* The carrier reports a message that it gave back as one that failed. */
        if (outcome == SMS_WITHDRAW_DONE)
                sms_reports_end(c->reports, message, -1, time_wall());
        for (withdrawal = TAILQ_FIRST(&c->withdrawals); withdrawal; withdrawal = next) {
                next = TAILQ_NEXT(withdrawal, entry);
                if (withdrawal->is_with_driver && streq(withdrawal->message, message))
                        withdrawal_end(c, withdrawal, outcome);
        }
}

/* Of a message that is neither here nor under way: the carrier's, or nobody's. */
static void begin_or_end(SmsChannel *c, Withdrawal *withdrawal, bool never_left) {
        size_t n;
        const char **ids;
        bool has_copies;
        bool is_taken = sms_reports_ids(c->reports, withdrawal->message, &ids, &n, &has_copies);

        free(ids);
        if (is_taken)
                begin(c, withdrawal);
        else
                withdrawal_end(c,
                                withdrawal,
                                never_left && !is_remembered(c, withdrawal->message)
                                                ? SMS_WITHDRAW_DONE
                                                : SMS_WITHDRAW_TOO_LATE);
}

void sms_withdraw_after_send(SmsChannel *c, const char *message, bool may_arrive, bool never_left) {
        Withdrawal *withdrawal, *next;

        if (may_arrive)
                remember_tried(c, message);
        for (withdrawal = TAILQ_FIRST(&c->withdrawals); withdrawal; withdrawal = next) {
                next = TAILQ_NEXT(withdrawal, entry);
                if (!withdrawal->is_with_driver && streq(withdrawal->message, message))
                        begin_or_end(c, withdrawal, never_left);
        }
}

/* --- The gateway asks --- */

void sms_withdraw_request(SmsChannel *c, int64_t id, const json_t *frame) {
        const char *message = json_string_value(json_object_get(frame, "message"));
        const char *to = json_string_value(json_object_get(frame, "to"));
        Withdrawal *withdrawal;

        if (!message || !to || !sms_reports_is_message(message) || strncmp(to, "sms:", 4) != 0 ||
                        strlen(to + 4) >= SMS_NUMBER_SIZE ||
                        !(withdrawal = calloc(1, sizeof(*withdrawal)))) {
                answer(c, id, SMS_WITHDRAW_TOO_LATE);
                return;
        }
        withdrawal->request = id;
        (void) snprintf(withdrawal->message, sizeof(withdrawal->message), "%s", message);
        (void) snprintf(withdrawal->to, sizeof(withdrawal->to), "%s", to + 4);
        TAILQ_INSERT_TAIL(&c->withdrawals, withdrawal, entry);
        if (!sms_send_is_under_way(c, message))
                begin_or_end(c, withdrawal, sms_send_drop(c, message));
}

void sms_withdraw_stop(SmsChannel *c) {
        Withdrawal *withdrawal;

        while ((withdrawal = TAILQ_FIRST(&c->withdrawals))) {
                TAILQ_REMOVE(&c->withdrawals, withdrawal, entry);
                free(withdrawal);
        }
}

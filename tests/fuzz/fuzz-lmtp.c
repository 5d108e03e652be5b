/* What strangers send over LMTP, in pieces whose sizes follow from the bytes. However it is cut,
 * the same mails come out, each ends where the octets CRLF "." CRLF are, nothing that is refused is
 * handed up, and the answers are whole lines. */
#include <assert.h>
#include <sodium.h>
#include <string.h>

#include "lmtp-session.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

typedef struct Outcome {
        crypto_generichash_state mails, answers;
} Outcome;

static void check_mail(const LmtpEvent *event) {
        assert(event->n_recipients > 0 && event->n_recipients <= LMTP_RECIPIENTS_MAX);
        assert(event->size <= 64 * 1024);
        assert(!memchr(event->data, '\0', event->size));
        for (size_t i = 0; i < event->size; i++)
                if (event->data[i] == '\r')
                        assert(i + 1 < event->size && event->data[i + 1] == '\n');
                else if (event->data[i] == '\n')
                        assert(i > 0 && event->data[i - 1] == '\r');
}

static void decide_mail(LmtpSession *session, const LmtpEvent *event, Outcome *outcome) {
        size_t n = event->n_recipients;

        check_mail(event);
        crypto_generichash_update(&outcome->mails, (const uint8_t *) event->data, event->size);
        for (size_t i = n; i > 0; i--) /* backwards: the answers must still come in order */
                lmtp_session_answer_mail(session, i - 1, (LmtpAnswer) (i % LMTP_ANSWER_MAX));
}

static void write_out(LmtpSession *session, Outcome *outcome) {
        const char *text;
        size_t size;

        lmtp_session_output(session, &text, &size);
        assert(size == 0 || (size >= 2 && memcmp(text + size - 2, "\r\n", 2) == 0));
        crypto_generichash_update(&outcome->answers, (const uint8_t *) text, size);
        lmtp_session_written(session, size);
}

/* False: the session has ended. */
static bool decide(LmtpSession *session, Outcome *outcome) {
        LmtpEvent event;

        for (;;) {
                assert(lmtp_session_next(session, &event) == 0);
                if (event.kind == LMTP_EVENT_RECIPIENT)
                        lmtp_session_answer_recipient(session,
                                        (LmtpAnswer) (strlen(event.recipient) % 4 == 3
                                                                        ? LMTP_ANSWER_REFUSED
                                                                        : LMTP_ANSWER_TAKEN));
                else if (event.kind == LMTP_EVENT_MAIL)
                        decide_mail(session, &event, outcome);
                else {
                        const char *text;
                        size_t before;

                        lmtp_session_output(session, &text, &before);
                        write_out(session, outcome);
                        if (event.kind == LMTP_EVENT_CLOSE || before == 0)
                                return event.kind != LMTP_EVENT_CLOSE;
                }
        }
}

static void run(const uint8_t *data, size_t size, bool whole, uint8_t ret[64]) {
        LmtpSession *session = NULL;
        Outcome outcome = { 0 };
        size_t at = 0;

        crypto_generichash_init(&outcome.mails, NULL, 0, 32);
        crypto_generichash_init(&outcome.answers, NULL, 0, 32);
        assert(lmtp_session_new("mx.hotel.test", 64 * 1024, &session) == 0);
        while (decide(session, &outcome) && at < size) {
                size_t n = whole ? size - at : (size_t) 1 + data[at] % 7;

                n = n > size - at ? size - at : n;
                n = lmtp_session_push(session, (const char *) data + at, n);
                assert(n > 0);
                at += n;
        }
        (void) decide(session, &outcome);
        lmtp_session_free(session);
        crypto_generichash_final(&outcome.mails, ret, 32);
        crypto_generichash_final(&outcome.answers, ret + 32, 32);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        uint8_t whole[64], pieces[64];

        run(data, size, true, whole);
        run(data, size, false, pieces);
        assert(memcmp(whole, pieces, 64) == 0);
        return 0;
}

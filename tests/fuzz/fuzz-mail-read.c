/* Whole mails of strangers; the first byte says what the envelope was. What comes out keeps the
 * promises that the gateway builds on, is the same each time, and success is never guessed. */
#include <assert.h>
#include <string.h>

#include "mail-read.h"
#include "text.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const uint8_t key[MAIL_TOKEN_KEY_SIZE] = { 1 };
static const MailReadPlace place = {
        .token = { key, "keys", '+' },
        .domain = "hotel.test",
        .authserv_id = "mx.hotel.test",
};

static void check(const MailRead *mail) {
        uint8_t unused[16];

        assert(!mail->from[0] || address_is_canonical(mail->from));
        assert(!mail->thread[0] || text_from_id("thr_", mail->thread, unused) == 0);
        assert(!mail->quoted[0] || text_from_id("msg_", mail->quoted, unused) == 0);
        assert(!mail->message[0] || text_from_id("msg_", mail->message, unused) == 0);
        assert(strlen(mail->inbound) == MAIL_READ_ID_SIZE - 1);
        assert(strlen(mail->text) <= REPLY_TEXT_MAX &&
                        text_is_utf8(mail->text, strlen(mail->text)));
        assert(mail->authentic != MAIL_AUTHENTIC_STRONG ||
                        (mail->verdict == AUTH_RESULTS_PASS && mail->from[0]));
        if (mail->kind == MAIL_READ_REPLY)
                assert(mail->empty == (mail->text[0] == '\0') && !mail->message[0]);
        else
                assert(!mail->text[0]);
        assert(mail->class != DSN_CLASS_SUCCESS || mail->action >= DSN_ACTION_DELIVERED);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        static bool started;
        MailReadEnvelope envelope = { 0 };
        static MailRead mail, again;
        const char *text = (const char *) data + 1;
        int r;

        if (size == 0)
                return 0;
        if (!started)
                mail_read_init();
        started = true;
        if (data[0] & 1)
                envelope = (MailReadEnvelope){ "bob@example.org", "keys@hotel.test" };
        if (data[0] & 2)
                envelope.path = "";
        r = mail_read(&place, &envelope, text, size - 1, &mail);
        assert(r >= 0 && r < MAIL_READ_E_MAX);
        if (r > 0) {
                assert(mail_read_error_name(r)[0] && !mail.inbound[0]);
                return 0;
        }
        check(&mail);
        assert(mail_read(&place, &envelope, text, size - 1, &again) == 0);
        assert(memcmp(&mail, &again, sizeof(mail)) == 0);
        return 0;
}

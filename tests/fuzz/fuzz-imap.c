/* What an IMAP server sends, in pieces whose sizes follow from the bytes. However it is cut, the
 * same things happen and the same is asked; what is asked are whole lines, one command at a time,
 * and no mail is larger than the bound. */
#include <assert.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#include "imap-session.h"

enum { MAIL_MAX = 5000 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void write_out(ImapSession *session, crypto_generichash_state *outcome) {
        const char *text;
        size_t size;

        imap_session_output(session, &text, &size);
        if (size == 0)
                return;
        assert(size >= 2 && memmem(text, size, "\r\n", 2) == text + size - 2);
        assert(!memchr(text, '\0', size));
        crypto_generichash_update(outcome, (const uint8_t *) text, size);
        imap_session_written(session, size);
}

/* The next command is one that the event suggests. */
static void decide(
                ImapSession *session, const ImapEvent *event, crypto_generichash_state *outcome) {
        char *mail;
        size_t size;

        switch (event->kind) {
        case IMAP_EVENT_READY:
                imap_session_search(session, event->validity);
                break;
        case IMAP_EVENT_FOUND:
                for (size_t i = 1; i < event->n_uids; i++)
                        assert(event->uids[i - 1] < event->uids[i]);
                crypto_generichash_update(outcome,
                                (const uint8_t *) event->uids,
                                event->n_uids * sizeof(*event->uids));
                if (event->n_uids > 0)
                        imap_session_fetch(session, event->uids[event->n_uids / 2]);
                else
                        imap_session_logout(session);
                break;
        case IMAP_EVENT_MAIL:
                mail = imap_session_take_mail(session, &size);
                assert(mail && size <= MAIL_MAX + IMAP_LITERALS_MAX);
                crypto_generichash_update(outcome, (const uint8_t *) mail, size);
                imap_session_mark(session, event->uid, size % 2 == 0);
                free(mail);
                break;
        case IMAP_EVENT_LARGE:
        case IMAP_EVENT_ABSENT:
                imap_session_mark(session, event->uid, true);
                break;
        case IMAP_EVENT_MARKED:
        case IMAP_EVENT_NO:
                imap_session_search(session, event->uid);
                break;
        default:
                break;
        }
}

/* False: it is over. */
static bool go_on(ImapSession *session, crypto_generichash_state *outcome) {
        for (;;) {
                const char *text;
                ImapEvent event;
                uint8_t kind;
                size_t size;

                write_out(session, outcome);
                imap_session_next(session, &event);
                kind = (uint8_t) event.kind;
                if (event.kind == IMAP_EVENT_NOTHING) {
                        imap_session_output(session, &text, &size);
                        if (size == 0)
                                return true;
                        continue;
                }
                crypto_generichash_update(outcome, &kind, 1);
                crypto_generichash_update(outcome, (const uint8_t *) &event.uid, sizeof(event.uid));
                if (event.kind == IMAP_EVENT_CLOSE) {
                        crypto_generichash_update(outcome,
                                        (const uint8_t *) event.reason,
                                        strlen(event.reason));
                        return false;
                }
                assert(imap_session_is_idle(session));
                decide(session, &event, outcome);
        }
}

static void run(const uint8_t *data, size_t size, bool whole, uint8_t ret[32]) {
        ImapAccount account = {
                .user = "gw", .password = "mailpw", .folder = "INBOX", .size_max = MAIL_MAX
        };
        crypto_generichash_state outcome;
        ImapSession *session = NULL;
        size_t at = 0;

        crypto_generichash_init(&outcome, NULL, 0, 32);
        assert(imap_session_new(&account, &session) == 0);
        while (go_on(session, &outcome) && at < size) {
                size_t n = whole ? size - at : (size_t) 1 + data[at] % 7;

                n = n > size - at ? size - at : n;
                assert(imap_session_push(session, (const char *) data + at, n) == 0);
                at += n;
        }
        imap_session_free(session);
        crypto_generichash_final(&outcome, ret, 32);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        uint8_t whole[32], pieces[32];

        run(data, size, true, whole);
        run(data, size, false, pieces);
        assert(memcmp(whole, pieces, 32) == 0);
        return 0;
}

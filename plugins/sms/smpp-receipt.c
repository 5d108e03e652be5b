#include "smpp-receipt.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "cleanup.h"

/* SMPP 3.4 section 5.2.28 and appendix B; the longer words are what vendors write. */
static const struct {
        const char *word;
        SmppOutcome outcome;
} words[] = {
        { "DELIVRD", SMPP_OUTCOME_DELIVERED },
        { "DELIVERED", SMPP_OUTCOME_DELIVERED },
        { "EXPIRED", SMPP_OUTCOME_EXPIRED },
        { "DELETED", SMPP_OUTCOME_FAILED },
        { "UNDELIV", SMPP_OUTCOME_FAILED },
        { "UNDELIVERABLE", SMPP_OUTCOME_FAILED },
        { "UNDELIVERED", SMPP_OUTCOME_FAILED },
        { "FAILED", SMPP_OUTCOME_FAILED },
        { "ACCEPTD", SMPP_OUTCOME_ACCEPTED },
        { "ACCEPTED", SMPP_OUTCOME_ACCEPTED },
        { "ENROUTE", SMPP_OUTCOME_ACCEPTED },
        { "BUFFERED", SMPP_OUTCOME_ACCEPTED },
        { "SCHEDULED", SMPP_OUTCOME_ACCEPTED },
        { "REJECTD", SMPP_OUTCOME_REJECTED },
        { "REJECTED", SMPP_OUTCOME_REJECTED },
        { "UNKNOWN", SMPP_OUTCOME_UNKNOWN },
};

static const SmppOutcome states[] = {
        [1] = SMPP_OUTCOME_ACCEPTED, /* ENROUTE */
        [2] = SMPP_OUTCOME_DELIVERED,
        [3] = SMPP_OUTCOME_EXPIRED,
        [4] = SMPP_OUTCOME_FAILED, /* DELETED */
        [5] = SMPP_OUTCOME_FAILED, /* UNDELIVERABLE */
        [6] = SMPP_OUTCOME_ACCEPTED,
        [7] = SMPP_OUTCOME_UNKNOWN,
        [8] = SMPP_OUTCOME_REJECTED,
};

static bool is_letter(char c) {
        return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

static bool is_space(char c) {
        return c == ' ' || c == '\t' || c == '\r' || c == '\n' || c == '\0';
}

/* Where a field's value begins: behind its name, which no letter stands before, and a colon. What
 * follows "text:" is the message's own, in which anything may stand. */
static const char *find_field(const char *text, size_t size, const char *name) {
        size_t n = strlen(name);

        for (size_t i = 0; i + n < size; i++) {
                bool is_start = i == 0 || is_space(text[i - 1]) || !is_letter(text[i - 1]);

                if (is_start && size - i > 5 && strncasecmp(text + i, "text:", 5) == 0)
                        return NULL;
                if (is_start && strncasecmp(text + i, name, n) == 0 && text[i + n] == ':')
                        return text + i + n + 1;
        }
        return NULL;
}

/* Copies a field's word, cut off at what may not be in an id. False: it is not there, or too long.
 */
static bool read_field(const char *text, size_t size, const char *name, char *ret, size_t room) {
        const char *p = find_field(text, size, name), *end = text + size;
        size_t n = 0;

        ret[0] = '\0';
        if (!p)
                return false;
        while (p < end && *p == ' ')
                p++;
        for (; p < end && !is_space(*p); p++) {
                if (n + 1 >= room || *p < '!' || *p > '~') {
                        ret[0] = '\0';
                        return false;
                }
                ret[n++] = *p;
        }
        ret[n] = '\0';
        return n > 0;
}

static bool outcome_of(const char *word, SmppOutcome *ret) {
        for (size_t i = 0; i < N_ELEMENTS(words); i++)
                if (strcasecmp(word, words[i].word) == 0) {
                        *ret = words[i].outcome;
                        return true;
                }
        return false;
}

static bool is_printable(const char *text) {
        for (; *text; text++)
                if (*text < '!' || *text > '~')
                        return false;
        return true;
}

int smpp_receipt_read(
                const char *text, size_t size, const SmppReceiptTlvs *tlvs, SmppReceipt *ret) {
        SmppReceipt receipt = { 0 };
        char word[16], error[sizeof(receipt.error)];
        bool has_outcome = false;

        assert(text || size == 0);
        assert(tlvs && ret);

        if (!text)
                text = "";
        if (size > SMPP_RECEIPT_TEXT_MAX)
                size = SMPP_RECEIPT_TEXT_MAX;
        if (read_field(text, size, "stat", word, sizeof(word)))
                has_outcome = outcome_of(word, &receipt.outcome);
        (void) read_field(text, size, "id", receipt.id, sizeof(receipt.id));
        if (read_field(text, size, "err", error, sizeof(error)))
                memcpy(receipt.error, error, sizeof(error));

        if (tlvs->id && tlvs->id[0] && strlen(tlvs->id) < SMPP_ID_SIZE && is_printable(tlvs->id))
                (void) snprintf(receipt.id, sizeof(receipt.id), "%s", tlvs->id);
        if (tlvs->state > 0 && (size_t) tlvs->state < N_ELEMENTS(states)) {
                receipt.outcome = states[tlvs->state];
                has_outcome = true;
        }
        if (tlvs->error)
                (void) snprintf(receipt.error,
                                sizeof(receipt.error),
                                "%u/%04x",
                                tlvs->error[0] % 10u,
                                (unsigned) (tlvs->error[1] << 8 | tlvs->error[2]));
        /* A receipt with a name and a word that nobody knows is one; what it says is not known. */
        if (!receipt.id[0] && !has_outcome)
                return SMPP_RECEIPT_E_FORM;
        *ret = receipt;
        return 0;
}

static const char *without_zeros(const char *id) {
        while (id[0] == '0' && id[1] != '\0')
                id++;
        return id;
}

static bool consists_of(const char *text, const char *symbols) {
        return text[0] != '\0' && strspn(text, symbols) == strlen(text);
}

/* The number that an id is in a base, if it is one of at most 64 bits. */
static bool number_of(const char *id, int base, uint64_t *ret) {
        if (!consists_of(id, base == 10 ? "0123456789" : "0123456789abcdefABCDEF"))
                return false;
        errno = 0;
        *ret = strtoull(id, NULL, base);
        return errno == 0;
}

bool smpp_id_equal(const char *a, const char *b) {
        uint64_t x, y;

        assert(a && b);

        a = without_zeros(a);
        b = without_zeros(b);
        if (a[0] == '\0' || b[0] == '\0')
                return false;
        if (strcasecmp(a, b) == 0)
                return true;
        return (number_of(a, 10, &x) && number_of(b, 16, &y) && x == y) ||
               (number_of(a, 16, &x) && number_of(b, 10, &y) && x == y);
}

unsigned smpp_id_keys(const char *id, char ret[2][SMPP_ID_SIZE]) {
        uint64_t number;
        size_t n;

        assert(id && ret);

        id = without_zeros(id);
        n = strnlen(id, SMPP_ID_SIZE);
        if (n == 0 || n == SMPP_ID_SIZE)
                return 0;
        for (size_t i = 0; i <= n; i++)
                ret[0][i] = (char) (id[i] >= 'A' && id[i] <= 'Z' ? id[i] - 'A' + 'a' : id[i]);
        /* Read as decimal it is this in hexadecimal, the form in which both meet. */
        if (!number_of(id, 10, &number))
                return 1;
        (void) snprintf(ret[1], SMPP_ID_SIZE, "%" PRIx64, number);
        return streq(ret[0], ret[1]) ? 1 : 2;
}

const char *smpp_outcome_name(SmppOutcome outcome) {
        static const char *const names[] = {
                [SMPP_OUTCOME_UNKNOWN] = "unknown",
                [SMPP_OUTCOME_ACCEPTED] = "accepted",
                [SMPP_OUTCOME_DELIVERED] = "delivered",
                [SMPP_OUTCOME_FAILED] = "failed",
                [SMPP_OUTCOME_EXPIRED] = "expired",
                [SMPP_OUTCOME_REJECTED] = "rejected",
        };

        assert((size_t) outcome < N_ELEMENTS(names));
        return names[outcome];
}

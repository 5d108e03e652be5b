/* Delivery receipts of SMPP: what became of a message of ours. Octets in, values out; no I/O.
 *
 * SMPP 3.4 gives two forms: optional parameters (receipted_message_id, message_state), and the text
 * of appendix B, "id:… sub:001 dlvrd:001 submit date:… done date:… stat:DELIVRD err:000 text:…",
 * which vendors write in their own ways: fields left out or in another order, other cases, spaces
 * after the colon. The parameters count where both are there. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
        SMPP_ID_SIZE = 65, /* with the final NUL */
        SMPP_RECEIPT_TEXT_MAX = 1024,
};

typedef enum SmppOutcome {
        SMPP_OUTCOME_UNKNOWN,  /* nothing can be concluded */
        SMPP_OUTCOME_ACCEPTED, /* on its way */
        SMPP_OUTCOME_DELIVERED,
        SMPP_OUTCOME_FAILED,
        SMPP_OUTCOME_EXPIRED,
        SMPP_OUTCOME_REJECTED,
} SmppOutcome;

typedef struct SmppReceipt {
        char id[SMPP_ID_SIZE]; /* as the carrier writes it; empty: it names none */
        SmppOutcome outcome;
        char error[8]; /* the network's code: three digits, or "3/0012" for GSM's type 3; may be
                          empty */
} SmppReceipt;

/* What the optional parameters say; what is not there is NULL or negative. */
typedef struct SmppReceiptTlvs {
        const char *id;
        int state;            /* message_state, SMPP 3.4 section 5.2.28 */
        const uint8_t *error; /* the three octets of network_error_code */
} SmppReceiptTlvs;

typedef enum SmppReceiptError {
        SMPP_RECEIPT_E_FORM = 1, /* no receipt: it names neither a message nor an outcome */
} SmppReceiptError;

/* Reads a receipt of size bytes of text, which may be empty, and parameters. */
int smpp_receipt_read(const char *text, size_t size, const SmppReceiptTlvs *tlvs, SmppReceipt *ret);

/* True when a message's id of submit_sm_resp and one of a receipt are the same: without regard to
 * case and leading zeros, and also when one is the other's number in hexadecimal, as SMS centres
 * have it that answer in one and report in the other. Exact equality is what a caller looks for
 * first, among all ids that it has sent: a decimal reading may be another message's hexadecimal. */
bool smpp_id_equal(const char *a, const char *b);

/* One form of all ids that smpp_id_equal() may call equal, to look them up by: ret gets up to two
 * keys, of the id itself and of the number that it is in the other base. Returns how many. */
unsigned smpp_id_keys(const char *id, char ret[2][SMPP_ID_SIZE]);

/* "accepted", "delivered", "failed", "expired", "rejected", "unknown". */
const char *smpp_outcome_name(SmppOutcome outcome);

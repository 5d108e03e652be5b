/* What a command_status means (SMPP 3.4 section 5.1.3), and which one answers what. */
#include "smpp-pdu.h"

#include <assert.h>

#include "cleanup.h"

static const struct {
        uint32_t status;
        SmppRefusal kind;
        const char *text;
} statuses[] = {
        { 0x00, SMPP_REFUSAL_LATER, "no error" },
        { 0x01, SMPP_REFUSAL_MESSAGE, "message length is invalid" },
        { 0x02, SMPP_REFUSAL_MESSAGE, "command length is invalid" },
        { 0x03, SMPP_REFUSAL_MESSAGE, "command is not known" },
        { 0x04, SMPP_REFUSAL_ACCOUNT, "not bound for this command" },
        { 0x05, SMPP_REFUSAL_ACCOUNT, "already bound" },
        { 0x06, SMPP_REFUSAL_MESSAGE, "invalid priority" },
        { 0x07, SMPP_REFUSAL_MESSAGE, "invalid registered delivery" },
        { 0x08, SMPP_REFUSAL_LATER, "system error" },
        { 0x0a, SMPP_REFUSAL_ACCOUNT, "invalid source address" },
        { 0x0b, SMPP_REFUSAL_ADDRESS, "invalid destination address" },
        { 0x0c, SMPP_REFUSAL_MESSAGE, "invalid message id" },
        { 0x0d, SMPP_REFUSAL_ACCOUNT, "bind failed" },
        { 0x0e, SMPP_REFUSAL_ACCOUNT, "invalid password" },
        { 0x0f, SMPP_REFUSAL_ACCOUNT, "invalid system id" },
        { 0x14, SMPP_REFUSAL_SLOWER, "message queue is full" },
        { 0x15, SMPP_REFUSAL_MESSAGE, "invalid service type" },
        { 0x43, SMPP_REFUSAL_MESSAGE, "invalid esm_class" },
        { 0x45, SMPP_REFUSAL_LATER, "submit failed" },
        { 0x48, SMPP_REFUSAL_ACCOUNT, "invalid type of source number" },
        { 0x49, SMPP_REFUSAL_ACCOUNT, "invalid plan of source number" },
        { 0x50, SMPP_REFUSAL_ADDRESS, "invalid type of destination number" },
        { 0x51, SMPP_REFUSAL_ADDRESS, "invalid plan of destination number" },
        { 0x53, SMPP_REFUSAL_ACCOUNT, "invalid system type" },
        { 0x58, SMPP_REFUSAL_SLOWER, "throttled" },
        { 0x61, SMPP_REFUSAL_MESSAGE, "invalid scheduled time" },
        { 0x62, SMPP_REFUSAL_MESSAGE, "invalid validity period" },
        { 0x64, SMPP_REFUSAL_LATER, "temporary error of the receiver" },
        { 0x65, SMPP_REFUSAL_MESSAGE, "permanent error of the receiver" },
        { 0x66, SMPP_REFUSAL_MESSAGE, "rejected by the receiver" },
        { 0xc0, SMPP_REFUSAL_MESSAGE, "error in the optional parameters" },
        { 0xc1, SMPP_REFUSAL_MESSAGE, "optional parameter not allowed" },
        { 0xc2, SMPP_REFUSAL_MESSAGE, "invalid parameter length" },
        { 0xc3, SMPP_REFUSAL_MESSAGE, "optional parameter missing" },
        { 0xc4, SMPP_REFUSAL_MESSAGE, "invalid value of an optional parameter" },
        { 0xfe, SMPP_REFUSAL_LATER, "delivery failure" },
        { 0xff, SMPP_REFUSAL_LATER, "unknown error" },
};

const char *smpp_status_text(uint32_t status) {
        for (size_t i = 0; i < N_ELEMENTS(statuses); i++)
                if (statuses[i].status == status)
                        return statuses[i].text;
        return status >= 0x400 && status <= 0x4ff ? "an error of the vendor's own" : "reserved";
}

/* What is not known is taken for temporary: the outbox's patience decides. */
SmppRefusal smpp_refusal_kind(uint32_t status) {
        for (size_t i = 0; i < N_ELEMENTS(statuses); i++)
                if (statuses[i].status == status)
                        return statuses[i].kind;
        return SMPP_REFUSAL_LATER;
}

uint32_t smpp_refusal(SmppError error) {
        switch (error) {
        case SMPP_E_LENGTH:
                return 0x02;
        case SMPP_E_COMMAND:
                return 0x03;
        case SMPP_E_FIELD:
                return 0xc2;
        case SMPP_E_TLV:
        case SMPP_E_TWICE:
                return 0xc0;
        case SMPP_E_CODING:
        case SMPP_E_HEADER:
        case SMPP_E_ADDRESS:
                return 0x66; /* the message, not the PDU, is at fault: not to be tried again */
        case SMPP_E_ROOM:
                break;
        }
        return 0x08;
}

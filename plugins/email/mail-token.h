/* The local parts by which mail finds back: the reply address of a share's thread, the return path
 * of a message (VERP) and its Message-ID, each with a short HMAC, so that nobody who has not seen
 * one can name a thread, quote a message or make it bounce.
 *
 * A local part is `<mailbox><separator><kind><id, 26><mac, 16>`, in lower-case letters and digits,
 * because servers and people change case and some cut at symbols; never longer than the 64 bytes of
 * RFC 5321 section 4.5.3.1.1. It names the id in the clear: of a thread, which is 128 unguessable
 * bits already, or of a message, which is not secret. The MAC is 80 bits of HMAC-SHA-256, and can
 * be tried only by sending mail.
 *
 * Compared byte by byte: a local part in another case is a foreign one. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "text.h"

enum {
        MAIL_TOKEN_KEY_SIZE = 32,
        MAIL_TOKEN_MAC_SYMBOLS = 16,
        MAIL_TOKEN_SIZE = 1 + 26 + MAIL_TOKEN_MAC_SYMBOLS,
        MAIL_TOKEN_LOCAL_MAX = 64,
        MAIL_TOKEN_MAILBOX_MAX = MAIL_TOKEN_LOCAL_MAX - 1 - MAIL_TOKEN_SIZE,
};

typedef enum MailTokenKind {
        MAIL_TOKEN_REPLY,  /* names a thread, "thr_…" */
        MAIL_TOKEN_BOUNCE, /* names a message, "msg_…", in its return path */
        MAIL_TOKEN_NAME,   /* names a message, "msg_…", in its Message-ID */
        MAIL_TOKEN_KIND_MAX,
} MailTokenKind;

typedef enum MailTokenError {
        MAIL_TOKEN_E_ID = 1,      /* not an id of that kind */
        MAIL_TOKEN_E_MAILBOX = 2, /* too long, or not of letters, digits, ".", "_" and "-" */
        MAIL_TOKEN_E_NONE = 3,    /* a local part of another form: it carries no token of ours */
        MAIL_TOKEN_E_WRONG = 4,   /* the form of a token, and not made with this key */
} MailTokenError;

/* Where our mail comes in; the strings are borrowed. */
typedef struct MailTokenPlace {
        const uint8_t *key;  /* MAIL_TOKEN_KEY_SIZE bytes */
        const char *mailbox; /* "keys" of keys+…@; empty where a whole domain is ours */
        char separator;      /* + - = or _ as the server has it; not there when mailbox is empty */
} MailTokenPlace;

/* 0, or MAIL_TOKEN_E_MAILBOX: what the configuration must be checked with. */
int mail_token_check_place(const MailTokenPlace *place);

/* Writes the local part for an id. MAIL_TOKEN_E_ID, MAIL_TOKEN_E_MAILBOX. */
int mail_token_make(const MailTokenPlace *place,
                MailTokenKind kind,
                const char *id,
                char ret[MAIL_TOKEN_LOCAL_MAX + 1]);

/* Reads a local part; the MAC is compared in constant time. MAIL_TOKEN_E_NONE, MAIL_TOKEN_E_WRONG,
 * MAIL_TOKEN_E_MAILBOX; *ret_id is then empty. */
int mail_token_read(const MailTokenPlace *place,
                const char *local,
                size_t size,
                MailTokenKind *ret_kind,
                char ret_id[ID_TEXT_SIZE]);

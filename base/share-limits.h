/* How long the members of a new share may be, how long a caller may wait, and how much a list
 * gives: for the front, which refuses what is more before it seals anything, and for the gateway,
 * which trusts no front. openapi.yaml tells tenants the same. Texts are measured in bytes of UTF-8.
 */
#pragma once

enum {
        SHARE_LIMIT_POLICY = 64,
        SHARE_LIMIT_SENDER_NAME = 64, /* a registered name is far shorter */
        SHARE_LIMIT_ADDRESSES = 5,
        SHARE_LIMIT_RECIPIENT_NAME = 128,
        SHARE_LIMIT_LOCALE_MIN = 2,
        SHARE_LIMIT_LOCALE = 35, /* what RFC 5646 section 4.4.1 asks everybody to have room for */
        SHARE_LIMIT_TIME_ZONE = 64,
        SHARE_LIMIT_TITLE = 128, /* this and the next two: what a relay takes */
        SHARE_LIMIT_DESCRIPTION = 1024,
        SHARE_LIMIT_IMAGE_URL_MIN = 9, /* "https://" and something */
        SHARE_LIMIT_IMAGE_URL = 2048,
        SHARE_LIMIT_FORMAT = 128,
        SHARE_LIMIT_EXPIRES_AT = 40, /* RFC 3339 with fractions that nobody needs */
        SHARE_LIMIT_REFERENCE = 128,
        SHARE_LIMIT_CONTENT = 32 * 1024, /* of provisioning, as it was written */
        SHARE_LIMIT_KID = 16,
        SHARE_LIMIT_BOX = 54680,        /* base64 of the largest box of envelope.h */
        SHARE_LIMIT_ENCRYPTED = 40000,  /* base64 of 30,000 octets: its envelope still fits a box */
        SHARE_LIMIT_ENCRYPTED_MIN = 38, /* base64 of 28 octets, without padding: IV and tag */
        SHARE_LIMIT_MINT_MIN = 9,       /* "https://" and something */
        SHARE_LIMIT_MINT = 2048,
        SHARE_LIMIT_FACT = 44,  /* base64 of 32 octets: a key, and a verifier */
        SHARE_LIMIT_CLAIMS = 3, /* one for each mailbox that a share may need */
};

/* What lists and waiting give at most. */
enum {
        SHARE_LIMIT_WAIT = 60, /* seconds */
        SHARE_LIMIT_LIST = 100,
};

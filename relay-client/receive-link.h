/* The link that a recipient was given, in either protocol: a share URL of Draft V (share-url.h), or
 * a link of Draft R (draft-r-link.h), which is known by its fragment. */
#pragma once

#include "draft-r-link.h"
#include "relay.h"
#include "share-url.h"

enum {
        RECEIVE_SUBJECT_SIZE = SHARE_URL_AUTHORITY_SIZE + 1 + UUID_TEXT_SIZE,
        RECEIVE_ROOT_SIZE = 32,
};

/* Secret; ended with receive_link_done(). */
typedef struct ReceiveLink {
        const char *protocol_name; /* "draft-v", "draft-r" */
        bool is_draft_r;
        char authority[SHARE_URL_AUTHORITY_SIZE];
        char subject[RECEIVE_SUBJECT_SIZE]; /* names the mailbox, in a state file; not secret */
        ShareUrl url;                       /* Draft V */
        char *text;                         /* Draft R */
} ReceiveLink;

/* Checks everything that can be checked before the relay is asked, but for the Secret of Draft V,
 * which may be absent; hosts is the allow-list. 0, or the exit status of what was said; on an error
 * nothing is left to end. */
int receive_link_read(const char *text, const char *const *hosts, ReceiveLink *ret);

/* For whatever decrypts. 0, or the exit status of what was said. */
int receive_link_require_secret(const ReceiveLink *link);
void receive_link_done(ReceiveLink *link);

/* A key that follows from the link and the salt, and from neither alone. */
void receive_link_root(const ReceiveLink *link,
                const uint8_t salt[RECEIVE_ROOT_SIZE],
                uint8_t ret[RECEIVE_ROOT_SIZE]);

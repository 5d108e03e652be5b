/* What the gateway is answered, from how the relay's part ended. What a recipient wrote leaves
 * sealed to the front. */
#pragma once

#include <jansson.h>
#include <stdint.h>

#include "client-settings.h"
#include "relay-frame.h"
#include "relay.h"
#include "release.h"

/* What was asked; borrowed. */
typedef struct ClientQuestion {
        const ClientSettings *settings;
        const RelayFrame *frame;
        const Release *release;     /* of create and update */
        const RelayPrivateKey *key; /* of the frame's kid; NULL: it named none */
} ClientQuestion;

/* New frames; NULL: out of memory. Logs what ends a share. now is for the front's key. */
json_t *client_answer(const ClientQuestion *question, const RelayResult *result, int64_t now);
json_t *client_answer_refused(const char *reason);
json_t *client_answer_again(const char *reason, unsigned retry_after); /* 0: as it likes */

/* Update: what was to be written lies there already. */
json_t *client_answer_written(void);

/* Adds to any answer to an update of Draft V the digest of what was, or would have been, written: a
 * relay that said no may show it all the same, and nothing but this tells the gateway then that it
 * is ours. A frame that cannot have it is dropped, and *frame NULL; NULL is left alone. */
void client_answer_add_written(const ClientQuestion *question, json_t **frame);

/* Tells those who asked for it that a mailbox was updated: POSTs by libcurl from a thread of their
 * own, so that no request ever waits for a stranger's server. Best effort, once each, nothing kept
 * across a restart: whoever is told also polls, only seldom.
 *
 * What is sent is {"type":"mailbox.updated","mailbox":"<id>"}, and nothing of the content. Only
 * https, no redirect, proxy or cookie, 5 s to connect and 10 s in all; the answer is thrown away.
 * Unless the operator allows it, no address that is not public is connected to, whatever its name
 * said. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "relay-request.h"

typedef struct WebhookQueue WebhookQueue;

enum {
        WEBHOOK_QUEUE_MAX = 1024, /* what is more is dropped and counted */
        WEBHOOK_RUNNING_MAX = 64,
        /* Each connection resolves its name in a thread, and the unit has TasksMax=16. */
        WEBHOOK_CONNECTIONS_MAX = 12,
        WEBHOOK_CONNECTIONS_PER_HOST = 6,
};

typedef struct WebhookQueueOptions {
        const char *ca_file; /* trusted issuers, PEM; NULL: those of the system; borrowed */
        bool allow_private;
} WebhookQueueOptions;

typedef struct WebhookCounts {
        uint64_t n_delivered; /* answered 2xx */
        uint64_t n_failed;
        uint64_t n_dropped; /* the queue was full */
} WebhookCounts;

/* Starts the thread. -EINVAL: libcurl lacks something. */
int webhook_queue_new(WebhookQueue **ret, const WebhookQueueOptions *options);

/* Forgets what waits or is under way. Takes NULL, returns NULL. */
WebhookQueue *webhook_queue_free(WebhookQueue *queue);
DEFINE_CLEANUP(WebhookQueue, webhook_queue_free)

/* Never waits for anything. Copies the url. */
void webhook_queue_add(WebhookQueue *queue, const char *url, const uint8_t mailbox[RELAY_ID_SIZE]);

WebhookCounts webhook_queue_counts(WebhookQueue *queue);

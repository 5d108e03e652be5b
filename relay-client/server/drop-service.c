#include "drop-service.h"

#include <errno.h>

static int do_put(DropStore *store,
                const DropRequest *request,
                int found,
                const DropMessage *old,
                int64_t now,
                RelayAnswer *answer) {
        int r;

        if (found == 0 && old->expiration > now) {
                answer->status = 412;
                return 0;
        }
        if (found == 0) { /* it awaits its sweep, and would keep the place */
                r = drop_store_delete(store, old->number);
                if (r < 0)
                        return r;
        }
        r = drop_store_insert(store,
                        request->location,
                        request->body,
                        request->body_size,
                        request->expiration);
        answer->status = r == DROP_STORE_E_FULL ? 507 : 201;
        return r < 0 ? r : 0;
}

static int do_get(const DropMessage *message, RelayAnswer *answer) {
        answer->status = 200;
        answer->kind = RELAY_ANSWER_OCTETS;
        answer->body = malloc(message->size + 1);
        if (!answer->body)
                return -ENOMEM;
        if (message->size > 0)
                memcpy(answer->body, message->data, message->size);
        answer->body_size = message->size;
        return 0;
}

int drop_service_apply(
                DropStore *store, const DropRequest *request, int64_t now, RelayAnswer *ret) {
        DropMessage message = { 0 };
        int r;

        r = drop_store_find(store, request->location, &message);
        if (r < 0)
                return r;
        if (request->operation == DROP_PUT)
                return do_put(store, request, r, &message, now, ret);
        if (r != 0 || message.expiration <= now) {
                ret->status = 404;
                return 0;
        }
        if (request->operation == DROP_GET)
                return do_get(&message, ret);
        ret->status = 204;
        return drop_store_delete(store, message.number);
}

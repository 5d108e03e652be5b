/* What operators ask about the audit log: its lines, and what they are checked with. */
#include <errno.h>

#include "front.h"

int front_audit_export(Ask *ask) {
        json_int_t after = json_integer_value(json_object_get(ask->frame, "after"));

        ask->status = 200;
        return audit_log_export(ask->gateway->audit, after > 0 ? after : 0, &ask->body);
}

int front_audit_key(Ask *ask) {
        ask->status = 200;
        ask->body = audit_log_keys(ask->gateway->audit, false);
        return ask->body ? 0 : -ENOMEM;
}

/* The present epoch's key, for an auditor who keeps it elsewhere: with it they can tell who wrote
 * what comes from now on, and nothing of what was before. That it was taken is in the log. */
int front_audit_seed(Ask *ask) {
        ask->status = 200;
        ask->body = audit_log_keys(ask->gateway->audit, true);
        return ask->body ? 0 : -ENOMEM;
}

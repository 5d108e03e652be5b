#include "drop-request.h"

#include <sodium.h>

static const char collection[] = "/t";

const char *drop_operation_name(DropOperation operation) {
        static const char *const names[_DROP_OPERATION_MAX] = {
                [DROP_PUT] = "DropPut",
                [DROP_GET] = "DropGet",
                [DROP_DELETE] = "DropDelete",
        };

        return names[operation];
}

bool drop_request_is_meant(const char *target) {
        size_t prefix = sizeof(collection) - 1;

        return strncmp(target, collection, prefix) == 0 &&
               (!target[prefix] || strchr("/?#", target[prefix]));
}

static bool is_base64url(char c) {
        return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') ||
               c == '-' || c == '_';
}

static int parse_location(const char *target, uint8_t ret[DROP_LOCATION_SIZE]) {
        const char *text = target + sizeof(collection);
        size_t length;

        if (!drop_request_is_meant(target) || target[sizeof(collection) - 1] != '/')
                return RELAY_REQUEST_E_PATH;
        length = strlen(text);
        if (length < DROP_LOCATION_TEXT_MIN || length > DROP_LOCATION_TEXT_MAX)
                return RELAY_REQUEST_E_PATH;
        for (size_t i = 0; i < length; i++)
                if (!is_base64url(text[i]))
                        return RELAY_REQUEST_E_PATH;
        (void) crypto_generichash(ret, DROP_LOCATION_SIZE, (const uint8_t *) text, length, NULL, 0);
        return 0;
}

static int parse_method(const char *method, DropOperation *ret) {
        static const struct {
                const char *method;
                DropOperation operation;
        } table[] = {
                { "PUT", DROP_PUT },
                { "GET", DROP_GET },
                { "HEAD", DROP_GET },
                { "DELETE", DROP_DELETE },
        };

        for (size_t i = 0; i < N_ELEMENTS(table); i++)
                if (streq(table[i].method, method)) {
                        *ret = table[i].operation;
                        return 0;
                }
        return RELAY_REQUEST_E_METHOD;
}

static int refuse(int error, const char *reason, const char **ret_reason) {
        *ret_reason = reason;
        return error;
}

int drop_request_parse_head(const RelayHead *head, DropRequest *ret, const char **ret_reason) {
        int r;

        r = relay_request_check_leaks(head, ret_reason);
        if (r != 0)
                return r;
        r = parse_location(head->target, ret->location);
        if (r != 0)
                return refuse(r, "there is nothing here", ret_reason);
        r = parse_method(head->method, &ret->operation);
        if (r != 0)
                return refuse(r, "this method is not known here", ret_reason);
        if (head->repeats)
                return refuse(RELAY_REQUEST_E_HEADER, "a header is repeated", ret_reason);
        if (ret->operation != DROP_PUT)
                return 0;
        if (!head->if_none_match)
                return refuse(DROP_REQUEST_E_CONDITION, "If-None-Match: * is required", ret_reason);
        if (!streq(head->if_none_match, "*"))
                return refuse(RELAY_REQUEST_E_HEADER, "If-None-Match must be *", ret_reason);
        return 0;
}

void drop_request_done(DropRequest *request) {
        free(request->body);
        *request = DROP_REQUEST_NULL;
}

#include "message-box.h"

#include <assert.h>
#include <errno.h>

#include "cleanup.h"
#include "json-read.h"

typedef struct BoxMembers {
        const char *share;
        int64_t version, number;
        const json_t *message;
} BoxMembers;

static const JsonMember box_members[] = {
        { "v", JSON_KIND_INTEGER, offsetof(BoxMembers, version), true, 1, 1 },
        { "share", JSON_KIND_STRING, offsetof(BoxMembers, share), true, 1, MESSAGE_BOX_SHARE_MAX },
        { "number", JSON_KIND_INTEGER, offsetof(BoxMembers, number), true, 0, INT64_MAX },
        { "message", JSON_KIND_OBJECT, offsetof(BoxMembers, message), true, 0, 0 },
};

typedef struct MessageMembers {
        const json_t *format, *content;
} MessageMembers;

static const JsonMember message_members[] = {
        { "format", JSON_KIND_ANY, offsetof(MessageMembers, format), true, 0, 0 },
        { "content", JSON_KIND_OBJECT, offsetof(MessageMembers, content), true, 0, 0 },
};

int message_box_seal(const char *share,
                uint64_t number,
                const json_t *message,
                const uint8_t public_key[MESSAGE_BOX_KEY_SIZE],
                char **ret_box) {
        json_auto_t *object = NULL;

        assert(number <= INT64_MAX);
        assert(json_is_string(json_object_get(message, "format")));
        assert(json_is_object(json_object_get(message, "content")));
        object = json_pack("{s:i, s:s, s:I, s:{s:O, s:O}}",
                        "v",
                        1,
                        "share",
                        share,
                        "number",
                        (json_int_t) number,
                        "message",
                        "format",
                        json_object_get(message, "format"),
                        "content",
                        json_object_get(message, "content"));
        return object ? sealed_json_seal(object, public_key, ret_box) : -ENOMEM;
}

/* An unknown member may be a condition that we would break: refuse. */
static int read_plain(const json_t *object, BoxMembers *ret) {
        MessageMembers message = { 0 };
        JsonProblem problem;

        if (json_read_members(object, box_members, N_ELEMENTS(box_members), true, ret, &problem) !=
                                        0 ||
                        json_read_members(ret->message,
                                        message_members,
                                        N_ELEMENTS(message_members),
                                        true,
                                        &message,
                                        &problem) != 0 ||
                        !json_is_string(message.format))
                return MESSAGE_BOX_E_FORM;
        return 0;
}

int message_box_open(const char *box,
                const uint8_t public_key[MESSAGE_BOX_KEY_SIZE],
                const uint8_t secret_key[MESSAGE_BOX_KEY_SIZE],
                const char *share,
                uint64_t number,
                json_t **ret_message) {
        json_auto_t *object = NULL, *content = NULL;
        BoxMembers members = { 0 };
        int r;

        r = sealed_json_open(box,
                        public_key,
                        secret_key,
                        MESSAGE_BOX_DEPTH_MAX,
                        "message/content",
                        &object,
                        &content);
        if (r != 0)
                return r;
        r = read_plain(object, &members);
        if (r != 0)
                return r;
        if (!streq(members.share, share) || (uint64_t) members.number != number)
                return MESSAGE_BOX_E_DIFFERS;

        if (json_object_set((json_t *) members.message, "content", content) < 0)
                return -ENOMEM;
        *ret_message = json_incref((json_t *) members.message);
        return 0;
}

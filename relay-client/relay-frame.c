#include "relay-frame.h"

#include <errno.h>
#include <string.h>

#include "cleanup.h"
#include "draft-r-transcript.h"
#include "draft-v.h"
#include "json-read.h"
#include "share-url.h"
#include "text.h"

enum {
        DIGEST_TEXT_SIZE = 44, /* base64 */
        STATE_TEXT_MAX = (DRAFT_R_SEALED_MAX + 2) / 3 * 4,
        BOX_TEXT_MAX = 65536,
};

/* Members of all kinds; NULL, 0 or false: absent. */
typedef struct Members {
        const char *share, *kid, *claim, *request, *mailbox, *known, *state;
        const char *box, *message_kid, *rights, *vertical;
        const char *title, *description, *image_url;
        const json_t *envelope, *display;
        int64_t generation, number, expect, expiration;
        bool encrypted;
} Members;

/* clang-format off */
#define TEXT(name, field, required, min, max) \
        { name, JSON_KIND_STRING, offsetof(Members, field), required, min, max }
#define NUMBER(name, field, required, min, max) \
        { name, JSON_KIND_INTEGER, offsetof(Members, field), required, min, max }
#define OBJECT(name, field) \
        { name, JSON_KIND_OBJECT, offsetof(Members, field), true, 0, 0 }
#define ENCRYPTED \
        { "encrypted", JSON_KIND_BOOLEAN, offsetof(Members, encrypted), false, 0, 0 }

#define WHOSE(required) \
        TEXT("share", share, true, 1, RELAY_FRAME_SHARE_MAX), \
        NUMBER("generation", generation, required, 0, INT64_MAX), \
        TEXT("kid", kid, required, 1, 64), \
        TEXT("claim", claim, false, 36, 36), \
        TEXT("request", request, false, 36, 36)
#define WHERE \
        TEXT("mailbox", mailbox, true, 1, SHARE_URL_LINK_MAX), \
        TEXT("state", state, false, 1, STATE_TEXT_MAX)

static const JsonMember create_members[] = {
        WHOSE(true), ENCRYPTED,
        NUMBER("expiration", expiration, true, 1, INT64_MAX),
        TEXT("rights", rights, true, 1, 3),
        TEXT("vertical", vertical, true, 1, 1),
        OBJECT("display", display),
        OBJECT("envelope", envelope),
        TEXT("box", box, true, 1, BOX_TEXT_MAX),
};

static const JsonMember read_members[] = {
        WHOSE(false), WHERE, ENCRYPTED,
        NUMBER("expect", expect, false, 1, RELAY_FRAME_NUMBER_MAX),
        TEXT("known", known, false, DIGEST_TEXT_SIZE, DIGEST_TEXT_SIZE),
};

static const JsonMember update_members[] = {
        WHOSE(true), WHERE, ENCRYPTED,
        NUMBER("number", number, true, 1, RELAY_FRAME_NUMBER_MAX),
        TEXT("known", known, false, DIGEST_TEXT_SIZE, DIGEST_TEXT_SIZE),
        OBJECT("envelope", envelope),
        TEXT("message_kid", message_kid, true, 1, 64),
        TEXT("box", box, true, 1, BOX_TEXT_MAX),
};

static const JsonMember delete_members[] = { WHOSE(false), WHERE };
static const JsonMember acknowledge_members[] = { WHOSE(true), WHERE };

static const struct {
        const char *type;
        const JsonMember *members;
        size_t n_members;
        bool has_request;
} kinds[_RELAY_FRAME_KIND_MAX] = {
        [RELAY_FRAME_CREATE]      = { "create",      create_members,      N_ELEMENTS(create_members),      true },
        [RELAY_FRAME_READ]        = { "read",        read_members,        N_ELEMENTS(read_members),        false },
        [RELAY_FRAME_UPDATE]      = { "update",      update_members,      N_ELEMENTS(update_members),      true },
        [RELAY_FRAME_DELETE]      = { "delete",      delete_members,      N_ELEMENTS(delete_members),      true },
        [RELAY_FRAME_ACKNOWLEDGE] = { "acknowledge", acknowledge_members, N_ELEMENTS(acknowledge_members), false },
};

static const JsonMember display_members[] = {
        TEXT("title", title, true, 1, 4 * DRAFT_V_TITLE_MAX),
        TEXT("description", description, false, 0, 4 * DRAFT_V_DESCRIPTION_MAX),
        TEXT("imageURL", image_url, false, 0, DRAFT_V_IMAGE_URL_MAX),
};
/* clang-format on */

bool relay_frame_kind_from_type(const char *type, RelayFrameKind *ret) {
        for (size_t i = 0; i < N_ELEMENTS(kinds); i++)
                if (streq(type, kinds[i].type)) {
                        *ret = (RelayFrameKind) i;
                        return true;
                }
        return false;
}

static int refuse(const char *reason, const char **ret_reason) {
        *ret_reason = reason;
        return RELAY_FRAME_E_REFUSED;
}

static bool ids_are_right(RelayFrameKind kind, const Members *members, bool has_claims) {
        if (members->claim && !text_is_uuid(members->claim))
                return false;
        if (members->request && !text_is_uuid(members->request))
                return false;
        return !has_claims || kind == RELAY_FRAME_ACKNOWLEDGE ||
               (members->claim && (members->request || !kinds[kind].has_request));
}

static int read_members_of(RelayFrameKind kind,
                const json_t *object,
                bool has_claims,
                int64_t now,
                Members *ret,
                const char **ret_reason) {
        JsonProblem problem;

        if (json_read_members(object,
                            kinds[kind].members,
                            kinds[kind].n_members,
                            false,
                            ret,
                            &problem) != 0 ||
                        !ids_are_right(kind, ret, has_claims) ||
                        (kind == RELAY_FRAME_UPDATE && has_claims && !ret->known))
                return refuse("bad-frame", ret_reason);
        if (kind != RELAY_FRAME_CREATE)
                return 0;
        if (!strchr("ahc", ret->vertical[0]))
                return refuse("bad-frame", ret_reason);
        if (json_read_members(ret->display,
                            display_members,
                            N_ELEMENTS(display_members),
                            false,
                            ret,
                            &problem) != 0)
                return refuse("bad-display", ret_reason);
        if (strspn(ret->rights, "RWD") != strlen(ret->rights))
                return refuse("bad-display", ret_reason);
        if (ret->expiration < now + RELAY_FRAME_EXPIRATION_MIN ||
                        ret->expiration > now + RELAY_FRAME_EXPIRATION_MAX)
                return refuse("bad-expiration", ret_reason);
        return 0;
}

static int read_octets(const Members *members, RelayFrame *frame) {
        int r = 0;

        frame->has_known = members->known;
        if (members->known)
                r = text_from_base64_exactly(members->known, frame->known, sizeof(frame->known));
        if (r == 0 && members->state)
                r = text_from_base64(members->state, false, &frame->state, &frame->state_size);
        return r;
}

static RelayFrame frame_of(RelayFrameKind kind, const Members *members) {
        return (RelayFrame){
                .kind = kind,
                .share = members->share,
                .kid = members->kid,
                .generation = (uint64_t) members->generation,
                .claim = members->claim,
                .request = members->request,
                .mailbox = members->mailbox,
                .encrypted = members->encrypted,
                .number = (uint64_t) (members->number + members->expect), /* a kind has one */
                .box = members->box,
                .box_kid = kind == RELAY_FRAME_UPDATE ? members->message_kid : members->kid,
                .envelope = members->envelope,
                .rights = members->rights,
                .title = members->title,
                .description = members->description,
                .image_url = members->image_url,
                .expiration = members->expiration,
                .vertical = (char) (members->vertical ? members->vertical[0] : 0),
        };
}

int relay_frame_read(RelayFrameKind kind,
                const json_t *object,
                bool has_claims,
                int64_t now,
                RelayFrame *ret,
                const char **ret_reason) {
        /* The drafts require all three texts to be there; empty is allowed. */
        Members members = { .description = "", .image_url = "" };
        RelayFrame frame;
        int r;

        r = read_members_of(kind, object, has_claims, now, &members, ret_reason);
        if (r != 0)
                return r;
        frame = frame_of(kind, &members);
        r = read_octets(&members, &frame);
        if (r < 0) {
                relay_frame_done(&frame);
                return r == -EBADMSG ? refuse("bad-frame", ret_reason) : r;
        }
        /* Without the key nothing can be opened that comes. */
        if (frame.number > 0 && !frame.kid) {
                relay_frame_done(&frame);
                return refuse("bad-frame", ret_reason);
        }

        *ret = frame;
        return 0;
}

void relay_frame_done(RelayFrame *frame) {
        free(frame->state);
        *frame = (RelayFrame){ .kind = RELAY_FRAME_CREATE };
}

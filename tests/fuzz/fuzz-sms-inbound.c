/* A carrier that brings texts and parts of strangers in any order, again and again, while the
 * gateway answers as it likes, time passes and its window is full: every token is settled once,
 * what is handed on is a text within its bounds, and nothing waits in the end. Each step is four
 * octets: what happens, who and which, how much. The part of the SDK that is asked is played here.
 */
#include <assert.h>
#include <errno.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#include "address.h"
#include "log.h"
#include "sms-inbound.h"
#include "text.h"
#include "time-text.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum {
        STEP = 4,
        STEPS_MAX = 1024,
        ASKED_MAX = 8, /* the gateway's window */
};

typedef struct Asked {
        PluginAnswer on_answer; /* NULL: none */
        void *userdata;
        int64_t id;
} Asked;

static uint64_t now;
static Asked asked[ASKED_MAX];
static int64_t last_id;
static unsigned settled[STEPS_MAX];
static size_t n_handed, n_settled;

uint64_t time_boot(void) {
        return now;
}

int64_t time_wall(void) {
        return 1795262400 + (int64_t) (now / USEC_PER_SEC);
}

sd_event *plugin_event(Plugin *plugin) {
        static sd_event *event;

        (void) plugin;
        if (!event)
                assert(sd_event_new(&event) >= 0);
        return event;
}

static Asked *asked_find(int64_t id) {
        for (size_t i = 0; i < ASKED_MAX; i++)
                if (asked[i].on_answer && (id == 0 || asked[i].id == id))
                        return &asked[i];
        return NULL;
}

bool plugin_may_ask(const Plugin *plugin) {
        (void) plugin;
        for (size_t i = 0; i < ASKED_MAX; i++)
                if (!asked[i].on_answer)
                        return true;
        return false;
}

static const char *member(const json_t *frame, const char *name) {
        const char *value = json_string_value(json_object_get(frame, name));

        assert(value && value[0] && text_is_utf8(value, strlen(value)));
        return value;
}

int plugin_ask(Plugin *plugin,
                json_t *request,
                unsigned deadline,
                PluginAnswer on_answer,
                void *userdata,
                int64_t *ret_id) {
        (void) plugin, (void) deadline;
        assert(strlen(member(request, "text")) <= SMS_INBOUND_TEXT_MAX);
        assert(strlen(member(request, "inbound")) <= 64);
        assert(address_is_canonical(member(request, "from")));
        assert(address_is_canonical(member(request, "to")));
        assert(strcmp(member(request, "authentic"), "weak") == 0);
        json_decref(request);
        for (size_t i = 0; i < ASKED_MAX; i++)
                if (!asked[i].on_answer) {
                        asked[i] = (Asked){ on_answer, userdata, ++last_id };
                        *ret_id = last_id;
                        return 0;
                }
        return -ENOBUFS;
}

void plugin_forget(Plugin *plugin, int64_t id) {
        Asked *one = asked_find(id);

        (void) plugin;
        assert(one);
        *one = (Asked){ 0 };
}

/* The gateway answers one question, or is lost. */
static void answer(uint8_t which, const char *type) {
        json_auto_t *frame = type ? json_pack("{s:s}", "type", type) : NULL;
        Asked one;
        Asked *found = &asked[which % ASKED_MAX];

        if (!found->on_answer)
                found = asked_find(0);
        if (!found)
                return;
        one = *found;
        *found = (Asked){ 0 };
        one.on_answer(NULL, frame, one.userdata);
}

static void on_settle(void *userdata, uint64_t token, SmsSettlement settlement) {
        (void) userdata, (void) settlement;
        assert(token < STEPS_MAX);
        assert(++settled[token] == 1);
        n_settled++;
}

static void bring(SmsReplies *replies, const uint8_t *step, const uint8_t *data, size_t size) {
        static const char *const senders[] = { "+4915112345678", "+12015550123", "+4930", "Hotel" };
        static const char *const ids[] = { NULL, "id", "a/b", "3f" };
        static const char *const texts[] = { "Ja", "", "a\xff", "7KQ4 gr\xc3\xbc\xc3\x9f" };
        SmsConcat concat = {
                step[0] >> 3 & 3, step[2] & 3, 1 + (step[2] >> 2 & 3), 1 + (step[2] >> 4 & 3)
        };
        SmsOctets octets = { .alphabet = step[3] & 3,
                .locking = step[3] >> 2 & 7,
                .single = step[3] >> 5,
                .data = data,
                .size = step[2] >> 6 ? (size_t) step[2] % (size + 1) : size };
        SmsInbound in = { .from = senders[step[1] & 3],
                .to = step[1] & 4 ? "+4930123456" : "12345",
                .id = ids[step[1] >> 3 & 3],
                .sent = step[1] >> 5,
                .token = n_handed++ };

        if (step[0] & 4)
                in.text = texts[step[3] & 3];
        else {
                in.concat = step[0] & 32 ? NULL : &concat;
                in.octets = &octets;
        }
        sms_replies_take(replies, &in);
}

static void happen(SmsReplies *replies, const uint8_t *step, const uint8_t *data, size_t size) {
        static const char *const answers[] = { "ack", "again", "unsupported", NULL };

        if (!(step[0] & 2)) {
                bring(replies, step, data, size);
        } else if (step[0] & 1) {
                answer(step[1], answers[step[2] & 3]);
        } else {
                now += step[1] * USEC_PER_SEC * (step[2] & 3 ? 1 : 10);
                sms_replies_expire(replies, now);
        }
        assert(sms_replies_count(replies) <= ASKED_MAX);
        assert(sms_replies_parts(replies) <= SMS_INBOUND_PARTS_MAX);
        assert(n_settled <= n_handed);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        SmsReplies *replies = NULL;

        assert(sodium_init() >= 0);
        log_set_max_priority(LOG_ERR);
        memset(asked, 0, sizeof(asked));
        memset(settled, 0, sizeof(settled));
        n_handed = n_settled = 0;
        now = 1000 * USEC_PER_SEC;
        assert(sms_replies_new(&replies, NULL, "+4930123456", on_settle, NULL) == 0);
        for (size_t i = 0; (i + 1) * STEP <= size && i < STEPS_MAX; i++)
                happen(replies, data + i * STEP, data, size);

        /* What waits for others is given up, and what waits for the gateway goes with the rest. */
        sms_replies_expire(replies, now + (SMS_INBOUND_WHOLE_SECONDS + 1) * USEC_PER_SEC);
        assert(sms_replies_parts(replies) == 0 && sms_replies_is_idle(replies));
        (void) sms_replies_free(replies);
        assert(n_settled == n_handed && !asked_find(0));
        return 0;
}

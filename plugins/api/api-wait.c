#include "api-wait.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct ApiWait {
        ApiWaits *waits;
        ApiWait *previous, *next;
        ApiWait **place; /* where the asker knows it, or NULL: the asker has gone */
        int64_t id;
        uint8_t credential[API_WAIT_CREDENTIAL_SIZE];
        PluginAnswer on_answer;
        void *userdata;
};

static void wait_link(ApiWait *wait) {
        ApiWaits *waits = wait->waits;

        wait->next = waits->first;
        if (wait->next)
                wait->next->previous = wait;
        waits->first = wait;
        waits->n++;
}

static void wait_unlink(ApiWait *wait) {
        if (wait->next)
                wait->next->previous = wait->previous;
        if (wait->previous)
                wait->previous->next = wait->next;
        else
                wait->waits->first = wait->next;
        wait->waits->n--;
}

static void on_waited(Plugin *plugin, const json_t *answer, void *userdata) {
        ApiWait *wait = userdata;
        ApiWait **place = wait->place;
        PluginAnswer on_answer = wait->on_answer;
        void *asker = wait->userdata;

        wait_unlink(wait);
        free(wait);
        if (!place)
                return;
        *place = NULL;
        on_answer(plugin, answer, asker);
}

int api_wait_may(const ApiWaits *waits, const uint8_t credential[API_WAIT_CREDENTIAL_SIZE]) {
        int n = 0;

        for (const ApiWait *wait = waits->first; wait; wait = wait->next)
                n += memcmp(wait->credential, credential, API_WAIT_CREDENTIAL_SIZE) == 0;
        if (n >= API_WAITS_PER_CREDENTIAL)
                return API_WAIT_E_MANY;
        return waits->n < API_WAITS_MAX ? 0 : -ENOBUFS;
}

int api_wait_ask(ApiWaits *waits,
                json_t *frame,
                unsigned deadline,
                const uint8_t credential[API_WAIT_CREDENTIAL_SIZE],
                PluginAnswer on_answer,
                void *userdata,
                ApiWait **ret_wait) {
        json_auto_t *owned = frame;
        ApiWait *wait;
        int r;

        r = api_wait_may(waits, credential);
        if (r != 0)
                return r;
        wait = calloc(1, sizeof(*wait));
        if (!wait)
                return -ENOMEM;
        *wait = (ApiWait){
                .waits = waits, .place = ret_wait, .on_answer = on_answer, .userdata = userdata
        };
        memcpy(wait->credential, credential, sizeof(wait->credential));
        r = plugin_ask(waits->plugin, json_incref(owned), deadline, on_waited, wait, &wait->id);
        if (r < 0) {
                free(wait);
                return r;
        }
        wait_link(wait);
        *ret_wait = wait;
        return 0;
}

void api_wait_forget(ApiWait *wait) {
        *wait->place = NULL;
        wait->place = NULL;
        plugin_tell(wait->waits->plugin,
                        json_pack("{s:s, s:I}", "type", "forget", "ask", (json_int_t) wait->id));
}

#include "receive-preview.h"

#include <errno.h>

#include "receive-exchange.h"
#include "receive-print.h"
#include "receive-words.h"

static int print(const RelayResult *result) {
        json_auto_t *object = json_pack("{s:s?, s:s?, s:s?}",
                        "title",
                        result->title,
                        "description",
                        result->description,
                        "imageURL",
                        result->image_url);

        return receive_print(object);
}

static int explain(const ReceiveLink *link, const RelayResult *result) {
        switch (result->outcome) {
        case RELAY_DONE:
                return print(result);
        case RELAY_GONE:
                return receive_say(RECEIVE_GONE,
                                "The mailbox is gone: withdrawn, collected or expired. Ask the "
                                "sender for a new link.");
        case RELAY_AGAIN:
                return receive_say(RECEIVE_UNREACHABLE,
                                "The relay %s %s (%s). Try again later.",
                                link->authority,
                                receive_trouble_words(result->reachable),
                                result->reason);
        default:
                return receive_say(RECEIVE_REFUSED, "The relay refused (%s).", result->reason);
        }
}

int receive_preview(const ReceiveOptions *options, const ReceiveLink *link) {
        _cleanup_(receive_exchange_freep) ReceiveExchange *exchange = NULL;
        _cleanup_(relay_job_freep) RelayJob *job = NULL;
        char request_id[UUID_TEXT_SIZE];
        int r;

        if (link->is_draft_r)
                return receive_say(RECEIVE_USAGE, "A link of this kind has no preview.");
        r = receive_exchange_new(options, link, &exchange);
        if (r != 0)
                return r;
        text_uuid4_random(request_id);
        r = receive_exchange_run(exchange,
                        &(RelayJobTask){
                                        .operation = RELAY_JOB_PREVIEW,
                                        .mailbox = link->url.api,
                                        .request_id = request_id,
                        },
                        &job);
        if (r < 0)
                return receive_say_errno(r, "The preview");
        return explain(link, relay_job_result(job));
}

#include "mail-outbound.h"

#include "cleanup.h"
#include "json-read.h"

int mail_outbound_read(const json_t *frame, MailOutbound *ret) {
        static const JsonMember members[] = {
                { "message", JSON_KIND_STRING, offsetof(MailOutbound, message), true, 1, 256 },
                { "kind", JSON_KIND_STRING, offsetof(MailOutbound, kind), true },
                { "to", JSON_KIND_STRING, offsetof(MailOutbound, to), true },
                { "text", JSON_KIND_STRING, offsetof(MailOutbound, text), true },
                { "subject", JSON_KIND_STRING, offsetof(MailOutbound, subject) },
                { "thread", JSON_KIND_STRING, offsetof(MailOutbound, thread) },
                { "link", JSON_KIND_STRING, offsetof(MailOutbound, link) },
                { "lang", JSON_KIND_STRING, offsetof(MailOutbound, language) },
                { "first", JSON_KIND_STRING, offsetof(MailOutbound, first) },
                { "expires", JSON_KIND_INTEGER, offsetof(MailOutbound, expires) },
                { "made", JSON_KIND_INTEGER, offsetof(MailOutbound, made) },
                { "repeat", JSON_KIND_INTEGER, offsetof(MailOutbound, repeat) },
        };
        JsonProblem problem;
        int r;

        *ret = (MailOutbound){ 0 };
        r = json_read_members(frame, members, N_ELEMENTS(members), false, ret, &problem);
        return r > 0 ? MAIL_OUTBOUND_E_FRAME : r;
}

void mail_outbound_fill(const MailOutbound *message, int64_t seen, MailWrite *ret) {
        bool begins = !message->first || streq(message->first, message->message);

        ret->to = message->to;
        ret->message = message->message;
        ret->thread = message->thread;
        ret->first = begins ? NULL : message->first;
        ret->language = message->language;
        ret->subject = message->subject ? message->subject : "";
        ret->text = message->text;
        ret->link = message->link;
        ret->time = message->made > 0 ? message->made : seen;
}

/* Parts of messages put together to whole texts. Values in, values out; no I/O, no clock: time is
 * an argument, in microseconds of any clock that does not go back.
 *
 * A whole is known by who sent it to whom, by the kind and value of its reference, and by its
 * total: parts that differ in one of these are of different messages. Nothing is ever put together
 * from what contradicts itself: a part that is there with another content means that the sender has
 * used the reference again, so what was gathered before is given up.
 *
 * All that is held is bounded, for each sender and for all. Where there is no room for a new part,
 * a message makes room that has not grown for a while, the one that waited longest first: else who
 * sends many first parts would keep everybody else's long messages out until their timeout. Nobody
 * loses by it what the carrier still has: see SmsWhole.displaced.
 *
 * What is held is in memory only. A part must not be acknowledged to the carrier before its whole
 * is handed on or given up; each one carries a token of the caller's, which comes back then. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "cleanup.h"
#include "sms-text.h"
#include "sms-udh.h"

enum {
        SMS_PART_OCTETS_MAX = 1024, /* of one part; the longest that any carrier's protocol has */
        SMS_PART_NAME_SIZE = 64,    /* of an address or a carrier's id, with the final NUL */
        SMS_WHOLE_ID_SIZE = 33,     /* 16 bytes as hexadecimal, and NUL */
        /* What a reply of 4,096 letters needs in UCS-2, 67 to a part; phones send 10 or fewer. */
        SMS_WHOLE_PARTS_MAX = 62,
};

typedef struct SmsPart {
        const char *from, *to; /* as the carrier has them; shorter than SMS_PART_NAME_SIZE */
        const char *id;        /* the carrier's, if it gives the same when it repeats; else NULL */
        SmsConcat concat;
        SmsOctets octets;
        uint64_t token;
} SmsPart;

typedef struct SmsWhole {
        char from[SMS_PART_NAME_SIZE], to[SMS_PART_NAME_SIZE];
        char id[SMS_WHOLE_ID_SIZE]; /* the same whenever the same parts are handed in; see below */
        char *text;                 /* NULL of one that was given up */
        uint64_t *tokens;           /* of the parts that were there, in their order */
        size_t n_tokens;
        unsigned total;
        bool displaced; /* given up only to make room: what the carrier brings once more of it is
                         * as new */
} SmsWhole;

typedef enum SmsAssemblyError {
        SMS_ASSEMBLY_E_WAITING = 1, /* taken; more parts are to come */
        SMS_ASSEMBLY_E_REPEATED,    /* is there already; its token replaces the former one, which is
                                       of a connection that is gone */
        SMS_ASSEMBLY_E_FULL,        /* no room: the carrier shall come again later */
        SMS_ASSEMBLY_E_PART,        /* beyond the limits above, or empty and one of several */
} SmsAssemblyError;

typedef struct SmsAssemblyLimits {
        size_t wholes;          /* incomplete ones at a time */
        size_t per_sender;      /* of these, of one sender: nobody fills the room of all */
        size_t parts;           /* that are held */
        size_t parts_of_sender; /* SMS_WHOLE_PARTS_MAX or more */
        size_t bytes;           /* octets of all parts that are held */
        uint64_t timeout;       /* microseconds since a whole's last new part */
        uint64_t patience; /* the same, after which it makes room for others; timeout or less */
} SmsAssemblyLimits;

typedef struct SmsAssembly SmsAssembly;

/* -ENOMEM. */
int sms_assembly_new(const SmsAssemblyLimits *limits, SmsAssembly **ret);

/* Hands in a part, which stays the caller's. 0: *ret is a whole message, to be released with
 * sms_whole_done(). Otherwise *ret is empty, and an SmsAssemblyError or negative errno says why.
 *
 * The id of a whole is a digest over the ids of its parts when all of them have one, else over the
 * addresses, the reference and the octets of the parts. Two short messages of the same words from
 * the same person then have the same id; a driver that knows the time of sending puts it in `id`.
 */
int sms_assembly_add(SmsAssembly *assembly, const SmsPart *part, uint64_t now, SmsWhole *ret);

/* True: *ret is a message that was given up, because its parts did not come in time, because it
 * was contradicted, or because it made room; to be asked until it is false. sms_whole_done()
 * releases it. */
bool sms_assembly_give_up(SmsAssembly *assembly, uint64_t now, SmsWhole *ret);

/* The time at which sms_assembly_give_up() will have something; UINT64_MAX when nothing is held. */
uint64_t sms_assembly_due(const SmsAssembly *assembly);

/* How many incomplete messages are held, and how many octets of them. */
size_t sms_assembly_count(const SmsAssembly *assembly);
size_t sms_assembly_bytes(const SmsAssembly *assembly);

/* Wipes the text and frees what it holds. */
void sms_whole_done(SmsWhole *whole);

SmsAssembly *sms_assembly_free(SmsAssembly *assembly);
DEFINE_CLEANUP(SmsAssembly, sms_assembly_free)

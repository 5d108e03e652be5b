#include "sms-assembly.h"

#include <assert.h>
#include <errno.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>

#include "secret.h"
#include "text.h"

enum { DIGEST_SIZE = 16 };

typedef struct Piece {
        uint8_t *data; /* NULL: it has not come */
        SmsOctets octets;
        char id[SMS_PART_NAME_SIZE];
        uint64_t token;
} Piece;

typedef struct Group {
        char from[SMS_PART_NAME_SIZE], to[SMS_PART_NAME_SIZE];
        SmsConcat concat; /* its part is of no meaning */
        uint64_t deadline;
        bool contradicted;
        bool displaced; /* counts for nothing any more */
        unsigned n_pieces;
        Piece pieces[]; /* concat.total of them */
} Group;

struct SmsAssembly {
        SmsAssemblyLimits limits;
        size_t n, bytes; /* bytes: without those that were displaced */
        Group **groups;  /* room for limits.wholes, and one that waits to be given up */
};

static void wipe_piece(Piece *piece) {
        if (piece->data)
                explicit_bzero(piece->data, piece->octets.size);
        free(piece->data);
        *piece = (Piece){ 0 };
}

static Group *group_free(Group *group) {
        if (!group)
                return NULL;
        for (unsigned i = 0; i < group->concat.total; i++)
                wipe_piece(&group->pieces[i]);
        free(group);
        return NULL;
}

DEFINE_CLEANUP(Group, group_free)

static int group_new(const SmsPart *part, Group **ret) {
        Group *group = calloc(1, sizeof(*group) + part->concat.total * sizeof(Piece));

        if (!group)
                return -ENOMEM;
        (void) snprintf(group->from, sizeof(group->from), "%s", part->from);
        (void) snprintf(group->to, sizeof(group->to), "%s", part->to);
        group->concat = part->concat;
        *ret = group;
        return 0;
}

int sms_assembly_new(const SmsAssemblyLimits *limits, SmsAssembly **ret) {
        _cleanup_(sms_assembly_freep) SmsAssembly *assembly = NULL;

        assert(limits && limits->wholes > 0 && limits->per_sender > 0);
        assert(limits->parts > 0 && limits->parts_of_sender >= SMS_WHOLE_PARTS_MAX);
        assert(limits->patience <= limits->timeout);
        assert(ret);

        assembly = calloc(1, sizeof(*assembly));
        if (!assembly)
                return -ENOMEM;
        assembly->limits = *limits;
        assembly->groups = calloc(limits->wholes + 1, sizeof(Group *));
        if (!assembly->groups)
                return -ENOMEM;
        *ret = TAKE_PTR(assembly);
        return 0;
}

SmsAssembly *sms_assembly_free(SmsAssembly *assembly) {
        if (!assembly)
                return NULL;
        for (size_t i = 0; i < assembly->n; i++)
                (void) group_free(assembly->groups[i]);
        free(assembly->groups);
        free(assembly);
        return NULL;
}

void sms_whole_done(SmsWhole *whole) {
        if (!whole)
                return;
        secret_free_string(whole->text);
        free(whole->tokens);
        *whole = (SmsWhole){ 0 };
}

static bool is_of(const Group *group, const SmsPart *part) {
        return !group->contradicted && !group->displaced &&
               group->concat.kind == part->concat.kind &&
               group->concat.reference == part->concat.reference &&
               group->concat.total == part->concat.total && streq(group->from, part->from) &&
               streq(group->to, part->to);
}

static Group *find(SmsAssembly *assembly, const SmsPart *part) {
        for (size_t i = 0; i < assembly->n; i++)
                if (is_of(assembly->groups[i], part))
                        return assembly->groups[i];
        return NULL;
}

/* What is held: of one sender, or of all where from is NULL. */
static void
count(const SmsAssembly *assembly, const char *from, size_t *ret_wholes, size_t *ret_parts) {
        *ret_wholes = *ret_parts = 0;
        for (size_t i = 0; i < assembly->n; i++) {
                const Group *group = assembly->groups[i];

                if (group->displaced || (from && !streq(group->from, from)))
                        continue;
                (*ret_wholes)++;
                *ret_parts += group->n_pieces;
        }
}

static size_t bytes_of(const Group *group) {
        size_t n = 0;

        for (unsigned i = 0; i < group->concat.total; i++)
                n += group->pieces[i].octets.size;
        return n;
}

/* Takes a group out; it is the caller's then. */
static Group *take_out(SmsAssembly *assembly, const Group *group) {
        for (size_t i = 0; i < assembly->n; i++)
                if (assembly->groups[i] == group) {
                        Group *taken = assembly->groups[i];

                        memmove(&assembly->groups[i],
                                        &assembly->groups[i + 1],
                                        (assembly->n - i - 1) * sizeof(Group *));
                        assembly->n--;
                        if (!taken->displaced)
                                assembly->bytes -= bytes_of(taken);
                        return taken;
                }
        return NULL;
}

static void digest_text(crypto_generichash_state *state, const char *text) {
        /* With its NUL, so that two names are never read as one. */
        crypto_generichash_update(state, (const uint8_t *) text, strlen(text) + 1);
}

static void digest_number(crypto_generichash_state *state, uint64_t number) {
        uint8_t bytes[8];

        for (unsigned i = 0; i < 8; i++)
                bytes[i] = (uint8_t) (number >> (8 * i));
        crypto_generichash_update(state, bytes, sizeof(bytes));
}

static void digest_octets(crypto_generichash_state *state, const SmsOctets *octets) {
        digest_number(state, (uint64_t) octets->alphabet);
        digest_number(state, (uint64_t) octets->locking << 8 | (uint64_t) octets->single);
        digest_number(state, octets->size);
        crypto_generichash_update(state, octets->data, octets->size);
}

static void write_id(const Group *group, char ret[SMS_WHOLE_ID_SIZE]) {
        crypto_generichash_state state;
        uint8_t digest[DIGEST_SIZE];
        bool has_ids = true;

        for (unsigned i = 0; i < group->concat.total; i++)
                has_ids = has_ids && group->pieces[i].id[0];
        crypto_generichash_init(&state, NULL, 0, sizeof(digest));
        digest_text(&state, group->from);
        digest_text(&state, group->to);
        digest_number(&state, has_ids);
        digest_number(&state, group->concat.total);
        if (!has_ids)
                digest_number(&state,
                                (uint64_t) group->concat.kind << 16 | group->concat.reference);
        for (unsigned i = 0; i < group->concat.total; i++)
                if (has_ids)
                        digest_text(&state, group->pieces[i].id);
                else
                        digest_octets(&state, &group->pieces[i].octets);
        crypto_generichash_final(&state, digest, sizeof(digest));
        text_hex(digest, sizeof(digest), ret);
}

/* What the caller gets of a group, complete or not. */
static int describe(const Group *group, SmsWhole *ret) {
        memcpy(ret->from, group->from, sizeof(ret->from));
        memcpy(ret->to, group->to, sizeof(ret->to));
        ret->total = group->concat.total;
        ret->displaced = group->displaced;
        ret->tokens = calloc(group->n_pieces, sizeof(*ret->tokens));
        if (!ret->tokens)
                return -ENOMEM;
        for (unsigned i = 0; i < group->concat.total; i++)
                if (group->pieces[i].data)
                        ret->tokens[ret->n_tokens++] = group->pieces[i].token;
        return 0;
}

static int complete(const Group *group, SmsWhole *ret) {
        SmsOctets octets[SMS_WHOLE_PARTS_MAX];
        int r;

        for (unsigned i = 0; i < group->concat.total; i++)
                octets[i] = group->pieces[i].octets;
        r = describe(group, ret);
        if (r == 0)
                r = sms_text_read(octets, group->concat.total, &ret->text);
        if (r == 0)
                write_id(group, ret->id);
        else
                sms_whole_done(ret);
        return r;
}

static int put_piece(Group *group, const SmsPart *part) {
        Piece *piece = &group->pieces[part->concat.part - 1];

        piece->data = malloc(part->octets.size + 1);
        if (!piece->data)
                return -ENOMEM;
        if (part->octets.size > 0)
                memcpy(piece->data, part->octets.data, part->octets.size);
        piece->octets = part->octets;
        piece->octets.data = piece->data;
        piece->token = part->token;
        if (part->id)
                (void) snprintf(piece->id, sizeof(piece->id), "%s", part->id);
        group->n_pieces++;
        return 0;
}

static bool is_same(const Piece *piece, const SmsPart *part) {
        const SmsOctets *a = &piece->octets, *b = &part->octets;

        return a->alphabet == b->alphabet && a->locking == b->locking && a->single == b->single &&
               a->size == b->size && (a->size == 0 || memcmp(a->data, b->data, a->size) == 0);
}

static bool is_within_limits(const SmsPart *part) {
        return strlen(part->from) < SMS_PART_NAME_SIZE && strlen(part->to) < SMS_PART_NAME_SIZE &&
               (!part->id || strlen(part->id) < SMS_PART_NAME_SIZE) &&
               part->octets.size <= SMS_PART_OCTETS_MAX && part->concat.part >= 1 &&
               part->concat.part <= part->concat.total &&
               part->concat.total <= SMS_WHOLE_PARTS_MAX &&
               (part->octets.size > 0 || part->concat.total == 1);
}

static int add_alone(const SmsPart *part, SmsWhole *ret) {
        _cleanup_(group_freep) Group *group = NULL;
        int r = group_new(part, &group);

        if (r == 0)
                r = put_piece(group, part);
        return r == 0 ? complete(group, ret) : r;
}

/* --- Room --- */

/* The one that has waited longest, of one sender or of all; never the one that shall grow. NULL:
 * none has waited long enough. */
static Group *find_stale(
                const SmsAssembly *assembly, const char *from, const Group *but, uint64_t now) {
        const SmsAssemblyLimits *limits = &assembly->limits;
        Group *stalest = NULL;

        for (size_t i = 0; i < assembly->n; i++) {
                Group *group = assembly->groups[i];

                if (group == but || group->displaced || group->contradicted ||
                                (from && !streq(group->from, from)) ||
                                group->deadline - limits->timeout + limits->patience > now)
                        continue;
                if (!stalest || group->deadline < stalest->deadline)
                        stalest = group;
        }
        return stalest;
}

/* Where a part has no room: 1 on the part of its sender, 2 on the part of all, 0 if it has. */
static int no_room(const SmsAssembly *assembly, const SmsPart *part, bool begins) {
        const SmsAssemblyLimits *limits = &assembly->limits;
        size_t wholes, parts;

        count(assembly, part->from, &wholes, &parts);
        if (wholes + begins > limits->per_sender || parts >= limits->parts_of_sender)
                return 1;
        count(assembly, NULL, &wholes, &parts);
        return wholes + begins > limits->wholes || parts >= limits->parts ||
                                               part->octets.size > limits->bytes - assembly->bytes
                               ? 2
                               : 0;
}

static int make_room(SmsAssembly *assembly, const SmsPart *part, const Group *group, uint64_t now) {
        int where;

        if (!group && assembly->n > assembly->limits.wholes)
                return SMS_ASSEMBLY_E_FULL; /* what was displaced is not taken away yet */
        while ((where = no_room(assembly, part, !group)) != 0) {
                Group *stale = find_stale(assembly, where == 1 ? part->from : NULL, group, now);

                if (!stale)
                        return SMS_ASSEMBLY_E_FULL;
                stale->displaced = true;
                assembly->bytes -= bytes_of(stale);
        }
        return 0;
}

/* A group for a part that is the first of its message. */
static int begin(SmsAssembly *assembly, const SmsPart *part, Group **ret) {
        int r = group_new(part, ret);

        if (r == 0)
                assembly->groups[assembly->n++] = *ret;
        return r;
}

static int
add_to(SmsAssembly *assembly, Group *group, const SmsPart *part, uint64_t now, SmsWhole *ret) {
        int r = put_piece(group, part);

        if (r < 0) {
                if (group->n_pieces == 0)
                        (void) group_free(take_out(assembly, group));
                return r;
        }
        assembly->bytes += part->octets.size;
        group->deadline = now + assembly->limits.timeout;
        if (group->n_pieces < group->concat.total)
                return SMS_ASSEMBLY_E_WAITING;
        r = complete(group, ret);
        /* Without memory the last part is as if it had not come: it will come again. */
        if (r < 0) {
                assembly->bytes -= part->octets.size;
                wipe_piece(&group->pieces[part->concat.part - 1]);
                group->n_pieces--;
                return r;
        }
        (void) group_free(take_out(assembly, group));
        return 0;
}

int sms_assembly_add(SmsAssembly *assembly, const SmsPart *part, uint64_t now, SmsWhole *ret) {
        SmsPart own;
        Group *group;
        int r;

        assert(assembly && part && part->from && part->to);
        assert(part->octets.data || part->octets.size == 0);
        assert(ret);

        *ret = (SmsWhole){ 0 };
        own = *part;
        if (own.concat.kind == SMS_CONCAT_NONE)
                own.concat = (SmsConcat){ SMS_CONCAT_NONE, 0, 1, 1 };
        if (!is_within_limits(&own))
                return SMS_ASSEMBLY_E_PART;
        if (own.concat.total == 1)
                return add_alone(&own, ret);

        group = find(assembly, &own);
        if (group && group->pieces[own.concat.part - 1].data) {
                Piece *piece = &group->pieces[own.concat.part - 1];

                if (is_same(piece, &own)) {
                        piece->token = own.token;
                        return SMS_ASSEMBLY_E_REPEATED;
                }
                group->contradicted = true;
                group = NULL;
        }
        r = make_room(assembly, &own, group, now);
        if (r == 0 && !group)
                r = begin(assembly, &own, &group);
        if (r != 0)
                return r;
        return add_to(assembly, group, &own, now, ret);
}

bool sms_assembly_give_up(SmsAssembly *assembly, uint64_t now, SmsWhole *ret) {
        assert(assembly && ret);

        *ret = (SmsWhole){ 0 };
        for (size_t i = 0; i < assembly->n; i++) {
                Group *group = assembly->groups[i];

                if (!group->contradicted && !group->displaced && group->deadline > now)
                        continue;
                if (describe(group, ret) < 0) {
                        sms_whole_done(ret); /* it stays, until there is memory to say so */
                        return false;
                }
                (void) group_free(take_out(assembly, group));
                return true;
        }
        return false;
}

uint64_t sms_assembly_due(const SmsAssembly *assembly) {
        uint64_t due = UINT64_MAX;

        assert(assembly);

        for (size_t i = 0; i < assembly->n; i++) {
                if (assembly->groups[i]->contradicted || assembly->groups[i]->displaced)
                        return 0;
                if (assembly->groups[i]->deadline < due)
                        due = assembly->groups[i]->deadline;
        }
        return due;
}

size_t sms_assembly_count(const SmsAssembly *assembly) {
        assert(assembly);
        return assembly->n;
}

size_t sms_assembly_bytes(const SmsAssembly *assembly) {
        assert(assembly);
        return assembly->bytes;
}

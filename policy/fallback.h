/* Which address of a recipient is written to when another does not answer: ordered steps, each with
 * a time, and what may lead from one to the next. Pure decisions; gateway/fallback.c carries them
 * out. Times are seconds. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "quiet.h"
#include "rules.h"

/* What may lead to the next step. */
typedef enum FallbackCause {
        FALLBACK_FAILED = 1 << 0,  /* the carrier says that it will not get there */
        FALLBACK_SILENCE = 1 << 1, /* no bound answer in the step's time */
} FallbackCause;

typedef struct FallbackRules {
        uint32_t on;    /* FallbackCause bits */
        bool announced; /* a step to a channel that knows senders less is told before it is taken */
        int64_t announce; /* and so long before */
        bool close;       /* answers from the steps before are too late */
        QuietHours quiet; /* when nobody is written to unasked */
} FallbackRules;

typedef struct FallbackStep {
        bool is_there; /* its channel is configured */
        RulesAuthentic authentic;
        int64_t timeout; /* 0: it is not left in silence */
} FallbackStep;

enum {
        FALLBACK_TIMEOUT_MIN = 60,
        FALLBACK_ANNOUNCE_DEFAULT = 10, /* enough for a program of the sender's to end the share */
        FALLBACK_NO_STEP = -1,
};

/* Both causes, announced. */
FallbackRules fallback_default(void);

/* "failed" and "silence"; NULL and 0 for what is none. */
const char *fallback_cause_name(FallbackCause cause);
FallbackCause fallback_cause_from_name(const char *name);

/* Whether a step may be taken under this minimum. */
bool fallback_may_use(const FallbackStep *step, RulesAuthentic minimum);

/* The next step after one of them, or from before the first (-1), that may be used.
 * FALLBACK_NO_STEP. */
int fallback_next(const FallbackStep *steps, size_t n, int present, RulesAuthentic minimum);

/* When silence ends a step that was sent, or taken by its carrier, at this moment; 0: never. The
 * quiet hours do not count. */
int64_t fallback_until(const FallbackRules *rules,
                const FallbackStep *present,
                bool has_next,
                int64_t now,
                const QuietZone *zone);

typedef struct FallbackPlan {
        int64_t at;      /* the step is taken; now, or later */
        bool tell_first; /* the sender is to be told, and has until then */
        bool is_night;   /* the quiet hours decide when */
} FallbackPlan;

/* When the step from the present one to the next is taken, now that it is wanted. */
FallbackPlan fallback_plan(const FallbackRules *rules,
                const FallbackStep *present,
                const FallbackStep *next,
                int64_t now,
                const QuietZone *zone);

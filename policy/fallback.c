#include "fallback.h"

#include <string.h>

FallbackRules fallback_default(void) {
        return (FallbackRules){ .on = FALLBACK_FAILED | FALLBACK_SILENCE,
                .announced = true,
                .announce = FALLBACK_ANNOUNCE_DEFAULT };
}

const char *fallback_cause_name(FallbackCause cause) {
        return cause == FALLBACK_FAILED ? "failed" : cause == FALLBACK_SILENCE ? "silence" : NULL;
}

FallbackCause fallback_cause_from_name(const char *name) {
        for (unsigned cause = FALLBACK_FAILED; cause <= FALLBACK_SILENCE; cause <<= 1)
                if (strcmp(fallback_cause_name((FallbackCause) cause), name) == 0)
                        return (FallbackCause) cause;
        return 0;
}

bool fallback_may_use(const FallbackStep *step, RulesAuthentic minimum) {
        return step->is_there && step->authentic >= minimum;
}

int fallback_next(const FallbackStep *steps, size_t n, int present, RulesAuthentic minimum) {
        for (size_t i = (size_t) (present + 1); i < n; i++)
                if (fallback_may_use(&steps[i], minimum))
                        return (int) i;
        return FALLBACK_NO_STEP;
}

int64_t fallback_until(const FallbackRules *rules,
                const FallbackStep *present,
                bool has_next,
                int64_t now,
                const QuietZone *zone) {
        if (!has_next || present->timeout == 0 || !(rules->on & FALLBACK_SILENCE))
                return 0;
        return quiet_after(&rules->quiet, now, present->timeout, zone);
}

FallbackPlan fallback_plan(const FallbackRules *rules,
                const FallbackStep *present,
                const FallbackStep *next,
                int64_t now,
                const QuietZone *zone) {
        FallbackPlan plan = { .at = now };
        int64_t morning;

        if (rules->announced && next->authentic < present->authentic) {
                plan.tell_first = true;
                plan.at += rules->announce;
        }
        morning = quiet_end(&rules->quiet, plan.at, zone);
        plan.is_night = morning > plan.at;
        plan.at = morning;
        return plan;
}

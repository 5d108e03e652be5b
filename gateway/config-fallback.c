/* What a policy says about the addresses after the first: how long each is waited for, what leads
 * on to the next, and when nobody is written to. */
#include <confuse.h>
#include <unistd.h>

#include "config-internal.h"
#include "words.h"

/* Each time belongs to the channel at the same place of `channels`; the last is waited for. */
static void read_timeouts(const ConfigPlace *p, ConfigPolicy *policy) {
        unsigned n = config_n_values(p, "timeouts");
        int64_t together = 0;

        policy->timeouts = config_reader_take(
                        p->reader, policy->n_channels + 1, sizeof(*policy->timeouts));
        if (!policy->timeouts || n == 0)
                return;
        if (n >= policy->n_channels) {
                config_problem(p,
                                "timeouts",
                                "timeouts has one time for each of channels but the last: at most "
                                "%zu",
                                policy->n_channels > 0 ? policy->n_channels - 1 : 0);
                return;
        }
        for (unsigned i = 0; i < n; i++) {
                const char *text = cfg_getnstr(p->cfg, "timeouts", i);

                if (config_duration(text, &policy->timeouts[i]) < 0 ||
                                policy->timeouts[i] < FALLBACK_TIMEOUT_MIN) {
                        config_problem(p,
                                        "timeouts",
                                        "timeouts must be times such as 15m or 1h, each at least "
                                        "%ds",
                                        FALLBACK_TIMEOUT_MIN);
                        return;
                }
                together += policy->timeouts[i];
        }
        if (together >= policy->rules.challenge_ttl)
                config_problem(p,
                                "timeouts",
                                "timeouts are together as long as lifetime, so that the last "
                                "channel would never be used");
        if (!(policy->fallback.on & FALLBACK_SILENCE))
                config_problem(p,
                                "timeouts",
                                "timeouts mean nothing unless fall_back_on names silence");
}

static void read_causes(const ConfigPlace *p, FallbackRules *rules) {
        size_t n;
        const char **names = config_read_list(p, "fall_back_on", &n);

        if (config_n_values(p, "fall_back_on") == 0)
                return;
        rules->on = 0;
        for (size_t i = 0; names && i < n; i++) {
                FallbackCause cause = fallback_cause_from_name(names[i]);

                rules->on |= cause;
                if (!cause)
                        config_problem(p,
                                        "fall_back_on",
                                        "fall_back_on may name failed and silence, and not %s",
                                        names[i]);
        }
}

static void read_quiet_hours(const ConfigPlace *p, FallbackRules *rules) {
        const char *text = config_read_text(p, "quiet_hours", NULL);

        if (!text)
                return;
        if (quiet_read(text, &rules->quiet) != 0)
                config_problem(p, "quiet_hours", "quiet_hours must be like \"21:00-08:00\"");
}

/* One of two words; *ret is whether it is the second. */
static void read_choice(const ConfigPlace *p,
                const char *key,
                const char *first,
                const char *second,
                bool *ret) {
        const char *text = config_read_text(p, key, first);

        *ret = streq(text, second);
        if (!*ret && !streq(text, first))
                config_problem(p, key, "%s must be %s or %s", key, first, second);
}

void config_read_fallback(const ConfigPlace *p, ConfigPolicy *policy) {
        FallbackRules *rules = &policy->fallback;
        bool is_silent;

        *rules = fallback_default();
        read_choice(p, "fallback", "announced", "silent", &is_silent);
        rules->announced = !is_silent;
        read_choice(p, "earlier_steps", "open", "closed", &rules->close);
        rules->announce = config_read_duration(p, "announce", rules->announce);
        if (is_silent && config_n_values(p, "announce") > 0)
                config_problem(p, "announce", "announce means nothing with fallback = silent");
        read_causes(p, rules);
        read_timeouts(p, policy);
        read_quiet_hours(p, rules);
}

/* As the administrator has set it (localtime(5)); UTC where that says nothing that we know. */
const char *config_machine_time_zone(Config *config) {
        static const char folder[] = "/zoneinfo/";
        char target[256];
        ssize_t n = readlink("/etc/localtime", target, sizeof(target) - 1);
        const char *name;

        target[n > 0 ? n : 0] = 0;
        name = strstr(target, folder);
        if (!name || !words_zone_is_known(name + sizeof(folder) - 1))
                return "UTC";
        return config_take_string(config, name + sizeof(folder) - 1);
}

const char *config_read_time_zone(const ConfigPlace *p) {
        const char *zone = config_read_text(p, "time_zone", NULL);

        if (zone && !words_zone_is_known(zone)) {
                config_problem(p, "time_zone", "time_zone must be a name such as Europe/Berlin");
                return NULL;
        }
        return zone;
}

/* A policy in plain words. What is stopped and what is not comes from the table in
 * policy/factor.c, which tests play through, so that nobody is promised anything else here. */
#include "policy-text.h"

#include <math.h>
#include <stdarg.h>
#include <stdlib.h>

#include "cleanup.h"

enum {
        WIDTH = 100,
        INDENT = 13,
        LINE_SIZE = 4096,
};

/* One labelled paragraph in the making: what does not fit is cut, which no policy reaches. */
typedef struct Line {
        char text[LINE_SIZE];
        size_t size;
} Line;

__attribute__((format(printf, 2, 3))) static void line_add(Line *line, const char *format, ...) {
        va_list arguments;
        int n;

        va_start(arguments, format);
        n = vsnprintf(line->text + line->size, LINE_SIZE - line->size, format, arguments);
        va_end(arguments);
        if (n > 0)
                line->size += (size_t) n < LINE_SIZE - line->size ? (size_t) n
                                                                  : LINE_SIZE - line->size - 1;
}

/* Prints the label, and the words in as many lines as they need. */
static void line_print(const Line *line, const char *label, FILE *file) {
        size_t column = INDENT;

        (void) fprintf(file, "  %-*s", INDENT - 2, label);
        for (const char *word = line->text; *word;) {
                size_t n = strcspn(word, " ");

                if (column > INDENT && column + 1 + n > WIDTH) {
                        (void) fprintf(file, "\n%*s", INDENT, "");
                        column = INDENT;
                }
                (void) fprintf(file, "%s%.*s", column > INDENT ? " " : "", (int) n, word);
                column += n + (column > INDENT);
                word += n + strspn(word + n, " ");
        }
        (void) fputc('\n', file);
}

static void add_duration(Line *line, int64_t seconds) {
        if (seconds % 86400 == 0 && seconds >= 3 * 86400)
                line_add(line, "%lld days", (long long) seconds / 86400);
        else if (seconds % 3600 == 0)
                line_add(line, "%lld h", (long long) seconds / 3600);
        else if (seconds % 60 == 0)
                line_add(line, "%lld min", (long long) seconds / 60);
        else
                line_add(line, "%lld s", (long long) seconds);
}

/* 33,333,333 */
static void add_grouped(Line *line, double value) {
        char digits[64];
        int n = snprintf(digits, sizeof(digits), "%.0f", value);

        for (int i = 0; i < n && i < (int) sizeof(digits) - 1; i++)
                line_add(line, "%s%c", i > 0 && (n - i) % 3 == 0 ? "," : "", digits[i]);
}

static void add_odds(Line *line, double bits) {
        line_add(line, "1 in ");
        add_grouped(line, exp2(bits));
        line_add(line, " (2^-%.1f)", bits);
}

/* The attackers that are stopped, or those that are not. */
static void add_attackers(Line *line, uint32_t factors, bool stopped) {
        const char *separator = "";

        for (FactorAttacker a = 0; a < FACTOR_ATTACKER_MAX; a++)
                if (factor_stops(factors, a) == stopped) {
                        line_add(line, "%s%s", separator, factor_attacker_text(a));
                        separator = "; ";
                }
}

/* Whom the level that the class is meant to have would stop, and this one does not. */
static void add_too_little_for(Line *line, uint32_t factors) {
        const char *separator = "";

        for (FactorAttacker a = 0; a < FACTOR_ATTACKER_MAX; a++)
                if (!factor_stops(factors, a) && factor_stops(factors | FACTOR_PAGE_CODE, a)) {
                        line_add(line, "%s%s", separator, factor_attacker_text(a));
                        separator = "; ";
                }
}

static void print_level(const ConfigPolicy *policy, FILE *file) {
        const Rules *rules = &policy->rules;
        unsigned level = rules_assurance(rules), floor = rules_floor(rules->class);
        Line line = { .size = 0 };

        (void) fprintf(file,
                        "policy %s: class %s, RAL-%u (this class asks for RAL-%u)\n",
                        policy->name,
                        rules_class_name(rules->class),
                        level,
                        floor);
        if (level >= floor)
                return;
        line_add(&line,
                        "below the intended floor RAL-%u, accepted by interim_floor = RAL-%u; too "
                        "little for: ",
                        floor,
                        rules->interim_floor);
        add_too_little_for(&line, rules->factors);
        line_print(&line, "interim", file);
}

/* --- what is asked for --- */

static void add_step(Line *line, const char *words) {
        line_add(line, "%s%s", line->size > 0 ? "; then " : "", words);
}

static void print_recipient(const ConfigPolicy *policy, FILE *file) {
        const Rules *rules = &policy->rules;
        const char *code = code_format_name(rules->code);
        Line line = { .size = 0 };

        if (rules->factors & FACTOR_FACT) {
                add_step(&line, "answers with what the tenant knows of them");
                line_add(&line, " (fact = %s)", policy->fact);
        }
        if (rules->factors & FACTOR_REPLY_CODE) {
                add_step(&line, "replies with the ");
                line_add(&line, "%s code that the sender told them", code);
        }
        if (rules->factors & FACTOR_CROSS_CODE) {
                add_step(&line, "replies READY; then gets a code of ours (");
                line_add(&line, "%s) over a channel of another operator, valid for ", code);
                add_duration(&line, rules->code_ttl);
                line_add(&line, ", and replies with it where the invitation came");
        }
        if (rules->factors & FACTOR_SPLIT && !rules_has_code(rules) &&
                        !(rules->factors & FACTOR_FACT))
                add_step(&line, "replies YES");
        if (line.size == 0)
                add_step(&line, "replies");
        line_add(&line, "; all within ");
        add_duration(&line, rules->challenge_ttl);
        line_print(&line, "recipient", file);
}

static void print_approval(const Rules *rules, FILE *file) {
        Line line = { .size = 0 };

        if (rules->factors & FACTOR_APPROVE) {
                line_add(&line,
                                "by the sender: the recipient reads out a number, and the sender "
                                "types it, with one try, within ");
                add_duration(&line, rules->approval_ttl);
        } else
                line_add(&line, "none is asked of the sender");
        line_print(&line, "approval", file);
}

const char *policy_text_link_delivery(const ConfigPolicy *policy) {
        return policy->rules.factors & FACTOR_SPLIT ? "split" : "same";
}

static void print_link(const ConfigPolicy *policy, FILE *file) {
        Line line = { .size = 0 };

        if (policy->rules.factors & FACTOR_SPLIT)
                line_add(&line,
                                "split: to the address that answered, and its Secret, without "
                                "which it opens nothing, over a channel of another operator");
        else
                line_add(&line, "same: whole, to the address that answered");
        line_add(&line, "; works for ");
        add_duration(&line, policy->rules.mailbox_ttl);
        line_add(&line, " from release");
        line_print(&line, "link", file);
}

/* --- guessing --- */

static void print_tries(const Rules *rules, FILE *file) {
        Line line = { .size = 0 };
        bool has_fact = rules->factors & FACTOR_FACT;

        if (!rules_has_code(rules) && !has_fact)
                line_add(&line, "none: no code is typed");
        else
                line_add(&line,
                                "%u for one %s, %u over the share's whole life%s",
                                rules->attempts,
                                rules_has_code(rules) ? "code" : "question",
                                rules->attempts_total,
                                rules_has_code(rules) ? "; a mistyped code costs none" : "");
        if (rules_has_code(rules) && rules->reissues == 0)
                line_add(&line, "; the sender gets no other code");
        else if (rules_has_code(rules))
                line_add(&line,
                                "; the sender may ask for another code %s, of the same tries in "
                                "all",
                                rules->reissues == 1 ? "once" : "twice");
        line_print(&line, "tries", file);
}

static void print_guessing(const Rules *rules, FILE *file) {
        Line line = { .size = 0 };
        bool counts_fact = rules->factors & FACTOR_FACT && rules->fact_bits > 0;
        Rules typed = *rules;

        typed.factors &= ~(uint32_t) FACTOR_SPLIT;
        if (rules_has_code(&typed) || counts_fact) {
                add_odds(&line, rules_guess_bits(&typed, typed.attempts));
                line_add(&line, " for one %s, ", rules_has_code(&typed) ? "code" : "question");
                add_odds(&line, rules_guess_bits_total(&typed));
                line_add(&line, " in all");
        }
        if (rules->factors & FACTOR_SPLIT)
                line_add(&line,
                                "%snothing to guess%s (2^-%d)",
                                line.size > 0 ? "; and " : "",
                                line.size > 0 ? " in the half of the link" : "",
                                FACTOR_SPLIT_BITS);
        if (rules->factors & FACTOR_APPROVE) {
                line_add(&line, "%s1 in ", line.size > 0 ? "; and " : "");
                add_grouped(&line, FACTOR_APPROVE_NUMBERS);
                line_add(&line, " on top, for the number");
        }
        if (rules->factors & FACTOR_FACT && !counts_fact)
                line_add(&line,
                                "%sthe fact is not counted: fact_bits says nothing of it",
                                line.size > 0 ? "; " : "");
        line_print(&line, "guessing", file);
}

/* --- channels --- */

bool policy_text_skips(const ConfigPolicy *policy, size_t channel) {
        return policy->channels[channel]->authentic < policy->rules.minimum_authentic;
}

static void print_channels(const ConfigPolicy *policy, FILE *file) {
        Line line = { .size = 0 };

        for (size_t i = 0; i < policy->n_channels; i++) {
                const ConfigChannel *channel = policy->channels[i];

                line_add(&line,
                                "%s%s (%s%s",
                                i > 0 ? ", " : "",
                                channel->name,
                                rules_authentic_name(channel->authentic),
                                policy_text_skips(policy, i) ? ", skipped: too weak" : "");
                if (!streq(channel->operator_class, channel->name))
                        line_add(&line, "; operator %s", channel->operator_class);
                line_add(&line, ")");
        }
        line_add(&line,
                        "; senders must be %s at least",
                        rules_authentic_name(policy->rules.minimum_authentic));
        line_print(&line, "channels", file);
}

static void add_clock(Line *line, int minutes) {
        line_add(line, "%02d:%02d", minutes / 60, minutes % 60);
}

/* What happens when a recipient does not answer at their first address. */
static void print_fallback(const ConfigPolicy *policy, FILE *file) {
        const FallbackRules *rules = &policy->fallback;
        Line line = { .size = 0 };

        for (unsigned cause = FALLBACK_FAILED; cause <= FALLBACK_SILENCE; cause <<= 1)
                if (rules->on & cause)
                        line_add(&line,
                                        "%son %s",
                                        line.size > 0 ? " and " : "",
                                        fallback_cause_name((FallbackCause) cause));
        for (size_t i = 0; i + 1 < policy->n_channels; i++)
                if (policy->timeouts[i] > 0) {
                        line_add(&line, ", %s after ", policy->channels[i]->name);
                        add_duration(&line, policy->timeouts[i]);
                }
        if (rules->announced) {
                line_add(&line, "; a step to a weaker channel is told ");
                add_duration(&line, rules->announce);
                line_add(&line, " before");
        }
        if (rules->close)
                line_add(&line, "; answers from an earlier address are too late");
        line_print(&line, "fallback", file);
        if (rules->quiet.from == rules->quiet.until)
                return;
        line.size = 0;
        add_clock(&line, rules->quiet.from);
        line_add(&line, " to ");
        add_clock(&line, rules->quiet.until);
        line_add(&line, " where the recipient is: invitations wait, expiry does not");
        line_print(&line, "quiet", file);
}

static void print_languages(const ConfigPolicy *policy, FILE *file) {
        Line line = { .size = 0 };

        for (size_t i = 0; i < policy->n_languages; i++)
                line_add(&line, "%s%s", i > 0 ? ", " : "", policy->languages[i]);
        if (policy->n_languages == 0)
                line_add(&line, "each that there are texts in");
        line_add(&line,
                        "; %s for recipients whose language is another or not known",
                        policy->language ? policy->language : "en");
        line_print(&line, "languages", file);
}

void policy_text_print(const ConfigPolicy *policy, FILE *file) {
        Line stops = { .size = 0 }, not = { .size = 0 };

        print_level(policy, file);
        print_recipient(policy, file);
        print_approval(&policy->rules, file);
        print_tries(&policy->rules, file);
        print_guessing(&policy->rules, file);
        print_link(policy, file);
        (void) fprintf(file,
                        "  messages   %s\n",
                        policy->several ? "several, in turn, to the recipient and back "
                                          "(access_rights = RWD)"
                                        : "one, to the recipient (access_rights = RD)");
        print_languages(policy, file);
        print_channels(policy, file);
        print_fallback(policy, file);
        add_attackers(&stops, policy->rules.factors, true);
        line_print(&stops, "stops", file);
        add_attackers(&not, policy->rules.factors, false);
        line_add(&not, "%swhoever the sender tells too much", not .size > 0 ? "; " : "");
        line_print(&not, "not", file);
}

char *policy_text(const ConfigPolicy *policy) {
        char *text = NULL;
        size_t size;
        FILE *file = open_memstream(&text, &size);

        if (!file)
                return NULL;
        policy_text_print(policy, file);
        if (fclose(file) == 0)
                return text;
        free(text);
        return NULL;
}

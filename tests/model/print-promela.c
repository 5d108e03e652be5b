/* Prints policy/lifecycle.c's table as Promela, so that the model in share.pml and the gateway
 * cannot disagree: constants for states, events and effects, and lifecycle(event), which takes the
 * step of `st`, setting `ok` and `eff`. */
#include <ctype.h>
#include <stdio.h>

#include "lifecycle.h"

static void print_upper(const char *text) {
        for (; *text; text++)
                (void) putchar(toupper((unsigned char) *text));
}

static void print_define(const char *prefix, const char *name, unsigned value) {
        (void) printf("#define %s", prefix);
        print_upper(name);
        (void) printf(" %u\n", value);
}

static void print_constants(void) {
        static const struct {
                const char *name;
                unsigned bit;
        } effects[] = {
                { "create_mailbox", LIFECYCLE_DO_CREATE_MAILBOX },
                { "next_generation", LIFECYCLE_DO_NEXT_GENERATION },
                { "send_link", LIFECYCLE_DO_SEND_LINK },
                { "delete_mailbox", LIFECYCLE_DO_DELETE_MAILBOX },
                { "drop_queued", LIFECYCLE_DO_DROP_QUEUED },
                { "wipe_code", LIFECYCLE_DO_WIPE_CODE },
                { "wipe_payload", LIFECYCLE_DO_WIPE_PAYLOAD },
                { "wipe_link", LIFECYCLE_DO_WIPE_LINK },
                { "wipe_mailbox", LIFECYCLE_DO_WIPE_MAILBOX },
                { "send_code", LIFECYCLE_DO_SEND_CODE },
                { "drop_code", LIFECYCLE_DO_DROP_CODE },
        };

        for (LifecycleState s = 0; s < LIFECYCLE_STATE_MAX; s++)
                print_define("S_", lifecycle_state_name(s), s);
        for (LifecycleEvent e = 0; e < LIFECYCLE_EVENT_MAX; e++)
                print_define("E_", lifecycle_event_name(e), e);
        for (unsigned i = 0; i < sizeof(effects) / sizeof(effects[0]); i++)
                print_define("DO_", effects[i].name, effects[i].bit);
        (void) printf("#define GENERATIONS %d\n", LIFECYCLE_GENERATIONS_MAX);
}

static void print_predicate(const char *name, bool (*holds)(LifecycleState)) {
        (void) printf("#define %s (false", name);
        for (LifecycleState s = 0; s < LIFECYCLE_STATE_MAX; s++)
                if (holds(s))
                        (void) printf(" || st == %u", s);
        (void) printf(")\n");
}

static bool mailbox_may_exist(LifecycleState state) {
        return lifecycle_mailbox(state) != LIFECYCLE_MAILBOX_NONE;
}

/* The table as C, which pan compiles in: as Promela guards it would be repeated at every step
 * taken. */
static void print_step(void) {
        (void) printf("c_decl {\n\\#include <stdint.h>\n"
                      "static const struct { uint8_t allowed, next, goal; uint16_t effects; } "
                      "cells[%d][%d] = {\n",
                        LIFECYCLE_STATE_MAX,
                        LIFECYCLE_EVENT_MAX);
        for (LifecycleState s = 0; s < LIFECYCLE_STATE_MAX; s++)
                for (LifecycleEvent e = 0; e < LIFECYCLE_EVENT_MAX; e++) {
                        LifecycleState next;
                        uint32_t effects;

                        if (lifecycle_step(s, e, &next, &effects) == 0)
                                (void) printf("\t[%u][%u] = { 1, %u, %u, %u },\n",
                                                s,
                                                e,
                                                next,
                                                next == LIFECYCLE_WITHDRAWING && next != s
                                                                ? lifecycle_withdrawn(
                                                                                  lifecycle_goal(e))
                                                                : 0,
                                                effects);
                }
        (void) printf("};\n}\n"
                      "inline lifecycle(event) {\n"
                      "\tev = event;\n"
                      "\tc_code {\n"
                      "\t\tnow.ok = cells[now.st][now.ev].allowed;\n"
                      "\t\tnow.eff = cells[now.st][now.ev].effects;\n"
                      "\t\tif (cells[now.st][now.ev].goal) now.goal = cells[now.st][now.ev].goal;\n"
                      "\t\tif (now.ok) now.st = cells[now.st][now.ev].next;\n"
                      "\t\tnow.ev = 0;\n"
                      "\t}\n}\n");
}

int main(void) {
        print_constants();
        print_predicate("TERMINAL", lifecycle_is_terminal);
        print_predicate("MAILBOX_MAY_EXIST", mailbox_may_exist);
        print_step();
        return ferror(stdout) || fflush(stdout) != 0;
}

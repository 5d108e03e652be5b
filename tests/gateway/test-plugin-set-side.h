/* For the tests of plugin-set.h: a gateway with one link, and peers on the same loop that keep what
 * they were sent. */
#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka wants the four above first */
#include <cmocka.h>

#include "plugin-set.h"
#include "stream.h"
#include "time-text.h"

#define PATIENCE (20 * USEC_PER_SEC)

typedef struct Peer {
        FrameStream *stream;
        json_t *frames; /* what came, in order */
        bool ended;
} Peer;

/* A gateway with one link, and what its callbacks saw. */
typedef struct Side {
        sd_event *event;
        Config *config;
        PluginSet *set;
        PluginLink *link;
        char folder[64], path[96];
        unsigned n_up, n_down, n_requests, n_events, n_answers, n_resets, n_timeouts, n_canceled;
        json_t *answer; /* the last */
        PluginRequest request;
        int return_request, return_event;
        bool answer_at_once, down_before_reset;
        bool close_inside; /* every callback ends the connection */
} Side;

extern const PluginSetOps side_ops;

/* Runs the loop until the condition holds. */
#define RUN_UNTIL(s, condition)                                            \
        do {                                                               \
                uint64_t run_end = time_boot() + PATIENCE;                 \
                while (!(condition)) {                                     \
                        assert_true(time_boot() < run_end);                \
                        assert_true(sd_event_run((s)->event, 10000) >= 0); \
                }                                                          \
        } while (0)

/* Runs the loop until nothing is left to do. */
void side_settle(Side *s);

/* With a channel `echo` that listens in a folder of its own, or one whose section goes on with
 * rest_of_channel; started. */
Side *side_new(const char *rest_of_channel);
void side_free(Side *s);

/* Asks the link's plugin; the answer is counted and kept in the Side. */
int side_ask(Side *s, uint64_t deadline, int64_t *ret_id);
void side_on_answer(PluginLink *link, int error, json_t *answer, void *userdata);

/* A descriptor that the caller owns. */
int peer_connect(const char *path);
void peer_new(Side *s, Peer *peer);
void peer_free(Peer *peer);
/* Takes the frame over. */
void peer_send(Peer *peer, json_t *frame);
const char *peer_type(const Peer *peer, size_t i);
int64_t peer_id(const Peer *peer, size_t i);

json_t *peer_hello(const char *role, const char *name, int low, int high, const char *capability);
json_t *frame_of(const char *type, int64_t id);

/* Connects and says hello. */
void peer_welcome(Side *s, Peer *peer);

/* The gateway's part of the benchmarks of its plugins: starts one on a socketpair, and asks it for
 * something in frames, never more than its window at once. It is as little work as can be, so that
 * the plugin is measured and not this: all frames are ready before the clock starts, and of an
 * answer only its type is looked at. Whatever else happens ends the program. */
#pragma once

#include <sys/types.h>

#include "bench.h"
#include "frame.h"

typedef struct FrameLoad {
        /* the caller's */
        const char *answer; /* how the answers hoped for begin */
        size_t count, in_flight;
        BenchPace pace;

        FrameBuffer out;   /* all frames, one after the other */
        size_t *ends;      /* of each, in out */
        size_t n_prepared; /* frames */
        size_t sent;       /* bytes of out */
        size_t ended;      /* requests */
        pid_t pid;
        int fd;
        uint8_t *in;
        size_t in_size;
        bool is_up; /* as the plugin says */
} FrameLoad;

/* Adds the next of count requests, and gives it its id. Takes the frame. */
void frame_load_add(FrameLoad *load, json_t *frame);

/* Starts the program with its folder of credentials and the settings, which it takes, and waits
 * until it says that it is up. */
void frame_load_start(
                FrameLoad *load, const char *program, const char *credentials, json_t *settings);

/* Asks for everything, ends the program, which must do so well, and reports. CPU time and memory
 * are those of the program, CPU time from the first request to the last answer. */
void frame_load_measure(FrameLoad *load);

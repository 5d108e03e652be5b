/* The other end of a plugin's socket, in the test's hands: it speaks raw bytes or frames, and lets
 * the loop that it shares with the plugin run until it has heard what it wants. No clocks: both
 * ends live in one process, so a loop with nothing to do means that nothing more will come. */
#pragma once

#include "../base/test.h"

#include <jansson.h>
#include <stdbool.h>
#include <systemd/sd-event.h>

#include "frame.h"

typedef struct Peer {
        sd_event *event;
        int fd;
        bool closed; /* the other end has closed */
        FrameBuffer in;
} Peer;

/* Makes a connected pair; the other end is *ret_fd. */
void peer_pair(Peer *ret, sd_event *event, int *ret_fd);

/* Connects to a listening Unix socket. */
void peer_connect(Peer *ret, sd_event *event, const char *path);

/* Closes and frees; may be called twice. */
void peer_done(Peer *peer);

/* Lets the loop run until it has nothing to do. */
void peer_settle(const Peer *peer);

/* Sends a frame, or bytes as they are. Takes the object over. */
void peer_say(Peer *peer, json_t *frame);
void peer_say_bytes(Peer *peer, const void *data, size_t size);

/* One frame with this content, whether it deserves the name or not. */
void peer_say_content(Peer *peer, const char *content, size_t size);

/* The next frame, NULL when there is none: the caller's. */
json_t *peer_hear(Peer *peer);

/* The next frame must be of this type. */
json_t *peer_hear_type(Peer *peer, const char *type);

void peer_hears_nothing(Peer *peer);

/* True when the other end has closed and all its frames have been heard. */
bool peer_is_closed(Peer *peer);

/* A member of a frame as a string or an integer; fails the test when it is not there. */
const char *frame_text(const json_t *frame, const char *name);
int64_t frame_number(const json_t *frame, const char *name);

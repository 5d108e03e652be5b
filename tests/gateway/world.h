/* A whole gateway in a folder of its own, with one tenant and one policy, whose plugins never
 * connect: for tests of what it does by itself. */
#pragma once

#include "gateway.h"
#include "scratch.h"

typedef struct World {
        char directory[SCRATCH_SIZE];
        sd_event *event;
        Gateway *gateway;
} World;

/* For cmocka: *state is the World. The gateway is made and not started. */
int world_setup(void **state);
int world_teardown(void **state);

/* Makes the gateway again, after gateway_free(). */
void world_open(World *w);

/* A share of that tenant and policy, as of its first second; the strings are not its own. */
Share world_share(int64_t n, LifecycleState state);

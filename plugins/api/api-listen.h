/* The sockets on which a front listens: from systemd by name, else from its settings. */
#pragma once

#include <jansson.h>
#include <stddef.h>

enum { API_LISTEN_MAX = 8 };

typedef struct ApiSockets {
        int fds[API_LISTEN_MAX]; /* listening stream sockets, close-on-exec and non-blocking */
        size_t n;
} ApiSockets;

/* Takes the sockets that systemd passed under this name; if it passed none, binds what the setting
 * `listen` says: "127.0.0.1:PORT", "[::1]:PORT", "unix:PATH". Logs why on failure. The caller
 * closes. */
int api_sockets_open(const char *name, const json_t *settings, ApiSockets *ret);

/* Writes the ports of the TCP sockets to a file, one a line, by renaming. For port 0. */
int api_sockets_write_ports(const ApiSockets *sockets, const char *path);

void api_sockets_close(ApiSockets *sockets);

/* The socket to serve on: from systemd, or one of our own, loopback or not as the operator says. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

/* Whether text is HOST:PORT or [HOST]:PORT with a numeric address, as listen_open() takes it. */
bool listen_is_numeric(const char *text);

/* Opens a listening TCP socket on HOST:PORT or [HOST]:PORT; HOST is a numeric address and PORT may
 * be 0. -EINVAL: not of that form. Other negative errno of socket(2), bind(2), listen(2). */
int listen_open(const char *text, int *ret_fd);

/* The socket that systemd passed, if it passed exactly one. -ENOENT: none. -EINVAL: several, or not
 * a listening TCP socket. */
int listen_inherited(int *ret_fd);

/* The address that a socket listens on, as HOST:PORT or [HOST]:PORT, and its port. */
int listen_name(int fd, char ret[80], uint16_t *ret_port);

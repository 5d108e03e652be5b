/* Listening stream sockets by their address as text. No name is looked up: what a name leads to is
 * not the operator's decision alone. */
#pragma once

#include <stdbool.h>

/* Binds "127.0.0.1:PORT", "[::1]:PORT" or "unix:/PATH" and listens; a socket that an earlier run
 * left at the path is replaced, and owner and group may connect to the new one. *ret is
 * close-on-exec and non-blocking, and the caller's. -EINVAL: another form of address. */
int listen_socket_open(const char *address, int *ret);

/* True when only this machine can connect: loopback, or a Unix socket. */
bool listen_socket_is_local(int fd);

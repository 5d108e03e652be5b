#include "listen.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdio.h>
#include <sys/socket.h>
#include <systemd/sd-daemon.h>

#include "cleanup.h"

enum {
        BACKLOG = 1024,
};

static void free_addresses(struct addrinfo **p) {
        if (*p)
                freeaddrinfo(*p);
}

static int resolve(const char *text, struct addrinfo **ret) {
        static const struct addrinfo hints = {
                .ai_flags = AI_NUMERICHOST | AI_NUMERICSERV | AI_PASSIVE,
                .ai_socktype = SOCK_STREAM,
        };
        const char *colon = strrchr(text, ':');
        char host[64];
        size_t length;

        if (!colon || !colon[1])
                return -EINVAL;
        length = (size_t) (colon - text);
        if (length >= 2 && text[0] == '[' && text[length - 1] == ']') {
                text++;
                length -= 2;
        }
        if (length == 0 || length >= sizeof(host))
                return -EINVAL;
        (void) memcpy(host, text, length);
        host[length] = 0;
        return getaddrinfo(host, colon + 1, &hints, ret) == 0 ? 0 : -EINVAL;
}

bool listen_is_numeric(const char *text) {
        _cleanup_(free_addresses) struct addrinfo *address = NULL;

        return resolve(text, &address) == 0;
}

int listen_open(const char *text, int *ret_fd) {
        _cleanup_(free_addresses) struct addrinfo *address = NULL;
        _cleanup_(closep) int fd = -1;
        int r;

        r = resolve(text, &address);
        if (r < 0)
                return r;
        fd = socket(address->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
        if (fd < 0)
                return -errno;
        if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &(int){ 1 }, sizeof(int)) < 0)
                return -errno;
        if (bind(fd, address->ai_addr, address->ai_addrlen) < 0)
                return -errno;
        if (listen(fd, BACKLOG) < 0)
                return -errno;
        *ret_fd = TAKE_FD(fd);
        return 0;
}

int listen_inherited(int *ret_fd) {
        int n = sd_listen_fds(1);

        if (n < 0)
                return n;
        if (n == 0)
                return -ENOENT;
        if (n != 1 || sd_is_socket(SD_LISTEN_FDS_START, AF_UNSPEC, SOCK_STREAM, 1) <= 0 ||
                        sd_is_socket(SD_LISTEN_FDS_START, AF_UNIX, SOCK_STREAM, 1) > 0)
                return -EINVAL;
        *ret_fd = SD_LISTEN_FDS_START;
        return 0;
}

int listen_name(int fd, char ret[80], uint16_t *ret_port) {
        struct sockaddr_storage address;
        socklen_t size = sizeof(address);
        char host[64], port[8];

        if (getsockname(fd, (struct sockaddr *) &address, &size) < 0)
                return -errno;
        if (getnameinfo((struct sockaddr *) &address,
                            size,
                            host,
                            sizeof(host),
                            port,
                            sizeof(port),
                            NI_NUMERICHOST | NI_NUMERICSERV) != 0)
                return -EINVAL;
        (void) snprintf(ret, 80, strchr(host, ':') ? "[%s]:%s" : "%s:%s", host, port);
        *ret_port = (uint16_t) strtoul(port, NULL, 10);
        return 0;
}

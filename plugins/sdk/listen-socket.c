#include "listen-socket.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include "cleanup.h"

enum { BACKLOG = 1024 };

static int listen_unix(const char *path, int *ret) {
        struct sockaddr_un address = { .sun_family = AF_UNIX };
        _cleanup_(closep) int fd = -1;
        struct stat st;
        mode_t mask;
        int r;

        if (path[0] != '/' || strlen(path) >= sizeof(address.sun_path))
                return -EINVAL;
        memcpy(address.sun_path, path, strlen(path) + 1);
        if (lstat(path, &st) == 0 && S_ISSOCK(st.st_mode))
                (void) unlink(path); /* left behind by an earlier run */

        fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        if (fd < 0)
                return -errno;
        mask = umask(0117); /* owner and group may connect; who they are is asked later */
        r = bind(fd, (struct sockaddr *) &address, sizeof(address)) < 0 ? -errno : 0;
        (void) umask(mask);
        if (r < 0)
                return r;
        if (listen(fd, BACKLOG) < 0)
                return -errno;

        *ret = TAKE_FD(fd);
        return 0;
}

static int address_from_text(const char *text, struct addrinfo **ret) {
        struct addrinfo hints = { .ai_flags = AI_NUMERICHOST | AI_NUMERICSERV | AI_PASSIVE,
                .ai_socktype = SOCK_STREAM };
        const char *colon = strrchr(text, ':');
        char host[64];
        size_t n;

        if (!colon)
                return -EINVAL;
        n = (size_t) (colon - text);
        if (n >= 2 && text[0] == '[' && text[n - 1] == ']') {
                text++;
                n -= 2;
        }
        if (n == 0 || n >= sizeof(host))
                return -EINVAL;
        memcpy(host, text, n);
        host[n] = 0;
        return getaddrinfo(host, colon + 1, &hints, ret) == 0 ? 0 : -EINVAL;
}

static int listen_tcp(const char *text, int *ret) {
        _cleanup_(closep) int fd = -1;
        struct addrinfo *info;
        int on = 1, r;

        r = address_from_text(text, &info);
        if (r < 0)
                return r;
        fd = socket(info->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        if (fd < 0)
                r = -errno;
        else {
                (void) setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
                if (info->ai_family == AF_INET6)
                        (void) setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof(on));
                if (bind(fd, info->ai_addr, info->ai_addrlen) < 0 || listen(fd, BACKLOG) < 0)
                        r = -errno;
        }
        freeaddrinfo(info);
        if (r < 0)
                return r;

        *ret = TAKE_FD(fd);
        return 0;
}

int listen_socket_open(const char *address, int *ret) {
        return strncmp(address, "unix:", 5) == 0 ? listen_unix(address + 5, ret)
                                                 : listen_tcp(address, ret);
}

bool listen_socket_is_local(int fd) {
        struct sockaddr_storage address = { 0 };
        const struct sockaddr_in *v4 = (const struct sockaddr_in *) &address;
        const struct sockaddr_in6 *v6 = (const struct sockaddr_in6 *) &address;
        socklen_t size = sizeof(address);

        if (getsockname(fd, (struct sockaddr *) &address, &size) < 0)
                return false;
        switch (address.ss_family) {
        case AF_INET:
                return ntohl(v4->sin_addr.s_addr) >> 24 == 127;
        case AF_INET6:
                return IN6_IS_ADDR_LOOPBACK(&v6->sin6_addr);
        default:
                return address.ss_family == AF_UNIX;
        }
}

#include "api-listen.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <systemd/sd-daemon.h>

#include "cleanup.h"
#include "log.h"

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
        mask = umask(0117); /* owner and group may connect; the gateway then decides who they are */
        r = bind(fd, (struct sockaddr *) &address, sizeof(address)) < 0 ? -errno : 0;
        (void) umask(mask);
        if (r < 0)
                return r;
        if (listen(fd, BACKLOG) < 0)
                return -errno;

        *ret = TAKE_FD(fd);
        return 0;
}

/* Splits "127.0.0.1:8480" or "[::1]:8480"; names are not looked up. */
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

static int sockets_add(ApiSockets *sockets, const char *text) {
        int r;

        if (sockets->n == API_LISTEN_MAX)
                r = -E2BIG;
        else
                r = strncmp(text, "unix:", 5) == 0
                                    ? listen_unix(text + 5, &sockets->fds[sockets->n])
                                    : listen_tcp(text, &sockets->fds[sockets->n]);
        if (r < 0) {
                log_error("cannot listen on %s: %s; write 127.0.0.1:PORT, [::1]:PORT or unix:/PATH",
                                text,
                                strerror(-r));
                return r;
        }
        sockets->n++;
        return 0;
}

static int sockets_from_settings(const json_t *settings, ApiSockets *sockets) {
        const json_t *listen_setting = json_object_get(settings, "listen");
        json_t *value;
        size_t i;
        int r;

        if (json_is_string(listen_setting))
                return sockets_add(sockets, json_string_value(listen_setting));
        json_array_foreach(listen_setting, i, value) {
                r = json_is_string(value) ? sockets_add(sockets, json_string_value(value))
                                          : -EINVAL;
                if (r < 0)
                        return r;
        }
        if (sockets->n == 0) {
                log_error("there is nothing to listen on: set `listen`, or have systemd pass a "
                          "socket");
                return -EDESTADDRREQ;
        }
        return 0;
}

static void names_free(char ***names) {
        for (size_t i = 0; *names && (*names)[i]; i++)
                free((*names)[i]);
        free(*names);
}

static int sockets_from_systemd(const char *name, ApiSockets *sockets) {
        _cleanup_(names_free) char **names = NULL;
        int n = sd_listen_fds_with_names(1, &names);

        for (int i = 0; i < n; i++) {
                int fd = SD_LISTEN_FDS_START + i;

                if (!streq(names[i], name) || sockets->n == API_LISTEN_MAX ||
                                sd_is_socket(fd, AF_UNSPEC, SOCK_STREAM, 1) <= 0)
                        continue;
                (void) fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
                sockets->fds[sockets->n++] = fd;
        }
        if (n > 0 && sockets->n == 0) {
                log_error("systemd passed sockets, but none named %s: set FileDescriptorName=%s in "
                          "the "
                          "socket unit",
                                name,
                                name);
                return -ENOTSOCK;
        }
        return n < 0 ? n : 0;
}

int api_sockets_open(const char *name, const json_t *settings, ApiSockets *ret) {
        int r;

        ret->n = 0;
        r = sockets_from_systemd(name, ret);
        if (r == 0 && ret->n == 0)
                r = sockets_from_settings(settings, ret);
        if (r < 0)
                api_sockets_close(ret);
        return r;
}

int api_sockets_write_ports(const ApiSockets *sockets, const char *path) {
        char temporary[4096];
        FILE *f;

        if ((size_t) snprintf(temporary, sizeof(temporary), "%s.new", path) >= sizeof(temporary))
                return -ENAMETOOLONG;
        f = fopen(temporary, "we");
        if (!f)
                return -errno;
        for (size_t i = 0; i < sockets->n; i++) {
                struct sockaddr_storage address = { 0 };
                socklen_t size = sizeof(address);

                if (getsockname(sockets->fds[i], (struct sockaddr *) &address, &size) < 0)
                        continue;
                if (address.ss_family == AF_INET)
                        (void) fprintf(f,
                                        "%u\n",
                                        ntohs(((struct sockaddr_in *) &address)->sin_port));
                if (address.ss_family == AF_INET6)
                        (void) fprintf(f,
                                        "%u\n",
                                        ntohs(((struct sockaddr_in6 *) &address)->sin6_port));
        }
        if (fclose(f) != 0 || rename(temporary, path) < 0)
                return -errno;
        return 0;
}

void api_sockets_close(ApiSockets *sockets) {
        for (size_t i = 0; i < sockets->n; i++)
                (void) close_fd(sockets->fds[i]);
        sockets->n = 0;
}

#include "api-listen.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <systemd/sd-daemon.h>

#include "cleanup.h"
#include "listen-socket.h"
#include "log.h"

static int sockets_add(ApiSockets *sockets, const char *text) {
        int r;

        if (sockets->n == API_LISTEN_MAX)
                r = -E2BIG;
        else
                r = listen_socket_open(text, &sockets->fds[sockets->n]);
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

/* The SMS centre of the SMPP benchmark: it takes every bind and every submit_sm, answers all that
 * it has read in one write, and does nothing else, so that it is faster than both of those who are
 * measured. Prints the port that it listens on, and serves one connection after the other until its
 * standard input ends. */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/socket.h>

#include "bench.h"
#include "cleanup.h"

enum {
        HEADER_SIZE = 16,
        IN_SIZE = 1 << 20,
        ANSWER_SIZE_MAX = HEADER_SIZE + 12,
        OUT_SIZE = IN_SIZE / HEADER_SIZE * ANSWER_SIZE_MAX,
        BIND_TRANSCEIVER = 0x09,
        SUBMIT_SM = 0x04,
        ANSWER = 0x80,
};

typedef struct Sink {
        uint8_t in[IN_SIZE], out[OUT_SIZE];
        size_t n_in, n_out;
        uint32_t last_id;
} Sink;

static uint32_t number_at(const uint8_t *p) {
        return (uint32_t) p[0] << 24 | (uint32_t) p[1] << 16 | (uint32_t) p[2] << 8 | p[3];
}

static void answer(Sink *sink, const uint8_t *pdu) {
        uint8_t *out = sink->out + sink->n_out;
        size_t size = HEADER_SIZE;

        memcpy(out, pdu, HEADER_SIZE);
        out[4] = ANSWER;
        memset(out + 8, 0, 4);
        if (pdu[7] == SUBMIT_SM)
                size += (size_t) snprintf((char *) out + size, 12, "%u", ++sink->last_id) + 1;
        else if (pdu[7] == BIND_TRANSCEIVER)
                out[size++] = '\0';
        out[0] = out[1] = 0;
        out[2] = (uint8_t) (size >> 8);
        out[3] = (uint8_t) size;
        sink->n_out += size;
}

static void answer_all(Sink *sink) {
        size_t at = 0;

        while (sink->n_in - at >= HEADER_SIZE) {
                size_t size = number_at(sink->in + at);

                if (size < HEADER_SIZE || size > 4096)
                        bench_fail("a PDU of %zu octets", size);
                if (sink->n_in - at < size)
                        break;
                if (!(sink->in[at + 4] & ANSWER))
                        answer(sink, sink->in + at);
                at += size;
        }
        sink->n_in -= at;
        memmove(sink->in, sink->in + at, sink->n_in);
}

static bool write_all(int fd, const uint8_t *data, size_t size) {
        while (size > 0) {
                ssize_t n = send(fd, data, size, MSG_NOSIGNAL);

                if (n < 0 && errno == EINTR)
                        continue;
                if (n < 0)
                        return false;
                data += n;
                size -= (size_t) n;
        }
        return true;
}

static void serve(Sink *sink, int fd) {
        int on = 1;

        (void) setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
        sink->n_in = 0;
        for (;;) {
                ssize_t n = recv(fd, sink->in + sink->n_in, IN_SIZE - sink->n_in, 0);

                if (n < 0 && errno == EINTR)
                        continue;
                if (n <= 0)
                        return;
                sink->n_in += (size_t) n;
                sink->n_out = 0;
                answer_all(sink);
                if (!write_all(fd, sink->out, sink->n_out))
                        return;
        }
}

int main(void) {
        static Sink sink;
        struct sockaddr_in address = { .sin_family = AF_INET,
                .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
        socklen_t size = sizeof(address);
        int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

        bench_must(listener >= 0 && bind(listener, (struct sockaddr *) &address, size) == 0 &&
                                        listen(listener, 1) == 0 &&
                                        getsockname(listener,
                                                        (struct sockaddr *) &address,
                                                        &size) == 0,
                        "a socket");
        (void) printf("%u\n", ntohs(address.sin_port));
        (void) fflush(stdout);
        for (;;) {
                struct pollfd fds[] = { { .fd = listener, .events = POLLIN },
                        { .events = POLLIN } };
                _cleanup_(closep) int fd = -1;

                if (poll(fds, 2, -1) < 0)
                        continue;
                if (fds[1].revents)
                        return EXIT_SUCCESS;
                fd = accept(listener, NULL, NULL);
                if (fd >= 0)
                        serve(&sink, fd);
        }
}

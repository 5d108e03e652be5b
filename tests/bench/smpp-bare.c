/* The reference of the SMPP benchmark: what a bare sender with libsmpp34 needs for the same
 * messages, the same window and the same centre. It packs each submit_sm and unpacks each answer
 * with the library, writes all that the window allows at once, and does nothing with an answer but
 * to count it. The result is one JSON line; CPU time is of this process from the first message to
 * the last answer. */
#include <stdint.h>
#include <stdio.h>

#include <smpp34.h>
#include <smpp34_structs.h>

#include <smpp34_params.h>

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include "bench.h"
#include "cleanup.h"

enum {
        HEADER_SIZE = 16,
        PDU_SIZE_MAX = 4096,
        IN_SIZE = 64 * 1024,
        OUT_SIZE = 256 * 1024,
        WINDOW_MAX = 1000,
};

static const char text[] = "Hotel Adler: your key is ready. Code 1234, tag K7QM.";

typedef struct Load {
        size_t port, count, window;
        const char *from, *to;

        int fd;
        size_t started, ended;
        uint8_t in[IN_SIZE], out[OUT_SIZE];
        size_t n_in;
} Load;

static void put(const char *value, uint8_t *ret, size_t size) {
        bench_must(strlen(value) < size, "a value that fits");
        memcpy(ret, value, strlen(value) + 1);
}

static size_t pack_submit(const Load *load, uint32_t sequence, uint8_t *ret) {
        submit_sm_t pdu = { .command_id = SUBMIT_SM, .sequence_number = sequence };
        int size = 0;

        pdu.source_addr_ton = TON_International;
        pdu.source_addr_npi = NPI_ISDN_E163_E164;
        pdu.dest_addr_ton = TON_International;
        pdu.dest_addr_npi = NPI_ISDN_E163_E164;
        put(load->from, (uint8_t *) pdu.source_addr, 21);
        put(load->to, (uint8_t *) pdu.destination_addr, 21);
        put("000000010000000R", (uint8_t *) pdu.validity_period, 17);
        pdu.registered_delivery = 1;
        pdu.sm_length = sizeof(text) - 1;
        memcpy(pdu.short_message, text, sizeof(text) - 1);
        if (smpp34_pack(SUBMIT_SM, ret, PDU_SIZE_MAX, &size, &pdu) != 0)
                bench_fail("a submit_sm cannot be packed");
        return (size_t) size;
}

static void send_all(const Load *load, const uint8_t *data, size_t size) {
        while (size > 0) {
                ssize_t n = send(load->fd, data, size, MSG_NOSIGNAL);

                if (n < 0)
                        bench_fail("the centre went away");
                data += n;
                size -= (size_t) n;
        }
}

/* What the window allows, in one write. */
static void submit(Load *load) {
        size_t size = 0;

        while (load->started < load->count && load->started - load->ended < load->window) {
                size += pack_submit(load, (uint32_t) ++load->started, load->out + size);
                if (size > OUT_SIZE - PDU_SIZE_MAX)
                        break;
        }
        send_all(load, load->out, size);
}

static void take(Load *load, const uint8_t *pdu, size_t size) {
        submit_sm_resp_t answer = { 0 };

        if (smpp34_unpack(SUBMIT_SM_RESP, (void *) &answer, pdu, (int) size) != 0 ||
                        answer.command_status != 0)
                bench_fail("an answer other than hoped for");
        load->ended++;
}

static size_t size_of(const uint8_t *p) {
        return (size_t) p[0] << 24 | (size_t) p[1] << 16 | (size_t) p[2] << 8 | p[3];
}

static void receive(Load *load) {
        ssize_t n = recv(load->fd, load->in + load->n_in, IN_SIZE - load->n_in, 0);
        size_t at = 0;

        if (n <= 0)
                bench_fail("the centre went away");
        load->n_in += (size_t) n;
        while (load->n_in - at >= HEADER_SIZE && load->n_in - at >= size_of(load->in + at)) {
                take(load, load->in + at, size_of(load->in + at));
                at += size_of(load->in + at);
        }
        load->n_in -= at;
        memmove(load->in, load->in + at, load->n_in);
}

static void bind_session(Load *load) {
        bind_transceiver_t pdu = {
                .command_id = BIND_TRANSCEIVER, .sequence_number = 1, .interface_version = 0x34
        };
        int size = 0;

        put("hotel", (uint8_t *) pdu.system_id, 16);
        put("s3cr3t", (uint8_t *) pdu.password, 9);
        bench_must(smpp34_pack(BIND_TRANSCEIVER, load->out, PDU_SIZE_MAX, &size, &pdu) == 0,
                        "a bind");
        send_all(load, load->out, (size_t) size);
        if (recv(load->fd, load->in, IN_SIZE, 0) < HEADER_SIZE)
                bench_fail("the centre does not bind us");
}

static void connect_to(Load *load) {
        struct sockaddr_in address = {
                .sin_family = AF_INET,
                .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
                .sin_port = htons((uint16_t) load->port),
        };
        int on = 1;

        load->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        bench_must(load->fd >= 0 && connect(load->fd,
                                                    (struct sockaddr *) &address,
                                                    sizeof(address)) == 0,
                        "a connection");
        (void) setsockopt(load->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
}

int main(int argc, char **argv) {
        static const BenchOption options[] = {
                { "port", BENCH_NUMBER, offsetof(Load, port) },
                { "from", BENCH_TEXT, offsetof(Load, from) },
                { "to", BENCH_TEXT, offsetof(Load, to) },
                { "count", BENCH_NUMBER, offsetof(Load, count) },
                { "window", BENCH_NUMBER, offsetof(Load, window) },
                { 0 },
        };
        static Load load;
        BenchSpan span;

        if (bench_options(argc, argv, options, &load) != argc || load.port == 0 || !load.from ||
                        !load.to || load.count == 0 || load.window == 0 || load.window > WINDOW_MAX)
                bench_fail("usage: smpp-bare --port N --from DIGITS --to DIGITS --count N --window "
                           "N");
        connect_to(&load);
        bind_session(&load);
        bench_begin(&span, CLOCK_PROCESS_CPUTIME_ID);
        while (load.ended < load.count) {
                submit(&load);
                receive(&load);
        }
        bench_end(&span);
        (void) close(load.fd);
        bench_report(&span, load.count, NULL, 0);
        return EXIT_SUCCESS;
}

#include "public-address.h"

#include <netinet/in.h>
#include <stdint.h>
#include <string.h>

#include "cleanup.h"

static bool is_public_4(uint32_t a) {
        static const struct {
                uint32_t network;
                unsigned length;
        } special[] = {
                { 0x00000000, 8 },  /* this network */
                { 0x0a000000, 8 },  /* private */
                { 0x64400000, 10 }, /* shared by carriers */
                { 0x7f000000, 8 },  /* loopback */
                { 0xa9fe0000, 16 }, /* link-local, and the clouds' metadata */
                { 0xac100000, 12 }, /* private */
                { 0xc0000000, 24 }, /* protocol assignments */
                { 0xc0000200, 24 }, /* documentation */
                { 0xc0586300, 24 }, /* 6to4 relays */
                { 0xc0a80000, 16 }, /* private */
                { 0xc6120000, 15 }, /* benchmarking */
                { 0xc6336400, 24 }, /* documentation */
                { 0xcb007100, 24 }, /* documentation */
                { 0xe0000000, 3 },  /* multicast, reserved, broadcast */
        };

        for (size_t i = 0; i < N_ELEMENTS(special); i++)
                if ((a ^ special[i].network) >> (32 - special[i].length) == 0)
                        return false;
        return true;
}

static uint32_t read_4(const uint8_t *p) {
        return (uint32_t) p[0] << 24 | (uint32_t) p[1] << 16 | (uint32_t) p[2] << 8 | p[3];
}

static bool is_public_6(const uint8_t a[16]) {
        static const uint8_t translated[12] = { 0x00, 0x64, 0xff, 0x9b },
                             mapped[12] = { [10] = 0xff, [11] = 0xff };

        if (memcmp(a, mapped, sizeof(mapped)) == 0 ||
                        memcmp(a, translated, sizeof(translated)) == 0)
                return is_public_4(read_4(a + 12));
        if ((a[0] & 0xe0) != 0x20) /* global unicast is 2000::/3 and nothing else */
                return false;
        if (a[0] == 0x20 && a[1] == 0x02) /* 6to4 */
                return is_public_4(read_4(a + 2));
        if (a[0] == 0x20 && a[1] == 0x01 && a[2] < 0x02) /* Teredo, ORCHID and their like */
                return false;
        if (a[0] == 0x20 && a[1] == 0x01 && a[2] == 0x0d && a[3] == 0xb8) /* documentation */
                return false;
        return !(a[0] == 0x3f && a[1] == 0xff && (a[2] & 0xf0) == 0); /* documentation */
}

bool public_address_is(const struct sockaddr *address) {
        struct sockaddr_in6 in6;
        struct sockaddr_in in;

        switch (address->sa_family) {
        case AF_INET:
                memcpy(&in, address, sizeof(in));
                return is_public_4(ntohl(in.sin_addr.s_addr));
        case AF_INET6:
                memcpy(&in6, address, sizeof(in6));
                return is_public_6(in6.sin6_addr.s6_addr);
        default:
                return false;
        }
}

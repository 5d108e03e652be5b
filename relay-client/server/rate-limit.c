#include "rate-limit.h"

#include <errno.h>
#include <netinet/in.h>
#include <sodium.h>

#include "time-text.h"

enum {
        SETS = 4096,
        WAYS = 4,
};

typedef struct Bucket {
        uint64_t key; /* 0 = never used */
        uint64_t seen_usec;
        double tokens;
} Bucket;

struct RateLimit {
        uint8_t hash_key[crypto_shorthash_KEYBYTES];
        double rate, burst;
        Bucket buckets[SETS][WAYS];
};

int rate_limit_new(RateLimit **ret, unsigned rate) {
        RateLimit *limit = calloc(1, sizeof(*limit));

        if (!limit)
                return -ENOMEM;
        crypto_shorthash_keygen(limit->hash_key);
        limit->rate = rate;
        limit->burst = 2.0 * rate;
        *ret = limit;
        return 0;
}

RateLimit *rate_limit_free(RateLimit *limit) {
        free(limit);
        return NULL;
}

static uint64_t address_key(const RateLimit *limit, const struct sockaddr *address) {
        const struct sockaddr_in *four = (const void *) address;
        const struct sockaddr_in6 *six = (const void *) address;
        uint8_t bytes[9] = { 0 };
        uint64_t key;

        bytes[0] = (uint8_t) address->sa_family;
        if (address->sa_family == AF_INET)
                memcpy(bytes + 1, &four->sin_addr, 4);
        else if (address->sa_family == AF_INET6 && IN6_IS_ADDR_V4MAPPED(&six->sin6_addr)) {
                bytes[0] = AF_INET;
                memcpy(bytes + 1, six->sin6_addr.s6_addr + 12, 4);
        } else if (address->sa_family == AF_INET6)
                memcpy(bytes + 1, &six->sin6_addr, 8);
        (void) crypto_shorthash((uint8_t *) &key, bytes, sizeof(bytes), limit->hash_key);
        return key ? key : 1;
}

/* Of a full set the one goes that was silent longest: it has the fullest bucket to lose. */
static Bucket *find_bucket(RateLimit *limit, uint64_t key, uint64_t now_usec) {
        Bucket *set = limit->buckets[key % SETS], *oldest = &set[0];

        for (size_t i = 0; i < WAYS; i++) {
                if (set[i].key == key)
                        return &set[i];
                if (set[i].seen_usec < oldest->seen_usec)
                        oldest = &set[i];
        }
        *oldest = (Bucket){ key, now_usec, limit->burst };
        return oldest;
}

unsigned rate_limit_take(RateLimit *limit, const struct sockaddr *address, uint64_t now_usec) {
        Bucket *bucket = find_bucket(limit, address_key(limit, address), now_usec);

        if (now_usec > bucket->seen_usec) { /* requests need not be asked about in their order */
                bucket->tokens += (double) (now_usec - bucket->seen_usec) / (double) USEC_PER_SEC *
                                  limit->rate;
                bucket->seen_usec = now_usec;
        }
        if (bucket->tokens > limit->burst)
                bucket->tokens = limit->burst;
        if (bucket->tokens >= 1) {
                bucket->tokens -= 1;
                return 0;
        }
        return 1 + (unsigned) ((1 - bucket->tokens) / limit->rate);
}

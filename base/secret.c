#include "secret.h"

#include <errno.h>
#include <sodium.h>
#include <sys/prctl.h>

int secret_new(Secret *ret, size_t size) {
        uint8_t *data = calloc(1, size + 1);

        if (!data)
                return -ENOMEM;
        *ret = (Secret){ data, size };
        return 0;
}

int secret_copy(Secret *ret, const void *data, size_t size) {
        int r;

        r = secret_new(ret, size);
        if (r < 0)
                return r;

        if (size > 0)
                memcpy(ret->data, data, size);
        return 0;
}

void secret_done(Secret *secret) {
        if (secret->data) {
                sodium_memzero(secret->data, secret->size + 1);
                free(secret->data);
        }
        *secret = SECRET_NULL;
}

void secret_free_string(char *text) {
        if (!text)
                return;
        sodium_memzero(text, strlen(text));
        free(text);
}

int secret_init(void) {
        if (sodium_init() < 0)
                return -EIO;
        (void) prctl(PR_SET_DUMPABLE, 0);
        return 0;
}

/* Opens what a tenant sealed alone, with what the relay client opens it with.
 *
 * usage: open-box RELAY_KEY < {"kid", "box", "tenant", "recipients", "class"}
 *
 * Prints {"not_after", "provisioning"}, or says on stderr what is wrong and ends with 1. */
#include <stdio.h>

#include "cleanup.h"
#include "envelope.h"
#include "json-quick.h"
#include "key-file.h"
#include "secret.h"

static int fail(const char *what, int number) {
        (void) fprintf(stderr, "%s: %d\n", what, number);
        return 1;
}

static int read_keys(const char *path, RelayPrivateKeys **ret) {
        _cleanup_(secret_done) Secret content = SECRET_NULL;
        char text[4096];
        FILE *f = fopen(path, "re");
        size_t n = f ? fread(text, 1, sizeof(text), f) : 0;
        int r;

        if (f)
                (void) fclose(f);
        r = secret_copy(&content, text, n);
        return r < 0 ? r : relay_private_keys_read(&content, ret);
}

int main(int argc, char **argv) {
        _cleanup_(relay_private_keys_freep) RelayPrivateKeys *keys = NULL;
        json_auto_t *frame = json_loadf(stdin, 0, NULL), *provisioning = NULL, *opened = NULL,
                    *kept = NULL;
        const char *kid = json_string_value(json_object_get(frame, "kid"));
        const char *box = json_string_value(json_object_get(frame, "box"));
        const RelayPrivateKey *key;
        EnvelopeBinding expected;
        _cleanup_(freep) char *text = NULL;
        int64_t not_after;
        int r;

        if (secret_init() < 0 || argc != 2 || !kid || !box)
                return 2;
        r = read_keys(argv[1], &keys);
        if (r < 0)
                return fail("the key file", r);
        key = relay_private_keys_find(keys, kid);
        if (!key)
                return fail("the key is not ours", 0);
        (void) json_object_del(frame, "kid");
        r = envelope_binding_read_foreign(frame, &expected);
        if (r != 0)
                return fail("what is expected", r);
        r = envelope_open_foreign(
                        box, key->public, key->secret, &expected, &not_after, &provisioning, &kept);
        if (r != 0)
                return fail("the box", r);

        opened = json_pack("{s:I, s:O}", "not_after", (json_int_t) not_after, "provisioning", kept);
        text = json_quick_text(opened);
        return !text || fputs(text, stdout) < 0;
}

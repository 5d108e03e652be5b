/* vestibulectl: what the sender adds to the second factor: another code, the number that the
 * recipient reads out, a no, and a fact that the recipient will be asked for. None of it is an
 * argument, which others could read. */
#include <errno.h>
#include <sodium.h>
#include <stdio.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>

#include "ctl.h"
#include "fact.h"

enum {
        LINE_MAX_SIZE = 512,
        BASE64_SIZE = sodium_base64_ENCODED_LEN(FACT_KEY_SIZE, sodium_base64_VARIANT_ORIGINAL),
};

/* One line, without its end. */
static int line_read(FILE *file, char ret[LINE_MAX_SIZE]) {
        if (!fgets(ret, LINE_MAX_SIZE, file))
                ret[0] = 0;
        ret[strcspn(ret, "\r\n")] = 0;
        return ret[0] ? 0 : EX_DATAERR;
}

int ctl_share_reissue(const CtlOptions *options, char **arguments) {
        _cleanup_(ctl_answer_done) CtlAnswer answer = { 0 };
        char path[128];
        int r;

        r = ctl_share_path(arguments[0], "/reissue", path);
        if (r == 0)
                r = ctl_ask_firmly(options, "POST", path, NULL, &answer);
        if (r != 0)
                return r;
        if (options->json) {
                ctl_print_json(answer.body, false);
                return 0;
        }
        ctl_share_print(answer.body);
        if (ctl_text(answer.body, "code"))
                ctl_print_code(ctl_text(answer.body, "code"));
        else
                (void) puts("\nThe recipient is asked to say READY, and gets a new code.");
        return 0;
}

int ctl_share_approve(const CtlOptions *options, char **arguments) {
        _cleanup_(ctl_answer_done) CtlAnswer answer = { 0 };
        char path[128], number[LINE_MAX_SIZE];
        json_auto_t *body = NULL;
        const char *state;
        int r;

        r = ctl_share_path(arguments[0], "/approve", path);
        if (r != 0)
                return r;
        if (isatty(STDIN_FILENO))
                (void) fputs("The number that the recipient reads out: ", stderr);
        if (line_read(stdin, number) != 0) {
                (void) fprintf(stderr,
                                "vestibulectl: share approve reads the number from standard "
                                "input\n");
                return EX_USAGE;
        }
        body = json_pack("{s:s}", "number", number);
        sodium_memzero(number, sizeof(number));
        if (!body)
                return EX_OSERR;
        r = ctl_ask_firmly(options, "POST", path, body, &answer);
        if (r != 0)
                return r;
        if (options->json)
                ctl_print_json(answer.body, false);
        else
                ctl_share_print(answer.body);
        state = ctl_text(answer.body, "state");
        if (!state || strcmp(state, "locked") != 0)
                return 0;
        (void) fprintf(stderr,
                        "vestibulectl: that was another number, and there is one try. The share "
                        "is locked; nothing was handed out.\n");
        return EX_NOPERM;
}

int ctl_share_deny(const CtlOptions *options, char **arguments) {
        char path[128];
        int r;

        r = ctl_share_path(arguments[0], "/deny", path);
        return r != 0 ? r : ctl_share_answer(options, "POST", path, NULL);
}

int ctl_fact_read(const char *path, json_t **ret) {
        uint8_t key[FACT_KEY_SIZE], verifier[FACT_VERIFIER_SIZE];
        char line[LINE_MAX_SIZE], normalised[FACT_SIZE], key_text[BASE64_SIZE],
                        verifier_text[BASE64_SIZE];
        FILE *file = fopen(path, "re");
        int r;

        if (!file) {
                (void) fprintf(stderr, "vestibulectl: cannot read %s: %m\n", path);
                return EX_NOINPUT;
        }
        (void) setvbuf(file, NULL, _IONBF, 0);
        r = line_read(file, line);
        (void) fclose(file);
        if (r == 0)
                r = fact_normalise(line, strlen(line), normalised);
        sodium_memzero(line, sizeof(line));
        if (r != 0) {
                (void) fprintf(stderr,
                                "vestibulectl: %s must hold the fact in its first line: letters "
                                "from A to Z and digits, at most %d\n",
                                path,
                                FACT_SIZE - 1);
                return EX_DATAERR;
        }
        randombytes_buf(key, sizeof(key));
        fact_verifier(key, normalised, verifier);
        sodium_memzero(normalised, sizeof(normalised));
        (void) sodium_bin2base64(key_text,
                        sizeof(key_text),
                        key,
                        sizeof(key),
                        sodium_base64_VARIANT_ORIGINAL);
        (void) sodium_bin2base64(verifier_text,
                        sizeof(verifier_text),
                        verifier,
                        sizeof(verifier),
                        sodium_base64_VARIANT_ORIGINAL);
        *ret = json_pack("{s:s, s:s}", "key", key_text, "verifier", verifier_text);
        return *ret ? 0 : EX_OSERR;
}

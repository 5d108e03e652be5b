#include "receive-print.h"

#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <unistd.h>

#include "json-quick.h"
#include "json-wipe.h"
#include "receive-words.h"
#include "time-text.h"

/* On a terminal, control characters that JSON lets stand in a string as they are (DEL, and U+0080
 * to U+009F) are written as escapes, which mean the same, and a carriage return, which can only be
 * white space, as a space; for anybody else no byte is changed. */
static void print_text(const char *text) {
        if (!isatty(STDOUT_FILENO)) {
                (void) puts(text);
                return;
        }
        for (const uint8_t *p = (const uint8_t *) text; *p; p++) {
                if (*p == '\r')
                        (void) putchar(' ');
                else if (*p == 0x7f)
                        (void) fputs("\\u007f", stdout);
                else if (*p == 0xc2 && p[1] >= 0x80 && p[1] <= 0x9f)
                        (void) printf("\\u00%02x", *++p);
                else
                        (void) putchar(*p);
        }
        (void) putchar('\n');
}

int receive_print(const json_t *object) {
        _cleanup_(json_wipe_freep) char *text = json_quick_text(object);

        if (!text)
                return receive_say_errno(-ENOMEM, "The message cannot be written");
        errno = 0;
        print_text(text);
        if (fflush(stdout) != 0 || ferror(stdout))
                return receive_say_errno(errno ? -errno : -EIO, "The message cannot be written");
        return 0;
}

int receive_print_with(
                json_t *provisioning, const RelayResult *result, char vertical, bool deleted) {
        const char verticals[] = { vertical, 0 };
        char expiration[TIME_TEXT_SIZE] = "";
        json_auto_t *object = NULL;

        if (result && result->expiration > 0)
                time_text(result->expiration, expiration);
        object = json_pack("{s:s?, s:s?, s:s?, s:s?, s:b, s:O}",
                        "title",
                        result ? result->title : NULL,
                        "description",
                        result ? result->description : NULL,
                        "vertical",
                        vertical ? verticals : NULL,
                        "expiration",
                        expiration[0] ? expiration : NULL,
                        "deleted",
                        (int) deleted,
                        "provisioning",
                        provisioning);
        return receive_print(object);
}

#include "receive-words.h"

#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

int receive_say(int status, const char *format, ...) {
        va_list ap;

        va_start(ap, format);
        (void) vfprintf(stderr, format, ap);
        va_end(ap);
        (void) fputc('\n', stderr);
        return status;
}

int receive_say_errno(int error, const char *what) {
        return receive_say(RECEIVE_TROUBLE, "%s: %s.", what, strerror(-error));
}

const char *receive_trouble_words(bool reachable) {
        return reachable ? "answers, but cannot be used now" : "cannot be reached";
}

void receive_blunt(char *text) {
        for (uint8_t *p = (uint8_t *) text; *p; p++) {
                if (*p == 0xc2 && p[1] >= 0x80 && p[1] <= 0x9f)
                        p[0] = p[1] = '?';
                if (*p < ' ' || *p == 0x7f)
                        *p = '?';
        }
}

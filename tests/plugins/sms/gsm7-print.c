/* Prints what each septet is, alone and after an escape, for gsm7-perl.pl: "1b65 20ac". */
#include <stdio.h>
#include <stdlib.h>
#include <unistr.h>

#include "cleanup.h"
#include "gsm7.h"

int main(void) {
        for (unsigned i = 0; i < 256; i++) {
                uint8_t septets[2] = { 0x1b, (uint8_t) (i & 0x7f) };
                size_t skip = i < 128;
                _cleanup_(freep) char *text = NULL;
                ucs4_t character;

                if (gsm7_decode(septets + skip, 2 - skip, GSM7_DEFAULT, GSM7_DEFAULT, &text) < 0 ||
                                u8_strmbtouc(&character, (const uint8_t *) text) <= 0)
                        return EXIT_FAILURE;
                printf("%s%02x %04x\n", skip ? "" : "1b", septets[1], (unsigned) character);
        }
        return EXIT_SUCCESS;
}

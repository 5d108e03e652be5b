#include "draft-r-link.h"

#include <errno.h>
#include <sodium.h>
#include <stdio.h>
#include <string.h>

#include "cleanup.h"
#include "secret.h"
#include "text.h"

static const char variable[] = "{tigress_location}", mark[] = "#R1.";
static const char symbols[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

enum {
        VARIANT = sodium_base64_VARIANT_URLSAFE_NO_PADDING,
        CODE_DIGITS = 4,
};

int draft_r_link_build(const char *template,
                DraftRSuite suite,
                const uint8_t *secret,
                size_t secret_size,
                char **ret) {
        char text[sodium_base64_ENCODED_LEN(DRAFT_R_SECRET_MAX, VARIANT)];
        const size_t size = strlen(template), variable_size = sizeof(variable) - 1;
        size_t link_size;
        char *link;

        if (secret_size > DRAFT_R_SECRET_MAX)
                return DRAFT_R_E_SECRET;
        if (size < variable_size || !streq(template + size - variable_size, variable))
                return DRAFT_R_E_TEMPLATE;
        (void) sodium_bin2base64(text, sizeof(text), secret, secret_size, VARIANT);
        /* In one piece: a buffer that grows leaves what it held behind. */
        link_size = size - variable_size + strlen(mark) + CODE_DIGITS + 1 + strlen(text) + 1;
        link = malloc(link_size);
        if (link)
                (void) snprintf(link,
                                link_size,
                                "%.*s%s%04x.%s",
                                (int) (size - variable_size),
                                template,
                                mark,
                                draft_r_suite_code(suite),
                                text);
        sodium_memzero(text, sizeof(text));
        if (!link)
                return -ENOMEM;
        *ret = link;
        return 0;
}

static bool has_mark(const char *text) {
        const char *fragment = strchr(text, '#');

        return fragment && strncmp(fragment, mark, sizeof(mark) - 1) == 0;
}

/* "1301." and R. Only the form that draft_r_link_build() writes: libsodium 1.0.18 takes octets
 * above 127 for symbols. */
static int parse_fragment(const char *text, DraftRLink *ret) {
        const char *digits = "0123456789abcdef", *end;
        uint8_t code[2];
        char hex[CODE_DIGITS + 1];
        int r;

        if (strspn(text, digits) != CODE_DIGITS || text[CODE_DIGITS] != '.')
                return DRAFT_R_E_LINK;
        memcpy(hex, text, CODE_DIGITS);
        hex[CODE_DIGITS] = 0;
        (void) text_from_hex(hex, code, sizeof(code));
        r = draft_r_suite_from_code((uint16_t) (code[0] << 8 | code[1]), &ret->suite);
        if (r != 0)
                return r;

        text += CODE_DIGITS + 1;
        if (text[strspn(text, symbols)] ||
                        sodium_base642bin(ret->secret,
                                        sizeof(ret->secret),
                                        text,
                                        strlen(text),
                                        NULL,
                                        &ret->secret_size,
                                        &end,
                                        VARIANT) != 0 ||
                        *end)
                return DRAFT_R_E_LINK;
        return ret->secret_size < DRAFT_R_SECRET_MIN ? DRAFT_R_E_SECRET : 0;
}

int draft_r_link_parse(const char *text, DraftRLink *ret) {
        const size_t size = strcspn(text, "#");
        int r;

        if (!has_mark(text) || strlen(text) > DRAFT_R_LINK_MAX)
                return DRAFT_R_E_LINK;
        if (size + sizeof(variable) > sizeof(ret->template))
                return DRAFT_R_E_TEMPLATE;
        memset(ret, 0, sizeof(*ret));
        memcpy(ret->template, text, size);
        memcpy(ret->template + size, variable, sizeof(variable));
        r = draft_r_template_check(ret->template);
        if (r == 0)
                r = parse_fragment(text + size + sizeof(mark) - 1, ret);
        if (r != 0)
                sodium_memzero(ret, sizeof(*ret));
        return r;
}

/* Canonical addresses. Each scheme has one reader that takes the text after the colon; all of them
 * refuse rather than repair, because two spellings of one address would make two recipients. */
#include "address.h"

#include <errno.h>
#include <idn2.h>
#include <sodium.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <unicase.h>
#include <unictype.h>
#include <uninorm.h>
#include <unistr.h>

#include "cleanup.h"
#include "text.h"

enum {
        PART_SIZE_MAX = 1023, /* bytes of a JID's local part or domain, RFC 7622 section 3.1 */
        MAIL_LOCAL_MAX = 64,
        MAIL_MAX = 254,
};

typedef int (*AddressReader)(const char *text, char *ret, size_t size, const char **ret_reason);

static int refuse(const char **ret_reason, const char *reason) {
        *ret_reason = reason;
        return ADDRESS_E_FORM;
}

static int hex_value(char c) {
        if (c >= '0' && c <= '9')
                return c - '0';
        if (c >= 'a' && c <= 'f')
                return c - 'a' + 10;
        if (c >= 'A' && c <= 'F')
                return c - 'A' + 10;
        return -1;
}

/* Undoes %XX. ret has room for as many bytes as text has, and a NUL. */
static int percent_decode(const char *text, char *ret, const char **ret_reason) {
        while (*text) {
                int high, low;

                if (*text != '%') {
                        *ret++ = *text++;
                        continue;
                }
                high = hex_value(text[1]);
                low = high < 0 ? -1 : hex_value(text[2]);
                if (low < 0 || (high == 0 && low == 0))
                        return refuse(ret_reason, "a % is not followed by two hexadecimal digits");
                *ret++ = (char) (high << 4 | low);
                text += 3;
        }
        *ret = 0;
        return 0;
}

/* What no address may hold, encoded or not: it shows as something else, or as nothing. */
static int check_symbols(const char *text, const char **ret_reason) {
        const uint8_t *p = (const uint8_t *) text;
        ucs4_t c;

        if (!text_is_utf8(text, strlen(text)))
                return refuse(ret_reason, "it is not UTF-8");

        while ((p = u8_next(&c, p))) {
                if (c <= 0x20 || c == 0x7f ||
                                uc_is_general_category_withtable(
                                                c, UC_CATEGORY_MASK_Cc | UC_CATEGORY_MASK_Z))
                        return refuse(ret_reason, "it holds a space or a control character");
                if (uc_is_property_default_ignorable_code_point(c) ||
                                uc_is_property_bidi_control(c) ||
                                uc_is_property_not_a_character(c) ||
                                uc_is_general_category_withtable(c, UC_CATEGORY_MASK_Cf))
                        return refuse(ret_reason, "it holds an invisible character");
        }
        return 0;
}

/* Letters, digits and hyphens in labels of 1 to 63 bytes. */
static bool is_host_name(const char *text) {
        size_t label = 0;

        if (strlen(text) > 253)
                return false;

        for (const char *p = text;; p++) {
                if (*p == '.' || *p == 0) {
                        if (label == 0 || label > 63 || p[-1] == '-')
                                return false;
                        if (*p == 0)
                                return true;
                        label = 0;
                } else if ((*p >= 'a' && *p <= 'z') || (*p >= '0' && *p <= '9') ||
                                (*p == '-' && label > 0))
                        label++;
                else
                        return false;
        }
}

/* True when the U-labels of a domain lead back to it. libidn2 lets A-labels pass whose U-labels it
 * would not take. */
static bool is_round_trip(const char *ascii) {
        char *unicode = NULL, *again = NULL;
        bool equal;

        equal = idn2_to_unicode_8z8z(ascii, &unicode, 0) == IDN2_OK &&
                idn2_to_ascii_8z(unicode, &again, IDN2_NFC_INPUT | IDN2_NONTRANSITIONAL) ==
                                IDN2_OK &&
                streq(ascii, again);
        idn2_free(unicode);
        idn2_free(again);
        return equal;
}

/* Writes a domain's lower-case A-labels; ret has room for 254 bytes. */
static int canonical_domain(const char *text, char ret[254], const char **ret_reason) {
        char *ascii = NULL;
        int r;

        if (strlen(text) > PART_SIZE_MAX)
                return refuse(ret_reason, "its domain is too long");
        /* Of such a name libidn2 would make the same: two hyphens may be those of an A-label. */
        if (is_host_name(text) && !strstr(text, "--")) {
                (void) snprintf(ret, 254, "%s", text);
                return 0;
        }

        /* Without IDN2_USE_STD3_ASCII_RULES, which drops an "@" or "/" and goes on where it should
         * fail; is_host_name() refuses what is left over. */
        r = idn2_to_ascii_8z(text, &ascii, IDN2_NFC_INPUT | IDN2_NONTRANSITIONAL);
        if (r == IDN2_MALLOC)
                return -ENOMEM;
        if (r != IDN2_OK)
                return refuse(ret_reason, "its domain is not a host name");

        if (!is_host_name(ascii) || !is_round_trip(ascii)) {
                idn2_free(ascii);
                return refuse(ret_reason, "its domain is not a host name");
        }
        (void) snprintf(ret, 254, "%s", ascii);
        idn2_free(ascii);
        return 0;
}

/* The code points that RFC 8264 section 9.6 (Exceptions) decides by name. */
static bool precis_excepted(ucs4_t c, bool *ret_allowed) {
        static const uint32_t allowed[] = { 0x00df, 0x03c2, 0x06fd, 0x06fe, 0x0f0b, 0x3007 };
        static const uint32_t refused[] = { 0x00b7, /* these five in context only */
                0x0375,
                0x05f3,
                0x05f4,
                0x30fb,
                0x0640,
                0x07fa,
                0x302e,
                0x302f,
                0x3031,
                0x3032,
                0x3033,
                0x3034,
                0x3035,
                0x303b };

        for (size_t i = 0; i < N_ELEMENTS(allowed); i++)
                if (c == allowed[i])
                        return *ret_allowed = true;
        for (size_t i = 0; i < N_ELEMENTS(refused); i++)
                if (c == refused[i]) {
                        *ret_allowed = false;
                        return true;
                }
        return false;
}

/* A code point that has a compatibility mapping is HasCompat, RFC 8264 section 9.17. */
static bool has_compatibility_mapping(ucs4_t c) {
        uint32_t mapped[UC_DECOMPOSITION_MAX_LENGTH];
        size_t n = N_ELEMENTS(mapped);

        if (u32_normalize(UNINORM_NFKC, &c, 1, mapped, &n) != mapped)
                return true; /* it grew beyond anything that maps to itself */
        return n != 1 || mapped[0] != c;
}

/* IdentifierClass, in the order of RFC 8264 section 8. */
static bool precis_identifier(ucs4_t c) {
        bool allowed;

        if (precis_excepted(c, &allowed))
                return allowed;
        if (c >= 0x21 && c <= 0x7e)
                return true;
        if ((c >= 0x1100 && c <= 0x11ff) || (c >= 0xa960 && c <= 0xa97f) ||
                        (c >= 0xd7b0 && c <= 0xd7ff)) /* conjoining Hangul jamo */
                return false;
        if (has_compatibility_mapping(c))
                return false;
        return uc_is_general_category_withtable(c,
                        UC_CATEGORY_MASK_Ll | UC_CATEGORY_MASK_Lu | UC_CATEGORY_MASK_Lo |
                                        UC_CATEGORY_MASK_Nd | UC_CATEGORY_MASK_Lm |
                                        UC_CATEGORY_MASK_Mn | UC_CATEGORY_MASK_Mc);
}

/* The bidi rule of RFC 5893 section 2, for a label that holds a right-to-left code point. */
static bool bidi_rule_holds(const uint32_t *text, size_t n) {
        bool right_to_left = false, european = false, arabic = false;
        int first = uc_bidi_category(text[0]), last = UC_BIDI_NSM;

        for (size_t i = 0; i < n; i++) {
                int category = uc_bidi_category(text[i]);

                right_to_left |= category == UC_BIDI_R || category == UC_BIDI_AL ||
                                 category == UC_BIDI_AN;
                european |= category == UC_BIDI_EN;
                arabic |= category == UC_BIDI_AN;
                if (category != UC_BIDI_NSM)
                        last = category;
        }
        if (!right_to_left)
                return true;
        if (first != UC_BIDI_R && first != UC_BIDI_AL)
                return false;
        for (size_t i = 0; i < n; i++)
                if (uc_bidi_category(text[i]) == UC_BIDI_L)
                        return false;
        return !(european && arabic) && (last == UC_BIDI_R || last == UC_BIDI_AL ||
                                                        last == UC_BIDI_EN || last == UC_BIDI_AN);
}

/* Width mapping and lower case, code point by code point. */
static void map_username(uint32_t *text, size_t n) {
        for (size_t i = 0; i < n; i++) {
                ucs4_t mapped[UC_DECOMPOSITION_MAX_LENGTH];
                int tag;

                if (uc_decomposition(text[i], &tag, mapped) == 1 &&
                                (tag == UC_DECOMP_WIDE || tag == UC_DECOMP_NARROW))
                        text[i] = mapped[0];
                text[i] = uc_tolower(text[i]);
        }
}

static bool is_mark(ucs4_t c) {
        return uc_is_general_category_withtable(c, UC_CATEGORY_MASK_M);
}

/* What the rules for user names have in common with those for mailboxes. */
static int check_letters(const uint32_t *text, size_t n, const char **ret_reason) {
        bool arabic_indic = false, extended = false;

        for (size_t i = 0; i < n; i++) {
                ucs4_t c = text[i];

                if (!precis_identifier(c))
                        return refuse(ret_reason,
                                        "its local part holds something other than letters, "
                                        "digits and ASCII symbols");
                arabic_indic |= c >= 0x0660 && c <= 0x0669;
                extended |= c >= 0x06f0 && c <= 0x06f9;
        }
        if (arabic_indic && extended)
                return refuse(ret_reason, "its local part mixes two kinds of Arabic digits");
        if (is_mark(text[0]))
                return refuse(ret_reason, "its local part begins with a combining mark");
        if (!bidi_rule_holds(text, n))
                return refuse(ret_reason, "its local part mixes writing directions");
        return 0;
}

static int check_username(const uint32_t *text, size_t n, const char **ret_reason) {
        for (size_t i = 0; i < n; i++)
                if (text[i] < 0x80 && strchr("\"&'/:<>@%?#", (int) text[i]))
                        return refuse(ret_reason,
                                        "its local part holds one of \" & ' / : < > @ % ? #");
        return check_letters(text, n, ret_reason);
}

/* UsernameCaseMapped. text is UTF-8 of at most PART_SIZE_MAX bytes, ret has room for one more. */
static int canonical_username(const char *text, size_t size, char *ret, const char **ret_reason) {
        uint32_t wide[PART_SIZE_MAX + 1];
        _cleanup_(freep) uint32_t *composed = NULL;
        _cleanup_(freep) uint8_t *again = NULL;
        size_t n = N_ELEMENTS(wide), n_composed = 0, length = 0;
        int r;

        if (size == 0)
                return refuse(ret_reason, "it names no account, only a domain");
        if (size > PART_SIZE_MAX)
                return refuse(ret_reason, "its local part is too long");
        if (!u8_to_u32((const uint8_t *) text, size, wide, &n))
                return refuse(ret_reason, "it is not UTF-8");

        map_username(wide, n);
        composed = u32_normalize(UNINORM_NFC, wide, n, NULL, &n_composed);
        if (!composed)
                return -ENOMEM;
        r = check_username(composed, n_composed, ret_reason);
        if (r != 0)
                return r;

        again = u32_to_u8(composed, n_composed, NULL, &length);
        if (!again)
                return -ENOMEM;
        if (length > PART_SIZE_MAX)
                return refuse(ret_reason, "its local part is too long");
        memcpy(ret, again, length);
        ret[length] = 0;
        return 0;
}

static int read_xmpp(const char *text, char *ret, size_t size, const char **ret_reason) {
        const char *at = strchr(text, '@');
        char local[PART_SIZE_MAX + 1], domain[254];
        int r;

        if (!at)
                return refuse(ret_reason, "it names no account, only a domain");
        if (strchr(text, '/'))
                return refuse(ret_reason, "it has a resource");

        r = canonical_username(text, (size_t) (at - text), local, ret_reason);
        if (r != 0)
                return r;
        r = canonical_domain(at + 1, domain, ret_reason);
        if (r != 0)
                return r;
        (void) snprintf(ret, size, "xmpp:%s@%s", local, domain);
        return 0;
}

static int read_sms(const char *text, char *ret, size_t size, const char **ret_reason) {
        size_t n;

        if (*text != '+')
                return refuse(ret_reason, "it does not begin with + and a country code");
        n = strspn(text + 1, "0123456789");
        if (text[1 + n] != 0)
                return refuse(ret_reason, "it holds something other than digits");
        if (n < 7 || n > 15 || text[1] == '0')
                return refuse(ret_reason, "it is not 7 to 15 digits of which the first is not 0");
        (void) snprintf(ret, size, "sms:%s", text);
        return 0;
}

/* Dot-atom of RFC 5321 section 4.1.2, less what mail servers route by (% ! / | ` & # ?) and a
 * leading hyphen, which programs take for an option. What is not ASCII has been judged before. */
static bool is_mail_local(const char *text, size_t size) {
        static const char symbols[] =
                        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
                        "$'*+-=^_{}~.";

        if (size == 0 || size > MAIL_LOCAL_MAX)
                return false;
        for (size_t i = 0; i < size; i++) {
                if ((uint8_t) text[i] < 0x80 && (text[i] == 0 || !strchr(symbols, text[i])))
                        return false;
                if (i > 0 && text[i] == '.' && text[i - 1] == '.')
                        return false;
        }
        return text[0] != '-' && text[0] != '.' && text[size - 1] != '.';
}

/* A mark over a symbol makes another symbol of it for whoever looks, and not for a mail server. */
static bool has_marked_symbol(const uint32_t *text, size_t n) {
        for (size_t i = 1; i < n; i++)
                if (is_mark(text[i]) && text[i - 1] < 0x80 && !uc_is_alnum(text[i - 1]))
                        return true;
        return false;
}

/* RFC 6531 section 3.3 allows whatever is UTF-8; RFC 6532 section 3.1 wants NFC. Both the text as
 * it came and its NFC have to be letters, so that nothing that only looks like one becomes one. */
static int compose_mail_local(const char *text,
                size_t size,
                uint8_t **ret,
                size_t *ret_size,
                const char **ret_reason) {
        uint32_t wide[PART_SIZE_MAX];
        _cleanup_(freep) uint32_t *composed = NULL;
        size_t n = N_ELEMENTS(wide), n_composed = 0;
        int r;

        if (size > PART_SIZE_MAX)
                return refuse(ret_reason, "its local part is too long");
        if (!u8_to_u32((const uint8_t *) text, size, wide, &n))
                return refuse(ret_reason, "it is not UTF-8");
        r = check_letters(wide, n, ret_reason);
        if (r != 0)
                return r;
        composed = u32_normalize(UNINORM_NFC, wide, n, NULL, &n_composed);
        if (!composed)
                return -ENOMEM;
        r = check_letters(composed, n_composed, ret_reason);
        if (r != 0)
                return r;
        if (has_marked_symbol(composed, n_composed))
                return refuse(ret_reason, "its local part has a combining mark on a symbol");
        *ret = u32_to_u8(composed, n_composed, NULL, ret_size);
        return *ret ? 0 : -ENOMEM;
}

static int canonical_mail_local(const char *text,
                size_t size,
                char ret[MAIL_LOCAL_MAX + 1],
                const char **ret_reason) {
        _cleanup_(freep) uint8_t *composed = NULL;
        const char *local = text;
        int r;

        if (!text_is_ascii(text, size)) {
                r = compose_mail_local(text, size, &composed, &size, ret_reason);
                if (r != 0)
                        return r;
                local = (const char *) composed;
        }
        if (!is_mail_local(local, size))
                return refuse(ret_reason, "its local part is not a plain name");
        memcpy(ret, local, size);
        ret[size] = 0;
        return 0;
}

static int read_mailto(const char *text, char *ret, size_t size, const char **ret_reason) {
        const char *at = strrchr(text, '@');
        char local[MAIL_LOCAL_MAX + 1], domain[254];
        int r;

        if (!at)
                return refuse(ret_reason, "it has no @");
        if (strchr(text, ','))
                return refuse(ret_reason, "it is a list");
        r = canonical_mail_local(text, (size_t) (at - text), local, ret_reason);
        if (r != 0)
                return r;
        r = canonical_domain(at + 1, domain, ret_reason);
        if (r != 0)
                return r;
        if (strlen(local) + 1 + strlen(domain) > MAIL_MAX)
                return refuse(ret_reason, "it is too long");
        (void) snprintf(ret, size, "mailto:%s@%s", local, domain);
        return 0;
}

static int read_echo(const char *text, char *ret, size_t size, const char **ret_reason) {
        size_t n = strspn(text, "abcdefghijklmnopqrstuvwxyz0123456789._-");

        if (n < 1 || n > 64 || text[n] != 0)
                return refuse(ret_reason, "it is not 1 to 64 of a-z, 0-9, . _ and -");
        (void) snprintf(ret, size, "echo:%s", text);
        return 0;
}

static const struct {
        const char *name; /* with the colon */
        AddressReader read;
        bool encoded; /* %XX may stand for a byte */
} schemes[] = {
        { "xmpp:", read_xmpp, true },
        { "sms:", read_sms, false },
        { "mailto:", read_mailto, true },
        { "echo:", read_echo, false },
};

static int read_uri(const char *uri, char ret[ADDRESS_SIZE_MAX], const char **ret_reason) {
        char text[ADDRESS_SIZE_MAX];
        size_t i = 0;
        int r;

        while (i < N_ELEMENTS(schemes) &&
                        strncasecmp(uri, schemes[i].name, strlen(schemes[i].name)) != 0)
                i++;
        if (i == N_ELEMENTS(schemes)) {
                *ret_reason = "it is not an xmpp:, sms:, mailto: or echo: address";
                return ADDRESS_E_SCHEME;
        }
        uri += strlen(schemes[i].name);

        if (strlen(uri) >= sizeof(text))
                return refuse(ret_reason, "it is too long");
        if (strncmp(uri, "//", 2) == 0)
                return refuse(ret_reason, "it has an authority");
        if (strchr(uri, '?'))
                return refuse(ret_reason, "it has a query");
        if (strchr(uri, '#'))
                return refuse(ret_reason, "it has a fragment");

        if (schemes[i].encoded) {
                r = percent_decode(uri, text, ret_reason);
                if (r != 0)
                        return r;
        } else
                memcpy(text, uri, strlen(uri) + 1);

        r = check_symbols(text, ret_reason);
        if (r != 0)
                return r;
        return schemes[i].read(text, ret, ADDRESS_SIZE_MAX, ret_reason);
}

int address_canonical(const char *uri, char ret[ADDRESS_SIZE_MAX], const char **ret_reason) {
        int r;

        *ret_reason = NULL;
        r = read_uri(uri, ret, ret_reason);
        if (r != 0)
                ret[0] = 0;
        return r;
}

bool address_is_canonical(const char *uri) {
        char canonical[ADDRESS_SIZE_MAX];
        const char *reason;

        return address_canonical(uri, canonical, &reason) == 0 && streq(uri, canonical);
}

int address_from_jid(const char *jid, char ret[ADDRESS_SIZE_MAX], const char **ret_reason) {
        size_t size = strcspn(jid, "/");
        char bare[ADDRESS_SIZE_MAX];
        int r;

        *ret_reason = NULL;
        ret[0] = 0;
        if (size >= sizeof(bare))
                return refuse(ret_reason, "it is too long");
        memcpy(bare, jid, size);
        bare[size] = 0;

        r = check_symbols(bare, ret_reason);
        if (r == 0)
                r = read_xmpp(bare, ret, ADDRESS_SIZE_MAX, ret_reason);
        if (r != 0)
                ret[0] = 0;
        return r;
}

int address_jid(const char *uri, char ret[ADDRESS_SIZE_MAX]) {
        const char *at = strchr(uri, '@');
        char *domain = NULL;
        int r;

        ret[0] = 0;
        if (strncmp(uri, "xmpp:", 5) != 0 || !at)
                return -EINVAL;

        r = idn2_to_unicode_8z8z(at + 1, &domain, 0);
        if (r == IDN2_MALLOC)
                return -ENOMEM;
        if (r != IDN2_OK)
                return -EINVAL;
        r = snprintf(ret, ADDRESS_SIZE_MAX, "%.*s@%s", (int) (at - uri - 5), uri + 5, domain);
        idn2_free(domain);
        if (r >= ADDRESS_SIZE_MAX) {
                ret[0] = 0;
                return -EINVAL;
        }
        return 0;
}

void address_scheme(const char *uri, char ret[16]) {
        ret[0] = 0;
        for (size_t i = 0; i < N_ELEMENTS(schemes); i++) {
                size_t n = strlen(schemes[i].name);

                if (strncmp(uri, schemes[i].name, n) == 0)
                        (void) snprintf(ret, 16, "%.*s", (int) n - 1, uri);
        }
}

void address_masked(const char *uri, char ret[ADDRESS_SIZE_MAX]) {
        const char *text = strchr(uri, ':'), *at = strrchr(uri, '@');
        size_t first = 1, length;

        text = text ? text + 1 : uri;
        length = strlen(text);
        if (at && at < text)
                at = NULL;

        if (strncmp(uri, "sms:", 4) == 0 && length > 5) {
                (void) snprintf(ret, ADDRESS_SIZE_MAX, "sms:%.3s***%s", text, text + length - 2);
                return;
        }
        while (((uint8_t) text[first - 1]) != 0 && (((uint8_t) text[first]) & 0xc0) == 0x80)
                first++; /* the rest of the first symbol */
        (void) snprintf(ret,
                        ADDRESS_SIZE_MAX,
                        "%.*s%.*s***%s",
                        (int) (text - uri),
                        uri,
                        (int) (first < length ? first : length),
                        text,
                        at ? at : "");
}

/* Lower case may take more bytes than it had; what does not fit stays as it is. */
static size_t fold_local(const uint8_t *text, size_t size, uint8_t *ret, size_t room) {
        size_t used = 0;

        while (size > 0) {
                ucs4_t c;
                int n = u8_mbtouc(&c, text, size), written;

                written = u8_uctomb(ret + used, uc_tolower(c), (ptrdiff_t) (room - used));
                if (n <= 0 || written <= 0)
                        return 0;
                used += (size_t) written;
                text += n;
                size -= (size_t) n;
        }
        return used;
}

void address_fold(const char *uri, char ret[ADDRESS_SIZE_MAX]) {
        static const char scheme[] = "mailto:";
        const char *local = uri + sizeof(scheme) - 1, *at = strrchr(uri, '@'), *plus;
        size_t used = 0, start = sizeof(scheme) - 1;

        if (strncmp(uri, scheme, start) == 0 && at && at > local) {
                plus = memchr(local + 1, '+', (size_t) (at - local) - 1);
                used = fold_local((const uint8_t *) local,
                                (size_t) ((plus ? plus : at) - local),
                                (uint8_t *) ret + start,
                                4 * MAIL_LOCAL_MAX);
        }
        if (used == 0) {
                (void) snprintf(ret, ADDRESS_SIZE_MAX, "%s", uri);
                return;
        }
        memcpy(ret, scheme, start);
        (void) snprintf(ret + start + used, ADDRESS_SIZE_MAX - start - used, "%s", at);
}

void address_list_hash(const char *const *uris, size_t n, uint8_t ret[32]) {
        crypto_generichash_state state;

        (void) crypto_generichash_init(&state, NULL, 0, 32);
        for (size_t i = 0; i < n; i++) {
                (void) crypto_generichash_update(
                                &state, (const uint8_t *) uris[i], strlen(uris[i]));
                (void) crypto_generichash_update(&state, (const uint8_t *) "\n", 1);
        }
        (void) crypto_generichash_final(&state, ret, 32);
}

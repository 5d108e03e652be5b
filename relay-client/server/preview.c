#include "preview.h"

#include <errno.h>
#include <jansson.h>
#include <sodium.h>
#include <stdbool.h>
#include <stdio.h>
#include <strings.h>

#include "cleanup.h"

/* clang-format off */
static const char style[] =
        "body{margin:0;min-height:100vh;display:grid;place-items:center;"
        "font:17px/1.5 system-ui,sans-serif;background:#f3f1ec;color:#22252a}"
        "main{box-sizing:border-box;width:min(24rem,92vw);margin:1rem 0;background:#fff;"
        "border-radius:1rem;overflow:hidden;box-shadow:0 .3rem 1.2rem #0002}"
        "img{display:block;width:100%;max-height:12rem;object-fit:cover}"
        "header{padding:1.2rem 1.3rem 0;color:#5b6068}"
        "h1{font-size:1.5rem;line-height:1.25;margin:.1rem 1.3rem .4rem;overflow-wrap:anywhere}"
        "p{margin:.4rem 1.3rem 1.1rem;overflow-wrap:anywhere}"
        "section{padding:.2rem 0;background:#faf8f4;border-top:1px solid #e6e2d8}"
        "section p{margin:.9rem 1.3rem}"
        "strong{display:block;font-size:1.1rem;line-height:1.35}"
        "@media(prefers-color-scheme:dark){body{background:#16181b;color:#e8e8e6}"
        "main{background:#23262a}header{color:#a4a9b0}"
        "section{background:#1d2023;border-color:#33373c}}";

/* For a guest who has never heard of a wallet, a relay or a credential. */
static const struct {
        const char *tag, *header, *what_to_do;
} texts[] = {
        [PREVIEW_ENGLISH] = {
                "en",
                "A key was shared with you",
                "<section>\n"
                "<p><strong>Open this link on the phone that shall hold the key.</strong></p>\n"
                "<p>Is this that phone? Then no app on it has opened the link. Please ask the one "
                "who sent it to you which app you need.</p>\n"
                "<p>The link works for one person only. Please do not pass it on.</p>\n"
                "</section>\n",
        },
        [PREVIEW_GERMAN] = {
                "de",
                "Jemand teilt einen Schlüssel mit Ihnen",
                "<section>\n"
                "<p><strong>Öffnen Sie diesen Link auf dem Telefon, das den Schlüssel "
                "aufnehmen soll.</strong></p>\n"
                "<p>Ist es dieses? Dann hat keine App darauf den Link geöffnet. Bitte fragen Sie, "
                "wer ihn Ihnen geschickt hat, welche App Sie brauchen.</p>\n"
                "<p>Der Link gilt nur für eine Person. Bitte geben Sie ihn nicht weiter.</p>\n"
                "</section>\n",
        },
};
/* clang-format on */

/* ";q=0.8" and what may stand around it: 0 to 1000, or -1 for what is none. */
static int read_weight(const char *text, size_t size) {
        const char *end = text + size;
        int weight, unit = 100;

        while (text < end && (*text == ' ' || *text == '\t'))
                text++;
        if (text == end)
                return 1000;
        if (*text++ != ';')
                return -1;
        while (text < end && (*text == ' ' || *text == '\t'))
                text++;
        if (end - text < 3 || (text[0] | 32) != 'q' || text[1] != '=' ||
                        (text[2] != '0' && text[2] != '1'))
                return -1;
        weight = text[2] == '1' ? 1000 : 0;
        text += 3;
        if (text < end && *text == '.')
                for (text++; text < end && *text >= '0' && *text <= '9' && unit > 0; unit /= 10)
                        weight += (*text++ - '0') * unit;
        while (text < end && (*text == ' ' || *text == '\t'))
                text++;
        return text == end && weight <= 1000 ? weight : -1;
}

/* "de", "DE-at"; "*" is everybody's, and so ours. */
static bool find_language(const char *range, size_t size, PreviewLanguage *ret) {
        size_t n = 0;

        while (n < size && range[n] != '-')
                n++;
        *ret = PREVIEW_ENGLISH;
        if (size == 1 && range[0] == '*')
                return true;
        for (size_t i = 0; i < N_ELEMENTS(texts); i++)
                if (n == 2 && strncasecmp(range, texts[i].tag, 2) == 0) {
                        *ret = (PreviewLanguage) i;
                        return true;
                }
        return false;
}

PreviewLanguage preview_language(const char *accept_language) {
        PreviewLanguage best = PREVIEW_ENGLISH, language;
        int most = 0;

        for (const char *p = accept_language; p && *p;) {
                size_t size, name;
                int weight;

                p += strspn(p, " \t,");
                size = strcspn(p, ",");
                name = strcspn(p, " \t;,");
                weight = read_weight(p + name, size - name);
                if (weight > most && find_language(p, name, &language)) {
                        most = weight;
                        best = language;
                }
                p += size;
        }
        return best;
}

const char *preview_security_policy(void) {
        static char policy[192];
        uint8_t hash[crypto_hash_sha256_BYTES];
        char text[64];

        if (!policy[0]) {
                (void) crypto_hash_sha256(hash, (const uint8_t *) style, sizeof(style) - 1);
                (void) sodium_bin2base64(text,
                                sizeof(text),
                                hash,
                                sizeof(hash),
                                sodium_base64_VARIANT_ORIGINAL);
                (void) snprintf(policy,
                                sizeof(policy),
                                "default-src 'none'; img-src https:; style-src 'sha256-%s'; "
                                "base-uri 'none';"
                                " form-action 'none'; frame-ancestors 'none'",
                                text);
        }
        return policy;
}

static void write_escaped(FILE *f, const char *text) {
        for (const char *p = text; *p; p++)
                switch (*p) {
                case '&':
                        (void) fputs("&amp;", f);
                        break;
                case '<':
                        (void) fputs("&lt;", f);
                        break;
                case '>':
                        (void) fputs("&gt;", f);
                        break;
                case '"':
                        (void) fputs("&quot;", f);
                        break;
                case '\'':
                        (void) fputs("&#39;", f);
                        break;
                default:
                        (void) fputc(*p, f);
                }
}

static void write_meta(FILE *f, const char *property, const char *content) {
        (void) fprintf(f, "<meta property=\"%s\" content=\"", property);
        write_escaped(f, content);
        (void) fputs("\">\n", f);
}

static void write_page(FILE *f,
                PreviewLanguage language,
                const char *title,
                const char *description,
                const char *image_url) {
        bool has_image = strncmp(image_url, "https://", 8) == 0;

        (void) fprintf(f,
                        "<!DOCTYPE html>\n<html lang=\"%s\" prefix=\"og: "
                        "https://ogp.me/ns#\">\n<head>\n"
                        "<meta charset=\"utf-8\">\n"
                        "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n"
                        "<meta name=\"robots\" content=\"noindex\">\n"
                        "<title>",
                        texts[language].tag);
        write_escaped(f, title);
        (void) fputs("</title>\n", f);
        write_meta(f, "og:title", title);
        write_meta(f, "og:description", description);
        write_meta(f, "og:type", "website");
        if (has_image)
                write_meta(f, "og:image", image_url);
        (void) fprintf(f, "<style>%s</style>\n</head>\n<body>\n<main>\n", style);
        if (has_image) {
                (void) fputs("<img alt=\"\" src=\"", f);
                write_escaped(f, image_url);
                (void) fputs("\">\n", f);
        }
        (void) fprintf(f, "<header>%s</header>\n<h1>", texts[language].header);
        write_escaped(f, title);
        (void) fputs("</h1>\n<p>", f);
        write_escaped(f, description);
        (void) fprintf(f, "</p>\n%s</main>\n</body>\n</html>\n", texts[language].what_to_do);
}

int preview_render(const char *display,
                size_t size,
                PreviewLanguage language,
                char **ret,
                size_t *ret_size) {
        json_auto_t *object = json_loadb(display, size, 0, NULL);
        const char *title, *description, *image_url;
        char *page = NULL;
        size_t page_size = 0;
        bool failed;
        FILE *f;

        if (json_unpack(object,
                            "{s:s,s:s,s:s}",
                            "title",
                            &title,
                            "description",
                            &description,
                            "imageURL",
                            &image_url) < 0)
                return -EIO;

        f = open_memstream(&page, &page_size);
        if (!f)
                return -ENOMEM;
        write_page(f, language, title, description, image_url);
        failed = ferror(f) != 0;
        if (fclose(f) != 0 || failed) {
                free(page);
                return -ENOMEM;
        }
        *ret = page;
        *ret_size = page_size;
        return 0;
}

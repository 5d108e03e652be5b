#include "preview.h"

#include <errno.h>
#include <jansson.h>
#include <sodium.h>
#include <stdbool.h>
#include <stdio.h>

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
static const char what_to_do[] =
        "<section>\n"
        "<p><strong>Open this link on the phone that shall hold the key.</strong></p>\n"
        "<p>Is this that phone? Then no app on it has opened the link. Please ask the one who "
        "sent it to you which app you need.</p>\n"
        "<p>The link works for one person only. Please do not pass it on.</p>\n"
        "</section>\n";
/* clang-format on */

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

static void write_page(FILE *f, const char *title, const char *description, const char *image_url) {
        bool has_image = strncmp(image_url, "https://", 8) == 0;

        (void) fputs("<!DOCTYPE html>\n<html lang=\"en\" prefix=\"og: "
                     "https://ogp.me/ns#\">\n<head>\n"
                     "<meta charset=\"utf-8\">\n"
                     "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n"
                     "<meta name=\"robots\" content=\"noindex\">\n"
                     "<title>",
                        f);
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
        (void) fputs("<header>A key was shared with you</header>\n<h1>", f);
        write_escaped(f, title);
        (void) fputs("</h1>\n<p>", f);
        write_escaped(f, description);
        (void) fprintf(f, "</p>\n%s</main>\n</body>\n</html>\n", what_to_do);
}

int preview_render(const char *display, size_t size, char **ret, size_t *ret_size) {
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
        write_page(f, title, description, image_url);
        failed = ferror(f) != 0;
        if (fclose(f) != 0 || failed) {
                free(page);
                return -ENOMEM;
        }
        *ret = page;
        *ret_size = page_size;
        return 0;
}

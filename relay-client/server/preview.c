#include "preview.h"

#include <errno.h>
#include <jansson.h>
#include <sodium.h>
#include <stdbool.h>
#include <stdio.h>

#include "cleanup.h"

static const char style[] =
                "body{margin:0;min-height:100vh;display:grid;place-items:center;"
                "font:17px/1.5 system-ui,sans-serif;background:#f3f1ec;color:#22252a}"
                "main{width:min(22rem,86vw);background:#fff;border-radius:1.2rem;overflow:hidden;"
                "box-shadow:0 .6rem 2rem #0002;text-align:center}"
                "img{display:block;width:100%;max-height:14rem;object-fit:cover}"
                "h1{font-size:1.4rem;margin:1.4rem 1.2rem .3rem;overflow-wrap:anywhere}"
                "p{margin:.3rem 1.2rem 1.1rem;overflow-wrap:anywhere}"
                "small{display:block;padding:1rem 1.2rem;background:#faf8f4;color:#5b6068}"
                "@media(prefers-color-scheme:dark){body{background:#16181b;color:#e8e8e6}"
                "main{background:#23262a}small{background:#1d2023;color:#a4a9b0}}";

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

        (void) fputs("<!DOCTYPE html>\n<html prefix=\"og: https://ogp.me/ns#\">\n<head>\n"
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
        (void) fputs("<h1>", f);
        write_escaped(f, title);
        (void) fputs("</h1>\n<p>", f);
        write_escaped(f, description);
        (void) fputs("</p>\n<small>Open this link with the wallet on your phone. It works for one "
                     "person:"
                     " please do not pass it on.</small>\n</main>\n</body>\n</html>\n",
                        f);
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

/* The page that a messaging program fetches to show a link, and that a person sees who opens the
 * link in a browser. It has no script: a script could read the Secret in the address's fragment. */
#pragma once

#include <stddef.h>

typedef enum PreviewLanguage {
        PREVIEW_ENGLISH,
        PREVIEW_GERMAN,
} PreviewLanguage;

/* The language that Accept-Language (RFC 9110, section 12.5.4) likes best of those that the page
 * has; of two that are liked as well the first. English where none is named, where the value cannot
 * be read, and for NULL. */
PreviewLanguage preview_language(const char *accept_language);

/* Renders displayInformation (JSON text as stored) as HTML with OpenGraph tags, everything foreign
 * escaped, which stays in the sender's language. The image is left out unless its URL begins with
 * https://. -ENOMEM, -EIO: not our JSON.
 */
int preview_render(const char *display,
                size_t size,
                PreviewLanguage language,
                char **ret,
                size_t *ret_size);

/* The value of Content-Security-Policy for the page: nothing but images over https and our own
 * style, by its hash. Static memory. */
const char *preview_security_policy(void);

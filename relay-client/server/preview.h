/* The page that a messaging program fetches to show a link, and that a person sees who opens the
 * link in a browser. It has no script: a script could read the Secret in the address's fragment. */
#pragma once

#include <stddef.h>

/* Renders displayInformation (JSON text as stored) as HTML with OpenGraph tags, everything foreign
 * escaped. The image is left out unless its URL begins with https://. -ENOMEM, -EIO: not our JSON.
 */
int preview_render(const char *display, size_t size, char **ret, size_t *ret_size);

/* The value of Content-Security-Policy for the page: nothing but images over https and our own
 * style, by its hash. Static memory. */
const char *preview_security_policy(void);

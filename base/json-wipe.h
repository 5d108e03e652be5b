/* Lets jansson wipe what it frees. For programs whose JSON carries plaintext or links: jansson has
 * no way to wipe one value, so every block that it gives back is overwritten. */
#pragma once

/* Call once, before the first JSON value exists. Strings that jansson returned to be freed
 * (json_dumps) must then be freed with json_wipe_free(), not free(). */
void json_wipe_install(void);

void json_wipe_free(void *block);

/* For _cleanup_() of a `char *` that json_dumps() returned. */
static inline void json_wipe_freep(char **block) {
        json_wipe_free(*block);
}

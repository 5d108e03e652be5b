/* Secrets by name from $CREDENTIALS_DIRECTORY (systemd.exec(5), LoadCredential=). Never from an
 * argument, an environment variable or the configuration. */
#pragma once

#include "secret.h"

enum { CREDENTIAL_SIZE_MAX = 65536 };

/* Reads the credential whole. -ENXIO: no directory is set. -ENOENT: no such credential. -EPERM:
 * others can read or write it. -E2BIG: larger than CREDENTIAL_SIZE_MAX. -EINVAL: a bad name.
 * The caller calls secret_done(). */
int credential_read(const char *name, Secret *ret);

/* The same, as one line of text: a final newline is cut off. -EBADMSG: a NUL or another newline.
 * -ENODATA: nothing is left; a file that was never filled must not become a key that all know. */
int credential_read_line(const char *name, Secret *ret);

/* The same, where the other side takes an empty one. */
int credential_read_line_or_empty(const char *name, Secret *ret);

/* The directory, or NULL. */
const char *credential_directory(void);

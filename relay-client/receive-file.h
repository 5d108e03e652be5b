/* A small file of our own that one process at a time keeps: locked while it is open, and written so
 * that after a crash or loss of power either the old or the new content is there, whole. */
#pragma once

#include <stdbool.h>

#include "secret.h"

typedef enum ReceiveFileError {
        RECEIVE_FILE_E_BUSY = 1, /* another process has it open */
        RECEIVE_FILE_E_OPEN = 2, /* other users can read or write it, or it is not ours */
        RECEIVE_FILE_E_KIND = 3, /* no regular file, or too large */
} ReceiveFileError;

typedef struct ReceiveFile {
        const char *path; /* borrowed */
        int fd;           /* the locked inode that the path names */
} ReceiveFile;

#define RECEIVE_FILE_NULL ((ReceiveFile){ NULL, -1 })

/* Opens and locks the file, and with create makes an empty one where there is none, mode 0600.
 * *ret_content is its content, of at most max bytes. Positive ReceiveFileError; -ENOENT. */
int receive_file_open(
                const char *path, bool create, size_t max, ReceiveFile *ret, Secret *ret_content);

/* Replaces the content; durable when it returns. On failure the old content stays. */
int receive_file_store(ReceiveFile *file, const char *text);

/* Deletes the file. */
int receive_file_remove(ReceiveFile *file);

void receive_file_close(ReceiveFile *file);

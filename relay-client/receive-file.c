#include "receive-file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/stat.h>

#include "cleanup.h"

/* Whoever had the lock before may have put another inode in the place of the one that we waited
 * for. */
static bool is_named_by(int fd, const char *path) {
        struct stat ours, named;

        return fstat(fd, &ours) == 0 && lstat(path, &named) == 0 && ours.st_dev == named.st_dev &&
               ours.st_ino == named.st_ino;
}

static int open_locked(const char *path, bool create, int *ret) {
        for (;;) {
                _cleanup_(closep) int fd = open(path,
                                O_RDWR | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC |
                                                (create ? O_CREAT : 0),
                                0600);

                if (fd < 0)
                        return errno == EISDIR || errno == ELOOP ? RECEIVE_FILE_E_KIND : -errno;
                if (flock(fd, LOCK_EX | LOCK_NB) < 0)
                        return errno == EWOULDBLOCK ? RECEIVE_FILE_E_BUSY : -errno;
                if (is_named_by(fd, path)) {
                        *ret = TAKE_FD(fd);
                        return 0;
                }
        }
}

static int check(int fd, size_t max, size_t *ret_size) {
        struct stat st;

        if (fstat(fd, &st) < 0)
                return -errno;
        if (!S_ISREG(st.st_mode) || (uintmax_t) st.st_size > max)
                return RECEIVE_FILE_E_KIND;
        if (st.st_uid != geteuid() || (st.st_mode & 077))
                return RECEIVE_FILE_E_OPEN;
        *ret_size = (size_t) st.st_size;
        return 0;
}

static int read_whole(int fd, size_t size, Secret *ret) {
        _cleanup_(secret_done) Secret content = SECRET_NULL;
        size_t done = 0;
        int r;

        r = secret_new(&content, size);
        if (r < 0)
                return r;
        while (done < size) {
                ssize_t n = pread(fd, content.data + done, size - done, (off_t) done);

                if (n < 0 && errno != EINTR)
                        return -errno;
                if (n == 0)
                        return -EIO;
                if (n > 0)
                        done += (size_t) n;
        }
        *ret = content;
        content = SECRET_NULL;
        return 0;
}

int receive_file_open(
                const char *path, bool create, size_t max, ReceiveFile *ret, Secret *ret_content) {
        _cleanup_(closep) int fd = -1;
        size_t size;
        int r;

        r = open_locked(path, create, &fd);
        if (r == 0)
                r = check(fd, max, &size);
        if (r == 0)
                r = read_whole(fd, size, ret_content);
        if (r == 0)
                *ret = (ReceiveFile){ path, TAKE_FD(fd) };
        return r;
}

static int write_whole(int fd, const char *text) {
        size_t left = strlen(text);

        while (left > 0) {
                ssize_t n = write(fd, text, left);

                if (n < 0 && errno != EINTR)
                        return -errno;
                if (n > 0) {
                        text += n;
                        left -= (size_t) n;
                }
        }
        return fsync(fd) < 0 ? -errno : 0;
}

/* A name that was changed is durable once its folder is. */
static int sync_folder(const char *path) {
        _cleanup_(freep) char *folder = strdup(path);
        _cleanup_(closep) int fd = -1;
        char *slash;

        if (!folder)
                return -ENOMEM;
        slash = strrchr(folder, '/');
        if (slash)
                slash[slash == folder ? 1 : 0] = 0;
        fd = open(slash ? folder : ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        return fd < 0 || fsync(fd) < 0 ? -errno : 0;
}

/* The new inode is locked before it gets the name, so that the name is never without a lock. */
static int replace(ReceiveFile *file, const char *new_path, const char *text) {
        _cleanup_(closep) int fd =
                        open(new_path, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
        int r;

        if (fd < 0 || flock(fd, LOCK_EX | LOCK_NB) < 0)
                return -errno;
        r = write_whole(fd, text);
        if (r < 0)
                return r;
        if (rename(new_path, file->path) < 0)
                return -errno;
        (void) close_fd(file->fd);
        file->fd = TAKE_FD(fd);
        return sync_folder(file->path);
}

int receive_file_store(ReceiveFile *file, const char *text) {
        _cleanup_(freep) char *new_path = NULL;
        int r;

        if (asprintf(&new_path, "%s.new", file->path) < 0) {
                new_path = NULL;
                return -ENOMEM;
        }
        /* Of a run that was killed; the lock says that nobody writes it now. */
        if (unlink(new_path) < 0 && errno != ENOENT)
                return -errno;
        r = replace(file, new_path, text);
        if (r < 0)
                (void) unlink(new_path);
        return r;
}

int receive_file_remove(ReceiveFile *file) {
        int r = unlink(file->path) < 0 ? -errno : sync_folder(file->path);

        receive_file_close(file);
        return r;
}

void receive_file_close(ReceiveFile *file) {
        file->fd = close_fd(file->fd);
}

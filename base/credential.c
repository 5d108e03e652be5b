#include "credential.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>

const char *credential_directory(void) {
        const char *directory = getenv("CREDENTIALS_DIRECTORY");

        return directory && directory[0] == '/' ? directory : NULL;
}

static int read_all(int fd, Secret *secret) {
        size_t done = 0;

        while (done < secret->size) {
                ssize_t n = read(fd, secret->data + done, secret->size - done);

                if (n < 0 && errno == EINTR)
                        continue;
                if (n < 0)
                        return -errno;
                if (n == 0)
                        return -EIO;
                done += (size_t) n;
        }
        return 0;
}

int credential_read(const char *name, Secret *ret) {
        _cleanup_(closep) int fd = -1;
        _cleanup_(secret_done) Secret secret = SECRET_NULL;
        const char *directory = credential_directory();
        char path[4096];
        struct stat st;
        int r;

        if (!name[0] || strchr(name, '/') || name[0] == '.')
                return -EINVAL;
        if (!directory)
                return -ENXIO;
        if ((size_t) snprintf(path, sizeof(path), "%s/%s", directory, name) >= sizeof(path))
                return -ENAMETOOLONG;

        fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
        if (fd < 0)
                return -errno;
        if (fstat(fd, &st) < 0)
                return -errno;
        if (!S_ISREG(st.st_mode))
                return -EINVAL;
        if (st.st_mode & 0037) /* group read is what an ACL entry of systemd looks like */
                return -EPERM;
        if (st.st_size > CREDENTIAL_SIZE_MAX)
                return -E2BIG;

        r = secret_new(&secret, (size_t) st.st_size);
        if (r < 0)
                return r;
        r = read_all(fd, &secret);
        if (r < 0)
                return r;

        *ret = secret;
        secret = SECRET_NULL;
        return 0;
}

int credential_read_line_or_empty(const char *name, Secret *ret) {
        _cleanup_(secret_done) Secret secret = SECRET_NULL;
        int r;

        r = credential_read(name, &secret);
        if (r < 0)
                return r;
        if (secret.size > 0 && secret.data[secret.size - 1] == '\n')
                secret.data[--secret.size] = 0;
        if (memchr(secret.data, 0, secret.size) || memchr(secret.data, '\n', secret.size))
                return -EBADMSG;

        *ret = secret;
        secret = SECRET_NULL;
        return 0;
}

int credential_read_line(const char *name, Secret *ret) {
        _cleanup_(secret_done) Secret secret = SECRET_NULL;
        int r;

        r = credential_read_line_or_empty(name, &secret);
        if (r < 0)
                return r;
        if (secret.size == 0)
                return -ENODATA;

        *ret = secret;
        secret = SECRET_NULL;
        return 0;
}

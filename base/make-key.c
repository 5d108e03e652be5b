#include "make-key.h"

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <sodium.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sysexits.h>

#include "credential.h"
#include "key-file.h"
#include "text.h"
#include "time-text.h"

enum {
        DAYS_DEFAULT = 365,
        DAYS_MAX = 3650,
        /* Not for the world: a credential that others could read is refused (credential.h), and
         * there is no reason to make an exception for one of them. */
        PRIVATE_MODE = 0600,
        PUBLIC_MODE = 0640,
};

typedef struct Arguments {
        const char *directory;
        long days;
        bool add, force;
} Arguments;

static int usage(const MakeKey *what, const char *text) {
        (void) fprintf(stderr, "%s --make-key: %s; see --help\n", what->program, text);
        return EX_USAGE;
}

/* Returns an exit status, or -1 to go on. */
static int parse(const MakeKey *what, int argc, char **argv, Arguments *ret) {
        static const struct option options[] = {
                { "make-key", required_argument, NULL, 'k' },
                { "days", required_argument, NULL, 'd' },
                { "add", no_argument, NULL, 'a' },
                { "force", no_argument, NULL, 'f' },
                { 0 },
        };
        char *end;
        int c;

        *ret = (Arguments){ .days = DAYS_DEFAULT };
        optind = 0;
        while ((c = getopt_long(argc, argv, "", options, NULL)) >= 0)
                switch (c) {
                case 'k':
                        ret->directory = optarg;
                        break;
                case 'd':
                        errno = 0;
                        ret->days = strtol(optarg, &end, 10);
                        if (errno != 0 || end == optarg || *end || ret->days < 1 ||
                                        ret->days > DAYS_MAX)
                                return usage(what, "--days must be 1 to 3650");
                        break;
                case 'a':
                        ret->add = true;
                        break;
                case 'f':
                        ret->force = true;
                        break;
                default:
                        return EX_USAGE;
                }
        if (optind < argc)
                return usage(what, "too many arguments");
        if (ret->add && ret->force)
                return usage(what, "--add and --force exclude each other");
        return -1;
}

static int read_file(int directory, const char *name, Secret *ret) {
        _cleanup_(closep) int fd = openat(directory, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
        _cleanup_(secret_done) Secret content = SECRET_NULL;
        size_t done = 0;
        struct stat st;
        int r;

        if (fd < 0 || fstat(fd, &st) < 0)
                return -errno;
        if (st.st_size > CREDENTIAL_SIZE_MAX)
                return -E2BIG;
        r = secret_new(&content, (size_t) st.st_size);
        if (r < 0)
                return r;
        while (done < content.size) {
                ssize_t n = read(fd, content.data + done, content.size - done);

                if (n <= 0)
                        return n < 0 ? -errno : -EIO;
                done += (size_t) n;
        }

        *ret = content;
        content = SECRET_NULL;
        return 0;
}

static int write_whole(int fd, const Secret *content) {
        size_t done = 0;

        while (done < content->size) {
                ssize_t n = write(fd, content->data + done, content->size - done);

                if (n < 0 && errno == EINTR)
                        continue;
                if (n < 0)
                        return -errno;
                done += (size_t) n;
        }
        return fsync(fd) < 0 ? -errno : 0;
}

/* Writes beside, then renames: a file under its name is always whole. */
static int write_file(int directory, const char *name, mode_t mode, const Secret *content) {
        char beside[64];
        int fd, r;

        (void) snprintf(beside, sizeof(beside), ".%s.new", name);
        if (unlinkat(directory, beside, 0) < 0 && errno != ENOENT)
                return -errno;
        fd = openat(directory, beside, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, mode);
        if (fd < 0)
                return -errno;
        r = fchmod(fd, mode) < 0 ? -errno : write_whole(fd, content);
        if (close(fd) < 0 && r == 0)
                r = -errno;
        if (r == 0 && renameat(directory, beside, directory, name) < 0)
                r = -errno;
        if (r < 0) {
                (void) unlinkat(directory, beside, 0);
                return r;
        }
        return fsync(directory) < 0 ? -errno : 0;
}

static int open_directory(const char *path, int *ret) {
        int fd;

        if (mkdir(path, 0700) < 0 && errno != EEXIST)
                return -errno;
        fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (fd < 0)
                return -errno;
        *ret = fd;
        return 0;
}

/* The keys to add to: those that are there, or none. */
static int previous_keys(const MakeKey *what,
                int directory,
                const Arguments *arguments,
                RelayPrivateKeys **ret) {
        _cleanup_(secret_done) Secret content = SECRET_NULL;
        int r;

        if (arguments->add) {
                r = read_file(directory, what->private_name, &content);
                if (r < 0)
                        return r;
                return relay_private_keys_read(&content, ret);
        }
        if (!arguments->force &&
                        (faccessat(directory, what->private_name, F_OK, AT_SYMLINK_NOFOLLOW) == 0 ||
                                        faccessat(directory,
                                                        what->public_name,
                                                        F_OK,
                                                        AT_SYMLINK_NOFOLLOW) == 0))
                return -EEXIST;
        return relay_private_keys_new(ret);
}

/* The secret file first: what nobody can seal to yet does no harm, but what nobody can open would.
 */
static int write_keys(const MakeKey *what, int directory, const RelayPrivateKeys *keys) {
        _cleanup_(secret_done) Secret private = SECRET_NULL, public = SECRET_NULL;
        int r;

        r = relay_private_keys_write(keys, &private);
        if (r < 0)
                return r;
        r = relay_private_keys_write_public(keys, &public);
        if (r < 0)
                return r;
        r = write_file(directory, what->private_name, PRIVATE_MODE, &private);
        if (r < 0)
                return r;
        return write_file(directory, what->public_name, PUBLIC_MODE, &public);
}

/* Tenants must have this key by another way than the API that it vouches for. */
static int report_signer(const MakeKey *what, const RelayPrivateKeys *keys) {
        uint8_t public[RELAY_KEY_SIZE], secret[crypto_sign_SECRETKEYBYTES];
        _cleanup_(freep) char *text = NULL;
        char keyid[RELAY_KEY_ID_SIZE];

        (void) crypto_sign_seed_keypair(public, secret, keys->signing_seed);
        sodium_memzero(secret, sizeof(secret));
        relay_key_id(public, keyid);
        text = text_base64(public, sizeof(public));
        if (!text)
                return -ENOMEM;
        (void) printf("signer %s, keyid %s\n"
                      "  give it to each tenant, over a connection that both of you trust: %s\n"
                      "  it stays when keys are added with --add\n",
                        text,
                        keyid,
                        what->signer_use);
        return 0;
}

static int report(const MakeKey *what, const char *directory, const RelayPrivateKeys *keys) {
        _cleanup_(freep) char *absolute = realpath(directory, NULL);
        const char *folder = absolute ? absolute : directory;
        char until[TIME_TEXT_SIZE];
        int r;

        (void) printf("%s/%s (mode 0600): secret; for %s only\n"
                      "  install it as /etc/credstore/%s\n"
                      "%s/%s (mode 0640): public; for %s, which seals to it\n"
                      "  install it as /etc/credstore/%s\n",
                        folder,
                        what->private_name,
                        what->program,
                        what->private_installed,
                        folder,
                        what->public_name,
                        what->sealer,
                        what->public_installed);
        for (size_t i = 0; i < keys->n_keys; i++) {
                time_text(keys->keys[i].not_after, until);
                (void) printf("key %s: %s, until %s\n",
                                keys->keys[i].kid,
                                i == 0 ? "seals and opens" : "opens what is sealed to it already",
                                until);
        }
        if (what->signer_use) {
                r = report_signer(what, keys);
                if (r < 0)
                        return r;
        }
        (void) printf("Restart %s first, then %s.\n", what->program, what->sealer);
        return 0;
}

static int make_key(const MakeKey *what, const Arguments *arguments) {
        _cleanup_(relay_private_keys_freep) RelayPrivateKeys *keys = NULL;
        _cleanup_(closep) int directory = -1;
        int r;

        r = open_directory(arguments->directory, &directory);
        if (r < 0)
                return r;
        r = previous_keys(what, directory, arguments, &keys);
        if (r < 0)
                return r;
        relay_private_keys_add(keys, time_wall() + arguments->days * 86400);
        r = write_keys(what, directory, keys);
        if (r < 0)
                return r;
        return report(what, arguments->directory, keys);
}

int make_key_option(const MakeKey *what, int argc, char **argv) {
        Arguments arguments;
        bool wanted = false;
        int r;

        for (int i = 1; i < argc; i++)
                wanted |= streq(argv[i], "--make-key") || strncmp(argv[i], "--make-key=", 11) == 0;
        if (!wanted)
                return -1;
        r = parse(what, argc, argv, &arguments);
        if (r >= 0)
                return r;

        r = make_key(what, &arguments);
        if (r == 0)
                return EX_OK;
        (void) fprintf(stderr, "%s: cannot make keys in %s: ", what->program, arguments.directory);
        if (r == -EEXIST)
                (void) fputs("there are keys already; --add keeps them, --force loses them\n",
                                stderr);
        else if (r == -EBADMSG)
                (void) fprintf(stderr, "%s is damaged\n", what->private_name);
        else
                (void) fprintf(stderr, "%s\n", strerror(-r));
        return EX_CANTCREAT;
}

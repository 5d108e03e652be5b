/* Mail from a Maildir that a mail server on this machine delivers into: new/ is watched, each mail
 * is handed in, and moved to cur/ when it is settled.
 *
 * Nothing is ever deleted: a mail that the gateway has taken is moved with the flag S (seen), one
 * that it refused with F (flagged) alone, so that whoever opens the folder finds it unread and
 * marked. What lies in new/ is still to be taken, so there is nothing to remember: after a crash
 * between the gateway's ack and the move the same mail is handed in again, under the same identity.
 *
 * Another program may read the same folder: what it takes first is gone, and that is no error. Only
 * regular files are opened, never through a symbolic link, and none that is too large to be read.
 */
#include <assert.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <search.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/queue.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cleanup.h"
#include "log.h"
#include "mail-read.h"
#include "mail-route.h"
#include "time-text.h"

/* The tests have no time to lose. */
#ifndef ROUTE_MAILDIR_AGAIN_SECONDS
#define ROUTE_MAILDIR_AGAIN_SECONDS 5 /* before the first repetition; doubled each time */
#endif

enum {
        AGAIN_MAX_SECONDS = 300,
        AWAY_SECONDS = 2 * ROUTE_MAILDIR_AGAIN_SECONDS, /* between looks for what is not there */
        OPEN_MAX = 32,                                  /* mails at the channel */
        HELD_MAX = 16 * 1024 * 1024,
        KNOWN_MAX = 10000, /* mails that wait; beyond that, whoever is not known waits as well */
};

typedef enum FileState {
        FILE_HANDED, /* at the channel */
        FILE_LATER,  /* to be handed in again */
        FILE_MOVING, /* settled, and to be moved */
} FileState;

typedef struct File {
        char *name;              /* the key in MailRoute.files, hence first */
        TAILQ_ENTRY(File) entry; /* in the order of coming */
        uint64_t token;
        FileState state;
        MailSettlement settlement; /* of FILE_MOVING */
        char *data;                /* of FILE_HANDED */
        size_t size;
        uint64_t due; /* CLOCK_BOOTTIME; not of FILE_HANDED */
        unsigned delay;
} File;

struct MailRoute {
        EmailChannel *channel;
        size_t number; /* among the channel's */
        sd_event *event;
        char *path;
        int new_fd, cur_fd; /* open while there is work: what is open cannot be seen to go */
        int notify_fd;
        sd_event_source *notify, *timer, *work;
        void *files; /* a tree of tsearch(3) */
        TAILQ_HEAD(, File) order;
        size_t n_files, n_open, held;
        uint64_t last_token;
        bool more; /* new/ has, or may have, what nobody knows */
        bool up;
        bool told;    /* whether it is up, at least once */
        bool strange; /* something that is no mail was said once */
};

/* --- what is known of new/ --- */

/* The tree is ordered by the string that its entries begin with. */
static int compare_keys(const void *a, const void *b) {
        return strcmp(*(const char *const *) a, *(const char *const *) b);
}

static bool file_is_known(MailRoute *route, const char *name) {
        return tfind(&name, &route->files, compare_keys) != NULL;
}

static File *file_new(MailRoute *route, const char *name) {
        File *file = calloc(1, sizeof(*file));

        if (!file)
                return NULL;
        file->name = strdup(name);
        if (!file->name || !tsearch(file, &route->files, compare_keys)) {
                free(file->name);
                free(file);
                return NULL;
        }
        file->token = ++route->last_token;
        TAILQ_INSERT_TAIL(&route->order, file, entry);
        route->n_files++;
        return file;
}

static void file_drop_data(MailRoute *route, File *file) {
        if (!file->data)
                return;
        route->held -= file->size;
        free(file->data);
        file->data = NULL;
        file->size = 0;
}

static void file_free(MailRoute *route, File *file) {
        file_drop_data(route, file);
        if (file->state == FILE_HANDED)
                route->n_open--;
        (void) tdelete(file, &route->files, compare_keys);
        TAILQ_REMOVE(&route->order, file, entry);
        route->n_files--;
        free(file->name);
        free(file);
}

static void file_wait(File *file, FileState state) {
        file->delay = file->delay == 0 ? ROUTE_MAILDIR_AGAIN_SECONDS : 2 * file->delay;
        if (file->delay > AGAIN_MAX_SECONDS)
                file->delay = AGAIN_MAX_SECONDS;
        file->due = time_boot() + file->delay * USEC_PER_SEC;
        file->state = state;
}

/* --- one mail --- */

/* Reads size bytes; *ret has one more. -ESTALE: the file is not that long any more. */
static int read_whole(int fd, size_t size, char **ret) {
        _cleanup_(freep) char *data = malloc(size + 1);

        if (!data)
                return -ENOMEM;
        for (size_t n = 0; n < size;) {
                ssize_t got = read(fd, data + n, size - n);

                if (got < 0 && errno == EINTR)
                        continue;
                if (got <= 0)
                        return got < 0 ? -errno : -ESTALE;
                n += (size_t) got;
        }
        data[size] = '\0';
        *ret = TAKE_PTR(data);
        return 0;
}

/* -ENOENT: another reader took it. -EBADF: that is no mail. -EFBIG: too large ever to be read. */
static int read_file(MailRoute *route, File *file) {
        _cleanup_(closep) int fd = -1;
        struct stat st;
        int r;

        fd = openat(route->new_fd,
                        file->name,
                        O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
        if (fd < 0)
                return errno == ELOOP || errno == ENXIO || errno == ENODEV ? -EBADF : -errno;
        if (fstat(fd, &st) < 0)
                return -errno;
        if (!S_ISREG(st.st_mode))
                return -EBADF;
        if (st.st_size > MAIL_READ_SIZE_MAX)
                return -EFBIG;
        r = read_whole(fd, (size_t) st.st_size, &file->data);
        if (r < 0)
                return r;
        file->size = (size_t) st.st_size;
        route->held += file->size;
        return 0;
}

/* The name in cur/: what stands before the information that Maildir puts behind a colon, cut so
 * that the flags fit, and a number where that name is taken. */
static void name_in_cur(
                const char *name, const char *flags, unsigned number, char ret[NAME_MAX + 1]) {
        char suffix[32];
        size_t base = strcspn(name, ":");

        if (number == 0)
                (void) snprintf(suffix, sizeof(suffix), ":2,%s", flags);
        else
                (void) snprintf(suffix, sizeof(suffix), "-%u:2,%s", number, flags);
        if (base > NAME_MAX - strlen(suffix))
                base = NAME_MAX - strlen(suffix);
        (void) snprintf(ret, NAME_MAX + 1, "%.*s%s", (int) base, name, suffix);
}

/* Moves without replacing anything, also where the file system knows no RENAME_NOREPLACE. */
static int move(MailRoute *route, const char *from, const char *to) {
        if (renameat2(route->new_fd, from, route->cur_fd, to, RENAME_NOREPLACE) == 0)
                return 0;
        if (errno != EINVAL && errno != ENOSYS)
                return -errno;
        if (linkat(route->new_fd, from, route->cur_fd, to, 0) < 0)
                return -errno;
        return unlinkat(route->new_fd, from, 0) < 0 ? -errno : 0;
}

static int move_to_cur(MailRoute *route, const char *name, MailSettlement settlement) {
        const char *flags = settlement == MAIL_SETTLED_REFUSED ? "F" : "S";
        char to[NAME_MAX + 1];
        int r = -EEXIST;

        for (unsigned number = 0; r == -EEXIST && number < 100; number++) {
                name_in_cur(name, flags, number, to);
                r = move(route, name, to);
        }
        return r == -ENOENT ? 0 : r; /* gone: another reader took it */
}

/* Takes a settled mail out of new/. Where that fails it is not handed in again, but tried. */
static void file_finish(MailRoute *route, File *file) {
        int r = move_to_cur(route, file->name, file->settlement);

        if (r >= 0) {
                file_free(route, file);
                return;
        }
        if (file->delay == 0)
                log_error("a mail that is settled cannot be moved from new/ to cur/: %s; it is "
                          "tried again",
                                strerror(-r));
        file_wait(file, FILE_MOVING);
}

/* It is moved at once, in the next turn of the loop. */
static void file_settle(MailRoute *route, File *file, MailSettlement settlement) {
        file_drop_data(route, file);
        if (settlement == MAIL_SETTLED_LATER) {
                file_wait(file, FILE_LATER);
                return;
        }
        file->state = FILE_MOVING;
        file->settlement = settlement;
        file->delay = 0;
        file->due = 0;
}

static void tell_strange(MailRoute *route) {
        if (!route->strange)
                log_warning("new/ of the Maildir holds something that is no regular file; it is "
                            "left alone");
        route->strange = true;
}

/* A mail that could not be read. */
static void file_fail(MailRoute *route, File *file, int error) {
        if (error == -ENOENT) {
                file_free(route, file);
        } else if (error == -EFBIG) {
                log_warning("a mail in the Maildir is larger than %d bytes and is refused",
                                MAIL_READ_SIZE_MAX);
                file_settle(route, file, MAIL_SETTLED_REFUSED);
        } else if (error == -EBADF) {
                tell_strange(route);
                file_wait(file, FILE_LATER); /* to be forgotten when it is gone */
        } else {
                if (file->delay == 0)
                        log_warning("a mail in the Maildir cannot be read: %s; it is tried again",
                                        strerror(-error));
                file_wait(file, FILE_LATER);
        }
}

static void file_hand_in(MailRoute *route, File *file) {
        int r = read_file(route, file);
        MailArrival arrival = {
                .route = route, .token = file->token, .data = file->data, .size = file->size
        };

        if (r < 0) {
                file_fail(route, file, r);
                return;
        }
        file->state = FILE_HANDED;
        route->n_open++;
        email_channel_arrival(route->channel, &mail_route_maildir, &arrival);
}

/* --- all of them --- */

static bool has_room(const MailRoute *route) {
        return route->n_open < OPEN_MAX && route->held < HELD_MAX &&
               !email_channel_is_busy(route->channel);
}

static void route_tell(MailRoute *route, bool up, const char *reason) {
        if (route->told && route->up == up)
                return;
        route->told = true;
        route->up = up;
        email_channel_route(route->channel, route->number, up, reason);
}

static File *find_due(MailRoute *route, bool may_hand_in) {
        uint64_t now = time_boot();
        File *file;

        TAILQ_FOREACH(file, &route->order, entry)
        if (file->state != FILE_HANDED && file->due <= now &&
                        (may_hand_in || file->state == FILE_MOVING))
                return file;
        return NULL;
}

/* From the beginning each time: the channel may settle any mail while one is handed in. */
static void do_due(MailRoute *route) {
        File *file;

        while ((file = find_due(route, has_room(route))))
                if (file->state == FILE_MOVING)
                        file_finish(route, file);
                else
                        file_hand_in(route, file);
}

/* Hands in what nobody knows yet, in the folder's own order. */
static void scan(MailRoute *route) {
        int fd = openat(route->new_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        DIR *folder = fd >= 0 ? fdopendir(fd) : NULL;
        struct dirent *entry;

        if (!folder) { /* the timer looks again */
                (void) close_fd(fd);
                return;
        }
        route->more = false;
        while ((entry = readdir(folder))) {
                File *file;

                if (entry->d_name[0] == '.' || file_is_known(route, entry->d_name))
                        continue;
                /* These are not kept in mind, so that no number of them is in a mail's way. */
                if (entry->d_type != DT_REG && entry->d_type != DT_UNKNOWN) {
                        tell_strange(route);
                        continue;
                }
                if (!has_room(route) || route->n_files >= KNOWN_MAX) {
                        route->more = true;
                        break;
                }
                file = file_new(route, entry->d_name);
                if (file)
                        file_hand_in(route, file);
                else
                        route->more = true;
        }
        (void) closedir(folder);
}

static bool wants_scan(const MailRoute *route) {
        return route->more && has_room(route) && route->n_files < KNOWN_MAX;
}

/* The timer runs only while something waits. For what waits for room and nothing else it looks now
 * and then, lest room that nobody told of is missed. */
static void set_timer(MailRoute *route) {
        bool away = route->notify_fd < 0 || route->more, room = has_room(route);
        uint64_t now = time_boot(), soon = now + AWAY_SECONDS * USEC_PER_SEC;
        uint64_t due = away ? soon : UINT64_MAX;
        const File *file;

        TAILQ_FOREACH(file, &route->order, entry) {
                bool full = file->state == FILE_LATER && file->due <= now && !room;
                uint64_t next = full ? soon : file->due;

                if (file->state != FILE_HANDED && next < due)
                        due = next;
        }
        (void) sd_event_source_set_time(route->timer, due);
        (void) sd_event_source_set_enabled(
                        route->timer, due == UINT64_MAX ? SD_EVENT_OFF : SD_EVENT_ONESHOT);
}

/* Everything that hands in runs from here, once a turn of the loop, never inside a call of the
 * channel's. */
static void want_work(MailRoute *route) {
        (void) sd_event_source_set_enabled(route->work, SD_EVENT_ONESHOT);
}

static void close_folders(MailRoute *route) {
        route->new_fd = close_fd(route->new_fd);
        route->cur_fd = close_fd(route->cur_fd);
}

static void unwatch(MailRoute *route) {
        route->notify = sd_event_source_disable_unref(route->notify);
        route->notify_fd = close_fd(route->notify_fd);
}

/* --- the folder --- */

static int on_notify(sd_event_source *source, int fd, uint32_t revents, void *userdata) {
        union {
                struct inotify_event event;
                char bytes[16 * (sizeof(struct inotify_event) + NAME_MAX + 1)];
        } buffer;
        MailRoute *route = userdata;
        bool gone = false;
        ssize_t n;

        (void) source;
        (void) revents;
        n = read(fd, &buffer, sizeof(buffer));
        for (ssize_t at = 0; at + (ssize_t) sizeof(struct inotify_event) <= n;) {
                const struct inotify_event *event =
                                (const struct inotify_event *) (void *) (buffer.bytes + at);

                gone = gone || event->mask & (IN_DELETE_SELF | IN_MOVE_SELF | IN_IGNORED);
                at += (ssize_t) sizeof(*event) + event->len;
        }
        if (gone)
                unwatch(route);
        route->more = true;
        want_work(route);
        return 0;
}

/* The watch is there before the first look, so that nothing comes between them. */
static int watch(MailRoute *route) {
        char folder[PATH_MAX];

        if (route->notify_fd >= 0)
                return 0;
        (void) snprintf(folder, sizeof(folder), "%s/new", route->path);
        route->notify_fd = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
        if (route->notify_fd < 0)
                return -errno;
        if (inotify_add_watch(route->notify_fd,
                            folder,
                            IN_MOVED_TO | IN_CREATE | IN_DELETE_SELF | IN_MOVE_SELF | IN_ONLYDIR) <
                        0)
                return -errno;
        route->more = true;
        return sd_event_add_io(
                        route->event, &route->notify, route->notify_fd, EPOLLIN, on_notify, route);
}

static int open_folder(const char *path, const char *name, int *ret_fd) {
        char folder[PATH_MAX];

        if ((size_t) snprintf(folder, sizeof(folder), "%s/%s", path, name) >= sizeof(folder))
                return -ENAMETOOLONG;
        *ret_fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (*ret_fd < 0)
                return -errno;
        return faccessat(*ret_fd, ".", R_OK | W_OK | X_OK, AT_EACCESS) < 0 ? -errno : 0;
}

static int open_folders(MailRoute *route) {
        int r;

        r = watch(route);
        if (r < 0)
                unwatch(route);
        else
                r = open_folder(route->path, "new", &route->new_fd);
        if (r >= 0)
                r = open_folder(route->path, "cur", &route->cur_fd);
        if (r < 0)
                close_folders(route);
        return r;
}

static int on_work(sd_event_source *source, void *userdata) {
        MailRoute *route = userdata;
        int r = open_folders(route);

        (void) source;
        if (r < 0) {
                route_tell(route, false, r == -ENOENT ? "maildir-is-away" : "maildir-not-usable");
                unwatch(route); /* looks again, and not at what may be another folder by then */
        } else {
                route_tell(route, true, "");
                do_due(route);
                if (wants_scan(route))
                        scan(route);
                do_due(route); /* what was settled at once */
                close_folders(route);
        }
        set_timer(route);
        return 0;
}

static int on_timer(sd_event_source *source, uint64_t due, void *userdata) {
        (void) source;
        (void) due;
        want_work(userdata);
        return 0;
}

/* --- the table --- */

static MailRoute *route_maildir_free(MailRoute *route) {
        File *file;

        if (!route)
                return NULL;
        while ((file = TAILQ_FIRST(&route->order)))
                file_free(route, file);
        unwatch(route);
        close_folders(route);
        route->timer = sd_event_source_disable_unref(route->timer);
        route->work = sd_event_source_disable_unref(route->work);
        (void) sd_event_unref(route->event);
        free(route->path);
        free(route);
        return NULL;
}
DEFINE_CLEANUP(MailRoute, route_maildir_free)

static int add_sources(MailRoute *route) {
        int r;

        r = sd_event_add_time(route->event,
                        &route->timer,
                        CLOCK_BOOTTIME,
                        UINT64_MAX,
                        USEC_PER_SEC / 4,
                        on_timer,
                        route);
        if (r < 0)
                return r;
        r = sd_event_add_defer(route->event, &route->work, on_work, route);
        if (r < 0)
                return r;
        return sd_event_source_set_enabled(route->work, SD_EVENT_OFF);
}

static int route_maildir_new(MailRoute **ret, const MailRouteStart *start) {
        _cleanup_(route_maildir_freep) MailRoute *route = calloc(1, sizeof(*route));
        const char *path = strchr(start->place, ':');
        int r;

        if (!route)
                return -ENOMEM;
        *route = (MailRoute){ .channel = start->channel,
                .number = start->number,
                .event = sd_event_ref(start->event),
                .new_fd = -1,
                .cur_fd = -1,
                .notify_fd = -1 };
        TAILQ_INIT(&route->order);
        route->path = strdup(path ? path + 1 : "");
        if (!route->path)
                return -ENOMEM;
        r = add_sources(route);
        if (r < 0)
                return r;
        r = route->path[0] == '/' ? open_folders(route) : -EINVAL;
        close_folders(route);
        if (r < 0 && r != -ENOENT) { /* a mail server may make it with the first mail */
                log_error("cannot read the Maildir of `%s`: %s", start->place, strerror(-r));
                return r;
        }
        want_work(route);
        *ret = TAKE_PTR(route);
        return 0;
}

static void route_maildir_settle(MailRoute *route, uint64_t token, MailSettlement settlement) {
        File *file;

        TAILQ_FOREACH(file, &route->order, entry)
        if (file->token == token)
                break;
        assert(file && file->state == FILE_HANDED);
        route->n_open--;
        file_settle(route, file, settlement);
        want_work(route);
}

static void route_maildir_ready(MailRoute *route) {
        want_work(route);
}

const MailRouteOps mail_route_maildir = {
        .scheme = "maildir",
        .new = route_maildir_new,
        .settle = route_maildir_settle,
        .ready = route_maildir_ready,
        .free = route_maildir_free,
};

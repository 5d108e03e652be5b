#define SD_JOURNAL_SUPPRESS_LOCATION
#include "log.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <systemd/sd-journal.h>

#include "cleanup.h"

static const char *program_name = "vestibule";
static int max_priority = LOG_INFO;
static bool to_journal = false, with_priority = true;

/* systemd names the device and inode of the journal's stream; if stderr is still that, the journal
 * listens and fields are worth sending (sd_journal_stream_fd(3)). */
static bool stderr_is_journal(void) {
        const char *stream = getenv("JOURNAL_STREAM");
        unsigned long long device, inode;
        struct stat st;

        return stream && sscanf(stream, "%llu:%llu", &device, &inode) == 2 &&
               fstat(STDERR_FILENO, &st) == 0 && st.st_dev == device && st.st_ino == inode;
}

void log_open(const char *program) {
        program_name = program;
        to_journal = stderr_is_journal();
        with_priority = !isatty(STDERR_FILENO);
}

void log_omit_priority(void) {
        with_priority = false;
}

void log_set_max_priority(int priority) {
        max_priority = priority;
}

/* What is logged may quote a peer: it must not be able to begin a line or drive a terminal. */
static void make_harmless(char *text) {
        for (; *text; text++)
                if ((unsigned char) *text < ' ' || *text == 0x7f)
                        *text = '?';
}

void log_record(int priority, const LogFields *fields, const char *format, ...) {
        static const char *const names[] = {
                "SHARE", "TENANT", "CHANNEL", "STATE", "OUTBOX_MESSAGE"
        };
        const char *values[N_ELEMENTS(names)] = { 0 };
        char message[1024], lines[N_ELEMENTS(names) + 3][1100];
        struct iovec iov[N_ELEMENTS(names) + 3];
        va_list ap;
        int n = 0;

        if (priority > max_priority)
                return;
        if (fields) {
                values[0] = fields->share;
                values[1] = fields->tenant;
                values[2] = fields->channel;
                values[3] = fields->state;
                values[4] = fields->message;
        }

        va_start(ap, format);
        (void) vsnprintf(message, sizeof(message), format, ap);
        va_end(ap);

        make_harmless(message);

        if (!to_journal) {
                char suffix[512] = "", prefix[8] = "";
                size_t used = 0;

                for (size_t i = 0; i < N_ELEMENTS(names); i++)
                        if (values[i] && used < sizeof(suffix))
                                used += (size_t) snprintf(suffix + used,
                                                sizeof(suffix) - used,
                                                " %s=%s",
                                                names[i],
                                                values[i]);
                make_harmless(suffix);
                if (with_priority)
                        (void) snprintf(prefix, sizeof(prefix), "<%d>", priority);
                (void) fprintf(stderr, "%s%s: %s%s\n", prefix, program_name, message, suffix);
                return;
        }

        (void) snprintf(lines[n++], sizeof(lines[0]), "MESSAGE=%s", message);
        (void) snprintf(lines[n++], sizeof(lines[0]), "PRIORITY=%d", priority);
        (void) snprintf(lines[n++], sizeof(lines[0]), "SYSLOG_IDENTIFIER=%s", program_name);
        for (size_t i = 0; i < N_ELEMENTS(names); i++)
                if (values[i])
                        (void) snprintf(lines[n++], sizeof(lines[0]), "%s=%s", names[i], values[i]);
        for (int i = 0; i < n; i++)
                iov[i] = (struct iovec){ lines[i], strlen(lines[i]) };
        (void) sd_journal_sendv(iov, n);
}

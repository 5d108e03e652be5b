/* One record per failure or event, to the journal with our own fields, else to stderr with a <n>
 * priority, which a terminal does not show. The fields are a fixed list: nothing can log what has
 * no field, and no field holds an address, a text, a code, a claim or a link. */
#pragma once

#include <stdarg.h>
#include <syslog.h>

typedef struct LogFields {
        const char *share;   /* SHARE=, a share's id */
        const char *tenant;  /* TENANT=, a configured name */
        const char *channel; /* CHANNEL=, a configured name */
        const char *state;   /* STATE=, a lifecycle state */
        const char *message; /* OUTBOX_MESSAGE=, the stable id of an outbound message */
} LogFields;

/* Call once at the start. Program is named in stderr lines and as SYSLOG_IDENTIFIER. */
void log_open(const char *program);

/* Leaves the <n> out on stderr: for what a person asked for and reads. It is out by itself when
 * stderr is a terminal as log_open() is called. */
void log_omit_priority(void);

/* Records above this priority are dropped; LOG_INFO at first. */
void log_set_max_priority(int priority);

__attribute__((format(printf, 3, 4))) void log_record(
                int priority, const LogFields *fields, const char *format, ...);

#define log_error(...) log_record(LOG_ERR, NULL, __VA_ARGS__)
#define log_warning(...) log_record(LOG_WARNING, NULL, __VA_ARGS__)
#define log_notice(...) log_record(LOG_NOTICE, NULL, __VA_ARGS__)
#define log_info(...) log_record(LOG_INFO, NULL, __VA_ARGS__)
#define log_debug(...) log_record(LOG_DEBUG, NULL, __VA_ARGS__)

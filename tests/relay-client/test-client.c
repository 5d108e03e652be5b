/* What the relay client makes of HTTP answers that no relay which is well gives, and of requests
 * that cannot be sent: what the gateway is answered, whether the relay is said to be up, and what
 * the journal says. The gateway's side and the connection are replaced. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>

#include "client.h"
#include "draft-v-case.h"
#include "http-client.h"
#include "key-file.h"
#include "secret.h"

#define SHARE "shr_01jd0000000000000000000000"

static sd_event *event;
static Client *client;
static char folder[] = "/tmp/test-client-XXXXXX";

/* --- the gateway's side and the connection --- */

static const char *extra_header; /* of each request, or NULL */
static HttpDone done;            /* of the request that is under way */
static void *done_userdata;
static HttpRequest sent;
static json_t *answered;
static unsigned n_up, n_down;
static char down_reason[32];

int __real_http_client_send(HttpClient *c, HttpRequest *request, HttpDone f, void *userdata);
int __wrap_http_client_send(HttpClient *c, HttpRequest *request, HttpDone f, void *userdata);
void __wrap_plugin_answer(Plugin *plugin, int64_t id, json_t *answer);
sd_event *__wrap_plugin_event(Plugin *plugin);
void __wrap_plugin_tell_status(Plugin *plugin, bool up, const char *reason);

int __wrap_http_client_send(HttpClient *c, HttpRequest *request, HttpDone f, void *userdata) {
        if (extra_header) {
                request->headers[request->n_headers++] = strdup(extra_header);
                return __real_http_client_send(c, request, f, userdata);
        }
        http_request_done(&sent);
        sent = *request;
        *request = HTTP_REQUEST_NULL;
        done = f;
        done_userdata = userdata;
        return 0;
}

void __wrap_plugin_answer(Plugin *plugin, int64_t id, json_t *answer) {
        (void) plugin;
        assert_int_equal(id, 7);
        assert_null(answered);
        answered = answer;
}

sd_event *__wrap_plugin_event(Plugin *plugin) {
        (void) plugin;
        return event;
}

void __wrap_plugin_tell_status(Plugin *plugin, bool up, const char *reason) {
        (void) plugin;
        if (up)
                n_up++;
        else {
                n_down++;
                (void) snprintf(down_reason, sizeof(down_reason), "%s", reason);
        }
}

/* --- one request --- */

static void ask(void) {
        json_auto_t *frame = json_pack("{s:s, s:s, s:s, s:s, s:s}",
                        "type",
                        "delete",
                        "share",
                        SHARE,
                        "mailbox",
                        MAILBOX,
                        "claim",
                        CLAIM,
                        "request",
                        REQUEST);

        assert_non_null(frame);
        json_decref(answered);
        answered = NULL;
        assert_int_equal(client_request(client, "delete", 7, frame), 0);
}

static void assert_answered(const char *type, const char *reason) {
        assert_non_null(answered);
        assert_string_equal(json_string_value(json_object_get(answered, "type")), type);
        if (reason)
                assert_string_equal(json_string_value(json_object_get(answered, "reason")), reason);
}

/* Runs a function and gives what it wrote to stderr. */
static void journal_of(void (*f)(void), char *ret, size_t size) {
        FILE *file = tmpfile();
        int stderr_fd = dup(STDERR_FILENO);

        assert_non_null(file);
        (void) dup2(fileno(file), STDERR_FILENO);
        f();
        (void) dup2(stderr_fd, STDERR_FILENO);
        (void) close(stderr_fd);
        rewind(file);
        ret[fread(ret, 1, size - 1, file)] = 0;
        (void) fclose(file);
}

/* --- promises --- */

static void a_request_that_cannot_be_written_is_refused_and_told_by_share_alone(void **state) {
        static const char line[] =
                        "a request was refused before the relay was asked: bad-request SHARE=" SHARE
                        "\n";
        char journal[512];
        const char *said;

        (void) state;
        extra_header = "X: a\r\nMailbox-Device-Attestation: hidden";
        journal_of(ask, journal, sizeof(journal));
        assert_answered("refused", "bad-request");
        said = strstr(journal, line);
        assert_non_null(said);
        assert_string_equal(said, line); /* and no more */
        assert_ptr_equal(strchr(journal, '\n'), said + sizeof(line) - 2);
        assert_null(strstr(journal, CLAIM));
        assert_null(strstr(journal, REQUEST));
        assert_null(strstr(journal, "hidden"));

        /* Nothing of it is left under way. */
        extra_header = NULL;
        ask();
        assert_null(answered);
        done(&(HttpAnswer){ .status = 200, .headers = ECHOED, .headers_size = strlen(ECHOED) },
                        done_userdata);
        assert_answered("done", NULL);
}

static void only_who_cannot_be_reached_is_unreachable(void **state) {
        static const struct {
                HttpAnswer http;
                const char *type, *reason;
                bool is_down;
        } cases[] = {
                { { .failure = "answer-too-large", .answered = true },
                                "again",
                                "answer-too-large",
                                false },
                { { .failure = "timeout" }, "again", "timeout", true },
                { { .failure = "answer-too-large", .answered = true },
                                "again",
                                "answer-too-large",
                                false },
                { { .failure = "no-connection" }, "again", "no-connection", true },
                { { .failure = "answer-not-http", .answered = true },
                                "again",
                                "answer-not-http",
                                false },
                { { .failure = "cut" }, "again", "cut", true },
                { { .failure = "tls-certificate" }, "again", "tls-certificate", true },
                { { .status = 503, .headers = ECHOED, .headers_size = sizeof(ECHOED) - 1 },
                                "again",
                                "http-503",
                                false },
                { { .failure = "name-not-found" }, "again", "name-not-found", true },
                { { .status = 404, .headers = ECHOED, .headers_size = sizeof(ECHOED) - 1 },
                                "gone",
                                NULL,
                                false },
        };
        bool was_down = false;

        (void) state;
        n_up = n_down = 0;
        for (size_t i = 0; i < N_ELEMENTS(cases); i++) {
                unsigned up = n_up, down = n_down;

                ask();
                done(&cases[i].http, done_userdata);
                assert_answered(cases[i].type, cases[i].reason);
                assert_int_equal(n_up - up, was_down && !cases[i].is_down);
                /* Told anew where the reason is another. */
                assert_int_equal(n_down - down, cases[i].is_down);
                if (cases[i].is_down)
                        assert_string_equal(down_reason, cases[i].reason);
                was_down = cases[i].is_down;
        }
}

static HttpAnswer unusable;

static void ask_in_vain(void) {
        ask();
        done(&unusable, done_userdata);
}

static void what_cannot_be_used_is_in_the_journal_and_what_status_says_is_not(void **state) {
        static const struct {
                HttpAnswer http;
                const char *says;
        } cases[] = {
                { { .failure = "answer-too-large", .answered = true },
                                "what the relay answered cannot be used: answer-too-large "
                                "SHARE=" SHARE "\n" },
                { { .status = 200,
                                  .headers = "Mailbox-Request-ID: " CLAIM "\r\n",
                                  .headers_size = strlen("Mailbox-Request-ID: " CLAIM "\r\n") },
                                "what the relay answered cannot be used: wrong-echo SHARE=" SHARE
                                "\n" },
                { { .status = 503, .headers = ECHOED, .headers_size = sizeof(ECHOED) - 1 }, NULL },
                { { .status = 200, .headers = ECHOED, .headers_size = sizeof(ECHOED) - 1 }, NULL },
        };

        (void) state;
        for (size_t i = 0; i < N_ELEMENTS(cases); i++) {
                char journal[512];

                unusable = cases[i].http;
                journal_of(ask_in_vain, journal, sizeof(journal));
                if (cases[i].says)
                        assert_non_null(strstr(journal, cases[i].says));
                else
                        assert_string_equal(journal, "");
                assert_null(strstr(journal, CLAIM));
        }
}

/* --- */

static int write_keys(void) {
        _cleanup_(secret_done) Secret content = SECRET_NULL;
        RelayPrivateKeys *keys;
        char path[64];
        int fd;
        bool written;

        if (!mkdtemp(folder) || relay_private_keys_new(&keys) < 0)
                return -1;
        relay_private_keys_add(keys, INT32_MAX);
        if (relay_private_keys_write(keys, &content) < 0)
                return -1;
        (void) relay_private_keys_free(keys);
        (void) snprintf(path, sizeof(path), "%s/relay-key", folder);
        fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
        written = fd >= 0 && write(fd, content.data, content.size) == (ssize_t) content.size;
        (void) close_fd(fd);
        return written ? setenv("CREDENTIALS_DIRECTORY", folder, 1) : -1;
}

static int begin(void **state) {
        json_auto_t *settings = json_pack("{s:s}", "url", "https://relay.example");

        (void) state;
        if (!settings || secret_init() < 0 || write_keys() < 0 || sd_event_new(&event) < 0)
                return -1;
        return client_new(&client, NULL, settings);
}

static int end(void **state) {
        char path[64];

        (void) state;
        json_decref(answered);
        http_request_done(&sent);
        client = client_free(client);
        event = sd_event_unref(event);
        (void) snprintf(path, sizeof(path), "%s/relay-key", folder);
        return unlink(path) < 0 || rmdir(folder) < 0;
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(
                                a_request_that_cannot_be_written_is_refused_and_told_by_share_alone),
                cmocka_unit_test(only_who_cannot_be_reached_is_unreachable),
                cmocka_unit_test(what_cannot_be_used_is_in_the_journal_and_what_status_says_is_not),
        };

        return cmocka_run_group_tests(tests, begin, end);
}

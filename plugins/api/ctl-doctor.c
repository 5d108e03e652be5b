/* vestibulectl doctor: looks at everything that commonly goes wrong and says what to do about it.
 */
#include <dirent.h>
#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <sysexits.h>

#include "ctl.h"
#include "time-text.h"

enum {
        SKEW_SECONDS = 5,
        ASK_SECONDS = 10,
};

typedef struct Findings {
        json_t *list;
        bool failed;
} Findings;

/* Results: "ok", "note" (cannot be looked at from here), "warning", "failed". */
__attribute__((format(printf, 5, 6))) static void find(Findings *findings,
                const char *check,
                const char *result,
                const char *advice,
                const char *format,
                ...) {
        char text[512];
        va_list ap;

        va_start(ap, format);
        (void) vsnprintf(text, sizeof(text), format, ap);
        va_end(ap);
        findings->failed = findings->failed || streq(result, "failed");
        (void) json_array_append_new(findings->list,
                        json_pack("{s:s, s:s, s:s, s:s}",
                                        "check",
                                        check,
                                        "result",
                                        result,
                                        "text",
                                        text,
                                        "advice",
                                        advice ? advice : ""));
}

static void check_parts(Findings *findings, const CtlAnswer *answer) {
        json_t *part;
        size_t i;

        json_array_foreach(json_object_get(answer->body, "parts"), i, part) {
                const char *name = ctl_text(part, "name"), *detail = ctl_text(part, "detail");
                bool up = json_is_true(json_object_get(part, "up"));

                find(findings,
                                "part",
                                up ? "ok" : "failed",
                                up ? NULL
                                   : "look into its log: journalctl -u 'vestibule*' -p warning -n "
                                     "50",
                                "%s is %s%s%s",
                                name ? name : "?",
                                up ? "up" : "down",
                                detail && detail[0] ? ": " : "",
                                detail ? detail : "");
        }
}

static void check_clock(Findings *findings, int64_t date) {
        long long skew = (long long) (date - time_wall());

        if (date == 0)
                return;
        if (skew > SKEW_SECONDS || skew < -SKEW_SECONDS)
                find(findings,
                                "clock",
                                "warning",
                                "let both machines keep time: timedatectl set-ntp true",
                                "the gateway's clock is %lld s %s ours",
                                skew < 0 ? -skew : skew,
                                skew < 0 ? "behind" : "ahead of");
        else
                find(findings, "clock", "ok", NULL, "the clocks agree within %d s", SKEW_SECONDS);
}

static bool check_api(Findings *findings, const CtlOptions *options) {
        _cleanup_(ctl_answer_done) CtlAnswer alive = { 0 }, ready = { 0 };
        int r;

        r = ctl_ask(options, "GET", "/healthz", NULL, NULL, ASK_SECONDS, &alive);
        if (r != 0) {
                find(findings,
                                "api",
                                "failed",
                                "is it running? systemctl status vestibuled vestibule-api@tenants; "
                                "or name "
                                "another address with --url",
                                "%s",
                                alive.error);
                return false;
        }
        if (alive.status != 200) {
                find(findings,
                                "api",
                                "failed",
                                "something else may listen there: ss -ltnp",
                                "the API answers %ld to /healthz",
                                alive.status);
                return false;
        }
        find(findings,
                        "api",
                        "ok",
                        NULL,
                        "the API answers at %s",
                        options->url ? options->url : CTL_URL);
        check_clock(findings, alive.date);

        r = ctl_ask(options, "GET", "/readyz", NULL, NULL, ASK_SECONDS, &ready);
        if (r != 0 || (ready.status != 200 && ready.status != 503) ||
                        !json_is_array(json_object_get(ready.body, "parts")))
                find(findings,
                                "gateway",
                                "failed",
                                "look into its log: journalctl -u vestibuled -n 50",
                                "the API lives, but the gateway does not tell its health");
        else
                check_parts(findings, &ready);
        return true;
}

static void check_token(Findings *findings, const CtlOptions *options) {
        _cleanup_(ctl_answer_done) CtlAnswer answer = { 0 };
        char error[256] = "";
        int r;

        r = ctl_token_check(options, error, sizeof(error));
        if (r != 0) {
                find(findings,
                                "token",
                                r == EX_NOINPUT && !options->token_file ? "note" : "failed",
                                "a tenant's token is made with: vestibulectl token",
                                "%s",
                                error);
                return;
        }
        if (ctl_ask(options, "GET", "/v1/channels", NULL, NULL, ASK_SECONDS, &answer) == 0 &&
                        answer.status == 200)
                find(findings, "token", "ok", NULL, "the gateway knows our token");
        else if (answer.status == 401 || answer.status == 403)
                find(findings,
                                "token",
                                "failed",
                                "put its line (vestibulectl token prints one) into the tenant's "
                                "section, and "
                                "reload",
                                "the gateway refuses our token");
}

static void check_configuration(Findings *findings) {
        char line[384] = "", last[384] = "";
        int status;
        FILE *f;

        f = popen("vestibuled --check 2>&1", "re");
        if (!f)
                return;
        while (fgets(line, sizeof(line), f)) {
                line[strcspn(line, "\n")] = 0;
                if (!last[0] || strstr(line, ".conf:"))
                        (void) snprintf(last, sizeof(last), "%s", line);
        }
        status = pclose(f);
        if (WIFEXITED(status) && (WEXITSTATUS(status) == 127 || WEXITSTATUS(status) == 126))
                find(findings,
                                "configuration",
                                "note",
                                NULL,
                                "vestibuled is not on this machine's PATH");
        else if (status == 0)
                find(findings,
                                "configuration",
                                "ok",
                                NULL,
                                "vestibuled --check accepts the configuration");
        else
                find(findings,
                                "configuration",
                                "failed",
                                "correct it and run: vestibuled --check",
                                "%s",
                                last[0] ? last : "vestibuled --check failed and said nothing");
}

static void check_socket(Findings *findings, const char *path, mode_t forbidden) {
        struct passwd *user;
        struct group *group;
        char owner[64], group_name[64];
        struct stat st;

        if (lstat(path, &st) < 0) {
                find(findings,
                                "socket",
                                errno == ENOENT ? "warning" : "note",
                                errno == ENOENT ? "systemctl enable --now vestibule-api@operators"
                                                : "run this as root",
                                "%s: %s",
                                path,
                                errno == ENOENT ? "is not there" : strerror(errno));
                return;
        }
        user = getpwuid(st.st_uid);
        (void) snprintf(owner, sizeof(owner), "%s", user ? user->pw_name : "?");
        group = getgrgid(st.st_gid);
        (void) snprintf(group_name, sizeof(group_name), "%s", group ? group->gr_name : "?");
        if (!S_ISSOCK(st.st_mode))
                find(findings,
                                "socket",
                                "failed",
                                "remove it and restart",
                                "%s is no socket",
                                path);
        else
                find(findings,
                                "socket",
                                st.st_mode & forbidden ? "failed" : "ok",
                                st.st_mode & forbidden ? "whoever opens it is taken for that part: "
                                                         "restore the unit's "
                                                         "SocketMode="
                                                       : NULL,
                                "%s belongs to %s:%s, mode %04o",
                                path,
                                owner,
                                group_name,
                                (unsigned) st.st_mode & 07777);
}

static void check_sockets(Findings *findings) {
        static const char folder[] = "/run/vestibule/plugin";
        struct dirent *entry;
        DIR *d;

        if (access("/run/vestibule", F_OK) < 0) {
                find(findings,
                                "socket",
                                "note",
                                NULL,
                                "there is no /run/vestibule on this machine");
                return;
        }
        check_socket(findings, "/run/vestibule/operator.sock", 0007);
        d = opendir(folder);
        if (!d) {
                find(findings,
                                "socket",
                                "note",
                                "run this as root",
                                "%s: %s",
                                folder,
                                strerror(errno));
                return;
        }
        while ((entry = readdir(d))) {
                char path[512];

                if (entry->d_name[0] == '.')
                        continue;
                (void) snprintf(path, sizeof(path), "%s/%s", folder, entry->d_name);
                check_socket(findings, path, 0077);
        }
        (void) closedir(d);
}

static void findings_print(const json_t *list) {
        json_t *finding;
        size_t i;

        json_array_foreach(list, i, finding) {
                _cleanup_(freep) char *text = ctl_plain(ctl_text(finding, "text"));
                const char *advice = ctl_text(finding, "advice");

                (void) printf("%-8s %-14s %s\n",
                                ctl_text(finding, "result"),
                                ctl_text(finding, "check"),
                                text);
                if (advice && advice[0])
                        (void) printf("%-8s %-14s -> %s\n", "", "", advice);
        }
}

int ctl_doctor(const CtlOptions *options, char **arguments) {
        Findings findings = { .list = json_array() };

        (void) arguments;
        if (check_api(&findings, options) &&
                        (options->token_file || !options->url ||
                                        strncmp(options->url, "unix:", 5) != 0))
                check_token(&findings, options);
        check_configuration(&findings);
        check_sockets(&findings);

        if (options->json)
                ctl_print_json(findings.list, false);
        else {
                findings_print(findings.list);
                (void) printf("\n%s\n",
                                findings.failed ? "Something is wrong; see the lines that say "
                                                  "failed."
                                                : "Nothing is wrong.");
        }
        json_decref(findings.list);
        return findings.failed ? EX_UNAVAILABLE : 0;
}

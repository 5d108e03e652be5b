/* Who is an operator: what the kernel said of the peer, against a group that was looked up when the
 * configuration was loaded. The name service is a double here, which counts how often it is asked.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka wants the four above first */
#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <sys/mman.h>
#include <unistd.h>

#include "front.h"

enum { GROUP = 4242 };

static const char whole[] =
                "front tenants {}\n"
                "front operators {}\n"
                "relay main { url = \"https://relay.example.org\" }\n"
                "channel echo {}\n"
                "policy hotel { class = hotel  channels = { echo } }\n"
                "tenant adler { name = \"Hotel Adler\"  policies = { hotel }  relay = main\n"
                "  token = { \"abcdefgh:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\" } }\n";

static struct {
        unsigned asked;
        int error;     /* what the name service fails with */
        bool absent;   /* there is no such group */
        size_t needed; /* bytes that its answer takes */
} names;

/* In place of libc's. */
int getgrnam_r(const char *name,
                struct group *grp,
                char *buf,
                size_t buflen,
                struct group **result) {
        (void) buf;
        names.asked++;
        *result = NULL;
        assert_string_equal(name, "vestibule-operator");
        if (names.error)
                return names.error;
        if (buflen < names.needed)
                return ERANGE;
        if (names.absent)
                return 0;
        *grp = (struct group){ .gr_gid = GROUP };
        *result = grp;
        return 0;
}

struct group *getgrnam(const char *name) {
        (void) name;
        fail_msg("the name service is asked on the loop");
        return NULL;
}

struct passwd *getpwuid(uid_t uid) {
        (void) uid;
        fail_msg("the name service is asked on the loop");
        return NULL;
}

int getgrouplist(const char *user, gid_t group, gid_t *groups, int *ngroups) {
        (void) user;
        (void) group;
        (void) groups;
        (void) ngroups;
        fail_msg("the name service is asked on the loop");
        return -1;
}

/* Loads a configuration; what it logged is in log. */
static Config *load(const char *text, char log[static 1024]) {
        char path[] = "/tmp/vestibule-test-XXXXXX";
        int fd = mkstemp(path), captured = memfd_create("log", MFD_CLOEXEC), err;
        _cleanup_(freep) char *problems = NULL;
        Config *config = NULL;
        ssize_t n;
        int r;

        assert_true(fd >= 0 && captured >= 0);
        assert_int_equal(write(fd, text, strlen(text)), strlen(text));
        err = dup(STDERR_FILENO);
        assert_true(dup2(captured, STDERR_FILENO) >= 0);
        r = config_load(path, &config, &problems);
        assert_true(dup2(err, STDERR_FILENO) >= 0);
        (void) close(err);
        n = pread(captured, log, 1023, 0);
        assert_true(n >= 0);
        log[n] = 0;
        (void) close(captured);
        (void) close(fd);
        (void) unlink(path);
        if (r != 0)
                fail_msg("%s", problems ? problems : strerror(-r));
        return config;
}

static unsigned rights_of(Config *config, const char *front, const char *credential) {
        json_auto_t *frame = json_pack("{s:o}", "credential", json_loads(credential, 0, NULL));
        Ask ask = { .frame = frame, .config = config };

        assert_non_null(frame);
        for (size_t i = 0; i < config->n_fronts; i++)
                if (streq(config->fronts[i].plugin->name, front))
                        return front_identify(&ask, &config->fronts[i]);
        fail();
        return 0;
}

static void root_and_members_of_the_group_are_operators(void **state) {
        static const struct {
                const char *credential;
                bool operator;
        } table[] = {
                { "{\"uid\": 0, \"gid\": 0, \"pid\": 1, \"groups\": []}", true },
                { "{\"uid\": 0}", true },
                { "{\"uid\": 1000, \"gid\": 4242, \"groups\": []}", true },
                { "{\"uid\": 1000, \"gid\": 100, \"groups\": [4242]}", true },
                { "{\"uid\": 1000, \"gid\": 100, \"groups\": [0, 27, 4242, 5000]}", true },
                { "{\"uid\": 1000, \"gid\": 0, \"groups\": [0]}", false },
                { "{\"uid\": 1000, \"gid\": 100, \"groups\": [424, 42420]}", false },
                { "{\"uid\": 4242, \"gid\": 100, \"groups\": []}", false },
                { "{\"uid\": 1000, \"gid\": 100}", false },
                { "{\"uid\": 1000, \"gid\": 100, \"groups\": [4294971538]}", false },
                { "{\"uid\": 1000, \"gid\": \"4242\", \"groups\": [\"4242\", null, {}]}", false },
                { "{\"uid\": 1000, \"gid\": 100, \"groups\": {\"a\": 4242}}", false },
                { "{\"uid\": 1000, \"gid\": 100, \"groups\": 4242}", false },
                { "{\"uid\": \"0\", \"gid\": 4242}", false },
                { "{\"uid\": 0.0}", false },
                { "{\"uid\": -1, \"gid\": 100}", false },
                { "{\"gid\": 4242, \"groups\": [4242]}", false },
                { "{}", false },
                { "[]", false },
        };
        _cleanup_(config_unrefp) Config *config = NULL;
        char log[1024];

        (void) state;
        config = load(whole, log);
        for (size_t i = 0; i < N_ELEMENTS(table); i++) {
                bool is = rights_of(config, "operators", table[i].credential) &
                          FRONT_RIGHT_OPERATOR;

                if (is != table[i].operator)
                        fail_msg("%s: %d", table[i].credential, is);
                assert_int_equal(rights_of(config, "tenants", table[i].credential),
                                FRONT_RIGHT_NOBODY);
        }
}

static void the_name_service_is_asked_once_for_each_load(void **state) {
        char log[1024];

        (void) state;
        for (unsigned loads = 1; loads <= 2; loads++) {
                _cleanup_(config_unrefp) Config *config = load(whole, log);

                assert_true(config->has_operator_group);
                assert_int_equal(config->operator_group, GROUP);
                (void) rights_of(config, "operators", "{\"uid\": 1000, \"gid\": 100}");
                assert_int_equal(names.asked, loads);
                assert_string_equal(log, "");
        }
}

static void a_group_of_very_many_members_is_found(void **state) {
        _cleanup_(config_unrefp) Config *config = NULL;
        char log[1024];

        (void) state;
        names.needed = 1000000;
        config = load(whole, log);
        assert_true(config->has_operator_group);
        assert_int_equal(config->operator_group, GROUP);
}

static void without_the_group_root_is_the_only_operator_and_the_log_says_where(void **state) {
        static const int errors[] = { 0, ENOENT, EIO, ERANGE };
        char log[1024];

        (void) state;
        for (size_t i = 0; i < N_ELEMENTS(errors); i++) {
                _cleanup_(config_unrefp) Config *config = NULL;
                const char *place;

                names.error = errors[i];
                names.absent = true;
                config = load(whole, log);
                place = strstr(log, ":2: front operators: ");
                assert_non_null(place);
                assert_non_null(strstr(place, "vestibule-operator"));
                assert_non_null(strstr(place, "root is the only operator"));
                assert_true(!!strstr(place, "there is no group") ==
                                (errors[i] == 0 || errors[i] == ENOENT));
                assert_int_equal(rights_of(config,
                                                 "operators",
                                                 "{\"uid\": 1, \"gid\": 0, \"groups\": [0, 4242]}"),
                                FRONT_RIGHT_NOBODY);
                assert_true(rights_of(config, "operators", "{\"uid\": 0}") & FRONT_RIGHT_OPERATOR);
        }
}

static void without_a_front_for_operators_nothing_is_asked(void **state) {
        _cleanup_(config_unrefp) Config *config = NULL;
        char log[1024];

        (void) state;
        config = load(strstr(whole, "relay main"), log);
        assert_int_equal(names.asked, 0);
        assert_string_equal(log, "");
}

static int forget(void **state) {
        (void) state;
        memset(&names, 0, sizeof(names));
        return 0;
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup(root_and_members_of_the_group_are_operators, forget),
                cmocka_unit_test_setup(the_name_service_is_asked_once_for_each_load, forget),
                cmocka_unit_test_setup(a_group_of_very_many_members_is_found, forget),
                cmocka_unit_test_setup(
                                without_the_group_root_is_the_only_operator_and_the_log_says_where,
                                forget),
                cmocka_unit_test_setup(without_a_front_for_operators_nothing_is_asked, forget),
        };

        return cmocka_run_group_tests_name("gateway-front", tests, NULL, NULL);
}

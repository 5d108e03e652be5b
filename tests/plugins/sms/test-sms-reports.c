/* The map of carriers' ids: its bounds, its age, and its file. What it means to a channel is tested
 * there. */
#include "../../base/test.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include "sms-reports.h"
#include "time-text.h"

enum {
        NOW = 1795262400,
        DAY = 86400,
};

typedef struct Fixture {
        SmsReports *reports;
        char folder[40], path[64];
} Fixture;

static int setup(void **state) {
        Fixture *f = calloc(1, sizeof(*f));

        assert_non_null(f);
        (void) snprintf(f->folder, sizeof(f->folder), "/tmp/vestibule-test-XXXXXX");
        assert_non_null(mkdtemp(f->folder));
        (void) snprintf(f->path, sizeof(f->path), "%s/reports", f->folder);
        assert_int_equal(sms_reports_new(&f->reports), 0);
        *state = f;
        return 0;
}

static int teardown(void **state) {
        Fixture *f = *state;

        (void) sms_reports_free(f->reports);
        (void) unlink(f->path);
        assert_int_equal(rmdir(f->folder), 0); /* nothing else was left behind */
        free(f);
        return 0;
}

static void open_at(Fixture *f, int64_t now) {
        (void) sms_reports_free(f->reports);
        assert_int_equal(sms_reports_new(&f->reports), 0);
        assert_int_equal(sms_reports_open(f->reports, f->folder, now), 0);
}

static int add_parts(Fixture *f,
                const char *message,
                int64_t repeat,
                const char *const *ids,
                size_t n_parts,
                int64_t now) {
        return sms_reports_add(f->reports,
                        &(SmsReportsTaken){ .message = message,
                                        .repeat = repeat,
                                        .told = repeat,
                                        .ids = ids,
                                        .n_parts = n_parts },
                        now);
}

static void add(Fixture *f, const char *message, const char *id, int64_t now) {
        assert_int_equal(add_parts(f, message, 0, &id, 1, now), 0);
}

static SmsVerdict decide(Fixture *f, const char *id, SmsVerdictOn *ret) {
        SmsReport told = { .id = id, .outcome = SMPP_OUTCOME_DELIVERED };

        return sms_reports_note(f->reports, &told, SMS_EXPECTED_KNOWN, 0, ret);
}

/* As the channel does it when the gateway has it. */
static SmsVerdict report(Fixture *f, const char *id, int64_t now) {
        SmsVerdictOn on;
        SmsVerdict verdict = decide(f, id, &on);

        if (verdict == SMS_VERDICT_DELIVERED)
                sms_reports_end(f->reports, on.message, on.repeat, now);
        return verdict;
}

static void write_file(const Fixture *f, const char *text) {
        FILE *file = fopen(f->path, "we");

        assert_non_null(file);
        assert_true(fputs(text, file) >= 0);
        assert_int_equal(fclose(file), 0);
}

static size_t file_lines(const Fixture *f) {
        FILE *file = fopen(f->path, "re");
        size_t n = 0;

        assert_non_null(file);
        for (int c; (c = getc(file)) != EOF;)
                n += c == '\n';
        assert_int_equal(fclose(file), 0);
        return n;
}

static void a_message_is_forgotten_after_four_days(void **state) {
        Fixture *f = *state;

        open_at(f, NOW);
        add(f, "msg_1", "a1", NOW);
        add(f, "msg_2", "a2", NOW + DAY);
        add(f, "msg_3", "a3", NOW + 4 * DAY);
        assert_int_equal(sms_reports_count(f->reports), 3);
        add(f, "msg_4", "a4", NOW + 4 * DAY + 1);
        assert_int_equal(sms_reports_count(f->reports), 3);
        assert_int_equal(report(f, "a1", NOW + 4 * DAY + 1), SMS_VERDICT_NOTHING);
        open_at(f, NOW + 5 * DAY + 1);
        add(f, "msg_5", "a5", NOW + 5 * DAY + 1);
        assert_int_equal(sms_reports_count(f->reports), 3);
        assert_int_equal(report(f, "a2", NOW + 5 * DAY + 1), SMS_VERDICT_NOTHING);
        assert_int_equal(report(f, "a3", NOW + 5 * DAY + 1), SMS_VERDICT_DELIVERED);
}

static void a_clock_that_is_behind_costs_no_message(void **state) {
        Fixture *f = *state;

        write_file(f,
                        "t 1795266000 1 msg_1 a1\nt 1795262340 1 msg_2 a2\nt 99999999999 1 msg_3 "
                        "a3\n");
        open_at(f, NOW); /* an hour before the first, years before the last */
        assert_int_equal(sms_reports_count(f->reports), 3);
        open_at(f, 60); /* in 1970 */
        assert_int_equal(sms_reports_count(f->reports), 3);
        assert_int_equal(report(f, "a2", 61), SMS_VERDICT_DELIVERED);
        open_at(f, NOW + 1);
        add(f, "msg_4", "a4", NOW + 1);
        open_at(f, NOW + 2);
        assert_int_equal(report(f, "a3", NOW + 2), SMS_VERDICT_DELIVERED);
        assert_int_equal(report(f, "a1", NOW + 2), SMS_VERDICT_DELIVERED);
        assert_int_equal(report(f, "a4", NOW + 2), SMS_VERDICT_DELIVERED);
}

static void a_clock_that_is_ahead_costs_no_message(void **state) {
        const int64_t ahead = NOW + INT64_C(365) * DAY;
        Fixture *f = *state;

        open_at(f, NOW);
        add(f, "msg_1", "a1", NOW);
        open_at(f, ahead);
        assert_int_equal(sms_reports_count(f->reports), 1);
        add(f, "msg_2", "a2", ahead);
        add(f, "msg_3", "a3", ahead + 60);
        open_at(f, ahead + 61);
        assert_int_equal(sms_reports_count(f->reports), 3);
        add(f, "msg_4", "a4", NOW + 60); /* it is set right */
        add(f, "msg_5", "a5", NOW + 120);
        open_at(f, NOW + 180);
        assert_int_equal(sms_reports_count(f->reports), 5);
        assert_int_equal(report(f, "a1", NOW + 180), SMS_VERDICT_DELIVERED);
        add(f, "msg_6", "a6", NOW + 4 * DAY);
        add(f, "msg_7", "a7", NOW + 4 * DAY + 181);
        assert_int_equal(sms_reports_count(f->reports), 2);
}

/* Else the gateway is told of a message's repetition that it was sent, for as long as the clock was
 * ahead. */
static void a_clock_that_is_set_back_makes_no_doubt_last(void **state) {
        Fixture *f = *state;

        open_at(f, NOW);
        add(f, "msg_1", "a1", NOW + DAY);
        add(f, "msg_2", "a2", NOW);
        assert_true(sms_reports_in_doubt(f->reports, "msg_1", 0, NOW + 1));
        assert_false(sms_reports_in_doubt(f->reports, "msg_1", 0, NOW + SMS_REPORTS_DOUBT_SECONDS));
}

static void the_oldest_go_when_there_are_too_many(void **state) {
        Fixture *f = *state;
        char message[32];

        for (unsigned i = 0; i < SMS_REPORTS_MESSAGES_MAX + 3; i++) {
                (void) snprintf(message, sizeof(message), "msg_%u", i);
                add(f, message, message, NOW);
        }
        assert_int_equal(sms_reports_count(f->reports), SMS_REPORTS_MESSAGES_MAX);
        assert_int_equal(report(f, "msg_2", NOW), SMS_VERDICT_NOTHING);
        assert_int_equal(report(f, "msg_3", NOW), SMS_VERDICT_DELIVERED);
}

static void the_file_stays_small(void **state) {
        Fixture *f = *state;
        struct stat st;

        open_at(f, NOW);
        for (unsigned i = 0; i < 20000; i++) {
                add(f, "msg_1", "a1", NOW);
                assert_int_equal(report(f, "a1", NOW), SMS_VERDICT_DELIVERED);
        }
        assert_in_range(file_lines(f), 1, 4200);
        assert_int_equal(stat(f->path, &st), 0);
        assert_int_equal(st.st_mode & 0777, 0600);
        open_at(f, NOW + 3600);
        assert_in_range(file_lines(f), 0, 3); /* what ended last, that it ended, and the base */
}

/* A carrier whose answer was lost by a kill says it again. */
static void what_was_said_is_known_when_it_is_said_again(void **state) {
        static const char *const ids[] = { "b1", "b2" };
        SmsReport told = { .id = "a1", .outcome = SMPP_OUTCOME_DELIVERED };
        SmsVerdictOn on;
        Fixture *f = *state;

        open_at(f, NOW);
        assert_false(sms_reports_has_past(f->reports));
        add(f, "msg_1", "a1", NOW);
        assert_int_equal(add_parts(f, "msg_2", 0, ids, 2, NOW), 0);
        assert_int_equal(report(f, "a1", NOW + 3600), SMS_VERDICT_DELIVERED);
        assert_int_equal(report(f, "b2", NOW + 3600), SMS_VERDICT_NOTHING);
        for (int restarts = 0; restarts < 3; restarts++) {
                told.id = "a1";
                assert_int_equal(sms_reports_note(f->reports, &told, SMS_EXPECTED_UNKNOWN, 0, &on),
                                SMS_VERDICT_NOTHING);
                assert_string_equal(on.message, "msg_1");
                told.id = "b2";
                assert_int_equal(sms_reports_note(f->reports, &told, SMS_EXPECTED_UNKNOWN, 0, &on),
                                SMS_VERDICT_NOTHING);
                assert_string_equal(on.message, "msg_2");
                open_at(f, NOW + 3600);
                assert_true(sms_reports_has_past(f->reports));
        }
        assert_int_equal(sms_reports_held(f->reports), 0);
        told.id = "c1"; /* taken, perhaps, for the process that was killed */
        assert_int_equal(sms_reports_note(f->reports, &told, SMS_EXPECTED_UNKNOWN, 0, &on),
                        SMS_VERDICT_HELD);
}

/* A centre that was started again counts from the beginning. */
static void an_id_that_ended_may_be_given_to_another_message(void **state) {
        SmsReport told = { .id = "a1", .outcome = SMPP_OUTCOME_DELIVERED, .token = 7 };
        SmsVerdict verdict;
        SmsVerdictOn on;
        Fixture *f = *state;

        open_at(f, NOW);
        add(f, "msg_1", "a1", NOW);
        assert_int_equal(report(f, "a1", NOW), SMS_VERDICT_DELIVERED);
        add(f, "msg_2", "a1", NOW);
        assert_int_equal(decide(f, "a1", &on), SMS_VERDICT_DELIVERED);
        assert_string_equal(on.message, "msg_2");
        sms_reports_end(f->reports, "msg_2", 0, NOW);
        /* It overtakes the answer that gives the id to a third one. */
        assert_int_equal(sms_reports_note(f->reports, &told, SMS_EXPECTED_ANY, 0, &on),
                        SMS_VERDICT_HELD);
        add(f, "msg_3", "a3", NOW);
        assert_false(sms_reports_match(f->reports, 0, &verdict, &on));
        add(f, "msg_4", "a1", NOW);
        assert_true(sms_reports_match(f->reports, 0, &verdict, &on));
        assert_int_equal(verdict, SMS_VERDICT_DELIVERED);
        assert_string_equal(on.message, "msg_4");
        assert_int_equal(on.token, 7);
}

static void what_has_ended_is_not_kept_for_long(void **state) {
        Fixture *f = *state;
        char message[32];

        open_at(f, NOW);
        for (unsigned i = 0; i < SMS_REPORTS_ENDED_MAX + 3; i++) {
                (void) snprintf(message, sizeof(message), "msg_%u", i);
                add(f, message, message, NOW);
                assert_int_equal(report(f, message, NOW), SMS_VERDICT_DELIVERED);
        }
        assert_int_equal(sms_reports_count(f->reports), 0);
        assert_int_equal(sms_reports_ended(f->reports), SMS_REPORTS_ENDED_MAX);
        open_at(f, NOW);
        assert_int_equal(sms_reports_ended(f->reports), SMS_REPORTS_ENDED_MAX);
        assert_true(sms_reports_in_doubt(f->reports, message, 0, NOW));
        add(f, "msg_a", "a", NOW + 301);
        assert_int_equal(sms_reports_ended(f->reports), 0);
}

static void what_was_delivered_in_part_survives_each_restart(void **state) {
        static const char *const ids[] = { "a1", "a2" };
        Fixture *f = *state;

        open_at(f, NOW);
        assert_int_equal(add_parts(f, "msg_1", 0, ids, 2, NOW), 0);
        assert_int_equal(report(f, "a1", NOW), SMS_VERDICT_NOTHING);
        for (int64_t i = 1; i <= 3; i++)
                open_at(f, NOW + i * DAY);
        assert_int_equal(report(f, "a2", NOW + 3 * DAY), SMS_VERDICT_DELIVERED);
}

static void what_cannot_be_is_left_out(void **state) {
        Fixture *f = *state;
        char *end;

        write_file(f,
                        "t 1795262400 1 msg_1 a1\n"
                        "nonsense\n"
                        "t 1795262400 2 msg_2 a2\n"     /* an id is missing */
                        "t 1795262400 1 msg_3 a3 a4\n"  /* one too many */
                        "t 1795262400 256 msg_4\n"      /* so many there are never */
                        "t 1795262400 0 msg_5\n"        /* nor so few */
                        "t 1000000000000 1 msg_6 a6\n"  /* after all times */
                        "t 1795262400 1 ../msg a7\n"    /* no message of ours */
                        "t 1795262400 1 msg_8 %0\n"     /* half a byte */
                        "t 1795262400 1 msg_9 %00\n"    /* a NUL */
                        "t 1795262400 1 msg_10 a%201\n" /* good */
                        "s 7 msg_1\nd msg_77\n"
                        "t 1795262400 1 msg_11 a11"); /* cut off */
        open_at(f, NOW);
        assert_int_equal(sms_reports_count(f->reports), 2);
        assert_int_equal(report(f, "a 1", NOW), SMS_VERDICT_DELIVERED);
        assert_int_equal(report(f, "a1", NOW), SMS_VERDICT_DELIVERED);
        assert_int_equal(report(f, "a11", NOW), SMS_VERDICT_NOTHING);
        /* A line that never ends. */
        end = malloc(200000);
        assert_non_null(end);
        memset(end, 'x', 199999);
        end[199999] = '\0';
        memcpy(end + 199000, "\nt 1795262400 1 msg_1 a1\n", 25);
        write_file(f, end);
        free(end);
        open_at(f, NOW);
        assert_int_equal(sms_reports_count(f->reports), 1);
}

/* No file grows beyond it; -1: as large as they like. */
static int limit_files(int64_t size) {
        struct rlimit limit;

        (void) signal(SIGXFSZ, SIG_IGN);
        if (getrlimit(RLIMIT_FSIZE, &limit) < 0)
                return -1;
        limit.rlim_cur = size < 0 ? limit.rlim_max : (rlim_t) size;
        return setrlimit(RLIMIT_FSIZE, &limit);
}

static void a_full_disk_costs_no_line_but_its_own(void **state) {
        struct stat st, full;
        const char *id = "a2";
        Fixture *f = *state;

        open_at(f, NOW);
        add(f, "msg_1", "a1", NOW);
        assert_int_equal(stat(f->path, &st), 0);
        /* As good as full: no more than some bytes fit into a file. */
        assert_int_equal(limit_files(st.st_size + 5), 0);
        assert_true(add_parts(f, "msg_2", 0, &id, 1, NOW) < 0);
        assert_true(sms_reports_in_doubt(f->reports, "msg_2", 0, NOW + DAY)); /* not forgotten */
        assert_true(sms_reports_write(f->reports, "msg_2") < 0);
        assert_int_equal(limit_files(-1), 0);
        assert_int_equal(stat(f->path, &full), 0);
        assert_int_equal(full.st_size, st.st_size);
        add(f, "msg_3", "a3", NOW);
        assert_int_equal(sms_reports_write(f->reports, "msg_2"), 0);
        assert_false(sms_reports_in_doubt(f->reports, "msg_2", 0, NOW + DAY));
        open_at(f, NOW);
        assert_int_equal(sms_reports_count(f->reports), 3);
        assert_int_equal(report(f, "a2", NOW), SMS_VERDICT_DELIVERED);
        assert_int_equal(report(f, "a3", NOW), SMS_VERDICT_DELIVERED);
}

static void a_folder_that_is_none_is_told(void **state) {
        Fixture *f = *state;

        assert_int_equal(sms_reports_open(f->reports, "/proc/none", NOW), -ENOENT);
        add(f, "msg_1", "a1", NOW);
        assert_int_equal(report(f, "a1", NOW), SMS_VERDICT_DELIVERED);
}

static void a_link_in_the_place_of_the_file_is_not_followed(void **state) {
        Fixture *f = *state;

        assert_int_equal(symlink("/etc/passwd", f->path), 0);
        assert_int_equal(sms_reports_open(f->reports, f->folder, NOW), -ELOOP);
}

static void what_was_just_taken_is_in_doubt_after_a_restart(void **state) {
        Fixture *f = *state;

        open_at(f, NOW);
        add(f, "msg_1", "a1", NOW);
        add(f, "msg_2", "a2", NOW + 200);
        assert_true(sms_reports_in_doubt(f->reports, "msg_2", 0, NOW + 499));
        assert_false(sms_reports_in_doubt(f->reports, "msg_2", 0, NOW + 500));
        assert_int_equal(report(f, "a2", NOW + 200), SMS_VERDICT_DELIVERED); /* quick */
        open_at(f, NOW + 400);
        assert_false(sms_reports_in_doubt(f->reports, "msg_1", 0, NOW + 400)); /* long ago */
        assert_true(sms_reports_in_doubt(f->reports, "msg_2", 0, NOW + 400));
        open_at(f, NOW + 450);
        assert_false(sms_reports_in_doubt(f->reports, "msg_2", 0, NOW + 450 + 301));
}

static void each_wanted_repetition_is_taken_for_itself(void **state) {
        const char *id = "a2";
        Fixture *f = *state;

        open_at(f, NOW);
        add(f, "msg_1", "a1", NOW);
        assert_false(sms_reports_in_doubt(f->reports, "msg_1", 1, NOW));
        assert_int_equal(add_parts(f, "msg_1", 1, &id, 1, NOW), 0);
        for (int i = 0; i < 3; i++) {
                assert_true(sms_reports_in_doubt(f->reports, "msg_1", 1, NOW));
                assert_false(sms_reports_in_doubt(f->reports, "msg_1", 2, NOW));
                open_at(f, NOW);
        }
        assert_int_equal(report(f, "a2", NOW), SMS_VERDICT_DELIVERED);
        assert_true(sms_reports_in_doubt(f->reports, "msg_1", 1, NOW));
}

static void what_the_gateway_does_not_know_is_decided_again(void **state) {
        static const char *const ids[] = { "a1", "a2" };
        SmsVerdictOn on;
        Fixture *f = *state;

        open_at(f, NOW);
        assert_int_equal(add_parts(f, "msg_1", 3, ids, 2, NOW), 0);
        assert_int_equal(decide(f, "a1", &on), SMS_VERDICT_NOTHING);
        for (int i = 0; i < 2; i++) {
                assert_int_equal(decide(f, "a2", &on), SMS_VERDICT_DELIVERED);
                assert_string_equal(on.message, "msg_1");
                assert_int_equal(on.repeat, 3);
                open_at(f, NOW + 1);
        }
        assert_int_equal(decide(f, "a2", &on), SMS_VERDICT_DELIVERED);
        sms_reports_undo(f->reports, "msg_1", 3);
        assert_int_equal(decide(f, "a2", &on), SMS_VERDICT_DELIVERED);
        sms_reports_end(f->reports, "msg_1", 2, NOW); /* of a former repetition */
        assert_int_equal(sms_reports_count(f->reports), 1);
        sms_reports_end(f->reports, "msg_1", 3, NOW);
        assert_int_equal(decide(f, "a2", &on), SMS_VERDICT_NOTHING);
        open_at(f, NOW + 2);
        assert_int_equal(decide(f, "a2", &on), SMS_VERDICT_NOTHING);
}

/* Carriers repeat reports, and one that counts has given the same number in another base to another
 * message. */
static void a_repeated_report_is_not_booked_on_another_message(void **state) {
        SmsVerdictOn on;
        Fixture *f = *state;

        add(f, "msg_1", "10", NOW);
        add(f, "msg_2", "0a", NOW);
        for (int i = 0; i < 3; i++) {
                assert_int_equal(decide(f, "10", &on), SMS_VERDICT_DELIVERED);
                assert_string_equal(on.message, "msg_1");
        }
        sms_reports_end(f->reports, "msg_1", 0, NOW);
        assert_int_equal(decide(f, "10", &on), SMS_VERDICT_NOTHING);
        assert_int_equal(decide(f, "0A", &on), SMS_VERDICT_DELIVERED);
        assert_string_equal(on.message, "msg_2");
}

/* Learned from reports that can be about one message only, and known to the next process; another
 * carrier has its own way. */
static void a_carrier_reports_in_one_base(void **state) {
        char id[16], said[16];
        SmsVerdictOn on;
        Fixture *f = *state;

        open_at(f, NOW);
        for (unsigned i = 0; i < SMS_REPORTS_SURE_AFTER; i++) {
                (void) snprintf(id, sizeof(id), "%x", 0x1a0 + i);
                (void) snprintf(said, sizeof(said), "%u", 0x1a0 + i);
                add(f, "msg_1", id, NOW);
                assert_int_equal(report(f, said, NOW), SMS_VERDICT_DELIVERED);
        }
        open_at(f, NOW + 1000);
        add(f, "msg_2", "10", NOW + 1000);
        assert_int_equal(decide(f, "10", &on), SMS_VERDICT_NOTHING); /* of 0a, which is forgotten */
        assert_int_equal(decide(f, "16", &on), SMS_VERDICT_DELIVERED);
        assert_string_equal(on.message, "msg_2");
        /* What can be no other message's is taken in each base. */
        add(f, "msg_3", "1234567", NOW + 1000);
        assert_int_equal(decide(f, "1234567", &on), SMS_VERDICT_DELIVERED);
        assert_string_equal(on.message, "msg_3");

        (void) sms_reports_free(f->reports);
        assert_int_equal(sms_reports_new(&f->reports), 0);
        sms_reports_set_way(f->reports, 7);
        assert_int_equal(sms_reports_open(f->reports, f->folder, NOW + 1000), 0);
        assert_int_equal(decide(f, "10", &on), SMS_VERDICT_DELIVERED);
        assert_string_equal(on.message, "msg_2");
}

/* As often as the gateway has no time for it. */
static void one_report_proves_no_base_by_coming_again(void **state) {
        SmsVerdictOn on;
        Fixture *f = *state;

        open_at(f, NOW);
        add(f, "msg_1", "10", NOW);
        for (unsigned i = 0; i < 2 * SMS_REPORTS_SURE_AFTER; i++) {
                assert_int_equal(decide(f, "16", &on), SMS_VERDICT_DELIVERED);
                sms_reports_undo(f->reports, "msg_1", 0);
        }
        assert_int_equal(decide(f, "10", &on), SMS_VERDICT_DELIVERED); /* the very id still is */
}

static void add_part(Fixture *f, unsigned part, const char *id) {
        assert_int_equal(sms_reports_add_part(f->reports, "msg_1", 2, 3, part, id, NOW), 0);
}

static void what_is_said_of_parts_is_kept_until_all_are_taken(void **state) {
        static const char *const ids[] = { "a1", "a2", "a3" };
        SmsSegmentTaken taken[3];
        SmsVerdictOn on;
        Fixture *f = *state;

        open_at(f, NOW);
        add(f, "msg_1", "z9", NOW); /* the first copy, which is reported about in the meantime */
        add_part(f, 1, "a2");
        add_part(f, 0, "a1");
        assert_int_equal(decide(f, "a2", &on), SMS_VERDICT_NOTHING);
        assert_string_equal(on.message, "msg_1");
        for (int restarts = 0; restarts < 3; restarts++) {
                assert_true(sms_reports_parts(f->reports, "msg_1", 2, taken, 3));
                assert_true(taken[0].is_taken && taken[1].is_taken && !taken[2].is_taken);
                assert_string_equal(taken[1].id, "a2");
                assert_false(sms_reports_parts(f->reports, "msg_1", 1, taken, 3));
                assert_false(sms_reports_parts(f->reports, "msg_1", 2, taken, 2));
                assert_true(sms_reports_has_parts(f->reports, "msg_1"));
                assert_int_equal(decide(f, "z9", &on), SMS_VERDICT_DELIVERED);
                assert_int_equal(on.repeat, 0);
                open_at(f, NOW + 3600);
        }
        assert_int_equal(add_parts(f, "msg_1", 2, ids, 3, NOW), 0);
        assert_false(sms_reports_has_parts(f->reports, "msg_1"));
        assert_int_equal(decide(f, "a1", &on), SMS_VERDICT_NOTHING);
        open_at(f, NOW + 3600);
        assert_int_equal(decide(f, "a3", &on), SMS_VERDICT_DELIVERED);
        assert_int_equal(on.repeat, 2);
}

/* A phone joins what comes from one sender only. */
static void parts_that_left_another_way_are_not_gone_on_with(void **state) {
        SmsSegmentTaken taken[3];
        Fixture *f = *state;

        open_at(f, NOW);
        add_part(f, 0, "a1");
        (void) sms_reports_free(f->reports);
        assert_int_equal(sms_reports_new(&f->reports), 0);
        sms_reports_set_way(f->reports, 7);
        assert_int_equal(sms_reports_open(f->reports, f->folder, NOW), 0);
        assert_false(sms_reports_parts(f->reports, "msg_1", 2, taken, 3));
        add_part(f, 2, "b3");
        assert_true(sms_reports_parts(f->reports, "msg_1", 2, taken, 3));
        assert_true(!taken[0].is_taken && taken[2].is_taken);
}

static void a_part_that_failed_early_is_known_when_all_are_taken(void **state) {
        static const char *const ids[] = { "a1", "a2", "a3" };
        SmsReport told = { .id = "a2", .outcome = SMPP_OUTCOME_EXPIRED };
        SmsVerdictOn on;
        Fixture *f = *state;

        open_at(f, NOW);
        add_part(f, 1, "a2");
        assert_int_equal(sms_reports_failure(f->reports, "msg_1", 2), SMPP_OUTCOME_UNKNOWN);
        assert_int_equal(sms_reports_note(f->reports, &told, SMS_EXPECTED_KNOWN, 0, &on),
                        SMS_VERDICT_NOTHING);
        for (int restarts = 0; restarts < 3; restarts++) {
                assert_int_equal(sms_reports_failure(f->reports, "msg_1", 2), SMPP_OUTCOME_EXPIRED);
                assert_int_equal(sms_reports_failure(f->reports, "msg_1", 3), SMPP_OUTCOME_UNKNOWN);
                open_at(f, NOW);
        }
        assert_int_equal(add_parts(f, "msg_1", 2, ids, 3, NOW), 0);
        for (int restarts = 0; restarts < 3; restarts++) {
                assert_int_equal(sms_reports_failure(f->reports, "msg_1", 2), SMPP_OUTCOME_EXPIRED);
                assert_int_equal(decide(f, "a1", &on), SMS_VERDICT_NOTHING);
                assert_int_equal(sms_reports_count(f->reports), 0);
                open_at(f, NOW);
        }
}

static void one_folder_is_one_processes(void **state) {
        SmsReports *other = NULL;
        Fixture *f = *state;

        open_at(f, NOW);
        assert_int_equal(sms_reports_new(&other), 0);
        assert_int_equal(sms_reports_open(other, f->folder, NOW), -EBUSY);
        (void) sms_reports_free(other);
        add(f, "msg_1", "a1", NOW);
        open_at(f, NOW);
        assert_int_equal(report(f, "a1", NOW), SMS_VERDICT_DELIVERED);
}

/* The carrier was told of the repetition before, and names that in its reports. */
static void a_report_names_the_repetition_that_the_carrier_was_told(void **state) {
        SmsReport said = { .message = "msg_1", .repeat = 1, .outcome = SMPP_OUTCOME_FAILED };
        SmsVerdictOn on;
        Fixture *f = *state;

        open_at(f, NOW);
        assert_int_equal(sms_reports_add(f->reports,
                                         &(SmsReportsTaken){ .message = "msg_1",
                                                         .repeat = 3,
                                                         .told = 1,
                                                         .n_parts = 1 },
                                         NOW),
                        0);
        open_at(f, NOW);
        assert_true(sms_reports_in_doubt(f->reports, "msg_1", 3, NOW));
        said.repeat = 0; /* of the one before */
        assert_int_equal(sms_reports_note(f->reports, &said, SMS_EXPECTED_KNOWN, 0, &on),
                        SMS_VERDICT_NOTHING);
        said.repeat = 1;
        assert_int_equal(sms_reports_note(f->reports, &said, SMS_EXPECTED_KNOWN, 0, &on),
                        SMS_VERDICT_FAILED);
        assert_int_equal(on.repeat, 3);
}

/* A process that begins while the disk is full knows what there is, and has the lock; what it adds
 * is not said to be there until it is. Half a line that it found says nothing afterwards either. */
static void a_disk_that_is_full_at_the_start_may_have_room_later(void **state) {
        const char *id = "a2";
        Fixture *f = *state;

        write_file(f, "t 1795262400 1 msg_1 a1\nt 1795262400 1 msg_9 a9");
        assert_int_equal(limit_files(0), 0);
        open_at(f, NOW);
        assert_true(add_parts(f, "msg_2", 0, &id, 1, NOW) < 0);
        assert_true(sms_reports_write(f->reports, "msg_2") < 0);
        assert_int_equal(limit_files(-1), 0);
        assert_int_equal(sms_reports_write(f->reports, "msg_2"), 0);
        open_at(f, NOW);
        assert_int_equal(sms_reports_count(f->reports), 2);
        assert_int_equal(report(f, "a1", NOW), SMS_VERDICT_DELIVERED);
        assert_int_equal(report(f, "a2", NOW), SMS_VERDICT_DELIVERED);
}

/* There are centres that answer some segments so; a report about such a one names nothing. */
static void a_part_without_an_id_loses_none_of_the_others(void **state) {
        static const char *const ids[] = { "a1", "" };
        SmsSegmentTaken taken[3];
        Fixture *f = *state;

        open_at(f, NOW);
        assert_int_equal(add_parts(f, "msg_1", 0, ids, 2, NOW), 0);
        assert_int_equal(sms_reports_add_part(f->reports, "msg_2", 0, 3, 1, "", NOW), 0);
        open_at(f, NOW);
        assert_int_equal(sms_reports_count(f->reports), 2);
        assert_true(sms_reports_in_doubt(f->reports, "msg_1", 0, NOW));
        assert_true(sms_reports_parts(f->reports, "msg_2", 0, taken, 3));
        assert_true(taken[1].is_taken);
        assert_string_equal(taken[1].id, "");
        assert_int_equal(report(f, "", NOW), SMS_VERDICT_NOTHING);
        assert_int_equal(report(f, "a1", NOW), SMS_VERDICT_NOTHING); /* a part of two */
}

static void a_part_that_is_not_on_the_disk_stays_with_the_carrier(void **state) {
        static const char *const ids[] = { "a1", "a2" };
        struct stat st;
        Fixture *f = *state;

        open_at(f, NOW);
        assert_int_equal(add_parts(f, "msg_1", 0, ids, 2, NOW), 0);
        assert_int_equal(stat(f->path, &st), 0);
        assert_int_equal(limit_files(st.st_size + 3), 0);
        assert_int_equal(report(f, "a1", NOW), SMS_VERDICT_LATER);
        assert_int_equal(report(f, "a1", NOW), SMS_VERDICT_LATER);
        assert_int_equal(limit_files(-1), 0);
        assert_int_equal(report(f, "a1", NOW), SMS_VERDICT_NOTHING);
        open_at(f, NOW);
        assert_int_equal(report(f, "a2", NOW), SMS_VERDICT_DELIVERED);
}

static void what_has_arrived_in_part_is_not_taken_back(void **state) {
        static const char *const ids[] = { "a1", "a2" };
        const char **found;
        bool has_copies;
        SmsVerdictOn on;
        size_t n;
        Fixture *f = *state;

        assert_int_equal(add_parts(f, "msg_1", 2, ids, 2, NOW), 0);
        assert_true(sms_reports_ids(f->reports, "msg_1", &found, &n, &has_copies));
        assert_int_equal(n, 2);
        assert_string_equal(found[1], "a2");
        assert_true(has_copies); /* of the repetitions before */
        free(found);
        assert_int_equal(decide(f, "a2", &on), SMS_VERDICT_NOTHING);
        assert_false(sms_reports_ids(f->reports, "msg_1", &found, &n, &has_copies));
        assert_null(found);
}

/* Of carriers that name our message. */
static void a_report_about_a_former_repetition_fails_nothing(void **state) {
        SmsReport told = { .message = "msg_1", .repeat = 1, .outcome = SMPP_OUTCOME_FAILED };
        SmsVerdict verdict;
        SmsVerdictOn on;
        Fixture *f = *state;

        assert_int_equal(add_parts(f, "msg_1", 0, NULL, 1, NOW), 0);
        assert_int_equal(sms_reports_note(f->reports, &told, SMS_EXPECTED_ANY, 0, &on),
                        SMS_VERDICT_HELD);
        assert_false(sms_reports_match(f->reports, 0, &verdict, &on)); /* it overtakes its answer */
        assert_int_equal(add_parts(f, "msg_1", 1, NULL, 1, NOW), 0);
        assert_true(sms_reports_match(f->reports, 0, &verdict, &on));
        assert_int_equal(verdict, SMS_VERDICT_FAILED);
        assert_int_equal(on.repeat, 1);
        sms_reports_undo(f->reports, "msg_1", 1);
        told.repeat = 0;
        assert_int_equal(sms_reports_note(f->reports, &told, SMS_EXPECTED_ANY, 0, &on),
                        SMS_VERDICT_NOTHING);
        told.outcome = SMPP_OUTCOME_DELIVERED; /* the telephone has it */
        assert_int_equal(sms_reports_note(f->reports, &told, SMS_EXPECTED_ANY, 0, &on),
                        SMS_VERDICT_DELIVERED);
        told.message = "no/message";
        assert_int_equal(sms_reports_note(f->reports, &told, SMS_EXPECTED_ANY, 0, &on),
                        SMS_VERDICT_NOTHING);
        assert_int_equal(sms_reports_held(f->reports), 0);
}

/* --- Held --- */

static SmsVerdict hold(Fixture *f, const char *id, uint64_t token, uint64_t second, uint64_t *ret) {
        SmsReport told = { .id = id, .outcome = SMPP_OUTCOME_DELIVERED, .token = token };
        SmsVerdictOn on;
        SmsVerdict verdict = sms_reports_note(
                        f->reports, &told, SMS_EXPECTED_ANY, second * USEC_PER_SEC, &on);

        if (ret)
                *ret = on.token;
        return verdict;
}

static bool hands_back(Fixture *f, uint64_t second, uint64_t expected) {
        uint64_t token;

        if (!sms_reports_hand_back(f->reports, second * USEC_PER_SEC, &token))
                return false;
        assert_int_equal(token, expected);
        return true;
}

static void a_held_report_is_its_carriers_after_a_while(void **state) {
        SmsVerdict verdict;
        SmsVerdictOn on;
        Fixture *f = *state;

        assert_true(sms_reports_due(f->reports) == UINT64_MAX);
        assert_int_equal(hold(f, "z1", 1, 100, NULL), SMS_VERDICT_HELD);
        assert_int_equal(hold(f, "z2", 2, 101, NULL), SMS_VERDICT_HELD);
        assert_int_equal(sms_reports_due(f->reports), 102 * USEC_PER_SEC);
        assert_false(hands_back(f, 101, 0));
        assert_true(hands_back(f, 102, 1));
        assert_false(hands_back(f, 102, 0));
        add(f, "msg_1", "z2", NOW);
        add(f, "msg_2", "z1", NOW);
        /* The carrier waits for one, and will bring the other: both count. */
        for (uint64_t token = 0; token <= 2; token += 2) {
                assert_true(sms_reports_match(f->reports, 160 * USEC_PER_SEC, &verdict, &on));
                assert_int_equal(verdict, SMS_VERDICT_DELIVERED);
                assert_int_equal(on.token, token);
                assert_string_equal(on.message, token ? "msg_1" : "msg_2");
        }
        assert_false(sms_reports_match(f->reports, 160 * USEC_PER_SEC, &verdict, &on));
        assert_int_equal(sms_reports_held(f->reports), 0);
        assert_true(sms_reports_due(f->reports) == UINT64_MAX);
}

static void a_report_that_is_held_twice_is_waited_for_once(void **state) {
        uint64_t former;
        Fixture *f = *state;

        assert_int_equal(hold(f, "z1", 1, 100, &former), SMS_VERDICT_HELD);
        assert_int_equal(former, 0);
        assert_int_equal(hold(f, "z1", 2, 101, &former), SMS_VERDICT_HELD);
        assert_int_equal(former, 1);
        assert_int_equal(sms_reports_held(f->reports), 1);
        assert_false(hands_back(f, 102, 0));
        assert_true(hands_back(f, 103, 2));
}

/* Else a centre that speaks of another's messages would be told "later" for as long as we send. */
static void a_report_about_nothing_of_ours_is_ended_with_the_minute(void **state) {
        SmsVerdict verdict;
        SmsVerdictOn on;
        Fixture *f = *state;

        assert_int_equal(hold(f, "z1", 1, 100, NULL), SMS_VERDICT_HELD);
        assert_true(hands_back(f, 102, 1));
        assert_int_equal(hold(f, "z1", 2, 102, NULL), SMS_VERDICT_LATER); /* waited for once */
        assert_int_equal(hold(f, "z1", 2, 160, NULL), SMS_VERDICT_LATER);
        assert_false(hands_back(f, 165, 0));
        add(f, "msg_1", "z1", NOW); /* another message that got the same id */
        assert_false(sms_reports_match(f->reports, 161 * USEC_PER_SEC, &verdict, &on));
        sms_reports_end(f->reports, "msg_1", 0, NOW);
        assert_int_equal(hold(f, "z1", 3, 161, NULL), SMS_VERDICT_NOTHING);
        assert_int_equal(sms_reports_held(f->reports), 0);
}

/* A carrier that hands in strictly in order is kept waiting for what had left when it spoke, and
 * not for what leaves afterwards. */
static void a_report_waits_for_what_had_left_before_it(void **state) {
        uint64_t token;
        Fixture *f = *state;

        sms_reports_set_under_way(f->reports, 9, 4);
        assert_int_equal(hold(f, "z1", 1, 100, NULL), SMS_VERDICT_HELD);
        assert_int_equal(hold(f, "z2", 2, 100, NULL), SMS_VERDICT_HELD);
        assert_true(hands_back(f, 102, 1));
        sms_reports_set_under_way(f->reports, 12, 9);
        assert_int_equal(hold(f, "z3", 3, 102, NULL), SMS_VERDICT_HELD);
        assert_false(sms_reports_release(f->reports, &token));
        assert_int_equal(hold(f, "z1", 4, 102, NULL), SMS_VERDICT_LATER);
        sms_reports_set_under_way(f->reports, 13, 10);
        assert_true(sms_reports_release(f->reports, &token));
        assert_int_equal(token, 2);
        assert_false(sms_reports_release(f->reports, &token)); /* z3 waits for the twelfth */
        assert_int_equal(hold(f, "z1", 5, 102, NULL), SMS_VERDICT_NOTHING);
        assert_int_equal(sms_reports_held(f->reports), 1);
        sms_reports_set_under_way(f->reports, 13, UINT64_MAX);
        assert_true(sms_reports_release(f->reports, &token));
        assert_int_equal(token, 3);
}

/* Nobody repeated the first, which was about nothing of ours. */
static void what_is_told_days_later_is_another_report(void **state) {
        SmsVerdict verdict;
        SmsVerdictOn on;
        Fixture *f = *state;

        assert_int_equal(hold(f, "z1", 1, 100, NULL), SMS_VERDICT_HELD);
        assert_true(hands_back(f, 102, 1));
        assert_int_equal(hold(f, "z1", 2, 90000, NULL), SMS_VERDICT_HELD);
        assert_int_equal(sms_reports_held(f->reports), 1);
        add(f, "msg_1", "z1", NOW); /* it has overtaken this answer */
        assert_true(sms_reports_match(f->reports, 90001 * USEC_PER_SEC, &verdict, &on));
        assert_int_equal(verdict, SMS_VERDICT_DELIVERED);
        assert_int_equal(on.token, 2);
}

static void held_reports_are_few(void **state) {
        uint64_t token;
        Fixture *f = *state;
        char id[16];

        for (unsigned i = 0; i < SMS_REPORTS_HELD_MAX; i++) {
                (void) snprintf(id, sizeof(id), "z%u", i);
                assert_int_equal(hold(f, id, i + 1, 100, NULL), SMS_VERDICT_HELD);
        }
        assert_int_equal(hold(f, "one more", 7777, 100, NULL), SMS_VERDICT_LATER);
        assert_int_equal(sms_reports_held(f->reports), SMS_REPORTS_HELD_MAX);
        for (unsigned i = 0; i < SMS_REPORTS_HELD_MAX; i++)
                assert_true(hands_back(f, 105, i + 1));
        assert_false(sms_reports_hand_back(f->reports, UINT64_MAX, &token));
        /* What its carrier has again makes room. */
        assert_int_equal(hold(f, "one more", 7777, 106, NULL), SMS_VERDICT_HELD);
        assert_int_equal(sms_reports_held(f->reports), SMS_REPORTS_HELD_MAX);
        assert_int_equal(hold(f, "z2", 1, 150, NULL), SMS_VERDICT_LATER);
        assert_int_equal(hold(f, "z0", 1, 170, NULL), SMS_VERDICT_HELD); /* forgotten: as new */
        assert_int_equal(hold(f, "z2", 1, 170, NULL), SMS_VERDICT_NOTHING);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void) {
        static const struct CMUnitTest tests[] = {
                TEST(a_message_is_forgotten_after_four_days),
                TEST(a_clock_that_is_behind_costs_no_message),
                TEST(a_clock_that_is_ahead_costs_no_message),
                TEST(a_clock_that_is_set_back_makes_no_doubt_last),
                TEST(the_oldest_go_when_there_are_too_many),
                TEST(the_file_stays_small),
                TEST(what_was_said_is_known_when_it_is_said_again),
                TEST(an_id_that_ended_may_be_given_to_another_message),
                TEST(what_has_ended_is_not_kept_for_long),
                TEST(what_was_delivered_in_part_survives_each_restart),
                TEST(what_cannot_be_is_left_out),
                TEST(a_full_disk_costs_no_line_but_its_own),
                TEST(a_disk_that_is_full_at_the_start_may_have_room_later),
                TEST(a_part_without_an_id_loses_none_of_the_others),
                TEST(a_folder_that_is_none_is_told),
                TEST(a_link_in_the_place_of_the_file_is_not_followed),
                TEST(what_was_just_taken_is_in_doubt_after_a_restart),
                TEST(each_wanted_repetition_is_taken_for_itself),
                TEST(what_the_gateway_does_not_know_is_decided_again),
                TEST(a_repeated_report_is_not_booked_on_another_message),
                TEST(a_carrier_reports_in_one_base),
                TEST(one_report_proves_no_base_by_coming_again),
                TEST(what_is_said_of_parts_is_kept_until_all_are_taken),
                TEST(parts_that_left_another_way_are_not_gone_on_with),
                TEST(a_part_that_failed_early_is_known_when_all_are_taken),
                TEST(one_folder_is_one_processes),
                TEST(a_report_names_the_repetition_that_the_carrier_was_told),
                TEST(a_part_that_is_not_on_the_disk_stays_with_the_carrier),
                TEST(what_has_arrived_in_part_is_not_taken_back),
                TEST(a_report_about_a_former_repetition_fails_nothing),
                TEST(a_held_report_is_its_carriers_after_a_while),
                TEST(a_report_that_is_held_twice_is_waited_for_once),
                TEST(a_report_about_nothing_of_ours_is_ended_with_the_minute),
                TEST(a_report_waits_for_what_had_left_before_it),
                TEST(what_is_told_days_later_is_another_report),
                TEST(held_reports_are_few),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}

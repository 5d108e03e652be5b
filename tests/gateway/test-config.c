/* The configuration: what is accepted, and that everything else is refused with its place and a
 * reason. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka wants the four above first */
#include <cmocka.h>
#include <errno.h>
#include <stdio.h>
#include <sys/stat.h>
#include <syslog.h>
#include <unistd.h>

#include "config.h"

#define ENTRY "\"abcdefgh:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\""
#define ENTRY_2 "\"bbbbbbbb:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\""

#define PARTS                                                                                     \
        "front tenants { listen = { \"127.0.0.1:8480\" } }\n"                                     \
        "relay main { url = \"https://relay.example.org\" }\n"                                    \
        "channel xmpp { mode = component  jid = keys.example.org  host = 127.0.0.1  port = 5347 " \
        "}\n"                                                                                     \
        "channel echo { exec = { /usr/lib/echo, \"a b\" }  listen = /run/echo }\n"
#define POLICY "policy hotel { class = hotel  channels = { xmpp, echo } }\n"
#define TENANT                                                    \
        "tenant adler { name = \"Hotel Adler\"  token = { " ENTRY \
        " }  policies = { hotel }  relay = main }\n"
#define WHOLE PARTS POLICY TENANT

static Config *parse_good(const char *text) {
        _cleanup_(freep) char *problems = NULL;
        Config *config = NULL;
        int r;

        r = config_parse(text, "test.conf", &config, &problems);
        if (r != 0)
                print_error("%s\n", problems ? problems : "");
        assert_int_equal(r, 0);
        assert_non_null(config);
        return config;
}

/* Expects a problem that begins with place and contains words. */
static void expect_problem(const char *text, const char *place, const char *words) {
        _cleanup_(freep) char *problems = NULL;
        Config *config = NULL;
        const char *found;

        assert_int_equal(config_parse(text, "test.conf", &config, &problems), CONFIG_E_INVALID);
        assert_null(config);
        assert_non_null(problems);
        found = strstr(problems, words);
        if (!found)
                fail_msg("\"%s\" is not in: %s", words, problems);
        while (found > problems && found[-1] != '\n')
                found--;
        if (strncmp(found, place, strlen(place)) != 0)
                fail_msg("not at %s: %s", place, found);
}

static void the_example_of_the_manual_is_accepted(void **state) {
        _cleanup_(config_unrefp) Config *config = NULL;
        const ConfigPolicy *policy;
        const ConfigTenant *tenant;
        const char *entry = NULL;

        (void) state;
        config = parse_good(
                        "gateway { state = /var/lib/vestibule  store = sqlite  public_url = "
                        "\"https://keys.example.org\" }\n"
                        "front tenants { listen = { \"127.0.0.1:8480\" } }\n"
                        "front operators { listen = { \"unix:/run/vestibule/operator.sock\" } }\n"
                        "relay main { url = \"https://relay.example.org\"  protocol = draft-v }\n"
                        "channel xmpp { mode = component  jid = keys.example.org  host = 127.0.0.1 "
                        " port = 5347 }\n"
                        "policy hotel { class = hotel  factors = { reply-code }  code = D9  "
                        "channels = { xmpp } }\n" TENANT);
        assert_string_equal(config->state, "/var/lib/vestibule");
        assert_string_equal(config->root_credential, "root.key");
        assert_int_equal(config->log_level, LOG_INFO);
        assert_int_equal(config->n_plugins, 4);
        assert_false(config->fronts[0].operators);
        assert_true(config->fronts[1].operators);
        assert_string_equal(config->relays[0].plugin->socket_name, "relay-main");
        assert_string_equal(config->relays[0].plugin->name, "main");
        assert_string_equal(config->channels[0].scheme, "xmpp");
        assert_int_equal(config->channels[0].authentic, RULES_AUTHENTIC_STRONG);
        assert_string_equal(json_string_value(json_object_get(
                                            config->channels[0].plugin->settings, "port")),
                        "5347");
        assert_string_equal(json_string_value(json_array_get(
                                            json_object_get(config->fronts[0].plugin->settings,
                                                            "listen"),
                                            0)),
                        "127.0.0.1:8480");

        policy = config_policy(config, "hotel");
        assert_non_null(policy);
        assert_int_equal(policy->rules.class, RULES_HOTEL);
        assert_int_equal(policy->rules.code, CODE_D9);
        assert_int_equal(policy->rules.attempts, 3);
        assert_int_equal(policy->rules.challenge_ttl, 24 * 3600);
        assert_int_equal(policy->rules.mailbox_ttl, 12 * 3600);
        assert_ptr_equal(config_policy_channel(policy, "xmpp"), config_channel(config, "xmpp"));
        assert_null(config_policy_channel(policy, "sms"));

        tenant = config_tenant_by_token(config, "abcdefgh", &entry);
        assert_ptr_equal(tenant, config_tenant(config, "adler"));
        assert_true(token_entry_is_valid(entry));
        assert_ptr_equal(tenant->relay, config_relay(config, "main"));
        assert_true(config_tenant_may_use(tenant, policy));
        assert_true(config_tenant_has_name(tenant, "Hotel Adler"));
        assert_false(config_tenant_has_name(tenant, "Hotel"));
        assert_null(config_tenant_by_token(config, "abcdefgj", &entry));
        assert_null(config_tenant_by_token(config, "abcdefgh2", &entry));
        assert_null(config_tenant(config, "other"));
}

static void numbers_of_a_policy_are_read(void **state) {
        _cleanup_(config_unrefp) Config *config =
                        parse_good(PARTS "policy p { class = home-limited  code = X8  attempts = 2 "
                                         " attempts_total = 6\n"
                                         "lifetime = 90m  mailbox_ttl = 1800s  authentic = weak  "
                                         "channels = { echo }  language = de }\n");
        const Rules *rules = &config->policies[0].rules;

        (void) state;
        assert_int_equal(rules->class, RULES_HOME_LIMITED);
        assert_int_equal(rules->code, CODE_X8);
        assert_int_equal(rules->attempts, 2);
        assert_int_equal(rules->attempts_total, 6);
        assert_int_equal(rules->challenge_ttl, 5400);
        assert_int_equal(rules->mailbox_ttl, 1800);
        assert_int_equal(rules->minimum_authentic, RULES_AUTHENTIC_WEAK);
        assert_string_equal(config->policies[0].language, "de");
}

static void exec_and_free_settings_are_read(void **state) {
        _cleanup_(config_unrefp) Config *config =
                        parse_good("channel matrix { scheme = xmpp  exec = { /opt/m, -v, -v }\n"
                                   "settings { room = \"x y\"  colour = red } }");
        const ConfigPlugin *plugin = config->channels[0].plugin;

        (void) state;
        assert_string_equal(plugin->exec[0], "/opt/m");
        assert_string_equal(plugin->exec[2], "-v");
        assert_null(plugin->exec[3]);
        assert_string_equal(json_string_value(json_object_get(plugin->settings, "room")), "x y");
        assert_int_equal(json_object_size(plugin->settings), 2);
}

static void unknown_keys_and_sections_are_refused_with_their_line(void **state) {
        (void) state;
        expect_problem(WHOLE "\ngateway {\n  stat = /x\n}\n", "test.conf:9:", "stat");
        expect_problem("# one\n/* two\n three */ gatway { }\n", "test.conf:3:", "gatway");
        expect_problem("channel xmpp { # a comment\n // another\n jod = a }",
                        "test.conf:3:",
                        "jod");
        expect_problem("policy p { class = hotel\n fallback_after = 5m }",
                        "test.conf:2:",
                        "fallback_after");
}

static void repeated_keys_and_sections_are_refused_with_both_places(void **state) {
        (void) state;
        expect_problem("gateway { state = /a\n state = /b }",
                        "test.conf:2:",
                        "state is there twice; first at test.conf:1");
        expect_problem("gateway { }\ngateway { }",
                        "test.conf:2:",
                        "gateway is there twice; first at test.conf:1");
        expect_problem("channel echo { }\n\nchannel echo { }",
                        "test.conf:3:",
                        "channel echo is there twice");
        expect_problem("policy p { channels = { a }\nchannels = { b } }",
                        "test.conf:2:",
                        "channels is there twice");
        expect_problem("channel x { scheme = echo settings { a = 1\n a = 2 } }",
                        "test.conf:2:",
                        "a is there twice");
}

static void broken_syntax_is_refused_and_does_not_disturb_the_next_file(void **state) {
        static const char *const broken[] = { "gateway {",
                "gateway { state = \"/x }",
                "gateway { state = \"/x\n\" }",
                "gateway { state = '/x }",
                "gateway = {",
                "}",
                "{",
                "gateway { state }",
                "gateway { state = }",
                "/* x",
                "gateway { state = { /a, /b } }",
                "channel { }",
                "policy a b { }",
                "front x { listen = { a, } ",
                "gateway { state = \"${HOME}\" }",
                "gateway { state = ${HOME} }",
                "gateway { state = \"\\400\" }",
                "gateway { state += /x }",
                "gateway { state = /x }}",
                "gateway { state = \"/x\\",
                "\x01",
                "gateway|state = /x",
                "policy a/b { }",
                "gateway { state = \"a\tb\" }",
                "include(\"/etc/passwd\")",
                "gateway { state = \"\\" };

        (void) state;
        for (size_t i = 0; i < N_ELEMENTS(broken); i++) {
                _cleanup_(freep) char *problems = NULL;
                Config *config = NULL;

                if (config_parse(broken[i], "test.conf", &config, &problems) != CONFIG_E_INVALID)
                        fail_msg("accepted: %s", broken[i]);
                assert_int_equal(strncmp(problems, "test.conf:", 10), 0);
                (void) config_unref(parse_good(WHOLE));
        }
}

static void text_that_is_not_utf8_is_refused(void **state) {
        (void) state;
        expect_problem("gateway { state = \"/\xff\" }", "test.conf:1:", "not UTF-8");
}

static void what_does_not_exist_is_refused(void **state) {
        (void) state;
        expect_problem(PARTS "policy p { class = hotel\nchannels = { sms } }",
                        "test.conf:6:",
                        "there is no channel sms");
        expect_problem(PARTS POLICY "tenant a { name = A token = { " ENTRY
                                    " } policies = { hotel,\n car } relay = main }",
                        "test.conf:6:",
                        "there is no policy car");
        expect_problem(PARTS POLICY "tenant a { name = A token = { " ENTRY
                                    " } policies = { hotel }\n relay = other }",
                        "test.conf:7:",
                        "there is no relay other");
}

static void a_policy_that_cannot_work_is_refused(void **state) {
        static const struct {
                const char *text, *words;
        } cases[] = {
                { "policy p { channels = { echo } }", "class is missing" },
                { "policy p { class = hotle channels = { echo } }", "class must be" },
                { "policy p { class = hotel }", "channels is missing" },
                { "policy p { class = hotel channels = { } }", "channels is missing" },
                { "policy p { class = hotel channels = { echo, echo } }", "holds \"echo\" twice" },
                { "policy p { class = hotel channels = { echo } factors = { telepathy } }",
                                "telepathy is not a factor" },
                { "policy p { class = hotel channels = { echo } factors = { } }", "" },
                { "policy p { class = hotel channels = { echo } code = D6 }",
                                "code must be D9 or X8" },
                { "policy p { class = hotel channels = { echo } attempts = 0 }",
                                "attempts must be" },
                { "policy p { class = hotel channels = { echo } attempts = 6 }",
                                "attempts must be" },
                { "policy p { class = hotel channels = { echo } attempts = 3x }",
                                "attempts must be" },
                { "policy p { class = hotel channels = { echo } attempts = -1 }",
                                "attempts must be" },
                { "policy p { class = hotel channels = { echo } lifetime = 24 }",
                                "lifetime must be a time" },
                { "policy p { class = hotel channels = { echo } lifetime = 0h }",
                                "lifetime must be a time" },
                { "policy p { class = hotel channels = { echo } lifetime = 99999999999999999999s }",
                                "lifetime must be a time" },
                { "policy p { class = hotel channels = { echo } lifetime = 60h }", "" },
                { "policy p { class = home-limited code = D9 channels = { echo } }", "" },
                { "policy p { class = car channels = { echo } }", "" },
                { "policy p { class = hotel channels = { echo } language = 5 }",
                                "language must be" },
                { "channel sms { }\npolicy p { class = hotel authentic = strong channels = { sms } "
                  "}",
                                "none of its channels" },
        };

        (void) state;
        for (size_t i = 0; i < N_ELEMENTS(cases); i++) {
                _cleanup_(freep) char *text = NULL;

                assert_true(asprintf(&text, "%s%s", PARTS, cases[i].text) > 0);
                expect_problem(text, "test.conf:", cases[i].words);
        }
}

static void the_floor_that_is_missed_is_named(void **state) {
        (void) state;
        expect_problem(PARTS "policy dog { class = home-limited code = D9 channels = { echo } }",
                        "test.conf:5: policy dog: ",
                        "2^-31");
}

static void wrong_values_are_refused(void **state) {
        static const struct {
                const char *text, *words;
        } cases[] = {
                { "gateway { state = var/lib }", "state must be an absolute path" },
                { "gateway { state = \"\" }", "state is empty" },
                { "gateway { store = postgresql }", "store must be sqlite" },
                { "gateway { public_url = \"http://x.example\" }", "public_url must be" },
                { "gateway { log_level = loud }", "log_level must be" },
                { "gateway { root_credential = /etc/key }", "the name of a credential" },
                { "relay m { }", "url is missing" },
                { "relay m { url = \"http://x.example\" }", "url must start with https" },
                { "relay m { url = \"https://u@x.example\" }", "url must start with https" },
                { "relay m { url = \"https://x.example\" protocol = draft-x }",
                                "protocol must be" },
                { "relay m { protocol = draft-r }", "template is missing" },
                { "relay m { protocol = draft-r template = \"https://x.example/t/\" }",
                                "template must end with {tigress_location}" },
                { "relay m { protocol = draft-r template = "
                  "\"http://x.example/t/{tigress_location}\" }",
                                "template must start with https" },
                { "relay m { url = \"https://x.example\" mint_allow_private = perhaps }",
                                "mint_allow_private must be yes or no" },
                { "channel phone { }", "scheme is missing" },
                { "channel x { scheme = pigeon }", "scheme must be" },
                { "channel echo { jid = a.example }", "jid is no key of a channel for echo" },
                { "channel xmpp { port = http }", "port must be a whole number" },
                { "channel xmpp { port = 65536 }", "port must be a whole number from 1 to 65535" },
                { "front f { tls = perhaps }", "tls must be yes or no" },
                { "channel xmpp { authentic = certain }", "authentic must be" },
                { "channel sms { authentic = strong }", "never worth more than weak" },
                { "channel sms { needs_tag = no }", "always need the tag" },
                { "channel echo { needs_tag = maybe }", "needs_tag must be yes or no" },
                { "channel echo { exec = { echo } }", "absolute path of a program" },
                { "channel echo { exec = { /x } socket = /y }", "exclude each other" },
                { "channel echo { socket = y }", "socket must be an absolute path" },
                { "channel echo { listen = /a settings { listen = /b } }",
                                "settings repeat listen" },
                { "front a { }\nchannel a { scheme = echo }", "the same socket name" },
                { "relay m { url = \"https://x.example\" }\nfront relay-m { }",
                                "the same socket name" },
        };

        (void) state;
        for (size_t i = 0; i < N_ELEMENTS(cases); i++)
                expect_problem(cases[i].text, "test.conf:", cases[i].words);
}

#define SMS "channel sms { sender = \"+4915735980001\"  countries = { DE, AT }  "

static const ConfigPlugin *plugin_of(const Config *config) {
        assert_int_equal(config->n_channels, 1);
        return config->channels[0].plugin;
}

static const char *setting_of(const Config *config, const char *key) {
        return json_string_value(json_object_get(plugin_of(config)->settings, key));
}

static void each_sms_driver_has_keys_of_its_own(void **state) {
        static const char *const good[] = {
                SMS "driver = smpp  host = smsc.example  port = 2776  system_id = adler  "
                    "system_type = VMA  window = 50  tls = yes  ca_file = /ca.pem  "
                    "alphabet = latin1  one_is_gsm7 = no  packed = no  enquire_seconds = 20 }",
                SMS "driver = kannel  url = \"http://127.0.0.1:13013/cgi-bin/sendsms\"  "
                    "username = gw  listen = \"127.0.0.1:13200\"  callback_url = "
                    "\"http://127.0.0.1:13200\"  window = 8 }",
                "channel sms { driver = modem  modem = 490154203237518  countries = { DE } }",
                "channel sms { driver = modem  modem = any  countries = { DE }  per_minute = 6  "
                "burst = 3  segments = 4  quiet_hours = \"22:00-07:00\"  country_code = 49 }",
                SMS
                "driver = rest  url = \"https://sms.example/2010-04-01\"  account = AC1  listen "
                "= \"[::1]:0\"  callback_url = \"https://keys.example/sms\"  ca_file = /ca.pem  "
                "callback_repeats = no }",
                "channel sms { driver = modem  sender = Vestibule  countries = { DE } }",
                SMS "driver = smpp  host = smsc.example  tls = no }", /* a tunnel is meant */
                SMS "driver = smpp  host = 127.0.0.1 }",
                SMS "driver = kannel  url = \"http://[::1]:13013/s\"  username = gw  window = 64 }",
                "channel sms { driver = modem  sender = 70700  countries = { DE } }",
                "channel sms { listen = /run/echo }", /* of somebody else's program */
        };

        (void) state;
        for (size_t i = 0; i < N_ELEMENTS(good); i++) {
                _cleanup_(config_unrefp) Config *config = parse_good(good[i]);

                if (i == 0) {
                        assert_string_equal(setting_of(config, "driver"), "smpp");
                        assert_string_equal(setting_of(config, "port"), "2776");
                        assert_string_equal(setting_of(config, "tls"), "yes");
                        assert_string_equal(setting_of(config, "alphabet"), "latin1");
                        assert_string_equal(
                                        json_string_value(json_array_get(
                                                        json_object_get(plugin_of(config)->settings,
                                                                        "countries"),
                                                        1)),
                                        "AT");
                }
        }
}

/* Empty says that there are none; absent leaves it to the program. */
static void quiet_hours_may_be_switched_off(void **state) {
        _cleanup_(config_unrefp) Config *off = parse_good(
                        "channel sms { driver = modem  countries = { DE }  quiet_hours = \"\" }");
        _cleanup_(config_unrefp) Config *absent =
                        parse_good("channel sms { driver = modem  countries = { DE } }");

        (void) state;
        assert_string_equal(setting_of(off, "quiet_hours"), "");
        assert_null(setting_of(absent, "quiet_hours"));
}

static void mail_has_its_keys(void **state) {
        _cleanup_(config_unrefp) Config *config = parse_good(
                        "channel email { from = \"keys@Hotel-Müller.example\"  name = \"Hotel "
                        "Müller\"  domain = mx.example  mailbox = keys  separator = \"-\"  submit "
                        "= "
                        "\"smtp://mail.example:587\"  starttls = required  username = keys  "
                        "receive "
                        "= { \"lmtp:/run/keys/lmtp.sock\", \"maildir:/var/mail/keys\", "
                        "\"imaps://mail.example:993/INBOX\" }  authserv_id = mail.example  "
                        "imap_username = keys  poll_seconds = 60  window = 4  ca_file = /ca.pem }");

        (void) state;
        assert_string_equal(config->channels[0].scheme, "mailto");
        assert_int_equal(config->channels[0].authentic, RULES_AUTHENTIC_WEAK);
        assert_string_equal(setting_of(config, "starttls"), "required");
        assert_int_equal(json_array_size(json_object_get(plugin_of(config)->settings, "receive")),
                        3);
}

/* Their settings have forms of their own, and want neither our files nor our credentials. */
static void settings_of_another_program_are_its_own(void **state) {
        static const char *const cases[] = {
                "channel sms { exec = { /x }  settings { url = \"serial:/dev/ttyS0\" } }",
                "channel sms { exec = { /x }  settings { tls = maybe  sender = \"0 1\" } }",
                "channel sms { exec = { /x }  settings { driver = rest  ca_file = /none.der } }",
                "channel email { exec = { /x }  settings { submit = \"uucp:\"  domain = \"a\" } }",
                "channel email { exec = { /x }  settings { username = u  ca_file = /none.der } }",
                "channel email { exec = { /x }  settings { from = \"x\"  ca_file = /none.der } }",
        };

        (void) state;
        assert_int_equal(setenv("CREDENTIALS_DIRECTORY", "/proc/self", 1), 0);
        for (size_t i = 0; i < N_ELEMENTS(cases); i++) {
                _cleanup_(config_unrefp) Config *config = parse_good(cases[i]);
                _cleanup_(freep) char *problems = NULL;

                assert_int_equal(config_check_machine(config, &problems), CONFIG_E_INVALID);
                if (strstr(problems, "channel"))
                        fail_msg("%s: %s", cases[i], problems);
        }
        assert_int_equal(unsetenv("CREDENTIALS_DIRECTORY"), 0);
}

static void a_slip_in_a_channel_is_found_before_its_program_starts(void **state) {
#define SMPP SMS "driver = smpp  host = a.example  "
#define KANNEL SMS "driver = kannel  url = \"http://k.example/s\"  "
#define REST SMS "driver = rest  url = \"https://r.example\"  "
#define MAIL "channel email { from = \"keys@a.example\"  receive = { \"lmtp:/run/x\" }  "
        static const struct {
                const char *text, *words;
        } cases[] = {
                { SMS "driver = smtp }", "driver must be smpp, kannel, modem or rest" },
                { SMS "}", "driver is missing" },
                { SMS "driver = smpp }", "host is missing" },
                { SMS "driver = kannel }", "url is missing" },
                { SMS "driver = rest }", "url is missing" },
                { "channel sms { driver = modem }", "countries is missing" },
                { "channel sms { driver = modem  countries = { } }", "countries is missing" },
                { "channel sms { driver = modem  countries = { DE, DE } }", "\"DE\" twice" },
                { "channel sms { driver = modem  countries = { germany } }",
                                "two capital letters" },
                { "channel sms { driver = modem  countries = { de } }", "two capital letters" },
                { "channel sms { driver = modem  countries = { \"DE AT\" } }",
                                "two capital letters" },
                { "channel sms { driver = modem  countries = { UK } }", "GB is meant" },
                { "channel sms { driver = modem  countries = { DE, EU } }", "no country EU" },
                { "channel sms { driver = smpp  host = a  countries = { DE } }",
                                "sender is missing" },
                { "channel sms { driver = modem  countries = { DE }  sender = \"0157 359\" }",
                                "sender must be" },
                { "channel sms { driver = modem  countries = { DE }  sender = \"+49 157\" }",
                                "sender must be" },
                { "channel sms { driver = modem  countries = { DE }  sender = HotelAdlerBonn }",
                                "sender must be a number with its plus, or a short code of 3 to 8 "
                                "digits, which bring" },
                { "channel sms { driver = modem  countries = { DE }  sender = \"Müller\" }",
                                "sender must be" },
                { "channel sms { driver = modem  countries = { DE }  modem = /dev/ttyUSB0 }",
                                "modem must be any" },
                { SMPP "}", "tls = yes, or tls = no where a tunnel" },
                { "channel sms { driver = smpp  host = \"127.0.0.1\"  countries = { DE }  sender = "
                  "Adler }",
                                "nobody can answer a name" },
                { SMPP "system_id = abcdefghijklmnop }", "system_id is longer than 15 characters" },
                { SMPP "system_type = abcdefghijklm }",
                                "system_type is longer than 12 characters" },
                { KANNEL "}", "username is missing: that of Kannel's" },
                { KANNEL "username = gw  window = 65 }",
                                "window must be a whole number from 1 to 64" },
                { KANNEL "username = gw  listen = \"127.0.0.1:0\" }", "nobody can call port 0" },
                { REST "callback_url = \"https://k.example\" }", "account is missing" },
                { REST "account = AC1 }", "callback_url is missing: where the service reaches us" },
                { REST "account = \"AC/1\"  callback_url = \"https://k.example\" }",
                                "account must be" },
                { SMS "driver = rest  url = \"http://r.example\"  account = AC1  callback_url = "
                      "\"https://k.example\" }",
                                "url must start with https://" },
                { SMPP "url = \"http://k.example/s\" }", "url is no key of the driver smpp" },
                { SMPP "modem = any }", "modem is no key of the driver smpp" },
                { KANNEL "host = k.example }", "host is no key of the driver kannel" },
                { KANNEL "tls = yes }", "tls is no key of the driver kannel" },
                { SMPP "from = \"a@b.example\" }", "from is no key of a channel for sms" },
                { SMPP "jid = a.example }", "jid is no key of a channel for sms" },
                { SMPP "port = 0 }", "port must be a whole number from 1 to 65535" },
                { SMPP "window = 0 }", "window must be a whole number from 1 to 1000" },
                { SMPP "per_minute = fast }", "per_minute must be a whole number" },
                { SMPP "burst = -1 }", "burst must be a whole number" },
                { SMPP "segments = 256 }", "segments must be a whole number from 1 to 255" },
                { SMPP "tls = maybe }", "tls must be yes or no" },
                { SMPP "alphabet = utf8 }", "alphabet must be gsm7, latin1 or ascii" },
                { SMPP "quiet_hours = \"21-8\" }", "quiet_hours must be two times" },
                { SMPP "quiet_hours = \"21:00-21:00\" }", "quiet_hours must be two times" },
                { SMPP "quiet_hours = \"21:00-25:00\" }", "quiet_hours must be two times" },
                { SMPP "quiet_hours = \"21:60-08:00\" }", "quiet_hours must be two times" },
                { SMPP "country_code = \"+49\" }", "country_code must be" },
                { SMPP "country_code = 049 }", "country_code must be" },
                { KANNEL "listen = 13200 }", "listen must be an address and a port" },
                { KANNEL "listen = \"localhost:13200\" }", "listen must be an address and a port" },
                { KANNEL "listen = \"127.0.0.1:66000\" }", "listen must be an address and a port" },
                { KANNEL "callback_url = \"k.example\" }", "callback_url must start with" },
                { SMS "driver = kannel  url = \"http://k.example/s?password=x\" }",
                                "url must start with" },
                { SMS "driver = rest  url = \"https://me:secret@k.example/\" }",
                                "url must start with" },
                { "channel email { submit = \"smtp://m.example\" }", "from is missing" },
                { "channel email { from = keys }", "from must be one address" },
                { "channel email { from = \"Keys <keys@example.org>\" }",
                                "from must be one address" },
                { "channel email { from = \"a@b.example\"  submit = \"http://m.example\" }",
                                "submit must be smtp://HOST[:PORT]" },
                { "channel email { from = \"a@b.example\"  submit = \"smtp://u:p@m.example\" }",
                                "submit must be smtp://HOST[:PORT]" },
                { "channel email { from = \"a@b.example\"  starttls = maybe }",
                                "starttls must be required, if-offered or no" },
                { "channel email { from = \"a@b.example\"  separator = \"++\" }",
                                "separator must be" },
                { "channel email { from = \"a@b.example\"  separator = \"@\" }",
                                "separator must be" },
                { "channel email { from = \"a@b.example\"  separator = \".\" }",
                                "separator must be" },
                { "channel email { from = \"a@b.example\"  separator = \"#\" }",
                                "separator must be" },
                { "channel email { from = \"a@b.example\"  receive = { \"lmtp:run/x\" } }",
                                "receive must hold places" },
                { "channel email { from = \"a@b.example\"  receive = { \"imap://m.example\" } }",
                                "receive must hold places" },
                { "channel email { from = \"a@b.example\"  poll_seconds = 0 }",
                                "poll_seconds must be" },
                { "channel email { from = \"a@b.example\" }",
                                "receive is missing: without a place such as lmtp:/run" },
                { "channel email { from = \"reservations-and-keys@a.example\"  receive = { "
                  "\"lmtp:/run/x\" } }",
                                "answers would come to reservations-and-keys, and a mailbox is at "
                                "most 20" },
                { "channel email { from = \"schlüssel@a.example\"  receive = { \"lmtp:/run/x\" } }",
                                "what stands before the @ of from must be ASCII" },
                { MAIL "mailbox = \"a b\" }", "mailbox must be at most 20 letters" },
                { MAIL "mailbox = reservations-and-keys }", "mailbox must be at most 20 letters" },
                { MAIL "domain = \"a_b\" }", "domain must be a domain" },
                { MAIL "submit = \"smtp://m.example/x\" }", "submit must be smtp://HOST[:PORT]" },
                { MAIL "submit = \"smtp://m.example:70000\" }",
                                "submit must be smtp://HOST[:PORT]" },
                { MAIL "submit = \"smtp://m.example\"  username = u  starttls = no }",
                                "with starttls = no the password could go over the network in "
                                "clear" },
                { MAIL "submit = \"smtp://m.example\"  username = u  starttls = if-offered }",
                                "with starttls = if-offered the password could go" },
                { MAIL "settings { window = 0 } }",
                                "settings hold window, which belongs into the section itself" },
                { KANNEL "username = gw  settings { window = 65 } }", "settings hold window" },
                { MAIL "authentic = strong }", "without authserv_id no answer is ever strong" },
                { "channel email { from = \"a@b.example\"  receive = { \"imaps://m.example\" } }",
                                "imap_username is missing: receive names a mailbox" },
                { "channel email { from = \"a@b.example\"  driver = smpp }",
                                "driver is no key of a channel for mailto" },
                { "channel xmpp { jid = a.example  ca_file = /x  system_id = y }",
                                "system_id is no key of a channel for xmpp" },
                { "channel echo { ca_file = /x }", "ca_file is no key of a channel for echo" },
        };

        (void) state;
        for (size_t i = 0; i < N_ELEMENTS(cases); i++)
                expect_problem(cases[i].text, "test.conf:1: channel ", cases[i].words);
}

/* Several schemes and drivers have keys of one name; a wrong one is one slip. */
static void a_foreign_key_is_told_once(void **state) {
        _cleanup_(freep) char *problems = NULL;
        Config *config = NULL;

        (void) state;
        assert_int_equal(config_parse("channel echo { ca_file = /x  window = 4  port = 1 }",
                                         "t",
                                         &config,
                                         &problems),
                        CONFIG_E_INVALID);
        assert_string_equal(problems,
                        "t:1: channel echo: port is no key of a channel for echo: addresses\n"
                        "t:1: channel echo: ca_file is no key of a channel for echo: addresses\n"
                        "t:1: channel echo: window is no key of a channel for echo: addresses\n");
}

#define STEPS(keys) PARTS "policy hotel { class = hotel  channels = { xmpp, echo }  " keys " }\n"

static void what_comes_after_the_first_address_is_read(void **state) {
        _cleanup_(config_unrefp) Config *plain = parse_good(STEPS(""));
        _cleanup_(config_unrefp) Config *config =
                        parse_good("gateway { time_zone = \"Europe/Berlin\" }\n" STEPS(
                                        "timeouts = { 15m }  fall_back_on = { "
                                        "silence }  announce = 90s  "
                                        "earlier_steps = closed  quiet_hours = "
                                        "\"21:30-08:00\"") "tenant adler { name = "
                                                           "\"Hotel Adler\"  token "
                                                           "= { " ENTRY " }  policies = { hotel "
                                                           "}  relay = main  "
                                                           "time_zone = "
                                                           "\"Asia/Tokyo\" }");
        const ConfigPolicy *policy = &config->policies[0];

        (void) state;
        assert_int_equal(plain->policies[0].fallback.on, FALLBACK_FAILED | FALLBACK_SILENCE);
        assert_true(plain->policies[0].fallback.announced && !plain->policies[0].fallback.close);
        assert_int_equal(plain->policies[0].fallback.announce, 10);
        assert_int_equal(plain->policies[0].timeouts[0] + plain->policies[0].timeouts[1], 0);
        assert_int_equal(policy->timeouts[0], 900);
        assert_int_equal(policy->timeouts[1], 0);
        assert_int_equal(policy->fallback.on, FALLBACK_SILENCE);
        assert_int_equal(policy->fallback.announce, 90);
        assert_true(policy->fallback.close);
        assert_int_equal(policy->fallback.quiet.from, 21 * 60 + 30);
        assert_int_equal(policy->fallback.quiet.until, 8 * 60);
        assert_string_equal(config->time_zone, "Europe/Berlin");
        assert_string_equal(config->tenants[0].time_zone, "Asia/Tokyo");
}

static void steps_that_contradict_themselves_are_refused(void **state) {
        static const struct {
                const char *text, *words;
        } cases[] = {
                { STEPS("timeouts = { 15m, 1h }"),
                                "timeouts has one time for each of channels but the "
                                "last: at most 1" },
                { STEPS("timeouts = { 59s }"), "each at least 60s" },
                { STEPS("timeouts = { 15min }"), "timeouts must be times such as 15m" },
                { STEPS("timeouts = { 24h }"), "timeouts are together as long as lifetime" },
                { STEPS("timeouts = { 15m }  fall_back_on = { failed }"),
                                "timeouts mean nothing unless fall_back_on names silence" },
                { STEPS("fall_back_on = { failed, always }"), "and not always" },
                { STEPS("fall_back_on = { }"), "fall_back_on holds nothing" },
                { STEPS("fallback = quiet"), "fallback must be announced or silent" },
                { STEPS("fallback = silent  announce = 5m"),
                                "announce means nothing with fallback = silent" },
                { STEPS("earlier_steps = no"), "earlier_steps must be open or closed" },
                { STEPS("quiet_hours = \"21-8\""), "quiet_hours must be like \"21:00-08:00\"" },
        };

        (void) state;
        for (size_t i = 0; i < N_ELEMENTS(cases); i++)
                expect_problem(cases[i].text, "test.conf:5: policy hotel: ", cases[i].words);
        expect_problem("gateway { time_zone = CEST }\n" WHOLE,
                        "test.conf:1: gateway: ",
                        "time_zone must be a name such as Europe/Berlin");
}

static void rights_follow_the_class_unless_they_are_said(void **state) {
        static const struct {
                const char *policy;
                bool several;
        } cases[] = {
                { "class = hotel", false },
                { "class = hotel  access_rights = RWD", true },
                { "class = hotel  access_rights = RD", false },
                { "class = home-limited", false },
        };
        char text[2048];

        (void) state;
        for (size_t i = 0; i < N_ELEMENTS(cases); i++) {
                _cleanup_(config_unrefp) Config *config = NULL;

                (void) snprintf(text,
                                sizeof(text),
                                PARTS "policy hotel { %s  channels = { xmpp, echo } }\n" TENANT,
                                cases[i].policy);
                config = parse_good(text);
                assert_int_equal(config_policy(config, "hotel")->several, cases[i].several);
        }
        expect_problem(PARTS "policy hotel { class = hotel  access_rights = R  channels = { xmpp } "
                             "}\n" TENANT,
                        "test.conf:",
                        "access_rights must be RD, for one message, or RWD");
}

static void a_relay_of_draft_r_is_known_by_its_template(void **state) {
        _cleanup_(config_unrefp) Config *config = NULL;
        const ConfigRelay *relay;

        (void) state;
        config = parse_good("relay other { protocol = draft-r  template = "
                            "\"https://drop.example/t/{tigress_location}\"  suite = "
                            "aes-256-gcm-sha384  context = raw }\n" WHOLE);
        relay = config_relay(config, "other");
        assert_string_equal(relay->url, "https://drop.example/t/");
        assert_string_equal(relay->protocol, "draft-r");
        assert_string_equal(json_string_value(json_object_get(relay->plugin->settings, "suite")),
                        "aes-256-gcm-sha384");
        assert_string_equal(json_string_value(json_object_get(relay->plugin->settings, "context")),
                        "raw");
        assert_string_equal(json_string_value(json_object_get(relay->plugin->settings, "template")),
                        "https://drop.example/t/{tigress_location}");
}

static void content_is_fetched_from_plain_prefixes_only(void **state) {
        static const char *const bad[] = {
                "http://x.example/k/",
                "https://x.example",
                "https://x.example/k",
                "https://10.0.0.1/k/",
                "https://x.example/a/../k/",
                "https://x.example/%2e%2e/k/",
                "https://u@x.example/k/",
        };
        char text[2048];

        (void) state;
        for (size_t i = 0; i < N_ELEMENTS(bad); i++) {
                (void) snprintf(text,
                                sizeof(text),
                                PARTS POLICY "tenant adler { name = \"Hotel Adler\"  token = "
                                             "{ " ENTRY " }  policies = { hotel }  relay = main  "
                                             "mint_prefixes = { \"%s\" } }\n",
                                bad[i]);
                expect_problem(text, "test.conf:", "mint_prefixes");
        }
}

static void a_tenant_that_cannot_work_is_refused(void **state) {
        static const struct {
                const char *text, *words;
        } cases[] = {
                { "token = { " ENTRY " } policies = { hotel } relay = main", "name is missing" },
                { "name = A policies = { hotel } relay = main", "token is missing" },
                { "name = A token = { " ENTRY " } relay = main", "policies is missing" },
                { "name = A token = { " ENTRY " } policies = { hotel }", "relay is missing" },
                { "name = A token = { abc } policies = { hotel } relay = main",
                                "prints it; run `vestibulectl token --tenant a` and paste its line "
                                "here" },
                { "name = A token = { vb_live_x } policies = { hotel } relay = main",
                                "this is a token itself" },
                { "name = A token = { " ENTRY ", " ENTRY_2
                  ", \"cccccccc:x\" } policies = { hotel } relay = main",
                                "at most two" },
                { "name = A token = { " ENTRY
                  " } policies = { hotel } relay = main image_prefixes = { \"https://h.example\" }",
                                "ends with a slash" },
                { "name = A token = { " ENTRY
                  " } policies = { hotel } relay = main image_prefixes = { \"http://h.example/\" }",
                                "ends with a slash" },
        };

        (void) state;
        for (size_t i = 0; i < N_ELEMENTS(cases); i++) {
                _cleanup_(freep) char *text = NULL;

                assert_true(asprintf(&text, "%s%stenant a { %s }", PARTS, POLICY, cases[i].text) >
                                0);
                expect_problem(text, "test.conf:6: tenant a: ", cases[i].words);
        }
}

#define PHONE(keys) "channel phone { scheme = sms  socket = /run/phone  " keys " }\n"
#define BY_PHONE "policy hotel { class = hotel  channels = { phone } }\n"
#define TENANT_WITH(keys)                                         \
        "tenant adler { name = \"Hotel Adler\"  token = { " ENTRY \
        " }  policies = { hotel }  relay = main  " keys " }\n"

static void limits_have_defaults_and_bounds(void **state) {
        _cleanup_(config_unrefp) Config
                        *absent = parse_good(WHOLE),
                        *some = parse_good(WHOLE
                                        "limits { shares_per_day = 5000  wrong_in_all = 2600 }");
        ConfigDifference difference;
        char text[2048];

        (void) state;
        for (int i = 0; i < _LIMIT_NUMBER_MAX; i++) {
                const LimitDescription *d = limits_describe((LimitNumber) i);

                assert_int_equal(absent->limits.number[i], d->usual);
                (void) snprintf(text, sizeof(text), WHOLE "limits { %s = %u }", d->key, d->max + 1);
                expect_problem(text, "test.conf:7: limits: ", "must be a whole number from ");
        }
        assert_int_equal(some->limits.number[LIMIT_SHARES_PER_DAY], 5000);
        assert_int_equal(some->limits.number[LIMIT_SHARES_BURST], 120);
        expect_problem(WHOLE "limits { wrong_in_all = 2701 }",
                        "test.conf:7: limits: ",
                        "wrong_in_all must be a whole number from 1 to 2700\n");
        expect_problem(WHOLE "limits { shares_per_recipient_hour = 2 }",
                        "test.conf:7: limits: ",
                        "shares_per_recipient_10min = 3 is never reached, as "
                        "shares_per_recipient_hour is 2\n");
        assert_int_equal(config_difference(absent, some, &difference), 0);
        assert_true(difference.any && !difference.restart);
        assert_non_null(strstr(difference.text, "limits shares_per_day has changed"));
        config_difference_done(&difference);
}

static void what_a_tenant_may_spend_needs_a_price(void **state) {
        static const char *const amounts[] = {
                "0", "0.0", "-1", ".5", "1.", "1.00001", "1e3", "100000.01", "1,5", "1.2.3"
        };
        _cleanup_(config_unrefp) Config *config = parse_good(
                        PARTS PHONE("price = 0.075") BY_PHONE TENANT_WITH("spend_per_day = 25"));
        char text[2048];

        (void) state;
        assert_int_equal(config->tenants[0].spend_per_day, 250000);
        assert_int_equal(config_channel(config, "phone")->price, 750);
        for (size_t i = 0; i < N_ELEMENTS(amounts); i++) {
                (void) snprintf(text,
                                sizeof(text),
                                PARTS PHONE("price = \"%s\"") BY_PHONE TENANT_WITH(""),
                                amounts[i]);
                expect_problem(text, "test.conf:5: channel phone: ", "price must be an amount");
        }
        expect_problem(PARTS PHONE("") BY_PHONE TENANT_WITH("spend_per_day = 25.00"),
                        "test.conf:7: tenant adler: ",
                        "spend_per_day caps nothing while channel phone, which policy hotel uses, "
                        "has no price\n");
        expect_problem(PARTS "channel other { scheme = echo  socket = /run/o  price = 1 }\n",
                        "test.conf:5: channel other: ",
                        "price is no key of a channel for echo: addresses\n");
}

static void countries_of_a_tenant_are_what_numbers_begin_with(void **state) {
        static const char *const wrong[] = { "DE", "49", "+", "+049", "+12345678", "+49 1", "++4" };
        _cleanup_(config_unrefp) Config *some = parse_good(PARTS POLICY TENANT_WITH(
                                                        "countries = { \"+49\", \"+1876\" }")),
                                        *none = parse_good(WHOLE);
        char text[2048];

        (void) state;
        assert_true(config_tenant_may_reach(&some->tenants[0], "sms:+4915112345678"));
        assert_true(config_tenant_may_reach(&some->tenants[0], "sms:+18765551234"));
        assert_false(config_tenant_may_reach(&some->tenants[0], "sms:+12125551234"));
        assert_false(config_tenant_may_reach(&some->tenants[0], "sms:+436601234567"));
        assert_true(config_tenant_may_reach(&none->tenants[0], "sms:+436601234567"));
        for (size_t i = 0; i < N_ELEMENTS(wrong); i++) {
                (void) snprintf(text,
                                sizeof(text),
                                PARTS POLICY TENANT_WITH("countries = { \"%s\" }"),
                                wrong[i]);
                expect_problem(text, "test.conf:6: tenant adler: ", "is not what a number begins");
        }
}

static void what_would_do_instead_is_said(void **state) {
        static const char after_code[] =
                        "class home-limited asks for at most 2^-31; code = X8 is long enough\n",
                          after_factors[] = "at least RAL-2; they are enough for classes hotel and "
                                            "home-limited\n",
                          after_channels[] = "these factors need two channels of different "
                                             "operators, and all of these are of the operator "
                                             "class echo\n";

        (void) state;
        expect_problem(PARTS "policy p { class = home-limited code = D9 channels = { echo } }",
                        "test.conf:5: policy p: code: ",
                        after_code);
        expect_problem(PARTS
                        "policy p { class = fleet factors = { reply-code } channels = { echo } }",
                        "test.conf:5: policy p: factors: ",
                        after_factors);
        expect_problem(PARTS "policy p { class = fleet channels = { echo } }",
                        "test.conf:5: policy p: ",
                        after_channels);
        expect_problem(PARTS "policy p { class = hotel mailbox_ttl = 30h channels = { echo } }",
                        "test.conf:5: policy p: mailbox_ttl: ",
                        "to 24 h\n");
        expect_problem("castle x {\n}\n", "test.conf:1: ", "no such section 'castle'");
        expect_problem("policy p {\n colour = red\n}\n",
                        "test.conf:2: ",
                        "no such option 'colour'");
}

static void one_token_never_belongs_to_two_tenants(void **state) {
        (void) state;
        expect_problem(WHOLE "tenant b { name = B token = { " ENTRY
                             " } policies = { hotel } relay = main }",
                        "test.conf:",
                        "the token abcdefgh is also tenant");
        expect_problem(PARTS POLICY "tenant b { name = B token = { " ENTRY
                                    ", \"abcdefgh:BAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\" }"
                                    " policies = { hotel } relay = main }",
                        "test.conf:6:",
                        "the token abcdefgh is also tenant b");
}

static void names_that_could_deceive_are_refused(void **state) {
        static const char *const good[] = { "Hotel Adler",
                "Müller & Söhne",
                "25hours Hotel",
                "St. Moritz",
                "ΩΣ Δ",
                "O'Hara",
                "Hotel 1900",
                "123456789012345678901234" };
        static const char *const bad[] = { "Hotel  Adler",
                " Hotel",
                "Hotel ",
                "adler.example",
                "www adler",
                "a@b",
                "call 0900123",
                "https://x",
                "Hotel Адлер",
                "Hotel Ωmega",
                "1234 5",
                "Hotel Adler am Marktplatz 1",
                "Hotel\u202eAdler",
                "Hotel\u200bAdler",
                "a//b",
                "Hotel_Adler",
                "{link}",
                "H\u00f4tel" };

        (void) state;
        for (size_t i = 0; i < N_ELEMENTS(good) + N_ELEMENTS(bad); i++) {
                bool wanted = i < N_ELEMENTS(good) - 1; /* the last has no letter */
                const char *name = i < N_ELEMENTS(good) ? good[i] : bad[i - N_ELEMENTS(good)];
                _cleanup_(freep) char *text = NULL, *problems = NULL;
                Config *config = NULL;

                assert_true(asprintf(&text,
                                            "%s%stenant a { name = \"%s\" token = { %s } policies "
                                            "= { hotel } relay = main }",
                                            PARTS,
                                            POLICY,
                                            name,
                                            ENTRY) > 0);
                if ((config_parse(text, "t", &config, &problems) == 0) != wanted)
                        fail_msg("%s: %s", name, wanted ? problems : "accepted");
                (void) config_unref(config);
        }
}

/* A guest knows who writes by the name alone. */
static void names_that_guests_could_take_for_one_another_are_refused(void **state) {
        static const struct {
                const char *names, *problem;
        } rows[] = {
                { "name = \"Hotel Baer\"", NULL },
                { "name = \"Hotel Baer\" names = { \"Hotel B\u00e4r\", \"HOTEL BAER\" }", NULL },
                { "name = \"Hotel Adler\"", NULL }, /* one house, and two tenants of it */
                { "name = \"HOTEL ADLER\"",
                                "test.conf:7: tenant b: the name \"HOTEL ADLER\" may be taken for "
                                "\"Hotel Adler\" of tenant adler" },
                { "name = \"HoteI Ad1er\"", "\"HoteI Ad1er\" may be taken for \"Hotel Adler\" of" },
                { "name = \"Hotel Baer\" names = { \"hotel-acller\" }",
                                "tenant b: the name \"hotel-acller\" may be taken for" },
                { "name = \"Hotel \u0391dler\"", "has U+0391, a letter of the script Greek" },
        };

        (void) state;
        for (size_t i = 0; i < N_ELEMENTS(rows); i++) {
                _cleanup_(config_unrefp) Config *config = NULL;
                _cleanup_(freep) char *text = NULL, *problems = NULL;
                int r;

                assert_true(asprintf(&text,
                                            WHOLE "tenant b { %s token = { " ENTRY_2
                                                  " } policies = { hotel } relay = main }\n",
                                            rows[i].names) > 0);
                r = config_parse(text, "test.conf", &config, &problems);
                if (rows[i].problem ? r == 0 || !strstr(problems, rows[i].problem) : r != 0)
                        fail_msg("%s: %s", rows[i].names, problems ? problems : "accepted");
        }
}

static void all_problems_come_at_once(void **state) {
        _cleanup_(freep) char *problems = NULL;
        Config *config = NULL;
        unsigned lines = 0;

        (void) state;
        assert_int_equal(config_parse("gateway { store = x }\nrelay m { }\nchannel q { }\npolicy p "
                                      "{ }",
                                         "t",
                                         &config,
                                         &problems),
                        CONFIG_E_INVALID);
        for (const char *s = problems; *s; s++)
                lines += *s == '\n';
        assert_true(lines >= 5);
        assert_non_null(strstr(problems, "t:1: gateway: "));
        assert_non_null(strstr(problems, "t:2: relay m: "));
        assert_non_null(strstr(problems, "t:3: channel q: "));
        assert_non_null(strstr(problems, "t:4: policy p: "));
}

static void the_fingerprint_follows_meaning_not_form(void **state) {
        _cleanup_(config_unrefp) Config *a = parse_good(WHOLE),
                                        *b = parse_good("# comment\n\n" TENANT PARTS POLICY),
                                        *c = parse_good(PARTS "policy hotel { class = hotel "
                                                              "channels = { echo, xmpp } }" TENANT);

        (void) state;
        assert_memory_equal(a->fingerprint, b->fingerprint, CONFIG_FINGERPRINT_SIZE);
        assert_memory_equal(a->policies[0].fingerprint,
                        b->policies[0].fingerprint,
                        CONFIG_FINGERPRINT_SIZE);
        assert_memory_not_equal(a->fingerprint, c->fingerprint, CONFIG_FINGERPRINT_SIZE);
        assert_memory_not_equal(a->policies[0].fingerprint,
                        c->policies[0].fingerprint,
                        CONFIG_FINGERPRINT_SIZE);
}

static void expect_difference(
                const char *before, const char *after, bool any, bool restart, const char *words) {
        _cleanup_(config_unrefp) Config *a = parse_good(before), *b = parse_good(after);
        ConfigDifference difference;

        assert_int_equal(config_difference(a, b, &difference), 0);
        assert_int_equal(difference.any, any);
        assert_int_equal(difference.restart, restart);
        if (!strstr(difference.text, words))
                fail_msg("\"%s\" is not in: %s", words, difference.text);
        config_difference_done(&difference);
}

static void a_reload_is_told_what_it_can_follow(void **state) {
        (void) state;
        expect_difference(WHOLE, WHOLE, false, false, "");
        expect_difference(WHOLE, "gateway { log_level = debug }" WHOLE, true, false, "log_level");
        expect_difference(STEPS(""), STEPS("timeouts = { 1h }"), true, false, "policy hotel");
        expect_difference(STEPS("announce = 6m"), STEPS(""), true, false, "policy hotel");
        expect_difference(STEPS(""), STEPS("announce = 10s"), false, false, "");
        expect_difference("gateway { time_zone = UTC }" WHOLE,
                        "gateway { time_zone = \"Asia/Tokyo\" }" WHOLE,
                        true,
                        false,
                        "time_zone");
        expect_difference(WHOLE,
                        "gateway { state = /x }" WHOLE,
                        true,
                        true,
                        "gateway state has changed: needs a restart");
        expect_difference(WHOLE,
                        WHOLE "channel sms { }",
                        true,
                        true,
                        "channel sms is new: needs a restart");
        expect_difference(WHOLE "channel sms { }",
                        WHOLE,
                        true,
                        true,
                        "channel sms is gone: needs a restart");
        expect_difference(WHOLE "channel sms { }",
                        WHOLE "channel sms { settings { a = b } }",
                        true,
                        false,
                        "channel sms has changed");
        expect_difference(WHOLE "channel sms { }",
                        WHOLE "channel sms { authentic = none }",
                        true,
                        false,
                        "channel sms has changed");
        expect_difference(WHOLE "channel sms { }",
                        WHOLE "channel sms { socket = /x }",
                        true,
                        true,
                        "channel sms has changed: needs");
        expect_difference(WHOLE,
                        PARTS "policy hotel { class = hotel channels = { echo } }" TENANT,
                        true,
                        false,
                        "policy hotel");
        expect_difference(WHOLE, PARTS POLICY, true, false, "tenant adler is gone\n");
}

static void the_report_says_the_odds_and_the_limits(void **state) {
        _cleanup_(config_unrefp) Config *config = parse_good(WHOLE);
        _cleanup_(freep) char *text = NULL;
        size_t size;
        FILE *file = open_memstream(&text, &size);

        (void) state;
        assert_int_equal(unsetenv("CREDENTIALS_DIRECTORY"), 0);
        config_check_report(config, file);
        assert_int_equal(fclose(file), 0);
        assert_non_null(strstr(text, "policy hotel: class hotel, RAL-1"));
        assert_non_null(strstr(text, "(2^-25.0) for one code"));
        assert_non_null(strstr(text, "  messages   one, to the recipient (access_rights = RD)\n"));
        assert_non_null(strstr(text, "(2^-23.4) in all"));
        assert_non_null(strstr(
                        text, "vestibuled.service  root.key, searched as vestibule.root.key\n"));
        assert_non_null(strstr(text,
                        "vestibule-xmpp@xmpp.service  xmpp-secret, searched as "
                        "vestibule.xmpp.secret"));
        assert_null(strstr(text, "AAAA")); /* no verifier */
}

static void the_report_names_the_credentials_of_each_channel(void **state) {
        static const struct {
                const char *channel, *credentials[4];
        } cases[] = {
                { SMS "driver = smpp  host = a.example  tls = yes }", { "smpp-password" } },
                { SMS "driver = kannel  url = \"http://k.example/s\"  username = gw }",
                                { "kannel-password", "callback-path" } },
                { SMS "driver = rest  url = \"https://k.example/s\"  account = AC1  callback_url = "
                      "\"https://keys.example\" }",
                                { "rest-token" } },
                { "channel sms { driver = modem  countries = { DE } }", { NULL } },
                { "channel sms { from = \"a@b.example\"  scheme = mailto  receive = { "
                  "\"lmtp:/run/x\" } }",
                                { "mail-key" } },
                { "channel sms { from = \"a@b.example\"  scheme = mailto  receive = { "
                  "\"lmtp:/run/x\" }  username = a  "
                  "imap_username = a }",
                                { "mail-key", "submit-password", "imap-password" } },
        };

        (void) state;
        assert_int_equal(unsetenv("CREDENTIALS_DIRECTORY"), 0);
        for (size_t i = 0; i < N_ELEMENTS(cases); i++) {
                _cleanup_(config_unrefp) Config *config = parse_good(cases[i].channel);
                _cleanup_(freep) char *text = NULL;
                size_t size, n = 0, found = 0;
                FILE *file = open_memstream(&text, &size);

                config_check_report(config, file);
                assert_int_equal(fclose(file), 0);
                for (const char *s = text; (s = strstr(s, "@sms.service")); s++)
                        found++;
                for (; cases[i].credentials[n]; n++) {
                        char line[160];

                        (void) snprintf(line,
                                        sizeof(line),
                                        "  vestibule-%s@sms.service  %s, searched as "
                                        "vestibule.sms.%s",
                                        i < 4 ? "sms" : "email",
                                        cases[i].credentials[n],
                                        cases[i].credentials[n]);
                        if (!strstr(text, line))
                                fail_msg("%s is not in: %s", line, text);
                }
                assert_int_equal(found, n);
        }
}

/* Nobody should have to guess why a channel is skipped. */
static void the_report_says_why_answers_are_worth_what_they_are(void **state) {
#define KEYS "channel email { from = \"keys@a.example\"  receive = { \"lmtp:/run/x\" }  "
        static const struct {
                const char *channel, *words;
        } cases[] = {
                { KEYS "}", "  answers    weak: without authserv_id nobody vouches" },
                { KEYS "authserv_id = mx.example }",
                                "  answers    weak, though mx.example may say that DMARC passed: "
                                "authentic = strong is not written here" },
                { KEYS "authserv_id = mx.example  authentic = strong }",
                                "  answers    strong where mx.example says that DMARC passed" },
                { KEYS "authentic = none }", "  answers    none" },
                { KEYS "}",
                                "  submits    from keys@a.example to smtp://127.0.0.1:25, starttls "
                                "if-offered\n" },
                { "channel email { from = \"keys%40a.example\"  receive = { \"lmtp:/run/x\" } }",
                                "  submits    from keys@a.example to smtp://127.0.0.1:25" },
                { "channel email { from = \"keys%40a.example\"  receive = { \"lmtp:/run/x\" } }",
                                "lmtp:/run/x, for keys+TOKEN@a.example\n" },
                { "channel email { settings { submit = \"\" } }",
                                "channel email: mailto: addresses\n" },
                { "channel email { settings { from = keys  submit = \"\" } }",
                                "channel email: mailto: addresses\n" },
                { "channel email { settings { from = \"a@b.example\"  submit = \"\" } }",
                                "  submits    from a@b.example to" },
                { KEYS "submit = \"smtp://localhost.example.com\"  starttls = no }",
                                "mails and the links in them may be read on the way" },
                { KEYS "submit = \"smtp://127.0.0.1.example.com\" }", "starttls required\n" },
                { KEYS "submit = \"smtp://[::1]:25\" }", "starttls if-offered\n" },
                { SMS "driver = smpp  host = \"127.0.0.1.example.com\"  tls = no }",
                                "texts can be read on the way, unless a tunnel hides them" },
                { SMS "driver = smpp  host = localhost.example.com  tls = no }",
                                "texts can be read on the way, unless a tunnel hides them" },
                { SMS "driver = kannel  url = \"http://localhost.example.com/s\"  username = gw }",
                                "texts can be read on the way to it" },
                { SMS "driver = kannel  url = \"http://127.0.0.1.example.com/s\"  username = gw }",
                                "texts can be read on the way to it" },
                { KEYS "submit = \"smtp://m.example\"  starttls = no }",
                                "mails and the links in them may be read on the way" },
                { KEYS "mailbox = k  separator = \"-\"  domain = b.example }",
                                "lmtp:/run/x, for k-TOKEN@b.example\n" },
                { SMS "driver = smpp  host = a.example  tls = no }",
                                "texts can be read on the way, unless a tunnel hides them" },
                { SMS "driver = kannel  url = \"http://k.example/s\"  username = gw }",
                                "texts can be read on the way to it" },
                { SMS "driver = smpp  host = localhost  quiet_hours = \"\" }",
                                "  quiet      never" },
                { "channel sms { driver = modem  countries = { DE } }",
                                "  messages   from the modem's number, to numbers of DE, of at "
                                "most 6 parts\n" },
        };

        (void) state;
        for (size_t i = 0; i < N_ELEMENTS(cases); i++) {
                _cleanup_(config_unrefp) Config *config = parse_good(cases[i].channel);
                _cleanup_(freep) char *text = NULL;
                size_t size;
                FILE *file = open_memstream(&text, &size);

                config_check_report(config, file);
                assert_int_equal(fclose(file), 0);
                if (!strstr(text, cases[i].words))
                        fail_msg("%s is not in: %s", cases[i].words, text);
        }
}

static void write_file(const char *path, const char *text) {
        FILE *file = fopen(path, "w");

        assert_non_null(file);
        assert_true(fputs(text, file) >= 0);
        assert_int_equal(fclose(file), 0);
}

static void what_a_channel_wants_and_is_not_here_is_named(void **state) {
        static const char section[] =
                        "\nchannel sms { exec = { \"/usr/libexec/vestibule/vestibule-sms\" }  "
                        "driver = "
                        "kannel  url = \"http://127.0.0.1:13013/s\"  username = gw  sender = 70700 "
                        " "
                        "countries = { DE } }\nchannel email { from = \"a@b.example\"  receive = { "
                        "\"lmtp:/run/x\" }  ca_file = /nowhere/ca.pem }";
        _cleanup_(config_unrefp) Config *config = parse_good(section);
        _cleanup_(freep) char *problems = NULL, *one = NULL;
        char folder[] = "/tmp/test-config-XXXXXX", inner[64], password[96];

        (void) state;
        assert_int_equal(unsetenv("CREDENTIALS_DIRECTORY"), 0);
        assert_int_equal(config_check_machine(config, &one), CONFIG_E_INVALID);
        assert_string_equal(one,
                        "test.conf:3: channel email: ca_file: there is no file /nowhere/ca.pem\n");

        assert_non_null(mkdtemp(folder));
        (void) snprintf(inner, sizeof(inner), "%s/sms", folder);
        (void) snprintf(password, sizeof(password), "%s/kannel-password", inner);
        assert_int_equal(mkdir(inner, 0700), 0);
        write_file(password, "secret");
        assert_int_equal(setenv("CREDENTIALS_DIRECTORY", folder, 1), 0);
        assert_int_equal(config_check_machine(config, &problems), CONFIG_E_INVALID);
        assert_int_equal(unsetenv("CREDENTIALS_DIRECTORY"), 0);
        assert_non_null(strstr(problems,
                        "test.conf:2: channel sms: the credential callback-path is missing: "
                        "$CREDENTIALS_DIRECTORY/sms/callback-path\n"));
        assert_non_null(strstr(problems, "gateway: the credential root.key is missing"));
        assert_null(strstr(problems, "kannel-password"));
        assert_null(strstr(problems, "mail-key")); /* of a unit, which has its own */
        (void) unlink(password);
        (void) rmdir(inner);
        (void) rmdir(folder);
}

static void files_of_the_folder_are_read_in_the_order_of_their_names(void **state) {
        _cleanup_(config_unrefp) Config *config = NULL;
        _cleanup_(freep) char *problems = NULL;
        char folder[] = "/tmp/test-config-XXXXXX", main_file[64], more[96], first[128], second[128],
             ignored[128];

        (void) state;
        assert_non_null(mkdtemp(folder));
        (void) snprintf(main_file, sizeof(main_file), "%s/v.conf", folder);
        (void) snprintf(more, sizeof(more), "%s.d", main_file);
        (void) snprintf(first, sizeof(first), "%s/10-a.conf", more);
        (void) snprintf(second, sizeof(second), "%s/20-b.conf", more);
        (void) snprintf(ignored, sizeof(ignored), "%s/30-c.conf.bak", more);
        assert_int_equal(mkdir(more, 0700), 0);
        write_file(main_file, PARTS);
        write_file(second, TENANT);
        write_file(first, "\n" POLICY);
        write_file(ignored, "nonsense");

        assert_int_equal(config_load(main_file, &config, &problems), 0);
        assert_int_equal(config->n_tenants, 1);
        write_file(second, TENANT "\n" POLICY);
        config = config_unref(config);
        assert_int_equal(config_load(main_file, &config, &problems), CONFIG_E_INVALID);
        assert_non_null(strstr(problems, "20-b.conf:3: policy hotel is there twice; first at "));
        assert_non_null(strstr(problems, "10-a.conf:2\n"));

        (void) unlink(ignored);
        (void) unlink(first);
        (void) unlink(second);
        (void) unlink(main_file);
        free(TAKE_PTR(problems));
        assert_int_equal(config_load(main_file, &config, &problems), CONFIG_E_INVALID);
        assert_non_null(strstr(problems, "v.conf: cannot be read: "));
        (void) rmdir(more);
        (void) rmdir(folder);
}

static void ten_thousand_tenants_are_found_by_token(void **state) {
        _cleanup_(config_unrefp) Config *config = NULL;
        _cleanup_(freep) char *text = NULL;
        const char *entry;
        size_t size;
        FILE *file = open_memstream(&text, &size);

        (void) state;
        (void) fputs(PARTS POLICY, file);
        for (int i = 0; i < 10000; i++)
                (void) fprintf(file,
                                "tenant t%d { name = T%d token = { "
                                "\"%08d:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\" }"
                                " policies = { hotel } relay = main }\n",
                                i,
                                i,
                                i);
        assert_int_equal(fclose(file), 0);
        config = parse_good(text);
        for (int i = 0; i < 10000; i++) {
                char id[16], tenant[16];

                (void) snprintf(id, sizeof(id), "%08d", i);
                (void) snprintf(tenant, sizeof(tenant), "t%d", i);
                assert_string_equal(config_tenant_by_token(config, id, &entry)->id, tenant);
                assert_ptr_equal(config_tenant(config, tenant),
                                config_tenant_by_token(config, id, &entry));
        }
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(the_example_of_the_manual_is_accepted),
                cmocka_unit_test(numbers_of_a_policy_are_read),
                cmocka_unit_test(exec_and_free_settings_are_read),
                cmocka_unit_test(unknown_keys_and_sections_are_refused_with_their_line),
                cmocka_unit_test(repeated_keys_and_sections_are_refused_with_both_places),
                cmocka_unit_test(broken_syntax_is_refused_and_does_not_disturb_the_next_file),
                cmocka_unit_test(text_that_is_not_utf8_is_refused),
                cmocka_unit_test(what_does_not_exist_is_refused),
                cmocka_unit_test(a_policy_that_cannot_work_is_refused),
                cmocka_unit_test(the_floor_that_is_missed_is_named),
                cmocka_unit_test(wrong_values_are_refused),
                cmocka_unit_test(each_sms_driver_has_keys_of_its_own),
                cmocka_unit_test(quiet_hours_may_be_switched_off),
                cmocka_unit_test(what_comes_after_the_first_address_is_read),
                cmocka_unit_test(steps_that_contradict_themselves_are_refused),
                cmocka_unit_test(mail_has_its_keys),
                cmocka_unit_test(settings_of_another_program_are_its_own),
                cmocka_unit_test(a_slip_in_a_channel_is_found_before_its_program_starts),
                cmocka_unit_test(a_foreign_key_is_told_once),
                cmocka_unit_test(a_tenant_that_cannot_work_is_refused),
                cmocka_unit_test(limits_have_defaults_and_bounds),
                cmocka_unit_test(what_a_tenant_may_spend_needs_a_price),
                cmocka_unit_test(countries_of_a_tenant_are_what_numbers_begin_with),
                cmocka_unit_test(what_would_do_instead_is_said),
                cmocka_unit_test(one_token_never_belongs_to_two_tenants),
                cmocka_unit_test(names_that_could_deceive_are_refused),
                cmocka_unit_test(names_that_guests_could_take_for_one_another_are_refused),
                cmocka_unit_test(all_problems_come_at_once),
                cmocka_unit_test(rights_follow_the_class_unless_they_are_said),
                cmocka_unit_test(a_relay_of_draft_r_is_known_by_its_template),
                cmocka_unit_test(content_is_fetched_from_plain_prefixes_only),
                cmocka_unit_test(the_fingerprint_follows_meaning_not_form),
                cmocka_unit_test(a_reload_is_told_what_it_can_follow),
                cmocka_unit_test(the_report_says_the_odds_and_the_limits),
                cmocka_unit_test(the_report_names_the_credentials_of_each_channel),
                cmocka_unit_test(the_report_says_why_answers_are_worth_what_they_are),
                cmocka_unit_test(what_a_channel_wants_and_is_not_here_is_named),
                cmocka_unit_test(files_of_the_folder_are_read_in_the_order_of_their_names),
                cmocka_unit_test(ten_thousand_tenants_are_found_by_token),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}

/* Canonical addresses: one spelling for each, and a refusal for everything that could be two. */
#include "address.h"

#include <sodium.h>

#include "test.h"

static void expect_canonical(const char *uri, const char *want) {
        char address[ADDRESS_SIZE_MAX], again[ADDRESS_SIZE_MAX];
        const char *reason = NULL;

        if (address_canonical(uri, address, &reason) != 0)
                fail_msg("%s: %s", uri, reason);
        assert_string_equal(address, want);
        assert_null(reason);
        assert_int_equal(address_canonical(address, again, &reason), 0);
        assert_string_equal(again, address);
        assert_true(address_is_canonical(address));
        assert_int_equal(address_is_canonical(uri), streq(uri, want));
}

static void expect_refused(const char *uri, int r, const char *says) {
        char address[ADDRESS_SIZE_MAX] = "x";
        const char *reason = NULL;

        if (address_canonical(uri, address, &reason) != r)
                fail_msg("%s: %s", uri, address);
        assert_string_equal(address, "");
        assert_non_null(reason);
        if (!strstr(reason, says))
                fail_msg("%s: %s", uri, reason);
        assert_false(address_is_canonical(uri));
}

static void equal_addresses_become_equal_bytes(void **state) {
        static const struct {
                const char *uri, *canonical;
        } rows[] = {
                { "xmpp:bob@example.org", "xmpp:bob@example.org" },
                { "XMPP:Bob@Example.ORG", "xmpp:bob@example.org" },
                { "xmpp:b%6fb@example.org", "xmpp:bob@example.org" },
                { "xmpp:bob@localhost", "xmpp:bob@localhost" },
                { "xmpp:bob@127.0.0.1", "xmpp:bob@127.0.0.1" },
                { "xmpp:J\xc3\x9cRGEN@example.org", "xmpp:j\xc3\xbcrgen@example.org" },
                { "xmpp:ju\xcc\x88rgen@example.org", "xmpp:j\xc3\xbcrgen@example.org" },
                { "xmpp:%C3%BC@example.org", "xmpp:\xc3\xbc@example.org" },
                { "xmpp:\xef\xbd\x82\xef\xbd\x8f\xef\xbd\x82@example.org", "xmpp:bob@example.org" },
                { "xmpp:bob@B\xc3\xbc"
                  "cher.example",
                                "xmpp:bob@xn--bcher-kva.example" },
                { "xmpp:bob@xn--bcher-kva.example", "xmpp:bob@xn--bcher-kva.example" },
                { "xmpp:bob@XN--BCHER-KVA.example", "xmpp:bob@xn--bcher-kva.example" },
                { "xmpp:bob@stra\xc3\x9f"
                  "e.example",
                                "xmpp:bob@xn--strae-oqa.example" },
                { "xmpp:d\\27artagnan@example.org", "xmpp:d\\27artagnan@example.org" },
                { "xmpp:a,b+c$d!e@example.org", "xmpp:a,b+c$d!e@example.org" },
                { "xmpp:\xd7\x90\xd7\x91\xd7\x92@example.org",
                                "xmpp:\xd7\x90\xd7\x91\xd7\x92@example.org" },
                { "xmpp:\xd9\x85\xd8\xad\xd9\x85\xd8\xaf\xd9\xa1@example.org",
                                "xmpp:\xd9\x85\xd8\xad\xd9\x85\xd8\xaf\xd9\xa1@example.org" },
                { "xmpp:\xcf\x83\xcf\x82@example.org", "xmpp:\xcf\x83\xcf\x82@example.org" },
                { "sms:+4915112345678", "sms:+4915112345678" },
                { "SMS:+1234567", "sms:+1234567" },
                { "sms:+123456789012345", "sms:+123456789012345" },
                { "mailto:bob@example.org", "mailto:bob@example.org" },
                { "mailto:Bob.O'Neil+key@EXAMPLE.org", "mailto:Bob.O'Neil+key@example.org" },
                { "mailto:Bob.O%27Neil+key@EXAMPLE.org", "mailto:Bob.O'Neil+key@example.org" },
                { "mailto:bob@b\xc3\xbc"
                  "cher.example",
                                "mailto:bob@xn--bcher-kva.example" },
                { "echo:bob", "echo:bob" },
                { "echo:a.b_c-9", "echo:a.b_c-9" },
        };

        for (size_t i = 0; i < N_ELEMENTS(rows); i++)
                expect_canonical(rows[i].uri, rows[i].canonical);
}

static void what_is_no_plain_address_is_refused_with_a_reason(void **state) {
        static const struct {
                const char *uri, *says;
        } rows[] = {
                { "xmpp:", "no account" },
                { "xmpp:example.org", "no account" },
                { "xmpp:@example.org", "no account" },
                { "xmpp:bob@", "host name" },
                { "xmpp:bob@example.org/phone", "resource" },
                { "xmpp:bob@example.org%2Fphone", "resource" },
                { "xmpp:bob@example.org?message", "query" },
                { "xmpp:bob@example.org#x", "fragment" },
                { "xmpp://guest@example.com/bob@example.org", "authority" },
                { "xmpp:bob@carol@example.org", "host name" },
                { "xmpp:bob%40carol@example.org", "host name" },
                { "xmpp:bob@example.org,carol@example.org", "host name" },
                { "xmpp:bob@carol\xef\xbc\xa0"
                  "example.org",
                                "host name" },                        /* full-width @ */
                { "xmpp:bob@example.org\xef\xbc\x8fx", "host name" }, /* full-width slash */
                { "xmpp:bob@exa\xe2\x84\x80ple.org", "host name" },   /* maps to a/c */
                { "xmpp:bob@exa_mple.org", "host name" },
                { "xmpp:bob@example.org.", "host name" },
                { "xmpp:bob@example..org", "host name" },
                { "xmpp:bob@-example.org", "host name" },
                { "xmpp:bob@[::1]", "host name" },
                { "xmpp:bob@xn--a", "host name" },
                { "xmpp:bob@xn--bshle", "host name" }, /* its U-labels are none */
                { "xmpp:b%3Fb@example.org", "local part" },
                { "xmpp:b%25b@example.org", "local part" },
                { "xmpp:b%23b@example.org", "local part" },
                { "xmpp:b'b@example.org", "local part" },
                { "xmpp:b&b@example.org", "local part" },
                { "xmpp:b:b@example.org", "local part" },
                { "xmpp:<b>@example.org", "local part" },
                { "xmpp:b\"b@example.org", "local part" },
                { "xmpp:bob smith@example.org", "space" },
                { "xmpp:bob%20smith@example.org", "space" },
                { "xmpp:bob%00@example.org", "%" },
                { "xmpp:bob%0A@example.org", "control" },
                { "xmpp:bob%4@example.org", "%" },
                { "xmpp:bob%zz@example.org", "%" },
                { "xmpp:bob\xff@example.org", "UTF-8" },
                { "xmpp:bob%ff@example.org", "UTF-8" },
                { "xmpp:bob\xe2\x80\xae@example.org", "invisible" },
                { "xmpp:bob\xe2\x80\x8b@example.org", "invisible" },
                { "xmpp:bob@exam\xc2\xadple.org", "invisible" },
                { "xmpp:bob\xc2\xa0@example.org", "space" },
                { "xmpp:\xe2\x99\x9a@example.org", "local part" },  /* a symbol */
                { "xmpp:\xe2\x85\xa3@example.org", "local part" },  /* a compatibility character */
                { "xmpp:\xef\xac\x81x@example.org", "local part" }, /* the ligature fi */
                { "xmpp:l\xc2\xb7l@example.org", "local part" },    /* allowed in context only */
                { "xmpp:\xcc\x88x@example.org", "combining" },
                { "xmpp:a\xd7\x90@example.org", "directions" },
                { "xmpp:\xd7\x90"
                  "a@example.org",
                                "directions" },
                { "xmpp:\xd9\x85\xd9\xa1\xdb\xb1@example.org", "Arabic digits" },
                { "sms:4915112345678", "+" },
                { "sms:+49 151 12345678", "space" },
                { "sms:+49-151-12345678", "digits" },
                { "sms:+4915112345678,+4915112345679", "digits" },
                { "sms:+4915112345678;ext=1", "digits" },
                { "sms:%2B4915112345678", "+" },
                { "sms:+0915112345678", "digits" },
                { "sms:+123456", "digits" },
                { "sms:+1234567890123456", "digits" },
                { "sms:+", "digits" },
                { "sms:", "+" },
                { "sms:+\xd9\xa1\xd9\xa2\xd9\xa3\xd9\xa4\xd9\xa5\xd9\xa6\xd9\xa7\xd9\xa8",
                                "digits" },
                { "mailto:bob", "@" },
                { "mailto:@example.org", "local part" },
                { "mailto:bob@example.org,carol@example.org", "list" },
                { "mailto:bob%2Ccarol@example.org", "list" },
                { "mailto:bob@example.org?subject=x", "query" },
                { "mailto:bob@carol@example.org", "local part" },
                { "mailto:bob%25carol@example.org", "local part" },
                { "mailto:host!bob@example.org", "local part" },
                { "mailto:%22bob smith%22@example.org", "space" },
                { "mailto:%22bob%22@example.org", "local part" },
                { "mailto:.bob@example.org", "local part" },
                { "mailto:bob.@example.org", "local part" },
                { "mailto:b..b@example.org", "local part" },
                { "mailto:-oX@example.org", "local part" },
                { "mailto:bob(x)@example.org", "local part" },
                { "mailto:bob@[192.0.2.1]", "host name" },
                { "mailto:Bob%0d%0aBcc:x@example.org", "control" },
                { "echo:", "1 to 64" },
                { "echo:Bob", "1 to 64" },
                { "echo:b/b", "1 to 64" },
                { "echo:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
                                "1 to 64" },
        };

        for (size_t i = 0; i < N_ELEMENTS(rows); i++)
                expect_refused(rows[i].uri, ADDRESS_E_FORM, rows[i].says);
}

static void equal_mailboxes_beyond_ascii_become_equal_bytes(void **state) {
        static const struct {
                const char *uri, *canonical;
        } rows[] = {
                { "mailto:j\xc3\xbcrg@example.ch", "mailto:j\xc3\xbcrg@example.ch" },
                { "mailto:ju\xcc\x88rg@example.ch", "mailto:j\xc3\xbcrg@example.ch" },
                { "mailto:j%C3%BCrg@example.ch", "mailto:j\xc3\xbcrg@example.ch" },
                { "mailto:ju%cc%88rg@EXAMPLE.ch", "mailto:j\xc3\xbcrg@example.ch" },
                { "MAILTO:%6A%C3%BCr%67@example.ch", "mailto:j\xc3\xbcrg@example.ch" },
                { "mailto:J\xc3\x9cRG@example.ch", "mailto:J\xc3\x9cRG@example.ch" }, /* another */
                { "mailto:j\xc3\xbcrg.o'neil+key@example.ch",
                                "mailto:j\xc3\xbcrg.o'neil+key@example.ch" },
                { "mailto:\xe7\x94\xa8\xe6\x88\xb7@\xe4\xbe\x8b\xe5\xad\x90."
                  "\xe5\xb9\xbf\xe5\x91\x8a",
                                "mailto:\xe7\x94\xa8\xe6\x88\xb7@xn--fsqu00a.xn--4rr70v" },
                { "mailto:%E7%94%A8%E6%88%B7@xn--fsqu00a.XN--4RR70V",
                                "mailto:\xe7\x94\xa8\xe6\x88\xb7@xn--fsqu00a.xn--4rr70v" },
                /* Marks in the other order. */
                { "mailto:a\xcc\xa3\xcc\x82@example.org", "mailto:\xe1\xba\xad@example.org" },
                { "mailto:a\xcc\x82\xcc\xa3@example.org", "mailto:\xe1\xba\xad@example.org" },
                { "mailto:\xea\xb0\x80@example.org", "mailto:\xea\xb0\x80@example.org" },
                { "mailto:\xd7\x90\xd7\x91\xd7\x92@example.org",
                                "mailto:\xd7\x90\xd7\x91\xd7\x92@example.org" },
                { "mailto:\xe0\xa4\xb9\xe0\xa4\xbf\xe0\xa4\xa8\xe0\xa5\x8d@example.org",
                                "mailto:\xe0\xa4\xb9\xe0\xa4\xbf\xe0\xa4\xa8"
                                "\xe0\xa5\x8d@example.org" },
        };

        (void) state;
        for (size_t i = 0; i < N_ELEMENTS(rows); i++)
                expect_canonical(rows[i].uri, rows[i].canonical);
}

static void what_only_looks_like_a_mailbox_is_refused(void **state) {
        static const struct {
                const char *uri, *says;
        } rows[] = {
                { "mailto:j\xfcrg@example.ch", "UTF-8" }, /* Latin-1 */
                { "mailto:j%FCrg@example.ch", "UTF-8" },
                { "mailto:j\xc1\xbcrg@example.ch", "UTF-8" },          /* overlong */
                { "mailto:j\xed\xa0\x80rg@example.ch", "UTF-8" },      /* half a surrogate pair */
                { "mailto:j\xc3\xbcr%00g@example.ch", "hexadecimal" }, /* NUL */
                { "mailto:j\xc3\xbc%0D%0ARCPT@example.ch", "control" },
                { "mailto:j\xc3\xbc\xc2\x85g@example.ch", "control" },       /* U+0085 */
                { "mailto:j\xc3\xbc%E2%80%A8g@example.ch", "control" },      /* U+2028 */
                { "mailto:j\xc3\xbc\xe2\x80\xa9g@example.ch", "control" },   /* U+2029 */
                { "mailto:j\xc3\xbc\xc2\xa0g@example.ch", "space" },         /* no-break space */
                { "mailto:j\xc3\xbc\xe3\x80\x80g@example.ch", "space" },     /* ideographic space */
                { "mailto:j\xc3\xbc\xe2\x80\x8bg@example.ch", "invisible" }, /* zero width space */
                { "mailto:j\xc3\xbc\xe2\x80\x8dg@example.ch", "invisible" }, /* joiner */
                { "mailto:j\xc3\xbc\xe2\x80\xaeg@example.ch", "invisible" }, /* override */
                { "mailto:j\xc3\xbc\xc2\xadg@example.ch", "invisible" },     /* soft hyphen */
                { "mailto:\xef\xbb\xbfj\xc3\xbcg@example.ch", "invisible" }, /* byte order mark */
                { "mailto:j\xc3\xbc\xef\xbf\xbfg@example.ch", "invisible" }, /* U+FFFF */
                { "mailto:j\xc3\xbc\xcd\xb8g@example.ch", "local part" },    /* unassigned */
                { "mailto:j\xc3\xbc\xee\x80\x80g@example.ch", "local part" }, /* private use */
                { "mailto:j\xc3\xbc\xef\xbc\xa0g@example.ch", "local part" }, /* full-width @ */
                { "mailto:\xef\xbd\x82ob@example.ch", "local part" },         /* full-width b */
                { "mailto:\xe2\x84\xaa"
                  "arl@example.ch",
                                "local part" },                      /* Kelvin sign */
                { "mailto:\xef\xac\x81n@example.ch", "local part" }, /* ligature fi */
                { "mailto:\xe2\x91\xa0@example.ch", "local part" },  /* circled 1 */
                { "mailto:a\xcd\xbe"
                  "b@example.ch",
                                "local part" }, /* U+037E, which becomes ";" */
                { "mailto:\xe1\x84\x80\xe1\x85\xa1@example.org", "local part" }, /* jamo */
                { "mailto:\xf0\x9f\x94\x91@example.ch", "local part" },          /* a key */
                { "mailto:\xcc\x88u@example.ch", "combining" },
                { "mailto:b+\xcc\x88@example.ch", "combining" },
                { "mailto:b\xc3\xbc=\xcc\xb8@example.ch", "local part" }, /* becomes U+2260 */
                { "mailto:a\xd7\x90@example.ch", "directions" },
                { "mailto:\xd9\xa1\xdb\xb1@example.ch", "digits" },
                { "mailto:b\xc3\xbc..b@example.ch", "local part" },
                { "mailto:.\xc3\xbc@example.ch", "local part" },
                { "mailto:\xc3\xbc.@example.ch", "local part" },
                { "mailto:-\xc3\xbc@example.ch", "local part" },
                { "mailto:\xc3\xbc%25@example.ch", "local part" },
                { "mailto:\xc3\xbc%40x@example.ch", "local part" },
                { "mailto:%22\xc3\xbc%22@example.ch", "local part" },
                { "mailto:\xc3\xbc%3E@example.ch", "local part" },
                { "mailto:\xc3\xbc%2Cb@example.ch", "list" },
        };

        (void) state;
        for (size_t i = 0; i < N_ELEMENTS(rows); i++)
                expect_refused(rows[i].uri, ADDRESS_E_FORM, rows[i].says);
}

/* Octets count (RFC 6531 section 3.3), of the canonical form. */
static void lengths_of_mailboxes_are_in_octets(void **state) {
        char uri[512] = "mailto:", want[256] = "mailto:";

        (void) state;
        for (size_t i = 0; i < 32; i++) {
                strcat(uri, "u\xcc\x88"); /* three octets, which become two */
                strcat(want, "\xc3\xbc");
        }
        strcat(uri, "@example.ch");
        strcat(want, "@example.ch");
        expect_canonical(uri, want);

        (void) snprintf(uri, sizeof(uri), "mailto:x%s", want + 7);
        expect_refused(uri, ADDRESS_E_FORM, "local part");
}

static void other_schemes_are_not_addresses(void **state) {
        static const char *const uris[] = { "",
                "bob@example.org",
                "tel:+4915112345678",
                "xmpp",
                " xmpp:bob@x.org",
                "https://example.org",
                "javascript:x",
                ":" };

        for (size_t i = 0; i < N_ELEMENTS(uris); i++)
                expect_refused(uris[i], ADDRESS_E_SCHEME, "xmpp:");
}

static void lengths_are_bounded(void **state) {
        char uri[8192], label[64];

        memset(label, 'a', 63);
        label[63] = 0;
        memset(uri, 'a', sizeof(uri));
        memcpy(uri, "xmpp:", 5);
        uri[sizeof(uri) - 1] = 0;
        expect_refused(uri, ADDRESS_E_FORM, "too long");
        memcpy(uri + 5 + 1024, "@x.org", 7);
        expect_refused(uri, ADDRESS_E_FORM, "too long");
        memcpy(uri + 5 + 1023, "@x.org", 7);
        expect_canonical(uri, uri);

        (void) snprintf(uri, sizeof(uri), "xmpp:b@%s.%s.%s.%.61s", label, label, label, label);
        expect_canonical(uri, uri);
        (void) snprintf(uri, sizeof(uri), "xmpp:b@%s.%s.%s.%.62s", label, label, label, label);
        expect_refused(uri, ADDRESS_E_FORM, "host name");

        (void) snprintf(uri, sizeof(uri), "mailto:%s@%s.%s.%.61s", label, label, label, label);
        expect_canonical(uri, uri); /* 63 + 1 + 189 */
        (void) snprintf(uri, sizeof(uri), "mailto:a%s@%s.%s.%.61s", label, label, label, label);
        expect_canonical(uri, uri); /* 64 + 1 + 189 is 254 */
        (void) snprintf(uri, sizeof(uri), "mailto:a%s@%s.%s.%.62s", label, label, label, label);
        expect_refused(uri, ADDRESS_E_FORM, "too long");
        (void) snprintf(uri, sizeof(uri), "mailto:aa%s@x.org", label);
        expect_refused(uri, ADDRESS_E_FORM, "local part");
}

static void a_jid_off_the_wire_is_never_decoded(void **state) {
        char address[ADDRESS_SIZE_MAX];
        const char *reason;

        assert_int_equal(address_from_jid("Bob@Example.org/phone", address, &reason), 0);
        assert_string_equal(address, "xmpp:bob@example.org");
        assert_int_equal(address_from_jid("bob@example.org/a@b/c", address, &reason), 0);
        assert_string_equal(address, "xmpp:bob@example.org");
        assert_int_equal(address_from_jid("b%6fb@example.org", address, &reason), ADDRESS_E_FORM);
        assert_string_equal(address, "");
        assert_int_equal(address_from_jid("example.org", address, &reason), ADDRESS_E_FORM);
        assert_int_equal(address_from_jid("", address, &reason), ADDRESS_E_FORM);
        assert_int_equal(address_from_jid("/bob@example.org", address, &reason), ADDRESS_E_FORM);
        assert_int_equal(address_from_jid("bob\xe2\x80\xae@example.org", address, &reason),
                        ADDRESS_E_FORM);
}

static void xmpp_gets_unicode_domains_back(void **state) {
        char jid[ADDRESS_SIZE_MAX], address[ADDRESS_SIZE_MAX];
        const char *reason;

        assert_int_equal(address_jid("xmpp:bob@xn--bcher-kva.example", jid), 0);
        assert_string_equal(jid,
                        "bob@b\xc3\xbc"
                        "cher.example");
        assert_int_equal(address_from_jid(jid, address, &reason), 0);
        assert_string_equal(address, "xmpp:bob@xn--bcher-kva.example");
        assert_int_equal(address_jid("xmpp:bob@example.org", jid), 0);
        assert_string_equal(jid, "bob@example.org");
        assert_int_equal(address_jid("sms:+4915112345678", jid), -EINVAL);
        assert_int_equal(address_jid("xmpp:bob", jid), -EINVAL);
}

static void schemes_are_named(void **state) {
        char scheme[16];

        address_scheme("xmpp:bob@example.org", scheme);
        assert_string_equal(scheme, "xmpp");
        address_scheme("mailto:bob@example.org", scheme);
        assert_string_equal(scheme, "mailto");
        address_scheme("sms:+4915112345678", scheme);
        assert_string_equal(scheme, "sms");
        address_scheme("echo:bob", scheme);
        assert_string_equal(scheme, "echo");
        address_scheme("gopher:x", scheme);
        assert_string_equal(scheme, "");
}

static void masked_addresses_say_little(void **state) {
        static const struct {
                const char *uri, *masked;
        } rows[] = {
                { "xmpp:bob@example.org", "xmpp:b***@example.org" },
                { "xmpp:\xc3\xbc"
                  "ber@example.org",
                                "xmpp:\xc3\xbc***@example.org" },
                { "xmpp:b@example.org", "xmpp:b***@example.org" },
                { "mailto:bob@example.org", "mailto:b***@example.org" },
                { "sms:+4915112345678", "sms:+49***78" },
                { "echo:bob", "echo:b***" },
                { "", "***" },
                { "odd", "o***" },
                { "sms:", "sms:***" },
        };

        for (size_t i = 0; i < N_ELEMENTS(rows); i++) {
                char masked[ADDRESS_SIZE_MAX];

                address_masked(rows[i].uri, masked);
                assert_string_equal(masked, rows[i].masked);
        }
}

static void one_person_is_one_person_whatever_comes_after_the_plus(void **state) {
        static const struct {
                const char *uri, *folded;
        } rows[] = {
                { "mailto:bob@example.org", "mailto:bob@example.org" },
                { "mailto:bob+hotel@example.org", "mailto:bob@example.org" },
                { "mailto:bob+a+b@example.org", "mailto:bob@example.org" },
                { "mailto:bob+@example.org", "mailto:bob@example.org" },
                { "mailto:Bob+Hotel@example.org", "mailto:bob@example.org" },
                { "mailto:B.O.B@example.org", "mailto:b.o.b@example.org" },
                { "mailto:+bob@example.org", "mailto:+bob@example.org" },
                { "mailto:+bob+x@example.org", "mailto:+bob@example.org" },
                { "mailto:+@example.org", "mailto:+@example.org" },
                { "mailto:bob-hotel@example.org", "mailto:bob-hotel@example.org" },
                { "mailto:\xc3\x9c"
                  "ber+x@example.org",
                                "mailto:\xc3\xbc"
                                "ber@example.org" },
                { "mailto:\xc8\xba@example.org", "mailto:\xe2\xb1\xa5@example.org" }, /* grows */
                { "xmpp:bob+x@example.org", "xmpp:bob+x@example.org" },
                { "sms:+4915112345678", "sms:+4915112345678" },
                { "echo:bob", "echo:bob" },
                { "mailto:", "mailto:" },
                { "mailto:@example.org", "mailto:@example.org" },
                { "", "" },
        };

        for (size_t i = 0; i < N_ELEMENTS(rows); i++) {
                char folded[ADDRESS_SIZE_MAX], again[ADDRESS_SIZE_MAX];

                address_fold(rows[i].uri, folded);
                assert_string_equal(folded, rows[i].folded);
                address_fold(folded, again);
                assert_string_equal(again, folded);
        }
}

static void a_list_hash_depends_on_every_address_and_their_order(void **state) {
        static const char text[] = "xmpp:bob@example.org\nsms:+4915112345678\n";
        const char *const list[] = { "xmpp:bob@example.org", "sms:+4915112345678" };
        const char *const turned[] = { list[1], list[0] };
        const char *const joined[] = { "xmpp:bob@example.orgsms:+4915112345678" };
        uint8_t want[32], hash[32], other[32];

        assert_int_equal(
                        crypto_generichash(want, 32, (const uint8_t *) text, strlen(text), NULL, 0),
                        0);
        address_list_hash(list, 2, hash);
        assert_memory_equal(hash, want, 32);
        address_list_hash(turned, 2, other);
        assert_memory_not_equal(hash, other, 32);
        address_list_hash(joined, 1, other);
        assert_memory_not_equal(hash, other, 32);
        address_list_hash(list, 1, other);
        assert_memory_not_equal(hash, other, 32);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(equal_addresses_become_equal_bytes),
                cmocka_unit_test(what_is_no_plain_address_is_refused_with_a_reason),
                cmocka_unit_test(equal_mailboxes_beyond_ascii_become_equal_bytes),
                cmocka_unit_test(what_only_looks_like_a_mailbox_is_refused),
                cmocka_unit_test(lengths_of_mailboxes_are_in_octets),
                cmocka_unit_test(other_schemes_are_not_addresses),
                cmocka_unit_test(lengths_are_bounded),
                cmocka_unit_test(a_jid_off_the_wire_is_never_decoded),
                cmocka_unit_test(xmpp_gets_unicode_domains_back),
                cmocka_unit_test(schemes_are_named),
                cmocka_unit_test(masked_addresses_say_little),
                cmocka_unit_test(one_person_is_one_person_whatever_comes_after_the_plus),
                cmocka_unit_test(a_list_hash_depends_on_every_address_and_their_order),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}

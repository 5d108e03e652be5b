"""Two tenants, one recipient: neither can see, delay for long, lock out, end or swallow the answers of the other's
share; and a stranger, an alias of the address or somebody with a spoofed number can do nothing at all."""

import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))

from harness import tap  # noqa: E402
from harness.vestibule import (  # noqa: E402
    LOOSE, Plugin, Site, events_of, fresh_key, hotel_policy, options_of_test, share_body, wrong_code)
from test_channels import BOB, SmsSite  # noqa: E402

TENANTS = ("adler", "mallory")


class Pair(Site):
    """Both tenants on the echo channel; `mine` is adler's, `theirs` mallory's."""

    def __init__(self, build, **options):
        super().__init__(build, tenants=TENANTS, **options)
        self.mallory = self.tenants["mallory"]

    def invite(self, *addresses, tenant=None):
        share = self.create(*addresses, tenant=tenant)
        self.wait_state(share, "invited", tenant=tenant)
        return share

    def confirm(self, phone, share, tenant=None):
        phone.say("%s %s" % (share["tag"], share["code"]))
        self.wait_event(share, "confirmed", tenant=tenant)

    def wrong(self, phone, share, n, tenant=None):
        """So many wrong answers, each compared before the next."""
        left = self.show(share, tenant=tenant)["attempts_left"]
        for i in range(n):
            phone.say("%s %s" % (share["tag"], wrong_code(share["code"], i)))
            self.wait(share, lambda found, wanted=left - i - 1: found["attempts_left"] == wanted, "it was compared",
                      tenant=tenant)


class SmsPair(SmsSite):
    def __init__(self, build, **options):
        super().__init__(build, tenants=TENANTS, **options)
        self.mallory = self.tenants["mallory"]


class MailPair(Site):
    """The same over mail, whose plugin the test plays."""

    def __init__(self, build):
        super().__init__(build, channels=("email",), sockets=("email",), policies=hotel_policy("email"),
                         wait=False, tenants=TENANTS)
        self.mallory = self.tenants["mallory"]

    def channel_section(self, name):
        return 'channel email {\n  scheme = mailto\n  authentic = strong\n  socket = "%s"\n}\n' % self.path(name)


class Tests:
    def __init__(self, options):
        self.build = options.build

    @tap.test
    def neither_sees_the_others_share_nor_can_ask_anything_of_it(self):
        with Pair(self.build) as site:
            site.phone("echo:bob")
            mine = site.invite("echo:bob")
            before = site.wait_event(mine, "delivered")
            path = "/v1/shares/" + mine["id"]
            never = "/v1/shares/shr_" + "0" * 26
            for verb, body in (("cancel", None), ("resend", None), ("reissue", None), ("deny", None),
                               ("approve", {"number": "000000"}), ("expiry", {"expires_at": "2027-01-01T00:00:00Z"})):
                foreign = site.mallory.post(path + "/" + verb, body)
                assert foreign.status == 404, (verb, foreign)
                assert foreign.content == site.mallory.post(never + "/" + verb, body).content, verb
            assert site.mallory.get(path).content == site.mallory.get(never).content
            assert site.mallory.get("/v1/shares").json["shares"] == []
            assert site.mallory.get("/v1/shares?reference=booking-4711").json["shares"] == []
            assert site.show(mine) == before

    @tap.test
    def one_key_of_both_starts_a_share_of_each(self):
        with Pair(self.build) as site:
            key = fresh_key()
            mine = site.create("echo:bob", key=key)
            theirs = site.create("echo:bob", tenant=site.mallory, key=key)
            assert mine["id"] != theirs["id"] and mine["code"] != theirs["code"]
            assert site.create("echo:bob", key=key)["id"] == mine["id"]

    @tap.test
    def who_has_started_too_many_for_a_person_keeps_nobody_else_from_them(self):
        with Pair(self.build, limits={**LOOSE, "shares_per_recipient_10min": 3}) as site:
            phone = site.phone("echo:bob")
            for _ in range(3):
                site.invite("echo:bob", tenant=site.mallory)
            assert site.mallory.post("/v1/shares", share_body("echo:bob")).status == 429
            site.confirm(phone, site.invite("echo:bob"))

    @tap.test
    def a_lock_of_one_is_no_lock_of_the_other(self):
        with Pair(self.build) as site:
            phone = site.phone("echo:bob")
            mine, theirs = site.invite("echo:bob"), site.invite("echo:bob", tenant=site.mallory)
            site.wrong(phone, theirs, 3, tenant=site.mallory)
            site.wait_state(theirs, "locked", tenant=site.mallory)
            assert site.mallory.post("/v1/shares", share_body("echo:bob")).status == 429
            assert site.show(mine)["attempts_left"] == 3
            site.confirm(phone, mine)
            site.confirm(phone, site.invite("echo:bob"))

    @tap.test
    def what_is_dropped_for_one_is_heard_for_the_other_also_after_a_kill(self):
        with Pair(self.build, limits={**LOOSE, "wrong_per_source": 2}) as site:
            phone = site.phone("echo:bob")
            theirs = site.invite("echo:bob", tenant=site.mallory)
            site.wrong(phone, theirs, 2, tenant=site.mallory)
            phone.say("%s %s" % (theirs["tag"], theirs["code"]))
            mine = site.invite("echo:bob")
            site.kill_gateway()
            site.start_gateway()
            phone.say("%s %s" % (theirs["tag"], theirs["code"]))
            assert site.show(theirs, tenant=site.mallory, insist=10.0)["state"] == "invited", "dropped"
            site.confirm(phone, mine)

    @tap.test
    def texts_about_one_share_use_up_none_about_the_other(self):
        with Pair(self.build, limits={**LOOSE, "answers_per_hour": 1}) as site:
            phone = site.phone("echo:bob")
            mine, theirs = site.invite("echo:bob"), site.invite("echo:bob", tenant=site.mallory)
            for _ in range(3):
                phone.say("%s HELP" % theirs["tag"])
            phone.say("%s HELP" % mine["tag"])
            phone.wait_message("notice", contains=mine["tag"])
            assert len([m for m in phone.messages if m["kind"] == "notice"]) == 2

    @tap.test
    def who_has_no_texts_left_keeps_nobody_elses_hint_away(self):
        """An answer that could be to either is asked about, as long as one of the two may still write."""
        with Pair(self.build, limits={**LOOSE, "answers_per_hour": 1}) as site:
            for name, tenants in (("bob", (site.tenant, site.mallory)), ("eve", (site.mallory, site.tenant))):
                phone = site.phone("echo:" + name)
                shares = [site.invite("echo:" + name, tenant=tenant) for tenant in tenants]
                mine, theirs = shares if name == "bob" else reversed(shares)
                phone.say("%s HELP" % theirs["tag"])
                phone.wait_message("notice", contains=theirs["tag"])
                phone.say(mine["code"])
                phone.wait_message("notice", contains="reference")
                site.confirm(phone, mine)

    @tap.test
    def no_stop_and_not_me_are_about_the_one_that_they_name(self):
        with Pair(self.build) as site:
            phone = site.phone("echo:bob")
            shares = [(site.invite("echo:bob"), site.invite("echo:bob", tenant=site.mallory)) for _ in range(3)]
            words = (("NO", "declined"), ("NOT ME", "disowned"), ("STOP", "declined"))
            for (mine, theirs), (word, state) in zip(shares, words):
                phone.say("%s %s" % (theirs["tag"], word))
                site.wait_state(theirs, state, tenant=site.mallory)
                assert site.show(mine)["state"] == "invited"
            for mine, _ in shares:
                site.confirm(phone, mine)
            site.confirm(phone, site.invite("echo:bob"))

    @tap.test
    def the_code_of_one_with_the_reference_of_the_other_spends_only_what_was_named(self):
        with Pair(self.build) as site:
            phone = site.phone("echo:bob")
            mine, theirs = site.invite("echo:bob"), site.invite("echo:bob", tenant=site.mallory)
            phone.say("%s %s" % (theirs["tag"], mine["code"]))
            site.wait(theirs, lambda found: found["attempts_left"] == 2, "it was compared", tenant=site.mallory)
            seen = site.show(mine)
            assert seen["attempts_left"] == 3 and seen["state"] == "invited", seen
            thread = phone.wait_message("invitation", contains=theirs["tag"])["thread"]
            phone.say(mine["code"], thread=thread)
            assert site.show(mine)["attempts_left"] == 3
            site.confirm(phone, mine)

    @tap.test
    def a_stranger_with_everything_but_the_address_does_nothing(self):
        with Pair(self.build) as site:
            bob, eve = site.phone("echo:bob"), site.phone("echo:eve")
            mine = site.invite("echo:bob")
            site.invite("echo:eve", tenant=site.mallory)
            thread = bob.wait_message("invitation")["thread"]
            before = site.show(mine)
            for word in (mine["code"], wrong_code(mine["code"]), "NO", "NOT ME", "STOP", "HELP"):
                eve.say("%s %s" % (mine["tag"], word), thread=thread)
            assert site.show(mine) == before
            site.confirm(bob, mine)

    @tap.test
    def a_second_address_in_the_same_room_is_another_one(self):
        with Pair(self.build) as site:
            phone = site.phone("echo:bob", "echo:room-bob", "echo:bob.room")
            mine = site.invite("echo:bob")
            before = site.show(mine)
            for sender in ("echo:room-bob", "echo:bob.room"):
                for word in (mine["code"], wrong_code(mine["code"]), "NO", "NOT ME"):
                    phone.say("%s %s" % (mine["tag"], word), sender=sender)
            assert site.show(mine) == before
            site.confirm(phone, mine)

    @tap.test
    def an_alias_counts_as_the_person_and_answers_for_nobody(self):
        with MailPair(self.build) as site:
            plugin = Plugin(site.path("email"), "email", timeout=60)
            site.wait_plugins()

            def invite(address, tenant=None):
                share = site.create(address, tenant=tenant)
                frame = plugin.read_until("send")
                plugin.write({"type": "sent", "id": frame["id"]})
                site.wait_state(share, "invited", tenant=tenant)
                return share, frame["thread"]

            def say(sender, text, thread):
                number = plugin.reply(sender, text, thread=thread)
                while True:
                    frame = plugin.read()
                    if frame["type"] == "ack" and frame["id"] == number:
                        return
                    if frame["type"] == "send":
                        plugin.write({"type": "sent", "id": frame["id"]})

            mine, thread = invite("mailto:bob@example.org")
            theirs, other = invite("mailto:bob+evil@example.org", tenant=site.mallory)
            before = site.show(mine)
            for sender in ("mailto:bob+evil@example.org", "mailto:Bob@example.org", "mailto:bob@example.com"):
                for word in (mine["code"], wrong_code(mine["code"]), "NO", "NOT ME"):
                    say(sender, "%s %s" % (mine["tag"], word), thread)
            assert site.show(mine) == before
            for i in range(3):  # what the alias gets wrong for its own share
                say("mailto:bob+evil@example.org", "%s %s" % (theirs["tag"], wrong_code(theirs["code"], i)), other)
            assert site.show(mine) == before
            say("mailto:bob@example.org", "%s %s" % (mine["tag"], mine["code"]), thread)
            site.wait_event(mine, "confirmed")

    @tap.test
    def a_spoofed_number_that_guesses_references_costs_neither_anything(self):
        with SmsPair(self.build) as site:
            mine, _ = site.invite()
            theirs, _ = site.invite(tenant=site.mallory)
            before = site.show(mine), site.show(theirs, tenant=site.mallory)
            for tag in ("7777", "8888", "7KQ4"):
                for word in (wrong_code(mine["code"]), "NO", "NOT ME"):
                    site.say("%s %s" % (tag, word))
            site.say(mine["code"])
            site.say("STOP")
            assert (site.show(mine), site.show(theirs, tenant=site.mallory)) == before
            site.say("%s %s" % (mine["tag"], mine["code"]))
            site.wait_event(mine, "confirmed")

    @tap.test
    def a_tenant_that_spoofs_its_own_recipient_spoils_nothing_for_the_other(self):
        with SmsPair(self.build, limits={**LOOSE, "wrong_per_source": 3, "wrong_per_recipient": 3}) as site:
            mine, _ = site.invite()
            theirs, _ = site.invite(tenant=site.mallory)  # who knows its reference, and writes in Bob's name
            for i in range(3):
                site.say("%s %s" % (theirs["tag"], wrong_code(theirs["code"], i)))
                site.wait(theirs, lambda found, left=2 - i: found["attempts_left"] == left, "it was compared",
                          tenant=site.mallory)
            assert site.mallory.post("/v1/shares", share_body(BOB)).status == 429
            later = site.create(BOB)
            while site.take()["kind"] != "invitation":
                pass
            site.wait_state(later, "invited")
            site.say("%s %s" % (mine["tag"], mine["code"]))
            site.wait_event(mine, "confirmed")

    @tap.test
    def invitations_of_one_make_anothers_wait_without_a_trace(self):
        with Pair(self.build, limits={**LOOSE, "messages_per_recipient_10min": 3}) as site:
            phone = site.phone("echo:bob", "echo:eve")
            for _ in range(3):
                site.invite("echo:bob", tenant=site.mallory)
            mine, other = site.create("echo:bob"), site.create("echo:eve")
            site.wait_state(other, "invited")
            seen = site.show(mine)
            assert seen["state"] == "pending" and events_of(seen) == ["created"], seen
            site.kill_gateway()
            site.start_gateway()
            site.wait_state(site.create("echo:eve"), "invited")
            assert site.show(mine)["state"] == "pending", "a restart lets nothing through that waits"
            assert not [m for m in phone.messages if mine["tag"] in m["text"]]


if __name__ == "__main__":
    arguments = options_of_test(__doc__)
    sys.exit(tap.run(tap.tests_of(Tests(arguments)), arguments.names))

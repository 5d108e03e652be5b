"""What carriers make necessary: messages that wait, messages that are taken back, and what may be believed
of people whose number anybody can write from. The channels are played by the test."""

import os
import re
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))

from harness import tap  # noqa: E402
from harness.vestibule import (  # noqa: E402
    Plugin, Site, events_of, hotel_policy, options_of_test, plain, wait_until, wrong_code)

BOB = "sms:+4915112345678"
EVE = "sms:+4915187654321"
DAY = 24 * 3600


class SmsSite(Site):
    """A site with a channel for SMS that the test plays, of these capabilities."""

    def __init__(self, build, capabilities=("reply", "receipt"), **options):
        self.capabilities = capabilities
        super().__init__(build, channels=("sms",), sockets=("sms",), policies=hotel_policy("sms"),
                         wait=False, **options)

    def channel_section(self, name):
        return 'channel sms {\n  socket = "%s"\n}\n' % self.path(name)

    def start(self):
        super().start()
        self.connect()
        return self

    def connect(self):
        self.plugin = Plugin(self.path("sms"), "sms", capabilities=self.capabilities, timeout=60)
        self.wait_plugins()

    def take(self, kind="send"):
        """The next that is asked, which is taken."""
        frame = self.plugin.read_until(kind)
        self.plugin.write({"type": "sent", "id": frame["id"]})
        return frame

    def invite(self, address=BOB, **options):
        share = self.create(address, **options)
        frame = self.take()
        assert (frame["kind"], frame["to"]) == ("invitation", address), frame
        self.wait_state(share, "invited", tenant=options.get("tenant"))
        return share, frame

    def say(self, text, sender=BOB, **members):
        """Hands in what somebody wrote, and waits until it is durable. What was sent meanwhile is
        taken, and returned."""
        number = self.plugin.reply(sender, text, authentic="weak", **members)
        sent = []
        while True:
            frame = self.plugin.read()
            if frame["type"] == "ack" and frame["id"] == number:
                return sent
            if frame["type"] == "send":
                self.plugin.write({"type": "sent", "id": frame["id"]})
                sent.append(frame)

    def nothing_else(self):
        """What is sent until a share to somebody else is invited: everything, as one lane is in order."""
        other = self.create("sms:+4915199999999")
        sent = []
        while True:
            frame = self.take()
            if frame["to"] == "sms:+4915199999999":
                self.cancel(other)
                return sent
            sent.append(frame)

    def blocks(self):
        """How long each block lasts, in seconds from now."""
        return sorted(row[0] - time.time() for row in self.rows("SELECT expires FROM block"))


class Tests:
    def __init__(self, options):
        self.build = options.build

    # A message that was not tried.

    @tap.test
    def what_was_not_tried_waits_as_long_as_it_was_told_and_counts_as_no_try(self):
        with SmsSite(self.build) as site:
            share = site.create(BOB)
            frames, times = [], []
            for _ in range(2):
                frames.append(site.plugin.read_until("send"))
                times.append(time.monotonic())
                site.plugin.write({"type": "later", "id": frames[-1]["id"], "reason": "quiet-hours",
                                   "retry_after": 3})
                waiting = wait_until(
                    lambda: site.operator("GET", "/v1/shares/" + share["id"]).json.get("waiting"), 30,
                    "the operator sees why")
                assert waiting == {"message": "invitation", "channel": "sms", "reason": "quiet-hours"}
            printed = subprocess.run(
                [site.program("plugins", "api", "vestibulectl"), "--url", "unix:" + site.operator_path, "share",
                 "show", share["id"]], capture_output=True, text=True, timeout=60)
            assert re.search(r"^Waiting +invitation on sms: quiet-hours$", printed.stdout, re.M), printed
            assert site.rows("SELECT attempts, dead FROM outbox") == [(0, 0)]
            seen = site.show(share)
            assert seen["state"] == "pending" and "waiting" not in seen, seen
            assert events_of(seen) == ["created"], "what others block is told by nothing at night"
            frames.append(site.take())
            times.append(time.monotonic())
            assert min(b - a for a, b in zip(times, times[1:])) > 2.9, times
            assert len({(f["message"], f["text"]) for f in frames}) == 1
            site.wait_state(share, "invited")
            found = site.operator("GET", "/v1/shares/" + share["id"]).json
            assert "waiting" not in found, found
            health = site.operator("GET", "/readyz").json["counters"]
            assert (health["messages_postponed"], health["dead_letters"]) == (2, 0)

    @tap.test
    def a_message_that_waits_for_a_day_survives_a_restart_and_ends_with_its_share(self):
        with SmsSite(self.build) as site:
            share = site.create(BOB)
            first = site.plugin.read_until("send")
            site.plugin.write({"type": "later", "id": first["id"], "reason": "quiet-hours",
                               "retry_after": 86400})
            wait_until(lambda: site.rows("SELECT reason FROM outbox") == [("quiet-hours",)], 30,
                       "it waits")
            site.kill_gateway()
            site.plugin.close()
            site.start_gateway(wait_plugins=False)
            site.connect()
            again = site.plugin.read_until("send")
            assert {**again, "id": 0} == {**first, "id": 0}
            site.plugin.write({"type": "later", "id": again["id"], "reason": "throttled",
                               "retry_after": 999999999})
            wait_until(lambda: site.rows("SELECT reason FROM outbox") == [("throttled",)], 30,
                       "it waits again")
            site.cancel(share)
            site.wait_state(share, "cancelled")
            assert site.rows("SELECT * FROM outbox") == []
            assert site.nothing_else() == []

    @tap.test
    def each_repetition_that_is_wanted_has_a_number_and_a_lost_answer_gives_it_none(self):
        with SmsSite(self.build) as site:
            def same(frame, **members):
                return {**frame, "id": 0, **members}

            def resend():
                wait_until(lambda: site.rows("SELECT * FROM outbox") == [], 30, "the last is done")
                answer = site.tenant.post("/v1/shares/%s/resend" % share["id"])
                assert answer.status == 202, answer

            share, first = site.invite()
            assert "repeat" not in first
            resend()
            assert same(site.plugin.read_until("send")) == same(first, repeat=1)
            site.kill_gateway()  # and the answer is lost
            site.plugin.close()
            site.start_gateway(wait_plugins=False)
            site.connect()
            assert same(site.take()) == same(first, repeat=1)
            resend()
            assert same(site.take()) == same(first, repeat=2)
            wait_until(lambda: site.rows("SELECT * FROM outbox") == [], 30, "the last is done")
            site.plugin.write({"type": "failed", "message": first["message"], "permanent": False,
                               "reason": "lost"})
            assert same(site.take()) == same(first, repeat=3)
            (link,) = site.say("%s %s" % (share["tag"], share["code"])) or (site.take(),)
            assert link["kind"] == "link" and "repeat" not in link
            site.wait_event(share, "link_accepted")
            (again,) = site.say("%s HELP" % share["tag"]) or (site.take(),)
            assert same(again) == same(link, repeat=1)

    # Taking back.

    @tap.test
    def what_a_carrier_took_is_asked_back_when_the_share_ends(self):
        with SmsSite(self.build, capabilities=("reply", "withdraw")) as site:
            share, invitation = site.invite()
            site.cancel(share)
            asked = site.plugin.read_until("withdraw")
            assert {**asked, "id": 0} == {"type": "withdraw", "id": 0, "kind": "invitation", "to": BOB,
                                          "message": invitation["message"]}, asked
            assert site.show(share)["state"] == "cancelled", "nothing waits for it"
            site.plugin.write({"type": "withdrawn", "id": asked["id"]})
            found = wait_until(
                lambda: [e for e in site.show(share)["timeline"] if e["event"] == "withdrawn"], 30,
                "it is noted")
            assert found[0]["detail"] == "invitation"
            assert site.rows("SELECT * FROM outbox") == [] and site.rows("SELECT * FROM message") == []

    @tap.test
    def who_cannot_take_back_any_more_changes_nothing(self):
        with SmsSite(self.build, capabilities=("reply", "withdraw")) as site:
            for answer in ("too-late", "unsupported"):
                share, _ = site.invite()
                site.cancel(share)
                asked = site.plugin.read_until("withdraw")
                site.plugin.write({"type": answer, "id": asked["id"]})
                wait_until(lambda: site.rows("SELECT * FROM outbox") == [], 30, "it is done")
                assert events_of(site.show(share))[-1] == "ended"

    @tap.test
    def what_was_not_sent_or_has_arrived_is_not_asked_back(self):
        with SmsSite(self.build, capabilities=("reply", "receipt", "withdraw")) as site:
            delivered, message = site.invite()
            site.plugin.write({"type": "delivered", "message": message["message"]})
            site.wait_event(delivered, "delivered")
            site.cancel(delivered)
            answered, _ = site.invite()
            site.say("%s NO" % answered["tag"])
            site.wait_state(answered, "declined")
            postponed = site.create(BOB)
            frame = site.plugin.read_until("send")
            site.plugin.write({"type": "later", "id": frame["id"], "reason": "x", "retry_after": 600})
            wait_until(lambda: site.rows("SELECT reason FROM outbox") == [("x",)], 30, "it waits")
            site.cancel(postponed)
            assert site.rows("SELECT * FROM outbox") == []

    @tap.test
    def a_link_that_did_not_arrive_is_asked_back(self):
        with SmsSite(self.build, capabilities=("reply", "withdraw")) as site:
            share, _ = site.invite()
            site.say("%s %s" % (share["tag"], share["code"]))
            link = site.take()
            assert link["kind"] == "link"
            site.wait_event(share, "link_accepted")
            site.cancel(share)
            asked = site.plugin.read_until("withdraw")
            assert (asked["kind"], asked["message"]) == ("link", link["message"]), asked
            site.plugin.write({"type": "withdrawn", "id": asked["id"]})
            site.wait_state(share, "cancelled")
            wait_until(lambda: "withdrawn" in events_of(site.show(share)), 30, "it is noted")

    @tap.test
    def a_channel_without_the_capability_is_not_asked(self):
        with SmsSite(self.build, capabilities=("reply",)) as site:
            share, _ = site.invite()
            site.cancel(share)
            assert site.rows("SELECT * FROM outbox") == []

    # STOP, from who can be anybody.

    @tap.test
    def stop_with_the_reference_ends_the_share_and_blocks_for_long(self):
        with SmsSite(self.build) as site:
            share, _ = site.invite()
            (said,) = site.say("%s stop" % share["tag"]) or (site.take(),)
            assert "no more invitations" in said["text"]
            site.wait_state(share, "declined")
            assert len(site.blocks()) == 1 and site.blocks()[0] > 29 * DAY
            second = site.create(BOB)
            site.wait_state(second, "invited")  # as far as the tenant can tell
            assert site.nothing_else() == []

    @tap.test
    def stop_alone_suppresses_for_a_day_and_asks_once_and_ends_nothing(self):
        with SmsSite(self.build, tenants=("adler", "baer")) as site:
            share, _ = site.invite()
            before = site.show(share)
            (question,) = site.say("STOP") or (site.take(),)
            assert question["kind"] == "notice" and question["to"] == BOB
            assert "%s STOP" % share["tag"] in question["text"], question["text"]
            (left,) = site.blocks()
            assert DAY - 600 < left <= DAY, left
            for text in ("stop", "Stopp!", "ARRET", "unsubscribe", "0000 STOP", "stop all"):
                site.say(text)
            assert site.nothing_else() == [], "one question, whatever is written in Bob's name"
            assert site.blocks() == [left] or abs(site.blocks()[0] - left) < 120
            assert site.show(share) == before

            hidden = site.create(BOB)
            site.wait_state(hidden, "invited")
            assert site.nothing_else() == [], "nothing new of the same tenant goes to Bob"
            baer = site.tenants["baer"]
            other = site.create(BOB, tenant=baer)
            assert site.take()["to"] == BOB, "another tenant's does, whoever wrote in his name"
            site.wait_state(other, "invited", tenant=baer)

            (stopped,) = site.say("%s STOP" % share["tag"]) or (site.take(),)
            assert "no more invitations" in stopped["text"]
            site.wait_state(share, "declined")
            assert site.blocks()[0] > 29 * DAY

    # Of who is blocked, the sweep looks at a share within four seconds.
    LAST_WAITS = "SELECT due - created > 4 FROM share WHERE state = 'pending' ORDER BY n DESC LIMIT 1"

    @tap.test
    def at_night_and_without_a_carrier_who_is_blocked_waits_like_all_others(self):
        """Or else a tenant could see who wants nothing any more."""
        with SmsSite(self.build) as site:
            share, _ = site.invite()
            site.say("%s STOP" % share["tag"])
            site.wait_state(share, "declined")
            other = site.create(EVE)
            frame = site.plugin.read_until("send")
            while frame["to"] != EVE:  # what Bob is told
                site.plugin.write({"type": "sent", "id": frame["id"]})
                frame = site.plugin.read_until("send")
            site.plugin.write({"type": "later", "id": frame["id"], "reason": "quiet-hours", "retry_after": 15})
            wait_until(lambda: site.rows("SELECT reason FROM outbox") == [("quiet-hours",)], 30, "it waits")
            hidden = site.create(BOB)
            wait_until(lambda: site.rows(self.LAST_WAITS) == [(1,)], 30, "the sweep has looked at it, and waits")
            assert {site.show(s)["state"] for s in (hidden, other)} == {"pending"}
            again = site.plugin.read_until("send")
            assert again["to"] == EVE
            site.plugin.write({"type": "sent", "id": again["id"]})
            site.wait_state(other, "invited")
            site.wait_state(hidden, "invited", timeout=60)

            site.plugin.write({"type": "status", "up": False, "reason": "away"})
            site.wait_channel("sms", up=False)
            second = site.create(BOB)
            wait_until(lambda: site.rows(self.LAST_WAITS) == [(1,)], 30, "the sweep has looked at it, and waits")
            assert site.show(second)["state"] == "pending"
            site.plugin.write({"type": "status", "up": True, "reason": ""})
            site.wait_state(second, "invited", timeout=60)

    @tap.test
    def stop_with_the_reference_of_a_share_that_has_ended_blocks_as_well(self):
        with SmsSite(self.build) as site:
            share, _ = site.invite()
            site.cancel(share)
            site.wait_state(share, "cancelled")
            (question,) = site.say("Stop") or (site.take(),)
            assert "%s STOP" % share["tag"] in question["text"], question["text"]
            assert site.blocks()[0] < 1.1 * DAY
            (stopped,) = site.say("%s stop" % share["tag"]) or (site.take(),)
            assert "no more invitations" in stopped["text"]
            assert site.blocks()[0] > 29 * DAY
            assert site.show(share)["state"] == "cancelled"

    @tap.test
    def who_writes_in_somebodys_name_gets_them_one_question_and_one_hint(self):
        """The attacker can send from any number, and sees nothing of what is sent to it."""
        with SmsSite(self.build) as site:
            for text in ("STOP", "HELP", "NO", "7KQ4 STOP", "123-456-786"):
                assert site.say(text, sender=EVE) == []
            assert site.nothing_else() == [] and site.blocks() == [], "nobody who was never written to"

            share, invitation = site.invite()
            before = site.show(share)
            texts = [share["code"], wrong_code(share["code"]), "NO", "NOT ME", "HELP", "DONE", "YES", "READY",
                     "TAKEN", "0000 NO", "0000 " + share["code"], "STOP", "0000 STOP", "whatever", "",
                     plain(share["code"])]
            sent = []
            for round in range(3):
                for text in texts:
                    sent += site.say(text)
            sent += site.nothing_else()
            assert site.show(share) == before, "nothing is spent, confirmed, ended"
            assert sorted("STOP" in frame["text"] for frame in sent) == [False, True], sent
            hint = [frame for frame in sent if "STOP" not in frame["text"]][0]
            assert "start your answer with the reference" in hint["text"], hint["text"]
            assert all(frame["to"] == BOB for frame in sent)
            assert len(site.blocks()) == 1 and site.blocks()[0] < 1.1 * DAY
            # And the invitation is as good as ever.
            site.say("%s %s" % (share["tag"], share["code"]))
            assert site.take()["kind"] == "link"
            assert site.rows("SELECT count(*) FROM block WHERE expires > ?", time.time() + 2 * DAY) == [(0,)]

    @tap.test
    def words_and_their_neighbours_are_told_apart(self):
        with SmsSite(self.build) as site:
            for text, state in (("no", "declined"), ("NEIN", "declined"), ("not me", "disowned")):
                share, _ = site.invite(address="sms:+49151123456%d" % (70 + len(text)))
                sender = "sms:+49151123456%d" % (70 + len(text))
                site.say("%s don't stop" % share["tag"], sender=sender)
                assert site.show(share)["state"] == "invited"
                site.say("%s %s" % (share["tag"], text), sender=sender)
                site.wait_state(share, state)
            assert len(site.blocks()) == 1, "NOT ME blocks the pair, NO nobody"


if __name__ == "__main__":
    arguments = options_of_test(__doc__)
    sys.exit(tap.run(tap.tests_of(Tests(arguments)), arguments.names))

"""The sender and the recipient in control: every verb of the one and every word of the other, in every state, and
what an operator can undo. The channels are played by the test."""

import os
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))

from harness import tap  # noqa: E402
from harness.event_stream import EventStream  # noqa: E402
from harness.vestibule import (  # noqa: E402
    Plugin, Site, events_of, fresh_key, hotel_policy, options_of_test, share_body, wrong_code)

DAY = 24 * 3600
PATIENCE = 60  # seconds for what is certain to come
OPEN = ("pending", "invited", "awaiting_approval", "releasing", "released", "withdrawing")
ENDED = ("declined", "cancelled", "expired", "locked", "failed")


class Mail(Site):
    """A site with a channel for mail that the test plays, and two tenants."""

    def __init__(self, build, **options):
        self.people = 0
        policies = hotel_policy("mail") + hotel_policy("mail", name="once", attempts_total="1").replace(
            "  code =", "  attempts = 1\n  code =") + hotel_policy("mail", name="owner").replace(
            "{ reply-code }", "{ reply-code, approve }")
        super().__init__(build, channels=("mail",), sockets=("mail",), policies=policies,
                         tenants=("adler", "baer"), wait=False, **options)

    def channel_section(self, name):
        return 'channel mail {\n  scheme = mailto\n  socket = "%s"\n}\n' % self.path(name)

    def start(self):
        super().start()
        self.connect()
        return self

    def connect(self):
        self.plugin = Plugin(self.path("mail"), "mail", timeout=PATIENCE)
        self.wait_plugins()

    def somebody(self):
        self.people += 1
        return "mailto:guest%d@example.org" % self.people

    def take(self):
        frame = self.plugin.read_until("send")
        self.plugin.write({"type": "sent", "id": frame["id"]})
        return frame

    def say(self, text, invitation=None, sender=None):
        """What somebody answers, until it is durable; what was sent meanwhile is taken, and returned."""
        number = self.plugin.reply(sender or invitation["to"], text,
                                   **({"thread": invitation["thread"]} if invitation else {}))
        sent = []
        while True:
            frame = self.plugin.read()
            if frame["type"] == "ack" and frame["id"] == number:
                return sent
            if frame["type"] == "send":
                self.plugin.write({"type": "sent", "id": frame["id"]})
                sent.append(frame)

    def nothing_else(self, tenant=None):
        """What is sent until a share to somebody else is invited: everything, as one lane is in order."""
        other, sent = self.create(self.somebody(), tenant=tenant), []
        while True:
            frame = self.take()
            if frame.get("tag") == other["tag"]:
                return sent
            sent.append(frame)

    def invite(self, address=None, tenant=None, policy="hotel"):
        share = self.create(address or self.somebody(), tenant=tenant, policy=policy)
        invitation = self.take()
        self.wait_state(share, "invited", tenant=tenant)
        return share, invitation

    def bring(self, state):
        """A share in this state, and its invitation. The relay is away where the state needs it."""
        if state == "pending":
            share = self.create(self.somebody())
            return share, self.plugin.read_until("send")
        share, invitation = self.invite(
            policy={"locked": "once", "awaiting_approval": "owner"}.get(state, "hotel"))
        if state == "awaiting_approval":
            self.say(share["code"], invitation)
            self.wait_state(share, state)
        if state == "locked":
            self.say(wrong_code(share["code"]), invitation)
        if state == "releasing":
            self.relay.kill()
        if state in ("releasing", "released", "withdrawing"):
            self.say(share["code"], invitation)
            self.wait_state(share, state if state == "releasing" else "released")
        if state in ("released", "withdrawing"):
            while self.take()["kind"] != "link":
                pass
            self.wait_event(share, "link_accepted")
        if state == "withdrawing":
            self.relay.kill()
            assert self.cancel(share).status == 202
        elif state == "declined":
            self.say("NO", invitation)
        elif state == "cancelled":
            assert self.cancel(share).status == 200
        elif state == "expired":
            assert self.expire(share, time.time() + 1).status == 200
        elif state == "failed":
            self.plugin.write({"type": "failed", "message": invitation["message"], "permanent": True, "reason": "x"})
        if state in ENDED:
            self.wait_state(share, state)
        return share, invitation

    def bring_back_the_relay(self):
        if self.relay.process.poll() is not None:
            self.relay.start()

    def expire(self, share, at, tenant=None, **options):
        text = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(at))
        return (tenant or self.tenant).post("/v1/shares/%s/expiry" % share["id"], {"expires_at": text}, **options)

    def post(self, share, verb, tenant=None):
        return (tenant or self.tenant).post("/v1/shares/%s/%s" % (share["id"], verb))

    def go_on(self, seconds):
        """A crash, and a restart so much later."""
        self.kill_and_go_on(seconds)
        self.plugin.close()
        self.connect()

    def events(self, share):
        """What the tenant's stream said of a share that has ended."""
        with EventStream(self.api_port, self.tenant.token, query="?after=0") as stream:
            stream.wait_event("share.ended", share["id"])
            return [(kind, data) for _, kind, data in stream.events if data.get("share") == share["id"]]

    def blocks(self):
        return self.operator("GET", "/v1/blocks?limit=100").json["blocks"]

    def lift(self, *arguments, stdin=None):
        made = subprocess.run(
            [self.program("plugins", "api", "vestibulectl"), "--url", "unix:" + self.operator_path, "blocks", "lift",
             *arguments], input=stdin, capture_output=True, text=True, timeout=PATIENCE)
        return made.returncode, made.stdout + made.stderr


def problem(answer):
    return answer.json["type"].rpartition(":")[2]


def without_what_differs(value, names=("id", "code", "tag", "at", "created_at", "expires_at", "cursor", "sequence",
                                       "share", "addresses")):
    """An answer without its ids, codes and times, and without the addresses that the tenant gave."""
    if isinstance(value, dict):
        return {key: without_what_differs(item, names) for key, item in value.items() if key not in names}
    if isinstance(value, (list, tuple)):
        return [without_what_differs(item, names) for item in value]
    return value


class Tests:
    def __init__(self, options):
        self.build = options.build

    # The sender.

    @tap.test
    def a_cancelled_share_delivers_nothing_or_nothing_new(self):
        with Mail(self.build) as site:
            for state in OPEN:
                share, invitation = site.bring(state)
                creates = len(site.relay.requests("create"))
                answer = site.cancel(share)
                early = state in ("pending", "invited", "awaiting_approval")
                assert answer.status == (200 if early else 202), (state, answer)
                assert answer.json["state"] == ("cancelled" if early else "withdrawing"), answer
                assert answer.json["link_left"] == (state in ("released", "withdrawing")), answer
                again = site.cancel(share)
                assert (again.status, again.json["state"]) in ((answer.status, answer.json["state"]), (200, "cancelled"))
                assert again.json["link_left"] == answer.json["link_left"], "repeating does no harm"
                site.bring_back_the_relay()
                if state == "pending":  # the carrier had it in hand
                    site.plugin.write({"type": "sent", "id": invitation["id"]})
                found = site.wait_state(share, "cancelled", timeout=PATIENCE)
                assert events_of(found).count("cancel_asked") == 1, events_of(found)
                sent = site.say(share["code"], invitation) + site.nothing_else()
                assert not [frame for frame in sent if frame["kind"] == "link"], (state, sent)
                if early:
                    assert len(site.relay.requests("create")) == creates, "the relay never heard of it"

    @tap.test
    def what_has_ended_is_not_ended_again_by_the_sender(self):
        with Mail(self.build) as site:
            for state in ENDED:
                share, _ = site.bring(state)
                before = site.show(share)
                for verb, wanted in (("cancel", "already-ended"), ("resend", "not-resendable")):
                    answer = site.post(share, verb)
                    if (state, verb) == ("cancelled", "cancel"):
                        assert answer.status == 200, answer
                    else:
                        assert (answer.status, problem(answer)) == (409, wanted), (state, verb, answer)
                answer = site.expire(share, time.time() + 60)
                assert (answer.status, problem(answer)) == (409, "too-late"), (state, answer)
                assert site.show(share) == before, state

    @tap.test
    def what_is_sent_again_has_the_same_bytes_and_its_time(self):
        """By the numbers of a new installation. The clock goes on as it does over a restart: by what is stored."""
        with Mail(self.build, limits={}) as site:
            for state, kind in (("invited", "invitation"), ("released", "link")):
                share, invitation = site.invite()
                first = invitation
                if kind == "link":
                    frames = site.say(share["code"], invitation)
                    first = [f for f in frames if f["kind"] == "link"][0] if frames else site.take()
                    site.wait_event(share, "link_accepted")
                version = site.show(share)["version"]
                for number, pause in enumerate((60, 300), 1):
                    answer = site.post(share, "resend")
                    assert (answer.status, problem(answer)) == (429, "too-soon"), (state, answer)
                    assert pause - PATIENCE < int(answer.headers["Retry-After"]) <= pause, answer.headers
                    assert site.show(share)["version"] == version, "a refusal changes nothing"
                    site.go_on(pause)
                    assert site.post(share, "resend").status == 202
                    again = site.take()
                    assert {**again, "id": 0, "repeat": 0} == {**first, "id": 0, "repeat": 0}, (first, again)
                    assert again["repeat"] == number
                    found = site.wait(share, lambda found, number=number: events_of(found).count(
                        kind + "_accepted") == number + 1, "it was taken")
                    version = found["version"]
                site.go_on(1000)
                answer = site.post(share, "resend")
                assert (answer.status, problem(answer)) == (409, "too-many-resends"), answer

    @tap.test
    def expiry_comes_forward_and_never_goes_back(self):
        with Mail(self.build) as site:
            share, invitation = site.invite()
            before = site.show(share)
            now = time.time()
            for at, wanted in ((now + 2 * DAY, "invalid-expiry"), (now - 30, "invalid-expiry")):
                answer = site.expire(share, at)
                assert (answer.status, problem(answer)) == (422, wanted), answer
            for body, wanted in (({}, "missing-member"), ({"expires_at": "soon"}, "invalid-member"),
                                 ({"expires_at": before["expires_at"], "x": 1}, "unknown-member")):
                answer = site.tenant.post("/v1/shares/%s/expiry" % share["id"], body)
                assert (answer.status, problem(answer)) == (422, wanted), answer
            answer = site.expire(share, now + 3600, tenant=site.tenants["baer"])
            assert answer.status == 404, "another tenant's share is none"
            assert site.show(share) == before, "a refusal changes nothing"

            key = fresh_key()
            first = site.expire(share, now + 3600, key=key)
            assert first.status == 200 and first.json["expires_at"] < before["expires_at"], first
            assert events_of(first.json)[-1] == "expiry_changed" and first.json["version"] == before["version"] + 1
            again = site.expire(share, now + 3600, key=key)
            assert again.json == first.json and again.headers["Idempotency-Replayed"] == "true"
            same = site.tenant.post("/v1/shares/%s/expiry" % share["id"], {"expires_at": first.json["expires_at"]})
            assert (same.status, same.json) == (200, first.json), "the same once more changes nothing"
            assert site.expire(share, now + 7200).status == 422, "not back either"

            last = site.expire(share, time.time() + 2)
            assert last.status == 200
            site.go_on(0)
            found = site.wait_state(share, "expired")
            assert found["cause"] == "unanswered"
            (late,) = [f for f in site.say(share["code"], invitation) + site.nothing_else() if f["to"] == invitation["to"]]
            assert late["kind"] == "notice", late

    @tap.test
    def expiry_is_the_end_of_an_approval_too(self):
        with Mail(self.build) as site:
            share, _ = site.bring("awaiting_approval")
            assert site.expire(share, time.time() + 2).status == 200
            found = site.wait_state(share, "expired")
            assert site.relay.requests("create") == [], found

    @tap.test
    def what_is_said_while_the_sender_decides_ends_nothing(self):
        """`expires_at` is the last moment to confirm; who has confirmed in time may thank for it later."""
        with Mail(self.build) as site:
            share = site.create(site.somebody(), policy="owner", expires_at=time.strftime(
                "%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + 300)))
            invitation = site.take()
            site.say(share["code"], invitation)
            site.wait_state(share, "awaiting_approval")
            site.go_on(360)
            site.say("Thank you, I have told them the number", invitation)
            assert site.show(share)["state"] == "awaiting_approval", site.show(share)
            site.say("NO", invitation)
            site.wait_state(share, "declined")

    @tap.test
    def expiry_decides_nothing_once_it_is_confirmed(self):
        with Mail(self.build) as site:
            for state in ("releasing", "released", "withdrawing"):
                share, _ = site.bring(state)
                answer = site.expire(share, time.time() + 60)
                assert (answer.status, problem(answer)) == (409, "too-late"), (state, answer)
                site.bring_back_the_relay()
                site.cancel(share)
                site.wait_state(share, "cancelled", timeout=PATIENCE)

    # The recipient.

    def word_in_state(self, site, word, state):
        share, invitation = site.bring(state)
        blocks = len(site.blocks())
        site.say(word, invitation)
        site.bring_back_the_relay()
        ended = "disowned" if word == "NOT ME" else "declined"
        if state in ("withdrawing", "cancelled"):
            ended = "cancelled"  # the first end stays
        site.wait_state(share, ended, timeout=PATIENCE)
        # What has ended knows its recipient no more; who says STOP then means what comes.
        wanted = 0 if word == "NO" or (word, state) == ("NOT ME", "cancelled") else 1
        assert len(site.blocks()) - blocks == wanted, (word, state, site.blocks())
        return invitation["to"]

    def is_written_to(self, site, address, tenant):
        """Whether a new share of the tenant reaches this address."""
        share = site.create(address, tenant=tenant)
        return any(frame.get("tag") == share["tag"] for frame in site.nothing_else())

    @tap.test
    def every_word_does_what_it_says_in_every_state(self):
        adler_baer = {"NO": (True, True), "NOT ME": (False, True), "STOP": (False, True), "STOP ALL": (False, False)}
        with Mail(self.build) as site:
            adler, baer = site.tenants["adler"], site.tenants["baer"]
            for word, (by_adler, by_baer) in adler_baer.items():
                for state in ("invited", "awaiting_approval", "releasing", "released", "withdrawing", "cancelled"):
                    address = self.word_in_state(site, word, state)
                    knows = by_adler or (word, state) == ("NOT ME", "cancelled")
                    assert self.is_written_to(site, address, adler) == knows, (word, state)
                    assert self.is_written_to(site, address, baer) == by_baer, (word, state)

    @tap.test
    def a_new_code_is_not_told_to_who_wants_to_hear_nothing(self):
        """The sender cannot write to somebody by having another code made; others are told of it."""
        with Mail(self.build) as site:
            for word in ("NOT ME", "STOP", "STOP ALL"):
                share, invitation = site.invite()
                site.say(word, invitation)
                site.wait_state(share, "disowned", "declined")
                share = site.create(invitation["to"])
                site.wait_state(share, "invited")
                assert site.post(share, "reissue").status == 200
                sent = site.nothing_else()
                assert sent == [], (word, sent)
            share, invitation = site.invite()
            assert site.post(share, "reissue").status == 200
            assert [frame["to"] for frame in site.nothing_else()] == [invitation["to"]]

    @tap.test
    def an_alias_of_a_blocked_person_is_not_written_to(self):
        with Mail(self.build) as site:
            share, invitation = site.invite("mailto:bob+hotel@example.org")
            site.say("STOP", invitation)
            site.wait_state(share, "declined")
            for address, reached in (("mailto:bob@example.org", False), ("mailto:Bob+spa@example.org", False),
                                     ("mailto:bobby@example.org", True)):
                assert self.is_written_to(site, address, site.tenant) == reached, address

    @tap.test
    def of_several_addresses_the_blocked_one_is_passed_over_and_the_others_are_written_to(self):
        with Mail(self.build) as site:
            share, invitation = site.invite()
            site.say("STOP", invitation)
            site.wait_state(share, "declined")
            second = site.create(invitation["to"], "mailto:other@example.org")
            first = site.create("mailto:other@example.org", invitation["to"])
            frames = site.nothing_else()
            assert [frame["to"] for frame in frames if frame["kind"] == "invitation"] == ["mailto:other@example.org"]
            assert {site.wait_state(s, "invited")["state"] for s in (first, second)} == {"invited"}

    @tap.test
    def blocked_opted_out_and_unknown_people_look_the_same(self):
        """Over time, in lists and events, when it is sent again, ends sooner, and has ended."""
        with Mail(self.build) as site:
            blocked, opted_out = [], []
            for word, address in (("NOT ME", blocked), ("STOP ALL", opted_out)):
                share, invitation = site.invite()
                site.say(word, invitation)
                site.wait(share, lambda found: found["state"] in ("disowned", "declined"), word)
                address.append(invitation["to"])
            seen = {}
            for kind, address in (("unknown", site.somebody()), ("blocked", *blocked), ("opted out", *opted_out)):
                reference = "for-" + kind.replace(" ", "-")
                answers = [site.tenant.post("/v1/shares", share_body(address, reference="same"))]
                share = answers[0].json
                if kind == "unknown":
                    assert site.take()["to"] == address
                site.wait_state(share, "invited")
                answers.append(site.tenant.get("/v1/shares/" + share["id"]))
                answers.append(site.tenant.get("/v1/shares?state=invited&reference=same"))
                answers.append(site.post(share, "resend"))
                if kind == "unknown":
                    site.take()
                site.wait(share, lambda found: events_of(found).count("invitation_accepted") == 2 or
                          answers[3].status != 202, "it is sent again", timeout=PATIENCE)
                answers.append(site.tenant.get("/v1/shares/" + share["id"]))
                answers.append(site.post(share, "reissue"))
                answers.append(site.expire(share, time.time() + 1))
                site.wait_state(share, "expired")
                answers.append(site.tenant.get("/v1/shares/" + share["id"]))
                answers.append(site.post(share, "resend"))
                answers.append(site.cancel(share))
                events = site.events(share)
                seen[kind] = [(a.status, without_what_differs(a.json), sorted(set(a.headers) - {"Date"})) for a in answers]
                seen[kind].append(without_what_differs(events))
            assert seen["blocked"] == seen["unknown"], (seen["blocked"], seen["unknown"])
            assert seen["opted out"] == seen["unknown"]

    # The operator.

    @tap.test
    def an_operator_lists_blocks_masked_and_lifts_them(self):
        with Mail(self.build) as site:
            adler, baer = site.tenants["adler"], site.tenants["baer"]
            share, invitation = site.invite("mailto:bob+hotel@example.org")
            site.say("STOP", invitation)
            site.wait_state(share, "declined")
            share, invitation = site.invite("mailto:carol@example.org", tenant=baer)
            site.say("STOP ALL", invitation)
            site.wait_state(share, "declined", tenant=baer)

            listed = {block["reason"]: block for block in site.blocks()}
            assert set(listed) == {"stop", "stop_all"}, listed
            assert (listed["stop"]["tenant"], listed["stop"]["address"]) == ("adler", "mailto:b***@example.org")
            assert "tenant" not in listed["stop_all"] and listed["stop_all"]["address"] == "mailto:c***@example.org"
            assert site.tenant.get("/v1/blocks").status == 403, "it is not a tenant's affair"

            assert site.lift(stdin="mailto:bob@example.org\n", *("--tenant", "baer"))[0] != 0
            status, text = site.lift("--tenant", "adler", stdin="mailto:BOB@example.org\n")
            assert status == 0 and "1 block is lifted" in text, text
            assert self.is_written_to(site, "mailto:bob@example.org", adler)
            assert not self.is_written_to(site, "mailto:carol@example.org", adler)
            status, text = site.lift(listed["stop_all"]["id"])
            assert status == 0, text
            assert self.is_written_to(site, "mailto:carol@example.org", adler)
            status, text = site.lift(listed["stop_all"]["id"])
            assert status != 0 and "no block" in text, text
            assert site.blocks() == []

            with open(site.log) as file:
                log = file.read()
            assert "lifted 1 block" in log
            for word in ("bob", "carol", "example.org"):
                assert word not in log, word

    @tap.test
    def a_block_survives_a_crash_and_a_lift_of_all_takes_each_tenants(self):
        with Mail(self.build) as site:
            for tenant in site.tenants.values():
                share, invitation = site.invite("mailto:bob@example.org", tenant=tenant)
                site.say("NOT ME", invitation)
                site.wait_state(share, "disowned", tenant=tenant)
            site.go_on(0)
            assert sorted(block["tenant"] for block in site.blocks()) == ["adler", "baer"]
            status, text = site.lift(stdin="mailto:bob@example.org")
            assert status == 0 and "2 blocks are lifted" in text, text
            assert self.is_written_to(site, "mailto:bob@example.org", site.tenant)


if __name__ == "__main__":
    arguments = options_of_test(__doc__)
    sys.exit(tap.run(tap.tests_of(Tests(arguments)), arguments.names))

"""Messages in both directions through one mailbox, as the gateway runs them: turns, replay and
reflection, the pace of its looks, restarts. The relay client is played by the test, so that it can
answer what no real one would."""

import base64
import contextlib
import hashlib
import os
import socket
import sqlite3
import sys
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))

from harness import tap  # noqa: E402
from harness.frames import Closed  # noqa: E402
from harness.vestibule import (  # noqa: E402
    Plugin, Site, events_of, hotel_policy, options_of_test, read_text, share_body, share_number,
    wait_until)

PATIENCE = 30
SEVERAL = "code = D9\n  access_rights = RWD"


def digest_of(blob):
    return base64.b64encode(hashlib.sha256(blob.encode()).digest()).decode()


class ScriptedRelay:
    """Plays the relay client: one mailbox for each share, whose content the test sets as well.
    Whatever is in `answers` is answered instead, once for each entry, to requests of that type."""

    def __init__(self, site, path):
        self.site, self.path = site, path
        self.url = site.relay.url
        self.requests = []  # (moment, frame)
        self.blobs = {}  # share: what lies in its mailbox
        self.written = {}  # share: the digest that the last write had
        self.gone = set()
        self.answers = {}  # type: list of functions of the frame
        self.states = False
        self.look_only = "done"  # what a look without `expect` is answered
        self.changed = threading.Condition()
        self.plugin = None
        self.closing = False
        self.present = threading.Event()
        self.present.set()
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()

    def _run(self):
        while not self.closing:
            self.present.wait()
            try:
                self.plugin = Plugin(self.path, "main", role="relay", capabilities=())
                self.plugin.connection.settimeout(None)
                self.plugin.write({"type": "status", "up": True, "reason": ""})
                while True:
                    self._take(self.plugin.read())
            except (OSError, Closed):
                time.sleep(0.02)

    def _take(self, frame):
        with self.changed:
            self.requests.append((time.monotonic(), frame))
            scripted = self.answers.get(frame["type"], [])
            answer = scripted.pop(0)(frame) if scripted else self.usual(frame)
            self.changed.notify_all()
        if answer is not None:
            self.plugin.write({**answer, "id": frame["id"]})

    def usual(self, frame):
        share, kind = frame["share"], frame["type"]
        if kind == "create":
            self.blobs[share] = "message 0 of " + share
            mailbox = "%s/v1/m/%s" % (self.url, share)
            return {"type": "done", "mailbox": mailbox, "link": mailbox + "?v=a#secret",
                    "digest": digest_of(self.blobs[share])}
        if share in self.gone:
            return {"type": "gone"}
        if kind == "delete":
            self.gone.add(share)
            return {"type": "done"}
        if kind == "update":
            self.blobs[share] = "message %d of %s" % (frame["number"], share)
            return {"type": "done", "digest": digest_of(self.blobs[share])}
        if kind == "read" and "expect" in frame:
            return self.look(frame)
        if kind == "read":
            return {"type": self.look_only}
        return {"type": "done"}

    def look(self, frame):
        blob = self.blobs[frame["share"]]
        if frame.get("known") == digest_of(blob):
            return {"type": "done"}
        if blob.startswith("noise"):
            return {"type": "done", "digest": digest_of(blob), "unreadable": "auth"}
        box = base64.b64encode(("box of " + blob).encode()).decode()
        return {"type": "done", "digest": digest_of(blob), "message": {"kid": "k", "box": box}}

    def put(self, share, blob):
        with self.changed:
            self.blobs[share["id"]] = blob

    def frames(self, kind, share=None):
        with self.changed:
            return [frame for _, frame in self.requests
                    if frame["type"] == kind and share in (None, frame["share"])]

    def moments(self, kind):
        with self.changed:
            return [moment for moment, frame in self.requests if frame["type"] == kind]

    def wait_frame(self, kind, number=0, timeout=PATIENCE):
        """The number-th request of this type."""
        limit = time.monotonic() + timeout
        with self.changed:
            while True:
                found = [frame for _, frame in self.requests if frame["type"] == kind]
                if len(found) > number:
                    return found[number]
                left = limit - time.monotonic()
                assert left > 0, "no %s number %d within %g s" % (kind, number, timeout)
                self.changed.wait(left)

    def go_away(self):
        self.present.clear()
        self.hang_up()

    def come_back(self):
        self.present.set()

    def hang_up(self):
        if self.plugin:
            try:
                self.plugin.connection.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass

    def close(self):
        self.closing = True
        self.hang_up()
        self.thread.join()


class TransferSite(Site):
    """A site whose relay client is the test."""

    def __init__(self, build, **options):
        policies = hotel_policy("echo").replace("code = D9", SEVERAL)
        policies += hotel_policy("echo", name="single")
        super().__init__(build, policies=policies, wait=False, **options)
        self.scripted = None

    def configuration(self):
        text = super().configuration()
        begin = text.index("exec", text.index("relay main"))
        end = text.index("\n", begin)
        text = '%ssocket = "%s"%s' % (text[:begin], self.path("relay-main"), text[end:])
        return text.replace(
            "relay = main\n", 'relay = main\n  mint_prefixes = { "https://tenant.example/keys/" }\n')

    def start(self):
        super().start()
        self.scripted = ScriptedRelay(self, self.path("relay-main"))
        self.wait_plugins()
        return self

    def close(self):
        if self.scripted:
            self.scripted.close()
        super().close()

    def released(self, phone, **members):
        """A share whose link is on the phone; returns it."""
        share = self.create(phone.addresses[0], **members)
        phone.say(share["code"])
        self.wait_state(share, "released", timeout=PATIENCE)
        return share

    def messages(self, share, query=""):
        answer = self.tenant.get("/v1/shares/%s/messages%s" % (share["id"], query))
        assert answer.status == 200, answer
        return answer.json["messages"]

    def send(self, share, content=None, **options):
        body = {"provisioning": {"format": "digitalwallet.carkey.ccc", "content": content or {"n": 2}}}
        return self.tenant.post("/v1/shares/%s/messages" % share["id"], body, **options)

    def wait_count(self, share, event, count):
        return self.wait(share, lambda found: events_of(found).count(event) >= count,
                         "%d times %s" % (count, event), timeout=PATIENCE)

    def rewind(self, share, seconds):
        """Makes the last progress of a transfer older, while the gateway is down."""
        store = sqlite3.connect(os.path.join(self.state, "vestibule.sqlite"))
        store.execute("UPDATE transfer SET progress = progress - ? WHERE share = ?",
                      (seconds, share_number(share["id"])))
        store.commit()
        store.close()

    def move_end(self, share, seconds):
        """Makes the mailbox end so many seconds from now, with a restart."""
        self.stop_gateway()
        store = sqlite3.connect(os.path.join(self.state, "vestibule.sqlite"))
        store.execute("UPDATE share SET mailbox_expires = unixepoch() + ?, due = unixepoch() - 1 WHERE n = ?",
                      (seconds, share_number(share["id"])))
        store.commit()
        store.close()
        self.start_gateway(wait_plugins=False)
        self.wait_plugins()


def problem_of(answer):
    return answer.json["type"].rpartition(":")[2]


class Tests:
    def __init__(self, options):
        self.build = options.build

    @contextlib.contextmanager
    def house(self):
        with TransferSite(self.build) as site:
            yield site, site.phone("echo:bob")

    @contextlib.contextmanager
    def released(self):
        """A share whose link is on the phone."""
        with self.house() as (site, phone):
            yield site, site.released(phone)

    @contextlib.contextmanager
    def answered(self):
        """The same, after the recipient's first message was read."""
        with self.released() as (site, share):
            site.scripted.put(share, "answer")
            site.wait_count(share, "message_received", 1)
            yield site, share

    @tap.test
    def a_car_key_takes_as_many_messages_as_it_likes_in_turn(self):
        with self.released() as (site, share):
            create = site.scripted.wait_frame("create")
            assert create["rights"] == "RWD"
            assert site.show(share)["turn"] == "recipient"
            assert problem_of(site.send(share)) == "not-your-turn"
            for turn in range(3):
                site.scripted.put(share, "answer %d" % turn)
                found = site.wait_count(share, "message_received", turn + 1)
                assert found["turn"] == "initiator"
                assert site.messages(share)[-1]["number"] == 2 * turn + 1
                answer = site.send(share, {"turn": turn})
                assert answer.status == 202, answer
                assert answer.json["number"] == 2 * turn + 2 and answer.json["state"] == "queued"
                assert problem_of(site.send(share)) == "not-your-turn"
                site.wait_count(share, "message_sent", turn + 1)
                update = site.scripted.wait_frame("update", turn)
                assert update["number"] == 2 * turn + 2
                assert update["known"] == digest_of("answer %d" % turn)
                assert update["claim"] == create["claim"] and update["kid"] == create["kid"]
                assert "box" in update and update["envelope"]["class"] == "message"
            site.scripted.gone.add(share["id"])
            ended = site.wait_state(share, "completed", timeout=PATIENCE)
            assert ended["cause"] == "mailbox_gone"
            assert "turn" not in ended
            answer = site.tenant.get("/v1/shares/%s/messages" % share["id"])
            assert answer.status == 409 and problem_of(answer) == "already-ended", answer
            requests = {frame["request"] for frame in site.scripted.frames("update")}
            assert len(requests) == 3  # a fresh id for each, and one for its repeats

    @tap.test
    def what_the_recipient_wrote_stays_sealed_and_is_listed_in_pages(self):
        with self.released() as (site, share):
            site.scripted.put(share, "the recipient's answer")
            site.wait_count(share, "message_received", 1)
            first, second = site.messages(share)
            assert (first["number"], first["from"], first["state"]) == (0, "initiator", "accepted")
            assert (second["number"], second["from"], second["state"]) == (1, "recipient", "received")
            # This box was never sealed to the front: it says so rather than showing something else.
            assert second["readable"] is False and "provisioning" not in second
            answer = site.tenant.get("/v1/shares/%s/messages?limit=1" % share["id"])
            assert [m["number"] for m in answer.json["messages"]] == [0]
            assert answer.json["cursor"] == 0
            assert [m["number"] for m in site.messages(share, "?after=0")] == [1]
            store = os.path.join(site.state, "vestibule.sqlite")
            for path in (store, store + "-wal"):
                with open(path, "rb") as file:
                    content = file.read()
                assert b"recipient's answer" not in content
                assert base64.b64encode(b"box of the recipient") [:20] not in content

    @tap.test
    def one_message_is_all_that_a_policy_with_rights_rd_carries(self):
        with self.house() as (site, phone):
            share = site.released(phone, policy="single")
            assert site.scripted.wait_frame("create")["rights"] == "RD"
            assert problem_of(site.send(share)) == "one-message"
            assert "expect" not in site.scripted.wait_frame("read")

    @tap.test
    def an_old_message_or_our_own_is_no_message(self):
        with self.released() as (site, share):
            first = site.scripted.blobs[share["id"]]
            site.scripted.put(share, "answer 1")
            site.wait_count(share, "message_received", 1)
            assert site.send(share).status == 202
            site.wait_count(share, "message_sent", 1)
            for number, blob in enumerate(("answer 1", first), 1):
                site.scripted.put(share, blob)  # a relay that replays, and one that reflects
                site.wait_count(share, "message_repeated", number)
            found = site.show(share)
            assert found["turn"] == "recipient" and len(site.messages(share)) == 3
            assert events_of(found).count("message_repeated") == 2  # each is noted once
            site.scripted.put(share, "answer 3")
            site.wait_count(share, "message_received", 2)
            assert [m["number"] for m in site.messages(share)] == [0, 1, 2, 3]

    @tap.test
    def what_cannot_be_opened_is_noted_and_ends_nothing(self):
        with self.released() as (site, share):
            site.scripted.put(share, "noise")
            site.wait_count(share, "message_unreadable", 1)
            count = len(site.scripted.frames("read"))
            site.scripted.wait_frame("read", count)
            site.scripted.put(share, "answer")
            found = site.wait_count(share, "message_received", 1)
            assert events_of(found).count("message_unreadable") == 1
            assert found["state"] == "released"

    @tap.test
    def a_lost_answer_to_a_write_is_asked_for_again_with_the_same_values(self):
        with self.answered() as (site, share):
            again = lambda frame: {"type": "again", "reason": "timeout"}  # noqa: E731
            site.scripted.answers["update"] = [again, again]
            assert site.send(share).status == 202
            site.wait_count(share, "message_sent", 1)
            one, two, three = (
                {k: v for k, v in frame.items() if k != "id"}
                for frame in site.scripted.frames("update"))
            assert one == two == three

    @tap.test
    def what_is_unread_at_one_look_and_known_at_the_next_delays_our_message_and_no_more(self):
        with self.answered() as (site, share):
            unread = lambda frame: {"type": "again", "reason": "unread-message"}  # noqa: E731
            site.scripted.answers["update"] = [unread, unread]
            assert site.send(share).status == 202
            found = site.wait_count(share, "message_sent", 1)
            assert "message_repeated" not in events_of(found)
            moments = site.scripted.moments("update")
            assert len(moments) == 3
            for earlier, later in zip(moments, moments[1:]):
                assert later - earlier > 1.9, "a relay sets the pace"

    @tap.test
    def an_unread_message_is_read_before_ours_is_written(self):
        with self.answered() as (site, share):

            def overtaken(frame):
                site.scripted.blobs[frame["share"]] = "second thoughts"
                return {"type": "again", "reason": "unread-message"}

            site.scripted.answers["update"] = [overtaken]
            assert site.send(share).status == 202
            site.wait_count(share, "message_sent", 1)
            one, two = site.scripted.frames("update")
            assert one["number"] == two["number"] == 2 and one["request"] == two["request"]
            assert two["known"] == digest_of("second thoughts")
            assert [(m["number"], m["from"]) for m in site.messages(share)] == [
                (0, "initiator"), (1, "recipient"), (2, "initiator"), (3, "recipient")]

    @tap.test
    def who_writes_while_ours_is_under_way_does_not_take_its_place(self):
        with self.answered() as (site, share):
            def overtaken(frame):
                site.scripted.blobs[frame["share"]] = "second thoughts"
                return {"type": "again", "reason": "unread-message"}

            busy = lambda frame: {"type": "again", "reason": "http-503"}  # noqa: E731
            site.scripted.answers["update"] = [overtaken, busy]
            assert site.send(share).status == 202
            site.wait_count(share, "message_received", 2)
            assert problem_of(site.send(share)) == "not-your-turn"  # 2 is not written yet
            site.wait_count(share, "message_sent", 1)
            assert {frame["number"] for frame in site.scripted.frames("update")} == {2}
            assert [(m["number"], m["state"]) for m in site.messages(share)][2:] == [
                (2, "accepted"), (3, "received")]
            assert site.show(share)["turn"] == "recipient"
            site.scripted.put(share, "the answer to it")
            site.wait_count(share, "message_received", 3)
            assert site.send(share).json["number"] == 5

    @tap.test
    def an_answer_that_was_read_before_we_knew_ours_had_arrived_is_an_answer(self):
        with self.answered() as (site, share):
            def arrived(frame):  # and was answered, and none of that was heard
                site.scripted.blobs[frame["share"]] = "the answer to it"
                return {"type": "again", "reason": "unread-message"}

            done = lambda frame: {"type": "done", "digest": digest_of("ours")}  # noqa: E731
            site.scripted.answers["update"] = [arrived, done]
            assert site.send(share).status == 202
            found = site.wait(share, lambda found: found.get("turn") == "initiator" and
                              "message_sent" in events_of(found), "their turn", timeout=PATIENCE)
            assert events_of(found).count("message_received") == 2
            assert site.send(share).json["number"] == 4

    @tap.test
    def who_writes_again_and_again_replaces_and_does_not_set_the_pace(self):
        with self.answered() as (site, share):
            before = site.scripted.moments("read")[-1]
            for number in range(3):
                site.scripted.put(share, "again %d" % number)
                site.wait_count(share, "message_received", number + 2)
            moments = [before, *[m for m in site.scripted.moments("read") if m > before]]
            gaps = [later - earlier for earlier, later in zip(moments, moments[1:])]
            assert gaps[-1] > gaps[0] + 0.5, gaps
            shown = [(m["number"], m["state"]) for m in site.messages(share)]
            assert shown == [(0, "accepted"), (1, "replaced"), (2, "replaced"), (3, "replaced"),
                             (4, "received")], shown
            assert site.rows("SELECT count(*) FROM transfer_message WHERE body IS NOT NULL") == [(1,)]
            assert site.send(share).status == 202

    @tap.test
    def our_own_message_is_recognised_although_its_write_was_refused_or_lost(self):
        with self.answered() as (site, share):
            ours = digest_of("ours")
            reflected = lambda frame: {  # noqa: E731
                "type": "done", "digest": ours, "message": {"kid": "k", "box": "Ym94"}}
            site.scripted.answers["update"] = [
                lambda frame: {"type": "refused", "reason": "http-400", "digest": ours}]
            site.scripted.answers["read"] = [reflected]
            assert site.send(share).status == 202
            found = site.wait_count(share, "message_repeated", 1)
            assert events_of(found).count("message_received") == 1
            site.scripted.answers["update"] = [
                lambda frame: {"type": "again", "reason": "unread-message",
                               "digest": digest_of("ours too")}]
            site.scripted.answers["read"] = [
                lambda frame: {**reflected(frame), "digest": digest_of("ours too")}]
            assert site.send(share).status == 202
            found = site.wait_count(share, "message_sent", 1)
            assert events_of(found).count("message_received") == 1
            assert len(site.scripted.frames("update")) == 2

    @tap.test
    def a_relay_that_asks_for_an_hour_is_left_alone_for_ten_minutes(self):
        with self.released() as (site, share):
            site.scripted.answers["read"] = [
                lambda frame: {"type": "again", "reason": "http-503", "retry_after": 3600}]
            site.scripted.wait_frame("read")
            other = site.released(site.phones[0])
            count = len(site.scripted.frames("read", other["id"]))
            wait_until(lambda: len(site.scripted.frames("read", other["id"])) >= count + 3,
                       PATIENCE, "three looks at another share")
            assert len(site.scripted.frames("read", share["id"])) == 1

    @tap.test
    def looks_that_were_due_while_the_relay_client_was_away_are_spread(self):
        with self.house() as (site, phone):
            begin = time.monotonic()
            shares = [site.released(phone) for _ in range(8)]
            for share in shares:
                wait_until(lambda: site.scripted.frames("read", share["id"]), PATIENCE, "a look")
            site.scripted.go_away()
            # Nothing can be seen of a look that is due and cannot be made: only the time tells. The oldest
            # transfer waits the longest, which is the interval at its age and the fifth that is chance.
            away = time.monotonic()
            longest = 1.2 * (2 + (away - begin) / 2) + 1
            wait_until(lambda: time.monotonic() > away + longest, longest + 1, "every look is due")
            site.scripted.come_back()
            back = time.monotonic()
            for share in shares:
                wait_until(lambda: any(
                    moment > back for moment, frame in list(site.scripted.requests)
                    if frame["share"] == share["id"]), PATIENCE, "a look at each")
            moments = [m for m in site.scripted.moments("read") if m > back]
            assert moments[0] > back + 1.9, moments[0] - back
            assert moments[-1] > moments[0] + 0.5, moments

    @tap.test
    def a_refused_message_says_why_and_leaves_the_turn_where_it_was(self):
        with self.answered() as (site, share):
            site.scripted.answers["update"] = [
                lambda frame: {"type": "refused", "reason": "too-large"}]
            assert site.send(share).status == 202
            found = site.wait_count(share, "message_refused", 1)
            assert found["state"] == "released" and found["turn"] == "initiator"
            assert (site.messages(share)[2]["state"], site.messages(share)[2]["reason"]) == ("refused", "too-large")
            site.scripted.answers["update"] = [lambda frame: {"type": "refused", "reason": "http-400"}]
            assert site.send(share).status == 202
            site.wait_count(share, "message_refused", 2)
            assert site.messages(share)[3]["reason"] == "relay-refused"
            assert site.send(share).status == 202
            site.wait_count(share, "message_sent", 1)
            assert [m.get("reason") for m in site.messages(share) if m["from"] == "initiator"] == [
                None, "too-large", "relay-refused", None]

    @tap.test
    def cancelling_works_out_of_turn_and_wipes_the_messages(self):
        with self.answered() as (site, share):
            hold = threading.Event()
            site.scripted.answers["update"] = [lambda frame: hold.set()]  # never answered
            assert site.send(share).status == 202
            assert hold.wait(PATIENCE)
            deleting = threading.Event()
            site.scripted.answers["delete"] = [lambda frame: deleting.set()]  # nor is this one
            answer = site.tenant.post("/v1/shares/%s/cancel" % share["id"])
            assert answer.status == 202
            assert deleting.wait(PATIENCE)
            assert site.show(share)["state"] == "withdrawing"
            assert site.rows("SELECT count(*) FROM transfer") == [(0,)]
            assert site.rows("SELECT count(*) FROM transfer_message") == [(0,)]
            site.scripted.hang_up()  # what was not answered is asked again
            site.wait_state(share, "cancelled", timeout=PATIENCE)

    @tap.test
    def a_run_that_the_protocol_ends_for_good_ends_the_share(self):
        with self.released() as (site, share):
            site.scripted.answers["read"] = [
                lambda frame: {"type": "refused", "reason": "abort-auth", "state": "c3RhdGU="}]
            ended = site.wait_state(share, "failed", timeout=PATIENCE)
            assert ended["cause"] == "transfer_broken"
            assert site.scripted.wait_frame("delete")["state"] == "c3RhdGU="

    def relay_says(self, site, share, *types):
        """Its next looks are answered so. Returns what was asked."""
        before = len(site.scripted.frames("read", share["id"]))
        site.scripted.answers["read"] = [
            lambda frame, kind=kind: {"type": kind, "reason": "http-400"} for kind in types]
        wait_until(lambda: len(site.scripted.frames("read", share["id"])) >= before + len(types), PATIENCE, "looks")
        return site.scripted.frames("read", share["id"])[before:]

    @tap.test
    def g9_a_relay_that_denies_us_our_own_mailbox_twice_is_believed_and_the_tenant_told(self):
        for policy in ("hotel", "single"):
            with self.house() as (site, phone):
                share = site.released(phone, policy=policy)
                asked = self.relay_says(site, share, "claimed", "claimed")
                assert all("request" not in frame for frame in asked)  # the relay client makes a fresh one
                ended = site.wait_state(share, "failed", timeout=PATIENCE)
                assert ended["cause"] == "claimed_elsewhere"
                assert events_of(ended)[-3:] == ["relay_claimed", "withdrawing", "ended"], events_of(ended)
                assert "claimed_elsewhere" not in events_of(ended)  # which is the recipient's word
                assert len(site.scripted.frames("delete")) == 1
                assert "should look at a share: claimed_elsewhere" in read_text(site.log)

    @tap.test
    def g9_the_tenant_is_told_at_once_although_the_deletion_is_denied_as_well(self):
        with self.released() as (site, share):
            site.scripted.answers["delete"] = [lambda frame: {"type": "unauthorised"}]
            self.relay_says(site, share, "claimed", "claimed")
            found = site.wait(share, lambda found: "relay_refused" in events_of(found), "a refusal", timeout=PATIENCE)
            assert found["cause"] == "claimed_elsewhere" and "relay_claimed" in events_of(found)
            # Deleted by the next try, which comes as soon as any other.
            assert site.wait_state(share, "failed", timeout=PATIENCE)["cause"] == "claimed_elsewhere"

    @tap.test
    def g9_a_single_401_ends_nothing(self):
        for policy in ("hotel", "single"):
            with self.house() as (site, phone):
                share = site.released(phone, policy=policy)
                self.relay_says(site, share, "claimed", "done", "claimed", "again")
                before = len(site.scripted.frames("read"))
                site.scripted.wait_frame("read", before)
                found = site.show(share)
                assert found["state"] == "released" and "relay_claimed" not in events_of(found), found

    @tap.test
    def a_relay_that_refuses_looks_is_noted_once_and_the_end_says_that_nothing_is_known(self):
        for policy in ("hotel", "single"):
            with self.house() as (site, phone):
                share = site.released(phone, policy=policy)
                self.relay_says(site, share, "refused")
                site.wait_event(share, "relay_refused")
                site.scripted.answers["read"] = [lambda frame: {"type": "unauthorised"}]
                site.move_end(share, -1)
                ended = site.wait_state(share, "expired", timeout=PATIENCE)
                assert ended["cause"] == "outcome_unknown"
                assert events_of(ended).count("relay_refused") == 1

    @tap.test
    def what_a_relay_refused_and_showed_again_is_known_at_the_end(self):
        with self.house() as (site, phone):
            share = site.released(phone, policy="single")
            self.relay_says(site, share, "refused")
            site.wait_event(share, "relay_refused")
            site.stop_gateway()
            flags = "SELECT flags & 16 FROM share"
            assert site.rows(flags) == [(16,)]
            site.start_gateway(wait_plugins=False)  # which looks soon, and not in a quarter of an hour
            site.wait_plugins()
            wait_until(lambda: site.rows(flags) == [(0,)], PATIENCE, "a look that is not refused")
            site.move_end(share, -1)
            assert site.wait_state(share, "expired", timeout=PATIENCE)["cause"] == "not_collected"

    @tap.test
    def a_link_that_nobody_used_and_a_transfer_that_stopped_half_way_end_differently(self):
        with self.released() as (site, share):
            other = site.released(site.phones[0])
            site.scripted.put(other, "answer")
            site.wait_count(other, "message_received", 1)
            for one, cause in ((share, "not_collected"), (other, "not_finished")):
                site.move_end(one, -1)
                ended = site.wait_state(one, "expired", timeout=PATIENCE)
                assert ended["cause"] == cause, ended
                assert "should look at a share: " + cause in read_text(site.log)

    def end_of_run(self, looked):
        """How a run of Draft R ends whose last message the relay says this of, shortly before its end."""
        with self.house() as (site, phone):
            site.scripted.answers["create"] = [
                lambda frame: {**site.scripted.usual(frame), "state": "b25l"}]
            share = site.released(phone)
            site.wait_event(share, "link_accepted")
            site.scripted.look_only = looked
            site.move_end(share, 115)
            wait_until(lambda: [frame for frame in site.scripted.frames("read") if "expect" not in frame],
                       PATIENCE, "the last look")
            last = [frame for frame in site.scripted.frames("read") if "expect" not in frame]
            assert len(last) == 1 and last[0]["state"] == "b25l"
            wait_until(lambda: not site.rows("SELECT 1 FROM outbox WHERE kind = 5"), PATIENCE, "its answer")
            assert site.show(share)["state"] == "released"  # the recipient may answer still
            site.move_end(share, -1)
            return site.wait_state(share, "completed" if looked == "gone" else "expired", timeout=PATIENCE)

    @tap.test
    def r9_a_run_whose_last_message_was_taken_is_completed_when_its_time_is_over(self):
        assert self.end_of_run("gone")["cause"] == "mailbox_gone"

    @tap.test
    def r9_a_run_whose_last_message_lies_there_still_was_not_collected(self):
        assert self.end_of_run("done")["cause"] == "not_collected"

    @tap.test
    def a_state_is_kept_and_what_was_read_is_acknowledged_before_more_is_asked(self):
        with self.house() as (site, phone):
            site.scripted.answers["read"] = [
                lambda frame: {"type": "done", "state": "b25l", "message": {"kid": "k", "box": "Ym94"}}]
            site.scripted.answers["acknowledge"] = [
                lambda frame: {"type": "again", "reason": "timeout"},
                lambda frame: {"type": "done", "state": "dHdv"}]
            site.scripted.answers["update"] = [lambda frame: {"type": "done", "state": "dGhyZWU="}]
            share = site.released(phone)
            site.wait_count(share, "message_received", 1)
            assert site.send(share).status == 202  # while the acknowledgement is tried again
            site.wait_count(share, "message_sent", 1)
            kinds = [frame["type"] for _, frame in site.scripted.requests]
            begin = kinds.index("read")
            assert kinds[begin:begin + 4] == ["read", "acknowledge", "acknowledge", "update"], kinds
            assert [frame["state"] for frame in site.scripted.frames("acknowledge")] == ["b25l"] * 2
            assert site.scripted.frames("update")[0]["state"] == "dHdv"
            later = site.scripted.wait_frame("read", 1)
            assert later["state"] == "dGhyZWU=" and later["expect"] == 3

    @tap.test
    def looks_keep_their_pace_and_begin_anew_after_progress(self):
        with self.released() as (site, share):
            for number in range(3):
                site.scripted.wait_frame("read", number)
            moments = site.scripted.moments("read")[:3]
            gaps = [b - a for a, b in zip(moments, moments[1:])]
            assert all(gap >= 2 for gap in gaps), gaps  # never more often than one in two seconds
            assert gaps[1] > gaps[0], gaps
            site.scripted.put(share, "answer")
            site.wait_count(share, "message_received", 1)
            before = len(site.scripted.frames("read"))
            found = time.monotonic()
            site.scripted.wait_frame("read", before)
            assert time.monotonic() - found < gaps[1] + 1

    @tap.test
    def after_a_restart_looks_are_spread_over_what_the_age_allows(self):
        count = 40
        with self.house() as (site, phone):
            shares = []
            for _ in range(count):
                shares.append(site.released(phone))
            site.stop_gateway()
            for share in shares:
                site.rewind(share, 1200)  # a minute between looks
            before = len(site.scripted.frames("read"))
            site.start_gateway(wait_plugins=False)
            site.wait_plugins()
            begin = time.monotonic()
            site.scripted.wait_frame("read", before + 2, timeout=60)
            early = len(site.scripted.frames("read")) - before
            assert early <= count // 2, early  # and not all at once
            assert time.monotonic() - begin < 45

    @tap.test
    def the_gateway_killed_between_the_messages_loses_none(self):
        with self.answered() as (site, share):
            held = threading.Event()
            site.scripted.answers["update"] = [lambda frame: held.set()]
            assert site.send(share).status == 202
            assert held.wait(PATIENCE)
            site.kill_gateway()
            site.start_gateway(wait_plugins=False)
            site.wait_plugins()
            site.wait_count(share, "message_sent", 1)
            first, second = ({k: v for k, v in frame.items() if k != "id"}
                             for frame in site.scripted.frames("update"))
            assert first == second
            site.scripted.put(share, "the last")
            site.wait_count(share, "message_received", 2)
            assert [m["number"] for m in site.messages(share)] == [0, 1, 2, 3]

    @tap.test
    def a_repeated_request_sends_one_message(self):
        with self.answered() as (site, share):
            key = "0123456789abcdef0123456789abcdef"
            first = site.send(share, key=key)
            second = site.send(share, key=key)
            assert first.status == second.status == 202 and first.json == second.json
            assert second.headers.get("Idempotency-Replayed") == "true"
            site.wait_count(share, "message_sent", 1)
            assert len(site.scripted.frames("update")) == 1

    @tap.test
    def the_tenants_own_claims_are_used_and_never_twice(self):
        claims = ["11111111-1111-4111-8111-111111111111", "22222222-2222-4222-8222-222222222222"]
        with self.house() as (site, phone):
            duplicate = lambda frame: {"type": "duplicate"}  # noqa: E731
            site.scripted.answers["create"] = [duplicate]
            share = site.released(phone, claims=claims)
            assert [frame["claim"] for frame in site.scripted.frames("create")] == claims
            assert site.scripted.wait_frame("read")["claim"] == claims[1]
            site.scripted.answers["create"] = [duplicate, duplicate]
            others = ["33333333-3333-4333-8333-333333333333", "44444444-4444-4444-8444-444444444444"]
            lost = site.create(phone.addresses[0], claims=others)
            phone.say(lost["tag"] + " " + lost["code"])
            assert site.wait_state(lost, "failed", timeout=PATIENCE)["cause"] == "relay_refused"
            nobody, everybody = ("-".join(digit * n for n in (8, 4, 4, 4, 12)) for digit in "0f")
            for bad in (["no"], [claims[0], claims[0]], [claims[0]] * 4, [], [nobody], [everybody],
                        [everybody.upper()]):
                answer = site.tenant.post("/v1/shares", site_body(phone, claims=bad))
                assert answer.status == 422, (bad, answer)
            assert site.show(share)["state"] == "released"

    @tap.test
    def a_claim_belongs_to_one_share_whoevers_that_is(self):
        one, two = "aaaaaaaa-1111-4111-8111-111111111111", "bbbbbbbb-2222-4222-8222-222222222222"
        with TransferSite(self.build, tenants=("adler", "krone")) as site:
            phone = site.phone("echo:bob")
            site.create(phone.addresses[0], claims=[one])
            answers = [tenant.post("/v1/shares", site_body(phone, claims=claims))
                       for tenant in site.tenants.values() for claims in ([one.upper()], [two, one])]
            assert [(answer.status, problem_of(answer)) for answer in answers] == [(409, "claim-in-use")] * 4
            own, foreign = answers[0].json, answers[2].json
            assert own == foreign  # so that nothing is learnt of others' shares
            site.create(phone.addresses[0], claims=[two])  # what was refused keeps nothing

    @tap.test
    def what_a_tenant_encrypted_is_sent_once(self):
        def encrypted(number):
            return {"encrypted": {"type": "AEAD_AES_256_GCM", "data": base64.b64encode(bytes([number] * 60)).decode()}}

        def octets(number):
            return base64.b64encode(hashlib.sha256(bytes([number] * 60)).digest()).decode()

        with self.house() as (site, phone):
            site.scripted.answers["create"] = [
                lambda frame: {**site.scripted.usual(frame), "digest": octets(0)}]
            site.scripted.answers["read"] = [
                lambda frame: {"type": "done", "digest": octets(1), "message": encrypted(1)}]
            share = site.released(phone, provisioning=encrypted(0))
            site.wait_count(share, "message_received", 1)
            path = "/v1/shares/%s/messages" % share["id"]
            for number in (0, 1):  # our own, and the recipient's
                answer = site.tenant.post(path, {"provisioning": encrypted(number)})
                assert answer.status == 409 and problem_of(answer) == "repeated-message", answer
            assert site.show(share)["turn"] == "initiator"
            assert site.tenant.post(path, {"provisioning": encrypted(2)}).status == 202

    @tap.test
    def a_tenant_that_keeps_the_secret_is_passed_ciphertext(self):
        blob = base64.b64encode(bytes(range(60))).decode()
        encrypted = {"type": "AEAD_AES_256_GCM", "data": blob}
        with self.house() as (site, phone):
            site.scripted.answers["read"] = [
                lambda frame: {"type": "done", "digest": digest_of("x"),
                               "message": {"encrypted": encrypted}}]
            share = site.released(phone, provisioning={"encrypted": encrypted})
            assert site.scripted.wait_frame("create")["encrypted"] is True
            assert "second part" in phone.wait_message("link")["text"]
            site.wait_count(share, "message_received", 1)
            assert site.messages(share)[1]["provisioning"] == {"encrypted": encrypted}
            assert problem_of(site.send(share)) == "wrong-kind"
            answer = site.tenant.post("/v1/shares/%s/messages" % share["id"],
                                      {"provisioning": {"encrypted": encrypted}})
            assert answer.status == 202, answer
            assert site.scripted.wait_frame("update")["encrypted"] is True
            site.wait_count(share, "message_sent", 1)

    @tap.test
    def content_is_issued_only_after_the_confirmation_and_stored_before_the_mailbox(self):
        url = "https://tenant.example/keys/4711"
        with self.house() as (site, phone):
            site.scripted.answers["mint"] = [
                lambda frame: {"type": "again", "reason": "http-503"},
                lambda frame: {"type": "done", "kid": "0123456789abcdef", "box": "Ym94"}]
            share = site.create(phone.addresses[0], provisioning={"mint": url})
            assert site.scripted.requests == []
            phone.say(share["code"])
            found = site.wait_state(share, "released", timeout=PATIENCE)
            mints, creates = site.scripted.frames("mint"), site.scripted.frames("create")
            assert len(mints) == 2 and len(creates) == 1
            assert mints[0]["url"] == url and mints[0]["share"] == share["id"]
            assert creates[0]["box"] == "Ym94" and creates[0]["kid"] == "0123456789abcdef"
            assert creates[0]["envelope"] == mints[0]["envelope"] == mints[1]["envelope"]
            steps = [event for event in events_of(found)
                     if event in ("releasing", "issued", "released")]
            assert steps == ["releasing", "issued", "released"], steps
            for bad in ("https://tenant.example/other/1", "https://tenant.example/keys/../x",
                        "http://tenant.example/keys/1", "https://tenant.example.evil.com/keys/1"):
                answer = site.tenant.post(
                    "/v1/shares", site_body(phone, provisioning={"mint": bad}))
                assert answer.status == 422, (bad, answer)

    @tap.test
    def a_tenant_that_issues_nothing_ends_the_share_and_no_mailbox_is_made(self):
        with self.house() as (site, phone):
            site.scripted.answers["mint"] = [
                lambda frame: {"type": "refused", "reason": "http-410"}]
            share = site.create(phone.addresses[0],
                                provisioning={"mint": "https://tenant.example/keys/1"})
            phone.say(share["code"])
            ended = site.wait_state(share, "failed", timeout=PATIENCE)
            assert ended["cause"] == "not_issued"
            assert site.scripted.frames("create") == []
            phone.wait_message("notice", contains="could not make a room key")

    @tap.test
    def a_share_that_is_cancelled_while_its_content_is_issued_never_gets_a_mailbox(self):
        with self.house() as (site, phone):
            held = threading.Event()
            site.scripted.answers["mint"] = [lambda frame: held.set()]
            share = site.create(phone.addresses[0],
                                provisioning={"mint": "https://tenant.example/keys/1"})
            phone.say(share["code"])
            assert held.wait(PATIENCE)
            answer = site.tenant.post("/v1/shares/%s/cancel" % share["id"])
            assert answer.status == 200 and answer.json["state"] == "cancelled", answer
            assert site.scripted.frames("create") == []

    @tap.test
    def the_recipient_says_that_another_device_has_it(self):
        for locale, word, thanks in (("en", "taken", "can see it now"),
                                     ("de", "Vergeben", "sieht das jetzt")):
            with TransferSite(self.build) as site:
                phone = site.phone("echo:bob")
                share = site.released(phone, locale=locale)
                link = phone.wait_message("link")
                assert word.upper() in link["text"], link["text"]
                phone.say(word, thread=link["thread"])
                phone.wait_message("notice", contains=thanks)
                ended = site.wait_state(share, "failed", timeout=PATIENCE)
                assert ended["cause"] == "claimed_elsewhere"
                assert "claimed_elsewhere" in events_of(ended)
                assert len(site.scripted.frames("delete")) == 1
                assert "should look at a share: claimed_elsewhere" in read_text(site.log)

    @tap.test
    def that_it_was_another_device_is_told_also_after_the_end(self):
        with self.house() as (site, phone):
            share = site.released(phone)
            site.wait_event(share, "link_accepted")
            site.scripted.gone.add(share["id"])
            before = site.wait_state(share, "completed", timeout=PATIENCE)
            phone.say("taken")  # as on a phone that sets no thread
            phone.wait_message("notice", contains="collected already")
            assert "says that somebody else had it" in read_text(site.log)
            after = site.show(share)
            assert after["state"] == before["state"] and after["version"] > before["version"]
            assert events_of(after)[-1] == "claimed_elsewhere"


def site_body(phone, **members):
    return share_body(phone.addresses[0], **members)


if __name__ == "__main__":
    arguments = options_of_test(__doc__)
    sys.exit(tap.run(tap.tests_of(Tests(arguments)), arguments.names))

"""The stream of events, end to end: who follows it learns everything once, whatever ends in between;
tenants see their own alone; who was away too long is told so; and a token that is withdrawn ends it."""

import base64
import contextlib
import hashlib
import http.client
import json
import os
import shutil
import socket
import sqlite3
import sys
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))

from harness import tap  # noqa: E402
from harness.event_stream import EventStream  # noqa: E402
from harness.frames import encode  # noqa: E402
from harness.vestibule import Plugin, Site, events_of, options_of_test, wait_until  # noqa: E402

PATIENCE = 60


class Follower:
    """A consumer as it should be: it remembers what it has dealt with, and comes back with that."""

    def __init__(self, site, tenant=None, interrupt=0):
        self.site, self.tenant, self.interrupt = site, tenant or site.tenant, interrupt
        self.events, self.streams, self.last_id = [], 0, 0
        self.changed = threading.Condition()
        self.closing = False
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()

    def _run(self):
        while not self.closing:
            try:
                stream = EventStream(self.site.api_port, self.tenant.token, last_id=self.last_id, take=False)
            except (OSError, http.client.HTTPException):
                time.sleep(0.05)
                continue
            self.streams += 1
            if stream.status != 200:
                time.sleep(0.05)
                continue
            stream.start()
            self._follow(stream)
            stream.close()

    def _follow(self, stream):
        """Deals with what comes; with `interrupt` it goes away after so many."""
        done = 0
        while not self.closing and not (self.interrupt and done >= self.interrupt):
            with stream.changed:
                while len(stream.events) == done and not stream.ended and not self.closing:
                    stream.changed.wait(0.2)
                if len(stream.events) == done:
                    return
                event = stream.events[done]
            done += 1
            with self.changed:
                self.last_id = event[2]["id"]
                self.events.append(event)
                self.changed.notify_all()

    def wait(self, condition, what):
        end = time.monotonic() + PATIENCE
        with self.changed:
            while not condition():
                assert time.monotonic() < end, "%s: %s" % (what, self.events)
                self.changed.wait(0.2)

    def of_share(self, share):
        return [kind.removeprefix("share.") for _, kind, data in self.events if data["share"] == share["id"]]

    def close(self):
        self.closing = True
        self.thread.join(20)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


def all_once(site, follower, shares, tenant=None):
    """The events are the timelines, each in its order, and the numbers have no gaps."""
    timelines = {share["id"]: events_of(site.show(share, tenant=tenant)) for share in shares}
    follower.wait(lambda: len(follower.events) >= sum(map(len, timelines.values())), "all events")
    assert [number for number, _, _ in follower.events] == list(range(1, len(follower.events) + 1))
    for share in shares:
        assert follower.of_share(share) == timelines[share["id"]], (
            follower.of_share(share), timelines[share["id"]])


def number_of(id):
    return int(id.partition("-")[0])


class ProbeSite(Site):
    """With one more front, which the test plays: it sees the gateway's answers as they are."""

    def __init__(self, build, **options):
        super().__init__(build, wait=False, **options)
        self.probe = None

    def configuration(self):
        return super().configuration() + 'front probe {\n  socket = "%s"\n}\n' % self.path("probe")

    def start(self):
        super().start()
        self.probe = Plugin(self.path("probe"), "probe", role="front", capabilities=(), timeout=PATIENCE)
        self.wait_plugins()
        return self

    def credential(self, tenant=None):
        id, _, secret = (tenant or self.tenant).token.removeprefix("vb_live_").partition("_")
        digest = hashlib.blake2b(secret.partition("_")[0].encode(), digest_size=32).digest()
        return {"token": id, "hash": base64.b64encode(digest).decode()}

    def begin(self, kind="event.follow", tenant=None, **members):
        return self.probe.ask(kind, credential=self.credential(tenant), **members)

    def answer(self, id):
        found = self.probe.read()
        assert found["id"] == id, found
        return found

    def follow(self, **members):
        return self.answer(self.begin(**members))


class Tests:
    def __init__(self, options):
        self.build = options.build

    def shares(self, site, phone, count, insist=0.0):
        """Shares whose lives differ: withdrawn, disowned, confirmed, and such as only wait."""
        made = []
        for n in range(count):
            address = phone.addresses[n % len(phone.addresses)]
            before = len(phone.messages)
            share = site.create(address, insist=insist)
            made.append(share)
            if n % 4 == 0:
                assert site.cancel(share, insist=insist).status in (200, 202, 409)
            elif n % 4 == 1:
                phone.wait_message("invitation", after=before, timeout=PATIENCE, to=address)
                phone.say(share["tag"] + " NO", sender=address, wait=PATIENCE)
            elif n % 4 == 2:
                phone.wait_message("invitation", after=before, timeout=PATIENCE, to=address)
                phone.say(share["tag"] + " " + share["code"], sender=address, wait=PATIENCE)
        return made

    @tap.test
    def an_event_is_an_entry_of_the_timeline_with_what_it_made_of_the_share(self):
        with Site(self.build) as site:
            phone = site.phone("echo:bob")
            with EventStream(site.api_port, site.tenant.token) as stream:
                stream.wait(lambda: stream.last_id == 0, PATIENCE, "the place to come back to")
                begun = time.monotonic()
                share = site.create("echo:bob", reference="booking-4711")
                stream.wait_event("share.invitation_accepted", share["id"], timeout=PATIENCE)
                assert time.monotonic() - begun < 12  # a question of the front waits for fifteen seconds
                phone.say(share["tag"] + " NO")
                stream.wait_event("share.ended", share["id"], timeout=PATIENCE)
                shown = site.show(share)
                assert [{"at": data["at"], "event": kind.removeprefix("share."),
                         **({"detail": data["detail"]} if "detail" in data else {})}
                        for _, kind, data in stream.events] == shown["timeline"]
                last = stream.events[-1][2]
                assert last["state"] == shown["state"] == "declined" and last["version"] == shown["version"]
                assert stream.events[0][2]["state"] == "pending" and stream.events[0][2]["version"] == 1
                for number, kind, data in stream.events:
                    assert number == data["sequence"] and kind == data["type"]
                    assert data["id"].startswith("%d-" % number) and len(data["id"].partition("-")[2]) == 8
                    assert set(data) - {"detail"} == {"sequence", "id", "type", "share", "state", "version", "at"}
                    assert "bob" not in str(data) and "booking" not in str(data)

    @tap.test
    def who_comes_back_again_and_again_learns_everything_once(self):
        with Site(self.build) as site:
            phone = site.phone("echo:ann", "echo:bob")
            with Follower(site, interrupt=2) as broken, Follower(site) as steady:
                shares = self.shares(site, phone, 12)
                for share in shares[1::4]:
                    site.wait_state(share, "declined", timeout=PATIENCE)
                for share in shares[2::4]:
                    site.wait_event(share, "link_accepted", timeout=PATIENCE)
                all_once(site, steady, shares)
                all_once(site, broken, shares)
                assert broken.streams > 5 and steady.streams == 1, (broken.streams, steady.streams)

    @tap.test
    def kills_of_the_gateway_and_the_front_lose_and_repeat_nothing(self):
        with Site(self.build) as site:
            phone = site.phone("echo:ann", "echo:bob")
            with Follower(site) as follower:
                shares = []
                for n in range(5):
                    made = []
                    worker = threading.Thread(
                        target=lambda: made.extend(self.shares(site, phone, 4, insist=PATIENCE)), daemon=True)
                    worker.start()
                    wanted = len(follower.events) + 1 + n
                    follower.wait(lambda: len(follower.events) >= wanted, "some events")
                    if n == 4:
                        site.kill_child("tenants")
                    else:
                        site.kill_gateway()
                        site.start_gateway()
                    worker.join(2 * PATIENCE)
                    assert not worker.is_alive()
                    shares += made
                for share in shares[1::4]:
                    site.wait_state(share, "declined", timeout=PATIENCE, insist=True)
                for share in shares[2::4]:
                    site.wait_event(share, "link_accepted", timeout=PATIENCE, insist=True)
                all_once(site, follower, shares)
                assert follower.streams > 2, follower.streams  # a kill may meet it between two streams

    @tap.test
    def tenants_see_their_own_events_alone(self):
        with Site(self.build, tenants=("adler", "baer")) as site:
            adler, baer = site.tenants["adler"], site.tenants["baer"]
            with Follower(site, adler) as one, Follower(site, baer) as other:
                mine = [site.create("echo:a%d" % n, tenant=adler) for n in range(3)]
                theirs = [site.create("echo:b%d" % n, tenant=baer) for n in range(2)]
                all_once(site, one, mine, tenant=adler)
                all_once(site, other, theirs, tenant=baer)
            answer = site.tenant.raw("GET", "/v1/events", headers={"Authorization": None})
            assert answer.status == 401, answer
            assert site.operator("GET", "/v1/events").status == 403

    @tap.test
    def who_was_away_too_long_is_told_to_list_the_shares_anew(self):
        with Site(self.build) as site:
            shares = [site.create("echo:a%d" % n) for n in range(6)]
            site.stop_gateway()
            with contextlib.closing(
                    sqlite3.connect(os.path.join(site.state, "vestibule.sqlite"))) as store, store:
                store.execute("UPDATE event SET at = at - 3 * 86400 - 60 WHERE sequence <= 4")
            site.start_gateway()
            wait_until(lambda: site.rows("SELECT min(sequence) FROM event") == [(5,)], PATIENCE, "a sweep")

            for after, numbers in ((0, [4, 5, 6]), (3, [4, 5, 6]), (4, [5, 6]), (5, [6]), (1000, [6])):
                with EventStream(site.api_port, site.tenant.token, last_id=after) as stream:
                    stream.wait(lambda: len(stream.events) >= len(numbers), PATIENCE, "events")
                    assert [number for number, _, _ in stream.events] == numbers, (after, stream.events)
                    reset = after < 4 or after > 6
                    assert (stream.events[0][1] == "reset") == reset, stream.events
                    assert [kind for _, kind, _ in stream.events[1:]] == ["share.created"] * (len(numbers) - 1)
                    if reset:
                        assert stream.events[0][2] == {
                            "sequence": numbers[0], "id": stream.events[0][2]["id"], "type": "reset"}
                    assert "share" in stream.events[0][2] or reset
            with EventStream(site.api_port, site.tenant.token, last_id=6) as stream:
                assert site.cancel(shares[0]).status == 200
                stream.wait_event("share.ended", shares[0]["id"], timeout=PATIENCE)
                assert [number for number, _, _ in stream.events] == [7, 8]

    @tap.test
    def who_had_read_what_an_older_copy_of_the_store_does_not_have_is_told(self):
        """Also when other events have got those numbers since."""
        with Site(self.build) as site:
            copy = site.path("copy")
            for name in ("a", "b"):
                site.create("echo:" + name)
            site.stop_gateway()
            shutil.copytree(site.state, copy)
            site.start_gateway()
            for name in ("c", "d"):
                site.create("echo:" + name)
            with EventStream(site.api_port, site.tenant.token, last_id=0) as stream:
                stream.wait(lambda: len(stream.events) >= 4, PATIENCE, "four events")
                read = [data["id"] for _, _, data in stream.events]
            with EventStream(site.api_port, site.tenant.token, last_id=read[2]) as stream:
                stream.wait(lambda: stream.events, PATIENCE, "the last event")
                assert stream.events[0][2]["id"] == read[3]

            site.stop_gateway()
            shutil.rmtree(site.state)
            shutil.copytree(copy, site.state)
            wall = int(time.time())
            wait_until(lambda: time.time() >= wall + 1, PATIENCE, "another second")
            site.start_gateway()

            def first_after(id, count):
                with EventStream(site.api_port, site.tenant.token, last_id=id) as stream:
                    stream.wait(lambda: len(stream.events) >= count, PATIENCE, "what comes after " + str(id))
                    return [(number, kind) for number, kind, _ in stream.events]

            assert first_after(read[3], 1) == [(2, "reset")]
            for name in ("e", "f", "g"):
                site.create("echo:" + name)
            for id in (read[2], read[3]):  # other events have these numbers
                assert first_after(id, 1) == [(5, "reset")], id
            assert first_after(read[1], 3) == [(n, "share.created") for n in (3, 4, 5)]
            assert first_after(0, 5) == [(n, "share.created") for n in (1, 2, 3, 4, 5)]
            assert first_after("4-00000000", 1) == [(5, "reset")]
            assert first_after(4, 1) == [(5, "share.created")]  # a number alone is taken at its word

    @tap.test
    def a_token_that_is_withdrawn_ends_its_stream_at_once(self):
        with Site(self.build, tenants=("adler", "baer")) as site:
            adler, baer = site.tenants["adler"], site.tenants["baer"]
            with EventStream(site.api_port, adler.token) as lost, EventStream(site.api_port, baer.token) as kept:
                for stream in (lost, kept):
                    stream.wait(lambda: stream.last_id is not None, PATIENCE, "a beginning")
                fresh = site.make_tenant("adler")
                begun = time.monotonic()
                site.reload(site.configuration().replace(adler.entry, fresh.entry))
                lost.wait_end(PATIENCE)
                # Without an event a stream would only be asked about after fifteen seconds.
                assert time.monotonic() - begun < 12
                share = site.create("echo:b", tenant=baer)
                kept.wait_event("share.created", share["id"], timeout=PATIENCE)
                assert not kept.ended
                again = EventStream(site.api_port, adler.token, last_id=lost.last_id)
                assert again.status == 401, again.status
                with EventStream(site.api_port, fresh.token) as stream:
                    assert stream.status == 200

    @tap.test
    def a_question_that_waits_when_its_token_is_withdrawn_is_refused(self):
        with ProbeSite(self.build) as site:
            share = site.create("echo:bob")
            waiting = [site.begin(wait=60),
                       site.begin("share.get", share=share["id"], after=999, wait=60)]
            fresh = site.make_tenant("adler")
            assert site.follow(after=0, wait=0)["status"] == 200
            begun = time.monotonic()
            site.reload(site.configuration().replace(site.tenant.entry, fresh.entry))
            for answer in sorted((site.probe.read() for _ in waiting), key=lambda frame: frame["id"]):
                assert answer["id"] == waiting.pop(0) and answer["status"] == 401 and "body" not in answer, answer
            assert time.monotonic() - begun < 30, "they waited on"

    @tap.test
    def a_question_that_the_front_forgets_is_answered_at_once(self):
        with ProbeSite(self.build) as site:
            share = site.create("echo:bob")
            questions = (("event.follow", {}), ("share.get", {"share": share["id"], "after": 999}))
            for kind, members in questions:
                begun = time.monotonic()
                waiting = site.begin(kind, wait=60, **members)
                other = site.begin(kind, wait=60, **members)
                assert site.follow(after=0)["status"] == 200  # both wait by now
                site.probe.write({"type": "forget", "ask": waiting})
                site.answer(waiting)
                for ask in (waiting, waiting + 1000, -1, "x", None):  # over, never asked, and nonsense
                    site.probe.write({"type": "forget", "ask": ask})
                site.probe.write({"type": "forget"})
                # Nor does it begin to wait when it is forgotten before it was looked at.
                waiting = site.probe.last_id + 1
                site.probe.write_bytes(
                    encode({"type": kind, "id": waiting, "credential": site.credential(), "wait": 60, **members}) +
                    encode({"type": "forget", "ask": waiting}))
                site.probe.last_id = waiting
                site.answer(waiting)
                site.probe.write({"type": "forget", "ask": other})
                site.answer(other)
                assert time.monotonic() - begun < 30, "they waited"

    @tap.test
    def who_leaves_questions_behind_keeps_nobody_out(self):
        """More than the front's window has room for, by one tenant."""
        with Site(self.build, tenants=("adler", "baer")) as site:
            adler, baer = site.tenants["adler"], site.tenants["baer"]
            share = site.create("echo:a", tenant=adler)
            for path in ("/v1/events", "/v1/shares/%s?after=999&wait=60" % share["id"]):
                request = ("GET %s HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\n\r\n" % (
                    path, adler.token)).encode()
                for _ in range(1100):
                    with socket.create_connection(("127.0.0.1", site.api_port), timeout=PATIENCE) as raw:
                        raw.sendall(request)
                        while path == "/v1/events" and b"retry" not in raw.recv(4096):
                            pass
                assert baer.get("/v1/policies").status == 200
                site.create("echo:b", tenant=baer)

    @tap.test
    def the_gateway_gives_what_there_is_credit_for_and_no_more_than_a_list_holds(self):
        with ProbeSite(self.build) as site:
            waiting = site.begin(wait=60)  # from now on, which is the beginning
            assert site.follow(wait=0)["body"] == {"tenant": "adler", "events": [], "cursor": "0"}
            shares = [site.create("echo:a%d" % n) for n in range(60)]
            first = site.answer(waiting)["body"]
            assert first["events"][0]["share"] == shares[0]["id"] and number_of(first["cursor"]) == len(first["events"])
            for share in shares[:30]:
                site.cancel(share)
            now = site.follow(wait=0)["body"]
            assert now["events"] == [] and number_of(now["cursor"]) == 120, now
            whole = site.follow(after=0)["body"]
            assert len(whole["events"]) == 100 and whole["cursor"] == whole["events"][-1]["id"] and number_of(whole["cursor"]) == 100 and len(json.dumps(whole)) < 32768
            for credit, count in ((1, 1), (7, 7), (100, 100), (101, 100), (0, 100), (-1, 100), ("x", 100)):
                body = site.follow(after=0, credit=credit, wait=60)["body"]
                assert body["events"] == whole["events"][:count] and number_of(body["cursor"]) == count, (credit, body)
            rest = site.follow(after=100)["body"]
            assert [event["sequence"] for event in rest["events"]] == list(range(101, 121))
            assert site.follow(after=whole["cursor"])["body"] == rest
            for after in ("", "x", "-1", "1-", "1-1a2b3c4", "1-1a2b3c4d5", "1x1a2b3c4d", str(2 ** 53), "9" * 40,
                          -1, 1.5, 2 ** 53, None, []):
                assert site.follow(after=after)["status"] == 422, after
            begun = time.monotonic()
            assert site.follow(after=120, wait=2)["body"]["events"] == [] and time.monotonic() - begun >= 2

    @tap.test
    def a_refused_request_leaves_no_event(self):
        with Site(self.build) as site:
            with EventStream(site.api_port, site.tenant.token) as stream:
                share = site.create("echo:bob")
                assert site.cancel(share).status == 200
                stream.wait_event("share.ended", share["id"], timeout=PATIENCE)
                known = len(stream.events)
                assert site.tenant.post("/v1/shares/%s/resend" % share["id"]).status == 409
                assert site.cancel(share).status == 200  # once more, which changes nothing
                other = site.create("echo:bob")
                stream.wait_event("share.created", other["id"], timeout=PATIENCE)
                assert len(stream.events) == known + 1, stream.events

    @tap.test
    def a_stream_in_which_nothing_happens_lives_on(self):
        """Longer than a connection may be idle."""
        with Site(self.build) as site:
            with EventStream(site.api_port, site.tenant.token) as stream:
                begun = time.monotonic()
                stream.wait(lambda: stream.comments >= 5, 3 * PATIENCE, "signs of life")
                assert time.monotonic() - begun > 60 and not stream.ended
                site.tenant.close()  # its own connection was idle for too long
                share = site.create("echo:bob")
                stream.wait_event("share.created", share["id"], timeout=PATIENCE)


if __name__ == "__main__":
    arguments = options_of_test(__doc__)
    sys.exit(tap.run(tap.tests_of(Tests(arguments)), arguments.names))

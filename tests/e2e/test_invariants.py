"""The nine invariants of a share's life, each with tests that try to break it."""

import json
import os
import random
import signal
import socket
import sqlite3
import ssl
import sys
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))

from harness import tap  # noqa: E402
from harness.vestibule import (  # noqa: E402
    Plugin, Site, events_of, fresh_key, hotel_policy, mistyped, options_of_test, plain, read_text,
    share_body, share_number, urls_of, wait_until, wrong_code)


def now_boot():
    return time.clock_gettime(time.CLOCK_BOOTTIME)


def in_parallel(functions):
    """Runs functions at the same time; raises the first error."""
    errors = []

    def run(function):
        try:
            function()
        except Exception as error:
            errors.append(error)

    threads = [threading.Thread(target=run, args=(function,)) for function in functions]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors:
        raise errors[0]


def state_files(site):
    for name in os.listdir(site.state):
        with open(os.path.join(site.state, name), "rb") as file:
            yield name, file.read()


def files_with(site, blobs):
    """Which of the blobs are in which of the store's files."""
    return [(name, what) for name, content in state_files(site)
            for what, blob in blobs.items() if blob and bytes(blob) in content]


def secrets_of(site, share):
    """Everything sealed or hashed that the store holds about a share."""
    n = share_number(share["id"])
    found = dict(zip(("key", "code", "mailbox"), site.rows(
        "SELECT key, code, mailbox FROM share WHERE n = ?", n)[0]))
    for details, payload in site.rows("SELECT details, payload FROM content WHERE n = ?", n):
        found.update(details=details, payload=payload)
    for part, kind, body in site.rows(
            "SELECT part, kind, body FROM message WHERE share = ? AND kind <> 3", n):
        found["message %d of kind %d" % (part, kind)] = body
    for number, (answer,) in enumerate(site.rows("SELECT answer FROM answer WHERE share = ?", n)):
        found["answer %d" % number] = answer
    return {what: blob for what, blob in found.items() if blob}


def check_nothing_is_left(site, share):
    """The live rows hold no secret of an ended share any more."""
    assert secrets_of(site, share) == {}, list(secrets_of(site, share))


class Tests:
    def __init__(self, options):
        self.build = options.build

    # 1. No byte about a share goes to a relay before that share's confirmation is durable.

    @tap.test
    def at_the_first_packet_to_the_relay_the_confirmation_is_on_disk(self):
        for _ in range(8):
            site = Site(self.build)
            with socket.socket() as trap:
                trap.bind(("127.0.0.1", site.relay.port))
                trap.listen(8)
                trap.settimeout(20)
                try:
                    site.start_gateway()
                    phone = site.phone("echo:bob")
                    share = site.create("echo:bob")
                    phone.wait_message("invitation")
                    phone.say(share["code"], wait=0)
                    connection, _ = trap.accept()
                    os.kill(site.gateway.pid, signal.SIGKILL)  # the first packet has just come
                    connection.close()
                    site.gateway.kill()
                    n = share_number(share["id"])
                    state, = site.rows("SELECT state FROM share WHERE n = ?", n)[0]
                    assert state == "releasing", state
                    attempts, = site.rows(
                        "SELECT attempts FROM outbox WHERE share = ? AND kind = 4", n)[0]
                    assert attempts > 0
                finally:
                    site.__exit__(*sys.exc_info())

    @tap.test
    def with_many_shares_in_flight_each_request_belongs_to_a_confirmed_one(self):
        with Site(self.build) as site:
            names = ["echo:guest%d" % number for number in range(60)]
            phone = site.phone(*names)
            shares = [site.create(name) for name in names]
            derived = site.derivation()
            by_request = {derived.request(share["id"]): number
                          for number, share in enumerate(shares)}
            confirmed = {}
            order = random.Random(1).sample(range(60), 30)

            def confirm(numbers):
                for number in numbers:
                    confirmed[number] = now_boot()
                    phone.say(shares[number]["code"], sender=names[number])

            in_parallel([lambda part=part: confirm(order[part::6]) for part in range(6)])
            for number in order:
                site.wait_state(shares[number], "released")
            created = site.relay.requests("CreateMailbox")
            assert len(created) == 30
            for line in created:
                number = by_request[line["request"]]  # a KeyError is a request that is nobody's
                assert confirmed[number] * 1e6 <= int(line["boot"])
            assert {by_request[line["request"]] for line in created} == set(order)
            others = set(range(60)) - set(order)
            assert all(site.show(shares[number])["state"] == "invited" for number in others)

    # 2. At most one distinct share URL ever leaves for one share.

    def confirm_all(self, site, phone, shares):
        in_parallel([lambda name=name, share=share: phone.say(share["code"], sender=name, wait=30)
                     for name, share in shares.items()])

    def check_one_url_each(self, site, phone, shares, may_fail=False):
        """One URL for each share; none for one that the relay has failed too often."""
        for name, share in shares.items():
            found = site.wait(
                share, lambda s: "link_accepted" in events_of(s) or s["state"] == "failed",
                "the link or the end", timeout=60)
            links = [m for m in phone.messages if m["to"] == name and m["kind"] == "link"]
            if found["state"] == "failed":
                assert may_fail and found["cause"] == "relay_refused" and not found["link_left"]
                assert urls_of([m for m in phone.messages if m["to"] == name]) == set()
                continue
            assert len(urls_of(links)) == 1, (name, urls_of(links))
            assert len({json.dumps(m, sort_keys=True) for m in links}) == 1

    def one_url_with(self, *faults, relay_options=()):
        with Site(self.build, faults=faults, relay_options=relay_options) as site:
            names = ["echo:guest%d" % number for number in range(8)]
            phone = site.phone(*names)
            shares = {name: site.create(name) for name in names}
            self.confirm_all(site, phone, shares)
            self.check_one_url_each(site, phone, shares, may_fail=True)
            return [site.show(share) for share in shares.values()], site.relay.requests()

    @tap.test
    def an_answer_lost_after_creation_never_gives_a_second_url(self):
        shares, requests = self.one_url_with("close-before-answer-every=2", relay_options=["--empty-created"])
        generations = [share for share in shares if "generation" in json.dumps(share["timeline"])]
        assert len([r for r in requests if r["op"] == "CreateMailbox"]) > 8
        assert any("generation 1" in json.dumps(share["timeline"]) for share in generations)

    @tap.test
    def a_relay_that_refuses_or_echoes_wrongly_never_causes_a_second_url(self):
        for fault in ("503-every=2", "wrong-echo-every=3", "missing-echo-every=3"):
            self.one_url_with(fault)

    @tap.test
    def a_crash_while_the_relay_answers_never_gives_a_second_url(self):
        with Site(self.build, faults=("delay-ms=150",)) as site:
            for number, victim in enumerate(("gateway", "main", "gateway", "main", "echo")):
                name = "echo:guest%d" % number
                phone = site.phone(name)
                share = site.create(name)
                before = len(site.relay.requests())
                phone.say(share["code"], wait=0)
                if number < 2:  # while it waits for the answer
                    wait_until(lambda: site.rows("SELECT 1 FROM outbox WHERE kind = 4 AND "
                                                 "attempts > 0"), 10, "the call is under way")
                else:  # when the relay has just answered
                    wait_until(lambda: len(site.relay.requests()) > before, 10, "the call is made")
                if victim == "gateway":
                    site.kill_gateway()
                    site.start_gateway()
                else:
                    site.kill_child(victim)
                self.check_one_url_each(site, phone, {name: share})

    @tap.test
    def a_repeated_link_has_the_same_bytes(self):
        with Site(self.build) as site:
            phone = site.phone("echo:bob")
            share = site.create("echo:bob")
            phone.say(share["code"])
            site.wait_event(share, "link_accepted")
            for number in range(2):
                answer = site.tenant.post("/v1/shares/%s/resend" % share["id"])
                assert answer.status == 202, answer
                phone.wait(lambda number=number: len(
                    [m for m in phone.messages if m["kind"] == "link"]) == number + 2,
                    15, "the link once more")
                # Until the carrier's word is in, another would be the same that is on its way.
                site.wait(share, lambda found, number=number:
                          events_of(found).count("link_accepted") == number + 2, "it was accepted")
            answer = site.tenant.post("/v1/shares/%s/resend" % share["id"])
            assert answer.status == 409 and "too-many-resends" in answer.json["type"], answer
            phone.say("HELP")
            phone.wait(lambda: len([m for m in phone.messages if m["kind"] == "link"]) == 4, 15,
                       "the link after HELP")
            phone.say("HELP please?")
            self.check_one_url_each(site, phone, {"echo:bob": share})

    # 3. Attempts.

    @tap.test
    def five_hundred_parallel_guesses_are_three_comparisons(self):
        with Site(self.build) as site:
            share = site.create("echo:bob")
            phones = [site.phone("echo:bob") for _ in range(20)]
            in_parallel([
                lambda phone=phone, first=first: [
                    phone.say(wrong_code(share["code"], first * 25 + number), wait=0)
                    for number in range(25)]
                for first, phone in enumerate(phones)])
            for phone in phones:
                phone.wait(lambda phone=phone: not phone.unacknowledged, 60, "all are answered")
            # The first, and of those that came too soon the last, which was held.
            site.wait(share, lambda found: events_of(found).count("wrong") == 2, "the last is judged", timeout=60)
            phones[0].say(wrong_code(share["code"], 501))
            locked = site.wait_state(share, "locked", timeout=60)
            assert locked["attempts_left"] == 0
            assert events_of(locked).count("wrong") == 3
            counters = site.operator("GET", "/readyz").json["counters"]
            assert counters["codes_wrong"] == 3 and counters["codes_right"] == 0, counters
            phones[0].say(share["code"])
            assert site.show(share)["state"] == "locked"
            assert site.relay.lines() == []
            notices = {m["message"] for phone in phones for m in phone.messages
                       if m["kind"] == "notice"}
            assert len(notices) <= 10, len(notices)

    @tap.test
    def the_right_code_among_parallel_guesses_is_found_once_or_not_at_all(self):
        with Site(self.build) as site:
            names = ["echo:guest%d" % number for number in range(10)]
            shares = {name: site.create(name) for name in names}
            phones = [site.phone(*names) for _ in range(4)]

            def guess(phone, seed):
                chance = random.Random(seed)
                for name in chance.sample(names, len(names)):
                    guesses = [wrong_code(shares[name]["code"], chance.randrange(100))
                               for _ in range(3)] + [shares[name]["code"]]
                    chance.shuffle(guesses)
                    for text in guesses:
                        phone.say(text, sender=name, wait=0)

            in_parallel([lambda phone=phone, seed=seed: guess(phone, seed)
                         for seed, phone in enumerate(phones)])
            for name, share in shares.items():
                # The last that came too soon is judged when it is due; then there is room for one more.
                phones[0].say(share["code"], sender=name)
                ended = site.wait_state(share, "released", "locked", timeout=90)
                wrong = events_of(ended).count("wrong")
                right = events_of(ended).count("confirmed")
                assert ended["attempts_left"] == 3 - wrong - right, ended
                assert right == (ended["state"] == "released")
                assert wrong <= 3

    @tap.test
    def the_same_wrong_code_and_slips_spend_nothing_and_no_restart_refills(self):
        with Site(self.build) as site:
            phone = site.phone("echo:bob")
            share = site.create("echo:bob")
            wrong = wrong_code(share["code"])
            phone.say(mistyped(share["code"]))
            assert site.show(share)["attempts_left"] == 3
            phone.say(wrong)
            for _ in range(3):
                assert site.show(share)["attempts_left"] == 2
                phone.say(wrong)  # with another inbound id
                phone.say(wrong[:3] + " " + wrong[3:6] + "-" + wrong[6:])
                site.kill_gateway()
                site.start_gateway()
            assert site.tenant.post("/v1/shares/%s/resend" % share["id"]).status == 202
            assert site.show(share)["attempts_left"] == 2
            phone.say(wrong_code(share["code"], 1))
            site.kill_gateway()
            site.start_gateway()
            site.wait(share, lambda found: found["attempts_left"] == 1, "what came too soon is judged")
            phone.say(wrong)
            assert site.show(share)["attempts_left"] == 1

    @tap.test
    def the_same_inbound_handed_in_again_counts_once(self):
        with Site(self.build) as site:
            phone = site.phone("echo:bob")
            share = site.create("echo:bob")
            for _ in range(4):
                phone.say(wrong_code(share["code"]), inbound="one and the same")
            found = site.show(share)
            assert found["attempts_left"] == 2 and events_of(found).count("wrong") == 1
            notices = {m["message"] for m in phone.messages if m["kind"] == "notice"}
            assert len(notices) == 1

    # 4. A terminal state is absorbing, and nothing secret is left of the share.

    @tap.test
    def after_the_end_no_secret_is_in_the_rows_and_soon_in_no_file(self):
        with Site(self.build) as site:
            ends = {}
            phone = site.phone("echo:bob", "echo:carol", "echo:dora", "echo:emil")
            completed = site.create("echo:bob", key="k" * 40)
            phone.say(completed["code"], sender="echo:bob")
            site.wait_event(completed, "link_accepted")
            ends["completed"] = (completed, secrets_of(site, completed))
            cancelled = site.create("echo:carol")
            site.wait_event(cancelled, "invitation_accepted")
            ends["cancelled"] = (cancelled, secrets_of(site, cancelled))
            declined = site.create("echo:dora")
            site.wait_event(declined, "invitation_accepted")
            ends["declined"] = (declined, secrets_of(site, declined))
            for _, secrets in ends.values():
                assert {"key", "details"} <= set(secrets), list(secrets)
                assert files_with(site, secrets)  # so that the search is known to find
            link = phone.wait_message("link")["link"]
            assert site.receive(link).returncode == 0
            site.wait_state(completed, "completed")
            assert site.cancel(cancelled).json["state"] == "cancelled"
            phone.say("NO", sender="echo:dora")
            site.wait_state(declined, "declined")
            for state, (share, _) in ends.items():
                check_nothing_is_left(site, share)
                assert site.show(share)["state"] == state
            every = {"%s of %s" % (what, state): blob
                     for state, (_, secrets) in ends.items() for what, blob in secrets.items()}
            wait_until(lambda: not files_with(site, every), 65,
                       "no file holds a secret: " + str(files_with(site, every)), pause=0.5)

    @tap.test
    def nothing_leads_out_of_a_terminal_state(self):
        with Site(self.build) as site:
            phone = site.phone("echo:bob")
            share = site.create("echo:bob")
            invitation = phone.wait_message("invitation")
            assert site.cancel(share).json["state"] == "cancelled"
            version = site.show(share)["version"]
            for text in (share["code"], "NO", "NOT ME", "HELP", "DONE", wrong_code(share["code"])):
                phone.say(text, thread=invitation["thread"])
            assert site.cancel(share).json["state"] == "cancelled"
            assert site.tenant.post("/v1/shares/%s/resend" % share["id"]).status == 409
            site.kill_gateway()
            site.start_gateway()
            found = site.show(share)
            assert (found["state"], found["attempts_left"]) == ("cancelled", 3)
            assert found["version"] <= version + 6  # answers to replies may be counted
            assert site.relay.lines() == []
            assert phone.urls() == set()

    # 5. Cancel.

    @tap.test
    def cancelled_before_releasing_nothing_is_ever_delivered(self):
        with Site(self.build, channels=("echo", "paper"), sockets=("paper",), wait=False,
                  policies=hotel_policy("echo") + hotel_policy("paper", name="paper")) as site:
            site.wait_channel("echo")
            phone = site.phone("echo:bob")
            pending = site.create("echo:bob", policy="paper")  # its channel is not there
            assert site.show(pending)["state"] == "pending"
            assert site.cancel(pending).status == 200
            invited = site.create("echo:bob")
            site.wait_state(invited, "invited")
            answer = site.cancel(invited)
            assert (answer.status, answer.json["state"]) == (200, "cancelled")
            assert answer.json["link_left"] is False
            for share in (pending, invited):
                phone.say("%s %s" % (share["tag"], share["code"]))
                assert site.show(share)["state"] == "cancelled"
            paper = Plugin(site.path("paper"), "paper")
            # The first thing that a channel that comes back is asked must not be that invitation.
            later = site.create("echo:dora", policy="paper")
            frame = paper.read_until("send")
            assert frame["to"] == "echo:dora", frame["to"]
            paper.close()
            assert site.cancel(later).status in (200, 202)
            assert site.relay.lines() == [] and phone.urls() == set()

    @tap.test
    def cancelled_while_releasing_the_mailbox_is_deleted_and_no_link_leaves(self):
        with Site(self.build, faults=("delay-ms=700",)) as site:
            phone = site.phone("echo:bob")
            share = site.create("echo:bob")
            phone.say(share["code"])
            wait_until(lambda: site.relay.requests("CreateMailbox") or site.rows(
                "SELECT 1 FROM outbox WHERE kind = 4 AND attempts > 0"), 10, "the call is made")
            answer = site.cancel(share)
            assert answer.status == 202, answer
            assert answer.json["state"] == "withdrawing" and answer.json["link_left"] is False
            ended = site.wait_state(share, "cancelled")
            assert ended["link_left"] is False
            assert phone.urls() == set()
            deleted = site.relay.requests("DeleteMailbox")
            created = site.relay.requests("CreateMailbox")
            assert [d["mailbox"] for d in deleted] == [c["mailbox"] for c in created]
            check_nothing_is_left(site, share)

    @tap.test
    def cancelled_while_the_relay_is_away_it_ends_once_the_relay_has_told(self):
        with Site(self.build) as site:
            phone = site.phone("echo:bob")
            site.relay.kill()
            share = site.create("echo:bob")
            phone.say(share["code"])
            site.wait_state(share, "releasing")
            wait_until(lambda: site.rows("SELECT 1 FROM outbox WHERE kind = 4 AND attempts > 0"),
                       10, "the call was tried")
            answer = site.cancel(share)
            assert (answer.status, answer.json["state"]) == (202, "withdrawing")
            site.kill_gateway()
            site.relay.start()
            site.start_gateway()
            ended = site.wait_state(share, "cancelled", timeout=60)
            assert ended["link_left"] is False and phone.urls() == set()

    @tap.test
    def cancelled_after_release_the_link_is_dead_and_the_answer_honest(self):
        with Site(self.build) as site:
            phone = site.phone("echo:bob")
            share = site.create("echo:bob")
            phone.say(share["code"])
            link = phone.wait_message("link")["link"]
            site.wait_event(share, "link_accepted")
            answer = site.cancel(share)
            assert (answer.status, answer.json["state"]) == (202, "withdrawing")
            assert answer.json["link_left"] is True
            assert site.cancel(share).status in (200, 202)  # asked again, the same
            site.wait_state(share, "cancelled")
            assert site.receive(link).returncode == 4
            n_links = len([m for m in phone.messages if m["kind"] == "link"])
            assert site.tenant.post("/v1/shares/%s/resend" % share["id"]).status == 409
            phone.say("HELP")
            assert len([m for m in phone.messages if m["kind"] == "link"]) == n_links
            assert site.relay.requests("DeleteMailbox")[-1]["status"] == "200"

    @tap.test
    def a_link_that_waits_for_its_channel_does_not_leave_after_cancel(self):
        with Site(self.build, channels=("paper",), sockets=("paper",), wait=False) as site:
            plugin = Plugin(site.path("paper"), "paper")
            plugin.write({"type": "status", "up": True, "reason": ""})
            site.wait_plugins()
            share = site.create("echo:bob")
            invitation = plugin.read_until("send")
            plugin.write({"type": "sent", "id": invitation["id"]})
            site.wait_state(share, "invited")
            plugin.reply("echo:bob", share["code"], thread=invitation["thread"])
            plugin.close()  # before the relay has answered
            released = site.wait_state(share, "released")
            answer = site.cancel(share)
            if released["link_left"]:  # the plugin's end was seen later than the link
                raise tap.Skip("the link was handed over before the channel went")
            assert answer.status == 202 and answer.json["link_left"] is False
            site.wait_state(share, "cancelled")
            plugin = Plugin(site.path("paper"), "paper")
            plugin.write({"type": "status", "up": True, "reason": ""})
            other = site.create("echo:carol")
            frame = plugin.read_until("send")
            assert (frame["kind"], frame["to"]) == ("invitation", "echo:carol"), frame
            plugin.close()
            assert other["id"] != share["id"]

    # 6. Looking changes nothing.

    @tap.test
    def looking_changes_nothing(self):
        with Site(self.build) as site:
            phone = site.phone("echo:bob", "echo:carol")
            invited = site.create("echo:bob")
            released = site.create("echo:carol")
            phone.say(released["code"], sender="echo:carol")
            link = phone.wait_message("link")["link"]
            site.wait(released, lambda s: events_of(s)[-1] == "delivered", "delivered")
            site.wait(invited, lambda s: events_of(s)[-1] == "delivered", "delivered")

            def everything():
                tables = ("share", "content", "message", "outbox", "address", "seen", "block",
                          "answer", "reference")
                return {table: sorted(map(repr, site.rows("SELECT * FROM " + table)))
                        for table in tables}

            before = everything()
            for method in ("GET", "HEAD", "OPTIONS"):
                for share in (invited, released):
                    for end in ("", "?after=0&wait=1", "/cancel", "/resend", "?cancel=1"):
                        site.tenant.raw(method, "/v1/shares/" + share["id"] + end)
                for path in ("/v1/shares", "/v1/channels", "/v1/policies", "/v1/keys", "/healthz",
                             "/readyz", "/metrics", "/openapi.yaml", "/v1/shares?state=invited",
                             "/v1/shares?reference=booking-4711"):
                    site.tenant.raw(method, path)
                    site.operator(method, path)
            assert everything() == before
            self.look_at_link(site, link)
            assert site.show(released)["state"] == "released"
            assert site.receive(link).returncode == 0
            site.wait_state(released, "completed")
            assert site.show(invited)["state"] == "invited"

    def look_at_link(self, site, link):
        """What a scanner or a preview does to a link that it finds in a message."""
        import http.client

        context = ssl.create_default_context(cafile=site.relay.certificate)
        path = "/" + link.partition("://")[2].partition("/")[2].partition("#")[0]
        for method in ("GET", "HEAD", "GET", "OPTIONS"):
            connection = http.client.HTTPSConnection("localhost", site.relay.port, context=context)
            connection.request(method, path, headers={"User-Agent": "preview", "Accept": "*/*"})
            connection.getresponse().read()
            connection.close()

    # 7. Outsiders.

    @tap.test
    def who_cannot_see_the_invitation_spends_ends_and_learns_nothing(self):
        with Site(self.build) as site:
            bob = site.phone("echo:bob")
            share = site.create("echo:bob")
            invitation = bob.wait_message("invitation")
            site.wait_event(share, "delivered")
            mallory = site.phone("echo:mallory")
            before = site.show(share)
            for text in (share["code"], wrong_code(share["code"]), "NO", "NOT ME", "STOP", "HELP",
                         "DONE", "%s %s" % (share["tag"], share["code"]),
                         "%s NO" % share["tag"], "%s STOP" % share["tag"]):
                for evidence in ({}, {"thread": invitation["thread"]},
                                 {"quoted": invitation["message"]},
                                 {"thread": invitation["thread"], "quoted": invitation["message"]}):
                    mallory.say(text, **evidence)
            for sender in ("echo:bob2", "echo:bo", "echo:b.ob", "echo:-bob"):
                mallory.say(share["code"], sender=sender, thread=invitation["thread"])
            assert site.show(share) == before
            assert not [m for m in mallory.messages if "Hotel" in m["text"]], mallory.messages
            assert site.relay.lines() == []
            # And the invitation is as good as ever.
            bob.say(share["code"])
            site.wait_state(share, "released")

    @tap.test
    def forged_threads_and_quotes_bind_nothing(self):
        with Site(self.build) as site:
            bob = site.phone("echo:bob")
            first, second = site.create("echo:bob"), site.create("echo:bob")
            bob.wait(lambda: len(bob.messages) >= 2, 15, "two invitations")
            bob.wait(lambda: bob.messages[0]["thread"] != bob.messages[1]["thread"], 1, "threads")
            thread = bob.messages[0]["thread"]
            forged = thread[:-1] + ("0" if thread[-1] != "0" else "1")
            for evidence in ({"thread": forged}, {"thread": "thr"}, {"quoted": "msg_" + "0" * 26},
                             {"thread": bob.messages[0]["message"]}, {"thread": "x" * 256}):
                bob.say(first["code"], **evidence)
            assert [site.show(s)["attempts_left"] for s in (first, second)] == [3, 3]
            assert [site.show(s)["state"] for s in (first, second)] == ["invited", "invited"]
            # A code is never tried against more than one share: it is asked which is meant.
            bob.wait_message("notice", contains="start your answer with the reference")

    @tap.test
    def a_sender_that_is_not_authentic_is_not_heard(self):
        with Site(self.build) as site:
            bob = site.phone("echo:bob")
            share = site.create("echo:bob")
            thread = bob.wait_message("invitation")["thread"]
            for evidence in ({"authentic": "none"}, {"automatic": True},
                             {"authentic": "none", "automatic": True}):
                for text in (share["code"], wrong_code(share["code"]), "NO", "STOP"):
                    bob.say(text, thread=thread, **evidence)
            found = site.show(share)
            assert (found["state"], found["attempts_left"]) == ("invited", 3)

    @tap.test
    def another_tenant_sees_the_same_bytes_as_for_a_share_that_never_was(self):
        with Site(self.build, tenants=("adler", "baer")) as site:
            bob = site.phone("echo:bob")
            share = site.create("echo:bob")
            site.wait_event(share, "delivered")
            before = site.show(share)
            other = site.tenants["baer"]
            never = "shr_0" + "".join(random.choices("0123456789abcdefghjkmnpqrstvwxyz", k=25))
            flipped = share["id"][:-1] + ("0" if share["id"][-1] != "0" else "1")
            for method, end in (("GET", ""), ("GET", "?after=0&wait=1"), ("POST", "/cancel"),
                                ("POST", "/resend")):
                answers = set()
                for id in (share["id"], never, flipped):
                    answer = other.call(method, "/v1/shares/%s%s" % (id, end))
                    headers = {k: v for k, v in answer.headers.items() if k != "Date"}
                    answers.add((answer.status, answer.content, json.dumps(headers)))
                assert len(answers) == 1 and answer.status == 404, answers
            assert other.get("/v1/shares").json["shares"] == []
            assert other.get("/v1/shares?reference=booking-4711").json["shares"] == []
            assert site.show(share) == before
            for token in (None, "Bearer x", "Bearer " + other.token[:-1] + "x", "Basic eA=="):
                answer = other.raw("GET", "/v1/shares/" + share["id"],
                                   headers={"Authorization": token})
                assert answer.status == 401, (token, answer)
            assert bob.urls() == set()

    @tap.test
    def not_me_blocks_the_pair_alone_and_the_tenant_cannot_tell(self):
        with Site(self.build, tenants=("adler", "baer")) as site:
            bob = site.phone("echo:bob")
            first = site.create("echo:bob")
            bob.say("NOT ME", thread=bob.wait_message("invitation")["thread"])
            site.wait_state(first, "disowned")
            blocked = site.create("echo:bob")
            other = site.create("echo:bob", tenant=site.tenants["baer"])
            assert blocked["state"] == other["state"] == "pending"
            site.wait_state(other, "invited", tenant=site.tenants["baer"])
            invitations = {m["tag"] for m in bob.messages if m["kind"] == "invitation"}
            assert invitations == {first["tag"], other["tag"]}
            assert site.show(blocked)["state"] == "pending"

    # 8. What was acknowledged survives.

    @tap.test
    def what_was_acknowledged_survives_kill_9_at_once(self):
        with Site(self.build) as site:
            phone = site.phone("echo:bob")
            key = fresh_key()
            body = share_body("echo:bob")
            for number in range(6):
                share = site.tenant.post("/v1/shares", body, key=key).json
                site.kill_gateway()  # the answer was the acknowledgement
                site.start_gateway()
                assert site.show(share)["id"] == share["id"]
            replayed = site.tenant.post("/v1/shares", body, key=key)
            assert replayed.headers.get("Idempotency-Replayed") == "true"
            assert replayed.json["code"] == share["code"]
            assert len(site.tenant.get("/v1/shares").json["shares"]) == 1
            phone.say(wrong_code(share["code"]))
            site.kill_gateway()
            site.start_gateway()
            assert site.show(share)["attempts_left"] == 2
            phone.say(share["code"])
            site.kill_gateway()
            site.start_gateway()
            site.wait_event(share, "confirmed", timeout=60)  # if it came too soon, it was held
            site.wait_state(share, "released")
            answer = site.cancel(share)
            site.kill_gateway()
            site.start_gateway()
            assert answer.status == 202
            site.wait_state(share, "cancelled")

    @tap.test
    def a_repeated_message_has_the_same_id_and_the_same_bytes(self):
        with Site(self.build) as site:
            deaf = site.phone("echo:bob", take=False)
            share = site.create("echo:bob")
            first = deaf.wait_message("invitation")
            for end in (lambda: site.kill_child("echo"), site.kill_gateway):
                seen = len(deaf.messages)
                end()
                if site.gateway.poll() is not None:
                    site.start_gateway()
                again = deaf.wait_message("invitation", after=seen, timeout=40)
                assert again == first
            assert site.show(share)["state"] == "pending"
            deaf.send_raw({"type": "taken", "message": first["message"]})
            site.wait_state(share, "invited")

    # 9. The stricter of the policy then and now.

    def tightened(self, site):
        return site.configuration().replace("code = D9", "code = X8")

    @tap.test
    def a_policy_tightened_while_releasing_releases_nothing(self):
        with Site(self.build) as site:
            phone = site.phone("echo:bob")
            site.relay.kill()
            share = site.create("echo:bob")
            phone.say(share["code"])
            site.wait_state(share, "releasing")
            site.reload(self.tightened(site))
            site.relay.start()
            ended = site.wait_state(share, "failed", timeout=60)
            assert ended["cause"] == "policy_tightened", ended["cause"]
            assert ended["link_left"] is False and phone.urls() == set()
            created = {r["mailbox"] for r in site.relay.requests("CreateMailbox")}
            assert created == {r["mailbox"] for r in site.relay.requests("DeleteMailbox")}

    @tap.test
    def a_policy_tightened_while_invited_lets_no_old_code_through(self):
        with Site(self.build) as site:
            phone = site.phone("echo:bob")
            share = site.create("echo:bob")
            site.wait_event(share, "delivered")
            site.reload(self.tightened(site))
            phone.say(share["code"])
            ended = site.wait_state(share, "failed")
            assert ended["cause"] == "policy_tightened"
            assert site.relay.lines() == []
            fresh = site.create("echo:bob")
            assert len(plain(fresh["code"])) == 8
            phone.say(fresh["code"])
            site.wait_state(fresh, "released")

    @tap.test
    def a_policy_tightened_before_the_link_is_claimed_keeps_the_link_here(self):
        with Site(self.build, channels=("paper",), sockets=("paper",), wait=False) as site:
            plugin = Plugin(site.path("paper"), "paper")
            plugin.write({"type": "status", "up": True, "reason": ""})
            site.wait_plugins()
            share = site.create("echo:bob")
            invitation = plugin.read_until("send")
            plugin.write({"type": "sent", "id": invitation["id"]})
            site.wait_state(share, "invited")
            site.relay.kill()
            plugin.reply("echo:bob", share["code"], thread=invitation["thread"])
            plugin.read_until("ack")
            plugin.close()
            site.wait_channel("paper", up=False)
            site.relay.start()
            site.wait_state(share, "released", timeout=60)
            site.reload(self.tightened(site))
            plugin = Plugin(site.path("paper"), "paper")
            plugin.write({"type": "status", "up": True, "reason": ""})
            ended = site.wait_state(share, "failed")
            assert ended["cause"] == "policy_tightened" and ended["link_left"] is False
            assert site.relay.requests("DeleteMailbox")
            plugin.close()

    @tap.test
    def a_loosened_policy_does_not_loosen_a_share(self):
        text = hotel_policy("echo").replace("code = D9", "code = X8")
        with Site(self.build, policies=text) as site:
            phone = site.phone("echo:bob")
            share = site.create("echo:bob")
            assert len(plain(share["code"])) == 8
            site.reload(site.configuration().replace("code = X8", "code = D9"))
            phone.say("123-456-786")
            assert site.show(share)["attempts_left"] == 3
            phone.say(share["code"].lower())
            site.wait_state(share, "released")

    # What time does, whatever else is broken.

    def make_stuck(self, store, share, count):
        """Damages a share, and makes so many of it: each is due, and none can be swept."""
        n = share_number(share["id"])
        columns = [row[1] for row in store.execute("PRAGMA table_info(share)")]
        copied = ", ".join("share.n - number" if name == "n" else name for name in columns)
        store.execute("UPDATE share SET key = zeroblob(length(key)), due = 1 WHERE n = ?", (n,))
        store.execute("WITH RECURSIVE counted(number) AS (SELECT 1 UNION ALL "
                      "SELECT number + 1 FROM counted WHERE number < ?) "
                      "INSERT INTO share SELECT %s FROM share, counted WHERE n = ?" % copied,
                      (count - 1, n))

    def change_store(self, site, change):
        store = sqlite3.connect(os.path.join(site.state, "vestibule.sqlite"))
        try:
            with store:
                change(store)
        finally:
            store.close()

    @tap.test
    def shares_that_cannot_be_swept_do_not_keep_the_others(self):
        count = 1200  # in pages of 500
        with Site(self.build) as site:
            site.phone("echo:bob", "echo:carol")
            stuck, healthy = site.create("echo:bob"), site.create("echo:carol")
            site.wait_event(stuck, "delivered")
            site.wait_event(healthy, "delivered")
            n = share_number(stuck["id"])
            whole, = site.rows("SELECT * FROM share WHERE n = ?", n)
            key, due = site.rows("SELECT key, due FROM share WHERE n = ?", n)[0]
            assert site.stop_gateway() == 0

            def damage(store):
                self.make_stuck(store, stuck, count)
                store.execute("UPDATE share SET due = 2, expires = 1 WHERE n = ?",
                              (share_number(healthy["id"]),))

            self.change_store(site, damage)
            site.start_gateway()
            assert site.wait_state(healthy, "expired", timeout=60)["cause"] == "unanswered"
            told = read_text(site.log).count("could not be ended")
            assert told == count, told  # each was tried once, and is not tried all the time
            now = int(time.time())
            assert site.rows("SELECT count(*) FROM share WHERE due > ? AND due < ?",
                             now + 60, now + 600) == [(count,)]

            # Nothing else of them was touched: one that is repaired ends as it should have.
            assert site.stop_gateway() == 0
            self.change_store(site, lambda store: store.execute(
                "UPDATE share SET key = ?, due = ? WHERE n = ?", (key, due, n)))
            assert site.rows("SELECT * FROM share WHERE n = ?", n) == [whole]
            self.change_store(site, lambda store: store.execute(
                "UPDATE share SET due = 1, expires = 1 WHERE n = ?", (n,)))
            site.start_gateway()
            site.wait_state(stuck, "expired", timeout=60)


if __name__ == "__main__":
    arguments = options_of_test(__doc__)
    sys.exit(tap.run(tap.tests_of(Tests(arguments)), arguments.names))

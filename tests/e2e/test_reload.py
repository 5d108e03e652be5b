"""Reloads and ends of a gateway that has work under way: a relay that moves or goes, a shorter life
of mailboxes, answers that no frame can hold, and SIGTERM."""

import http.client
import os
import re
import signal
import sqlite3
import subprocess
import sys
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))

from harness import tap  # noqa: E402
from harness.vestibule import (  # noqa: E402
    Relay, Site, events_of, hotel_policy, options_of_test, read_text, share_number, urls_of,
    wait_until, wrong_code)

HOUR = 3600
PATIENCE = 60
HELD = ("delay-ms=900000",)  # the relay has made the mailbox, and its answer does not come


def with_ttl(text, ttl):
    return text.replace("code = D9", "code = D9\n  mailbox_ttl = %s" % ttl)


class MovingSite(Site):
    """A site with a second relay: the first one's successor, or with both=True beside it."""

    def __init__(self, build, both=False, **options):
        self.other = None
        super().__init__(build, **options)
        folder = self.path("other")
        os.mkdir(folder)
        self.other = Relay(build, folder)
        self.both = both
        if both:
            for name in ("relay-key", "relay-key.pub", "front-key.pub"):
                with open(os.path.join(self.credentials, "relay-main", name), "rb") as file:
                    self.write_secret(file.read(), "relay-other", name)
        self.write_configuration()

    def configuration(self):
        text = super().configuration()
        return text + self.section_of_other() if self.other and self.both else text

    def section_of_other(self):
        return 'relay other {\n  url = "%s"\n  ca_file = "%s"\n  %s\n}\n' % (
            self.other.url, self.other.certificate,
            self.exec_line(self.program("relay-client", "vestibule-relay-client")))

    def moved(self):
        """The configuration in which the relay `main` is at the other's address."""
        return self.configuration().replace(self.relay.url, self.other.url).replace(
            self.relay.certificate, self.other.certificate)

    def start(self):
        self.other.start()
        return super().start()

    def close(self):
        super().close()
        self.other.stop()

    def hold_create(self, phone):
        """A confirmed share whose mailbox the first relay has made, and whose answer it keeps."""
        share = self.create(phone.addresses[0])
        phone.say(share["code"])
        wait_until(lambda: self.relay.requests("CreateMailbox"), PATIENCE, "the create is under way")
        assert self.show(share)["state"] == "releasing"
        return share

    def check_released_once(self, phone, share, relay):
        self.wait_event(share, "link_accepted", timeout=PATIENCE)
        urls = phone.urls()
        assert len(urls) == 1, urls
        assert all(url.startswith(relay.url + "/") for url in urls), urls
        assert events_of(self.show(share)).count("released") == 1
        return urls.pop()

    def check_it_opens(self, share, url, relay):
        self.relay, mine = relay, self.relay
        try:
            got = self.receive(url)
        finally:
            self.relay = mine
        assert got.returncode == 0, got.stderr
        self.wait_state(share, "completed", timeout=PATIENCE)


class TwoOperators(Site):
    """A second channel for the same addresses, of another operator."""

    def __init__(self, build, policies):
        super().__init__(build, channels=("echo", "odd"), sockets=("odd",), policies=policies, wait=False)

    def channel_section(self, name):
        text = super().channel_section(name)
        return text.replace("{\n", "{\n  operator_class = odd\n", 1) if name == "odd" else text


def expirations(relay):
    """The ends that a relay keeps for its mailboxes."""
    name, = [name for name in os.listdir(relay.state) if name.endswith(".sqlite")]
    store = sqlite3.connect("file:%s?mode=ro" % os.path.join(relay.state, name), uri=True, timeout=10)
    try:
        return [row[0] for row in store.execute("SELECT expiration FROM mailbox ORDER BY number")]
    finally:
        store.close()


def mailbox_end(site, share):
    return site.rows("SELECT mailbox_expires FROM share WHERE n = ?", share_number(share["id"]))[0][0]


def check_end(end, hours, before):
    """That a mailbox ends so many hours after a moment between `before` and now. The gateway's clock
    starts with whole seconds, so that it may be two behind."""
    assert before + hours * HOUR - 3 <= end <= time.time() + hours * HOUR + 3, (end - before) / HOUR


def is_running(pid):
    try:
        with open("/proc/%d/stat" % pid) as file:
            return file.read().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


class Creator:
    """Creates shares until nobody answers; keeps those that were acknowledged."""

    def __init__(self, site, name):
        self.site, self.name = site, name
        self.created = []
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()

    def run(self):
        while True:
            try:
                self.created.append(
                    self.site.create("echo:new%s-%d" % (self.name, len(self.created))))
            except (OSError, AssertionError, http.client.HTTPException):
                return


class Tests:
    def __init__(self, options):
        self.build = options.build

    # The relay changes while a create is under way there.

    @tap.test
    def a_relay_that_moves_while_it_is_asked_makes_one_url_at_its_new_address(self):
        with MovingSite(self.build, faults=HELD) as site:
            phone = site.phone("echo:bob")
            share = site.hold_create(phone)
            site.reload(site.moved())
            url = site.check_released_once(phone, share, site.other)
            assert len(site.relay.requests("CreateMailbox")) == 1
            site.check_it_opens(share, url, site.other)
            assert len(phone.urls()) == 1

    @tap.test
    def relays_that_swap_again_and_again_make_one_url_or_a_clear_end(self):
        with MovingSite(self.build, faults=("delay-ms=40",)) as site:
            names = ["echo:guest%d" % number for number in range(24)]
            phone = site.phone(*names)
            shares = {name: site.create(name) for name in names}
            here, there = site.configuration(), site.moved()
            for round, start in enumerate(range(0, len(names), 4)):
                for name in names[start:start + 4]:
                    phone.say(shares[name]["code"], sender=name, wait=0)
                site.reload(there if round % 2 == 0 else here)
            for name, share in shares.items():
                found = site.wait(
                    share, lambda s: "link_accepted" in events_of(s) or s["state"] == "failed",
                    "the link or the end", timeout=PATIENCE)
                urls = urls_of([m for m in phone.messages if m["to"] == name])
                if found["state"] == "failed":
                    assert found["cause"] == "relay_refused" and not found["link_left"], found
                    assert urls == set(), (name, urls)
                else:
                    assert len(urls) == 1, (name, urls)
            assert site.gateway.poll() is None

    @tap.test
    def a_tenant_that_changes_its_relay_keeps_a_share_where_its_mailbox_is_made(self):
        with MovingSite(self.build, both=True, faults=("delay-ms=6000",)) as site:
            phone = site.phone("echo:bob")
            share = site.hold_create(phone)
            site.reload(site.configuration().replace("relay = main", "relay = other"))
            assert "tenant adler has changed" in read_text(site.log)
            assert site.show(share)["state"] == "releasing"  # its answer is still held
            site.check_released_once(phone, share, site.relay)
            assert site.other.requests() == []
            carol = site.phone("echo:carol")
            fresh = site.create("echo:carol")
            carol.say(fresh["code"])
            site.check_released_once(carol, fresh, site.other)
            assert site.cancel(share).status == 202
            site.wait_state(share, "cancelled", timeout=PATIENCE)
            assert len(site.relay.requests("DeleteMailbox")) == 1
            assert site.other.requests("DeleteMailbox") == []

    @tap.test
    def a_relay_cannot_be_removed_by_a_reload_and_waits_for_its_return_after_a_restart(self):
        with MovingSite(self.build, both=True, faults=("delay-ms=6000",), relay_options=["--empty-created"]) as site:
            bob, carol = site.phone("echo:bob"), site.phone("echo:carol")
            full = site.configuration()
            without = re.sub(r"relay main \{.*?\n\}\n", "", full, flags=re.DOTALL).replace(
                "relay = main", "relay = other")
            first = site.hold_create(bob)
            site.reload(without)
            assert "relay main is gone: needs a restart" in read_text(site.log)
            site.check_released_once(bob, first, site.relay)

            second = site.create("echo:carol")
            carol.say(second["code"])
            wait_until(lambda: len(site.relay.requests("CreateMailbox")) == 2, PATIENCE, "the create")
            site.stop_gateway()
            site.start_gateway()  # reads what the reload refused
            assert "waits for relay-main, which is not configured" in read_text(site.log)
            assert site.show(second)["state"] == "releasing"
            assert carol.urls() == set() and site.other.requests() == []
            site.stop_gateway()
            site.write_configuration(full)
            site.start_gateway()
            found = site.wait_event(second, "link_accepted", timeout=PATIENCE)
            assert "generation" in events_of(found), events_of(found)  # the first URL was lost
            url = site.check_released_once(carol, second, site.relay)
            site.check_it_opens(second, url, site.relay)
            assert len(bob.urls()) == 1

    # The life of mailboxes is shortened.

    @tap.test
    def a_mailbox_lives_until_the_end_that_its_relay_was_promised(self):
        with MovingSite(self.build, faults=("delay-ms=6000",)) as site:
            long, short = (with_ttl(site.configuration(), ttl) for ttl in ("12h", "1h"))
            site.reload(long)
            phone = site.phone("echo:bob")
            before = time.time()
            share = site.hold_create(phone)
            promised = mailbox_end(site, share)
            check_end(promised, 12, before)
            site.reload(short)
            assert site.show(share)["state"] == "releasing"  # its answer is still held
            site.check_released_once(phone, share, site.relay)
            assert mailbox_end(site, share) == promised
            assert expirations(site.relay) == [promised]
            # And another try at the same relay promises nothing else.
            site.kill_gateway()
            site.start_gateway()
            assert mailbox_end(site, share) == promised
            assert site.show(share)["state"] == "released"

    @tap.test
    def a_create_that_is_repeated_after_the_life_was_shortened_promises_the_same_end(self):
        with MovingSite(self.build) as site:
            site.reload(with_ttl(site.configuration(), "12h"))
            phone = site.phone("echo:bob")
            share = site.create("echo:bob")
            site.relay.kill()
            phone.say(share["code"])
            site.wait_state(share, "releasing")
            promised = mailbox_end(site, share)
            site.reload(with_ttl(site.configuration(), "1h"))
            site.relay.start()
            site.check_released_once(phone, share, site.relay)
            assert mailbox_end(site, share) == promised
            assert expirations(site.relay) == [promised]

    @tap.test
    def a_share_that_is_confirmed_later_gets_the_shorter_life_of_then_and_now(self):
        with MovingSite(self.build) as site:
            text = {ttl: with_ttl(site.configuration(), ttl) for ttl in ("12h", "1h", "20h")}
            site.reload(text["12h"])
            bob, carol = site.phone("echo:bob"), site.phone("echo:carol")
            shortened, lengthened = site.create("echo:bob"), site.create("echo:carol")
            for phone, share, ttl, hours in (
                    (bob, shortened, "1h", 1), (carol, lengthened, "20h", 12)):
                site.reload(text[ttl])
                before = time.time()
                phone.say(share["code"])
                site.check_released_once(phone, share, site.relay)
                end = mailbox_end(site, share)
                check_end(end, hours, before)
                assert expirations(site.relay)[-1] == end

    # An answer that no frame can hold.

    @tap.test
    def an_answer_too_large_for_a_frame_is_a_clear_error_and_nothing_else_is_disturbed(self):
        with Site(self.build) as site:
            share = site.create("echo:bob")
            names = ["p%03d-%s" % (number, "x" * 56) for number in range(600)]
            small = site.configuration()
            many = "".join(hotel_policy("echo", name=name) for name in names)
            before = site.children()
            site.reload(small.replace(
                "policies = { hotel }", "policies = { hotel, %s }" % ", ".join(names)) + many)
            answer = site.tenant.get("/v1/policies")
            assert answer.status == 500, answer
            assert answer.json["type"] == "urn:vestibule:problem:internal", answer
            assert answer.json["title"] == "The answer cannot be given", answer
            assert site.show(share)["id"] == share["id"]
            site.reload(small)
            answer = site.tenant.get("/v1/policies")
            assert answer.status == 200 and len(answer.json["policies"]) == 1, answer
            assert site.children() == before
            assert "loses its connection" not in read_text(site.log), read_text(site.log)

    # What the operator reads.

    @tap.test
    def a_running_gateway_says_of_its_policies_what_a_check_says_of_the_file(self):
        split = 'policy van {\n  class = car-unlock\n  channels = { echo, odd }\n}\n'
        with TwoOperators(self.build, policies=hotel_policy("echo") + split) as site:
            def show(*names):
                return subprocess.run(
                    [site.program("plugins", "api", "vestibulectl"), "--url", "unix:" + site.operator_path,
                     "policy", "show", *names], capture_output=True, text=True, timeout=30)

            def check():
                done = subprocess.run(
                    [site.program("gateway", "vestibuled"), "--check", "--config", site.config],
                    capture_output=True, text=True, timeout=30, env=site.environment())
                return done.stdout.partition("\nchannel echo: ")[0] + "\n"

            assert show().stdout == check() != "", show()
            assert "9 over the share's whole life" in show("hotel").stdout
            site.reload(site.configuration().replace("code = D9", "code = D9\n  attempts_total = 4"))
            assert show().stdout == check() and "4 over the share's whole life" in show("hotel").stdout
            assert show("castle").returncode == 66
            found = site.tenant.get("/v1/policies?name=van").json["policies"][0]
            assert (found["assurance"], found["link_delivery"], found["approval"]) == ("RAL-2", "split", False)
            assert found["factors"] == ["split"] and found["guess_bits"]["total"] == 128
            assert "first-channel" in found["stops"] and "phone" in found["does_not_stop"]
            assert [channel["operator_class"] for channel in found["channels"]] == ["echo", "odd"]
            # Of another tenant's policies nobody learns that they are there.
            site.reload(site.configuration().replace("policies = { hotel, van }", "policies = { hotel }"))
            assert site.tenant.get("/v1/policies?name=van").status == 404
            assert [p["name"] for p in site.tenant.get("/v1/policies").json["policies"]] == ["hotel"]

    # The end.

    def due_at(self, site, shares, when):
        """Brings the end of open shares forward, while nobody has the store."""
        store = sqlite3.connect(os.path.join(site.state, "vestibule.sqlite"), isolation_level=None)
        try:
            for share in shares:
                changed = store.execute(
                    "UPDATE share SET expires = ?, due = ? WHERE n = ?",
                    (when - 1, when, share_number(share["id"]))).rowcount
                assert changed == 1
        finally:
            store.close()

    @tap.test
    def a_gateway_told_to_end_with_its_hands_full_ends_in_time_and_loses_nothing(self):
        with Site(self.build, timeout=40) as site:
            for round in range(4):
                self.end_with_full_hands(site, round)

    def end_with_full_hands(self, site, round):
        due, wrong, right = (
            ["echo:%s%d-%d" % (kind, round, number) for number in range(12)]
            for kind in ("due", "wrong", "right"))
        phone = site.phone(*due, *wrong, *right)
        shares = {name: site.create(name) for name in due + wrong + right}
        for share in shares.values():
            site.wait_event(share, "delivered")
        site.stop_gateway()
        when = int(time.time()) + 4
        self.due_at(site, [shares[name] for name in due], when)
        site.start_gateway()
        phone.wait(lambda: phone.connection, 30, "the phone is back")
        creators = [Creator(site, "%d-%d" % (round, number)) for number in range(8)]
        wait_until(lambda: all(creator.created for creator in creators), 30, "all of them create")

        # While it is stopped, shares become due, and every answer and some creations wait for it;
        # then it goes on and is told to end.
        os.kill(site.gateway.pid, signal.SIGSTOP)
        inbound = {}
        for name in right + wrong:
            code = shares[name]["code"]
            inbound[name] = phone.say(
                code if name in right else wrong_code(code), sender=name, wait=0)
        wait_until(lambda: time.time() > when + 1, 30, "the shares are due")
        children = list(site.children().values())
        assert len(children) == 4, children
        # In turns it finds the signal first, or among the frames that it reads.
        for number in (signal.SIGTERM, signal.SIGCONT)[::1 if round % 2 else -1]:
            os.kill(site.gateway.pid, number)
        began = time.monotonic()
        assert site.gateway.popen.wait(30) == 0  # which is what the unit allows
        took = time.monotonic() - began
        wait_until(lambda: not any(map(is_running, children)), PATIENCE, "its plugins have ended")
        phone.wait(lambda: not phone.connection, PATIENCE, "the phone has read all that was sent")
        for creator in creators:
            creator.thread.join(30)
        with phone.changed:
            acknowledged = {name for name, id in inbound.items() if id in phone.acknowledged}
            links = {m["to"] for m in phone.messages if m["kind"] == "link"}
        created = [share for creator in creators for share in creator.created]
        tap.note("%d of %d answers acknowledged, %d creations, ended after %.2f s" % (
            len(acknowledged), len(inbound), len(created), took))

        # What was said to the outside is in the store, and what is not there was never said.
        derived = site.derivation()
        by_request = {derived.request(share["id"]): name for name, share in shares.items()}
        by_number = dict(site.rows("SELECT n, state FROM share"))
        states = {name: by_number[share_number(share["id"])] for name, share in shares.items()}
        assert {share_number(share["id"]) for share in created} <= set(by_number)
        assert all(states[name] != "invited" for name in acknowledged & set(right)), states
        assert all(states[name] == "released" for name in links), states
        asked = {by_request.get(line["request"]) for line in site.relay.requests("CreateMailbox")}
        assert all(states[name] in ("releasing", "released") for name in asked - {None}), states

        site.start_gateway()
        for share in created:
            assert site.show(share)["id"] == share["id"]
        for name in acknowledged & set(wrong):
            assert site.show(shares[name])["attempts_left"] == 2, name
        for name in due:
            found = site.wait_state(shares[name], "expired", timeout=PATIENCE)
            assert found["cause"] == "unanswered", found["cause"]
        for name in right:
            site.wait_event(shares[name], "link_accepted", timeout=PATIENCE)
            urls = urls_of([m for m in phone.messages if m["to"] == name])
            assert len(urls) == 1, (name, urls)
        phone.wait(lambda: not phone.unacknowledged, PATIENCE, "every answer is acknowledged")
        for name in wrong:
            found = site.show(shares[name])
            assert (found["state"], found["attempts_left"]) == ("invited", 2), found


if __name__ == "__main__":
    arguments = options_of_test(__doc__)
    sys.exit(tap.run(tap.tests_of(Tests(arguments)), arguments.names))

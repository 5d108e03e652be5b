"""One budget of attempts for each share, that no path refills: five hundred guesses at once over three channels,
with new codes, resends and a restart of the gateway between them, compare what the budget allows and no more."""

import os
import random
import sys
import threading

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))

from harness import tap  # noqa: E402
from harness.frames import Closed  # noqa: E402
from harness.vestibule import (  # noqa: E402
    LOOSE, Plugin, Site, damm, events_of, hotel_policy, options_of_test, plain)

GUESSES = 500
ADDRESSES = {"chat": "xmpp:bob@example.org", "sms": "sms:+4915112345678", "email": "mailto:bob@example.org"}


def guesses(codes, number):
    """So many distinct codes of the right form, none of which is or becomes the right one by the test's doing."""
    found = set()
    while len(found) < number:
        digits = "%08d" % random.randrange(10 ** 8)
        if digits + damm(digits) not in codes:
            found.add(digits + damm(digits))
    return list(found)


class Channel(threading.Thread):
    """A carrier that takes every message and hands in answers as fast as they are acknowledged."""

    def __init__(self, site, name, refuses):
        super().__init__(daemon=True)
        self.plugin = Plugin(site.path(name), name, timeout=60)
        self.name, self.refuses = name, refuses
        self.sent, self.acknowledged = [], 0
        self.changed = threading.Condition()
        self.start()

    def run(self):
        try:
            while True:
                frame = self.plugin.read()
                with self.changed:
                    if frame["type"] == "send":
                        refused = self.refuses and frame["kind"] == "invitation"
                        self.sent.append(frame)
                        self.plugin.write({"type": "failed", "id": frame["id"], "permanent": True, "reason": "gone"}
                                          if refused else {"type": "sent", "id": frame["id"]})
                    elif frame["type"] == "ack":
                        self.acknowledged += 1
                    self.changed.notify_all()
        except (OSError, ValueError, Closed):  # the gateway has gone
            pass

    def wait(self, condition, what, timeout=60):
        with self.changed:
            assert self.changed.wait_for(condition, timeout), "%s: %s" % (self.name, what)

    def invited(self):
        self.wait(lambda: any(f["kind"] == "invitation" for f in self.sent), "an invitation")

    def say(self, text):
        self.plugin.reply(ADDRESSES[self.name], text, authentic="weak")


class Guessed(Site):
    def __init__(self, build):
        # The limits of a person and of a tenant would end it sooner; here the share's own budget has to.
        super().__init__(build, channels=tuple(ADDRESSES), sockets=tuple(ADDRESSES), wait=False,
                         policies=hotel_policy(*ADDRESSES, fallback="silent"),
                         limits={**LOOSE, "wrong_per_tenant": 1000})

    def channel_section(self, name):
        return 'channel %s {\n  scheme = %s\n  socket = "%s"\n}\n' % (
            name, {"email": "mailto", "chat": "xmpp"}.get(name, name), self.path(name))

    def connect(self):
        self.plugins = [Channel(self, name, refuses=name != "email") for name in ADDRESSES]
        self.wait_plugins()

    def share_at_all_three(self):
        """Refused by two, and open at all of them."""
        self.connect()
        share = self.create(*ADDRESSES.values())
        for channel in self.plugins:
            channel.invited()
        self.wait_state(share, "invited")
        return share

    def flood(self, share, codes):
        """All at once; returns when every one of them is acknowledged."""
        tag, each = share["tag"], len(codes) // 3
        before = [channel.acknowledged for channel in self.plugins]
        threads = [threading.Thread(target=lambda c=channel, i=i: [
            c.say("%s %s" % (tag, code)) for code in codes[i * each:(i + 1) * each]])
            for i, channel in enumerate(self.plugins)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        for channel, n in zip(self.plugins, before):
            channel.wait(lambda c=channel, n=n: c.acknowledged >= n + each, "every answer is acknowledged")

    def compared(self, share):
        return events_of(self.show(share)).count("wrong")

    def say_right(self, share, code):
        for channel in self.plugins:
            channel.say("%s %s" % (share["tag"], code))


class Tests:
    def __init__(self, options):
        self.build = options.build

    def until_locked(self, site, share, codes, between=lambda: None):
        """Goes on guessing, fifty at once, until the share is locked; of those that come too soon the last is held,
        and compared when it is due."""
        while site.show(share)["state"] == "invited":
            n = site.compared(share)
            site.flood(share, [codes.pop() for _ in range(51)])
            site.wait(share, lambda found, n=n: events_of(found).count("wrong") > n, "the next is compared",
                      timeout=60)
            between()
        return site.wait_state(share, "locked")

    @tap.test
    def five_hundred_guesses_compare_three(self):
        with Guessed(self.build) as site:
            share = site.share_at_all_three()
            codes = guesses({plain(share["code"])}, GUESSES * 4)
            site.flood(share, [codes.pop() for _ in range(GUESSES // 3 * 3)])
            assert site.compared(share) == 1, events_of(site.show(share))
            locked = self.until_locked(site, share, codes)
            assert events_of(locked).count("wrong") == 3 and locked["attempts_left"] == 0, locked
            site.say_right(share, share["code"])
            assert site.show(share)["state"] == "locked"
            assert site.relay.lines() == []
            assert site.tenant.post("/v1/shares/%s/reissue" % share["id"]).status == 409

    @tap.test
    def new_codes_and_resends_in_between_compare_no_more_than_nine(self):
        with Guessed(self.build) as site:
            share = site.share_at_all_three()
            codes = guesses({plain(share["code"])}, GUESSES * 8)
            answers = []

            def ask():
                if site.show(share)["attempts_left"] <= 1:
                    answers.append(site.tenant.post("/v1/shares/%s/reissue" % share["id"]))
                site.tenant.post("/v1/shares/%s/resend" % share["id"])

            locked = self.until_locked(site, share, codes, ask)
            given = [answer for answer in answers if answer.status == 200]
            assert len(given) == 2 and all(answer.status in (200, 409) for answer in answers), answers
            n = events_of(locked).count("wrong")
            # Two of each code but the last, whose third is the end: nothing was given back.
            assert n == 2 + 2 + 3, events_of(locked)
            site.say_right(share, given[-1].json["code"])
            assert site.show(share)["state"] == "locked"
            assert site.relay.lines() == []

    @tap.test
    def a_killed_gateway_gives_no_attempt_back(self):
        with Guessed(self.build) as site:
            share = site.share_at_all_three()
            codes = guesses({plain(share["code"])}, GUESSES * 4)
            left = []
            while site.show(share)["state"] == "invited":
                for channel in site.plugins:
                    channel.say("%s %s" % (share["tag"], codes.pop()))
                site.wait(share, lambda found: len(left) == 0 or found["attempts_left"] < left[-1]
                          or found["state"] != "invited", "the next is compared", timeout=60)
                left.append(site.show(share)["attempts_left"])
                site.kill_gateway()
                site.start_gateway(wait_plugins=False)
                site.connect()
                site.wait_tenants()
            assert left == sorted(left, reverse=True), left
            assert events_of(site.wait_state(share, "locked")).count("wrong") <= 3


if __name__ == "__main__":
    arguments = options_of_test(__doc__)
    sys.exit(tap.run(tap.tests_of(Tests(arguments)), arguments.names))

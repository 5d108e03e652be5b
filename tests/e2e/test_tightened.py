"""Invariant 9: a policy that is tightened by a reload ends what is under way before anything leaves, at each of its
three checks; and one that is loosened loosens nothing. The channels are played by the test."""

import datetime
import os
import re
import sys
import threading
import zoneinfo

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))

from harness import frames, tap  # noqa: E402
from harness.vestibule import (  # noqa: E402
    Plugin, Site, events_of, options_of_test, plain, wait_until)

PATIENCE = 60
SECRET = re.compile(r"\b(?:\d{3}-\d{3}-\d{3}|[0-9A-Z]{4}-[0-9A-Z]{4})\b")
NUMBER = re.compile(r"\b(\d{3} \d{3}|\d{6})\b")
CHANNELS = ("sms", "email", "chat")
WRONG = "7KQ4-XMPF"

POLICIES = """\
policy code {
  class = hotel
  factors = { reply-code }
  code = X8
  attempts = 3
  attempts_total = 9
  channels = { sms, email, chat }
}
policy cross {
  class = access
  factors = { cross-code }
  channels = { sms, email, chat }
}
policy halves {
  class = car-unlock
  factors = { split }
  channels = { sms, email, chat }
  access_rights = RD
}
"""

# What is tightened: the policy, what is replaced in the configuration, and what by.
TIGHTENED = {
    "another factor": ("code", "{ reply-code }", "{ reply-code, approve }"),
    "fewer attempts": ("code", "attempts_total = 9", "attempts_total = 3"),
    "addresses that are worth more": ("code", "attempts_total = 9", "attempts_total = 9\n  authentic = strong"),
    "another class": ("code", "class = hotel\n  factors = { reply-code }",
                      "class = fleet\n  factors = { reply-code, split }\n  access_rights = RD"),
    "a channel that is gone": ("code", "channels = { sms, email, chat }\n}\npolicy cross",
                               "channels = { email, chat }\n}\npolicy cross"),
    "halves beside a code": ("cross", "{ cross-code }", "{ cross-code, split }"),
    "operators that become one": ("halves", "channel email {", "channel email {\n  operator_class = sms"),
}


class Carrier:
    """A channel's plugin that takes whatever it is given, and keeps it."""

    def __init__(self, site, name):
        self.plugin = Plugin(site.path(name), name, timeout=PATIENCE)
        self.sent = []
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()

    def run(self):
        try:
            while True:
                frame = self.plugin.read()
                if frame["type"] == "send":
                    self.sent.append(frame)
                    self.plugin.write({"type": "sent", "id": frame["id"]})
        except (OSError, frames.Closed):
            return

    def wait(self, address, kind, contains=""):
        def found():
            return [f for f in self.sent if f["to"] == address and f["kind"] == kind and contains in f["text"]]

        wait_until(found, PATIENCE, "%s to %s" % (kind, address))
        return found()[0]

    def close(self):
        self.plugin.connection.shutdown(2)
        self.thread.join(PATIENCE)
        self.plugin.close()


class Doors(Site):
    def __init__(self, build):
        super().__init__(build, channels=CHANNELS, sockets=CHANNELS, policies=POLICIES, wait=False)
        self.carriers = {}
        self.n_guests = 0

    def channel_section(self, name):
        scheme = "  scheme = xmpp\n" if name == "chat" else ""
        return 'channel %s {\n%s  socket = "%s"\n}\n' % (name, scheme, self.path(name))

    def start(self):
        super().start()
        for name in CHANNELS:
            self.connect(name)
        self.wait_plugins()
        return self

    def connect(self, name):
        self.carriers[name] = Carrier(self, name)

    def invite(self, policy):
        """A recipient of their own for each, so that none is in the way of another."""
        self.n_guests += 1
        addresses = ["sms:+49151123%05d" % self.n_guests, "mailto:bob%d@example.org" % self.n_guests]
        share = self.create(*addresses, policy=policy)
        share["policy"], share["sms"], share["mail"] = policy, *addresses
        share["thread"] = self.carriers["sms"].wait(share["sms"], "invitation")["thread"]
        self.wait_event(share, "invitation_accepted")
        return share

    def say(self, share, text):
        self.carriers["sms"].plugin.reply(
            share["sms"], "%s %s" % (share["tag"], text), authentic="weak", thread=share["thread"])

    def prepare(self, share):
        """Up to the last answer, which is returned."""
        if share["policy"] == "code":
            return share["code"]
        if share["policy"] == "halves":
            return "YES"
        self.say(share, "READY")
        return SECRET.search(self.carriers["email"].wait(share["mail"], "code")["text"])[0]

    def links(self, share):
        """Whatever has left of the link, in one piece or in two."""
        return [f for carrier in self.carriers.values() for f in carrier.sent
                if f["to"] in (share["sms"], share["mail"]) and f["kind"] in ("link", "key")]


class Tests:
    def __init__(self, options):
        self.build = options.build

    def each_tightening(self, site):
        """Each with a share of its own under the policies as they were."""
        loose = site.configuration()
        for name, (policy, before, after) in TIGHTENED.items():
            site.reload(loose)
            tight = loose.replace(before, after, 1)
            assert tight != loose, name
            share = site.invite(policy)
            yield name, share, site.prepare(share), tight

    def check_end(self, site, name, share):
        ended = site.wait_state(share, "failed", timeout=PATIENCE)
        assert ended["cause"] == "policy_tightened", (name, ended)
        assert ended["link_left"] is False and site.links(share) == [], (name, site.links(share))
        assert "link_accepted" not in events_of(ended), (name, ended)
        print("# %s: %s" % (name, " ".join(events_of(ended))))

    def mailboxes(self, site, kind):
        return {r["mailbox"] for r in site.relay.requests(kind)}

    @tap.test
    def what_is_tightened_before_the_last_answer_asks_the_relay_for_nothing(self):
        with Doors(self.build) as site:
            for name, share, answer, tight in self.each_tightening(site):
                site.reload(tight)
                site.say(share, answer)
                self.check_end(site, name, share)
            assert site.relay.requests("CreateMailbox") == []

    @tap.test
    def what_is_tightened_while_the_relay_is_asked_lets_no_link_out(self):
        with Doors(self.build) as site:
            for name, share, answer, tight in self.each_tightening(site):
                site.relay.kill()
                site.say(share, answer)
                site.wait_state(share, "releasing", timeout=PATIENCE)
                site.reload(tight)
                site.relay.start()
                self.check_end(site, name, share)
            assert len(self.mailboxes(site, "CreateMailbox")) == len(TIGHTENED)
            assert self.mailboxes(site, "CreateMailbox") == self.mailboxes(site, "DeleteMailbox")

    @tap.test
    def what_is_tightened_before_the_link_is_taken_up_keeps_it_here(self):
        with Doors(self.build) as site:
            for name, share, answer, tight in self.each_tightening(site):
                site.relay.kill()
                site.say(share, answer)
                site.wait_state(share, "releasing", timeout=PATIENCE)
                for channel in ("sms", "email"):
                    site.carriers[channel].close()
                    site.wait_channel(channel, up=False)
                site.relay.start()
                site.wait_state(share, "released", timeout=PATIENCE)
                site.reload(tight)
                for channel in ("sms", "email"):
                    site.connect(channel)
                self.check_end(site, name, share)
                site.reload(site.configuration())
            assert self.mailboxes(site, "CreateMailbox") == self.mailboxes(site, "DeleteMailbox")

    @tap.test
    def numbers_and_times_that_shrink_hold_for_shares_that_are_under_way(self):
        """They end no share: the next code, question or try has what is less."""
        with Doors(self.build) as site:
            lax = site.configuration()
            strict = lax.replace("attempts = 3\n", "attempts = 1\n  reissues = 1\n", 1).replace(
                "{ cross-code }\n", "{ cross-code }\n  code_lifetime = 2m\n", 1)
            assert "reissues" in strict and "code_lifetime" in strict
            locked, reissued, crossed = site.invite("code"), site.invite("code"), site.invite("cross")
            reissue = [lambda: site.tenant.post("/v1/shares/%s/reissue" % reissued["id"], {})] * 2
            assert reissue[0]().status == 200
            site.reload(strict)
            site.say(locked, WRONG if plain(locked["code"]) != plain(WRONG) else "0000-001J")
            site.wait_state(locked, "locked", timeout=PATIENCE)
            refused = reissue[1]()
            assert refused.status == 409 and "gives 1 codes" in refused.json["detail"], refused
            site.say(crossed, "READY")
            text = site.carriers["email"].wait(crossed["mail"], "code")["text"]
            hour, minute = map(int, re.search(r"(\d\d):(\d\d) CES?T", text).groups())
            now = datetime.datetime.now(zoneinfo.ZoneInfo("Europe/Berlin"))
            assert 0 <= (60 * (hour - now.hour) + minute - now.minute) % 1440 <= 3, (text, now)

    @tap.test
    def what_is_loosened_loosens_no_share_that_is_under_way(self):
        with Doors(self.build) as site:
            lax = site.configuration()
            strict = lax
            for policy, before, after in (
                    ("code", "{ reply-code }", "{ reply-code, approve }"), ("code", "attempts = 3", "attempts = 1"),
                    ("code", "attempts_total = 9", "attempts_total = 1"), ("cross", "{ cross-code }", "{ cross-code, split }"),
                    ("halves", "class = car-unlock\n  factors = { split }", "class = access\n  factors = { cross-code, split }")):
                assert before in strict, (policy, before)
                strict = strict.replace(before, after, 1)
            site.reload(strict)
            locked, approved, crossed, halves = (site.invite(p) for p in ("code", "code", "cross", "halves"))
            site.reload(lax)
            site.say(locked, WRONG if plain(locked["code"]) != plain(WRONG) else "0000-001J")
            site.wait_state(locked, "locked", timeout=PATIENCE)
            site.say(approved, approved["code"])
            site.wait_state(approved, "awaiting_approval", timeout=PATIENCE)
            number = NUMBER.search(site.carriers["sms"].wait(approved["sms"], "notice", "number")["text"])[0]
            site.say(halves, "YES")  # which would do now
            site.say(crossed, site.prepare(crossed))
            answer = site.tenant.post("/v1/shares/%s/approve" % approved["id"], {"number": number})
            assert answer.status == 200, answer
            for share in (approved, crossed):
                site.wait_event(share, "link_accepted", timeout=PATIENCE)
            site.carriers["email"].wait(crossed["mail"], "key")
            assert sorted(f["kind"] for f in site.links(crossed)) == ["key", "link"], site.links(crossed)
            assert site.show(halves)["state"] == "invited" and site.links(halves) == []
            halves["policy"] = "cross"
            site.say(halves, site.prepare(halves))
            site.wait_event(halves, "link_accepted", timeout=PATIENCE)


if __name__ == "__main__":
    options = options_of_test(__doc__)
    sys.exit(tap.run(tap.tests_of(Tests(options)), options.names))

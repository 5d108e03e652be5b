"""Every set of factors, told whole over real XMPP and the echo channel; and every attacker of the table in
policy/factor.c, who has exactly what the table says and must fail or succeed as it says."""

import base64
import hashlib
import os
import re
import sys
import unicodedata

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))

from harness import tap  # noqa: E402
from harness.prosody import Prosody  # noqa: E402
from harness.vestibule import (  # noqa: E402
    URL, Site, events_of, options_of_test, plain, urls_of, xmpp_answer)
from harness.xmpp_recipient import Recipient  # noqa: E402

# The name of each policy, its class, and what it asks for.
SETS = {
    "reply": ("hotel", ["reply-code"]),
    "cross": ("access", ["cross-code"]),
    "split": ("car-unlock", ["split"]),
    "reply-cross": ("access", ["reply-code", "cross-code"]),
    "reply-split": ("access", ["reply-code", "split"]),
    "cross-split": ("access", ["cross-code", "split"]),
    "reply-approve": ("hotel", ["reply-code", "approve"]),
    "split-approve": ("car", ["split", "approve"]),
    "fact-reply": ("hotel", ["fact", "reply-code"]),
    "all": ("access", ["fact", "reply-code", "cross-code", "split", "approve"]),
}
LEVELS = {"reply": 1, "reply-approve": 1, "fact-reply": 1}
FACT = "47-11 Müller"
SECRET = re.compile(r"\b(\d{3}-\d{3}-\d{3}|[0-9A-Z]{4}-[0-9A-Z]{4})\b")
NUMBER = re.compile(r"\b(\d{3} \d{3}|\d{6})\b")
KEY = re.compile(r"#\S{20,}")

POLICY = """\
policy %(name)s {
  class = %(class)s
  factors = { %(factors)s }
  channels = { xmpp, echo }
  access_rights = RD
  code_lifetime = 10m
%(more)s}
"""


def policy_text(name, **more):
    kind, factors = SETS[name]
    lines = "".join("  %s = %s\n" % item for item in more.items())
    return POLICY % {"name": name, "class": kind, "factors": ", ".join(factors), "more": lines}


def policies():
    return "".join(policy_text(name, **({"fact": "booking"} if "fact" in SETS[name][1] else {}))
                   for name in SETS)


def fact_member(fact):
    """As a tenant computes it, with other code than ours."""
    text = unicodedata.normalize("NFKD", fact).upper()
    text = "".join(c for c in text if c in "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789")
    key = os.urandom(32)
    verifier = hashlib.blake2b(b"vestibule fact v1" + text.encode(), key=key, digest_size=32).digest()
    return {"key": base64.b64encode(key).decode(), "verifier": base64.b64encode(verifier).decode()}


class Doors(Site):
    """A hotel, a guest with two addresses at two operators, and all policies."""

    def __init__(self, build):
        self.server = Prosody().__enter__()
        super().__init__(build, channels=("xmpp", "echo"), xmpp=self.server, policies=policies())

    def start(self):
        super().start()
        self.server.register("bob", "the guest's")
        self.bob = Recipient("bob@" + self.server.domain, "the guest's", "127.0.0.1", self.server.client_port,
                             self.server.certificate).start()
        self.phone = super().phone("echo:bob")
        self.addresses = ["xmpp:bob@" + self.server.domain, "echo:bob"]
        return self

    def close(self):
        try:
            if getattr(self, "bob", None):
                self.bob.close()
            super().close()
        finally:
            self.server.__exit__(None, None, None)

    def invite(self, name, **members):
        if "fact" in SETS[name][1]:
            members.setdefault("fact", fact_member(FACT))
        share = self.create(*self.addresses, policy=name, content={"token": name}, **members)
        share["set"] = name
        return share


class Guest:
    """Who answers on the first channel and reads the second: each step as the set asks for it."""

    def __init__(self, site, share):
        self.site, self.share, self.tag = site, share, share["tag"]
        self.invitation = self.chat()

    def chat(self, after=0, link=False, contains=""):
        """The next message about this share in the chat."""
        return self.site.bob.wait_message(after=after, matches=lambda m: m.body and self.tag in m.body and (
            contains in m.body) and bool(m.link) == link)

    def say(self, text):
        """Answers in the chat; returns how many messages had come before."""
        n = len(self.site.bob.messages)
        xmpp_answer(self.site.bob, self.invitation, text)
        return n

    def second(self, kind):
        return self.site.phone.wait_message(kind, contains=self.tag)

    def show(self, factor):
        """Shows one factor; returns the position of what is said to it."""
        if factor == "fact":
            return self.say(" 4711 muller")
        if factor == "reply-code":
            return self.say(self.share["code"])
        if factor == "cross-code":
            after = self.say("Ready!")
            self.chat(after=after)
            code = self.second("code")
            assert not URL.search(code["text"]) and "link" not in code, code
            return self.say(SECRET.search(code["text"])[1])
        assert factor == "split", factor
        return self.say("Yes")

    def approve(self, after):
        number = NUMBER.search(self.chat(after=after, contains="number").body)[1]
        waiting = self.site.wait_state(self.share, "awaiting_approval")
        assert self.site.relay.requests("CreateMailbox") == self.before, waiting
        return self.site.tenant.post("/v1/shares/%s/approve" % self.share["id"], {"number": number})

    def run(self):
        factors = SETS[self.share["set"]][1]
        self.before = self.site.relay.requests("CreateMailbox")
        after = 0
        asked = [f for f in factors if f not in ("approve", "split")] or ["split"]
        for factor in asked:
            after = self.show(factor)
        if "approve" in factors:
            answer = self.approve(after)
            assert answer.status == 200 and answer.json["state"] in ("releasing", "released"), answer
        return self.link()

    def link(self):
        found = self.chat(link=True).link
        if "split" in SETS[self.share["set"]][1]:
            assert "#" not in found, found
            key = self.second("key")
            assert not URL.search(key["text"]), key
            found += KEY.search(key["text"])[0]
        return found


class Tests:
    def __init__(self, options):
        self.build = options.build

    def stories(self, names):
        with Doors(self.build) as site:
            for name in names:
                share = site.invite(name)
                assert ("code" in share) == ("reply-code" in SETS[name][1]), share
                assert share["assurance"] == "RAL-0", share
                link = Guest(site, share).run()
                received = site.receive(link)
                assert received.returncode == 0, (name, received)
                assert name in received.stdout, (name, received)
                ended = site.wait_state(share, "completed")
                assert ended["assurance"] == "RAL-%d" % LEVELS.get(name, 2), (name, ended)
                print("# %s: %s" % (name, " ".join(events_of(ended))))

    @tap.test
    def each_factor_alone(self):
        self.stories(["reply", "cross", "split"])

    @tap.test
    def factors_together(self):
        self.stories([name for name in SETS if name not in ("reply", "cross", "split")])


if __name__ == "__main__":
    options = options_of_test(__doc__)
    sys.exit(tap.run(tap.tests_of(Tests(options)), options.names))

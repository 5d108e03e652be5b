"""Every set of factors, told whole over real XMPP and the echo channel; and every attacker of the table in
policy/factor.c, who has exactly what the table says and must fail or succeed as it says."""

import base64
import hashlib
import os
import re
import ssl
import subprocess
import sys
import unicodedata
import urllib.request

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))

from harness import tap  # noqa: E402
from harness.prosody import Prosody  # noqa: E402
from harness.vestibule import (  # noqa: E402
    URL, Site, events_of, options_of_test, plain, wrong_code, xmpp_answer)
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
WRONG_X8 = "7KQ4-XMPF"
KEY = re.compile(r"#\S{20,}")

POLICY = """\
policy %(name)s {
  class = %(class)s
  factors = { %(factors)s }
  channels = { xmpp, echo }
  access_rights = RD
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
        # Whose share was locked gets no other of that tenant for a while: so there is a tenant for each set.
        super().__init__(build, channels=("xmpp", "echo"), xmpp=self.server, policies=policies(),
                         tenants=("adler", *SETS))

    def start(self):
        super().start()
        self.server.register("bob", "the guest's")
        self.bob = Recipient("bob@" + self.server.domain, "the guest's", "127.0.0.1", self.server.client_port,
                             self.server.certificate).start()
        self.server.register("eve", "somebody's")
        self.eve = Recipient("eve@" + self.server.domain, "somebody's", "127.0.0.1", self.server.client_port,
                             self.server.certificate).start()
        self.phone = super().phone("echo:bob")
        self.addresses = ["xmpp:bob@" + self.server.domain, "echo:bob"]
        return self

    def close(self):
        try:
            for recipient in ("bob", "eve"):
                if getattr(self, recipient, None):
                    getattr(self, recipient).close()
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
        wanted = {"cross-code": ["READY"], "split": ["YES"]}.get(asked[0], [])
        assert [value for value, _ in self.invitation.buttons] == wanted + ["NO", "NOT ME"], self.invitation.buttons
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


class Attacks:
    """A set of factors, told five times: once for all who only look or guess, once each for those who take part.
    What each attacker has is what its line in policy/factor.h says, and no more."""

    def __init__(self, site, name):
        self.site, self.name = site, name
        self.factors = SETS[name][1]
        printed = subprocess.run([site.program("tests", "policy", "print-factors"), *self.factors], check=True,
                                 stdout=subprocess.PIPE, text=True).stdout
        self.table = {attacker: verdict == "stopped" for verdict, attacker in map(str.split, printed.splitlines())}
        self.seen = {}

    def opens(self, *links):
        """Whether one of these links is a key to the content."""
        return any(self.name in self.site.receive(link).stdout for link in links)

    def chat_links(self, tag):
        return [m.link for m in self.site.bob.messages if m.link and m.body and tag in m.body]

    def second_texts(self, tag):
        return [m["text"] for m in self.site.phone.messages if tag in m["text"]]

    def stops(self, attacker, stopped):
        assert attacker not in self.seen, attacker
        self.seen[attacker] = stopped
        assert stopped == self.table[attacker], "%s, %s: the table says %s" % (
            self.name, attacker, "stopped" if self.table[attacker] else "succeeds")

    # Those who only look, or write from elsewhere, while the recipient goes through it all.

    def unchanged(self, share, act):
        before = self.site.show(share)
        act()
        after = self.site.show(share)
        return [before[k] for k in ("state", "attempts_left", "version")] == [
            after[k] for k in ("state", "attempts_left", "version")]

    def spoof(self, share):
        """In the recipient's name, and from an account of one's own, with everything but the reference."""
        for text in ("YES", "READY", "NO", "NOT ME", wrong_of(share), "DONE"):
            self.site.phone.say(text, authentic="weak")
            self.site.eve.say(self.site.server.component, text)

    def listen(self, share):
        number = self.site.eve.say("keys@" + self.site.server.component, "%s %s" % (
            share["tag"], share.get("code", "YES")))
        self.site.eve.wait_receipt(number, timeout=60)

    def scan(self, share):
        """Opens whatever looks like a link, as mail scanners and previews do."""
        context = ssl.create_default_context(cafile=self.site.relay.certificate)
        for link in self.chat_links(share["tag"]):
            with urllib.request.urlopen(link, context=context, timeout=20) as answer:
                answer.read()

    def stolen(self, folder, *needles):
        """Which of these stand in the files of a folder, in any of the usual spellings."""
        found = []
        for path, _, names in os.walk(folder):
            for name in names:
                with open(os.path.join(path, name), "rb") as file:
                    content = file.read()
                found += [needle for needle in needles if needle.encode() in content]
        return found

    def bystanders(self):
        site = self.site
        share = site.invite(self.name)
        guest = Guest(site, share)
        site.wait_event(share, "delivered")
        self.stops("spoofer", self.unchanged(share, lambda: self.spoof(share)))
        self.stops("code-listener", self.unchanged(share, lambda: self.listen(share)))
        secrets = [plain(share["code"]), share["code"]] if "code" in share else []
        secrets += [FACT, "4711MULLER", "bob@", "booking-4711", "echo:bob", self.name + '"}']
        early = self.stolen(site.store_copy(), *secrets)
        link = guest.run()
        fragment = link[link.index("#") + 1:]
        late = self.stolen(site.store_copy(), *secrets, fragment, link)
        self.stops("store", not early and not late)
        self.scan(share)
        # The relay's: all that it keeps, and its log of all that it was asked.
        with open(site.path("relay.log")) as log:
            self.stops("relay", fragment not in log.read() and not self.stolen(
                site.path("relay-state"), fragment, '{"token": "%s"' % self.name, '{"token":"%s"' % self.name))
        halves = [KEY.search(text)[0] for text in self.second_texts(share["tag"]) if KEY.search(text)]
        address = site.relay.url + "/v1/m/" + "0" * 36
        self.stops("second-channel", not self.opens(*[address + half for half in halves])
                   and not any(URL.search(text) for text in self.second_texts(share["tag"])))
        self.stops("scanner", self.opens(link))
        site.wait_state(share, "completed")
        self.stops("later-reader", not self.opens(link, *self.chat_links(share["tag"])))

    # Those who are faster than the recipient.

    def racer(self, *attackers, both):
        share = self.site.invite(self.name)
        link = Guest(self.site, share).run()
        links = [link] if both else self.chat_links(share["tag"])
        stopped = not self.opens(*links)
        for attacker in attackers:
            self.stops(attacker, stopped)
        assert self.opens(link) == stopped  # and else the recipient has it

    # Those who answer in the recipient's place.

    def wrong_person(self):
        tenant = self.site.tenants[self.name]
        share = self.site.invite(self.name, tenant=tenant)
        guest = Guest(self.site, share)
        for text in ("YES", "READY", wrong_of(share), "4711 bob", "DONE"):
            guest.say(text)
        tenant.post("/v1/shares/%s/approve" % share["id"], {"number": "123 456"})
        self.stops("wrong-person", not self.opens(*self.chat_links(share["tag"])))

    def thief(self):
        """Has the phone with all that comes to it, and did not hear what the sender said."""
        share = self.site.invite(self.name)
        code = share.pop("code", None)
        if code:
            share["code"] = wrong_of({"code": code})
        guest = Guest(self.site, share)
        if code:
            for factor in [f for f in self.factors if f in ("fact", "reply-code")]:
                guest.show(factor)
            found = self.site.show(share)
            self.stops("phone", found["state"] == "invited" and not self.chat_links(share["tag"]))
            self.site.cancel(share)
        else:
            self.stops("phone", not self.opens(guest.run()))

    def run(self):
        self.bystanders()
        self.racer("first-channel", "first-channel-and-relay", both=False)
        self.racer("both-channels", both=True)
        self.wrong_person()
        self.thief()
        assert set(self.seen) == set(self.table), set(self.seen) ^ set(self.table)
        print("# %s: stops all but %s" % (self.name, ", ".join(a for a, s in self.seen.items() if not s)))


def wrong_of(share):
    """A code that is well-formed and wrong."""
    if "code" in share and len(plain(share["code"])) == 9:
        return wrong_code(share["code"])
    return WRONG_X8 if plain(share.get("code", "")) != plain(WRONG_X8) else "0000-001J"


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

    def attacked(self, names):
        with Doors(self.build) as site:
            for name in names:
                Attacks(site, name).run()

    @tap.test
    def each_factor_alone(self):
        self.stories(["reply", "cross", "split"])

    @tap.test
    def factors_together(self):
        self.stories([name for name in SETS if name not in ("reply", "cross", "split")])

    @tap.test
    def where_only_our_code_went_nothing_is_proven_and_the_share_can_be_ended(self):
        """A right code comes back from where it was sent, by mistake, and is not even compared; then somebody
        says there that it is not for them."""
        with Doors(self.build) as site:
            for tenant, word, state in ("reply", "NO", "declined"), ("cross", "NOT ME", "disowned"), (
                    "split", "STOP", "declined"):
                share = site.create(*site.addresses, policy="cross", tenant=site.tenants[tenant])
                guest = Guest(site, share)
                guest.chat(after=guest.say("READY"))
                code = SECRET.search(guest.second("code")["text"])[1]
                before = site.show(share, tenant=site.tenants[tenant])
                n = len(site.phone.messages)
                site.phone.say("%s %s" % (share["tag"], code))
                hint = site.phone.wait_message(after=n, contains=share["tag"])
                assert "READY" in hint["text"] and code not in hint["text"], hint
                site.phone.say("%s YES" % share["tag"])
                site.phone.say(word)  # without the reference nobody knows what it is about
                after = site.show(share, tenant=site.tenants[tenant])
                assert {k: after[k] for k in ("state", "attempts_left")} == {
                    k: before[k] for k in ("state", "attempts_left")}, after
                site.phone.say("%s %s" % (share["tag"], word))
                site.wait_state(share, state, tenant=site.tenants[tenant])

    @tap.test
    def a_second_address_that_wants_nothing_looks_like_one_where_nobody_answers(self):
        with Doors(self.build) as site:
            tenant, other = site.tenants["reply"], site.tenants["cross"]
            silent = Site.phone(site, "echo:nobody", take=False)
            share = site.create(*site.addresses, policy="cross", tenant=tenant)
            guest = Guest(site, share)
            guest.say("READY")
            guest.second("code")
            site.phone.say("%s STOP" % share["tag"])  # who has echo:bob wants nothing of this tenant
            site.wait_state(share, "declined", tenant=tenant)
            for policy, word, shown in ("cross", "READY", "code_sent"), ("split", "YES", "link_accepted"):
                seen = []
                for second in "echo:nobody", "echo:bob":
                    share = site.create(site.addresses[0], second, policy=policy, tenant=tenant)
                    Guest(site, share).say(word)
                    if not seen:
                        silent.wait_message({"cross": "code", "split": "key"}[policy], contains=share["tag"])
                    found = site.wait_event(share, shown, tenant=tenant)
                    if policy == "split":  # the receipt for the other half
                        found = site.wait(share, lambda s: events_of(s)[-1] == "delivered", "delivered", tenant=tenant)
                    seen.append({"events": events_of(found), "state": found["state"], "tag": share["tag"],
                                 "version": found["version"], "attempts_left": found["attempts_left"]})
                assert {**seen[0], "tag": 0} == {**seen[1], "tag": 0}, seen
                print("# %s: %s" % (policy, " ".join(seen[1]["events"])))
                share = site.create(*site.addresses, policy="cross", tenant=other)
                Guest(site, share).say("READY")
                site.phone.wait_message("code", contains=share["tag"])  # all before it would be here by now
                assert not [m for m in site.phone.messages if seen[1]["tag"] in m["text"]], site.phone.messages

    @tap.test
    def each_factor_alone_with_its_attackers(self):
        self.attacked(["reply", "cross", "split"])

    @tap.test
    def pairs_of_factors_with_their_attackers(self):
        self.attacked(["reply-cross", "reply-split", "cross-split", "fact-reply"])

    @tap.test
    def what_the_sender_approves_with_its_attackers(self):
        self.attacked(["reply-approve", "split-approve", "all"])


if __name__ == "__main__":
    options = options_of_test(__doc__)
    sys.exit(tap.run(tap.tests_of(Tests(options)), options.names))

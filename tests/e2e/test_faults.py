"""Every way in which a relay, or the path to it, can fail, at every operation of either party: each
transfer completes with identical bytes, or ends in the state that its row names. At most one link leaves,
and what the relay stores, logs or is sent shows the Secret in no form.

The rows of a table run side by side on one site. Most relays are the test's own proxy before the real
one, which knows who asks and what (harness/faulty_relay.py); others are vestibule-relay-faults alone."""

import base64
import binascii
import concurrent.futures
import http.client
import json
import os
import re
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import urllib.parse

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))

from harness import tap  # noqa: E402
from harness.faulty_relay import FOLLOWED, Fault, FaultyRelay, Traffic  # noqa: E402
from harness.vestibule import (  # noqa: E402
    TERMINAL, Relay, Site, events_of, hotel_policy, is_sanitized, make_certificate, options_of_test,
    read_text, urls_of, wait_until)

PATIENCE = 90
AT_ONCE = 40
BEGINNING = 12  # octets
CAR = "digitalwallet.carkey.ccc"
INITIATOR, RECIPIENT = "initiator", "recipient"
COLLECTED = "completed", "mailbox_gone"
HEARD = "completed", "acknowledged"
REFUSED = "failed", "relay_refused"
BROKEN = "failed", "transfer_broken"
CANCELLED = "cancelled", None

# The wallet's side of a car key: it keeps what came, and answers each message but the last.
HANDLER = 'cat >"$0/got-$VESTIBULE_MESSAGE"; if [ "$VESTIBULE_MESSAGE" = 0 ]; then cat "$0/answer"; fi'


# --- the table --------------------------------------------------------------------------------------


def name_of(fault):
    """What the journal says of it, or None: it tells nothing to us, or the body does not matter."""
    if not isinstance(fault.where, tuple):
        ours = fault.where in ("put0", "put2", "delete1")  # and by nobody else before us
        return NAMES_OF_DRAFT_R.get((fault.kind, fault.where)) or (NAMES.get(fault.kind) if ours else None)
    who, operation = fault.where
    if who != INITIATOR:
        return None
    return NAMES.get(fault.kind) or (NAMES_OF_BODIES.get(fault.kind) if operation in ("create", "read") else None)


def written(provisioning):
    """Provisioning information in our own words, around the content as the tenant wrote it."""
    return '{"format":"%s","content":%s}' % (provisioning["format"], json.dumps(provisioning["content"]))


class Row:
    """One share. `end` is its state and cause. `made`: mailboxes that the relay made for it. `wallet`: exit
    status of the first run of vestibule-receive; one that is not 0 is run again if `again`. `plan`: what is
    done; see Rows and Lasting. `noted`: an event of the timeline that tells the tenant. `refused`: our first answer is
    not taken, and is sent again."""

    def __init__(self, name, *faults, end=COLLECTED, made=1, wallet=0, again=False, plan="carry", noted=None,
                 refused=False, lane="main", links=1):
        self.name, self.faults, self.end, self.made = name, faults, end, made
        self.wallet, self.again, self.plan, self.noted = wallet, again, plan, noted
        self.refused, self.lane, self.links = refused, lane, links
        self.address = "echo:" + re.sub("[^a-z0-9]", "-", name)
        self.traffic = Traffic(name, faults)
        self.markers = [os.urandom(12).hex() for _ in range(3)]
        self.link = self.share = None

    def message(self, number):
        """The bytes of a message, as they are to arrive."""
        return written({"format": CAR, "content": {
            "n": number, "opaque": self.markers[number], "fill": "\u00fc/" * 200,
            "deep": [{"x": [1, 2.50, None, True]}]}})


# What does not hinder a transfer, wherever it happens: the same request again, or a duplicate of it.
PASSING = ("lost-request", "lost-response", "duplicate", "wrong-echo", "503", "429", "truncated", "oversize", "huge",
           "not-json")
ODD_JSON = "deep", "deep-inside", "repeated-member", "invalid-utf8"
# What the relay has executed, and whose answer cannot be used: the mailbox's link is lost for ever.
LINK_IS_LOST = ("lost-response", "duplicate", "wrong-echo", "truncated", "oversize", "huge", "not-json", "empty-201",
                *ODD_JSON)
FOREIGN_LINK = "other-host", "other-port", "other-scheme", "other-user", "other-text"
# What the journal calls an answer to the initiator that cannot be used, beside the share's id: whatever was
# asked, where the body matters, or of Draft R.
CANNOT_BE_USED = "what the relay answered cannot be used: "
ENDS_A_SHARE = "what the relay answered ends a share: "
NAMES = {
    "oversize": CANNOT_BE_USED + "answer-too-large", "huge": CANNOT_BE_USED + "answer-too-large",
    "wrong-echo": CANNOT_BE_USED + "wrong-echo"}
NAMES_OF_BODIES = {
    "not-json": CANNOT_BE_USED + "answer-not-json", "deep": CANNOT_BE_USED + "answer-too-deep",
    "deep-inside": CANNOT_BE_USED + "answer-too-deep", "invalid-utf8": CANNOT_BE_USED + "answer-not-utf8",
    "repeated-member": CANNOT_BE_USED + "answer-repeated-member",
    "other-host": ENDS_A_SHARE + "link-other-host", "other-port": ENDS_A_SHARE + "link-other-host",
    "other-scheme": ENDS_A_SHARE + "link-not-https", "other-text": ENDS_A_SHARE + "link-not-https",
    "other-user": ENDS_A_SHARE + "link-form"}
NAMES_OF_DRAFT_R = {
    ("not-json", "get1"): ENDS_A_SHARE + "abort-auth", ("stale", "get1"): ENDS_A_SHARE + "abort-auth",
    ("planted", "put2"): ENDS_A_SHARE + "abort-race-lost"}


def create_rows():
    where = INITIATOR, "create"
    for kind in ("lost-request", "503", "429"):
        yield Row("create %s" % kind, Fault(kind, where, 2))
    for kind in LINK_IS_LOST:
        yield Row("create %s" % kind, Fault(kind, where), made=2)
    for kind in ("empty-201", *ODD_JSON):  # a third link is not lost: three is all that a share may cost
        yield Row("create %s always" % kind, Fault(kind, where, 9), made=3, end=REFUSED, links=0)
    yield Row("create early-expiry", Fault("early-expiry", (RECIPIENT, "read")), wallet=4)
    for kind in ("redirect", "400", "401"):
        yield Row("create %s" % kind, Fault(kind, where), made=0, end=REFUSED, links=0)
    for kind in FOREIGN_LINK:
        yield Row("create %s" % kind, Fault(kind, where), end=REFUSED, links=0)


def read_rows():
    for who, other in ((INITIATOR, RECIPIENT), (RECIPIENT, INITIATOR)):
        where, after = (who, "read"), ((other, "update") if who == INITIATOR else None)
        for kind in (*PASSING, "empty-201", *ODD_JSON):
            if kind != "duplicate":  # a read has no second effect
                yield Row("%s read %s" % (who, kind), Fault(kind, where, 2, after))
    ours = INITIATOR, "update"
    yield Row("initiator read stale", Fault("stale", (INITIATOR, "read"), 2, ours), noted="message_repeated",
              plan="wait noted")
    yield Row("initiator read reflected", Fault("reflected", (INITIATOR, "read"), 2, ours),
              noted="message_repeated", plan="wait noted")
    yield Row("initiator read early-expiry", Fault("early-expiry", (INITIATOR, "read"), 1, (RECIPIENT, "read")),
              wallet=4)
    for kind in ("redirect", "400", "401"):  # the relay denies us what is ours: the recipient's word ends it
        yield Row("initiator read %s" % kind, Fault(kind, (INITIATOR, "read"), 99), plan="deny", end=HEARD)
    # Between our looks and our writing: what is unread is never written over, and what was known comes back.
    for skip in (1, 2):
        yield Row("initiator read reflected late %d" % skip, Fault(
            "reflected", (INITIATOR, "read"), 1, (RECIPIENT, "update"), skip))
    theirs = RECIPIENT, "update"
    yield Row("recipient read stale", Fault("stale", (RECIPIENT, "read"), 1, theirs))
    yield Row("recipient read reflected", Fault("reflected", (RECIPIENT, "read"), 1, ours))
    yield Row("recipient read early-expiry", Fault("early-expiry", (RECIPIENT, "read")), wallet=4)
    yield Row("recipient read redirect", Fault("redirect", (RECIPIENT, "read")), wallet=8, again=True)
    yield Row("recipient read 400", Fault("400", (RECIPIENT, "read")), wallet=8, again=True)
    yield Row("recipient read 401", Fault("401", (RECIPIENT, "read")), wallet=3, again=True)


def update_rows():
    for who in (INITIATOR, RECIPIENT):
        where = who, "update"
        for kind in (*PASSING, "empty-201", *ODD_JSON):
            yield Row("%s update %s" % (who, kind), Fault(kind, where, 2 if kind in ("503", "429") else 1))
        yield Row("%s update early-expiry" % who, Fault("early-expiry", where), wallet=4)
    for kind in ("redirect", "400", "401"):
        yield Row("initiator update %s" % kind, Fault(kind, (INITIATOR, "update")), refused=True,
                  noted="message_refused")
    for kind in ("redirect", "400"):
        yield Row("recipient update %s" % kind, Fault(kind, (RECIPIENT, "update")), wallet=8, again=True)


def delete_rows():
    for kind in (*PASSING, "empty-201", "early-expiry"):
        yield Row("initiator delete %s" % kind, Fault(kind, (INITIATOR, "delete"), 2), plan="cancel", end=CANCELLED)
        yield Row("recipient delete %s" % kind, Fault(kind, (RECIPIENT, "delete"), 1))
    for kind in ("redirect", "400", "401"):
        yield Row("initiator delete %s" % kind, Fault(kind, (INITIATOR, "delete"), 1), plan="cancel", end=CANCELLED)
        yield Row("recipient delete %s" % kind, Fault(kind, (RECIPIENT, "delete"), 1), wallet=9, again=True)


# Draft R: the locations 0 and 2 are ours, 1 is the recipient's. Each row has a relay of its own.
def draft_r_rows():
    places = [method + number for number in "012" for method in ("put", "get", "delete")]

    for kind in ("lost-request", "lost-response", "duplicate", "503", "429", "truncated", "oversize", "huge"):
        yield Row("r everywhere %s" % kind, *[Fault(kind, place) for place in places], end=HEARD, plan="hear",
                  lane="r-" + kind)
    # Who garbles a message ends the run, for good: there is no second try with the same secret.
    for kind, after in (("not-json", "put1"), ("stale", "put1")):
        yield Row("r get 1 %s" % kind, Fault(kind, "get1", 9, after), end=BROKEN, plan="stop", lane="r-i-" + kind)
    for kind, place, after in (("not-json", "get0", None), ("stale", "get2", "put2")):
        yield Row("r %s %s" % (place, kind), Fault(kind, place, 9, after), wallet=5, end=CANCELLED, plan="give up",
                  lane="r-r-" + kind)
    yield Row("r put 2 planted", Fault("planted", "put2"), end=BROKEN, plan="stop", lane="r-planted")
    for kind in ("redirect", "400", "401"):
        yield Row("r put 0 %s" % kind, Fault(kind, "put0"), made=0, end=REFUSED, links=0, lane="r-put-" + kind)
    yield Row("r delete 0", *[Fault(kind, "delete0") for kind in ("lost-response", "truncated", "redirect")],
              plan="cancel", end=CANCELLED, lane="r-delete")


# Connections that end before a request can be made.
def handshake_rows():
    for kind in ("close", "garbage"):
        yield Row("tls %s" % kind, end=COLLECTED, lane="tls-" + kind)


# vestibule-relay-faults alone, with two or three shares each, since its faults come with every so manieth
# request. Every third creation: a link that is lost for the third time ends a share.
SISTER = ("drop-response-after", "close-before-answer-every", "503-every", "429-every", "duplicate-every",
          "wrong-echo-every", "missing-echo-every", "truncate-every", "oversize-every", "not-json-every",
          "payload-string-every", "empty-201-every", "stale-every", "reflect-every", "tls-failure-every")
SISTER_READS = "payload-string-every", "stale-every", "reflect-every"


def sister_faults(kind):
    if kind == "tls-failure-every":
        return [kind + "=2"]
    operations = {"ReadSecureContentFromMailbox": 5}
    if kind not in SISTER_READS:
        operations.update(CreateMailbox=3, UpdateMailbox=3, DeleteMailbox=3)
    return [text for operation, n in operations.items()
            for text in ("operation=" + operation, "%s=%d" % (kind, n))]


def sister_rows():
    for kind in SISTER:
        for name in "abc":
            yield Row("sister %s %s" % (kind, name), lane="sister-" + kind)


# What lasts ends with the share's patience or its mailbox: the clock is moved while the gateway is down.
def lasting_rows():
    create = INITIATOR, "create"
    for kind in ("lost-request", "503", "huge", "oversize", "wrong-echo", "not-json"):
        yield Row("lasting create %s" % kind, Fault(kind, create, 10000), plan="patience", links=0,
                  end=("failed", "relay_unreachable"))
    for kind in ("certificate", "name", "garbage", "close"):
        yield Row("lasting tls %s" % kind, plan="patience", links=0, lane="bad-" + kind,
                  end=("failed", "relay_unreachable"))
    yield Row("lasting read redirect", Fault("redirect", (INITIATOR, "read"), 10000), plan="mailbox end",
              end=("expired", "outcome_unknown"))
    yield Row("lasting delete redirect", Fault("redirect", (INITIATOR, "delete"), 10000), plan="withdraw",
              end=CANCELLED)
    yield Row("r lasting early-expiry", Fault("early-expiry", "get1"), plan="mailbox end", lane="r-gone",
              end=("expired", "not_collected"))


# --- the site ---------------------------------------------------------------------------------------


class FaultSite(Site):
    """A gateway with a relay section, and a tenant, for each lane of its rows."""

    def __init__(self, build, rows):
        self.rows_of_lane = {}
        for row in rows:
            self.rows_of_lane.setdefault(row.lane, []).append(row)
        self.rows_of_lane.setdefault("main", [])
        self.folder = tempfile.mkdtemp(prefix="vestibule-e2e-")
        self.record = os.path.join(self.folder, "record")
        super().__init__(
            build, folder=self.folder, tenants=tuple(self.rows_of_lane), timeout=60, faults=["record=" + self.record],
            relay_options=["--empty-created"],  # so that a lost link stays lost
            policies=hotel_policy("echo", name="several").replace("code = D9", "code = D9\n  access_rights = RWD"))
        self.phone_of = {}

    def make_lane(self, name, rows):
        relay, traffics = self.relay, [row.traffic for row in rows]
        if name.startswith("sister-"):
            folder = self.path(name)
            os.mkdir(folder)
            faults = sister_faults(name.partition("-")[2])
            return Relay(self.build, folder, ["record=" + os.path.join(folder, "record"), *faults],
                         options=["--empty-created"])  # so that a lost link stays lost
        certificate, key, handshakes, always = relay.certificate, relay.key, [], False
        if name.startswith("tls-"):
            handshakes = [name.partition("-")[2]] * 3
        elif name in ("bad-garbage", "bad-close"):
            handshakes, always = [name.partition("-")[2]], True
        elif name.startswith("bad-"):
            certificate, key = self.path(name + ".pem"), self.path(name + ".key")
            make_certificate(certificate, key, "localhost" if name == "bad-certificate" else "relay.example")
        return FaultyRelay(relay, certificate, key, traffics, handshakes, always)

    def make_credentials(self):
        super().make_credentials()
        self.lanes = {name: self.make_lane(name, rows) for name, rows in self.rows_of_lane.items()}
        for name in self.lanes:
            if name != "main":
                shutil.copytree(os.path.join(self.credentials, "relay-main"),
                                os.path.join(self.credentials, "relay-" + name))

    def trusted(self, lane):
        """What the clients of a lane trust: not what "bad-certificate" shows."""
        if lane in ("bad-certificate", "main") or not lane.startswith(("sister-", "bad-name")):
            return self.relay.certificate
        return self.lanes[lane].certificate

    def configuration(self):
        text = super().configuration().replace(self.relay.url, self.lanes["main"].url, 1)
        program = self.exec_line(self.program("relay-client", "vestibule-relay-client"))
        for name, lane in self.lanes.items():
            if name == "main":
                continue
            where = 'url = "%s"' % lane.url
            if name.startswith("r-"):
                where = 'protocol = draft-r\n  template = "%s/t/{tigress_location}"' % lane.url
            text += 'relay %s {\n  %s\n  ca_file = "%s"\n  %s\n}\n' % (name, where, self.trusted(name), program)
            text = re.sub(r"(\ntenant %s \{.*?relay = )main" % name, r"\g<1>" + name, text, 1, re.DOTALL)
        return text

    def start(self):
        try:
            for lane in self.lanes.values():
                if isinstance(lane, Relay):
                    lane.start()
            self.relay.start()
            for lane in self.lanes.values():
                if isinstance(lane, FaultyRelay):
                    lane.start()
            self.start_gateway(wait_plugins=False)
            self.wait_health(lambda health: all(
                part["up"] for part in health["parts"] if not part["name"].startswith("bad-")), 60)
            rows = [row for rows in self.rows_of_lane.values() for row in rows]
            for first in range(0, len(rows), 8):
                phone = self.phone(*[row.address for row in rows[first:first + 8]])
                self.phone_of.update((row.address, phone) for row in rows[first:first + 8])
        except BaseException:
            self.__exit__(*sys.exc_info())
            raise
        return self

    def close(self):
        super().close()
        for lane in self.lanes.values():
            lane.stop() if isinstance(lane, Relay) else lane.close()

    # One row.

    def begin(self, row):
        """Until the link came, or the share ended without one."""
        phone, tenant = self.phone_of[row.address], self.tenants[row.lane]
        row.share = self.create(
            row.address, tenant=tenant, policy="several", provisioning=json.loads(row.message(0)),
            credential={"title": row.name, "description": "May be seen."})
        phone.say(row.share["tag"] + " " + row.share["code"], sender=row.address, wait=PATIENCE)
        if row.links:
            row.link = phone.wait_message("link", to=row.address, timeout=PATIENCE)["link"]

    def wait_row(self, row, condition, what):
        return self.wait(row.share, lambda found: condition(found) or found["state"] in TERMINAL, what,
                         timeout=PATIENCE, tenant=self.tenants[row.lane])

    def wallet(self, row):
        folder = self.path("wallet", row.address.partition(":")[2])
        os.makedirs(folder, exist_ok=True)
        with open(os.path.join(folder, "answer"), "w") as file:
            file.write(row.message(1))
        with open(os.path.join(folder, "said"), "ab") as said:
            process = subprocess.Popen(
                [self.program("relay-client", "vestibule-receive"), "accept", "--allow", self.lanes[row.lane].host,
                 "--ca-file", self.trusted(row.lane), "--state", os.path.join(folder, "state"), "--handler",
                 "sh -c '%s' %s" % (HANDLER.replace("'", "'\\''"), folder), "-"],
                stdin=subprocess.PIPE, stdout=said, stderr=said, text=True)
            process.stdin.write(row.link + "\n")
            process.stdin.close()
        return process

    def received(self, row, number):
        path = self.path("wallet", row.address.partition(":")[2], "got-%d" % number)
        return read_text(path)

    def send(self, row):
        return self.tenants[row.lane].post(
            "/v1/shares/%s/messages" % row.share["id"], {"provisioning": json.loads(row.message(2))})

    def listed(self, row):
        return self.tenants[row.lane].get("/v1/shares/%s/messages" % row.share["id"]).json["messages"]

    def cancel_row(self, row):
        answer = self.tenants[row.lane].post("/v1/shares/%s/cancel" % row.share["id"])
        assert answer.status == 202, answer

    def say_done(self, row):
        self.phone_of[row.address].say(row.share["tag"] + " done", sender=row.address, wait=PATIENCE)

    def ended(self, row):
        """Its end, and that it is the right one."""
        found = self.wait_row(row, lambda found: False, "an end")
        state, cause = row.end
        assert found["state"] == state and cause in (None, found.get("cause")), (
            found["state"], found.get("cause"), events_of(found))
        return found


# --- what is done -----------------------------------------------------------------------------------


class Rows:
    """Runs rows on a site, each in a thread. Plans: "carry" three messages; "wait noted", with the wallet held
    until the tenant was told; "hear", ended by the recipient's word, as Draft R needs; "deny", where the
    initiator never reads what was written; "stop", where the share ends and the wallet waits in vain; "give
    up", where the wallet ends and the sender cancels; "cancel" at once."""

    def __init__(self, site):
        self.site = site

    def run(self, row):
        self.site.begin(row)
        if not row.links:
            pass
        elif row.plan == "cancel":
            self.site.cancel_row(row)
        else:
            self.transfer(row)
        return self.check(row, self.site.ended(row))

    def transfer(self, row):
        wallet = self.site.wallet(row)
        try:
            {"deny": self.denied, "give up": self.given_up}.get(row.plan, self.carried)(row, wallet)
        finally:
            wallet.kill()
            wallet.wait()

    def carried(self, row, wallet):
        codes = []
        again = concurrent.futures.ThreadPoolExecutor(1)
        try:
            wallets = again.submit(self.wallets, row, wallet, codes)
            self.owner(row, wallet)
            if row.plan != "stop":
                wallets.result(PATIENCE)
                expected = [row.wallet] + [0] * row.again
                assert codes == expected, (codes, expected)
                if codes[-1] == 0:
                    self.same_bytes(row)
        finally:
            if row.plan == "stop":
                wallet.kill()
            again.shutdown()
        if row.plan == "hear":
            self.site.say_done(row)

    def wallets(self, row, first, codes):
        codes.append(first.wait(PATIENCE))
        if row.again and codes[0] != 0:
            second = self.site.wallet(row)
            try:
                codes.append(second.wait(PATIENCE))
            finally:
                second.kill()
                second.wait()

    def owner(self, row, wallet):
        """Waits for the recipient's message and answers it."""
        site = self.site
        found = site.wait_row(row, lambda found: "message_received" in events_of(found), "a message")
        if found["state"] in TERMINAL:
            return
        got = site.listed(row)[-1]["provisioning"]
        assert written(got) == row.message(1), got
        if row.plan == "wait noted":  # the wallet must not be done before the relay shows something else
            os.kill(wallet.pid, signal.SIGSTOP)
        self.send(row)
        if row.refused:
            site.wait_row(row, lambda found: "message_refused" in events_of(found), "a refusal")
            self.send(row)
        if row.plan == "wait noted":
            site.wait_row(row, lambda found: row.noted in events_of(found), row.noted)
            os.kill(wallet.pid, signal.SIGCONT)

    def send(self, row):
        answer = self.site.send(row)
        assert answer.status == 202, answer

    def same_bytes(self, row):
        for number in (0, 2):
            got = self.site.received(row, number)
            assert got == row.message(number), (number, got, row.message(number))

    def denied(self, row, wallet):
        wait_until(lambda: row.traffic.count(RECIPIENT, "update") and row.faults[0].hits, PATIENCE, "a look", 0.2)
        assert self.site.show(row.share, tenant=self.site.tenants[row.lane])["state"] == "released"
        self.site.say_done(row)

    def given_up(self, row, wallet):
        site, tenant = self.site, self.site.tenants[row.lane]
        if any(fault.where == "get2" for fault in row.faults):
            self.owner(row, wallet)
        code = wallet.wait(PATIENCE)
        assert code == row.wallet, code
        assert site.show(row.share, tenant=tenant)["state"] == "released"
        site.cancel_row(row)

    def check(self, row, found):
        events = events_of(found)
        links = urls_of([message for message in self.site.phone_of[row.address].messages
                         if message["to"] == row.address])
        assert len(links) == row.links, links
        assert row.noted in (None, *events), events
        for fault in row.faults:
            assert fault.hits > 0, "%s at %s was never asked for" % (fault.kind, fault.where)
        if row.lane == "main":
            made = row.traffic.count(INITIATOR, "create")
            assert made == row.made, (made, row.made)
            if row.links:
                assert events.count("generation") == row.made - 1, events
        elif row.made == 0:
            assert not row.traffic.executed, row.traffic.executed
        self.check_requests(row)
        self.check_names(row)

    def check_names(self, row):
        """An operator is told what the relay did wrong, to which share."""
        for fault in row.faults:
            name = name_of(fault)
            if name:
                said = name + " SHARE=" + row.share["id"]
                wait_until(lambda: any(line.endswith(said) for line in read_text(self.site.log).splitlines()),
                           PATIENCE, "in the journal: " + said, 0.2)

    def check_requests(self, row):
        """A request that is repeated is the same, and a claim is never used for a second mailbox."""
        assert not row.traffic.impatient, "before the time that the relay named: %s" % row.traffic.impatient
        bodies, ids = {}, {}
        for (who, operation), claim, id, body in (
                entry for entry in row.traffic.asked if not isinstance(entry[0], str)):
            if operation != "read":
                assert bodies.setdefault((claim, operation, id), body) == body, "another body under one id"
            if operation == "create":
                assert ids.setdefault(claim, id) == id, "a claim was used twice"
        assert len(ids) <= max(row.made, 1), "%d claims" % len(ids)


class Lasting(Rows):
    """Rows whose fault never ends: all begin, the clock is moved, all end. Plans: "patience" with a relay,
    which is over; the "mailbox end"; "withdraw", which only that end ends."""

    def run_all(self, rows):
        with concurrent.futures.ThreadPoolExecutor(len(rows)) as pool:
            failures = dict(zip(rows, pool.map(self.attempt(self.prepare), rows)))
        self.site.kill_gateway()
        self.move_clock()
        self.site.start_gateway(wait_plugins=False)
        wait_until(self.is_asked, 60, "the tenants' front is up again")
        with concurrent.futures.ThreadPoolExecutor(len(rows)) as pool:
            for row, failure in zip(rows, pool.map(self.attempt(self.conclude), rows)):
                failures[row] = failures[row] or failure
        return failures

    def is_asked(self):
        try:
            return self.site.tenant.raw("GET", "/healthz", timeout=5).status == 200
        except (OSError, http.client.HTTPException):
            return False

    @staticmethod
    def attempt(function):
        def attempted(row):
            try:
                function(row)
            except Exception as error:  # told as the row's result
                return error
            return None
        return attempted

    def prepare(self, row):
        site, tenant = self.site, self.site.tenants[row.lane]
        site.begin(row)
        if row.plan == "withdraw":
            site.cancel_row(row)
        lane = site.lanes[row.lane]
        wait_until(lambda: sum(fault.hits for fault in row.faults) > 1 - bool(row.links)
                   or (not row.faults and lane.n_handshakes > 1), PATIENCE, "a fault that was met", 0.1)
        state = site.show(row.share, tenant=tenant)["state"]
        expected = {"patience": "releasing", "mailbox end": "released", "withdraw": "withdrawing"}
        assert state == expected[row.plan], state
        self.check_requests(row)  # from now on another end of the mailbox is asked for

    def move_clock(self):
        store = sqlite3.connect(os.path.join(self.site.state, "vestibule.sqlite"))
        with store:
            store.execute("UPDATE share SET mailbox_expires = mailbox_expires - 601 WHERE state = 'releasing'")
            store.execute("UPDATE share SET mailbox_expires = unixepoch() - 1, due = unixepoch() - 1"
                          " WHERE state IN ('released', 'withdrawing')")
        store.close()

    def conclude(self, row):
        found = self.site.ended(row)
        links = urls_of([message for message in self.site.phone_of[row.address].messages
                         if message["to"] == row.address])
        assert len(links) == row.links, links
        assert "generation" not in events_of(found)
        self.check_names(row)


# --- what crossed -----------------------------------------------------------------------------------


def forms_of(secret):
    """A secret as it could be written."""
    texts = {base64.b64encode(secret), base64.urlsafe_b64encode(secret)}
    texts |= {text.rstrip(b"=") for text in texts}
    texts |= {urllib.parse.quote(text, safe="").encode() for text in texts}
    escaped = "".join("%%%02X" % octet for octet in secret)
    return texts | {secret, secret.hex().encode(), secret.hex().upper().encode(), escaped.encode(),
                    escaped.lower().encode(), urllib.parse.quote_from_bytes(secret, safe="").encode()}


def forms_of_text(text):
    """A text that may lie anywhere in what was encoded, as plain text or as base64 at each offset."""
    found = {text.encode()}
    for shift in range(3):
        encoded = base64.b64encode(b"\0" * shift + text.encode())
        found.add(encoded[4 if shift else 0:-4])
    return found


def secret_of(link):
    fragment = link.partition("#")[2]
    if fragment.startswith("R1."):
        text = fragment.rsplit(".", 1)[1]
        return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
    return base64.b64decode(fragment, validate=True)


def decoded(content):
    """All base64 in it, decoded."""
    for text in re.findall(rb"[A-Za-z0-9+/_-]{24,}={0,2}", content):
        text = text.rstrip(b"=").translate(bytes.maketrans(b"-_", b"+/"))
        try:
            yield base64.b64decode(text + b"=" * (-len(text) % 4))
        except binascii.Error:
            pass


def search(pieces, rows):
    """Of pieces of (name, content): what must not be in them."""
    forbidden = {}
    for row in rows:
        if row.link:
            for form in forms_of(secret_of(row.link)):
                forbidden[form] = row.name + ": its Secret"
        for marker in row.markers:
            for form in forms_of_text(marker):
                forbidden[form] = row.name + ": its content"
    # The forms are many: each beginning is looked up, at every place.
    beginnings = {form[:BEGINNING] for form in forbidden}
    for name, content in pieces:
        content = re.sub(rb"( )\1{64,}", b" ", content)
        for text in (content, *decoded(content)):
            if not beginnings.isdisjoint(text[at:at + BEGINNING] for at in range(len(text))):
                found = [whose for form, whose in forbidden.items() if form in text]
                assert not found, "%s: in %s" % (found, name)


def pieces_of(site):
    relays = [site.relay] + [lane for lane in site.lanes.values() if isinstance(lane, Relay)]
    for relay in relays:
        paths = [relay.log, relay.errors, os.path.join(relay.folder, "record")]
        paths += [os.path.join(relay.state, name) for name in os.listdir(relay.state)]
        for path in paths:
            with open(path, "rb") as file:
                yield path, file.read()
    for name, lane in site.lanes.items():
        if isinstance(lane, FaultyRelay):
            yield "what passed the relay of " + name, b"\n".join(lane.seen)


def peak_of(pid):
    with open("/proc/%d/status" % pid) as file:
        return int(re.search(r"VmHWM:\s+(\d+)", file.read()).group(1))


class Table:
    def __init__(self, build, rows, lasting):
        self.build, self.rows, self.lasting = build, rows, lasting
        self.results, self.failures = {}, {}
        self.site = self.late_site = None
        self.failed = False  # the folders are kept then

    def start(self):
        if self.site or self.late_site:
            return
        if self.rows:
            self.site = FaultSite(self.build, self.rows).start()
            self.pool = concurrent.futures.ThreadPoolExecutor(AT_ONCE)
            self.results = {row: self.pool.submit(Rows(self.site).run, row) for row in self.rows}
        if self.lasting:
            self.late_site = FaultSite(self.build, self.lasting).start()
            self.failures = Lasting(self.late_site).run_all(self.lasting)

    def sites(self):
        return [site for site in (self.site, self.late_site) if site]

    def result(self, row):
        self.start()
        try:
            if row in self.results:
                self.results[row].result()
            elif self.failures[row]:
                raise self.failures[row]
        except Exception:
            self.failed = True
            raise

    def the_secret_and_the_content_cross_in_no_form(self):
        for site in self.sites():
            rows = [row for rows in site.rows_of_lane.values() for row in rows]
            pieces = list(pieces_of(site))
            assert sum(len(content) for _, content in pieces) > 1000 * len(rows)
            search(pieces, rows)

    def nobody_is_asked_to_whom_a_redirect_leads(self):
        for site in self.sites():
            for lane in site.lanes.values():
                if isinstance(lane, FaultyRelay):
                    assert not lane.trouble, lane.trouble
                    assert not any(b" %s " % FOLLOWED.encode() in piece[:200] for piece in lane.seen)

    def the_relay_s_own_words_are_in_no_journal(self):
        words = "relay.example", "javascript", "DOCTYPE", "Sign in", "extra", FOLLOWED
        for site in self.sites():
            found = [line for line in read_text(site.log).splitlines() if any(word in line for word in words)]
            assert not found, found

    def a_huge_answer_takes_no_memory(self):
        if is_sanitized(self.build):
            raise tap.Skip("the sanitizers keep what was freed")
        for site in self.sites():
            peaks = {name: peak_of(pid) for name, pid in site.children().items() if name in site.lanes}
            assert peaks
            assert max(peaks.values()) < 24000, peaks  # KiB; some 15000 are needed

    def all_programs_ended_well(self):
        for site in self.sites():
            site.failed = site.failed or self.failed
            site.__exit__(None, None, None)

    def tests(self):
        named = [(row.name.replace(" ", "_"), lambda row=row: self.result(row)) for row in self.rows + self.lasting]
        return named + [(check.__name__, check) for check in (
            self.the_secret_and_the_content_cross_in_no_form, self.nobody_is_asked_to_whom_a_redirect_leads,
            self.the_relay_s_own_words_are_in_no_journal, self.a_huge_answer_takes_no_memory, self.all_programs_ended_well)]


def main():
    options = options_of_test(__doc__)

    def chosen(*groups):
        rows = [row for group in groups for row in group()]
        return [row for row in rows if not options.names or row.name.replace(" ", "_") in options.names]

    table = Table(options.build,
                  chosen(create_rows, read_rows, update_rows, delete_rows, draft_r_rows, handshake_rows, sister_rows),
                  chosen(lasting_rows))
    return tap.run(table.tests())


if __name__ == "__main__":
    sys.exit(main())

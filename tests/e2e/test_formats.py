"""What is carried, on real parts and over both protocols of relays: a car key that takes three
messages, or many; a hotel's token; a credential offer of OpenID4VCI; a PKCS#12 file; content that the
tenant encrypts or seals itself, or issues only once the recipient has confirmed."""

import base64
import contextlib
import http.server
import json
import os
import re
import sqlite3
import ssl
import struct
import subprocess
import sys
import tempfile
import threading
import urllib.parse

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))

from harness import tap  # noqa: E402
from harness.event_stream import EventStream  # noqa: E402
from harness.server_folder import free_port  # noqa: E402
from harness.vestibule import (  # noqa: E402
    Site, events_of, fresh_key, hotel_policy, make_certificate, options_of_test, share_body, share_number)

PATIENCE = 60
CAR = "digitalwallet.carkey.ccc"
TOKEN = "digitalwallet.generic.authorizationToken"
TEMPLATE = "/t/{tigress_location}"
HOTEL_CLASS, CAR_CLASSES = 0, {"car-unlock": 3, "car": 4}  # RulesClass

# The wallet's side of a car key: it keeps what came, and answers each message but the last.
HANDLER = """\
import json, os, sys
folder, last = sys.argv[1], int(sys.argv[2])
number = int(os.environ["VESTIBULE_MESSAGE"])
text = sys.stdin.read()
with open(os.path.join(folder, "got-%d" % number), "w") as file:
    file.write(text)
if number < last:
    answer = {"format": json.loads(text)["format"], "content": {"to": number, "secret": "s-%d" % number}}
    sys.stdout.write(json.dumps(answer))
"""

# What a tenant and a recipient may write, and what nothing on the way may read otherwise or write anew.
OPAQUE = (
    '{ "z" : 1.10,\r\n\t"a":[1E5, -0,-0.0e-1,0.1234567890123456789 ,123456789012345678901234567890,1e400],'
    ' "s":"a\\u0000b\\/\\u00e9\\\\u0000 Z\u00fcrich \\ud83d\\ude00\\"}","\\u0000":{ },"i":18446744073709551615,"of":"%s" }')


def opaque(text):
    return (OPAQUE % text).encode()


def provisioning_of(content):
    return b'{"format":"%s","content":%s}' % (CAR.encode(), content)


class FormatSite(Site):
    """Its relay speaks one of the two protocols; policies for one message and for several."""

    def __init__(self, build, protocol="draft-v", mint=None, **options):
        self.protocol, self.mint = protocol, mint
        policies = hotel_policy("echo", name="hotel")
        policies += hotel_policy("echo", name="several").replace(
            "code = D9", "code = D9\n  access_rights = RWD")
        policies += hotel_policy("echo", name="home").replace(
            "class = hotel", "class = home-limited\n  access_rights = RWD").replace(
            "code = D9", "code = X8")
        super().__init__(build, policies=policies, **options)
        self.handler = self.path("handler.py")
        with open(self.handler, "w") as file:
            file.write(HANDLER)

    def configuration(self):
        text = super().configuration()
        more = ""
        if self.protocol == "draft-r":
            text = text.replace('  url = "%s"\n' % self.relay.url, "", 1)
            more += '  protocol = draft-r\n  template = "%s%s"\n' % (self.relay.url, TEMPLATE)
        if self.mint:
            more += '  mint_ca_file = "%s"\n  mint_allow_private = yes\n' % self.mint.certificate
            text = text.replace("relay = main\n", 'relay = main\n  mint_prefixes = { "%s/keys/" }\n'
                                % self.mint.url)
        return text.replace("relay main {\n", "relay main {\n" + more, 1)

    def link_of(self, phone, **members):
        """Confirms a new share; returns it with the link that came."""
        before = len(phone.messages)
        share = self.create(phone.addresses[0], **members)
        phone.say(share["tag"] + " " + share["code"])
        return share, phone.wait_message("link", after=before, timeout=PATIENCE)["link"]

    def set_class(self, share, number):
        """Makes a share one of another class, while the gateway is down: the first of its rules."""
        with contextlib.closing(sqlite3.connect(os.path.join(self.state, "vestibule.sqlite"))) as store, store:
            where = (share_number(share["id"]),)
            (rules,), = store.execute("SELECT rules FROM share WHERE n = ?", where)
            assert struct.unpack_from("<q", rules) == (HOTEL_CLASS,)
            store.execute("UPDATE share SET rules = ? WHERE n = ?", (struct.pack("<q", number) + rules[8:], *where))

    def move_end(self, share, seconds):
        """Makes the mailbox end so many seconds from now, for the gateway and with a restart."""
        self.stop_gateway()
        with contextlib.closing(sqlite3.connect(os.path.join(self.state, "vestibule.sqlite"))) as store, store:
            store.execute("UPDATE share SET mailbox_expires = unixepoch() + ?, due = unixepoch() - 1 WHERE n = ?",
                          (seconds, share_number(share["id"])))
        self.start_gateway()

    def wallet(self, link, last, folder):
        """vestibule-receive with the handler above, started; its state is kept in the folder."""
        os.makedirs(folder, exist_ok=True)
        process = subprocess.Popen(
            [self.program("relay-client", "vestibule-receive"), "accept", "--allow", self.relay.host,
             "--ca-file", self.relay.certificate, "--state", os.path.join(folder, "state"),
             "--handler", "/usr/bin/python3 %s %s %d" % (self.handler, folder, last), "-"],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        process.stdin.write(link + "\n")
        process.stdin.close()
        process.stdin = None
        return process

    def opaque_wallet(self, link, folder, answer):
        """vestibule-receive with a handler that keeps the bytes it is given, and answers message 0 with these."""
        os.makedirs(folder)
        with open(os.path.join(folder, "answer-0"), "wb") as file:
            file.write(answer)
        process = subprocess.Popen(
            [self.program("relay-client", "vestibule-receive"), "accept", "--allow", self.relay.host,
             "--ca-file", self.relay.certificate, "--handler",
             "cd %s && cat > got-$VESTIBULE_MESSAGE && if [ -e answer-$VESTIBULE_MESSAGE ]; then "
             "cat answer-$VESTIBULE_MESSAGE; fi" % folder, "-"],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        process.stdin.write(link.encode() + b"\n")
        process.stdin.close()
        process.stdin = None
        return process

    def receive_bytes(self, link, *options):
        """What vestibule-receive prints of a message."""
        got = subprocess.run(
            [self.program("relay-client", "vestibule-receive"), "--allow", self.relay.host, "--ca-file",
             self.relay.certificate, *options, "-"], input=link.encode() + b"\n", stdout=subprocess.PIPE)
        assert got.returncode == 0
        return got.stdout

    def post_bytes(self, path, body, provisioning):
        """A body whose provisioning is these bytes."""
        content = json.dumps({**body, "provisioning": "@@"}).encode().replace(b'"@@"', provisioning)
        return self.tenant.raw("POST", path, content, {
            "Content-Type": "application/json", "Idempotency-Key": fresh_key()})

    def link_of_bytes(self, phone, policy, provisioning):
        before = len(phone.messages)
        answer = self.post_bytes("/v1/shares", share_body(phone.addresses[0], policy=policy), provisioning)
        assert answer.status == 201, answer
        phone.say(answer.json["tag"] + " " + answer.json["code"])
        return answer.json, phone.wait_message("link", after=before, timeout=PATIENCE)["link"]

    def ctl(self, *arguments, given=b""):
        """vestibulectl of the tenant; what it prints."""
        done = subprocess.run(
            [self.program("plugins", "api", "vestibulectl"), "--url", "http://127.0.0.1:%d" % self.api_port,
             "--token-file", os.path.join(self.credentials, "phone", "token"), *arguments],
            input=given, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def messages(self, share):
        return self.tenant.get("/v1/shares/%s/messages" % share["id"]).json["messages"]

    def wait_received(self, share, count):
        """Until so many messages came and it is our turn: one that came while ours was under way is no
        answer before that is known."""
        self.wait(share, lambda found: events_of(found).count("message_received") >= count and
                  found.get("turn") == "initiator", "%d messages" % count, timeout=PATIENCE)
        return self.messages(share)[-1]

    def send(self, share, provisioning):
        answer = self.tenant.post(
            "/v1/shares/%s/messages" % share["id"], {"provisioning": provisioning})
        assert answer.status == 202, answer

    def secrets_are_not_at_the_relay(self, link, *texts):
        secret = link.partition("#")[2]
        assert secret
        for name in os.listdir(self.relay.state):
            with open(os.path.join(self.relay.state, name), "rb") as file:
                content = file.read()
            for text in (secret, *texts):
                assert text.encode() not in content, (name, text)


class TenantServer:
    """The tenant's own server, which issues content: HTTPS on loopback."""

    def __init__(self, folder):
        self.certificate = os.path.join(folder, "tenant.pem")
        self.key = os.path.join(folder, "tenant.key")
        make_certificate(self.certificate, self.key, "localhost")
        self.requests, self.answers = [], []
        server = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"]))
                server.requests.append((self.path, dict(self.headers), json.loads(body)))
                status, content = server.answers.pop(0)
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, *arguments):
                pass

        self.http = http.server.ThreadingHTTPServer(("127.0.0.1", free_port()), Handler)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.certificate, self.key)
        self.http.socket = context.wrap_socket(self.http.socket, server_side=True)
        self.url = "https://localhost:%d" % self.http.server_address[1]
        threading.Thread(target=self.http.serve_forever, daemon=True).start()

    def close(self):
        self.http.shutdown()
        self.http.server_close()


def message(number, text):
    """What a car's owner sends; the gateway must not look into it."""
    return {"format": CAR, "content": {"n": number, "opaque": text, "deep": [{"x": [1, 2.5, None]}]}}


def read(folder, number):
    with open(os.path.join(folder, "got-%d" % number)) as file:
        return json.load(file)


class Tests:
    def __init__(self, options):
        self.build = options.build

    def carry(self, site, share, link, rounds, folder):
        """The owner's side of a car key whose wallet is vestibule-receive: 2 * rounds + 1 messages,
        the last of which the wallet does not answer."""
        wallet = site.wallet(link, 2 * rounds, folder)
        for turn in range(rounds):
            got = site.wait_received(share, turn + 1)
            assert got["number"] == 2 * turn + 1 and got["from"] == "recipient"
            assert got["provisioning"] == {
                "format": CAR, "content": {"to": 2 * turn, "secret": "s-%d" % (2 * turn)}}, got
            site.send(share, message(2 * turn + 2, "from the owner"))
        _, errors = wallet.communicate(timeout=PATIENCE)
        assert wallet.returncode == 0, (wallet.returncode, errors)
        for number in range(0, 2 * rounds + 1, 2):
            assert read(folder, number)["content"]["n"] == number
        assert not os.path.exists(os.path.join(folder, "state"))

    def car_key(self, protocol, rounds):
        with FormatSite(self.build, protocol) as site:
            phone = site.phone("echo:bob")
            first = message(0, "KeyCreationRequest")
            share, link = site.link_of(phone, policy="several", provisioning=first)
            self.carry(site, share, link, rounds, site.path("wallet"))
            assert read(site.path("wallet"), 0) == first
            site.secrets_are_not_at_the_relay(link, "KeyCreationRequest", "from the owner", "s-0")
            if protocol == "draft-v":  # in Draft R it is seen at the mailbox's end only
                ended = site.wait_state(share, "completed", timeout=PATIENCE)
                assert ended["cause"] == "mailbox_gone"
                creates = site.relay.requests("CreateMailbox")
                assert len(creates) == 1
            else:
                phone.say(share["tag"] + " done")
                ended = site.wait_state(share, "completed", timeout=PATIENCE)
                assert ended["cause"] == "acknowledged"

    @tap.test
    def the_link_of_a_car_says_that_it_is_one(self):
        """No policy of these classes can be configured while no factor reaches their floor: the class is
        written into the store, and all else is as it always is."""
        with FormatSite(self.build) as site:
            phone = site.phone("echo:bob")
            for name, number in CAR_CLASSES.items():
                share = site.create(phone.addresses[0], policy="hotel")
                site.stop_gateway()
                site.set_class(share, number)
                site.start_gateway()
                before = len(phone.messages)
                phone.say(share["tag"] + " " + share["code"])
                link = phone.wait_message("link", after=before, timeout=PATIENCE)["link"]
                assert urllib.parse.parse_qs(urllib.parse.urlsplit(link).query) == {"v": ["c"]}, name
                got = site.receive(link, "--json")
                assert got.returncode == 0 and json.loads(got.stdout)["vertical"] == "c", (name, got)
                site.wait_state(share, "completed", timeout=PATIENCE)
            _, link = site.link_of(phone, policy="hotel")
            assert "v=a#" in link

    @tap.test
    def a_car_key_takes_three_messages_in_draft_v(self):
        self.car_key("draft-v", 1)

    @tap.test
    def a_car_key_takes_three_messages_in_draft_r(self):
        self.car_key("draft-r", 1)

    @tap.test
    def who_only_follows_the_events_learns_of_each_message_of_the_recipient(self):
        with FormatSite(self.build) as site:
            phone = site.phone("echo:bob")
            with EventStream(site.api_port, site.tenant.token, query="?after=0") as stream:
                share, link = site.link_of(phone, policy="several", provisioning=message(0, "first"))
                wallet = site.wallet(link, 4, site.path("wallet"))
                for turn in range(2):
                    stream.wait(lambda: [kind for _, kind, _ in stream.events].count(
                        "share.message_received") == turn + 1, PATIENCE, "a message of the recipient")
                    number, _, event = next(
                        event for event in reversed(stream.events) if event[1] == "share.message_received")
                    assert event["share"] == share["id"] and event["state"] == "released"
                    assert event["detail"] == "message %d" % (2 * turn + 1) and event["sequence"] == number
                    assert "s-%d" % (2 * turn) not in str(stream.events)
                    got = site.messages(share)[-1]
                    assert got["number"] == 2 * turn + 1
                    assert got["provisioning"]["content"] == {"to": 2 * turn, "secret": "s-%d" % (2 * turn)}
                    site.send(share, message(2 * turn + 2, "from the owner"))
                _, errors = wallet.communicate(timeout=PATIENCE)
                assert wallet.returncode == 0, (wallet.returncode, errors)
                ended = stream.wait_event("share.ended", share["id"], timeout=PATIENCE)
                assert ended["state"] == "completed"
                assert [kind.removeprefix("share.") for _, kind, _ in stream.events] == events_of(site.show(share))

    @tap.test
    def a_transfer_takes_any_number_of_round_trips_in_draft_v(self):
        self.car_key("draft-v", 4)

    @tap.test
    def a_transfer_takes_any_number_of_round_trips_in_draft_r(self):
        self.car_key("draft-r", 4)

    def killed(self, protocol):
        """A transfer whose gateway and relay client are killed again and again."""
        rounds, folder = 3, "wallet"
        with FormatSite(self.build, protocol) as site:
            phone = site.phone("echo:bob")
            first = message(0, "KeyCreationRequest")
            share, link = site.link_of(phone, policy="several", provisioning=first)
            wallet = site.wallet(link, 2 * rounds, site.path(folder))
            for turn in range(rounds):
                site.kill_child("main")
                got = site.wait_received(share, turn + 1)
                assert got["number"] == 2 * turn + 1, got
                site.send(share, message(2 * turn + 2, "from the owner"))
                site.kill_gateway()
                site.start_gateway()
            wallet.communicate(timeout=PATIENCE)
            assert wallet.returncode == 0
            for number in range(2, 2 * rounds + 1, 2):
                assert read(site.path(folder), number) == message(number, "from the owner")
            assert read(site.path(folder), 0) == first
            phone.say(share["tag"] + " done")
            site.wait_state(share, "completed", timeout=PATIENCE)
            assert len(phone.urls()) == 1

    @tap.test
    def kills_between_the_messages_lose_and_repeat_none_in_draft_v(self):
        self.killed("draft-v")

    @tap.test
    def kills_between_the_messages_lose_and_repeat_none_in_draft_r(self):
        self.killed("draft-r")

    @tap.test
    def who_finds_the_mailbox_taken_tells_the_sender_at_once(self):
        with FormatSite(self.build) as site:
            phone = site.phone("echo:bob")
            share, link = site.link_of(phone, policy="several")
            thief = site.receive(link, "--keep", "--state", site.path("thief"))
            assert thief.returncode == 0, thief.stderr
            words = site.path("words")
            late = site.receive(link, "--state", site.path("late"), "--report", "cat > %s" % words)
            assert late.returncode == 3, late.stderr
            with open(words) as file:
                phone.say(share["tag"] + " " + file.read().strip())
            ended = site.wait_state(share, "failed", timeout=PATIENCE)
            assert ended["cause"] == "claimed_elsewhere"
            assert site.receive(link, "--state", site.path("thief")).returncode == 4  # deleted

    @tap.test
    def one_message_goes_over_draft_r_as_well(self):
        with FormatSite(self.build, "draft-r") as site:
            phone = site.phone("echo:bob")
            content = {"format": TOKEN, "content": {"token": "opens room 12"}}
            share, link = site.link_of(phone, provisioning=content)
            assert link.startswith(site.relay.url + "/t/#R1."), link
            got = site.receive(link)
            assert got.returncode == 0, got.stderr
            assert json.loads(got.stdout) == content
            assert site.wait_state(share, "completed", timeout=PATIENCE)["cause"] == "mailbox_gone"

    @tap.test
    def a_run_of_draft_r_whose_messages_were_all_taken_is_completed_at_its_end(self):
        with FormatSite(self.build, "draft-r") as site:
            phone = site.phone("echo:bob")
            share, link = site.link_of(phone, policy="several", provisioning=message(0, "first"))
            self.carry(site, share, link, 1, site.path("wallet"))
            site.move_end(share, 115)
            site.wait(share, lambda _: site.rows("SELECT flags & 256 FROM share") == [(256,)], "a last look",
                      timeout=PATIENCE)
            site.move_end(share, -1)
            ended = site.wait_state(share, "completed", timeout=PATIENCE)
            assert ended["cause"] == "mailbox_gone"

    @tap.test
    def draft_r_takes_nothing_that_the_tenant_encrypted(self):
        encrypted = {"encrypted": {"type": "AEAD_AES_128_GCM", "data": base64.b64encode(bytes(60)).decode()}}
        with FormatSite(self.build, "draft-r") as site:
            answer = site.tenant.post(
                "/v1/shares", share_body("echo:bob", policy="several", provisioning=encrypted))
            assert answer.status == 422 and answer.json["type"].endswith(":not-in-draft-r"), answer

    @tap.test
    def the_class_of_the_policy_is_the_kind_of_the_link(self):
        with FormatSite(self.build) as site:
            phone = site.phone("echo:bob")
            for policy, kind in (("hotel", "a"), ("home", "h")):
                _, link = site.link_of(phone, policy=policy)
                assert re.search(r"\?v=%s#" % kind, link), link

    @tap.test
    def an_offer_of_openid4vci_keeps_its_own_code(self):
        offer = {
            "credential_issuer": "https://issuer.example.com",
            "credential_configuration_ids": ["HotelRoomKey"],
            "grants": {"urn:ietf:params:oauth:grant-type:pre-authorized_code": {
                "pre-authorized_code": "adhjhdjajkdkhjhdj",
                "tx_code": {"input_mode": "numeric", "length": 6,
                            "description": "The hotel sends it by mail."}}},
        }
        content = {"format": TOKEN, "content": {"credential_offer": offer}}
        with FormatSite(self.build) as site:
            phone = site.phone("echo:bob")
            share, link = site.link_of(phone, provisioning=content)
            got = site.receive(link)
            assert json.loads(got.stdout) == content  # the code's description and length untouched
            assert site.show(share)["attempts_left"] == 2  # the right one was the only try
            for text in (message["text"] for message in phone.messages):
                assert "pre-authorized" not in text and "by mail" not in text
            site.wait_state(share, "completed", timeout=PATIENCE)

    @tap.test
    def a_pkcs12_file_is_opened_with_openssl_at_the_far_end(self):
        with FormatSite(self.build) as site:
            phone = site.phone("echo:bob")
            key, certificate = site.path("person.key"), site.path("person.pem")
            make_certificate(certificate, key, "bob.example")
            bundle, password = site.path("person.p12"), "told by another path"
            subprocess.run(
                ["openssl", "pkcs12", "-export", "-inkey", key, "-in", certificate, "-out", bundle,
                 "-passout", "stdin"], input=password, text=True, check=True)
            with open(bundle, "rb") as file:
                octets = file.read()
            content = {"format": TOKEN, "content": {
                "media_type": "application/pkcs12", "data": base64.b64encode(octets).decode()}}
            share, link = site.link_of(phone, provisioning=content)
            got = json.loads(site.receive(link).stdout)["content"]
            arrived = site.path("arrived.p12")
            with open(arrived, "wb") as file:
                file.write(base64.b64decode(got["data"], validate=True))
            with open(arrived, "rb") as file:
                assert file.read() == octets
            opened = subprocess.run(
                ["openssl", "pkcs12", "-in", arrived, "-nodes", "-passin", "stdin"],
                input=password, text=True, check=True, stdout=subprocess.PIPE).stdout
            with open(certificate) as file:
                body = file.read().split("-----")[2]
            assert body.strip() in opened and "PRIVATE KEY" in opened
            site.wait_state(share, "completed", timeout=PATIENCE)

    @tap.test
    def content_that_the_tenant_encrypts_leaves_with_a_link_without_a_secret(self):
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM

        secret = os.urandom(32)

        def encrypted(value):
            iv = os.urandom(12)
            blob = iv + AESGCM(secret).encrypt(iv, json.dumps(value).encode(), None)
            return {"encrypted": {
                "type": "AEAD_AES_256_GCM", "data": base64.b64encode(blob).decode()}}

        with FormatSite(self.build) as site:
            phone = site.phone("echo:bob")
            share, link = site.link_of(
                phone, policy="several", provisioning=encrypted(message(0, "for nobody else")))
            assert link.endswith("?v=a") and "#" not in link, link
            whole = link + "#" + base64.b64encode(secret).decode()  # as the tenant's own app hands on
            wallet = site.wallet(whole, 2, site.path("wallet"))
            got = site.wait_received(share, 1)["provisioning"]["encrypted"]
            blob = base64.b64decode(got["data"])
            answer = json.loads(AESGCM(secret).decrypt(blob[:12], blob[12:], None))
            assert answer["content"] == {"to": 0, "secret": "s-0"}
            site.send(share, encrypted(message(2, "the last")))
            wallet.communicate(timeout=PATIENCE)
            assert wallet.returncode == 0
            assert read(site.path("wallet"), 2) == message(2, "the last")
            site.wait_state(share, "completed", timeout=PATIENCE)

    @tap.test
    def content_that_the_tenant_seals_is_opened_by_the_relay_client_alone(self):
        with FormatSite(self.build) as site:
            phone = site.phone("echo:bob")

            site.write_secret(site.tenant.token.encode() + b"\n", "phone", "token")

            def seal(value, *options):
                done = subprocess.run(
                    [site.program("plugins", "api", "vestibulectl"), "--url",
                     "http://127.0.0.1:%d" % site.api_port, "--token-file",
                     os.path.join(site.credentials, "phone", "token"), "seal", *options],
                    input=json.dumps(value), text=True, stdout=subprocess.PIPE,
                    stderr=subprocess.PIPE)
                assert done.returncode == 0, done.stderr
                return json.loads(done.stdout)

            sealed = seal(message(0, "sealed at home"), "--policy", "several", "--to", "echo:bob")
            share, link = site.link_of(phone, policy="several", provisioning=sealed)
            again = site.tenant.post("/v1/shares", {
                "policy": "several", "recipient": {"addresses": ["echo:bob"]},
                "credential": {"title": "Van"}, "provisioning": sealed})
            assert again.status == 409, again  # a box opens in one share only
            wallet = site.wallet(link, 2, site.path("wallet"))
            site.wait_received(share, 1)
            site.send(share, seal(message(2, "sealed again"), "--share", share["id"]))
            wallet.communicate(timeout=PATIENCE)
            assert wallet.returncode == 0
            assert read(site.path("wallet"), 2) == message(2, "sealed again")
            other = seal(message(0, "for carol"), "--policy", "several", "--to", "echo:carol")
            moved = site.create("echo:bob", policy="several", provisioning=other)
            phone.say(moved["tag"] + " " + moved["code"])
            ended = site.wait_state(moved, "failed", timeout=PATIENCE)
            assert ended["cause"] == "relay_refused"  # sealed for another recipient

    def bytes_pass(self, site, share, link, folder, first, second):
        """What came first and what the wallet answers, and a further message, byte for byte."""
        answer = provisioning_of(opaque("recipient"))
        wallet = site.opaque_wallet(link, site.path(folder), b"\n" + answer + b"\n")
        try:
            site.wait_received(share, 1)
            shown = site.tenant.get("/v1/shares/%s/messages" % share["id"]).content
            second()
            _, errors = wallet.communicate(timeout=PATIENCE)
        finally:
            wallet.kill()
        assert wallet.returncode == 0, errors
        with open(os.path.join(site.path(folder), "got-0"), "rb") as file:
            assert file.read() == first
        with open(os.path.join(site.path(folder), "got-2"), "rb") as file:
            assert file.read() == provisioning_of(opaque("second"))
        return shown

    def clear_bytes(self, protocol):
        with FormatSite(self.build, protocol) as site:
            phone = site.phone("echo:bob")
            site.write_secret(site.tenant.token.encode() + b"\n", "phone", "token")
            # Around the content there is no promise: white space goes, escaped names are written plainly.
            share, link = site.link_of_bytes(
                phone, "several", b' { "form\\u0061t" : "%s",\n"cont\\u0065nt":%s }' % (CAR.encode(), opaque("first")))

            def second():
                answer = site.post_bytes(
                    "/v1/shares/%s/messages" % share["id"], {}, provisioning_of(opaque("second")))
                assert answer.status == 202, answer

            shown = self.bytes_pass(site, share, link, "wallet", provisioning_of(opaque("first")), second)
            assert b'"content":' + opaque("recipient") + b"}" in shown, shown
            listed = site.ctl("message", "list", share["id"], "--json")
            assert b'"content": ' + opaque("recipient") + b"\n" in listed, listed

    @tap.test
    def content_passes_byte_for_byte_in_both_directions_in_draft_v(self):
        self.clear_bytes("draft-v")

    @tap.test
    def content_passes_byte_for_byte_in_both_directions_in_draft_r(self):
        self.clear_bytes("draft-r")

    @tap.test
    def content_that_the_tenant_seals_passes_byte_for_byte(self):
        with FormatSite(self.build) as site:
            phone = site.phone("echo:bob")
            site.write_secret(site.tenant.token.encode() + b"\n", "phone", "token")
            first = provisioning_of(opaque("first"))
            share, link = site.link_of_bytes(phone, "several", site.ctl(
                "seal", "--policy", "several", "--to", "echo:bob", given=b" " + first + b"\n"))

            def second():
                with open(site.path("second"), "wb") as file:
                    file.write(site.ctl("seal", "--share", share["id"], given=provisioning_of(opaque("second"))))
                site.ctl("message", "send", share["id"], site.path("second"))

            shown = self.bytes_pass(site, share, link, "wallet", first, second)
            assert b'"content":' + opaque("recipient") + b"}" in shown, shown

    @tap.test
    def content_that_the_tenant_encrypts_passes_byte_for_byte(self):
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM

        secret = os.urandom(16)

        def encrypted(text):
            iv = os.urandom(12)
            return json.dumps({"encrypted": {"type": "AEAD_AES_128_GCM", "data": base64.b64encode(
                iv + AESGCM(secret).encrypt(iv, text, None)).decode()}}).encode()

        with FormatSite(self.build) as site:
            phone = site.phone("echo:bob")
            first = b' { "content" : %s, "format":"x" }\n' % opaque("first")
            share, link = site.link_of_bytes(phone, "several", encrypted(first))

            def second():
                answer = site.post_bytes("/v1/shares/%s/messages" % share["id"], {}, encrypted(
                    provisioning_of(opaque("second"))))
                assert answer.status == 202, answer

            shown = self.bytes_pass(
                site, share, link + "#" + base64.b64encode(secret).decode(), "wallet", first, second)
            blob = base64.b64decode(json.loads(shown)["messages"][-1]["provisioning"]["encrypted"]["data"])
            assert AESGCM(secret).decrypt(blob[:12], blob[12:], None) == provisioning_of(opaque("recipient"))

    @tap.test
    def content_that_the_tenant_issues_passes_byte_for_byte_and_is_printed_so(self):
        with tempfile.TemporaryDirectory(prefix="vestibule-tenant-") as folder, contextlib.closing(
                TenantServer(folder)) as tenant, FormatSite(self.build, mint=tenant) as site:
            phone = site.phone("echo:bob")
            for options in ((), ("--json",)):
                tenant.answers[:] = [(200, b' { "content":%s, "format" : "x" } ' % opaque("first"))]
                _, link = site.link_of(phone, provisioning={"mint": tenant.url + "/keys/12"})
                got = site.receive_bytes(link, *options)
                printed = b'{"content":%s,"format":"x"}' % opaque("first")
                if options:
                    assert got.endswith(b',"provisioning":' + printed + b"}\n"), got
                else:
                    assert got == printed + b"\n", got

    @tap.test
    def vestibulectl_starts_a_share_with_the_bytes_of_its_file(self):
        with FormatSite(self.build) as site:
            phone = site.phone("echo:bob")
            site.write_secret(site.tenant.token.encode() + b"\n", "phone", "token")
            for option, text in (("--content-file", opaque("file")), ("--provisioning-file", provisioning_of(
                    opaque("file")))):
                with open(site.path("file"), "wb") as file:
                    file.write(b"\n" + text + b"\n")
                format = ("--format", CAR) if option == "--content-file" else ()
                before = len(phone.messages)
                share = json.loads(site.ctl(
                    "share", "create", "--policy", "hotel", "--to", "echo:bob", "--title", "Van", "--json", *format,
                    option, site.path("file")))
                phone.say(share["tag"] + " " + share["code"])
                link = phone.wait_message("link", after=before, timeout=PATIENCE)["link"]
                got = site.receive_bytes(link)
                assert got == provisioning_of(opaque("file")) + b"\n", got

    @tap.test
    def content_is_issued_by_the_tenant_after_the_confirmation(self):
        with tempfile.TemporaryDirectory(prefix="vestibule-tenant-") as folder:
            tenant = TenantServer(folder)
            try:
                self.issue(tenant)
            finally:
                tenant.close()

    def issue(self, tenant):
        content = {"format": TOKEN, "content": {"token": "made just now"}}
        with FormatSite(self.build, mint=tenant) as site:
            phone = site.phone("echo:bob")
            tenant.answers[:] = [(503, b"{}"), (200, json.dumps(content).encode())]
            before = len(phone.messages)
            share = site.create("echo:bob", provisioning={"mint": tenant.url + "/keys/12"})
            phone.wait_message("invitation", after=before)
            assert tenant.requests == []
            phone.say(share["code"])
            link = phone.wait_message("link", timeout=PATIENCE)["link"]
            got = site.receive(link)
            assert json.loads(got.stdout) == content
            assert [path for path, _, _ in tenant.requests] == ["/keys/12"] * 2
            assert {body["share"] for _, _, body in tenant.requests} == {share["id"]}
            assert len({headers["Idempotency-Key"] for _, headers, _ in tenant.requests}) == 1
            assert all("Signature" in headers for _, headers, _ in tenant.requests)
            site.wait_state(share, "completed", timeout=PATIENCE)

            tenant.answers[:] = [(410, b"{}")]
            share = site.create("echo:bob", provisioning={"mint": tenant.url + "/keys/13"})
            phone.say(share["tag"] + " " + share["code"])
            ended = site.wait_state(share, "failed", timeout=PATIENCE)
            assert ended["cause"] == "not_issued"
            assert len(site.relay.requests("CreateMailbox")) == 1  # the first share's


if __name__ == "__main__":
    arguments = options_of_test(__doc__)
    sys.exit(tap.run(tap.tests_of(Tests(arguments)), arguments.names))

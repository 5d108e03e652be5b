"""Nothing secret is in any file, log or conversation where it does not belong.

A whole story is told with values that occur nowhere else. Then every file that any of our programs
has written, and all that went over the wire to the relay, is searched for them: as they are, in hex,
in base64 at each of its three alignments, and percent-encoded. What may hold one is listed, with the
reason.
"""

import base64
import email
import email.message
import email.policy
import email.utils
import http.client
import os
import re
import socket
import sys
import tempfile
import threading
import urllib.parse

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))

from harness import tap  # noqa: E402
from harness.kannel import KannelCarrier  # noqa: E402
from harness.lmtp_client import Client  # noqa: E402
from harness.modem_carrier import ModemCarrier  # noqa: E402
from harness.prosody import Prosody  # noqa: E402
from harness.rest_carrier import RestCarrier  # noqa: E402
from harness.server_folder import free_port  # noqa: E402
from harness.sms_carrier import SmsSite  # noqa: E402
from harness.smsc import QUEUE_FULL, SmppCarrier  # noqa: E402
from harness.smtp_double import SmtpDouble  # noqa: E402
from harness.vestibule import (  # noqa: E402
    URL, Site, mistyped, options_of_test, plain, wait_until, wrong_code, xmpp_answer)
from harness.xmpp_recipient import Recipient  # noqa: E402

MARKERS = {
    "payload": b"Zq7-payload-marker-9Xw",
    "reference": b"Zq7-reference-marker-9Xw",
    "recipient's name": b"Zq7NameMarker9Xw",
    "title": b"Zq7-title-marker-9Xw",
    "typed text": b"Zq7 what a person wrote 9Xw",
}


def base64_forms(value):
    """The parts of base64 texts that a value leaves in them, whatever stands before it."""
    for alphabet in (base64.b64encode, base64.urlsafe_b64encode):
        for shift in range(3):
            text = alphabet(b"\0" * shift + value)
            first = -(-shift * 4 // 3)
            last = len(text) - (4 if (shift + len(value)) % 3 else 0)
            yield text[first:last]


def forms(value):
    """Every way in which a value may be written."""
    found = {value, value.lower(), value.upper(), value[::-1]}
    found |= {value.hex().encode(), value.hex().upper().encode()}
    found |= {form for form in base64_forms(value) if len(form) >= 8}
    text = value.decode("latin-1")
    for quoted in (urllib.parse.quote(text, safe=""), urllib.parse.quote_plus(text, safe=""),
                   "".join("%%%02X" % byte for byte in value),
                   "".join("%%%02x" % byte for byte in value)):
        found.add(quoted.encode())
    found.add(value.decode("latin-1").encode("utf-16-le"))
    return {form for form in found if len(form) >= 6}


BOUNCE = """From: MAILER-DAEMON@guests.test
To: %(path)s
Subject: %(text)s
Content-Type: multipart/report; report-type=delivery-status; boundary="x"

--x
Content-Type: message/delivery-status

Reporting-MTA: dns; mx.guests.test

Final-Recipient: rfc822; %(guest)s
Action: delayed
Status: 4.2.2
Diagnostic-Code: smtp; 452 4.2.2 <%(guest)s>: %(text)s

--x--
"""


class Tap(threading.Thread):
    """Stands between the relay client and the relay and writes down what passes. TLS hides the
    content, and the names in its handshake are all that this may show."""

    def __init__(self, listen, target, path):
        super().__init__(daemon=True)
        self.target, self.path = target, path
        self.listener = socket.socket()
        self.listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.listener.bind(("127.0.0.1", listen))
        self.listener.listen(64)
        self.lock = threading.Lock()
        self.n_bytes = 0
        self.start()

    def run(self):
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            server = socket.create_connection(("127.0.0.1", self.target))
            for source, sink in ((client, server), (server, client)):
                threading.Thread(target=self.pump, args=(source, sink), daemon=True).start()

    def pump(self, source, sink):
        try:
            while True:
                content = source.recv(65536)
                if not content:
                    break
                with self.lock, open(self.path, "ab") as file:
                    file.write(content)
                    self.n_bytes += len(content)
                sink.sendall(content)
        except OSError:
            pass
        finally:
            for end in (source, sink):
                try:
                    end.shutdown(socket.SHUT_RDWR)
                except OSError:
                    pass


class TappedSite(Site):
    """The relay client reaches the relay through the tap; the relay's name stays the same."""

    def start(self):
        inner = free_port()
        outer, self.relay.port = self.relay.port, inner
        # The relay announces the outer port, where the tap listens.
        self.wire = self.path("wire.bytes")
        self.tap = Tap(outer, inner, self.wire)
        return super().start()

    def close(self):
        super().close()
        self.tap.listener.close()


class MailedSite(Site):
    """Mail, with a server that is played and quotes what it was told, and LMTP by hand."""

    guest = "zq7guest9xw@guests.test"

    def __init__(self, build, **options):
        self.double = SmtpDouble()
        super().__init__(build, channels=("email",), **options)
        self.double.certificate, self.double.key = self.relay.certificate, self.relay.key
        self.double.replies["rcpt"] = lambda n: n == 1 and "451 4.2.1 <%s> is %s" % (
            self.guest, MARKERS["typed text"].decode()) or None

    def make_credentials(self):
        super().make_credentials()
        self.mail_key, self.password = os.urandom(32), b"Zq7-password-marker-9Xw"
        self.write_secret(base64.b64encode(self.mail_key), "email", "mail-key")
        self.write_secret(self.password, "email", "submit-password")

    def channel_section(self, name):
        return """channel email {
  from = "keys@hotel.test"
  submit = "smtp://localhost:%d"
  username = "keys"
  ca_file = "%s"
  receive = { "lmtp:%s" }
  authserv_id = "mx.hotel.test"
  %s
}
""" % (self.double.port, self.relay.certificate, self.path("lmtp"),
            self.exec_line(self.program("plugins", "email", "vestibule-email")))

    def wait_mail(self, n):
        mail = self.double.wait_mails(n)[n - 1]
        return email.message_from_bytes(mail.data, policy=email.policy.default)

    def hand_in(self, content, recipient):
        with Client(self.path("lmtp")) as client:
            return client.deliver(content.replace(b"\n", b"\r\n"), recipient, sender=self.guest)

    def answer(self, mail, text, **header):
        answer = email.message.EmailMessage()
        answer["Authentication-Results"] = "mx.hotel.test; dmarc=pass header.from=guests.test"
        answer["From"] = "%s <%s>" % (MARKERS["recipient's name"].decode(), self.guest)
        answer["To"] = mail["Reply-To"]
        answer["Subject"] = "Re: %s" % text
        answer["Message-ID"] = email.utils.make_msgid(domain="guests.test")
        for name, value in header.items():
            answer[name.replace("_", "-")] = value
        answer.set_content(text + "\n")
        return self.hand_in(answer.as_bytes(), mail["Reply-To"].addresses[0].addr_spec)

    def close(self):
        super().close()
        self.double.stop()


# Which of the files may hold which values, and why.
ALLOWED = (
    (r"prosody/data/", {"address, bare"}, "the chat server knows its own accounts"),
    (r"prosody/(prosody|output)\.log", {"address", "address, bare"},
     "the chat server logs who is online; neither the log nor the choice is ours"),
    (r"relay-state/", {"title"}, "display information is public: the relay shows it to wallets"),
    (r"credentials/email/", {"password", "mail key", "mail key, as text"}, "this is where they are kept"),
    (r"credentials/sms/", {"credential 0", "credential 1"}, "this is where they are kept"),
)


class Tests:
    def __init__(self, options):
        self.build = options.build

    @staticmethod
    def search_processes(site, markers):
        """What is in the arguments and environments of the gateway and its plugins."""
        found = {}
        for name, pid in {"vestibuled": site.gateway.pid, **site.children()}.items():
            for what in ("cmdline", "environ"):
                with open("/proc/%d/%s" % (pid, what), "rb") as file:
                    content = file.read()
                found[name, what] = [marker for marker, value in markers.items()
                                     if any(form in content for form in forms(value))]
        return found

    def search(self, site, markers):
        """All findings that are not allowed, as lines."""
        wanted = {name: forms(value) for name, value in markers.items()}
        found = []
        n_files = n_bytes = 0
        for place, _, names in os.walk(site.folder):
            for name in names:
                path = os.path.join(place, name)
                if not os.path.isfile(path):
                    continue
                with open(path, "rb") as file:
                    content = file.read()
                relative = os.path.relpath(path, site.folder)
                n_files += 1
                n_bytes += len(content)
                for marker, shapes in wanted.items():
                    if any(shape in content for shape in shapes) and not any(
                        re.match(pattern, relative) and marker in names_allowed
                        for pattern, names_allowed, _ in ALLOWED
                    ):
                        found.append("%s in %s" % (marker, relative))
        tap.note("%d values in %d forms, searched for in %d files of %d bytes" % (
            len(markers), sum(map(len, wanted.values())), n_files, n_bytes))
        assert n_files > 15 and n_bytes > 50000
        return found

    def markers_of(self, site, share, link, claims):
        secret = link.partition("#")[2]
        token = site.tenant.token
        return {
            **MARKERS,
            "code": plain(share["code"]).encode(),
            "code, as shown": share["code"].encode(),
            "wrong code": wrong_code(share["code"]).encode(),
            "mistyped code": mistyped(share["code"]).encode(),
            "Secret of the link": secret.encode(),
            "Secret's bytes": base64.b64decode(secret),
            "link": link.encode(),
            "token": token.encode(),
            "token's secret": token.split("_")[3].encode(),
            "address": b"zq7guest9xw@hotel.test",
            "address, bare": b"zq7guest9xw",
            "idempotency key": self.key.encode(),
            **{"claim %d" % number: claim.encode() for number, claim in enumerate(claims)},
            **{"claim's bytes %d" % number: bytes.fromhex(claim.replace("-", ""))
               for number, claim in enumerate(claims)},
        }

    def tell(self, site, server, at_release=None):
        """The story; returns share and link."""
        self.key = "zq7IdempotencyMarker9Xw" * 2
        guest = Recipient("zq7guest9xw@hotel.test", "a guest's", "127.0.0.1", server.client_port,
                          server.certificate).start()
        try:
            share = site.create(
                "xmpp:zq7guest9xw@hotel.test", key=self.key,
                content={"marker": MARKERS["payload"].decode()},
                reference=MARKERS["reference"].decode(),
                credential={"title": MARKERS["title"].decode(), "description": "Hotel Adler"},
                recipient={"addresses": ["xmpp:zq7guest9xw@hotel.test"], "locale": "en",
                           "name": MARKERS["recipient's name"].decode()})
            invitation = guest.wait_message(matches=lambda m: m.body)
            for text in (MARKERS["typed text"].decode(), mistyped(share["code"]),
                         wrong_code(share["code"]), share["code"]):
                xmpp_answer(guest, invitation, text)
            link = guest.wait_message(matches=lambda m: m.link).link
            site.wait_event(share, "link_accepted")
            if at_release:
                at_release(share, link)
            assert site.receive(link, "--quiet").returncode == 0
            site.wait_state(share, "completed")
            return share, link
        finally:
            guest.close()

    @tap.test
    def no_file_log_or_wire_holds_a_secret_at_any_time(self):
        folder = tempfile.mkdtemp(prefix="vestibule-e2e-")
        os.mkdir(os.path.join(folder, "prosody"))
        server = Prosody(os.path.join(folder, "prosody"))
        server.register("zq7guest9xw", "a guest's")
        found = {}
        with server, TappedSite(self.build, channels=("xmpp",), xmpp=server, folder=folder,
                                log_level="debug") as site:

            def look(moment, share, link):
                claim = site.derivation().request(share["id"], "claim")
                found[moment] = self.search(site, self.markers_of(site, share, link, [claim]))

            share, link = self.tell(
                site, server, lambda share, link: look("while released", share, link))
            look("after completion", share, link)
            assert site.tap.n_bytes > 5000
            site.stop_gateway()
            site.relay.stop()
            look("after an orderly end", share, link)
            assert not any(found.values()), found

    def tell_by_mail(self, site):
        """The story, and with it what makes people and programs write to a log. Returns share and link."""
        self.key = "zq7IdempotencyMarker9Xw" * 2
        share = site.create("mailto:" + site.guest, key=self.key, content={"marker": MARKERS["payload"].decode()},
                            reference=MARKERS["reference"].decode(),
                            credential={"title": MARKERS["title"].decode(), "description": "Hotel Adler"},
                            recipient={"addresses": ["mailto:" + site.guest], "locale": "en",
                                       "name": MARKERS["recipient's name"].decode()})
        invitation = site.wait_mail(1)
        path = re.search(r"<(keys\+b\w+@hotel\.test)>", site.double.mails[0].sender).group(1)
        code = share["code"]
        typed = "%s %s" % (MARKERS["typed text"].decode(), code)
        assert site.answer(invitation, typed, Auto_Submitted="auto-replied") == [250]
        assert site.answer(invitation, typed, X_Long="x" * 5000, **{"X%d" % n: code for n in range(600)}) == [550]
        site.hand_in(("From: %s\nFrom: <%s>\n\n%s\n" % (site.guest, code, typed)).encode(), "keys@hotel.test")
        with Client(site.path("lmtp")) as client:
            assert client.ask("MAIL FROM:<%s>" % site.guest)[0] == 250
            assert client.ask("RCPT TO:<keys+r%s@hotel.test>" % plain(code))[0] == 550
            assert client.ask("%s %s" % (code, site.guest))[0] == 500
        site.hand_in((BOUNCE % {"guest": site.guest, "path": path, "text": typed}).encode(), path)
        for number, text in enumerate((mistyped(code), wrong_code(code)), 2):
            assert site.answer(invitation, text) == [250]
            site.wait_mail(number)
        wait_until(lambda: site.answer(invitation, code) == [250], 60, "so soon after a wrong one", pause=0.5)
        link = URL.search(site.wait_mail(4).get_body(("plain",)).get_content()).group(0)
        site.wait_event(share, "link_accepted")
        return share, link

    @tap.test
    def no_file_log_argument_or_environment_holds_a_secret_of_mail(self):
        with MailedSite(self.build, log_level="debug") as site:
            share, link = self.tell_by_mail(site)
            markers = {
                **self.markers_of(site, share, link, [site.derivation().request(share["id"], "claim")]),
                "address": site.guest.encode(), "address, bare": b"zq7guest9xw", "password": site.password,
                "mail key": site.mail_key, "mail key, as text": base64.b64encode(site.mail_key),
                "password, as it is sent": base64.b64encode(b"\0keys\0" + site.password)}
            assert site.double.passwords[0] == [b"keys", site.password]
            found = {"while released": self.search(site, markers)}
            found.update(self.search_processes(site, markers))
            assert "email" in site.children()
            assert site.receive(link, "--quiet").returncode == 0
            site.wait_state(share, "completed")
            site.stop_gateway()
            found["after an orderly end"] = self.search(site, markers)
            assert not any(found.values()), {place: what for place, what in found.items() if what}

    def annoy_smpp(self, carrier, text):
        """What carriers and strangers do that makes programs write to a log, with what they must not write."""
        guest = carrier.guest.lstrip("+")
        carrier.smsc.behave(submit_status=QUEUE_FULL, submit_count=1)
        for members in ({"source_addr": "Zq7 %s" % guest[:6], "source_addr_ton": 5}, {"data_coding": 4},
                        {"esm_class": 0x40}, {"esm_class": 4}):
            carrier.smsc.deliver(**{"source_addr": guest, "destination_addr": "1", "octets": text.encode(), **members})

    def annoy_kannel(self, carrier, text):
        query = urllib.parse.urlencode({"from": carrier.guest, "text": text})
        for path in ("/%s/mo?%s" % (carrier.secret, query), "/%s/x?%s" % (carrier.secret, query), "/?" + query,
                     "/%s/dlr?%s" % (carrier.secret, query), "/%s/mo?coding=%%4&%s" % (carrier.secret, query)):
            connection = http.client.HTTPConnection("127.0.0.1", carrier.callback_port, timeout=60)
            connection.request("GET", path)
            assert connection.getresponse().status >= 400, path
            connection.close()

    def annoy_rest(self, carrier, text):
        said = {"code": 20429, "message": "%s to %s" % (text, carrier.guest), "status": 429}
        carrier.faults.append((429, {"Retry-After": "1"}, said))
        form = carrier.inbound_form("SM1", carrier.guest, text)
        assert carrier.post("/inbound", form, token="another token") == 403
        assert carrier.post("/status", form) == 400
        path = "/status?message=" + urllib.parse.quote(text)
        assert carrier.post(path, form + [("MessageStatus", text)]) == 204

    def annoy_modem(self, carrier, text):
        carrier.service.do("fail", error="Message.NetworkTimeout", text="%s to %s" % (text, carrier.guest))
        carrier.service.do("receive", number="Zq7", text=text)
        carrier.service.do("receive", number=carrier.guest, data=text.encode().hex())

    def tell_by_sms(self, site, carrier, annoy):
        """The story; returns share and link."""
        self.key = "zq7IdempotencyMarker9Xw" * 2
        share = site.create("sms:" + carrier.guest, key=self.key, content={"marker": MARKERS["payload"].decode()},
                            reference=MARKERS["reference"].decode(),
                            credential={"title": MARKERS["title"].decode(), "description": "Hotel Adler"},
                            recipient={"addresses": ["sms:" + carrier.guest], "locale": "en",
                                       "name": MARKERS["recipient's name"].decode()})
        carrier.wait_for_message(carrier.guest, "a room key")
        annoy(carrier, "%s %s" % (MARKERS["typed text"].decode(), share["code"]))
        for number, text in enumerate((MARKERS["typed text"].decode(), mistyped(share["code"]),
                                       wrong_code(share["code"]), share["code"]), 1):
            carrier.wait_taken(carrier.answer(carrier.guest, "%s %s" % (share["tag"], text)))
            shown = carrier.wait_for_message(carrier.guest, after=number)
        site.wait_event(share, "link_accepted")
        return share, URL.search(shown.text).group(0)

    def no_secret_of_sms(self, carrier, annoy):
        with carrier, SmsSite(self.build, carrier, log_level="debug") as site:
            share, link = self.tell_by_sms(site, carrier, annoy)
            markers = {
                **self.markers_of(site, share, link, [site.derivation().request(share["id"], "claim")]),
                "address": carrier.guest.encode(), "address, bare": carrier.guest[3:].encode(),
                "what we wrote": b"shares a room key with you",
                **{"credential %d" % n: value.encode() for n, value in enumerate(carrier.credentials().values())}}
            found = {"while released": self.search(site, markers)}
            assert os.path.getsize(site.path("sms-state", "reports")) > 0
            found.update(self.search_processes(site, markers))
            assert "sms" in site.children()
            assert site.receive(link, "--quiet").returncode == 0
            site.wait_state(share, "completed")
            site.stop_gateway()
            found["after an orderly end"] = self.search(site, markers)
            assert not any(found.values()), {place: what for place, what in found.items() if what}

    @tap.test
    def no_file_log_argument_or_environment_holds_a_secret_of_sms(self):
        cases = ((SmppCarrier, self.annoy_smpp), (KannelCarrier, self.annoy_kannel),
                 (RestCarrier, self.annoy_rest), (ModemCarrier, self.annoy_modem))
        begun = [tap.Begun(lambda kind=kind, annoy=annoy: self.no_secret_of_sms(kind(self.build), annoy))
                 for kind, annoy in cases]
        for case in begun:
            case()

    @tap.test
    def the_search_finds_what_it_should(self):
        for value in (b"Zq7-payload-marker-9Xw", b"123456786", bytes(range(16))):
            for shape in (value, value.hex().encode(), base64.b64encode(b"a" + value + b"bc"),
                          base64.b64encode(b"ab" + value), base64.urlsafe_b64encode(value + b"x"),
                          urllib.parse.quote_from_bytes(value, safe="").encode(),
                          "".join("%%%02x" % byte for byte in value).encode()):
                content = b"before" + shape + b"after"
                assert any(form in content for form in forms(value)), (value, shape)

    @tap.test
    def arguments_and_environments_of_all_processes_hold_no_secret(self):
        with Site(self.build) as site:
            phone = site.phone("echo:bob")
            share = site.create("echo:bob", content={"m": MARKERS["payload"].decode()})
            phone.say(share["code"])
            link = phone.wait_message("link")["link"]
            values = [share["code"].encode(), plain(share["code"]).encode(), link.encode(),
                      link.partition("#")[2].encode(), MARKERS["payload"], b"echo:bob",
                      site.tenant.token.encode()]
            with open(os.path.join(site.credentials, "root.key"), "rb") as file:
                values.append(file.read())
            pids = [site.gateway.pid, site.relay.process.pid, *site.children().values()]
            assert len(pids) == 6
            for pid in pids:
                for name in ("cmdline", "environ"):
                    with open("/proc/%d/%s" % (pid, name), "rb") as file:
                        content = file.read()
                    for value in values:
                        assert not any(form in content for form in forms(value)), (pid, name)


if __name__ == "__main__":
    arguments = options_of_test(__doc__)
    sys.exit(tap.run(tap.tests_of(Tests(arguments)), arguments.names))

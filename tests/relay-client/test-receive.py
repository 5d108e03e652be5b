"""vestibule-receive as a wallet: transfers of several messages with a handler, in both protocols, against the real relay
over TLS, with kills, lost answers and a relay that is not honest. The sender is the second implementation of the
protocols in ../relay-double. Between wallet and relay stands a proxy that sees, drops and falsifies.

Usage: test-receive.py RECEIVE RELAY FAULTS-RELAY [TEST...]"""

import base64
import concurrent.futures
import http.client
import json
import os
import re
import signal
import socket
import ssl
import stat
import subprocess
import sys
import tempfile
import threading
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [os.path.join(HERE, ".."), os.path.join(HERE, "..", "relay-server"), os.path.join(HERE, "..", "relay-double")]

import client  # noqa: E402
import draft_r  # noqa: E402
import draft_v  # noqa: E402
from harness import tap  # noqa: E402
from relay_harness import Relay  # noqa: E402

RECEIVE, RELAY, FAULTS = (os.path.abspath(path) for path in sys.argv[1:4])
PATIENCE = 120
DISPLAY = {"title": "Car key", "description": "for a day", "imageURL": "https://cars.example/key.png"}
ANSWER = '{"format":"digitalwallet.carkey.ccc","content":{"keySigningRequest":"MARKER-1-@"}}'
TRANSFERS_AT_ONCE = 8


def provisioning(text):
    return json.dumps({"format": "digitalwallet.carkey.ccc", "content": {"message": text}}).encode()


FIRST, THIRD = provisioning("MARKER-0"), provisioning("MARKER-2")


def wait_until(condition, what):
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, "waited in vain for " + what
        time.sleep(0.005)


class Asked:
    def __init__(self, method, target, headers, body):
        self.method, self.target, self.headers, self.body = method, target, headers, body

    @property
    def id(self):
        return self.headers.get("mailbox-request-id")


class Proxy:
    """Passes requests on to a relay of its own. `script(number, asked, forward)` may do so later, never, or change what
    comes back; it returns (status, headers, body), or None to close the connection."""

    def __init__(self, *options, program=RELAY):
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.authority = "127.0.0.1:%d" % self.listener.getsockname()[1]
        self.url = "https://" + self.authority
        self.relay = Relay(program, "--public-url", self.url, *options)
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.load_cert_chain(self.relay.certificate, self.relay.key)
        self.script = lambda number, asked, forward: forward()
        self.lock, self.asked, self.accepted, self.raw = threading.Lock(), [], 0, b""
        threading.Thread(target=self.accept, daemon=True).start()

    @property
    def direct(self):
        """The relay itself, for the sender."""
        return "https://127.0.0.1:%d" % self.relay.port

    def accept(self):
        while True:
            try:
                connection, _ = self.listener.accept()
            except OSError:
                return
            with self.lock:
                self.accepted += 1
            threading.Thread(target=self.serve, args=(connection,), daemon=True).start()

    def serve(self, plain):
        try:
            with self.context.wrap_socket(plain, server_side=True) as connection:
                while self.exchange(connection):
                    pass
        except OSError:
            pass
        finally:
            plain.close()

    def exchange(self, connection):
        asked = self.read(connection)
        if not asked:
            return False
        with self.lock:
            self.asked.append(asked)
            number = len(self.asked)
        answer = self.script(number, asked, lambda: self.forward(asked))
        if answer is None:
            return False
        status, headers, body = answer
        lines = ["HTTP/1.1 %d X" % status, "Content-Length: %d" % len(body)]
        lines += ["%s: %s" % pair for pair in headers.items() if pair[0].lower() not in ("content-length", "connection")]
        connection.sendall("\r\n".join(lines + ["", ""]).encode() + body)
        return True

    def read(self, connection):
        data = b""
        while b"\r\n\r\n" not in data:
            more = connection.recv(65536)
            if not more:
                return None
            data += more
        head, body = data.split(b"\r\n\r\n", 1)
        length = re.search(rb"(?i)\r\ncontent-length: *(\d+)", head)
        while length and len(body) < int(length.group(1)):
            body += connection.recv(65536)
        with self.lock:
            self.raw += head + body
        first, *lines = head.decode("latin-1").split("\r\n")
        method, target, _ = first.split(" ")
        return Asked(method, target, {k.lower(): v.strip() for k, v in (line.split(":", 1) for line in lines)}, body)

    def forward(self, asked):
        context = ssl.create_default_context(cafile=self.relay.certificate)
        connection = http.client.HTTPSConnection("127.0.0.1", self.relay.port, timeout=PATIENCE, context=context)
        try:
            connection.request(asked.method, asked.target, asked.body or None,
                               {k: v for k, v in asked.headers.items() if k not in ("host", "connection")})
            answer = connection.getresponse()
            return answer.status, dict(answer.headers), answer.read()
        finally:
            connection.close()

    def of(self, *methods):
        with self.lock:
            return [asked for asked in self.asked if asked.method in methods]

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.listener.close()
        with self.relay:
            pass


class Sender:
    """Of Draft V: creates the mailbox, and answers in a thread of its own."""

    def __init__(self, proxy, secret=None, message=FIRST, **more):
        self.proxy, self.received, self.blobs = proxy, [], set()
        self.party = client.Initiator(proxy.direct, proxy.relay.certificate)
        self.secret = secret or os.urandom(16)
        self.link = self.party.create(message, DISPLAY, secret=self.secret, vertical="c", **more)
        self.error = self.thread = None

    def read(self):
        """What is new, or None; None also for what is not: the relay may be one that gives back old things."""
        try:
            return self.party.read()
        except draft_v.DraftError as error:
            assert error.name == "stale"
            return None

    def answer(self, *messages):
        """Sends these, each after one of the wallet's."""
        def work():
            try:
                for message in messages:
                    self.await_message()
                    self.party.write(message)
            except Exception as error:  # told by join()
                self.error = error
        self.thread = threading.Thread(target=work, daemon=True)
        self.thread.start()
        return self

    def await_message(self):
        found = []
        wait_until(lambda: found.append(self.read()) or found[-1] is not None, "a message of the wallet")
        self.received.append(found[-1])

    def join(self):
        self.thread.join(PATIENCE)
        assert not self.thread.is_alive() and self.error is None, self.error
        return self.received

    def is_gone(self):
        try:
            self.party.ask(draft_v.READ, self.party.path)
        except client.Ended as end:
            return end.word == "gone"
        return False


class SenderR(Sender):
    """Of Draft R."""

    def __init__(self, proxy, suite="TLS_AES_128_GCM_SHA256", mode="hash", message=FIRST):
        self.proxy, self.received = proxy, []
        found = draft_r.SUITES[suite]
        self.secret = os.urandom(found.secret_octets)
        text = base64.urlsafe_b64encode(self.secret).decode().rstrip("=")
        self.link = "%s/t/#R1.%04x.%s" % (proxy.url, found.code, text)
        self.secret_text = text
        run = draft_r.Run(proxy.direct + "/t/{tigress_location}", suite, self.secret, True, mode)
        self.party = client.RunClient(run, proxy.relay.certificate)
        self.party.write(message, os.urandom(16))
        self.error = self.thread = None

    def read(self):
        return self.party.read()

    def is_gone(self):
        """No message of this run lies anywhere."""
        lines = [line.split() for line in open(self.proxy.relay.log_path)]
        stored = sum("op=PutDrop" in line and "status=201" in line for line in lines)
        deleted = sum("op=DeleteDrop" in line and "status=204" in line for line in lines)
        return stored == deleted


class Wallet:
    """A folder with a state file, and a handler that keeps what it is given and answers from files."""

    HANDLER = """#!/bin/sh
cd '%s' || exit 1
n=$VESTIBULE_MESSAGE
cat > got.$n
echo $n >> calls
if [ -e kill.before.$n ]; then rm kill.before.$n; kill -9 $PPID; sleep 5; touch survived; fi
if [ -e wait.$n ]; then touch waiting.$n; while [ -e wait.$n ]; do sleep 0.01; done; fi
if [ -e answer.$n ]; then sed "s/@/$(cat /proc/sys/kernel/random/uuid)/" answer.$n; fi
if [ -e kill.after.$n ]; then rm kill.after.$n; kill -9 $PPID; sleep 5; touch survived; fi
exit 0
"""

    def __init__(self, proxy, answers=(ANSWER,)):
        self.proxy, self.owned = proxy, tempfile.TemporaryDirectory(prefix="vestibule-wallet-")
        self.folder = self.owned.name
        self.state = self.path("state")
        with open(self.path("handler"), "w") as file:
            file.write(self.HANDLER % self.folder)
        os.chmod(self.path("handler"), 0o700)
        for number, answer in enumerate(answers):
            self.write("answer.%d" % (2 * number), answer)

    def path(self, name):
        return os.path.join(self.folder, name)

    def write(self, name, text=""):
        with open(self.path(name), "w") as file:
            file.write(text)

    def read(self, name):
        with open(self.path(name), "rb") as file:
            return file.read()

    def exists(self, name):
        return os.path.exists(self.path(name))

    def calls(self):
        return self.read("calls").decode().split() if self.exists("calls") else []

    def start(self, link, *options, allow=None, word="accept", certificate=None):
        command = [RECEIVE] + ([word] if word else []) + ["--ca-file", certificate or self.proxy.relay.certificate, *options]
        for host in [self.proxy.authority] if allow is None else allow:
            command += ["--allow", host]
        process = subprocess.Popen(command + ["-"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        process.stdin.write(link.encode() + b"\n")
        process.stdin.flush()
        return process

    def end(self, process):
        out, err = process.communicate(timeout=PATIENCE)
        assert b"Sanitizer" not in err and b"runtime error" not in err, err.decode()
        return subprocess.CompletedProcess(process.args, process.returncode, out.decode(), err.decode())

    def run(self, link, *options, **more):
        return self.end(self.start(link, *options, **more))

    def handle(self, link, *options, **more):
        return self.run(link, "--state", self.state, "--handler", self.path("handler"), *options, **more)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.owned.cleanup()


class Story:
    """One relay, one sender, one wallet."""

    def __init__(self, *options, sender=Sender, program=RELAY, answers=(ANSWER,), **more):
        self.proxy = Proxy(*options, program=program)
        self.sender = sender(self.proxy, **more)
        self.wallet = Wallet(self.proxy, answers)

    def __enter__(self):
        return self.proxy, self.sender, self.wallet

    def __exit__(self, *_):
        with self.wallet, self.proxy:
            self.sender.party.close()


def at_once(function, cases):
    """Transfers wait more than they work."""
    with concurrent.futures.ThreadPoolExecutor(TRANSFERS_AT_ONCE) as pool:
        return list(pool.map(function, cases))


def complete(sender, wallet, run):
    """Checks that a transfer of three messages has come to its end."""
    assert run.returncode == 0, run
    received, = sender.join()
    assert re.fullmatch(re.escape(ANSWER).replace("@", "[0-9a-f-]{36}"), received.decode()), received
    assert wallet.read("got.0") == FIRST and wallet.read("got.2") == THIRD
    assert not wallet.exists("got.4") and not wallet.exists("survived")
    assert not wallet.exists("state") and not wallet.exists("state.new")
    assert sender.is_gone()
    return received


# Promises -------------------------------------------------------------------------------------------------------------

def a_car_key_takes_three_messages_over_one_connection():
    with Story() as (proxy, sender, wallet):
        run = wallet.handle(sender.link) if sender.answer(THIRD) else None
        complete(sender, wallet, run)
        assert run.stdout == "" and run.stderr == \
            "Received: Car key\nMessage 0 is answered.\nAll was received, and the mailbox is deleted.\n", run.stderr
        assert wallet.calls() == ["0", "2"]
        assert proxy.accepted == 1, "%d connections" % proxy.accepted
        methods = [asked.method for asked in proxy.asked]
        assert methods[:3] == ["POST", "POST", "PUT"] and methods[-2:] == ["POST", "DELETE"], methods
        assert len({asked.id for asked in proxy.asked}) == len(proxy.asked), "an id served two requests"
        assert len({asked.headers["mailbox-device-claim"] for asked in proxy.asked}) == 1


def the_secret_reaches_neither_relay_nor_state_file():
    def transfer(kind):
        with tempfile.TemporaryDirectory(prefix="vestibule-record-") as folder:
            record = os.path.join(folder, "record")
            with Story("--fault", "record=" + record, program=FAULTS, sender=kind) as (proxy, sender, wallet):
                wallet.write("wait.2")
                process = wallet.start(sender.answer(THIRD).link, "--state", wallet.state, "--handler", wallet.path("handler"))
                wait_until(lambda: wallet.exists("waiting.2"), "the handler")
                state = wallet.read("state")
                os.unlink(wallet.path("wait.2"))
                complete(sender, wallet, wallet.end(process))
                seen = proxy.raw + open(record, "rb").read()
                text = sender.link.split("#")[1].encode()
                bare = text.split(b".")[-1].rstrip(b"=")
                for form in (b"#", text, bare, sender.secret, sender.secret.hex().encode(), b"Referer", b"Cookie"):
                    assert form not in seen.replace(b"Content-Type", b""), form
                for form in (bare, sender.secret, sender.secret.hex().encode(), b"MARKER"):
                    assert form not in state, state
    at_once(transfer, (Sender, SenderR))


def draft_r_takes_three_messages_in_each_suite_and_mode():
    def transfer(case):
        suite, mode = case
        with Story(sender=SenderR, suite=suite, mode=mode,
                   message=FIRST) as (proxy, sender, wallet):
            run = wallet.handle(sender.answer(THIRD).link, "--context", mode)
            if mode == "raw":  # the transcript of these messages does not fit
                assert run.returncode == 8 and "context" in run.stderr, run
                return
            complete(sender, wallet, run)
            assert wallet.calls() == ["0", "2"] and proxy.accepted == 1
            deletes, puts = proxy.of("DELETE"), proxy.of("PUT")
            assert len(puts) == 1 and proxy.asked.index(deletes[0]) < proxy.asked.index(puts[0])
            assert puts[0].headers["if-none-match"] == "*"
    at_once(transfer, [(suite, "hash") for suite in draft_r.SUITES])


TESTS = [
    a_car_key_takes_three_messages_over_one_connection,
    the_secret_reaches_neither_relay_nor_state_file,
    draft_r_takes_three_messages_in_each_suite_and_mode,
]

if __name__ == "__main__":
    status = tap.run([(test.__name__, test) for test in TESTS], sys.argv[4:])
    sys.stdout.flush()
    os._exit(status)

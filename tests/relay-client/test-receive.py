"""vestibule-receive as a wallet: transfers of several messages with a handler, in both protocols, against the real relay
over TLS, with kills, lost answers and a relay that is not honest. The sender is the second implementation of the
protocols in ../relay-double. Between wallet and relay stands a proxy that sees, drops and falsifies.

Usage: test-receive.py RECEIVE RELAY FAULTS-RELAY [TEST...]"""

import base64
import concurrent.futures
import contextlib
import http.client
import json
import os
import re
import signal
import ssl
import stat
import subprocess
import sys
import tempfile
import threading
import time
import tty

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [os.path.join(HERE, ".."), os.path.join(HERE, "..", "relay-server"), os.path.join(HERE, "..", "relay-double")]

import client  # noqa: E402
import draft_r  # noqa: E402
import draft_v  # noqa: E402
from harness import tap  # noqa: E402
from harness.https_server import HttpsServer  # noqa: E402
from relay_harness import Relay, make_certificate  # noqa: E402

RECEIVE, RELAY, FAULTS = (os.path.abspath(path) for path in sys.argv[1:4])
PATIENCE = 120
DISPLAY = {"title": "Car key", "description": "for a day", "imageURL": "https://cars.example/key.png"}
ANSWER = '{"format":"digitalwallet.carkey.ccc","content":{"keySigningRequest":"MARKER-1-@"}}'
TRANSFERS_AT_ONCE = 8


tests = []


def test(function):
    tests.append((function.__name__, function))
    return function


def provisioning(text):
    return json.dumps({"format": "digitalwallet.carkey.ccc", "content": {"message": text}}).encode()


FIRST, THIRD = provisioning("MARKER-0"), provisioning("MARKER-2")


def wait_until(condition, what):
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, "waited in vain for " + what
        time.sleep(0.005)


class Proxy(HttpsServer):
    """Passes requests on to a relay of its own. `script(number, asked, forward)` may do so later, never, or change what
    comes back; it returns (status, headers, body), or None to close the connection."""

    def __init__(self, *options, program=RELAY):
        super().__init__(ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), self.play)
        self.relay = Relay(program, "--public-url", self.url, *options)
        self.context.load_cert_chain(self.relay.certificate, self.relay.key)
        self.script = lambda number, asked, forward: forward()

    @property
    def direct(self):
        """The relay itself, for the sender."""
        return "https://127.0.0.1:%d" % self.relay.port

    def play(self, asked):
        answer = self.script(asked.number, asked, lambda: self.forward(asked))
        if answer is None:
            return None
        status, headers, body = answer
        lines = ["HTTP/1.1 %d X" % status, "Content-Length: %d" % len(body)]
        lines += ["%s: %s" % pair for pair in headers.items() if pair[0].lower() not in ("content-length", "connection")]
        return "\r\n".join(lines + ["", ""]).encode() + body

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

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()
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
        self.folder, self.started = self.owned.name, []
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

    def start(self, link, *options, stdout=subprocess.PIPE, allow=None, word="accept", certificate=None):
        command = [RECEIVE] + ([word] if word else []) + ["--ca-file", certificate or self.proxy.relay.certificate, *options]
        for host in [self.proxy.authority] if allow is None else allow:
            command += ["--allow", host]
        process = subprocess.Popen(command + ["-"], stdin=subprocess.PIPE, stdout=stdout, stderr=subprocess.PIPE)
        self.started.append(process)
        with contextlib.suppress(BrokenPipeError):  # it may have refused its options before
            process.stdin.write(link.encode() + b"\n")
            process.stdin.flush()
        return process

    def end(self, process):
        out, err = process.communicate(timeout=PATIENCE)
        assert b"Sanitizer" not in err and b"runtime error" not in err, err.decode()
        return subprocess.CompletedProcess(process.args, process.returncode, (out or b"").decode(), err.decode())

    def run(self, link, *options, **more):
        return self.end(self.start(link, *options, **more))

    def handle(self, link, *options, **more):
        return self.run(link, "--state", self.state, "--handler", "exec " + self.path("handler"), *options, **more)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for process in self.started:
            process.kill()
            process.wait()
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

@test
def a_car_key_takes_three_messages_over_one_connection():
    with Story() as (proxy, sender, wallet):
        run = wallet.handle(sender.link) if sender.answer(THIRD) else None
        complete(sender, wallet, run)
        assert run.stdout == "" and run.stderr == \
            "Received: Car key\nMessage 0 is answered.\nAll was received, and the mailbox is deleted.\n", run.stderr
        assert wallet.calls() == ["0", "2"]
        assert proxy.accepted == 1, "%d connections" % proxy.accepted
        methods = [asked.method for asked in proxy.requests]
        assert methods[:3] == ["POST", "POST", "PUT"] and methods[-2:] == ["POST", "DELETE"], methods
        assert len({asked.id for asked in proxy.requests}) == len(proxy.requests), "an id served two requests"
        assert len({asked.headers["mailbox-device-claim"] for asked in proxy.requests}) == 1


@test
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
                for form in (text, bare, sender.secret, sender.secret.hex().encode()):
                    assert form not in seen, form
                assert not any("#" in asked.target or {"referer", "cookie"} & set(asked.headers) for asked in proxy.requests)
                for form in (bare, sender.secret, sender.secret.hex().encode(), b"MARKER"):
                    assert form not in state, state
    at_once(transfer, (Sender, SenderR))


@test
def draft_r_takes_three_messages_in_each_suite_and_mode():
    def transfer(case):
        suite, mode = case
        with Story(sender=SenderR, suite=suite, mode=mode) as (proxy, sender, wallet):
            run = wallet.handle(sender.answer(THIRD).link, "--context", mode)
            complete(sender, wallet, run)
            assert wallet.calls() == ["0", "2"] and proxy.accepted == 1
            deletes, puts = proxy.sent("DELETE"), proxy.sent("PUT")
            assert len(puts) == 1 and proxy.requests.index(deletes[0]) < proxy.requests.index(puts[0])
            assert puts[0].headers["if-none-match"] == "*"
    at_once(transfer, [(suite, "hash") for suite in draft_r.SUITES] + [("TLS_AES_128_GCM_SHA256", "raw")])


@test
def without_a_handler_one_message_is_printed_and_deleted():
    def transfer(case):
        kind, word, options = case
        with Story(sender=kind) as (proxy, sender, wallet):
            run = wallet.run(sender.link, *options, word=word)
            assert run.returncode == 0 and sender.is_gone(), run
            printed = json.loads(run.stdout)
            if "--json" in options:
                assert printed.pop("deleted") is True
                assert printed["title"] == ("Car key" if kind is Sender else None)
                assert printed["vertical"] == ("c" if kind is Sender else None)
                printed = printed["provisioning"]
            assert printed == json.loads(FIRST)
            assert not wallet.exists("state")
    with Wallet(None) as other:
        at_once(transfer, [(kind, word, options) for kind in (Sender, SenderR) for word in ("accept", None)
                           for options in ((), ("--json", "--quiet"), ("--state", other.path("x%s%s" % (kind.__name__, word))))])


@test
def what_a_terminal_would_act_on_is_printed_as_an_escape():
    content = {"format": "x", "content": {"bell": "\x07", "del": "\x7f", "csi": "\x9b31m", "name": "Hôtel"}}
    message = json.dumps(content, ensure_ascii=False).encode() + b"\r"
    with Story(message=message.replace(b",", b",\r")) as (_, sender, wallet):
        master, terminal = os.openpty()
        try:
            tty.setraw(terminal)
            wallet.run(sender.link, "--keep", "--state", wallet.state, stdout=terminal)
            printed = os.read(master, 4096).decode()
        finally:
            os.close(terminal)
            os.close(master)
        assert json.loads(printed) == content
        assert "Hôtel" in printed and not re.search("[\x00-\x09\x0b-\x1f\x7f-\x9f]", printed), repr(printed)


@test
def what_is_printed_for_a_program_is_what_came():
    message = b' { "content":{ "n" : [1.10,1E5,-0,1e400],\r\n"s":"\\u0000\\/\x7f" } , "format" :"x" }\n'
    for options in ((), ("--json",)):
        with Story(message=message) as (_, sender, wallet):
            with open(wallet.path("printed"), "wb") as file:
                wallet.run(sender.link, *options, stdout=file)
            printed = wallet.read("printed")
            assert printed.endswith(message.strip() + (b"}\n" if options else b"\n")), printed
            assert options or printed == message.strip() + b"\n"


# Killed, and run again ------------------------------------------------------------------------------------------------

def kill_at(kind, method, nth, executed):
    """A run that is killed when its nth request of this method comes, before or after it is executed, and a second one."""
    with Story(sender=kind) as (proxy, sender, wallet):
        process, started, killed = None, threading.Event(), []

        def script(_, asked, forward):
            if killed or asked.method != method or len(proxy.sent(method)) != nth:
                return forward()
            if executed:
                forward()
            killed.append(started.wait(PATIENCE))
            process.kill()
            process.wait()
            return None

        proxy.script = script
        process = wallet.start(sender.answer(THIRD).link, "--state", wallet.state, "--handler", wallet.path("handler"))
        started.set()
        wallet.end(process)
        assert killed, (kind, method, nth)
        complete(sender, wallet, wallet.handle(sender.link))
        puts = [(asked.target, asked.id, asked.body) for asked in proxy.sent("PUT")]
        assert len(set(puts)) == 1, "other octets were sent"
        assert len(puts) == 1 or method == "PUT", "what was known to be sent was sent again"
        calls = wallet.calls()
        assert sorted(set(calls)) == ["0", "2"] and len(calls) <= 3, calls


@test
def a_wallet_killed_at_any_request_goes_on_with_identical_bytes():
    stages = [("POST", 1), ("POST", 2), ("PUT", 1), ("POST", 3), ("DELETE", 1)]
    at_once(lambda case: kill_at(Sender, *case), [(*stage, executed) for stage in stages for executed in (False, True)])


@test
def a_wallet_killed_at_any_request_of_draft_r_goes_on_with_identical_bytes():
    stages = [("GET", 1), ("DELETE", 1), ("PUT", 1), ("GET", 2), ("DELETE", 2), ("DELETE", 3)]
    at_once(lambda case: kill_at(SenderR, *case), [(*stage, executed) for stage in stages for executed in (False, True)])


@test
def a_wallet_killed_around_its_handler_goes_on():
    def transfer(case):
        kind, hook = case
        with Story(sender=kind) as (proxy, sender, wallet):
            wallet.write(hook)
            first = wallet.handle(sender.answer(THIRD).link)
            assert first.returncode == -signal.SIGKILL and not wallet.exists(hook), first
            complete(sender, wallet, wallet.handle(sender.link))
            assert len({(asked.target, asked.id, asked.body) for asked in proxy.sent("PUT")}) == 1
            assert wallet.calls() == (["0", "0", "2"] if hook.endswith("0") else ["0", "2", "2"])
    at_once(transfer, [(kind, "kill.%s.%d" % (when, number)) for kind in (Sender, SenderR) for when in ("before", "after")
                       for number in (0, 2)])


# A relay that loses, repeats and falsifies ----------------------------------------------------------------------------

@test
def an_answer_whose_response_is_lost_is_sent_once():
    def transfer(kind):
        with Story(sender=kind) as (proxy, sender, wallet):
            lost = []

            def script(_, asked, forward):
                answer = forward()
                if asked.method == "PUT" and len(lost) < 2:
                    return lost.append(answer)
                return answer

            proxy.script = script
            complete(sender, wallet, wallet.handle(sender.answer(THIRD).link))
            puts = proxy.sent("PUT")
            assert len(lost) == 2 and len(puts) >= 2 and len({(asked.target, asked.id, asked.body) for asked in puts}) == 1
            assert wallet.calls() == ["0", "2"]
    at_once(transfer, (Sender, SenderR))


@test
def old_and_reflected_messages_are_not_given_to_the_handler():
    def transfer(case):
        fault, reads = case
        with Story("--fault", "operation=" + draft_v.READ, "--fault", fault + "-every=2", program=FAULTS) as (proxy, sender, wallet):
            answered = threading.Event()

            def script(_, asked, forward):
                answer = forward()
                if asked.method == "PUT":  # the relay's next read is the sender's, the one after it the wallet's
                    assert sender.read() is not None
                    sender.party.write(THIRD)
                    answered.set()
                return answer

            proxy.script = script
            run = wallet.handle(sender.link)
            assert run.returncode == 0 and answered.is_set(), run
            assert wallet.calls() == ["0", "2"] and wallet.read("got.2") == THIRD
            assert len(proxy.sent("POST")) == reads, "the relay was honest"
            assert run.stderr.count("shows a message that was there before") == (fault == "stale"), run.stderr
    at_once(transfer, (("stale", 4), ("reflect", 4)))


@test
def an_unread_message_is_not_written_over():
    with Story() as (proxy, sender, wallet):
        wallet.write("wait.0")
        process = wallet.start(sender.link, "--state", wallet.state, "--handler", wallet.path("handler"))
        wait_until(lambda: wallet.exists("waiting.0"), "the handler")
        sender.party.my_turn = True  # it does not wait for its own
        sender.party.write(THIRD)
        os.unlink(wallet.path("wait.0"))
        run = wallet.end(process)
        assert run.returncode == 0 and wallet.calls() == ["0", "2"] and wallet.read("got.2") == THIRD, run
        assert not proxy.sent("PUT") and sender.is_gone()


@test
def a_busy_relay_is_asked_again_with_the_same_id():
    with Story() as (proxy, sender, wallet):
        def script(number, asked, forward):
            return (503, {"Retry-After": "1", "Mailbox-Request-ID": asked.id}, b"") if number <= 2 else forward()

        proxy.script = script
        run = wallet.run(sender.link)
        assert run.returncode == 0, run
        assert len({asked.id for asked in proxy.sent("POST")}) == 1 and len(proxy.sent("POST")) == 3


@test
def an_answer_lost_for_good_is_no_alarm():
    def transfer(has_state):
        with Story() as (proxy, sender, wallet):
            proxy.script = lambda number, asked, forward: forward() and None
            options = ("--state", wallet.state) if has_state else ()
            run = wallet.run(sender.link, *options)
            assert run.returncode == 6, run
            assert ("Nothing is lost" in run.stderr) == has_state == ("it was this one" not in run.stderr), run
            proxy.script = lambda number, asked, forward: forward()
            assert wallet.run(sender.link, *options).returncode == (0 if has_state else 3)
    at_once(transfer, (True, False))


@test
def an_untrusted_certificate_is_asked_once():
    with Story() as (proxy, sender, wallet):
        certificate, _ = make_certificate(wallet.folder)
        run = wallet.run(sender.link, certificate=certificate)
        assert run.returncode == 6 and run.stdout == "", run
        assert "certificate is not trusted" in run.stderr and proxy.accepted == 1 and not proxy.requests, run.stderr


@test
def a_message_that_does_not_open_ends_it_and_is_left():
    with Story() as (proxy, sender, wallet):
        wrong = draft_v.share_url_build(sender.link.split("?")[0], os.urandom(16), "c")
        run = wallet.handle(wrong)
        assert run.returncode == 5 and wallet.calls() == [] and not sender.is_gone(), run
        assert wallet.handle(sender.answer(THIRD).link).returncode == 0
    with Story(sender=SenderR) as (proxy, sender, wallet):
        def script(_, asked, forward):
            status, headers, body = forward()
            return status, headers, body[:-1] + bytes((body[-1] ^ 1,)) if body else body

        proxy.script = script
        assert wallet.handle(sender.link).returncode == 5
        proxy.script = lambda number, asked, forward: forward()
        again = wallet.handle(sender.link)  # an aborted run is not begun again
        assert again.returncode == 8 and "aborted" in again.stderr and wallet.calls() == [], again


# Who may have it ------------------------------------------------------------------------------------------------------

@test
def what_one_device_gives_up_another_can_have():
    with Story() as (proxy, sender, wallet), Wallet(proxy) as other:
        assert wallet.run(sender.link, "--keep", "--state", wallet.state).returncode == 0
        assert other.run(sender.link).returncode == 3
        lost = []

        def script(_, asked, forward):
            answer = forward()
            return lost.append(answer) if asked.method == "PATCH" and not lost else answer

        proxy.script = script
        run = wallet.run(sender.link, "--relinquish", "--state", wallet.state, word=None)
        assert run.returncode == 0 and "given up" in run.stderr and not wallet.exists("state"), run
        assert len(proxy.sent("PATCH")) == 2 and len({asked.id for asked in proxy.sent("PATCH")}) == 1
        got = other.run(sender.link)
        assert got.returncode == 0 and json.loads(got.stdout) == json.loads(FIRST), got


@test
def who_does_not_hold_a_mailbox_cannot_give_it_up():
    with Story() as (proxy, sender, wallet), Wallet(proxy) as other:
        assert wallet.run(sender.link, "--relinquish").returncode == 2
        assert wallet.run(sender.link, "--relinquish", "--state", wallet.state).returncode == 2 and not wallet.exists("state")
        assert not proxy.requests
        assert wallet.run(sender.link, "--keep", "--state", wallet.state).returncode == 0
        assert other.run(sender.link, "--state", other.state).returncode == 3
        run = other.run(sender.link, "--relinquish", "--state", other.state)
        assert run.returncode == 8 and "does not hold the mailbox" in run.stderr, run
        assert wallet.run(sender.link, "--state", wallet.state).returncode == 0
        run = wallet.run(sender.link, "--state", wallet.state)
        assert run.returncode == 4 and run.stderr.startswith("There is nothing at this link any more: "), run
        assert "tell the sender at once: answer TAKEN, and call." in run.stderr, run
        run = other.run(sender.link, "--state", other.path("late"), "--report", "touch '%s'" % other.path("words"))
        assert run.returncode == 4 and not other.exists("words"), "it may just have been withdrawn"
    with Story(sender=SenderR) as (proxy, sender, wallet):
        wallet.write("wait.0")
        process = wallet.start(sender.link, "--state", wallet.state, "--handler", wallet.path("handler"))
        wait_until(lambda: wallet.exists("waiting.0"), "the handler")
        process.kill()
        wallet.end(process)
        run = wallet.run(sender.link, "--relinquish", "--state", wallet.state)
        assert run.returncode == 2 and "cannot be given up" in run.stderr, run


@test
def who_has_answered_cannot_give_the_mailbox_up():
    with Story() as (proxy, sender, wallet):
        assert wallet.handle(sender.link, "--wait", "0").returncode == 10
        run = wallet.run(sender.link, "--relinquish", "--state", wallet.state)
        assert run.returncode == 2 and "This device has answered already" in run.stderr, run
        assert not proxy.sent("PATCH") and wallet.exists("state")
        sender.answer(THIRD).join()
        assert wallet.handle(sender.link).returncode == 0, "the refusal has cost it the transfer"


@test
def a_relinquishment_that_was_killed_is_finished():
    with Story() as (proxy, sender, wallet), Wallet(proxy) as other:
        assert wallet.run(sender.link, "--keep", "--state", wallet.state).returncode == 0
        process, started = None, threading.Event()

        def script(_, asked, forward):
            if asked.method == "PATCH":
                forward()
                started.wait(PATIENCE)
                process.kill()
                process.wait()
                return None
            return forward()

        proxy.script = script
        process = wallet.start(sender.link, "--relinquish", "--state", wallet.state)
        started.set()
        wallet.end(process)
        proxy.script = lambda number, asked, forward: forward()
        assert wallet.run(sender.link, "--state", wallet.state).returncode == 2, "it read what it was giving up"
        assert wallet.run(sender.link, "--relinquish", "--state", wallet.state).returncode == 0
        assert len(proxy.sent("PATCH")) == 2 and len({asked.id for asked in proxy.sent("PATCH")}) == 1
        assert other.run(sender.link).returncode == 0


@test
def who_comes_second_can_have_it_reported():
    with Story() as (proxy, sender, wallet), Wallet(proxy) as other:
        assert wallet.run(sender.link, "--keep").returncode == 0
        told = other.run(sender.link, "--state", other.state, "--report", "cat > '%s'; echo no" % other.path("words"))
        assert told.returncode == 3 and other.read("words") == b"TAKEN\n" and told.stdout == "", told
        assert "handed to the command of --report" in told.stderr and "answer the message" not in told.stderr
        failed = other.run(sender.link, "--state", other.state, "--report", "exit 7")
        assert failed.returncode == 3 and "was not told" in failed.stderr and "with TAKEN" in failed.stderr, failed
        alone = other.run(sender.link)
        assert alone.returncode == 3 and "answer the message that brought the link with TAKEN" in alone.stderr, alone


@test
def a_race_of_draft_r_that_is_lost_is_reported():
    with Story(sender=SenderR) as (proxy, sender, wallet), Wallet(proxy, (ANSWER,)) as other:
        kept = []

        def script(_, asked, forward):
            return (403, {}, b"") if asked.method == "DELETE" and not kept and not kept.append(asked) else forward()

        proxy.script = script  # its message stays for the other one
        wallet.write("wait.0")
        process = wallet.start(sender.link, "--state", wallet.state, "--handler", wallet.path("handler"),
                               "--report", "cat > '%s'" % wallet.path("words"))
        wait_until(lambda: wallet.exists("waiting.0"), "the handler")
        assert kept
        assert other.handle(sender.link, "--wait", "0").returncode == 10  # its answer lies there, unread
        os.unlink(wallet.path("wait.0"))
        run = wallet.end(process)
        assert run.returncode == 3 and wallet.read("words") == b"TAKEN\n", run


@test
def nothing_but_https_and_no_relay_that_is_not_allowed():
    for kind in (Sender, SenderR):
        with Story(sender=kind) as (proxy, sender, wallet):
            for link in (sender.link.replace("https:", "http:"), sender.link.replace("https:", "ftp:")):
                run = wallet.handle(link)
                assert run.returncode == 2 and "https://" in run.stderr, run
            for hosts in (["relay.example"], ["127.0.0.1"], ["127.0.0.1:1"]):
                run = wallet.handle(sender.link, allow=hosts)
                assert run.returncode == 7 and proxy.authority in run.stderr, run
            assert wallet.run(sender.link, allow=[]).returncode == 2
            assert wallet.run(sender.link.split("#")[0]).returncode == 2
            assert proxy.accepted == 0 and not wallet.exists("state")


@test
def the_link_is_blotted_out_of_the_arguments():
    with Story() as (proxy, sender, wallet):
        wallet.write("wait.0")
        process = subprocess.Popen([RECEIVE, "accept", sender.link, "--ca-file", proxy.relay.certificate, "--allow", proxy.authority,
                                    "--handler", wallet.path("handler"), "--state", wallet.state], stderr=subprocess.DEVNULL)
        wait_until(lambda: wallet.exists("waiting.0"), "the handler")
        arguments = open("/proc/%d/cmdline" % process.pid, "rb").read()
        process.kill()
        process.wait()
        assert b"accept" in arguments and sender.link.split("/m/")[1].encode() not in arguments
        assert sender.link.split("#")[1].encode() not in arguments


# How it ends ----------------------------------------------------------------------------------------------------------

def expire():
    """Takes long, and runs beside the rest."""
    with Story(expiration=time.time() + 25) as (proxy, sender, wallet):
        process = wallet.start(sender.link, "--state", wallet.state, "--handler", wallet.path("handler"))
        sender.await_message()
        return wallet.end(process), wallet.calls(), wallet.exists("state")


@test
def expiry_is_told_from_deletion():
    run, calls, has_state = expiring.result()
    assert run.returncode == 4 and "has expired" in run.stderr and calls == ["0"] and not has_state, run
    with Story() as (proxy, sender, wallet):
        process = wallet.start(sender.link, "--state", wallet.state, "--handler", wallet.path("handler"))
        sender.await_message()
        sender.party.delete()
        run = wallet.end(process)
        assert run.returncode == 4 and "The sender has ended the transfer" in run.stderr, run
        assert wallet.calls() == ["0"] and not wallet.exists("state")


@test
def a_link_of_draft_r_that_leads_nowhere_says_so():
    with Story(sender=SenderR) as (proxy, sender, wallet):
        assert wallet.run(sender.link).returncode == 0
        run = wallet.run(sender.link)
        assert run.returncode == 4 and "If it was not you" in run.stderr, run


@test
def waiting_ends_when_it_should_and_can_go_on():
    def transfer(kind):
        with Story(sender=kind) as (_, sender, wallet):
            run = wallet.handle(sender.link, "--wait", "1")
            assert run.returncode == 10 and "Run the same command again" in run.stderr and wallet.exists("state"), run
            complete(sender, wallet, wallet.handle(sender.answer(THIRD).link))
    at_once(transfer, (Sender, SenderR))


@test
def a_handler_that_fails_leaves_everything_as_it_is():
    cases = (("exit 3", "status 3"), ("kill -9 $$", "status 137"), ("sleep 60", "longer than 1 second for"),
             ("trap '' TERM; touch '%s'; while :; do sleep 1; done", "longer than 1 second for"),
             ("cat > /dev/null; head -c 40000 /dev/zero", "more than 32768 bytes"), ("echo hello", "cannot be sent"),
             ("echo '{}'", "cannot be sent"), ("echo '{\"format\":\"x\",\"content\":{},\"format\":\"y\"}'", "cannot be sent"))

    def transfer(case):
        (command, words), kind = case
        with Story(sender=kind) as (proxy, sender, wallet):
            command = command % wallet.path("trapped") if "%s" in command else command
            run = wallet.run(sender.link, "--state", wallet.state, "--handler", command, "--handler-timeout", "1")
            assert run.returncode == 11 and words in run.stderr and "The mailbox is kept" in run.stderr, run
            assert not proxy.sent("PUT")
            complete(sender, wallet, wallet.handle(sender.answer(THIRD).link))
    at_once(transfer, [(case, kind) for case in cases for kind in (Sender, SenderR)])


@test
def a_handler_sees_its_number_and_nothing_else():
    command = "for i in 3 4 5 6 7 8 9 10 11 12 13 14; do if [ -e /proc/$$/fd/$i ]; then n=$n$i; fi; done; printf '%s' $n > fds; " \
        "env > environment"
    with Story() as (proxy, sender, wallet):
        process = subprocess.Popen([RECEIVE, "--ca-file", proxy.relay.certificate, "--allow", proxy.authority, "--handler",
                                    "cd '%s'; cat > got; %s" % (wallet.folder, command), "-"], stdin=subprocess.PIPE,
                                   stderr=subprocess.PIPE, pass_fds=[0, proxy.listener.fileno()], cwd="/",
                                   preexec_fn=lambda: signal.signal(signal.SIGCHLD, signal.SIG_IGN),
                                   env={"PATH": os.environ["PATH"], "LANG": "de_DE.UTF-8", "HOME": wallet.folder, "TOKEN": "MARKER"})
        _, err = process.communicate(sender.link.encode(), timeout=PATIENCE)
        assert process.returncode == 0, err
        names = {line.split("=")[0] for line in wallet.read("environment").decode().splitlines()}
        assert names - {"PWD", "OLDPWD", "_", "SHLVL"} == {"PATH", "LANG", "HOME", "VESTIBULE_MESSAGE"}, names
        assert b"VESTIBULE_MESSAGE=0\n" in wallet.read("environment") and wallet.read("fds") == b"", wallet.read("fds")
        assert wallet.read("got") == FIRST


@test
def a_state_file_serves_one_run_of_one_owner_and_one_link():
    with Story() as (proxy, sender, wallet):
        wallet.write("wait.0")
        process = wallet.start(sender.link, "--state", wallet.state, "--handler", wallet.path("handler"))
        wait_until(lambda: wallet.exists("waiting.0"), "the handler")
        assert stat.S_IMODE(os.stat(wallet.state).st_mode) == 0o600
        second = wallet.handle(sender.link)
        assert second.returncode == 1 and "another run is using it" in second.stderr, second
        process.kill()
        wallet.end(process)
        other = Sender(proxy)
        refused = wallet.handle(other.link)
        assert refused.returncode == 1 and "belongs to another link" in refused.stderr, refused
        os.chmod(wallet.state, 0o640)
        refused = wallet.handle(sender.link)
        assert refused.returncode == 1 and "other users" in refused.stderr, refused
        os.chmod(wallet.state, 0o600)
        whole = wallet.read("state")
        for broken in (whole[:-1], b"{}", b"x", whole.replace(b'"reading"', b'"answering"')):
            with open(wallet.state, "wb") as file:
                file.write(broken)
            refused = wallet.handle(sender.link)
            assert refused.returncode == 1 and "no state file" in refused.stderr, (broken, refused)
        other.party.close()


@test
def options_that_make_no_sense_are_refused():
    with Story() as (proxy, sender, wallet):
        for options in (("--handler", "x", "--json"), ("--wait", "-1"), ("--wait", "1x"), ("--handler-timeout", "0"),
                        ("--context", "x"), ("--ca-file", wallet.path("none")), ("more",), ("--relinquish", "--keep", "--state", "x"),
                        ("--report", "x"),
                        ("--unknown",)):
            run = wallet.run(sender.link, *options)
            assert run.returncode == 2 and run.stderr, (options, run)
        assert proxy.accepted == 0
        shown = subprocess.run([RECEIVE, "--help"], capture_output=True, text=True)
        page = open(os.path.join(HERE, "..", "..", "relay-client", "vestibule-receive.1")).read()
        assert shown.returncode == 0
        for option in set(re.findall("--([a-z-]+)", shown.stdout)):
            assert re.search(r"Fl -%s\b" % option, page), option


if __name__ == "__main__":
    chosen = sys.argv[4:]
    if not chosen or expiry_is_told_from_deletion.__name__ in chosen:
        expiring = concurrent.futures.ThreadPoolExecutor(1).submit(expire)
    status = tap.run(tests, chosen)
    sys.stdout.flush()
    os._exit(status)

"""What the tests here run against: vestibule-relay as a process, with the same few handles as relay.Relay,
and the gateway's end of a vestibule-relay-client. Both are taken from outside, by their manual pages.
"""

import ctypes
import ctypes.util
import hashlib
import json
import os
import shutil
import subprocess
import tempfile
import time
import uuid

import draft_v
from harness import frames
from harness.vestibule import Relay as RelayProcess


class VestibuleRelay:
    """vestibule-relay-faults with no fault but a clock that can be moved."""

    name = "vestibule-relay"

    def __init__(self, build, options=()):
        self.folder = tempfile.mkdtemp(prefix="relay-double-")
        self.clock = os.path.join(self.folder, "clock")
        self.offset = 0
        self.advance_clock(0)
        self.process = RelayProcess(build, self.folder, ["clock-file=" + self.clock], options=options)
        self.url = self.process.url
        self.ca_file = self.process.certificate

    def advance_clock(self, seconds):
        self.offset += seconds
        with open(self.clock + ".new", "w", encoding="ascii") as file:
            file.write(str(self.offset))
        os.rename(self.clock + ".new", self.clock)

    def pushes(self):
        """What names the tokens of those that an update was pushed to, in order."""
        return [line["token"] for line in self.process.requests("UpdateMailbox") if "token" in line]

    @staticmethod
    def push_name(token_data, mailbox):
        """How the log names a token: otherwise in each mailbox, so that it links none."""
        inner = hashlib.blake2b(token_data.encode(), digest_size=32).digest()[:8]
        outer = hashlib.blake2b(uuid.UUID(mailbox).bytes + inner, digest_size=32)
        return outer.hexdigest()[:16]

    def __enter__(self):
        self.process.start()
        return self

    def __exit__(self, kind, *_):
        status = self.process.stop()
        if kind is None:
            shutil.rmtree(self.folder, ignore_errors=True)
            assert status == 0, "vestibule-relay ended with status %d" % status
        else:
            print("# kept the relay's files in %s" % self.folder, flush=True)


DISPLAY = {"title": "Car <key>", "description": "Bob's \"car\"", "imageURL": "https://car.example/i.png"}
CREDENTIALS = ("relay-key", "relay-key.pub", "front-key.pub")

SODIUM = ctypes.CDLL(ctypes.util.find_library("sodium"))
SEAL_OCTETS = 48


def seal(public_key, content):
    """crypto_box_seal of a JSON object, in Base64."""
    plain = draft_v.json_bytes(content)
    box = ctypes.create_string_buffer(len(plain) + SEAL_OCTETS)
    assert SODIUM.crypto_box_seal(box, plain, ctypes.c_ulonglong(len(plain)), public_key) == 0
    return draft_v.base64_encode(box.raw)


def open_box(public_key, secret_key, box):
    """The JSON object in a crypto_box_seal."""
    sealed = draft_v.base64_decode(box)
    plain = ctypes.create_string_buffer(max(len(sealed) - SEAL_OCTETS, 1))
    assert SODIUM.crypto_box_seal_open(plain, sealed, ctypes.c_ulonglong(len(sealed)), public_key,
                                       secret_key) == 0, "a box that does not open"
    return draft_v.json_parse(plain.raw[:len(sealed) - SEAL_OCTETS])


def make_keys(build, folder):
    """The files of a relay client's credentials, as text: its own keys, and the front's public one."""
    keys = {}
    for program, wanted in ((("relay-client", "vestibule-relay-client"), ("relay-key", "relay-key.pub")),
                            (("plugins", "api", "vestibule-api"), ("front-key", "front-key.pub"))):
        made = os.path.join(folder, wanted[0])
        os.mkdir(made, 0o700)
        subprocess.run([os.path.join(build, *program), "--make-key", made], check=True,
                       stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        for name in wanted:
            with open(os.path.join(made, name), encoding="utf-8") as file:
                keys[name] = file.read()
    return keys


class RelayClient(frames.Gateway):
    """vestibule-relay-client on the gateway's socket; asked in frames of plugins/PROTOCOL.md."""

    ANSWERS = frames.Gateway.ANSWERS | {"duplicate", "claimed", "unauthorised", "refused"}

    def __init__(self, build, keys, target, **settings):
        program = os.path.join(build, "relay-client", "vestibule-relay-client")
        settings = {"url": target.url, "ca_file": target.ca_file, **settings}
        super().__init__(program, "main", settings, {name: keys[name] for name in CREDENTIALS})
        entry = json.loads(keys["relay-key.pub"])["keys"][0]
        self.kid, self.public_key = entry["kid"], draft_v.base64_decode(entry["key"])
        self.front = (draft_v.base64_decode(json.loads(keys["front-key.pub"])["keys"][0]["key"]),
                      draft_v.base64_decode(json.loads(keys["front-key"])["keys"][0]["secret"]))

    def __enter__(self):
        return self.start()

    def __exit__(self, kind, *_):
        status = self.stop()
        errors = self.errors_text()
        self.remove()
        assert kind or status == 0, "the relay client ended with status %s\n%s" % (status, errors)

    def call(self, kind, /, **members):
        return self.wait_answer(self.ask(kind, **members))

    def envelope(self, **members):
        return {"tenant": "adler", "nonce": draft_v.base64_encode(os.urandom(16)),
                "recipients": draft_v.base64_encode(os.urandom(32)), "class": "car",
                "not_after": int(time.time()) + 7200, **members}

    def box(self, envelope, provisioning):
        return seal(self.public_key, {"v": 1, **envelope, "provisioning": provisioning})

    def create_frame(self, provisioning, **members):
        """What a `create` of a new share says."""
        envelope = self.envelope()
        return {"share": new_share(), "generation": 0, "claim": draft_v.new_uuid(),
                "request": draft_v.new_uuid(), "expiration": int(time.time()) + 3600,
                "rights": "RWD", "vertical": "c", "display": DISPLAY, "envelope": envelope,
                "kid": self.kid, "box": self.box(envelope, provisioning), **members}


class Share:
    """What a gateway keeps of a share that it has created, and asks of it."""

    def __init__(self, gateway, provisioning, **members):
        self.gateway = gateway
        self.frame = gateway.create_frame(provisioning, **members)
        self.created = gateway.call("create", **self.frame)
        assert self.created["type"] == "done", self.created
        self.digest, self.state = self.created.get("digest"), self.created.get("state")

    def ask(self, kind, **members):
        asked = {name: self.frame[name] for name in ("share", "generation", "kid", "claim")}
        asked.update(mailbox=self.created["mailbox"], request=draft_v.new_uuid())
        if self.frame.get("encrypted"):
            asked["encrypted"] = True
        if self.state is not None:
            asked["state"] = self.state
        answer = self.gateway.call(kind, **{**asked, **members})
        if answer["type"] == "done":
            self.state = answer.get("state", self.state)
        return answer

    def read(self, number):
        """The answer to a look for the recipient's message of that number."""
        known = {} if self.digest is None else {"known": self.digest}
        return self.ask("read", expect=number, **known)

    def write(self, number, provisioning, **members):
        """Our message of that number. It is bound to the share as the first one is to its recipients."""
        recipients = hashlib.blake2b(self.frame["share"].encode() + b"\n", digest_size=32).digest()
        envelope = self.gateway.envelope(recipients=draft_v.base64_encode(recipients))
        envelope["class"] = "message"
        known = {} if self.digest is None else {"known": self.digest}
        return self.ask("update", **{
            "number": number, "envelope": envelope, "message_kid": self.gateway.kid,
            "box": self.gateway.box(envelope, provisioning), **known, **members})

    def opened(self, answer, number):
        """The {format, content} in what a read answered, for whom and for which number it is."""
        assert answer["message"]["kid"], answer
        inner = open_box(*self.gateway.front, answer["message"]["box"])
        assert {name: inner[name] for name in ("v", "share", "number")} == {
            "v": 1, "share": self.frame["share"], "number": number}, inner
        return inner["message"]


def new_share():
    """Crockford's base 32 of 128 random bits, as the gateway names shares."""
    number = int.from_bytes(os.urandom(16), "big")
    letters = "0123456789abcdefghjkmnpqrstvwxyz"
    return "shr_" + "".join(letters[number >> 5 * place & 31] for place in reversed(range(26)))

"""What the tests here run against: vestibule-relay as a process, with the same few handles as relay.Relay,
and the gateway's end of a vestibule-relay-client. Both are taken from outside, by their manual pages.
"""

import ctypes
import ctypes.util
import hashlib
import json
import os
import shutil
import tempfile
import uuid

import draft_v
from harness import frames
from harness.vestibule import Relay as RelayProcess


class VestibuleRelay:
    """vestibule-relay-faults with no fault but a clock that can be moved."""

    name = "vestibule-relay"

    def __init__(self, build, options=("--repeat-created",)):
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


SODIUM = ctypes.CDLL(ctypes.util.find_library("sodium"))
SEAL_OCTETS = 48


def seal(public_key, content):
    """crypto_box_seal of a JSON object, in Base64."""
    plain = draft_v.json_bytes(content)
    box = ctypes.create_string_buffer(len(plain) + SEAL_OCTETS)
    assert SODIUM.crypto_box_seal(box, plain, ctypes.c_ulonglong(len(plain)), public_key) == 0
    return draft_v.base64_encode(box.raw)


class RelayClient(frames.Gateway):
    """vestibule-relay-client on the gateway's socket; asked in frames of plugins/PROTOCOL.md."""

    ANSWERS = frames.Gateway.ANSWERS | {"duplicate", "claimed", "unauthorised", "refused"}

    def __init__(self, build, keys, settings):
        credentials = {name: draft_v.json_bytes(value).decode() if isinstance(value, dict) else value
                       for name, value in keys.items()}
        super().__init__(os.path.join(build, "relay-client", "vestibule-relay-client"), "main",
                         settings, credentials)

    def call(self, kind, /, **members):
        return self.wait_answer(self.ask(kind, **members))


def read_keys(folder):
    keys = {}
    for name in os.listdir(folder):
        with open(os.path.join(folder, name), encoding="utf-8") as file:
            keys[name] = file.read()
    return keys


def newest_public_key(keys, name="relay-key.pub"):
    """(kid, public key) of what to seal to now."""
    entry = json.loads(keys[name])["keys"][0]
    return entry["kid"], draft_v.base64_decode(entry["key"])

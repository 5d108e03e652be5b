"""What a test of the SMS channel knows of a carrier, whatever driver leads to it, and a site whose SMS
channel uses one.

A driver's double is a subclass of SmsCarrier: a real server, or a stand-in that speaks its protocol,
with telephones behind it. tests/e2e/test_sms.py tells its story over each of them:

    with SomeCarrier(build) as carrier, SmsSite(build, carrier) as site:
        share = site.create("sms:" + carrier.guest, locale="de")
        text = carrier.wait_for_message(carrier.guest, contains="Zimmerschlüssel")
        carrier.answer(carrier.guest, "%s %s" % (share["tag"], share["code"]))
"""

import collections
import os
import shutil
import tempfile
import threading
import time

from .vestibule import Site

PATIENCE = 60  # seconds for what is certain to come: only a failure takes as long

# 3GPP TS 23.038 section 6.2.1, and what follows an escape.
GSM7 = (
    "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞ\x1bÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?"
    "¡ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§¿abcdefghijklmnopqrstuvwxyzäöñüà"
)
GSM7_SHIFTED = {0x0A: "\f", 0x14: "^", 0x28: "{", 0x29: "}", 0x2F: "\\", 0x3C: "[", 0x3D: "~",
                0x3E: "]", 0x40: "|", 0x65: "€"}


def from_septets(octets):
    """Text of unpacked GSM-7; an escape that leads nowhere is a mistake of ours."""
    text, i = "", 0
    while i < len(octets):
        if octets[i] == 0x1B:
            text += GSM7_SHIFTED[octets[i + 1]]
            i += 1
        else:
            text += GSM7[octets[i]]
        i += 1
    return text


def to_septets(text):
    """Unpacked GSM-7, or None when a character is not in it."""
    octets = bytearray()
    shifted = {character: septet for septet, character in GSM7_SHIFTED.items()}
    for character in text:
        if character in shifted:
            octets += bytes((0x1B, shifted[character]))
        elif character in GSM7 and character != "\x1b":
            octets.append(GSM7.index(character))
        else:
            return None
    return bytes(octets)


# A text as the telephone shows it, put together of `segments` parts. `alphabet` is "gsm7", "ucs2", or
# None where the double cannot know; `sender` is what the telephone shows as such.
Text = collections.namedtuple("Text", "to sender text segments alphabet")


# A part that was taken from us and may have to be paid for: when, for whom, what its carrier knows it by (None:
# nothing), and what it says.
Copy = collections.namedtuple("Copy", "time to name content")


def read_part(alphabet, octets):
    """The text of one part by itself, as phones read it: what was cut within a character shows."""
    if alphabet == "ucs2":
        return octets.decode("utf-16-be", "replace")
    try:
        return from_septets(octets)
    except (KeyError, IndexError):
        return "\ufffd"


class SmsCarrier:
    """A carrier with telephones. Subclasses set `driver`, fill in what raises NotImplementedError, and
    call show() with each whole text that a telephone got, and note_copy() with each part that they take.
    All of it is on loopback, in `folder`."""

    driver = None  # the value of `driver =`
    forgets = False  # whether what people wrote, and we have not taken, may be lost when it is killed
    sender = "+4930901820"  # ours, as the configuration has it
    countries = ("DE",)
    guest = "+4915112345678"  # telephones of people
    other_guest = "+4915187654321"

    def __init__(self, build):
        self.build = os.path.abspath(build)
        self.folder = tempfile.mkdtemp(prefix="vestibule-%s-" % self.driver)
        self.changed = threading.Condition()
        self.shown = []  # of Text, oldest first
        self.copies = []  # of Copy
        self.failed = False

    # What a driver's double says.

    def start(self):
        """Starts, or starts again after kill(), with what it had kept; returns itself when it listens."""
        raise NotImplementedError

    def stop(self):
        """Ends it in order; nothing of it is left running."""
        raise NotImplementedError

    def kill(self):
        """kill -9 of the carrier: what it had not written is lost. start() brings it back."""
        raise NotImplementedError

    def victims(self):
        """What can be killed of it, each with a function that kills it and starts it again."""
        return {"carrier": self.kill_and_start}

    def settings(self):
        """The keys of the channel's section that lead to it, beyond those of common_settings():
        strings, or lists of strings."""
        raise NotImplementedError

    def credentials(self):
        """Secrets by their names."""
        return {}

    def environment(self):
        """What the program finds in its environment beside its state folder."""
        return {}

    def answer(self, sender, text):
        """Somebody writes to us, in any characters and of any length. Returns a handle for
        wait_taken(); the carrier repeats it, as carriers do, until we have taken it."""
        raise NotImplementedError

    def is_taken(self, handle):
        """Whether we have told the carrier that we have all of an answer. Called with the lock."""
        raise NotImplementedError

    # What tests use.

    def kill_and_start(self):
        self.kill()
        self.start()

    def note_copy(self, to, name, content):
        with self.changed:
            self.copies.append(Copy(time.monotonic(), to, name, content))

    def common_settings(self):
        return {"driver": self.driver, "sender": self.sender, "countries": list(self.countries),
                "per_minute": "6000", "burst": "100", "quiet_hours": ""}

    def show(self, text):
        with self.changed:
            self.shown.append(text)
            self.changed.notify_all()

    def wait(self, condition, what, timeout=PATIENCE):
        """Waits until condition(), which runs under the lock, is true, and returns its value. Doubles
        call changed.notify_all() when something happens."""
        limit = time.monotonic() + timeout
        with self.changed:
            while True:
                value = condition()
                if value:
                    return value
                left = limit - time.monotonic()
                if left <= 0:
                    raise AssertionError("not within %g s: %s" % (timeout, what))
                self.changed.wait(min(left, 1))

    def messages(self, to):
        with self.changed:
            return [text for text in self.shown if text.to == to]

    def wait_for_message(self, to, contains="", after=0, timeout=PATIENCE):
        """The first text that fits, among those to this number from number `after` on."""

        def find():
            for text in [text for text in self.shown if text.to == to][after:]:
                if contains in text.text:
                    return text
            return None

        return self.wait(find, "a text that contains %r" % contains, timeout)

    def wait_taken(self, handle, timeout=PATIENCE):
        self.wait(lambda: self.is_taken(handle), "an answer is taken", timeout)

    def __enter__(self):
        try:
            return self.start()
        except BaseException:
            self.__exit__(None, None, None)
            raise

    def __exit__(self, kind, value, trace):
        self.stop()
        if kind is not None and issubclass(kind, Exception):
            print("# kept the carrier's files in %s" % self.folder, flush=True)
        else:
            shutil.rmtree(self.folder, ignore_errors=True)


def section_of(name, settings, exec_line):
    """A channel section in the gateway's words."""
    lines = []
    for key, value in settings.items():
        if isinstance(value, (list, tuple)):
            value = "{ %s }" % ", ".join('"%s"' % word for word in value)
        else:
            value = '"%s"' % value
        lines.append("  %s = %s\n" % (key, value))
    return "channel %s {\n%s  %s\n}\n" % (name, "".join(lines), exec_line)


class SmsSite(Site):
    """A site with the channel `sms` on a carrier of this module, alone or among others. `changes`
    are keys of the section to set, or with None to leave out. `names` are more names of its tenants, and
    `texts` templates of its own: what each says, by its path."""

    def __init__(self, build, carrier, channels=("sms",), changes=None, names=(), texts=None, **options):
        self.carrier = carrier
        self.changes = dict(changes or {})
        self.names = list(names)
        self.texts = dict(texts or {})
        super().__init__(build, channels=channels, **options)

    def configuration(self):
        text = super().configuration()
        if self.names:
            names = ", ".join('"%s"' % name for name in self.names)
            text = text.replace("  policies =", "  names = { %s }\n  policies =" % names)
        if self.texts:
            text = text.replace("gateway {\n", 'gateway {\n  templates = "%s"\n' % self.path("templates"), 1)
        return text

    def write_configuration(self, text=None):
        super().write_configuration(text)
        for path, content in self.texts.items():
            path = self.path("templates", path)
            os.makedirs(os.path.dirname(path), exist_ok=True)
            with open(path, "w") as file:
                file.write(content)

    def channel_section(self, name):
        if name != "sms":
            return super().channel_section(name)
        settings = {**self.carrier.common_settings(), **self.carrier.settings(), **self.changes}
        settings = {key: value for key, value in settings.items() if value is not None}
        state = self.path("sms-state")
        os.makedirs(state, 0o700, exist_ok=True)
        return section_of(name, settings, self.exec_line(
            "/usr/bin/env", "STATE_DIRECTORY=" + state,
            *["%s=%s" % pair for pair in self.carrier.environment().items()],
            self.program("plugins", "sms", "vestibule-sms")))

    def make_credentials(self):
        super().make_credentials()
        for name, secret in self.carrier.credentials().items():
            self.write_secret(secret.encode(), "sms", name)

    def wait_plugins(self, timeout=None):
        super().wait_plugins(timeout)
        if "sms" in self.channels:
            self.wait_channel("sms")

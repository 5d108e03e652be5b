"""Draft R (draft-rescorla-tigress-http-00, derived locations), written a second time.

Like draft_v.py it was made from the text alone, to disagree with the C programs where either is
wrong. Values and rules only; client.py moves the messages and relay.py keeps them.

The readings that the draft leaves open: lengths of 32 octets, the hash of the transcript as context
(or the transcript itself, as the draft has it, for as long as it fits), the key schedule of
RFC 9458 section 4.4 with an empty `enc`, no padding in locations.
"""

import base64
import collections
import hashlib
import os
import re

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes, hmac
from cryptography.hazmat.primitives.ciphers.aead import AESGCM, ChaCha20Poly1305
from cryptography.hazmat.primitives.kdf.hkdf import HKDFExpand

from draft_v import DraftError, base64_decode

Suite = collections.namedtuple("Suite", "code name hash hash_name aead key_octets secret_octets")
SUITES = {
    suite.name: suite
    for suite in (
        Suite(0x1301, "TLS_AES_128_GCM_SHA256", hashes.SHA256, "sha256", AESGCM, 16, 32),
        Suite(0x1302, "TLS_AES_256_GCM_SHA384", hashes.SHA384, "sha384", AESGCM, 32, 48),
        Suite(0x1303, "TLS_CHACHA20_POLY1305_SHA256", hashes.SHA256, "sha256", ChaCha20Poly1305,
              32, 32),
    )
}
LENGTH = 32  # of a location and of a message's key
NONCE_OCTETS = 12
TAG_OCTETS = 16
MIN_SECRET = 32
MIN_RANDOM = 16  # in the first message of each direction
MAX_MESSAGES = 65536
MAX_CONTEXT = 255
VARIABLE = "{tigress_location}"


# --- Derivation --------------------------------------------------------------------------------------


def hkdf_label(label, context):
    """HkdfLabel of RFC 8446 section 7.1."""
    if len(context) > MAX_CONTEXT:
        raise DraftError("context-length")
    name = b"tls13 " + label.encode("ascii")
    return (LENGTH.to_bytes(2, "big") + bytes((len(name),)) + name
            + bytes((len(context),)) + context)


def hkdf_expand(suite, secret, info, length):
    return HKDFExpand(suite.hash(), length, info).derive(secret)


def hkdf_extract(suite, salt, secret):
    code = hmac.HMAC(salt, suite.hash())
    code.update(secret)
    return code.finalize()


def context_of(suite, mode, transcript):
    return transcript if mode == "raw" else hashlib.new(suite.hash_name, transcript).digest()


Place = collections.namedtuple("Place", "location_info key_info location key name")


def place_derive(suite, mode, secret, transcript):
    """Where the next message lies and under which key, for those who know all before it."""
    context = context_of(suite, mode, transcript)
    location_info, key_info = hkdf_label("Location", context), hkdf_label("Key", context)
    location = hkdf_expand(suite, secret, location_info, LENGTH)
    return Place(location_info, key_info, location, hkdf_expand(suite, secret, key_info, LENGTH),
                 base64.urlsafe_b64encode(location).decode().rstrip("="))


def template_check(template):
    """https, and one variable of that name and no other."""
    if not template.startswith("https://"):
        raise DraftError("scheme-not-https")
    if re.findall(r"\{[^}]*\}?|\}", template) != [VARIABLE]:
        raise DraftError("template")
    authority = template[len("https://"):].partition("/")[0]
    if not authority or "@" in authority or "{" in authority or "#" in template.partition("{")[0]:
        raise DraftError("template")
    return template


def link_build(template, suite, secret):
    """The initiating message as one URL, which the draft leaves open; the project's own form. All that
    is secret is in the fragment, and the context mode is not in it."""
    if not template_check(template).endswith(VARIABLE):
        raise DraftError("template")
    text = base64.urlsafe_b64encode(secret).decode().rstrip("=")
    return "%s#R1.%04x.%s" % (template[:-len(VARIABLE)], SUITES[suite].code, text)


def link_parse(link):
    """(template, name of the suite, R) of such a URL."""
    prefix, _, fragment = link.partition("#")
    match = re.fullmatch(r"R1\.([0-9a-f]{4})\.([A-Za-z0-9_-]+)", fragment)
    codes = {suite.code: suite.name for suite in SUITES.values()}
    if not match or int(match[1], 16) not in codes:
        raise DraftError("link")
    secret = base64_decode(match[2])
    if len(secret) < MIN_SECRET:
        raise DraftError("secret-length")
    return template_check(prefix + VARIABLE), codes[int(match[1], 16)], secret


# --- Messages ----------------------------------------------------------------------------------------


def plaintext_build(random, message_id, message):
    return (bytes((len(random),)) + random + message_id.to_bytes(2, "big")
            + len(message).to_bytes(4, "big") + message)


def plaintext_parse(octets):
    """(random, message_id, message); the struct fills its octets exactly."""
    if not octets or len(octets) < 1 + octets[0] + 6:
        raise DraftError("struct")
    end = 1 + octets[0]
    if len(octets) != end + 6 + int.from_bytes(octets[end + 2:end + 6], "big"):
        raise DraftError("struct")
    return octets[1:end], int.from_bytes(octets[end:end + 2], "big"), octets[end + 6:]


def nonce_octets(suite):
    return max(NONCE_OCTETS, suite.key_octets)


def body_keys(suite, key, response_nonce):
    prk = hkdf_extract(suite, response_nonce, key)
    return (prk, hkdf_expand(suite, prk, b"key", suite.key_octets),
            hkdf_expand(suite, prk, b"nonce", NONCE_OCTETS))


def body_seal(suite, key, plaintext, response_nonce=None):
    response_nonce = os.urandom(nonce_octets(suite)) if response_nonce is None else response_nonce
    _, aead_key, nonce = body_keys(suite, key, response_nonce)
    return response_nonce + suite.aead(aead_key).encrypt(nonce, plaintext, b"")


def body_open(suite, key, body):
    length = nonce_octets(suite)
    if len(body) < length + TAG_OCTETS:
        raise DraftError("too-short")
    _, aead_key, nonce = body_keys(suite, key, body[:length])
    try:
        return suite.aead(aead_key).decrypt(nonce, body[length:], b"")
    except InvalidTag as error:
        raise DraftError("auth") from error


# --- A run -------------------------------------------------------------------------------------------


class Run:
    """One exchange as one party sees it. Even messages are the credential sender's.

    `take()` and `sent()` move it on; an error ends it for good. `pending` is the body of a message
    that may or may not have reached the server: it must go out again as it is. `to_delete` is the
    location of a message that was taken and must be deleted before anything is written.
    """

    def __init__(self, template, suite, secret, sender, mode="hash", state=None):
        self.template = template_check(template)
        self.suite = SUITES[suite]
        if len(secret) < MIN_SECRET:
            raise DraftError("secret-length")
        self.secret = secret
        self.sender = sender
        self.mode = mode
        state = state or {}
        self.transcript = bytes.fromhex(state.get("transcript", ""))
        self.index = state.get("index", 0)
        self.pending = bytes.fromhex(state["pending"]) if state.get("pending") else None
        self.pending_plaintext = bytes.fromhex(state.get("plaintext", ""))
        self.to_delete = state.get("to_delete")
        self.aborted = state.get("aborted")

    def state(self):
        """All that must survive a crash, except what the invitation says."""
        return {"transcript": self.transcript.hex(), "index": self.index,
                "pending": self.pending.hex() if self.pending else None,
                "plaintext": self.pending_plaintext.hex(), "to_delete": self.to_delete,
                "aborted": self.aborted}

    def place(self):
        if self.aborted:
            raise DraftError("aborted", self.aborted)
        if self.index >= MAX_MESSAGES:
            raise DraftError("too-many")
        return place_derive(self.suite, self.mode, self.secret, self.transcript)

    def url(self):
        return self.template.replace(VARIABLE, self.place().name)

    def is_own_turn(self):
        return (self.index % 2 == 0) == self.sender

    def abort(self, name):
        self.aborted = name
        raise DraftError(name)

    def make(self, message, random=None, response_nonce=None):
        """The body of our next message, to be kept until sent() says that it is there."""
        if not self.is_own_turn() or self.pending is not None or self.to_delete:
            raise DraftError("turn")
        if random is None:
            random = os.urandom(MIN_RANDOM)
        self.pending_plaintext = plaintext_build(random, self.index, message)
        self.pending = body_seal(self.suite, self.place().key, self.pending_plaintext,
                                 response_nonce)
        return self.pending

    def sent(self):
        self._advance(self.pending_plaintext)
        self.pending, self.pending_plaintext = None, b""

    def take(self, body):
        """The message in a body that lay where the peer's next one lies."""
        if self.is_own_turn():
            raise DraftError("turn")
        place, url = self.place(), self.url()
        try:
            plaintext = body_open(self.suite, place.key, body)
            random, message_id, message = plaintext_parse(plaintext)
            if message_id != self.index:
                raise DraftError("message-id")
            if self.index < 2 and len(random) < MIN_RANDOM:
                raise DraftError("random-length")
        except DraftError as error:
            self.abort(error.name)
        self.to_delete = url
        self._advance(plaintext)
        return message

    def deleted(self):
        self.to_delete = None

    def _advance(self, plaintext):
        self.transcript += plaintext
        self.index += 1

"""Draft V (draft-vinokurov-tigress-http-00, the relay's mailboxes), written a second time.

The C programs of this tree and this file were written from the same text by different hands, in
different languages, and neither from the other: where one misread the text, they disagree, and
tests/relay-double/test_agree.py shows it. So nothing here may be copied from the C sources.

Values and rules only: nothing here opens a connection (that is client.py) or serves one (relay.py).
"""

import base64
import binascii
import collections
import datetime
import hashlib
import ipaddress
import json
import os
import re
import urllib.parse
import uuid

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

REQUEST_ID = "Mailbox-Request-ID"
DEVICE_CLAIM = "Mailbox-Device-Claim"

CREATE = "CreateMailbox"
UPDATE = "UpdateMailbox"
READ = "ReadSecureContentFromMailbox"
PREVIEW = "ReadDisplayInformationFromMailbox"
DELETE = "DeleteMailbox"
RELINQUISH = "RelinquishMailbox"
METHODS = {CREATE: "POST", UPDATE: "PUT", READ: "POST", PREVIEW: "GET", DELETE: "DELETE",
           RELINQUISH: "PATCH"}

KEY_OCTETS = {"AEAD_AES_128_GCM": 16, "AEAD_AES_256_GCM": 32}
LEGACY_TYPES = {"AES128": "AEAD_AES_128_GCM", "AES256": "AEAD_AES_256_GCM"}
IV_OCTETS = 12
TAG_OCTETS = 16
MAX_REQUEST = 64 * 1024
MAX_RESPONSE = 256 * 1024
MAX_DEPTH = 16


class DraftError(Exception):
    """What a peer sent is not what the draft says; `name` is the class of the error."""

    def __init__(self, name, detail=""):
        super().__init__(name + (": " + detail if detail else ""))
        self.name = name


# --- Base64 ------------------------------------------------------------------------------------------


def base64_decode(text):
    """Standard or URL-safe, padded or not; nothing else, and each value in one spelling alone."""
    if not isinstance(text, str):
        raise DraftError("base64", "not a string")
    standard, url_safe = re.compile(r"[A-Za-z0-9+/]*"), re.compile(r"[A-Za-z0-9_-]*")
    bare = text.rstrip("=")
    padding = len(text) - len(bare)
    if padding and (len(text) % 4 or padding > 2):
        raise DraftError("base64", "padding")
    if standard.fullmatch(bare):
        alphabet = b"+/"
    elif url_safe.fullmatch(bare):
        alphabet = b"-_"
    else:
        raise DraftError("base64", "alphabet")
    if len(bare) % 4 == 1:
        raise DraftError("base64", "length")
    try:
        octets = base64.b64decode(bare + "=" * (-len(bare) % 4), alphabet, validate=alphabet == b"+/")
    except binascii.Error as error:
        raise DraftError("base64", str(error)) from error
    if base64.b64encode(octets, alphabet).decode().rstrip("=") != bare:
        raise DraftError("base64", "stray bits")
    return octets


def base64_encode(octets):
    return base64.b64encode(octets).decode()


# --- JSON --------------------------------------------------------------------------------------------


def _object_without_duplicates(pairs):
    value = {}
    for name, member in pairs:
        if name in value:
            raise DraftError("json", "duplicate member")
        value[name] = member
    return value


def _depth(value):
    if isinstance(value, dict):
        return 1 + max(map(_depth, value.values()), default=0)
    if isinstance(value, list):
        return 1 + max(map(_depth, value), default=0)
    return 0


def _refuse_constant(name):
    raise DraftError("json", name)


def json_parse(octets):
    """UTF-8, no duplicate members, no NaN, not deeper than anything of the draft would need."""
    try:
        value = json.loads(octets.decode("utf-8"), object_pairs_hook=_object_without_duplicates,
                           parse_constant=_refuse_constant)
        if _depth(value) > MAX_DEPTH:
            raise DraftError("json", "too deep")
        json.dumps(value, ensure_ascii=False).encode("utf-8")  # half a surrogate pair is no text
    except (ValueError, RecursionError) as error:
        raise DraftError("json", type(error).__name__) from error
    return value


def json_bytes(value):
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode("utf-8")


# --- UUIDs and times ---------------------------------------------------------------------------------

UUID = re.compile(r"[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}")
TIME = re.compile(r"(\d{4})-(\d\d)-(\d\d)T(\d\d):(\d\d):(\d\d)(Z|\+00:00|\+0000)")


def is_uuid(text):
    return isinstance(text, str) and bool(UUID.fullmatch(text))


def new_uuid():
    return str(uuid.uuid4())


def time_parse(text):
    """Seconds since 1970 of an RFC 3339 time in UTC; also in the spellings of older drafts."""
    match = TIME.fullmatch(text) if isinstance(text, str) else None
    if not match:
        raise DraftError("expiration", "form")
    try:
        moment = datetime.datetime(*map(int, match.groups()[:6]), tzinfo=datetime.timezone.utc)
    except ValueError as error:
        raise DraftError("expiration", str(error)) from error
    return int(moment.timestamp())


def time_text(seconds):
    moment = datetime.datetime.fromtimestamp(int(seconds), datetime.timezone.utc)
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


# --- Share URL ---------------------------------------------------------------------------------------

ShareUrl = collections.namedtuple(
    "ShareUrl", "host port api_version mailbox_id vertical secret_text secret api_url warning")
VERTICALS = ("a", "h", "c")


def secret_parse(text):
    """The Secret of a fragment: one layer of percent-encoding, never form-decoding."""
    try:
        octets = base64_decode(urllib.parse.unquote(text, errors="strict"))
    except UnicodeDecodeError as error:
        raise DraftError("base64", "not UTF-8") from error
    if len(octets) not in KEY_OCTETS.values():
        raise DraftError("secret-length", str(len(octets)))
    return octets


def share_url_parse(text, *, hosts=None, ports=(443,), ip_literals=False):
    """Takes a share URL apart. `hosts` is the list of relays that a recipient trusts."""
    scheme, separator, rest = text.partition("://")
    if not separator or scheme.lower() != "https":
        raise DraftError("scheme-not-https")
    rest, hash_sign, fragment = rest.partition("#")
    rest, _, query = rest.partition("?")
    authority, slash, path = rest.partition("/")
    if "@" in authority:
        raise DraftError("userinfo")
    match = re.fullmatch(r"(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9.-]+)(?::([0-9]{1,5}))?", authority)
    if not match:
        raise DraftError("host")
    host, port = match[1].lower(), int(match[2] or 443)
    if port not in ports:
        raise DraftError("port")
    try:
        ipaddress.ip_address(host.strip("[]"))
        if not ip_literals:
            raise DraftError("host", "IP literal")
    except ValueError:
        pass
    if hosts is not None and host not in hosts:
        raise DraftError("host", "not on the list")
    match = re.fullmatch(r"/(v[0-9]+)/m/([^/]*)", slash + path)
    if not match:
        raise DraftError("path")
    if not is_uuid(match[2]):
        raise DraftError("mailbox-id")
    verticals = urllib.parse.parse_qs(query, keep_blank_values=True).get("v", ["a"])
    vertical = verticals[0] if len(verticals) == 1 and verticals[0] in VERTICALS else "a"
    return ShareUrl(
        host=host, port=port, api_version=match[1], mailbox_id=match[2].lower(), vertical=vertical,
        secret_text=fragment if hash_sign else None,
        secret=secret_parse(fragment) if hash_sign else None,
        api_url="https://" + rest,
        warning=None if verticals == [vertical] else "vertical")


def share_url_build(url_link, secret, vertical="a"):
    """The relay's urlLink as it is, with what only the two parties know."""
    query = "" if vertical == "a" else "?v=" + vertical
    return url_link + query + "#" + base64_encode(secret)


# --- Payload -----------------------------------------------------------------------------------------


def payload_seal(kind, secret, plaintext, iv=None):
    if len(secret) != KEY_OCTETS[kind]:
        raise DraftError("key-length")
    iv = os.urandom(IV_OCTETS) if iv is None else iv
    return {"type": kind, "data": base64_encode(iv + AESGCM(secret).encrypt(iv, plaintext, b""))}


def payload_open(payload, secret, *, legacy=False):
    """The plaintext of a payload; type before key, key before Base64, Base64 before length."""
    kind = payload.get("type")
    if legacy:
        kind = LEGACY_TYPES.get(kind, kind)
    if kind not in KEY_OCTETS:
        raise DraftError("unsupported-type")
    if len(secret) != KEY_OCTETS[kind]:
        raise DraftError("key-length")
    blob = base64_decode(payload.get("data"))
    if len(blob) < IV_OCTETS + TAG_OCTETS:
        raise DraftError("too-short")
    try:
        return AESGCM(secret).decrypt(blob[:IV_OCTETS], blob[IV_OCTETS:], b"")
    except InvalidTag as error:
        raise DraftError("auth") from error


def provisioning_parse(plaintext):
    """The Provisioning Information: `format` and `content`; other members are no concern of ours."""
    try:
        value = json_parse(plaintext)
    except DraftError as error:
        raise DraftError("provisioning-info", str(error)) from error
    if not isinstance(value, dict) or not isinstance(value.get("format"), str):
        raise DraftError("provisioning-info", "format")
    if not isinstance(value.get("content"), dict):
        raise DraftError("provisioning-info", "content")
    return value


def payload_digest(payload):
    """What is remembered of a payload to know it again: SHA-256 of the blob, not of its spelling."""
    return hashlib.sha256(base64_decode(payload["data"])).digest()


# --- Requests and answers ----------------------------------------------------------------------------

Request = collections.namedtuple("Request", "operation method path headers body")
Answer = collections.namedtuple("Answer", "status headers body")


def request_build(operation, path, *, claim=None, request_id=None, json_body=None):
    headers = {}
    if request_id is not None:
        headers[REQUEST_ID] = request_id
    if claim is not None and operation != PREVIEW:
        headers[DEVICE_CLAIM] = claim
    body = b""
    if json_body is not None:
        headers["Content-Type"] = "application/json"
        body = json_bytes(json_body)
        if len(body) > MAX_REQUEST:
            raise DraftError("request-size")
    return Request(operation, METHODS[operation], path, headers, body)


def create_body(payload, display, *, rights=None, expiration=None, token=None):
    body = {"payload": payload, "displayInformation": display}
    if token is not None:
        body["notificationToken"] = token
    if expiration is not None:
        body["mailboxConfiguration"] = {"expiration": time_text(expiration)}
        if rights is not None:
            body["mailboxConfiguration"]["accessRights"] = rights
    return body


def update_body(payload, token=None):
    return {"payload": payload} if token is None else {"payload": payload, "notificationToken": token}


RETRY = frozenset((408, 425, 429, 500, 502, 503, 504))


def _body_of(operation, answer):
    """The members that a 200 promises, or DraftError. A flag that is missing means false."""
    if operation in (DELETE, RELINQUISH, PREVIEW):
        return {}
    body = json_parse(answer.body)
    if not isinstance(body, dict):
        raise DraftError("json", "not an object")
    if operation == CREATE and not isinstance(body.get("urlLink"), str):
        raise DraftError("answer", "urlLink")
    if operation == READ:
        if isinstance(body.get("payload"), str):  # one table of the draft says so
            body["payload"] = json_parse(body["payload"].encode("utf-8"))
        payload = body.get("payload")
        if not isinstance(payload, dict):
            raise DraftError("answer", "payload")
        if not isinstance(payload.get("type"), str) or not isinstance(payload.get("data"), str):
            raise DraftError("answer", "payload members")
        if not isinstance(body.get("displayInformation"), dict):
            raise DraftError("answer", "displayInformation")
        time_parse(body.get("expiration"))
    body.setdefault("isPushNotificationSupported", False)
    return body


def answer_judge(operation, answer, request_id=None):
    """What an answer means to who asked: (word, body). Words: done, again (same ID), again-new-id,
    new-claim, gone, claimed, unauthorised, no-right, permanent, unusable (as no answer at all).
    `answer` is None when none came."""
    if answer is None or len(answer.body) > MAX_RESPONSE:
        return "again" if answer is None else "permanent", None
    echo = answer.headers.get(REQUEST_ID)
    if request_id is not None and echo is not None and echo.lower() != request_id.lower():
        return "unusable", None
    status = answer.status
    if status in RETRY:
        return "again", None
    if status == 401:
        return "claimed" if operation == READ else "unauthorised", None
    if status == 403:
        return "unauthorised" if operation in (CREATE, RELINQUISH) else "no-right", None
    if status == 404:
        return {DELETE: "done", CREATE: "permanent"}.get(operation, "gone"), None
    if not 200 <= status < 300:
        return "permanent", None
    if status == 201 and operation == UPDATE:
        return "done", {}
    try:
        return "done", _body_of(operation, answer)
    except DraftError:
        if status == 201:
            return {CREATE: "new-claim", READ: "again-new-id"}.get(operation, "permanent"), None
        return "permanent", None


class ReplayGuard:
    """Tells news from what the relay hands back: AEAD alone knows neither order nor direction."""

    def __init__(self):
        self.seen = set()
        self.last = None
        self.stale = 0

    def wrote(self, payload):
        self.last = payload_digest(payload)
        self.seen.add(self.last)

    def judge(self, payload):
        """`same` (nothing happened), `stale` (an older one: alarm) or `new`."""
        digest = payload_digest(payload)
        if digest == self.last:
            return "same"
        if digest in self.seen:
            self.stale += 1
            return "stale"
        return "new"

    def accepted(self, payload):
        self.wrote(payload)

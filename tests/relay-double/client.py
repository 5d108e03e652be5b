"""Both parties of a transfer, over both drafts, as their text alone has them: a Draft V initiator and
recipient, and a Draft R run with a server in between. Used against our own relay and against the C one.
"""

import http.client
import ssl
import time
import urllib.parse

import draft_v
from draft_v import CREATE, DELETE, READ, RELINQUISH, UPDATE, Answer, DraftError

TIMEOUT = 60
ATTEMPTS = 8


class Ended(Exception):
    """A request that will not succeed; `word` is that of draft_v.answer_judge."""

    def __init__(self, operation, word, status=None):
        super().__init__("%s: %s (%s)" % (operation, word, status))
        self.word = word
        self.status = status


class Https:
    """One connection to one host, made again when it is gone. No cookies, no redirects."""

    def __init__(self, url, ca_file):
        parts = urllib.parse.urlsplit(url)
        if parts.scheme != "https":
            raise DraftError("scheme-not-https")
        self.origin = "https://" + parts.netloc
        context = ssl.create_default_context(cafile=ca_file)
        self.connection = http.client.HTTPSConnection(
            parts.hostname, parts.port or 443, timeout=TIMEOUT, context=context)

    def send(self, method, path, headers=None, body=b""):
        """The Answer, or None when none came."""
        headers = dict(headers or {})
        if method in ("POST", "PUT"):
            headers["Content-Length"] = str(len(body))
        try:
            self.connection.request(method, path, body or None, headers)
            response = self.connection.getresponse()
            answer = Answer(response.status, response.headers,
                            response.read(draft_v.MAX_RESPONSE + 1))
            if not response.isclosed():
                self.connection.close()  # it is longer than we care to know
            return answer
        except (OSError, http.client.HTTPException):
            self.connection.close()
            return None

    def close(self):
        self.connection.close()


class Party:
    """A claim, a Secret and what it has seen of one mailbox."""

    def __init__(self, url, ca_file, claim=None):
        self.https = Https(url, ca_file)
        self.claim = claim or draft_v.new_uuid()
        self.secret = None
        self.path = None
        self.guard = draft_v.ReplayGuard()
        self.my_turn = False

    def ask(self, operation, path, *, request_id=None, json_body=None):
        """One request, repeated with the same ID for as long as the answer allows; (status, body)."""
        request_id = request_id or draft_v.new_uuid()
        for attempt in range(ATTEMPTS):
            request = draft_v.request_build(operation, path, claim=self.claim,
                                            request_id=request_id, json_body=json_body)
            answer = self.https.send(request.method, request.path, request.headers, request.body)
            word, body = draft_v.answer_judge(operation, answer, request_id)
            if word == "done":
                return answer.status, body
            if word == "again-new-id":
                request_id = draft_v.new_uuid()
            elif word not in ("again", "unusable"):
                raise Ended(operation, word, answer.status)
            time.sleep(0.02 * 2 ** attempt)
        raise Ended(operation, word, answer and answer.status)

    def read(self):
        """The plaintext that is news, or None; DraftError when it cannot be read."""
        _, body = self.ask(READ, self.path)
        verdict = self.guard.judge(body["payload"])
        if verdict == "stale":
            raise DraftError("stale")
        if verdict == "same":
            return None
        plaintext = draft_v.payload_open(body["payload"], self.secret)
        self.guard.accepted(body["payload"])
        self.my_turn = True
        return plaintext

    def write(self, plaintext, request_id=None, token=None):
        """Our next message. A mailbox has one slot: not before the other's has been read."""
        if not self.my_turn:
            raise DraftError("turn")
        kind = next(name for name, octets in draft_v.KEY_OCTETS.items()
                    if octets == len(self.secret))
        payload = draft_v.payload_seal(kind, self.secret, plaintext)
        status, _ = self.ask(UPDATE, self.path, request_id=request_id,
                             json_body=draft_v.update_body(payload, token))
        self.guard.wrote(payload)
        self.my_turn = False
        return status

    def preview(self):
        return self.https.send("GET", self.path)

    def delete(self, request_id=None):
        return self.ask(DELETE, self.path, request_id=request_id)[0]

    def close(self):
        self.https.close()


class Initiator(Party):
    def create(self, plaintext, display, *, secret, rights="RWD", expiration=None, vertical="a",
               token=None, request_id=None):
        """Makes the mailbox; returns the share URL. A duplicate without a URL is given up for good."""
        self.secret = secret
        kind = next(name for name, octets in draft_v.KEY_OCTETS.items() if octets == len(secret))
        payload = draft_v.payload_seal(kind, secret, plaintext)
        expiration = expiration or time.time() + 48 * 3600
        body = draft_v.create_body(payload, display, rights=rights, expiration=expiration, token=token)
        _, answer = self.ask(CREATE, "/v1/m", request_id=request_id, json_body=body)
        self.guard.wrote(payload)
        link = answer["urlLink"]
        self.path = urllib.parse.urlsplit(link).path
        return draft_v.share_url_build(link, secret, vertical)


class Recipient(Party):
    def __init__(self, share_url, ca_file, claim=None, ports=(443,)):
        parsed = draft_v.share_url_parse(share_url, ports=ports)
        super().__init__(parsed.api_url, ca_file, claim)
        self.secret = parsed.secret
        self.path = urllib.parse.urlsplit(parsed.api_url).path

    def relinquish(self, request_id=None):
        return self.ask(RELINQUISH, self.path, request_id=request_id)[0]


class RunClient:
    """Moves the messages of a Draft R run. Each step says what must be stored before it."""

    def __init__(self, run, ca_file):
        self.run = run
        self.https = Https(run.template, ca_file)

    def send(self, method, url, headers=None, body=b""):
        for attempt in range(ATTEMPTS):
            answer = self.https.send(method, urllib.parse.urlsplit(url).path, headers, body)
            if answer is not None and answer.status not in draft_v.RETRY:
                return answer
            time.sleep(0.02 * 2 ** attempt)
        raise Ended(method, "again", answer and answer.status)

    def acknowledge(self):
        """Deletes what was taken: before anything is written."""
        if self.run.to_delete:
            answer = self.send("DELETE", self.run.to_delete)
            if answer.status not in (200, 204, 404):
                raise Ended("DELETE", "permanent", answer.status)
            self.run.deleted()

    def write(self, message, random=None):
        self.acknowledge()
        if self.run.pending is None:
            self.run.make(message, random)
        url = self.run.url()
        answer = self.send("PUT", url, {"If-None-Match": "*",
                                         "Content-Type": "application/octet-stream"},
                            self.run.pending)
        if answer.status == 412:
            there = self.send("GET", url)
            if there.status != 404 and there.body != self.run.pending:
                self.run.abort("race-lost")
        elif answer.status not in (201, 204):
            raise Ended("PUT", "permanent", answer.status)
        self.run.sent()

    def read(self):
        """The peer's next message, or None while there is none. Deleted as soon as it was taken."""
        answer = self.send("GET", self.run.url())
        if answer.status == 404:
            return None
        if answer.status != 200:
            raise Ended("GET", "permanent", answer.status)
        message = self.run.take(answer.body)
        self.acknowledge()
        return message

    def close(self):
        self.https.close()


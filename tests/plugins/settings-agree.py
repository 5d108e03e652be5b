"""That vestibuled, with --check and without, and the programs of the channels have the same verdicts:
whatever vestibule-sms and vestibule-email refuse with status 78 is found before they start, with a line
and in words, and what they take is taken. What they take though it can never work, --check refuses alone.

Usage: settings-agree.py VESTIBULED VESTIBULE_SMS VESTIBULE_EMAIL      prints TAP
"""

import base64
import os
import shutil
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, ".."))
from harness import tap  # noqa: E402
from harness.frames import Gateway  # noqa: E402
from harness.server_folder import free_port  # noqa: E402

VESTIBULED, SMS, EMAIL = sys.argv[1:4]
FAR = "255.255.255.255"  # another machine, to which no packet leaves
FOLDER = tempfile.mkdtemp(prefix="vestibule-agree-")
OF_THIS_MACHINE = ("there is no file", "there is no certificate")  # as the user sees it who asks
GOOD, BAD, NEVER = "both take it", "both refuse it", "only --check refuses it"

CREDENTIALS = {
    "smpp-password": "secret", "kannel-password": "secret", "callback-path": "A" * 22, "rest-token": "0123456789abcdef",
    "mail-key": base64.b64encode(bytes(range(32))).decode(), "submit-password": "secret", "imap-password": "secret",
}

REST_OF_IT = """
relay main {
  url = "https://relay.example"
}
policy hotel {
  class = hotel
  channels = { %s }
}
"""


def path(name):
    return os.path.join(FOLDER, name)


BASES = {
    "smpp": {"driver": "smpp", "sender": "+4930901820", "countries": ["DE"], "host": "127.0.0.1"},
    "kannel": {"driver": "kannel", "sender": "70700", "countries": ["DE"], "username": "gateway",
               "url": "http://127.0.0.1:9/cgi-bin/sendsms", "listen": "127.0.0.1:0",
               "callback_url": "http://127.0.0.1:9"},
    "rest": {"driver": "rest", "sender": "+4930901820", "countries": ["DE"], "url": "https://%s/2010-04-01" % FAR,
             "account": "AC1", "listen": "127.0.0.1:0", "callback_url": "https://keys.example/sms"},
    "modem": {"driver": "modem", "countries": ["DE"]},
    "lmtp": {"from": "keys@hotel.example", "receive": ["lmtp:" + path("lmtp.sock")]},
    "maildir": {"from": "keys@hotel.example", "receive": ["maildir:" + path("Maildir")]},
    "imap": {"from": "keys@hotel.example", "receive": ["imaps://127.0.0.1:9/INBOX"], "imap_username": "keys"},
}

# Of which base, what is different (None: it is not there), the verdict, and words of --check.
CASES = [
    *((name, {}, GOOD, "") for name in BASES),

    # Every SMS channel.
    ("modem", {"countries": None}, BAD, "countries is missing"),
    ("modem", {"countries": ["UK"]}, BAD, "GB is meant"),
    ("modem", {"countries": ["DE", "XX"]}, BAD, "no country XX"),
    ("modem", {"countries": ["GB", "XK", "AC", "PR"]}, GOOD, ""),
    ("modem", {"countries": ["de"]}, BAD, "two capital letters"),
    ("modem", {"quiet_hours": ""}, GOOD, ""),
    ("modem", {"quiet_hours": "22:00-06:30"}, GOOD, ""),
    ("modem", {"quiet_hours": "22-6"}, BAD, "quiet_hours must be"),
    ("modem", {"quiet_hours": "00:00-24:00"}, BAD, "quiet_hours must be"),
    ("modem", {"segments": "255"}, GOOD, ""),
    ("modem", {"segments": "256"}, BAD, "segments must be"),
    ("modem", {"segments": "0"}, BAD, "segments must be"),
    ("modem", {"segments": "1"}, NEVER, "segments = 1"),
    ("modem", {"per_minute": "0"}, BAD, "per_minute must be"),
    ("modem", {"burst": "1000001"}, BAD, "burst must be"),
    ("modem", {"country_code": "49"}, GOOD, ""),
    ("modem", {"country_code": "049"}, BAD, "country_code must be"),
    ("smpp", {"driver": "pigeon"}, BAD, "driver must be"),
    ("smpp", {"sender": None}, BAD, "sender is missing"),
    ("smpp", {"sender": "0157359"}, GOOD, ""),
    ("smpp", {"sender": "+0157359"}, BAD, "sender must be"),
    ("smpp", {"sender": "HotelAdlerBonn"}, BAD, "sender must be"),
    ("smpp", {"sender": "Hotel Adler"}, NEVER, "nobody can answer a name"),
    ("modem", {"sender": "Hotel Adler"}, GOOD, ""),

    # Each driver.
    ("modem", {"modem": "any"}, GOOD, ""),
    ("modem", {"modem": "490154203237518"}, GOOD, ""),
    ("modem", {"modem": "A0000012345678"}, GOOD, ""),
    ("modem", {"modem": "/dev/ttyUSB0"}, BAD, "modem must be"),
    ("smpp", {"host": None}, BAD, "host is missing"),
    ("smpp", {"host": FAR}, BAD, "tls = yes, or tls = no"),
    ("smpp", {"host": FAR, "tls": "no"}, GOOD, ""),
    ("smpp", {"host": FAR, "tls": "yes"}, GOOD, ""),
    ("smpp", {"host": "127.3.2.1"}, GOOD, ""),
    ("smpp", {"host": "::1"}, GOOD, ""),
    ("smpp", {"host": "127.0.0.1.example.com"}, BAD, "tls = yes, or tls = no"),
    ("smpp", {"host": "localhost.example.com"}, BAD, "tls = yes, or tls = no"),
    ("smpp", {"host": "[::1]"}, BAD, "tls = yes, or tls = no"),
    ("smpp", {"host": FAR, "tls": "yes", "ca_file": path("no.pem")}, BAD, "there is no file"),
    ("smpp", {"host": FAR, "tls": "yes", "ca_file": __file__}, BAD, "there is no certificate"),
    ("smpp", {"ca_file": path("no.pem")}, GOOD, ""),
    ("smpp", {"port": "65536"}, BAD, "port must be"),
    ("smpp", {"window": "1000"}, GOOD, ""),
    ("smpp", {"window": "1001"}, BAD, "window must be"),
    ("smpp", {"system_id": "a" * 15}, GOOD, ""),
    ("smpp", {"system_id": "a" * 16}, BAD, "system_id is longer than 15"),
    ("smpp", {"system_type": "a" * 13}, BAD, "system_type is longer than 12"),
    ("smpp", {"alphabet": "utf8"}, BAD, "alphabet must be"),
    ("smpp", {"one_is_gsm7": "maybe"}, BAD, "one_is_gsm7 must be"),
    ("smpp", {"packed": "yes", "alphabet": "latin1", "enquire_seconds": "3600"}, GOOD, ""),
    ("smpp", {"enquire_seconds": "3601"}, BAD, "enquire_seconds must be"),
    ("kannel", {"username": None}, BAD, "username is missing"),
    ("kannel", {"url": None}, BAD, "url is missing"),
    ("kannel", {"url": "ftp://127.0.0.1/"}, BAD, "url must start with"),
    ("kannel", {"url": "http://gateway@127.0.0.1/"}, BAD, "url must start with"),
    ("kannel", {"url": "http://%s/cgi-bin/sendsms" % FAR}, GOOD, ""),
    ("kannel", {"url": "http://[::1]:9/cgi-bin/sendsms"}, GOOD, ""),
    ("kannel", {"window": "64"}, GOOD, ""),
    ("kannel", {"window": "65"}, BAD, "window must be"),
    ("kannel", {"listen": "127.0.0.1:%d" % free_port(), "callback_url": None}, GOOD, ""),
    ("kannel", {"callback_url": None}, NEVER, "nobody can call port 0"),
    ("kannel", {"listen": "13200"}, BAD, "listen must be"),
    ("kannel", {"listen": "localhost:13200"}, BAD, "listen must be"),
    ("kannel", {"callback_url": "keys.example"}, BAD, "callback_url must start with"),
    ("rest", {"account": None}, BAD, "account is missing"),
    ("rest", {"account": "AC/1"}, BAD, "account must be"),
    ("rest", {"callback_url": None}, BAD, "callback_url is missing"),
    ("rest", {"callback_url": "http://keys.example/sms"}, GOOD, ""),
    ("rest", {"url": None}, BAD, "url is missing"),
    ("rest", {"url": "http://%s/" % FAR}, BAD, "url must start with https://"),
    ("rest", {"url": "http://127.0.0.2:9/"}, BAD, "url must start with https://"),
    ("rest", {"url": "http://LOCALHOST:9/"}, GOOD, ""),
    ("rest", {"url": "http://localhost.example.com/"}, BAD, "url must start with https://"),
    ("rest", {"url": "http://127.0.0.1.example.com/"}, BAD, "url must start with https://"),
    ("rest", {"callback_repeats": "no"}, GOOD, ""),
    ("rest", {"callback_repeats": "often"}, BAD, "callback_repeats must be"),
    ("rest", {"window": "65"}, BAD, "window must be"),
    ("rest", {"ca_file": path("no.pem")}, NEVER, "there is no file"),

    # Mail.
    ("lmtp", {"from": None}, BAD, "from is missing"),
    ("lmtp", {"from": "keys"}, BAD, "from must be"),
    ("lmtp", {"from": "keys%40hotel.example"}, GOOD, ""),
    ("lmtp", {"from": "Keys <keys@hotel.example>"}, BAD, "from must be"),
    ("lmtp", {"from": "schlüssel@hotel.example", "mailbox": "keys"}, BAD, "must be ASCII"),
    ("lmtp", {"from": "keys@hotel-müller.example"}, GOOD, ""),
    ("lmtp", {"from": "k" * 20 + "@hotel.example"}, GOOD, ""),
    ("lmtp", {"from": "k" * 21 + "@hotel.example"}, BAD, "mailbox must name a shorter one"),
    ("lmtp", {"from": "k" * 21 + "@hotel.example", "mailbox": "keys"}, GOOD, ""),
    ("lmtp", {"from": "keys!@hotel.example"}, BAD, "from"),
    ("lmtp", {"mailbox": "k" * 21}, BAD, "mailbox must be at most 20"),
    ("lmtp", {"mailbox": ".keys"}, BAD, "mailbox must be"),
    ("lmtp", {"mailbox": "", "domain": "keys.hotel.example"}, GOOD, ""),
    ("lmtp", {"domain": "hotel_example"}, BAD, "domain must be"),
    ("lmtp", {"domain": "a@hotel.example"}, BAD, "domain must be"),
    ("lmtp", {"domain": "hotel-müller.example"}, GOOD, ""),
    ("lmtp", {"name": "Hotel Müller"}, GOOD, ""),
    ("lmtp", {"name": "M" * 257}, BAD, "name must be"),
    ("lmtp", {"name": "Hotel\x85Müller"}, BAD, "name must be"),
    ("lmtp", {"name": "Hotel\u2028Müller"}, BAD, "name must be"),
    ("lmtp", {"name": "Hotel \u202erelluM"}, BAD, "name must be"),
    ("lmtp", {"name": "מלון\u200f 7"}, GOOD, ""),
    ("lmtp", {"separator": "-"}, GOOD, ""),
    ("lmtp", {"separator": "++"}, BAD, "separator must be"),
    ("lmtp", {"separator": "#"}, BAD, "separator must be"),
    ("lmtp", {"submit": "http://mail.example"}, BAD, "submit must be"),
    ("lmtp", {"submit": "smtp://mail.example/path"}, BAD, "submit must be"),
    ("lmtp", {"submit": "smtp://u@mail.example"}, BAD, "submit must be"),
    ("lmtp", {"submit": "smtp://[::1]:9/"}, GOOD, ""),
    ("lmtp", {"submit": "smtps://%s:465" % FAR, "username": "keys", "starttls": "no"}, GOOD, ""),
    ("lmtp", {"submit": "smtp://%s:587" % FAR, "username": "keys"}, GOOD, ""),
    ("lmtp", {"submit": "smtp://%s:587" % FAR, "username": "keys", "starttls": "no"}, BAD, "password could go"),
    ("lmtp", {"submit": "smtp://%s:587" % FAR, "username": "keys", "starttls": "if-offered"}, BAD, "password could"),
    ("lmtp", {"submit": "smtp://%s:25" % FAR, "starttls": "no"}, GOOD, ""),
    ("lmtp", {"submit": "smtp://localhost.example.com", "username": "keys", "starttls": "no"}, BAD, "password could"),
    ("lmtp", {"submit": "smtp://127.0.0.1.example.com", "username": "keys", "starttls": "no"}, BAD, "password could"),
    ("lmtp", {"submit": "smtp://127.0.0.1:9", "username": "keys", "starttls": "no"}, GOOD, ""),
    ("lmtp", {"starttls": "maybe"}, BAD, "starttls must be"),
    ("lmtp", {"ca_file": path("no.pem")}, BAD, "there is no file"),
    ("lmtp", {"ca_file": __file__}, NEVER, "there is no certificate"),
    ("lmtp", {"window": "0"}, BAD, "window must be"),
    ("lmtp", {"window": "65"}, GOOD, ""),
    ("lmtp", {"receive": None}, NEVER, "answers would not come in"),
    ("lmtp", {"receive": ["pop3://mail.example"]}, BAD, "receive must hold"),
    ("lmtp", {"receive": ["lmtp:lmtp.sock"]}, BAD, "receive must hold"),
    ("lmtp", {"receive": ["lmtp:/" + "a" * 107]}, BAD, "receive must hold"),
    ("maildir", {"receive": ["maildir:Maildir"]}, BAD, "receive must hold"),
    ("maildir", {"receive": ["maildir:" + path("Maildir%d" % i) for i in range(8)]}, GOOD, ""),
    ("maildir", {"receive": ["maildir:" + path("Maildir%d" % i) for i in range(9)]}, BAD, "more than 8"),
    ("imap", {"imap_username": None}, BAD, "imap_username is missing"),
    ("imap", {"imap_username": "k" * 501}, BAD, "imap_username is longer"),
    ("imap", {"receive": ["imaps://127.0.0.1/"]}, GOOD, ""),
    ("imap", {"receive": ["imaps://127.0.0.1"]}, GOOD, ""),
    ("imap", {"receive": ["imaps://127.0.0.1:99999/INBOX"]}, BAD, "receive must hold"),
    ("imap", {"receive": ["imaps://keys@127.0.0.1/INBOX"]}, BAD, "receive must hold"),
    ("imap", {"receive": ["imaps://127.0.0.1/Schl%C3%BCssel"]}, GOOD, ""),
    ("imap", {"receive": ["imaps://127.0.0.1/Schl%FCssel"]}, BAD, "receive must hold"),
    ("imap", {"receive": ["imaps://127.0.0.1/In%0Abox"]}, BAD, "receive must hold"),
    ("imap", {"receive": ["imap://127.0.0.1/INBOX"]}, BAD, "receive must hold"),
    ("imap", {"poll_seconds": "86400"}, GOOD, ""),
    ("imap", {"poll_seconds": "86401"}, BAD, "poll_seconds must be"),
]

# What a section without `driver` or `from` hands on to a program that is none of ours.
OTHERS = [
    ("sms", {"url": "serial:/dev/ttyS0"}),
    ("sms", {"tls": "maybe", "ca_file": path("no.pem")}),
    ("email", {"submit": ""}),
    ("email", {"submit": "uucp:", "domain": "a b", "username": "keys"}),
]


def quoted(value):
    return '"%s"' % value


def gateway(channel, settings, *options):
    """The status of vestibuled, and what it said. It gets no credentials, so that it does not start."""
    lines = ["channel %s {" % channel]
    for key, value in settings.items():
        if isinstance(value, dict):
            lines.append("  %s {\n%s\n  }" % (key, "\n".join("    %s = %s" % (k, quoted(v)) for k, v in value.items())))
            continue
        lines.append("  %s = %s" % (key, "{ %s }" % ", ".join(map(quoted, value)) if isinstance(value, list)
                                    else quoted(value)))
    lines.append("}" + REST_OF_IT % channel)
    name = path("vestibule.conf")
    with open(name, "w") as file:
        file.write("\n".join(lines))
    environment = {"PATH": os.environ.get("PATH", "/usr/bin:/bin"),
                   "VESTIBULE_TEMPLATES": os.path.join(HERE, "..", "..", "gateway", "templates"),
                   **{k: v for k, v in os.environ.items() if k.endswith("SAN_OPTIONS")}}
    result = subprocess.run([VESTIBULED, *options, "--config", name], env=environment, text=True,
                            capture_output=True, timeout=60)
    return result.returncode, result.stderr.replace(FOLDER, "")


def program(channel, settings):
    """The status with which the program ends over these settings, None where it takes them; and its log."""
    scripted = Gateway(SMS if channel == "sms" else EMAIL, channel, settings, CREDENTIALS)
    try:
        scripted.start()
        asked = scripted.ask("no-such-question")
        scripted.wait(lambda: scripted.closed or asked in scripted.answers, 60, "it ends, or answers")
        ended = scripted.closed
        status = scripted.stop()
        return (status if ended else None), scripted.errors_text()
    finally:
        scripted.stop()
        scripted.remove()


def agree(base, changes, verdict, words):
    channel = "sms" if "driver" in BASES[base] else "email"
    settings = {key: value for key, value in {**BASES[base], **changes}.items() if value is not None}
    status, said = gateway(channel, settings, "--check")
    started, logged = gateway(channel, settings)
    ended, errors = program(channel, settings)
    assert status == (0 if verdict == GOOD else 78), "--check: %s %s" % (status, said)
    assert ended == (78 if verdict == BAD else None), "the program: %s %s" % (ended, errors)
    assert started == 78 and ("root.key" in logged) == (verdict == GOOD or words in OF_THIS_MACHINE), logged
    if verdict != GOOD:
        assert words in said, said
        assert words in logged or words in OF_THIS_MACHINE, logged
        place, _, sentence = said.partition(": channel %s: " % channel)
        assert sentence and place.rpartition(":")[2].isdigit(), said


def left_alone(channel, free):
    """Settings of another program for these addresses are handed on, whatever ours would say of them."""
    settings = {"exec": ["/usr/lib/another"], "settings": free}
    status, said = gateway(channel, settings, "--check")
    assert status == 0, "--check: %s %s" % (status, said)
    started, logged = gateway(channel, settings)
    assert started == 78 and "root.key" in logged and "channel %s:" % channel not in logged, logged


def case_of_another(channel, free):
    return "another program for %s with settings of its own, %s: left alone" % (channel, ", ".join(free)), \
        lambda: left_alone(channel, free)


def case_of(case):
    base, changes, verdict, _ = case
    shown = ", ".join("%s = %s" % (key, "nothing" if value is None else str(value)[:60])
                      for key, value in changes.items()).replace(FOLDER, "").replace("#", "hash")
    return "%s with %s: %s" % (base, shown or "what it needs", verdict), lambda: agree(*case)


if __name__ == "__main__":
    try:
        sys.exit(tap.run([case_of(case) for case in CASES] +
                         [case_of_another(*another) for another in OTHERS], sys.argv[4:]))
    finally:
        shutil.rmtree(FOLDER)

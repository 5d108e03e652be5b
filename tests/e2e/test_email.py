"""The whole story by mail, through a real Postfix and a real Dovecot, over each way in."""

import functools
import html
import itertools
import json
import os
import re
import shutil
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))

from harness import tap  # noqa: E402
from harness.mail_site import (  # noqa: E402
    PATIENCE, SENDERS, ImapRoute, LmtpRoute, MaildirRoute, MailGuest, MailGuestElsewhere, MailServers, MailSite,
    part_of)
from harness.vestibule import (  # noqa: E402
    TEMPLATES, events_of, hotel_policy, mistyped, options_of_test, plain, wrong_code)

PICTURE = "👩🏽🔑"  # all beyond the first 65,536 characters
CONTENT = {"token": "what opens the door", "text": "schön ✓ 🔑"}
STORY = ["created", "invitation_accepted", "mistyped", "wrong", "confirmed", "releasing", "released",
         "link_accepted", "ended"]
WORDS = {
    "en": ("a room key", "mistyped", "not right", "Open this link", SENDERS[0]),
    "de": ("einen Zimmerschlüssel", "Tippfehler", "stimmt nicht", "Öffnen Sie diesen Link",
           SENDERS[1]),
}
# How the mistyped, the wrong and the right code are written, and in which shape of mail. None of them is
# read right by who takes one encoding for another.
SHAPES = {
    "en": (("keycaps", ("plain", "utf-8", "quoted-printable")), ("wide", ("plain", "utf-8", "base64")),
           ("keycaps", ("html", "utf-8", "quoted-printable"))),
    "de": (("spaces", ("plain", "iso-8859-1", "8bit")), ("wide", ("html", "utf-8", "base64")),
           ("spaces", ("html", "iso-8859-1", "quoted-printable"))),
}
WRITING = {
    "keycaps": lambda code: "".join(digit + "\ufe0f\u20e3" for digit in plain(code)),
    "wide": lambda code: "".join(chr(0xff10 + int(digit)) for digit in plain(code)),
    "spaces": lambda code: "\xab" + "\xa0".join(plain(code)) + "\xbb",
}
SIGNATURE = "%s\n\n-- \nBob Müller 🙂, Gästezimmer 12"
ROUTES = {"lmtp": LmtpRoute, "maildir": MaildirRoute, "imap": ImapRoute}


def check_header(mail, guest):
    """What every mail of ours has, and what it has not."""
    assert mail["Auto-Submitted"] == "auto-generated"
    assert mail["From"].addresses[0].addr_spec == "keys@hotel.test"
    assert mail["From"].addresses[0].display_name == "Hotel Zürich 🏨", mail["From"]
    assert mail["To"].addresses[0].addr_spec == guest.mailbox
    assert re.fullmatch(r"<keys\+b[a-z0-9]{42}@hotel\.test>", mail["Return-Path"].strip())
    assert re.fullmatch(r"keys\+r[a-z0-9]{42}@hotel\.test", mail["Reply-To"].addresses[0].addr_spec)
    assert [part.get_content_type() for part in mail.iter_parts()] == ["text/plain", "text/html"]
    page = part_of(mail, "html")
    assert not re.search(r"<(img|script|style|link|iframe)|src=|url\(", page), page


def check_words(mail, *words):
    """That they stand in both parts, as somebody reads them who has nothing but the standards."""
    assert PICTURE in mail["Subject"], mail["Subject"]
    for text in part_of(mail, "plain"), html.unescape(part_of(mail, "html")):
        text = " ".join(text.split())
        assert all(word in text for word in (*words, PICTURE)), (words, text)
        assert "\ufffd" not in text and "Ã" not in text, text


def check_end(site, share, url):
    received = site.receive(url)
    assert received.returncode == 0, received.stderr
    assert json.loads(received.stdout)["content"] == CONTENT
    ended = site.wait_state(share, "completed")
    assert ended["cause"] == "mailbox_gone"
    return ended


def check_receipts(site, guest, share):
    """A server that puts mail into the mailbox itself says so; one that hands it on does not, and then
    nothing is said."""
    if not guest.delivery_is_reported:
        assert "delivered" not in events_of(site.show(share))
        return
    found = site.wait(share, lambda found: events_of(found).count("delivered") == 2, "both receipts",
                      timeout=PATIENCE)
    assert [entry["fact"] for entry in found["delivery"]].count("delivered") == 2, found["delivery"]


def tell_story(site, guest, locale):
    words = WORDS[locale]
    answers = [(WRITING[writing], shape) for writing, shape in SHAPES[locale]]
    share = site.create(guest.address, locale=locale, content=CONTENT, sender={"name": words[4]})
    claim = site.derivation().request(share["id"])
    invitation = guest.wait_mail(words[0])
    check_header(invitation, guest)
    check_words(invitation, words[0], words[4])
    assert words[4] in invitation["Subject"], invitation["Subject"]
    assert plain(share["code"]) not in plain(invitation.as_string())
    assert guest.urls() == set()

    writing, shape = answers[0]
    guest.answer(invitation, writing(mistyped(share["code"])), shape=shape)
    notice = guest.wait_mail(words[1])
    check_words(notice, words[1], words[4], share["tag"])
    assert notice["Reply-To"] == invitation["Reply-To"]
    writing, shape = answers[1]
    guest.answer(notice, SIGNATURE % writing(wrong_code(share["code"])), shape=shape)
    check_words(guest.wait_mail(words[2]), words[2], words[4])
    assert claim not in [line.get("request") for line in site.relay.requests()]
    writing, shape = answers[2]
    guest.answer(invitation, writing(share["code"]), shape=shape)
    link = guest.wait_mail(words[3])
    check_header(link, guest)
    check_words(link, words[3], words[4])
    assert claim in [line.get("request") for line in site.relay.requests()]
    for mail in (notice, link):  # one conversation in the guest's mail program
        assert mail["In-Reply-To"].strip() == mail["References"].strip() == invitation["Message-ID"]
    (url,) = guest.urls()
    assert url in part_of(link, "plain") and 'href="%s"' % url in part_of(link, "html").replace("&amp;", "&")
    check_receipts(site, guest, share)
    ended = check_end(site, share, url)
    events = events_of(ended)
    assert [event for event in events if event != "delivered"] == STORY, events


class PictureSite(MailSite):
    """An operator who puts an emoji into the subject and the text of every mail."""

    def environment(self, **more):
        templates = self.path("templates")
        if not os.path.exists(templates):
            shutil.copytree(TEMPLATES, templates)
            for locale, name in itertools.product(WORDS, ("invitation", "mistyped", "wrong", "link")):
                path = os.path.join(templates, locale, name)
                with open(path) as file:
                    lines = file.read().replace("({tag})", "%s ({tag})" % PICTURE, 1).rstrip()
                with open(path, "w") as file:
                    file.write("%s %s\n" % (lines, PICTURE))
        return super().environment(VESTIBULE_TEMPLATES=templates, **more)


class Tests:
    def __init__(self, options):
        self.build = options.build

    def story(self, route):
        """Two guests at a time. The mailbox of one is where Postfix hands the mail on to, and that of the
        other Postfix's own; where its answers come in without Dovecot, it has a name beyond ASCII."""
        with MailServers(ROUTES[route]()) as servers, PictureSite(self.build, servers) as site:
            name = "jürg" if servers.route.own_lmtp else "eva"
            guests = {"en": MailGuest(servers, "bob"), "de": MailGuestElsewhere(servers, name)}
            for _, wait_end in tap.side_by_side(
                    [(locale, functools.partial(tell_story, site, guest, locale)) for locale, guest in guests.items()]):
                wait_end()

    @tap.test
    def the_story_with_lmtp(self):
        self.story("lmtp")

    @tap.test
    def the_story_with_a_maildir(self):
        self.story("maildir")

    @tap.test
    def the_story_with_imap(self):
        self.story("imap")

    @tap.test
    def a_policy_may_want_senders_that_the_border_server_vouches_for(self):
        strong = hotel_policy("email").replace("code = D9", "code = D9\n  authentic = strong")
        with MailServers(LmtpRoute()) as servers, MailSite(self.build, servers, policies=strong) as site:
            guest = MailGuest(servers, "bob")
            share = site.create(guest.address, content=CONTENT)
            invitation = guest.wait_mail("a room key")
            forged = guest.reply_to(invitation, wrong_code(share["code"]))
            forged["Authentication-Results"] = "evil.test; dmarc=pass header.from=guests.test"
            forged["Authentication-Results"] = "mx.hotel.test; dmarc=pass header.from=guests.test"
            away = guest.reply_to(invitation, wrong_code(share["code"]), subject="Out of office")
            away["Auto-Submitted"] = "auto-replied"
            foreign = guest.reply_to(invitation, wrong_code(share["code"]))
            foreign.replace_header("From", "Bob <bob@elsewhere.test>")
            guest.answer(invitation, wrong_code(share["code"]), vouched=False)
            guest.send(forged, vouched=False)  # whose topmost field is another's: it proves nothing
            guest.send(away)
            guest.send(foreign)  # vouched for as guests.test, and from elsewhere
            servers.postfix.wait_empty()
            assert site.show(share)["attempts_left"] == 3
            # A new mail with what the guest knows, to the address that everybody sees.
            plainly = guest.reply_to(invitation, share["code"], subject="My code")
            plainly.replace_header("To", "keys@hotel.test")
            del plainly["In-Reply-To"], plainly["References"]
            guest.send(plainly)
            guest.wait_mail("Open this link")
            check_end(site, share, *guest.urls())

    @tap.test
    def a_bounce_that_comes_later_gives_way_to_the_next_channel(self):
        with MailServers(LmtpRoute()) as servers, MailSite(
                self.build, servers, channels=("email", "echo")) as site:
            phone = site.phone("echo:bob")
            share = site.create("mailto:nobody@guests.test", "echo:bob", content=CONTENT)
            phone.wait_message("invitation", timeout=PATIENCE)
            found = site.wait_event(share, "fallback")
            assert events_of(found)[:4] == ["created", "invitation_accepted", "not_delivered", "fallback"]
            phone.say(share["code"])
            link = phone.wait_message("link", timeout=PATIENCE)
            check_end(site, share, link["link"])

    @tap.test
    def an_address_that_the_mail_server_cannot_carry_gives_way_to_the_next_channel(self):
        with MailServers(LmtpRoute(), smtputf8="no") as servers, MailSite(
                self.build, servers, channels=("email", "echo")) as site:
            phone = site.phone("echo:bob")
            share = site.create("mailto:ju%CC%88rg@elsewhere.test", "echo:bob", content=CONTENT)
            phone.wait_message("invitation", timeout=PATIENCE)
            assert events_of(site.wait_event(share, "fallback"))[:3] == ["created", "not_delivered", "fallback"]
            phone.say(share["code"])
            link = phone.wait_message("link", timeout=PATIENCE)
            check_end(site, share, link["link"])
            assert not servers.postfix.mails_elsewhere()


if __name__ == "__main__":
    options = options_of_test(__doc__)
    if os.geteuid() != 0:
        print("1..0 # SKIP Postfix and Dovecot need root to change to their users")
        sys.exit(0)
    sys.exit(tap.run(tap.side_by_side(tap.tests_of(Tests(options)), options.names), options.names))

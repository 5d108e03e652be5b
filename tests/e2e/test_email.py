"""The whole story by mail, through a real Postfix and a real Dovecot, over each way in."""

import json
import os
import re
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))

from harness import tap  # noqa: E402
from harness.mail_site import (  # noqa: E402
    ImapRoute, LmtpRoute, MaildirRoute, MailGuest, MailServers, MailSite, part_of)
from harness.vestibule import (  # noqa: E402
    events_of, hotel_policy, mistyped, options_of_test, plain, wrong_code)

CONTENT = {"token": "what opens the door", "text": "schön ✓"}
STORY = ["created", "invitation_accepted", "mistyped", "wrong", "confirmed", "releasing", "released",
         "link_accepted", "ended"]
WORDS = {
    "en": ("a room key", "mistyped", "not right", "Open this link", "Zoè's Inn"),
    "de": ("einen Zimmerschlüssel", "Tippfehler", "stimmt nicht", "Öffnen Sie diesen Link",
           "Gästehaus Größ"),
}
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
    html = part_of(mail, "html")
    assert not re.search(r"<(img|script|style|link|iframe)|src=|url\(", html), html


def check_end(site, share, url):
    received = site.receive(url)
    assert received.returncode == 0, received.stderr
    assert json.loads(received.stdout)["content"] == CONTENT
    ended = site.wait_state(share, "completed")
    assert ended["cause"] == "mailbox_gone"
    return ended


def tell_story(site, guest, locale):
    words, before = WORDS[locale], len(site.relay.requests())
    share = site.create(guest.address, locale=locale, content=CONTENT, sender={"name": words[4]})
    invitation = guest.wait_mail(words[0])
    check_header(invitation, guest)
    assert words[4] in invitation["Subject"] and words[4] in part_of(invitation, "plain")
    assert plain(share["code"]) not in plain(invitation.as_string())
    assert guest.urls() == set()

    guest.answer(invitation, mistyped(share["code"]))
    notice = guest.wait_mail(words[1])
    assert share["tag"] in part_of(notice, "plain")
    assert notice["Reply-To"] == invitation["Reply-To"]
    guest.answer(notice, "%s\n\n-- \nBob Müller 🙂, Gästezimmer 12" % wrong_code(share["code"]))
    guest.wait_mail(words[2])
    assert len(site.relay.requests()) == before
    guest.answer(invitation, share["code"])
    link = guest.wait_mail(words[3])
    check_header(link, guest)
    (url,) = guest.urls()
    assert url in part_of(link, "plain") and 'href="%s"' % url in part_of(link, "html").replace("&amp;", "&")
    ended = check_end(site, share, url)
    assert events_of(ended) == STORY, events_of(ended)


class Tests:
    def __init__(self, options):
        self.build = options.build

    def story(self, route):
        with MailServers(ROUTES[route]()) as servers, MailSite(self.build, servers) as site:
            tell_story(site, MailGuest(servers, "bob"), "en")
            tell_story(site, MailGuest(servers, "eve"), "de")

    @tap.test
    def the_story_with_lmtp(self):
        self.story("lmtp")

    @tap.test
    def the_story_with_a_maildir(self):
        self.story("maildir")

    @tap.test
    def the_story_with_imap(self):
        self.story("imap")


if __name__ == "__main__":
    options = options_of_test(__doc__)
    if os.geteuid() != 0:
        print("1..0 # SKIP Postfix and Dovecot need root to change to their users")
        sys.exit(0)
    sys.exit(tap.run(tap.tests_of(Tests(options)), options.names))

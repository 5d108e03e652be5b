"""The whole story by mail, through a real Postfix and a real Dovecot, over each way in."""

import json
import os
import random
import re
import smtplib
import sys
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))

from harness import tap  # noqa: E402
from harness.mail_site import (  # noqa: E402
    PATIENCE, ImapRoute, LmtpRoute, MaildirRoute, MailGuest, MailGuestElsewhere, MailServers, MailSite,
    part_of)
from harness.vestibule import (  # noqa: E402
    URL, events_of, hotel_policy, mistyped, options_of_test, plain, wait_until, wrong_code)

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
    for mail in (notice, link):  # one conversation in the guest's mail program
        assert mail["In-Reply-To"].strip() == mail["References"].strip() == invitation["Message-ID"]
    (url,) = guest.urls()
    assert url in part_of(link, "plain") and 'href="%s"' % url in part_of(link, "html").replace("&amp;", "&")
    ended = check_end(site, share, url)
    events = events_of(ended)
    assert [event for event in events if event != "delivered"] == STORY, events
    assert ("delivered" in events) == guest.delivery_is_reported, events


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
    def the_story_with_an_address_beyond_ascii(self):
        with MailServers(LmtpRoute()) as servers, MailSite(self.build, servers) as site:
            tell_story(site, MailGuestElsewhere(servers, "jürg"), "de")

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

    @tap.test
    def kills_of_anything_lose_nothing(self):
        with MailServers(LmtpRoute()) as servers, MailSite(self.build, servers) as site:
            Kills(site, servers).run()


class Kills:
    """Shares in flight, each with a guest that answers what comes, while everything is killed."""

    n_shares = 8

    def __init__(self, site, servers):
        self.site, self.servers = site, servers
        self.guest = MailGuest(servers, "bob")
        self.errors = []

    def kill(self, what):
        if what == "gateway":
            self.site.kill_gateway()
            self.site.start_gateway(wait_plugins=False)
        elif what == "email":
            wait_until(lambda: self.site.kill_child("email"), PATIENCE, "the plugin lives")
        else:
            server = getattr(self.servers, what)
            server.kill()
            server.start()

    def find(self, share, contains):
        return wait_until(
            lambda: next((mail for mail in self.guest.mails() if share["tag"] in mail["Subject"]
                          and contains in part_of(mail, "plain")), None),
            PATIENCE, "a mail with %r" % contains, pause=0.2)

    def answer(self, mail, text):
        """As a mail program does, which keeps what no server has taken."""
        answer = self.guest.reply_to(mail, text)

        def hand_in():
            try:
                return self.guest.send(answer)
            except (OSError, smtplib.SMTPException):
                return None

        wait_until(hand_in, PATIENCE, "the guest's server takes an answer", pause=0.1)

    def live(self, share, number):
        try:
            invitation = self.find(share, "a room key")
            if number % 2:
                self.answer(invitation, wrong_code(share["code"]))
                self.find(share, "not right")
            self.answer(invitation, share["code"])
            link = self.find(share, "Open this link")
            (url,) = set(URL.findall(part_of(link, "plain")))
            received = self.site.receive(url)
            assert received.returncode == 0, received.stderr
            found = self.site.wait(share, lambda found: found["state"] == "completed", "the end",
                                   timeout=PATIENCE, insist=True)
            assert found["attempts_left"] == 2 - number % 2, found["attempts_left"]
        except BaseException as error:
            self.errors.append(error)
            raise

    def run(self):
        shares = [self.site.create(self.guest.address) for _ in range(self.n_shares)]
        threads = [threading.Thread(target=self.live, args=(share, number), daemon=True)
                   for number, share in enumerate(shares)]
        for thread in threads:
            thread.start()
        chance = random.Random()
        victims = ["gateway", "email", "postfix", "dovecot"] * 2
        chance.shuffle(victims)
        for victim in victims:
            time.sleep(chance.random() * 0.7)  # a random moment, not a wait for something
            self.kill(victim)
        for thread in threads:
            thread.join(2 * PATIENCE)
        assert not self.errors and not any(thread.is_alive() for thread in threads), self.errors
        self.check_mails()

    def check_mails(self):
        """What came twice is the same mail, as far as we wrote it."""
        contents = {}
        mails = self.servers.dovecot.raw_mails("bob")
        for raw in mails:
            content = raw[re.search(rb"^Date: ", raw, re.MULTILINE).start():]
            number = re.search(rb"^Message-ID: *(\S+)", raw, re.MULTILINE).group(1)
            assert contents.setdefault(number, content) == content, number
        tap.note("%d mails, %d of them repeats" % (len(mails), len(mails) - len(contents)))


if __name__ == "__main__":
    options = options_of_test(__doc__)
    if os.geteuid() != 0:
        print("1..0 # SKIP Postfix and Dovecot need root to change to their users")
        sys.exit(0)
    sys.exit(tap.run(tap.tests_of(Tests(options)), options.names))

"""A real Dovecot on loopback, in a folder of its own: mailboxes by LMTP and IMAP, and SASL for Postfix.

Needs root. Mail lies in Maildirs below `mail`, one folder for each user.
"""

import email
import email.policy
import os
import shutil
import time

from .server_folder import Server, free_port, wait_for_port

CONFIGURATION = """\
base_dir = {folder}/run
state_dir = {folder}/state
log_path = {folder}/dovecot.log
instance_name = {name}-{client_port}
protocols = imap lmtp
listen = 127.0.0.1
ssl = yes
ssl_cert = <{certificate}
ssl_key = <{key}
disable_plaintext_auth = no
auth_mechanisms = plain login
auth_username_format = %n
mail_max_userip_connections = 100
mail_location = maildir:{folder}/mail/%n
mail_uid = nobody
mail_gid = nogroup
first_valid_uid = 1
default_login_user = nobody
default_internal_user = nobody
default_internal_group = nogroup
recipient_delimiter = +
lmtp_save_to_detail_mailbox = no
passdb {{
  driver = passwd-file
  args = scheme=PLAIN username_format=%n {folder}/users
}}
userdb {{
  driver = static
  args = home={folder}/home/%n
}}
namespace inbox {{
  inbox = yes
}}
protocol lmtp {{
  postmaster_address = postmaster@hotel.test
}}
service imap-login {{
  chroot =
  inet_listener imap {{
    port = {client_port}
  }}
  inet_listener imaps {{
    port = {imaps_port}
    ssl = yes
  }}
}}
service lmtp {{
  inet_listener lmtp {{
    port = {component_port}
  }}
}}
service auth {{
  inet_listener sasl {{
    port = {sasl_port}
  }}
}}
service anvil {{
  chroot =
}}
service stats {{
  chroot =
}}
"""


class Dovecot(Server):
    name = "dovecot"
    users = {"keys": "the gateway's", "bob": "the guest's", "eve": "the stranger's"}

    def __init__(self, folder=None):
        self.imaps_port = free_port()
        self.sasl_port = free_port()
        super().__init__(folder)

    def configure(self):
        self.file = os.path.join(self.folder, "dovecot.conf")
        values = {key: getattr(self, key) for key in dir(self) if not key.startswith("_")}
        with open(self.file, "w") as file:
            file.write(CONFIGURATION.format(**values))
        with open(os.path.join(self.folder, "users"), "w") as file:
            for user, password in self.users.items():
                file.write("%s:{PLAIN}%s\n" % (user, password))
        for name in ("mail", "home"):
            path = os.path.join(self.folder, name)
            os.makedirs(path, exist_ok=True)
            os.chmod(path, 0o777)

    def command(self):
        return ["dovecot", "-F", "-c", self.file]

    def start(self):
        super().start()
        for port in (self.imaps_port, self.sasl_port):
            wait_for_port(port, self.process, self.start_timeout)
        return self

    def maildir(self, user):
        return os.path.join(self.folder, "mail", user)

    def make_maildir(self, user):
        """What Dovecot makes with the first mail."""
        for name in ("", "tmp", "new", "cur"):
            path = os.path.join(self.maildir(user), name)
            os.makedirs(path, exist_ok=True)
            shutil.chown(path, "nobody", "nogroup")

    def raw_mails(self, user):
        """The octets of what lies in the inbox, the oldest first."""
        found = []
        for name in ("new", "cur"):
            path = os.path.join(self.maildir(user), name)
            for file in os.listdir(path) if os.path.isdir(path) else ():
                full = os.path.join(path, file)
                try:
                    with open(full, "rb") as content:
                        found.append((os.stat(full).st_mtime_ns, file, content.read()))
                except FileNotFoundError:  # it was just moved, and is found there the next time
                    continue
        return [content for _, _, content in sorted(found)]

    def mails(self, user):
        return [email.message_from_bytes(raw, policy=email.policy.default) for raw in self.raw_mails(user)]

    def wait_mail(self, user, matches=lambda mail: True, timeout=120):
        limit = time.monotonic() + timeout
        while True:
            for mail in self.mails(user):
                if matches(mail):
                    return mail
            if time.monotonic() > limit:
                raise AssertionError("no such mail within %g s" % timeout)
            time.sleep(0.05)

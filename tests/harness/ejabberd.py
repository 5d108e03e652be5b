"""A real ejabberd on loopback, in a folder of its own, with one host and one component.

Needs root: Debian's ejabberdctl changes to the user `ejabberd`.
"""

import os
import shutil
import subprocess
import time

from .server_folder import Server, free_port

CONFIGURATION = """\
hosts: [{domain}]
loglevel: info
certfiles: [{both}]
listen:
  - port: {client_port}
    ip: "127.0.0.1"
    module: ejabberd_c2s
    starttls: true
    starttls_required: true
    max_stanza_size: 262144
    shaper: none
    access: c2s
  - port: {component_port}
    ip: "127.0.0.1"
    module: ejabberd_service
    access: all
    shaper_rule: fast
    hosts: {{ "{component}": {{ password: "{secret}" }} }}
shaper_rules: {{ fast: none }}
access_rules: {{ c2s: {{ allow: all }} }}
auth_method: internal
auth_password_format: scram
modules:
  mod_adhoc: {{}}
  mod_disco: {{}}
  mod_roster: {{}}
  mod_offline: {{}}
  mod_ping: {{}}
  mod_stream_mgmt: {{ resume_timeout: 300, resend_on_timeout: true, max_ack_queue: infinity }}
"""

CONTROL = """\
ERLANG_NODE=vestibule{port}@localhost
INET_DIST_INTERFACE=127.0.0.1
ERL_DIST_PORT={port}
ERL_OPTIONS="-setcookie vestibule"
"""


class Ejabberd(Server):
    name = "ejabberd"
    start_timeout = 60

    def configure(self):
        self.both = os.path.join(self.folder, "both.pem")
        with open(self.both, "w") as both:
            for path in (self.certificate, self.key):
                with open(path) as file:
                    both.write(file.read())
        values = {key: getattr(self, key) for key in dir(self) if not key.startswith("_")}
        with open(os.path.join(self.folder, "ejabberd.yml"), "w") as file:
            file.write(CONFIGURATION.format(**values))
        with open(os.path.join(self.folder, "ejabberdctl.cfg"), "w") as file:
            file.write(CONTROL.format(port=free_port()))
        for name in ("spool", "logs"):
            os.makedirs(os.path.join(self.folder, name), exist_ok=True)
        for path in [self.folder] + [
            os.path.join(self.folder, name) for name in os.listdir(self.folder)
        ]:
            shutil.chown(path, "ejabberd", "ejabberd")

    def control(self, *words):
        return (
            ["ejabberdctl", "--config-dir", self.folder]
            + ["--config", os.path.join(self.folder, "ejabberd.yml")]
            + ["--ctl-config", os.path.join(self.folder, "ejabberdctl.cfg")]
            + ["--logs", os.path.join(self.folder, "logs")]
            + ["--spool", os.path.join(self.folder, "spool")]
            + list(words)
        )

    def command(self):
        return self.control("foreground")

    def register(self, user, password):
        limit = time.monotonic() + self.start_timeout
        while True:
            done = subprocess.run(
                self.control("register", user, self.domain, password),
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                cwd="/",
            )
            if done.returncode == 0:
                return
            # The ports open a little before the node answers its own control program.
            if time.monotonic() > limit:
                raise RuntimeError("the account could not be registered")
            time.sleep(0.2)

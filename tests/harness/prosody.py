"""A real Prosody on loopback, in a folder of its own, with one host and one component."""

import os
import subprocess

from .server_folder import Server

CONFIGURATION = """\
daemonize = false
run_as_root = true
pidfile = "{folder}/prosody.pid"
data_path = "{folder}/data"
interfaces = {{ "127.0.0.1" }}
component_interfaces = {{ "127.0.0.1" }}
c2s_ports = {{ {client_port} }}
s2s_ports = {{}}
http_ports = {{}}
https_ports = {{}}
component_ports = {{ {component_port} }}
network_backend = "epoll"
authentication = "internal_hashed"
storage = "internal"
c2s_require_encryption = true
limits = {{}}
modules_enabled = {{ "roster", "saslauth", "tls", "disco", "carbons", "blocklist", "version",
    "ping", "smacks", "offline", "posix" }}
modules_disabled = {{ "s2s" }}
log = {{ info = "{folder}/prosody.log" }}

VirtualHost "{domain}"
    ssl = {{ key = "{key}"; certificate = "{certificate}" }}

Component "{component}"
    component_secret = "{secret}"
    {resolve}
"""


class Prosody(Server):
    name = "prosody"

    def __init__(self, folder=None, kick_old=True):
        self.resolve = 'component_conflict_resolve = "kick_old"' if kick_old else ""
        super().__init__(folder)

    def configure(self):
        self.file = os.path.join(self.folder, "prosody.cfg.lua")
        os.makedirs(os.path.join(self.folder, "data"), exist_ok=True)
        values = {key: getattr(self, key) for key in dir(self) if not key.startswith("_")}
        with open(self.file, "w") as file:
            file.write(CONFIGURATION.format(**values))

    def command(self):
        return ["prosody", "--config", self.file, "-F"]

    def register(self, user, password):
        subprocess.run(
            ["prosodyctl", "--config", self.file, "register", user, self.domain, password],
            check=True,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )

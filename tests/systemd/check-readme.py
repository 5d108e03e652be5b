"""Do the credentials of README's "Install" come out where the units look for them? Its own commands are run, in a
folder in place of /etc/credstore.

Usage: check-readme.py README EXAMPLE TEMPLATES VESTIBULED RELAY_CLIENT API      prints TAP
"""

import os
import re
import subprocess
import sys
import tempfile


def commands(readme):
    """Those of "Install" that have to do with credentials, without comments."""
    block = re.search(r"^## Install\n.*?\n\n((?:    [^\n]*\n)+)", readme, re.S | re.M)[1]
    lines = [line.split("   #")[0].strip() for line in block.splitlines()]
    return [line for line in lines if "/etc/credstore" in line or "--make-key" in line]


def main():
    readme_path, example, templates, vestibuled, relay_client, api = sys.argv[1:]
    with open(readme_path, encoding="utf-8") as file:
        lines = commands(file.read())
    with open(example, encoding="utf-8") as file:  # a tenant is not needed, and would need its token
        without_tenant = re.sub(r"^tenant .*?^\}\n", "", file.read(), flags=re.S | re.M)
    programs = {"vestibule-relay-client": os.path.abspath(relay_client),
                "/usr/libexec/vestibule/vestibule-api": os.path.abspath(api)}
    failed, advised, moved, modes = [], {}, {}, set()
    with tempfile.TemporaryDirectory() as folder:
        store = os.path.join(folder, "credstore")
        for line in lines:
            first, _, rest = line.partition(" ")
            command = "%s %s" % (programs.get(first, first), rest.replace("/etc/credstore", store))
            done = subprocess.run(["sh", "-c", "umask 077; " + command], cwd=folder, capture_output=True, text=True,
                                  timeout=60)
            if done.returncode != 0:
                failed.append((line, done.stderr))
            for made, name in re.findall(r"^\S*/([\w.-]+) \(mode[^\n]*\n  install it as /etc/credstore/(\S+)", done.stdout,
                                         re.M):
                advised[made] = name.replace("relay-NAME", "relay-main").replace("front-NAME", "front-tenants")
            if first == "mv":
                moved[os.path.basename(rest.split()[0])] = os.path.basename(rest.split()[1])
        installed = set(os.listdir(store))
        modes = {os.stat(os.path.join(store, name)).st_mode & 0o7 for name in installed}
        path = os.path.join(folder, "vestibule.conf")
        with open(path, "w", encoding="utf-8") as file:
            file.write(without_tenant)
        checked = subprocess.run([vestibuled, "--check", "--config", path], capture_output=True, text=True, timeout=60,
                                 env={"VESTIBULE_TEMPLATES": templates})
    searched = set(re.findall(r"searched as (\S+)", checked.stdout))
    cases = [
        ("each command for a credential works", len(lines) > 6 and not failed, failed),
        ("what they install is what the units of the example look for", len(searched) > 5 and installed == searched,
         (installed, searched, checked.stderr)),
        ("keys are installed as --make-key says", len(advised) == 4 and moved == advised, (moved, advised)),
        ("nobody else can read or change them", modes == {0}, modes),
    ]
    print("1..%d" % len(cases))
    for number, (name, good, what) in enumerate(cases, 1):
        print("%s %d - %s" % ("ok" if good else "not ok", number, name))
        if not good:
            print("# %s" % (what,))
    return 0 if all(good for _, good, _ in cases) else 1


if __name__ == "__main__":
    sys.exit(main())

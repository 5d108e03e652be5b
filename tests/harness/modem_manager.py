"""ModemManager as far as messages go, on a D-Bus of its own: the interface of its release 1.20.4, with two
modems that do what a test tells them.

The SIM outlives the service, as a real one does: what was received and not deleted is there again after
kill -9, as an object of another path. Objects that were created to be sent are only the service's.

    with ModemManager() as service:          # environment: {"DBUS_SYSTEM_BUS_ADDRESS": service.address}
        service.do("receive", number="+4915112345678", text="Ja")
        service.wait(lambda: service.events("deleted"), "it is deleted")
        service.do("fail", error="Message.MemoryFull")
        service.kill(); service.start()

This file is also the service's program: modem_manager.py FOLDER. It reads commands from its input and
writes answers and events, all of them lines of JSON.
"""

import collections
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
import threading
import time

PATIENCE = 60

NAME = "org.freedesktop.ModemManager1"
ROOT = "/org/freedesktop/ModemManager1"
MODEM = NAME + ".Modem"
MESSAGING = NAME + ".Modem.Messaging"
SMS = NAME + ".Sms"
PROPERTIES = "org.freedesktop.DBus.Properties"
MANAGER = "org.freedesktop.DBus.ObjectManager"

IDENTITIES = ("350000000000017", "350000000000025")

# What everybody may ask of ModemManager by its own policy, and nothing more: what a plugin calls
# beyond that is refused here too.
BUS = """\
<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN"
 "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig>
  <type>system</type>
  <listen>unix:path={folder}/bus</listen>
  <auth>EXTERNAL</auth>
  <policy context="default">
    <allow user="*"/>
    <allow own="org.freedesktop.ModemManager1"/>
    <allow receive_type="signal"/>
    <allow receive_type="method_return"/>
    <allow receive_type="error"/>
    <allow receive_type="method_call"/>
    <allow send_type="signal"/>
    <allow send_requested_reply="true" send_type="method_return"/>
    <allow send_requested_reply="true" send_type="error"/>
    <allow send_destination="org.freedesktop.DBus"/>
    <deny send_destination="org.freedesktop.ModemManager1" send_type="method_call"/>
    <allow send_destination="org.freedesktop.ModemManager1" send_interface="org.freedesktop.DBus.Properties"/>
    <allow send_destination="org.freedesktop.ModemManager1" send_interface="org.freedesktop.DBus.ObjectManager"/>
    <allow send_destination="org.freedesktop.ModemManager1"
           send_interface="org.freedesktop.ModemManager1.Modem.Messaging" send_member="List"/>
    <allow send_destination="org.freedesktop.ModemManager1"
           send_interface="org.freedesktop.ModemManager1.Modem.Messaging" send_member="Create"/>
    <allow send_destination="org.freedesktop.ModemManager1"
           send_interface="org.freedesktop.ModemManager1.Modem.Messaging" send_member="Delete"/>
    <allow send_destination="org.freedesktop.ModemManager1"
           send_interface="org.freedesktop.ModemManager1.Sms" send_member="Send"/>
  </policy>
</busconfig>
"""

# MMModemState, MMSmsState, MMSmsPduType, MMSmsStorage
ENABLED, SEARCHING, REGISTERED = 6, 7, 8
UNKNOWN, RECEIVING, RECEIVED, SENT = 0, 2, 3, 5
DELIVER, SUBMIT, REPORT = 1, 2, 3
NO_STORAGE, SIM_STORAGE = 0, 1


class ModemManager:
    """The bus and the service, seen from a test."""

    def __init__(self, folder=None):
        self.own_folder = folder is None
        self.folder = folder or tempfile.mkdtemp(prefix="vestibule-modem-")
        self.address = "unix:path=%s/bus" % self.folder
        self.environment = {"DBUS_SYSTEM_BUS_ADDRESS": self.address}
        self.changed = threading.Condition()
        self.log = []  # of events, in their order
        self.answers = {}
        self.last_id = 0
        self.bus = self.service = None

    def start_bus(self):
        from .server_folder import die_with_parent

        path = os.path.join(self.folder, "bus.conf")
        with open(path, "w") as file:
            file.write(BUS.format(folder=self.folder))
        if os.path.exists(os.path.join(self.folder, "bus")):
            os.unlink(os.path.join(self.folder, "bus"))
        with open(os.path.join(self.folder, "bus.log"), "ab") as errors:
            self.bus = subprocess.Popen(
                ["dbus-daemon", "--config-file=" + path, "--nofork", "--print-address=1"],
                stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=errors, preexec_fn=die_with_parent)
        if not self.bus.stdout.readline():
            raise RuntimeError("the bus did not start")

    def stop_bus(self):
        if self.bus:
            self.bus.kill()
            self.bus.wait()
            self.bus.stdout.close()
            self.bus = None

    def start(self):
        from .server_folder import die_with_parent

        if not self.bus:
            self.start_bus()
        self.errors = open(os.path.join(self.folder, "service.log"), "ab")
        self.service = subprocess.Popen(
            ["/usr/bin/python3", os.path.abspath(__file__), self.folder],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self.errors,
            env={**os.environ, **self.environment}, preexec_fn=die_with_parent)
        threading.Thread(target=self._read, args=(self.service.stdout,), daemon=True).start()
        self.do("hello")
        return self

    def _read(self, output):
        for line in output:
            message = json.loads(line)
            with self.changed:
                if "id" in message:
                    self.answers[message["id"]] = message["answer"]
                else:
                    self.log.append(message)
                self.changed.notify_all()
            if "id" not in message:
                self.on_event(message)

    def on_event(self, event):
        """For those who want to hear of an event as it happens."""

    def kill(self):
        """kill -9 of the service; the bus and the SIM stay."""
        if self.service:
            self.service.kill()
            self.service.wait()
            self.service.stdin.close()
            self.errors.close()
            self.service = None

    def stop(self):
        self.kill()
        self.stop_bus()

    def remove(self):
        self.stop()
        if self.own_folder:
            shutil.rmtree(self.folder, ignore_errors=True)

    def __enter__(self):
        return self.start()

    def __exit__(self, kind, value, trace):
        self.remove()

    def do(self, command, **members):
        """Gives the service a command and waits for its answer."""
        with self.changed:
            self.last_id += 1
            number = self.last_id
        self.service.stdin.write((json.dumps({"do": command, "id": number, **members}) + "\n").encode())
        self.service.stdin.flush()
        return self.wait(lambda: (self.answers.pop(number),) if number in self.answers else None,
                         "an answer to %s" % command)[0]

    def wait(self, condition, what, timeout=PATIENCE):
        limit = time.monotonic() + timeout
        with self.changed:
            while True:
                value = condition()
                if value:
                    return value
                left = limit - time.monotonic()
                if left <= 0:
                    raise AssertionError("not within %g s: %s" % (timeout, what))
                self.changed.wait(left)

    def events(self, name, **members):
        """Called with the lock or without: the list only grows."""
        return [event for event in list(self.log)
                if event["event"] == name and all(event.get(k) == v for k, v in members.items())]

    def wait_event(self, name, count=1, timeout=PATIENCE, **members):
        """The count'th event of that name with these members."""
        return self.wait(lambda: self.events(name, **members)[count - 1 : count],
                         "event %s %s number %d" % (name, members, count), timeout)[0]


# --- The service's own process ---


def cut(text):
    """The parts that ModemManager 1.20.4 makes of a text: 160 septets or 70 UTF-16 units, or 153 and 67 of
    several; and the alphabet."""
    from harness.sms_carrier import to_septets

    def size(character):
        septets = to_septets(character)
        return len(septets) if gsm7 else len(character.encode("utf-16-be")) // 2

    gsm7 = to_septets(text) is not None
    whole, part = (160, 153) if gsm7 else (70, 67)
    alphabet = "gsm7" if gsm7 else "ucs2"
    if sum(map(size, text)) <= whole:
        return [text], alphabet
    parts, room = [""], part
    for character in text:
        if size(character) > room:
            parts.append("")
            room = part
        parts[-1] += character
        room -= size(character)
    return parts, alphabet


def serve(folder):
    import dbus
    import dbus.mainloop.glib
    import dbus.service
    from gi.repository import GLib

    dbus.mainloop.glib.DBusGMainLoop(set_as_default=True)
    bus = dbus.bus.BusConnection(os.environ["DBUS_SYSTEM_BUS_ADDRESS"])
    loop = GLib.MainLoop()
    sim_file = os.path.join(folder, "sim.json")

    def say(**message):
        sys.stdout.write(json.dumps(message) + "\n")
        sys.stdout.flush()

    class Refused(dbus.DBusException):
        def __init__(self, name, text=""):
            super().__init__(text, name=name if name.startswith("org.") else NAME + ".Error." + name)

    class Object(dbus.service.Object):
        """One with properties, which change by set()."""

        def __init__(self, path, interface, values):
            self.path, self.interface, self.values = path, interface, values
            super().__init__(bus, path)

        def all(self):
            return {self.interface: self.values}

        @dbus.service.method(PROPERTIES, in_signature="s", out_signature="a{sv}")
        def GetAll(self, interface):
            return self.all().get(interface, {})

        @dbus.service.method(PROPERTIES, in_signature="ss", out_signature="v")
        def Get(self, interface, name):
            return self.all()[interface][name]

        @dbus.service.signal(PROPERTIES, signature="sa{sv}as")
        def PropertiesChanged(self, interface, changed, invalidated):
            pass

        def set(self, **values):
            self.values.update(values)
            self.PropertiesChanged(self.interface, values, [])

    class Message(Object):
        numbers = iter(range(1, 1 << 30))

        def __init__(self, modem, **values):
            self.modem = modem
            self.parts = []  # of the SIM
            self.concat = None
            self.reference = None
            everything = {
                "State": dbus.UInt32(UNKNOWN), "PduType": dbus.UInt32(SUBMIT), "Number": "", "Text": "",
                "Data": dbus.ByteArray(b""), "SMSC": "",
                "Validity": dbus.Struct((dbus.UInt32(0), False), signature="uv", variant_level=1),
                "Class": dbus.Int32(-1), "TeleserviceId": dbus.UInt32(0), "ServiceCategory": dbus.UInt32(0),
                "DeliveryReportRequest": False, "MessageReference": dbus.UInt32(0), "Timestamp": "",
                "DischargeTimestamp": "", "DeliveryState": dbus.UInt32(0x100),
                "Storage": dbus.UInt32(NO_STORAGE),
            }
            everything.update(values)
            super().__init__("%s/SMS/%d" % (ROOT, next(self.numbers)), SMS, everything)
            modem.messages[self.path] = self

        @dbus.service.method(SMS, async_callbacks=("done", "failed"))
        def Send(self, done, failed):
            self.modem.send(self, done, failed)

        @dbus.service.method(SMS, in_signature="u")
        def Store(self, storage):
            raise Refused("Core.Unsupported")

    class Modem(Object):
        def __init__(self, number, sim):
            self.number = number
            self.sim = sim
            self.messages = collections.OrderedDict()
            self.failures = {"Create": [], "Send": [], "Delete": [], "List": []}
            self.held, self.holding = [], False
            super().__init__("%s/Modem/%d" % (ROOT, number), MODEM, {
                "State": dbus.Int32(sim["state"]), "EquipmentIdentifier": IDENTITIES[number],
                "Manufacturer": "nobody", "OwnNumbers": dbus.Array([], signature="s"),
            })
            for part in list(sim["parts"]):
                self.show(part, announce=False)

        def all(self):
            found = {MODEM: self.values}
            if self.sim["messaging"]:
                found[MESSAGING] = {"SupportedStorages": dbus.Array([1], signature="u"),
                                    "DefaultStorage": dbus.UInt32(SIM_STORAGE)}
            return found

        @dbus.service.signal(MODEM, signature="iiu")
        def StateChanged(self, old, new, reason):
            pass

        @dbus.service.signal(MESSAGING, signature="ob")
        def Added(self, path, received):
            pass

        @dbus.service.signal(MESSAGING, signature="o")
        def Deleted(self, path):
            pass

        def enabled(self, method):
            say(event="call", modem=self.number, method=method)
            if self.values["State"] < ENABLED:
                raise Refused("Core.WrongState", "device not yet enabled")
            if self.failures[method]:
                raise self.failures[method].pop(0)

        @dbus.service.method(MESSAGING, out_signature="ao")
        def List(self):
            self.enabled("List")
            return dbus.Array(list(self.messages), signature="o")

        @dbus.service.method(MESSAGING, in_signature="a{sv}", out_signature="o")
        def Create(self, properties):
            self.enabled("Create")
            if not properties.get("number") or not properties.get("text"):
                raise Refused("Core.InvalidArgs", "mandatory parameter is missing")
            unknown = set(properties) - {"number", "text", "validity", "delivery-report-request"}
            if unknown:
                raise Refused("Core.InvalidArgs", "unexpected property")
            message = Message(self, Number=properties["number"], Text=properties["text"],
                              Validity=properties.get("validity"),
                              DeliveryReportRequest=properties.get("delivery-report-request", False))
            self.Added(message.path, False)
            return message.path

        @dbus.service.method(MESSAGING, in_signature="o")
        def Delete(self, path):
            self.enabled("Delete")
            message = self.messages.get(path)
            if not message:
                raise Refused("Core.NotFound", "No SMS found with path")
            self.forget(message)
            self.sim["parts"] = [part for part in self.sim["parts"] if part not in message.parts]
            self.Deleted(path)
            self.fill()
            save()
            for part in message.parts:
                say(event="deleted", modem=self.number, handle=part["handle"])

        def forget(self, message):
            del self.messages[message.path]
            message.remove_from_connection()

        def send(self, message, done, failed):
            say(event="call", modem=self.number, method="Send")
            if message.values["State"] == SENT:
                failed(Refused("Core.Failed", "This SMS was already sent, cannot send it again"))
            elif self.failures["Send"]:
                # The parts are made once for an object, whatever becomes of them.
                message.reference = message.reference or random.randrange(1, 255)
                failed(self.failures["Send"].pop(0))
            elif self.holding:
                self.held.append((message, done, failed))
                say(event="held", modem=self.number)
            else:
                self.sent(message, done)

        def sent(self, message, done):
            values = message.values
            parts, alphabet = cut(str(values["Text"]))
            message.reference = message.reference or random.randrange(1, 255)
            last = self.sim["reference"] = (self.sim["reference"] + len(parts)) % 256
            save()
            validity = values["Validity"]
            say(event="sent", modem=self.number, number=str(values["Number"]), text="".join(parts),
                parts=len(parts), alphabet=alphabet, reference=int(last), concat=message.reference,
                report=bool(values["DeliveryReportRequest"]), minutes=int(validity[1]) if validity else None)
            message.set(State=dbus.UInt32(SENT), MessageReference=dbus.UInt32(last))
            done()
            if values["DeliveryReportRequest"] and self.sim["report"] is not None:
                self.report(last, str(values["Number"]), self.sim["report"])

        def report(self, reference, number, state):
            message = Message(self, State=dbus.UInt32(RECEIVED), PduType=dbus.UInt32(REPORT), Number=number,
                              MessageReference=dbus.UInt32(reference), DeliveryState=dbus.UInt32(state),
                              Timestamp=time.strftime("%Y-%m-%dT%H:%M:%S+00:00", time.gmtime()))
            message.parts = [{"handle": "report"}]
            self.Added(message.path, True)

        def fill(self):
            """The centre brings what there is room for."""
            while self.sim["centre"] and len(self.sim["parts"]) < self.sim["capacity"]:
                part = self.sim["centre"].pop(0)
                self.sim["parts"].append(part)
                self.show(part)

        def show(self, part, announce=True):
            """Makes an object of a part of the SIM, or adds it to the one that it belongs to, which is known
            by nothing but its reference there."""
            concat = part.get("concat")
            for message in self.messages.values():
                if concat and message.concat == concat[0] and message.values["State"] == RECEIVING:
                    message.parts.append(part)
                    self.complete(message, concat[1])
                    return
            message = Message(self, PduType=dbus.UInt32(DELIVER), Number=part["number"],
                              Timestamp=part["time"], Storage=dbus.UInt32(SIM_STORAGE),
                              State=dbus.UInt32(RECEIVING if concat else RECEIVED))
            message.parts.append(part)
            if concat:
                message.concat = concat[0]
            else:
                message.values.update(Text=part["text"], Data=dbus.ByteArray(bytes.fromhex(part["data"])))
            if announce:
                self.Added(message.path, True)

        def complete(self, message, total):
            if len(message.parts) == total:
                parts = sorted(message.parts, key=lambda part: part["concat"][2])
                message.set(Text="".join(part["text"] for part in parts), State=dbus.UInt32(RECEIVED))

    class Manager(dbus.service.Object):
        @dbus.service.method(MANAGER, out_signature="a{oa{sa{sv}}}")
        def GetManagedObjects(self):
            return dbus.Dictionary({modem.path: modem.all() for modem in modems.values()},
                                   signature="oa{sa{sv}}")

        @dbus.service.signal(MANAGER, signature="oa{sa{sv}}")
        def InterfacesAdded(self, path, interfaces):
            pass

        @dbus.service.signal(MANAGER, signature="oas")
        def InterfacesRemoved(self, path, interfaces):
            pass

    class Commands:
        """What a test asks for, by name; `modem` is the first unless it says."""

        def hello(self):
            return True

        def receive(self, number, text="", modem=0, data="", time_text=None, concat=None, handle=None):
            part = {"number": number, "text": text, "data": data, "concat": concat,
                    "handle": handle or "%d" % random.getrandbits(48),
                    "time": time_text or time.strftime("%Y-%m-%dT%H:%M:%S+00:00", time.gmtime())}
            sim = sims[modem]
            sim["centre"].append(part)
            if modem in modems:
                modems[modem].fill()
            save()
            return part["handle"]

        def fail(self, error, text="", method="Send", count=1, modem=0):
            modems[modem].failures[method] += [Refused(error, text)] * count

        def forgive(self, method="Send", modem=0):
            modems[modem].failures[method].clear()

        def hold(self, modem=0, on=True):
            modems[modem].holding = on

        def forget(self, modem=0):
            """Another program deletes what was created to be sent."""
            for message in list(modems[modem].messages.values()):
                if int(message.values["PduType"]) == SUBMIT:
                    modems[modem].forget(message)

        def release(self, modem=0):
            me = modems[modem]
            me.holding, held, me.held = False, me.held, []
            for message, done, _ in held:
                me.sent(message, done)

        def state(self, state, modem=0):
            old, sims[modem]["state"] = sims[modem]["state"], state
            save()
            if modem in modems:
                modems[modem].set(State=dbus.Int32(state))
                modems[modem].StateChanged(old, state, 1)

        def unplug(self, modem=0):
            me = modems.pop(modem)
            for message, _, failed in me.held:
                failed(Refused("Core.Aborted", "the modem has gone"))
            for message in list(me.messages.values()):
                me.forget(message)
            manager.InterfacesRemoved(me.path, list(me.all()))
            me.remove_from_connection()

        def plug(self, modem=0):
            modems[modem] = Modem(modem, sims[modem])
            modems[modem].fill()
            manager.InterfacesAdded(modems[modem].path, modems[modem].all())

        def set(self, modem=0, **members):
            """capacity: of the SIM in parts; report: the delivery state that is reported of what is
            sent, or None; messaging: whether the modem has messages at all."""
            sims[modem].update(members)
            save()
            if modem in modems:
                modems[modem].fill()

        def report(self, reference, number, state, modem=0):
            modems[modem].report(reference, number, state)

        def objects(self, modem=0):
            return [{"path": message.path, "state": int(message.values["State"]),
                     "pdu": int(message.values["PduType"])} for message in modems[modem].messages.values()]

        def on_sim(self, modem=0):
            return len(sims[modem]["parts"])

        def at_centre(self, modem=0):
            return len(sims[modem]["centre"])

    def save():
        with open(sim_file + ".new", "w") as file:
            json.dump(sims, file)
        os.rename(sim_file + ".new", sim_file)

    def on_input(source, condition):
        data = os.read(0, 65536)
        if not data:
            loop.quit()
            return False
        received.extend(data)
        while b"\n" in received:
            line, _, rest = bytes(received).partition(b"\n")
            received[:] = rest
            message = json.loads(line)
            number, command = message.pop("id"), message.pop("do")
            say(id=number, answer=getattr(commands, command)(**message))
        return True

    if os.path.exists(sim_file):
        with open(sim_file) as file:
            sims = json.load(file)
    else:
        sims = [{"state": REGISTERED, "messaging": True, "capacity": 20, "report": None, "reference": 0,
                 "parts": [], "centre": []} for _ in IDENTITIES]
    commands = Commands()
    modems = {}
    for number, sim in enumerate(sims):
        modems[number] = Modem(number, sim)
    manager = Manager(bus, ROOT)
    # Held until the end: it is given back when the object goes.
    own_name = dbus.service.BusName(NAME, bus, allow_replacement=False, replace_existing=False)
    for modem in modems.values():
        modem.fill()
    received = bytearray()
    GLib.io_add_watch(0, GLib.PRIORITY_DEFAULT, GLib.IO_IN | GLib.IO_HUP, on_input)
    loop.run()
    del own_name


if __name__ == "__main__":
    sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
    serve(sys.argv[1])

// An SMS centre for tests, on npm's `smpp`: it takes submit_sm, sends receipts, hands in what people
// write, and misbehaves on command. smsc.py starts it.
//
// The argument is a configuration in JSON. A line of standard input is a command, a line of standard
// output an event, both in JSON. What it has taken and what it has to hand in are in `journal` in its
// folder, written before anybody is told, so that after kill -9 it goes on with what it had.
"use strict";

const fs = require("fs");
const path = require("path");
const readline = require("readline");
const smpp = require("smpp");

const configuration = JSON.parse(process.argv[2]);
const journal = fs.openSync(path.join(configuration.folder, "journal"), "a+");

const OUTSTANDING = 10; // deliver_sm without an answer
const STATUS = { ok: 0x00, bound: 0x05, cancel: 0x11, queue: 0x14, password: 0x0e, throttled: 0x58, later: 0x64 };

// How it behaves; changed by the command `set`.
const behaviour = {
  bind_status: 0,
  answer: true, // false: submit_sm is taken and not answered
  answer_ms: 0,
  submit_status: 0, // for the next submit_count ones, which are not taken
  submit_count: 0,
  rate: 0, // submit_sm a second; above, they are throttled; 0: any
  cut_after: 0, // takes so many more, and then hangs up instead of answering
  enquire: true, // whether enquire_link is answered
  id_form: "decimal", // of submit_sm_resp: decimal, hex
  receipt: "none", // none, after, before
  receipt_ms: 0,
  receipt_state: "DELIVRD",
  receipt_id_form: "decimal", // decimal, hex, padded
  receipt_parameters: false, // receipted_message_id and message_state beside the text
  retry_ms: 300, // until a message that was refused for now is handed in again
  holding: false, // what is taken stays here: it can be cancelled, and there is no receipt
  cancel_answer: true, // false: cancel_sm is done and not answered
  cancel_cut: 0, // does so many more, and then hangs up instead of answering
};

// Texts are octets here, and times are as they are written: no reading of the library's.
for (const command of ["submit_sm", "deliver_sm"]) {
  const parameters = smpp.commands[command].params;
  for (const name of ["short_message", "validity_period", "schedule_delivery_time"]) {
    parameters[name] = { ...parameters[name], filter: undefined };
  }
}
smpp.tlvs.message_payload.filter = undefined;

const sessions = new Set(); // that are bound
const queue = new Map(); // number: what is to be handed in
const held = new Map(); // number: what was taken and has not left
let lastNumber = 0;
let lastId = configuration.first_id || 1000;
let allowance = { second: 0, left: 0 };

function tell(event, members) {
  fs.writeSync(1, JSON.stringify({ event, ...members }) + "\n");
}

function write(entry) {
  fs.writeSync(journal, JSON.stringify(entry) + "\n");
}

function idIn(form, id) {
  if (form === "hex") {
    return id.toString(16);
  }
  return form === "padded" ? String(id).padStart(10, "0") : String(id);
}

// --- what is handed in ---

function enqueue(pdu, state = "waits") {
  lastNumber += 1;
  write({ queued: lastNumber, pdu });
  queue.set(lastNumber, { pdu, state });
  handIn();
  return lastNumber;
}

function release(number) {
  queue.get(number).state = "waits";
  handIn();
}

function withOctets(pdu) {
  const made = { ...pdu, short_message: Buffer.from(pdu.octets || "", "hex") };
  delete made.octets;
  if (pdu.message_payload !== undefined) {
    made.message_payload = Buffer.from(pdu.message_payload, "hex");
  }
  return made;
}

function settled(number, entry, status) {
  if (entry.state !== "asked") {
    return;
  }
  if (status === STATUS.later || status === STATUS.queue || status === STATUS.throttled) {
    entry.state = "rests";
    setTimeout(() => {
      entry.state = "waits";
      handIn();
    }, behaviour.retry_ms);
    tell("answered", { number, status });
  } else {
    // In this order: what is told and not written is handed in again.
    tell("answered", { number, status });
    queue.delete(number);
    write({ settled: number });
  }
  handIn();
}

function handIn() {
  const [session] = sessions;
  let asked = [...queue.values()].filter((entry) => entry.state === "asked").length;
  if (!session) {
    return;
  }
  for (const [number, entry] of queue) {
    if (asked >= OUTSTANDING) {
      return;
    }
    if (entry.state === "waits") {
      entry.state = "asked";
      asked += 1;
      tell("handed", { number });
      session.deliver_sm(withOctets(entry.pdu), (answer) => {
        settled(number, entry, answer.command_status);
      });
    }
  }
}

// --- receipts ---

const STATES = { DELIVRD: 2, EXPIRED: 3, DELETED: 4, UNDELIV: 5, ACCEPTD: 6, UNKNOWN: 7, REJECTD: 8 };

function receiptOf(message, state) {
  const id = idIn(behaviour.receipt_id_form, message.number);
  const delivered = state === "DELIVRD";
  const text = `id:${id} sub:001 dlvrd:00${delivered ? 1 : 0} submit date:2611221200 done date:2611221201 `
    + `stat:${state} err:${delivered ? "000" : "001"} text:`;
  const pdu = {
    esm_class: 4, data_coding: 0,
    source_addr_ton: 1, source_addr_npi: 1, source_addr: message.to,
    destination_addr: message.from, octets: Buffer.from(text, "ascii").toString("hex"),
  };
  if (behaviour.receipt_parameters) {
    pdu.receipted_message_id = id;
    pdu.message_state = STATES[state];
  }
  return pdu;
}

// --- what is taken ---

function isThrottled() {
  const second = Math.floor(Date.now() / 1000);
  if (behaviour.rate === 0) {
    return false;
  }
  if (allowance.second !== second) {
    allowance = { second, left: behaviour.rate };
  }
  allowance.left -= 1;
  return allowance.left < 0;
}

function refusal() {
  if (behaviour.submit_count > 0) {
    behaviour.submit_count -= 1;
    return behaviour.submit_status;
  }
  return isThrottled() ? STATUS.throttled : 0;
}

function take(pdu) {
  lastId += 1;
  const payload = pdu.message_payload;
  const message = {
    number: lastId, to: pdu.destination_addr, from: pdu.source_addr,
    from_type: pdu.source_addr_ton, from_plan: pdu.source_addr_npi,
    coding: pdu.data_coding, esm_class: pdu.esm_class, validity: String(pdu.validity_period),
    wants_receipt: pdu.registered_delivery,
    octets: (payload || pdu.short_message).toString("hex"),
    held: behaviour.holding,
  };
  write({ taken: message });
  if (message.held) {
    held.set(lastId, message);
  }
  tell("taken", message);
  return message;
}

function onSubmit(session, pdu) {
  const status = refusal();
  if (status !== 0) {
    tell("refused", { status });
    session.send(pdu.response({ command_status: status }));
    return;
  }
  const message = take(pdu);
  const receipt = behaviour.receipt === "none" || message.held
    ? 0
    : enqueue(receiptOf(message, behaviour.receipt_state), "rests");
  if (behaviour.cut_after > 0) {
    behaviour.cut_after -= 1;
    if (behaviour.cut_after === 0) {
      session.destroy();
      return;
    }
  }
  if (receipt && behaviour.receipt === "before") {
    release(receipt);
  }
  if (behaviour.answer) {
    const answer = () => {
      session.send(pdu.response({ message_id: idIn(behaviour.id_form, message.number) }));
      if (receipt && behaviour.receipt === "after") {
        setTimeout(() => release(receipt), behaviour.receipt_ms);
      }
    };
    behaviour.answer_ms > 0 ? setTimeout(answer, behaviour.answer_ms) : answer();
  }
}

// SMPP 3.4 section 4.9: the id, and the addresses of the submit_sm. An empty id is a group of messages.
function onCancel(session, pdu) {
  const message = [...held.values()].find((entry) => idIn(behaviour.id_form, entry.number) === pdu.message_id
    && entry.to === pdu.destination_addr && entry.from === pdu.source_addr
    && entry.from_type === pdu.source_addr_ton);
  if (message) {
    held.delete(message.number);
    write({ cancelled: message.number });
    tell("cancelled", { number: message.number });
  } else {
    tell("not_cancelled", { id: pdu.message_id });
  }
  if (behaviour.cancel_cut > 0) {
    behaviour.cancel_cut -= 1;
    if (behaviour.cancel_cut === 0) {
      session.destroy();
      return;
    }
  }
  if (behaviour.cancel_answer) {
    session.send(pdu.response({ command_status: message ? STATUS.ok : STATUS.cancel }));
  }
}

// --- sessions ---

function onBind(session, pdu) {
  let status = behaviour.bind_status;
  if (pdu.system_id !== configuration.system_id || pdu.password !== configuration.password) {
    status = STATUS.password;
  }
  tell("bind", { status, system_type: pdu.system_type, version: pdu.interface_version });
  session.send(pdu.response({ command_status: status, system_id: "smsc" }));
  if (status === 0) {
    sessions.add(session);
    handIn();
  }
}

function onSession(session) {
  session.socket.setNoDelay(true);
  session.on("error", () => session.destroy());
  session.on("close", () => {
    sessions.delete(session);
    for (const entry of queue.values()) {
      if (entry.state === "asked") {
        entry.state = "waits";
      }
    }
    tell("closed", {});
    handIn();
  });
  session.on("bind_transceiver", (pdu) => onBind(session, pdu));
  session.on("submit_sm", (pdu) => onSubmit(session, pdu));
  session.on("cancel_sm", (pdu) => onCancel(session, pdu));
  session.on("enquire_link", (pdu) => {
    tell("enquired", {});
    if (behaviour.enquire) {
      session.send(pdu.response());
    }
  });
  session.on("unbind", (pdu) => {
    tell("unbound", {});
    session.send(pdu.response());
    session.close();
  });
  session.on("pdu", (pdu) => {
    if (pdu.isResponse() && pdu.command !== "deliver_sm_resp") {
      tell("response", { command: pdu.command, status: pdu.command_status });
    }
  });
  tell("connected", {});
}

// --- commands ---

const commands = {
  set: (command) => Object.assign(behaviour, command.values),
  deliver: (command) => tell("queued", { number: enqueue(command.pdu), key: command.key }),
  receipt: (command) => enqueue(receiptOf(command.message, command.state)),
  cut: () => sessions.forEach((session) => session.destroy()),
  unbind: () => sessions.forEach((session) => session.unbind()),
  enquire: () => sessions.forEach((session) => session.enquire_link()),
  outbind: () => sessions.forEach((session) => session.outbind({ system_id: "smsc", password: "x" })),
  raw: (command) => sessions.forEach((session) => session.socket.write(Buffer.from(command.hex, "hex"))),
  mark: (command) => tell("mark", { key: command.key }),
};

function recall() {
  for (const line of fs.readFileSync(path.join(configuration.folder, "journal"), "utf8").split("\n")) {
    if (!line.endsWith("}")) {
      continue; // the end of one that was not written whole
    }
    const entry = JSON.parse(line);
    if (entry.taken) {
      lastId = Math.max(lastId, entry.taken.number);
      if (entry.taken.held) {
        held.set(entry.taken.number, entry.taken);
      }
    } else if (entry.cancelled) {
      held.delete(entry.cancelled);
    } else if (entry.queued) {
      lastNumber = Math.max(lastNumber, entry.queued);
      queue.set(entry.queued, { pdu: entry.pdu, state: "waits" });
    } else {
      queue.delete(entry.settled);
    }
  }
}

recall();
Object.assign(behaviour, configuration.behaviour);
const options = {};
if (configuration.key) {
  options.key = fs.readFileSync(configuration.key);
  options.cert = fs.readFileSync(configuration.certificate);
}
smpp.createServer(options, onSession).listen(configuration.port, "127.0.0.1", () => tell("listening", {}));
readline.createInterface({ input: process.stdin }).on("line", (line) => {
  const command = JSON.parse(line);
  commands[command.do](command);
}).on("close", () => process.exit(0));

// Two endpoints of provider udp in one process, and what reaches a group that one or both have joined. Prints what came,
// as JSON. Runs where multicast goes to the loopback interface: in a network of its own (test/fi/multicast.test.ts).
import * as fi from 'libfabric/fi';

const GROUP = [239, 255, 42, 7];

function socketAddress(address, port) {
  const bytes = new Uint8Array(16);
  const view = new DataView(bytes.buffer);
  view.setUint16(0, 2, true);
  view.setUint16(2, port);
  bytes.set(address, 4);
  return bytes;
}

async function openSide(node) {
  const hints = {
    ...{ providerName: 'udp', endpointType: 'FI_EP_DGRAM', caps: ['FI_MSG', 'FI_MULTICAST'] },
    ...{ addressVectorType: 'FI_AV_TABLE', addressFormat: 'FI_SOCKADDR_IN' },
  };
  const [info] = await fi.getInfo(hints, { node, flags: fi.FI_SOURCE });
  const fabric = await fi.Fabric.open(info);
  const domain = await fi.Domain.open(fabric, info);
  const events = await fi.EventQueue.open(fabric);
  const queue = await fi.CompletionQueue.open(domain);
  const addresses = await fi.AddressVector.open(domain);
  const endpoint = await fi.Endpoint.open(domain, info);
  for (const other of [events, queue, addresses]) endpoint.bind(other);
  await endpoint.enable();
  const objects = [endpoint, queue, addresses, domain, events, fabric];
  return { endpoint, queue, addresses, events, objects, lengths: [], sent: 0 };
}

async function until(what, isSo) {
  const deadline = Date.now() + 15_000;
  while (!isSo()) {
    if (Date.now() > deadline) throw new Error(`${what}: not within 15 s`);
    await new Promise(setImmediate);
  }
}

/** Reads a side's queue. */
function read(side) {
  const { queue } = side;
  const count = queue.read();
  const { completions } = queue;
  for (let index = 0; index < count; index++) {
    if (completions.error(index) !== 0) throw new Error(queue.errorText(index));
    if (completions.isReceive(index)) side.lengths.push(completions.length(index));
    else side.sent++;
  }
}

async function join(side, address) {
  const group = await fi.MulticastGroup.join(side.endpoint, address);
  let event;
  await until('the event', () => (event ??= side.events.read()) !== undefined);
  if (event.event !== fi.FI_JOIN_COMPLETE || event.source !== group)
    throw new Error(`no FI_JOIN_COMPLETE, but ${event.name} ${event.error} ${event.text}`);
  return group;
}

const a = await openSide('127.0.0.1');
const b = await openSide('0.0.0.0');
const port = new DataView(b.endpoint.getName().buffer).getUint16(2);
const toB = a.addresses.insert(socketAddress([127, 0, 0, 1], port));
const address = socketAddress(GROUP, port);
const sends = await join(a, address);
const receives = await join(b, address);
const into = fi.Memory.allocate(400);
for (let index = 0; index < 4; index++) b.endpoint.recv(into, 100 * index, 100, index);
const from = fi.Memory.allocate(100);
from.bytes.fill(7);
sends.sendMessage(
  [
    { memory: from, length: 60 },
    { memory: from, length: 40 },
  ],
  0,
);
await until('the message to the group', () => (read(a), read(b), b.lengths.length === 1 && a.sent === 1));
const busy = await b.endpoint.close().catch(({ code }) => code);
await receives.close();
let left;
try {
  receives.sendMessage([{ memory: from, length: 30 }], 1);
} catch ({ code }) {
  left = code;
}
// Its endpoint works on.
a.endpoint.send(from, 0, 50, toB, 2);
await until('the message to b', () => (read(a), read(b), b.lengths.length === 2 && a.sent === 2));
await sends.close();
const whole = into.bytes.subarray(0, 100).every((byte) => byte === 7);
for (const { objects } of [a, b]) for (const object of objects) await object.close();
console.log(JSON.stringify({ lengths: b.lengths, whole, busy, left }));

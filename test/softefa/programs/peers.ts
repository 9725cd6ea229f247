// What rules.test.ts asks of peers on software EFA devices: `peers.js RULE [ARGUMENT]` says in lines of JSON what it found.
import { type Peer, open } from 'libfabric';
import { OtherProcess, hintsOf, meet, nicOf, openSide, ours, say, theirs, toldTo, turn } from './device.js';

/** Where an address has what tells endpoints with the same queue pair number apart (struct efa_ep_addr). */
const CONNECTION_NUMBER = 20;

const outcomeOf = (promise: Promise<unknown>): Promise<string> =>
  promise.then(
    () => 'resolved',
    (error: unknown) => (error as Error).message,
  );

const rules: Readonly<Record<string, (argument: string) => unknown>> = {
  /** A message to an address; then says which process the NIC is, and stays. */
  async sendOne(address) {
    const endpoint = await open(ours);
    await endpoint.send(endpoint.peer(Buffer.from(address, 'hex')), Buffer.from('hello'), {
      completion: 'transmit',
    });
    say({ nic: nicOf('rdmap0s6') });
    await toldTo();
    process.exit(0);
  },

  /**
   * A message whose sender is unreachable when it is read, so that the provider's answer to it fails, of which no operation
   * can tell: by the layer of libfabric's objects, with no event queue bound by the program.
   */
  async unanswerable() {
    const side = await openSide(hintsOf('efa'));
    const { queue, endpoint, memory } = side;
    const { completions } = queue;
    endpoint.recv(memory, 0, 4096, 0);
    queue.read(); // posts the provider's own buffers
    say(Buffer.from(endpoint.getName()).toString('hex'));
    await toldTo();
    let length = -1;
    for (;;) {
      const count = queue.read();
      for (let index = 0; index < count; index++) {
        if (completions.context(index) === 0) length = completions.length(index);
        else
          say({
            length,
            context: completions.context(index),
            providerErrno: completions.providerError(index),
          });
        if (completions.context(index) < 0) process.exit(0);
      }
      await turn();
    }
  },

  /** The same by the everyday layer. */
  async unanswerableEveryday() {
    const endpoint = await open({ ...ours, progress: 'inline' });
    endpoint.poll();
    say(Buffer.from(endpoint.address).toString('hex'));
    await toldTo();
    endpoint.once('error', (error: Error & { providerErrno?: number; cause?: unknown }) => {
      say({ length, context: -1, providerErrno: error.providerErrno, cause: error.cause });
      process.exit(0);
    });
    let length = -1;
    void endpoint.recv(64).then((message) => (length = message.length));
    for (;;) {
      endpoint.poll();
      await turn();
    }
  },

  /** Sends, and a receive, that are under way to a peer whose NIC has stopped: when the peer is given up, and at close. */
  async silentDrops() {
    const [a, b] = [await open(ours), await open(theirs)];
    await meet(a, b);
    const nic = nicOf('rdmap0s7');
    process.kill(nic, 'SIGSTOP');
    const peer = a.peer(b.contact);
    const lease = a.memory.alloc(64);
    const first = [
      a.send(peer, new Uint8Array(64), { completion: 'transmit' }),
      a.send(peer, lease),
      a.send(peer, new Uint8Array(4 << 20), { completion: 'transmit' }),
      a.recv(64, { from: peer }),
    ].map(outcomeOf);
    await turn();
    peer.close(new Error('given up'));
    const givenUp = await Promise.all(first);
    const again = a.peer(b.contact);
    const second = [a.send(again, new Uint8Array(64), { completion: 'transmit' }), a.recv(64)].map(outcomeOf);
    await turn();
    await a.close({ timeoutMs: 200 });
    const closed = await Promise.all(second);
    process.kill(nic, 'SIGCONT');
    say({ givenUp, closed });
    process.exit(0);
  },

  /** A peer that says who it is, and then what it gets. */
  async listen() {
    const endpoint = await open(theirs);
    say(Buffer.from(endpoint.address).toString('hex'));
    for (;;) {
      const { data } = await endpoint.recv(64);
      say(Buffer.from(data).toString());
    }
  },

  /**
   * A peer that is killed and started again with the same queue pair number: what is sent to its earlier address, which
   * differs in the connection number alone, and to the new one.
   */
  async restarted() {
    const endpoint = await open(ours);
    // What the provider itself tells the dead, such as its greeting, fails too.
    endpoint.on('error', () => undefined);
    const send = (peer: Peer, text: string): Promise<void> =>
      endpoint.send(peer, Buffer.from(text), { completion: 'transmit' });
    const before = new OtherProcess('listen');
    const firstAddress = Buffer.from(await before.next<string>(), 'hex');
    const firstPeer = endpoint.peer(firstAddress);
    await send(firstPeer, 'to the first');
    const got = [await before.next<string>()];
    await before.kill();
    firstPeer.close();
    const after = new OtherProcess('listen');
    const newAddress = Buffer.from(await after.next<string>(), 'hex');
    // The device gives each queue pair another number; hardware gives the old one again.
    const oldAddress = Buffer.from(newAddress);
    firstAddress.copy(oldAddress, CONNECTION_NUMBER, CONNECTION_NUMBER, CONNECTION_NUMBER + 4);
    const oldPeer = endpoint.peer(oldAddress);
    // Delivered and thrown away, or refused for its key.
    await send(oldPeer, 'to the dead').catch(() => undefined);
    const newPeer = endpoint.peer(newAddress);
    await send(newPeer, 'to the second');
    got.push(await after.next<string>());
    oldPeer.close();
    await send(newPeer, 'once more');
    got.push(await after.next<string>());
    await after.kill();
    say({ differ: !oldAddress.equals(newAddress), got });
    process.exit(0);
  },
};

const [, , rule = '', argument = ''] = process.argv;
await rules[rule](argument);

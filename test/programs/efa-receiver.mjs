// On a software EFA device: says who it is, which process its NIC is and where it is reached, then receives for ever.
import { readFileSync, readdirSync } from 'node:fs';
import { open } from 'libfabric';

const isOurs = (pid) => {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'utf8').includes(
      `softefa-nic\0${process.env.SOFTEFA_DIRECTORY}/`,
    );
  } catch {
    return false; // it has ended meanwhile
  }
};
const nic = Number(readdirSync('/proc').find((name) => /^\d+$/.test(name) && isOurs(name)));
const endpoint = await open({ provider: 'efa' });
console.log(JSON.stringify({ pid: process.pid, nic, contact: endpoint.contact }));
for (;;) await endpoint.recv(64);

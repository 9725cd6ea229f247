/** On software EFA devices: the addresses at which their NICs can be reached over IP, in one line of JSON. */
import { readFileSync, readdirSync, readlinkSync } from 'node:fs';

const isNic = (pid: string): boolean => {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'utf8').includes(
      `softefa-nic\0${process.env.SOFTEFA_DIRECTORY}/`,
    );
  } catch {
    return false; // it has ended meanwhile
  }
};

const nics = readdirSync('/proc').filter((name) => /^\d+$/.test(name) && isNic(name));
const descriptors = nics.flatMap((pid) =>
  readdirSync(`/proc/${pid}/fd`).map((fd) => readlinkSync(`/proc/${pid}/fd/${fd}`)),
);
// Each table's lines have the local address as hexadecimal digits, then, in their tenth field, the socket's number.
const sockets = ['udp', 'udp6', 'tcp', 'tcp6', 'raw', 'raw6'].flatMap((table) =>
  readFileSync(`/proc/net/${table}`, 'latin1')
    .split('\n')
    .slice(1)
    .map((line) => line.trim().split(/\s+/))
    .filter((fields) => descriptors.includes(`socket:[${fields[9]}]`))
    .map((fields) => `${table} ${fields[1].split(':')[0]}`),
);
console.log(JSON.stringify(sockets));

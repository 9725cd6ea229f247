// Three members of a group, here in one process, add up a number of each: fi_join_collective, fi_allreduce.
import * as fi from 'libfabric/fi';
import { place } from '../options.js';
import { openSide, until } from '../side.js';

const MEMBERS = 3;
const { provider = 'tcp;ofi_rxm', node } = place();
const caps = ['FI_MSG', 'FI_TAGGED', 'FI_COLLECTIVE'];
const sides = await Promise.all(Array.from({ length: MEMBERS }, () => openSide(provider, node, caps)));
// Everybody knows everybody by the same number: the rank.
for (const { addresses } of sides) for (const { endpoint } of sides) addresses.insert(endpoint.getName());
const sets = await Promise.all(
  sides.map(({ addresses }) => fi.AddressVectorSet.open(addresses, { end: MEMBERS - 1 })),
);

/** Reads all queues; how many operations have completed since the start. */
let completed = 0;
const progress = (): number => {
  for (const { queue } of sides) completed += queue.read();
  return completed;
};

const groups = await Promise.all(sides.map(({ endpoint }, rank) => endpoint.joinCollective(sets[rank])));
let joined = 0;
await until(() => {
  progress();
  for (const { events } of sides) if (events.read()?.name === 'FI_JOIN_COMPLETE') joined += 1;
  return joined === MEMBERS;
});

const memories = sides.map(() => fi.Memory.allocate(16));
// The number that a member gives, and behind it the sum.
const numbers = memories.map(
  ({ bytes }) => new BigUint64Array(bytes.buffer as ArrayBuffer, bytes.byteOffset, 2),
);
completed = 0;
for (const [rank, { endpoint }] of sides.entries()) {
  numbers[rank][0] = BigInt(10 * (rank + 1));
  const data = { memory: memories[rank], resultOffset: 8, count: 1, datatype: 'FI_UINT64' } as const;
  await until(() => {
    progress();
    return endpoint.allreduce(groups[rank], data, 'FI_SUM', rank);
  });
}
await until(() => progress() === MEMBERS);
for (const [rank, [own, sum]] of numbers.entries()) console.log(`member ${rank} gave ${own} and has ${sum}`);

for (const object of [...groups, ...sets]) await object.close();
await Promise.all(sides.map((side) => side.close()));

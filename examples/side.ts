// libfabric's own objects around one endpoint for reliable datagrams, which the examples of libfabric/fi share.
import * as fi from 'libfabric/fi';

/** An endpoint with all that it needs. */
export interface Side {
  readonly domain: fi.Domain;
  readonly events: fi.EventQueue;
  readonly queue: fi.CompletionQueue;
  readonly addresses: fi.AddressVector;
  readonly endpoint: fi.Endpoint;
  close(): Promise<void>;
}

/** `prepare` is called before the endpoint is enabled. */
export async function openSide(
  provider: string,
  node: string | undefined,
  caps: readonly string[],
  prepare: (endpoint: fi.Endpoint) => void = () => undefined,
): Promise<Side> {
  const infos = await fi.getInfo(
    {
      ...{ providerName: provider, endpointType: 'FI_EP_RDM', caps },
      ...{
        mode: fi.FI_CONTEXT | fi.FI_CONTEXT2,
        threading: 'FI_THREAD_SAFE',
        addressVectorType: 'FI_AV_TABLE',
      },
    },
    node === undefined ? {} : { node, flags: fi.FI_SOURCE },
  );
  const info = infos.find((entry) => entry.provider === provider);
  if (info === undefined) throw new Error(`the provider ${provider} does not offer ${caps.join(' and ')}`);
  const fabric = await fi.Fabric.open(info);
  const domain = await fi.Domain.open(fabric, info);
  const events = await fi.EventQueue.open(fabric);
  const queue = await fi.CompletionQueue.open(domain);
  const addresses = await fi.AddressVector.open(domain);
  const endpoint = await fi.Endpoint.open(domain, info);
  for (const object of [events, queue, addresses]) endpoint.bind(object);
  prepare(endpoint);
  await endpoint.enable();
  const close = async (): Promise<void> => {
    for (const object of [endpoint, queue, addresses, domain, events, fabric]) await object.close();
  };
  return { domain, events, queue, addresses, endpoint, close };
}

/** Progress is made by whoever reads the queues, so all of them are read, once in each turn of the loop. */
export async function until(isSo: () => boolean): Promise<void> {
  const end = performance.now() + 10_000;
  while (!isSo()) {
    if (performance.now() > end) throw new Error('nothing came for 10 s');
    await new Promise((resolve) => setTimeout(resolve, 0));
  }
}

// What Node programs have without this package, between two processes: settings.transport names it.
import { measureChannel } from './channel-measure.js';
import { transports } from './channels.js';
import { barrier, runChild } from './link.js';

await runChild(async (settings) => {
  const { transport = '' } = settings;
  if (!(transport in transports)) throw new Error(`there is no transport '${transport}'`);
  const channel = await transports[transport](settings);
  const result = await measureChannel(channel, settings, barrier);
  return {
    result,
    close: () => {
      channel.close();
      return Promise.resolve();
    },
  };
});

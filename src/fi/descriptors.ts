// What programs that this process starts do not inherit: libfabric's file descriptors (native/descriptors.h). Opening and
// closing objects marks them; those of connections that came since are marked when a child process is about to start.
import { subscribe } from 'node:diagnostics_channel';
import { addon } from './library.js';

let subscribed = false;

/** @internal From the first fabric on. */
export function keepFromChildren(): void {
  if (subscribed) return;
  subscribed = true;
  subscribe('child_process', () => {
    addon().closeOnExec();
  });
}

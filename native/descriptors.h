// File descriptors that libfabric opens. Nearly all of its providers leave out O_CLOEXEC: a program that the process
// starts would inherit them, and keep connections open and ports taken after this process has ended. Napi-free.
#pragma once

namespace ofi {

// Remembers what is open now: it was there before libfabric, and is the program's. Called once, before it is loaded.
void note_descriptors();

// Marks sockets, epoll and event descriptors opened since, which programs that are started shall not inherit. Node's own
// are marked already. How many it marked.
int close_descriptors_on_exec();

}  // namespace ofi

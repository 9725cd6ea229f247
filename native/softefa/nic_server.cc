#include "nic_server.h"

#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>

#include <algorithm>
#include <cerrno>
#include <new>
#include <system_error>

#include "message_socket.h"

namespace softefa {

namespace {

// What an event is about: one of these; or the number of a program, or a socket of the control's, with the low bits that say
// which.
constexpr uint64_t kUdp = UINT64_MAX;
constexpr uint64_t kListener = UINT64_MAX - 1;
constexpr uint64_t kDoorbell = UINT64_MAX - 2;
constexpr uint64_t kCommand = UINT64_MAX - 3;
constexpr uint64_t kControl = UINT64_MAX - 4;

enum class Part : uint64_t { kRequests = 0, kProcess = 1, kControl = 2 };
constexpr uint64_t event_of(uint64_t number, Part part) { return number << 2 | static_cast<uint64_t>(part); }

constexpr int kPacketsPerTurn = 64;
constexpr int kMaxEvents = 16;

[[noreturn]] void fail(const char* what) { throw std::system_error(errno, std::generic_category(), what); }

Descriptor opened(int fd, const char* what) {
  if (fd < 0) fail(what);
  return Descriptor(fd);
}

}  // namespace

NicServer::NicServer(const std::string& path, UdpWire& wire, Nic& nic, ControlSocket* control,
                     CounterFiles* counters)
    : wire_(wire),
      nic_(nic),
      control_(control),
      counters_(counters),
      epoll_(opened(epoll_create1(EPOLL_CLOEXEC), "epoll")),
      listener_(opened(socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0), "a Unix socket")),
      doorbell_(opened(eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC), "an eventfd")),
      page_file_(opened(memfd_create("softefa-nic", MFD_CLOEXEC), "a memfd")) {
  sockaddr_un name{};
  name.sun_family = AF_UNIX;
  if (path.size() >= sizeof name.sun_path)
    throw std::system_error(ENAMETOOLONG, std::generic_category(), path);
  path.copy(name.sun_path, path.size());
  if (bind(listener_.get(), reinterpret_cast<sockaddr*>(&name), sizeof name) != 0) fail(path.c_str());
  if (listen(listener_.get(), SOMAXCONN) != 0) fail("listen");
  if (ftruncate(page_file_.get(), sizeof(NicPage)) != 0) fail("the NIC's page");
  void* const page = mmap(nullptr, sizeof(NicPage), PROT_READ | PROT_WRITE, MAP_SHARED, page_file_.get(), 0);
  if (page == MAP_FAILED) fail("the NIC's page");
  page_ = new (page) NicPage();
  watch(wire_.socket(), kUdp);
  watch(listener_.get(), kListener);
  watch(doorbell_.get(), kDoorbell);
  watch(STDIN_FILENO, kCommand);
  if (control_ != nullptr) watch(control_->listener(), kControl);
}

void NicServer::watch(int fd, uint64_t what) {
  epoll_event event{};
  event.events = EPOLLIN;
  event.data.u64 = what;
  if (epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, fd, &event) != 0) fail("epoll_ctl");
}

void NicServer::run() {
  while (!is_over_) {
    bool is_busy = false;
    const uint64_t next = work(is_busy);
    sleep(next, is_busy);
  }
}

uint64_t NicServer::work(bool& is_busy) {
  is_busy = receive_packets();
  is_busy |= nic_.poll(monotonic_us());
  uint64_t next = nic_.advance(monotonic_us());
  if (counters_ != nullptr) next = std::min(next, counters_->write(nic_.counters(), monotonic_us()));
  return std::min(next, wire_.flush(monotonic_us()));
}

bool NicServer::receive_packets() {
  int count = 0;
  while (count < kPacketsPerTurn && wire_.receive(header_, payload_)) {
    nic_.receive(header_, payload_, monotonic_us());
    ++count;
  }
  return count > 0;
}

// Whoever posts after `is_asleep` was set rings; what was posted before is seen here.
void NicServer::sleep(uint64_t until_us, bool is_busy) {
  timespec limit{};
  if (!is_busy) {
    page_->is_asleep.store(1, std::memory_order_seq_cst);
    std::atomic_thread_fence(std::memory_order_seq_cst);
    const uint64_t now = monotonic_us();
    if (!nic_.has_posted() && until_us > now) {
      const uint64_t pause = std::min<uint64_t>(until_us - now, 3'600'000'000);
      limit = {static_cast<time_t>(pause / 1'000'000), static_cast<long>(pause % 1'000'000 * 1'000)};
    }
  }
  epoll_event events[kMaxEvents];
  const int count = epoll_pwait2(epoll_.get(), events, kMaxEvents, &limit, nullptr);
  page_->is_asleep.store(0, std::memory_order_seq_cst);
  for (int index = 0; index < count; ++index)
    if (!handle(events[index].data.u64)) is_over_ = true;
}

// False when the command is gone.
bool NicServer::handle(uint64_t what) {
  uint64_t rings = 0;
  switch (what) {
    case kUdp: return true;  // the next turn reads it
    case kListener: accept_program(); return true;
    case kControl: accept_control(); return true;
    case kDoorbell: return read(doorbell_.get(), &rings, sizeof rings) != 0;
    case kCommand: return read(STDIN_FILENO, &rings, sizeof rings) > 0;
    default: break;
  }
  switch (static_cast<Part>(what & 3)) {
    case Part::kRequests: serve(what >> 2); break;
    case Part::kProcess: drop(what >> 2); break;
    case Part::kControl: control_->serve(static_cast<int>(what >> 2)); break;
  }
  return true;
}

// Its end takes it out of the epoll set.
void NicServer::accept_control() {
  if (const int socket = control_->accept(); socket >= 0)
    watch(socket, event_of(static_cast<uint64_t>(socket), Part::kControl));
}

void NicServer::accept_program() {
  Descriptor socket(accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC));
  ucred peer{};
  socklen_t length = sizeof peer;
  if (!socket.is_open() || getsockopt(socket.get(), SOL_SOCKET, SO_PEERCRED, &peer, &length) != 0) return;
  Descriptor process(static_cast<int>(syscall(SYS_pidfd_open, peer.pid, 0)));
  const uint64_t number = next_program_++;
  watch(socket.get(), event_of(number, Part::kRequests));
  if (process.is_open()) watch(process.get(), event_of(number, Part::kProcess));
  connections_[number] = {std::move(socket), std::move(process), {number, peer.pid}};
}

void NicServer::serve(uint64_t program) {
  const auto found = connections_.find(program);
  if (found == connections_.end()) return;
  const Connection& connection = found->second;
  Request request;
  Descriptors descriptors;
  if (!receive_message(connection.socket.get(), request, descriptors)) {
    drop(program);
    return;
  }
  const bool is_hello = request.kind == RequestKind::kHello;
  const Reply reply =
      is_hello ? greet(connection, request)
               : nic_.handle(connection.program, request, descriptors[0].get(), descriptors[1].get());
  const int shown[] = {page_file_.get(), doorbell_.get()};
  const std::span<const int> along = is_hello ? std::span<const int>(shown) : std::span<const int>();
  if (!send_message(connection.socket.get(), reply, along)) drop(program);
}

// The NIC must be able to read the program's memory: better said now than with the first message.
Reply NicServer::greet(const Connection& connection, const Request& request) {
  uint64_t value = 0;
  const iovec local{&value, sizeof value};
  const iovec remote{reinterpret_cast<void*>(request.address), sizeof value};
  if (process_vm_readv(connection.program.process, &local, 1, &remote, 1, 0) != sizeof value)
    return {.error = errno};
  return nic_.handle(connection.program, request, -1);
}

void NicServer::drop(uint64_t program) {
  if (connections_.erase(program) > 0) nic_.remove(program);
}

}  // namespace softefa

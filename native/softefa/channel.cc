#include "channel.h"

#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/un.h>

#include <atomic>
#include <cerrno>

#include "message_socket.h"

namespace softefa {

Channel::~Channel() {
  if (page_ != nullptr) munmap(page_, sizeof(NicPage));
}

int Channel::connect(const std::string& path) {
  socket_ = Descriptor(socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0));
  if (!socket_.is_open()) return errno;
  sockaddr_un name{};
  name.sun_family = AF_UNIX;
  if (path.size() >= sizeof name.sun_path) return ENAMETOOLONG;
  path.copy(name.sun_path, path.size());
  if (::connect(socket_.get(), reinterpret_cast<sockaddr*>(&name), sizeof name) != 0) return errno;
  ucred nic{};
  socklen_t length = sizeof nic;
  // Where the kernel lets only parents look into a process, the NIC has to be allowed by name.
  if (getsockopt(socket_.get(), SOL_SOCKET, SO_PEERCRED, &nic, &length) == 0)
    prctl(PR_SET_PTRACER, static_cast<unsigned long>(nic.pid), 0, 0, 0);
  return greet();
}

int Channel::greet() {
  static const uint64_t readable = 1;
  Request request;
  request.kind = RequestKind::kHello;
  request.address = reinterpret_cast<uint64_t>(&readable);
  Reply reply;
  Descriptors descriptors;
  if (!send_message(socket_.get(), request) || !receive_message(socket_.get(), reply, descriptors))
    return EIO;
  if (reply.error != 0) return reply.error;
  void* const page =
      mmap(nullptr, sizeof(NicPage), PROT_READ | PROT_WRITE, MAP_SHARED, descriptors[0].get(), 0);
  if (page == MAP_FAILED) return errno;
  page_ = static_cast<NicPage*>(page);
  doorbell_ = std::move(descriptors[1]);
  gid_ = reply.gid;
  has_rdma_ = reply.has_rdma != 0;
  return 0;
}

Reply Channel::ask(const Request& request, std::span<const int> along) {
  const std::lock_guard lock(mutex_);
  Reply reply;
  Descriptors descriptors;
  if (!send_message(socket_.get(), request, along) || !receive_message(socket_.get(), reply, descriptors))
    reply.error = EIO;
  return reply;
}

void Channel::ring() {
  std::atomic_thread_fence(std::memory_order_seq_cst);
  if (page_->is_asleep.load(std::memory_order_relaxed) == 0) return;
  const uint64_t once = 1;
  static_cast<void>(!write(doorbell_.get(), &once, sizeof once));
}

bool SharedMemory::create(size_t bytes) {
  file_ = Descriptor(memfd_create("softefa-queue", MFD_CLOEXEC));
  if (!file_.is_open() || ftruncate(file_.get(), static_cast<off_t>(bytes)) != 0) return false;
  void* const memory = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, file_.get(), 0);
  if (memory == MAP_FAILED) return false;
  memory_ = static_cast<std::byte*>(memory);
  bytes_ = bytes;
  return true;
}

SharedMemory::~SharedMemory() {
  if (memory_ != nullptr) munmap(memory_, bytes_);
}

}  // namespace softefa

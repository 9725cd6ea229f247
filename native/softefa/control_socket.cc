#include "control_socket.h"

#include <sys/socket.h>
#include <sys/un.h>

#include <cerrno>
#include <system_error>

namespace softefa {

namespace {

// No line that says anything is as long.
constexpr size_t kMaxLine = 4096;

}  // namespace

ControlSocket::ControlSocket(const std::string& path, Control& control)
    : control_(control), listener_(socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0)) {
  sockaddr_un name{};
  name.sun_family = AF_UNIX;
  if (path.size() >= sizeof name.sun_path)
    throw std::system_error(ENAMETOOLONG, std::generic_category(), path);
  path.copy(name.sun_path, path.size());
  if (!listener_.is_open() || bind(listener_.get(), reinterpret_cast<sockaddr*>(&name), sizeof name) != 0 ||
      listen(listener_.get(), SOMAXCONN) != 0)
    throw std::system_error(errno, std::generic_category(), path);
}

int ControlSocket::accept() {
  Descriptor socket(accept4(listener_.get(), nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC));
  const int fd = socket.get();
  if (socket.is_open()) connections_[fd].socket = std::move(socket);
  return fd;
}

// Whoever does not read its answers loses its connection: a NIC waits for nobody.
bool ControlSocket::serve(int socket) {
  const auto found = connections_.find(socket);
  if (found == connections_.end()) return false;
  std::string& unread = found->second.unread;
  char bytes[kMaxLine];
  const ssize_t count = recv(socket, bytes, sizeof bytes, 0);
  if (count < 0 && (errno == EAGAIN || errno == EINTR)) return true;
  bool goes_on = count > 0;
  if (goes_on) unread.append(bytes, static_cast<size_t>(count));
  for (size_t end = unread.find('\n'); goes_on && end != std::string::npos; end = unread.find('\n')) {
    const std::string answer = control_.answer(std::string_view(unread).substr(0, end)) + "\n";
    unread.erase(0, end + 1);
    goes_on = send(socket, answer.data(), answer.size(), MSG_NOSIGNAL) == static_cast<ssize_t>(answer.size());
  }
  if (goes_on && unread.size() <= kMaxLine) return true;
  connections_.erase(found);
  return false;
}

}  // namespace softefa

// Completion channels: file descriptors that tell a program which sleeps of its next completion.
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <sys/eventfd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>

#include "verbs.h"

using namespace softefa;

namespace {

CompletionQueue& of(ibv_cq* queue) {
  return *static_cast<CompletionQueue*>(reinterpret_cast<ibv_cq_ex*>(queue));
}

bool is_readable(const CompletionChannel& channel) {
  pollfd wanted{channel.fd, POLLIN, 0};
  return poll(&wanted, 1, 0) == 1;
}

// Until there may be an event, or at once where the program has made the descriptor non-blocking. Answers an errno.
int wait_for_event(const CompletionChannel& channel) {
  const bool may_block = (fcntl(channel.fd, F_GETFL) & O_NONBLOCK) == 0;
  pollfd wanted{channel.fd, POLLIN, 0};
  const int count = poll(&wanted, 1, may_block ? -1 : 0);
  if (count < 0) return errno;
  return count == 0 ? EAGAIN : 0;
}

// Takes one from the eventfd. Its readers hold the channel's mutex, so a readable one does not block.
bool take_token(const CompletionChannel& channel) {
  uint64_t one = 0;
  return is_readable(channel) && read(channel.fd, &one, sizeof one) == sizeof one;
}

// The queue that an event is about; null where somebody else was faster. The next event is looked for behind it.
CompletionQueue* take_event(CompletionChannel& channel) {
  const std::lock_guard lock(channel.mutex);
  if (!take_token(channel)) return nullptr;
  const auto told = std::ranges::find_if(channel.queues, [](const CompletionQueue* queue) {
    return queue->notice->events.load(std::memory_order_acquire) > 0;
  });
  if (told == channel.queues.end()) return nullptr;
  CompletionQueue* const queue = *told;
  std::rotate(told, told + 1, channel.queues.end());
  queue->notice->events.fetch_sub(1, std::memory_order_relaxed);
  pthread_mutex_lock(&queue->mutex);
  ++queue->events_taken;
  pthread_mutex_unlock(&queue->mutex);
  return queue;
}

}  // namespace

namespace softefa {

int request_notification(ibv_cq* base, int solicited_only) {
  CompletionQueue& queue = of(base);
  // EFA has no solicited events. The provider looks at errno, others at what is returned.
  const int error = solicited_only != 0 ? EOPNOTSUPP : queue.told_by == nullptr ? EINVAL : 0;
  if (error != 0) {
    errno = error;
    return error;
  }
  queue.notice->is_wanted.store(1, std::memory_order_seq_cst);
  // The caller polls next: what the NIC completed before it could see this is there to be polled.
  std::atomic_thread_fence(std::memory_order_seq_cst);
  return 0;
}

void join_channel(CompletionQueue& queue, ibv_comp_channel* base) {
  auto& channel = *static_cast<CompletionChannel*>(base);
  queue.channel = base;
  queue.told_by = &channel;
  const std::lock_guard lock(channel.mutex);
  channel.queues.push_back(&queue);
  ++channel.refcnt;
}

// After the NIC has let go of the queue. As libibverbs: waits until the program has acknowledged every event that it got.
void leave_channel(CompletionQueue& queue) {
  CompletionChannel& channel = *queue.told_by;
  {
    const std::lock_guard lock(channel.mutex);
    std::erase(channel.queues, &queue);
    --channel.refcnt;
    for (uint32_t left = queue.notice->events.load(std::memory_order_acquire); left > 0; --left)
      take_token(channel);
  }
  pthread_mutex_lock(&queue.mutex);
  while (queue.comp_events_completed != queue.events_taken) pthread_cond_wait(&queue.cond, &queue.mutex);
  pthread_mutex_unlock(&queue.mutex);
}

}  // namespace softefa

extern "C" {

ibv_comp_channel* ibv_create_comp_channel(ibv_context* context) {
  auto channel = std::make_unique<CompletionChannel>();
  static_cast<ibv_comp_channel&>(*channel) = {};
  channel->event = Descriptor(eventfd(0, EFD_SEMAPHORE | EFD_CLOEXEC));
  if (!channel->event.is_open()) return nullptr;
  channel->context = context;
  channel->fd = channel->event.get();
  return channel.release();
}

int ibv_destroy_comp_channel(ibv_comp_channel* base) {
  auto* const channel = static_cast<CompletionChannel*>(base);
  {
    const std::lock_guard lock(channel->mutex);
    if (channel->refcnt > 0) return EBUSY;
  }
  delete channel;
  return 0;
}

int ibv_get_cq_event(ibv_comp_channel* base, ibv_cq** queue, void** cq_context) {
  auto& channel = *static_cast<CompletionChannel*>(base);
  CompletionQueue* told = nullptr;
  while (told == nullptr) {
    if (const int error = wait_for_event(channel); error != 0) {
      errno = error;
      return -1;
    }
    told = take_event(channel);
  }
  *queue = ibv_cq_ex_to_cq(told);
  *cq_context = told->cq_context;
  return 0;
}

void ibv_ack_cq_events(ibv_cq* base, unsigned int count) {
  CompletionQueue& queue = of(base);
  pthread_mutex_lock(&queue.mutex);
  queue.comp_events_completed += count;
  pthread_cond_signal(&queue.cond);
  pthread_mutex_unlock(&queue.mutex);
}

}  // extern "C"

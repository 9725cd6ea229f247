#include "transport.h"

#include <algorithm>
#include <utility>

namespace softefa {

Transport::Peer& Transport::peer(const Gid& gid) {
  const auto [found, is_new] = peers_.try_emplace(gid);
  if (is_new) found->second.window = limits_.first_window;
  return found->second;
}

void Transport::send(Message message, uint64_t now_us) {
  const Gid gid = message.target;
  Peer& to = peer(gid);
  to.queued.push_back(std::move(message));
  fill_window(gid, to, now_us);
}

void Transport::fill_window(const Gid& gid, Peer& peer, uint64_t now_us) {
  while (!peer.queued.empty() && peer.on_the_way < peer.window) {
    const uint64_t sequence = peer.next_sequence++;
    InFlight& entry = peer.in_flight[sequence];
    entry.message = std::move(peer.queued.front());
    peer.queued.pop_front();
    entry.first_sent_us = now_us;
    ++peer.on_the_way;
    ++counters_.sent;
    transmit(gid, peer, sequence, entry, now_us);
  }
}

void Transport::transmit(const Gid& gid, Peer& peer, uint64_t sequence, InFlight& entry, uint64_t now_us) {
  PacketHeader& header = entry.message.header;
  header.kind = PacketKind::kMessage;
  header.incarnation = incarnation_;
  header.source = self_;
  header.sequence = sequence;
  header.oldest = peer.in_flight.begin()->first;
  const uint64_t pause = limits_.first_retransmit_us << std::min(entry.attempts, 10U);
  entry.due_us = now_us + std::min(pause, limits_.last_retransmit_us);
  ++entry.attempts;
  hooks_.transmit(gid, header, entry.message.payload);
}

void Transport::receive(const PacketHeader& header, std::span<const std::byte> payload, uint64_t now_us) {
  Peer& from = peer(header.source);
  from.heard_us = now_us;
  from.has_answered = true;
  if (header.kind == PacketKind::kMessage)
    take_message(from, header, payload);
  else
    take_answer(header.source, from, header, payload, now_us);
}

void Transport::take_message(Peer& peer, const PacketHeader& header, std::span<const std::byte> payload) {
  if (peer.incarnation != header.incarnation) {
    peer.incarnation = header.incarnation;
    peer.seen.clear();
    peer.floor = header.oldest;
  }
  peer.floor = std::max(peer.floor, header.oldest);
  peer.seen.erase(peer.seen.begin(), peer.seen.lower_bound(peer.floor));
  // Its acknowledgement may have been lost: it gets another.
  answer_.clear();
  if (header.sequence < peer.floor || peer.seen.contains(header.sequence)) {
    ++counters_.duplicates;
    answer(header, is_repeatable(header) ? hooks_.deliver(header, payload, answer_) : Status::kSuccess);
    return;
  }
  const Status status = hooks_.deliver(header, payload, answer_);
  if (status == Status::kSuccess) {
    ++counters_.delivered;
    peer.seen.insert(header.sequence);
    while (peer.seen.erase(peer.floor) > 0) ++peer.floor;
  }
  answer(header, status);
}

void Transport::answer(const PacketHeader& to, Status status) {
  PacketHeader header;
  header.kind = status == Status::kSuccess ? PacketKind::kAccepted : PacketKind::kRefused;
  header.status = status;
  header.incarnation = to.incarnation;
  header.sequence = to.sequence;
  header.source = self_;
  header.source_qpn = to.target_qpn;
  header.target_qpn = to.source_qpn;
  hooks_.transmit(to.source, header, answer_);
}

void Transport::take_answer(const Gid& gid, Peer& peer, const PacketHeader& header,
                            std::span<const std::byte> payload, uint64_t now_us) {
  // For who had this address before us.
  if (header.incarnation != incarnation_) return;
  const auto found = peer.in_flight.find(header.sequence);
  if (found == peer.in_flight.end()) return;
  InFlight& entry = found->second;
  const uint8_t retries = entry.message.receiver_not_ready_retries;
  if (header.status == Status::kReceiverNotReady) {
    ++counters_.receiver_not_ready;
    // A late answer to a packet that was sent again already asks for no second pause.
    if (entry.waits_for_buffer) return;
    if (retries == kRetryForEver || entry.refusals < retries) {
      postpone(peer, entry, now_us);
      fill_window(gid, peer, now_us);
      return;
    }
  } else if (++peer.answers_in_window >= peer.window) {
    peer.answers_in_window = 0;
    peer.window = std::min(peer.window + 1 + (peer.window / 4), limits_.last_window);
  }
  if (!entry.waits_for_buffer) --peer.on_the_way;
  const uint64_t token = entry.message.token;
  peer.in_flight.erase(found);
  fill_window(gid, peer, now_us);
  hooks_.settled(token, header.status, payload);
}

// Others may pass while it waits.
void Transport::postpone(Peer& peer, InFlight& entry, uint64_t now_us) {
  entry.due_us = now_us + (limits_.receiver_not_ready_us << std::min(entry.refusals, 5U));
  ++entry.refusals;
  entry.attempts = 0;
  entry.waits_for_buffer = true;
  --peer.on_the_way;
}

uint64_t Transport::advance(uint64_t now_us) {
  uint64_t next = kNever;
  for (auto& [gid, peer] : peers_) {
    if (peer.in_flight.empty()) continue;
    if (is_lost(peer, now_us)) {
      lose(peer);
      continue;
    }
    next = std::min(next, retransmit(gid, peer, now_us));
  }
  return next;
}

bool Transport::is_lost(const Peer& peer, uint64_t now_us) const {
  const InFlight& oldest = peer.in_flight.begin()->second;
  return now_us > std::max(oldest.first_sent_us, peer.heard_us) + limits_.unresponsive_us;
}

// Everything for that peer fails, in the order it was sent in.
void Transport::lose(Peer& peer) {
  ++counters_.lost_peers;
  const Status status = peer.has_answered ? Status::kUnresponsive : Status::kUnreachable;
  std::vector<uint64_t> tokens;
  tokens.reserve(peer.in_flight.size() + peer.queued.size());
  for (const auto& [sequence, entry] : peer.in_flight) tokens.push_back(entry.message.token);
  for (const Message& message : peer.queued) tokens.push_back(message.token);
  peer.in_flight.clear();
  peer.queued.clear();
  peer.on_the_way = 0;
  peer.window = limits_.first_window;
  for (const uint64_t token : tokens) hooks_.settled(token, status, {});
}

uint64_t Transport::retransmit(const Gid& gid, Peer& peer, uint64_t now_us) {
  uint64_t next = kNever;
  for (auto& [sequence, entry] : peer.in_flight) {
    if (entry.due_us <= now_us) {
      if (entry.waits_for_buffer) {
        entry.waits_for_buffer = false;
        ++peer.on_the_way;
      } else if (now_us >= peer.shrunk_us + limits_.first_retransmit_us) {
        // A lost packet means a full buffer somewhere; one burst of losses is one reason.
        peer.shrunk_us = now_us;
        peer.window = std::max(1U, peer.window / 2);
      }
      ++counters_.retransmitted;
      transmit(gid, peer, sequence, entry, now_us);
    }
    next = std::min(next, entry.due_us);
  }
  return next;
}

void Transport::forget(const std::function<bool(uint64_t token)>& is_gone) {
  for (auto& [gid, peer] : peers_) {
    std::erase_if(peer.queued, [&](const Message& message) { return is_gone(message.token); });
    std::erase_if(peer.in_flight, [&](const auto& item) {
      if (!is_gone(item.second.message.token)) return false;
      if (!item.second.waits_for_buffer) --peer.on_the_way;
      return true;
    });
  }
}

}  // namespace softefa

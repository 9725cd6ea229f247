// What a NIC counts, by the names that Linux's efa driver has in hw_counters.
#pragma once

#include <cstdint>
#include <utility>

namespace softefa {

struct Counters {
  // Packets, with their headers, acknowledgements and what was sent again.
  uint64_t tx_bytes = 0, tx_pkts = 0, rx_bytes = 0, rx_pkts = 0;
  // Datagrams that found no queue pair or no buffer.
  uint64_t rx_drops = 0;
  // Messages, and what they carry.
  uint64_t send_bytes = 0, send_wrs = 0, recv_bytes = 0, recv_wrs = 0;
  // RDMA, at its initiator: what was done, and how often that failed; then at its target.
  uint64_t rdma_read_wrs = 0, rdma_read_bytes = 0, rdma_read_wr_err = 0, rdma_read_resp_bytes = 0;
  uint64_t rdma_write_wrs = 0, rdma_write_bytes = 0, rdma_write_wr_err = 0, rdma_write_recv_bytes = 0;
  uint64_t retrans_pkts = 0;
  uint64_t unresponsive_remote_events = 0;
};

constexpr std::pair<const char*, uint64_t Counters::*> kCounterNames[] = {
    {"tx_bytes", &Counters::tx_bytes},
    {"tx_pkts", &Counters::tx_pkts},
    {"rx_bytes", &Counters::rx_bytes},
    {"rx_pkts", &Counters::rx_pkts},
    {"rx_drops", &Counters::rx_drops},
    {"send_bytes", &Counters::send_bytes},
    {"send_wrs", &Counters::send_wrs},
    {"recv_bytes", &Counters::recv_bytes},
    {"recv_wrs", &Counters::recv_wrs},
    {"rdma_read_wrs", &Counters::rdma_read_wrs},
    {"rdma_read_bytes", &Counters::rdma_read_bytes},
    {"rdma_read_wr_err", &Counters::rdma_read_wr_err},
    {"rdma_read_resp_bytes", &Counters::rdma_read_resp_bytes},
    {"rdma_write_wrs", &Counters::rdma_write_wrs},
    {"rdma_write_bytes", &Counters::rdma_write_bytes},
    {"rdma_write_wr_err", &Counters::rdma_write_wr_err},
    {"rdma_write_recv_bytes", &Counters::rdma_write_recv_bytes},
    {"retrans_pkts", &Counters::retrans_pkts},
    {"unresponsive_remote_events", &Counters::unresponsive_remote_events},
};

}  // namespace softefa

#include "fabric_abi.h"

#include <array>

#include "harness.h"

TEST(error_entry_has_the_source_where_newer_libraries_write_it) {
  // libfabric 1.20 appended src_addr to struct fi_cq_err_entry, whose members before it have never moved.
  CHECK_EQ(offsetof(ofi::CqErrorEntry, op_context), offsetof(fi_cq_err_entry, op_context));
  CHECK_EQ(offsetof(ofi::CqErrorEntry, olen), offsetof(fi_cq_err_entry, olen));
  CHECK_EQ(offsetof(ofi::CqErrorEntry, err_data), offsetof(fi_cq_err_entry, err_data));
  CHECK_EQ(offsetof(ofi::CqErrorEntry, src_addr), offsetof(fi_cq_err_entry, err_data_size) + sizeof(size_t));
  CHECK(sizeof(ofi::CqErrorEntry) >= sizeof(fi_cq_err_entry) + 64);
}

TEST(zeroed_is_zero_to_the_last_byte) {
  const auto attributes = ofi::zeroed<ofi::CqAttributes>();
  const auto* bytes = reinterpret_cast<const unsigned char*>(&attributes);
  bool zero = true;
  for (size_t i = 0; i < sizeof(attributes); ++i) zero = zero && bytes[i] == 0;
  CHECK(zero);
}

TEST(table_may_be_short_or_lack_a_call_or_be_missing) {
  fi_ops_tagged tagged{};
  tagged.size = sizeof(tagged);
  fi_ops_tagged* ops = &tagged;
  CHECK(!OFI_HAS_OP(ops, fi_ops_tagged, injectdata));
  tagged.injectdata = [](fid_ep*, const void*, size_t, uint64_t, fi_addr_t, uint64_t) -> ssize_t {
    return 0;
  };
  CHECK(OFI_HAS_OP(ops, fi_ops_tagged, injectdata));
  tagged.size = offsetof(fi_ops_tagged, injectdata);  // of a library that does not know the call
  CHECK(!OFI_HAS_OP(ops, fi_ops_tagged, injectdata));
  ops = nullptr;
  CHECK(!OFI_HAS_OP(ops, fi_ops_tagged, injectdata));
}

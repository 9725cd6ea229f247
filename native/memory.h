// Memory that operations use: allocated by the addon, shown to JavaScript as one ArrayBuffer.
#pragma once

#include "environment.h"

namespace ofi {

class MemoryObject : public Object {
 public:
  static constexpr Kind kKind = Kind::Memory;
  explicit MemoryObject(MemoryBlock* adopted) : Object(kKind, "Memory"), block(adopted) {
    phase = Phase::Open;
  }
  void after_close() override { block.reset(); }
  BlockReference block;
};

// The block's memory as an ArrayBuffer that holds a reference to it. Made once per block and environment: V8 does not
// allow the same address twice.
Napi::Value block_buffer(Napi::Env env, MemoryBlock* block);

void register_memory(Napi::Object exports, Environment* environment);

}  // namespace ofi

// fi_open(3) and fi_import_fid(3) with "logging", which fi_import_log(3) is made of: what libfabric logs goes to JavaScript.
#include "log_import.h"

#include "handle.h"
#include "log_sink.h"

namespace ofi {

namespace {

// takeLog(): { lines: [{ provider, level, subsystem, function, line, message }], dropped }, since the last call.
Napi::Value take_log(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  const LogSink::Taken taken = LogSink::instance().take(&Environment::of(info));
  auto lines = Napi::Array::New(env, taken.lines.size());
  uint32_t index = 0;
  for (const LogLine& line : taken.lines) {
    auto object = Napi::Object::New(env);
    object.Set("provider", line.provider);
    object.Set("level", line.level);
    object.Set("subsystem", line.subsystem);
    object.Set("function", line.function);
    object.Set("line", line.line);
    object.Set("message", line.message);
    lines.Set(index++, object);
  }
  auto result = Napi::Object::New(env);
  result.Set("lines", lines);
  result.Set("dropped", static_cast<double>(taken.dropped));
  return result;
}

// importLog(level, onLines): `onLines` is called when takeLog() has something. A status.
Napi::Value import_log(const Napi::CallbackInfo& info) {
  Environment& environment = Environment::of(info);
  const std::shared_ptr<Mailbox> mailbox = environment.mailbox();
  // Called on any thread: only the mailbox, which outlives the environment, may be used there.
  auto ring = [mailbox] { mailbox->post([](Environment& owner) { owner.notify_log(); }); };
  const int status =
      LogSink::instance().start(&environment, info[0].As<Napi::Number>().Int32Value(), std::move(ring));
  if (status == 0) environment.set_log_listener(info[1].As<Napi::Function>());
  return Napi::Number::New(info.Env(), status);
}

// stopLog(): libfabric writes to stderr again.
Napi::Value stop_log(const Napi::CallbackInfo& info) {
  LogSink::instance().stop(&Environment::of(info));
  return info.Env().Undefined();
}

}  // namespace

void register_log_import(Napi::Object exports, Environment* environment) {
  define(exports, "importLog", import_log, environment);
  define(exports, "takeLog", take_log, environment);
  define(exports, "stopLog", stop_log, environment);
}

}  // namespace ofi

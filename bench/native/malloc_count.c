// Counts allocations by the module that asks for them. A library for LD_PRELOAD, glibc only.
//
//   LD_PRELOAD=bench/native/build/malloc_count.so MALLOC_COUNT_ARM_FILE=/tmp/counts node script.js
//
// The file is made, if need be, and mapped; a script reads and writes it as a file (host byte order):
//
//   offset 0   uint32  armed: the process id that is counted, 0 for none. An id and not a flag, because
//   children
//                      inherit both variables and would count into the same file
//   offset 8   uint64  allocations by libfabric.node        offset 32  uint64  where the last one came from,
//   as offset 16  uint64  allocations by libfabric.so          offset 40  uint64  an offset for addr2line -e
//   MODULE offset 24  uint64  all others
//
// Counted are malloc, calloc, realloc, reallocarray, posix_memalign, aligned_alloc, memalign and operator
// new, in all threads. The one who asks is found by return address. An allocation inside libstdc++ or libc (a
// growing std::string, strdup) is put to the account of whoever called in there.

#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <link.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include <unwind.h>

struct counts {
  _Atomic uint32_t armed;
  uint32_t unused;
  _Atomic uint64_t allocations[3];
  _Atomic uint64_t last_offset[2];
};

// The first three are the counters in their order; helpers act for others.
enum module {
  MODULE_ADDON,
  MODULE_LIBFABRIC,
  MODULE_OTHER,
  MODULE_LIBSTDCXX,
  MODULE_LIBC,
  MODULE_SELF,
  MODULES
};

static const char* const module_names[MODULES] = {
    [MODULE_ADDON] = "/libfabric.node",   [MODULE_LIBFABRIC] = "/libfabric.so",
    [MODULE_LIBSTDCXX] = "/libstdc++.so", [MODULE_LIBC] = "/libc.so",
    [MODULE_SELF] = "/malloc_count.so",
};

// None of these is ever unloaded while counted, so a range once found stays. `end` is written last: a range
// with an end is complete. Two threads that look at once write the same values.
static struct {
  _Atomic uintptr_t start;
  _Atomic uintptr_t end;
} ranges[MODULES];

static struct counts* counts;
static uint32_t own_pid;
static _Thread_local bool counting __attribute__((tls_model("initial-exec")));

// glibc's own names: looking up the next malloc with dlsym would allocate.
void* __libc_malloc(size_t size);
void* __libc_calloc(size_t count, size_t size);
void* __libc_realloc(void* memory, size_t size);
void* __libc_memalign(size_t alignment, size_t size);

__attribute__((constructor)) static void map_counts(void) {
  const char* path = getenv("MALLOC_COUNT_ARM_FILE");
  if (!path) return;
  int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  if (fd < 0) return;
  off_t length = lseek(fd, 0, SEEK_END);
  if (length >= (off_t)sizeof *counts || !ftruncate(fd, sizeof *counts)) {
    void* memory = mmap(NULL, sizeof *counts, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    own_pid = (uint32_t)getpid();
    if (memory != MAP_FAILED) counts = memory;
  }
  close(fd);
}

static int note_range(struct dl_phdr_info* info, size_t size, void* data) {
  (void)size;
  (void)data;
  for (int module = 0; module < MODULES; module++) {
    if (!module_names[module] || !strstr(info->dlpi_name, module_names[module])) continue;
    uintptr_t end = 0;
    for (int i = 0; i < info->dlpi_phnum; i++) {
      const ElfW(Phdr)* segment = &info->dlpi_phdr[i];
      uintptr_t segment_end = info->dlpi_addr + segment->p_vaddr + segment->p_memsz;
      if (segment->p_type == PT_LOAD && segment_end > end) end = segment_end;
    }
    atomic_store_explicit(&ranges[module].start, info->dlpi_addr, memory_order_relaxed);
    atomic_store_explicit(&ranges[module].end, end, memory_order_release);
  }
  return 0;
}

static enum module find_range(uintptr_t address) {
  for (int module = 0; module < MODULES; module++) {
    uintptr_t end = atomic_load_explicit(&ranges[module].end, memory_order_acquire);
    if (address < end && address >= atomic_load_explicit(&ranges[module].start, memory_order_relaxed))
      return module;
  }
  return MODULE_OTHER;
}

static bool is_known(enum module module) {
  return atomic_load_explicit(&ranges[module].end, memory_order_relaxed);
}

static enum module find_module(uintptr_t address) {
  enum module module = find_range(address);
  if (module != MODULE_OTHER || (is_known(MODULE_ADDON) && is_known(MODULE_LIBFABRIC))) return module;
  dl_iterate_phdr(note_range, NULL);
  return find_range(address);
}

static bool acts_for_others(enum module module) { return module > MODULE_OTHER; }

static _Unwind_Reason_Code leave_helpers(struct _Unwind_Context* context, void* data) {
  uintptr_t address = _Unwind_GetIP(context);
  *(uintptr_t*)data = address;
  return acts_for_others(find_module(address)) ? _URC_NO_REASON : _URC_NORMAL_STOP;
}

static void count_allocation(void* return_address) {
  uintptr_t address = (uintptr_t)return_address;
  counting = true;
  enum module module = find_module(address);
  if (acts_for_others(module)) {
    _Unwind_Backtrace(leave_helpers, &address);
    module = find_module(address);
    if (acts_for_others(module)) module = MODULE_OTHER;
  }
  atomic_fetch_add_explicit(&counts->allocations[module], 1, memory_order_relaxed);
  if (module != MODULE_OTHER) atomic_store(&counts->last_offset[module], address - ranges[module].start);
  counting = false;
}

// `counting` keeps out what the unwinder itself allocates.
#define COUNT()                                                                                         \
  do {                                                                                                  \
    if (counts && atomic_load_explicit(&counts->armed, memory_order_relaxed) == own_pid && !counting) { \
      count_allocation(__builtin_return_address(0));                                                    \
    }                                                                                                   \
  } while (0)

void* malloc(size_t size) {
  COUNT();
  return __libc_malloc(size);
}

void* calloc(size_t count, size_t size) {
  COUNT();
  return __libc_calloc(count, size);
}

void* realloc(void* memory, size_t size) {
  COUNT();
  return __libc_realloc(memory, size);
}

void* reallocarray(void* memory, size_t count, size_t size) {
  COUNT();
  size_t total;
  if (__builtin_mul_overflow(count, size, &total)) {
    errno = ENOMEM;
    return NULL;
  }
  return __libc_realloc(memory, total);
}

void* memalign(size_t alignment, size_t size) {
  COUNT();
  return __libc_memalign(alignment, size);
}

void* aligned_alloc(size_t alignment, size_t size) {
  COUNT();
  return __libc_memalign(alignment, size);
}

int posix_memalign(void** memory, size_t alignment, size_t size) {
  COUNT();
  if (alignment % sizeof(void*) || !alignment || (alignment & (alignment - 1))) return EINVAL;
  int saved_errno = errno;
  void* allocated = __libc_memalign(alignment, size);
  errno = saved_errno;
  if (!allocated) return ENOMEM;
  *memory = allocated;
  return 0;
}

// operator new, under its mangled names: defined here because libstdc++'s would hide who asked. C cannot
// throw std::bad_alloc, so where that is due the process ends.
static void* or_abort(void* memory) {
  if (!memory) abort();
  return memory;
}

#define DEFINE_NEW(name, parameters, result) \
  void* name parameters;                     \
  void* name parameters {                    \
    COUNT();                                 \
    return result;                           \
  }

DEFINE_NEW(_Znwm, (size_t size), or_abort(__libc_malloc(size)))
DEFINE_NEW(_Znam, (size_t size), or_abort(__libc_malloc(size)))
DEFINE_NEW(_ZnwmSt11align_val_t, (size_t size, size_t alignment), or_abort(__libc_memalign(alignment, size)))
DEFINE_NEW(_ZnamSt11align_val_t, (size_t size, size_t alignment), or_abort(__libc_memalign(alignment, size)))
DEFINE_NEW(_ZnwmRKSt9nothrow_t, (size_t size, const void* nothrow), ((void)nothrow, __libc_malloc(size)))
DEFINE_NEW(_ZnamRKSt9nothrow_t, (size_t size, const void* nothrow), ((void)nothrow, __libc_malloc(size)))
DEFINE_NEW(_ZnwmSt11align_val_tRKSt9nothrow_t, (size_t size, size_t alignment, const void* nothrow),
           ((void)nothrow, __libc_memalign(alignment, size)))
DEFINE_NEW(_ZnamSt11align_val_tRKSt9nothrow_t, (size_t size, size_t alignment, const void* nothrow),
           ((void)nothrow, __libc_memalign(alignment, size)))

// The lock in an shm endpoint's file: whether whoever needs it would wait for ever.
#include "shm_lock.h"

#include <fcntl.h>
#include <pthread.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cstdlib>
#include <string>

#include "harness.h"

using namespace ofi;

namespace {

constexpr size_t kPage = 4096;

// What libfabric 1.17 makes of a file: a version, and a lock at the offset 24.
class Region {
 public:
  explicit Region(uint8_t version, size_t size = kPage) {
    std::string name = "/tmp/libfabric-shm-lock-XXXXXX";
    directory_ = mkdtemp(name.data());
    const int fd = open((directory_ + "/one").c_str(), O_RDWR | O_CREAT, 0600);
    static_cast<void>(!ftruncate(fd, static_cast<off_t>(size)));
    page_ = static_cast<uint8_t*>(mmap(nullptr, kPage, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0));
    close(fd);
    if (size < kPage) return;
    page_[0] = version;
    pthread_spin_init(lock(), PTHREAD_PROCESS_SHARED);
  }
  ~Region() {
    munmap(page_, kPage);
    static_cast<void>(std::system(("rm -rf " + directory_).c_str()));
  }
  const std::string& directory() const { return directory_; }
  pthread_spinlock_t* lock() const { return reinterpret_cast<pthread_spinlock_t*>(page_ + 24); }

 private:
  std::string directory_;
  uint8_t* page_ = nullptr;
};

}  // namespace

TEST(a_lock_is_free_until_it_is_taken_and_again_when_it_is_given_back) {
  const Region region(4);
  const auto lock = ShmLock::of(region.directory(), "fi_shm://one");
  REQUIRE(lock != nullptr);
  CHECK(lock->becomes_free());
  pthread_spin_lock(region.lock());
  CHECK(!lock->becomes_free());
  CHECK(!lock->becomes_free());
  // One that was not waited for yet.
  const auto other = ShmLock::of(region.directory(), "fi_shm://one");
  REQUIRE(other != nullptr);
  CHECK(!other->becomes_free(ofi::LookAgain::Late));
  pthread_spin_unlock(region.lock());
  CHECK(lock->becomes_free());
  CHECK(other->becomes_free(ofi::LookAgain::Late));
}

TEST(a_file_of_another_layout_counts_as_free) {
  const Region region(8);
  pthread_spin_lock(region.lock());
  const auto lock = ShmLock::of(region.directory(), "fi_shm://one");
  REQUIRE(lock != nullptr);
  CHECK(lock->becomes_free());
}

TEST(there_is_no_lock_of_what_is_no_file_yet) {
  const Region being_made(0);
  const Region empty(4, 0);
  CHECK(ShmLock::of(being_made.directory(), "fi_shm://one") == nullptr);
  CHECK(ShmLock::of(empty.directory(), "fi_shm://one") == nullptr);
  CHECK(ShmLock::of(empty.directory(), "fi_shm://other") == nullptr);
  CHECK(ShmLock::of(empty.directory(), "one") == nullptr);
  CHECK(ShmLock::of(empty.directory(), "fi_shm://../one") == nullptr);
}

TEST(of_several_all_must_be_free) {
  const Region one(4);
  const Region two(4);
  ShmLocks locks;
  CHECK(locks.are_free());
  const auto first = ShmLock::of(one.directory(), "fi_shm://one");
  const auto second = ShmLock::of(two.directory(), "fi_shm://one");
  locks.add(first);
  locks.add(second);
  CHECK(locks.are_free());
  pthread_spin_lock(two.lock());
  CHECK(!locks.are_free());
  locks.remove(second);
  CHECK(locks.are_free());
}

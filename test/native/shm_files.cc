// Files of shm endpoints: what is removed, and what is not.
#include "shm_files.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <fstream>
#include <string>

#include "harness.h"

using namespace ofi;

namespace {

// A directory of its own, so that nothing of the machine's is touched.
class Directory {
 public:
  Directory() {
    std::string name = "/tmp/libfabric-shm-files-XXXXXX";
    path_ = mkdtemp(name.data());
  }
  ~Directory() { static_cast<void>(std::system(("rm -rf " + path_).c_str())); }
  const std::string& path() const { return path_; }
  void put(const std::string& name) const { std::ofstream(path_ + "/" + name) << "x"; }
  bool has(const std::string& name) const {
    struct stat info{};
    return stat((path_ + "/" + name).c_str(), &info) == 0;
  }

 private:
  std::string path_;
};

// Runs in a child that ends without a word, as a killed process does.
template <typename Body>
void in_dying_child(Body body) {
  const pid_t child = fork();
  if (child == 0) {
    body();
    _exit(0);
  }
  int status = 0;
  waitpid(child, &status, 0);
}

}  // namespace

TEST(removes_what_a_dead_process_left) {
  const Directory directory;
  in_dying_child([&] {
    shm_lock(directory.path(), "libfabric-1-0-1");
    directory.put("libfabric-1-0-1:0:0");
    directory.put("libfabric-1-0-1:0:1");
  });
  REQUIRE(directory.has("libfabric-1-0-1.lock"));
  CHECK_EQ(shm_remove_stale(directory.path()), 2);
  CHECK(!directory.has("libfabric-1-0-1.lock"));
  CHECK(!directory.has("libfabric-1-0-1:0:0"));
}

TEST(leaves_what_is_locked) {
  const Directory directory;
  int lock = shm_lock(directory.path(), "libfabric-2-0-1");
  REQUIRE(lock >= 0);
  directory.put("libfabric-2-0-1:0:0");
  CHECK_EQ(shm_remove_stale(directory.path()), 0);
  CHECK(directory.has("libfabric-2-0-1:0:0"));
  shm_release(directory.path(), "libfabric-2-0-1", &lock);
  CHECK(!directory.has("libfabric-2-0-1.lock"));
  CHECK_EQ(lock, -1);
}

TEST(leaves_what_has_no_lock_file) {
  const Directory directory;
  directory.put("libfabric-3-0-1:0:0");
  directory.put("4711:0:0");
  CHECK_EQ(shm_remove_stale(directory.path()), 0);
  CHECK(directory.has("libfabric-3-0-1:0:0"));
  CHECK(directory.has("4711:0:0"));
}

TEST(does_not_take_a_longer_name_for_its_own) {
  const Directory directory;
  in_dying_child([&] { shm_lock(directory.path(), "libfabric-4-0-1"); });
  directory.put("libfabric-4-0-12:0:0");
  CHECK_EQ(shm_remove_stale(directory.path()), 0);
  CHECK(directory.has("libfabric-4-0-12:0:0"));
}

TEST(does_not_lock_a_name_twice) {
  const Directory directory;
  int lock = shm_lock(directory.path(), "libfabric-5-0-1");
  REQUIRE(lock >= 0);
  CHECK_EQ(shm_lock(directory.path(), "libfabric-5-0-1"), -EEXIST);
  shm_release(directory.path(), "libfabric-5-0-1", &lock);
}

TEST(reserves_every_page_of_a_file) {
  const Directory directory;
  directory.put("libfabric-6-0-1:0:0");
  const std::string path = directory.path() + "/libfabric-6-0-1:0:0";
  REQUIRE(truncate(path.c_str(), 1 << 20) == 0);
  CHECK_EQ(shm_reserve(directory.path(), "libfabric-6-0-1"), 0);
  struct stat info{};
  REQUIRE(stat(path.c_str(), &info) == 0);
  CHECK(info.st_blocks * 512 >= 1 << 20);
}

TEST(room_is_what_the_file_system_has) {
  const Directory directory;
  CHECK(shm_has_room(directory.path(), 4096));
  CHECK(!shm_has_room(directory.path(), 1ULL << 62));
}

TEST(turn_is_one_at_a_time_and_bounded) {
  const Directory directory;
  const int other = open(directory.path().c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  {
    const ShmTurn turn(directory.path());
    CHECK(flock(other, LOCK_EX | LOCK_NB) != 0);
  }
  CHECK_EQ(flock(other, LOCK_EX | LOCK_NB), 0);
  // Somebody else keeps it: the endpoint opens all the same.
  const ShmTurn late(directory.path(), 5);
  close(other);
}

TEST(turn_ends_with_its_process) {
  const Directory directory;
  in_dying_child([&] { new ShmTurn(directory.path()); });
  const int other = open(directory.path().c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  CHECK_EQ(flock(other, LOCK_EX | LOCK_NB), 0);
  close(other);
}

// Mapping, and what a crash or an error at any step of an atomic write leaves behind.
// SPDX-License-Identifier: Apache-2.0
#include "moka/formats/files.h"

#include <dirent.h>
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <string>

#include "moka/base/error.h"

namespace moka {
namespace {

// A folder that goes away with the test.
class Folder {
 public:
  Folder() {
    char name[] = "/tmp/moka_files_XXXXXX";
    path = ::mkdtemp(name);
  }
  ~Folder() { (void)!std::system(cat("rm -rf ", path).c_str()); }
  int count() const {
    int n = 0;
    DIR* folder = ::opendir(path.c_str());
    while (const dirent* e = ::readdir(folder)) n += e->d_name[0] != '.' || std::strlen(e->d_name) > 2;
    ::closedir(folder);
    return n;
  }
  std::string path;
};

int calls_left = 0, chosen_error = 0;

// Lets the n-th system call fail, or the process die there.
int fail_one(const char*) { return calls_left-- == 0 ? chosen_error : 0; }
int die_at_one(const char*) {
  if (calls_left-- == 0) ::_exit(9);
  return 0;
}

class Fault {
 public:
  Fault(int (*hook)(const char*), int call, int error = 0) {
    calls_left = call;
    chosen_error = error;
    file_fault = hook;
  }
  ~Fault() { file_fault = nullptr; }
};

// The errno of the System error that a call ends with.
int code_of(auto&& call) {
  try {
    call();
  } catch (const Error& e) {
    EXPECT_EQ(e.kind(), ErrorKind::System) << e.message();
    return e.system_code();
  }
  return 0;
}

TEST(AtomicFile, AnErrorAtAnyCallLeavesTheOldFileAndNoTemporaryOne) {
  Folder folder;
  const std::string path = folder.path + "/model", old_text(100, 'o'), new_text(700'000, 'n');
  for (int error : {ENOSPC, EIO, EDQUOT}) {
    int failed = 0;
    for (int call = 0; call < 20; call++) {
      write_file(path, old_text);
      std::string message;
      {
        Fault fault(fail_one, call, error);
        try {
          write_file(path, new_text);
        } catch (const Error& e) {
          message = e.message();
          EXPECT_EQ(e.kind(), ErrorKind::System);
          EXPECT_EQ(e.system_code(), error);
        }
      }
      EXPECT_EQ(folder.count(), 1);
      const std::string after(Bytes::of_file(path).text());
      if (message.empty()) {
        EXPECT_EQ(after, new_text);
        continue;
      }
      failed++;
      EXPECT_NE(message.find(path), std::string::npos);
      EXPECT_NE(message.find(strerror(error)), std::string::npos) << message;
      EXPECT_TRUE(after == old_text || message.find("is written, but its folder") != std::string::npos)
          << message;
    }
    EXPECT_GE(failed, 5);  // open, write, fsync, rename, fsync folder
  }
}

TEST(AtomicFile, AKillAtAnyCallLeavesOldOrNewAndTheNextWriterSweeps) {
  Folder folder;
  const std::string path = folder.path + "/model", old_text(100, 'o'), new_text(700'000, 'n');
  int killed = 0;
  for (int call = 0; call < 12; call++) {
    write_file(path, old_text);
    const pid_t child = ::fork();
    if (child == 0) {
      Fault fault(die_at_one, call);
      write_file(path, new_text);
      ::_exit(0);
    }
    int status = 0;
    ::waitpid(child, &status, 0);
    killed += WEXITSTATUS(status) == 9;
    const std::string after(Bytes::of_file(path).text());
    EXPECT_TRUE(after == old_text || after == new_text);
    write_file(path, old_text);
    EXPECT_EQ(folder.count(), 1) << "temporary files remained after call " << call;
  }
  EXPECT_GE(killed, 5);
}

TEST(AtomicFile, ALivingWritersTemporaryFileIsNotSwept) {
  Folder folder;
  const std::string path = folder.path + "/model";
  AtomicFile first(path);
  first.write("first");
  write_file(path, "second");
  first.commit();
  EXPECT_EQ(Bytes::of_file(path).text(), "first");
  EXPECT_EQ(folder.count(), 1);
}

TEST(AtomicFile, WithoutCommitNothingChanges) {
  Folder folder;
  const std::string path = folder.path + "/model";
  {
    AtomicFile file(path), other(folder.path + "/never");
    file.write("x");
  }
  EXPECT_EQ(folder.count(), 0);
}

TEST(AtomicFile, ReplacesWhatALinkPointsToAndKeepsPermissions) {
  Folder folder;
  const std::string path = folder.path + "/model", link = folder.path + "/link";
  write_file(path, "old");
  ASSERT_EQ(::chmod(path.c_str(), 0640), 0);
  ASSERT_EQ(::symlink("model", link.c_str()), 0);
  write_file(link, "new");
  EXPECT_EQ(Bytes::of_file(path).text(), "new");
  struct stat status;
  ASSERT_EQ(::lstat(link.c_str(), &status), 0);
  EXPECT_TRUE(S_ISLNK(status.st_mode));
  ASSERT_EQ(::stat(path.c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 0777, 0640u);
}

TEST(AtomicFile, RefusesFoldersDevicesAndMissingFolders) {
  Folder folder;
  EXPECT_EQ(code_of([&] { write_file(folder.path, "x"); }), EISDIR);
  EXPECT_EQ(code_of([&] { write_file("/dev/null", "x"); }), EINVAL);
  EXPECT_EQ(code_of([&] { write_file(folder.path + "/missing/model", "x"); }), ENOENT);
  EXPECT_THROW(write_file("", "x"), Error);
}

TEST(Bytes, LargeFilesAreMappedAndSmallOnesRead) {
  Folder folder;
  for (size_t size : {size_t(0), size_t(1), size_t(65'535), size_t(65'536), size_t(1'000'001)}) {
    std::string text(size, 'a');
    for (size_t i = 0; i < size; i++) text[i] = static_cast<char>(i * 7);
    write_file(folder.path + "/file", text);
    const Bytes bytes = Bytes::of_file(folder.path + "/file");
    EXPECT_EQ(bytes.text(), text);
  }
}

TEST(Bytes, RefusesFoldersPipesMissingFilesAndTooLargeOnes) {
  Folder folder;
  EXPECT_EQ(code_of([&] { Bytes::of_file(folder.path); }), EISDIR);
  EXPECT_EQ(code_of([&] { Bytes::of_file(folder.path + "/missing"); }), ENOENT);
  ASSERT_EQ(::mkfifo((folder.path + "/pipe").c_str(), 0600), 0);
  EXPECT_EQ(code_of([&] { Bytes::of_file(folder.path + "/pipe"); }),
            EINVAL);  // and does not wait for a writer
  write_file(folder.path + "/file", "12345");
  Limits limits;
  limits.max_bytes = 4;
  EXPECT_THROW(Bytes::of_file(folder.path + "/file", limits), Error);
}

TEST(Bytes, TensorsAreReadOnlyViewsThatOutliveTheBlock) {
  Tensor view, copy;
  const char* start;
  {
    const Bytes bytes = Bytes::copy(std::string("\0\0\x80\x3f\0\0\0\x40x", 9));
    start = bytes.data();
    const int64_t two[] = {2}, one[] = {1};
    view = bytes.tensor(0, two, DType::F32);
    copy = bytes.tensor(5, one, DType::I32);  // not aligned
  }
  EXPECT_EQ(view.raw_data(), start);
  EXPECT_TRUE(view.impl()->storage->read_only);
  EXPECT_EQ(view.data<float>()[0], 1.0f);
  EXPECT_EQ(view.data<float>()[1], 2.0f);
  EXPECT_EQ(copy.data<int32_t>()[0], 0x78400000);
}

TEST(Bytes, ABoolMustBeZeroOrOne) {
  const Bytes bytes = Bytes::copy("\x01\x02");
  const int64_t one[] = {1}, two[] = {2};
  EXPECT_NO_THROW(bytes.tensor(0, one, DType::Bool));
  EXPECT_THROW(bytes.tensor(0, two, DType::Bool), Error);
}

}  // namespace
}  // namespace moka

// SPDX-License-Identifier: Apache-2.0
#include "broker/io/file_lock.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <iterator>
#include <vector>

#include "absl/strings/str_format.h"

namespace millrace {
namespace {

constexpr size_t kNoteBytesMax = 512;

std::vector<std::string_view> Split(std::string_view text, char by) {
  std::vector<std::string_view> parts;
  while (!text.empty()) {
    const size_t end = std::min(text.find(by), text.size());
    if (end > 0) parts.push_back(text.substr(0, end));
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  return parts;
}

std::string ReadAll(const std::string& path) {
  std::string text;
  const int fd = open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) return text;
  char part[4096];
  for (ssize_t got; (got = read(fd, part, sizeof part)) > 0;) text.append(part, static_cast<size_t>(got));
  close(fd);
  return text;
}

// A space in a path is \040 there.
std::string Unescape(std::string_view text) {
  std::string out;
  for (size_t i = 0; i < text.size(); ++i) {
    const auto octal = [&](size_t at) { return at < text.size() && text[at] >= '0' && text[at] <= '7'; };
    if (text[i] == '\\' && octal(i + 1) && octal(i + 2) && octal(i + 3)) {
      out += static_cast<char>((text[i + 1] - '0') * 64 + (text[i + 2] - '0') * 8 + (text[i + 3] - '0'));
      i += 3;
    } else {
      out += text[i];
    }
  }
  return out;
}

bool IsOneOf(std::string_view word, std::initializer_list<std::string_view> words) {
  return std::find(words.begin(), words.end(), word) != words.end();
}

std::string NoteIn(int fd) {
  char note[kNoteBytesMax];
  const ssize_t bytes = pread(fd, note, sizeof note, 0);
  return bytes <= 0 ? std::string() : std::string(note, static_cast<size_t>(bytes));
}

// Those who are refused read it; that it could not be written (a full disk) is no reason not to have the lock.
void LeaveNote(int fd, std::string_view note) {
  if (ftruncate(fd, 0) != 0) return;
  [[maybe_unused]] const ssize_t written = pwrite(fd, note.data(), note.size(), 0);
}

}  // namespace

absl::StatusOr<int> LockFile(int directory, const std::string& name, std::string_view note) {
  const int fd = openat(directory, name.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0640);
  if (fd < 0) {
    const int error = errno;
    return absl::Status(absl::ErrnoToStatusCode(error), absl::StrFormat("open %s: %s", name, std::strerror(error)));
  }
  struct flock lock {};
  lock.l_type = F_WRLCK;
  lock.l_whence = SEEK_SET;
  int error = 0;
  while (fcntl(fd, F_OFD_SETLK, &lock) != 0) {
    error = errno;
    if (error != EINTR) break;
    error = 0;
  }
  if (error == 0) {
    LeaveNote(fd, note);
    return fd;
  }
  absl::Status status;
  if (error == EAGAIN || error == EACCES) {
    status = absl::AlreadyExistsError(NoteIn(fd));
  } else if (error == ENOLCK || error == ENOSYS || error == EOPNOTSUPP || error == EINVAL) {
    status = absl::UnimplementedError(
        absl::StrFormat("%s has no file locks (%s)", Describe(MountOf(fd)), std::strerror(error)));
  } else {
    status = absl::Status(absl::ErrnoToStatusCode(error), absl::StrFormat("lock %s: %s", name, std::strerror(error)));
  }
  close(fd);
  return status;
}

Mount FindMount(std::string_view mountinfo, std::string_view id) {
  // id parent major:minor root point options [tags …] - type source options
  for (const std::string_view line : Split(mountinfo, '\n')) {
    const std::vector<std::string_view> words = Split(line, ' ');
    const auto dash = std::find(words.begin(), words.end(), "-");
    if (words.size() < 6 || words[0] != id || std::distance(dash, words.end()) < 3) continue;
    Mount mount;
    mount.type = dash[1];
    mount.source = Unescape(dash[2]);
    mount.point = Unescape(words[4]);
    if (std::distance(dash, words.end()) > 3) mount.options = dash[3];
    return mount;
  }
  return {};
}

Mount MountOf(int fd) {
  const std::string info = ReadAll(absl::StrFormat("/proc/self/fdinfo/%d", fd));
  for (const std::string_view line : Split(info, '\n')) {
    if (!line.starts_with("mnt_id:")) continue;
    const std::string_view id = line.substr(line.find_first_not_of(" \t", 7));
    return FindMount(ReadAll("/proc/self/mountinfo"), id);
  }
  return {};
}

std::string Describe(const Mount& mount) {
  if (mount.type.empty()) return "the file system";
  return absl::StrFormat("%s (%s on %s)", mount.type, mount.source, mount.point);
}

LockReach ReachOf(const Mount& mount) {
  const std::vector<std::string_view> options = Split(mount.options, ',');
  const auto has = [&options](std::string_view option) {
    return std::find(options.begin(), options.end(), option) != options.end();
  };
  const std::string_view type = mount.type;
  bool local = false;
  if (IsOneOf(type, {"nfs", "nfs4"})) {
    local = has("nolock") || has("local_lock=all") || has("local_lock=posix");
  } else if (IsOneOf(type, {"cifs", "smb3"})) {
    local = has("nobrl");
  } else if (IsOneOf(type, {"lustre", "gfs2"})) {
    local = has("localflock") || has("localflocks");
  } else {
    // They do not pass locks on, or only when their server was told to, which cannot be seen from here.
    local = IsOneOf(type, {"9p", "virtiofs", "vboxsf", "vmhgfs", "prl_fs", "fuse.sshfs", "fuse.s3fs", "fuse.goofys",
                           "fuse.rclone", "fuse.gcsfuse", "fuse.blobfuse", "fuse.blobfuse2", "fuse.mount-s3",
                           "fuse.davfs2", "davfs", "fuse.vmhgfs-fuse", "fuse.grpcfuse", "fuse.osxfs"});
  }
  return local ? LockReach::kThisMachine : LockReach::kEveryone;
}

}  // namespace millrace

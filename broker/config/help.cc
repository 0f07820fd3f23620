// SPDX-License-Identifier: Apache-2.0
// The help text, made from the rows, so that no flag can be missing from it.
#include <algorithm>

#include "absl/strings/str_format.h"
#include "broker/config/command_line.h"
#include "broker/config/language/text.h"

namespace millrace::config {
namespace {

constexpr size_t kLeftColumns = 38;

std::string Lines(const Row& row) {
  std::string left;
  for (const std::string& flag : Split(row.flags, '|')) left += (left.empty() ? "" : ", ") + flag;
  if (!row.value_name.empty()) left += " " + std::string(row.value_name);
  std::string text;
  if (left.size() > kLeftColumns) {
    text = absl::StrFormat("    %s\n", left);
    left.clear();
  }
  for (const std::string& help : Split(row.help, '\n')) {
    text += absl::StrFormat("    %-38s %s\n", left, help);
    left.clear();
  }
  return text;
}

// Rows with flags, by group and order.
std::vector<const Row*> RowsWithHelp() {
  static const Options defaults;
  std::vector<const Row*> rows;
  for (const Row& row : ProgramFlags()) rows.push_back(&row);
  for (const Setting& setting : SettingsOf(defaults)) {
    if (setting.row->group != nullptr) rows.push_back(setting.row);
  }
  std::stable_sort(rows.begin(), rows.end(), [](const Row* a, const Row* b) {
    return a->group->order != b->group->order ? a->group->order < b->group->order : a->order < b->order;
  });
  return rows;
}

}  // namespace

std::string HelpText() {
  std::string text = "\nUsage: nats-server [options]\n";
  int group = -1;
  for (const Row* row : RowsWithHelp()) {
    if (row->group->order != group) text += absl::StrFormat("\n%s:\n", row->group->heading);
    group = row->group->order;
    text += Lines(*row);
  }
  return text + "\n";
}

std::string TlsHelpText() {
  return "\nTLS is set in the block `tls` of a configuration file:\n\n"
         "    tls {\n"
         "        cert_file: \"./server-cert.pem\"\n"
         "        key_file:  \"./server-key.pem\"\n"
         "        ca_file:   \"./ca.pem\"\n"
         "        verify:    true\n"
         "    }\n\n"
         "This build does not support TLS yet and refuses to start with such a block.\n";
}

}  // namespace millrace::config

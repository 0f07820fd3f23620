// SPDX-License-Identifier: Apache-2.0
// The help text, made from the option table, so that no flag can be missing from it.
#include <utility>

#include "absl/strings/str_format.h"
#include "broker/config/command_line.h"
#include "broker/config/option_table.h"
#include "broker/config/language/text.h"

namespace millrace::config {
namespace {

std::string Line(std::string_view flags, std::string_view value, std::string_view help) {
  std::string left;
  for (const std::string& flag : Split(flags, '|')) {
    if (!left.empty()) left += ", ";
    // Abbreviations bear one dash, words two.
    const bool word = flag.size() > 3 || OneOf("pid|log|tls|net", flag);
    if (!flag.empty()) left += (word ? "--" : "-") + flag;
  }
  if (!value.empty()) left += " " + std::string(value);
  std::string line = absl::StrFormat("    %-38s %s\n", left, help);
  if (left.size() > 38) line = absl::StrFormat("    %s\n    %-38s %s\n", left, "", help);
  return line;
}

std::string Group(HelpGroup group) {
  std::string text;
  for (const OptionRow& row : OptionTable()) {
    if (row.group == group) text += Line(row.flags, row.value_name, row.help);
  }
  return text;
}

}  // namespace

std::string HelpText() {
  std::string text = "\nUsage: nats-server [options]\n\nServer Options:\n";
  text += Line("c|config", "<file>", "Read this configuration file; flags win over it");
  text += Line("t", "", "Test the configuration file and exit");
  text += Line("print-config", "", "Print what is in force, and why, and exit");
  text += Group(HelpGroup::kServer);
  text += Line("sl|signal", "<command>[=<pid>]",
               "Tell a running server: ldm, stop, quit, term, reopen, reload");
  text += Line("", "", "<pid> is a process id, the beginning of ids with a *, or a pid file");
  text += "\nLogging Options:\n" + Group(HelpGroup::kLogging);
  text += Line("DV", "", "Both -D and -V");
  text += Line("VV", "", "Like -V, with the system account");
  text += Line("DVV", "", "Both -D and -VV");
  text += "\nJetStream Options:\n" + Group(HelpGroup::kJetStream);
  text += "\nAuthorization Options:\n" + Group(HelpGroup::kAuthorization);
  text += "\nTLS Options (not built yet):\n";
  text += Line("tls", "", "Offer TLS, do not ask clients for certificates");
  text += Line("tlsverify", "", "Offer TLS, ask clients for certificates");
  text += Line("tlscert", "<file>", "Certificate of this server");
  text += Line("tlskey", "<file>", "Its private key");
  text += Line("tlscacert", "<file>", "Authorities that client certificates come from");
  text += "\nCluster Options (not built yet):\n";
  text += Line("routes", "<url>, ...", "Servers to connect to");
  text += Line("cluster|cluster_listen", "<url>", "Address to listen on for them");
  text += Line("cluster_name", "<name>", "Name of the cluster");
  text += Line("cluster_advertise", "<host:port>", "Address that other servers are told");
  text += Line("no_advertise", "", "Do not tell clients of the other servers");
  text += Line("connect_retries", "<n>", "Attempts to reach a server that was told of");
  text += "\nTuning Options (of this broker; also in the block `millrace` of the file):\n";
  text += Group(HelpGroup::kTuning);
  text += "\nCommon Options:\n";
  text += Line("h|help", "", "Show this text");
  text += Line("v|version", "", "Show the version");
  text += Line("help_tls", "", "Show how TLS is configured");
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

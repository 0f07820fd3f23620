// SPDX-License-Identifier: Apache-2.0
// Goal: options of requests to the system account are read as nats-server 2.15.2 reads them, errors included, and a
//       request is for the servers that its filter means.
// Method: the peer's own texts, recorded; a table of filters.
#include "broker/monitor/event_options.h"

#include <gtest/gtest.h>

#include "broker/monitor/system_pages.h"

namespace millrace {
namespace {

std::string ErrorOf(std::string_view json, const EventOptionTable& table) {
  EventOptions options;
  return std::string(ReadEventOptions(json, table, &options).message());
}

TEST(EventOptions, ErrorsAreThePeers) {
  const EventOptionTable& connz = *FindSystemPage("CONNZ", SystemPage::kServer)->options;
  const struct {
    std::string_view json;
    std::string_view error;
  } kCases[] = {
      {R"({"limit":"x"})",
       "json: cannot unmarshal string into Go struct field ConnzEventOptions.ConnzOptions.limit of type int"},
      {R"({"server_name":1})",
       "json: cannot unmarshal number into Go struct field ConnzEventOptions.EventFilterOptions.server_name of type "
       "string"},
      {"x", "invalid character 'x' looking for beginning of value"},
      {"[]", "json: cannot unmarshal array into Go value of type server.ConnzEventOptions"},
      {R"({"sort":1,"state":"open"})",
       "json: cannot unmarshal number into Go struct field ConnzEventOptions.ConnzOptions.sort of type server.SortOpt"},
      {R"({"limit":1.5,"user":4})",
       "json: cannot unmarshal number 1.5 into Go struct field ConnzEventOptions.ConnzOptions.limit of type int"},
      {R"({"tags":"a"})",
       "json: cannot unmarshal string into Go struct field ConnzEventOptions.EventFilterOptions.tags of type []string"},
      {R"({"tags":[1]})",
       "json: cannot unmarshal number into Go struct field ConnzEventOptions.EventFilterOptions.tags of type string"},
      {" ", "unexpected end of JSON input"},
      {"{", "unexpected end of JSON input"},
      {"null", ""},
      {R"({"unknown":[1,{"a":2}],"limit":null})", ""},
  };
  for (const auto& each : kCases) EXPECT_EQ(ErrorOf(each.json, connz), each.error) << each.json;
  EXPECT_EQ(ErrorOf(R"({"server_name":1})", kFilterOptions),
            "json: cannot unmarshal number into Go struct field EventFilterOptions.server_name of type string");
}

TEST(EventOptions, KeysOfAnyCaseReachTheirPlace) {
  const EventOptionTable& connz = *FindSystemPage("CONNZ", SystemPage::kServer)->options;
  EventOptions options;
  ASSERT_TRUE(ReadEventOptions(R"({"LIMIT":7,"cid":18446744073709551615,"auth":true,"acc":"A\u0041","state":2,)"
                               R"("sort":"idle","tags":["x",null],"exact_match":true})",
                               connz, &options)
                  .ok());
  EXPECT_EQ(options.page.connz.limit, 7);
  EXPECT_EQ(options.page.connz.cid, UINT64_MAX);
  EXPECT_TRUE(options.page.connz.auth);
  EXPECT_EQ(options.page.connz.account, "AA");
  EXPECT_EQ(options.connz_state, 2);
  EXPECT_EQ(options.connz_sort, "idle");
  EXPECT_EQ(options.filter.tags, (std::vector<std::string>{"x", ""}));
  EXPECT_TRUE(options.filter.exact_match);
}

TEST(EventOptions, AFilterMeansServers) {
  const std::vector<std::string> tags = {"zone:a", "ssd"};
  const EventServer server{.name = "srv-1", .cluster = "", .host = "127.0.0.1", .tags = tags, .domain = "hub"};
  const struct {
    EventFilter filter;
    bool meant;
  } kCases[] = {
      {{}, true},
      {{.server_name = "srv"}, true},
      {{.server_name = "srv", .exact_match = true}, false},
      {{.server_name = "srv-1", .exact_match = true}, true},
      {{.server_name = "SRV"}, false},
      {{.cluster = "c"}, false},
      {{.host = "127"}, true},
      {{.host = "0.0.0.0"}, false},
      {{.tags = {"SSD", "zone:a"}}, true},
      {{.tags = {"ssd", "other"}}, false},
      {{.domain = "hub"}, true},
      {{.domain = "hu"}, false},
  };
  for (const auto& each : kCases) {
    EXPECT_EQ(IsMeant(each.filter, server), each.meant) << each.filter.server_name << each.filter.host;
  }
}

}  // namespace
}  // namespace millrace

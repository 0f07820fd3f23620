// SPDX-License-Identifier: Apache-2.0

// Answers cases with the peer's own code: one JSON object a line in, the same with its answer out. See run.sh.
package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
	"time"

	"github.com/nats-io/nats-server/v2/server"
)

type line struct {
	Op       string   `json:"op"`
	Type     string   `json:"type,omitempty"`
	Strict   bool     `json:"strict,omitempty"`
	Text     string   `json:"text,omitempty"`
	Src      string   `json:"src,omitempty"`
	Dest     string   `json:"dest,omitempty"`
	Subjects []string `json:"subjects,omitempty"`
	Zone     string   `json:"zone,omitempty"`
	TS       int64    `json:"ts,omitempty"`
	Stream   string   `json:"stream,omitempty"`
	Limits   string   `json:"limits,omitempty"`
	Account  string   `json:"account,omitempty"`
	Pedantic bool     `json:"pedantic,omitempty"`
	// The answer.
	Error   string   `json:"error,omitempty"`
	JSON    string   `json:"json,omitempty"`
	Out     []string `json:"out,omitempty"`
	Reverse string   `json:"reverse,omitempty"`
}

func target(name string) any {
	switch name {
	case "StreamConfigRequest":
		return &server.StreamConfigRequest{}
	case "StreamConfig":
		return &server.StreamConfig{}
	case "ConsumerConfig":
		return &server.ConsumerConfig{}
	case "StreamNamesRequest":
		return &server.JSApiStreamNamesRequest{}
	case "StreamListRequest":
		return &server.JSApiStreamListRequest{}
	case "StreamInfoRequest":
		return &server.JSApiStreamInfoRequest{}
	case "StreamPurgeRequest":
		return &server.JSApiStreamPurgeRequest{}
	case "MessageGetRequest":
		return &server.JSApiMsgGetRequest{}
	case "MessageDeleteRequest":
		return &server.JSApiMsgDeleteRequest{}
	case "StreamSnapshotRequest":
		return &server.JSApiStreamSnapshotRequest{}
	case "StreamRestoreRequest":
		return &server.JSApiStreamRestoreRequest{}
	case "ConsumerCreateRequest":
		return &server.CreateConsumerRequest{}
	case "ConsumerListRequest":
		return &server.JSApiConsumersRequest{}
	case "ConsumerNextRequest":
		return &server.JSApiConsumerGetNextRequest{}
	case "ConsumerPauseRequest":
		return &server.JSApiConsumerPauseRequest{}
	case "ConsumerUnpinRequest":
		return &server.JSApiConsumerUnpinRequest{}
	case "ConsumerResetRequest":
		return &server.JSApiConsumerResetRequest{}
	case "LeaderStepdownRequest":
		return &server.JSApiLeaderStepdownRequest{}
	case "StreamInfo":
		return &server.StreamInfo{}
	case "ConsumerInfo":
		return &server.ConsumerInfo{}
	}
	panic(name)
}

// The zero value of the peer's storage type can not be printed; its checks make it file before that.
func setStorage(v any) {
	set := func(cfg *server.StreamConfig) {
		if cfg.Storage == 0 {
			cfg.Storage = server.FileStorage
		}
	}
	switch v := v.(type) {
	case *server.StreamConfigRequest:
		set(&v.StreamConfig)
	case *server.StreamConfig:
		set(v)
	case *server.JSApiStreamRestoreRequest:
		set(&v.Config)
	case *server.StreamInfo:
		set(&v.Config)
	}
}

func answer(l *line) {
	fail := func(err error) {
		if err != nil {
			l.Error = err.Error()
		}
	}
	switch l.Op {
	case "request", "unmarshal":
		v := target(l.Type)
		var err error
		if l.Op == "request" {
			err = server.OracleRequest([]byte(l.Text), l.Strict, v)
		} else {
			err = json.Unmarshal([]byte(l.Text), v)
		}
		fail(err)
		if err == nil {
			setStorage(v)
			b, err := json.Marshal(v)
			if err != nil {
				panic(err)
			}
			l.JSON = string(b)
		}
	case "time":
		t, err := time.Parse(time.RFC3339, l.Text)
		fail(err)
		if err == nil {
			l.JSON = t.UTC().Format(time.RFC3339Nano)
		}
	case "duration":
		d, err := time.ParseDuration(l.Text)
		fail(err)
		if err == nil {
			l.JSON = fmt.Sprint(int64(d))
		}
	case "transform":
		var err error
		l.Out, l.Reverse, err = server.OracleTransform(l.Src, l.Dest, l.Strict, l.Subjects)
		fail(err)
	case "mapping":
		fail(server.ValidateMapping(l.Src, l.Dest))
	case "schedule":
		l.JSON = server.OracleSchedule(l.Text, l.Zone, l.TS)
	case "ttl":
		l.JSON = server.OracleTTL(l.Text)
	case "iname":
		l.JSON = server.OracleIndexName(l.Text)
	case "next":
		l.JSON = server.OracleNext(l.Text)
	case "consumer":
		l.JSON = server.OracleConsumer(l.Text, l.Stream, l.Limits, l.Account, l.Pedantic)
	default:
		panic(l.Op)
	}
}

func main() {
	in := bufio.NewReader(os.Stdin)
	decoder := json.NewDecoder(in)
	out := bufio.NewWriter(os.Stdout)
	defer out.Flush()
	encoder := json.NewEncoder(out)
	encoder.SetEscapeHTML(false)
	for {
		var l line
		if decoder.Decode(&l) != nil {
			return
		}
		answer(&l)
		if err := encoder.Encode(&l); err != nil {
			panic(err)
		}
	}
}

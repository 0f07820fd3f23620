// SPDX-License-Identifier: Apache-2.0

// Laid over the peer's package server so that record.go can call what it does not export. See run.sh.
package server

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"
)

// The loop of Server.unmarshalRequest, without its server.
func OracleRequest(msg []byte, strict bool, v any) error {
	decoder := json.NewDecoder(bytes.NewReader(msg))
	decoder.DisallowUnknownFields()
	for {
		if err := decoder.Decode(v); err != nil {
			if err == io.EOF {
				return nil
			}
			var syntax *json.SyntaxError
			if errors.As(err, &syntax) {
				err = fmt.Errorf("%w at offset %d", err, syntax.Offset)
			}
			if strict {
				return err
			}
			return json.Unmarshal(msg, v)
		}
	}
}

func OracleTransform(src, dest string, strict bool, subjects []string) ([]string, string, error) {
	tr, err := NewSubjectTransformWithStrict(src, dest, strict)
	if err != nil || tr == nil {
		return nil, "", err
	}
	var out []string
	for _, subject := range subjects {
		to, err := tr.Match(subject)
		if err != nil {
			to = "! " + err.Error()
		}
		out = append(out, to)
	}
	reverse := ""
	if strict {
		if r := tr.reverse(); r != nil {
			reverse = r.src + " -> " + r.dest
		}
	}
	return out, reverse, nil
}

func OracleSchedule(pattern, zone string, ts int64) string {
	var loc *time.Location
	if zone != "" {
		var err error
		if loc, err = time.LoadLocation(zone); err != nil {
			return "no zone"
		}
	}
	next, repeat, ok := parseMsgSchedule(pattern, loc, ts)
	if !ok {
		return "invalid"
	}
	return fmt.Sprintf("%d %v", next.UnixNano(), repeat)
}

func OracleTTL(text string) string {
	ttl, err := parseMessageTTL(text)
	if err != nil {
		return "invalid"
	}
	return fmt.Sprint(ttl)
}

func OracleIndexName(text string) string {
	var source StreamSource
	if err := json.Unmarshal([]byte(text), &source); err != nil {
		return err.Error()
	}
	return source.composeIName()
}

func OracleNext(text string) string {
	expires, batch, maxBytes, noWait, hb, _, group, err := nextReqFromMsg([]byte(text))
	if err != nil {
		return err.Error()
	}
	g := "none"
	if group != nil {
		b, _ := json.Marshal(group)
		g = string(b)
	}
	return fmt.Sprint(!expires.IsZero(), " ", batch, " ", maxBytes, " ", noWait, " ", int64(hb), " ", g)
}

func OracleSample(text string) *ApiError {
	cfg := &ConsumerConfig{SampleFrequency: text, AckPolicy: AckExplicit, MaxDeliver: -1}
	return checkConsumerCfg(cfg, &JSLimitOpts{}, &StreamConfig{Replicas: 1}, nil, &JetStreamAccountLimits{}, false)
}

// Defaults and checks of a consumer: the configuration, or the error.
func OracleConsumer(config, stream, limits, account string, pedantic bool) string {
	var cfg ConsumerConfig
	var scfg StreamConfig
	var lim JSLimitOpts
	var acc JetStreamAccountLimits
	for _, in := range []struct {
		text string
		to   any
	}{{config, &cfg}, {stream, &scfg}, {limits, &lim}, {account, &acc}} {
		if in.text == "" {
			continue
		}
		if err := json.Unmarshal([]byte(in.text), in.to); err != nil {
			return "bad case: " + err.Error()
		}
	}
	apiErr := setConsumerConfigDefaults(&cfg, &scfg, &lim, &acc, pedantic)
	if apiErr == nil {
		apiErr = checkConsumerCfg(&cfg, &lim, &scfg, nil, &acc, false)
	}
	var b []byte
	if apiErr != nil {
		b, _ = json.Marshal(apiErr)
	} else {
		b, _ = json.Marshal(&cfg)
	}
	return string(b)
}

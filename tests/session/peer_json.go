// SPDX-License-Identifier: Apache-2.0

// Records what Go's encoding/json, the peer's decoder of CONNECT, makes of odd texts: go run peer_json.go > peer_json.txt
// Each line: the text in hex, then - when it is refused, or the values of verbose, echo, protocol, name and user.
package main

import (
	"encoding/hex"
	"encoding/json"
	"fmt"
	"math/rand"
	"strings"
)

type options struct {
	Verbose     bool   `json:"verbose"`
	Pedantic    bool   `json:"pedantic"`
	TLSRequired bool   `json:"tls_required"`
	Nkey        string `json:"nkey,omitempty"`
	JWT         string `json:"jwt,omitempty"`
	Sig         string `json:"sig,omitempty"`
	Token       string `json:"auth_token,omitempty"`
	User        string `json:"user,omitempty"`
	Pass        string `json:"pass,omitempty"`
	Name        string `json:"name"`
	Lang        string `json:"lang"`
	Version     string `json:"version"`
	Protocol    int    `json:"protocol"`
	Account     string `json:"account,omitempty"`
	NewAccount  bool   `json:"new_account,omitempty"`
	Headers     bool   `json:"headers,omitempty"`
	Echo        bool   `json:"echo"`
	NoResponder bool   `json:"no_responders,omitempty"`
}

var r = rand.New(rand.NewSource(7))

func pick(s ...string) string { return s[r.Intn(len(s))] }

func str() string {
	if r.Intn(4) > 0 {
		return pick(`"x"`, `""`, `"a b"`, `"\u00e9"`, `"\n\t\\\/\"\b\f\r"`, `"\ud83d\ude00"`, `"\ud800"`, `"\udc00\ud800"`,
			`"\ud800\u0041"`, `"\uD800\uDBFF\uDFFF"`, `"\ufffd"`, `"\u0000"`, `"`+"\xff"+`"`, `"`+"\xc3\xa9"+`"`, `"`+"\xc3"+`"`,
			`"`+"\xed\xa0\x80"+`"`, `"`+"\xf0\x9f\x98\x80"+`"`, `"`+"\xf4\x90\x80\x80"+`"`, `"`+"\xc0\x80"+`"`, `"`+"\xe2\x82"+`"`,
			`"`+"\x7f"+`"`, `"`+"\xe2\x80\xa8"+`"`)
	}
	return pick(`"\x"`, `"\u12"`, `"\u12G4"`, `"\u+123"`, `"`+"\x01"+`"`, `"`+"\n"+`"`, `"a`, `'a'`, `"\U0041"`, `"\u00e9\"`, `"\`)
}

func number() string {
	return pick("0", "1", "-1", "-0", "2", "10", "9223372036854775807", "9223372036854775808", "-9223372036854775808",
		"-9223372036854775809", "1.0", "1e0", "1E400", "-1e-400", "0.5", "01", "1.", ".5", "+1", "1e", "1e+", "0x1", "--1", "-", "00",
		"1e5", "1E+2", "NaN", "Infinity", "1_000", "100000000000000000000000000")
}

func value(depth int) string {
	switch r.Intn(9) {
	case 0, 1:
		return str()
	case 2:
		return number()
	case 3, 4:
		return pick("true", "false", "null", "true", "false", "True", "nul", "truefalse", "undefined")
	case 5:
		if depth > 3 {
			return "[]"
		}
		parts := []string{}
		for i := r.Intn(3); i > 0; i-- {
			parts = append(parts, value(depth+1))
		}
		return "[" + blank() + strings.Join(parts, pick(",", ",", ",", ",,", " , ", ";")) + pick("", "", "", "", ",") + "]"
	case 6:
		if depth > 3 {
			return "{}"
		}
		return object(depth + 1)
	default:
		return pick("true", "false", "null", `"x"`, "1", "0")
	}
}

func blank() string { return pick("", "", "", "", " ", "\t", "\r\n", " \n ", "\f", "\v", "\xc2\xa0", "\x00") }

func key() string {
	return pick(`"verbose"`, `"echo"`, `"protocol"`, `"name"`, `"user"`, `"Verbose"`, `"ECHO"`, `"proTOcol"`, `"na\u006de"`, `"NAME"`,
		`"other"`, `""`, `"verbose "`, `"USER"`, `"us\x65r"`, `"headers"`, `"pass"`, `name`, `1`)
}

func object(depth int) string {
	parts := []string{}
	for i := r.Intn(4); i > 0; i-- {
		k := key()
		v := value(depth)
		if depth == 0 && r.Intn(2) == 0 { // a value of the right kind
			switch strings.ToLower(strings.Trim(k, `"`)) {
			case "verbose", "echo", "headers":
				v = pick("true", "false", "null")
			case "protocol":
				v = number()
			case "name", "user", "pass":
				v = str()
			}
		}
		parts = append(parts, blank()+k+blank()+pick(":", ":", ":", ":", ":", ":", ":", ":", "=", "")+blank()+v+blank())
	}
	return "{" + strings.Join(parts, ",") + pick("", "", "", "", "", "", "", "", "", ",", ";") + pick("}", "}", "}", "}", "}", "}", "}", "}", "}", "}", "", "]")
}

func show(text string) {
	o := options{Verbose: true, Pedantic: true, Echo: true}
	if err := json.Unmarshal([]byte(text), &o); err != nil {
		fmt.Printf("%s -\n", hex.EncodeToString([]byte(text)))
		return
	}
	fmt.Printf("%s %t %t %d .%s .%s\n", hex.EncodeToString([]byte(text)), o.Verbose, o.Echo, o.Protocol,
		hex.EncodeToString([]byte(o.Name)), hex.EncodeToString([]byte(o.User)))
}

func main() {
	for _, text := range []string{"null", " null ", "{}", " {} ", "[]", "1", `"x"`, "true", "{}{}", "{} x", "{}\n", "nullx", "{", "}",
		`{"name":"a","name":"b"}`, `{"name":"a","NAME":"b"}`, `{"NAME":"b","name":"a"}`, `{"name":"a","name":null}`,
		`{"verbose":false,"verbose":1}`, `{"other":1E400}`, `{"protocol":1E400}`, `{"user":{"a":1}}`, `{"user":["a"]}`,
		strings.Repeat(`{"other":`, 500) + "1" + strings.Repeat("}", 500), "\xef\xbb\xbf{}"} {
		show(text)
	}
	seen := map[string]bool{}
	accepted, refused := 0, 0
	for accepted < 1200 || refused < 800 {
		text := blank() + object(0) + blank()
		if len(text) > 100 || seen[text] {
			continue
		}
		seen[text] = true
		var o options
		if json.Unmarshal([]byte(text), &o) == nil {
			if accepted++; accepted > 1200 {
				continue
			}
		} else if refused++; refused > 800 {
			continue
		}
		show(text)
	}
}

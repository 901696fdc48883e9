package quarterdeck

import (
	"fmt"
	"strings"
	"testing"
)

func TestAddresses(t *testing.T) {
	for address, expected := range map[string]endpoint{
		"127.0.0.1:1":              {"http://127.0.0.1:1", "dns:///127.0.0.1:1", false, true},
		"http://localhost:7777/":   {"http://localhost:7777", "dns:///localhost:7777", false, true},
		"http://[::1]:1":           {"http://[::1]:1", "dns:///[::1]:1", false, true},
		"https://example.org":      {"https://example.org", "dns:///example.org:443", true, false},
		"unix:/run/q.sock":         {"unix:/run/q.sock", "unix:/run/q.sock", false, true},
		"http://10.0.0.1:7777":     {"http://10.0.0.1:7777", "dns:///10.0.0.1:7777", false, false},
		"http://localhost.evil:80": {"http://localhost.evil:80", "dns:///localhost.evil:80", false, false},
	} {
		if parsed, err := parseAddress(address); err != nil || parsed != expected {
			t.Errorf("%s: %+v %v", address, parsed, err)
		}
	}
	for _, wrong := range []string{"ftp://a", "http://", "unix:", "http://me:hunter2@a:1", "http://a/path", "http://a?key=hunter2", "http://a b"} {
		if _, err := parseAddress(wrong); err == nil || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s: %v", wrong, err)
		}
	}
}

func TestKeysStayWhereTheyBelong(t *testing.T) {
	t.Setenv("QUARTERDECK_KEY", "")
	for name, test := range map[string]struct {
		address string
		options []Option
		problem string
	}{
		"plaintext to another machine": {"http://10.0.0.1:1", []Option{WithKey("qdk_hunter2")}, "unencrypted"},
		"plaintext, as was said":       {"http://10.0.0.1:1", []Option{WithKey("qdk_hunter2"), WithKeyOverPlaintext()}, ""},
		"no key":                       {"http://10.0.0.1:1", nil, ""},
		"loopback":                     {"http://127.0.0.1:1", []Option{WithKey("qdk_hunter2")}, ""},
		"encrypted":                    {"https://10.0.0.1:1", []Option{WithKey("qdk_hunter2")}, ""},
		"no visible ASCII":             {"http://127.0.0.1:1", []Option{WithKey("qdk_hunter2\n")}, "visible ASCII"},
		"a CA for plaintext":           {"http://127.0.0.1:1", []Option{WithCAFile("ca.pem")}, "https://"},
		"a CA that isn't there":        {"https://127.0.0.1:1", []Option{WithCAFile("missing.pem")}, "can't be read"},
		"a CA that is none":            {"https://127.0.0.1:1", []Option{WithCAFile("go.mod")}, "no certificate"},
	} {
		client, err := New(test.address, test.options...)
		if (err == nil) != (test.problem == "") || err != nil && !strings.Contains(err.Error(), test.problem) {
			t.Errorf("%s: %v", name, err)
		}
		shown := fmt.Sprintf("%v %+v %#v %s %v", client, client, client, client, err)
		if strings.Contains(shown, "hunter2") {
			t.Errorf("%s shows the key: %s", name, shown)
		}
		if client != nil {
			client.Close()
		}
	}
	chosen, _ := choose("", []Option{WithKey("qdk_hunter2")})
	if shown := fmt.Sprintf("%v %+v %#v", chosen, *chosen, *chosen); strings.Contains(shown, "hunter2") {
		t.Errorf("the settings show the key: %s", shown)
	}
	t.Setenv("QUARTERDECK_KEY", "qdk_of_the_environment")
	t.Setenv("QUARTERDECK_ADDR", "http://localhost:4711")
	if chosen, err := choose("", nil); err != nil || *chosen.key.text != "qdk_of_the_environment" || chosen.address != "http://localhost:4711" {
		t.Errorf("%+v %v", chosen, err)
	}
}

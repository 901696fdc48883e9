package quarterdeck

import (
	"errors"
	"fmt"
	"net"
	"net/url"
	"strings"
)

// endpoint is a server's address, as it was given and as gRPC takes it.
type endpoint struct {
	address string
	target  string
	// Whether TLS is spoken.
	encrypted bool
	// Whether nothing leaves this machine.
	local bool
}

// parseAddress reads http://HOST:PORT, https://HOST:PORT, unix:PATH, or HOST:PORT.
func parseAddress(address string) (endpoint, error) {
	if path, ok := strings.CutPrefix(address, "unix:"); ok {
		path = strings.TrimPrefix(path, "//")
		if path == "" {
			return endpoint{}, errors.New("quarterdeck: the address must be unix:PATH")
		}
		return endpoint{address: address, target: "unix:" + path, local: true}, nil
	}
	if !strings.Contains(address, "://") {
		address = "http://" + address
	}
	// What can't be read is not repeated: it may hold a password.
	wrong := errors.New("quarterdeck: the address must be http://HOST:PORT, https://HOST:PORT or unix:PATH, " +
		"without a path, a query or a user")
	parsed, err := url.Parse(address)
	if err != nil || parsed.Hostname() == "" || parsed.User != nil || strings.Trim(parsed.Path, "/") != "" ||
		parsed.RawQuery != "" || parsed.Fragment != "" {
		return endpoint{}, wrong
	}
	ports := map[string]string{"http": "80", "https": "443"}
	port, known := ports[parsed.Scheme]
	if !known {
		return endpoint{}, wrong
	}
	if parsed.Port() != "" {
		port = parsed.Port()
	}
	return endpoint{
		address:   fmt.Sprintf("%s://%s", parsed.Scheme, parsed.Host),
		target:    "dns:///" + net.JoinHostPort(parsed.Hostname(), port),
		encrypted: parsed.Scheme == "https",
		local:     loopback(parsed.Hostname()),
	}, nil
}

func loopback(host string) bool {
	address := net.ParseIP(host)
	return host == "localhost" || address != nil && address.IsLoopback()
}

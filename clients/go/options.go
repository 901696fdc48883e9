package quarterdeck

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"os"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/keepalive"
)

const (
	// DefaultAddress is that of a server that was started without options.
	DefaultAddress = "http://127.0.0.1:7777"
	// DefaultTimeout is how long a call may take, retries included, where its context has no deadline.
	DefaultTimeout = 30 * time.Second
	// DefaultPatience is how long the server may be away before calls give up.
	DefaultPatience = 30 * time.Second

	// Version is this package's.
	Version = "0.1.0"
)

const (
	// Time to connect.
	connectTimeout = 3 * time.Second
	// A connection with open calls is asked for a sign of life after this much silence, and is lost without one.
	keepAliveTime    = 10 * time.Second
	keepAliveTimeout = 5 * time.Second
	// Longest pause between two attempts to connect.
	reconnectPauseMax = 2 * time.Second
	// Largest answer, in bytes: the longest reply of a turn with room for its escapes and for a page of messages.
	answerMaxBytes = 64 << 20
	// What a stream holds that was not asked for yet, in bytes; and a connection.
	streamWindowBytes     = 256 << 10
	connectionWindowBytes = 1 << 20
)

// Option is a choice of [New].
type Option func(*settings)

// WithKey gives the API key or other token that calls carry. Without it that is QUARTERDECK_KEY of the environment.
func WithKey(key string) Option { return func(chosen *settings) { chosen.key = newSecret(key) } }

// WithKeyOverPlaintext lets the key go over http:// to another machine, where everybody on the way can read it. Without
// it that is refused.
func WithKeyOverPlaintext() Option {
	return func(chosen *settings) { chosen.keyOverPlaintext = true }
}

// WithCAFile names the PEM file of the CA that an https:// server's certificate is checked against. Without it those that
// this machine trusts count.
func WithCAFile(path string) Option { return func(chosen *settings) { chosen.caFile = path } }

// WithTLSConfig gives all of TLS for an https:// address, such as a client certificate.
func WithTLSConfig(config *tls.Config) Option {
	return func(chosen *settings) { chosen.tls = config.Clone() }
}

// WithTimeout changes [DefaultTimeout]. One call's is that of its context.
func WithTimeout(timeout time.Duration) Option {
	return func(chosen *settings) { chosen.timeout = timeout }
}

// WithPatience changes [DefaultPatience].
func WithPatience(patience time.Duration) Option {
	return func(chosen *settings) { chosen.patience = patience }
}

// WithDialOptions adds to how gRPC connects, such as interceptors. They come after those of this package.
func WithDialOptions(options ...grpc.DialOption) Option {
	return func(chosen *settings) { chosen.dialOptions = append(chosen.dialOptions, options...) }
}

// settings are what the options chose.
type settings struct {
	endpoint
	key              secret
	keyOverPlaintext bool
	caFile           string
	tls              *tls.Config
	timeout          time.Duration
	patience         time.Duration
	dialOptions      []grpc.DialOption
}

func choose(address string, options []Option) (*settings, error) {
	chosen := &settings{
		key:      newSecret(os.Getenv("QUARTERDECK_KEY")),
		timeout:  DefaultTimeout,
		patience: DefaultPatience,
	}
	for _, option := range options {
		option(chosen)
	}
	if address == "" {
		address = os.Getenv("QUARTERDECK_ADDR")
	}
	if address == "" {
		address = DefaultAddress
	}
	var err error
	chosen.endpoint, err = parseAddress(address)
	if err != nil {
		return nil, err
	}
	return chosen, chosen.check()
}

func (chosen *settings) check() error {
	switch {
	case !chosen.key.visible():
		return errors.New("quarterdeck: the key must be visible ASCII without blanks")
	case chosen.key.given() && !chosen.encrypted && !chosen.local && !chosen.keyOverPlaintext:
		return fmt.Errorf("quarterdeck: the key would go unencrypted to %s: use https://, or say WithKeyOverPlaintext",
			chosen.address)
	case !chosen.encrypted && (chosen.caFile != "" || chosen.tls != nil):
		return errors.New("quarterdeck: a CA and other TLS options are for https:// addresses")
	case chosen.timeout <= 0 || chosen.patience <= 0:
		return errors.New("quarterdeck: timeout and patience must be more than 0")
	default:
		return nil
	}
}

// dial is how gRPC connects.
func (chosen *settings) dial() ([]grpc.DialOption, error) {
	transport := insecure.NewCredentials()
	if chosen.encrypted {
		config, err := chosen.tlsConfig()
		if err != nil {
			return nil, err
		}
		transport = credentials.NewTLS(config)
	}
	options := []grpc.DialOption{
		grpc.WithTransportCredentials(transport),
		grpc.WithUserAgent("quarterdeck-go/" + Version),
		grpc.WithConnectParams(grpc.ConnectParams{
			Backoff: backoff.Config{
				BaseDelay: backoffFirst, Multiplier: 1.6, Jitter: 0.2, MaxDelay: reconnectPauseMax,
			},
			MinConnectTimeout: connectTimeout,
		}),
		grpc.WithKeepaliveParams(keepalive.ClientParameters{Time: keepAliveTime, Timeout: keepAliveTimeout}),
		grpc.WithStaticStreamWindowSize(streamWindowBytes),
		grpc.WithStaticConnWindowSize(connectionWindowBytes),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(answerMaxBytes)),
		// What is tried again is this package's to say.
		grpc.WithDisableRetry(),
		grpc.WithDisableServiceConfig(),
	}
	if chosen.key.given() {
		options = append(options, grpc.WithPerRPCCredentials(bearer{chosen.key, chosen.encrypted}))
	}
	return options, nil
}

func (chosen *settings) tlsConfig() (*tls.Config, error) {
	config := chosen.tls
	if config == nil {
		config = &tls.Config{MinVersion: tls.VersionTLS12}
	}
	if chosen.caFile != "" {
		pem, err := os.ReadFile(chosen.caFile)
		if err != nil {
			return nil, fmt.Errorf("quarterdeck: the CA can't be read: %w", err)
		}
		config.RootCAs = x509.NewCertPool()
		if !config.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("quarterdeck: %s holds no certificate as PEM", chosen.caFile)
		}
	}
	return config, nil
}

// secret is a key. A pointer, so that printing what holds it shows an address: fmt asks no unexported field for a String.
type secret struct{ text *string }

func newSecret(text string) secret { return secret{&text} }

func (key secret) given() bool { return *key.text != "" }

func (key secret) visible() bool {
	for _, character := range *key.text {
		if character <= ' ' || character > '~' {
			return false
		}
	}
	return true
}

// bearer puts the key into each call.
type bearer struct {
	key       secret
	encrypted bool
}

func (bearer bearer) GetRequestMetadata(context.Context, ...string) (map[string]string, error) {
	return map[string]string{"authorization": "Bearer " + *bearer.key.text}, nil
}

func (bearer bearer) RequireTransportSecurity() bool { return bearer.encrypted }

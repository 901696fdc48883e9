package quarterdeck

import (
	"context"
	"sync/atomic"
	"time"

	quarterdeckv1 "github.com/quarterdeck/quarterdeck/clients/go/quarterdeck/v1"
	"google.golang.org/grpc"
)

// Client calls one server. It connects at the first call, and its methods may be used by many goroutines.
//
// The methods of the embedded services are the RPCs themselves: deadlines, retries, request_id and errors are seen to
// for these too. Run, Subscribe, SubscribeMany, WatchSessions and TailLogs are hidden by iterators that come back after
// a cut; who wants one raw stream calls the embedded field, such as client.GatewayServiceClient.Subscribe.
type Client struct {
	quarterdeckv1.GatewayServiceClient
	quarterdeckv1.MemoryServiceClient
	quarterdeckv1.ModelServiceClient
	quarterdeckv1.AdminServiceClient
	quarterdeckv1.ScheduleServiceClient
	quarterdeckv1.WebhookServiceClient

	connection *grpc.ClientConn
	address    string
	timeout    time.Duration
	patience   time.Duration
	// Whether the server was ever reached: from then on a lost connection is worth waiting for.
	answered atomic.Bool
}

// New makes a client of the server at address: http://HOST:PORT, https://HOST:PORT or unix:PATH. An empty address means
// QUARTERDECK_ADDR of the environment, and without that [DefaultAddress]. Close the client when it is no longer used.
func New(address string, options ...Option) (*Client, error) {
	chosen, err := choose(address, options)
	if err != nil {
		return nil, err
	}
	client := &Client{address: chosen.address, timeout: chosen.timeout, patience: chosen.patience}
	dial, err := chosen.dial()
	if err != nil {
		return nil, err
	}
	dial = append(dial,
		grpc.WithChainUnaryInterceptor(client.call),
		grpc.WithChainStreamInterceptor(client.openStream),
	)
	client.connection, err = grpc.NewClient(chosen.target, append(dial, chosen.dialOptions...)...)
	if err != nil {
		return nil, err
	}
	client.GatewayServiceClient = quarterdeckv1.NewGatewayServiceClient(client.connection)
	client.MemoryServiceClient = quarterdeckv1.NewMemoryServiceClient(client.connection)
	client.ModelServiceClient = quarterdeckv1.NewModelServiceClient(client.connection)
	client.AdminServiceClient = quarterdeckv1.NewAdminServiceClient(client.connection)
	client.ScheduleServiceClient = quarterdeckv1.NewScheduleServiceClient(client.connection)
	client.WebhookServiceClient = quarterdeckv1.NewWebhookServiceClient(client.connection)
	return client, nil
}

// Connection is what the client calls through, for services that this package does not know.
func (client *Client) Connection() grpc.ClientConnInterface { return client.connection }

// Close ends the connection, and with it every open call and stream.
func (client *Client) Close() error { return client.connection.Close() }

// String names the server, never the key.
func (client *Client) String() string { return "quarterdeck client of " + client.address }

// GoString is String: what the client holds is nobody's to print.
func (client *Client) GoString() string { return client.String() }

// call is every unary call: its deadline, its request_id, its retries and its error.
func (client *Client) call(
	ctx context.Context, method string, request, reply any,
	connection *grpc.ClientConn, invoke grpc.UnaryInvoker, options ...grpc.CallOption,
) error {
	request = identified(request)
	if _, bounded := ctx.Deadline(); !bounded {
		if timeout, bounded := client.callTimeout(request); bounded {
			var cancel context.CancelFunc
			ctx, cancel = context.WithTimeout(ctx, timeout)
			defer cancel()
		}
	}
	tries := client.tries(client.patience)
	for {
		began := time.Now()
		failure := client.heard(invoke(ctx, method, request, reply, connection, options...))
		if failure == nil {
			return nil
		}
		pause, again := tries.pause(failure, began, time.Now())
		if !again || !rest(ctx, pause) {
			return failure
		}
	}
}

// callTimeout is how long a call without a deadline may take: what it asks the server to wait comes on top. Only an
// AwaitTurn that does not say how long waits for as long as the turn takes.
func (client *Client) callTimeout(request any) (time.Duration, bool) {
	switch request := request.(type) {
	case *quarterdeckv1.AwaitTurnRequest:
		return client.timeout + request.GetWait().AsDuration(), request.GetWait() != nil
	case *quarterdeckv1.ReadEventsRequest:
		return client.timeout + request.GetWait().AsDuration(), true
	case *quarterdeckv1.AbortRequest:
		return client.timeout + request.GetGrace().AsDuration(), true
	default:
		return client.timeout, true
	}
}

// openStream gives every stream the errors of this package.
func (client *Client) openStream(
	ctx context.Context, description *grpc.StreamDesc, connection *grpc.ClientConn,
	method string, streamer grpc.Streamer, options ...grpc.CallOption,
) (grpc.ClientStream, error) {
	stream, err := streamer(ctx, description, connection, method, options...)
	if failure := client.heard(err); failure != nil {
		return nil, failure
	}
	return errorStream{stream, client}, nil
}

// heard turns what a call or a stream ended with into an error of this package, and notes that the server was reached.
func (client *Client) heard(err error) *Error {
	if err == nil {
		client.answered.Store(true)
		return nil
	}
	failure := toError(err)
	switch {
	case failure.Reason != "":
		client.answered.Store(true)
	case failure.Code == unavailable && !client.answered.Load():
		failure.Message = unreachable(client.address, failure.Message)
	}
	return failure
}

// rest waits; false where the context ends before the pause does.
func rest(ctx context.Context, pause time.Duration) bool {
	if deadline, bounded := ctx.Deadline(); bounded && time.Until(deadline) <= pause {
		return false
	}
	timer := time.NewTimer(pause)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

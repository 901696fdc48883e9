package quarterdeck

import (
	"context"
	"iter"
	"time"

	quarterdeckv1 "github.com/quarterdeck/quarterdeck/clients/go/quarterdeck/v1"
	"google.golang.org/grpc"
)

// SessionUpdate is what [Client.WatchSessions] tells.
type SessionUpdate struct {
	// NewList is true for the first update of each list: at the beginning, and whenever the stream came back. What the
	// caller has from before is void then.
	NewList bool
	// Session is the newest state of a session; nil once the list is complete, and after that as a sign of life.
	Session *Session
}

// WatchSessions follows the sessions that match: all of them, then an update without a session, then each one that
// changes. After a cut it comes back by itself, for as long as ctx lives, with a new list.
func (client *Client) WatchSessions(
	ctx context.Context, request *quarterdeckv1.WatchSessionsRequest, options ...StreamOption,
) iter.Seq2[*SessionUpdate, error] {
	return func(yield func(*SessionUpdate, error) bool) {
		watch := &sessionWatch{client: client, request: clone(request)}
		snapshots := resume(ctx, client, func() source[Session] { return watch }, forEver, options)
		for session, err := range snapshots {
			if err != nil {
				yield(nil, err)
				return
			}
			update := &SessionUpdate{NewList: watch.begun}
			watch.begun = false
			if session.GetSessionKey() != "" {
				update.Session = session
			}
			if !yield(update, nil) {
				return
			}
		}
	}
}

// sessionWatch is the stream of snapshots.
type sessionWatch struct {
	client  *Client
	request *quarterdeckv1.WatchSessionsRequest
	// Whether a list began of which nothing was taken yet.
	begun bool
}

func (watch *sessionWatch) open(ctx context.Context) (grpc.ServerStreamingClient[Session], error) {
	watch.begun = true
	return watch.client.GatewayServiceClient.WatchSessions(ctx, watch.request)
}

func (watch *sessionWatch) take(*Session) verdict { return deliver }

func (watch *sessionWatch) refused(context.Context, *Error) (error, bool) { return nil, false }

func (watch *sessionWatch) finished() bool { return false }

func (watch *sessionWatch) silence() time.Duration { return progressMissed * progressInterval }

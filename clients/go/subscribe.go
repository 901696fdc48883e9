package quarterdeck

import (
	"context"
	"errors"
	"iter"
	"time"

	quarterdeckv1 "github.com/quarterdeck/quarterdeck/clients/go/quarterdeck/v1"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/types/known/durationpb"
)

// Subscribe follows a session from where the request says: after its cursor, from the oldest event, or from now on. It
// comes back by itself after every cut, for as long as ctx lives: durable events come once each and in order; hello,
// item_snapshot and caught_up come again after a cut. It ends after session_deleted.
//
// A [CursorError] brings the session as it is now; if the loop goes on, so does the subscription, after that state. Every
// other error is the last thing that the loop sees.
//
//	subscription := client.Subscribe(ctx, &quarterdeckv1.SubscribeRequest{SessionKey: "demo"})
//	for event, err := range subscription.Events() {
//		var void *quarterdeck.CursorError
//		switch {
//		case errors.As(err, &void):
//			show(void.State) // what came before; events after it follow
//		case err != nil:
//			return err
//		default:
//			handle(event)
//		}
//	}
func (client *Client) Subscribe(
	ctx context.Context, request *quarterdeckv1.SubscribeRequest, options ...StreamOption,
) *Subscription {
	from := &subscription{client: client, request: clone(request), position: position{request.GetCursor()}}
	return &Subscription{
		events: resume(ctx, client, func() source[Event] { return from }, forEver, options),
		from:   from,
	}
}

// Subscription follows one session. One goroutine at a time may use it.
type Subscription struct {
	events iter.Seq2[*Event, error]
	from   *subscription
}

// Events are the session's events. A second loop goes on where the first was left.
func (subscription *Subscription) Events() iter.Seq2[*Event, error] { return subscription.events }

// Cursor is where to go on later, in another run of the program too: after the event that the loop got last. It is nil
// before the first one, unless the request had a cursor.
func (subscription *Subscription) Cursor() *Cursor { return subscription.from.position.cursor }

// subscription is one session's stream.
type subscription struct {
	client   *Client
	request  *quarterdeckv1.SubscribeRequest
	position position
}

func (subscription *subscription) open(ctx context.Context) (grpc.ServerStreamingClient[Event], error) {
	if subscription.position.cursor != nil {
		subscription.request.Cursor = subscription.position.cursor
		subscription.request.FromOldest = false
	}
	return subscription.client.GatewayServiceClient.Subscribe(ctx, subscription.request)
}

func (subscription *subscription) take(event *Event) verdict {
	switch {
	case !subscription.position.take(event):
		return pass
	case event.GetSessionDeleted() != nil:
		return deliverLast
	default:
		return deliver
	}
}

func (subscription *subscription) refused(ctx context.Context, failure *Error) (error, bool) {
	if subscription.position.cursor == nil || !voidsCursor(failure) {
		return nil, false
	}
	void, err := subscription.client.snapshot(ctx, subscription.request.GetSessionKey(), failure)
	if err != nil {
		return err, false
	}
	subscription.position.cursor = void.Cursor
	return void, true
}

func (subscription *subscription) finished() bool { return false }

func (subscription *subscription) silence() time.Duration {
	return silence(subscription.request.GetProgressInterval())
}

func silence(interval *durationpb.Duration) time.Duration {
	if interval == nil {
		return progressMissed * progressInterval
	}
	return progressMissed * max(interval.AsDuration(), time.Second)
}

func voidsCursor(failure *Error) bool {
	return errors.Is(failure, ErrCursorExpired) || errors.Is(failure, ErrLogChanged) || errors.Is(failure, ErrCursorAhead)
}

// snapshot reads the state of a session whose cursor was refused.
func (client *Client) snapshot(ctx context.Context, sessionKey string, failure *Error) (*CursorError, error) {
	state, err := client.GetSessionState(ctx, &quarterdeckv1.GetSessionStateRequest{SessionKey: sessionKey})
	if err != nil {
		return nil, err
	}
	cursor := &Cursor{LogId: state.GetLogId(), AfterSeq: state.GetSeq()}
	return &CursorError{Err: failure, SessionKey: sessionKey, State: state, Cursor: cursor}, nil
}

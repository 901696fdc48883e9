package quarterdeck

import (
	"context"
	"errors"
	"iter"
	"maps"
	"slices"
	"time"

	quarterdeckv1 "github.com/quarterdeck/quarterdeck/clients/go/quarterdeck/v1"
	"google.golang.org/grpc"
)

// SubscribeMany follows several sessions in one stream, each as [Client.Subscribe] does, without an order across
// sessions. It keeps a cursor for each session, also for those that the request's filter found. It ends after the
// session_deleted of the last session, where the request has neither a filter nor a watch. The server takes 1000 cursors:
// a stream of more sessions ends where it is cut, with the server's refusal.
//
// If the loop goes on after the error of one session, so does the iterator: after the state that a [CursorError] brings,
// and without a session that is gone ([ErrSessionNotFound], [ErrSessionDeleted]). Every other error is the last.
func (client *Client) SubscribeMany(
	ctx context.Context, request *quarterdeckv1.SubscribeManyRequest, options ...StreamOption,
) *ManySubscription {
	from := newManySubscription(client, request)
	return &ManySubscription{
		events: resume(ctx, client, func() source[Event] { return from }, forEver, options),
		from:   from,
	}
}

// ManySubscription follows several sessions. One goroutine at a time may use it.
type ManySubscription struct {
	events iter.Seq2[*Event, error]
	from   *manySubscription
}

// Events are the events of all sessions. A second loop goes on where the first was left.
func (subscription *ManySubscription) Events() iter.Seq2[*Event, error] { return subscription.events }

// Cursors are where to go on later, by session key, for each session of which the loop got an event or the request had a
// cursor; [SessionCursors] makes of them what a request takes.
func (subscription *ManySubscription) Cursors() map[string]*Cursor {
	cursors := map[string]*Cursor{}
	for key, session := range subscription.from.sessions {
		if session.position.cursor != nil {
			cursors[key] = session.position.cursor
		}
	}
	return cursors
}

// SessionCursors makes the cursors of a SubscribeManyRequest of those that were kept, ordered by session key.
func SessionCursors(kept map[string]*Cursor) []*quarterdeckv1.SessionCursor {
	cursors := make([]*quarterdeckv1.SessionCursor, 0, len(kept))
	for _, key := range slices.Sorted(maps.Keys(kept)) {
		cursors = append(cursors, &quarterdeckv1.SessionCursor{
			SessionKey: key, LogId: kept[key].GetLogId(), AfterSeq: kept[key].GetAfterSeq(),
		})
	}
	return cursors
}

// manySubscription is one stream of several sessions.
type manySubscription struct {
	client  *Client
	request *quarterdeckv1.SubscribeManyRequest
	// The sessions that are followed, by key, in the order in which they came.
	sessions map[string]*followed
	order    []string
}

// followed is one session of the stream.
type followed struct {
	position position
	// What the request says of it.
	cursor *quarterdeckv1.SessionCursor
}

func newManySubscription(client *Client, request *quarterdeckv1.SubscribeManyRequest) *manySubscription {
	many := &manySubscription{client: client, request: clone(request), sessions: map[string]*followed{}}
	for _, cursor := range many.request.GetCursors() {
		session := many.follow(cursor)
		if !cursor.GetFromHead() && !cursor.GetFromOldest() {
			session.position.cursor = &Cursor{LogId: cursor.GetLogId(), AfterSeq: cursor.GetAfterSeq()}
		}
	}
	return many
}

func (many *manySubscription) follow(cursor *quarterdeckv1.SessionCursor) *followed {
	key := cursor.GetSessionKey()
	session := &followed{cursor: cursor}
	many.sessions[key] = session
	many.order = append(many.order, key)
	return session
}

func (many *manySubscription) leave(key string) {
	delete(many.sessions, key)
	many.order = slices.DeleteFunc(many.order, func(other string) bool { return other == key })
}

func (many *manySubscription) open(ctx context.Context) (grpc.ServerStreamingClient[Event], error) {
	many.request.Cursors = nil
	for _, key := range many.order {
		many.request.Cursors = append(many.request.Cursors, many.sessions[key].resumed())
	}
	if many.finished() {
		return nil, errFinished
	}
	return many.client.GatewayServiceClient.SubscribeMany(ctx, many.request)
}

// resumed is what the next request says of the session.
func (session *followed) resumed() *quarterdeckv1.SessionCursor {
	if session.position.cursor == nil {
		return session.cursor
	}
	return &quarterdeckv1.SessionCursor{
		SessionKey: session.cursor.GetSessionKey(),
		LogId:      session.position.cursor.GetLogId(),
		AfterSeq:   session.position.cursor.GetAfterSeq(),
		Events:     session.cursor.GetEvents(),
	}
}

func (many *manySubscription) take(event *Event) verdict {
	session, ok := many.sessions[event.GetSessionKey()]
	if !ok {
		// What is watched only has no hello.
		if event.GetHello() == nil {
			return deliver
		}
		session = many.follow(&quarterdeckv1.SessionCursor{SessionKey: event.GetSessionKey()})
	}
	if !session.position.take(event) {
		return pass
	}
	if event.GetSessionDeleted() != nil {
		many.leave(event.GetSessionKey())
	}
	return deliver
}

func (many *manySubscription) refused(ctx context.Context, failure *Error) (error, bool) {
	key := failure.Metadata["session_key"]
	session, ok := many.sessions[key]
	if !ok {
		return nil, false
	}
	if errors.Is(failure, ErrSessionNotFound) || errors.Is(failure, ErrSessionDeleted) {
		many.leave(key)
		return failure, true
	}
	if !voidsCursor(failure) {
		return nil, false
	}
	void, err := many.client.snapshot(ctx, key, failure)
	if err != nil {
		return err, false
	}
	session.position.cursor = void.Cursor
	return void, true
}

func (many *manySubscription) finished() bool {
	return len(many.sessions) == 0 && many.request.GetFilter() == nil && many.request.GetWatch() == nil
}

// silence: only sessions that are followed, and a watch, say something by themselves.
func (many *manySubscription) silence() time.Duration {
	if len(many.sessions) == 0 && many.request.GetWatch() == nil {
		return 0
	}
	return silence(many.request.GetProgressInterval())
}

package quarterdeck

import (
	"errors"
	"fmt"
	"testing"
	"time"

	quarterdeckv1 "github.com/quarterdeck/quarterdeck/clients/go/quarterdeck/v1"
	"google.golang.org/protobuf/types/known/durationpb"
)

// Each durable event comes once and in order, though the server is killed and connections are reset.
func TestSubscriptionsSurviveTheServer(t *testing.T) {
	server := startServer(t)
	proxy := startProxy(t, server.listen)
	client := server.client(proxy.address())
	ctx := bounded(t)
	enqueue := func() {
		t.Helper()
		request := &quarterdeckv1.EnqueueRequest{SessionKey: "s", Text: "!delay=1ms one two three four"}
		if _, err := client.Enqueue(ctx, request); err != nil {
			t.Fatal(err)
		}
	}
	enqueue()
	request := &quarterdeckv1.SubscribeRequest{SessionKey: "s", FromOldest: true}
	next, ended, cuts := int64(1), 0, 0
	for event, err := range client.Subscribe(ctx, request, OnCut(func(error) { cuts++ })).Events() {
		if err != nil {
			t.Fatal(err)
		}
		if event.GetSeq() > 0 {
			if event.GetSeq() != next {
				t.Fatalf("seq %d where %d is due", event.GetSeq(), next)
			}
			next++
		}
		if event.GetTurnEnded() != nil {
			ended++
			switch ended {
			case 1:
				server.kill()
				server.start()
				enqueue()
			case 2:
				proxy.cut()
				enqueue()
			case 3:
				_, err := client.DeleteSession(ctx, &quarterdeckv1.DeleteSessionRequest{SessionKey: "s"})
				if err != nil {
					t.Fatal(err)
				}
			}
		}
	}
	if ended != 3 || cuts < 2 {
		t.Errorf("%d turns ended, %d cuts", ended, cuts)
	}
	if request.GetCursor() != nil || !request.GetFromOldest() {
		t.Error("the caller's request was changed")
	}
}

// A connection that takes everything and says nothing is given up, and the subscription comes back.
func TestSilentConnectionsAreLeft(t *testing.T) {
	server := startServer(t)
	proxy := startProxy(t, server.listen)
	client := server.client(proxy.address())
	ctx := bounded(t)
	if _, err := client.CreateSession(ctx, &quarterdeckv1.CreateSessionRequest{SessionKey: "s"}); err != nil {
		t.Fatal(err)
	}
	request := &quarterdeckv1.SubscribeRequest{SessionKey: "s", ProgressInterval: durationpb.New(time.Second)}
	hellos := 0
	for event, err := range client.Subscribe(ctx, request).Events() {
		if err != nil {
			t.Fatal(err)
		}
		if event.GetHello() == nil {
			continue
		}
		hellos++
		if hellos == 2 {
			return
		}
		proxy.silence()
	}
}

func TestVoidCursorsBringTheSession(t *testing.T) {
	server := startServer(t)
	client := server.client(server.address)
	ctx := bounded(t)
	if _, err := read(t, client, ctx, "s", "one", nil); err != nil {
		t.Fatal(err)
	}
	var seen []string
	cursor := &Cursor{LogId: "another", AfterSeq: 1}
	for event, err := range client.Subscribe(ctx, &quarterdeckv1.SubscribeRequest{SessionKey: "s", Cursor: cursor}).Events() {
		var void *CursorError
		switch {
		case errors.As(err, &void):
			if !errors.Is(err, ErrLogChanged) || void.Cursor.GetAfterSeq() != void.State.GetSeq() ||
				len(void.State.GetMessages()) != 2 {
				t.Errorf("%v %v", void, void.State)
			}
			seen = append(seen, "void")
		case err != nil:
			t.Fatal(err)
		case event.GetHello() != nil:
			// The loop went on, and so did the subscription: after the state.
			if event.GetAfterSeq() == 0 {
				t.Error("it begins anew")
			}
			seen = append(seen, "hello")
		}
		if len(seen) == 2 {
			break
		}
	}
	if fmt.Sprint(seen) != "[void hello]" {
		t.Error(seen)
	}
}

func TestWatchComesBackWithANewList(t *testing.T) {
	server := startServer(t)
	proxy := startProxy(t, server.listen)
	client := server.client(proxy.address())
	ctx := bounded(t)
	create := &quarterdeckv1.CreateSessionRequest{SessionKey: "mine"}
	if _, err := client.CreateSession(ctx, create); err != nil {
		t.Fatal(err)
	}
	lists, complete, mine := 0, 0, 0
	watch := &quarterdeckv1.WatchSessionsRequest{Filter: &quarterdeckv1.SessionFilter{KeyPrefix: "mi"}}
	for update, err := range client.WatchSessions(ctx, watch) {
		if err != nil {
			t.Fatal(err)
		}
		if update.NewList {
			lists++
		}
		if update.Session.GetSessionKey() == "mine" {
			mine++
		}
		if update.Session == nil {
			complete++
			if complete == 2 {
				break
			}
			proxy.cut()
		}
	}
	if lists != 2 || mine != 2 {
		t.Errorf("%d lists, %d times the session", lists, mine)
	}
}

// A follower of the log learns that the server was started again, and goes on.
func TestLogsGoOnAfterTheServer(t *testing.T) {
	server := startServer(t)
	client := server.client(server.address)
	restarted := false
	for record, err := range client.TailLogs(bounded(t), &quarterdeckv1.TailLogsRequest{}) {
		switch {
		case errors.Is(err, ErrLogChanged) && !restarted:
			restarted = true
		case err != nil:
			t.Fatal(err)
		case restarted && record.GetNumber() > 0:
			return
		case !restarted && server.process.ProcessState == nil:
			server.kill()
			server.start()
		}
	}
}

// Each session's durable events come once and in order over cuts, also of sessions that the filter found; one that is
// gone tells so and leaves the others.
func TestManySessionsInOneStream(t *testing.T) {
	server := startServer(t)
	proxy := startProxy(t, server.listen)
	client := server.client(proxy.address())
	ctx := bounded(t)
	enqueue := func(session string) {
		t.Helper()
		request := &quarterdeckv1.EnqueueRequest{SessionKey: session, Text: "one two"}
		if _, err := client.Enqueue(ctx, request); err != nil {
			t.Fatal(err)
		}
	}
	enqueue("named")
	request := &quarterdeckv1.SubscribeManyRequest{
		Cursors: []*quarterdeckv1.SessionCursor{{SessionKey: "named"}, {SessionKey: "nobody"}},
		Filter:  &quarterdeckv1.SessionFilter{KeyPrefix: "found"},
	}
	next := map[string]int64{}
	ended, refused := 0, 0
	for event, err := range client.SubscribeMany(ctx, request).Events() {
		if errors.Is(err, ErrSessionNotFound) {
			refused++
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		session := event.GetSessionKey()
		if event.GetSeq() > 0 {
			if event.GetSeq() != next[session]+1 && next[session] > 0 {
				t.Fatalf("%s: seq %d after %d", session, event.GetSeq(), next[session])
			}
			next[session] = event.GetSeq()
		}
		if event.GetTurnEnded() == nil {
			continue
		}
		ended++
		switch ended {
		case 1:
			enqueue("found")
		case 2:
			proxy.cut()
			enqueue("found")
			enqueue("named")
		case 4:
			server.kill()
			server.start()
			enqueue("found")
		}
		if ended == 5 {
			break
		}
	}
	if refused != 1 || next["named"] != 13 || next["found"] != 19 {
		t.Errorf("%d refused, %v", refused, next)
	}
}

// Without a filter the stream ends with its last session.
func TestManySessionsEndWithTheLast(t *testing.T) {
	server := startServer(t)
	client := server.client(server.address)
	ctx := bounded(t)
	for _, key := range []string{"a", "b"} {
		if _, err := client.CreateSession(ctx, &quarterdeckv1.CreateSessionRequest{SessionKey: key}); err != nil {
			t.Fatal(err)
		}
	}
	request := &quarterdeckv1.SubscribeManyRequest{
		Cursors: []*quarterdeckv1.SessionCursor{{SessionKey: "a"}, {SessionKey: "b", LogId: "another", AfterSeq: 1}},
	}
	void, caughtUp, deleted := 0, 0, 0
	for event, err := range client.SubscribeMany(ctx, request).Events() {
		var cursor *CursorError
		switch {
		case errors.As(err, &cursor) && cursor.SessionKey == "b" && cursor.Cursor.GetAfterSeq() == 1:
			void++
			continue
		case err != nil:
			t.Fatal(err)
		case event.GetSessionDeleted() != nil:
			deleted++
		case event.GetCaughtUp() != nil:
			caughtUp++
			request := &quarterdeckv1.DeleteSessionRequest{SessionKey: event.GetSessionKey()}
			if _, err := client.DeleteSession(ctx, request); err != nil {
				t.Fatal(err)
			}
		}
	}
	if void != 1 || caughtUp != 2 || deleted != 2 {
		t.Errorf("%d void, %d caught up, %d deleted", void, caughtUp, deleted)
	}
}

// Leaving the loop ends the stream: the server has nobody that listens any more.
func TestLeavingTheLoopEndsTheStream(t *testing.T) {
	server := startServer(t)
	client := server.client(server.address)
	ctx := bounded(t)
	if _, err := client.CreateSession(ctx, &quarterdeckv1.CreateSessionRequest{SessionKey: "s"}); err != nil {
		t.Fatal(err)
	}
	listening := func() int {
		response, err := client.ListChannels(ctx, &quarterdeckv1.ListChannelsRequest{SessionKey: "s"})
		if err != nil {
			t.Fatal(err)
		}
		return len(response.GetChannels())
	}
	for _, err := range client.Subscribe(ctx, &quarterdeckv1.SubscribeRequest{SessionKey: "s"}).Events() {
		if err != nil || listening() != 1 {
			t.Fatalf("%d listen: %v", listening(), err)
		}
		break
	}
	// Its end is on its way. Each look waits at the server for an event that does not come.
	pause := &quarterdeckv1.ReadEventsRequest{
		SessionKey: "s", Cursor: &Cursor{AfterSeq: 1}, Wait: durationpb.New(50 * time.Millisecond),
	}
	for listening() > 0 {
		if _, err := client.ReadEvents(ctx, pause); err != nil {
			t.Fatal(err)
		}
	}
}

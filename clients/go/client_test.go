package quarterdeck

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	quarterdeckv1 "github.com/quarterdeck/quarterdeck/clients/go/quarterdeck/v1"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/types/known/durationpb"
)

// read gives the text of a chat, and what ended it.
func read(t *testing.T, client *Client, ctx context.Context, session, text string, each func()) (string, error) {
	t.Helper()
	var answer strings.Builder
	for piece, err := range client.Chat(ctx, session, text) {
		if err != nil {
			return answer.String(), err
		}
		answer.WriteString(piece)
		if each != nil {
			each()
		}
	}
	return answer.String(), nil
}

func TestChatGivesTheAnswer(t *testing.T) {
	server := startServer(t)
	client := server.client(server.address)
	answer, err := read(t, client, bounded(t), "chat", "!think=hm !tool=calculator grüße aus 世界", nil)
	if err != nil || answer != "grüße aus 世界" {
		t.Errorf("%q %v", answer, err)
	}
	_, err = read(t, client, bounded(t), "chat", "!fail=because whatever", nil)
	var failed *TurnFailedError
	if !errors.As(err, &failed) || failed.Reason != "AGENT_ERROR" || failed.Message != "because" ||
		failed.State != quarterdeckv1.TurnState_TURN_STATE_FAILED {
		t.Errorf("%v", err)
	}
}

// Whatever happens to connections, the text has each word once.
func TestChatGoesOnOverCuts(t *testing.T) {
	server := startServer(t)
	proxy := startProxy(t, server.listen)
	client := server.client(proxy.address())
	pieces := 0
	answer, err := read(t, client, bounded(t), "chat", "!delay=5ms !repeat=100 grüße 世界", func() {
		pieces++
		if pieces%40 == 0 {
			proxy.cut()
		}
	})
	expected := strings.TrimSuffix(strings.Repeat("grüße 世界 ", 100), " ")
	if err != nil || answer != expected {
		t.Errorf("%q %v", answer, err)
	}
}

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
	for event, err := range client.Subscribe(ctx, request, OnCut(func(error) { cuts++ })) {
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
	for event, err := range client.Subscribe(ctx, request) {
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
	for event, err := range client.Subscribe(ctx, &quarterdeckv1.SubscribeRequest{SessionKey: "s", Cursor: cursor}) {
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

// A call waits for a server that is started again, and so does what waits for a turn.
func TestCallsWaitForTheServer(t *testing.T) {
	server := startServer(t)
	client := server.client(server.address)
	ctx := bounded(t)
	var turn string
	run := &quarterdeckv1.RunRequest{Enqueue: &quarterdeckv1.EnqueueRequest{SessionKey: "s", Text: "!hang tick"}}
	for event, err := range client.Run(ctx, run) {
		if err != nil {
			t.Fatal(err)
		}
		if event.GetTurnStarted() != nil {
			turn = event.GetTurnId()
			break
		}
	}
	awaited := make(chan error)
	go func() {
		response, err := client.AwaitTurn(ctx, &quarterdeckv1.AwaitTurnRequest{SessionKey: "s", TurnId: turn})
		if state := response.GetTurn().GetState(); err == nil && state != quarterdeckv1.TurnState_TURN_STATE_INTERRUPTED {
			err = fmt.Errorf("it ended %v", state)
		}
		awaited <- err
	}()
	server.kill()
	enqueued := make(chan error)
	go func() {
		_, err := client.Enqueue(ctx, &quarterdeckv1.EnqueueRequest{SessionKey: "s", Text: "after"})
		enqueued <- err
	}()
	server.start()
	if err := errors.Join(<-enqueued, <-awaited); err != nil {
		t.Error(err)
	}
}

func TestServersThatAreNotThereAreReportedSoon(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := "http://" + listener.Addr().String()
	listener.Close()
	client, err := New(address)
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	began := time.Now()
	_, err = client.WhoAmI(bounded(t), &quarterdeckv1.WhoAmIRequest{})
	if !errors.Is(err, ErrUnavailable) || !strings.Contains(err.Error(), address+"; start one with `quarterdeck serve`") {
		t.Error(err)
	}
	_, err = read(t, client, bounded(t), "s", "hello", nil)
	if !errors.Is(err, ErrUnavailable) || time.Since(began) > 10*time.Second {
		t.Errorf("after %v: %v", time.Since(began), err)
	}
}

func TestDeadlinesAreTheCallers(t *testing.T) {
	server := startServer(t)
	client := server.client(server.address)
	enqueued, err := client.Enqueue(bounded(t), &quarterdeckv1.EnqueueRequest{SessionKey: "s", Text: "!hang x"})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	_, err = client.AwaitTurn(ctx, &quarterdeckv1.AwaitTurnRequest{SessionKey: "s", TurnId: enqueued.GetTurn().GetTurnId()})
	var failure *Error
	if !errors.Is(err, context.DeadlineExceeded) || !errors.As(err, &failure) || failure.Code != codes.DeadlineExceeded {
		t.Error(err)
	}
	// And so are cancellations, in an iterator too.
	ctx, cancel = context.WithCancel(t.Context())
	for _, err = range client.Subscribe(ctx, &quarterdeckv1.SubscribeRequest{SessionKey: "s"}) {
		cancel()
	}
	if !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	cancel()
}

func TestWrongKeysAreRefused(t *testing.T) {
	server := startServer(t)
	client := server.client(server.address, WithKey("qdk_wrong"))
	_, err := client.WhoAmI(bounded(t), &quarterdeckv1.WhoAmIRequest{})
	if !errors.Is(err, ErrCredentialsInvalid) || !errors.Is(err, ErrUnauthenticated) || strings.Contains(err.Error(), "qdk_wrong") {
		t.Error(err)
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

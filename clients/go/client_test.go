package quarterdeck

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"
	"time"

	quarterdeckv1 "github.com/quarterdeck/quarterdeck/clients/go/quarterdeck/v1"
	"google.golang.org/grpc/codes"
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
	for _, err = range client.Subscribe(ctx, &quarterdeckv1.SubscribeRequest{SessionKey: "s"}).Events() {
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

// The server's own user needs no key on its socket.
func TestUnixSocketsAreReached(t *testing.T) {
	server := startServer(t)
	t.Setenv("QUARTERDECK_KEY", "")
	client, err := New("unix:" + filepath.Join(server.directory, "quarterdeck.sock"))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	who, err := client.WhoAmI(bounded(t), &quarterdeckv1.WhoAmIRequest{})
	if err != nil || who.GetPrincipal() != "default/local" {
		t.Errorf("%v %v", who, err)
	}
}

// What goes wrong before the first answer is said with what to do about it.
func TestUnreachedServersComeWithAdvice(t *testing.T) {
	encrypted := httptest.NewUnstartedServer(nil)
	encrypted.Config.ErrorLog = log.New(io.Discard, "", 0)
	encrypted.EnableHTTP2 = true
	encrypted.StartTLS()
	defer encrypted.Close()
	plain := httptest.NewServer(nil)
	defer plain.Close()
	for address, advice := range map[string]string{
		strings.Replace(encrypted.URL, "https", "http", 1): "use https://",
		strings.Replace(plain.URL, "http", "https", 1):     "use http://",
		encrypted.URL: "name the CA",
	} {
		client, err := New(address)
		if err != nil {
			t.Fatal(err)
		}
		_, err = client.WhoAmI(bounded(t), &quarterdeckv1.WhoAmIRequest{})
		if !errors.Is(err, ErrUnavailable) || !strings.Contains(err.Error(), advice) {
			t.Errorf("%s: %v", address, err)
		}
		client.Close()
	}
}

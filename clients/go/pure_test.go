package quarterdeck

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	quarterdeckv1 "github.com/quarterdeck/quarterdeck/clients/go/quarterdeck/v1"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/known/durationpb"
)

// Every reason that the server knows has its sentinel here, of the right code, and no other has.
func TestReasonsAreTheServers(t *testing.T) {
	text, err := os.ReadFile("../reasons.json")
	if errors.Is(err, os.ErrNotExist) {
		t.Skip("the list of reasons stands beside this package in the project only")
	}
	var reasons []struct{ Reason, Code string }
	if err := json.Unmarshal(text, &reasons); err != nil {
		t.Fatal(err)
	}
	known := map[string]codes.Code{}
	for name, kind := range byReason {
		known[name] = kind.code
	}
	// Those are their codes.
	known["INTERNAL"], known["DEADLINE_EXCEEDED"] = codes.Internal, codes.DeadlineExceeded
	for _, reason := range reasons {
		code, ok := known[reason.Reason]
		if !ok || codeName(code) != reason.Code {
			t.Errorf("%s of %s: here it is of %v (known: %v)", reason.Reason, reason.Code, code, ok)
		}
		delete(known, reason.Reason)
	}
	if len(known) > 0 {
		t.Errorf("reasons that no server has: %v", known)
	}
}

func refusal(code codes.Code, reason string, details ...proto.Message) error {
	from := status.New(code, "a sentence")
	if reason != "" {
		from, _ = from.WithDetails(&errdetails.ErrorInfo{Reason: reason, Domain: "quarterdeck", Metadata: map[string]string{"limit": "32"}})
	}
	for _, detail := range details {
		switch detail := detail.(type) {
		case *errdetails.RetryInfo:
			from, _ = from.WithDetails(detail)
		case *errdetails.BadRequest:
			from, _ = from.WithDetails(detail)
		}
	}
	return from.Err()
}

func TestErrorsAreToldApartByReasonAndByCode(t *testing.T) {
	for _, test := range []struct {
		err  error
		is   []error
		isNo []error
	}{
		{refusal(codes.ResourceExhausted, "QUEUE_FULL"), []error{ErrQueueFull, ErrResourceExhausted}, []error{ErrRateLimited, ErrUnavailable}},
		{refusal(codes.ResourceExhausted, "NEW_REASON"), []error{ErrResourceExhausted}, []error{ErrQueueFull}},
		{refusal(codes.Unavailable, ""), []error{ErrUnavailable}, []error{ErrDraining}},
		{refusal(codes.DeadlineExceeded, "DEADLINE_EXCEEDED"), []error{ErrDeadlineExceeded, context.DeadlineExceeded}, []error{context.Canceled}},
		{refusal(codes.Canceled, ""), []error{ErrCanceled, context.Canceled}, []error{context.DeadlineExceeded}},
		// A known reason that comes with another code is what the code says.
		{refusal(codes.NotFound, "QUEUE_FULL"), []error{ErrNotFound}, []error{ErrQueueFull}},
	} {
		wrapped := fmt.Errorf("wrapped: %w", toError(test.err))
		for _, target := range test.is {
			if !errors.Is(wrapped, target) {
				t.Errorf("%v is not %v", wrapped, target)
			}
		}
		for _, target := range test.isNo {
			if errors.Is(wrapped, target) {
				t.Errorf("%v is %v", wrapped, target)
			}
		}
		if status.Code(wrapped) != status.Code(test.err) {
			t.Errorf("%v has lost its status", wrapped)
		}
	}
}

func TestErrorsCarryTheirDetails(t *testing.T) {
	err := refusal(codes.ResourceExhausted, "QUEUE_FULL",
		&errdetails.RetryInfo{RetryDelay: durationpb.New(2 * time.Second)},
		&errdetails.BadRequest{FieldViolations: []*errdetails.BadRequest_FieldViolation{{Field: "enqueue.text", Description: "is blank"}}})
	var failure *Error
	if !errors.As(toError(err), &failure) {
		t.Fatal("it is no *Error")
	}
	if failure.Code != codes.ResourceExhausted || failure.Reason != "QUEUE_FULL" || failure.RetryAfter != 2*time.Second ||
		failure.Metadata["limit"] != "32" || failure.FieldViolations[0] != (FieldViolation{"enqueue.text", "is blank"}) {
		t.Errorf("%+v", failure)
	}
	if text := failure.Error(); text != "QUEUE_FULL: a sentence; enqueue.text: is blank" {
		t.Error(text)
	}
	void := &CursorError{Err: toError(refusal(codes.OutOfRange, "CURSOR_EXPIRED")), SessionKey: "s"}
	if !errors.Is(void, ErrCursorExpired) || !errors.Is(void, ErrOutOfRange) {
		t.Errorf("%v is not what it carries", void)
	}
}

func token(item string, offset int64, delta string) *Event {
	return &Event{ItemId: item, Kind: &quarterdeckv1.GatewayEvent_Token{Token: &quarterdeckv1.Token{Offset: offset, Delta: delta}}}
}

func open(kind quarterdeckv1.BlockKind, role quarterdeckv1.Role, offset int64, text string) *Event {
	return &Event{ItemId: "a", Kind: &quarterdeckv1.GatewayEvent_ItemSnapshot{ItemSnapshot: &quarterdeckv1.ItemSnapshot{
		Block: kind, Role: role, Offset: offset, Text: text,
	}}}
}

func openText(offset int64, text string) *Event {
	return open(quarterdeckv1.BlockKind_BLOCK_KIND_TEXT, quarterdeckv1.Role_ROLE_ASSISTANT, offset, text)
}

func completed(role quarterdeckv1.Role, item string, blocks ...string) *Event {
	message := &quarterdeckv1.MessageCompleted{Role: role, Text: strings.Join(blocks, "")}
	for index, text := range blocks {
		message.Blocks = append(message.Blocks, &quarterdeckv1.MessageBlock{ContentIndex: int32(index), Text: text})
	}
	return &Event{ItemId: item, Kind: &quarterdeckv1.GatewayEvent_MessageCompleted{MessageCompleted: message}}
}

func TestAnswersHaveEachByteOnce(t *testing.T) {
	assistant, user := quarterdeckv1.Role_ROLE_ASSISTANT, quarterdeckv1.Role_ROLE_USER
	thinking := open(quarterdeckv1.BlockKind_BLOCK_KIND_THINKING, assistant, 0, "hm")
	for name, test := range map[string]struct {
		events []*Event
		pieces string
	}{
		"deltas": {[]*Event{token("a", 0, "one "), token("a", 4, "two"), completed(assistant, "a", "one two")}, "one |two"},
		"a repeated delta": {
			[]*Event{token("a", 0, "one "), token("a", 0, "one "), token("a", 4, "two")}, "one |two"},
		"only completed": {[]*Event{completed(assistant, "a", "one", "two")}, "one|two"},
		"cut, snapshot, on": {
			[]*Event{token("a", 0, "one "), openText(0, "one two "), token("a", 8, "three"), completed(assistant, "a", "one two three")},
			"one |two |three"},
		"cut, completed meanwhile": {[]*Event{token("a", 0, "one "), completed(assistant, "a", "one two")}, "one |two"},
		"lagging: a gap waits for the snapshot of what was missed": {
			[]*Event{token("a", 0, "one "), token("a", 8, "three"), openText(4, "two three"), token("a", 13, "!")}, "one |two three|!"},
		"lagging: a gap waits for the completed message": {
			[]*Event{token("a", 0, "one "), token("a", 8, "three"), completed(assistant, "a", "one two three")}, "one |two three"},
		"offsets are bytes": {
			[]*Event{token("a", 0, "grüße "), openText(0, "grüße 世"), token("a", 11, "界"), completed(assistant, "a", "grüße 世界!")},
			"grüße |世|界|!"},
		"a delta that begins before": {[]*Event{token("a", 0, "one"), token("a", 1, "ne two")}, "one| two"},
		"a crash kept less than was seen": {
			[]*Event{token("a", 0, "one two"), completed(assistant, "a", "one")}, "one two"},
		"not what others say or what is thought": {
			[]*Event{completed(user, "u", "hello"), thinking, token("a", 0, "one")}, "one"},
		"one item after the other": {
			[]*Event{token("a", 0, "one"), completed(assistant, "a", "one"), token("b", 0, "two"), completed(assistant, "b", "two")}, "one|two"},
	} {
		var answer answer
		var pieces []string
		for _, event := range test.events {
			pieces = append(pieces, answer.take(event)...)
		}
		if given := strings.Join(pieces, "|"); given != test.pieces {
			t.Errorf("%s: %q, not %q", name, given, test.pieces)
		}
	}
}

func TestAnswersForgetCompletedMessages(t *testing.T) {
	var answer answer
	for range 100 {
		answer.take(token("a", 0, "one"))
		answer.take(completed(quarterdeckv1.Role_ROLE_ASSISTANT, "a", "one"))
	}
	if len(answer.given) != 0 {
		t.Errorf("%d blocks are kept", len(answer.given))
	}
}

func TestPositionsPassOverWhatWasHandedOn(t *testing.T) {
	durable := func(seq int64) *Event { return &Event{LogId: "l", Seq: seq} }
	hello := &Event{LogId: "l", AfterSeq: 3, Kind: &quarterdeckv1.GatewayEvent_Hello{Hello: &quarterdeckv1.Hello{HeadSeq: 9}}}
	progress := &Event{LogId: "l", Kind: &quarterdeckv1.GatewayEvent_Progress{Progress: &quarterdeckv1.Progress{Seq: 8}}}
	var position position
	for step, test := range []struct {
		event *Event
		fresh bool
		after int64
	}{
		{hello, true, 3}, {durable(4), true, 4}, {durable(4), false, 4}, {durable(3), false, 4}, {token("a", 0, "x"), true, 4},
		{hello, true, 4}, {durable(5), true, 5}, {progress, true, 8}, {durable(8), false, 8}, {durable(9), true, 9},
	} {
		if fresh := position.take(test.event); fresh != test.fresh || position.cursor.GetAfterSeq() != test.after {
			t.Errorf("step %d: %v after %d", step, fresh, position.cursor.GetAfterSeq())
		}
	}
}

func TestOnlyUnavailableIsTriedAgain(t *testing.T) {
	answered := &atomic.Bool{}
	answered.Store(true)
	now := time.Unix(1000, 0)
	fresh := func() *tries {
		return &tries{patience: 30 * time.Second, answered: answered, random: func() float64 { return 1 }, due: backoffFirst}
	}
	for code := range byCode {
		pause, again := fresh().pause(toError(refusal(code, "A_REASON")), now, now)
		if again != (code == codes.Unavailable) || again && pause != backoffFirst {
			t.Errorf("%v: %v %v", code, pause, again)
		}
	}

	tries := fresh()
	gone := toError(refusal(codes.Unavailable, ""))
	var pauses []time.Duration
	for {
		pause, again := tries.pause(gone, now, now)
		if !again {
			break
		}
		pauses = append(pauses, pause)
		now = now.Add(pause)
	}
	if now.Sub(time.Unix(1000, 0)) > tries.patience || pauses[len(pauses)-1] != backoffMax || pauses[1] != 2*backoffFirst {
		t.Errorf("%v", pauses)
	}

	asked := toError(refusal(codes.Unavailable, "DRAINING", &errdetails.RetryInfo{RetryDelay: durationpb.New(7 * time.Second)}))
	if pause, again := fresh().pause(asked, now, now); !again || pause != 7*time.Second {
		t.Errorf("RetryInfo is not heard: %v", pause)
	}
	// A server that was never reached isn't waited for.
	answered.Store(false)
	tries = fresh()
	tries.pause(gone, now, now)
	if _, again := tries.pause(gone, now, now.Add(reachPatience)); again {
		t.Error("a server that never answered is tried for ever")
	}
}

// Whatever can carry a request_id gets one, the caller's message stays as it is, and a given one is kept.
func TestRequestsAreIdentified(t *testing.T) {
	count := 0
	protoregistry.GlobalTypes.RangeMessages(func(kind protoreflect.MessageType) bool {
		field := kind.Descriptor().Fields().ByName("request_id")
		if kind.Descriptor().ParentFile().Package() != "quarterdeck.v1" || field == nil {
			return true
		}
		count++
		request := kind.New().Interface()
		first := identified(request).(proto.Message).ProtoReflect().Get(field).String()
		second := identified(request).(proto.Message).ProtoReflect().Get(field).String()
		if len(first) != 36 || first == second || request.ProtoReflect().Has(field) {
			t.Errorf("%s: %q, then %q", kind.Descriptor().FullName(), first, second)
		}
		return true
	})
	if count < 15 {
		t.Errorf("only %d requests can carry a request_id", count)
	}
	enqueue := &quarterdeckv1.EnqueueRequest{
		SessionKey: "s", Metadata: map[string]string{"a": "b"}, Attachments: []*quarterdeckv1.Attachment{{Name: "n"}},
	}
	copied := proto.CloneOf(identified(enqueue).(*quarterdeckv1.EnqueueRequest))
	copied.RequestId = ""
	if !proto.Equal(copied, enqueue) {
		t.Errorf("%v is not %v", copied, enqueue)
	}
	given := &quarterdeckv1.EnqueueRequest{RequestId: "mine"}
	if identified(given) != any(given) {
		t.Error("the caller's own id is not kept")
	}
}

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

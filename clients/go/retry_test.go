package quarterdeck

import (
	"sync/atomic"
	"testing"
	"time"

	quarterdeckv1 "github.com/quarterdeck/quarterdeck/clients/go/quarterdeck/v1"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/known/durationpb"
)

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

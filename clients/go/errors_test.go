package quarterdeck

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"testing"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
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

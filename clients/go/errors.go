package quarterdeck

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	quarterdeckv1 "github.com/quarterdeck/quarterdeck/clients/go/quarterdeck/v1"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

const unavailable = codes.Unavailable

// Error is a call or a stream that failed: a refusal of the server, or a connection that was lost.
//
//	if errors.Is(err, quarterdeck.ErrQueueFull) { … }          // by reason
//	if errors.Is(err, quarterdeck.ErrResourceExhausted) { … }  // by code, whatever the reason
//	var failure *quarterdeck.Error
//	if errors.As(err, &failure) { log.Print(failure.Reason, failure.Metadata) }
type Error struct {
	// Code is the code of the status.
	Code codes.Code
	// Reason is the server's, such as QUEUE_FULL; empty where the server did not say this.
	Reason string
	// Message is one sentence for people.
	Message string
	// Metadata holds the facts of the reason.
	Metadata map[string]string
	// RetryAfter is what the server asks to wait before the next try; 0 where it does not say.
	RetryAfter time.Duration
	// FieldViolations names the fields of the request that are wrong.
	FieldViolations []FieldViolation

	status *status.Status
}

// FieldViolation is a field of a request that is wrong.
type FieldViolation struct {
	// Field is its path in the request.
	Field string
	// Description says what is wrong with it.
	Description string
}

// Error is the message with code and reason.
func (failure *Error) Error() string {
	kind := failure.Reason
	if kind == "" {
		kind = codeName(failure.Code)
	}
	text := kind + ": " + failure.Message
	for _, violation := range failure.FieldViolations {
		if !strings.Contains(failure.Message, violation.Field) {
			text += fmt.Sprintf("; %s: %s", violation.Field, violation.Description)
		}
	}
	return text
}

// Unwrap is the sentinel of the reason, such as [ErrQueueFull]; the code's, such as [ErrResourceExhausted], where this
// package does not know the reason.
func (failure *Error) Unwrap() error {
	if known, ok := byReason[failure.Reason]; ok && known.code == failure.Code {
		return known
	}
	if known, ok := byCode[failure.Code]; ok {
		return known
	}
	return nil
}

// Is makes a deadline that passed context.DeadlineExceeded and a call that was given up context.Canceled.
func (failure *Error) Is(target error) bool {
	switch failure.Code {
	case codes.DeadlineExceeded:
		return target == context.DeadlineExceeded
	case codes.Canceled:
		return target == context.Canceled
	default:
		return false
	}
}

// GRPCStatus is the status as it came, for packages of gRPC.
func (failure *Error) GRPCStatus() *status.Status { return failure.status }

// toError reads the status of a call. It is never nil.
func toError(err error) *Error {
	var already *Error
	if errors.As(err, &already) {
		return already
	}
	from, ok := status.FromError(err)
	if !ok {
		from = status.FromContextError(err)
	}
	failure := &Error{Code: from.Code(), Message: from.Message(), status: from}
	for _, detail := range from.Details() {
		switch detail := detail.(type) {
		case *errdetails.ErrorInfo:
			failure.Reason, failure.Metadata = detail.GetReason(), detail.GetMetadata()
		case *errdetails.RetryInfo:
			failure.RetryAfter = detail.GetRetryDelay().AsDuration()
		case *errdetails.BadRequest:
			for _, violation := range detail.GetFieldViolations() {
				failure.FieldViolations = append(failure.FieldViolations,
					FieldViolation{violation.GetField(), violation.GetDescription()})
			}
		}
	}
	return failure
}

// lost is a stream that ended where it should not.
func lost(message string) *Error {
	return &Error{Code: unavailable, Message: message, status: status.New(unavailable, message)}
}

// unreachable says what to do about a server that never answered.
func unreachable(address, cause string) string {
	advice := "start one with `quarterdeck serve`, or name another address (QUARTERDECK_ADDR)"
	switch {
	case strings.Contains(cause, "first record does not look like a TLS handshake"):
		advice = "it speaks no TLS: use http://"
	case strings.Contains(cause, "error reading server preface"):
		advice = "it does not answer as a server of http:// does: perhaps it speaks TLS, use https://"
	case strings.Contains(cause, "x509: certificate signed by unknown authority"):
		advice = "name the CA of its certificate with WithCAFile"
	case strings.Contains(cause, "tls: ") || strings.Contains(cause, "x509: "):
		advice = "TLS failed: look at its certificate and at the client's options"
	}
	return fmt.Sprintf("no server could be reached at %s; %s (%s)", address, advice, cause)
}

// TurnFailedError is a turn that did not complete.
type TurnFailedError struct {
	// State is how it ended: FAILED, CANCELED, INTERRUPTED, REJECTED or EXPIRED.
	State quarterdeckv1.TurnState
	// Reason is the turn's own, such as AGENT_ERROR, ABORTED or QUEUE_TTL.
	Reason string
	// Message is one sentence for people.
	Message string
	// Turn is the turn at its end.
	Turn *Turn
}

// Error says how the turn ended and why.
func (failed *TurnFailedError) Error() string {
	return fmt.Sprintf("turn %s ended %s: %s: %s", failed.Turn.GetTurnId(), Name(failed.State), failed.Reason, failed.Message)
}

// turnFailed is nil for a turn that completed.
func turnFailed(turn *Turn) error {
	if turn.GetState() == quarterdeckv1.TurnState_TURN_STATE_COMPLETED {
		return nil
	}
	return &TurnFailedError{turn.GetState(), turn.GetError().GetReason(), turn.GetError().GetMessage(), turn}
}

// CursorError is a cursor that can't be resumed from: [ErrCursorExpired], [ErrLogChanged] or [ErrCursorAhead]. It brings
// the session as it is now. An iterator that gave it goes on after Cursor if its loop goes on.
type CursorError struct {
	// Err is the refusal.
	Err *Error
	// SessionKey is the session that the cursor was of.
	SessionKey string
	// State is the session with its newest messages, as of Cursor.
	State *SessionState
	// Cursor is where to go on.
	Cursor *Cursor
}

// Error is the refusal's text.
func (void *CursorError) Error() string {
	return fmt.Sprintf("session %s: %v", void.SessionKey, void.Err)
}

// Unwrap is the refusal.
func (void *CursorError) Unwrap() error { return void.Err }

// errorStream gives the errors of this package.
type errorStream struct {
	grpc.ClientStream
	client *Client
}

func (stream errorStream) RecvMsg(message any) error {
	err := stream.ClientStream.RecvMsg(message)
	if err == io.EOF {
		return err
	}
	if failure := stream.client.heard(err); failure != nil {
		return failure
	}
	return nil
}

package quarterdeck

import (
	"context"
	"errors"
	"io"
	"iter"
	"math"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
)

const (
	// What the server sends on a silent stream comes at least this often, where the request does not say otherwise.
	progressInterval = 15 * time.Second
	// A stream is cut after so many intervals without a word: what is between us and the server may answer for it.
	progressMissed = 3
	// Patience of a stream that was attached: it comes back for as long as its context lives.
	forEver time.Duration = math.MaxInt64
)

// StreamOption is a choice of an iterator.
type StreamOption func(*streamSettings)

type streamSettings struct {
	onCut      func(error)
	onQuestion QuestionHandler
}

// OnCut is called by the iterator each time that its stream was cut and it is going to come back, with the reason.
func OnCut(call func(reason error)) StreamOption {
	return func(chosen *streamSettings) { chosen.onCut = call }
}

// choices are what the options say.
func choices(options []StreamOption) streamSettings {
	var chosen streamSettings
	for _, option := range options {
		option(&chosen)
	}
	return chosen
}

// source is a stream that can be opened again where it was cut.
type source[Message any] interface {
	// open asks for what comes after what was taken.
	open(context.Context) (grpc.ServerStreamingClient[Message], error)
	// take moves the position over a message.
	take(*Message) verdict
	// refused looks at a refusal that is about the position. With `resumes` it gives what the loop is to see before the
	// stream is opened again, at the position that it has moved to; else the stream ends with what it gives.
	refused(context.Context, *Error) (err error, resumes bool)
	// finished tells whether a stream that ended OK was to end.
	finished() bool
	// silence is how long the stream may say nothing; 0 for ever.
	silence() time.Duration
}

// verdict is what becomes of a message.
type verdict int

const (
	// The loop gets it.
	deliver verdict = iota
	// The loop had it before.
	pass
	// The loop gets it, and it is the last one.
	deliverLast
)

// How a stream that was opened once ended.
var (
	errFinished = errors.New("finished")
	errUnread   = errors.New("unread")
)

// resume is the iterator over a source. Its patience counts from when the server was last heard, once it was attached.
func resume[Message any](
	ctx context.Context, client *Client, newSource func() source[Message], patience time.Duration, options []StreamOption,
) iter.Seq2[*Message, error] {
	chosen := choices(options)
	return func(yield func(*Message, error) bool) {
		from := newSource()
		tries := client.tries(client.patience)
		attached := false
		for {
			began := time.Now()
			err := once(ctx, from, func(message *Message) bool {
				attached = true
				tries.patience = patience
				tries.reached()
				return yield(message, nil)
			})
			if err == errFinished || err == errUnread {
				return
			}
			failure := toError(err)
			if ctx.Err() != nil {
				yield(nil, failure)
				return
			}
			if refusal, resumes := from.refused(ctx, failure); refusal != nil {
				if !yield(nil, refusal) || !resumes {
					return
				}
				continue
			}
			pause, again := tries.pause(failure, began, time.Now())
			if attached && passes(failure) {
				pause, again = tries.next(failure, began, time.Now())
			}
			if !again {
				yield(nil, failure)
				return
			}
			if chosen.onCut != nil {
				chosen.onCut(failure)
			}
			if !rest(ctx, pause) {
				yield(nil, failure)
				return
			}
		}
	}
}

// passes tells whether a stream that was attached once is worth coming back to: its transport failed (every refusal of
// the server has a reason), or a place that its own remains still take is not free yet.
func passes(failure *Error) bool {
	switch failure.Code {
	case codes.ResourceExhausted:
		return true
	case codes.Unknown, codes.Internal, codes.Canceled:
		return failure.Reason == ""
	default:
		return false
	}
}

// once reads one stream to its end.
func once[Message any](ctx context.Context, from source[Message], yield func(*Message) bool) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stream, err := from.open(ctx)
	if err != nil {
		return err
	}
	for {
		message, err := receive(stream, from.silence(), cancel)
		switch {
		case err == io.EOF && from.finished():
			return errFinished
		case err == io.EOF:
			return lost("the stream ended without a reason")
		case err != nil:
			return err
		}
		judged := from.take(message)
		if judged == pass {
			continue
		}
		if !yield(message) {
			return errUnread
		}
		if judged == deliverLast {
			return errFinished
		}
	}
}

// receive waits for the next message, and gives the stream up where it is silent for too long.
func receive[Message any](
	stream grpc.ServerStreamingClient[Message], silence time.Duration, cancel context.CancelFunc,
) (*Message, error) {
	if silence == 0 {
		return stream.Recv()
	}
	watchdog := time.AfterFunc(silence, cancel)
	message, err := stream.Recv()
	if !watchdog.Stop() && err != nil {
		return nil, lost("the stream was silent for too long")
	}
	return message, err
}

package quarterdeck

import (
	"context"
	"iter"
	"time"

	quarterdeckv1 "github.com/quarterdeck/quarterdeck/clients/go/quarterdeck/v1"
	"google.golang.org/grpc"
)

// Records asked for where the cursor is void: all that the server may keep.
const logRecordsMax = 10_000

// TailLogs follows the server's log records. After a cut it comes back by itself, for as long as ctx lives, after the
// newest record. If the loop goes on after [ErrLogChanged] (the server was started again) or [ErrCursorExpired], some
// records may be missing and those that the server keeps follow; every other error is the last.
func (client *Client) TailLogs(
	ctx context.Context, request *quarterdeckv1.TailLogsRequest, options ...StreamOption,
) iter.Seq2[*LogRecord, error] {
	return resume(ctx, client, func() source[LogRecord] {
		return &logTail{client: client, request: clone(request)}
	}, forEver, options)
}

// logTail is the stream of records.
type logTail struct {
	client  *Client
	request *quarterdeckv1.TailLogsRequest
}

func (tail *logTail) open(ctx context.Context) (grpc.ServerStreamingClient[LogRecord], error) {
	return tail.client.AdminServiceClient.TailLogs(ctx, tail.request)
}

func (tail *logTail) take(record *LogRecord) verdict {
	tail.request.Cursor = &quarterdeckv1.LogCursor{BootId: record.GetBootId(), AfterNumber: record.GetNumber()}
	return deliver
}

func (tail *logTail) refused(_ context.Context, failure *Error) (error, bool) {
	if tail.request.Cursor == nil || !voidsCursor(failure) {
		return nil, false
	}
	tail.request.Cursor = nil
	last := int32(logRecordsMax)
	tail.request.Last = &last
	return failure, true
}

func (tail *logTail) finished() bool { return tail.request.GetNoFollow() }

// silence: a log says nothing where nothing happens. The connection's keep-alive is its only watch.
func (tail *logTail) silence() time.Duration { return 0 }

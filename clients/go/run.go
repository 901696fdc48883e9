package quarterdeck

import (
	"context"
	"encoding/json"
	"iter"
	"time"

	"github.com/google/uuid"
	quarterdeckv1 "github.com/quarterdeck/quarterdeck/clients/go/quarterdeck/v1"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"
)

// Run enqueues a prompt and gives its turn's events up to turn_ended. After a cut it attaches to the same turn, by the
// request_id that the prompt got when Run was called, and goes on after the last durable event. Nothing is sent before
// the first step of the loop; leaving the loop leaves the turn to itself. Ranging again attaches to the same turn.
func (client *Client) Run(
	ctx context.Context, request *quarterdeckv1.RunRequest, options ...StreamOption,
) iter.Seq2[*Event, error] {
	request = clone(request)
	if request.Enqueue == nil {
		request.Enqueue = &quarterdeckv1.EnqueueRequest{}
	}
	if request.Enqueue.RequestId == "" {
		request.Enqueue.RequestId = uuid.NewString()
	}
	events := resume(ctx, client, func() source[Event] {
		return &running{client: client, request: request, afterSeq: request.GetAfterSeq()}
	}, client.patience, options)
	return func(yield func(*Event, error) bool) {
		answering := answering{client: client, handler: choices(options).onQuestion}
		for event, err := range events {
			if err == nil {
				err = answering.take(ctx, event)
			}
			if err != nil {
				yield(nil, err)
				return
			}
			if !yield(event, nil) {
				return
			}
		}
	}
}

// running is one turn's stream.
type running struct {
	client   *Client
	request  *quarterdeckv1.RunRequest
	afterSeq int64
}

func (running *running) open(ctx context.Context) (grpc.ServerStreamingClient[Event], error) {
	return running.client.GatewayServiceClient.Run(ctx, &quarterdeckv1.RunRequest{
		Enqueue:            running.request.GetEnqueue(),
		AfterSeq:           running.afterSeq,
		CancelOnDisconnect: running.request.GetCancelOnDisconnect(),
	})
}

func (running *running) take(event *Event) verdict {
	fresh := event.GetSeq() == 0 || event.GetSeq() > running.afterSeq
	running.afterSeq = max(running.afterSeq, event.GetSeq())
	switch {
	case event.GetTurnEnded() != nil:
		// The end comes always, also to who had it.
		return deliverLast
	case fresh:
		return deliver
	default:
		return pass
	}
}

func (running *running) refused(context.Context, *Error) (error, bool) { return nil, false }

func (running *running) finished() bool { return false }

func (running *running) silence() time.Duration { return progressMissed * progressInterval }

// Chat sends a prompt and gives the text of the answer as it is written: what the agent says, not what it thinks. After a
// cut it goes on where it was; nothing comes twice and nothing is missing. A turn that does not complete is a
// [TurnFailedError] after its text. The adjustments change the request before it is sent, for everything that the prompt
// can carry:
//
//	client.Chat(ctx, "demo", "hello", func(request *quarterdeckv1.EnqueueRequest) { request.Agent = "pi" })
func (client *Client) Chat(
	ctx context.Context, sessionKey, text string, adjustments ...func(*quarterdeckv1.EnqueueRequest),
) iter.Seq2[string, error] {
	prompt := &quarterdeckv1.EnqueueRequest{SessionKey: sessionKey, Text: text}
	for _, adjust := range adjustments {
		adjust(prompt)
	}
	return client.ChatWith(ctx, prompt)
}

// ChatWith is Chat with the whole prompt, and options such as [OnQuestion], which answers what the agent asks.
func (client *Client) ChatWith(
	ctx context.Context, prompt *quarterdeckv1.EnqueueRequest, options ...StreamOption,
) iter.Seq2[string, error] {
	events := client.Run(ctx, &quarterdeckv1.RunRequest{Enqueue: prompt}, options...)
	return func(yield func(string, error) bool) {
		var answer answer
		for event, err := range events {
			if err != nil {
				yield("", err)
				return
			}
			for _, piece := range answer.take(event) {
				if !yield(piece, nil) {
					return
				}
			}
			if ended := event.GetTurnEnded(); ended != nil {
				client.end(ctx, ended.GetTurn(), &answer, yield)
				return
			}
		}
	}
}

// end gives what is left of an answer at the end of its turn.
func (client *Client) end(ctx context.Context, turn *Turn, answer *answer, yield func(string, error) bool) {
	// Nothing came but the end: the events of an old turn are no longer kept, but its answer is.
	if !answer.begun && turn.GetResponseText() != "" {
		response, err := client.GetTurn(ctx, &quarterdeckv1.GetTurnRequest{
			SessionKey: turn.GetSessionKey(), TurnId: turn.GetTurnId(),
		})
		if err != nil {
			yield("", err)
			return
		}
		if !yield(response.GetTurn().GetResponseText(), nil) {
			return
		}
	}
	if err := turnFailed(turn); err != nil {
		yield("", err)
	}
}

// Ask sends a prompt and gives what its turn answers by a JSON Schema, read into an Output by encoding/json. The schema is
// anything that encoding/json takes; that the answer meets it is checked by the server, that Output fits it is yours to say.
// A turn that does not complete is a [TurnFailedError], whose reason is OUTPUT_INVALID where the agent gave nothing that
// meets the schema. The adjustments change the request before it is sent, as those of [Client.Chat] do.
func Ask[Output any](
	ctx context.Context, client *Client, sessionKey, text string, schema any,
	adjustments ...func(*quarterdeckv1.EnqueueRequest),
) (Output, error) {
	var output Output
	schemaJSON, err := json.Marshal(schema)
	if err != nil {
		return output, err
	}
	prompt := &quarterdeckv1.EnqueueRequest{SessionKey: sessionKey, Text: text, OutputSchema: string(schemaJSON)}
	for _, adjust := range adjustments {
		adjust(prompt)
	}
	for event, err := range client.Run(ctx, &quarterdeckv1.RunRequest{Enqueue: prompt}) {
		if err != nil {
			return output, err
		}
		if ended := event.GetTurnEnded(); ended != nil {
			if err := turnFailed(ended.GetTurn()); err != nil {
				return output, err
			}
			return output, json.Unmarshal([]byte(ended.GetTurn().GetOutputJson()), &output)
		}
	}
	return output, ctx.Err()
}

// clone copies a request: the caller may change its own while we go on.
func clone[Message proto.Message](request Message) Message { return proto.CloneOf(request) }

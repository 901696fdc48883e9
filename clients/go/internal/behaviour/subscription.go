package main

import (
	"context"
	"errors"
	"iter"
	"sync"
	"time"

	quarterdeck "github.com/quarterdeck/quarterdeck/clients/go"
	quarterdeckv1 "github.com/quarterdeck/quarterdeck/clients/go/quarterdeck/v1"
)

// subscription is an iterator of the package, read step by step.
type subscription struct {
	cancel context.CancelFunc
	// One reader at a time.
	reading sync.Mutex
	next    func() (*quarterdeck.Event, error, bool)
	stop    func()
	cursors func() fields
}

// opened is what an op begins: the events, and where to go on after those that were read.
type opened struct {
	events  iter.Seq2[*quarterdeck.Event, error]
	cursors func() fields
}

type events = func(context.Context) opened

func subscribe(client *client, request *request) events {
	subscribe := &quarterdeckv1.SubscribeRequest{SessionKey: request.SessionKey, FromOldest: request.FromOldest}
	if request.AfterSeq != nil || request.LogID != "" {
		subscribe.Cursor = &quarterdeck.Cursor{LogId: request.LogID}
		if request.AfterSeq != nil {
			subscribe.Cursor.AfterSeq = *request.AfterSeq
		}
	}
	return func(ctx context.Context) opened {
		subscription := client.Subscribe(ctx, subscribe)
		return opened{subscription.Events(), func() fields { return fields{"cursor": showCursor(subscription.Cursor())} }}
	}
}

func subscribeMany(client *client, request *request) events {
	subscribe := &quarterdeckv1.SubscribeManyRequest{}
	for _, key := range request.SessionKeys {
		subscribe.Cursors = append(subscribe.Cursors, &quarterdeckv1.SessionCursor{SessionKey: key})
	}
	return func(ctx context.Context) opened {
		subscription := client.SubscribeMany(ctx, subscribe)
		return opened{subscription.Events(), func() fields {
			cursors := fields{}
			for key, cursor := range subscription.Cursors() {
				cursors[key] = showCursor(cursor)
			}
			return fields{"cursors": cursors}
		}}
	}
}

func showCursor(cursor *quarterdeck.Cursor) any {
	if cursor == nil {
		return nil
	}
	return fields{"log_id": cursor.GetLogId(), "after_seq": cursor.GetAfterSeq()}
}

func (driver *driver) open(name string, events events) {
	ctx, cancel := context.WithCancel(context.Background())
	opened := events(ctx)
	next, stop := iter.Pull2(opened.events)
	driver.mutex.Lock()
	defer driver.mutex.Unlock()
	driver.subscriptions[name] = &subscription{cancel: cancel, next: next, stop: stop, cursors: opened.cursors}
}

func (subscription *subscription) perform(ctx context.Context, request *request) (fields, error) {
	if request.Op == "close" {
		// Ends what waits first: only then nobody reads.
		subscription.cancel()
		subscription.reading.Lock()
		defer subscription.reading.Unlock()
		subscription.stop()
		return fields{}, nil
	}
	subscription.reading.Lock()
	defer subscription.reading.Unlock()
	if request.Op == "cursor" {
		return subscription.cursors(), nil
	}
	defer context.AfterFunc(ctx, subscription.cancel)()
	if request.Op == "next" {
		events := []fields{}
		ended, err := subscription.read(request.Until, max(request.Times, 1), func(event *quarterdeck.Event) {
			events = append(events, render(event))
		})
		return fields{"events": events, "ended": ended}, err
	}
	count, durable := 0, 0
	_, err := subscription.read(request.Until, 1, func(event *quarterdeck.Event) {
		count++
		if event.GetSeq() > 0 {
			durable++
		}
		time.Sleep(time.Duration(request.PauseMS) * time.Millisecond)
	})
	// The package has no queue of events: one is decoded when it is asked for. What the stream's window holds is bytes.
	return fields{"events": count, "durable": durable, "peak_buffered": 0}, err
}

// read gives the events up to the times-th one of a kind; true where the iterator ended before.
func (subscription *subscription) read(
	until string, times int, take func(*quarterdeck.Event),
) (ended bool, err error) {
	for times > 0 {
		event, err, ok := subscription.next()
		if !ok {
			return true, nil
		}
		if err != nil {
			return false, err
		}
		take(event)
		if kindOf(event) == until {
			times--
		}
	}
	return false, nil
}

// describe is the `error` of an answer.
func describe(err error) fields {
	var void *quarterdeck.CursorError
	var failure *quarterdeck.Error
	var turn *quarterdeck.TurnFailedError
	switch {
	case errors.As(err, &void):
		described := describe(void.Err)
		described["snapshot"] = fields{
			"seq": void.Cursor.GetAfterSeq(), "log_id": void.Cursor.GetLogId(),
			"session_id": void.State.GetSession().GetSessionId(), "generation": void.State.GetSession().GetGeneration(),
		}
		return described
	case errors.As(err, &failure):
		metadata := failure.Metadata
		if metadata == nil {
			metadata = map[string]string{}
		}
		return fields{
			"type": camel(errors.Unwrap(failure).Error()), "code": screaming(failure.Code.String()),
			"reason": failure.Reason, "message": failure.Error(), "metadata": metadata,
		}
	case errors.As(err, &turn):
		return fields{
			"type": "TurnFailed", "code": "", "state": short(turn.State, "TURN_STATE_"), "reason": turn.Reason,
			"message": turn.Error(), "metadata": fields{},
		}
	default:
		// A client that can't be made, and what the driver itself refuses.
		return fields{"type": "BadOptions", "code": "", "reason": "", "message": err.Error(), "metadata": fields{}}
	}
}

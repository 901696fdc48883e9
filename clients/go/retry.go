package quarterdeck

import (
	"math/rand/v2"
	"sync/atomic"
	"time"
)

const (
	// First and longest pause between two tries.
	backoffFirst = 100 * time.Millisecond
	backoffMax   = 5 * time.Second
	// How long a server that was never reached is tried.
	reachPatience = 3 * time.Second
)

// tries says whether, and after which pause, something that failed is tried again.
type tries struct {
	patience time.Duration
	answered *atomic.Bool
	// From 0 to 1.
	random func() float64
	// When the server began to be away; zero while it is there.
	awaySince time.Time
	// The pause that is due, before its random part.
	due time.Duration
}

func (client *Client) tries(patience time.Duration) *tries {
	return &tries{patience: patience, answered: &client.answered, random: rand.Float64, due: backoffFirst}
}

// pause is the answer for a try that is worth repeating where the failure passes by itself: UNAVAILABLE, nothing else.
func (tries *tries) pause(failure *Error, began, now time.Time) (time.Duration, bool) {
	if failure.Code != unavailable {
		return 0, false
	}
	return tries.next(failure, began, now)
}

// next is the pause before the next try; false where patience would end before.
func (tries *tries) next(failure *Error, began, now time.Time) (time.Duration, bool) {
	// A try that went on for longer than patience was connected for a while.
	if tries.awaySince.IsZero() || now.Sub(began) > tries.patience {
		tries.awaySince = now
		tries.due = backoffFirst
	}
	patience := tries.patience
	if failure.Reason == "" && !tries.answered.Load() {
		patience = min(patience, reachPatience)
	}
	// Half to all of what is due, so that many clients don't come back together.
	pause := tries.due/2 + time.Duration(tries.random()*float64(tries.due/2))
	pause = max(pause, failure.RetryAfter)
	tries.due = min(2*tries.due, backoffMax)
	return pause, now.Sub(tries.awaySince)+pause < patience
}

// reached forgets all failures: the server is there.
func (tries *tries) reached() {
	tries.awaySince = time.Time{}
	tries.due = backoffFirst
}

// Package quarterdeck is the client of Quarterdeck, a gRPC control plane for AI-agent sessions.
//
// A [Client] has one method for each RPC, with the messages of package quarterdeckv1. What this package adds:
//
//   - Calls are safe to repeat: each call that changes something gets its request_id once, before its first try, and is
//     tried again while the server is away (code UNAVAILABLE, nothing else), until its deadline or the client's patience
//     ends.
//   - Streams ([Client.Subscribe], [Client.SubscribeMany], [Client.WatchSessions], [Client.Run], [Client.TailLogs]) are
//     iterators that come back by themselves after any cut. Durable events come once each and in order.
//   - [Client.Chat] gives the text of an answer as it is written, nothing twice and nothing missing; [OnQuestion] answers
//     what the agent asks.
//   - Refusals are *[Error] and can be told apart with errors.Is: [ErrQueueFull], [ErrCursorExpired] and so on.
//
// Iterators pull: an event is decoded when the loop asks for it, and what the loop has not asked for stays in the
// stream's window of 256 KiB. Leaving the loop ends the stream. The context given to a call or an iterator bounds it.
package quarterdeck

import quarterdeckv1 "github.com/quarterdeck/quarterdeck/clients/go/quarterdeck/v1"

// The messages that nearly every program names. All others are in package quarterdeckv1.
type (
	// Event is something that happened in a session.
	Event = quarterdeckv1.GatewayEvent
	// Session is a session as of one position of its log.
	Session = quarterdeckv1.SessionSnapshot
	// SessionState is a session with its newest messages and what its agent is writing.
	SessionState = quarterdeckv1.GetSessionStateResponse
	// Turn is one accepted input and all work that it causes.
	Turn = quarterdeckv1.Turn
	// Cursor is a place in a session's log.
	Cursor = quarterdeckv1.Cursor
	// Question is something that an agent needs from outside before it goes on.
	Question = quarterdeckv1.Question
	// Answer is an answer to a question.
	Answer = quarterdeckv1.Answer
	// LogRecord is one record of the server's log.
	LogRecord = quarterdeckv1.LogRecord
)

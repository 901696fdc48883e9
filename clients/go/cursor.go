package quarterdeck

import quarterdeckv1 "github.com/quarterdeck/quarterdeck/clients/go/quarterdeck/v1"

// position is how far a session's log was handed on. Pure.
type position struct {
	// Unset until the first hello or durable event.
	cursor *Cursor
}

// take moves the position over an event; false where the event was handed on before.
func (position *position) take(event *Event) bool {
	seq, moves := reaches(event, position.cursor == nil)
	if !moves {
		return true
	}
	if position.cursor != nil {
		if event.GetSeq() > 0 && event.GetSeq() <= position.cursor.GetAfterSeq() {
			return false
		}
		seq = max(seq, position.cursor.GetAfterSeq())
	}
	position.cursor = &Cursor{LogId: event.GetLogId(), AfterSeq: seq}
	return true
}

// reaches is the position that an event shows to have been reached; false for one that shows none.
func reaches(event *Event, first bool) (int64, bool) {
	if event.GetSeq() > 0 {
		return event.GetSeq(), true
	}
	switch kind := event.GetKind().(type) {
	case *quarterdeckv1.GatewayEvent_Hello:
		// Where the stream starts.
		return event.GetAfterSeq(), first
	case *quarterdeckv1.GatewayEvent_CaughtUp:
		return kind.CaughtUp.GetSeq(), true
	case *quarterdeckv1.GatewayEvent_Progress:
		return kind.Progress.GetSeq(), true
	default:
		return 0, false
	}
}

package main

import (
	"strings"

	quarterdeck "github.com/quarterdeck/quarterdeck/clients/go"
	quarterdeckv1 "github.com/quarterdeck/quarterdeck/clients/go/quarterdeck/v1"
)

// render is an event as answers hold it.
func render(event *quarterdeck.Event) fields {
	return fields{
		"kind": kindOf(event), "session_key": event.GetSessionKey(), "seq": event.GetSeq(),
		"after_seq": event.GetAfterSeq(), "log_id": event.GetLogId(), "turn_id": event.GetTurnId(), "text": textOf(event),
	}
}

// kindOf is the name of the oneof's field; empty for a kind that this package does not know.
func kindOf(event *quarterdeck.Event) string {
	message := event.ProtoReflect()
	field := message.WhichOneof(message.Descriptor().Oneofs().ByName("kind"))
	if field == nil {
		return ""
	}
	return string(field.Name())
}

func textOf(event *quarterdeck.Event) string {
	switch kind := event.GetKind().(type) {
	case *quarterdeckv1.GatewayEvent_Token:
		return kind.Token.GetDelta()
	case *quarterdeckv1.GatewayEvent_MessageCompleted:
		return kind.MessageCompleted.GetText()
	case *quarterdeckv1.GatewayEvent_TurnEnded:
		return short(kind.TurnEnded.GetTurn().GetState(), "TURN_STATE_")
	default:
		return ""
	}
}

// camel is QUEUE_FULL as QueueFull.
func camel(name string) string {
	var result strings.Builder
	for word := range strings.SplitSeq(name, "_") {
		result.WriteString(word[:1] + strings.ToLower(word[1:]))
	}
	return result.String()
}

// screaming is NotFound as NOT_FOUND.
func screaming(name string) string {
	var result strings.Builder
	for index, letter := range name {
		if index > 0 && letter >= 'A' && letter <= 'Z' {
			result.WriteByte('_')
		}
		result.WriteRune(letter)
	}
	return strings.ToUpper(result.String())
}

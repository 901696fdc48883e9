package quarterdeck

import (
	"strings"
	"testing"

	quarterdeckv1 "github.com/quarterdeck/quarterdeck/clients/go/quarterdeck/v1"
)

func token(item string, offset int64, delta string) *Event {
	return &Event{ItemId: item, Kind: &quarterdeckv1.GatewayEvent_Token{Token: &quarterdeckv1.Token{Offset: offset, Delta: delta}}}
}

func open(kind quarterdeckv1.BlockKind, role quarterdeckv1.Role, offset int64, text string) *Event {
	return &Event{ItemId: "a", Kind: &quarterdeckv1.GatewayEvent_ItemSnapshot{ItemSnapshot: &quarterdeckv1.ItemSnapshot{
		Block: kind, Role: role, Offset: offset, Text: text,
	}}}
}

func openText(offset int64, text string) *Event {
	return open(quarterdeckv1.BlockKind_BLOCK_KIND_TEXT, quarterdeckv1.Role_ROLE_ASSISTANT, offset, text)
}

func completed(role quarterdeckv1.Role, item string, blocks ...string) *Event {
	message := &quarterdeckv1.MessageCompleted{Role: role, Text: strings.Join(blocks, "")}
	for index, text := range blocks {
		message.Blocks = append(message.Blocks, &quarterdeckv1.MessageBlock{ContentIndex: int32(index), Text: text})
	}
	return &Event{ItemId: item, Kind: &quarterdeckv1.GatewayEvent_MessageCompleted{MessageCompleted: message}}
}

func TestAnswersHaveEachByteOnce(t *testing.T) {
	assistant, user := quarterdeckv1.Role_ROLE_ASSISTANT, quarterdeckv1.Role_ROLE_USER
	thinking := open(quarterdeckv1.BlockKind_BLOCK_KIND_THINKING, assistant, 0, "hm")
	for name, test := range map[string]struct {
		events []*Event
		pieces string
	}{
		"deltas": {[]*Event{token("a", 0, "one "), token("a", 4, "two"), completed(assistant, "a", "one two")}, "one |two"},
		"a repeated delta": {
			[]*Event{token("a", 0, "one "), token("a", 0, "one "), token("a", 4, "two")}, "one |two"},
		"only completed": {[]*Event{completed(assistant, "a", "one", "two")}, "one|two"},
		"cut, snapshot, on": {
			[]*Event{token("a", 0, "one "), openText(0, "one two "), token("a", 8, "three"), completed(assistant, "a", "one two three")},
			"one |two |three"},
		"cut, completed meanwhile": {[]*Event{token("a", 0, "one "), completed(assistant, "a", "one two")}, "one |two"},
		"lagging: a gap waits for the snapshot of what was missed": {
			[]*Event{token("a", 0, "one "), token("a", 8, "three"), openText(4, "two three"), token("a", 13, "!")}, "one |two three|!"},
		"lagging: a gap waits for the completed message": {
			[]*Event{token("a", 0, "one "), token("a", 8, "three"), completed(assistant, "a", "one two three")}, "one |two three"},
		"offsets are bytes": {
			[]*Event{token("a", 0, "grüße "), openText(0, "grüße 世"), token("a", 11, "界"), completed(assistant, "a", "grüße 世界!")},
			"grüße |世|界|!"},
		"a delta that begins before": {[]*Event{token("a", 0, "one"), token("a", 1, "ne two")}, "one| two"},
		"a crash kept less than was seen": {
			[]*Event{token("a", 0, "one two"), completed(assistant, "a", "one")}, "one two"},
		"not what others say or what is thought": {
			[]*Event{completed(user, "u", "hello"), thinking, token("a", 0, "one")}, "one"},
		"one item after the other": {
			[]*Event{token("a", 0, "one"), completed(assistant, "a", "one"), token("b", 0, "two"), completed(assistant, "b", "two")}, "one|two"},
	} {
		var answer answer
		var pieces []string
		for _, event := range test.events {
			pieces = append(pieces, answer.take(event)...)
		}
		if given := strings.Join(pieces, "|"); given != test.pieces {
			t.Errorf("%s: %q, not %q", name, given, test.pieces)
		}
	}
}

func TestAnswersForgetCompletedMessages(t *testing.T) {
	var answer answer
	for range 100 {
		answer.take(token("a", 0, "one"))
		answer.take(completed(quarterdeckv1.Role_ROLE_ASSISTANT, "a", "one"))
	}
	if len(answer.given) != 0 {
		t.Errorf("%d blocks are kept", len(answer.given))
	}
}

func TestPositionsPassOverWhatWasHandedOn(t *testing.T) {
	durable := func(seq int64) *Event { return &Event{LogId: "l", Seq: seq} }
	hello := &Event{LogId: "l", AfterSeq: 3, Kind: &quarterdeckv1.GatewayEvent_Hello{Hello: &quarterdeckv1.Hello{HeadSeq: 9}}}
	progress := &Event{LogId: "l", Kind: &quarterdeckv1.GatewayEvent_Progress{Progress: &quarterdeckv1.Progress{Seq: 8}}}
	var position position
	for step, test := range []struct {
		event *Event
		fresh bool
		after int64
	}{
		{hello, true, 3}, {durable(4), true, 4}, {durable(4), false, 4}, {durable(3), false, 4}, {token("a", 0, "x"), true, 4},
		{hello, true, 4}, {durable(5), true, 5}, {progress, true, 8}, {durable(8), false, 8}, {durable(9), true, 9},
	} {
		if fresh := position.take(test.event); fresh != test.fresh || position.cursor.GetAfterSeq() != test.after {
			t.Errorf("step %d: %v after %d", step, fresh, position.cursor.GetAfterSeq())
		}
	}
}

package quarterdeck

import quarterdeckv1 "github.com/quarterdeck/quarterdeck/clients/go/quarterdeck/v1"

// answer puts the text of an answer together from deltas, snapshots and completed messages, in whatever mixture a stream
// that was cut brings them: it knows of each block how many bytes it gave out, and gives out what follows. Pure.
type answer struct {
	// Bytes given out of each block of the messages that are not completed yet.
	given map[blockKey]int
	// Whether anything was given out.
	begun bool
}

// blockKey is a place in a message.
type blockKey struct {
	itemID       string
	contentIndex int32
}

// take gives the pieces of text that an event adds, in order.
func (answer *answer) take(event *Event) []string {
	item := event.GetItemId()
	switch kind := event.GetKind().(type) {
	case *quarterdeckv1.GatewayEvent_Token:
		return answer.add(nil, blockKey{item, kind.Token.GetContentIndex()}, kind.Token.GetOffset(), kind.Token.GetDelta())
	case *quarterdeckv1.GatewayEvent_ItemSnapshot:
		open := kind.ItemSnapshot
		if open.GetBlock() != quarterdeckv1.BlockKind_BLOCK_KIND_TEXT ||
			open.GetRole() != quarterdeckv1.Role_ROLE_ASSISTANT {
			return nil
		}
		return answer.add(nil, blockKey{item, open.GetContentIndex()}, open.GetOffset(), open.GetText())
	case *quarterdeckv1.GatewayEvent_MessageCompleted:
		if kind.MessageCompleted.GetRole() != quarterdeckv1.Role_ROLE_ASSISTANT {
			return nil
		}
		var pieces []string
		for _, whole := range kind.MessageCompleted.GetBlocks() {
			pieces = answer.add(pieces, blockKey{item, whole.GetContentIndex()}, 0, whole.GetText())
		}
		answer.forget(item)
		return pieces
	default:
		return nil
	}
}

// add appends to pieces what of text, which stands at a byte offset of the block, was not given out. Text beyond a gap
// waits for what closes it: a snapshot, or the completed message.
func (answer *answer) add(pieces []string, block blockKey, offset int64, text string) []string {
	given := int64(answer.given[block])
	if offset > given || offset+int64(len(text)) <= given {
		return pieces
	}
	piece := text[given-offset:]
	if answer.given == nil {
		answer.given = map[blockKey]int{}
	}
	answer.given[block] += len(piece)
	answer.begun = true
	return append(pieces, piece)
}

func (answer *answer) forget(item string) {
	for block := range answer.given {
		if block.itemID == item {
			delete(answer.given, block)
		}
	}
}

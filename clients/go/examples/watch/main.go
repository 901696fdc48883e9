// Watch shows what happens in a session, from its beginning, and comes back by itself when the server was away.
//
//	QUARTERDECK_KEY=$(cat quarterdeck-data/admin.key) go run ./examples/watch demo
package main

import (
	"context"
	"errors"
	"fmt"
	"log"
	"os"
	"os/signal"

	quarterdeck "github.com/quarterdeck/quarterdeck/clients/go"
	quarterdeckv1 "github.com/quarterdeck/quarterdeck/clients/go/quarterdeck/v1"
)

func main() {
	log.SetFlags(0)
	if len(os.Args) != 2 {
		log.Fatal("usage: watch SESSION")
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	client, err := quarterdeck.New("")
	if err != nil {
		log.Fatal(err)
	}
	defer client.Close()
	request := &quarterdeckv1.SubscribeRequest{SessionKey: os.Args[1], FromOldest: true}
	cut := quarterdeck.OnCut(func(reason error) { log.Printf("the connection is lost, coming back: %v", reason) })
	for event, err := range client.Subscribe(ctx, request, cut).Events() {
		var void *quarterdeck.CursorError
		switch {
		case errors.As(err, &void):
			fmt.Printf("--- some events are gone; %d messages so far\n", void.State.GetSession().GetMessageCount())
		case errors.Is(err, context.Canceled):
			return
		case err != nil:
			log.Fatal(err)
		default:
			show(event)
		}
	}
}

func show(event *quarterdeck.Event) {
	if event.GetSeq() == 0 {
		return // deltas: what they add up to comes as message_completed
	}
	switch kind := event.GetKind().(type) {
	case *quarterdeckv1.GatewayEvent_MessageStarted:
		if kind.MessageStarted.GetRole() == quarterdeckv1.Role_ROLE_USER {
			fmt.Printf("%6d user: %s\n", event.GetSeq(), kind.MessageStarted.GetText())
		}
	case *quarterdeckv1.GatewayEvent_MessageCompleted:
		fmt.Printf("%6d agent: %s\n", event.GetSeq(), kind.MessageCompleted.GetText())
	case *quarterdeckv1.GatewayEvent_ToolStarted:
		fmt.Printf("%6d tool %s %s\n", event.GetSeq(), kind.ToolStarted.GetToolName(), kind.ToolStarted.GetArgsJson())
	case *quarterdeckv1.GatewayEvent_TurnEnded:
		turn := kind.TurnEnded.GetTurn()
		fmt.Printf("%6d %v %s\n", event.GetSeq(), turn.GetState(), turn.GetError().GetMessage())
	}
}

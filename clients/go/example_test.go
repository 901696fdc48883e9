package quarterdeck_test

import (
	"context"
	"errors"
	"fmt"
	"log"

	quarterdeck "github.com/quarterdeck/quarterdeck/clients/go"
	quarterdeckv1 "github.com/quarterdeck/quarterdeck/clients/go/quarterdeck/v1"
)

// The text of an answer, as it is written.
func ExampleClient_Chat() {
	client, err := quarterdeck.New("") // where and as whom: QUARTERDECK_ADDR and QUARTERDECK_KEY
	if err != nil {
		log.Fatal(err)
	}
	defer client.Close()
	for text, err := range client.Chat(context.Background(), "example-chat", "hello there") {
		if err != nil {
			log.Fatal(err)
		}
		fmt.Print(text)
	}
	// Output: hello there
}

// Everything that happened in a session, from its beginning, and whatever happens next.
func ExampleClient_Subscribe() {
	ctx := context.Background()
	client, err := quarterdeck.New("")
	if err != nil {
		log.Fatal(err)
	}
	defer client.Close()
	request := &quarterdeckv1.EnqueueRequest{SessionKey: "example-subscribe", Text: "hello there"}
	if _, err := client.Enqueue(ctx, request); err != nil {
		log.Fatal(err)
	}
	subscribe := &quarterdeckv1.SubscribeRequest{SessionKey: "example-subscribe", FromOldest: true}
	for event, err := range client.Subscribe(ctx, subscribe).Events() {
		if err != nil {
			log.Fatal(err)
		}
		switch kind := event.GetKind().(type) {
		case *quarterdeckv1.GatewayEvent_MessageCompleted:
			fmt.Println(kind.MessageCompleted.GetRole(), kind.MessageCompleted.GetText())
		case *quarterdeckv1.GatewayEvent_TurnEnded:
			fmt.Println(kind.TurnEnded.GetTurn().GetState())
			return
		}
	}
	// Output:
	// ROLE_ASSISTANT hello there
	// TURN_STATE_COMPLETED
}

// Several sessions in one stream.
func ExampleClient_SubscribeMany() {
	ctx := context.Background()
	client, err := quarterdeck.New("")
	if err != nil {
		log.Fatal(err)
	}
	defer client.Close()
	subscription := client.SubscribeMany(ctx, &quarterdeckv1.SubscribeManyRequest{
		Filter: &quarterdeckv1.SessionFilter{KeyPrefix: "team-"},
	})
	for event, err := range subscription.Events() {
		var void *quarterdeck.CursorError
		switch {
		case errors.As(err, &void):
			// Retention took events before we read them: show the session as it is. What comes after it follows.
			fmt.Println(void.SessionKey, void.State.GetMessages())
		case err != nil:
			log.Fatal(err)
		default:
			fmt.Println(event.GetSessionKey(), event.GetSeq())
		}
	}
}

// A refusal says why.
func ExampleError() {
	client, err := quarterdeck.New("")
	if err != nil {
		log.Fatal(err)
	}
	defer client.Close()
	_, err = client.Steer(context.Background(), &quarterdeckv1.SteerRequest{SessionKey: "nobody", Text: "hello"})
	var failure *quarterdeck.Error
	switch {
	case errors.Is(err, quarterdeck.ErrSessionNotFound):
		errors.As(err, &failure)
		fmt.Println("no session", failure.Metadata["session_key"])
	case err != nil:
		log.Fatal(err)
	}
	// Output: no session nobody
}

// Chat talks to an agent: each line is a prompt, and Ctrl-C stops the answer that is being written.
//
//	QUARTERDECK_KEY=$(cat quarterdeck-data/admin.key) go run ./examples/chat demo
package main

import (
	"bufio"
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
		log.Fatal("usage: chat SESSION")
	}
	client, err := quarterdeck.New("")
	if err != nil {
		log.Fatal(err)
	}
	defer client.Close()
	session := os.Args[1]
	lines := bufio.NewScanner(os.Stdin)
	for fmt.Print("> "); lines.Scan(); fmt.Print("> ") {
		if lines.Text() != "" {
			answer(client, session, lines.Text())
		}
	}
}

// answer prints what the agent says. Ctrl-C stops the turn, and the loop sees its end.
func answer(client *quarterdeck.Client, session, prompt string) {
	interrupts := make(chan os.Signal, 1)
	signal.Notify(interrupts, os.Interrupt)
	defer signal.Stop(interrupts)
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	go func() {
		select {
		case <-interrupts:
			if _, err := client.Abort(ctx, &quarterdeckv1.AbortRequest{SessionKey: session}); err != nil {
				log.Print(err)
			}
		case <-ctx.Done():
		}
	}()
	for text, err := range client.Chat(ctx, session, prompt) {
		var failed *quarterdeck.TurnFailedError
		switch {
		case errors.As(err, &failed):
			fmt.Printf(" [%s: %s]", failed.Reason, failed.Message)
		case err != nil:
			log.Fatal(err)
		default:
			fmt.Print(text)
		}
	}
	fmt.Println()
}

package quarterdeck

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	quarterdeckv1 "github.com/quarterdeck/quarterdeck/clients/go/quarterdeck/v1"
)

// QuestionHandler gives the answer to a question of an agent, made with [Allow], [Deny], [Decline], [Content] or
// [ToolFailed]. A nil answer leaves the question to somebody else. An error ends the loop with that error; the question
// stays pending.
type QuestionHandler func(context.Context, *Question) (*Answer, error)

// OnQuestion has what an agent asks answered while its turn is followed, by [Client.Run] and [Client.ChatWith]. The handler
// is called once with each question that waits for somebody, such as whether a tool may run; one of kind TOOL_CALL asks the
// caller to run a tool. Its answer is sent with the question's action_digest; that somebody else was faster is no error.
// The event that asks, and what follows it, comes after the handler's answer.
func OnQuestion(handler QuestionHandler) StreamOption {
	return func(chosen *streamSettings) { chosen.onQuestion = handler }
}

// Allow lets the tool of a permission run this once; of a link it says that its visit is done. It is an error where the
// question offers no such option.
func Allow(question *Question) (*Answer, error) {
	link := question.GetKind() == quarterdeckv1.QuestionKind_QUESTION_KIND_LINK
	for _, option := range question.GetOptions() {
		if option.GetEffect() == quarterdeckv1.OptionEffect_OPTION_EFFECT_ALLOW_ONCE ||
			link && option.GetOptionId() == "done" {
			return &Answer{OptionId: option.GetOptionId()}, nil
		}
	}
	return nil, fmt.Errorf("the question %s offers nothing that allows once", question.GetQuestionId())
}

// Deny denies the tool of a permission this once. It declines where the question offers no such option.
func Deny(question *Question) *Answer {
	for _, option := range question.GetOptions() {
		if option.GetEffect() == quarterdeckv1.OptionEffect_OPTION_EFFECT_DENY_ONCE {
			return &Answer{OptionId: option.GetOptionId()}
		}
	}
	return Decline()
}

// Decline says that nobody wants to answer: the agent goes on without.
func Decline() *Answer { return &Answer{Declined: true} }

// Content holds the values of a form, or the result of a tool that the caller runs: anything that encoding/json takes, at
// most 256 KiB of it.
func Content(value any) (*Answer, error) {
	text, err := json.Marshal(value)
	if err != nil {
		return nil, err
	}
	return &Answer{ContentJson: string(text)}, nil
}

// ToolFailed says that the tool which the caller runs failed, and how: anything that encoding/json takes.
func ToolFailed(value any) (*Answer, error) {
	answer, err := Content(value)
	if err == nil {
		answer.IsError = true
	}
	return answer, err
}

// answering calls a handler once with each question of a turn that waits for somebody.
type answering struct {
	client  *Client
	handler QuestionHandler
	// Those that are pending; the server bounds how many a turn has.
	asked map[string]bool
}

// take looks at an event, and answers where it asks.
func (answering *answering) take(ctx context.Context, event *Event) error {
	if answering.handler == nil {
		return nil
	}
	delete(answering.asked, event.GetQuestionResolved().GetQuestionId())
	question := event.GetQuestionAsked().GetQuestion()
	if question == nil {
		question = event.GetQuestionPending().GetQuestion()
	}
	// With a rule it is decided in the same moment.
	if question == nil || question.GetPolicyRule() != "" || answering.asked[question.GetQuestionId()] {
		return nil
	}
	if answering.asked == nil {
		answering.asked = map[string]bool{}
	}
	answering.asked[question.GetQuestionId()] = true
	return answering.answer(ctx, question)
}

func (answering *answering) answer(ctx context.Context, seen *Question) error {
	question := seen
	if seen.GetArgsFullSize() > 0 {
		whole, err := answering.client.GetQuestion(ctx, &quarterdeckv1.GetQuestionRequest{
			SessionKey: seen.GetSessionKey(), QuestionId: seen.GetQuestionId(),
		})
		if err != nil {
			return err
		}
		question = whole.GetQuestion()
	}
	answer, err := answering.handler(ctx, question)
	if err != nil || answer == nil {
		return err
	}
	_, err = answering.client.AnswerQuestion(ctx, &quarterdeckv1.AnswerQuestionRequest{
		SessionKey: seen.GetSessionKey(), QuestionId: seen.GetQuestionId(),
		Answer: answer, ActionDigest: seen.GetActionDigest(),
	})
	if errors.Is(err, ErrAlreadyAnswered) {
		// Somebody else was faster.
		return nil
	}
	return err
}

package main

import (
	"context"

	quarterdeck "github.com/quarterdeck/quarterdeck/clients/go"
	quarterdeckv1 "github.com/quarterdeck/quarterdeck/clients/go/quarterdeck/v1"
)

// handler answers questions as the request's `answers` say, and notes which came.
type handler struct {
	client    *client
	answers   map[string]any
	questions []fields
}

func (handler *handler) answer(ctx context.Context, question *quarterdeck.Question) (*quarterdeck.Answer, error) {
	handler.questions = append(handler.questions, show(question))
	switch wanted := handler.answers[short(question.GetKind(), "QUESTION_KIND_")].(type) {
	case string:
		return handler.say(ctx, wanted, question)
	case fields:
		if wanted["is_error"] == true {
			return quarterdeck.ToolFailed(wanted["content"])
		}
		return quarterdeck.Content(wanted["content"])
	default:
		return nil, nil
	}
}

func (handler *handler) say(
	ctx context.Context, word string, question *quarterdeck.Question,
) (*quarterdeck.Answer, error) {
	switch word {
	case "allow":
		return quarterdeck.Allow(question)
	case "deny":
		return quarterdeck.Deny(question), nil
	case "decline":
		return quarterdeck.Decline(), nil
	default:
		// Somebody else is faster.
		allowed, err := quarterdeck.Allow(question)
		if err != nil {
			return nil, err
		}
		_, err = handler.client.AnswerQuestion(ctx, &quarterdeckv1.AnswerQuestionRequest{
			SessionKey: question.GetSessionKey(), QuestionId: question.GetQuestionId(), Answer: allowed,
		})
		return quarterdeck.Deny(question), err
	}
}

// show is a question as answers hold it.
func show(question *quarterdeck.Question) fields {
	options := []string{}
	for _, option := range question.GetOptions() {
		options = append(options, option.GetOptionId())
	}
	return fields{
		"question_id": question.GetQuestionId(), "session_key": question.GetSessionKey(),
		"turn_id": question.GetTurnId(), "kind": short(question.GetKind(), "QUESTION_KIND_"),
		"state": short(question.GetState(), "QUESTION_STATE_"), "title": question.GetTitle(),
		"tool_name": question.GetToolName(), "args_json": question.GetArgsJson(),
		"action_digest": question.GetActionDigest(), "options": options, "url": question.GetUrl(),
		"content_json": question.GetAnswer().GetContentJson(), "answered_by": question.GetAnsweredBy(),
		"resolution": short(question.GetResolution(), "QUESTION_RESOLUTION_"),
	}
}

func showAll(questions []*quarterdeck.Question) []fields {
	all := []fields{}
	for _, question := range questions {
		all = append(all, show(question))
	}
	return all
}

package quarterdeck

import (
	"testing"

	quarterdeckv1 "github.com/quarterdeck/quarterdeck/clients/go/quarterdeck/v1"
)

func permission(effects ...quarterdeckv1.OptionEffect) *Question {
	question := &Question{Kind: quarterdeckv1.QuestionKind_QUESTION_KIND_PERMISSION}
	for _, effect := range effects {
		option := &quarterdeckv1.QuestionOption{OptionId: effect.String(), Effect: effect}
		question.Options = append(question.Options, option)
	}
	return question
}

func TestAnswersChooseWhatHoldsOnce(t *testing.T) {
	question := permission(
		quarterdeckv1.OptionEffect_OPTION_EFFECT_ALLOW_ALWAYS, quarterdeckv1.OptionEffect_OPTION_EFFECT_ALLOW_ONCE,
		quarterdeckv1.OptionEffect_OPTION_EFFECT_DENY_ALWAYS, quarterdeckv1.OptionEffect_OPTION_EFFECT_DENY_ONCE,
	)
	if answer, err := Allow(question); err != nil || answer.GetOptionId() != "OPTION_EFFECT_ALLOW_ONCE" {
		t.Error(answer, err)
	}
	if answer := Deny(question); answer.GetOptionId() != "OPTION_EFFECT_DENY_ONCE" {
		t.Error(answer)
	}
}

func TestAnswersThatAreNotOffered(t *testing.T) {
	question := permission(quarterdeckv1.OptionEffect_OPTION_EFFECT_ALLOW_ALWAYS)
	if answer, err := Allow(question); err == nil {
		t.Error(answer)
	}
	if answer := Deny(question); !answer.GetDeclined() {
		t.Error(answer)
	}
	if answer, err := Content(func() {}); err == nil {
		t.Error(answer)
	}
	if answer, err := ToolFailed("no such city"); err != nil || !answer.GetIsError() || answer.GetContentJson() != `"no such city"` {
		t.Error(answer, err)
	}
}

package dev.quarterdeck.client;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;

import dev.quarterdeck.v1.OptionEffect;
import dev.quarterdeck.v1.Question;
import dev.quarterdeck.v1.QuestionKind;
import dev.quarterdeck.v1.QuestionOption;
import org.junit.jupiter.api.Test;

/** What the helpers choose of what a question offers. */
class AnswersTest {
    private static Question permission(OptionEffect... effects) {
        Question.Builder question = Question.newBuilder().setKind(QuestionKind.QUESTION_KIND_PERMISSION);
        for (OptionEffect effect : effects) {
            question.addOptions(
                    QuestionOption.newBuilder().setOptionId(effect.name()).setEffect(effect));
        }
        return question.build();
    }

    @Test
    void allowAndDenyChooseWhatHoldsOnce() {
        Question question = permission(
                OptionEffect.OPTION_EFFECT_ALLOW_ALWAYS,
                OptionEffect.OPTION_EFFECT_ALLOW_ONCE,
                OptionEffect.OPTION_EFFECT_DENY_ALWAYS,
                OptionEffect.OPTION_EFFECT_DENY_ONCE);
        assertEquals("OPTION_EFFECT_ALLOW_ONCE", Answers.allow(question).getOptionId());
        assertEquals("OPTION_EFFECT_DENY_ONCE", Answers.deny(question).getOptionId());
    }

    @Test
    void whatIsNotOfferedIsNotChosen() {
        Question question = permission(OptionEffect.OPTION_EFFECT_ALLOW_ALWAYS);
        assertThrows(IllegalArgumentException.class, () -> Answers.allow(question));
        assertEquals(Answers.decline(), Answers.deny(question));
    }
}

package dev.quarterdeck.client;

import dev.quarterdeck.v1.Answer;
import dev.quarterdeck.v1.OptionEffect;
import dev.quarterdeck.v1.Question;
import dev.quarterdeck.v1.QuestionKind;
import dev.quarterdeck.v1.QuestionOption;
import java.util.Optional;
import java.util.function.Predicate;

/** Makes answers to what agents ask, for {@link QuestionHandler} and {@link GatewayCalls#answerQuestion}. */
public final class Answers {
    private Answers() {}

    /**
     * Lets the tool of a permission run this once; of a link it says that its visit is done. Throws
     * {@link IllegalArgumentException} where the question offers no such option.
     */
    public static Answer allow(Question question) {
        boolean link = question.getKind() == QuestionKind.QUESTION_KIND_LINK;
        return choose(
                        question,
                        option -> option.getEffect() == OptionEffect.OPTION_EFFECT_ALLOW_ONCE
                                || (link && option.getOptionId().equals("done")))
                .orElseThrow(() -> new IllegalArgumentException(
                        "the question " + question.getQuestionId() + " offers nothing that allows once"));
    }

    /** Denies the tool of a permission this once. Declines where the question offers no such option. */
    public static Answer deny(Question question) {
        return choose(question, option -> option.getEffect() == OptionEffect.OPTION_EFFECT_DENY_ONCE)
                .orElseGet(Answers::decline);
    }

    /** Nobody wants to answer: the agent goes on without. */
    public static Answer decline() {
        return Answer.newBuilder().setDeclined(true).build();
    }

    /** The values of a form, or the result of a tool that the caller runs: JSON text, at most 256 KiB. */
    public static Answer content(String json) {
        return Answer.newBuilder().setContentJson(json).build();
    }

    /** The tool that the caller runs failed; the JSON text, at most 256 KiB, says how. */
    public static Answer toolFailed(String json) {
        return Answer.newBuilder().setContentJson(json).setIsError(true).build();
    }

    private static Optional<Answer> choose(Question question, Predicate<QuestionOption> fits) {
        return question.getOptionsList().stream()
                .filter(fits)
                .findFirst()
                .map(option ->
                        Answer.newBuilder().setOptionId(option.getOptionId()).build());
    }
}

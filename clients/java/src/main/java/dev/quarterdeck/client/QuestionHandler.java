package dev.quarterdeck.client;

import dev.quarterdeck.v1.Answer;
import dev.quarterdeck.v1.Question;
import java.util.Optional;

/**
 * Answers what an agent asks while its turn is followed. It is called once with each question that waits for somebody, such
 * as whether a tool may run, by the thread that reads; a question of kind TOOL_CALL asks the caller to run a tool. The event
 * that asks, and what follows it, comes after its answer.
 *
 * <p>The answer is sent with the question's {@code action_digest}; that somebody else was faster is no error. What it throws
 * is thrown to the reader, and the question stays pending.
 */
@FunctionalInterface
public interface QuestionHandler {
    /** The answer, made with {@link Answers}; empty leaves the question to somebody else. */
    Optional<Answer> answer(Question question);
}

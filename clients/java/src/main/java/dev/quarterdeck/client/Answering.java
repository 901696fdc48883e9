package dev.quarterdeck.client;

import dev.quarterdeck.v1.AnswerQuestionRequest;
import dev.quarterdeck.v1.GatewayEvent;
import dev.quarterdeck.v1.GetQuestionRequest;
import dev.quarterdeck.v1.Question;
import java.util.HashSet;
import java.util.Set;
import java.util.function.Consumer;

/** Calls a handler once with each question that waits for somebody, and sends what it gives. */
final class Answering implements Consumer<GatewayEvent> {
    private final GatewayCalls calls;
    private final QuestionHandler handler;
    /** Questions that are pending; the server bounds how many a turn has. */
    private final Set<String> asked = new HashSet<>();

    Answering(GatewayCalls calls, QuestionHandler handler) {
        this.calls = calls;
        this.handler = handler;
    }

    /** Looks at an event, and answers where it asks. */
    @Override
    public void accept(GatewayEvent event) {
        switch (event.getKindCase()) {
            case QUESTION_ASKED -> asked(event.getQuestionAsked().getQuestion());
            case QUESTION_PENDING -> asked(event.getQuestionPending().getQuestion());
            case QUESTION_RESOLVED -> asked.remove(event.getQuestionResolved().getQuestionId());
            default -> {}
        }
    }

    private void asked(Question question) {
        // With a rule it is decided in the same moment.
        if (question.getPolicyRule().isEmpty() && asked.add(question.getQuestionId())) {
            handler.answer(question.getArgsFullSize() > 0 ? whole(question) : question)
                    .ifPresent(answer -> send(AnswerQuestionRequest.newBuilder()
                            .setSessionKey(question.getSessionKey())
                            .setQuestionId(question.getQuestionId())
                            .setActionDigest(question.getActionDigest())
                            .setAnswer(answer)
                            .build()));
        }
    }

    private void send(AnswerQuestionRequest request) {
        try {
            calls.answerQuestion(request);
        } catch (Refusal.AlreadyAnswered faster) {
            // By somebody else, which is as good.
        }
    }

    private Question whole(Question question) {
        GetQuestionRequest request = GetQuestionRequest.newBuilder()
                .setSessionKey(question.getSessionKey())
                .setQuestionId(question.getQuestionId())
                .build();
        return calls.getQuestion(request).getQuestion();
    }
}

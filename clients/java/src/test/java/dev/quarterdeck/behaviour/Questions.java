package dev.quarterdeck.behaviour;

import com.google.gson.JsonArray;
import com.google.gson.JsonElement;
import com.google.gson.JsonObject;
import dev.quarterdeck.client.Answers;
import dev.quarterdeck.client.QuarterdeckClient;
import dev.quarterdeck.client.QuestionHandler;
import dev.quarterdeck.v1.Answer;
import dev.quarterdeck.v1.AnswerQuestionRequest;
import dev.quarterdeck.v1.AnswerQuestionResponse;
import dev.quarterdeck.v1.GetQuestionRequest;
import dev.quarterdeck.v1.ListQuestionsRequest;
import dev.quarterdeck.v1.Question;
import dev.quarterdeck.v1.QuestionState;
import java.util.List;
import java.util.Optional;

/** What agents ask, and the answers to it. */
final class Questions {
    private Questions() {}

    static JsonObject list(QuarterdeckClient client, Request request) {
        ListQuestionsRequest.Builder list =
                ListQuestionsRequest.newBuilder().setSessionKey(request.text("session_key"));
        request.texts("states").forEach(state -> list.addStates(QuestionState.valueOf("QUESTION_STATE_" + state)));
        JsonObject json = new JsonObject();
        json.add("questions", shown(client.gateway().listQuestions(list.build()).getQuestionsList()));
        return json;
    }

    static JsonObject get(QuarterdeckClient client, Request request) {
        GetQuestionRequest get = GetQuestionRequest.newBuilder()
                .setSessionKey(request.text("session_key"))
                .setQuestionId(request.text("question_id"))
                .build();
        return shown(client.gateway().getQuestion(get).getQuestion());
    }

    static JsonObject answer(QuarterdeckClient client, Request request) {
        AnswerQuestionResponse response = client.gateway()
                .answerQuestion(AnswerQuestionRequest.newBuilder()
                        .setSessionKey(request.text("session_key"))
                        .setQuestionId(request.text("question_id"))
                        .setAnswer(Answer.newBuilder()
                                .setOptionId(request.text("option_id"))
                                .setContentJson(request.text("content_json"))
                                .setDeclined(request.flag("declined")))
                        .setActionDigest(request.text("action_digest"))
                        .setRequestId(request.text("request_id"))
                        .build());
        JsonObject json = new JsonObject();
        json.add("state", shown(response.getQuestion()).get("state"));
        json.addProperty("replayed", response.getReplayed());
        return json;
    }

    static JsonArray shown(List<Question> questions) {
        JsonArray array = new JsonArray();
        questions.forEach(question -> array.add(shown(question)));
        return array;
    }

    private static JsonObject shown(Question question) {
        JsonArray options = new JsonArray();
        question.getOptionsList().forEach(option -> options.add(option.getOptionId()));
        JsonObject json = new JsonObject();
        json.addProperty("question_id", question.getQuestionId());
        json.addProperty("session_key", question.getSessionKey());
        json.addProperty("turn_id", question.getTurnId());
        json.addProperty("kind", Rendering.name(question.getKind(), "QUESTION_KIND"));
        json.addProperty("state", Rendering.name(question.getState(), "QUESTION_STATE"));
        json.addProperty("title", question.getTitle());
        json.addProperty("tool_name", question.getToolName());
        json.addProperty("args_json", question.getArgsJson());
        json.addProperty("action_digest", question.getActionDigest());
        json.add("options", options);
        json.addProperty("url", question.getUrl());
        json.addProperty("content_json", question.getAnswer().getContentJson());
        json.addProperty("answered_by", question.getAnsweredBy());
        json.addProperty("resolution", Rendering.name(question.getResolution(), "QUESTION_RESOLUTION"));
        return json;
    }

    /** Answers questions as the request's {@code answers} say, and notes which came. */
    static final class Handler implements QuestionHandler {
        private final QuarterdeckClient client;
        private final JsonObject answers;
        private final JsonArray seen = new JsonArray();

        Handler(QuarterdeckClient client, Request request) {
            this.client = client;
            this.answers =
                    request.maybe("answers").map(JsonElement::getAsJsonObject).orElseGet(JsonObject::new);
        }

        JsonArray seen() {
            return seen;
        }

        @Override
        public Optional<Answer> answer(Question question) {
            seen.add(shown(question));
            JsonElement wanted = answers.get(Rendering.name(question.getKind(), "QUESTION_KIND"));
            if (wanted == null) {
                return Optional.empty();
            }
            return Optional.of(wanted.isJsonObject() ? content(wanted.getAsJsonObject()) : word(wanted, question));
        }

        private static Answer content(JsonObject wanted) {
            String json = wanted.get("content").toString();
            return wanted.has("is_error") ? Answers.toolFailed(json) : Answers.content(json);
        }

        private Answer word(JsonElement wanted, Question question) {
            return switch (wanted.getAsString()) {
                case "allow" -> Answers.allow(question);
                case "deny" -> Answers.deny(question);
                case "decline" -> Answers.decline();
                default -> {
                    // Somebody else is faster.
                    client.gateway()
                            .answerQuestion(AnswerQuestionRequest.newBuilder()
                                    .setSessionKey(question.getSessionKey())
                                    .setQuestionId(question.getQuestionId())
                                    .setAnswer(Answers.allow(question))
                                    .build());
                    yield Answers.deny(question);
                }
            };
        }
    }
}

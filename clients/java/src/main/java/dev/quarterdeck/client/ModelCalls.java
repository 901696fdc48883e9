package dev.quarterdeck.client;

import dev.quarterdeck.v1.ListModelsRequest;
import dev.quarterdeck.v1.ListModelsResponse;
import dev.quarterdeck.v1.ModelServiceGrpc;
import dev.quarterdeck.v1.SetModelRequest;
import dev.quarterdeck.v1.SetModelResponse;
import dev.quarterdeck.v1.SetThinkingLevelRequest;
import dev.quarterdeck.v1.SetThinkingLevelResponse;

/** The calls of {@code ModelService}: models and thinking levels of agents, and which of them a session uses. */
public final class ModelCalls {
    private final Calls calls;

    ModelCalls(Calls calls) {
        this.calls = calls;
    }

    /** What a session's agent offers, or a named one, and what is in use. */
    public ListModelsResponse listModels(ListModelsRequest request) {
        return calls.unary(ModelServiceGrpc.getListModelsMethod(), request);
    }

    /**
     * Chooses a session's model, from the next start of a turn on; an empty one gives the choice back. Known not to exist:
     * NOT_FOUND, {@code MODEL_NOT_FOUND}.
     */
    public SetModelResponse setModel(SetModelRequest request) {
        return calls.unary(ModelServiceGrpc.getSetModelMethod(), request);
    }

    /**
     * Chooses a session's thinking level, from the next start of a turn on; an empty one gives the choice back. Known not to
     * be offered: INVALID_ARGUMENT, which lists those that are.
     */
    public SetThinkingLevelResponse setThinkingLevel(SetThinkingLevelRequest request) {
        return calls.unary(ModelServiceGrpc.getSetThinkingLevelMethod(), request);
    }
}

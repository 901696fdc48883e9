package dev.quarterdeck.client;

import dev.quarterdeck.v1.ListModelsRequest;
import dev.quarterdeck.v1.ListModelsResponse;
import dev.quarterdeck.v1.ListRoutesRequest;
import dev.quarterdeck.v1.ListRoutesResponse;
import dev.quarterdeck.v1.ModelServiceGrpc;
import dev.quarterdeck.v1.ResolveRouteRequest;
import dev.quarterdeck.v1.ResolveRouteResponse;
import dev.quarterdeck.v1.SetModelRequest;
import dev.quarterdeck.v1.SetModelResponse;
import dev.quarterdeck.v1.SetRoutesRequest;
import dev.quarterdeck.v1.SetRoutesResponse;
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

    /** A tenant's routes in their order. Needs {@code admin.config}. */
    public ListRoutesResponse listRoutes(ListRoutesRequest request) {
        return calls.unary(ModelServiceGrpc.getListRoutesMethod(), request);
    }

    /**
     * Replaces a tenant's routes, all of them. Changed since the request's etag: ABORTED, {@code ROUTES_CHANGED}. Needs
     * {@code admin.config}.
     */
    public SetRoutesResponse setRoutes(SetRoutesRequest request) {
        return calls.unary(ModelServiceGrpc.getSetRoutesMethod(), request);
    }

    /** What the routes would do with a turn; nothing is sent. Needs {@code admin.config}. */
    public ResolveRouteResponse resolveRoute(ResolveRouteRequest request) {
        return calls.unary(ModelServiceGrpc.getResolveRouteMethod(), request);
    }
}

package dev.quarterdeck.client;

import dev.quarterdeck.v1.AdminServiceGrpc;
import dev.quarterdeck.v1.BroadcastReloadRequest;
import dev.quarterdeck.v1.BroadcastReloadResponse;
import dev.quarterdeck.v1.CreateApiKeyRequest;
import dev.quarterdeck.v1.CreateApiKeyResponse;
import dev.quarterdeck.v1.DeleteBudgetRequest;
import dev.quarterdeck.v1.DeleteBudgetResponse;
import dev.quarterdeck.v1.ExchangeCredentialRequest;
import dev.quarterdeck.v1.ExchangeCredentialResponse;
import dev.quarterdeck.v1.GetConfigRequest;
import dev.quarterdeck.v1.GetConfigResponse;
import dev.quarterdeck.v1.GetServerInfoRequest;
import dev.quarterdeck.v1.GetServerInfoResponse;
import dev.quarterdeck.v1.GetUsageRequest;
import dev.quarterdeck.v1.GetUsageResponse;
import dev.quarterdeck.v1.ListAgentsRequest;
import dev.quarterdeck.v1.ListAgentsResponse;
import dev.quarterdeck.v1.ListApiKeysRequest;
import dev.quarterdeck.v1.ListApiKeysResponse;
import dev.quarterdeck.v1.ListBudgetsRequest;
import dev.quarterdeck.v1.ListBudgetsResponse;
import dev.quarterdeck.v1.ListChannelsRequest;
import dev.quarterdeck.v1.ListChannelsResponse;
import dev.quarterdeck.v1.LogRecord;
import dev.quarterdeck.v1.RevokeApiKeyRequest;
import dev.quarterdeck.v1.RevokeApiKeyResponse;
import dev.quarterdeck.v1.SetBudgetRequest;
import dev.quarterdeck.v1.SetBudgetResponse;
import dev.quarterdeck.v1.TailLogsRequest;
import dev.quarterdeck.v1.UpdateConfigRequest;
import dev.quarterdeck.v1.UpdateConfigResponse;
import dev.quarterdeck.v1.WhoAmIRequest;
import dev.quarterdeck.v1.WhoAmIResponse;

/** The calls of {@code AdminService}: the server, its configuration, and who may call. */
public final class AdminCalls {
    private final Calls calls;

    AdminCalls(Calls calls) {
        this.calls = calls;
    }

    /**
     * Follows the server's log records, over lost connections. Where the server was started again, or no longer keeps what
     * comes next, reading throws {@link Refusal.LogChanged} or {@link Refusal.CursorExpired}; who goes on gets the records
     * that are kept. Needs {@code admin.logs}.
     */
    public Subscription<LogRecord> tailLogs(TailLogsRequest request) {
        return new Subscription<>(calls, new LogRecords(calls, request));
    }

    /** What runs here: version, limits, agents, retention. Needs any valid credential. */
    public GetServerInfoResponse getServerInfo(GetServerInfoRequest request) {
        return calls.unary(AdminServiceGrpc.getGetServerInfoMethod(), request);
    }

    /** Every configured agent and what it can do. Needs any valid credential. */
    public ListAgentsResponse listAgents(ListAgentsRequest request) {
        return calls.unary(AdminServiceGrpc.getListAgentsMethod(), request);
    }

    /** Who the caller is, and what it may do. Needs any valid credential. */
    public WhoAmIResponse whoAmI(WhoAmIRequest request) {
        return calls.unary(AdminServiceGrpc.getWhoAmIMethod(), request);
    }

    /**
     * Reads the configuration: the keys of an allow-list, never a secret, a command or an environment. Needs {@code
     * admin.config}.
     */
    public GetConfigResponse getConfig(GetConfigRequest request) {
        return calls.unary(AdminServiceGrpc.getGetConfigMethod(), request);
    }

    /**
     * Changes keys that are safe at run time, all of them or none, and keeps them over restarts. A key that is not
     * one of those, or a value out of its bounds, is INVALID_ARGUMENT. Needs {@code admin.config}.
     */
    public UpdateConfigResponse updateConfig(UpdateConfigRequest request) {
        return calls.unary(AdminServiceGrpc.getUpdateConfigMethod(), request);
    }

    /** Who is connected and listening: every open stream of the caller's tenant. Needs {@code admin.logs}. */
    public ListChannelsResponse listChannels(ListChannelsRequest request) {
        return calls.unary(AdminServiceGrpc.getListChannelsMethod(), request);
    }

    /**
     * Tells every listening client of the caller's tenant to read again what it keeps (event {@code reload}), and
     * lets agents begin their next turn with a fresh process and present settings. Running turns are not touched.
     * Needs {@code tenant.sessions}.
     */
    public BroadcastReloadResponse broadcastReload(BroadcastReloadRequest request) {
        return calls.unary(AdminServiceGrpc.getBroadcastReloadMethod(), request);
    }

    /**
     * Makes an API key, whose secret is shown in this answer and never again. Its scopes must be among the caller's. A
     * key that was made with a key never outlives it, and is revoked with it. Needs {@code admin.keys}.
     */
    public CreateApiKeyResponse createApiKey(CreateApiKeyRequest request) {
        return calls.unary(AdminServiceGrpc.getCreateApiKeyMethod(), request);
    }

    /** Lists the API keys of a tenant, newest first, without secrets. Needs {@code admin.keys}. */
    public ListApiKeysResponse listApiKeys(ListApiKeysRequest request) {
        return calls.unary(AdminServiceGrpc.getListApiKeysMethod(), request);
    }

    /**
     * Revokes an API key, and the keys that were made with it: calls with them are refused at once, their open streams
     * end with UNAUTHENTICATED within 5 s, and their waiting turns are not started. Unknown keys are NOT_FOUND, {@code
     * API_KEY_NOT_FOUND}; repeating it is OK. Needs {@code admin.keys}.
     */
    public RevokeApiKeyResponse revokeApiKey(RevokeApiKeyRequest request) {
        return calls.unary(AdminServiceGrpc.getRevokeApiKeyMethod(), request);
    }

    /**
     * Gives the caller a credential in place of its own that ends after 12 hours at most, has the same scopes but for
     * {@code admin.keys}, and dies with the key or token that it was exchanged for. Needs an API key or a token.
     */
    public ExchangeCredentialResponse exchangeCredential(ExchangeCredentialRequest request) {
        return calls.unary(AdminServiceGrpc.getExchangeCredentialMethod(), request);
    }

    /**
     * What was used, summed up by group. Shows sessions of the caller's own, and with {@code tenant.sessions} all of its
     * tenant; sums outlive their sessions. Needs {@code session.read}.
     */
    public GetUsageResponse getUsage(GetUsageRequest request) {
        return calls.unary(AdminServiceGrpc.getGetUsageMethod(), request);
    }

    /** Sets a budget, all of it: what was used in its present period before counts. Needs {@code budget.write}. */
    public SetBudgetResponse setBudget(SetBudgetRequest request) {
        return calls.unary(AdminServiceGrpc.getSetBudgetMethod(), request);
    }

    /** Lists the budgets of a tenant, and what of them is used. Needs {@code budget.write}. */
    public ListBudgetsResponse listBudgets(ListBudgetsRequest request) {
        return calls.unary(AdminServiceGrpc.getListBudgetsMethod(), request);
    }

    /** Takes a budget away; where there is none, that is fine. Needs {@code budget.write}. */
    public DeleteBudgetResponse deleteBudget(DeleteBudgetRequest request) {
        return calls.unary(AdminServiceGrpc.getDeleteBudgetMethod(), request);
    }
}

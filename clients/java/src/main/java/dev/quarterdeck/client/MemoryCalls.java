package dev.quarterdeck.client;

import dev.quarterdeck.v1.ForgetRequest;
import dev.quarterdeck.v1.ForgetResponse;
import dev.quarterdeck.v1.GetMemoryRequest;
import dev.quarterdeck.v1.GetMemoryResponse;
import dev.quarterdeck.v1.GetMemoryStatusRequest;
import dev.quarterdeck.v1.GetMemoryStatusResponse;
import dev.quarterdeck.v1.ImportMemoriesRequest;
import dev.quarterdeck.v1.ImportMemoriesResponse;
import dev.quarterdeck.v1.ListCoreMemoriesRequest;
import dev.quarterdeck.v1.ListCoreMemoriesResponse;
import dev.quarterdeck.v1.ListMemoriesRequest;
import dev.quarterdeck.v1.ListMemoriesResponse;
import dev.quarterdeck.v1.MemoryServiceGrpc;
import dev.quarterdeck.v1.RebuildMemoryRequest;
import dev.quarterdeck.v1.RebuildMemoryResponse;
import dev.quarterdeck.v1.RememberRequest;
import dev.quarterdeck.v1.RememberResponse;
import dev.quarterdeck.v1.SearchMemoryRequest;
import dev.quarterdeck.v1.SearchMemoryResponse;

/** The calls of {@code MemoryService}: what agents and callers remember. */
public final class MemoryCalls {
    private final Calls calls;

    MemoryCalls(Calls calls) {
        this.calls = calls;
    }

    /**
     * Counts of one scope; health of index and embeddings; the rebuild that runs, or the last one. Needs {@code
     * memory.read}.
     */
    public GetMemoryStatusResponse getMemoryStatus(GetMemoryStatusRequest request) {
        return calls.unary(MemoryServiceGrpc.getGetMemoryStatusMethod(), request);
    }

    /**
     * Core memories of one scope, newest change first, at most 200 and never a secret. Needs {@code memory.read}.
     */
    public ListCoreMemoriesResponse listCoreMemories(ListCoreMemoriesRequest request) {
        return calls.unary(MemoryServiceGrpc.getListCoreMemoriesMethod(), request);
    }

    /**
     * The best matches in one scope, best first: memories, and messages of conversations where they are asked for.
     * Secrets are never found. Needs {@code memory.read}.
     */
    public SearchMemoryResponse searchMemory(SearchMemoryRequest request) {
        return calls.unary(MemoryServiceGrpc.getSearchMemoryMethod(), request);
    }

    /**
     * Writes a memory. With a key it takes the place of the scope's memory of that key, without one of that with the
     * same content: the same again is only touched, something else is a new version, and the old one is kept as
     * history. A full scope or tenant is RESOURCE_EXHAUSTED, {@code MEMORY_FULL}. Needs {@code memory.write}.
     */
    public RememberResponse remember(RememberRequest request) {
        return calls.unary(MemoryServiceGrpc.getRememberMethod(), request);
    }

    /** Forgets by id or by key. Nothing to forget is OK with {@code forgotten = 0}. Needs {@code memory.write}. */
    public ForgetResponse forget(ForgetRequest request) {
        return calls.unary(MemoryServiceGrpc.getForgetMethod(), request);
    }

    /**
     * Starts to derive the index anew, and the vectors where an embedding model is set, and returns; GetMemoryStatus
     * shows how far it is. Searches go on meanwhile, with what the old index has. While one runs it is answered with
     * that one. The index is the whole server's. Needs {@code memory.write}.
     */
    public RebuildMemoryResponse rebuildMemory(RebuildMemoryRequest request) {
        return calls.unary(MemoryServiceGrpc.getRebuildMemoryMethod(), request);
    }

    /**
     * Lists the memories of one scope, newest change first; secrets without their content. Needs {@code memory.read}.
     */
    public ListMemoriesResponse listMemories(ListMemoriesRequest request) {
        return calls.unary(MemoryServiceGrpc.getListMemoriesMethod(), request);
    }

    /**
     * One memory with its past, by id, in whatever scope the caller may read. Unknown: NOT_FOUND, {@code
     * MEMORY_NOT_FOUND}. Needs {@code memory.read}, and {@code memory.write} with {@code reveal}.
     */
    public GetMemoryResponse getMemory(GetMemoryRequest request) {
        return calls.unary(MemoryServiceGrpc.getGetMemoryMethod(), request);
    }

    /**
     * Writes up to 1000 memories in one transaction, each as Remember does, but with source and times as they are
     * given. Needs {@code memory.write} and {@code admin.config}.
     */
    public ImportMemoriesResponse importMemories(ImportMemoriesRequest request) {
        return calls.unary(MemoryServiceGrpc.getImportMemoriesMethod(), request);
    }
}

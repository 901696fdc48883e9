package dev.quarterdeck.client;

import dev.quarterdeck.v1.AbortRequest;
import dev.quarterdeck.v1.AbortResponse;
import dev.quarterdeck.v1.AnswerQuestionRequest;
import dev.quarterdeck.v1.AnswerQuestionResponse;
import dev.quarterdeck.v1.AwaitTurnRequest;
import dev.quarterdeck.v1.AwaitTurnResponse;
import dev.quarterdeck.v1.ClearQueueRequest;
import dev.quarterdeck.v1.ClearQueueResponse;
import dev.quarterdeck.v1.CompactSessionRequest;
import dev.quarterdeck.v1.CompactSessionResponse;
import dev.quarterdeck.v1.CreateSessionRequest;
import dev.quarterdeck.v1.CreateSessionResponse;
import dev.quarterdeck.v1.DeleteSessionRequest;
import dev.quarterdeck.v1.DeleteSessionResponse;
import dev.quarterdeck.v1.EnqueueRequest;
import dev.quarterdeck.v1.EnqueueResponse;
import dev.quarterdeck.v1.ExecuteCommandRequest;
import dev.quarterdeck.v1.ExecuteCommandResponse;
import dev.quarterdeck.v1.ForkSessionRequest;
import dev.quarterdeck.v1.ForkSessionResponse;
import dev.quarterdeck.v1.GatewayServiceGrpc;
import dev.quarterdeck.v1.GetAttachmentRequest;
import dev.quarterdeck.v1.GetAttachmentResponse;
import dev.quarterdeck.v1.GetDiffRequest;
import dev.quarterdeck.v1.GetDiffResponse;
import dev.quarterdeck.v1.GetQuestionRequest;
import dev.quarterdeck.v1.GetQuestionResponse;
import dev.quarterdeck.v1.GetSessionRequest;
import dev.quarterdeck.v1.GetSessionResponse;
import dev.quarterdeck.v1.GetSessionStateRequest;
import dev.quarterdeck.v1.GetSessionStateResponse;
import dev.quarterdeck.v1.GetTurnRequest;
import dev.quarterdeck.v1.GetTurnResponse;
import dev.quarterdeck.v1.ListArtifactsRequest;
import dev.quarterdeck.v1.ListArtifactsResponse;
import dev.quarterdeck.v1.ListCommandsRequest;
import dev.quarterdeck.v1.ListCommandsResponse;
import dev.quarterdeck.v1.ListFilesRequest;
import dev.quarterdeck.v1.ListFilesResponse;
import dev.quarterdeck.v1.ListMessagesRequest;
import dev.quarterdeck.v1.ListMessagesResponse;
import dev.quarterdeck.v1.ListOptionsRequest;
import dev.quarterdeck.v1.ListOptionsResponse;
import dev.quarterdeck.v1.ListQuestionsRequest;
import dev.quarterdeck.v1.ListQuestionsResponse;
import dev.quarterdeck.v1.ListQueueRequest;
import dev.quarterdeck.v1.ListQueueResponse;
import dev.quarterdeck.v1.ListSessionsRequest;
import dev.quarterdeck.v1.ListSessionsResponse;
import dev.quarterdeck.v1.ListTurnsRequest;
import dev.quarterdeck.v1.ListTurnsResponse;
import dev.quarterdeck.v1.ReadEventsRequest;
import dev.quarterdeck.v1.ReadEventsResponse;
import dev.quarterdeck.v1.ReadFileRequest;
import dev.quarterdeck.v1.ReadFileResponse;
import dev.quarterdeck.v1.ReloadSessionRequest;
import dev.quarterdeck.v1.ReloadSessionResponse;
import dev.quarterdeck.v1.RemoveQueuedRequest;
import dev.quarterdeck.v1.RemoveQueuedResponse;
import dev.quarterdeck.v1.ResetRequest;
import dev.quarterdeck.v1.ResetResponse;
import dev.quarterdeck.v1.SetOptionRequest;
import dev.quarterdeck.v1.SetOptionResponse;
import dev.quarterdeck.v1.SteerRequest;
import dev.quarterdeck.v1.SteerResponse;
import dev.quarterdeck.v1.UpdateQueuedRequest;
import dev.quarterdeck.v1.UpdateQueuedResponse;
import dev.quarterdeck.v1.UpdateSessionRequest;
import dev.quarterdeck.v1.UpdateSessionResponse;
import java.time.Duration;
import java.util.Optional;

/**
 * The calls of {@code GatewayService}: sessions, their work, queue and history. Its streams are methods of
 * {@link QuarterdeckClient}.
 *
 * <p>A call that changes something gets a {@code request_id} where its request has none, so that it is safe to repeat it,
 * which happens by itself while the server is unavailable.
 */
public final class GatewayCalls {
    /** What one AwaitTurn waits; then the next one is made, so that a dead connection is noticed. */
    private static final Duration AWAIT_SLICE = Duration.ofSeconds(20);
    /** What the server may take to prove a stop, beyond the grace that was given. */
    private static final Duration STOP_ALLOWANCE = Duration.ofSeconds(15);

    private final Calls calls;

    GatewayCalls(Calls calls) {
        this.calls = calls;
    }

    /**
     * Waits until a turn is terminal, {@code wait} passes, or the deadline that was given to {@code withDeadline}. The
     * turn goes on in any case. With {@code or_question} also until its agent asks something: {@code questions} then
     * holds what waits for an answer.
     */
    public AwaitTurnResponse awaitTurn(AwaitTurnRequest request) {
        if (request.hasWait()) {
            return calls.unary(GatewayServiceGrpc.getAwaitTurnMethod(), request, Durations.of(request.getWait()));
        }
        Optional<Calls.Deadline> whole = calls.wholeDeadline();
        AwaitTurnRequest slice =
                request.toBuilder().setWait(Durations.of(AWAIT_SLICE)).build();
        while (true) {
            AwaitTurnResponse response =
                    calls.unary(GatewayServiceGrpc.getAwaitTurnMethod(), slice, AWAIT_SLICE, whole);
            if (Turns.isTerminal(response.getTurn()) || response.getQuestionsCount() > 0) {
                return response;
            }
        }
    }

    /**
     * Accepts a prompt for a session, which is created when missing. Answers once turn and {@code turn_queued} are on
     * disk. Blank text without attachments, or text over 512 KiB, is INVALID_ARGUMENT; a full queue is
     * RESOURCE_EXHAUSTED, {@code QUEUE_FULL}, and stores nothing.
     */
    public EnqueueResponse enqueue(EnqueueRequest request) {
        return calls.unary(GatewayServiceGrpc.getEnqueueMethod(), request);
    }

    /** Reads one turn, with its texts whole. */
    public GetTurnResponse getTurn(GetTurnRequest request) {
        return calls.unary(GatewayServiceGrpc.getGetTurnMethod(), request);
    }

    /** Lists turns, newest first: of one session, or of all sessions. */
    public ListTurnsResponse listTurns(ListTurnsRequest request) {
        return calls.unary(GatewayServiceGrpc.getListTurnsMethod(), request);
    }

    /**
     * Gives text to the active turn; becomes a waiting turn where none is running. An agent that can't steer is
     * FAILED_PRECONDITION, {@code UNSUPPORTED_BY_AGENT}; more than 8 pending steers are RESOURCE_EXHAUSTED, {@code
     * QUEUE_FULL}.
     */
    public SteerResponse steer(SteerRequest request) {
        return calls.unary(GatewayServiceGrpc.getSteerMethod(), request);
    }

    /**
     * Stops a turn and answers when the stop is proven and recorded: {@code aborted} is true exactly if the turn
     * didn't finish by itself. An idle session answers OK with {@code aborted = false}.
     */
    public AbortResponse abort(AbortRequest request) {
        return calls.unary(
                GatewayServiceGrpc.getAbortMethod(),
                request,
                Durations.of(request.getGrace()).plus(STOP_ALLOWANCE));
    }

    /**
     * Begins a fresh conversation: waiting turns are rejected, the active one is stopped, nothing of before appears
     * after.
     */
    public ResetResponse reset(ResetRequest request) {
        return calls.unary(GatewayServiceGrpc.getResetMethod(), request);
    }

    /** Lists the waiting turns in the order in which they will start. */
    public ListQueueResponse listQueue(ListQueueRequest request) {
        return calls.unary(GatewayServiceGrpc.getListQueueMethod(), request);
    }

    /**
     * Changes text or place of a waiting turn; FAILED_PRECONDITION, {@code TURN_NOT_QUEUED} for any other. Who
     * changes the text is the turn's sender from then on.
     */
    public UpdateQueuedResponse updateQueued(UpdateQueuedRequest request) {
        return calls.unary(GatewayServiceGrpc.getUpdateQueuedMethod(), request);
    }

    /** Takes one waiting turn from the queue; FAILED_PRECONDITION, {@code TURN_NOT_QUEUED} for any other. */
    public RemoveQueuedResponse removeQueued(RemoveQueuedRequest request) {
        return calls.unary(GatewayServiceGrpc.getRemoveQueuedMethod(), request);
    }

    /** Takes all waiting turns from the queue and returns them. */
    public ClearQueueResponse clearQueue(ClearQueueRequest request) {
        return calls.unary(GatewayServiceGrpc.getClearQueueMethod(), request);
    }

    /** Reads durable events by unary call, waiting up to {@code wait} for the first one. */
    public ReadEventsResponse readEvents(ReadEventsRequest request) {
        return calls.unary(GatewayServiceGrpc.getReadEventsMethod(), request, Durations.of(request.getWait()));
    }

    /** What a session's agent lets be chosen besides model and thinking level, and what is chosen. */
    public ListOptionsResponse listOptions(ListOptionsRequest request) {
        return calls.unary(GatewayServiceGrpc.getListOptionsMethod(), request);
    }

    /**
     * Chooses one of them, from the next start of a turn on; an empty value gives the choice back. Known not to be offered:
     * NOT_FOUND, {@code OPTION_NOT_FOUND}.
     */
    public SetOptionResponse setOption(SetOptionRequest request) {
        return calls.unary(GatewayServiceGrpc.getSetOptionMethod(), request);
    }

    /** Lists questions, the oldest first: of one session, or of all. Without states those that are pending. */
    public ListQuestionsResponse listQuestions(ListQuestionsRequest request) {
        return calls.unary(GatewayServiceGrpc.getListQuestionsMethod(), request);
    }

    /** Reads one question, its arguments as they are stored. */
    public GetQuestionResponse getQuestion(GetQuestionRequest request) {
        return calls.unary(GatewayServiceGrpc.getGetQuestionMethod(), request);
    }

    /**
     * Answers a question; {@link Answers} makes answers. The first answer counts: a closed question is
     * FAILED_PRECONDITION, {@code ALREADY_ANSWERED}. With the question's {@code action_digest} nothing else than what was
     * seen is answered.
     */
    public AnswerQuestionResponse answerQuestion(AnswerQuestionRequest request) {
        return calls.unary(GatewayServiceGrpc.getAnswerQuestionMethod(), request);
    }

    /** Lists what a session can be told by a name: commands of the gateway, and those that its agent told. */
    public ListCommandsResponse listCommands(ListCommandsRequest request) {
        return calls.unary(GatewayServiceGrpc.getListCommandsMethod(), request);
    }

    /**
     * Runs a command: an agent's becomes a turn, what the gateway's gave stands in {@code result_json}. One that is known
     * not to exist is NOT_FOUND, {@code COMMAND_NOT_FOUND}.
     */
    public ExecuteCommandResponse executeCommand(ExecuteCommandRequest request) {
        return calls.unary(GatewayServiceGrpc.getExecuteCommandMethod(), request);
    }

    /** Lets the agent shorten what it keeps of the conversation, as a turn. */
    public CompactSessionResponse compactSession(CompactSessionRequest request) {
        return calls.unary(GatewayServiceGrpc.getCompactSessionMethod(), request);
    }

    /** Lets this session's agent begin afresh, after its running turn or at once. */
    public ReloadSessionResponse reloadSession(ReloadSessionRequest request) {
        return calls.unary(GatewayServiceGrpc.getReloadSessionMethod(), request);
    }

    /** Creates a session; ALREADY_EXISTS, {@code SESSION_EXISTS} where the key is taken. */
    public CreateSessionResponse createSession(CreateSessionRequest request) {
        return calls.unary(GatewayServiceGrpc.getCreateSessionMethod(), request);
    }

    /** Reads a session. Never creates one, wakes nothing and doesn't count as activity. */
    public GetSessionResponse getSession(GetSessionRequest request) {
        return calls.unary(GatewayServiceGrpc.getGetSessionMethod(), request);
    }

    /** Reads a session with its newest messages, the open message and running tools, all as of one {@code seq}. */
    public GetSessionStateResponse getSessionState(GetSessionStateRequest request) {
        return calls.unary(GatewayServiceGrpc.getGetSessionStateMethod(), request);
    }

    /** Lists sessions, the newest created first. */
    public ListSessionsResponse listSessions(ListSessionsRequest request) {
        return calls.unary(GatewayServiceGrpc.getListSessionsMethod(), request);
    }

    /** Changes settings of a session. A changed {@code agent} counts from the next Reset. */
    public UpdateSessionResponse updateSession(UpdateSessionRequest request) {
        return calls.unary(GatewayServiceGrpc.getUpdateSessionMethod(), request);
    }

    /** Deletes a session with everything that belongs to it; stops its active turn first. Deleting twice is OK. */
    public DeleteSessionResponse deleteSession(DeleteSessionRequest request) {
        return calls.unary(GatewayServiceGrpc.getDeleteSessionMethod(), request);
    }

    /** Copies a conversation up to the end of a finished turn into a new session with a log of its own. */
    public ForkSessionResponse forkSession(ForkSessionRequest request) {
        return calls.unary(GatewayServiceGrpc.getForkSessionMethod(), request);
    }

    /** Reads messages of one generation: the newest page first, oldest first inside a page. */
    public ListMessagesResponse listMessages(ListMessagesRequest request) {
        return calls.unary(GatewayServiceGrpc.getListMessagesMethod(), request);
    }

    /** Lists a directory of those that the session works in. Needs `workspace.read`. */
    public ListFilesResponse listFiles(ListFilesRequest request) {
        return calls.unary(GatewayServiceGrpc.getListFilesMethod(), request);
    }

    /** Reads a part of a file of the directory that the session works in. Needs `workspace.read`. */
    public ReadFileResponse readFile(ReadFileRequest request) {
        return calls.unary(GatewayServiceGrpc.getReadFileMethod(), request);
    }

    /** Reads what a turn changed in those files. Needs `workspace.read`. */
    public GetDiffResponse getDiff(GetDiffRequest request) {
        return calls.unary(GatewayServiceGrpc.getGetDiffMethod(), request);
    }

    /** Lists what a session's agent made, the oldest first. */
    public ListArtifactsResponse listArtifacts(ListArtifactsRequest request) {
        return calls.unary(GatewayServiceGrpc.getListArtifactsMethod(), request);
    }

    /** Reads the bytes of an attachment. */
    public GetAttachmentResponse getAttachment(GetAttachmentRequest request) {
        return calls.unary(GatewayServiceGrpc.getGetAttachmentMethod(), request);
    }
}

package dev.quarterdeck.client;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.quarterdeck.v1.Cursor;
import dev.quarterdeck.v1.EnqueueResponse;
import dev.quarterdeck.v1.GatewayEvent;
import dev.quarterdeck.v1.GatewayServiceGrpc;
import dev.quarterdeck.v1.GetSessionRequest;
import dev.quarterdeck.v1.SessionCursor;
import dev.quarterdeck.v1.SessionFilter;
import dev.quarterdeck.v1.SessionSnapshot;
import dev.quarterdeck.v1.SubscribeManyRequest;
import dev.quarterdeck.v1.TailLogsRequest;
import dev.quarterdeck.v1.TurnState;
import java.io.IOException;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.TimeUnit;
import java.util.stream.LongStream;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.condition.EnabledIfEnvironmentVariable;
import org.junit.jupiter.api.io.TempDir;

/** What Java adds to the behaviour of all clients: threads, closing, interruption; and the calls that no scenario makes. */
@EnabledIfEnvironmentVariable(named = TestServer.BINARY, matches = ".+")
@Timeout(value = 60, threadMode = Timeout.ThreadMode.SEPARATE_THREAD)
class ServerTest {
    /** For what comes at once; a busy machine may need longer. */
    private static final long WAIT_SECONDS = 30;

    private TestServer server;
    private QuarterdeckClient client;

    @BeforeEach
    void start(@TempDir Path directory) throws IOException {
        server = new TestServer(directory);
        client = server.client().build();
    }

    @AfterEach
    void stop() {
        client.close();
        server.close();
    }

    @Test
    void anAnswerComesInPiecesAndItsTurnIsKnown() {
        try (ChatReply answer = client.chat("demo", "hello there")) {
            assertEquals("hello ", answer.next());
            assertEquals("there", answer.text());
            assertEquals(
                    TurnState.TURN_STATE_COMPLETED, answer.turn().orElseThrow().getState());
        }
    }

    @Test
    void aFailingTurnIsTold() {
        try (ChatReply answer = client.chat("demo", "!fail=tired hello")) {
            TurnFailed failed = assertThrows(TurnFailed.class, answer::text);
            assertEquals(TurnState.TURN_STATE_FAILED, failed.state());
            assertEquals("AGENT_ERROR", failed.reason());
            assertTrue(failed.getMessage().contains("tired"));
        }
    }

    @Test
    void aSubscriptionGivesEachEventOnceOverACrash() throws Exception {
        EnqueueResponse first = client.enqueue("demo", "!delay=20ms !repeat=200 word");
        List<Long> seqs = new ArrayList<>();
        Cursor begin = Cursor.newBuilder().setLogId(first.getLogId()).build();
        try (Subscription<GatewayEvent> events = client.subscribe("demo", begin)) {
            read(events, GatewayEvent.KindCase.TOKEN, seqs);
            server.kill();
            server.start();
            client.enqueue("demo", "again");
            read(events, GatewayEvent.KindCase.TURN_ENDED, seqs);
            read(events, GatewayEvent.KindCase.TURN_ENDED, seqs);
        }
        assertEquals(LongStream.rangeClosed(1, seqs.size()).boxed().toList(), seqs);
    }

    @Test
    void whoReadsOnAfterAVoidCursorGetsWhatComesAfterTheSnapshot() {
        client.chat("demo", "hello").text();
        Cursor other = Cursor.newBuilder().setLogId("another").setAfterSeq(3).build();
        try (Subscription<GatewayEvent> events = client.subscribe("demo", other)) {
            var lost = assertThrows(Refusal.LogChanged.class, events::hasNext);
            assertEquals(7, lost.resumeAt().orElseThrow().getAfterSeq());
            assertEquals(2, lost.snapshot().orElseThrow().getMessagesCount());
            client.chat("demo", "again").text();
            List<Long> seqs = new ArrayList<>();
            read(events, GatewayEvent.KindCase.TURN_ENDED, seqs);
            assertEquals(LongStream.rangeClosed(8, 13).boxed().toList(), seqs);
        }
    }

    @Test
    void ofManySessionsOneThatIsGoneHoldsUpNoOther() {
        client.chat("one", "hello").text();
        client.chat("two", "hello").text();
        SubscribeManyRequest request = SubscribeManyRequest.newBuilder()
                .addCursors(SessionCursor.newBuilder().setSessionKey("none"))
                .addCursors(SessionCursor.newBuilder().setSessionKey("one").setLogId("another"))
                .addCursors(SessionCursor.newBuilder().setSessionKey("two"))
                .build();
        try (Subscription<GatewayEvent> events = client.subscribeMany(request)) {
            var gone = assertThrows(Refusal.SessionNotFound.class, events::hasNext);
            assertEquals("none", gone.metadata().get("session_key"));
            var lost = assertThrows(Refusal.LogChanged.class, events::hasNext);
            assertEquals("one", lost.metadata().get("session_key"));
            List<Long> seqs = new ArrayList<>();
            read(events, GatewayEvent.KindCase.TURN_ENDED, seqs);
            assertEquals(LongStream.rangeClosed(1, 7).boxed().toList(), seqs);
        }
    }

    @Test
    void closingEndsAReaderThatWaits() throws Exception {
        client.chat("demo", "hello").text();
        Subscription<GatewayEvent> events = client.subscribe("demo");
        CompletableFuture<Boolean> more = waiting(events);
        events.close();
        assertFalse(more.get(WAIT_SECONDS, TimeUnit.SECONDS));
        assertFalse(events.hasNext());
    }

    @Test
    void closingTheClientEndsAReaderThatWaits() throws Exception {
        client.chat("demo", "hello").text();
        CompletableFuture<Boolean> more = waiting(client.subscribe("demo"));
        client.close();
        Exception failed = assertThrows(ExecutionException.class, () -> more.get(WAIT_SECONDS, TimeUnit.SECONDS));
        assertEquals(CallException.Cancelled.class, failed.getCause().getClass());
    }

    @Test
    void closingTheClientEndsAReaderWhoseServerIsGone() throws Exception {
        client.chat("demo", "hello").text();
        CompletableFuture<Boolean> more = waiting(client.subscribe("demo"));
        server.kill();
        client.close();
        assertThrows(ExecutionException.class, () -> more.get(WAIT_SECONDS, TimeUnit.SECONDS));
    }

    @Test
    void interruptionEndsAReaderAndStays() throws Exception {
        client.chat("demo", "hello").text();
        Subscription<GatewayEvent> events = client.subscribe("demo");
        read(events, GatewayEvent.KindCase.CAUGHT_UP, new ArrayList<>());
        CompletableFuture<Boolean> stillInterrupted = new CompletableFuture<>();
        Thread reader = new Thread(() -> {
            assertThrows(CallException.Cancelled.class, events::hasNext);
            stillInterrupted.complete(Thread.currentThread().isInterrupted());
        });
        reader.start();
        reader.interrupt();
        assertTrue(stillInterrupted.get(WAIT_SECONDS, TimeUnit.SECONDS));
        assertFalse(events.hasNext());
    }

    @Test
    void interruptionEndsACall() throws Exception {
        EnqueueResponse turn = client.enqueue("demo", "!hang now");
        CompletableFuture<Throwable> ended = new CompletableFuture<>();
        Thread caller = new Thread(() -> ended.complete(assertThrows(
                Throwable.class, () -> client.awaitTurn("demo", turn.getTurn().getTurnId()))));
        caller.start();
        caller.interrupt();
        assertEquals(
                CallException.Cancelled.class,
                ended.get(WAIT_SECONDS, TimeUnit.SECONDS).getClass());
        assertTrue(client.abort("demo").getAborted());
    }

    @Test
    void aServerThatNobodyStartedIsReportedSoon() throws IOException {
        long begin = System.nanoTime();
        try (QuarterdeckClient lost =
                server.client().address(TestServer.closedAddress()).build()) {
            var error = assertThrows(CallException.Unavailable.class, () -> lost.enqueue("demo", "hello"));
            assertTrue(error.getMessage().contains("quarterdeck serve"), error.getMessage());
            assertThrows(
                    CallException.Unavailable.class,
                    () -> lost.subscribe("demo").hasNext());
        }
        assertTrue(Duration.ofNanos(System.nanoTime() - begin).toSeconds() < 10);
    }

    @Test
    void aDeadlineBoundsCallsAndStreams() {
        client.enqueue("demo", "!hang now");
        QuarterdeckClient hasty = client.withDeadline(Duration.ofMillis(300));
        assertThrows(
                CallException.DeadlineExceeded.class,
                () -> hasty.chat("demo", "never").text());
        String turn = client.enqueue("demo", "neither").getTurn().getTurnId();
        assertThrows(CallException.DeadlineExceeded.class, () -> hasty.awaitTurn("demo", turn));
    }

    @Test
    void sessionsAndLogsAreFollowed() {
        client.chat("one", "hello").text();
        try (Subscription<SessionSnapshot> sessions = client.watchSessions(
                        SessionFilter.newBuilder().setKeyPrefix("on").build());
                var logs = client.admin()
                        .tailLogs(TailLogsRequest.newBuilder().setNoFollow(true).build())) {
            assertEquals("one", sessions.next().getSessionKey());
            assertEquals("", sessions.next().getSessionKey());
            logs.forEachRemaining(entry -> assertFalse(entry.getMessage().isEmpty()));
        }
    }

    @Test
    void rawStubsCarryTheKey() {
        client.chat("demo", "hello").text();
        var stub = GatewayServiceGrpc.newBlockingStub(client.channel());
        var session = stub.getSession(
                GetSessionRequest.newBuilder().setSessionKey("demo").build());
        assertEquals("demo", session.getSession().getSessionKey());
    }

    /** A reader on a thread of its own. */
    private static CompletableFuture<Boolean> waiting(Subscription<GatewayEvent> events) {
        read(events, GatewayEvent.KindCase.CAUGHT_UP, new ArrayList<>());
        return CompletableFuture.supplyAsync(events::hasNext, task -> new Thread(task).start());
    }

    private static void read(Subscription<GatewayEvent> events, GatewayEvent.KindCase until, List<Long> seqs) {
        GatewayEvent event;
        do {
            event = events.next();
            if (event.getSeq() > 0) {
                seqs.add(event.getSeq());
            }
        } while (event.getKindCase() != until);
    }
}

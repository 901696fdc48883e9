import dev.quarterdeck.client.QuarterdeckClient;
import dev.quarterdeck.client.Refusal;
import dev.quarterdeck.client.Subscription;
import dev.quarterdeck.v1.Cursor;
import dev.quarterdeck.v1.GatewayEvent;
import dev.quarterdeck.v1.Message;
import dev.quarterdeck.v1.SubscribeRequest;
import java.util.List;

/**
 * Follows a session until it is deleted: {@code Watch SESSION [LOG_ID SEQ]}. Each line begins with the position that a
 * later start may go on from.
 */
public final class Watch {
    private Watch() {}

    /** Runs until the session is deleted. */
    public static void main(String[] arguments) {
        if (arguments.length != 1 && arguments.length != 3) {
            System.err.println("usage: Watch SESSION [LOG_ID SEQ]");
            System.exit(64);
        }
        try (QuarterdeckClient client = QuarterdeckClient.create();
                Subscription<GatewayEvent> events = client.subscribe(from(arguments))) {
            while (more(events)) {
                print(events.next());
            }
        }
    }

    private static SubscribeRequest from(String[] arguments) {
        SubscribeRequest.Builder request = SubscribeRequest.newBuilder().setSessionKey(arguments[0]);
        if (arguments.length == 1) {
            return request.setFromOldest(true).build();
        }
        Cursor.Builder cursor = Cursor.newBuilder().setLogId(arguments[1]).setAfterSeq(Long.parseLong(arguments[2]));
        return request.setCursor(cursor).build();
    }

    /** Waits for an event; where those after our position are gone, shows the session as it is, and goes on from there. */
    private static boolean more(Subscription<GatewayEvent> events) {
        try {
            return events.hasNext();
        } catch (Refusal.CursorExpired | Refusal.CursorAhead | Refusal.LogChanged lost) {
            List<Message> messages = lost.snapshot().orElseThrow().getMessagesList();
            System.out.println(lost.getMessage() + "; the session has " + messages.size() + " messages or more");
            return more(events);
        }
    }

    private static void print(GatewayEvent event) {
        switch (event.getKindCase()) {
            case TOKEN -> System.out.print(event.getToken().getDelta());
            case MESSAGE_COMPLETED -> line(event, event.getMessageCompleted().getText());
            case TURN_ENDED ->
                line(event, event.getTurnEnded().getTurn().getState().name());
            default -> {
                if (event.getSeq() > 0) {
                    line(event, "");
                }
            }
        }
    }

    private static void line(GatewayEvent event, String text) {
        System.out.println(event.getLogId() + " " + event.getSeq() + " " + event.getKindCase() + " " + text);
    }
}

import dev.quarterdeck.client.ChatReply;
import dev.quarterdeck.client.QuarterdeckClient;
import dev.quarterdeck.client.QuarterdeckException;
import dev.quarterdeck.client.TurnFailed;
import java.util.Scanner;

/**
 * A conversation on the terminal: {@code Chat [SESSION]}. Each line is a prompt; the answer appears as it is written, and a
 * server that restarts is waited for.
 */
public final class Chat {
    private Chat() {}

    /** Runs to the end of the input. */
    public static void main(String[] arguments) {
        String session = arguments.length > 0 ? arguments[0] : "demo";
        try (QuarterdeckClient client = QuarterdeckClient.create();
                Scanner lines = new Scanner(System.in)) {
            System.out.print("> ");
            while (lines.hasNextLine()) {
                say(client, session, lines.nextLine());
                System.out.print("> ");
            }
        } catch (QuarterdeckException error) {
            System.err.println(error.getMessage());
            System.exit(1);
        }
    }

    private static void say(QuarterdeckClient client, String session, String prompt) {
        if (prompt.isBlank()) {
            return;
        }
        try (ChatReply answer = client.chat(session, prompt)) {
            answer.forEachRemaining(piece -> {
                System.out.print(piece);
                System.out.flush();
            });
            System.out.println();
        } catch (TurnFailed failed) {
            // The session lives on: the next prompt may work.
            System.out.println();
            System.err.println(failed.getMessage());
        }
    }
}

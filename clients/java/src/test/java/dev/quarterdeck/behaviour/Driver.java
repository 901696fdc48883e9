package dev.quarterdeck.behaviour;

import com.google.gson.JsonObject;
import com.google.gson.JsonParser;
import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStreamReader;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;

/**
 * The driver of {@code clients/behaviour}: one JSON object a line in, one a line out, each request on a thread of its own.
 */
public final class Driver {
    private final PrintStream out;
    private final Operations operations = new Operations();

    private Driver(PrintStream out) {
        this.out = out;
    }

    /** Runs to the end of standard input. */
    public static void main(String[] arguments) throws IOException {
        Driver driver = new Driver(new PrintStream(System.out, true, StandardCharsets.UTF_8));
        // Whatever else would print there must not.
        System.setOut(System.err);
        driver.run();
        // Requests that still wait are given up.
        System.exit(0);
    }

    private void run() throws IOException {
        ExecutorService threads = Executors.newCachedThreadPool();
        BufferedReader in = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
        for (String line = in.readLine(); line != null; line = in.readLine()) {
            JsonObject request = JsonParser.parseString(line).getAsJsonObject();
            threads.execute(() -> answer(request));
        }
    }

    private void answer(JsonObject request) {
        JsonObject answer = new JsonObject();
        answer.add("id", request.get("id"));
        try {
            answer.add("ok", operations.carryOut(new Request(request), piece -> piece(request, piece)));
        } catch (RuntimeException error) {
            answer.add("error", Rendering.error(error));
        }
        print(answer);
    }

    private void piece(JsonObject request, String piece) {
        JsonObject line = new JsonObject();
        line.add("id", request.get("id"));
        line.addProperty("piece", piece);
        print(line);
    }

    /** One write a line, so that lines of several threads never mix. */
    private void print(JsonObject line) {
        out.println(line);
    }
}

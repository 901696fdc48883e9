package dev.quarterdeck.client;

import java.io.BufferedReader;
import java.io.IOException;
import java.net.ServerSocket;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;

/** A real server on a directory of its own; can be killed and started again on the same address. */
final class TestServer implements AutoCloseable {
    /** Names the binary; tests that need it are left out where it is not set. */
    static final String BINARY = "QUARTERDECK_TEST_SERVER";

    private final Path directory;
    private String listen = "127.0.0.1:0";
    private Process process;

    TestServer(Path directory) throws IOException {
        this.directory = directory;
        start();
    }

    void start() throws IOException {
        Path data = directory.resolve("data");
        List<String> command = new ArrayList<>(List.of(System.getenv(BINARY), "serve"));
        command.addAll(List.of("--listen", listen, "--data-dir", data.toString()));
        process = new ProcessBuilder(command)
                .redirectError(directory.resolve("log").toFile())
                .start();
        BufferedReader out = process.inputReader();
        String prefix = "listening on http://";
        for (String line = out.readLine(); line != null; line = out.readLine()) {
            if (line.startsWith(prefix)) {
                listen = line.substring(prefix.length());
                return;
            }
        }
        throw new IOException("no server: " + Files.readString(directory.resolve("log")));
    }

    /** As a crash does. */
    void kill() {
        process.destroyForcibly().onExit().join();
    }

    ClientBuilder client() throws IOException {
        String key = Files.readString(directory.resolve("data/admin.key")).strip();
        return QuarterdeckClient.builder().address("http://" + listen).key(key);
    }

    @Override
    public void close() {
        kill();
    }

    /** An address where nobody listens. */
    static String closedAddress() throws IOException {
        try (ServerSocket socket = new ServerSocket(0)) {
            return "http://127.0.0.1:" + socket.getLocalPort();
        }
    }
}

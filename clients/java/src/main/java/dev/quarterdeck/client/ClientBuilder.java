package dev.quarterdeck.client;

import io.grpc.ChannelCredentials;
import io.grpc.InsecureChannelCredentials;
import io.grpc.ManagedChannel;
import io.grpc.TlsChannelCredentials;
import io.grpc.netty.shaded.io.grpc.netty.NettyChannelBuilder;
import io.grpc.netty.shaded.io.netty.channel.ChannelOption;
import java.io.IOException;
import java.nio.file.Path;
import java.time.Duration;
import java.util.Optional;
import java.util.concurrent.TimeUnit;

/** How to reach a server. What is not set comes from the environment or has a default. */
public final class ClientBuilder {
    /** Address of a server that was started without options. */
    public static final String DEFAULT_ADDRESS = "http://127.0.0.1:7777";
    /** How long a call may take, repeats included, where nothing else was said. */
    public static final Duration DEFAULT_DEADLINE = Duration.ofSeconds(30);
    /** How long calls are repeated while the server is unavailable, where nothing else was said. */
    public static final Duration DEFAULT_PATIENCE = Duration.ofSeconds(30);

    private static final Duration CONNECT_TIMEOUT = Duration.ofSeconds(3);
    /** Time between two signs of life while something is called, and for the answer to one. */
    private static final Duration KEEP_ALIVE = Duration.ofSeconds(15);
    /** Bytes that the server may send ahead on each stream. */
    private static final int STREAM_WINDOW_BYTES = 1024 * 1024;
    /** Largest answer: the longest reply of a turn with room for its escapes and for a page of messages. */
    private static final int ANSWER_MAX_BYTES = 64 * 1024 * 1024;

    private Optional<String> address = variable("QUARTERDECK_ADDR");
    private Optional<String> key = variable("QUARTERDECK_KEY");
    private boolean keyOverPlaintext;
    private Optional<Path> authorities = Optional.empty();
    private Optional<Path> certificate = Optional.empty();
    private Optional<Path> certificateKey = Optional.empty();
    private Duration deadline = DEFAULT_DEADLINE;
    private Duration patience = DEFAULT_PATIENCE;

    ClientBuilder() {}

    /**
     * {@code http://HOST:PORT} or {@code https://HOST:PORT}. Default: {@code QUARTERDECK_ADDR}, else
     * {@value #DEFAULT_ADDRESS}.
     */
    public ClientBuilder address(String value) {
        address = Optional.of(value);
        return this;
    }

    /** The API key or other token that calls carry. Default: {@code QUARTERDECK_KEY}, else none. */
    public ClientBuilder key(String value) {
        key = Optional.of(value);
        return this;
    }

    /** Calls without a key, whatever the environment says: for client certificates, and servers that ask for none. */
    public ClientBuilder withoutKey() {
        key = Optional.empty();
        return this;
    }

    /** Lets the key go to other machines unencrypted, where everyone between can read it. Default: refused. */
    public ClientBuilder allowKeyOverPlaintext() {
        keyOverPlaintext = true;
        return this;
    }

    /** PEM file of the CA certificates that the server's is checked against. Default: those that Java trusts. */
    public ClientBuilder certificateAuthorities(Path pem) {
        authorities = Optional.of(pem);
        return this;
    }

    /** PEM files of our own certificate and its private key (PKCS#8), for servers that ask for one. */
    public ClientBuilder clientCertificate(Path pem, Path privateKeyPem) {
        certificate = Optional.of(pem);
        certificateKey = Optional.of(privateKeyPem);
        return this;
    }

    /** How long each call may take, repeats included. Streams and {@code awaitTurn} have no deadline by default. */
    public ClientBuilder deadline(Duration value) {
        deadline = value;
        return this;
    }

    /** How long calls, {@code run} and {@code chat} are repeated while the server is unavailable. */
    public ClientBuilder patience(Duration value) {
        patience = value;
        return this;
    }

    /**
     * The client. Doesn't connect yet.
     *
     * @throws IllegalArgumentException where address, key or PEM files can't be used
     */
    public QuarterdeckClient build() {
        Address server = Address.parse(address.orElse(DEFAULT_ADDRESS));
        if (key.isPresent() && !server.encrypted() && !server.loopback() && !keyOverPlaintext) {
            throw new IllegalArgumentException("the key would go to " + server
                    + " unencrypted: use https://, or allowKeyOverPlaintext() where the network between is trusted");
        }
        key.filter(secret -> !secret.matches("[!-~]+")).ifPresent(secret -> {
            throw new IllegalArgumentException("the key must be visible ASCII without blanks");
        });
        ManagedChannel channel = NettyChannelBuilder.forAddress(server.host(), server.port(), credentials(server))
                .withOption(ChannelOption.CONNECT_TIMEOUT_MILLIS, (int) CONNECT_TIMEOUT.toMillis())
                .keepAliveTime(KEEP_ALIVE.toMillis(), TimeUnit.MILLISECONDS)
                .keepAliveTimeout(KEEP_ALIVE.toMillis(), TimeUnit.MILLISECONDS)
                .flowControlWindow(STREAM_WINDOW_BYTES)
                .maxInboundMessageSize(ANSWER_MAX_BYTES)
                .userAgent("quarterdeck-client-java/" + version())
                .disableRetry() // Repeating is done here, where it can be seen and bounded.
                .build();
        Connection connection = new Connection(server.toString(), channel, key);
        return new QuarterdeckClient(new Calls(connection, deadline, Optional.empty(), patience));
    }

    private ChannelCredentials credentials(Address server) {
        if (!server.encrypted()) {
            if (authorities.isPresent() || certificate.isPresent()) {
                throw new IllegalArgumentException("a CA and client certificates are for https:// addresses");
            }
            return InsecureChannelCredentials.create();
        }
        TlsChannelCredentials.Builder tls = TlsChannelCredentials.newBuilder();
        try {
            if (authorities.isPresent()) {
                tls.trustManager(authorities.get().toFile());
            }
            if (certificate.isPresent()) {
                tls.keyManager(
                        certificate.get().toFile(), certificateKey.orElseThrow().toFile());
            }
            return tls.build();
        } catch (IOException error) {
            throw new IllegalArgumentException("a PEM file can't be used: " + error.getMessage(), error);
        }
    }

    private static Optional<String> variable(String name) {
        return Optional.ofNullable(System.getenv(name)).filter(value -> !value.isEmpty());
    }

    private static String version() {
        String version = ClientBuilder.class.getPackage().getImplementationVersion();
        return version == null ? "unpackaged" : version;
    }
}

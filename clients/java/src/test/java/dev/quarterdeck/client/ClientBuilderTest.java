package dev.quarterdeck.client;

import static org.junit.jupiter.api.Assertions.assertDoesNotThrow;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertSame;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.quarterdeck.v1.AbortRequest;
import dev.quarterdeck.v1.GetSessionRequest;
import java.nio.file.Path;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** What can't be used is refused before anything is sent, and the key stays where it is safe. */
class ClientBuilderTest {
    private static final String KEY = "qdk_not-a-real-key";

    @Test
    void addressesAreHttpOrHttps() {
        assertEquals(new Address("127.0.0.1", 7777, false), Address.parse("http://127.0.0.1:7777"));
        assertEquals(new Address("localhost", 7777, false), Address.parse("localhost:7777"));
        assertEquals(new Address("agents.example.org", 443, true), Address.parse("https://agents.example.org/"));
        assertEquals(new Address("[::1]", 80, false), Address.parse("http://[::1]"));
    }

    @ParameterizedTest
    @ValueSource(strings = {"", "ftp://host", "http://", "http://host/path", "http://host?a=b", "http://a b", "unix:x"})
    void otherAddressesAreRefused(String text) {
        assertThrows(IllegalArgumentException.class, () -> Address.parse(text));
    }

    @Test
    void aPasswordInAnAddressIsRefusedAndNotShown() {
        var error = assertThrows(IllegalArgumentException.class, () -> Address.parse("http://me:secret@host"));
        assertFalse(error.getMessage().contains("secret"));
    }

    @ParameterizedTest
    @ValueSource(strings = {"http://10.0.0.1:1", "http://agents.example.org:1", "http://127.0.0.1.example.org:1"})
    void theKeyGoesToNoOtherMachineUnencrypted(String address) {
        ClientBuilder builder = QuarterdeckClient.builder().address(address).key(KEY);
        var error = assertThrows(IllegalArgumentException.class, builder::build);
        assertFalse(error.getMessage().contains(KEY));
        assertDoesNotThrow(() -> builder.allowKeyOverPlaintext().build().close());
    }

    @ParameterizedTest
    @ValueSource(strings = {"http://127.0.0.1:1", "http://127.9.9.9:1", "http://localhost:1", "http://[::1]:1"})
    void theKeyGoesToThisMachine(String address) {
        assertDoesNotThrow(() ->
                QuarterdeckClient.builder().address(address).key(KEY).build().close());
    }

    @Test
    void theKeyIsShownNowhere() {
        ClientBuilder builder =
                QuarterdeckClient.builder().address("http://127.0.0.1:1").key(KEY);
        try (QuarterdeckClient client = builder.build()) {
            assertEquals("QuarterdeckClient(http://127.0.0.1:1)", client.toString());
            assertFalse(builder.toString().contains(KEY));
            assertFalse(client.channel().toString().contains(KEY));
        }
        var error = assertThrows(
                IllegalArgumentException.class,
                () -> QuarterdeckClient.builder().key(KEY + "\n").build());
        assertFalse(error.getMessage().contains(KEY));
    }

    @Test
    void filesForTlsBelongToEncryptedAddresses() {
        ClientBuilder builder = QuarterdeckClient.builder()
                .address("http://127.0.0.1:1")
                .withoutKey()
                .certificateAuthorities(Path.of("ca.pem"));
        assertThrows(IllegalArgumentException.class, builder::build);
        var missing = assertThrows(
                IllegalArgumentException.class,
                () -> builder.address("https://127.0.0.1:1").build());
        assertTrue(missing.getMessage().contains("ca.pem"));
    }

    @Test
    void requestsGetAnIdOnlyWhereTheyTakeOneAndHaveNone() {
        AbortRequest own = AbortRequest.newBuilder().setRequestId("mine").build();
        assertSame(own, RequestIds.identify(own));
        GetSessionRequest reading = GetSessionRequest.getDefaultInstance();
        assertSame(reading, RequestIds.identify(reading));
        AbortRequest none = AbortRequest.getDefaultInstance();
        assertEquals(36, RequestIds.identify(none).getRequestId().length());
        assertNotEquals(
                RequestIds.identify(none).getRequestId(),
                RequestIds.identify(none).getRequestId());
    }
}

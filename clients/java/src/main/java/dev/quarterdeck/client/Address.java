package dev.quarterdeck.client;

import java.net.InetAddress;
import java.net.URI;
import java.net.URISyntaxException;
import java.net.UnknownHostException;

/** Where a server is: {@code http://HOST:PORT} or {@code https://HOST:PORT}. */
record Address(String host, int port, boolean encrypted) {
    private static final int HTTP_PORT = 80;
    private static final int HTTPS_PORT = 443;

    static Address parse(String text) {
        URI uri;
        try {
            uri = new URI(text.contains("://") ? text : "http://" + text);
        } catch (URISyntaxException error) {
            throw bad(text);
        }
        boolean encrypted = "https".equals(uri.getScheme());
        boolean pathless = uri.getRawPath().isEmpty() || uri.getRawPath().equals("/");
        if ((!encrypted && !"http".equals(uri.getScheme()))
                || uri.getHost() == null
                || uri.getRawUserInfo() != null
                || uri.getRawQuery() != null
                || uri.getRawFragment() != null
                || !pathless) {
            throw bad(text);
        }
        int usual = encrypted ? HTTPS_PORT : HTTP_PORT;
        return new Address(uri.getHost(), uri.getPort() < 0 ? usual : uri.getPort(), encrypted);
    }

    /** True for addresses of this machine alone. Only literal addresses and {@code localhost} are: names may lie. */
    boolean loopback() {
        if (host.equals("localhost")) {
            return true;
        }
        boolean literal = host.startsWith("[") || host.matches("[0-9.]+");
        try {
            return literal && InetAddress.getByName(host).isLoopbackAddress();
        } catch (UnknownHostException error) {
            return false;
        }
    }

    @Override
    public String toString() {
        return (encrypted ? "https://" : "http://") + host + ":" + port;
    }

    private static IllegalArgumentException bad(String text) {
        // Whatever stands before an @ may be a password.
        return new IllegalArgumentException("`" + text.replaceFirst("//.*@", "//…@")
                + "` can't be used as an address: it must be http://HOST:PORT or https://HOST:PORT");
    }
}

/**
 * Client of Quarterdeck, a gRPC control plane for AI-agent sessions. {@link dev.quarterdeck.client.QuarterdeckClient} is
 * where to begin; the messages and raw stubs are in {@code dev.quarterdeck.v1}.
 *
 * <p>What it promises: a call that changes something is safe to repeat and is repeated while the server is unavailable; a
 * {@link dev.quarterdeck.client.Subscription} gives each durable event once and in order over cuts of any kind; the key
 * goes to encrypted or loopback addresses alone and shows in no text. What it leaves out: agents, stores, and any choice
 * of threads; every method waits on the thread that calls it, which may be a virtual one.
 */
package dev.quarterdeck.client;

// A back end that puts an agent behind routes of its own. The browser never sees the gateway's key.
//
//   QUARTERDECK_URL, QUARTERDECK_KEY   the gateway
//   PORT                               where this listens; 0 takes a free port
import express from 'express';
import { randomUUID } from 'node:crypto';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';

const gateway = process.env.QUARTERDECK_URL ?? 'http://localhost:7777';
const key = process.env.QUARTERDECK_KEY;
const credential = key ? { authorization: `Bearer ${key}` } : {};

/** Who asks. Yours knows by its own sign-in; here a cookie will do. */
function userOf(request, response) {
    const known = /(?:^|; )user=([\w-]{1,64})/.exec(request.get('cookie') ?? '');
    if (known) return known[1];
    const user = randomUUID();
    response.cookie('user', user, { httpOnly: true, sameSite: 'strict' });
    return user;
}

/** The conversation of a user: a name of yours, never one that the browser chose. */
const conversation = (user) => `${gateway}/v1/sessions/chat:${user}`;

function post(url, body, headers = {}) {
    return fetch(url, {
        method: 'POST',
        headers: { ...credential, 'content-type': 'application/json', ...headers },
        body: JSON.stringify(body),
    });
}

/** Answers what the gateway answered: its errors say what to do (problem+json). */
async function passOn(answer, response) {
    const retryAfter = answer.headers.get('retry-after');
    if (retryAfter) response.set('retry-after', retryAfter);
    response.status(answer.status).type(answer.headers.get('content-type')).send(await answer.text());
}

const app = express();
// The page itself brings the cookie, so that all that it asks for is one user's.
app.use((request, response, next) => {
    request.user = userOf(request, response);
    next();
});
app.use(express.static(new URL('public', import.meta.url).pathname));
app.use(express.json());

app.post('/ask', async (request, response) => {
    const turns = `${conversation(request.user)}/turns`;
    // The browser's own id makes a repeated click safe: it never runs twice.
    const id = request.get('idempotency-key') ?? randomUUID();
    await passOn(await post(turns, { text: String(request.body?.text ?? '') }, { 'idempotency-key': id }), response);
});

app.post('/stop', async (request, response) => {
    await passOn(await post(`${conversation(request.user)}/abort`, {}), response);
});

app.get('/events', async (request, response) => {
    // There must be something to listen to. One that is there already (409) is as good.
    await post(`${gateway}/v1/sessions`, { sessionKey: `chat:${request.user}` });
    const left = new AbortController();
    response.on('close', () => left.abort());
    const seen = request.get('last-event-id');
    const events = await fetch(`${conversation(request.user)}/events`, {
        headers: { ...credential, accept: 'text/event-stream', ...(seen && { 'last-event-id': seen }) },
        signal: left.signal,
    });
    if (!events.ok) return passOn(events, response);
    response.set({ 'content-type': 'text/event-stream', 'cache-control': 'no-cache', 'x-accel-buffering': 'no' });
    response.flushHeaders();
    // The browser comes back with the id of the last event that it saw, whichever side was cut.
    await pipeline(Readable.fromWeb(events.body), response).catch(() => response.end());
});

const server = app.listen(process.env.PORT ?? 3000, '127.0.0.1', () => {
    console.log(`listening on http://127.0.0.1:${server.address().port}`);
});

// What the page of the back ends does, by an event source of its own. Run: node page.mjs BACK_END
import { EventSource } from 'eventsource';
import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';

const backEnd = process.argv[2];
let cookie;

/** Keeps the cookie, as a browser does. */
async function asBrowser(url, init) {
    const headers = { ...init?.headers, ...(cookie && { cookie }) };
    const answer = await fetch(url, { ...init, headers });
    cookie ??= answer.headers.get('set-cookie')?.split(';')[0];
    return answer;
}

async function post(path, body, id = randomUUID()) {
    const headers = { 'content-type': 'application/json', 'idempotency-key': id };
    const answer = await asBrowser(backEnd + path, { method: 'POST', headers, body: JSON.stringify(body) });
    return [answer.status, await answer.json()];
}

/** Events of the user's conversation, and the connections that it took to get them. */
function listen() {
    const heard = { events: [], opened: 0, seen: [] };
    heard.source = new EventSource(`${backEnd}/events`, { fetch: asBrowser });
    heard.source.onopen = () => void heard.opened++;
    heard.source.onmessage = ({ data, lastEventId }) => {
        heard.events.push(JSON.parse(data));
        if (lastEventId) heard.seen.push(lastEventId);
    };
    return heard;
}

async function until(what) {
    for (let attempt = 0; attempt < 3000; attempt++) {
        const found = what();
        if (found) return found;
        await new Promise((resolve) => setTimeout(resolve, 10));
    }
    assert.fail(`never: ${what}`);
}

const ends = (heard) => heard.events.flatMap(({ turnEnded }) => turnEnded?.turn ?? []);

async function an_answer_streams_and_a_repeat_runs_once() {
    const heard = listen();
    await until(() => heard.opened);
    const id = randomUUID();
    for (let attempt = 0; attempt < 2; attempt++) {
        const [status] = await post('/ask', { text: '!delay=5ms hello there' }, id);
        assert.equal(status, 200);
    }
    const turn = await until(() => ends(heard)[0]);
    assert.equal(turn.responseText, 'hello there');
    assert.equal(heard.events.filter(({ turnQueued }) => turnQueued).length, 1);
    assert.ok(heard.events.some(({ token }) => token), 'it streams');
    heard.source.close();
}

async function a_stop_is_told() {
    const heard = listen();
    await until(() => heard.opened);
    await post('/ask', { text: '!hang' });
    await until(() => heard.events.some(({ turnStarted }) => turnStarted));
    const [status] = await post('/stop', {});
    assert.equal(status, 200);
    const turn = await until(() => ends(heard).at(-1));
    assert.equal(turn.state, 'TURN_STATE_CANCELED');
    heard.source.close();
}

async function what_the_gateway_refuses_is_passed_on() {
    const [status, problem] = await post('/ask', { text: ' ' });
    assert.equal(status, 400);
    assert.equal(problem.reason, 'INVALID_FIELD');
}

/** An event source knows the id of what it saw; a new connection goes on behind it. */
async function a_reconnect_loses_and_repeats_nothing() {
    const heard = listen();
    await until(() => heard.opened);
    await post('/ask', { text: '!delay=20ms !repeat=30 word' });
    await until(() => heard.events.some(({ token }) => token));
    const seen = heard.seen.at(-1);
    heard.source.close();
    const headers = { cookie, 'last-event-id': seen, accept: 'text/event-stream' };
    const answer = await fetch(`${backEnd}/events`, { headers });
    const ids = [];
    let text = '';
    for await (const part of answer.body.pipeThrough(new TextDecoderStream())) {
        text += part;
        ids.length = 0;
        for (const [, id] of text.matchAll(/^id: (.+)$/gm)) ids.push(id);
        if (text.includes('"turnEnded"')) break;
    }
    const place = (id) => Number(id.split(':')[1]);
    assert.equal(place(ids[0]), place(seen) + 1);
    ids.forEach((id, at) => assert.equal(place(id), place(ids[0]) + at));
}

for (const play of [
    an_answer_streams_and_a_repeat_runs_once,
    a_stop_is_told,
    what_the_gateway_refuses_is_passed_on,
    a_reconnect_loses_and_repeats_nothing,
]) {
    await play();
    console.log(`ok ${play.name}`);
}
process.exit(0);

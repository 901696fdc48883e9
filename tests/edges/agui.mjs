// What a page does with AG-UI's own client. Run: node agui.mjs ADDRESS
import { HttpAgent } from '@ag-ui/client';
import assert from 'node:assert/strict';

const address = process.argv[2];

/** Runs, and keeps every event; the client itself refuses those that are out of order. */
async function run(session, input, more = {}) {
    const agent = input.agent ?? new HttpAgent({ url: `${address}/v1/sessions/${session}/agui`, threadId: session });
    if (input.text) agent.addMessage({ id: crypto.randomUUID(), role: 'user', content: input.text });
    const events = [];
    const result = await agent.runAgent(
        { runId: input.run ?? crypto.randomUUID(), ...more },
        { onEvent: ({ event }) => void events.push(event) },
    );
    return { agent, events, result };
}

async function a_run_comes_as_events() {
    const { agent, events } = await run('agui-run', { text: '!think=let_me_see !tool=calculator two and two' });
    assert.equal(events[0].type, 'RUN_STARTED');
    assert.equal(events.at(-1).type, 'RUN_FINISHED');
    assert.equal(events.at(-1).outcome.type, 'success');
    const said = agent.messages.filter((it) => it.role === 'assistant' && it.content);
    assert.equal(said.at(-1).content, 'two and two');
    const result = agent.messages.find((it) => it.role === 'tool');
    assert.ok(result.content);
    const thought = events.filter((it) => it.type === 'REASONING_MESSAGE_CONTENT').map((it) => it.delta);
    assert.equal(thought.join(''), 'let me see');
}

async function the_same_run_is_the_same_turn() {
    const id = crypto.randomUUID();
    await run('agui-again', { text: 'once', run: id });
    const { events } = await run('agui-again', { text: 'once', run: id });
    assert.equal(events.at(-1).type, 'RUN_FINISHED');
    const list = await (await fetch(`${address}/v1/sessions/agui-again/turns`)).json();
    assert.equal(list.turns.length, 1);
}

async function a_question_is_an_interrupt() {
    for (const approved of [true, false]) {
        const session = `agui-ask-${approved}`;
        const { agent, events } = await run(session, { text: '!ask=bash make it so' });
        const { outcome } = events.at(-1);
        assert.equal(outcome.type, 'interrupt', JSON.stringify(events.at(-1)));
        const [interrupt] = outcome.interrupts;
        const resume = [{ interruptId: interrupt.id, status: 'resolved', payload: { approved } }];
        const next = await run(session, { agent }, { resume });
        assert.equal(next.events.at(-1).outcome.type, 'success');
        const list = await (await fetch(`${address}/v1/sessions/${session}/turns`)).json();
        assert.equal(list.turns.length, 1);
        assert.equal(list.turns[0].state, 'TURN_STATE_COMPLETED');
    }
}

async function the_pages_tools_are_run_by_the_page() {
    const session = 'agui-tools';
    const tools = [{ name: 'weather', description: 'd', parameters: { type: 'object' } }];
    const calls = '!call=weather {"city": "Ghent"} !call=weather {"city": "Rome"} !tool=bash here';
    const { agent, events } = await run(session, { text: calls }, { tools });
    const { outcome } = events.at(-1);
    assert.equal(outcome.type, 'success', JSON.stringify(events.at(-1)));
    const pending = agent.messages.flatMap((it) => it.toolCalls ?? []).filter((it) => it.function.name === 'weather');
    assert.deepEqual(pending.map((it) => JSON.parse(it.function.arguments).city), ['Ghent', 'Rome']);
    assert.deepEqual(outcome.pendingToolCallIds.sort(), pending.map((it) => it.id).sort());
    for (const { id } of pending) {
        agent.addMessage({ id: crypto.randomUUID(), role: 'tool', toolCallId: id, content: '21' });
    }
    const next = await run(session, { agent }, { tools });
    assert.equal(next.events.at(-1).outcome.type, 'success');
    assert.equal(next.events.at(-1).outcome.pendingToolCallIds, undefined);
    const said = agent.messages.filter((it) => it.role === 'assistant' && it.content);
    assert.equal(said.at(-1).content, '[weather: 21] [weather: 21] here');
    const results = agent.messages.filter((it) => it.role === 'tool' && pending.some((call) => call.id === it.toolCallId));
    assert.equal(results.length, 2, 'each has one result');
}

async function a_failure_is_an_error() {
    const agent = new HttpAgent({ url: `${address}/v1/sessions/agui-fail/agui`, threadId: 'agui-fail' });
    agent.addMessage({ id: '1', role: 'user', content: '!fail=no_luck' });
    const events = [];
    await agent.runAgent({}, { onEvent: ({ event }) => void events.push(event) }).catch(() => undefined);
    assert.equal(events.at(-1).type, 'RUN_ERROR');
    assert.equal(events.at(-1).code, 'AGENT_ERROR');
}

for (const test of [
    a_run_comes_as_events,
    the_same_run_is_the_same_turn,
    a_question_is_an_interrupt,
    the_pages_tools_are_run_by_the_page,
    a_failure_is_an_error,
]) {
    await test();
    console.log(`ok ${test.name}`);
}
process.exit(0);

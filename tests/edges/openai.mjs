// What a service does with OpenAI's own library. Run: node openai.mjs ADDRESS
import OpenAI from 'openai';
import assert from 'node:assert/strict';

const address = process.argv[2];
const client = new OpenAI({ baseURL: `${address}/openai/v1`, apiKey: 'none', maxRetries: 2 });
const user = (content) => ({ role: 'user', content });

async function agents_are_models() {
    const models = await client.models.list();
    assert.ok(models.data.some((it) => it.id === 'echo'), JSON.stringify(models));
}

async function an_answer_comes_whole() {
    const whole = await client.chat.completions.create({ model: 'echo', messages: [user('!think=hm hello there')] });
    assert.equal(whole.choices[0].message.content, 'hello there');
    assert.equal(whole.choices[0].message.reasoning_content, 'hm');
    assert.equal(whole.choices[0].finish_reason, 'stop');
    assert.equal(whole.usage.total_tokens, whole.usage.prompt_tokens + whole.usage.completion_tokens);
}

async function an_answer_comes_as_it_is_made() {
    const stream = client.chat.completions.stream({
        model: 'echo',
        messages: [user('!tool=calculator !delay=10ms one two three')],
        stream_options: { include_usage: true },
    });
    let deltas = 0;
    stream.on('content', () => deltas++);
    const final = await stream.finalChatCompletion();
    assert.equal(final.choices[0].message.content, 'one two three');
    assert.equal(final.choices[0].message.tool_calls, undefined, 'the caller would run them');
    assert.ok(deltas >= 3, `${deltas}`);
    assert.ok(final.usage);
}

async function a_session_goes_on() {
    const headers = { 'x-quarterdeck-session': 'openai-session' };
    const first = [user('one')];
    const one = await client.chat.completions.create({ model: 'echo', messages: first }, { headers });
    const next = [...first, one.choices[0].message, user('!history two')];
    const two = await client.chat.completions.create({ model: 'echo', messages: next }, { headers });
    assert.equal(two.choices[0].message.content, '1', 'it knows of the message before');
}

async function a_repeat_is_the_same_answer() {
    const headers = { 'idempotency-key': 'order-1' };
    const ask = () => client.chat.completions.create({ model: 'echo', messages: [user('once')] }, { headers });
    const [one, two] = [await ask(), await ask()];
    assert.equal(one.id, two.id);
}

async function refusals_are_its_errors() {
    await assert.rejects(
        client.chat.completions.create({ model: 'echo', messages: [user('x')], tools: [{ type: 'custom', custom: { name: 'f' } }] }),
        (error) => error instanceof OpenAI.BadRequestError && error.code === 'INVALID_FIELD' && error.param === 'tools',
    );
    await assert.rejects(
        client.chat.completions.create({ model: 'nobody', messages: [user('x')] }),
        (error) => error instanceof OpenAI.APIError && error.status < 500,
    );
    await assert.rejects(
        client.chat.completions.create({ model: 'echo', messages: [user('!fail=no_luck')] }),
        (error) => error instanceof OpenAI.APIError && error.code === 'AGENT_ERROR',
    );
    const stream = await client.chat.completions.create({ model: 'echo', messages: [user('!fail=no_luck')], stream: true });
    await assert.rejects(async () => {
        for await (const _ of stream);
    }, (error) => error instanceof OpenAI.APIError && error.code === 'AGENT_ERROR');
}

const weather = {
    type: 'function',
    function: { name: 'weather', description: 'd', parameters: { type: 'object', properties: { city: { type: 'string' } } } },
};

/** Both at once, with a session and without one, whole and as it is made. */
async function functions_are_run_by_the_caller() {
    const calls = '!call=weather {"city": "Ghent"} !call=weather {"city": "Rome"} here';
    for (const headers of [{ 'x-quarterdeck-session': 'openai-tools' }, {}]) {
        for (const stream of [false, true]) {
            const messages = [user(calls)];
            const ask = async () => {
                const body = { model: 'echo', messages, tools: [weather] };
                if (!stream) return (await client.chat.completions.create(body, { headers })).choices[0];
                return (await client.chat.completions.stream(body, { headers }).finalChatCompletion()).choices[0];
            };
            const first = await ask();
            assert.equal(first.finish_reason, 'tool_calls');
            const asked = first.message.tool_calls;
            assert.deepEqual(asked.map((it) => JSON.parse(it.function.arguments).city), ['Ghent', 'Rome']);
            messages.push(first.message);
            for (const { id, function: { name } } of asked) {
                assert.equal(name, 'weather');
                messages.push({ role: 'tool', tool_call_id: id, content: '21' });
            }
            const second = await ask();
            assert.equal(second.finish_reason, 'stop');
            assert.equal(second.message.content, '[weather: 21] [weather: 21] here');
            // A repeat, as after a lost connection, is told the same.
            assert.equal((await ask()).message.content, second.message.content);
        }
    }
    // One result at a time; the arguments of the rest come whole again, however long they are.
    const headers = { 'x-quarterdeck-session': 'openai-long' };
    const city = 'Ghent '.repeat(5000);
    const messages = [user(`!call=time !call=weather ${JSON.stringify({ city })} x`)];
    const body = { model: 'echo', messages, tools: [weather] };
    const both = (await client.chat.completions.create(body, { headers })).choices[0].message;
    messages.push(both, { role: 'tool', tool_call_id: both.tool_calls[0].id, content: '1' });
    const rest = (await client.chat.completions.create(body, { headers })).choices[0].message;
    assert.deepEqual(rest.tool_calls.map((it) => JSON.parse(it.function.arguments)), [{ city }]);
    await assert.rejects(
        client.chat.completions.create({ model: 'echo', messages: [user('x'), { role: 'tool', tool_call_id: 'call_1', content: '1' }] }),
        (error) => error instanceof OpenAI.BadRequestError && error.param === 'messages',
    );
}

async function its_runner_runs_functions() {
    const cities = [];
    const run = (args) => {
        cities.push(args.city);
        return { degrees: 21 };
    };
    const tools = [{ type: 'function', function: { ...weather.function, function: run, parse: JSON.parse } }];
    const runner = client.chat.completions.runTools(
        { model: 'echo', messages: [user('!call=weather {"city": "Ghent"} so')], tools, stream: false },
        { headers: { 'x-quarterdeck-session': 'openai-runner' } },
    );
    assert.equal(await runner.finalContent(), '[weather: {"degrees":21}] so');
    assert.deepEqual(cities, ['Ghent']);
}

async function a_format_is_a_schema() {
    const schema = { type: 'object', required: ['n'], properties: { n: { type: 'integer' } } };
    const response_format = { type: 'json_schema', json_schema: { name: 'n', schema } };
    const body = { model: 'echo', messages: [user('!json=1 !json={"n":7} words')], response_format };
    const whole = await client.chat.completions.create(body);
    assert.equal(whole.choices[0].message.content, '{"n":7}');
    const final = await client.chat.completions.stream(body).finalChatCompletion();
    assert.equal(final.choices[0].message.content, '{"n":7}', 'the words are not the content');
    await assert.rejects(
        client.chat.completions.create({ ...body, messages: [user('!json=1 words')] }),
        (error) => error instanceof OpenAI.APIError && error.code === 'OUTPUT_INVALID',
    );
}

async function a_picture_is_an_attachment() {
    const url = 'data:image/png;base64,iVBORw0KGgo=';
    const headers = { 'x-quarterdeck-session': 'openai-picture' };
    const content = [{ type: 'text', text: 'look' }, { type: 'image_url', image_url: { url } }];
    await client.chat.completions.create({ model: 'echo', messages: [user(content)] }, { headers });
    const response = await fetch(`${address}/v1/sessions/openai-picture/turns`);
    assert.equal((await response.json()).turns[0].attachments[0].mediaType, 'image/png');
}

async function who_leaves_stops_nothing() {
    const headers = { 'x-quarterdeck-session': 'openai-left' };
    const stop = new AbortController();
    const messages = [user('!delay=10ms !repeat=30 tick')];
    const stream = await client.chat.completions.create({ model: 'echo', messages, stream: true }, { headers, signal: stop.signal });
    for await (const _ of stream) break;
    stop.abort();
    const list = await (await fetch(`${address}/v1/sessions/openai-left/turns`)).json();
    const path = `/v1/sessions/openai-left/turns/${list.turns[0].turnId}/await?wait=20s`;
    const { turn } = await (await fetch(address + path)).json();
    assert.equal(turn.state, 'TURN_STATE_COMPLETED');
}

for (const test of [
    agents_are_models,
    an_answer_comes_whole,
    an_answer_comes_as_it_is_made,
    a_session_goes_on,
    a_repeat_is_the_same_answer,
    refusals_are_its_errors,
    functions_are_run_by_the_caller,
    its_runner_runs_functions,
    a_format_is_a_schema,
    a_picture_is_an_attachment,
    who_leaves_stops_nothing,
]) {
    await test();
    console.log(`ok ${test.name}`);
}
process.exit(0);

// What a service does with OpenAI's own library and its Responses. Run: node responses.mjs ADDRESS
import OpenAI from 'openai';
import assert from 'node:assert/strict';

const address = process.argv[2];
const client = new OpenAI({ baseURL: `${address}/openai/v1`, apiKey: 'none', maxRetries: 2 });
const responses = client.responses;
/** The library adds `output_text` to whole responses alone. */
const text_of = ({ output }) => output.flatMap((it) => it.content ?? []).map((it) => it.text).join('');
const refusal = (status, code, param) => (error) =>
    error instanceof OpenAI.APIError && error.status === status && error.code === code && (param === undefined || error.param === param);

async function a_response_comes_whole() {
    const response = await responses.create({ model: 'echo', input: '!think=hm !tool=calculator hello there', metadata: { order: '7' } });
    assert.equal(response.status, 'completed');
    assert.equal(response.output_text, 'hello there');
    assert.deepEqual(response.metadata, { order: '7' });
    const kinds = response.output.map((it) => it.type);
    assert.deepEqual([...kinds].sort(), ['mcp_call', 'message', 'reasoning'], JSON.stringify(kinds));
    const call = response.output.find((it) => it.type === 'mcp_call');
    assert.equal(call.name, 'calculator');
    assert.equal(call.server_label, 'echo');
    assert.equal(call.status, 'completed');
    assert.equal(response.usage.total_tokens, response.usage.input_tokens + response.usage.output_tokens);
    const again = await responses.retrieve(response.id);
    assert.deepEqual(again.output, response.output);
    assert.equal(again.status, 'completed');
    const items = await responses.inputItems.list(response.id);
    assert.equal(items.data[0].content[0].text, '!think=hm !tool=calculator hello there');
}

async function a_response_comes_as_it_is_made() {
    const stream = responses.stream({ model: 'echo', input: '!think=hm !tool=calculator !delay=10ms one two three' });
    const kinds = [];
    let before = -1;
    stream.on('event', (event) => {
        kinds.push(event.type);
        assert.ok(event.sequence_number > before, `${before} ${JSON.stringify(event)}`);
        before = event.sequence_number;
    });
    const final = await stream.finalResponse();
    assert.equal(final.output_text, 'one two three');
    assert.equal(kinds[0], 'response.created');
    assert.equal(kinds.at(-1), 'response.completed');
    for (const kind of ['response.in_progress', 'response.reasoning_summary_text.delta', 'response.mcp_call.completed', 'response.output_text.done'])
        assert.ok(kinds.includes(kind), `${kind} in ${kinds}`);
    assert.ok(kinds.filter((it) => it === 'response.output_text.delta').length >= 3);
}

// Cut wherever it may be: what comes behind is the rest, to the byte.
async function a_cut_stream_goes_on_where_it_was() {
    const stream = await responses.create({ model: 'echo', stream: true, input: '!think=hm_hm !tool=calculator !delay=5ms a bc déf ghij €' });
    const all = [];
    for await (const event of stream) all.push(event);
    const id = all[0].response.id;
    const whole = all.at(-1).response;
    const said = (events) => {
        const texts = new Map();
        for (const it of events)
            if (it.type.endsWith('_text.delta')) texts.set(it.item_id, (texts.get(it.item_id) ?? '') + it.delta);
        return texts;
    };
    for (let cut = 0; cut < all.length - 1; cut++) {
        const had = all.slice(0, cut + 1);
        const rest = [];
        for await (const event of await responses.retrieve(id, { stream: true, starting_after: had.at(-1).sequence_number })) rest.push(event);
        const at = `after ${JSON.stringify(had.at(-1))}: ${JSON.stringify(rest)}`;
        assert.deepEqual(rest.at(-1).response.output, whole.output, at);
        // A tail has what was said since in one piece.
        assert.deepEqual(said([...had, ...rest]), said(all), at);
        for (const kind of ['response.output_item.added', 'response.output_item.done', 'response.created']) {
            const count = (events) => events.filter((it) => it.type === kind).length;
            assert.equal(count([...had, ...rest]), count(all), `${kind} ${at}`);
        }
    }
    // Its own helper asks for all of it.
    const helped = responses.stream({ response_id: id });
    assert.equal((await helped.finalResponse()).output_text, text_of(whole));
}

async function a_live_stream_is_cut_and_goes_on() {
    const stop = new AbortController();
    const stream = await responses.create({ model: 'echo', stream: true, background: true, input: '!delay=10ms !repeat=40 tick' }, { signal: stop.signal });
    let last;
    let id;
    let text = '';
    let deltas = 0;
    for await (const event of stream) {
        id ??= event.response?.id;
        last = event.sequence_number;
        if (event.type === 'response.output_text.delta') {
            text += event.delta;
            if (++deltas === 3) break;
        }
    }
    stop.abort();
    const kinds = [];
    for await (const event of await responses.retrieve(id, { stream: true, starting_after: last })) {
        kinds.push(event.type);
        if (event.type === 'response.output_text.delta') text += event.delta;
        if (event.type === 'response.completed') assert.equal(text_of(event.response), text);
    }
    assert.equal(kinds.at(-1), 'response.completed');
    assert.equal(kinds.filter((it) => it === 'response.output_item.added').length, 0, `${kinds}`);
}

async function one_follows_another() {
    const one = await responses.create({ model: 'echo', input: 'one' });
    const two = await responses.create({ model: 'echo', input: '!history two', previous_response_id: one.id });
    assert.equal(two.output_text, '1');
    assert.equal(two.previous_response_id, one.id);
    // An older one is followed in a copy of the conversation up to it.
    const other = await responses.create({ model: 'echo', input: '!history other', previous_response_id: one.id });
    assert.equal(other.output_text, '1');
    const third = await responses.create({ model: 'echo', input: '!history three', previous_response_id: two.id });
    assert.equal(third.output_text, '2');
    await assert.rejects(
        responses.create({ model: 'echo', input: 'x', previous_response_id: 'resp_nothing' }),
        refusal(400, 'previous_response_not_found', 'previous_response_id'),
    );
}

async function a_conversation_is_a_session() {
    const conversation = await client.conversations.create({ metadata: { topic: 'trip' } });
    await responses.create({ model: 'echo', input: '!tool=calculator one', conversation: conversation.id });
    const two = await responses.create({ model: 'echo', input: '!history two', conversation: { id: conversation.id } });
    assert.equal(two.output_text, '1');
    assert.equal(two.conversation.id, conversation.id);
    const known = await client.conversations.retrieve(conversation.id);
    assert.deepEqual(known.metadata, { topic: 'trip' });
    const items = [];
    for await (const item of client.conversations.items.list(conversation.id, { order: 'asc', limit: 2 })) items.push(item);
    assert.deepEqual(items.map((it) => it.role ?? it.type), ['user', 'mcp_call', 'assistant', 'user', 'assistant']);
    await client.conversations.update(conversation.id, { metadata: { topic: 'home' } });
    assert.deepEqual((await client.conversations.retrieve(conversation.id)).metadata, { topic: 'home' });
    await assert.rejects(client.conversations.items.create(conversation.id, { items: [] }), refusal(501, 'not_supported'));
    assert.equal((await client.conversations.delete(conversation.id)).deleted, true);
    await assert.rejects(client.conversations.retrieve(conversation.id), (error) => error instanceof OpenAI.NotFoundError);
    // One that nobody made is made by its first response, as any session.
    const own = await responses.create({ model: 'echo', input: 'x', conversation: 'my:own' });
    assert.equal(own.conversation.id, 'my:own');
    await assert.rejects(
        responses.create({ model: 'echo', input: 'x', conversation: 'my:own', previous_response_id: own.id }),
        refusal(400, 'invalid_value', 'conversation'),
    );
}

async function what_runs_in_the_background_is_read_and_cancelled() {
    const queued = await responses.create({ model: 'echo', input: '!hang x', background: true });
    assert.ok(['queued', 'in_progress'].includes(queued.status), queued.status);
    assert.equal(queued.background, true);
    const canceled = await responses.cancel(queued.id);
    assert.equal(canceled.status, 'cancelled');
    assert.equal((await responses.cancel(queued.id)).status, 'cancelled', 'again is no fault');
    const done = await responses.create({ model: 'echo', input: 'quick', background: true });
    let response;
    do response = await responses.retrieve(done.id);
    while (['queued', 'in_progress'].includes(response.status));
    assert.equal(response.output_text, 'quick');
}

async function an_approval_ends_a_response_and_the_answer_begins_the_next() {
    for (const approve of [true, false]) {
        const input = '!ask=bash done then';
        const asked = await responses.create({ model: 'echo', input });
        assert.equal(asked.status, 'completed');
        const request = asked.output.find((it) => it.type === 'mcp_approval_request');
        assert.equal(request.name, 'bash');
        assert.ok(!asked.output.some((it) => it.type === 'mcp_call'), 'it did not run yet');
        await assert.rejects(
            responses.create({ model: 'echo', input: 'hurry', previous_response_id: asked.id }),
            refusal(400, 'approval_required', 'input'),
        );
        const answer = [{ type: 'mcp_approval_response', approval_request_id: request.id, approve, reason: 'because' }];
        const stream = responses.stream({ model: 'echo', input: answer, previous_response_id: asked.id });
        const final = await stream.finalResponse();
        assert.notEqual(final.id, asked.id);
        assert.equal(final.status, 'completed');
        assert.ok(final.output_text.includes('done then'), final.output_text);
        const call = final.output.find((it) => it.type === 'mcp_call');
        if (call) assert.equal(call.status, approve ? 'completed' : 'failed');
        // Both are read again as they were, and the same answer is no fault.
        assert.deepEqual((await responses.retrieve(asked.id)).output, asked.output);
        const again = await responses.create({ model: 'echo', input: answer, previous_response_id: asked.id });
        assert.equal(again.id, final.id);
        assert.deepEqual((await responses.retrieve(final.id)).output, again.output);
        assert.equal(text_of(again), final.output_text);
    }
    const last = await responses.create({ model: 'echo', input: 'x' });
    await assert.rejects(
        responses.create({
            model: 'echo',
            previous_response_id: last.id,
            input: [{ type: 'mcp_approval_response', approval_request_id: 'mcpr_00000000-0000-7000-8000-000000000000', approve: true }],
        }),
        refusal(400, 'approval_request_not_found', 'input'),
    );
}

const weather = {
    type: 'function', name: 'weather', description: 'Tells the weather.', strict: true,
    parameters: { type: 'object', properties: { city: { type: 'string' } }, required: ['city'], additionalProperties: false },
};
const of_kind = ({ output }, kind) => output.filter((it) => it.type === kind);
const result = ({ call_id }, output) => ({ type: 'function_call_output', call_id, output });

async function a_tool_of_the_callers_is_a_function_call() {
    const asked = await responses.create({ model: 'echo', input: '!call=weather {"city": "Ghent"} so', tools: [weather] });
    assert.equal(asked.status, 'completed');
    assert.deepEqual(asked.tools.map((it) => it.name), ['weather']);
    const [call] = of_kind(asked, 'function_call');
    assert.equal(call.name, 'weather');
    assert.deepEqual(JSON.parse(call.arguments), { city: 'Ghent' });
    await assert.rejects(
        responses.create({ model: 'echo', input: 'hurry', previous_response_id: asked.id }),
        refusal(400, 'approval_required', 'input'),
    );
    // The same request again, as any library sends it: with all tools, and after a lost answer once more.
    const input = [result(call, '{"degrees":7}')];
    const answer = () => responses.create({ model: 'echo', input, tools: [weather], previous_response_id: asked.id });
    const final = await answer();
    assert.equal(final.status, 'completed');
    assert.equal(final.output_text, '[weather: {"degrees":7}] so');
    assert.deepEqual(final.output.map((it) => it.type), ['message'], 'what the caller ran is no call of the agent');
    const again = await answer();
    assert.equal(again.id, final.id);
    assert.deepEqual(again.output, final.output);
    assert.deepEqual((await responses.retrieve(asked.id)).output, asked.output);
}

async function a_function_call_is_streamed_and_cut_anywhere() {
    const body = { model: 'echo', input: '!think=hm !call=weather {"city": "Ghent"} so', tools: [weather] };
    const helper = responses.stream(body);
    let arguments_ = '';
    helper.on('response.function_call_arguments.delta', (event) => (arguments_ += event.delta));
    const asked = await helper.finalResponse();
    const [call] = of_kind(asked, 'function_call');
    assert.deepEqual(JSON.parse(arguments_), { city: 'Ghent' });
    assert.deepEqual(call.parsed_arguments, { city: 'Ghent' });
    const all = [];
    for await (const event of await responses.retrieve(asked.id, { stream: true })) all.push(event);
    for (const kind of ['output_item.added', 'function_call_arguments.delta', 'function_call_arguments.done', 'output_item.done'])
        assert.ok(all.some((it) => it.type === `response.${kind}`), kind);
    for (let cut = 0; cut < all.length - 1; cut++) {
        const rest = [];
        const starting_after = all[cut].sequence_number;
        for await (const event of await responses.retrieve(asked.id, { stream: true, starting_after })) rest.push(event);
        const kinds = (events) => events.map((it) => it.type).filter((it) => !it.endsWith('_text.delta'));
        assert.deepEqual(kinds([...all.slice(0, cut + 1), ...rest]), kinds(all), `cut ${cut}`);
    }
    const next = responses.stream({ ...body, input: [result(call, 'sunny')], previous_response_id: asked.id });
    assert.equal((await next.finalResponse()).output_text, '[weather: "sunny"] so');
}

async function results_come_with_the_history_or_in_the_conversation() {
    // Libraries that keep the history themselves name nothing else.
    const question = { role: 'user', content: '!call=weather !call=weather {"city": "Ghent"} so' };
    const asked = await responses.create({ model: 'echo', input: [question], tools: [weather] });
    const calls = of_kind(asked, 'function_call');
    assert.equal(calls.length, 2);
    const history = [question, ...asked.output, ...calls.map((it, at) => result(it, `${at}`))];
    const final = await responses.create({ model: 'echo', input: history, tools: [weather] });
    assert.equal(final.output_text, '[weather: 0] [weather: 1] so');
    await assert.rejects(
        responses.create({ model: 'echo', input: [result({ call_id: 'call_x' }, '1')] }),
        refusal(400, 'missing_parameter', 'previous_response_id'),
    );
    const conversation = 'weather:talk';
    await responses.create({ model: 'echo', input: 'before', conversation });
    const there = await responses.create({ model: 'echo', input: '!ask=bash !call=weather then', conversation, tools: [weather] });
    const approval = of_kind(there, 'mcp_approval_request');
    const [call] = of_kind(there, 'function_call');
    const parts = [{ type: 'input_text', text: 'fog' }];
    const input = [...approval.map((it) => ({ type: 'mcp_approval_response', approval_request_id: it.id, approve: true })), result(call, parts)];
    const told = await responses.create({ model: 'echo', input, conversation });
    assert.equal(told.status, 'completed');
    assert.ok(told.output_text.includes('[weather: "fog"]'), told.output_text);
    assert.deepEqual((await responses.retrieve(told.id)).output, told.output);
}

async function a_text_has_the_format_that_is_asked_for() {
    const schema = { type: 'object', properties: { city: { type: 'string' } }, required: ['city'], additionalProperties: false };
    const text = { format: { type: 'json_schema', name: 'place', schema, strict: true } };
    const response = await responses.parse({ model: 'echo', input: '!json={"city":"Ghent"} where?', text });
    assert.deepEqual(response.output_parsed, { city: 'Ghent' });
    assert.equal(response.text.format.name, 'place');
    assert.deepEqual(response.output.filter((it) => it.type === 'message').length, 1, 'the output is the only text');
    const helper = responses.stream({ model: 'echo', input: '!json={"city":"Ghent"} !call=weather so', text, tools: [weather] });
    const [call] = of_kind(await helper.finalResponse(), 'function_call');
    const id = (await helper.finalResponse()).id;
    const all = [];
    const stream = await responses.create({ model: 'echo', input: [result(call, '1')], previous_response_id: id, stream: true });
    for await (const event of stream) all.push(event);
    const final = all.at(-1).response;
    assert.equal(text_of(final), '{"city":"Ghent"}');
    assert.deepEqual((await responses.retrieve(final.id)).output, final.output);
    for (let cut = 0; cut < all.length - 1; cut++) {
        const rest = [];
        const starting_after = all[cut].sequence_number;
        for await (const event of await responses.retrieve(final.id, { stream: true, starting_after })) rest.push(event);
        const said = [...all.slice(0, cut + 1), ...rest].filter((it) => it.type === 'response.output_text.delta');
        assert.deepEqual(said.map((it) => it.delta), ['{"city":"Ghent"}'], `cut ${cut}`);
    }
    const object = await responses.create({ model: 'echo', input: '!json={"a":1} x', text: { format: { type: 'json_object' } } });
    assert.equal(object.output_text, '{"a":1}');
    const wrong = await responses.create({ model: 'echo', input: '!json=7 x', text });
    assert.equal(wrong.status, 'failed');
    assert.equal(wrong.error.code, 'OUTPUT_INVALID');
}

async function refusals_are_its_errors_and_are_not_repeated() {
    await assert.rejects(
        responses.create({ model: 'echo', input: 'x', instructions: 'be brief' }),
        refusal(400, 'unsupported_parameter', 'instructions'),
    );
    const refuses = (more, param) =>
        assert.rejects(responses.create({ model: 'echo', input: 'x', ...more }), refusal(400, 'unsupported_parameter', param));
    await refuses({ tools: [{ type: 'web_search' }] }, 'tools');
    await refuses({ tools: [weather], tool_choice: 'required' }, 'tool_choice');
    await refuses({ tools: [weather], tool_choice: { type: 'function', name: 'weather' } }, 'tool_choice');
    await refuses({ text: { format: { type: 'grammar' } } }, 'text.format');
    const none = await responses.create({ model: 'echo', input: 'x', tools: [weather], tool_choice: 'none' });
    assert.deepEqual(none.tools, []);
    await assert.rejects(responses.create({ model: 'nobody', input: 'x' }), (error) => error instanceof OpenAI.APIError && error.status < 500);
    await assert.rejects(responses.retrieve('resp_nothing'), refusal(404, 'response_not_found'));
    const kept = await responses.create({ model: 'echo', input: 'x' });
    await assert.rejects(responses.delete(kept.id), refusal(501, 'not_supported'));
    await assert.rejects(client.get('/nothing'), refusal(404, 'unknown_path'));
    const failed = await responses.create({ model: 'echo', input: '!fail=no_luck' });
    assert.equal(failed.status, 'failed');
    assert.equal(failed.error.code, 'AGENT_ERROR');
    const stream = responses.stream({ model: 'echo', input: '!fail=no_luck' });
    assert.equal((await stream.finalResponse()).status, 'failed');
}

async function a_repeat_is_the_same_response() {
    const headers = { 'idempotency-key': 'order-1' };
    const ask = () => responses.create({ model: 'echo', input: 'once' }, { headers });
    const [one, two] = [await ask(), await ask()];
    assert.equal(one.id, two.id);
    const follow = () => responses.create({ model: 'echo', input: 'twice', previous_response_id: one.id }, { headers: { 'idempotency-key': 'order-2' } });
    assert.equal((await follow()).id, (await follow()).id);
}

async function pictures_and_files_are_attachments() {
    const content = [
        { type: 'input_text', text: 'look' },
        { type: 'input_image', detail: 'auto', image_url: 'data:image/png;base64,iVBORw0KGgo=' },
        { type: 'input_file', filename: 'a.txt', file_data: 'data:text/plain;base64,aGk=' },
    ];
    const response = await responses.create({ model: 'echo', conversation: 'pictures', input: [{ role: 'user', content }] });
    const { turns } = await (await fetch(`${address}/v1/sessions/pictures/turns`)).json();
    assert.deepEqual(turns[0].attachments.map((it) => it.mediaType), ['image/png', 'text/plain']);
    const items = await responses.inputItems.list(response.id);
    assert.equal(items.data[0].content.length, 3);
    content[1].image_url = 'https://example.com/a.png';
    await assert.rejects(responses.create({ model: 'echo', input: [{ role: 'user', content }] }), refusal(400, 'invalid_value', 'input'));
}

async function who_leaves_stops_nothing_unless_it_asks_for_that() {
    const leave = async (query) => {
        const stop = new AbortController();
        const body = { model: 'echo', input: '!delay=10ms !repeat=30 tick', stream: true };
        const stream = await client.post(`/responses${query}`, { body, stream: true, signal: stop.signal });
        let id;
        for await (const event of stream) {
            id ??= event.response?.id;
            if (event.type === 'response.output_text.delta') break;
        }
        stop.abort();
        let response;
        do response = await responses.retrieve(id);
        while (['queued', 'in_progress'].includes(response.status));
        return response.status;
    };
    assert.equal(await leave(''), 'completed');
}

for (const test of [
    a_response_comes_whole,
    a_response_comes_as_it_is_made,
    a_cut_stream_goes_on_where_it_was,
    a_live_stream_is_cut_and_goes_on,
    one_follows_another,
    a_conversation_is_a_session,
    what_runs_in_the_background_is_read_and_cancelled,
    an_approval_ends_a_response_and_the_answer_begins_the_next,
    a_tool_of_the_callers_is_a_function_call,
    a_function_call_is_streamed_and_cut_anywhere,
    results_come_with_the_history_or_in_the_conversation,
    a_text_has_the_format_that_is_asked_for,
    refusals_are_its_errors_and_are_not_repeated,
    a_repeat_is_the_same_response,
    pictures_and_files_are_attachments,
    who_leaves_stops_nothing_unless_it_asks_for_that,
]) {
    await test();
    console.log(`ok ${test.name}`);
}
process.exit(0);

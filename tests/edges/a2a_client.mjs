// What another agent does with the official A2A library, over both JSON bindings. Run: node a2a_client.mjs ADDRESS
import { ClientFactory, ClientFactoryOptions, JsonRpcTransportFactory, RestTransportFactory } from '@a2a-js/sdk/client';
import { StreamResponse } from '@a2a-js/sdk';
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer } from 'node:http';

const address = process.argv[2];
const STATE = { SUBMITTED: 1, WORKING: 2, COMPLETED: 3, FAILED: 4, CANCELED: 5, INPUT_REQUIRED: 6, REJECTED: 7 };
let messages = 0;

const part = (content) => ({ content, metadata: undefined, filename: '', mediaType: '' });
const text = (value) => part({ $case: 'text', value });
const data = (value) => part({ $case: 'data', value });

const say = (parts, also = {}) => ({
    tenant: '',
    message: { messageId: `js-${process.pid}-${++messages}`, contextId: '', taskId: '', role: 1, parts: [].concat(parts), metadata: undefined, extensions: [], referenceTaskIds: [], ...also },
    configuration: undefined,
    metadata: undefined,
});
const said = (task) => task.artifacts.map((it) => it.parts[0].content.value).join('');

/** What a client has of a task when its stream ends. */
async function read(stream) {
    const seen = { task: undefined, states: [], text: '', asked: undefined };
    for await (const { payload } of stream) {
        switch (payload.$case) {
            case 'task':
                assert.equal(seen.task, undefined, 'the task comes once, and first');
                seen.task = payload.value;
                break;
            case 'statusUpdate':
                seen.states.push(payload.value.status.state);
                seen.asked = payload.value.status.message;
                break;
            case 'artifactUpdate': {
                const piece = payload.value.artifact.parts[0].content.value;
                seen.text = payload.value.append ? seen.text + piece : piece;
                break;
            }
        }
        assert.ok(seen.task, `first ${JSON.stringify(payload)}`);
    }
    return seen;
}

/** An address that takes pushes, and answers the first ones as it is told. */
async function receiver(...answers) {
    const server = createServer(async (request, response) => {
        let body = '';
        for await (const piece of request) body += piece;
        const { payload } = StreamResponse.fromJSON(JSON.parse(body));
        arrived.push({ headers: request.headers, payload });
        response.writeHead(answers.shift() ?? 204).end();
        server.emit('arrived');
    });
    const arrived = [];
    await once(server.listen(0, '127.0.0.1'), 'listening');
    const url = `http://127.0.0.1:${server.address().port}/push`;
    const state = ({ payload: { $case, value } }) => ($case === 'task' || $case === 'statusUpdate') && value.status.state;
    const until = async (wanted) => {
        while (!arrived.some((it) => state(it) === wanted)) await once(server, 'arrived', { signal: AbortSignal.timeout(20_000) });
    };
    return { url, arrived, until, states: () => arrived.map(state), close: () => server.close() };
}

async function with_binding(name, transport) {
    const factory = new ClientFactory({ ...ClientFactoryOptions.default, transports: [transport] });
    const client = await factory.createFromUrl(`${address}/a2a/echo/`);
    const rejects = (call, error) => assert.rejects(call, (it) => it.name === error || it.constructor.name === error || new RegExp(error).test(`${it.name} ${it.cause?.name}`) || assert.fail(`${it.name}: ${it.message}`));

    async function a_task_is_done_and_read_again() {
        const request = say(text('!think=hm !tool=calculator hello there'));
        const task = await client.sendMessage(request);
        assert.equal(task.status.state, STATE.COMPLETED);
        assert.equal(said(task), 'hello there');
        assert.equal(task.history[0].messageId, request.message.messageId);
        const again = await client.getTask({ tenant: '', id: task.id });
        assert.deepEqual(again, task);
        // The same message again is the same task.
        assert.equal((await client.sendMessage(request)).id, task.id);
        const [listed] = (await client.listTasks({ tenant: '', contextId: task.contextId, status: 0, pageToken: '' })).tasks;
        assert.equal(listed.id, task.id);
        const all = await client.listTasks({ tenant: '', contextId: '', status: STATE.COMPLETED, pageToken: '', pageSize: 1 });
        assert.equal(all.tasks.length, 1);
        assert.ok(all.totalSize >= 1);
        await rejects(client.getTask({ tenant: '', id: 'nothing' }), 'TaskNotFound');
        await rejects(client.cancelTask({ tenant: '', id: task.id, metadata: undefined }), 'TaskNotCancelable');
        await rejects(read(client.resubscribeTask({ tenant: '', id: task.id })), 'UnsupportedOperation');
    }

    async function a_context_goes_on() {
        const contextId = `a2a:js:${name.toLowerCase().replace('+', '-')}`;
        const one = await client.sendMessage(say(text('one'), { contextId }));
        assert.equal(one.contextId, contextId);
        const two = await client.sendMessage(say(text('!history two'), { contextId }));
        assert.equal(said(two), '1');
        assert.notEqual(two.id, one.id);
        await assert.rejects(client.sendMessage(say(text('x'), { contextId: 'no/key' })));
        await rejects(client.sendMessage(say(text('x'), { taskId: two.id, contextId })), 'UnsupportedOperation');
    }

    async function a_task_is_streamed() {
        const seen = await read(client.sendMessageStream(say(text('!think=hm !tool=calculator !delay=10ms one two three'))));
        assert.equal(seen.states[0], STATE.WORKING);
        assert.equal(seen.states.at(-1), STATE.COMPLETED);
        assert.equal(seen.text, 'one two three');
        const failed = await read(client.sendMessageStream(say(text('!fail=no_luck'))));
        assert.equal(failed.states.at(-1), STATE.FAILED);
        assert.match(failed.asked.parts[0].content.value, /AGENT_ERROR/);
    }

    async function a_cut_stream_is_taken_up_again() {
        const stop = new AbortController();
        let id;
        try {
            for await (const { payload } of client.sendMessageStream(say(text('!delay=10ms !repeat=40 tick')), { signal: stop.signal })) {
                id ??= payload.value.id;
                if (payload.$case === 'artifactUpdate') stop.abort();
            }
        } catch (error) {
            assert.ok(stop.signal.aborted, error);
        }
        const seen = await read(client.resubscribeTask({ tenant: '', id }));
        assert.equal(seen.task.id, id);
        assert.equal(seen.states.at(-1), STATE.COMPLETED);
        assert.equal(seen.text, said(await client.getTask({ tenant: '', id })));
    }

    async function a_task_is_cancelled() {
        const request = say(text('!hang x'));
        request.configuration = { acceptedOutputModes: [], taskPushNotificationConfig: undefined, returnImmediately: true };
        const task = await client.sendMessage(request);
        assert.ok([STATE.SUBMITTED, STATE.WORKING].includes(task.status.state), `${task.status.state}`);
        const canceled = await client.cancelTask({ tenant: '', id: task.id, metadata: undefined });
        assert.equal(canceled.status.state, STATE.CANCELED);
    }

    async function a_question_is_asked_and_answered() {
        for (const [answer, state] of [
            [(id) => data({ questionId: id, approve: true }), STATE.COMPLETED],
            [(id) => data({ approvalId: id, approve: false, reason: 'not now' }), STATE.COMPLETED],
            [() => text('yes'), STATE.COMPLETED],
        ]) {
            const seen = await read(client.sendMessageStream(say(text('!ask=bash then'))));
            assert.equal(seen.states.at(-1), STATE.INPUT_REQUIRED);
            const asked = seen.asked.parts.find((it) => it.content.$case === 'data').content.value;
            assert.equal(asked.kind, 'PERMISSION');
            assert.equal(asked.toolName, 'bash');
            const { id, contextId } = seen.task;
            const waiting = await client.getTask({ tenant: '', id });
            assert.equal(waiting.status.state, STATE.INPUT_REQUIRED);
            assert.deepEqual(waiting.status.message.parts, seen.asked.parts);
            await assert.rejects(client.sendMessage(say(text('maybe'), { taskId: id, contextId })));
            const after = await read(client.sendMessageStream(say(answer(asked.questionId), { taskId: id, contextId })));
            assert.equal(after.task.id, id);
            assert.equal(after.states.at(-1), state);
            assert.match(after.text, /then/);
        }
        const form = await client.sendMessage(say(text('!form=name done')));
        assert.equal(form.status.state, STATE.INPUT_REQUIRED);
        const asked = form.status.message.parts.find((it) => it.content.$case === 'data').content.value;
        assert.ok(asked.schema.properties.name);
        const content = { questionId: asked.questionId, content: { name: 'ann' } };
        const done = await client.sendMessage(say(data(content), { taskId: form.id }));
        assert.equal(done.status.state, STATE.COMPLETED);
    }

    async function a_running_task_is_steered() {
        const request = say(text('!delay=20ms !repeat=60 tick'));
        request.configuration = { acceptedOutputModes: [], taskPushNotificationConfig: undefined, returnImmediately: true };
        const task = await client.sendMessage(request);
        let state;
        do state = (await client.getTask({ tenant: '', id: task.id })).status.state;
        while (state === STATE.SUBMITTED);
        const done = await client.sendMessage(say(text('more'), { taskId: task.id }));
        assert.equal(done.status.state, STATE.COMPLETED);
        assert.match(said(done), /more/);
    }

    async function files_come_as_they_are() {
        const contextId = `a2a:js:files:${name.toLowerCase().replace('+', '-')}`;
        const file = { ...part({ $case: 'raw', value: Buffer.from('hi') }), filename: 'a.txt', mediaType: 'text/plain' };
        await client.sendMessage(say([text('look'), file], { contextId }));
        const { turns } = await (await fetch(`${address}/v1/sessions/${encodeURIComponent(contextId)}/turns`)).json();
        assert.equal(turns[0].attachments[0].mediaType, 'text/plain');
        assert.equal(turns[0].attachments[0].name, 'a.txt');
        await rejects(client.sendMessage(say(part({ $case: 'url', value: 'https://example.com/a' }))), 'ContentTypeNotSupported');
    }

    async function a_task_is_pushed_to_whoever_asked_for_it() {
        const phone = await receiver(503);
        const request = say(text('!ask=bash then'));
        const authentication = { scheme: 'Bearer', credentials: 'from-the-client' };
        const config = { tenant: '', id: 'mine', taskId: '', url: phone.url, token: 'a-token', authentication };
        request.configuration = { acceptedOutputModes: [], taskPushNotificationConfig: config, returnImmediately: true };
        const task = await client.sendMessage(request);
        // What failed is tried again, and all comes in order.
        await phone.until(STATE.INPUT_REQUIRED);
        assert.deepEqual(phone.states(), [STATE.SUBMITTED, STATE.SUBMITTED, STATE.WORKING, STATE.INPUT_REQUIRED]);
        const ids = phone.arrived.map((it) => it.headers['webhook-id']);
        assert.equal(ids[0], ids[1]);
        assert.equal(new Set(ids).size, 3);
        for (const { headers } of phone.arrived) {
            assert.equal(headers['x-a2a-notification-token'], 'a-token');
            assert.equal(headers.authorization, 'Bearer from-the-client');
            assert.equal(headers['content-type'], 'application/a2a+json');
        }
        // Others are made, read, listed and deleted.
        const of = (also) => ({ tenant: '', taskId: task.id, ...also });
        const tablet = await receiver();
        const made = await client.createTaskPushNotificationConfig(of({ id: '', url: tablet.url, token: '', authentication: undefined }));
        assert.ok(made.id);
        assert.deepEqual([made.taskId, made.url], [task.id, tablet.url]);
        assert.deepEqual(await client.getTaskPushNotificationConfig(of({ id: made.id })), made);
        const listed = await client.listTaskPushNotificationConfig(of({ pageSize: 0, pageToken: '' }));
        assert.deepEqual(listed.configs.map((it) => [it.id, it.token, it.authentication]), [['mine', '', undefined], [made.id, '', undefined]]);
        // Over HTTP+JSON the library asks for no pages.
        if (name === 'JSONRPC') {
            const first = await client.listTaskPushNotificationConfig(of({ pageSize: 1, pageToken: '' }));
            const second = await client.listTaskPushNotificationConfig(of({ pageSize: 1, pageToken: first.nextPageToken }));
            assert.deepEqual([...first.configs, ...second.configs].map((it) => it.id), ['mine', made.id]);
            assert.equal(second.nextPageToken, '');
        }
        // It is told from the task's beginning, also of what waits already.
        await tablet.until(STATE.INPUT_REQUIRED);
        assert.deepEqual(tablet.states(), [STATE.SUBMITTED, STATE.WORKING, STATE.INPUT_REQUIRED]);
        // The same id again takes its place.
        const moved = await receiver();
        await client.createTaskPushNotificationConfig(of({ id: 'mine', url: moved.url, token: '', authentication: undefined }));
        assert.equal((await client.getTaskPushNotificationConfig(of({ id: 'mine' }))).url, moved.url);
        await client.deleteTaskPushNotificationConfig(of({ id: made.id }));
        await rejects(client.getTaskPushNotificationConfig(of({ id: made.id })), 'TaskNotFound');
        await assert.rejects(client.createTaskPushNotificationConfig(of({ id: '', url: 'ftp://example.org/', token: '', authentication: undefined })));
        const asked = moved.arrived.at(-1)?.payload.value.status.message ?? (await client.getTask({ tenant: '', id: task.id })).status.message;
        const { questionId } = asked.parts.find((it) => it.content.$case === 'data').content.value;
        await client.sendMessage(say(data({ questionId, approve: true }), { taskId: task.id }));
        await moved.until(STATE.COMPLETED);
        const told = moved.arrived.at(-1).payload.value;
        assert.match(said(told), /then/);
        assert.equal(told.id, task.id);
        // They end with the task.
        let left;
        do left = (await client.listTaskPushNotificationConfig(of({ pageSize: 0, pageToken: '' }))).configs.length;
        while (left > 0);
        await rejects(client.createTaskPushNotificationConfig(of({ id: '', url: tablet.url, token: '', authentication: undefined })), 'UnsupportedOperation');
        // The same message again is the same task still.
        assert.equal((await client.sendMessage(request)).id, task.id);
        // A task that nobody would hear of is not begun.
        const lost = say(text('!hang lost'), { contextId: `a2a:js:lost:${name.toLowerCase().replace('+', '-')}` });
        lost.configuration = { acceptedOutputModes: [], taskPushNotificationConfig: { ...config, url: 'ftp://example.org/' }, returnImmediately: true };
        await assert.rejects(client.sendMessage(lost));
        const [stopped] = (await client.listTasks({ tenant: '', contextId: lost.message.contextId, status: 0, pageToken: '' })).tasks;
        assert.equal(stopped.status.state, STATE.CANCELED);
        for (const it of [phone, tablet, moved]) it.close();
    }

    for (const test of [
        a_task_is_done_and_read_again,
        a_context_goes_on,
        a_task_is_streamed,
        a_cut_stream_is_taken_up_again,
        a_task_is_cancelled,
        a_question_is_asked_and_answered,
        a_running_task_is_steered,
        files_come_as_they_are,
        a_task_is_pushed_to_whoever_asked_for_it,
    ]) {
        await test();
        console.log(`ok ${name} ${test.name}`);
    }
}

async function what_is_no_call_is_told_so() {
    const post = async (path, body, headers = {}) => {
        const all = { 'content-type': 'application/json', 'a2a-version': '1.0', ...headers };
        const answer = await fetch(`${address}${path}`, { method: 'POST', headers: all, body });
        return { status: answer.status, body: await answer.json() };
    };
    const rpc = (method, params = {}, also = {}) => post('/a2a/echo', JSON.stringify({ jsonrpc: '2.0', id: 7, method, params }), also);
    assert.equal((await rpc('GetTask', {}, { 'a2a-version': '' })).body.error.code, -32009);
    assert.equal((await rpc('Nothing')).body.error.code, -32601);
    assert.equal((await rpc('SendMessage')).body.error.code, -32602);
    assert.equal((await rpc('CreateTaskPushNotificationConfig')).body.error.code, -32602);
    assert.equal((await rpc('CreateTaskPushNotificationConfig', { taskId: 'x', url: 'https://example.org/' })).body.error.code, -32001);
    const missing = await rpc('GetTask', { id: 'x' });
    assert.deepEqual([missing.status, missing.body.id, missing.body.error.data[0].reason], [200, 7, 'TASK_NOT_FOUND']);
    assert.equal((await post('/a2a/echo', '{')).body.error.code, -32700);
    assert.equal((await post('/a2a/echo', '[]')).body.error.code, -32600);
    assert.equal((await post('/a2a/echo/message:send', '[]')).body.error.status, 'INVALID_ARGUMENT');
    assert.equal((await post('/a2a/echo/nothing', '{}')).status, 404);
    assert.equal((await post('/a2a/nobody/message:send', JSON.stringify({ message: { messageId: 'x', parts: [{ text: 'x' }] } }))).status >= 400, true);
    assert.equal((await fetch(`${address}/a2a/nobody/.well-known/agent-card.json`)).status, 404);
    const root = await (await fetch(`${address}/.well-known/agent-card.json`)).json();
    assert.equal(root.name, 'echo');
    assert.equal(root.capabilities.pushNotifications, true);
    assert.equal(root.supportedInterfaces[0].url, `${address}/a2a/echo`);
}

await with_binding('JSONRPC', new JsonRpcTransportFactory());
await with_binding('HTTP+JSON', new RestTransportFactory());
await what_is_no_call_is_told_so();
console.log('ok what_is_no_call_is_told_so');
process.exit(0);

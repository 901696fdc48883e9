// What a page does with the AI SDK's own client. Run: node ai_sdk.mjs ADDRESS
import {
    AbstractChat,
    DefaultChatTransport,
    lastAssistantMessageIsCompleteWithApprovalResponses,
    lastAssistantMessageIsCompleteWithToolCalls,
} from 'ai';
import assert from 'node:assert/strict';

const address = process.argv[2];

/** The state that a page's framework keeps, without a framework. */
class State {
    messages = [];
    status = 'ready';
    error = undefined;
    pushMessage = (message) => void (this.messages = [...this.messages, message]);
    popMessage = () => void (this.messages = this.messages.slice(0, -1));
    replaceMessage = (index, message) =>
        void (this.messages = this.messages.map((it, at) => (at === index ? message : it)));
    snapshot = (value) => structuredClone(value);
}

class Chat extends AbstractChat {
    constructor(session, more = {}) {
        const finished = [];
        super({
            id: 'a chat',
            state: new State(),
            transport: new DefaultChatTransport({ api: `${address}/v1/sessions/${session}/chat` }),
            onFinish: (how) => finished.push(how),
            ...more,
        });
        this.finished = finished;
    }

    answer() {
        return this.messages.at(-1);
    }

    parts(type) {
        return this.answer().parts.filter((part) => part.type === type);
    }

    text() {
        return this.parts('text').map((part) => part.text).join('|');
    }
}

async function rest(path, body) {
    const response = await fetch(address + path, {
        method: body ? 'POST' : 'GET',
        headers: body ? { 'content-type': 'application/json' } : {},
        body: body && JSON.stringify(body),
    });
    assert.equal(response.status, 200, await response.clone().text());
    return response.json();
}

async function until(what) {
    for (let attempt = 0; attempt < 2000; attempt++) {
        if (await what()) return;
        await new Promise((resolve) => setTimeout(resolve, 10));
    }
    assert.fail(`never: ${what}`);
}

async function a_turn_comes_as_parts() {
    const chat = new Chat('parts');
    await chat.sendMessage({ text: '!think=let_me_see !tool=calculator two and two' });
    assert.equal(chat.status, 'ready', chat.error);
    assert.equal(chat.text(), 'two and two');
    assert.equal(chat.parts('reasoning')[0].text, 'let me see');
    const [tool] = chat.parts('dynamic-tool');
    assert.equal(tool.toolName, 'calculator');
    assert.equal(tool.state, 'output-available');
    assert.equal(chat.finished.at(-1).finishReason, 'stop');
    const { turn } = await rest(`/v1/sessions/parts/turns/${chat.answer().id}`);
    assert.equal(turn.responseText, 'two and two');
    assert.equal(turn.state, 'TURN_STATE_COMPLETED');
    await chat.sendMessage({ text: '!toolfail=bash again' });
    assert.equal(chat.parts('dynamic-tool')[0].state, 'output-error');
    assert.equal((await rest('/v1/sessions/parts/turns')).turns.length, 2);
}

async function a_cut_stream_is_told_again() {
    const chat = new Chat('cut');
    await chat.resumeStream();
    assert.equal(chat.status, 'ready', 'nothing runs, nothing to tell');
    const sent = chat.sendMessage({ text: '!think=a_while !delay=20ms !repeat=40 tick' });
    await until(() => chat.messages.length === 2 && chat.text().length > 10);
    await chat.stop();
    await sent;
    await chat.resumeStream();
    assert.equal(chat.status, 'ready', chat.error);
    const { turns } = await rest('/v1/sessions/cut/turns');
    assert.equal(turns.length, 1, 'who leaves cancels nothing');
    assert.equal(turns[0].state, 'TURN_STATE_COMPLETED');
    assert.equal(chat.messages.length, 2);
    assert.equal(chat.text(), turns[0].responseText);
    assert.equal(chat.parts('reasoning')[0].text, 'a while');
    assert.equal(chat.finished.at(-1).finishReason, 'stop');
}

/** Its beginning is further back than is looked at first. */
async function a_long_turn_is_told_from_its_beginning() {
    const chat = new Chat('long');
    const sent = chat.sendMessage({ text: '!think=a_while !delay=20ms !repeat=200 tick' });
    await until(() => chat.messages.length === 2 && chat.text().length > 10);
    await chat.stop();
    await sent;
    for (let change = 0; change < 300; change++) {
        const changed = await fetch(`${address}/v1/sessions/long`, {
            method: 'PATCH',
            headers: { 'content-type': 'application/json' },
            body: JSON.stringify({ displayName: `change ${change}` }),
        });
        assert.equal(changed.status, 200, await changed.text());
    }
    const { session } = await rest('/v1/sessions/long');
    assert.equal(session.state, 'SESSION_STATE_RUNNING');
    await chat.resumeStream();
    assert.equal(chat.status, 'ready', chat.error);
    assert.equal(chat.parts('reasoning')[0].text, 'a while');
    const { turn } = await rest(`/v1/sessions/long/turns/${chat.answer().id}`);
    assert.equal(chat.text(), turn.responseText);
}

async function a_stop_is_told() {
    const chat = new Chat('stop');
    const sent = chat.sendMessage({ text: '!hang' });
    await until(async () => {
        const known = await fetch(`${address}/v1/sessions/stop`);
        return known.ok && (await known.json()).session.state === 'SESSION_STATE_RUNNING';
    });
    await rest('/v1/sessions/stop/abort', {});
    await sent;
    assert.equal(chat.finished.at(-1).finishReason, 'interrupted');
}

async function a_refusal_is_an_error() {
    const chat = new Chat('-wrong-');
    await chat.sendMessage({ text: 'x' });
    assert.equal(chat.status, 'error');
    assert.match(chat.error.message, /INVALID_FIELD/);
    const failed = new Chat('failed');
    await failed.sendMessage({ text: '!fail=no_luck' });
    assert.equal(failed.status, 'error');
    assert.match(failed.error.message, /no_luck|AGENT_ERROR/);
}

async function an_approval_is_given_and_refused() {
    for (const approved of [true, false]) {
        const session = `approval-${approved}`;
        let requests = 0;
        const chat = new Chat(session, {
            sendAutomaticallyWhen: (it) => {
                const again = lastAssistantMessageIsCompleteWithApprovalResponses(it);
                requests += again ? 1 : 0;
                return again;
            },
        });
        await chat.sendMessage({ text: '!ask=bash make it so' });
        const [asked] = chat.parts('dynamic-tool');
        assert.equal(asked.state, 'approval-requested', JSON.stringify(chat.answer()));
        assert.equal(asked.toolName, 'bash');
        await chat.addToolApprovalResponse({ id: asked.approval.id, approved, reason: 'because' });
        await until(() => chat.status === 'ready' && chat.finished.length === 2);
        const { turns } = await rest(`/v1/sessions/${session}/turns`);
        assert.equal(turns.length, 1, 'an answer is no turn');
        assert.equal(turns[0].state, 'TURN_STATE_COMPLETED');
        assert.equal(chat.text(), turns[0].responseText);
        assert.equal(requests, 1, 'it sends no answer twice');
        const { question } = await rest(`/v1/sessions/${session}/questions/${asked.approval.id}`);
        assert.equal(question.resolution, 'QUESTION_RESOLUTION_ANSWERED');
        const [tool] = chat.parts('dynamic-tool');
        assert.notEqual(tool.state, 'approval-responded', 'it would be sent for ever');
        assert.notEqual(tool.state, 'approval-requested');
    }
}

async function the_pages_tools_are_run_by_the_page() {
    const weather = { name: 'weather', description: 'd', schemaJson: '{"type":"object"}' };
    await rest('/v1/sessions', { sessionKey: 'page-tools', clientTools: [weather] });
    const asked = [];
    let requests = 0;
    const chat = new Chat('page-tools', {
        sendAutomaticallyWhen: (it) => {
            const again = lastAssistantMessageIsCompleteWithToolCalls(it);
            requests += again ? 1 : 0;
            return again;
        },
        onToolCall: ({ toolCall }) => {
            asked.push(toolCall.input.city);
            const { toolCallId, toolName: tool } = toolCall;
            void chat.addToolOutput({ tool, toolCallId, output: { degrees: 21 } });
        },
    });
    await chat.sendMessage({ text: '!tool=bash !call=weather {"city": "Ghent"} !call=weather {"city": "Rome"} here' });
    await until(() => chat.status === 'ready' && chat.finished.length === 2);
    assert.deepEqual(asked, ['Ghent', 'Rome'], 'and not what the agent runs itself');
    assert.equal(chat.text(), '[weather: {"degrees":21}] [weather: {"degrees":21}] here');
    assert.equal(requests, 1, 'it sends no answer twice');
    assert.ok(chat.parts('dynamic-tool').every((it) => it.state === 'output-available'));
    assert.equal((await rest('/v1/sessions/page-tools/turns')).turns.length, 1);
}

async function a_file_is_an_attachment() {
    const chat = new Chat('file');
    const file = { type: 'file', mediaType: 'image/png', filename: 'p.png', url: 'data:image/png;base64,iVBORw0KGgo=' };
    await chat.sendMessage({ text: 'look', files: [file] });
    assert.equal(chat.status, 'ready', chat.error);
    const { turns } = await rest('/v1/sessions/file/turns');
    assert.equal(turns[0].attachments[0].name, 'p.png');
    assert.equal(turns[0].attachments[0].mediaType, 'image/png');
    const elsewhere = new Chat('elsewhere');
    await elsewhere.sendMessage({ text: 'x', files: [{ ...file, url: 'https://example.com/p.png' }] });
    assert.match(elsewhere.error.message, /data: URL/);
}

for (const test of [
    a_turn_comes_as_parts,
    a_cut_stream_is_told_again,
    a_long_turn_is_told_from_its_beginning,
    a_stop_is_told,
    a_refusal_is_an_error,
    an_approval_is_given_and_refused,
    the_pages_tools_are_run_by_the_page,
    a_file_is_an_attachment,
]) {
    await test();
    console.log(`ok ${test.name}`);
}
process.exit(0);

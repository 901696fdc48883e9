// What a reader of server-sent events does with a well-known EventSource. Run: node event_source.mjs ADDRESS EVENTS [TICKET]
// The address is a relay's: the server behind it is killed and started again meanwhile.
import { EventSource } from 'eventsource';
import assert from 'node:assert/strict';

const address = process.argv[2];
const expected = Number(process.argv[3]);
const query = new URLSearchParams({ from_oldest: 'true' });
if (process.argv[4]) query.set('ticket', process.argv[4]);
// As in a browser: an address, and nothing besides.
const source = new EventSource(`${address}/v1/sessions/source/events?${query}`);
const seqs = [];
source.onmessage = ({ data, lastEventId }) => {
    const event = JSON.parse(data);
    if (!event.seq) return;
    assert.equal(lastEventId, `${event.logId}:${event.seq}`);
    seqs.push(Number(event.seq));
    if (seqs.length === 3) console.log('three');
    if (seqs.length >= expected) {
        assert.deepEqual(seqs, Array.from({ length: seqs.length }, (_, at) => at + 1));
        console.log('ok no gap');
        process.exit(0);
    }
};
// Its own timer lets the process end while it waits to come back.
setInterval(() => undefined, 1000);

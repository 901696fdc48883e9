-- Bytes of events, messages, turns' texts and attachments: of each session in its row, of each owner here. An owner's row
-- is written once a batch. A content that several sessions name counts for each of them.
ALTER TABLE session ADD COLUMN stored_bytes INTEGER NOT NULL DEFAULT 0;
CREATE TABLE storage (
    tenant TEXT    NOT NULL,
    owner  TEXT    NOT NULL,
    bytes  INTEGER NOT NULL,
    PRIMARY KEY (tenant, owner)
) STRICT, WITHOUT ROWID;

UPDATE session SET stored_bytes =
    (SELECT coalesce(sum(octet_length(body)), 0) FROM event WHERE event.session = session.row) +
    (SELECT coalesce(sum(octet_length(parts)), 0) FROM message WHERE message.session = session.row) +
    (SELECT coalesce(sum(octet_length(text) + octet_length(response_text)), 0) FROM turn
        WHERE turn.session = session.row) +
    (SELECT coalesce(sum(octet_length(content.data)), 0) FROM attachment JOIN content
        ON content.row = attachment.content WHERE attachment.session = session.row);
INSERT INTO storage (tenant, owner, bytes)
    SELECT tenant, owner, sum(stored_bytes) FROM session GROUP BY tenant, owner
    HAVING sum(stored_bytes) > 0;

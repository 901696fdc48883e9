-- The words of a text stand in the index under the number of who may read it: of its scope for a memory; for a message of
-- its session's owner, and once more of its tenant. So a search counts, weighs and walks through nothing but what its
-- caller may read. The tables begin empty; the server fills them after its start (`memory::rebuild`).
DROP TRIGGER memory_gone;
DROP TRIGGER memory_episode_gone;
DROP TABLE memory_index_1;
DROP TABLE memory_index_2;
DROP TABLE episode_index_1;
DROP TABLE episode_index_2;

-- marks: what a search filters by, kind and tags. The words are cut by `memory::words`.
CREATE VIRTUAL TABLE memory_index_1 USING fts5(key, tags, content, marks, content = '', contentless_delete = 1, tokenize = 'ascii');
CREATE VIRTUAL TABLE memory_index_2 USING fts5(key, tags, content, marks, content = '', contentless_delete = 1, tokenize = 'ascii');
CREATE VIRTUAL TABLE episode_index_1 USING fts5(content, content = '', contentless_delete = 1, tokenize = 'ascii');
CREATE VIRTUAL TABLE episode_index_2 USING fts5(content, content = '', contentless_delete = 1, tokenize = 'ascii');
-- The same indexes, one row for each place of a word.
CREATE VIRTUAL TABLE memory_words_1 USING fts5vocab(memory_index_1, instance);
CREATE VIRTUAL TABLE memory_words_2 USING fts5vocab(memory_index_2, instance);
CREATE VIRTUAL TABLE episode_words_1 USING fts5vocab(episode_index_1, instance);
CREATE VIRTUAL TABLE episode_words_2 USING fts5vocab(episode_index_2, instance);

-- How many words each text of the index has.
CREATE TABLE memory_length (
    row   INTEGER PRIMARY KEY, -- of memory
    words INTEGER NOT NULL
) STRICT;
CREATE TABLE episode_length (
    row          INTEGER PRIMARY KEY, -- of message
    words        INTEGER NOT NULL,
    owner_group  INTEGER NOT NULL,
    tenant_group INTEGER NOT NULL
) STRICT;

-- Whose messages stand under which number.
CREATE TABLE episode_group (
    row    INTEGER PRIMARY KEY AUTOINCREMENT,
    tenant TEXT    NOT NULL,
    owner  TEXT    NOT NULL, -- subject; empty: all of the tenant
    texts  INTEGER NOT NULL, -- messages in the index under it
    UNIQUE (tenant, owner)
) STRICT;

UPDATE memory_state SET value = 1 WHERE name = 'active';
UPDATE memory_state SET value = 0 WHERE name = 'episodes_through';
DELETE FROM memory_state WHERE name IN ('rebuild', 'erasing');
-- index_version: how the words that are in the index were cut; 0 where memories are not in it yet.
INSERT INTO memory_state (name, value) SELECT 'index_version', NOT EXISTS (SELECT 1 FROM memory);

CREATE TRIGGER memory_gone AFTER DELETE ON memory BEGIN
    UPDATE memory_scope SET items = items - 1 WHERE row = old.scope;
    UPDATE memory_tenant SET items = items - 1
        WHERE tenant = (SELECT tenant FROM memory_scope WHERE row = old.scope);
    DELETE FROM memory_version WHERE memory = old.row;
    DELETE FROM memory_vector WHERE memory = old.row;
    DELETE FROM memory_length WHERE row = old.row;
    DELETE FROM memory_index_1 WHERE rowid = old.row;
    DELETE FROM memory_index_2 WHERE rowid = old.row;
END;
-- A row's number is given again where the newest message goes, so the position never stands beyond the newest.
CREATE TRIGGER memory_episode_gone AFTER DELETE ON message BEGIN
    DELETE FROM episode_index_1 WHERE rowid = old.row;
    DELETE FROM episode_index_2 WHERE rowid = old.row;
    DELETE FROM episode_length WHERE row = old.row;
    UPDATE memory_state SET value = (SELECT coalesce(max(row), 0) FROM message)
        WHERE name = 'episodes_through' AND value > (SELECT coalesce(max(row), 0) FROM message);
END;
CREATE TRIGGER memory_episode_counted AFTER INSERT ON episode_length BEGIN
    UPDATE episode_group SET texts = texts + 1 WHERE row IN (new.owner_group, new.tenant_group);
END;
CREATE TRIGGER memory_episode_uncounted AFTER DELETE ON episode_length BEGIN
    UPDATE episode_group SET texts = texts - 1 WHERE row IN (old.owner_group, old.tenant_group);
END;

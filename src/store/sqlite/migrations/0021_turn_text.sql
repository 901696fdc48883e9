-- Long prompts stand apart from their turns' rows: what changes a turn writes its row anew, not its prompt. Those from
-- before stay where they are.
CREATE TABLE turn_text (
    turn INTEGER PRIMARY KEY, -- row of its turn, whose own text is empty
    text TEXT NOT NULL
) STRICT;
CREATE TRIGGER turn_text_goes AFTER DELETE ON turn BEGIN
    DELETE FROM turn_text WHERE turn = old.row;
END;

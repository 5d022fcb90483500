-- Append-only and hash-chained like the tables of the first migration: a strategy that was made anew under its name took
-- over what the one before had left. All rows of the predecessor, earlier and later ones, count for the successor; its
-- balances are the successor's. A predecessor has one successor.
CREATE TABLE successions (
    seq         INTEGER  NOT NULL PRIMARY KEY,
    prev_hash   CHAR(64) NOT NULL,
    hash        CHAR(64) NOT NULL,
    predecessor CHAR(36) NOT NULL UNIQUE,
    successor   CHAR(36) NOT NULL,
    at          BIGINT   NOT NULL
);

CREATE TRIGGER successions_kept BEFORE DELETE ON successions BEGIN SELECT RAISE(ABORT, 'successions are append-only'); END;
CREATE TRIGGER successions_fixed BEFORE UPDATE ON successions BEGIN SELECT RAISE(ABORT, 'successions are append-only'); END;

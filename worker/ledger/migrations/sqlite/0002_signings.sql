-- Each sending of an order, durable before it happens: append-only and hash-chained, as the tables of the first migration.
-- A sending is the intent's own (attempt 1, in the commit of the intent) or a new one after proof that the one before was
-- not executed. Whoever finds an order whose outcome is not known reads here when the venue can no longer take it.
CREATE TABLE signings (
    seq          INTEGER  NOT NULL PRIMARY KEY,
    prev_hash    CHAR(64) NOT NULL,
    hash         CHAR(64) NOT NULL,
    intent       BIGINT   NOT NULL REFERENCES intents (id),
    -- Which sending; the intent stands at the attempt before.
    attempt      BIGINT   NOT NULL,
    epoch        BIGINT   NOT NULL,
    -- The time the request carries, and the end of the span in which the venue takes it.
    signed_at    BIGINT   NOT NULL,
    valid_until  BIGINT   NOT NULL,
    -- blake3 of the request, 64 hex digits.
    request_hash CHAR(64) NOT NULL
);
CREATE INDEX signings_by_intent ON signings (intent, seq);

CREATE TRIGGER signings_kept BEFORE DELETE ON signings BEGIN SELECT RAISE(ABORT, 'signings are append-only'); END;
CREATE TRIGGER signings_fixed BEFORE UPDATE ON signings BEGIN SELECT RAISE(ABORT, 'signings are append-only'); END;

-- What happened, on its way to a message bus: written in the transaction that causes it, deleted some time after it was
-- delivered. Only where the account has a bus. No part of the chain: all it says follows from rows that are.
CREATE TABLE outbox (
    -- Rises with every event of the account, with gaps.
    sequence  INTEGER      NOT NULL PRIMARY KEY,
    -- 1: waits for its delivery for ever. 0: dropped and counted when too many wait.
    kept      BIGINT       NOT NULL,
    kind      VARCHAR(16)  NOT NULL,
    -- What it is about; events of one key are delivered in their order.
    event_key VARCHAR(400) NOT NULL,
    -- JSON: the event as it is delivered.
    body      TEXT         NOT NULL
);
CREATE INDEX outbox_by_kept ON outbox (kept, sequence);

-- One row, once the account has had a bus.
CREATE TABLE outbox_state (
    -- 'namespace/name', as events call the account; '' while it has no bus.
    account       VARCHAR(253) NOT NULL,
    last_sequence BIGINT       NOT NULL,
    -- All events up to here were delivered, as of the last commit that wrote one.
    relayed       BIGINT       NOT NULL
);

-- How many events were dropped undelivered.
CREATE TABLE outbox_dropped (
    kind   VARCHAR(16) NOT NULL PRIMARY KEY,
    events BIGINT      NOT NULL
);

-- Append-only and hash-chained like the tables of the first migration: orders and trades on the account that no worker of
-- this ledger made. They are recorded once each, never counted and never sold.
CREATE TABLE externals (
    seq       INTEGER     NOT NULL PRIMARY KEY,
    prev_hash CHAR(64)    NOT NULL,
    hash      CHAR(64)    NOT NULL,
    -- Order or Trade.
    what      VARCHAR(5)  NOT NULL,
    -- The venue's id of it.
    venue_id  VARCHAR(64) NOT NULL,
    -- Of an order the id its owner gave it, of a trade an id of its order.
    order_id  VARCHAR(64) NOT NULL,
    symbol    VARCHAR(25) NOT NULL,
    side      VARCHAR(4)  NOT NULL,
    -- Of a trade, decimal.
    price     VARCHAR(60),
    quantity  VARCHAR(60),
    -- Of a trade the venue's time, of an order when it was first seen.
    at        BIGINT      NOT NULL,
    UNIQUE (what, symbol, venue_id)
);

CREATE TRIGGER externals_kept BEFORE DELETE ON externals BEGIN SELECT RAISE(ABORT, 'externals are append-only'); END;
CREATE TRIGGER externals_fixed BEFORE UPDATE ON externals BEGIN SELECT RAISE(ABORT, 'externals are append-only'); END;

-- Amounts are exact decimals as text, times are milliseconds since 1970, numbers rise by one.
CREATE TABLE IF NOT EXISTS paper_book (
    id             INTEGER PRIMARY KEY CHECK (id = 1),
    schema_version INTEGER NOT NULL,
    created_with   TEXT    NOT NULL, -- the starting balances as JSON
    version        INTEGER NOT NULL, -- changes made; compared and set by each
    orders         INTEGER NOT NULL, -- the last order's number
    trades         INTEGER NOT NULL  -- the last trade's number
);
CREATE TABLE IF NOT EXISTS paper_balances (
    asset    TEXT PRIMARY KEY,
    total    TEXT NOT NULL,
    reserved TEXT NOT NULL
);
CREATE TABLE IF NOT EXISTS paper_orders (
    number          INTEGER PRIMARY KEY,
    client_order_id TEXT    NOT NULL UNIQUE,
    symbol          TEXT    NOT NULL,
    side            TEXT    NOT NULL,
    kind            TEXT    NOT NULL,
    price           TEXT,             -- the limit or the trigger
    quantity        TEXT    NOT NULL,
    filled          TEXT    NOT NULL,
    state           TEXT    NOT NULL,
    placed_at       INTEGER NOT NULL,
    bound           TEXT    NOT NULL,
    reserved        TEXT    NOT NULL,
    triggered       INTEGER NOT NULL
);
CREATE INDEX IF NOT EXISTS paper_orders_by_state ON paper_orders (state, number);
CREATE TABLE IF NOT EXISTS paper_trades (
    number          INTEGER PRIMARY KEY,
    client_order_id TEXT    NOT NULL REFERENCES paper_orders (client_order_id),
    symbol          TEXT    NOT NULL,
    side            TEXT    NOT NULL,
    price           TEXT    NOT NULL,
    quantity        TEXT    NOT NULL,
    fee_asset       TEXT    NOT NULL,
    fee             TEXT    NOT NULL,
    liquidity       TEXT    NOT NULL,
    at              INTEGER NOT NULL
);
CREATE TABLE IF NOT EXISTS paper_instruments (
    symbol     TEXT PRIMARY KEY,
    open_mark  INTEGER NOT NULL, -- open time of the last bar whose open was matched
    range_mark INTEGER NOT NULL, -- open time of the last bar whose range was matched
    used       TEXT    NOT NULL, -- what our orders traded in the later of the two
    close      TEXT              -- the last close, if any
);

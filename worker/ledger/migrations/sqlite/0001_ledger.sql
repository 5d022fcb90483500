-- The ledger of one exchange account.
--
-- Three kinds of tables:
--
-- 1. Append-only and hash-chained: intents, transitions, fills, halts, transfers, rebases. Never updated (but for the
--    projected columns named below), never deleted, never pruned. Triggers refuse what goes round the worker.
-- 2. Projections of those, kept in the same transaction so that start-up need not fold the past: the columns state,
--    attempt and filled_units of intents, and the table balances. They are no part of the hash, and are checked
--    against the rows they follow from.
-- 3. For people, pruned by age: decisions, equity. The engine never reads them.
--
-- Conventions: times are milliseconds since 1970 UTC. `*_units` are whole units of the instrument (price or quantity
-- times 10^scale), what the engine computes with; the column of the same name without `_units` is the same number as
-- decimal text, what people read. All other money is exact decimal text. Enumerations are their names; nested values
-- are JSON. Ids of objects are UUID text.
--
-- The chain: all append-only rows of the ledger share one rising `seq` without gaps, starting at 1.
--     hash(n) = blake3( hash(n-1) as 64 hex digits, then the fields: seq, the table's name, every hashed column in the
--                       order it is declared below )
-- where a field is `-;` for NULL, `i<decimal>;` for an integer and `t<length in bytes>:<text>;` for a text.
-- hash(0) is the same over the row of `ledger` (account, account_name, incarnation, created_at) with 64 zeros before it
-- and seq 0. The present end of the chain is the row of `chain_head`.

-- Who the ledger belongs to; one row, written once.
CREATE TABLE ledger (
    id           INTEGER      NOT NULL PRIMARY KEY CHECK (id = 1),
    account      CHAR(36)     NOT NULL,
    account_name VARCHAR(253) NOT NULL,
    -- First 32 bits of every client order id made here.
    incarnation  BIGINT       NOT NULL,
    created_at   BIGINT       NOT NULL
);

-- The end of the chain and the writer; one row, only ever written on condition that it is what the writer read last.
CREATE TABLE chain_head (
    id        INTEGER      NOT NULL PRIMARY KEY CHECK (id = 1),
    seq       BIGINT       NOT NULL,
    hash      CHAR(64)     NOT NULL,
    -- How often the ledger was opened for writing; each transaction checks that it is still the writer's own.
    epoch     BIGINT       NOT NULL,
    owner     VARCHAR(253) NOT NULL,
    opened_at BIGINT       NOT NULL
);

-- What no row can tell (marks, watermarks, feed positions) as of the last commit that brought one; one row.
-- hash = blake3(body); both empty until the first.
CREATE TABLE checkpoint (
    id   INTEGER  NOT NULL PRIMARY KEY CHECK (id = 1),
    body TEXT     NOT NULL,
    hash CHAR(64) NOT NULL
);

-- Orders as decided, before anything was sent.
CREATE TABLE intents (
    seq                   BIGINT       NOT NULL UNIQUE,
    prev_hash             CHAR(64)     NOT NULL,
    hash                  CHAR(64)     NOT NULL,
    -- hashed from here
    id                    INTEGER      NOT NULL PRIMARY KEY,
    client_order_id       CHAR(36)     NOT NULL UNIQUE,
    strategy              CHAR(36)     NOT NULL,
    strategy_name         VARCHAR(253) NOT NULL,
    symbol                VARCHAR(25)  NOT NULL,
    side                  VARCHAR(4)   NOT NULL,
    -- JSON: "market", {"limit":{"price":units}}, {"stop":{"trigger":units}}
    kind                  TEXT         NOT NULL,
    -- The limit or trigger price; NULL for a market order.
    price                 VARCHAR(40),
    quantity_units        BIGINT       NOT NULL,
    quantity              VARCHAR(40)  NOT NULL,
    purpose               VARCHAR(16)  NOT NULL,
    reference_price_units BIGINT       NOT NULL,
    reference_price       VARCHAR(40)  NOT NULL,
    decision_bar          BIGINT       NOT NULL,
    decided_at            BIGINT       NOT NULL,
    valid_until           BIGINT       NOT NULL,
    epoch                 BIGINT       NOT NULL,
    -- to here; the rest is projected from transitions and fills
    state                 VARCHAR(16)  NOT NULL DEFAULT 'Intended',
    attempt               BIGINT       NOT NULL DEFAULT 0,
    filled_units          BIGINT       NOT NULL DEFAULT 0
);
CREATE INDEX intents_by_state ON intents (state);

-- Each legal step of an order, written only if the intent stood at (from_state, attempt), for a send at attempt - 1.
CREATE TABLE transitions (
    seq        INTEGER     NOT NULL PRIMARY KEY,
    prev_hash  CHAR(64)    NOT NULL,
    hash       CHAR(64)    NOT NULL,
    intent     BIGINT      NOT NULL REFERENCES intents (id),
    attempt    BIGINT      NOT NULL,
    epoch      BIGINT      NOT NULL,
    from_state VARCHAR(16) NOT NULL,
    to_state   VARCHAR(16) NOT NULL,
    at         BIGINT      NOT NULL,
    -- The venue's id of the order, or its words.
    detail     TEXT
);
CREATE INDEX transitions_by_intent ON transitions (intent, seq);

-- Trades of our orders. A venue numbers trades per symbol or overall; (symbol, trade_id) is unique under both.
CREATE TABLE fills (
    seq             INTEGER     NOT NULL PRIMARY KEY,
    prev_hash       CHAR(64)    NOT NULL,
    hash            CHAR(64)    NOT NULL,
    intent          BIGINT      NOT NULL REFERENCES intents (id),
    trade_id        VARCHAR(64) NOT NULL,
    client_order_id CHAR(36)    NOT NULL,
    symbol          VARCHAR(25) NOT NULL,
    side            VARCHAR(4)  NOT NULL,
    price_units     BIGINT      NOT NULL,
    price           VARCHAR(40) NOT NULL,
    quantity_units  BIGINT      NOT NULL,
    quantity        VARCHAR(40) NOT NULL,
    fee             VARCHAR(60) NOT NULL,
    fee_asset       VARCHAR(12) NOT NULL,
    liquidity       VARCHAR(5)  NOT NULL,
    at              BIGINT      NOT NULL,
    UNIQUE (symbol, trade_id)
);
CREATE INDEX fills_by_intent ON fills (intent);

-- Halts made and resumed. A halt is in force while the newest row of its name is 'Set'.
CREATE TABLE halts (
    seq         INTEGER      NOT NULL PRIMARY KEY,
    prev_hash   CHAR(64)     NOT NULL,
    hash        CHAR(64)     NOT NULL,
    -- 'Set' or 'Cleared'
    what        VARCHAR(8)   NOT NULL,
    name        VARCHAR(253) NOT NULL,
    -- The next five are NULL when cleared. JSON: "Account" or {"Strategies":[uid, ...]}
    scope       TEXT,
    -- JSON list of symbols; empty means all.
    instruments TEXT,
    action      VARCHAR(16),
    -- JSON: "Manual", "Latched", {"Breaker":{"breaker":name}}, "LedgerUnknown"
    origin      TEXT,
    reason      TEXT,
    -- Who made or resumed it.
    actor       TEXT         NOT NULL,
    at          BIGINT       NOT NULL
);
CREATE INDEX halts_by_name ON halts (name, seq);

-- Cash that moved by other ways than trading. Without a strategy: into (positive) or out of the account's unallocated
-- cash. With one: from there to the strategy's capital (positive) or back.
CREATE TABLE transfers (
    seq       INTEGER     NOT NULL PRIMARY KEY,
    prev_hash CHAR(64)    NOT NULL,
    hash      CHAR(64)    NOT NULL,
    asset     VARCHAR(12) NOT NULL,
    amount    VARCHAR(60) NOT NULL,
    strategy  CHAR(36),
    at        BIGINT      NOT NULL
);

-- Drawdown references set anew by a resume; without a strategy the account's.
CREATE TABLE rebases (
    seq       INTEGER     NOT NULL PRIMARY KEY,
    prev_hash CHAR(64)    NOT NULL,
    hash      CHAR(64)    NOT NULL,
    strategy  CHAR(36),
    reference VARCHAR(60) NOT NULL,
    at        BIGINT      NOT NULL
);

-- What each strategy holds of each asset, by double entry over transfers and fills; strategy '' is the account's
-- unallocated cash. Projected.
CREATE TABLE balances (
    strategy CHAR(36)    NOT NULL,
    asset    VARCHAR(12) NOT NULL,
    amount   VARCHAR(60) NOT NULL,
    PRIMARY KEY (strategy, asset)
);

-- One row for every bar, instrument and strategy: what went in, what came out and why. Pruned by age.
CREATE TABLE decisions (
    id            INTEGER      NOT NULL PRIMARY KEY,
    at            BIGINT       NOT NULL,
    bar           BIGINT       NOT NULL,
    strategy      CHAR(36)     NOT NULL,
    strategy_name VARCHAR(253) NOT NULL,
    symbol        VARCHAR(25)  NOT NULL,
    -- NULL when the signal was not evaluated or said nothing.
    side          VARCHAR(4),
    -- Percent, 0 to 100.
    confidence    VARCHAR(10),
    close         VARCHAR(40)  NOT NULL,
    position      VARCHAR(40)  NOT NULL,
    -- JSON: indicator values.
    readings      TEXT         NOT NULL,
    stage         VARCHAR(16)  NOT NULL,
    -- 'Enter', 'Exit' or a denial code.
    outcome       VARCHAR(40)  NOT NULL,
    detail        TEXT         NOT NULL,
    intent        BIGINT
);
CREATE INDEX decisions_by_time ON decisions (at);

-- How often decisions came to which end since the ledger began; kept when decisions are pruned.
CREATE TABLE outcomes (
    strategy_name VARCHAR(253) NOT NULL,
    stage         VARCHAR(16)  NOT NULL,
    outcome       VARCHAR(40)  NOT NULL,
    decisions     BIGINT       NOT NULL,
    PRIMARY KEY (strategy_name, stage, outcome)
);

-- Equity over time; without a strategy the account's. Pruned by age.
CREATE TABLE equity (
    id            INTEGER      NOT NULL PRIMARY KEY,
    strategy      CHAR(36),
    strategy_name VARCHAR(253) NOT NULL,
    at            BIGINT       NOT NULL,
    equity        VARCHAR(60)  NOT NULL,
    cash          VARCHAR(60)  NOT NULL,
    reference     VARCHAR(60)  NOT NULL,
    exposure      VARCHAR(60)  NOT NULL
);
CREATE INDEX equity_by_time ON equity (at);

CREATE TRIGGER ledger_kept BEFORE DELETE ON ledger BEGIN SELECT RAISE(ABORT, 'the identity of a ledger is kept'); END;
CREATE TRIGGER intents_kept BEFORE DELETE ON intents BEGIN SELECT RAISE(ABORT, 'intents are append-only'); END;
CREATE TRIGGER transitions_kept BEFORE DELETE ON transitions BEGIN SELECT RAISE(ABORT, 'transitions are append-only'); END;
CREATE TRIGGER fills_kept BEFORE DELETE ON fills BEGIN SELECT RAISE(ABORT, 'fills are append-only'); END;
CREATE TRIGGER halts_kept BEFORE DELETE ON halts BEGIN SELECT RAISE(ABORT, 'halts are append-only'); END;
CREATE TRIGGER transfers_kept BEFORE DELETE ON transfers BEGIN SELECT RAISE(ABORT, 'transfers are append-only'); END;
CREATE TRIGGER rebases_kept BEFORE DELETE ON rebases BEGIN SELECT RAISE(ABORT, 'rebases are append-only'); END;
CREATE TRIGGER ledger_fixed BEFORE UPDATE ON ledger BEGIN SELECT RAISE(ABORT, 'the identity of a ledger is fixed'); END;
CREATE TRIGGER intents_fixed BEFORE UPDATE OF
    seq, prev_hash, hash, id, client_order_id, strategy, strategy_name, symbol, side, kind, price, quantity_units, quantity,
    purpose, reference_price_units, reference_price, decision_bar, decided_at, valid_until, epoch
    ON intents BEGIN SELECT RAISE(ABORT, 'intents are append-only'); END;
CREATE TRIGGER transitions_fixed BEFORE UPDATE ON transitions BEGIN SELECT RAISE(ABORT, 'transitions are append-only'); END;
CREATE TRIGGER fills_fixed BEFORE UPDATE ON fills BEGIN SELECT RAISE(ABORT, 'fills are append-only'); END;
CREATE TRIGGER halts_fixed BEFORE UPDATE ON halts BEGIN SELECT RAISE(ABORT, 'halts are append-only'); END;
CREATE TRIGGER transfers_fixed BEFORE UPDATE ON transfers BEGIN SELECT RAISE(ABORT, 'transfers are append-only'); END;
CREATE TRIGGER rebases_fixed BEFORE UPDATE ON rebases BEGIN SELECT RAISE(ABORT, 'rebases are append-only'); END;

-- The ledgers of many exchange accounts in one database of MariaDB or MySQL. Every row has the number of the ledger it
-- belongs to; no statement of a worker meets a row of another ledger.
--
-- What the tables and columns mean, and what is hashed in which form, is told in ../sqlite/0001_ledger.sql
-- and the files after it. Here the computed columns of the views are exact decimals.
--
-- Statements are apart by an empty line, and no statement holds one. Each can be run again: the server commits a
-- statement of this kind at once, so that a migration may be cut off after any of them. Text is compared byte by byte.

CREATE TABLE IF NOT EXISTS schema_version (
    version BIGINT NOT NULL PRIMARY KEY
) ENGINE = InnoDB CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;

CREATE TABLE IF NOT EXISTS ledger (
    ledger BIGINT NOT NULL AUTO_INCREMENT PRIMARY KEY,
    account CHAR(36) NOT NULL,
    account_name VARCHAR(253) NOT NULL UNIQUE,
    incarnation BIGINT NOT NULL,
    created_at BIGINT NOT NULL
) ENGINE = InnoDB CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;

CREATE TABLE IF NOT EXISTS chain_head (
    ledger BIGINT NOT NULL,
    seq BIGINT NOT NULL,
    hash CHAR(64) NOT NULL,
    epoch BIGINT NOT NULL,
    owner VARCHAR(253) NOT NULL,
    opened_at BIGINT NOT NULL,
    commits BIGINT NOT NULL DEFAULT 0,
    intents_from BIGINT NOT NULL DEFAULT 0,
    mock BIGINT,
    PRIMARY KEY (ledger)
) ENGINE = InnoDB CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;

CREATE TABLE IF NOT EXISTS checkpoint (
    ledger BIGINT NOT NULL,
    body LONGTEXT NOT NULL,
    hash CHAR(64) NOT NULL,
    PRIMARY KEY (ledger)
) ENGINE = InnoDB CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;

CREATE TABLE IF NOT EXISTS intents (
    ledger BIGINT NOT NULL,
    seq BIGINT NOT NULL,
    prev_hash CHAR(64) NOT NULL,
    hash CHAR(64) NOT NULL,
    id BIGINT NOT NULL,
    client_order_id CHAR(36) NOT NULL,
    strategy CHAR(36) NOT NULL,
    strategy_name VARCHAR(253) NOT NULL,
    symbol VARCHAR(25) NOT NULL,
    side VARCHAR(4) NOT NULL,
    kind TEXT NOT NULL,
    price VARCHAR(40),
    quantity_units BIGINT NOT NULL,
    quantity VARCHAR(40) NOT NULL,
    purpose VARCHAR(16) NOT NULL,
    reference_price_units BIGINT NOT NULL,
    reference_price VARCHAR(40) NOT NULL,
    decision_bar BIGINT NOT NULL,
    decided_at BIGINT NOT NULL,
    valid_until BIGINT NOT NULL,
    epoch BIGINT NOT NULL,
    state VARCHAR(16) NOT NULL DEFAULT 'Intended',
    attempt BIGINT NOT NULL DEFAULT 0,
    filled_units BIGINT NOT NULL DEFAULT 0,
    UNIQUE (ledger, seq),
    PRIMARY KEY (ledger, id),
    UNIQUE (ledger, client_order_id),
    INDEX intents_by_state (ledger, state)
) ENGINE = InnoDB CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;

CREATE TABLE IF NOT EXISTS signings (
    ledger BIGINT NOT NULL,
    seq BIGINT NOT NULL,
    prev_hash CHAR(64) NOT NULL,
    hash CHAR(64) NOT NULL,
    intent BIGINT NOT NULL,
    attempt BIGINT NOT NULL,
    epoch BIGINT NOT NULL,
    signed_at BIGINT NOT NULL,
    valid_until BIGINT NOT NULL,
    request_hash CHAR(64) NOT NULL,
    PRIMARY KEY (ledger, seq),
    INDEX signings_by_intent (ledger, intent, seq)
) ENGINE = InnoDB CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;

CREATE TABLE IF NOT EXISTS transitions (
    ledger BIGINT NOT NULL,
    seq BIGINT NOT NULL,
    prev_hash CHAR(64) NOT NULL,
    hash CHAR(64) NOT NULL,
    intent BIGINT NOT NULL,
    attempt BIGINT NOT NULL,
    epoch BIGINT NOT NULL,
    from_state VARCHAR(16) NOT NULL,
    to_state VARCHAR(16) NOT NULL,
    at BIGINT NOT NULL,
    detail TEXT,
    PRIMARY KEY (ledger, seq),
    INDEX transitions_by_intent (ledger, intent, seq)
) ENGINE = InnoDB CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;

CREATE TABLE IF NOT EXISTS fills (
    ledger BIGINT NOT NULL,
    seq BIGINT NOT NULL,
    prev_hash CHAR(64) NOT NULL,
    hash CHAR(64) NOT NULL,
    intent BIGINT NOT NULL,
    trade_id VARCHAR(64) NOT NULL,
    client_order_id CHAR(36) NOT NULL,
    symbol VARCHAR(25) NOT NULL,
    side VARCHAR(4) NOT NULL,
    price_units BIGINT NOT NULL,
    price VARCHAR(40) NOT NULL,
    quantity_units BIGINT NOT NULL,
    quantity VARCHAR(40) NOT NULL,
    fee VARCHAR(60) NOT NULL,
    fee_asset VARCHAR(12) NOT NULL,
    liquidity VARCHAR(5) NOT NULL,
    at BIGINT NOT NULL,
    PRIMARY KEY (ledger, seq),
    UNIQUE (ledger, symbol, trade_id),
    INDEX fills_by_intent (ledger, intent)
) ENGINE = InnoDB CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;

CREATE TABLE IF NOT EXISTS halts (
    ledger BIGINT NOT NULL,
    seq BIGINT NOT NULL,
    prev_hash CHAR(64) NOT NULL,
    hash CHAR(64) NOT NULL,
    what VARCHAR(8) NOT NULL,
    name VARCHAR(253) NOT NULL,
    scope TEXT,
    instruments TEXT,
    action VARCHAR(16),
    origin TEXT,
    reason TEXT,
    actor TEXT NOT NULL,
    at BIGINT NOT NULL,
    PRIMARY KEY (ledger, seq),
    INDEX halts_by_name (ledger, name, seq)
) ENGINE = InnoDB CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;

CREATE TABLE IF NOT EXISTS transfers (
    ledger BIGINT NOT NULL,
    seq BIGINT NOT NULL,
    prev_hash CHAR(64) NOT NULL,
    hash CHAR(64) NOT NULL,
    asset VARCHAR(12) NOT NULL,
    amount VARCHAR(60) NOT NULL,
    strategy CHAR(36),
    at BIGINT NOT NULL,
    PRIMARY KEY (ledger, seq)
) ENGINE = InnoDB CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;

CREATE TABLE IF NOT EXISTS rebases (
    ledger BIGINT NOT NULL,
    seq BIGINT NOT NULL,
    prev_hash CHAR(64) NOT NULL,
    hash CHAR(64) NOT NULL,
    strategy CHAR(36),
    reference VARCHAR(60) NOT NULL,
    at BIGINT NOT NULL,
    PRIMARY KEY (ledger, seq)
) ENGINE = InnoDB CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;

CREATE TABLE IF NOT EXISTS successions (
    ledger BIGINT NOT NULL,
    seq BIGINT NOT NULL,
    prev_hash CHAR(64) NOT NULL,
    hash CHAR(64) NOT NULL,
    predecessor CHAR(36) NOT NULL,
    successor CHAR(36) NOT NULL,
    at BIGINT NOT NULL,
    PRIMARY KEY (ledger, seq),
    UNIQUE (ledger, predecessor)
) ENGINE = InnoDB CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;

CREATE TABLE IF NOT EXISTS balances (
    ledger BIGINT NOT NULL,
    strategy CHAR(36) NOT NULL,
    asset VARCHAR(12) NOT NULL,
    amount VARCHAR(60) NOT NULL,
    PRIMARY KEY (ledger, strategy, asset)
) ENGINE = InnoDB CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;

CREATE TABLE IF NOT EXISTS positions (
    ledger BIGINT NOT NULL,
    strategy CHAR(36) NOT NULL,
    strategy_name VARCHAR(253) NOT NULL,
    symbol VARCHAR(25) NOT NULL,
    quantity VARCHAR(60) NOT NULL,
    cost VARCHAR(60) NOT NULL,
    PRIMARY KEY (ledger, strategy, symbol)
) ENGINE = InnoDB CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;

CREATE TABLE IF NOT EXISTS decisions (
    ledger BIGINT NOT NULL,
    id BIGINT NOT NULL AUTO_INCREMENT PRIMARY KEY,
    at BIGINT NOT NULL,
    bar BIGINT NOT NULL,
    strategy CHAR(36) NOT NULL,
    strategy_name VARCHAR(253) NOT NULL,
    symbol VARCHAR(25) NOT NULL,
    side VARCHAR(4),
    confidence VARCHAR(10),
    close VARCHAR(40) NOT NULL,
    position VARCHAR(40) NOT NULL,
    readings MEDIUMTEXT NOT NULL,
    stage VARCHAR(16) NOT NULL,
    outcome VARCHAR(40) NOT NULL,
    detail MEDIUMTEXT NOT NULL,
    intent BIGINT,
    INDEX decisions_by_time (ledger, at),
    INDEX decisions_by_intent (ledger, intent)
) ENGINE = InnoDB CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;

CREATE TABLE IF NOT EXISTS outcomes (
    ledger BIGINT NOT NULL,
    strategy_name VARCHAR(253) NOT NULL,
    stage VARCHAR(16) NOT NULL,
    outcome VARCHAR(40) NOT NULL,
    decisions BIGINT NOT NULL,
    PRIMARY KEY (ledger, strategy_name, stage, outcome)
) ENGINE = InnoDB CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;

CREATE TABLE IF NOT EXISTS equity (
    ledger BIGINT NOT NULL,
    id BIGINT NOT NULL AUTO_INCREMENT PRIMARY KEY,
    strategy CHAR(36),
    strategy_name VARCHAR(253) NOT NULL,
    at BIGINT NOT NULL,
    equity VARCHAR(60) NOT NULL,
    cash VARCHAR(60) NOT NULL,
    reference VARCHAR(60) NOT NULL,
    exposure VARCHAR(60) NOT NULL,
    INDEX equity_by_time (ledger, at)
) ENGINE = InnoDB CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;

CREATE TRIGGER IF NOT EXISTS ledger_kept BEFORE DELETE ON ledger FOR EACH ROW
    SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'the identity of a ledger is kept';

CREATE TRIGGER IF NOT EXISTS ledger_fixed BEFORE UPDATE ON ledger FOR EACH ROW
    SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'the identity of a ledger is fixed';

CREATE TRIGGER IF NOT EXISTS intents_kept BEFORE DELETE ON intents FOR EACH ROW
    SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'intents are append-only';

CREATE TRIGGER IF NOT EXISTS intents_fixed BEFORE UPDATE ON intents FOR EACH ROW
    IF NOT (NEW.ledger <=> OLD.ledger AND
        NEW.seq <=> OLD.seq AND
        NEW.prev_hash <=> OLD.prev_hash AND
        NEW.hash <=> OLD.hash AND
        NEW.id <=> OLD.id AND
        NEW.client_order_id <=> OLD.client_order_id AND
        NEW.strategy <=> OLD.strategy AND
        NEW.strategy_name <=> OLD.strategy_name AND
        NEW.symbol <=> OLD.symbol AND
        NEW.side <=> OLD.side AND
        NEW.kind <=> OLD.kind AND
        NEW.price <=> OLD.price AND
        NEW.quantity_units <=> OLD.quantity_units AND
        NEW.quantity <=> OLD.quantity AND
        NEW.purpose <=> OLD.purpose AND
        NEW.reference_price_units <=> OLD.reference_price_units AND
        NEW.reference_price <=> OLD.reference_price AND
        NEW.decision_bar <=> OLD.decision_bar AND
        NEW.decided_at <=> OLD.decided_at AND
        NEW.valid_until <=> OLD.valid_until AND
        NEW.epoch <=> OLD.epoch) THEN
        SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'intents are append-only';
    END IF;

CREATE TRIGGER IF NOT EXISTS signings_kept BEFORE DELETE ON signings FOR EACH ROW
    SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'signings are append-only';

CREATE TRIGGER IF NOT EXISTS signings_fixed BEFORE UPDATE ON signings FOR EACH ROW
    SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'signings are append-only';

CREATE TRIGGER IF NOT EXISTS transitions_kept BEFORE DELETE ON transitions FOR EACH ROW
    SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'transitions are append-only';

CREATE TRIGGER IF NOT EXISTS transitions_fixed BEFORE UPDATE ON transitions FOR EACH ROW
    SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'transitions are append-only';

CREATE TRIGGER IF NOT EXISTS fills_kept BEFORE DELETE ON fills FOR EACH ROW
    SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'fills are append-only';

CREATE TRIGGER IF NOT EXISTS fills_fixed BEFORE UPDATE ON fills FOR EACH ROW
    SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'fills are append-only';

CREATE TRIGGER IF NOT EXISTS halts_kept BEFORE DELETE ON halts FOR EACH ROW
    SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'halts are append-only';

CREATE TRIGGER IF NOT EXISTS halts_fixed BEFORE UPDATE ON halts FOR EACH ROW
    SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'halts are append-only';

CREATE TRIGGER IF NOT EXISTS transfers_kept BEFORE DELETE ON transfers FOR EACH ROW
    SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'transfers are append-only';

CREATE TRIGGER IF NOT EXISTS transfers_fixed BEFORE UPDATE ON transfers FOR EACH ROW
    SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'transfers are append-only';

CREATE TRIGGER IF NOT EXISTS rebases_kept BEFORE DELETE ON rebases FOR EACH ROW
    SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'rebases are append-only';

CREATE TRIGGER IF NOT EXISTS rebases_fixed BEFORE UPDATE ON rebases FOR EACH ROW
    SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'rebases are append-only';

CREATE TRIGGER IF NOT EXISTS successions_kept BEFORE DELETE ON successions FOR EACH ROW
    SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'successions are append-only';

CREATE TRIGGER IF NOT EXISTS successions_fixed BEFORE UPDATE ON successions FOR EACH ROW
    SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'successions are append-only';

CREATE OR REPLACE SQL SECURITY INVOKER VIEW trading_signals AS
SELECT d.id AS signal_id, l.account_name AS account, d.symbol, UPPER(d.side) AS signal_type,
    CAST(d.confidence AS DECIMAL(10, 4)) / 100 AS confidence, NULL AS xgboost_confidence,
    CAST(d.close AS DECIMAL(38, 18)) AS price,
    NULL AS signal_strength, d.readings AS features_used, NULL AS model_version, d.strategy_name AS source,
    TIMESTAMPADD(MICROSECOND, d.at * 1000, TIMESTAMP'1970-01-01 00:00:00') AS created_at
FROM decisions d JOIN ledger l ON l.ledger = d.ledger
WHERE d.side IS NOT NULL;

CREATE OR REPLACE SQL SECURITY INVOKER VIEW trade_recommendations AS
SELECT CAST(i.id AS CHAR) AS id, l.account_name AS account, i.strategy_name AS strategy, i.symbol,
    UPPER(i.side) AS signal_type,
    CAST(i.quantity AS DECIMAL(32, 12)) * CAST(COALESCE(i.price, i.reference_price) AS DECIMAL(32, 12)) AS amount_usd,
    CAST(d.confidence AS DECIMAL(10, 4)) / 100 AS confidence,
    d.detail AS reasoning,
    CASE WHEN i.state IN ('Intended', 'Sent', 'Accepted', 'PartiallyFilled', 'Unknown') THEN 'PENDING'
        WHEN i.state = 'Rejected' THEN 'REJECTED'
        WHEN i.filled_units > 0 THEN 'EXECUTED'
        WHEN i.state = 'Absent' THEN 'FAILED'
        ELSE 'CANCELLED' END AS execution_status,
    CAST(COALESCE(i.price, i.reference_price) AS DECIMAL(38, 18)) AS entry_price,
    CASE WHEN i.purpose = 'Entry' THEN (SELECT CAST(s.price AS DECIMAL(38, 18)) FROM intents s
        WHERE s.ledger = i.ledger AND s.id = (SELECT MIN(n.id) FROM intents n
        WHERE n.ledger = i.ledger AND n.strategy = i.strategy AND n.symbol = i.symbol
        AND n.purpose = 'StopLoss' AND n.id > i.id)) END AS stop_loss,
    NULL AS take_profit,
    CASE WHEN i.purpose = 'Entry' THEN 100 * CAST(i.quantity
        AS DECIMAL(32, 12)) * CAST(COALESCE(i.price, i.reference_price) AS DECIMAL(32, 12))
        / (SELECT CAST(e.equity AS DECIMAL(32, 12)) FROM equity e WHERE e.ledger = i.ledger
        AND e.strategy = i.strategy AND e.at <= i.decided_at
        ORDER BY e.at DESC LIMIT 1) END AS position_size_percent,
    CAST(i.quantity AS DECIMAL(38, 18)) AS amount_crypto, h.mock AS is_mock,
    TIMESTAMPADD(MICROSECOND, i.decided_at * 1000, TIMESTAMP'1970-01-01 00:00:00') AS created_at,
    TIMESTAMPADD(MICROSECOND, COALESCE((SELECT MAX(t.at) FROM transitions t WHERE t.ledger = i.ledger
        AND t.intent = i.id), i.decided_at) * 1000, TIMESTAMP'1970-01-01 00:00:00') AS updated_at,
    TIMESTAMPADD(MICROSECOND, (SELECT MAX(f.at) FROM fills f WHERE f.ledger = i.ledger
        AND f.intent = i.id) * 1000, TIMESTAMP'1970-01-01 00:00:00') AS executed_at,
    NULL AS llm_validation, NULL AS llm_confidence, NULL AS llm_reasoning
FROM intents i JOIN ledger l ON l.ledger = i.ledger JOIN chain_head h ON h.ledger = i.ledger
        LEFT JOIN decisions d ON d.ledger = i.ledger AND d.intent = i.id
WHERE i.purpose <> 'StopLoss'
UNION ALL
SELECT CONCAT('denied-', d.id), l.account_name, d.strategy_name, d.symbol, UPPER(d.side),
    NULL, CAST(d.confidence AS DECIMAL(10, 4)) / 100, d.detail,
    CASE WHEN d.outcome IN ('AlreadyHolding', 'OrderInFlight') THEN 'DUPLICATE' ELSE 'LIMIT_EXCEEDED' END,
    CAST(d.close AS DECIMAL(38, 18)), NULL, NULL, NULL, NULL, h.mock,
    TIMESTAMPADD(MICROSECOND, d.at * 1000, TIMESTAMP'1970-01-01 00:00:00'),
    TIMESTAMPADD(MICROSECOND, d.at * 1000, TIMESTAMP'1970-01-01 00:00:00'), NULL, NULL, NULL, NULL
FROM decisions d JOIN ledger l ON l.ledger = d.ledger JOIN chain_head h ON h.ledger = d.ledger
WHERE d.side IS NOT NULL AND d.outcome IN ('AlreadyHolding', 'OrderInFlight', 'Cooldown', 'MaxTradesPerDay',
    'MaxOpenPositions', 'BelowMinNotional', 'MaxPosition', 'MaxExposure', 'MaxAccountExposure', 'InsufficientFunds');

CREATE OR REPLACE SQL SECURITY INVOKER VIEW live_trades AS
SELECT f.seq AS id, l.account_name AS account, f.trade_id, f.client_order_id AS order_id, i.strategy_name AS strategy,
    f.symbol,
    UPPER(f.side) AS side, CAST(f.quantity AS DECIMAL(38, 18)) AS quantity, CAST(f.price AS DECIMAL(38, 18)) AS price,
    CAST(f.fee AS DECIMAL(38, 18)) AS fee, f.fee_asset AS fee_currency, f.liquidity = 'Maker' AS is_maker, i.purpose,
    h.mock AS is_mock, TIMESTAMPADD(MICROSECOND, f.at * 1000, TIMESTAMP'1970-01-01 00:00:00') AS executed_at
FROM fills f JOIN intents i ON i.ledger = f.ledger AND i.id = f.intent JOIN ledger l ON l.ledger = f.ledger
        JOIN chain_head h ON h.ledger = f.ledger;

CREATE OR REPLACE SQL SECURITY INVOKER VIEW portfolio_positions AS
SELECT v.account, v.strategy, v.symbol, v.total AS total_quantity, v.total - v.locked AS available_quantity,
    v.locked AS locked_quantity, v.cost / v.total AS average_cost, v.price AS current_price,
    v.total * v.price - v.cost AS unrealized_pnl
FROM (SELECT l.account_name AS account, p.strategy_name AS strategy, p.symbol, CAST(p.quantity
        AS DECIMAL(32, 12)) AS total,
    CAST(p.cost AS DECIMAL(32, 12)) AS cost,
    COALESCE((SELECT SUM(CAST(o.quantity AS DECIMAL(32, 12)) * (o.quantity_units - o.filled_units) / o.quantity_units)
        FROM intents o WHERE o.ledger = p.ledger AND o.strategy_name = p.strategy_name AND o.symbol = p.symbol
        AND o.side = 'Sell'
        AND o.state IN ('Intended', 'Sent', 'Accepted', 'PartiallyFilled', 'Unknown')), 0) AS locked,
    k.mark * (SELECT MAX(CAST(i.reference_price AS DECIMAL(32, 12)) / i.reference_price_units) FROM intents i
        WHERE i.ledger = p.ledger AND i.symbol = p.symbol AND i.reference_price_units > 0) AS price
    FROM positions p JOIN ledger l ON l.ledger = p.ledger LEFT JOIN (SELECT c.ledger, m.symbol, m.mark
        FROM checkpoint c,
        JSON_TABLE(NULLIF(c.body, ''), '$.instruments[*]'
            COLUMNS (symbol VARCHAR(25) PATH '$.symbol', mark BIGINT PATH '$.mark')) AS m WHERE m.mark > 0) AS k
    ON k.ledger = p.ledger AND CONVERT(k.symbol USING utf8mb4) COLLATE utf8mb4_bin = p.symbol
    WHERE p.quantity <> '0') AS v;

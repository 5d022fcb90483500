-- How many commits there were: a commit without a row of the chain moves the end of it too.
ALTER TABLE chain_head ADD COLUMN commits BIGINT NOT NULL DEFAULT 0;

-- New orders are numbered from here on at least: a restored ledger leaves out the numbers that orders after its backup
-- may have, since client order ids are made of them.
ALTER TABLE chain_head ADD COLUMN intents_from BIGINT NOT NULL DEFAULT 0;

-- Whether the worker that opened the ledger last trades on paper; NULL until one has said so.
ALTER TABLE chain_head ADD COLUMN mock BIGINT;

-- What each strategy holds of each instrument and what that cost with its fees, by average cost over its fills; fees in a
-- third asset are not in the cost. Projected; a ledger of before is brought up when it is opened.
CREATE TABLE positions (
    strategy      CHAR(36)     NOT NULL,
    strategy_name VARCHAR(253) NOT NULL,
    symbol        VARCHAR(25)  NOT NULL,
    quantity      VARCHAR(60)  NOT NULL,
    cost          VARCHAR(60)  NOT NULL,
    PRIMARY KEY (strategy, symbol)
);
CREATE INDEX decisions_by_intent ON decisions (intent) WHERE intent IS NOT NULL;

-- The rest is for programs that know the tables of other systems by these names. Times are UTC. What is copied is exact;
-- what is computed (amount_usd, position_size_percent, average_cost, unrealized_pnl and the locked quantity) are
-- floating-point numbers here, since SQLite has no decimals; never compute money from them. confidence is 0 to 1. What is
-- not known yet is NULL: xgboost_confidence, signal_strength, model_version, take_profit, llm_*.

CREATE VIEW trading_signals AS
SELECT d.id AS signal_id, l.account_name AS account, d.symbol, UPPER(d.side) AS signal_type,
    CAST(d.confidence AS REAL) / 100 AS confidence, NULL AS xgboost_confidence, d.close AS price,
    NULL AS signal_strength, d.readings AS features_used, NULL AS model_version, d.strategy_name AS source,
    strftime('%Y-%m-%d %H:%M:%f', d.at / 1000.0, 'unixepoch') AS created_at
FROM decisions d JOIN ledger l
WHERE d.side IS NOT NULL;

CREATE VIEW trade_recommendations AS
SELECT CAST(i.id AS TEXT) AS id, l.account_name AS account, i.strategy_name AS strategy, i.symbol,
    UPPER(i.side) AS signal_type,
    CAST(i.quantity AS REAL) * CAST(COALESCE(i.price, i.reference_price) AS REAL) AS amount_usd,
    CAST(d.confidence AS REAL) / 100 AS confidence,
    d.detail AS reasoning,
    CASE WHEN i.state IN ('Intended', 'Sent', 'Accepted', 'PartiallyFilled', 'Unknown') THEN 'PENDING'
        WHEN i.state = 'Rejected' THEN 'REJECTED'
        WHEN i.filled_units > 0 THEN 'EXECUTED'
        WHEN i.state = 'Absent' THEN 'FAILED'
        ELSE 'CANCELLED' END AS execution_status,
    COALESCE(i.price, i.reference_price) AS entry_price,
    CASE WHEN i.purpose = 'Entry' THEN (SELECT s.price FROM intents s WHERE s.id = (SELECT MIN(n.id) FROM intents n
        WHERE n.strategy = i.strategy AND n.symbol = i.symbol AND n.purpose = 'StopLoss' AND n.id > i.id)) END
        AS stop_loss,
    NULL AS take_profit,
    CASE WHEN i.purpose = 'Entry' THEN 100 * CAST(i.quantity
        AS REAL) * CAST(COALESCE(i.price, i.reference_price) AS REAL) / (SELECT CAST(e.equity AS REAL)
        FROM equity e WHERE e.strategy = i.strategy AND e.at <= i.decided_at
        ORDER BY e.at DESC LIMIT 1) END AS position_size_percent,
    i.quantity AS amount_crypto, h.mock AS is_mock,
    strftime('%Y-%m-%d %H:%M:%f', i.decided_at / 1000.0, 'unixepoch') AS created_at,
    strftime('%Y-%m-%d %H:%M:%f', COALESCE((SELECT MAX(t.at) FROM transitions t
        WHERE t.intent = i.id), i.decided_at) / 1000.0, 'unixepoch') AS updated_at,
    strftime('%Y-%m-%d %H:%M:%f', (SELECT MAX(f.at) FROM fills f WHERE f.intent = i.id) / 1000.0, 'unixepoch')
        AS executed_at,
    NULL AS llm_validation, NULL AS llm_confidence, NULL AS llm_reasoning
FROM intents i JOIN ledger l JOIN chain_head h LEFT JOIN decisions d ON d.intent = i.id
WHERE i.purpose <> 'StopLoss'
UNION ALL
SELECT 'denied-' || d.id, l.account_name, d.strategy_name, d.symbol, UPPER(d.side),
    NULL, CAST(d.confidence AS REAL) / 100, d.detail,
    CASE WHEN d.outcome IN ('AlreadyHolding', 'OrderInFlight') THEN 'DUPLICATE' ELSE 'LIMIT_EXCEEDED' END,
    d.close, NULL, NULL, NULL, NULL, h.mock, strftime('%Y-%m-%d %H:%M:%f', d.at / 1000.0, 'unixepoch'),
    strftime('%Y-%m-%d %H:%M:%f', d.at / 1000.0, 'unixepoch'), NULL, NULL, NULL, NULL
FROM decisions d JOIN ledger l JOIN chain_head h
WHERE d.side IS NOT NULL AND d.outcome IN ('AlreadyHolding', 'OrderInFlight', 'Cooldown', 'MaxTradesPerDay',
    'MaxOpenPositions', 'BelowMinNotional', 'MaxPosition', 'MaxExposure', 'MaxAccountExposure', 'InsufficientFunds');

CREATE VIEW live_trades AS
SELECT f.seq AS id, l.account_name AS account, f.trade_id, f.client_order_id AS order_id, i.strategy_name AS strategy,
    f.symbol,
    UPPER(f.side) AS side, f.quantity AS quantity, f.price AS price,
    f.fee AS fee, f.fee_asset AS fee_currency, f.liquidity = 'Maker' AS is_maker, i.purpose,
    h.mock AS is_mock, strftime('%Y-%m-%d %H:%M:%f', f.at / 1000.0, 'unixepoch') AS executed_at
FROM fills f JOIN intents i ON i.id = f.intent JOIN ledger l JOIN chain_head h;

CREATE VIEW portfolio_positions AS
SELECT v.account, v.strategy, v.symbol, v.total AS total_quantity, v.total - v.locked AS available_quantity,
    v.locked AS locked_quantity, v.cost / v.total AS average_cost, v.price AS current_price,
    v.total * v.price - v.cost AS unrealized_pnl
FROM (SELECT l.account_name AS account, p.strategy_name AS strategy, p.symbol, CAST(p.quantity AS REAL) AS total,
    CAST(p.cost AS REAL) AS cost,
    COALESCE((SELECT SUM(CAST(o.quantity AS REAL) * (o.quantity_units - o.filled_units) / o.quantity_units)
        FROM intents o WHERE o.strategy_name = p.strategy_name AND o.symbol = p.symbol AND o.side = 'Sell'
        AND o.state IN ('Intended', 'Sent', 'Accepted', 'PartiallyFilled', 'Unknown')), 0) AS locked,
    k.mark * (SELECT CAST(i.reference_price AS REAL) / i.reference_price_units FROM intents i
        WHERE i.symbol = p.symbol AND i.reference_price_units > 0 LIMIT 1) AS price
    FROM positions p JOIN ledger l LEFT JOIN (SELECT json_extract(m.value, '$.symbol')
        AS symbol, json_extract(m.value, '$.mark') AS mark
        FROM checkpoint c,
    json_each(NULLIF(c.body, ''), '$.instruments') m) AS k ON k.symbol = p.symbol AND k.mark > 0
    WHERE p.quantity <> '0') AS v;

-- An order that its adapter refuses is Denied, not Rejected; for readers it was refused all the same.
DROP VIEW trade_recommendations;

CREATE VIEW trade_recommendations AS
SELECT CAST(i.id AS TEXT) AS id, l.account_name AS account, i.strategy_name AS strategy, i.symbol,
    UPPER(i.side) AS signal_type,
    CAST(i.quantity AS REAL) * CAST(COALESCE(i.price, i.reference_price) AS REAL) AS amount_usd,
    CAST(d.confidence AS REAL) / 100 AS confidence,
    d.detail AS reasoning,
    CASE WHEN i.state IN ('Intended', 'Sent', 'Accepted', 'PartiallyFilled', 'Unknown') THEN 'PENDING'
        WHEN i.state IN ('Rejected', 'Denied') THEN 'REJECTED'
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

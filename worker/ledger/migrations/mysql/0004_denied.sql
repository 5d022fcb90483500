-- An order that its adapter refuses is Denied, not Rejected; for readers it was refused all the same.
CREATE OR REPLACE SQL SECURITY INVOKER VIEW trade_recommendations AS
SELECT CAST(i.id AS CHAR) AS id, l.account_name AS account, i.strategy_name AS strategy, i.symbol,
    UPPER(i.side) AS signal_type,
    CAST(i.quantity AS DECIMAL(32, 12)) * CAST(COALESCE(i.price, i.reference_price) AS DECIMAL(32, 12)) AS amount_usd,
    CAST(d.confidence AS DECIMAL(10, 4)) / 100 AS confidence,
    d.detail AS reasoning,
    CASE WHEN i.state IN ('Intended', 'Sent', 'Accepted', 'PartiallyFilled', 'Unknown') THEN 'PENDING'
        WHEN i.state IN ('Rejected', 'Denied') THEN 'REJECTED'
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

-- What happened, on its way to a message bus: see ../sqlite/0005_outbox.sql.

CREATE TABLE IF NOT EXISTS outbox (
    ledger BIGINT NOT NULL,
    sequence BIGINT NOT NULL,
    kept BIGINT NOT NULL,
    kind VARCHAR(16) NOT NULL,
    event_key VARCHAR(400) NOT NULL,
    body LONGTEXT NOT NULL,
    PRIMARY KEY (ledger, sequence),
    INDEX outbox_by_kept (ledger, kept, sequence)
) ENGINE = InnoDB CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;

CREATE TABLE IF NOT EXISTS outbox_state (
    ledger BIGINT NOT NULL,
    account VARCHAR(253) NOT NULL,
    last_sequence BIGINT NOT NULL,
    relayed BIGINT NOT NULL,
    PRIMARY KEY (ledger)
) ENGINE = InnoDB CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;

CREATE TABLE IF NOT EXISTS outbox_dropped (
    ledger BIGINT NOT NULL,
    kind VARCHAR(16) NOT NULL,
    events BIGINT NOT NULL,
    PRIMARY KEY (ledger, kind)
) ENGINE = InnoDB CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;

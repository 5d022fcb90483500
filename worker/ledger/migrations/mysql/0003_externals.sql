-- As the migration of SQLite of this name. Each statement can be run again.

CREATE TABLE IF NOT EXISTS externals (
    ledger BIGINT NOT NULL,
    seq BIGINT NOT NULL,
    prev_hash CHAR(64) NOT NULL,
    hash CHAR(64) NOT NULL,
    what VARCHAR(5) NOT NULL,
    venue_id VARCHAR(64) NOT NULL,
    order_id VARCHAR(64) NOT NULL,
    symbol VARCHAR(25) NOT NULL,
    side VARCHAR(4) NOT NULL,
    price VARCHAR(60),
    quantity VARCHAR(60),
    at BIGINT NOT NULL,
    PRIMARY KEY (ledger, seq),
    UNIQUE (ledger, what, symbol, venue_id)
) ENGINE = InnoDB CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;

CREATE TRIGGER IF NOT EXISTS externals_kept BEFORE DELETE ON externals FOR EACH ROW
    SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'externals are append-only';

CREATE TRIGGER IF NOT EXISTS externals_fixed BEFORE UPDATE ON externals FOR EACH ROW
    SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'externals are append-only';

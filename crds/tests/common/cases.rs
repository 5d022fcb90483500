//! One case a rule of the schemas: an accepted and two refused objects. Run in process by the crate's own tests, and
//! against a real API server by those of the workspace.

use serde_json::{Value, json};

use super::{ACCOUNT, HALT, POLICY, STRATEGY, merge, patched, valid};

/// One rule: the start of its message, and patches of the valid object.
pub struct Case {
    pub kind: &'static str,
    pub message: &'static str,
    accepted: Value,
    refused: [Value; 2],
    /// For rules on changes: patches of the object as it was.
    before: Value,
}

impl Case {
    /// For rules on changes: the object as it was.
    pub fn before(&self) -> Option<Value> {
        (!self.before.is_null()).then(|| patched(self.kind, &self.before))
    }

    /// The object that keeps the rule.
    pub fn accepted(&self) -> Value {
        self.object(&self.accepted)
    }

    /// The objects that break it.
    pub fn refused(&self) -> [Value; 2] {
        [self.object(&self.refused[0]), self.object(&self.refused[1])]
    }

    /// A removed field is removed from the object as it was, too.
    fn object(&self, patch: &Value) -> Value {
        let mut object = self.before().unwrap_or_else(|| valid(self.kind));
        merge(&mut object, patch);
        object
    }
}

fn create(kind: &'static str, message: &'static str, accepted: Value, refused: [Value; 2]) -> Case {
    Case { kind, message, accepted, refused, before: Value::Null }
}

fn change(
    kind: &'static str,
    message: &'static str,
    before: Value,
    accepted: Value,
    refused: [Value; 2],
) -> Case {
    Case { kind, message, accepted, refused, before }
}

fn name(kind: &'static str, message: &'static str) -> Case {
    let named = |name: &str| json!({"metadata": {"name": name}});
    // 52 characters are the most.
    create(kind, message, named(&"a".repeat(52)), [named(&"a".repeat(53)), named("1btc")])
}

fn strategy_cases() -> Vec<Case> {
    let spec = |spec: Value| json!({"spec": spec});
    let ema = |fast: i32, slow: i32| {
        spec(json!({"signal": {"source": {"emaCross": {"fast": fast, "slow": slow}}}}))
    };
    let rsi = |oversold: f64, overbought: f64| {
        spec(json!({"signal": {"source": {"emaCross": null,
            "rsiReversion": {"period": 14, "oversold": oversold, "overbought": overbought}}}}))
    };
    let quantities = |symbols: &[&str]| {
        let list: Vec<Value> = symbols.iter().map(|s| json!({"symbol": s, "quantity": "0.1"})).collect();
        spec(json!({"sizing": {"fixedPercent": null, "fixedQuantity": {"quantities": list}}}))
    };
    let quantity = |text: &str| {
        spec(json!({"sizing": {"fixedPercent": null,
            "fixedQuantity": {"quantities": [{"symbol": "BTC-USD", "quantity": text}]}}}))
    };
    let capital = |amount: &str| spec(json!({"capital": {"amount": amount}}));
    let bar = |bar: &str| spec(json!({"decision": {"bar": bar}}));
    let live = |exits: Value| spec(json!({"mode": "Live", "exits": exits}));
    let account = |name: &str| spec(json!({"exchangeAccountRef": {"name": name}}));
    let mode = |mode: &str| spec(json!({"mode": mode}));
    vec![
        name(
            STRATEGY,
            "metadata.name must be a lower-case DNS label of at most 52 characters that starts with a letter; rename the strategy",
        ),
        create(STRATEGY, "fast must be less than slow", ema(10, 30), [ema(30, 30), ema(31, 30)]),
        create(STRATEGY, "oversold must be less", rsi(30.0, 70.0), [rsi(70.0, 70.0), rsi(70.5, 70.0)]),
        create(
            STRATEGY,
            "sizing.fixedQuantity must list",
            quantities(&["BTC-USD"]),
            [quantities(&["BTC-USD", "ETH-USD"]), quantities(&["ETH-USD"])],
        ),
        create(
            STRATEGY,
            "quantity must be greater",
            quantity("0.00000001"),
            [quantity("0"), quantity("0.000")],
        ),
        create(STRATEGY, "capital.amount must be greater", capital("0.01"), [capital("0"), capital("0.00")]),
        create(STRATEGY, "decision.bar must be from 1s to 24h", bar("24h"), [bar("25h"), bar("999ms")]),
        create(
            STRATEGY,
            "a strategy with mode Live must have a stop loss",
            live(json!({})),
            [live(Value::Null), live(json!({"stopLoss": null}))],
        ),
        change(STRATEGY, "mode is immutable", json!({}), mode("Paper"), [mode("Live"), live(json!({}))]),
        change(
            STRATEGY,
            "exchangeAccountRef is immutable",
            json!({}),
            account("paper"),
            [account("other"), account("paper2")],
        ),
    ]
}

fn protection_case() -> Case {
    let spec = |spec: Value| json!({"spec": spec});
    create(
        STRATEGY,
        "exits.protection says who sells",
        spec(json!({"exits": {"protection": "AtWorker"}})),
        [
            spec(json!({"exits": {"stopLoss": null, "protection": "AtWorker"}})),
            spec(json!({"exits": {"stopLoss": null, "protection": "AtVenue"}})),
        ],
    )
}

fn account_cases() -> Vec<Case> {
    let paper = |paper: Value| json!({"spec": {"venue": {"paper": paper}}});
    let balances = |assets: &[&str]| {
        let list: Vec<Value> = assets.iter().map(|a| json!({"asset": a, "amount": "1"})).collect();
        paper(json!({"balances": list}))
    };
    let other = |asset: &str, price: &str| {
        paper(json!({"fees": {"paidIn": {"quote": null, "other": {"asset": asset, "price": price}}}}))
    };
    let latency = |text: &str| paper(json!({"latency": text}));
    let euro = paper(json!({"quoteCurrency": "EUR", "balances": [{"asset": "EUR", "amount": "1"}]}));
    let both = paper(json!({"quoteCurrency": "BTC", "balances": [{"asset": "BTC", "amount": "1"}]}));
    vec![
        name(
            ACCOUNT,
            "metadata.name must be a lower-case DNS label of at most 52 characters that starts with a letter; rename the account",
        ),
        create(
            ACCOUNT,
            "allowLive must be false on a paper venue",
            json!({}),
            [
                json!({"spec": {"allowLive": true}}),
                json!({"spec": {"allowLive": true, "venue": {"paper": {"latency": "0s"}}}}),
            ],
        ),
        create(
            ACCOUNT,
            "balances must hold the quote currency",
            balances(&["BTC", "USD"]),
            [balances(&["BTC"]), balances(&["EUR", "USDT"])],
        ),
        create(
            ACCOUNT,
            "fees.paidIn.other must not be the quote currency",
            other("BNB", "300"),
            [other("USD", "1"), other("USD", "300")],
        ),
        create(
            ACCOUNT,
            "price must be greater than zero",
            other("BNB", "0.1"),
            [other("BNB", "0"), other("BNB", "0.0")],
        ),
        create(ACCOUNT, "latency must be at most 1m", latency("1m"), [latency("61s"), latency("1h")]),
        change(ACCOUNT, "quoteCurrency is immutable", json!({}), balances(&["USD", "BTC"]), [euro, both]),
    ]
}

/// The account at a real venue, with its own changes.
pub fn real(venue: &Value) -> Value {
    let mut account = json!({"spec": {
        "venue": {"paper": null, "binanceUs": {
            "credentialsSecretRef": {"name": "binance-key"}, "quoteCurrency": "USD",
            "endpoint": "https://api.binance.us", "slippageBps": 20.0,
            "fees": {"makerBps": 40.0, "takerBps": 60.0, "paidIn": {"quote": {}}}}},
        "marketData": {"replay": null, "venue": {"bar": "1m"}},
    }});
    merge(&mut account, &json!({"spec": {"venue": {"binanceUs": venue}}}));
    account
}

fn data_cases() -> Vec<Case> {
    let recorded_at = |url: &str| {
        let replay = json!({"venue": null, "replay": {"dataSet": "coinbase-1h", "speed": {"max": {}}}});
        let mut account = real(&json!({"endpoint": url}));
        merge(&mut account, &json!({"spec": {"marketData": replay}}));
        account
    };
    let paper_on_venue = |bar: &str| json!({"spec": {"marketData": {"replay": null, "venue": {"bar": bar}}}});
    vec![
        create(
            ACCOUNT,
            "a paper venue has no market of its own",
            real(&json!({})),
            [paper_on_venue("1m"), paper_on_venue("1h")],
        ),
        create(
            ACCOUNT,
            "recorded bars say nothing of what a real venue trades at now",
            recorded_at("http://simulator.desk.svc:8080"),
            [recorded_at("https://api.binance.us"), recorded_at("https://127.0.0.1.example.com")],
        ),
    ]
}

fn venue_cases() -> Vec<Case> {
    let endpoint = |url: &str| real(&json!({"endpoint": url}));
    let with = |patch: Value| {
        let mut account = real(&json!({}));
        merge(&mut account, &json!({"spec": patch}));
        account
    };
    let candle = |bar: &str| with(json!({"marketData": {"venue": {"bar": bar}}}));
    let paper = json!({"spec": {
        "venue": {"binanceUs": null, "paper": {
            "quoteCurrency": "USD", "balances": [{"asset": "USD", "amount": "1"}],
            "fees": {"makerBps": 40.0, "takerBps": 60.0, "paidIn": {"quote": {}}},
            "slippageBps": 2.0, "latency": "150ms", "volumeSharePercent": 10.0}},
        "marketData": {"venue": null, "replay": {"dataSet": "coinbase-1h", "speed": {"max": {}}}},
    }});
    let paper_elsewhere = {
        let mut patch = paper.clone();
        merge(&mut patch, &json!({"spec": {"marketData": {"replay": {"dataSet": "other"}}}}));
        patch
    };
    vec![
        change(
            ACCOUNT,
            "the kind of venue is immutable",
            real(&json!({})),
            with(json!({"allowLive": true})),
            [paper, paper_elsewhere],
        ),
        create(
            ACCOUNT,
            "endpoint must be https, or http to the loopback address or a Service",
            endpoint("http://simulator.desk.svc:8080"),
            [endpoint("http://api.binance.us"), endpoint("http://127.0.0.1.example.com")],
        ),
        change(
            ACCOUNT,
            "endpoint is immutable",
            real(&json!({})),
            real(&json!({"credentialsSecretRef": {"name": "other-key"}})),
            [endpoint("https://127.0.0.1:8443"), endpoint("http://localhost")],
        ),
        create(
            ACCOUNT,
            "marketData.venue.bar must be a candle the venue has",
            candle("60m"),
            [candle("2m"), candle("30s")],
        ),
    ]
}

fn ledger_cases() -> Vec<Case> {
    let sqlite = |sqlite: Value| json!({"spec": {"ledger": {"sqlite": sqlite}}});
    let size = |size: &str| sqlite(json!({"size": size}));
    let mysql = |host: &str, tls: &str| {
        json!({"spec": {"ledger": {"sqlite": null, "mysql": {
            "host": host, "port": 3306, "database": "tradewind",
            "credentialsSecretRef": {"name": "ledger"}, "tls": {tls: {}}}}}})
    };
    let class = |class: &str| sqlite(json!({"storageClassName": class}));
    vec![
        change(
            ACCOUNT,
            "ledger.sqlite.size must not shrink",
            json!({}),
            size("2Gi"),
            [size("512Mi"), size("1023Mi")],
        ),
        change(
            ACCOUNT,
            "ledger.sqlite.storageClassName is immutable",
            class("fast"),
            class("fast"),
            [class("slow"), sqlite(json!({"storageClassName": null}))],
        ),
        change(
            ACCOUNT,
            "the kind of ledger is immutable",
            mysql("db.desk.svc", "required"),
            mysql("other.desk.svc", "required"),
            [
                json!({"spec": {"ledger": {"mysql": null, "sqlite": {"size": "1Gi"}}}}),
                json!({"spec": {"ledger": {"mysql": null, "sqlite": {"size": "2Gi"}}}}),
            ],
        ),
        create(
            ACCOUNT,
            "ledger.mysql.tls may be plainText on loopback only",
            mysql("127.0.0.1", "plainText"),
            [mysql("db.desk.svc", "plainText"), mysql("10.0.0.7", "plainText")],
        ),
    ]
}

fn bus_cases() -> Vec<Case> {
    let url = |url: &str| json!({"spec": {"bus": {"redis": {"url": url}}}});
    vec![create(
        ACCOUNT,
        "bus.redis.url must be redis://host:port/database",
        url("redis://redis.desk.svc:6379/0"),
        [url("redis://user:secret@redis.desk.svc:6379"), url("rediss://redis.desk.svc")],
    )]
}

fn policy_and_halt_cases() -> Vec<Case> {
    let strategy = |strategy: Value| json!({"spec": {"strategy": strategy}});
    let position = |position: f64, exposure: f64| {
        strategy(json!({"maxPositionPercent": position, "maxExposurePercent": exposure}))
    };
    let cooldown = |text: &str| strategy(json!({"cooldown": text}));
    let flatten = |text: &str| json!({"spec": {"order": {"flattenUnprotectedAfter": text}}});
    let breaker = |name: &str, confirm: &str| {
        json!({"spec": {"breakers": [{"name": name, "scope": "Account", "action": "Liquidate",
            "trip": {"drawdown": {"percent": 10.0, "confirmFor": confirm}}}]}})
    };
    let halt_name = |length: usize| json!({"metadata": {"name": "a".repeat(length)}});
    vec![
        name(
            POLICY,
            "metadata.name must be a lower-case DNS label of at most 52 characters that starts with a letter; rename the policy",
        ),
        create(
            POLICY,
            "maxPositionPercent must not be above",
            position(80.0, 80.0),
            [position(80.5, 80.0), position(90.0, 5.0)],
        ),
        create(
            POLICY,
            "cooldown must be at most 720h",
            cooldown("720h"),
            [cooldown("721h"), cooldown("720h1ms")],
        ),
        create(
            POLICY,
            "flattenUnprotectedAfter must be at most 10m",
            flatten("10m"),
            [flatten("11m"), flatten("10m1ms")],
        ),
        create(
            POLICY,
            "confirmFor must be at most 24h",
            breaker("x", "24h"),
            [breaker("x", "25h"), breaker("x", "24h1s")],
        ),
        create(
            POLICY,
            "a breaker must not be named",
            breaker("latch", "1s"),
            [breaker("balances-differ", "1s"), breaker("ledger-unknown", "1s")],
        ),
        create(HALT, "metadata.name must have at most 120", halt_name(120), [halt_name(121), halt_name(253)]),
        change(
            HALT,
            "the spec of a TradingHalt is immutable",
            json!({}),
            json!({"metadata": {"labels": {"a": "b"}}}),
            [json!({"spec": {"action": "StopEntries"}}), json!({"spec": {"reason": "other"}})],
        ),
    ]
}

/// A case for each rule.
pub fn cases() -> Vec<Case> {
    strategy_cases()
        .into_iter()
        .chain([protection_case()])
        .chain(account_cases())
        .chain(venue_cases())
        .chain(data_cases())
        .chain(ledger_cases())
        .chain(bus_cases())
        .chain(policy_and_halt_cases())
        .collect()
}

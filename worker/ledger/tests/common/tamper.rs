//! Edits by somebody who can write to the database and knows where triggers and the end of the chain are.

use tradewind_core::event::{Record, Succession};
use tradewind_core::name::Uid;
use tradewind_core::order::OrderState::{Accepted, Filled, Intended, Sent};
use tradewind_core::time::Timestamp;
use tradewind_ledger::{ChainHead, Ledger};
use uuid::Uuid;

use super::{booked, commit, external, intent, set, signing, step, transfer};

/// How many edits there are.
pub(crate) const EDITS: u64 = 1_000;
/// Rows of a commit.
const ROUND: usize = 11;
/// The tables of the chain.
pub(crate) const TABLES: [&str; 9] = [
    "intents",
    "signings",
    "transitions",
    "fills",
    "halts",
    "transfers",
    "rebases",
    "successions",
    "externals",
];

/// Columns that no two rows of a table share.
const UNIQUE: [(&str, &str); 3] =
    [("fills", "trade_id"), ("successions", "predecessor"), ("externals", "venue_id")];

/// Chance from a number, the same on any machine (splitmix64).
pub(crate) struct Chance(pub(crate) u64);

impl Chance {
    fn below(&mut self, limit: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((z ^ (z >> 31)) % u64::try_from(limit).unwrap()).unwrap()
    }
}

/// Fills a new ledger with rows of every table; the end of its chain.
pub(crate) async fn fill_for_edits(ledger: &mut impl Ledger) -> ChainHead {
    for id in 1..=6 {
        let records = [
            Record::Transfer(transfer(&id.to_string(), None)),
            Record::Intent(intent(id, 1)),
            signing(id, 1, 1),
            step(id, 1, 1, Intended, Sent),
            step(id, 1, 1, Sent, Accepted),
            booked(&id.to_string(), id),
            step(id, 1, 1, Accepted, Filled),
            set("a"),
            // Strategies that had nothing.
            Record::Succession(Succession {
                from: Uid(Uuid::from_u128(0xb0 + u128::from(id))),
                to: Uid(Uuid::from_u128(0xc0)),
                at: Timestamp(8),
            }),
            external(&id.to_string()),
            Record::Rebase { strategy: None, reference: transfer("7", None).amount, at: Timestamp(9) },
        ];
        commit(ledger, &records).await.unwrap();
    }
    ledger.head().await.unwrap()
}

/// Somebody at the database.
pub(crate) trait Hand {
    /// An update that gives way where it would break a rule of the table.
    const UPDATE: &str;
    /// Whether two values are not the same, NULL being one.
    const DIFFERS: &str;

    /// Runs statements; how many rows they changed. None: the database refuses them.
    async fn run(&mut self, sql: String) -> Option<u64>;

    /// The first column of what is asked for.
    async fn ask<T: Asked>(&mut self, sql: String) -> Vec<T>;

    /// The columns of a table.
    async fn columns(&mut self, table: &str) -> Vec<String>;
}

/// What can be asked for.
pub(crate) trait Asked:
    for<'r> sqlx::Decode<'r, sqlx::Sqlite>
    + sqlx::Type<sqlx::Sqlite>
    + for<'r> sqlx::Decode<'r, sqlx::MySql>
    + sqlx::Type<sqlx::MySql>
{
}

impl Asked for i64 {}
impl Asked for String {}

/// One edit; returns what it was, or nothing where chance found nothing to change.
pub(crate) async fn edit<H: Hand>(
    hand: &mut H,
    head: &ChainHead,
    chance: &mut Chance,
) -> Option<(&'static str, String)> {
    let table = TABLES[chance.below(TABLES.len())];
    let numbers: Vec<i64> = hand.ask(format!("SELECT seq FROM {table} ORDER BY seq")).await;
    let seq = numbers[chance.below(numbers.len())];
    let other = numbers[chance.below(numbers.len())];
    let columns = hand.columns(table).await;
    let (what, sql) = match chance.below(6) {
        // A value that was not there before, of the same kind or of another.
        0 | 1 => ("edit", changed::<H>(table, &columns, seq, chance)),
        2 => ("deletion", format!("DELETE FROM {table} WHERE seq = {seq}")),
        3 => ("insertion", copied(table, &columns, seq, head)),
        4 if seq != other => {
            let sql = format!(
                "UPDATE {table} SET seq = -1 WHERE seq = {seq}; UPDATE {table} SET seq = {seq} WHERE seq = {other}; \
                 UPDATE {table} SET seq = {other} WHERE seq = -1"
            );
            ("reordering", sql)
        }
        5 => ("truncation", truncated(hand, head, chance).await),
        _ => return None,
    };
    (hand.run(sql.clone()).await? > 0).then_some((what, sql))
}

fn changed<H: Hand>(table: &str, columns: &[String], seq: i64, chance: &mut Chance) -> String {
    let free: Vec<&String> =
        columns.iter().filter(|name| !["seq", "id", "ledger"].contains(&name.as_str())).collect();
    let column = free[chance.below(free.len())];
    let forms = ["{c} || '0'", "'x'", "COALESCE({c}, 0) + 1", "NULL", "''"];
    let value = forms[chance.below(forms.len())].replace("{c}", column);
    let differs = H::DIFFERS.replace("{a}", column).replace("{b}", &format!("({value})"));
    format!("{} {table} SET {column} = {value} WHERE seq = {seq} AND {differs}", H::UPDATE)
}

/// A copy of a row behind the end, which is moved there.
fn copied(table: &str, columns: &[String], seq: i64, head: &ChainHead) -> String {
    let (last, next) = (head.seq, head.seq + 1);
    let unique = UNIQUE.iter().find(|(of, _)| *of == table).map(|(_, unique)| *unique);
    let value = |name: &String| match name.as_str() {
        "seq" => next.to_string(),
        "id" => "id + 1000".to_owned(),
        "client_order_id" if table == "intents" => "client_order_id || 'x'".to_owned(),
        name if Some(name) == unique => format!("{name} || 'x'"),
        name => name.to_owned(),
    };
    let (names, values) = (columns.join(", "), columns.iter().map(value).collect::<Vec<_>>().join(", "));
    format!(
        "INSERT INTO {table} ({names}) SELECT {values} FROM {table} WHERE seq = {seq}; \
         UPDATE chain_head SET seq = {next}, hash = (SELECT hash FROM {table} WHERE seq = {next}) WHERE seq = {last}"
    )
}

/// All rows from one on are deleted, and everything that follows from them is made to fit.
async fn truncated(hand: &mut impl Hand, head: &ChainHead, chance: &mut Chance) -> String {
    let rounds = usize::try_from(head.seq).unwrap() / ROUND;
    // Whole rounds, so that no projection tells of it.
    let keep = chance.below(rounds) * ROUND;
    let mut hash = String::new();
    for table in TABLES {
        let found: Vec<String> = hand.ask(format!("SELECT hash FROM {table} WHERE seq = {keep}")).await;
        hash = found.into_iter().next().unwrap_or(hash);
    }
    let deletions = TABLES.map(|table| format!("DELETE FROM {table} WHERE seq > {keep};")).concat();
    let kept = keep / ROUND;
    let (usd, coins) = (kept * (kept + 1) / 2, format!("0.{}", kept * 2));
    let thousandths = kept * 20_032;
    let cost = format!("{}.{:03}", thousandths / 1_000, thousandths % 1_000);
    format!(
        "{deletions} UPDATE chain_head SET seq = {keep}, hash = '{hash}'; \
         UPDATE balances SET amount = '{usd}' WHERE strategy = ''; \
         UPDATE balances SET amount = '{coins}' WHERE asset = 'BTC'; \
         UPDATE positions SET quantity = '{coins}', cost = '{cost}'; \
         UPDATE balances SET amount = '-{cost}' WHERE strategy <> '' AND asset = 'USD'"
    )
}

/// How many edits of a kind were found, and of them by the copy of the end alone.
#[derive(Default)]
pub(crate) struct Found(std::collections::BTreeMap<&'static str, (u32, u32)>);

impl Found {
    pub(crate) fn count(&mut self, what: &'static str, by_itself: bool) {
        let count = self.0.entry(what).or_default();
        count.0 += 1;
        count.1 += u32::from(!by_itself);
    }

    pub(crate) fn assert_all_kinds(&self) {
        assert_eq!(self.0.len(), 5, "every kind of edit happened: {:?}", self.0);
        for (what, (all, by_head_alone)) in &self.0 {
            let as_expected = (*what == "truncation") == (*by_head_alone > 0);
            assert!(*all > 50 && as_expected, "{what}: {all} edits, {by_head_alone} found by the head alone");
        }
    }
}

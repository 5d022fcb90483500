//! What we may ask of the venue, and when. Pure: time comes with each call.
//!
//! The venue counts weight for each address and orders for each account, and bans an address that goes on after a 429.
//! We stop well before: a share of each limit is ours, and a part of that is kept for what reduces risk or doubt.

use tradewind_core::time::{Millis, Timestamp};

use super::reply::ErrorBody;
use super::rules::RateLimit;

/// Too many orders in the interval (errors.md).
const TOO_MANY_ORDERS: i64 = -1015;

/// The part of the venue's limits we use; others may sit behind the same address.
const SHARE_PERCENT: i64 = 80;
/// The part of our share that only urgent requests may use.
const RESERVE_PERCENT: i64 = 20;
/// Weight a minute, until `exchangeInfo` has told it (rest-api.md, example of `rateLimits`).
const WEIGHT_A_MINUTE: u32 = 1_200;
/// Orders in ten seconds, until `exchangeInfo` has told it.
const ORDERS_IN_TEN_SECONDS: u32 = 100;
/// How long we stay silent after a 429 that does not say how long.
const PAUSE: Millis = Millis(60_000);
/// How long we stay silent after a ban that does not say how long: the shortest there is.
const BAN: Millis = Millis(120_000);

/// Whom a request is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Need {
    /// Entries and whatever can wait.
    Ordinary,
    /// Exits, cancels and look-ups.
    Urgent,
}

/// Why a request has to wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Wait {
    /// The budget is used up until then.
    #[error("the request budget is used up until {} ms", .0.0)]
    Budget(Timestamp),
    /// The venue told us to be silent until then.
    #[error("the venue wants to hear nothing from us until {} ms", .0.0)]
    Banned(Timestamp),
}

impl Wait {
    /// Until when.
    pub fn until(self) -> Timestamp {
        let (Self::Budget(until) | Self::Banned(until)) = self;
        until
    }
}

/// A bucket that fills by itself. Amounts are in thousandths.
#[derive(Debug, Clone, Copy)]
struct Bucket {
    capacity: i64,
    /// Time from empty to full.
    fill_time: Millis,
    level: i64,
    at: Timestamp,
}

impl Bucket {
    fn new(limit: u32, interval: Millis) -> Self {
        let capacity = i64::from(limit) * SHARE_PERCENT * 10;
        Self { capacity, fill_time: interval, level: capacity, at: Timestamp(i64::MIN) }
    }

    /// What has come in since. A clock that was set back brings nothing.
    fn refill(&mut self, now: Timestamp) {
        let passed = now.since(self.at).0.clamp(0, self.fill_time.0);
        let added = i128::from(self.capacity) * i128::from(passed) / i128::from(self.fill_time.0.max(1));
        self.level = self.level.saturating_add(i64::try_from(added).unwrap_or(i64::MAX)).min(self.capacity);
        self.at = now;
    }

    /// From when on that much may be taken; none when it may be now.
    fn ready_at(&mut self, now: Timestamp, amount: u32, need: Need) -> Option<Timestamp> {
        self.refill(now);
        let reserve = if need == Need::Urgent { 0 } else { self.capacity * RESERVE_PERCENT / 100 };
        let missing = i64::from(amount) * 1000 + reserve - self.level;
        if missing <= 0 {
            return None;
        }
        let capacity = i128::from(self.capacity.max(1));
        let wait = (i128::from(missing) * i128::from(self.fill_time.0) + capacity - 1) / capacity;
        Some(now.plus(Millis(i64::try_from(wait).unwrap_or(i64::MAX))))
    }

    fn take(&mut self, amount: u32) {
        self.level -= i64::from(amount) * 1000;
    }

    /// The venue says so much of its limit is used, by whomever.
    fn used(&mut self, amount: u32) {
        self.level = self.level.min((self.capacity - i64::from(amount) * 1000).max(0));
    }
}

/// What the venue says about its limits with an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Usage {
    /// The HTTP status.
    pub status: u16,
    /// Header `Retry-After`, in seconds.
    pub retry_after: Option<u32>,
    /// Header `X-MBX-USED-WEIGHT-1M`.
    pub used_weight: Option<u32>,
}

/// The account's budget of requests and orders.
#[derive(Debug, Clone, Copy)]
pub struct Budget {
    weight: Bucket,
    orders: Bucket,
    silent_until: Option<Timestamp>,
}

impl Default for Budget {
    fn default() -> Self {
        Self {
            weight: Bucket::new(WEIGHT_A_MINUTE, Millis(60_000)),
            orders: Bucket::new(ORDERS_IN_TEN_SECONDS, Millis(10_000)),
            silent_until: None,
        }
    }
}

impl Budget {
    /// Takes over the limits the venue told. Limits of a day are far from what we do and are not counted.
    pub fn set_limits(&mut self, limits: &[RateLimit]) {
        let tightest = |kind: &str| {
            let of_kind = limits.iter().filter(|limit| limit.rate_limit_type == kind && limit.limit > 0);
            let short = of_kind.filter_map(|limit| Some((limit.limit, length(limit)?)));
            short.min_by_key(|(limit, length)| i64::from(*limit) * 3_600_000 / length.0)
        };
        for (kind, bucket) in [("REQUEST_WEIGHT", &mut self.weight), ("ORDERS", &mut self.orders)] {
            if let Some((limit, length)) = tightest(kind) {
                let (level, at) = (bucket.level, bucket.at);
                *bucket = Bucket::new(limit, length);
                bucket.level = level.min(bucket.capacity);
                bucket.at = at;
            }
        }
    }

    /// Takes a request of that weight out of the budget, and an order where it is one, or says how long to wait.
    pub fn take(&mut self, now: Timestamp, weight: u32, order: bool, need: Need) -> Result<(), Wait> {
        if let Some(until) = self.silent_until.filter(|until| now < *until) {
            return Err(Wait::Banned(until));
        }
        let orders = u32::from(order);
        let weight_ready = self.weight.ready_at(now, weight, need);
        // Too many orders do not stop a request that is none.
        let orders_ready = if order { self.orders.ready_at(now, orders, need) } else { None };
        if let Some(at) = weight_ready.max(orders_ready) {
            return Err(Wait::Budget(at));
        }
        self.weight.take(weight);
        self.orders.take(orders);
        Ok(())
    }

    /// Takes in what an answer says, and with which code and words it says so: they tell the end of a ban.
    pub fn observe(&mut self, now: Timestamp, usage: Usage, error: Option<&ErrorBody>) {
        self.weight.refill(now);
        if let Some(used) = usage.used_weight {
            self.weight.used(used);
        }
        let message = error.map(|error| error.msg.as_str());
        if error.is_some_and(|error| error.code == TOO_MANY_ORDERS) {
            // This limit is the account's, and stops orders alone.
            self.orders.refill(now);
            self.orders.level = self.orders.level.min(0);
            return;
        }
        let told = usage.retry_after.map(|seconds| now.plus(Millis(i64::from(seconds) * 1000)));
        let until = match usage.status {
            429 => told.unwrap_or_else(|| now.plus(PAUSE)),
            418 => told.or_else(|| end_of_ban(message?, now)).unwrap_or_else(|| now.plus(BAN)),
            // The firewall: it does not say how long.
            403 => told.unwrap_or_else(|| now.plus(PAUSE)),
            _ => return,
        };
        self.silent_until = self.silent_until.max(Some(until));
    }

    /// What urgent requests may still take at that moment, of our share of each limit, in whole units; nothing while the
    /// venue wants to hear nothing.
    pub fn left(&self, now: Timestamp) -> [(&'static str, u64); 2] {
        let silent = self.silent_until.is_some_and(|until| now < until);
        [("weight", self.weight), ("orders", self.orders)].map(|(name, mut bucket)| {
            bucket.refill(now);
            (name, if silent { 0 } else { u64::try_from(bucket.level / 1000).unwrap_or(0) })
        })
    }

    /// Until when the venue wants to hear nothing.
    pub fn silent_until(&self) -> Option<Timestamp> {
        self.silent_until
    }
}

/// The end of a ban as its words tell it: milliseconds since 1970, as a number of 13 digits. Nothing longer than
/// the longest ban, three days, is believed.
fn end_of_ban(message: &str, now: Timestamp) -> Option<Timestamp> {
    let mut numbers = message.split(|c: char| !c.is_ascii_digit()).filter(|digits| digits.len() == 13);
    let until = Timestamp(numbers.next()?.parse().ok()?);
    let longest = now.plus(Millis(3 * tradewind_core::time::DAY_MS));
    Some(until.min(longest))
}

fn length(limit: &RateLimit) -> Option<Millis> {
    let unit = match limit.interval.as_str() {
        "SECOND" => 1_000,
        "MINUTE" => 60_000,
        "HOUR" => 3_600_000,
        _ => return None,
    };
    let length = Millis(unit * i64::from(limit.interval_num));
    (length.0 > 0).then_some(length)
}

#[cfg(test)]
#[path = "budget_tests.rs"]
mod tests;

//! A connection to Redis, and the three things asked of it: where the streams end, and to add entries exactly there.
//!
//! Each entry has the event's number as its id, so that the streams themselves say how far events were told. Entries are
//! added on condition that the streams still end where they were found to end: two workers at once, or an answer that was
//! lost, make neither a gap nor a repeat.

use std::collections::HashMap;
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::{
    AsyncConnectionConfig, Client, ConnectionAddr, ConnectionInfo, ErrorKind, FromRedisValue,
    IntoConnectionInfo, RedisConnectionInfo, RedisError, RedisResult, TlsCertificates, Value,
};
use tradewind_core::config::RedisConfig;
use tradewind_ledger::OutboxRow;
use tradewind_ledger::outbox::{Event, Happened, Kind};

use super::Place;
use super::channel::ChannelSignal;
use super::credentials::Credentials;
use super::error::BusError;

/// How long Redis may take to connect.
const CONNECT: Duration = Duration::from_secs(3);
/// Entries about what led to orders that a stream keeps, about. Those about orders are never taken out.
const SIGNALS_KEPT: u32 = 100_000;

/// The names of an account's streams.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Streams {
    /// Orders, fills, positions and halts.
    pub orders: String,
    /// Signals, decisions and equity.
    pub signals: String,
}

impl Streams {
    /// Of the account `namespace/name`.
    pub fn of(account: &str) -> Self {
        let account = account.replace('/', ":");
        Self {
            orders: format!("tradewind:{account}:orders"),
            signals: format!("tradewind:{account}:signals"),
        }
    }
}

/// The number of the last event in each stream; zero for none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Ends {
    /// Of the stream of orders, fills, positions and halts.
    pub orders: u64,
    /// Of the other.
    pub signals: u64,
}

impl Ends {
    /// The end of the stream that such events are in.
    pub(super) fn of(&self, kind: Kind) -> u64 {
        if kind.is_of_orders() { self.orders } else { self.signals }
    }

    /// Moves the end of the stream the event is in.
    pub(super) fn advance(&mut self, row: &OutboxRow) {
        let end = if row.kind.is_of_orders() { &mut self.orders } else { &mut self.signals };
        *end = row.sequence.max(*end);
    }
}

/// The streams of an account, as the relay needs them.
#[expect(async_fn_in_trait, reason = "only dispatched statically; callers see the concrete futures")]
pub trait EventStreams {
    /// Where the streams end, and from then on whether others add to them.
    async fn ends(&mut self) -> Result<Ends, BusError>;

    /// Adds the events to their streams and publishes the signals among them that are newer than `published`, all at once or
    /// not at all. False: others added to the streams since their ends were asked for, and nothing was done.
    async fn add(&mut self, rows: &[&OutboxRow], published: u64) -> Result<bool, BusError>;
}

/// A connection that was let in.
pub(super) struct Link {
    conn: MultiplexedConnection,
    place: String,
    streams: Streams,
}

impl Link {
    /// Connects, with what it takes to be let in.
    pub(super) async fn connect(
        of: &Place,
        credentials: &Credentials,
        answer: Duration,
    ) -> Result<Self, BusError> {
        let (redis, place) = (&of.redis, place(&of.redis));
        let fault = |source| fault(&place, source);
        let client = client(redis, credentials).map_err(fault)?;
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(CONNECT))
            .set_response_timeout(Some(answer));
        // A host that does not answer at all is given up by us.
        let connecting = client.get_multiplexed_async_connection_with_config(&config);
        let conn = tokio::time::timeout(CONNECT + answer, connecting).await.unwrap_or_else(|_| Err(silent()));
        Ok(Self { conn: conn.map_err(fault)?, place, streams: Streams::of(&of.account) })
    }

    fn end(&self, key: &str, answer: RedisResult<Value>) -> Result<u64, BusError> {
        let info = match answer {
            Ok(info) => info,
            Err(error) if error.detail().is_some_and(|detail| detail.contains("no such key")) => {
                return Ok(0);
            }
            Err(error) if error.code() == Some("WRONGTYPE") => {
                return Err(BusError::KeyTaken { place: self.place.clone(), key: key.to_owned() });
            }
            Err(error) => return Err(fault(&self.place, error)),
        };
        let unread = || fault(&self.place, unexpected("the end of a stream could not be read"));
        let fields: HashMap<String, Value> = HashMap::from_redis_value(info).map_err(|_| unread())?;
        let last = fields.get("last-generated-id").cloned().ok_or_else(unread)?;
        let last = String::from_redis_value(last).map_err(|_| unread())?;
        let number = last.split_once('-').and_then(|(number, _)| number.parse().ok());
        number.ok_or_else(unread)
    }
}

impl EventStreams for Link {
    async fn ends(&mut self) -> Result<Ends, BusError> {
        let mut ask = redis::pipe();
        ask.cmd("WATCH").arg(&self.streams.orders).arg(&self.streams.signals);
        ask.cmd("XINFO").arg("STREAM").arg(&self.streams.orders);
        ask.cmd("XINFO").arg("STREAM").arg(&self.streams.signals);
        let answers: Vec<RedisResult<Value>> =
            ask.ignore_errors().query_async(&mut self.conn).await.map_err(|e| fault(&self.place, e))?;
        let [watching, orders, signals] = <[_; 3]>::try_from(answers)
            .map_err(|_| fault(&self.place, unexpected("three answers were asked for")))?;
        watching.map_err(|e| fault(&self.place, e))?;
        Ok(Ends {
            orders: self.end(&self.streams.orders, orders)?,
            signals: self.end(&self.streams.signals, signals)?,
        })
    }

    async fn add(&mut self, rows: &[&OutboxRow], published: u64) -> Result<bool, BusError> {
        let mut add = redis::pipe();
        add.atomic();
        for row in rows {
            let of_orders = row.kind.is_of_orders();
            let add =
                add.cmd("XADD").arg(if of_orders { &self.streams.orders } else { &self.streams.signals });
            if !of_orders {
                add.arg("MAXLEN").arg("~").arg(SIGNALS_KEPT);
            }
            add.arg(format!("{}-0", row.sequence));
            add.arg("kind").arg(<&str>::from(row.kind)).arg("key").arg(&row.key).arg("event").arg(&row.body);
        }
        for row in rows.iter().filter(|row| row.kind == Kind::Signal && row.sequence > published) {
            publish(&mut add, row)?;
        }
        let done: Option<Vec<Value>> =
            add.query_async(&mut self.conn).await.map_err(|e| fault(&self.place, e))?;
        Ok(done.is_some())
    }
}

fn publish(pipe: &mut redis::Pipeline, row: &OutboxRow) -> Result<(), BusError> {
    let unread = |source| BusError::Event { sequence: row.sequence, source };
    let event: Event = serde_json::from_str(&row.body).map_err(unread)?;
    let Happened::Signal(signal) = &event.event else { return Ok(()) };
    let Some(told) = ChannelSignal::new(signal, &event.at) else { return Ok(()) };
    let text = serde_json::to_string(&told).map_err(unread)?;
    for channel in told.channels() {
        pipe.cmd("PUBLISH").arg(channel).arg(&text);
    }
    Ok(())
}

fn client(redis: &RedisConfig, credentials: &Credentials) -> RedisResult<Client> {
    let (host, port) = (redis.host.to_string(), redis.port);
    let mut settings = RedisConnectionInfo::default().set_db(redis.database.into()).set_skip_set_lib_name();
    if let Some(username) = &credentials.username {
        settings = settings.set_username(username);
    }
    if let Some(password) = &credentials.password {
        settings = settings.set_password(password);
    }
    let info = |address: ConnectionAddr| -> RedisResult<ConnectionInfo> {
        Ok(address.into_connection_info()?.set_redis_settings(settings))
    };
    if !redis.tls {
        return Client::open(info(ConnectionAddr::Tcp(host, port))?);
    }
    let address = ConnectionAddr::TcpTls { host, port, insecure: false, tls_params: None };
    let certificates = TlsCertificates { client_tls: None, root_cert: credentials.authority.clone() };
    Client::build_with_tls(info(address)?, certificates)
}

fn place(redis: &RedisConfig) -> String {
    format!("Redis {}:{}", redis.host, redis.port)
}

fn silent() -> RedisError {
    std::io::Error::from(std::io::ErrorKind::TimedOut).into()
}

fn unexpected(what: &'static str) -> RedisError {
    (ErrorKind::UnexpectedReturnType, what).into()
}

/// From the words of the server to ours.
fn fault(place: &str, source: RedisError) -> BusError {
    let place = place.to_owned();
    let text = source.to_string();
    let refused = ["WRONGPASS", "NOAUTH", "NOPERM", "NoPerm", "OOM", "without any password configured"];
    let refused = refused.iter().any(|word| text.contains(word))
        || matches!(source.kind(), ErrorKind::AuthenticationFailed | ErrorKind::InvalidClientConfig);
    if refused { BusError::Refused { place, source } } else { BusError::Unreachable { place, source } }
}

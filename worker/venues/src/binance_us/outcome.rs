//! What came of placing an order: one table, read from the top, the first row that fits decides.
//!
//! Only what is listed here as a refusal is one. What fits no row is unknown, and so is every answer that cannot be
//! read whole: the order may be at the venue, and is looked up before anything else is done with it. The table is data,
//! and `docs/venues/binance-us.md` is generated from it.

use std::fmt::{self, Write as _};

/// What a row concludes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, strum::Display)]
pub enum Class {
    /// The venue has the order.
    Accepted,
    /// The venue does not have it and never will.
    Rejected,
    /// We refuse it: the venue takes no such order, and nothing has left.
    Denied,
    /// It was not executed, because it did not leave us or did not pass the venue's gate. It may be sent later as it is.
    Throttled,
    /// Nobody knows. It must be looked up.
    Unknown,
}

/// What became of the request, before anybody concludes anything.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Seen {
    /// It was held back: not a byte has left.
    Held(Held),
    /// It may have left, and no whole answer came.
    Lost(Lost),
    /// An answer came whole.
    Answer {
        /// The HTTP status.
        status: u16,
        /// What its body is.
        body: Body,
    },
}

/// Why a request was held back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, strum::Display, strum::EnumIter)]
pub enum Held {
    /// The order breaks a rule of the venue, or its time is over.
    #[strum(serialize = "the order is not one the venue takes")]
    NotSendable,
    /// The request budget is used up.
    #[strum(serialize = "request budget used up")]
    Budget,
    /// The venue has told us to stop for a while.
    #[strum(serialize = "the venue told us to wait")]
    Banned,
    /// The venue's clock is not known well enough to sign.
    #[strum(serialize = "venue's clock not known")]
    Clock,
    /// The symbol or the venue is not trading.
    #[strum(serialize = "symbol not trading")]
    NotTrading,
    /// No connection could be made, TLS included.
    #[strum(serialize = "no connection")]
    NoConnection,
}

/// How an answer was lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq, strum::Display, strum::EnumIter)]
pub enum Lost {
    /// Its time was over.
    #[strum(serialize = "no answer in time")]
    Deadline,
    /// The connection ended before the answer was whole.
    #[strum(serialize = "connection lost")]
    Connection,
    /// The answer is longer than any of the venue's.
    #[strum(serialize = "answer too long")]
    TooLong,
}

/// What the body of an answer is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Body {
    /// The acknowledgement of the order that was sent, whole and consistent.
    Acknowledgement,
    /// A code and words.
    Error {
        /// The code, below zero.
        code: i64,
        /// The words.
        message: String,
    },
    /// Anything else: empty, HTML, cut off, another order, another shape.
    Other,
}

/// What a row fits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pattern {
    /// Held back for that reason.
    Held(Held),
    /// Lost that way.
    Lost(Lost),
    /// Answered.
    Answer(Statuses, Bodies),
}

/// Which HTTP statuses a row fits: all from the first to the last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Statuses(pub u16, pub u16);

/// Which bodies a row fits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bodies {
    /// The acknowledgement of the order that was sent.
    Acknowledgement,
    /// That code with any words.
    Code(i64),
    /// That code with words that begin so, in capitals or not.
    Words(i64, &'static str),
    /// A code and words that no row above lists.
    AnyError,
    /// Anything that is neither.
    Other,
}

/// A row of the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Row {
    /// What it fits.
    pub pattern: Pattern,
    /// What is concluded.
    pub class: Class,
    /// What it means and why that follows.
    pub meaning: &'static str,
    /// Where that is said.
    pub source: &'static str,
}

const REST: &str = "rest-api.md, General API Information";
const ERRORS: &str = "errors.md";
const FILTERS: &str = "filters.md; errors.md, Filter failures";
const MESSAGES: &str = "errors.md, Messages for -2010";
const OURS: &str = "ours";

const fn row(pattern: Pattern, class: Class, meaning: &'static str, source: &'static str) -> Row {
    Row { pattern, class, meaning, source }
}

const fn held(why: Held, class: Class, meaning: &'static str) -> Row {
    row(Pattern::Held(why), class, meaning, OURS)
}

const fn lost(how: Lost, meaning: &'static str) -> Row {
    row(Pattern::Lost(how), Class::Unknown, meaning, REST)
}

const fn answer(
    (from, to): (u16, u16),
    body: Bodies,
    class: Class,
    meaning: &'static str,
    source: &'static str,
) -> Row {
    row(Pattern::Answer(Statuses(from, to), body), class, meaning, source)
}

const fn refused(code: i64, meaning: &'static str) -> Row {
    answer((400, 400), Bodies::Code(code), Class::Rejected, meaning, ERRORS)
}

const fn engine(words: &'static str, meaning: &'static str) -> Row {
    answer((400, 400), Bodies::Words(-2010, words), Class::Rejected, meaning, MESSAGES)
}

const fn unknown(statuses: (u16, u16), body: Bodies, meaning: &'static str, source: &'static str) -> Row {
    answer(statuses, body, Class::Unknown, meaning, source)
}

/// The table. Order matters: the first row that fits decides.
pub const TABLE: &[Row] = &[
    held(Held::NotSendable, Class::Denied, "the venue's filters would refuse it; it never left"),
    held(Held::Budget, Class::Throttled, "the rest of the budget is kept for exits, cancels and look-ups"),
    held(Held::Banned, Class::Throttled, "whoever sends on after a 429 is banned for minutes to days"),
    held(Held::Clock, Class::Throttled, "a wrong timestamp is refused, or lives longer than we think"),
    held(Held::NotTrading, Class::Throttled, "status other than TRADING, also one that is not known"),
    held(Held::NoConnection, Class::Throttled, "TCP or TLS failed before the request was written"),
    lost(Lost::Deadline, "the request may be on its way, and its signature lives longer than we wait"),
    lost(Lost::Connection, "reset or closed after the request began to be written; it is not sent again"),
    lost(Lost::TooLong, "not an answer of the venue's; the order may be there all the same"),
    answer(
        (200, 200),
        Bodies::Acknowledgement,
        Class::Accepted,
        "its symbol and id are the order's",
        "rest-api.md, New order",
    ),
    unknown((200, 200), Bodies::AnyError, "a code with a success: it contradicts itself", OURS),
    unknown((200, 200), Bodies::Other, "empty, HTML, cut off, or about another order", OURS),
    // An order may be executed whatever a server error says, so these stand before the codes.
    unknown((500, 599), Bodies::Code(-1000), "an unknown error while processing", REST),
    unknown((500, 599), Bodies::Code(-1001), "disconnected inside the venue", REST),
    unknown((500, 599), Bodies::Code(-1006), "unexpected answer of the message bus", ERRORS),
    unknown((500, 599), Bodies::Code(-1007), "time-out of the backend", ERRORS),
    unknown((500, 599), Bodies::Code(-1008), "overloaded; with a server error it proves nothing", REST),
    unknown((500, 599), Bodies::AnyError, "a server error is no refusal: the order may be executed", REST),
    unknown((500, 500), Bodies::Other, "internal error of the venue", REST),
    unknown((502, 502), Bodies::Other, "bad gateway, most often HTML", REST),
    unknown((503, 503), Bodies::Other, "service unavailable, also in maintenance", REST),
    unknown((504, 504), Bodies::Other, "the gateway waited in vain; the order may be executed", REST),
    unknown((501, 599), Bodies::Other, "another server error", REST),
    // Execution unknown, whatever the status.
    unknown((400, 499), Bodies::Code(-1000), "an unknown error while processing", ERRORS),
    unknown((400, 499), Bodies::Code(-1001), "internal error; disconnected", ERRORS),
    unknown((400, 499), Bodies::Code(-1006), "execution status unknown, says the venue", ERRORS),
    unknown(
        (400, 499),
        Bodies::Code(-1007),
        "send status unknown; execution status unknown, says the venue",
        ERRORS,
    ),
    // Refused at the gate.
    answer(
        (429, 429),
        Bodies::Code(-1003),
        Class::Throttled,
        "request weight used up; wait Retry-After",
        "rest-api.md, IP Limits",
    ),
    answer(
        (418, 418),
        Bodies::Code(-1003),
        Class::Throttled,
        "the address is banned; wait Retry-After",
        "rest-api.md, IP Limits",
    ),
    answer(
        (429, 429),
        Bodies::Code(-1015),
        Class::Throttled,
        "too many orders in the interval; no Retry-After",
        "rest-api.md, Unfilled Order Count",
    ),
    answer((400, 400), Bodies::Code(-1015), Class::Throttled, "too many orders in the interval", ERRORS),
    answer((429, 429), Bodies::Code(-1008), Class::Throttled, "overloaded; not passed on", ERRORS),
    answer((400, 400), Bodies::Code(-1008), Class::Throttled, "overloaded; not passed on", ERRORS),
    answer(
        (400, 400),
        Bodies::Code(-1021),
        Class::Throttled,
        "timestamp outside the window: not executed; the venue's time is asked first",
        "rest-api.md, Timing security",
    ),
    unknown((429, 429), Bodies::AnyError, "a limit, with a code that is not listed for it", REST),
    unknown((429, 429), Bodies::Other, "a limit, told by something before the venue", REST),
    unknown((418, 418), Bodies::AnyError, "a ban, with a code that is not listed for it", REST),
    unknown((418, 418), Bodies::Other, "a ban, told by something before the venue", REST),
    // Key and signature.
    refused(-1022, "the signature is not valid"),
    answer((400, 401), Bodies::Code(-2014), Class::Rejected, "the key's format is invalid", ERRORS),
    answer((400, 401), Bodies::Code(-2015), Class::Rejected, "key, address or permission is invalid", ERRORS),
    // Parameters.
    answer(
        (400, 400),
        Bodies::Words(-1013, "Filter failure:"),
        Class::Rejected,
        "a filter of the symbol refuses price, quantity or count",
        FILTERS,
    ),
    unknown(
        (400, 400),
        Bodies::Code(-1013),
        "the code of filters with other words; it is not in the venue's list of codes",
        OURS,
    ),
    refused(-1014, "unsupported combination of parameters"),
    refused(-1020, "the operation is not supported"),
    refused(-1100, "illegal characters in a parameter"),
    refused(-1101, "too many parameters"),
    refused(-1102, "a mandatory parameter is missing or malformed"),
    refused(-1103, "a parameter that is not known"),
    refused(-1104, "not all parameters were read"),
    refused(-1105, "a parameter is empty"),
    refused(-1106, "a parameter that is not wanted"),
    refused(-1111, "more decimals than the asset has"),
    refused(-1114, "a time in force where none is wanted"),
    refused(-1115, "the time in force is invalid"),
    refused(-1116, "the order type is invalid"),
    refused(-1117, "the side is invalid"),
    refused(-1121, "the symbol is invalid"),
    refused(-1128, "the combination of optional parameters is invalid"),
    refused(-1130, "a parameter's data are invalid"),
    // The matching engine's refusals, by their words.
    unknown(
        (400, 400),
        Bodies::Words(-2010, "Duplicate order sent."),
        "an order with this id is open: most likely an earlier sending of this one",
        MESSAGES,
    ),
    engine("Account has insufficient balance for requested action.", "not enough free balance"),
    engine("Market is closed.", "the symbol is not trading"),
    engine("This action is disabled on this account.", "the account may not trade"),
    engine("This account may not place or cancel orders.", "the account may not trade; newer words"),
    engine("This symbol is not permitted for this account.", "the account may not trade the symbol"),
    engine("This symbol is restricted for this account.", "the account may not trade the symbol"),
    engine("Order would trigger immediately.", "the stop lies on the wrong side of the market"),
    engine("Order would immediately match and take.", "a post-only order would take"),
    engine("Market orders are not supported for this symbol.", "MARKET is not offered"),
    engine("Stop loss orders are not supported for this symbol.", "STOP_LOSS is not offered"),
    engine("Stop loss limit orders are not supported for this symbol.", "STOP_LOSS_LIMIT is not offered"),
    engine("This order type is not possible in this trading phase.", "not in this phase of trading"),
    engine("Limit orders require GTC for this phase.", "not in this phase of trading"),
    engine("Price * QTY is zero or less.", "price times quantity is too low"),
    engine("Unsupported order combination", "type, time in force and stop do not go together"),
    unknown((400, 400), Bodies::Code(-2010), "a refusal of the engine in words that are not listed", OURS),
    // Nothing of this belongs to placing an order.
    unknown((400, 400), Bodies::Code(-1016), "the service is no longer available: maintenance", ERRORS),
    unknown((400, 400), Bodies::Code(-2011), "the refusal of a cancel", ERRORS),
    unknown((400, 400), Bodies::Code(-2013), "the answer to a look-up", ERRORS),
    unknown((409, 409), Bodies::Code(-2021), "half of a cancel-replace", ERRORS),
    unknown((400, 409), Bodies::Code(-2022), "a cancel-replace that failed", ERRORS),
    unknown((403, 403), Bodies::Other, "the firewall before the venue; most often HTML", REST),
    unknown(
        (400, 499),
        Bodies::AnyError,
        "a code that is not listed, or with a status it is not listed for",
        OURS,
    ),
    unknown((400, 499), Bodies::Other, "no code: empty, HTML or cut off", OURS),
    unknown((300, 399), Bodies::AnyError, "a redirect, which is not followed", OURS),
    unknown((300, 399), Bodies::Other, "a redirect, which is not followed", OURS),
];

/// What no row fits.
pub const REST_OF_ALL: Row =
    row(Pattern::Answer(Statuses(100, 999), Bodies::Other), Class::Unknown, "anything else", OURS);

/// The row that decides.
pub fn decide(seen: &Seen) -> &'static Row {
    TABLE.iter().find(|row| row.pattern.fits(seen)).unwrap_or(&REST_OF_ALL)
}

/// The table as Markdown, for the documentation.
pub fn markdown() -> String {
    let mut text = String::from("| HTTP | answer | outcome | meaning | source |\n|---|---|---|---|---|\n");
    for row in TABLE.iter().chain([&REST_OF_ALL]) {
        let _ = writeln!(text, "| {} | {} | {} | {} |", row.pattern, row.class, row.meaning, row.source);
    }
    text
}

impl Pattern {
    fn fits(&self, seen: &Seen) -> bool {
        match (self, seen) {
            (Self::Held(listed), Seen::Held(why)) => listed == why,
            (Self::Lost(listed), Seen::Lost(how)) => listed == how,
            (Self::Answer(Statuses(from, to), bodies), Seen::Answer { status, body }) => {
                (*from..=*to).contains(status) && bodies.fit(body)
            }
            _ => false,
        }
    }
}

impl Bodies {
    fn fit(self, body: &Body) -> bool {
        match (self, body) {
            // An acknowledgement that comes with another status than 200 says nothing.
            (Self::Acknowledgement | Self::Other, Body::Acknowledgement)
            | (Self::AnyError, Body::Error { .. })
            | (Self::Other, Body::Other) => true,
            (Self::Code(listed), Body::Error { code, .. }) => listed == *code,
            (Self::Words(listed, words), Body::Error { code, message }) => {
                let start = message.as_bytes().get(..words.len());
                listed == *code && start.is_some_and(|start| start.eq_ignore_ascii_case(words.as_bytes()))
            }
            _ => false,
        }
    }
}

impl fmt::Display for Seen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Held(why) => write!(f, "not sent: {why}"),
            Self::Lost(how) => write!(f, "{how}"),
            Self::Answer { status, body: Body::Error { code, message } } => {
                write!(f, "HTTP {status}, code {code}: {}", message.chars().take(200).collect::<String>())
            }
            Self::Answer { status, body: Body::Acknowledgement } => write!(f, "HTTP {status}, accepted"),
            Self::Answer { status, body: Body::Other } => {
                write!(f, "HTTP {status} with a body that says nothing")
            }
        }
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Held(why) => write!(f, "– | not sent: {why}"),
            Self::Lost(how) => write!(f, "– | {how}"),
            Self::Answer(Statuses(from, to), bodies) => {
                if from == to {
                    write!(f, "{from} | {bodies}")
                } else {
                    write!(f, "{from}–{to} | {bodies}")
                }
            }
        }
    }
}

impl fmt::Display for Bodies {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Acknowledgement => f.write_str("the order"),
            Self::Code(code) => write!(f, "`{code}`"),
            Self::Words(code, words) => write!(f, "`{code}` \"{words}\""),
            Self::AnyError => f.write_str("any other code"),
            Self::Other => f.write_str("anything else"),
        }
    }
}

#[cfg(test)]
#[path = "outcome_tests.rs"]
mod tests;

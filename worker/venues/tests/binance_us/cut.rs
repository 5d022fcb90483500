//! Every answer there is, cut off at every byte, or replaced by what is none: nothing is concluded from it.

use std::collections::BTreeMap;

use tradewind_core::recovery::FillCursor;
use tradewind_core::time::{Millis, Timestamp};
use tradewind_venues::{CancelOutcome, Lookup, Venue};

use crate::desk::{Desk, NOW, named, ours, sample, symbol};
use crate::server::Act;

/// A question whose answer can be believed or not.
#[derive(Debug, Clone, Copy)]
enum Question {
    OpenOrders,
    Trades,
    OwnerOfTrades,
    Balances,
    Candles,
    Quote,
    Offered,
    Cancel,
    LookUp,
    Search,
}

const QUESTIONS: [Question; 10] = [
    Question::OpenOrders,
    Question::Trades,
    Question::OwnerOfTrades,
    Question::Balances,
    Question::Candles,
    Question::Quote,
    Question::Offered,
    Question::Cancel,
    Question::LookUp,
    Question::Search,
];

impl Question {
    fn whole(self) -> String {
        match self {
            Self::OpenOrders | Self::Search => format!("[{}]", ours("order_query")),
            Self::Trades => sample("fill"),
            Self::OwnerOfTrades => ours("order_query").replace("418822002", "418822001"),
            Self::Balances => sample("balances"),
            Self::Candles => sample("candles"),
            Self::Quote => r#"{"symbol":"BTCUSDT","bidPrice":"97012.43000000","bidQty":"1.0","askPrice":"97012.46000000","askQty":"2.0"}"#.to_owned(),
            Self::Offered => {
                let mut products: serde_json::Value = serde_json::from_str(&sample("products")).unwrap();
                products["symbols"].as_array_mut().unwrap().truncate(1);
                products.to_string()
            }
            Self::Cancel => ours("cancel_ack"),
            Self::LookUp => ours("order_query"),
        }
    }

    /// Asks; true when something was concluded from the answer.
    async fn concludes(self, desk: &mut Desk, answer: &[u8]) -> bool {
        // The budget is not what is tried here: it fills again, and the venue's clock is asked again before it is old.
        let now = desk.now.get() + 2_000;
        desk.now.set(now);
        if (now - NOW) % 60_000 == 0 {
            desk.server.always("GET", "/api/v3/time", Act::json(200, format!(r#"{{"serverTime":{now}}}"#)));
            desk.venue.time().await.unwrap();
        }
        let symbol = symbol("BTC-USDT");
        let trades = FillCursor::ByInstrument(BTreeMap::from([(symbol.clone(), 30_112_000)]));
        match self {
            Self::OwnerOfTrades => desk.server.then(Act::json(200, sample("fill"))),
            Self::Trades => {
                let owner = Act::json(200, Self::OwnerOfTrades.whole());
                desk.server.always("GET", "/api/v3/order", owner);
            }
            _ => {}
        }
        desk.server.then(Act::json(200, answer));
        match self {
            Self::OpenOrders => desk.venue.open_orders().await.is_ok(),
            Self::Trades | Self::OwnerOfTrades => desk.venue.fills_since(&trades).await.is_ok(),
            Self::Balances => desk.venue.balances().await.is_ok(),
            Self::Candles => desk.venue.bars(&symbol, Millis(300_000), Timestamp(NOW)).await.is_ok(),
            Self::Quote => desk.venue.quote(&symbol).await.is_ok(),
            Self::Offered => desk.venue.offered(symbol.quote()).await.is_ok(),
            Self::Cancel => {
                let now = desk.time();
                !matches!(desk.venue.cancel(&named(), now).await, CancelOutcome::Unknown { .. })
            }
            Self::LookUp => !matches!(desk.venue.lookup(&named()).await, Lookup::Unknown { .. }),
            Self::Search => {
                let span = Timestamp(NOW)..Timestamp(NOW + 60_000);
                !matches!(desk.venue.search(&named(), span).await, Lookup::Unknown { .. })
            }
        }
    }
}

#[tokio::test]
async fn an_answer_cut_off_at_any_byte_tells_nothing() {
    for question in QUESTIONS {
        let whole = question.whole();
        let mut desk = Desk::ready().await;
        for end in 0..whole.len() {
            let answer = &whole.as_bytes()[..end];
            assert!(!question.concludes(&mut desk, answer).await, "{question:?} cut at {end}");
        }
        assert!(question.concludes(&mut Desk::ready().await, whole.as_bytes()).await, "{question:?}");
    }
}

#[tokio::test]
async fn html_and_nothing_tell_nothing() {
    for question in QUESTIONS {
        for answer in ["", " ", "null", "<html><body>502 Bad Gateway</body></html>", "\"\"", "0"] {
            let mut desk = Desk::ready().await;
            assert!(!question.concludes(&mut desk, answer.as_bytes()).await, "{question:?}: {answer}");
        }
    }
}

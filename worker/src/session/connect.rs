//! The first words with an exchange: its time, its rules, what it offers and what the account has there.
//!
//! The exchange may be away when a worker starts: it is asked until it answers, somebody asks to stop, or patience is at an
//! end. What only a person can put right (an endpoint that is none, a key that is missing or refused) ends a start at once; a
//! mounted Secret is there before the pod starts.

use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;
use tradewind_core::config::{BinanceUsConfig, ResolvedAccount, VenueConfig};
use tradewind_core::money::Cash;
use tradewind_core::time::{Millis, Timestamp};
use tradewind_venues::binance_us::{BinanceUs, DEADLINE, Endpoint, MAX_OFFSET, Settings};
use tradewind_venues::{Venue, VenueError};

use crate::assembly::{Market, Offer};
use crate::commands::CommandError;

/// The first pause between two tries; each further one is twice as long.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
/// The longest.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// An exchange that has answered, and what it offers.
pub(crate) struct Connected {
    pub(crate) venue: BinanceUs,
    pub(crate) offer: Offer,
}

/// Whether the account is at an exchange; then with what it is traded there.
fn exchange(account: &ResolvedAccount) -> Option<&BinanceUsConfig> {
    match &account.venue {
        VenueConfig::Paper(_) => None,
        VenueConfig::BinanceUs(venue) => Some(venue),
    }
}

/// Asks the exchange until it answers, for an account with those bars; no longer than `patience`, where there is one. None:
/// somebody asked to stop.
pub(crate) async fn connect(
    account: &ResolvedAccount,
    market: &Market,
    keys: Option<&PathBuf>,
    patience: Option<Duration>,
    shutdown: &mut watch::Receiver<bool>,
) -> Result<Option<Connected>, CommandError> {
    let Some(config) = exchange(account) else { return Ok(None) };
    let endpoint: Endpoint = config.endpoint.parse().map_err(CommandError::Endpoint)?;
    if market.recorded().is_some() && !endpoint.is_local() {
        return Err(CommandError::RecordedAtVenue { endpoint: endpoint.url() });
    }
    let keys = keys.ok_or(CommandError::NoCredentials)?;
    let mut venue = open(endpoint, keys)?;
    let (begun, mut pause) = (Instant::now(), FIRST_PAUSE);
    loop {
        let error = match ask(account, market, &mut venue).await {
            Ok(offer) => return Ok(Some(Connected { venue, offer })),
            Err(error) => error,
        };
        if let CommandError::Venue(VenueError::Binance(refused)) = &error
            && let Some(words) = refused.refusal_of_the_key()
        {
            return Err(CommandError::KeyRefused { words: words.to_owned() });
        }
        if patience.is_some_and(|patience| begun.elapsed() >= patience) {
            let seconds = begun.elapsed().as_secs();
            return Err(CommandError::VenueAway { seconds, source: Box::new(error) });
        }
        tracing::warn!(%error, "the venue does not answer yet; it is asked again");
        tokio::select! {
            biased;
            _ = shutdown.wait_for(|stop| *stop) => return Ok(None),
            () = tokio::time::sleep(pause) => pause = (pause * 2).min(LONGEST_PAUSE),
        }
    }
}

fn open(endpoint: Endpoint, keys: &Path) -> Result<BinanceUs, CommandError> {
    let settings =
        Settings { endpoint, key_folder: keys.to_owned(), symbols: Vec::new(), deadline: DEADLINE };
    BinanceUs::new(settings, Box::new(steady_clock())).map_err(CommandError::exchange)
}

/// The time of the wall at the start, and from then on what has passed since: setting the clock of the machine must not
/// make a signature look older or younger than it is.
fn steady_clock() -> impl Fn() -> Timestamp {
    let (wall, started) = (wall(), Instant::now());
    move || wall.plus(Millis::from(started.elapsed()))
}

fn wall() -> Timestamp {
    Timestamp(jiff::Timestamp::now().as_millisecond())
}

/// Fails when the time of the wall and that of the loop have come apart: the machine's clock was set, or it slept. The next
/// start takes the new time.
pub(super) fn check_clock(now: Timestamp) -> Result<(), CommandError> {
    let by = wall().since(now);
    if by.0.unsigned_abs() > MAX_OFFSET.0.unsigned_abs() {
        return Err(CommandError::ClockSet { milliseconds: by.0 });
    }
    Ok(())
}

async fn ask(
    account: &ResolvedAccount,
    market: &Market,
    venue: &mut BinanceUs,
) -> Result<Offer, CommandError> {
    venue.refresh().await.map_err(CommandError::exchange)?;
    let mut instruments = venue.offered(&account.quote_currency).await.map_err(CommandError::exchange)?;
    let balances = venue.balances().await?;
    let quote = balances.iter().find(|balance| balance.asset == account.quote_currency);
    let mut data = market.clone();
    if let Market::Recorded(recorded) = market {
        let traded = recorded.clone().traded_by(&instruments);
        instruments = traded.instruments().to_vec();
        data = Market::Recorded(traded);
    }
    Ok(Offer { data, instruments, found: Some(quote.map_or(Cash::ZERO, |balance| balance.total)) })
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, TcpListener};

    use tradewind_crds::load;
    use tradewind_crds::resolve::resolve_account;

    use super::*;

    const ACCOUNT: &str = r#"
apiVersion: tradewind.dev/v1alpha1
kind: RiskPolicy
metadata: {name: limits}
spec: {order: {minNotional: "25"}}
---
apiVersion: tradewind.dev/v1alpha1
kind: ExchangeAccount
metadata: {name: real}
spec:
  venue: {binanceUs: {credentialsSecretRef: {name: key}, endpoint: "URL", quoteCurrency: USD}}
  marketData: {venue: {bar: 1m}}
  riskPolicyRef: {name: limits}
  allowLive: true
"#;

    /// An account at an endpoint where nobody listens, with a key.
    fn at_nobody(dir: &Path) -> ResolvedAccount {
        let nobody = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap();
        std::fs::write(dir.join("account.yaml"), ACCOUNT.replace("URL", &format!("http://{nobody}")))
            .unwrap();
        for entry in ["apiKey", "apiSecret"] {
            std::fs::write(dir.join(entry), "something").unwrap();
        }
        let loaded = load::files(&[dir.join("account.yaml")]);
        resolve_account(&loaded.objects, &loaded.objects.account_keys()[0]).unwrap()
    }

    #[tokio::test(start_paused = true)]
    async fn an_exchange_that_stays_away_is_given_up_with_its_last_words_where_there_is_an_end_to_patience() {
        let dir = tempfile::tempdir().unwrap();
        let account = at_nobody(dir.path());
        let (_stop, mut shutdown) = watch::channel(false);
        let (market, keys) = (Market::Venue { bar: Millis(60_000) }, dir.path().to_path_buf());
        let minute = Some(Duration::from_mins(1));
        let given_up =
            connect(&account, &market, Some(&keys), minute, &mut shutdown).await.map(drop).unwrap_err();
        let CommandError::VenueAway { seconds, .. } = &given_up else { panic!("{given_up}") };
        assert!((60..=120).contains(seconds), "{seconds}");
        assert!(given_up.to_string().contains("no connection"), "{given_up}");
        let patient = connect(&account, &market, Some(&keys), None, &mut shutdown);
        assert!(tokio::time::timeout(Duration::from_hours(1), patient).await.is_err(), "asked for ever");
    }
}

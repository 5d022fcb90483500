use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::Duration;

use smol_str::SmolStr;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::UnixStream;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;
use tradewind_core::event::HaltChange;
use tradewind_core::halt::{Halt, HaltAction, HaltOrigin, HaltScope};
use tradewind_core::name::{Symbol, Uid};
use tradewind_core::time::Timestamp;

use super::server::Patience;
use super::*;

const NOW: Timestamp = Timestamp(1_714_568_400_000);

fn uid(number: u128) -> Uid {
    Uid(uuid::Uuid::from_u128(number))
}

fn strategies() -> Vec<(Uid, SmolStr)> {
    vec![(uid(1), "eth-rsi".into()), (uid(2), "btc-trend".into())]
}

fn command(scope: Scope, instruments: &[&str], action: HaltAction) -> HaltCommand {
    HaltCommand {
        scope,
        instruments: instruments.iter().map(|s| s.parse().unwrap()).collect(),
        action,
        reason: "exchange incident".into(),
        by: "ann".into(),
    }
}

fn halt(command: &HaltCommand) -> Result<Halt, ControlError> {
    let symbols: Vec<Symbol> = ["BTC-USD", "ETH-USD"].iter().map(|s| s.parse().unwrap()).collect();
    let known = Known { account: "paper", strategies: &strategies(), symbols: &symbols };
    halt_of(command, &known, NOW)
}

fn btc_trend() -> Scope {
    Scope::Strategy("btc-trend".into())
}

#[test]
fn a_halt_of_a_strategy_reaches_it_alone_and_says_who_and_why() {
    let made = halt(&command(btc_trend(), &[], HaltAction::CancelEntries)).unwrap();
    assert_eq!(
        made,
        Halt {
            name: "strategy.btc-trend.local".into(),
            scope: HaltScope::Strategies(vec![uid(2)]),
            instruments: vec![],
            action: HaltAction::CancelEntries,
            origin: HaltOrigin::Manual,
            reason: "exchange incident".into(),
            requested_by: "ann".into(),
            since: NOW,
        }
    );
}

#[test]
fn a_halt_of_the_account_reaches_all() {
    let made = halt(&command(Scope::Account, &[], HaltAction::Liquidate)).unwrap();
    assert_eq!((made.name.as_str(), made.scope), ("account.paper.local", HaltScope::Account));
}

#[test]
fn halts_of_single_instruments_have_names_of_their_own() {
    let made =
        halt(&command(btc_trend(), &["ETH-USD", "BTC-USD", "ETH-USD"], HaltAction::StopEntries)).unwrap();
    assert_eq!(made.name, "strategy.btc-trend.local.btc-usd.eth-usd");
    assert_eq!(made.instruments.iter().map(ToString::to_string).collect::<Vec<_>>(), ["BTC-USD", "ETH-USD"]);
}

#[test]
fn a_misspelt_name_is_refused_and_the_nearest_named_first() {
    let error =
        halt(&command(Scope::Strategy("btc-trned".into()), &[], HaltAction::StopEntries)).unwrap_err();
    assert_eq!(error.to_string(), "no strategy is called \"btc-trned\"; there are: btc-trend, eth-rsi");
    let error = halt(&command(Scope::Account, &["ETH-USDT"], HaltAction::StopEntries)).unwrap_err();
    assert_eq!(
        error.to_string(),
        "no instrument of this account is called \"ETH-USDT\"; there are: ETH-USD, BTC-USD"
    );
}

#[test]
fn a_halt_needs_a_reason_and_an_author_that_a_terminal_can_show() {
    let long = "x".repeat(1025);
    for reason in ["", "  ", "\u{1b}[2J", long.as_str()] {
        let command =
            HaltCommand { reason: reason.into(), ..command(Scope::Account, &[], HaltAction::StopEntries) };
        assert!(
            matches!(halt(&command), Err(ControlError::Text { what: "the reason", limit: 1024 })),
            "{reason:?}"
        );
    }
    let command = HaltCommand { by: String::new(), ..command(Scope::Account, &[], HaltAction::StopEntries) };
    assert!(matches!(halt(&command), Err(ControlError::Text { limit: 256, .. })));
}

#[test]
fn halting_twice_never_loosens() {
    let mut severe = halt(&command(btc_trend(), &[], HaltAction::Liquidate)).unwrap();
    severe.since = Timestamp(1);
    severe.scope = HaltScope::Strategies(vec![uid(9)]);
    let mild = halt(&command(btc_trend(), &[], HaltAction::StopEntries)).unwrap();

    let set = never_looser(mild.clone(), std::slice::from_ref(&severe));
    assert_eq!((set.action, set.since), (HaltAction::Liquidate, Timestamp(1)));
    assert_eq!(
        set.scope,
        HaltScope::Strategies(vec![uid(2), uid(9)]),
        "a strategy of an older uid stays halted"
    );

    let other = halt(&command(Scope::Account, &[], HaltAction::Liquidate)).unwrap();
    assert_eq!(never_looser(mild.clone(), &[other]), mild, "halts of other names stand by themselves");
}

#[test]
fn only_a_halt_in_force_is_resumed() {
    let in_force = [halt(&command(btc_trend(), &[], HaltAction::StopEntries)).unwrap()];
    let resume =
        |name: &str| resume_of(&ResumeCommand { name: name.into(), by: "bob".into() }, &in_force, NOW);
    assert_eq!(
        resume("strategy.btc-trend.local").unwrap(),
        HaltChange::Cleared { name: "strategy.btc-trend.local".into(), by: "bob".into(), at: NOW }
    );
    let error = resume("btc-trend").unwrap_err().to_string();
    assert_eq!(error, "no halt in force is called \"btc-trend\"; there are: strategy.btc-trend.local");
}

#[test]
fn the_wire_is_what_the_documentation_says() {
    let json = r#"{"halt":{"scope":{"strategy":"btc-trend"},"instruments":["BTC-USD"],"action":"Liquidate","reason":"exchange incident","by":"ann"}}"#;
    let command = Command::Halt(command(btc_trend(), &["BTC-USD"], HaltAction::Liquidate));
    assert_eq!(serde_json::from_str::<Command>(json).unwrap(), command);
    assert_eq!(serde_json::to_string(&command).unwrap(), json);
    assert_eq!(serde_json::from_str::<Command>("\"status\"").unwrap(), Command::Status);
}

/// A server with a driver that answers each command with its debug text.
struct Worker {
    stop: oneshot::Sender<()>,
    server: JoinHandle<Result<(), ControlError>>,
    driver: JoinHandle<()>,
}

impl Worker {
    fn start(data_dir: &Path, patience: Patience) -> Self {
        let server = Server::bind(data_dir).unwrap();
        let (tx, mut rx) = mpsc::channel::<ControlRequest>(4);
        let (stop, stopped) = oneshot::channel();
        let shutdown = async move { drop(stopped.await) };
        let server = tokio::spawn(server.run_with(tx, shutdown, patience));
        let driver = tokio::spawn(async move {
            while let Some(ControlRequest { command, reply }) = rx.recv().await {
                let message = format!("{command:?}");
                reply.send(ControlReply::Done { message, halts: vec![] }).ok();
            }
        });
        Self { stop, server, driver }
    }

    async fn end(self) {
        self.stop.send(()).unwrap();
        self.server.await.unwrap().unwrap();
        self.driver.await.unwrap();
    }
}

const LONG: Patience = Patience {
    command: Duration::from_mins(1),
    answer: Duration::from_mins(1),
    stop: Duration::from_mins(1),
};

fn done(message: &str) -> ControlReply {
    ControlReply::Done { message: message.into(), halts: vec![] }
}

async fn say(data_dir: &Path, text: &[u8]) -> ControlReply {
    let mut stream = UnixStream::connect(data_dir.join(SOCKET_FILE)).await.unwrap();
    stream.write_all(text).await.unwrap();
    let mut line = String::new();
    BufReader::new(stream).read_line(&mut line).await.unwrap();
    serde_json::from_str(&line).unwrap()
}

#[tokio::test]
async fn a_command_reaches_the_driver_and_its_answer_the_sender() {
    let dir = tempfile::tempdir().unwrap();
    let worker = Worker::start(dir.path(), LONG);
    assert_eq!(call(dir.path(), &Command::Status).await.unwrap(), Some(done("Status")));
    let mode = std::fs::metadata(dir.path().join(SOCKET_FILE)).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    worker.end().await;
    assert!(!dir.path().join(SOCKET_FILE).exists(), "the socket goes with the worker");
}

#[tokio::test]
async fn without_a_worker_there_is_no_answer_and_no_error() {
    let dir = tempfile::tempdir().unwrap();
    assert_eq!(call(dir.path(), &Command::Status).await.unwrap(), None);
    assert_eq!(call(&dir.path().join("never-made"), &Command::Status).await.unwrap(), None);
    assert_eq!(call(&dir.path().join("d".repeat(120)), &Command::Status).await.unwrap(), None);
}

#[tokio::test]
async fn several_commands_go_over_one_connection() {
    let dir = tempfile::tempdir().unwrap();
    let worker = Worker::start(dir.path(), LONG);
    let stream = UnixStream::connect(dir.path().join(SOCKET_FILE)).await.unwrap();
    let (read, mut write) = stream.into_split();
    let mut lines = BufReader::new(read).lines();
    for _ in 0..3 {
        write.write_all(b"\"status\"\n").await.unwrap();
        let line = lines.next_line().await.unwrap().unwrap();
        assert_eq!(serde_json::from_str::<ControlReply>(&line).unwrap(), done("Status"));
    }
    worker.end().await;
}

#[tokio::test]
async fn malformed_input_costs_its_sender_an_answer_and_the_worker_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let worker = Worker::start(dir.path(), LONG);
    let deep = ["[".repeat(2000), "\n".into()].concat();
    let junk: [&[u8]; 8] = [
        b"\n",
        b"halt everything\n",
        b"{}\n",
        b"\xff\xfe\n",
        b"\"reboot\"\n",
        b"{\"halt\":{\"scope\":\"account\",\"action\":\"CancelEntries\",\"reason\":\"x\",\"by\":\"y\",\"unknown\":1}}\n",
        b"{\"halt\":{\"scope\":\"account\",\"action\":\"CancelEntries\",\"by\":\"no reason\"}}\n",
        deep.as_bytes(),
    ];
    for text in junk {
        let reply = say(dir.path(), text).await;
        assert!(
            matches!(&reply, ControlReply::Refused { message } if message.starts_with("this is no command"))
        );
    }
    assert_eq!(call(dir.path(), &Command::Status).await.unwrap(), Some(done("Status")));
    worker.end().await;
}

#[tokio::test]
async fn a_line_beyond_the_limit_is_refused_unread() {
    let dir = tempfile::tempdir().unwrap();
    let worker = Worker::start(dir.path(), LONG);
    let reply = say(dir.path(), &vec![b'x'; MAX_COMMAND_BYTES + 1]).await;
    assert!(matches!(&reply, ControlReply::Refused { message } if message.contains("4096 bytes")));

    let long =
        HaltCommand { reason: "x".repeat(5000), ..command(Scope::Account, &[], HaltAction::StopEntries) };
    let error = call(dir.path(), &Command::Halt(long)).await.unwrap_err();
    assert!(matches!(error, ControlError::TooLong { limit: 4096, .. }));
    assert_eq!(call(dir.path(), &Command::Status).await.unwrap(), Some(done("Status")));
    worker.end().await;
}

#[tokio::test]
async fn a_sender_that_says_nothing_is_cut_off() {
    let dir = tempfile::tempdir().unwrap();
    let worker = Worker::start(dir.path(), Patience { command: Duration::from_millis(20), ..LONG });
    let mut stream = UnixStream::connect(dir.path().join(SOCKET_FILE)).await.unwrap();
    stream.write_all(b"\"sta").await.unwrap();
    let mut rest = Vec::new();
    assert_eq!(stream.read_to_end(&mut rest).await.unwrap_or(0), 0);
    worker.end().await;
}

#[tokio::test]
async fn an_idle_connection_does_not_hold_up_the_end() {
    let dir = tempfile::tempdir().unwrap();
    let worker = Worker::start(dir.path(), LONG);
    let _idle = UnixStream::connect(dir.path().join(SOCKET_FILE)).await.unwrap();
    assert_eq!(call(dir.path(), &Command::Status).await.unwrap(), Some(done("Status")));
    tokio::time::timeout(Duration::from_secs(30), worker.end()).await.unwrap();
}

#[tokio::test]
async fn a_worker_that_stops_or_hangs_says_so() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::bind(dir.path()).unwrap();
    let (tx, mut rx) = mpsc::channel(1);
    let patience = Patience { answer: Duration::from_millis(20), ..LONG };
    let server = tokio::spawn(server.run_with(tx, std::future::pending(), patience));

    let busy = call(dir.path(), &Command::Status).await.unwrap().unwrap();
    assert!(matches!(&busy, ControlReply::Refused { message } if message.contains("is busy")));
    drop(rx.recv().await);
    rx.close();
    let stopping = call(dir.path(), &Command::Status).await.unwrap().unwrap();
    assert!(matches!(&stopping, ControlReply::Refused { message } if message.contains("is stopping")));
    server.abort();
}

#[tokio::test]
async fn a_stale_socket_is_replaced_and_a_live_one_is_not() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join(SOCKET_FILE);
    // What SIGKILL leaves: a socket nobody listens on.
    drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
    assert!(path.exists());
    assert_eq!(call(dir.path(), &Command::Status).await.unwrap(), None);

    let worker = Worker::start(dir.path(), LONG);
    assert!(matches!(Server::bind(dir.path()), Err(ControlError::InUse { .. })));
    assert_eq!(call(dir.path(), &Command::Status).await.unwrap(), Some(done("Status")));
    worker.end().await;
}

#[test]
fn a_file_that_is_no_socket_is_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join(SOCKET_FILE), "notes").unwrap();
    assert!(matches!(Server::bind(dir.path()), Err(ControlError::NotASocket { .. })));
    assert_eq!(std::fs::read_to_string(dir.path().join(SOCKET_FILE)).unwrap(), "notes");
    assert!(matches!(Server::bind(&dir.path().join("never-made")), Err(ControlError::Io { .. })));
}

#[tokio::test]
async fn a_data_directory_with_a_long_path_works_too() {
    let dir = tempfile::tempdir().unwrap();
    let deep = dir.path().join("d".repeat(150));
    std::fs::create_dir(&deep).unwrap();
    let worker = Worker::start(&deep, LONG);
    assert!(deep.join(SOCKET_FILE).exists());
    assert_eq!(call(&deep, &Command::Status).await.unwrap(), Some(done("Status")));
    worker.end().await;
    assert!(!deep.join(SOCKET_FILE).exists());
}

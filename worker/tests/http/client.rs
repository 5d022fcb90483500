//! A served snapshot and a client as small as HTTP/1.1 lets it be.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::{oneshot, watch};
use tokio::task::JoinHandle;
use tradewind_worker::http::{Addresses, Server};
use tradewind_worker::snapshot::Snapshot;

/// Longest wait for anything, far above what it takes.
pub(crate) const DEADLINE: Duration = Duration::from_secs(20);

/// A running server on free ports.
pub(crate) struct Served {
    pub(crate) addresses: Addresses,
    pub(crate) snapshots: watch::Sender<Arc<Snapshot>>,
    pub(crate) stop: oneshot::Sender<()>,
    pub(crate) ended: JoinHandle<()>,
}

pub(crate) async fn serve(snapshot: Snapshot) -> Served {
    let (snapshots, seen) = watch::channel(Arc::new(snapshot));
    let server = Server::bind(&Addresses::any_port(), seen).await.unwrap();
    let addresses = server.addresses();
    let (stop, stopped) = oneshot::channel();
    let ended = tokio::spawn(server.run(async {
        let _ = stopped.await;
    }));
    Served { addresses, snapshots, stop, ended }
}

pub(crate) struct Answer {
    pub(crate) status: u16,
    head: String,
    pub(crate) body: String,
}

impl Answer {
    /// The value of a header, if it is there.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let lines = self.head.lines().filter_map(|line| line.split_once(": "));
        lines.filter(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value).next()
    }

    /// The sentence of a refusal, which is always JSON.
    pub(crate) fn error(&self) -> String {
        assert_eq!(self.header("content-type"), Some("application/json"), "{}", self.body);
        let body: serde_json::Value = serde_json::from_str(&self.body).unwrap();
        body["error"].as_str().unwrap().to_owned()
    }
}

/// Sends those bytes on a connection of its own and reads to its end. None: the server just closed.
pub(crate) async fn send(address: SocketAddr, bytes: &[u8]) -> Option<Answer> {
    let talk = async {
        let mut stream = TcpStream::connect(address).await.unwrap();
        // The server may hang up on nonsense before it has read all of it.
        let _ = stream.write_all(bytes).await;
        let mut text = Vec::new();
        let _ = stream.read_to_end(&mut text).await;
        String::from_utf8(text).unwrap()
    };
    let text = tokio::time::timeout(DEADLINE, talk).await.expect("an answer in time");
    let (head, body) = text.split_once("\r\n\r\n")?;
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    Some(Answer { status, head: head.to_owned(), body: body.to_owned() })
}

pub(crate) async fn request(method: &str, address: SocketAddr, target: &str) -> Answer {
    let text = format!("{method} {target} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    send(address, text.as_bytes()).await.unwrap_or_else(|| panic!("no answer to {method} {target}"))
}

pub(crate) async fn get(address: SocketAddr, target: &str) -> Answer {
    request("GET", address, target).await
}

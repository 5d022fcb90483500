//! A server that does as it is told, byte by byte, and remembers what it was asked.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

/// A request as it came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Asked {
    pub method: String,
    pub path: String,
    pub query: String,
    pub key: Option<String>,
    /// What came after the head; the adapter sends no bodies.
    pub body: usize,
}

impl Asked {
    pub fn parameter(&self, name: &str) -> Option<&str> {
        self.query.split('&').find_map(|pair| pair.strip_prefix(name)?.strip_prefix('='))
    }
}

/// What to do with a request.
#[derive(Debug, Clone)]
pub enum Act {
    /// Answer with that status, those headers and that body.
    Answer(u16, Vec<(&'static str, String)>, Vec<u8>),
    /// Say that the body is longer than it is, send so much of it, and hang up.
    Half(u16, Vec<u8>),
    /// Hang up without a word.
    HangUp,
    /// Say nothing for as long as anybody listens.
    Silence,
    /// Send those bytes and hang up.
    Bytes(Vec<u8>),
}

impl Act {
    pub fn json(status: u16, body: impl Into<Vec<u8>>) -> Self {
        Self::Answer(status, vec![("content-type", "application/json".into())], body.into())
    }
}

#[derive(Default)]
struct Script {
    /// For all requests that nothing else is said about: by method and path, for ever.
    standing: Vec<(&'static str, &'static str, Act)>,
    /// Before those, in turn.
    next: VecDeque<Act>,
    asked: Vec<Asked>,
    connections: usize,
    hang_up_at_once: bool,
}

/// The server; ends when it is dropped.
pub struct Server {
    pub url: String,
    script: Arc<Mutex<Script>>,
    task: JoinHandle<()>,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Server {
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let script = Arc::new(Mutex::new(Script::default()));
        let shared = script.clone();
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                // A body right behind its head would wait for the head's acknowledgement.
                stream.set_nodelay(true).unwrap();
                tokio::spawn(serve(stream, shared.clone()));
            }
        });
        Self { url, script, task }
    }

    /// Ends it; when this returns, nobody listens any more.
    pub async fn stop(mut self) {
        self.task.abort();
        let _ = (&mut self.task).await;
    }

    /// What is answered to a question from now on.
    pub fn always(&self, method: &'static str, path: &'static str, act: Act) {
        let mut script = self.script.lock().unwrap();
        script.standing.retain(|(m, p, _)| (*m, *p) != (method, path));
        script.standing.push((method, path, act));
    }

    /// What is done with the next request for which nothing else is queued, whatever it is.
    pub fn then(&self, act: Act) {
        self.script.lock().unwrap().next.push_back(act);
    }

    /// Hangs up on whoever connects, before reading anything.
    pub fn refuse_connections(&self) {
        self.script.lock().unwrap().hang_up_at_once = true;
    }

    pub fn asked(&self) -> Vec<Asked> {
        self.script.lock().unwrap().asked.clone()
    }

    pub fn last(&self) -> Asked {
        self.asked().pop().expect("nothing was asked")
    }

    pub fn count(&self, method: &str) -> usize {
        self.asked().iter().filter(|asked| asked.method == method).count()
    }

    pub fn connections(&self) -> usize {
        self.script.lock().unwrap().connections
    }
}

async fn serve(mut stream: TcpStream, script: Arc<Mutex<Script>>) {
    {
        let mut script = script.lock().unwrap();
        script.connections += 1;
        if script.hang_up_at_once {
            return;
        }
    }
    while let Some(asked) = read(&mut stream).await {
        let act = {
            let mut script = script.lock().unwrap();
            let queued = script.next.pop_front();
            let standing = script.standing.iter().find(|(m, p, _)| *m == asked.method && *p == asked.path);
            let act = queued.or_else(|| standing.map(|(_, _, act)| act.clone()));
            script.asked.push(asked);
            act.unwrap_or_else(|| Act::json(404, r#"{"error":"no such page"}"#))
        };
        if !perform(&mut stream, act).await {
            return;
        }
    }
}

/// Whether the connection goes on.
async fn perform(stream: &mut TcpStream, act: Act) -> bool {
    match act {
        Act::Answer(status, headers, body) => {
            let headers: Vec<_> =
                headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
            let (length, headers) = (body.len(), headers.concat());
            let head = format!("HTTP/1.1 {status} Said\r\ncontent-length: {length}\r\n{headers}\r\n");
            stream.write_all(head.as_bytes()).await.is_ok() && stream.write_all(&body).await.is_ok()
        }
        Act::Half(status, body) => {
            let head = format!("HTTP/1.1 {status} Said\r\ncontent-length: {}\r\n\r\n", body.len() + 1);
            let _ = stream.write_all(head.as_bytes()).await;
            let _ = stream.write_all(&body).await;
            false
        }
        Act::HangUp => false,
        Act::Silence => {
            let mut byte = [0];
            let _ = stream.read(&mut byte).await;
            false
        }
        Act::Bytes(bytes) => {
            let _ = stream.write_all(&bytes).await;
            false
        }
    }
}

async fn read(stream: &mut TcpStream) -> Option<Asked> {
    let mut bytes = Vec::new();
    let end = loop {
        if let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") {
            break end;
        }
        let mut more = [0; 4096];
        match stream.read(&mut more).await {
            Ok(0) | Err(_) => return None,
            Ok(count) => bytes.extend_from_slice(&more[..count]),
        }
    };
    let head = String::from_utf8(bytes[..end].to_vec()).unwrap();
    let mut lines = head.split("\r\n");
    let mut first = lines.next()?.split(' ');
    let (method, target) = (first.next()?.to_owned(), first.next()?);
    assert_eq!(first.next(), Some("HTTP/1.1"));
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let header = |line: &str| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("x-mbx-apikey").then(|| value.trim().to_owned())
    };
    let key = lines.find_map(header);
    Some(Asked { method, path: path.to_owned(), query: query.to_owned(), key, body: bytes.len() - end - 4 })
}

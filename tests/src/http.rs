//! A client as small as HTTP/1.1 lets it be.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};

use crate::DEADLINE;

/// The status and body a worker answers with.
pub fn get(address: SocketAddr, target: &str) -> (u16, String) {
    try_get(address, target).unwrap()
}

/// As [`get`], of one that may not serve yet or any more.
pub fn try_get(address: SocketAddr, target: &str) -> std::io::Result<(u16, String)> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(DEADLINE))?;
    let request = format!("GET {target} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes())?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    let cut_off = || std::io::Error::other(format!("no whole answer: {answer:?}"));
    let (head, body) = answer.split_once("\r\n\r\n").ok_or_else(cut_off)?;
    let status = head.split(' ').nth(1).and_then(|code| code.parse().ok()).ok_or_else(cut_off)?;
    Ok((status, body.to_owned()))
}

/// The body as JSON, of an answer that must be 200.
pub fn json(address: SocketAddr, target: &str) -> serde_json::Value {
    let (status, body) = get(address, target);
    assert_eq!(status, 200, "{target}: {body}");
    serde_json::from_str(&body).unwrap()
}

//! A wire to a server that can be cut at the moment a transaction is made durable.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, Shutdown, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicUsize, Ordering};

/// What happens to the next `COMMIT`; after it the wire is whole again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Cut {
    /// Nothing.
    None = 0,
    /// It does not reach the server.
    Request = 1,
    /// The server carries it out, and its answer is lost.
    Answer = 2,
}

/// A listening end on loopback. It serves until the process ends.
#[derive(Debug)]
pub(crate) struct Proxy {
    pub(crate) port: u16,
    cut: Arc<AtomicU8>,
    cuts: Arc<AtomicUsize>,
}

impl Proxy {
    pub(crate) fn to(server: u16) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let (cut, cuts) = (Arc::new(AtomicU8::new(0)), Arc::new(AtomicUsize::new(0)));
        let proxy = Self { port, cut: Arc::clone(&cut), cuts: Arc::clone(&cuts) };
        std::thread::spawn(move || {
            for client in listener.incoming() {
                let (Ok(client), Ok(server)) = (client, TcpStream::connect((Ipv4Addr::LOCALHOST, server)))
                else {
                    continue;
                };
                let (cut, cuts) = (Arc::clone(&cut), Arc::clone(&cuts));
                let (from_server, to_client) = (server.try_clone().unwrap(), client.try_clone().unwrap());
                let losing = Arc::new(AtomicU8::new(0));
                let lost = Arc::clone(&losing);
                std::thread::spawn(move || answers(from_server, to_client, &lost));
                std::thread::spawn(move || requests(client, server, &cut, &cuts, &losing));
            }
        });
        proxy
    }

    pub(crate) fn cut_next(&self, cut: Cut) {
        self.cut.store(cut as u8, Ordering::SeqCst);
    }

    /// How often the wire was cut.
    pub(crate) fn cuts(&self) -> usize {
        self.cuts.load(Ordering::SeqCst)
    }
}

fn requests(
    mut client: TcpStream,
    mut server: TcpStream,
    cut: &AtomicU8,
    cuts: &AtomicUsize,
    losing: &AtomicU8,
) {
    let mut buffer = vec![0; 65_536];
    while let Ok(read @ 1..) = client.read(&mut buffer) {
        let bytes = &buffer[..read];
        // A packet of its own: length, number, the command "query", its text.
        if bytes.get(4..) == Some(b"\x03COMMIT") {
            let what = cut.swap(Cut::None as u8, Ordering::SeqCst);
            if what != Cut::None as u8 {
                cuts.fetch_add(1, Ordering::SeqCst);
            }
            if what == Cut::Request as u8 {
                break;
            }
            losing.store(what, Ordering::SeqCst);
        }
        if server.write_all(bytes).is_err() {
            break;
        }
    }
    client.shutdown(Shutdown::Both).ok();
    server.shutdown(Shutdown::Both).ok();
}

fn answers(mut server: TcpStream, mut client: TcpStream, losing: &AtomicU8) {
    let mut buffer = vec![0; 65_536];
    while let Ok(read @ 1..) = server.read(&mut buffer) {
        if losing.load(Ordering::SeqCst) == Cut::Answer as u8 || client.write_all(&buffer[..read]).is_err() {
            break;
        }
    }
    client.shutdown(Shutdown::Both).ok();
    server.shutdown(Shutdown::Both).ok();
}

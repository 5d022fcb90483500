//! A Redis of its own for a test: in a temporary folder, on loopback, gone with the test.

use std::net::{Ipv4Addr, TcpListener};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use redis::{Connection, ConnectionLike as _};
use tempfile::TempDir;

/// Longest wait for anything; far above what it takes, for machines that do much else.
pub(crate) const DEADLINE: Duration = Duration::from_mins(1);

/// A server that runs, or did.
pub(crate) struct Redis {
    dir: TempDir,
    pub(crate) port: u16,
    extra: Vec<String>,
    process: Option<Child>,
}

/// A port nobody listens at.
pub(crate) fn free_port() -> u16 {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().port()
}

impl Redis {
    /// Starts one that keeps nothing on disk.
    pub(crate) fn start(extra: &[&str]) -> Self {
        let mut server = Self::stopped(extra);
        server.restart();
        server
    }

    /// Starts one at that port.
    pub(crate) fn start_at(port: u16) -> Self {
        let mut server = Self::stopped(&[]);
        server.port = port;
        server.restart();
        server
    }

    /// One that is not started yet; its port is taken by nobody.
    pub(crate) fn stopped(extra: &[&str]) -> Self {
        let extra = extra.iter().map(|&text| text.to_owned()).collect();
        Self { dir: TempDir::new().unwrap(), port: free_port(), extra, process: None }
    }

    /// Starts it, again where it was.
    pub(crate) fn restart(&mut self) {
        let here = || PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../.tools");
        let tools =
            std::env::var_os("TRADEWIND_TOOLS").map_or_else(here, PathBuf::from).join("bin/redis-server");
        let log = std::fs::File::create(self.dir.path().join("log")).unwrap();
        let tls = self.extra.iter().any(|text| text == "--tls-cert-file");
        let (plain, secret) = if tls { (0, self.port) } else { (self.port, 0) };
        let mut command = Command::new(&tools);
        command.args(["--bind", "127.0.0.1", "--save", "", "--port", &plain.to_string()]);
        if tls {
            command.args(["--tls-port", &secret.to_string(), "--tls-auth-clients", "no"]);
        }
        command.arg("--dir").arg(self.dir.path()).args(&self.extra).stdin(Stdio::null()).stdout(log);
        let process =
            command.spawn().unwrap_or_else(|e| panic!("{}: {e}; run scripts/setup", tools.display()));
        self.process = Some(process);
        let end = Instant::now() + DEADLINE;
        while std::net::TcpStream::connect((Ipv4Addr::LOCALHOST, self.port)).is_err() {
            let exited = self.process.as_mut().unwrap().try_wait().unwrap();
            assert!(exited.is_none() && Instant::now() < end, "Redis does not start: {}", self.log());
            std::thread::yield_now();
        }
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.dir.path().join("log")).unwrap_or_default()
    }

    /// Ends it as a power failure would.
    pub(crate) fn kill(&mut self) {
        if let Some(mut process) = self.process.take() {
            process.kill().unwrap();
            process.wait().unwrap();
        }
    }

    /// A connection for the test itself.
    pub(crate) fn admin(&self) -> Connection {
        self.admin_by(None)
    }

    /// The same with a password.
    pub(crate) fn admin_by(&self, password: Option<&str>) -> Connection {
        let user = password.map(|password| format!(":{password}@")).unwrap_or_default();
        let client = redis::Client::open(format!("redis://{user}127.0.0.1:{}", self.port)).unwrap();
        let end = Instant::now() + DEADLINE;
        loop {
            let conn = client.get_connection_with_timeout(DEADLINE);
            if let Ok(mut conn) = conn
                && conn.check_connection()
            {
                return conn;
            }
            assert!(Instant::now() < end, "Redis lets nobody in: {}", self.log());
        }
    }

    /// Asks one thing; the words are those of redis-cli.
    pub(crate) fn ask<T: redis::FromRedisValue>(&self, words: &str) -> T {
        let mut words = words.split(' ');
        let mut command = redis::cmd(words.next().unwrap());
        for word in words {
            command.arg(word);
        }
        command.query(&mut self.admin()).unwrap()
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        self.kill();
    }
}

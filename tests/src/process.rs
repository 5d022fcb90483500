//! The worker as a process: its own child, its lines, its end.

use std::io::{BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::Instant;

use nix::sys::signal::Signal;
use nix::unistd::Pid;

use crate::DEADLINE;
use crate::binary;

/// Where a line came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum From {
    Out,
    Err,
}

/// A running command of the worker. Dropped, it is killed; nobody else is.
#[derive(Debug)]
pub struct Worker {
    child: Child,
    lines: Receiver<(From, String)>,
    seen: Ended,
}

/// What a command left behind.
#[derive(Debug, Clone, Default)]
pub struct Ended {
    /// Exit code; none when a signal ended it or it still runs.
    pub code: Option<i32>,
    /// The signal that ended it.
    pub signal: Option<i32>,
    /// Its standard output.
    pub out: String,
    /// Its log and last words.
    pub err: String,
}

/// Where a worker serves.
#[derive(Debug, Clone, Copy)]
pub struct Addresses {
    /// `/portfolio` and `/trades/recent`.
    pub portfolio: SocketAddr,
    /// `/signals/latest` and `/signals/performance`.
    pub signals: SocketAddr,
    /// `/risk/metrics`.
    pub risk: SocketAddr,
}

/// `tradewind-worker` with those arguments, not yet started.
pub fn command(arguments: &[&str]) -> Command {
    let mut command = Command::new(binary::worker());
    command.args(arguments).env_remove("TRADEWIND_LOG").env("NO_COLOR", "1").env("USER", "tester");
    command
}

/// Runs a command to its end.
pub fn run(arguments: &[&str]) -> Ended {
    Worker::spawn(&mut command(arguments)).ended()
}

impl Worker {
    /// Starts a prepared command with its output caught.
    pub fn spawn(command: &mut Command) -> Self {
        let command = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("the command starts");
        let (sender, lines) = channel();
        follow(child.stdout.take().unwrap(), From::Out, sender.clone());
        follow(child.stderr.take().unwrap(), From::Err, sender);
        Self { child, lines, seen: Ended::default() }
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Sends a signal.
    pub fn signal(&self, signal: Signal) {
        let pid = Pid::from_raw(i32::try_from(self.pid()).unwrap());
        nix::sys::signal::kill(pid, signal).expect("it still runs");
    }

    /// Whether a signal keeps it from going on.
    pub fn is_stopped(&self) -> bool {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.pid())).unwrap_or_default();
        // The state follows the program's name, which is in brackets.
        stat.rsplit(')').next().is_some_and(|rest| rest.trim_start().starts_with('T'))
    }

    /// What it has said, without waiting.
    pub fn so_far(&mut self) -> &Ended {
        while let Ok(line) = self.lines.try_recv() {
            self.take(line);
        }
        &self.seen
    }

    /// Waits for a line on either stream for which `wanted` is true.
    ///
    /// # Panics
    /// When it ends, or [`DEADLINE`] passes, without that line.
    pub fn line(&mut self, what: &str, wanted: impl FnMut(&str) -> bool) -> String {
        let found = self.line_or_end(what, wanted);
        found.unwrap_or_else(|| panic!("it ended before {what}: {:?}", self.seen))
    }

    /// As [`Self::line`], but none when it ends before.
    pub fn line_or_end(&mut self, what: &str, mut wanted: impl FnMut(&str) -> bool) -> Option<String> {
        let end = Instant::now() + DEADLINE;
        loop {
            let left = end.saturating_duration_since(Instant::now());
            match self.lines.recv_timeout(left) {
                Ok(line) => {
                    let found = wanted(&line.1).then(|| line.1.clone());
                    self.take(line);
                    if found.is_some() {
                        return found;
                    }
                }
                Err(RecvTimeoutError::Disconnected) => return None,
                Err(RecvTimeoutError::Timeout) => panic!("waited {DEADLINE:?} for {what}: {:?}", self.seen),
            }
        }
    }

    /// The addresses it prints when it has opened them.
    pub fn addresses(&mut self) -> Addresses {
        let line = self.line("the addresses", |line| line.starts_with("portfolio http://"));
        let served: Vec<SocketAddr> = line
            .split_whitespace()
            .filter_map(|word| word.strip_prefix("http://")?.split('/').next()?.parse().ok())
            .collect();
        let [portfolio, signals, risk] = served[..] else { panic!("no three addresses in {line:?}") };
        Addresses { portfolio, signals, risk }
    }

    /// Waits for its end.
    pub fn ended(mut self) -> Ended {
        while self.line_or_end("the end", |_| false).is_some() {}
        // Both its ends are closed: it is gone, or in its last steps.
        let status = self.child.wait().expect("our own child");
        self.close(status)
    }

    /// What it left behind, if it has ended by itself.
    pub fn try_ended(&mut self) -> Option<Ended> {
        let status = self.child.try_wait().expect("our own child")?;
        while self.line_or_end("the end of its output", |_| false).is_some() {}
        Some(self.close(status))
    }

    /// Kills it like a power cut.
    pub fn kill(mut self) -> Ended {
        self.child.kill().expect("our own child");
        let status = self.child.wait().expect("our own child");
        while self.line_or_end("the end of its output", |_| false).is_some() {}
        self.close(status)
    }

    fn close(&mut self, status: ExitStatus) -> Ended {
        self.seen.code = status.code();
        self.seen.signal = status.signal();
        self.seen.clone()
    }

    fn take(&mut self, (from, line): (From, String)) {
        let into = match from {
            From::Out => &mut self.seen.out,
            From::Err => &mut self.seen.err,
        };
        into.push_str(&line);
        into.push('\n');
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        // Both fail only when it has ended and was waited for.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Ended {
    /// The last line of the log: the sentence a failed command ends with.
    pub fn last_words(&self) -> &str {
        self.err.lines().next_back().unwrap_or_default()
    }
}

fn follow(stream: impl Read + Send + 'static, from: From, sender: Sender<(From, String)>) {
    std::thread::spawn(move || {
        for line in BufReader::new(stream).split(b'\n') {
            let Ok(line) = line else { return };
            if sender.send((from, String::from_utf8_lossy(&line).into_owned())).is_err() {
                return;
            }
        }
    });
}

/// The arguments of a `run` on free ports.
pub fn run_arguments<'a>(file: &'a Path, data_dir: &'a Path) -> Vec<&'a str> {
    let ports = ["--portfolio-address", "127.0.0.1:0", "--signals-address", "127.0.0.1:0", "--risk-address"];
    let files = ["run", "--plain", "-f", file.to_str().unwrap(), "--data-dir", data_dir.to_str().unwrap()];
    files.into_iter().chain(ports).chain(["127.0.0.1:0"]).collect()
}

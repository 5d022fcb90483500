//! Worker processes: what is measured is the program people run.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tradewind_worker::commands::reference_job::JobResult as Job;

use crate::BenchError;

/// How long a worker may stay silent about something it must do.
const PATIENCE: Duration = Duration::from_mins(2);
/// Between two looks at a worker.
const LOOK_EVERY: Duration = Duration::from_millis(5);

/// Runs the reference job on a file in a process of its own.
pub fn reference_job(worker: &Path, file: &Path) -> Result<Job, BenchError> {
    let output =
        Command::new(worker).arg("reference-job").arg(file).output().map_err(BenchError::at(worker))?;
    if !output.status.success() {
        let words = String::from_utf8_lossy(&output.stderr).into_owned();
        return Err(BenchError::Process(format!("the reference job ended with {}: {words}", output.status)));
    }
    let text = String::from_utf8_lossy(&output.stdout);
    Ok(serde_json::from_str(text.lines().last().unwrap_or_default())?)
}

/// A running `tradewind-worker run`. Dropped, it is killed and waited for.
pub struct Running {
    child: Child,
    lines: Receiver<String>,
}

/// What was seen of a worker at one look.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Look {
    /// It wrote a line.
    Line(String),
    /// It is silent.
    Silent,
    /// It has closed its output.
    Ended,
}

impl Running {
    /// Starts one on those files with its ledger in `data_dir`, on free ports, at that speed. Its log goes nowhere.
    pub fn start(
        worker: &Path,
        file: &Path,
        market_data: &Path,
        data_dir: &Path,
        speed: &str,
    ) -> Result<Self, BenchError> {
        let mut command = Command::new(worker);
        command.args(["run", "--plain", "--speed", speed, "--file"]).arg(file);
        command.arg("--market-data").arg(market_data);
        command.arg("--data-dir").arg(data_dir);
        for flag in ["--portfolio-address", "--signals-address", "--risk-address"] {
            command.args([flag, "127.0.0.1:0"]);
        }
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = command.spawn().map_err(BenchError::at(worker))?;
        let (sender, lines) = channel();
        if let Some(output) = child.stdout.take() {
            // Ends with the worker's output.
            std::thread::spawn(move || {
                let read = BufReader::new(output).lines().map_while(Result::ok);
                read.for_each(|line| drop(sender.send(line)));
            });
        }
        Ok(Self { child, lines })
    }

    /// Waits a moment for a line.
    pub fn look(&self) -> Look {
        match self.lines.recv_timeout(LOOK_EVERY) {
            Ok(line) => Look::Line(line),
            Err(RecvTimeoutError::Timeout) => Look::Silent,
            Err(RecvTimeoutError::Disconnected) => Look::Ended,
        }
    }

    /// The address `/portfolio` is served at, from the worker's own announcement.
    pub fn address(&self) -> Result<SocketAddr, BenchError> {
        let deadline = Instant::now() + PATIENCE;
        while Instant::now() < deadline {
            match self.look() {
                Look::Line(line) => {
                    let address =
                        line.split("portfolio http://").nth(1).and_then(|rest| rest.split('/').next());
                    if let Some(address) = address.and_then(|text| text.parse().ok()) {
                        return Ok(address);
                    }
                }
                Look::Silent => {}
                Look::Ended => break,
            }
        }
        Err(BenchError::Process("the worker ended or said nothing before it told its addresses".to_owned()))
    }

    /// Waits until `/health` answers 200.
    pub fn wait_ready(&self) -> Result<(), BenchError> {
        let address = self.address()?;
        let deadline = Instant::now() + PATIENCE;
        while Instant::now() < deadline {
            if status_of(address, "/health")? == 200 {
                return Ok(());
            }
            if self.look() == Look::Ended {
                break;
            }
        }
        Err(BenchError::Process("the worker did not become ready".to_owned()))
    }

    /// A value in kB of `/proc/<pid>/status`, in MiB; none once the process has ended.
    pub fn status_mb(&self, key: &str) -> Option<f64> {
        status_mb(&self.child.id().to_string(), key)
    }

    /// Waits for its end.
    pub fn wait(mut self) -> Result<ExitStatus, BenchError> {
        Ok(self.child.wait()?)
    }

    /// Asks it to stop and waits for its end.
    pub fn stop(self) -> Result<(), BenchError> {
        if let Ok(pid) = i32::try_from(self.child.id()) {
            kill(Pid::from_raw(pid), Signal::SIGTERM).map_err(std::io::Error::from)?;
        }
        let status = self.wait()?;
        if status.success() {
            Ok(())
        } else {
            Err(BenchError::Process(format!("the worker ended with {status}")))
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // After its end both fail, which is what is wanted.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// A value in kB of `/proc/<process>/status` (`self` is this one), in MiB.
#[expect(clippy::cast_precision_loss, reason = "megabytes for people")]
pub fn status_mb(process: &str, key: &str) -> Option<f64> {
    let text = std::fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(':'))?;
    let kilobytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kilobytes as f64 / 1024.0)
}

/// The status code of a GET.
fn status_of(address: SocketAddr, path: &str) -> Result<u16, BenchError> {
    let mut stream = TcpStream::connect_timeout(&address, PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    write!(stream, "GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    let code = answer.split(' ').nth(1).and_then(|code| code.parse().ok());
    code.ok_or_else(|| BenchError::Process(format!("{path} was not answered in HTTP")))
}

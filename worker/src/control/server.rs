//! The worker's side: accepts connections of its own user, reads commands, hands them to the driver.

use std::fs::Permissions;
use std::io::ErrorKind;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::os::unix::net::{UnixListener as StdListener, UnixStream as StdStream};
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::io::{AsyncBufRead, AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::error::ControlError;
use super::socket::Address;
use super::wire::{Command, ControlReply, ControlRequest, MAX_COMMAND_BYTES};

/// Connections served at once; more wait.
const MAX_CONNECTIONS: usize = 16;

/// How long things may take.
#[derive(Debug, Clone, Copy)]
pub(super) struct Patience {
    /// A sender with its command.
    pub(super) command: Duration,
    /// The driver with its answer.
    pub(super) answer: Duration,
    /// Answers under way when the worker stops.
    pub(super) stop: Duration,
}

impl Patience {
    const USUAL: Self = Self {
        command: Duration::from_secs(5),
        answer: Duration::from_secs(10),
        stop: Duration::from_secs(1),
    };
}

/// A socket that is bound and not yet served. Connections wait until [`Server::run`].
#[derive(Debug)]
pub struct Server {
    listener: StdListener,
    socket: SocketFile,
}

/// Removes the socket when dropped, unless another lies there by then.
#[derive(Debug)]
struct SocketFile {
    path: PathBuf,
    device: u64,
    inode: u64,
    owner: u32,
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        let ours = |m: &std::fs::Metadata| (m.dev(), m.ino()) == (self.device, self.inode);
        if std::fs::symlink_metadata(&self.path).is_ok_and(|metadata| ours(&metadata)) {
            // A socket left behind is removed by the next worker.
            let _left_behind = std::fs::remove_file(&self.path);
        }
    }
}

impl Server {
    /// Makes the socket of that data directory, which must exist, with mode 0600. One that a killed worker left is
    /// removed; one that a worker answers on is [`ControlError::InUse`]; a file that is no socket is left alone.
    pub fn bind(data_dir: &Path) -> Result<Self, ControlError> {
        let path = data_dir.join(super::SOCKET_FILE);
        let missing = || ControlError::Io { path: path.clone(), source: ErrorKind::NotFound.into() };
        let address = Address::of(data_dir)?.ok_or_else(missing)?;
        clear_stale(&address)?;
        let failed = |source| address.failed(source);
        let listener = StdListener::bind(&address.name).map_err(|source| match source.kind() {
            ErrorKind::AddrInUse => ControlError::InUse { path: address.path.clone() },
            _ => failed(source),
        })?;
        let metadata = std::fs::symlink_metadata(&address.path).map_err(failed)?;
        let (device, inode, owner) = (metadata.dev(), metadata.ino(), metadata.uid());
        let socket = SocketFile { path: address.path.clone(), device, inode, owner };
        std::fs::set_permissions(&address.path, Permissions::from_mode(0o600)).map_err(failed)?;
        listener.set_nonblocking(true).map_err(failed)?;
        Ok(Self { listener, socket })
    }

    /// Serves until `shutdown` is ready, then gives answers under way a second and removes the socket.
    ///
    /// Fails only when the runtime cannot take the socket over.
    pub async fn run(
        self,
        tx: mpsc::Sender<ControlRequest>,
        shutdown: impl Future<Output = ()>,
    ) -> Result<(), ControlError> {
        self.run_with(tx, shutdown, Patience::USUAL).await
    }

    pub(super) async fn run_with(
        self,
        tx: mpsc::Sender<ControlRequest>,
        shutdown: impl Future<Output = ()>,
        patience: Patience,
    ) -> Result<(), ControlError> {
        let Self { listener, socket } = self;
        let failed = |source| ControlError::Io { path: socket.path.clone(), source };
        let listener = UnixListener::from_std(listener).map_err(failed)?;
        let (stop, stopping) = watch::channel(());
        let mut connections = JoinSet::new();
        let mut shutdown = std::pin::pin!(shutdown);
        loop {
            tokio::select! {
                biased;
                () = &mut shutdown => break,
                _ = connections.join_next(), if !connections.is_empty() => {}
                accepted = listener.accept(), if connections.len() < MAX_CONNECTIONS => match accepted {
                    Ok((stream, _)) if is_ours(&stream, socket.owner) => {
                        connections.spawn(serve(stream, tx.clone(), stopping.clone(), patience));
                    }
                    Ok(_) => tracing::warn!("control connection of another user refused"),
                    Err(error) => {
                        tracing::warn!(%error, "control connection not accepted");
                        // Out of file descriptors, most likely: the next try at once would fail as well.
                        tokio::time::sleep(Duration::from_millis(100)).await;
                    }
                },
            }
        }
        drop((listener, socket));
        drop(stop);
        let all_answered = async { while connections.join_next().await.is_some() {} };
        // Those still open are cut off with the set.
        let _in_time = timeout(patience.stop, all_answered).await;
        Ok(())
    }
}

fn clear_stale(address: &Address) -> Result<(), ControlError> {
    let metadata = match std::fs::symlink_metadata(&address.path) {
        Ok(metadata) => metadata,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        Err(source) => return Err(address.failed(source)),
    };
    if !metadata.file_type().is_socket() {
        return Err(ControlError::NotASocket { path: address.path.clone() });
    }
    match StdStream::connect(&address.name) {
        Ok(_) => Err(ControlError::InUse { path: address.path.clone() }),
        Err(error) if error.kind() == ErrorKind::ConnectionRefused => {
            std::fs::remove_file(&address.path).map_err(|source| address.failed(source))
        }
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        Err(source) => Err(address.failed(source)),
    }
}

/// The mode of the socket keeps others out but for the moment between its making and its mode.
fn is_ours(stream: &UnixStream, owner: u32) -> bool {
    stream.peer_cred().is_ok_and(|peer| peer.uid() == owner || peer.uid() == 0)
}

/// What came in on a connection.
enum Line {
    /// A command, perhaps.
    Text(Vec<u8>),
    /// More than a command may have.
    TooLong,
    /// The sender has nothing more to say.
    End,
}

async fn serve(
    mut stream: UnixStream,
    tx: mpsc::Sender<ControlRequest>,
    mut stopping: watch::Receiver<()>,
    patience: Patience,
) {
    let (read, mut write) = stream.split();
    let mut reader = BufReader::new(read);
    loop {
        let line = tokio::select! {
            biased;
            _ = stopping.changed() => return,
            line = timeout(patience.command, next_line(&mut reader)) => line,
        };
        let (reply, go_on) = match line {
            Err(_) | Ok(Err(_) | Ok(Line::End)) => return,
            Ok(Ok(Line::TooLong)) => (too_long(), false),
            Ok(Ok(Line::Text(text))) => (answer(&text, &tx, patience.answer).await, true),
        };
        let sent = timeout(patience.command, send(&mut write, &reply)).await;
        if !go_on || !matches!(sent, Ok(Ok(()))) {
            return;
        }
    }
}

async fn next_line(reader: &mut (impl AsyncBufRead + Unpin)) -> std::io::Result<Line> {
    let mut text = Vec::new();
    // One byte more than allowed tells a line that is too long.
    let most = u64::try_from(MAX_COMMAND_BYTES).unwrap_or(u64::MAX).saturating_add(1);
    reader.take(most).read_until(b'\n', &mut text).await?;
    Ok(match text.len() {
        0 => Line::End,
        length if length > MAX_COMMAND_BYTES => Line::TooLong,
        _ => Line::Text(text),
    })
}

async fn answer(line: &[u8], tx: &mpsc::Sender<ControlRequest>, patience: Duration) -> ControlReply {
    let command: Command = match serde_json::from_slice(line) {
        Ok(command) => command,
        Err(error) => return refused(format!("this is no command: {error}; send one JSON object a line")),
    };
    let (reply, answer) = oneshot::channel();
    let asked = async {
        tx.send(ControlRequest { command, reply }).await.ok()?;
        answer.await.ok()
    };
    match timeout(patience, asked).await {
        Ok(Some(reply)) => reply,
        Ok(None) => refused("the worker is stopping; ask again when it has stopped or runs again".to_owned()),
        Err(_) => refused(format!(
            "the worker is busy and has not answered within {} s; look at its halts before you repeat this",
            patience.as_secs()
        )),
    }
}

fn too_long() -> ControlReply {
    refused(format!(
        "the command has more than {MAX_COMMAND_BYTES} bytes; give a shorter reason or fewer instruments"
    ))
}

fn refused(message: String) -> ControlReply {
    ControlReply::Refused { message }
}

async fn send(write: &mut (impl AsyncWriteExt + Unpin), reply: &ControlReply) -> std::io::Result<()> {
    let mut line = serde_json::to_vec(reply)?;
    line.push(b'\n');
    write.write_all(&line).await
}

//! A MariaDB server of its own for the tests of one process, in a temporary folder, on loopback; gone with the last test
//! that uses it, and with the process however that ends.

use std::io::Read as _;
use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, Weak, mpsc};
use std::time::{Duration, Instant};

use sqlx::mysql::{MySqlConnectOptions, MySqlConnection, MySqlSslMode};
use sqlx::{AssertSqlSafe, ConnectOptions, Connection, Executor};
use tempfile::TempDir;
use tradewind_ledger::mysql::{Isolation, Tls};
use tradewind_ledger::{MysqlLedger, MysqlOptions, MysqlServer, Patience};

use super::{TAG, options};

/// Longest wait for a server; far above what it takes, for machines that do much else.
const DEADLINE: Duration = Duration::from_mins(1);
const ADMIN_PASSWORD: &str = "only on loopback, only for a test";
/// The password of the user of each database.
pub(crate) const PASSWORD: &str = "correct horse";

static SHARED: Mutex<Weak<Server>> = Mutex::new(Weak::new());

/// A running server.
#[derive(Debug)]
pub(crate) struct Server {
    dir: TempDir,
    port: u16,
    extra: Vec<String>,
    process: Mutex<Child>,
    databases: AtomicU32,
}

/// An empty database with a user who owns it.
#[derive(Debug)]
pub(crate) struct Database {
    pub(crate) server: Arc<Server>,
    pub(crate) name: String,
    pub(crate) secret: TempDir,
}

impl Server {
    /// The server of this process.
    pub(crate) fn shared() -> Arc<Self> {
        let mut shared = SHARED.lock().unwrap();
        if let Some(running) = shared.upgrade() {
            return running;
        }
        let server = Arc::new(Self::start(&[]));
        *shared = Arc::downgrade(&server);
        server
    }

    /// Another one, with settings of its own.
    pub(crate) fn start(extra: &[&str]) -> Self {
        let dir = TempDir::new().unwrap();
        let template = tools().join("mariadb/template");
        let copied =
            Command::new("cp").arg("-r").arg(&template).arg(dir.path().join("data")).status().unwrap();
        assert!(copied.success(), "{} cannot be copied; run scripts/setup", template.display());
        let admin = format!(
            "CREATE USER IF NOT EXISTS 'admin'@'127.0.0.1' IDENTIFIED BY '{ADMIN_PASSWORD}';\n\
             GRANT ALL ON *.* TO 'admin'@'127.0.0.1' WITH GRANT OPTION;\n"
        );
        std::fs::write(dir.path().join("init.sql"), admin).unwrap();
        let extra: Vec<String> = extra.iter().map(|&text| text.to_owned()).collect();
        let end = Instant::now() + DEADLINE;
        loop {
            // Another process may take the port before the server does; then another one is tried.
            let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().port();
            if let Ok(process) = spawn(&dir, port, &extra) {
                let process = Mutex::new(process);
                return Self { dir, port, extra, process, databases: AtomicU32::new(0) };
            }
            assert!(Instant::now() < end, "MariaDB does not start: {}", log(&dir));
        }
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// Ends the server as a power failure would.
    pub(crate) fn kill(&self) {
        let mut process = self.process.lock().unwrap();
        process.kill().unwrap();
        process.wait().unwrap();
    }

    /// Sends a signal by its name.
    pub(crate) fn signal(&self, name: &str) {
        let id = self.process.lock().unwrap().id().to_string();
        let sent = Command::new("kill").args(["-s", name, id.as_str()]).status().unwrap();
        assert!(sent.success(), "{name} {id}");
    }

    /// Starts it again where it was.
    pub(crate) fn restart(&self) {
        let process = spawn(&self.dir, self.port, &self.extra);
        *self.process.lock().unwrap() = process.unwrap_or_else(|error| panic!("{error}: {}", log(&self.dir)));
    }

    /// Runs a statement as the administrator of the server.
    pub(crate) async fn admin(&self, sql: impl Into<String>) {
        let mut conn = admin_options(self.port).connect().await.unwrap();
        conn.execute(AssertSqlSafe(sql.into())).await.unwrap();
        conn.close().await.unwrap();
    }

    /// A new database, with a user of the same name who may do anything in it.
    pub(crate) async fn database(self: &Arc<Self>) -> Database {
        let name = format!("test{}", self.databases.fetch_add(1, Ordering::Relaxed));
        self.admin(format!("CREATE DATABASE {name}")).await;
        self.admin(format!("CREATE USER '{name}'@'127.0.0.1' IDENTIFIED BY '{PASSWORD}'")).await;
        self.admin(format!("GRANT ALL ON {name}.* TO '{name}'@'127.0.0.1'")).await;
        let database = Database { server: Arc::clone(self), secret: TempDir::new().unwrap(), name };
        database.write_secret(&database.name, PASSWORD);
        database
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let process = self.process.get_mut().unwrap();
        process.kill().ok();
        process.wait().ok();
    }
}

impl Database {
    pub(crate) fn write_secret(&self, username: &str, password: &str) {
        // As people make them, with a line break at the end.
        std::fs::write(self.secret.path().join("username"), format!("{username}\n")).unwrap();
        std::fs::write(self.secret.path().join("password"), format!("{password}\n")).unwrap();
    }

    pub(crate) fn mysql(&self) -> MysqlServer {
        MysqlServer {
            host: "127.0.0.1".to_owned(),
            port: self.server.port,
            database: self.name.clone(),
            credentials: self.secret.path().to_path_buf(),
            tls: Tls::PlainText,
            isolation: Isolation::ReadCommitted,
            patience: Patience { attempt: Some(DEADLINE / 2), total: DEADLINE },
        }
    }

    /// The same that does not wait for a server that is away.
    pub(crate) fn impatient(&self) -> MysqlServer {
        MysqlServer { patience: Patience { total: Duration::ZERO, ..self.mysql().patience }, ..self.mysql() }
    }

    pub(crate) fn options(&self) -> MysqlOptions {
        let options = options();
        MysqlOptions {
            server: self.mysql(),
            account: options.account,
            account_name: options.account_name,
            owner: options.owner,
            now: options.now,
            incarnation: TAG,
        }
    }

    pub(crate) async fn open(&self) -> MysqlLedger {
        MysqlLedger::open(&self.options()).await.unwrap()
    }

    /// A connection as a person would use it who administers the server.
    pub(crate) async fn by_hand(&self) -> MySqlConnection {
        admin_options(self.server.port).database(&self.name).connect().await.unwrap()
    }

    /// Runs statements as such a person.
    pub(crate) async fn run(&self, statements: &[&'static str]) -> Result<(), sqlx::Error> {
        let mut conn = self.by_hand().await;
        for sql in statements {
            conn.execute(*sql).await?;
        }
        conn.close().await
    }
}

fn admin_options(port: u16) -> MySqlConnectOptions {
    let options = MySqlConnectOptions::new().host("127.0.0.1").port(port);
    options.username("admin").password(ADMIN_PASSWORD).ssl_mode(MySqlSslMode::Disabled)
}

/// Where scripts/setup puts what tests need.
fn tools() -> PathBuf {
    let from_here = || {
        let above = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors();
        above.map(|folder| folder.join(".tools")).find(|tools| tools.exists()).expect("run scripts/setup")
    };
    std::env::var_os("TRADEWIND_TOOLS").map_or_else(from_here, PathBuf::from)
}

fn spawn(dir: &TempDir, port: u16, extra: &[String]) -> Result<Child, String> {
    let at = |name: &str| dir.path().join(name).display().to_string();
    let log = std::fs::File::create(dir.path().join("log")).unwrap();
    // The server gets the signal when the thread that started it ends; that one only waits.
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "KILL"]).arg(tools().join("bin/mariadbd"));
    command.args([
        format!("--datadir={}", at("data")),
        // Not one of all servers: each one that starts clears it of what looks forgotten.
        format!("--tmpdir={}", dir.path().display()),
        format!("--socket={}", at("socket")),
        format!("--pid-file={}", at("pid")),
        format!("--init-file={}", at("init.sql")),
        format!("--port={port}"),
    ]);
    command.args(["--bind-address=127.0.0.1", "--skip-name-resolve", "--max-connections=200"]);
    command.args(["--innodb-data-file-path=ibdata1:3M:autoextend", "--innodb-log-file-size=8M"]);
    command.args(["--innodb-buffer-pool-size=32M", "--innodb-temp-data-file-path=ibtmp1:2M:autoextend"]);
    command.args(extra).stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log);
    let (sender, receiver) = mpsc::channel();
    std::thread::spawn(move || {
        let started = command.spawn();
        if sender.send(started).is_ok() {
            loop {
                std::thread::park();
            }
        }
    });
    let started = receiver.recv().unwrap();
    let mut process = started.map_err(|error| format!("{error}; run scripts/setup"))?;
    let end = Instant::now() + DEADLINE;
    while !is_ready(dir) {
        if let Some(status) = process.try_wait().unwrap() {
            return Err(format!("MariaDB ended with {status}"));
        }
        if Instant::now() > end {
            process.kill().unwrap();
            process.wait().unwrap();
            return Err(format!("MariaDB was not ready within {DEADLINE:?}"));
        }
        std::thread::park_timeout(Duration::from_millis(5));
    }
    Ok(process)
}

fn is_ready(dir: &TempDir) -> bool {
    log(dir).contains("ready for connections")
}

fn log(dir: &TempDir) -> String {
    let mut text = String::new();
    let read =
        std::fs::File::open(dir.path().join("log")).and_then(|mut file| file.read_to_string(&mut text));
    read.map(|_| text).unwrap_or_default()
}

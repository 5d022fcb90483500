//! A MariaDB of `scripts/setup` for as long as it is measured, with what real money asks of it: log and binary log synced
//! with every commit.

use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tradewind_ledger::mysql::{Isolation, Tls};
use tradewind_ledger::{MysqlOptions, MysqlServer, Patience, SqliteOptions};

use crate::BenchError;

const NAME: &str = "bench";
const PASSWORD: &str = "only on loopback, only while it is measured";
/// Longest wait for the server.
const DEADLINE: Duration = Duration::from_mins(1);

/// The server and its one database.
pub struct MariaDb {
    port: u16,
    secret: PathBuf,
    process: Child,
}

impl MariaDb {
    /// Starts one with its files in `dir`.
    pub async fn start(dir: &Path) -> Result<Self, BenchError> {
        let at = |name: &str| dir.join(name);
        let (template, program) = (Path::new(".tools/mariadb/template"), Path::new(".tools/bin/mariadbd"));
        let copied = Command::new("cp").arg("-r").arg(template).arg(at("data")).status()?;
        if !copied.success() {
            return Err(BenchError::Process(format!(
                "{} cannot be copied; run scripts/setup",
                template.display()
            )));
        }
        std::fs::write(
            at("init.sql"),
            format!(
                "CREATE DATABASE {NAME};\nCREATE USER '{NAME}'@'127.0.0.1' IDENTIFIED BY '{PASSWORD}';\nGRANT ALL ON {NAME}.* TO '{NAME}'@'127.0.0.1';\n"
            ),
        )?;
        std::fs::create_dir(at("secret"))?;
        std::fs::write(at("secret/username"), NAME)?;
        std::fs::write(at("secret/password"), PASSWORD)?;
        let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port();
        let file = |option: &str, name: &str| format!("--{option}={}", at(name).display());
        let mut command = Command::new(program);
        command.args([file("datadir", "data"), file("tmpdir", ""), file("socket", "socket")]);
        command.args([file("pid-file", "pid"), file("init-file", "init.sql"), file("log-bin", "binary")]);
        command.args([format!("--port={port}"), "--server-id=1".to_owned()]);
        command.args(["--bind-address=127.0.0.1", "--skip-name-resolve", "--sync-binlog=1"]);
        command.args(["--innodb-flush-log-at-trx-commit=1", "--innodb-data-file-path=ibdata1:3M:autoextend"]);
        command.stdin(Stdio::null()).stdout(Stdio::null());
        let log = std::fs::File::create(at("log"))?;
        let process = command.stderr(log).spawn().map_err(BenchError::at(program))?;
        let mut server = Self { port, secret: at("secret"), process };
        server.wait_ready(&at("log")).await?;
        Ok(server)
    }

    async fn wait_ready(&mut self, log: &Path) -> Result<(), BenchError> {
        let end = Instant::now() + DEADLINE;
        loop {
            let text = std::fs::read_to_string(log).map_err(BenchError::at(log))?;
            if text.contains("ready for connections") {
                return Ok(());
            }
            if self.process.try_wait()?.is_some() || Instant::now() > end {
                let last = text.lines().last().unwrap_or_default();
                return Err(BenchError::Process(format!("MariaDB does not start: {last}")));
            }
            // paces: two looks at the log.
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// How a ledger in it is opened, like one in a file.
    pub fn options(&self, like: &SqliteOptions) -> MysqlOptions {
        MysqlOptions {
            server: MysqlServer {
                host: "127.0.0.1".to_owned(),
                port: self.port,
                database: NAME.to_owned(),
                credentials: self.secret.clone(),
                tls: Tls::PlainText,
                isolation: Isolation::ReadCommitted,
                patience: Patience { attempt: Some(DEADLINE / 2), total: DEADLINE },
            },
            account: like.account,
            account_name: like.account_name.clone(),
            owner: like.owner.clone(),
            now: like.now,
            incarnation: like.incarnation,
        }
    }
}

impl Drop for MariaDb {
    fn drop(&mut self) {
        self.process.kill().ok();
        self.process.wait().ok();
    }
}

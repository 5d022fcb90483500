//! `ledger`: checks, exports, saves and restores a ledger, whichever database it is in.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::{BufReader, BufWriter, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use tradewind_core::halt::ledger_unknown;
use tradewind_core::time::Timestamp;
use tradewind_ledger::{
    Backup, ChainHead, Dialect, LedgerReader, MysqlLedger, MysqlReader, SqlReader, SqliteLedger,
    SqliteReader, TableColumns, Value, backup,
};

use super::CommandError;
use super::place::{Found, Where, Which};

/// What is done with a ledger.
#[derive(Debug, Clone, clap::Subcommand)]
pub enum Action {
    /// Check that every row is as it was written; exit code 1 when one is not.
    Verify(VerifyOptions),
    /// Write the rows of its tables as CSV or JSON lines.
    Export(ExportOptions),
    /// Save all of it in one file, also while a worker runs.
    Backup(BackupOptions),
    /// Make a ledger out of a backup, where there is none; it starts halted.
    Restore(RestoreOptions),
}

/// What `ledger verify` is told.
#[derive(Debug, Clone, clap::Args)]
pub struct VerifyOptions {
    #[command(flatten)]
    which: Which,
    /// An end the chain must hold, from a place whoever may edit the ledger cannot write: the annotation of the account's
    /// Lease, or an earlier `verify`. Only with it rows missing at the end are found.
    #[arg(long, value_name = "ROW:HASH")]
    head: Option<ChainHead>,
}

/// What `ledger export` is told.
#[derive(Debug, Clone, clap::Args)]
pub struct ExportOptions {
    #[command(flatten)]
    which: Which,
    /// Only this table; may be repeated. Absent, all of them.
    #[arg(long = "table", value_name = "NAME")]
    tables: Vec<String>,
    /// How rows are written.
    #[arg(long, value_enum, default_value_t = Form::Csv)]
    format: Form,
    /// Folder for a file a table; absent, the one table asked for is printed.
    #[arg(long, value_name = "DIR")]
    to: Option<PathBuf>,
}

/// How exported rows are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Form {
    /// Comma-separated values with a line of names; no value and an empty text look the same.
    Csv,
    /// One JSON object a line.
    Jsonl,
}

impl Form {
    fn ending(self) -> &'static str {
        match self {
            Self::Csv => "csv",
            Self::Jsonl => "jsonl",
        }
    }
}

/// What `ledger backup` is told.
#[derive(Debug, Clone, clap::Args)]
pub struct BackupOptions {
    #[command(flatten)]
    which: Which,
    /// The file to write; one that is there is replaced when the new one is whole.
    #[arg(long, value_name = "FILE")]
    to: PathBuf,
}

/// What `ledger restore` is told.
#[derive(Debug, Clone, clap::Args)]
pub struct RestoreOptions {
    #[command(flatten)]
    place: Where,
    /// The backup.
    #[arg(long, value_name = "FILE")]
    from: PathBuf,
}

/// The command.
pub async fn execute(action: &Action, out: &mut dyn Write) -> Result<(), CommandError> {
    match action {
        Action::Restore(options) => restore(options, out).await,
        Action::Verify(VerifyOptions { which, .. })
        | Action::Export(ExportOptions { which, .. })
        | Action::Backup(BackupOptions { which, .. }) => match which.found()? {
            Found::File(path) => read(action, &mut SqliteReader::open(&path).await?, out).await,
            Found::Database(server, name) => {
                read(action, &mut MysqlReader::open(&server, &name).await?, out).await
            }
        },
    }
}

async fn read<D: Dialect>(
    action: &Action,
    ledger: &mut SqlReader<D>,
    out: &mut dyn Write,
) -> Result<(), CommandError> {
    match action {
        Action::Verify(options) => verify(options, ledger, out).await,
        Action::Export(options) => export(options, ledger, out).await,
        Action::Backup(options) => save(options, ledger, out).await,
        Action::Restore(options) => restore(options, out).await,
    }
}

async fn verify<D: Dialect>(
    options: &VerifyOptions,
    ledger: &mut SqlReader<D>,
    out: &mut dyn Write,
) -> Result<(), CommandError> {
    let head = ledger.verify().await?;
    if let Some(known) = &options.head
        && !ledger.contains(known).await?
    {
        return Err(CommandError::HeadMissing { known: *known, found: head });
    }
    writeln!(out, "{} rows, each as it was written; the chain ends with {head}", head.seq)?;
    if options.head.is_none() {
        writeln!(out, "rows missing at the end show only with --head, an end of the chain kept elsewhere")?;
    }
    Ok(())
}

async fn export<D: Dialect>(
    options: &ExportOptions,
    ledger: &mut SqlReader<D>,
    out: &mut dyn Write,
) -> Result<(), CommandError> {
    let wanted = wanted(&options.tables)?;
    let names: Vec<&str> = wanted.iter().map(|table| table.name).collect();
    let mut sinks = BTreeMap::new();
    match (&options.to, wanted.as_slice()) {
        (Some(folder), _) => {
            let failed = |source| CommandError::File { path: folder.clone(), source };
            std::fs::create_dir_all(folder).map_err(failed)?;
            for table in &wanted {
                let path = folder.join(format!("{}.{}", table.name, options.format.ending()));
                let file = private_file(&path)?;
                sinks.insert(table.name, Rows::new(options.format, table, Box::new(BufWriter::new(file)))?);
            }
        }
        (None, [table]) => {
            sinks.insert(table.name, Rows::new(options.format, table, Box::new(out))?);
        }
        (None, _) => {
            let text =
                "more than one table is to be exported; name a folder with --to, or one table with --table";
            return Err(CommandError::Usage(text.to_owned()));
        }
    }
    ledger
        .export(&names, &mut |table, values| sinks.get_mut(table).map_or(Ok(()), |rows| rows.write(values)))
        .await?;
    for rows in sinks.into_values() {
        rows.finish()?;
    }
    Ok(())
}

fn wanted(names: &[String]) -> Result<Vec<TableColumns>, CommandError> {
    let mut tables = backup::tables();
    if let Some(unknown) = names.iter().find(|name| !tables.iter().any(|table| table.name == name.as_str())) {
        let known: Vec<&str> = tables.iter().map(|table| table.name).collect();
        return Err(CommandError::Usage(format!(
            "there is no table {unknown:?}; the tables are {}",
            known.join(", ")
        )));
    }
    tables.retain(|table| names.is_empty() || names.iter().any(|name| name == table.name));
    Ok(tables)
}

/// Where rows of one table go.
enum Rows<'a> {
    Csv(Box<csv::Writer<Box<dyn Write + 'a>>>),
    Jsonl(Vec<&'static str>, Box<dyn Write + 'a>),
}

impl<'a> Rows<'a> {
    fn new(form: Form, table: &TableColumns, out: Box<dyn Write + 'a>) -> std::io::Result<Self> {
        match form {
            Form::Jsonl => Ok(Self::Jsonl(table.columns.clone(), out)),
            Form::Csv => {
                let mut writer = csv::Writer::from_writer(out);
                writer.write_record(&table.columns).map_err(std::io::Error::other)?;
                Ok(Self::Csv(Box::new(writer)))
            }
        }
    }

    fn write(&mut self, values: &[Value<'static>]) -> std::io::Result<()> {
        match self {
            Self::Csv(writer) => {
                let texts = values.iter().map(|value| match value {
                    Value::Null => String::new(),
                    Value::Int(number) => number.to_string(),
                    Value::Text(text) => text.to_string(),
                });
                writer.write_record(texts).map_err(std::io::Error::other)
            }
            Self::Jsonl(columns, out) => {
                let row: serde_json::Map<String, serde_json::Value> = columns
                    .iter()
                    .zip(values)
                    .map(|(column, value)| Ok(((*column).to_owned(), serde_json::to_value(value)?)))
                    .collect::<Result<_, serde_json::Error>>()?;
                serde_json::to_writer(&mut *out, &row)?;
                out.write_all(b"\n")
            }
        }
    }

    fn finish(self) -> std::io::Result<()> {
        match self {
            Self::Csv(mut writer) => writer.flush(),
            Self::Jsonl(_, mut out) => out.flush(),
        }
    }
}

async fn save<D: Dialect>(
    options: &BackupOptions,
    ledger: &mut SqlReader<D>,
    out: &mut dyn Write,
) -> Result<(), CommandError> {
    let mut name = options.to.as_os_str().to_owned();
    name.push(".partial");
    let partial = PathBuf::from(name);
    let mut file = BufWriter::new(private_file(&partial)?);
    let saved = ledger.backup(&mut file).await;
    let failed = |source| CommandError::File { path: options.to.clone(), source };
    let head = match saved {
        Ok(head) => head,
        Err(error) => {
            std::fs::remove_file(&partial).map_err(failed)?;
            return Err(error.into());
        }
    };
    let file = file.into_inner().map_err(|error| failed(error.into_error()))?;
    file.sync_all().and_then(|()| std::fs::rename(&partial, &options.to)).map_err(failed)?;
    writeln!(out, "saved {} rows of the chain in {}; it ends with {head}", head.seq, options.to.display())?;
    Ok(())
}

/// A ledger tells what its owner holds: nobody else may read a copy of it.
fn private_file(path: &Path) -> Result<File, CommandError> {
    let opened = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path);
    opened.map_err(|source| CommandError::File { path: path.to_path_buf(), source })
}

async fn restore(options: &RestoreOptions, out: &mut dyn Write) -> Result<(), CommandError> {
    let file = File::open(&options.from);
    let file = file.map_err(|source| CommandError::File { path: options.from.clone(), source })?;
    let copy = Backup::read(BufReader::new(file))?;
    let (account, head) = (copy.account_name().clone(), copy.head());
    let now = Timestamp(jiff::Timestamp::now().as_millisecond());
    match options.place.server() {
        None => SqliteLedger::restore(&options.place.file(), copy, now).await?,
        Some(server) => MysqlLedger::restore(&server, copy, now).await?,
    }
    writeln!(out, "restored {} rows of the chain, up to {head}", head.seq)?;
    let halt = ledger_unknown(&account);
    writeln!(out, "the account is halted by {halt}, because later orders and fills are not in the backup:")?;
    writeln!(out, "1. start the worker; it looks up every order that is open in the ledger")?;
    writeln!(
        out,
        "2. compare positions and open orders with the venue's; what the ledger lacks, settle there"
    )?;
    let place = &options.place;
    let which = if place.server().is_some() { format!(" --ledger {account}") } else { String::new() };
    writeln!(out, "3. resume it with: tradewind-worker resume {halt}{place}{which}")?;
    Ok(())
}

//! The log of a run whose live table has the terminal: kept until the terminal is free again.
//!
//! It promises that nothing is written meanwhile, and that what was kept is told afterwards, in order. Must not grow
//! without bound.

use std::io::{self, Write};
use std::sync::{Arc, Mutex, PoisonError};

use tracing_subscriber::fmt::MakeWriter;

/// The most lines that are kept. The first ones: what follows from them is told less well by the last.
const LINES: usize = 200;

/// Where lines wait.
#[derive(Debug, Clone, Default)]
pub struct HeldLog(Arc<Mutex<Lines>>);

#[derive(Debug, Default)]
struct Lines {
    kept: Vec<u8>,
    count: usize,
}

impl HeldLog {
    /// Writes what was kept, and how much more there was.
    pub fn tell(&self, out: &mut dyn Write) -> io::Result<()> {
        let lines = std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner));
        out.write_all(&lines.kept)?;
        if let Some(more) = lines.count.checked_sub(LINES).filter(|more| *more > 0) {
            writeln!(out, "and {more} lines more; --plain shows all of them as they come")?;
        }
        out.flush()
    }
}

impl MakeWriter<'_> for HeldLog {
    type Writer = Self;

    fn make_writer(&self) -> Self {
        self.clone()
    }
}

impl Write for HeldLog {
    /// A whole line, as the log writes them.
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let mut lines = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if lines.count < LINES {
            lines.kept.extend_from_slice(line);
        }
        lines.count = lines.count.saturating_add(1);
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test")]
mod tests {
    use super::*;

    #[test]
    fn lines_are_told_once_in_their_order_and_no_more_than_fit() {
        let mut log = HeldLog::default();
        let told = |log: &HeldLog| {
            let mut out = Vec::new();
            log.tell(&mut out).unwrap();
            String::from_utf8(out).unwrap()
        };
        writeln!(log, "one").unwrap();
        let subscriber = tracing_subscriber::fmt().with_writer(log.clone()).without_time().with_ansi(false);
        tracing::subscriber::with_default(subscriber.finish(), || tracing::warn!(price = 7, "two"));
        assert_eq!(told(&log), "one\n WARN tradewind_worker::held_log::tests: two price=7\n");
        assert_eq!(told(&log), "");
        for number in 1..=LINES + 3 {
            log.write_all(format!("{number}\n").as_bytes()).unwrap();
        }
        let all = told(&log);
        assert!(all.starts_with("1\n2\n"), "{all}");
        assert!(all.ends_with("\n200\nand 3 lines more; --plain shows all of them as they come\n"), "{all}");
    }
}

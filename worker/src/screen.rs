//! Where a run is shown: a live table on a terminal, plain lines elsewhere.

use std::io::Write;

use crate::snapshot::Snapshot;
use crate::terminal::live::{Key, LiveTable, Palette};
use crate::terminal::plain;

/// The place.
pub enum Screen {
    /// A table that is drawn over again.
    Live(Box<LiveTable>),
    /// A line a fact; facts beside these are logged as they happen.
    Plain {
        /// UTC day whose line was written last.
        day: Option<i64>,
    },
}

impl Screen {
    /// A live table if it is wanted; `term` is the terminal's name (`TERM`).
    pub fn choose(wanted: bool, no_color: Option<&str>, term: Option<&str>) -> Self {
        if !wanted {
            return Self::Plain { day: None };
        }
        match LiveTable::open(Palette::of(no_color, term)) {
            Ok(table) => Self::Live(Box::new(table)),
            Err(error) => {
                tracing::warn!(%error, "no live table on this terminal; plain lines instead");
                Self::Plain { day: None }
            }
        }
    }

    /// Shows a snapshot.
    pub fn show(&mut self, snapshot: &Snapshot, out: &mut dyn Write) -> std::io::Result<()> {
        match self {
            Self::Live(table) => {
                // A terminal that fails must not end trading.
                if table.draw(snapshot).is_err() {
                    self.leave();
                    *self = Self::Plain { day: None };
                }
                Ok(())
            }
            Self::Plain { day } => {
                // A day is told when it is over; a run at full speed passes several between two looks.
                let today = snapshot.now.day();
                if snapshot.equity_yesterday.is_some() && day.is_none_or(|last| last < today) {
                    *day = Some(today);
                    writeln!(out, "{}", plain::day_line(snapshot))?;
                    out.flush()?;
                }
                Ok(())
            }
        }
    }

    /// Whether a person pressed quit.
    pub fn wants_to_quit(&mut self) -> bool {
        match self {
            Self::Live(table) => matches!(table.key(), Ok(Some(Key::Quit))),
            Self::Plain { .. } => false,
        }
    }

    /// Gives the terminal back; what was shown last stays readable.
    pub fn leave(&mut self) {
        if let Self::Live(table) = self
            && let Err(error) = table.close()
        {
            tracing::warn!(%error, "the terminal could not be given back");
        }
    }
}

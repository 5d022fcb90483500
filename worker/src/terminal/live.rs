//! The live table: the whole terminal while the worker runs, and the last picture of it afterwards.
//!
//! It draws on the alternate screen, so that the scroll-back stays as it was; on closing, the last picture is printed as
//! plain text. The terminal is given back when the table is closed or dropped and when the process panics. In this mode
//! Ctrl-C is a key, not a signal: ask [`LiveTable::key`]. Log lines must not go to the terminal meanwhile.

use std::io::{self, Write};
use std::time::Duration;

use ratatui::DefaultTerminal;
use ratatui::buffer::Buffer;
use ratatui::crossterm::event::{self, Event, KeyCode, KeyEvent, KeyEventKind, KeyModifiers};

use crate::snapshot::Snapshot;

pub use super::palette::Palette;
pub use super::screen::render;

/// Key events handled in one call; a flood waits for the next.
const KEYS_A_CALL: usize = 64;

/// Why the table cannot be shown. Trading goes on without it.
#[derive(Debug, thiserror::Error)]
pub enum TerminalError {
    /// The terminal cannot be taken over.
    #[error("the live table cannot be shown on this terminal; redirect the output to get plain lines")]
    Open {
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The terminal has gone, most likely.
    #[error("the terminal cannot be written to; the run goes on without the live table")]
    Draw {
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Keys cannot be read.
    #[error("keys cannot be read from the terminal; stop the worker with SIGTERM")]
    Key {
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The terminal was not given back in full.
    #[error("the terminal could not be restored; type `reset`")]
    Close {
        /// Why.
        #[source]
        source: io::Error,
    },
}

/// What a person asks for with a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Key {
    /// Drain and end: `q` or Ctrl-C.
    Quit,
}

/// The table on the terminal.
#[derive(Debug)]
pub struct LiveTable {
    terminal: DefaultTerminal,
    palette: Palette,
    drawn: Option<Buffer>,
    open: bool,
}

/// Whether a terminal of that `TERM` can show a table at all; if not, use plain lines.
pub fn can_draw(term: Option<&str>) -> bool {
    term.is_some_and(|term| !term.is_empty() && term != "dumb")
}

impl LiveTable {
    /// Takes the terminal over; standard output must be one. A panic gives it back before its message is printed.
    pub fn open(palette: Palette) -> Result<Self, TerminalError> {
        match ratatui::try_init() {
            Ok(terminal) => Ok(Self { terminal, palette, drawn: None, open: true }),
            Err(source) => {
                // It may have got half-way.
                ratatui::restore();
                Err(TerminalError::Open { source })
            }
        }
    }

    /// Draws the snapshot. Only cells that changed are written; call it at most some eight times a second.
    pub fn draw(&mut self, snapshot: &Snapshot) -> Result<(), TerminalError> {
        let palette = self.palette;
        let drawn = self.terminal.draw(|frame| render(frame, snapshot, palette));
        let drawn = drawn.map_err(|source| TerminalError::Draw { source })?;
        self.drawn = Some(drawn.buffer.clone());
        Ok(())
    }

    /// The keys pressed since the last call, without waiting.
    pub fn key(&mut self) -> Result<Option<Key>, TerminalError> {
        let failed = |source| TerminalError::Key { source };
        let mut found = None;
        for _ in 0..KEYS_A_CALL {
            if !event::poll(Duration::ZERO).map_err(failed)? {
                break;
            }
            if let Event::Key(key) = event::read().map_err(failed)?
                && is_quit(key)
            {
                found = Some(Key::Quit);
            }
        }
        Ok(found)
    }

    /// Gives the terminal back and prints the last picture. Closed already, it does nothing.
    pub fn close(&mut self) -> Result<(), TerminalError> {
        self.restore().map_err(|source| TerminalError::Close { source })?;
        let Some(drawn) = self.drawn.take() else { return Ok(()) };
        let mut out = io::stdout().lock();
        let text = super::screen::picture(&drawn);
        out.write_all(text.as_bytes())
            .and_then(|()| out.flush())
            .map_err(|source| TerminalError::Draw { source })
    }

    fn restore(&mut self) -> io::Result<()> {
        if std::mem::replace(&mut self.open, false) {
            let cursor = self.terminal.show_cursor();
            ratatui::try_restore()?;
            cursor?;
        }
        Ok(())
    }
}

impl Drop for LiveTable {
    fn drop(&mut self) {
        // Nobody is left to be told; the terminal is most likely gone.
        let _gone = self.restore();
    }
}

fn is_quit(key: KeyEvent) -> bool {
    let pressed = key.kind != KeyEventKind::Release;
    let control = key.modifiers.contains(KeyModifiers::CONTROL);
    pressed
        && match key.code {
            KeyCode::Char('q' | 'Q') => !control,
            KeyCode::Char('c' | 'C') => control,
            _ => false,
        }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn q_and_control_c_quit_and_nothing_else_does() {
        let key = |code, modifiers| is_quit(KeyEvent::new(KeyCode::Char(code), modifiers));
        assert!(
            key('q', KeyModifiers::NONE) && key('Q', KeyModifiers::SHIFT) && key('c', KeyModifiers::CONTROL)
        );
        assert!(
            !key('c', KeyModifiers::NONE)
                && !key('q', KeyModifiers::CONTROL)
                && !key('x', KeyModifiers::NONE)
        );
        let mut released = KeyEvent::new(KeyCode::Char('q'), KeyModifiers::NONE);
        released.kind = KeyEventKind::Release;
        assert!(!is_quit(released));
    }

    #[test]
    fn a_table_needs_a_terminal_that_can_move_its_cursor() {
        assert!(can_draw(Some("xterm")) && can_draw(Some("vt100")));
        assert!(!can_draw(None) && !can_draw(Some("")) && !can_draw(Some("dumb")));
    }
}

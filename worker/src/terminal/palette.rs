//! Colours, for terminals that have them and people who want them.

use ratatui::style::{Color, Modifier, Style};

use super::layout::Tone;

/// Whether colours are used. Without them what matters is bold or reversed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Palette {
    colors: bool,
}

impl Palette {
    /// Without colours.
    pub const PLAIN: Self = Self { colors: false };
    /// With the sixteen colours every colour terminal has.
    pub const COLORS: Self = Self { colors: true };

    /// What the environment asks for: `NO_COLOR` (set and not empty) switches colours off, and so does a `TERM` that has
    /// none.
    pub fn of(no_color: Option<&str>, term: Option<&str>) -> Self {
        let unwanted = no_color.is_some_and(|value| !value.is_empty());
        let colors = !unwanted && super::live::can_draw(term) && !term.is_some_and(has_no_colors);
        Self { colors }
    }

    pub(super) fn heading(self) -> Style {
        self.with(Color::Cyan).add_modifier(Modifier::BOLD)
    }

    pub(super) fn faint(self) -> Style {
        self.with(Color::DarkGray)
    }

    /// A halt: red, or reversed where there are no colours.
    pub(super) fn alarm(self) -> Style {
        let style = self.with(Color::Red).add_modifier(Modifier::BOLD);
        if self.colors { style } else { style.add_modifier(Modifier::REVERSED) }
    }

    pub(super) fn tone(self, tone: Tone) -> Style {
        match tone {
            Tone::Plain => Style::new(),
            Tone::Good => self.with(Color::Green),
            Tone::Bad => self.with(Color::Red),
        }
    }

    fn with(self, color: Color) -> Style {
        if self.colors { Style::new().fg(color) } else { Style::new() }
    }
}

fn has_no_colors(term: &str) -> bool {
    term.starts_with("vt") || term.ends_with("-mono") || term.ends_with("-m")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colours_need_a_terminal_that_has_them_and_nobody_who_minds() {
        assert_eq!(Palette::of(None, Some("xterm-256color")), Palette::COLORS);
        assert_eq!(Palette::of(Some(""), Some("xterm")), Palette::COLORS, "an empty NO_COLOR means nothing");
        for (no_color, term) in
            [(Some("1"), Some("xterm-256color")), (None, Some("dumb")), (None, Some("vt100")), (None, None)]
        {
            assert_eq!(Palette::of(no_color, term), Palette::PLAIN, "{no_color:?} {term:?}");
        }
    }
}

//! Fitting tables into a screen: which lines each section gets, which columns stay. Pure arithmetic on widths.

use ratatui::Frame;
use ratatui::layout::{Alignment, Constraint, Rect};
use ratatui::text::{Line, Span, Text};
use ratatui::widgets::{Cell, Row, Table};

use super::palette::Palette;

/// Blanks between columns.
const GAP: usize = 2;
/// A last column to the left is for sentences; this much of it must show before other columns go.
const SENTENCE: usize = 16;

/// A column of a section.
#[derive(Debug, Clone, Copy)]
pub(super) struct Column {
    pub(super) heading: &'static str,
    pub(super) right: bool,
    /// On a narrow screen the column with the highest number goes first; zero stays.
    pub(super) drop: u8,
}

/// A text to the left.
pub(super) const fn left(heading: &'static str, drop: u8) -> Column {
    Column { heading, right: false, drop }
}

/// A number to the right.
pub(super) const fn right(heading: &'static str, drop: u8) -> Column {
    Column { heading, right: true, drop }
}

/// What a cell means, for its colour.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Tone {
    Plain,
    Good,
    Bad,
}

/// A cell: its text and its meaning.
pub(super) type Field = (String, Tone);

/// A cell without a meaning.
pub(super) fn plain(text: impl Into<String>) -> Field {
    (text.into(), Tone::Plain)
}

/// A titled table.
#[derive(Debug, Clone)]
pub(super) struct Section {
    pub(super) columns: Vec<Column>,
    pub(super) rows: Vec<Vec<Field>>,
    /// In place of rows when there are none.
    pub(super) nothing: &'static str,
}

impl Section {
    /// Lines it would take: headings, rows and a blank line; a sentence and a blank line when there are no rows.
    pub(super) fn wanted(&self) -> u16 {
        u16::try_from(self.rows.len()).unwrap_or(u16::MAX).saturating_add(2)
    }

    /// Draws it with as many rows as fit.
    pub(super) fn draw(&self, frame: &mut Frame<'_>, area: Rect, palette: Palette) {
        if self.rows.is_empty() {
            let title = self.columns.first().map_or("", |column| column.heading);
            let title = Span::styled(title, palette.heading());
            frame.render_widget(Line::from(vec![title, Span::raw(format!("  {}", self.nothing))]), area);
        } else {
            frame.render_widget(self.table(area.width, area.height, palette), area);
        }
    }

    /// As a table of that many columns and lines; what does not fit is counted in the last line.
    fn table(&self, width: u16, lines: u16, palette: Palette) -> Table<'_> {
        let room = usize::from(lines.saturating_sub(1));
        let kept = self.kept(usize::from(width));
        let heading = Row::new(kept.iter().filter_map(|index| self.columns.get(*index)).map(heading_cell));
        let shown = if self.rows.len() > room { room.saturating_sub(1) } else { self.rows.len() };
        let mut rows: Vec<Row<'_>> =
            self.rows.iter().take(shown).map(|row| self.row(row, &kept, palette)).collect();
        if shown < self.rows.len() {
            rows.push(Row::new([format!("… {} more", self.rows.len() - shown)]).style(palette.faint()));
        }
        let gap = u16::try_from(GAP).unwrap_or(1);
        Table::new(rows, self.constraints(&kept)).header(heading.style(palette.heading())).column_spacing(gap)
    }

    fn row<'a>(&'a self, row: &'a [Field], kept: &[usize], palette: Palette) -> Row<'a> {
        let cells = kept.iter().filter_map(|index| Some((self.columns.get(*index)?, row.get(*index)?)));
        Row::new(cells.map(|(column, (text, tone))| {
            let line = Line::from(Span::styled(text.as_str(), palette.tone(*tone)));
            Cell::from(Text::from(line.alignment(alignment(*column))))
        }))
    }

    /// The widest text of a column.
    fn width(&self, index: usize) -> usize {
        let heading = self.columns.get(index).map_or(0, |column| column.heading.len());
        let cells = self.rows.iter().filter_map(|row| row.get(index)).map(|(text, _)| text.chars().count());
        cells.max().unwrap_or(0).max(heading)
    }

    /// The columns that fit, in order.
    fn kept(&self, width: usize) -> Vec<usize> {
        let needed =
            |index: usize| self.width(index).min(if self.is_sentence(index) { SENTENCE } else { usize::MAX });
        let mut kept: Vec<usize> = (0..self.columns.len()).collect();
        loop {
            let taken: usize = kept.iter().map(|index| needed(*index) + GAP).sum();
            let droppable = |index: &&usize| self.columns.get(**index).map_or(0, |column| column.drop);
            let next = kept.iter().max_by_key(droppable).filter(|index| droppable(index) > 0).copied();
            match next {
                Some(next) if taken > width + GAP => kept.retain(|index| *index != next),
                _ => return kept,
            }
        }
    }

    fn constraints(&self, kept: &[usize]) -> Vec<Constraint> {
        let exact = |index: &usize| Constraint::Length(u16::try_from(self.width(*index)).unwrap_or(u16::MAX));
        kept.iter()
            .map(|index| if self.is_sentence(*index) { Constraint::Fill(1) } else { exact(index) })
            .collect()
    }

    fn is_sentence(&self, index: usize) -> bool {
        index + 1 == self.columns.len() && self.columns.last().is_some_and(|column| !column.right)
    }
}

fn heading_cell(column: &Column) -> Cell<'static> {
    Cell::from(Text::from(Line::from(column.heading).alignment(alignment(*column))))
}

fn alignment(column: Column) -> Alignment {
    if column.right { Alignment::Right } else { Alignment::Left }
}

/// Shares lines among sections, given what each wants, the most important first: three lines each as long as there are
/// any, the rest one by one in turn. A section that would get fewer than two gets none.
pub(super) fn share(available: u16, wanted: &[u16]) -> Vec<u16> {
    const AT_FIRST: u16 = 3;
    let mut rest = available;
    let mut given: Vec<u16> = Vec::with_capacity(wanted.len());
    for want in wanted {
        let first = AT_FIRST.min(*want).min(rest);
        let first = if first < 2 { 0 } else { first };
        given.push(first);
        rest -= first;
    }
    loop {
        let before = rest;
        for (share, want) in given.iter_mut().zip(wanted) {
            if rest > 0 && *share > 0 && *share < *want {
                *share += 1;
                rest -= 1;
            }
        }
        if rest == before {
            return given;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_go_to_the_first_sections_first_and_then_in_turn() {
        assert_eq!(share(40, &[4, 5, 4, 8]), [4, 5, 4, 8], "all that is wanted when there is room");
        assert_eq!(share(12, &[9, 9, 9, 9]), [3, 3, 3, 3]);
        assert_eq!(share(15, &[9, 9, 9, 9]), [4, 4, 4, 3]);
        assert_eq!(share(7, &[9, 9, 9, 9]), [4, 3, 0, 0], "one line is no use to a section");
        assert_eq!(share(1, &[9, 9]), [0, 0]);
        assert_eq!(share(0, &[]), [0; 0]);
    }

    #[test]
    fn narrow_screens_lose_the_least_important_columns() {
        let section = Section {
            columns: vec![left("NAME", 0), right("VALUE", 1), right("AVERAGE", 2), left("WHY", 0)],
            rows: vec![vec![plain("btc-trend"), plain("12345.67"), plain("63000.00"), plain("no signal")]],
            nothing: "none",
        };
        // 9 + 8 + 8 + 9 and three gaps of 2.
        assert_eq!(section.kept(40), [0, 1, 2, 3]);
        assert_eq!(section.kept(39), [0, 1, 3]);
        // 9 + 8 + 9 and two gaps.
        assert_eq!(section.kept(30), [0, 1, 3]);
        assert_eq!(section.kept(29), [0, 3]);
        assert_eq!(section.kept(1), [0, 3], "what matters stays, cut off");
    }
}

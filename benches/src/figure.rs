//! A figure as it is printed and as it gets onto the page.

use std::io::Write;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::BenchError;
use crate::measure::Goal;

/// One line of a table: what was measured, what was wanted, and what it is compared with.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Figure {
    /// The table it belongs to: the name of the subcommand.
    pub section: String,
    /// What.
    pub name: String,
    /// How much, with its unit.
    pub measured: String,
    /// What was wanted; none when it is only information.
    pub goal: Option<String>,
    /// Whether the goal was met.
    pub met: Option<bool>,
    /// What was measured beside it.
    pub reference: Option<String>,
    /// The figure as a share of the reference.
    pub ratio: Option<String>,
}

impl Figure {
    /// A figure without goal and reference.
    pub fn new(section: &str, name: impl Into<String>, measured: impl Into<String>) -> Self {
        Self { section: section.to_owned(), name: name.into(), measured: measured.into(), ..Self::default() }
    }

    /// What was wanted, in words, and whether `figure` meets it.
    #[must_use]
    pub fn goal(self, words: &str, goal: Goal, figure: f64) -> Self {
        Self { goal: Some(words.to_owned()), met: Some(goal.met(figure)), ..self }
    }

    /// What it is compared with.
    #[must_use]
    pub fn against(self, reference: impl Into<String>, ratio: f64) -> Self {
        Self { reference: Some(reference.into()), ratio: Some(format!("{ratio:.2}")), ..self }
    }

    /// `yes`, `no`, or nothing where there is no goal.
    pub fn verdict(&self) -> &'static str {
        match self.met {
            Some(true) => "yes",
            Some(false) => "**no**",
            None => "",
        }
    }
}

/// Prints figures for people.
pub fn print(figures: &[Figure], out: &mut dyn Write) -> Result<(), BenchError> {
    for figure in figures {
        write!(out, "{:<10} {}: {}", figure.section, figure.name, figure.measured)?;
        if let (Some(goal), Some(met)) = (&figure.goal, figure.met) {
            write!(out, "; goal {goal}: {}", if met { "met" } else { "NOT met" })?;
        }
        if let (Some(reference), Some(ratio)) = (&figure.reference, &figure.ratio) {
            write!(out, "; {ratio} of {reference}")?;
        }
        writeln!(out)?;
    }
    Ok(())
}

/// Appends figures to a file, one JSON object a line.
pub fn append(figures: &[Figure], path: &Path) -> Result<(), BenchError> {
    let file = std::fs::OpenOptions::new().create(true).append(true).open(path);
    let mut file = file.map_err(BenchError::at(path))?;
    for figure in figures {
        writeln!(file, "{}", serde_json::to_string(figure)?)?;
    }
    Ok(())
}

/// Reads what [`append`] wrote.
pub fn read(path: &Path) -> Result<Vec<Figure>, BenchError> {
    let text = std::fs::read_to_string(path).map_err(BenchError::at(path))?;
    Ok(text.lines().map(serde_json::from_str).collect::<Result<_, _>>()?)
}

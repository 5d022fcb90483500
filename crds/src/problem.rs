//! What is wrong with an object: which object, which field, which value, and what to do about it.

use std::fmt;

use crate::objects::{Key, Kind, ObjectId};

/// A place in a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Location {
    /// The file as it was named.
    pub file: String,
    /// Line, counted from 1.
    pub line: u64,
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.file, self.line)
    }
}

/// One thing that is wrong, and how to put it right. [`fmt::Display`] makes one sentence of it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Problem {
    /// The object as people name it, such as `TradingStrategy default/btc`; empty for a file that holds none.
    pub object: String,
    /// The same for programs, when kind and name could be read.
    pub id: Option<ObjectId>,
    /// Path of the field, such as `spec.capital.amount`; empty for the whole object.
    pub field: String,
    /// The value as written; empty where the value says nothing.
    pub value: String,
    /// What is wrong.
    pub message: String,
    /// What to do; empty when the message says it.
    pub fix: String,
    /// Where it was read from.
    pub location: Option<Location>,
}

impl Problem {
    /// A problem of an object's field.
    pub fn new(id: &ObjectId, field: impl Into<String>, message: impl Into<String>) -> Self {
        Self {
            object: id.to_string(),
            id: Some(id.clone()),
            field: field.into(),
            message: message.into(),
            ..Self::default()
        }
    }

    /// A problem of a file, before it is known to hold an object.
    pub fn of_file(location: Location, field: impl Into<String>, message: impl Into<String>) -> Self {
        Self { field: field.into(), message: message.into(), location: Some(location), ..Self::default() }
    }

    /// With the value as written; long ones are cut.
    #[must_use]
    pub fn value(mut self, value: impl fmt::Display) -> Self {
        const MOST: usize = 80;
        let text = value.to_string();
        self.value =
            if text.chars().count() > MOST { text.chars().take(MOST).chain(['…']).collect() } else { text };
        self
    }

    /// With what to do.
    #[must_use]
    pub fn fix(mut self, fix: impl Into<String>) -> Self {
        self.fix = fix.into();
        self
    }

    /// With where it was read from.
    #[must_use]
    pub fn at(mut self, location: Option<Location>) -> Self {
        self.location = location;
        self
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(location) = &self.location {
            write!(f, "{location}: ")?;
        }
        if !self.object.is_empty() {
            write!(f, "{}: ", self.object)?;
        }
        match (self.field.is_empty(), self.value.is_empty()) {
            (false, false) => write!(f, "{} ({}): ", self.field, self.value)?,
            (false, true) => write!(f, "{}: ", self.field)?,
            (true, false) => write!(f, "({}): ", self.value)?,
            (true, true) => {}
        }
        f.write_str(&self.message)?;
        if self.fix.is_empty() { Ok(()) } else { write!(f, "; {}", self.fix) }
    }
}

/// All problems found, in the order of the objects.
#[derive(Debug, Clone, PartialEq, Eq, Default, thiserror::Error)]
#[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))]
pub struct Problems(pub Vec<Problem>);

impl Problems {
    /// One problem.
    pub fn one(problem: Problem) -> Self {
        Self(vec![problem])
    }

    /// Adds one.
    pub fn push(&mut self, problem: Problem) {
        self.0.push(problem);
    }

    /// Adds all of another list.
    pub fn extend(&mut self, others: Self) {
        self.0.extend(others.0);
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Each in turn.
    pub fn iter(&self) -> std::slice::Iter<'_, Problem> {
        self.0.iter()
    }
}

impl<'a> IntoIterator for &'a Problems {
    type Item = &'a Problem;
    type IntoIter = std::slice::Iter<'a, Problem>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl IntoIterator for Problems {
    type Item = Problem;
    type IntoIter = std::vec::IntoIter<Problem>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}

/// The candidate a person most likely meant, if one is near enough to be worth naming.
pub fn nearest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let folded = word.to_lowercase();
    candidates
        .into_iter()
        .map(|candidate| (strsim::damerau_levenshtein(&folded, &candidate.to_lowercase()), candidate))
        .filter(|(distance, candidate)| {
            *distance <= (candidate.chars().count().max(word.chars().count()) / 3).max(1)
        })
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// A fix that names the nearest candidate, or all of them when none is near.
pub(crate) fn suggest(word: &str, candidates: &[&str]) -> String {
    match nearest(word, candidates.iter().copied()) {
        Some(candidate) => format!("did you mean {candidate}?"),
        None if candidates.is_empty() => "there is none; remove it".to_owned(),
        None => format!("use one of {}", list(candidates)),
    }
}

/// Words in a row; a long row is cut.
pub(crate) fn list(words: &[&str]) -> String {
    const MOST: usize = 12;
    let shown = words.iter().take(MOST).copied().collect::<Vec<_>>().join(", ");
    if words.len() > MOST { format!("{shown} and {} more", words.len() - MOST) } else { shown }
}

/// The problem of a reference to an object that is not there or cannot be used.
pub(crate) fn dangling(
    from: &ObjectId,
    field: &str,
    kind: Kind,
    key: &Key,
    unreadable: bool,
    candidates: &[&str],
) -> Problem {
    let problem = Problem::new(from, field, String::new()).value(&key.name);
    if unreadable {
        return Problem { message: format!("{kind} {key} has problems of its own"), ..problem }
            .fix("put those right first");
    }
    let fix = match nearest(&key.name, candidates.iter().copied()) {
        Some(candidate) => format!("did you mean {candidate}?"),
        None => format!("create it or name one that exists{}", existing(candidates)),
    };
    Problem { message: format!("there is no {kind} {key}"), ..problem }.fix(fix)
}

fn existing(candidates: &[&str]) -> String {
    if candidates.is_empty() { String::new() } else { format!(" ({})", list(candidates)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_problem_reads_as_one_sentence() {
        let id = ObjectId::new(Kind::TradingStrategy, Key::new("default", "btc"));
        let problem = Problem::new(&id, "spec.capital.amount", "exceeds the 2500 still free")
            .value("8000")
            .fix("lower it")
            .at(Some(Location { file: "a.yaml".into(), line: 7 }));
        assert_eq!(
            problem.to_string(),
            "a.yaml:7: TradingStrategy default/btc: spec.capital.amount (8000): exceeds the 2500 still free; lower it"
        );
        assert_eq!(Problem::new(&id, "", "is wrong").to_string(), "TradingStrategy default/btc: is wrong");
    }

    #[test]
    fn the_nearest_name_is_suggested_only_when_it_is_near() {
        let symbols = ["BTC-USD", "ETH-USD", "SOL-USD"];
        assert_eq!(nearest("BCT-USD", symbols), Some("BTC-USD"));
        assert_eq!(nearest("btc-usd", symbols), Some("BTC-USD"));
        assert_eq!(nearest("instrments", ["instruments", "signal"]), Some("instruments"));
        assert_eq!(nearest("PEPE-EURO", symbols), None);
        assert_eq!(nearest("x", []), None);
    }
}

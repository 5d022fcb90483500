//! Collects the problems of one object while its fields are read.

use std::fmt::Display;

use crate::objects::ObjectId;
use crate::problem::{Problem, Problems};

/// The problems of one object, so far.
pub(super) struct Check<'a> {
    /// Whose.
    pub id: &'a ObjectId,
    /// All found.
    pub problems: Problems,
}

impl<'a> Check<'a> {
    /// None yet.
    pub(super) fn new(id: &'a ObjectId) -> Self {
        Self { id, problems: Problems::default() }
    }

    /// The value, or a problem of that field in the error's own words.
    pub(super) fn take<T, E: Display>(&mut self, field: &str, result: Result<T, E>) -> Option<T> {
        match result {
            Ok(value) => Some(value),
            Err(error) => {
                let text = error.to_string();
                let (message, fix) = text.split_once("; ").unwrap_or((&text, ""));
                self.problems.push(Problem::new(self.id, field, message).fix(fix));
                None
            }
        }
    }

    /// As [`Check::take`], where nothing may be given.
    pub(super) fn take_if<T, E: Display>(&mut self, field: &str, result: Option<Result<T, E>>) -> Option<T> {
        result.and_then(|result| self.take(field, result))
    }

    /// Adds a problem of that field.
    pub(super) fn add(
        &mut self,
        field: &str,
        value: impl Display,
        message: impl Into<String>,
        fix: impl Into<String>,
    ) {
        self.problems.push(Problem::new(self.id, field, message).value(value).fix(fix));
    }

    /// The value if everything it is made of is there and nothing is wrong.
    pub(super) fn finish<T>(self, value: Option<T>) -> Result<T, Problems> {
        match value {
            Some(value) if self.problems.is_empty() => Ok(value),
            _ => Err(self.problems),
        }
    }
}

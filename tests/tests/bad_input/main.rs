//! Bad input to the worker as a whole: what people write, what feeds bring, what becomes of the ledger's file, and what
//! clocks do. Each time one clear sentence, no panic, nothing lost: without the fault the run goes on as if it had not
//! been.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

mod clock;
mod data;
mod disk;
mod ledger;
mod words;

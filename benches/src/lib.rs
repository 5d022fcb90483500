//! What is measured, one file a figure. Performance is never a timed test: it has a dated page, `docs/benchmarks.md`.
//!
//! Each figure is measured on production code: the worker's own commands, its driver, its ledger. Beside it stands a
//! reference measured in the same run on the same machine, so that a figure means something elsewhere too. What must be
//! right (fills, equity, decisions) is compared here and in the tests; what must be fast is only written down.

pub mod bus;
pub mod cluster;
pub mod desk;
pub mod error;
pub mod figure;
pub mod intents;
pub mod mariadb;
pub mod measure;
pub mod page;
pub mod plain;
pub mod process;
pub mod reference;
pub mod rss;
pub mod series;
pub mod simulation;
pub mod start;
pub mod wire;

pub use error::BenchError;
pub use figure::Figure;

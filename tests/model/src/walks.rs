//! The worlds that are walked through, each with what it is about.

use crate::world::Bounds;

/// One worker, one order, and a wire that loses and delays.
pub const WIRE: Bounds = Bounds {
    horizon: 7,
    intents: 1,
    attempts: 2,
    crashes: 0,
    openings: 0,
    rollbacks: 0,
    cancels: 0,
    throttles: 0,
    halts: 0,
    nodes: false,
    exits: false,
    foreign_coins: false,
    partial_fills: false,
};

/// A worker that is killed at any step, and its successor.
pub const KILLED: Bounds = Bounds { crashes: 1, openings: 1, ..WIRE };

/// A worker that is paused at any step and wakes up beside its successor.
pub const PAUSED: Bounds = Bounds { horizon: 8, openings: 1, ..WIRE };

/// A ledger that loses its last commit, and then its worker.
pub const ROLLED_BACK: Bounds =
    Bounds { horizon: 6, intents: 2, attempts: 1, openings: 1, rollbacks: 1, ..WIRE };

/// Partial fills, cancels that cross them, sendings held back.
pub const TRADED: Bounds = Bounds { cancels: 1, throttles: 1, partial_fills: true, ..WIRE };

/// Cancels that cross fills, with a second entry that may follow as soon as the first order counts for less.
pub const CANCELLED: Bounds =
    Bounds { horizon: 6, intents: 2, attempts: 1, cancels: 1, partial_fills: true, ..WIRE };

/// Halts that cross entries and a change of workers: the successor starts under the halt, and hears of more.
pub const HALTED: Bounds = Bounds { horizon: 6, attempts: 1, halts: 2, openings: 1, ..WIRE };

/// The second worker's node has a copy of the ledger, perhaps without its last commit, and the first one goes on with its own
/// until it no longer believes in its Lease.
pub const PARTED: Bounds = Bounds { horizon: 7, intents: 2, attempts: 1, openings: 1, nodes: true, ..WIRE };

/// The same, and the first one's ledger is opened again later, when it is no longer the newest.
pub const RETURNED: Bounds = Bounds { horizon: 15, openings: 2, crashes: 1, ..PARTED };

/// What was bought is sold while the worker changes. Walked to its end by `make model-check` alone.
pub const SOLD: Bounds =
    Bounds { horizon: 6, intents: 2, attempts: 1, exits: true, foreign_coins: true, openings: 1, ..WIRE };

/// All of it at once: too large to be walked to its end.
pub const EVERYTHING: Bounds = Bounds {
    horizon: 16,
    intents: 2,
    attempts: 2,
    crashes: 2,
    openings: 3,
    rollbacks: 1,
    cancels: 2,
    throttles: 1,
    halts: 2,
    nodes: false,
    exits: true,
    foreign_coins: false,
    partial_fills: true,
};

/// All worlds by name.
pub const ALL: [(&str, Bounds); 11] = [
    ("wire", WIRE),
    ("killed", KILLED),
    ("paused", PAUSED),
    ("rolled-back", ROLLED_BACK),
    ("traded", TRADED),
    ("cancelled", CANCELLED),
    ("halted", HALTED),
    ("parted", PARTED),
    ("returned", RETURNED),
    ("sold", SOLD),
    ("everything", EVERYTHING),
];

//! A signature made by hand, apart from the simulator's own.

use std::fmt::Write as _;

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

/// The query with its signature.
pub(crate) fn signed(query: &str, secret: &str) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).unwrap();
    mac.update(query.as_bytes());
    let mut all = format!("{query}&signature=");
    for byte in mac.finalize().into_bytes() {
        write!(all, "{byte:02x}").unwrap();
    }
    all
}

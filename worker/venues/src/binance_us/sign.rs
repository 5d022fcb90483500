//! Signatures: lower-case hexadecimal HMAC-SHA256 of the parameters as they travel.

use ring::hmac;
use secrecy::ExposeSecret;

use super::credentials::ApiSecret;

/// The signature of that text: of the query string, followed directly by the body where there is one (rest-api.md,
/// "SIGNED Endpoint security"). The bytes signed must be the bytes sent.
pub fn signature(secret: &ApiSecret, text: &str) -> String {
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret.0.expose_secret().as_bytes());
    hex(hmac::sign(&key, text.as_bytes()).as_ref())
}

/// Lower-case hexadecimal.
pub(super) fn hex(bytes: &[u8]) -> String {
    const DIGITS: [char; 16] =
        ['0', '1', '2', '3', '4', '5', '6', '7', '8', '9', 'a', 'b', 'c', 'd', 'e', 'f'];
    let digit = |value: u8| DIGITS.get(usize::from(value)).copied().unwrap_or('0');
    bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]).collect()
}

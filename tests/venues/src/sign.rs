//! Signatures: hex of HMAC-SHA256 over the query string directly followed by the body, both without the signature.
//! (Binance.US API documentation, `rest-api.md`, "SIGNED endpoint security".)

use std::fmt::Write as _;

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

/// The signature of a payload in lower-case hex; empty when the secret cannot be a key.
pub(crate) fn signature(secret: &str, payload: &str) -> String {
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(secret.as_bytes()) else { return String::new() };
    mac.update(payload.as_bytes());
    mac.finalize().into_bytes().iter().fold(String::with_capacity(64), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// Whether the payload was signed with the secret. The case of hex does not matter.
pub(crate) fn is_signed(secret: &str, payload: &str, given: &str) -> bool {
    !given.is_empty() && signature(secret, payload).eq_ignore_ascii_case(given)
}

/// A query string or a form without its signature, and the signature.
pub(crate) fn split_signature(text: &str) -> (String, Option<String>) {
    let (mut rest, mut signature) = (Vec::new(), None);
    for part in text.split('&').filter(|part| !part.is_empty()) {
        match part.strip_prefix("signature=") {
            Some(given) => signature = Some(given.to_owned()),
            None => rest.push(part),
        }
    }
    (rest.join("&"), signature)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// From the exchange's own documentation: the example order, sent as a query and half as a query, half as a body.
    const SECRET: &str = "NhqPtmdSJYdKjVHjA7PZj4Mge3R5YNiP1e3UZjInClVN65XAbvqqM6A7H5fATj0j";

    #[test]
    fn the_documented_examples_verify_and_others_do_not() {
        let whole = "symbol=LTCBTC&side=BUY&type=LIMIT&timeInForce=GTC&quantity=1&price=0.1&recvWindow=5000&timestamp=1499827319559";
        let given = "c8db56825ae71d6d79447849e617115f4a920fa2acdcab2b053c4b2838bd6b71";
        assert!(is_signed(SECRET, whole, given) && is_signed(SECRET, whole, &given.to_uppercase()));
        // No `&` between query and body.
        let mixed = "symbol=LTCBTC&side=BUY&type=LIMIT&timeInForce=GTCquantity=1&price=0.1&recvWindow=5000&timestamp=1499827319559";
        assert!(is_signed(SECRET, mixed, "0fd168b8ddb4876a0358a8d14d0c9f3da0e9b20c5d52b2a00fcf7d1c602f9a77"));
        assert!(
            !is_signed(SECRET, mixed, given)
                && !is_signed("other", whole, given)
                && !is_signed(SECRET, whole, "")
        );
    }

    #[test]
    fn the_signature_is_no_part_of_what_is_signed() {
        assert_eq!(split_signature("a=1&signature=ff&b=2"), ("a=1&b=2".to_owned(), Some("ff".to_owned())));
        assert_eq!(split_signature(""), (String::new(), None));
    }
}

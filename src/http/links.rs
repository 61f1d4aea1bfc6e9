//! Links that carry their own right: signed by a CRM with its secret and an expiry, or short tokens of ours for recordings.
//!
//! A CRM's link is `PATH?key=NAME&expires=UNIX&...&signature=HEX`, where the signature, last, is the HMAC-SHA256 of
//! `LINK`, a line feed, and everything before `&signature=`. So whatever else stands in the query (`download`,
//! `extension`) is part of what is signed.

use hmac::{Hmac, Mac};
use sha2::Sha256;

use super::request::{Plus, decode, form_value};
use crate::secret::Secret;
use crate::sign::hex;

/// A link valid for longer than this is not taken: who needs one has `/r/`.
const EXPIRY_MAX_S: i64 = 7 * 24 * 3600;

/// The key of our own tokens; 32 random bytes, kept in the database, so that links outlive a restart.
#[derive(Clone)]
pub struct LinkKey(pub [u8; 32]);

impl std::fmt::Debug for LinkKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("LinkKey(***)")
    }
}

/// Why a signed link is not taken.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum BadLink {
    /// There is no signature, or not in the form above.
    None,
    Signature,
    Expired,
}

/// `target` (path and query, with `key` and `expires`) with its signature.
pub fn sign(secret: &Secret, target: &str) -> String {
    format!("{target}&signature={}", hex(&mac(secret.expose().as_bytes(), &["LINK\n", target]).finalize().into_bytes()))
}

/// Whose link it is, by its own word; to be checked.
pub fn key_of(target: &str) -> Option<String> {
    let (_, query) = target.split_once('?')?;
    form_value(query.as_bytes(), "key", Plus::IsSpace)
}

/// Checks a signed link against the secret of the CRM it names.
///
/// # Errors
/// A [`BadLink`].
pub fn verify(secret: &Secret, target: &str, now_s: i64) -> Result<(), BadLink> {
    let (signed, given) = target.rsplit_once("&signature=").ok_or(BadLink::None)?;
    let given = unhex(given).ok_or(BadLink::None)?;
    let (_, query) = signed.split_once('?').ok_or(BadLink::None)?;
    let expires = form_value(query.as_bytes(), "expires", Plus::IsSpace).and_then(|text| text.parse::<i64>().ok());
    let expires = expires.ok_or(BadLink::None)?;
    mac(secret.expose().as_bytes(), &["LINK\n", signed]).verify_slice(&given).map_err(|_| BadLink::Signature)?;
    if expires <= now_s || expires - now_s > EXPIRY_MAX_S {
        return Err(BadLink::Expired);
    }
    Ok(())
}

/// The token of a recording: its id and 128 bits that only we can make. `generation` makes all older ones invalid.
pub fn token(key: &LinkKey, generation: u32, recording: &str) -> String {
    format!("{}.{}", escape(recording), hex(&token_mac(key, generation, recording)))
}

/// The recording a token opens.
pub fn open_token(key: &LinkKey, generation: u32, token: &str) -> Option<String> {
    let (id, given) = token.rsplit_once('.')?;
    let id = decode(id.as_bytes(), Plus::IsPlus)?;
    let given = unhex(given).filter(|given| given.len() == 16)?;
    let mac = mac(&key.0, &["RECORDING\n", &generation.to_string(), "\n", &id]);
    mac.verify_truncated_left(&given).ok()?;
    Some(id.into_owned())
}

fn token_mac(key: &LinkKey, generation: u32, recording: &str) -> [u8; 16] {
    let whole = mac(&key.0, &["RECORDING\n", &generation.to_string(), "\n", recording]).finalize().into_bytes();
    let mut half = [0; 16];
    half.copy_from_slice(&whole[..16]);
    half
}

fn mac(key: &[u8], parts: &[&str]) -> Hmac<Sha256> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes a key of any length");
    for part in parts {
        mac.update(part.as_bytes());
    }
    mac
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    if !text.len().is_multiple_of(2) || text.len() > 128 || text.is_empty() {
        return None;
    }
    let digit = |b: u8| char::from(b).to_digit(16).and_then(|d| u8::try_from(d).ok());
    text.as_bytes().chunks_exact(2).map(|pair| Some(digit(pair[0])? << 4 | digit(pair[1])?)).collect()
}

/// Percent-encodes what cannot stand in a path's last piece.
pub fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b'~') {
            escaped.push(char::from(byte));
        } else {
            escaped.push_str(&format!("%{byte:02X}"));
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signed_link_is_good_until_it_expires_and_only_as_it_is() {
        let secret = Secret::new("s3cret");
        let link = sign(&secret, "/recordings/ab12?key=vtiger&expires=1000&download=1");
        assert_eq!(key_of(&link).as_deref(), Some("vtiger"));
        assert_eq!(verify(&secret, &link, 999), Ok(()));
        assert_eq!(verify(&secret, &link, 1000), Err(BadLink::Expired));
        assert_eq!(verify(&Secret::new("other"), &link, 999), Err(BadLink::Signature));
        assert_eq!(verify(&secret, &link.replace("ab12", "ab13"), 999), Err(BadLink::Signature));
        assert_eq!(verify(&secret, &link.replace("&download=1", ""), 999), Err(BadLink::Signature));
        assert_eq!(verify(&secret, &link.replace("=1000", "=2000"), 999), Err(BadLink::Signature));
        assert_eq!(verify(&secret, &format!("{link}&x=1"), 999), Err(BadLink::None));
        assert_eq!(verify(&secret, "/recordings/ab12", 999), Err(BadLink::None));
        let far = sign(&secret, "/recordings/ab12?key=vtiger&expires=9999999999");
        assert_eq!(verify(&secret, &far, 999), Err(BadLink::Expired));
    }

    #[test]
    fn a_token_opens_one_recording_of_one_generation() {
        let key = LinkKey([7; 32]);
        for id in ["5f1c2ab09d3e4c77", "msk-1763805600.17/звонок 1", "a.b"] {
            let made = token(&key, 1, id);
            assert_eq!(open_token(&key, 1, &made).as_deref(), Some(id), "{made}");
            assert_eq!(open_token(&key, 2, &made), None);
            assert_eq!(open_token(&LinkKey([8; 32]), 1, &made), None);
            assert_eq!(open_token(&key, 1, &made[..made.len() - 2]), None, "shortened");
        }
        assert!("https://pbx.example.com:8384/r/".len() + token(&key, 1, "5f1c2ab09d3e4c77").len() <= 200);
        assert_eq!(open_token(&key, 1, "x"), None);
        assert_eq!(open_token(&key, 1, "x."), None);
    }
}

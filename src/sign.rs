//! Signed requests: how connector and CRM know each other, in both directions. Pure.
//!
//! The headers are `X-PIN-Key` (the CRM's name), `X-PIN-Time` (unix seconds), `X-PIN-Nonce` (16 random bytes, hex) and
//! `X-PIN-Signature` = hex HMAC-SHA256(secret, `METHOD\nPATH-WITH-QUERY\nTIME\nNONCE\nhex SHA-256(body)`). `crm/` makes
//! them, `http/` checks them. Which nonces were seen, and whose secret it is, is known there; randomness and time are
//! arguments.

use std::fmt;

use hmac::{Hmac, Mac};
use sha2::{Digest, Sha256};

use crate::secret::Secret;

pub const KEY_HEADER: &str = "X-PIN-Key";
pub const TIME_HEADER: &str = "X-PIN-Time";
pub const NONCE_HEADER: &str = "X-PIN-Nonce";
pub const SIGNATURE_HEADER: &str = "X-PIN-Signature";

/// A request signed further from now than this is refused.
pub const MAX_CLOCK_DIFFERENCE_S: i64 = 300;
/// How long a nonce must be remembered: as long as a signature that carries it can be within the clock's window.
pub const NONCE_MEMORY_S: i64 = 600;

/// The part of a request that is signed.
#[derive(Clone, Copy, Debug)]
pub struct Signed<'a> {
    /// In capitals, as in the request line.
    pub method: &'a str,
    /// Path and query exactly as in the request line.
    pub path: &'a str,
    /// Unix seconds.
    pub time_s: i64,
    pub nonce: &'a str,
    pub body: &'a [u8],
}

/// Why a signature was not accepted.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Refusal {
    /// A header is missing or is not of its form.
    Malformed(&'static str),
    /// More than [`MAX_CLOCK_DIFFERENCE_S`] apart, in unix seconds.
    Clock { theirs_s: i64, ours_s: i64 },
    /// Another secret, or a request that was changed on its way.
    Signature,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Malformed(header) => write!(f, "{header} is missing or malformed"),
            Self::Clock { theirs_s, ours_s } => write!(
                f,
                "your clock says {}, ours {}: more than {MAX_CLOCK_DIFFERENCE_S} s apart",
                seconds_rfc3339(*theirs_s),
                seconds_rfc3339(*ours_s)
            ),
            Self::Signature => f.write_str("wrong signature: another secret, or the request was changed on its way"),
        }
    }
}

/// Hex HMAC-SHA256 over `request`.
pub fn signature(secret: &Secret, request: &Signed<'_>) -> String {
    hex(&mac(secret, request).finalize().into_bytes())
}

/// The headers of a signed request as they came; `None` is not there. Whose key it is, the caller has looked up.
#[derive(Clone, Copy, Debug)]
pub struct Headers<'h> {
    pub time: Option<&'h str>,
    pub nonce: Option<&'h str>,
    pub signature: Option<&'h str>,
}

/// Checks `headers` over a request as it came, against `now_s` in unix seconds.
///
/// Gives back the nonce, which the caller must not have seen from this key within [`NONCE_MEMORY_S`]. The signature is
/// compared in constant time; the clock is judged first, so that a wrong clock is told apart from a wrong secret.
///
/// # Errors
/// A [`Refusal`], in words fit for the other side.
pub fn verify<'h>(
    secret: &Secret,
    method: &str,
    path: &str,
    body: &[u8],
    headers: Headers<'h>,
    now_s: i64,
) -> Result<&'h str, Refusal> {
    let time_s: i64 = headers.time.and_then(|t| t.parse().ok()).ok_or(Refusal::Malformed(TIME_HEADER))?;
    let nonce = headers.nonce.filter(|n| is_nonce(n)).ok_or(Refusal::Malformed(NONCE_HEADER))?;
    let given: [u8; 32] = headers.signature.and_then(unhex).ok_or(Refusal::Malformed(SIGNATURE_HEADER))?;
    if time_s.abs_diff(now_s) > MAX_CLOCK_DIFFERENCE_S.unsigned_abs() {
        return Err(Refusal::Clock { theirs_s: time_s, ours_s: now_s });
    }
    let request = Signed { method, path, time_s, nonce, body };
    mac(secret, &request).verify_slice(&given).map_err(|_| Refusal::Signature)?;
    Ok(nonce)
}

/// Compares two secrets without telling by its duration where they differ.
pub fn same_secret(ours: &str, theirs: &str) -> bool {
    // Both are hashed under one key first, so that not even the length shows.
    let digest = |text: &str| Hmac::<Sha256>::new_from_slice(b"compare").map(|m| m.chain_update(text.as_bytes()));
    match (digest(ours), digest(theirs)) {
        (Ok(a), Ok(b)) => a.verify(&b.finalize().into_bytes()).is_ok(),
        _ => false,
    }
}

/// 16 random bytes as the nonce they become.
pub fn nonce(random: [u8; 16]) -> String {
    hex(&random)
}

/// Lower-case hexadecimal.
pub fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    bytes.iter().flat_map(|b| [DIGITS[usize::from(b >> 4)], DIGITS[usize::from(b & 15)]]).map(char::from).collect()
}

fn mac(secret: &Secret, request: &Signed<'_>) -> Hmac<Sha256> {
    let key = secret.expose().as_bytes();
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes a key of any length");
    mac.update(request.method.as_bytes());
    mac.update(b"\n");
    mac.update(request.path.as_bytes());
    mac.update(b"\n");
    mac.update(request.time_s.to_string().as_bytes());
    mac.update(b"\n");
    mac.update(request.nonce.as_bytes());
    mac.update(b"\n");
    mac.update(hex(&Sha256::digest(request.body)).as_bytes());
    mac
}

fn is_nonce(text: &str) -> bool {
    text.len() == 32 && text.bytes().all(|b| b.is_ascii_hexdigit())
}

fn unhex<const N: usize>(text: &str) -> Option<[u8; N]> {
    let digits = text.as_bytes();
    if digits.len() != 2 * N {
        return None;
    }
    let mut bytes = [0; N];
    for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
        let digit = |d: u8| char::from(d).to_digit(16).and_then(|d| u8::try_from(d).ok());
        *byte = digit(pair[0])? << 4 | digit(pair[1])?;
    }
    Some(bytes)
}

fn seconds_rfc3339(unix_s: i64) -> String {
    jiff::Timestamp::from_second(unix_s).map_or_else(|_| unix_s.to_string(), |at| at.to_string())
}
